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

enum { CPU_ATT_CHUNK = 256, CPU_ATT_PAGES = CPU_ATT_CHUNK / OLL_KV_PAGE, CPU_ATT_ROWS = 32 };

/* One row's view of the chunk: positions [begin, end), counted from the chunk's start; empty when
 * begin >= end. */
struct cpu_attention_row {
    int32_t begin, end;
    int32_t pos; /* of the query, counted from the chunk's start */
    float slope; /* ALiBi, 0: none */
};

struct cpu_attention_tile {
    uint32_t n_rows;
    uint32_t begin, end; /* positions that some row sees, counted from the chunk's start */
    uint32_t head_dim_k, head_dim_v;                 /* head_dim_v padded to 16 */
    const void *k[CPU_ATT_PAGES], *v[CPU_ATT_PAGES]; /* the kv head's blocks, layout of cpu_kv.h */
    const float *q;                                  /* [n_rows, head_dim_k], times the scale */
    float softcap;
    const struct cpu_attention_row *rows; /* [n_rows] */
    float *s;                             /* scratch [n_rows, CPU_ATT_CHUNK] */
    float *o;                             /* out [n_rows, head_dim_v]: sum of exp(s - max) v */
    float *max;                           /* out [n_rows], -inf for a row that sees nothing */
    float *sum;                           /* out [n_rows]: sum of exp(s - max) */
};

#endif
