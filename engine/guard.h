/* Guard: keeps a reply within its grammar, once its thinking is over.
 *
 * Where the grammar speaks follows the reply's parser: thinking is free text; before it is known
 * whether the model will think, a token may begin the thinking tag or the constrained text; from
 * the first byte of content on everything is constrained. Rejection first: the token that was drawn
 * freely is kept when the grammar allows it, and only else the whole mask is made and one is drawn
 * anew.
 *
 * Owned by the engine thread, one for each slot. */
#ifndef OLL_ENGINE_GUARD_H
#define OLL_ENGINE_GUARD_H

#include "engine/split.h"
#include "sampler/constraint.h"
#include "sampler/sampler.h"

enum { GUARD_PIECE_MAX = 32 };

enum guard_start {
    GUARD_AFTER_THINKING, /* the grammar is content, which follows thinking if there is any */
    GUARD_BEHIND_HEADER,  /* the format says where content begins: what comes before is free */
    GUARD_AT_ONCE         /* the grammar is the whole reply */
};

struct guard {
    struct oll_constraint *constraint; /* NULL: nothing is guarded */
    const struct oll_tokenizer *tok;
    uint32_t n_vocab;
    bool active; /* the grammar has the word */
    enum guard_start start;
    const char *open; /* text that begins thinking, borrowed from the parser; NULL: none */
    size_t n_open;    /* of it, bytes that have come */
    /* The last piece without white space around it, and how often it has come in a row. */
    char piece[GUARD_PIECE_MAX];
    uint32_t n_piece, n_same;
};

/* `program` NULL guards nothing. */
oll_status guard_init(struct guard *guard, struct oll_constraint_program *program,
                      const struct oll_token_trie *trie, const struct split *split,
                      enum guard_start start, struct oll_error *err) OLL_MUST_USE;
void guard_free(struct guard *guard);

/* Keeps *token, which was drawn from the logits, or draws another one. OLL_ERR_FORMAT: the
 * vocabulary cannot spell what the grammar asks for. */
oll_status guard_choose(struct guard *guard, const struct split *split, struct oll_sampler *sampler,
                        float *logits, int32_t *token, struct oll_error *err) OLL_MUST_USE;
/* The token is part of the reply. *ends: the text is complete and nothing may follow; *stuck: the
 * model repeats itself. */
oll_status guard_accept(struct guard *guard, const struct split *split, int32_t token, bool *ends,
                        bool *stuck, struct oll_error *err) OLL_MUST_USE;
/* After the split has seen the text: content may have begun. */
oll_status guard_follow(struct guard *guard, const struct split *split,
                        struct oll_error *err) OLL_MUST_USE;
/* Tokens that must come next, appended. */
oll_status guard_forced(struct guard *guard, struct oll_tokens *out) OLL_MUST_USE;

#endif
