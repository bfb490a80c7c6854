/* Finding special tokens in a text before it is tokenized.
 *
 * User defined tokens are found in any text, control and unknown tokens and those that the file
 * names for a role only where the caller asks for it: what a user types must not become a control
 * token. Where tokens overlap the longer one wins, even if the other starts earlier; of equal
 * length the one with the lower id, of equal tokens the leftmost.
 *
 * All occurrences are found in one pass from the end of the text to its start by an automaton over
 * the reversed tokens (Aho and Corasick 1975), so the longest token at every position is known
 * after linear time; overlaps are then resolved in the order of length. */
#ifndef OLL_TOKENIZER_PARTITION_H
#define OLL_TOKENIZER_PARTITION_H

#include "tokenizer/byte_trie.h"
#include "tokenizer/vocab.h"

/* State of the automaton: the longest suffix read that begins a reversed token. */
struct partition_state {
    uint32_t fail;  /* state of the longest proper suffix */
    uint32_t next;  /* nearest state on the way of `fail` that ends a token, 0: none */
    int32_t id;     /* token that ends here, or OLL_TOKEN_NONE */
    uint32_t depth; /* bytes read */
};

struct partition {
    const struct vocab *vocab; /* borrowed */
    struct byte_trie trie;     /* of the reversed texts */
    struct partition_state *states;
    uint32_t max_len;
    bool last_byte[256]; /* whether some token ends with the byte */
};

/* Part of a text: raw text, or a special token. */
struct fragment {
    size_t begin, end;
    int32_t id;         /* OLL_TOKEN_NONE for raw text */
    bool after_special; /* raw text directly behind a special token */
};

struct fragments {
    struct fragment *items;
    size_t n, cap;
};

oll_status partition_init(struct partition *part, const struct vocab *vocab,
                          struct oll_error *err) OLL_MUST_USE;
void partition_free(struct partition *part);

/* Cuts text[0..n) into *out (zeroed before, released with fragments_free). */
oll_status partition_split(const struct partition *part, const char *text, size_t n,
                           bool parse_special, struct fragments *out) OLL_MUST_USE;
void fragments_free(struct fragments *fragments);

#endif
