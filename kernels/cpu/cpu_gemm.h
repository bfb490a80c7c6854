/* The driver between ops and tile kernels: batches of laid-out activations, and ranges of weight
 * panels multiplied with them. */
#ifndef OLL_KERNELS_CPU_GEMM_H
#define OLL_KERNELS_CPU_GEMM_H

#include "kernels/cpu/cpu_internal.h"
#include "kernels/cpu/cpu_matmul.h"

/* Up to this many tokens a weight is one forward stream per worker, in fixed ranges; beyond, work
 * is handed out in chunks. */
enum { CPU_STREAM_TOKENS = 8 };

/* Rows laid out as tiles of nearly equal width. A fine batch holds every row twice: token t is row
 * t as its kind rounds it, token n_rows + t what the rounding left; the products of both are added.
 */
struct cpu_batch {
    uint8_t *act; /* cpu_batch_bytes, 64-byte aligned */
    size_t token_bytes;
    uint32_t n_in, n_rows, n_tokens, n_tiles;
    enum cpu_act kind;
};

void cpu_batch_init(struct cpu_batch *batch, const struct cpu_matmul_kernels *k, enum cpu_act kind,
                    uint32_t n_in, uint32_t n_rows, bool is_fine);
static inline size_t cpu_batch_bytes(const struct cpu_batch *batch)
{
    return batch->token_bytes * batch->n_tokens;
}
/* Tokens of tile i. */
static inline struct cpu_range cpu_batch_tile(const struct cpu_batch *batch, uint32_t i)
{
    const uint64_t n = batch->n_tokens;
    return (struct cpu_range){(uint32_t)(n * i / batch->n_tiles),
                              (uint32_t)(n * (i + 1) / batch->n_tiles)};
}
/* Lays out tile i from the rows of its tokens, or of what rounding left of them. */
void cpu_batch_fill(const struct cpu_batch *batch, const struct cpu_matmul_kernels *k, uint32_t i,
                    const float *const *rows);

/* Where results go: y[row][o] = scale * (c + bias[o]) + residual[row][o], or, for a pair of
 * weights, act(gate) * up. */
struct cpu_store {
    const struct oll_mat *y, *residual; /* residual NULL: none */
    const float *bias;                  /* NULL: none */
    float scale;
    const uint32_t *rows; /* row of y of each token; NULL: its own index */
    enum oll_act act;     /* of a pair */
};

struct cpu_gemm {
    const struct cpu_kernels *k;
    const struct cpu_weight *w;
    const struct cpu_weight *up; /* of a pair (w is the gate); else NULL */
    uint32_t expert;
    const struct cpu_batch *batch, *up_batch;
    struct cpu_store store;
    uint8_t *expanded; /* cpu_gemm_scratch bytes, 64-byte aligned */
};

/* Scratch of one worker for the weights of a product: types that are expanded need some. */
size_t cpu_gemm_scratch(const struct cpu_kernels *k, const struct cpu_weight *w,
                        const struct cpu_weight *up);

/* Panels begin .. end - 1 of the weight, or of both weights of a pair, times the whole batch. */
void cpu_gemm_panels(const struct cpu_gemm *g, uint32_t begin, uint32_t end);

/* Panels of a chunk of work when many tokens share them. */
uint32_t cpu_gemm_chunk(const struct cpu_gemm *g, uint32_t nth);

#endif
