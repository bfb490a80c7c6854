/* N-grams: where a text has been like its end before, and how it went on there.
 *
 *   text    the cat sat on the mat , and the cat sat
 *                      ^ source                      ^ end: the last 3 tokens stood before `source`
 *   draft   on the mat , and ...
 *
 * One table for each order (2, 3, 4 and 8 tokens) holds the last place behind an n-gram, found by
 * the n-gram's hash; a place is believed only after the tokens themselves have been compared. While
 * the text goes on as its source does, the source goes along, so that the match grows beyond any
 * order. Each token costs a few hashes, whatever the length of the text; memory is fixed. Prompt
 * lookup: Saxena 2023; n-gram speculation as in kernels-and-engine 4.6.
 *
 * The text is the caller's: the same array, grown, at each call. Owned by the engine thread. */
#ifndef OLL_ENGINE_NGRAM_H
#define OLL_ENGINE_NGRAM_H

#include "engine/base/status.h"

#include <stdint.h>

enum { NGRAM_ORDERS = 4, NGRAM_SHORTEST = 2, NGRAM_MATCH_MAX = 32 };

struct ngram_index {
    uint32_t *places; /* [NGRAM_ORDERS, n_place], 0: not seen */
    uint32_t n_place; /* a power of two */
    uint32_t n;       /* tokens of the text taken in */
    uint32_t source;  /* place whose token is likely the next one; 0: the end is new */
    uint32_t n_match; /* tokens before it that are those of the end, at most NGRAM_MATCH_MAX */
};

/* Of texts of about n_tokens; longer ones forget their older parts. */
oll_status ngram_init(struct ngram_index *ix, uint32_t n_tokens,
                      struct oll_error *err) OLL_MUST_USE;
void ngram_free(struct ngram_index *ix);
/* Another text. */
void ngram_clear(struct ngram_index *ix);

/* Takes in tokens[ix->n .. n), and looks for a source. */
void ngram_follow(struct ngram_index *ix, const int32_t *tokens, uint32_t n);
/* The n_draft tokens from the source on; where it runs into the end of the text, it goes round. */
void ngram_draft(const struct ngram_index *ix, const int32_t *tokens, uint32_t n_draft,
                 int32_t *draft);

#endif
