/* NVFP4: blocks of 64 with a scale per 16 weights, an unsigned E4M3 number.
 *
 * Idea: as the formats with blocks of 32 (tile_small.h), but with sums of 16 weights, of which each
 * has its own conversion and scaling: 4 products and 2 scalings per 16 weights and output. Code
 * words become bytes by a table; where the instruction multiplies unsigned bytes, the table is 12
 * up, and 12 times the activations are taken off at the end: a product per token and group for all
 * rows. */
#ifndef OLL_KERNELS_CPU_TILE_NVFP4_H
#define OLL_KERNELS_CPU_TILE_NVFP4_H

#include "kernels/cpu/tile.h"
#include "kernels/quant_grids.h"

/* Half of the value of 16 E4M3 bytes, exactly as quant_nvfp4_scale: mantissa times power of two,
 * both normal numbers (arithmetic on subnormal ones is slow). The NaN counts as 0, 0xff as 480. */
MM_INLINE vf nvfp4_scale(const uint8_t *bytes)
{
    const vi byte = vi_from_u8(vb_load(bytes)), zero = vi_set32(0), nan = vi_set32(0x7f);
    const vi exponent = vi_and(byte, vi_set32(0x78)), low = vi_and(byte, vi_set32(7));
    const vi one = vi_select_gt(exponent, zero, vi_set32(8), zero);
    const vi shifted = vi_select_gt(exponent, zero, vi_shl32(exponent, 20), vi_set32(1 << 23));
    vi mantissa = vi_add32(low, one);
    mantissa = vi_select_gt(byte, nan, mantissa, vi_select_gt(nan, byte, mantissa, zero));
    return vf_mul(vf_from_i32(mantissa), vf_from_bits(vi_add32(shifted, vi_set32(116 << 23))));
}

/* z = integer products of 16 weights in two lines: k-groups 0 | 2 << 4 and 1 | 3 << 4. */
MM_INLINE void nvfp4_products(const uint8_t *lines, size_t stride, const uint8_t *a, vi table,
                              vi z[MM_MAX_V][MM_MAX_T], const int v0, const int RV, const int T)
{
    vi low[MM_MAX_V], up[MM_MAX_V];
    MM_EACH_T MM_EACH_R z[r][t] = vi_set32(0);
    MM_UNROLL for (int g = 0; g < 2; g++)
    {
        MM_PREFETCH(lines + g * CPU_LINE, stride);
        MM_EACH_R
        {
            mm_nibbles(vi_load(lines + g * CPU_LINE + mm_line(v0 + r, stride)), &low[r], &up[r]);
            low[r] = vi_lookup(table, low[r]);
            up[r] = vi_lookup(table, up[r]);
        }
#if MM_CHAINS
        MM_EACH_T
        {
            const vi y = vi_quad(a + (g * T + t) * 4), y2 = vi_quad(a + ((g + 2) * T + t) * 4);
            MM_EACH_R
            {
                const vi pairs = vi_add16(vi_signed_pairs(low[r], y), vi_signed_pairs(up[r], y2));
                z[r][t] = vi_dot16(z[r][t], pairs, vi_set16(1));
            }
        }
#else
        mm_dot(z, low, a, g, RV, T);
        mm_dot(z, up, a, g + 2, RV, T);
#endif
    }
}

#if !MM_CHAINS && !MM_SIGNED
/* What the table's offset added to the sums of token t: when the weights' registers are free. */
MM_INLINE vi nvfp4_offset(const uint8_t *a, int t, const int T)
{
    vi twelve = vi_set8(12), sum = vi_set32(0);
    MM_READ_AGAIN(a);
    MM_UNROLL for (int g = 0; g < 4; g++) sum = vi_dot(sum, twelve, vi_quad(a + (g * T + t) * 4));
    return sum;
}
#else
MM_INLINE vi nvfp4_offset(const uint8_t *a, int t, const int T)
{
    (void)a, (void)t, (void)T;
    return vi_set32(0);
}
#endif

MM_INLINE void nvfp4_panel(const struct cpu_tile *tile, const int v0, const int RV, const int T,
                           const int rows)
{
    const vi table = mm_table(quant_values_fp4, MM_SIGNED ? 0 : 12);
    const uint8_t *a = tile->a;
    vf f[MM_MAX_V][MM_MAX_T];
    MM_EACH_T MM_EACH_R f[r][t] = vf_zero();
    for (uint32_t i = 0; i < tile->n_in / 16; i++, a += 16 * T) {
        const uint8_t *sub = tile->w + panel_sub_nvfp4(i / 4);
        const union cpu_word *words = tile->words + (size_t)(i / 2) * A32_WORDS * T;
        vi z[MM_MAX_V][MM_MAX_T];
        vf d[MM_MAX_V];
        if (i % 4 == 0)
            MM_PREFETCH(sub, tile->w_stride);
        nvfp4_products(sub + (1 + 2 * (i % 4)) * CPU_LINE, tile->w_stride, a, table, z, v0, RV, T);
        MM_EACH_R d[r] =
            nvfp4_scale(sub + i % 4 * CPU_PANEL_ROWS + mm_bytes(v0 + r, tile->w_stride));
        MM_EACH_T
        {
            const vf s = vf_word(&words[A32_SCALE * T + t]);
            const vi offset = nvfp4_offset(a, t, T);
            MM_EACH_R
            {
                const vf sum = vf_from_i32(vi_sub32(z[r][t], offset));
                f[r][t] = vf_fma(sum, vf_mul(d[r], s), f[r][t]);
            }
        }
    }
    mm_store(tile, f, v0, RV, T, rows);
}

MM_INLINE void nvfp4(const struct cpu_tile *tile, const int halves, const int RV, const int T,
                     const int rows)
{
    nvfp4_panel(tile, 0, RV, T, rows);
    if (halves == 2)
        nvfp4_panel(tile, RV, RV, T, rows);
}
MM_ROW(nvfp4)

#endif
