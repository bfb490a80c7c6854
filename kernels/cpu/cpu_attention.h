/* Attention on the CPU: what a tile is.
 *
 * The cache is read in chunks of CPU_ATT_CHUNK absolute positions. A tile is up to CPU_ATT_ROWS
 * query rows (tokens of one sequence times the heads that share a kv head) against one chunk:
 * scores, softmax and weighted values of that chunk alone. Partial results are merged in the order
 * of the chunks, whoever computed them, so the bits do not depend on the number of threads, on the
 * neighbours in the batch, or on how a prompt was cut (online softmax: Milakov and Gimelshein 2018,
 * arXiv:1805.02867; split over keys: Dao et al. 2023, Flash-Decoding). */
#ifndef OLL_KERNELS_CPU_ATTENTION_H
#define OLL_KERNELS_CPU_ATTENTION_H

#include "kernels/device.h"

#include <stdint.h>

enum {
    CPU_ATT_CHUNK = 256,
    CPU_ATT_PAGES = CPU_ATT_CHUNK / OLL_KV_PAGE,
    CPU_ATT_ROWS = 48,     /* of a tile: a multiple of the register tiles of most levels */
    CPU_ATT_ROWS_REG = 12, /* the most rows of a register tile on any level */
};

/* One row's view of the chunk: positions [begin, end), counted from the chunk's start; empty when
 * begin >= end. */
struct cpu_attention_row {
    int32_t begin, end;
    int32_t pos; /* of the query, counted from the chunk's start */
    float slope; /* ALiBi, 0: none */
};

/* What softmax makes of some of the keys: o [head_dim_v] is the sum of exp(s - max) v, `sum` that
 * of exp(s - max). Nothing seen: max is -INFINITY, the rest 0. */
struct cpu_attention_part {
    float max, sum;
    float *o;
};

struct cpu_attention_tile {
    uint32_t n_rows;
    uint32_t head_dim_k, head_dim_v;                 /* head_dim_v padded to 16 */
    const void *k[CPU_ATT_PAGES], *v[CPU_ATT_PAGES]; /* the kv head's blocks, layout of cpu_kv.h;
                                                        NULL where no row looks */
    const float *q;                                  /* [n_rows, head_dim_k], times the scale */
    float softcap;
    const struct cpu_attention_row *rows; /* [n_rows] */
    float *s;                             /* scratch [CPU_ATT_ROWS_REG, CPU_ATT_CHUNK] */
    float *expanded_k, *expanded_v;   /* scratch of quantised caches [CPU_ATT_CHUNK, head_dim] */
    struct cpu_attention_part *parts; /* [n_rows]; max, sum and the values of o are results */
};

#endif
