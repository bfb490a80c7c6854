/* AVX-512 BF16: tiles of BF16 weights with activations rounded to bf16.
 *
 * Idea: vdpbf16ps adds two products per lane, so a line of a panel, two columns of 16 rows, meets
 * the pair of activations of each token: twice the products of an FMA, and no widening. Registers:
 * 32 x 6: 12 sums, 2 weights. Limit: the multiply pipes; memory for one token. The sums of a lane
 * are those of the pairs in order, whatever the shape. */
#define MM_LEVEL avx512bf16
#include "kernels/cpu/x86/tile_vec_x86.h"

#include "kernels/cpu/cpu_quantize_act.h"
#include "kernels/cpu/tile.h"

#include <string.h>

MM_INLINE void bf16(const struct cpu_tile *tile, const int halves, const int RV, const int T,
                    const int rows)
{
    const uint8_t *a = tile->a, *w = tile->w;
    vf f[MM_MAX_V][MM_MAX_T];
    (void)halves; /* always one */
    MM_EACH_T MM_EACH_R f[r][t] = vf_zero();
    for (uint32_t k = 0; k < tile->n_in; k += 2, a += 4 * T, w += CPU_LINE) {
        vi pair[MM_MAX_V];
        MM_PREFETCH(w, tile->w_stride);
        MM_EACH_R pair[r] = vi_load(w + mm_line(r, tile->w_stride));
        MM_EACH_T
        {
            const vi y = vi_quad(a + 4 * t);
            MM_EACH_R f[r][t] = _mm512_dpbf16_ps(f[r][t], (__m512bh)pair[r], (__m512bh)y);
        }
    }
    mm_store(tile, f, 0, RV, T, rows);
}

MM_ROW(bf16)

/* ---- activations: [k / 2][T][2], an odd last one paired with zero ---- */

/* Rounded to nearest, ties to even; a NaN stays one. */
static __m256i rounded(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

static void put(uint8_t *dst, __m256i v, uint32_t n_pair, uint32_t n_tokens)
{
    _Alignas(32) uint32_t pairs[8];
    _mm256_store_si256((void *)pairs, v);
    for (uint32_t i = 0; i < n_pair; i++)
        memcpy(dst + (size_t)i * n_tokens * 4, pairs + i, 4);
}

void cpu_quantize_b16__avx512bf16(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                                  uint8_t *dst)
{
    for (uint32_t t = 0; t < n_tokens; t++) {
        uint8_t *to = dst + 4 * t;
        uint32_t k = 0;
        for (; k + 16 <= n_in; k += 16, to += (size_t)32 * n_tokens)
            put(to, rounded(_mm512_loadu_ps(x[t] + k)), 8, n_tokens);
        const __mmask16 left = (__mmask16)((1u << (n_in - k)) - 1);
        put(to, rounded(_mm512_maskz_loadu_ps(left, x[t] + k)), (n_in - k + 1) / 2, n_tokens);
    }
}
