/* Formats without quantisation: F32, F16, BF16, with f32 activations.
 *
 * Idea: per k one column of 16 rows, widened to f32, times the activation of each token. With zmm
 * even and odd k have sums of their own, so that the single token, which has one vector only, is
 * not bound by the latency of the addition; all shapes do so, or they would round differently.
 * Registers: zmm, 32 x 6: 24 sums, 4 weights; ymm, 16 x 6: 12 sums, 2 weights. Limit: the two
 * multiply pipes; memory for one token. */
#include "kernels/cpu/tile.h"

enum float_format { FLOAT_32, FLOAT_16, FLOAT_B16 };

/* Bytes of two columns of 16 rows. */
MM_INLINE size_t float_pair_bytes(const enum float_format f) { return f == FLOAT_32 ? 128 : 64; }

/* Column e (0, 1) of a pair of vector v. */
MM_INLINE vf float_column(const enum float_format f, const uint8_t *w, int e, int v, size_t stride)
{
    if (f == FLOAT_32)
        return vf_load((const float *)(const void *)(w + e * CPU_LINE + mm_line(v, stride)));
    if (f == FLOAT_16)
        return vf_from_f16(w + e * 32 + mm_f16(v, stride));
    /* The halves of a word: the upper one is a float already but for its lower bits. */
    const vi pair = vi_load(w + mm_line(v, stride));
    return vf_from_bits(e ? vi_and(pair, vi_set32((int)0xffff0000)) : vi_shl32(pair, 16));
}

MM_INLINE void float_tile(const enum float_format format, const struct cpu_tile *tile, const int RV,
                          const int T, const int rows)
{
    const float *a = (const float *)(const void *)tile->a;
    const uint8_t *w = tile->w;
    vf f[2][MM_MAX_V][MM_MAX_T], column[MM_MAX_V];
    MM_EACH_T MM_EACH_R f[0][r][t] = vf_zero();
    MM_EACH_T MM_EACH_R f[1][r][t] = vf_zero();
    uint32_t k = 0;
    for (; k + 2 <= tile->n_in; k += 2, a += 2 * T, w += float_pair_bytes(format)) {
        MM_PREFETCH(w, tile->w_stride);
        if (format == FLOAT_32)
            MM_PREFETCH(w + CPU_LINE, tile->w_stride);
        MM_UNROLL for (int e = 0; e < 2; e++)
        {
            const int sum = e * MM_TWO_SUMS;
            MM_EACH_R column[r] = float_column(format, w, e, r, tile->w_stride);
            MM_EACH_T
            {
                const vf y = vf_set(a[e * T + t]);
                MM_EACH_R f[sum][r][t] = vf_fma(column[r], y, f[sum][r][t]);
            }
        }
    }
    if (k < tile->n_in) {
        MM_EACH_R column[r] = float_column(format, w, 0, r, tile->w_stride);
        MM_EACH_T MM_EACH_R f[0][r][t] = vf_fma(column[r], vf_set(a[t]), f[0][r][t]);
    }
    if (MM_TWO_SUMS)
        MM_EACH_T MM_EACH_R f[0][r][t] = vf_add(f[0][r][t], f[1][r][t]);
    mm_store(tile, f[0], 0, RV, T, rows);
}

#define FLOAT_ROW(fn, format)                                                                      \
    MM_INLINE void fn(const struct cpu_tile *tile, const int halves, const int RV, const int T,    \
                      const int rows)                                                              \
    {                                                                                              \
        (void)halves; /* always one */                                                             \
        float_tile(format, tile, RV, T, rows);                                                     \
    }                                                                                              \
    MM_FLOAT_ROW(fn)

FLOAT_ROW(f32, FLOAT_32)
FLOAT_ROW(f16, FLOAT_16)
FLOAT_ROW(bf16, FLOAT_B16)
