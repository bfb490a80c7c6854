/* Batches: the tokens of one step, of any number of sequences, cut into passes of a limited size.
 *
 *   batch      tokens  a0 a1 a2 a3 a4 b0 c0        seq  0 0 0 0 0 1 2        want  . . . . x x x
 *   ubatch 0           a0 a1 a2 a3                 pos  0 1 2 3              rows  -
 *   ubatch 1           a4 b0 c0                    pos  4 9 7                rows  0 1 2
 *
 * A token's position follows from the length of its sequence. Host arrays only; the pass uploads
 * them. Owned by a context. */
#ifndef OLL_ENGINE_BATCH_H
#define OLL_ENGINE_BATCH_H

#include "engine/eval.h"
#include "engine/kv_cache.h"

struct ubatch {
    uint32_t cap; /* most tokens */
    uint32_t n_tokens, n_out;
    uint32_t n_kv_max;           /* longest sequence after this pass */
    int32_t *tokens, *pos, *seq; /* [n_tokens] */
    int32_t *types;              /* [n_tokens] 0: of the first text, 1: of the second */
    int32_t *rows;               /* [n_out] rows that are wanted, ascending */
    int32_t *pos_out, *seq_out;  /* [n_out] of those rows */
    int32_t *kv_len;             /* [n_seq] positions of each sequence after this pass */
    uint32_t *n_new;             /* [n_seq] tokens of each sequence in this pass */
};

oll_status ubatch_init(struct ubatch *ub, uint32_t cap, uint32_t n_seq,
                       struct oll_error *err) OLL_MUST_USE;
void ubatch_free(struct ubatch *ub);

/* Tokens in range, sequences known, no sequence beyond n_ctx; *n_wanted gets the rows asked for. */
oll_status batch_check(const struct oll_batch *batch, const struct kv_cache *kv, uint32_t n_vocab,
                       uint32_t *n_wanted, struct oll_error *err) OLL_MUST_USE;
/* Fills the ubatch with the tokens from `begin` on and returns their number, 0 at the end. */
uint32_t batch_take(const struct oll_batch *batch, uint32_t begin, const struct kv_cache *kv,
                    struct ubatch *ub);

#endif
