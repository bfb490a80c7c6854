/* The families of trials, one per group of ops. Each opens its trials in a fixed order. */
#ifndef OLL_TESTS_KERNELS_CASES_H
#define OLL_TESTS_KERNELS_CASES_H

#include "tests/kernels/trial.h"

void cases_elementwise(struct session *s); /* unary, glu, add, gate, scale, query_scale */
void cases_norm(struct session *s);        /* norm */
void cases_rope(struct session *s);        /* rope_table, rope */
void cases_rows(struct session *s);        /* gather, pool, expert_sum, embed */
void cases_router(struct session *s);
void cases_matmul(struct session *s);    /* matmul, matmul_expert */
void cases_fused(struct session *s);     /* norm_matmul, norm_glu */
void cases_attention(struct session *s); /* kv_store, attention */
void cases_list(struct session *s);      /* order and dependencies inside a list */

/* Bounds of `y` of a sum of n products in f32: each element may be off by a few roundings per
 * addition, of the sum of the magnitudes. With `is_hostile` the roundings may all go one way. */
double sum_error(uint32_t n, bool is_hostile);

/* Every storage type that weights have. */
extern const enum oll_dtype weight_types[];
extern const int n_weight_types;

/* Whether this fill makes all terms of a sum equal, so that roundings add up. */
static inline bool fill_is_hostile(enum fill fill)
{
    return fill == FILL_MIN || fill == FILL_MAX || fill == FILL_ALTERNATE;
}

#endif
