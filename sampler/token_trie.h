/* The vocabulary as a trie over bytes, in an order that a walk reads front to back.
 *
 * Nodes stand depth first in one array: the first child is the next node, and `skip` nodes further
 * the subtree is over. So "all tokens that an automaton accepts" is one loop: a byte that is
 * refused skips its subtree, and the states along the path lie in an array by depth.
 *
 * Slices answer for most of the vocabulary at once where nearly everything is allowed, as inside a
 * free string: a slice is the set of tokens that consist of at most max_chars whole characters of
 * one class; it has their mask, and a trie of all other tokens. (The idea is that of the slicer in
 * the llguidance project's documentation.)
 *
 * Control and unknown tokens are left out, and tokens without bytes or with more than 255.
 * Immutable once made; threads may share it. */
#ifndef OLL_SAMPLER_TOKEN_TRIE_H
#define OLL_SAMPLER_TOKEN_TRIE_H

#include "sampler/regex.h"
#include "tokenizer/tokenizer.h"

enum { TOKEN_TRIE_MAX_DEPTH = 255, TOKEN_TRIE_SLICES = 11, TOKEN_TRIE_SLICE_RANGES = 8 };

struct token_node {
    uint32_t skip;       /* nodes of the subtree, this one included */
    int32_t token;       /* that ends here, OLL_TOKEN_NONE: none */
    uint8_t byte, depth; /* depth 0: a first byte */
};

struct token_tree {
    struct token_node *nodes;
    uint32_t n;
};

struct token_slice {
    struct regex_range ranges[TOKEN_TRIE_SLICE_RANGES];
    uint32_t n_ranges;
    uint32_t max_chars; /* of a token in the slice */
    uint64_t *mask;     /* [n_words] tokens of the slice */
    struct token_tree others;
};

struct oll_token_trie {
    struct token_tree all;
    int32_t *same; /* [n_vocab] next token with the same bytes, OLL_TOKEN_NONE: none */
    struct token_slice slices[TOKEN_TRIE_SLICES]; /* largest first */
    uint64_t *ends;                               /* [n_words] tokens that end a generation */
    uint32_t n_vocab, n_words;
    const struct oll_tokenizer *tok; /* borrowed */
};

/* `n_vocab`: tokens that may be sampled. The tokenizer must outlive the trie. */
oll_status oll_token_trie_new(const struct oll_tokenizer *tok, uint32_t n_vocab,
                              struct oll_token_trie **out, struct oll_error *err) OLL_MUST_USE;
void oll_token_trie_free(struct oll_token_trie *trie);

#endif
