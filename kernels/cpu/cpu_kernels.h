/* The ISA table: one function pointer per inner loop, filled once when the device opens. Scalar C
 * comes first, then each family overwrites level by level (x86/, arm/) with early returns.
 *
 * The loops that are not matmuls are written once, on the vectors of cpu_vec.h (cpu_rows_impl.h,
 * cpu_attention_impl.h), and compiled per level. Rows are contiguous and of any alignment; y may be
 * one of the inputs unless noted. Reductions have an order that depends on n and the level alone.
 */
#ifndef OLL_KERNELS_CPU_KERNELS_H
#define OLL_KERNELS_CPU_KERNELS_H

#include "kernels/device.h"

#include <stdint.h>

struct cpu_attention_part; /* cpu_attention.h */
struct cpu_attention_tile;
struct cpu_matmul_kernels; /* rows of cpu_matmul.h */

/* y [n] = scale * sum of n_used rows of x (x_stride floats apart) times their weights, + residual.
 */
struct cpu_weighted_sum {
    const float *x, *weights, *residual; /* residual may be NULL */
    float *y;
    size_t x_stride;
    uint32_t n, n_used;
    float scale;
};

struct cpu_kernels {
    const struct cpu_matmul_kernels *matmul;

    /* By enum oll_norm_kind; w and b may be NULL. */
    void (*norm[3])(const float *x, const float *w, const float *b, float *y, uint32_t n,
                    float eps);
    void (*unary)(enum oll_act act, const float *x, float *y, uint32_t n);
    void (*glu)(enum oll_act act, const float *gate, const float *up, float *y, uint32_t n);
    void (*add)(const float *a, const float *b, float scale, float *y, uint32_t n);
    /* g [n], or [1] when g_is_one. */
    void (*gate)(const float *x, const float *g, bool g_is_one, float *y, uint32_t n);
    void (*scale)(const struct op_scale *op, const float *x, float *y, uint32_t n);
    void (*weighted_sum)(const struct cpu_weighted_sum *a);
    /* One head: x [n_rot], table [n_rot]. */
    void (*rope_norm)(float *x, const float *table, uint32_t n_rot);
    void (*rope_neox)(float *x, const float *table, uint32_t n_rot);
    void (*to_f16)(const float *x, uint16_t *y, uint32_t n);
    /* What the 8-bit rounding of cpu_matmul.h leaves of a row: y = x - scale * quant, blocks of 32
     * or 256, of which n is a multiple. */
    void (*rest)(const float *x, float *y, uint32_t n, uint32_t block);

    /* One tile of attention against one chunk of the cache, by what it holds. */
    void (*attention_f32)(const struct cpu_attention_tile *tile);
    void (*attention_f16)(const struct cpu_attention_tile *tile);
    void (*attention_q8_0)(const struct cpu_attention_tile *tile);
    void (*attention_q4_0)(const struct cpu_attention_tile *tile);
    /* Brings the part of later keys (o [n], n a multiple of 16) into that of earlier ones. */
    void (*attention_merge)(struct cpu_attention_part *run, const struct cpu_attention_part *part,
                            uint32_t n);
};

void cpu_kernels_init(struct cpu_kernels *k, uint32_t features);

/* Rows of one level each; those of a level that the build lacks are not called. */
void cpu_kernels_scalar(struct cpu_kernels *k);
void cpu_kernels_avx2(struct cpu_kernels *k);
void cpu_kernels_avx512(struct cpu_kernels *k);
void cpu_kernels_neon(struct cpu_kernels *k);

#endif
