/* Formats with blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4, and those that are
 * expanded to bytes first.
 *
 * Idea: per block 8 dot products of a line (16 rows x 4 k) with broadcast activations; in all of
 * these formats the lines come in pairs, k-groups g and g + 4 (two nibbles of one line, or two
 * lines). Then one conversion and two multiplications per 32 weights and output:
 *   f += z * (d * s)   (+ m * s * sum)
 * Registers (zmm, 32 x 6): 12 z, 12 f, 4 weights, 2 scales, mask: 31. Limit: the two multiply
 * pipes, 8 products and 2 scalings per 32 weights: 80 % of the vpdpbusd rate. One token is limited
 * by memory. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/tile.h"
#include "kernels/quant_grids.h"

enum small {
    SMALL_Q4_0,
    SMALL_Q4_1,
    SMALL_Q5_0,
    SMALL_Q5_1,
    SMALL_Q8_0,
    SMALL_IQ4_NL,
    SMALL_MXFP4,
    SMALL_BYTES /* struct cpu_block32, any type expanded to signed bytes */
};

MM_INLINE bool small_is_bytes(const enum small f) { return f == SMALL_Q8_0 || f == SMALL_BYTES; }

/* One block of 32 of the tile. */
struct small_block {
    const uint8_t *lines, *a;
    const union cpu_word *words;
    size_t stride;
    vi table;
    vi high[MM_MAX_V]; /* fifth bits */
};

/* Values of the four bits, unsigned where the instruction wants them so. */
MM_INLINE vi small_table(const enum small format)
{
    if (format == SMALL_IQ4_NL)
        return mm_table(quant_values_iq4nl, MM_SIGNED ? 0 : 128);
    if (format == SMALL_MXFP4)
        return mm_table(quant_values_fp4, 12);
    return vi_set8(0);
}

/* Offsets of block b: its scales, its lines. */
MM_INLINE size_t small_head(const enum small format, uint32_t b)
{
    switch (format) {
    case SMALL_Q4_1: return panel_sub_q4_1(b);
    case SMALL_Q5_0: return panel_head_q5_0(b);
    case SMALL_Q5_1: return panel_sub_q5_1(b);
    case SMALL_Q8_0: return panel_head_q8_0(b);
    case SMALL_MXFP4: return panel_head_mxfp4(b);
    case SMALL_BYTES: return b * sizeof(struct cpu_block32);
    default: return panel_head_q4_0(b);
    }
}

MM_INLINE size_t small_lines(const enum small format, uint32_t b)
{
    switch (format) {
    case SMALL_Q4_1: return panel_sub_q4_1(b) + CPU_LINE;
    case SMALL_Q5_0: return panel_sub_q5_0(b);
    case SMALL_Q5_1: return panel_sub_q5_1(b) + CPU_LINE;
    case SMALL_Q8_0: return panel_sub_q8_0(b);
    case SMALL_MXFP4: return panel_sub_mxfp4(b);
    case SMALL_BYTES: return b * sizeof(struct cpu_block32) + offsetof(struct cpu_block32, q);
    default: return panel_sub_q4_0(b);
    }
}

/* Weights of k-groups g and g + 4; `high` are the fifth bits of the block. */
MM_INLINE void small_pair(const enum small format, const uint8_t *line, vi table, vi high, int g,
                          vi *low_group, vi *high_group)
{
    const vi v = vi_load(line + g * CPU_LINE);
    if (small_is_bytes(format)) {
        const vi flip = vi_set8(MM_SIGNED ? -128 : 0);
        *low_group = vi_xor(v, flip);
        *high_group = vi_xor(vi_load(line + (g + 4) * CPU_LINE), flip);
        return;
    }
    mm_nibbles(v, low_group, high_group);
    if (format == SMALL_Q5_0 || format == SMALL_Q5_1)
        mm_fifth_bits(high, g, low_group, high_group);
    if (format == SMALL_IQ4_NL || format == SMALL_MXFP4) {
        *low_group = vi_lookup(table, *low_group);
        *high_group = vi_lookup(table, *high_group);
    }
}

/* 2^(e - 128), subnormal for e < 2. */
MM_INLINE vf small_mxfp4_scale(const uint8_t *head)
{
    const vi e = vi_from_u8(vb_load(head)), one = vi_set32(1);
    const vi normal = vi_shl32(vi_sub32(e, one), 23);
    const vi tiny = vi_shlv32(vi_set32(0x00200000), e);
    return vf_from_bits(vi_select_gt(e, one, normal, tiny));
}

MM_INLINE vf small_scale(const enum small format, const uint8_t *head, int v, size_t stride)
{
    if (format == SMALL_MXFP4)
        return small_mxfp4_scale(head + mm_bytes(v, stride));
    if (format == SMALL_BYTES)
        return vf_load((const void *)(head + mm_line(v, stride)));
    return vf_from_f16(head + mm_f16(v, stride));
}

/* Start of the sums: minus the offset of the stored weights times the sum of the activations. */
MM_INLINE vi small_start(const enum small format, const union cpu_word *sum8)
{
    const vi s = vi_word(sum8);
    switch (format) {
    case SMALL_Q4_0: return s;
    case SMALL_Q5_0: return vi_shl32(s, 1);
    case SMALL_Q8_0:
    case SMALL_BYTES:
    case SMALL_IQ4_NL: return MM_SIGNED ? vi_set32(0) : vi_shl32(s, 4);
    case SMALL_MXFP4: return vi_add32(s, vi_sar32(s, 1));
    default: return vi_set32(0);
    }
}

#if !MM_CHAINS

/* z = integer products of one block. */
MM_INLINE void small_products(const enum small format, const struct small_block *b,
                              vi z[MM_MAX_V][MM_MAX_T], const int v0, const int RV, const int T)
{
    vi low[MM_MAX_V], up[MM_MAX_V];
    MM_EACH_T
    {
        const vi start = small_start(format, &b->words[A32_SUM8 * T + t]);
        MM_EACH_R z[r][t] = start;
    }
    MM_UNROLL for (int g = 0; g < 4; g++)
    {
        MM_PREFETCH(b->lines + g * CPU_LINE, b->stride);
        MM_EACH_R small_pair(format, b->lines + mm_line(v0 + r, b->stride), b->table, b->high[r], g,
                             &low[r], &up[r]);
        mm_dot(z, low, b->a, g, RV, T);
        mm_dot(z, up, b->a, g + 4, RV, T);
    }
    if (small_is_bytes(format))
        MM_UNROLL for (int g = 4; g < 8; g++) MM_PREFETCH(b->lines + g * CPU_LINE, b->stride);
}

#else

/* vpmaddubsw adds pairs of products in 16 bits; the sums of 4 bits can be added 8 times, those of 5
 * bits and MXFP4 4 times, before one vpmaddwd widens them (spec 2.3). True 8-bit weights are
 * multiplied as magnitudes, their signs moved to the activations, and widened at once. */
MM_INLINE int small_chain(const enum small format)
{
    switch (format) {
    case SMALL_Q4_0:
    case SMALL_Q4_1: return 8;
    case SMALL_Q8_0:
    case SMALL_BYTES:
    case SMALL_IQ4_NL: return 1;
    default: return 4;
    }
}

MM_INLINE void small_products(const enum small format, const struct small_block *b,
                              vi z[MM_MAX_V][MM_MAX_T], const int v0, const int RV, const int T)
{
    const int chain = small_chain(format);
    const vi one = vi_set16(1);
    vi low[MM_MAX_V], up[MM_MAX_V], s[MM_MAX_V][MM_MAX_T];
    MM_EACH_T
    {
        const vi start = small_start(format, &b->words[A32_SUM8 * T + t]);
        MM_EACH_R z[r][t] = start;
    }
    MM_UNROLL for (int g = 0; g < 4; g++)
    {
        MM_PREFETCH(b->lines + g * CPU_LINE, b->stride);
        if (small_is_bytes(format))
            MM_PREFETCH(b->lines + (g + 4) * CPU_LINE, b->stride);
        MM_EACH_R small_pair(format, b->lines + mm_line(v0 + r, b->stride), b->table, b->high[r], g,
                             &low[r], &up[r]);
        const bool first = g * 2 % chain == 0, last = (g + 1) * 2 % chain == 0;
        MM_EACH_T
        {
            const vi y = vi_quad(b->a + (g * T + t) * 4),
                     y4 = vi_quad(b->a + ((g + 4) * T + t) * 4);
            MM_EACH_R
            {
                if (chain == 1) {
                    z[r][t] = vi_dot16(z[r][t], vi_signed_pairs(low[r], y), one);
                    z[r][t] = vi_dot16(z[r][t], vi_signed_pairs(up[r], y4), one);
                    continue;
                }
                const vi p = vi_add16(vi_madd8(low[r], y), vi_madd8(up[r], y4));
                s[r][t] = first ? p : vi_add16(s[r][t], p);
                MM_PIN(s[r][t]);
                if (last)
                    z[r][t] = vi_dot16(z[r][t], s[r][t], one);
            }
        }
    }
}

#endif

MM_INLINE void small_panel(const enum small format, const struct cpu_tile *tile, const int v0,
                           const int RV, const int T, const int rows)
{
    const bool five = format == SMALL_Q5_0 || format == SMALL_Q5_1;
    const bool has_m = format == SMALL_Q4_1 || format == SMALL_Q5_1;
    struct small_block b = {.a = tile->a, .words = tile->words, .stride = tile->w_stride};
    vf f[MM_MAX_V][MM_MAX_T];
    b.table = small_table(format);
    MM_EACH_T MM_EACH_R f[r][t] = vf_zero();
    for (uint32_t i = 0; i < tile->n_in / 32; i++, b.a += 32 * T, b.words += A32_WORDS * T) {
        const uint8_t *head = tile->w + small_head(format, i);
        vi z[MM_MAX_V][MM_MAX_T];
        vf d[MM_MAX_V];
        MM_PREFETCH(head, b.stride);
        b.lines = tile->w + small_lines(format, i);
        MM_EACH_R b.high[r] = five ? vi_load(b.lines + mm_line(v0 + r, b.stride)) : b.table;
        b.lines += five ? CPU_LINE : 0;
        small_products(format, &b, z, v0, RV, T);
        MM_EACH_R d[r] = small_scale(format, head, v0 + r, b.stride);
        MM_EACH_T
        {
            const vf s = vf_word(&b.words[A32_SCALE * T + t]);
            MM_EACH_R f[r][t] = vf_fma(vf_from_i32(z[r][t]), vf_mul(d[r], s), f[r][t]);
        }
        if (has_m) {
            MM_EACH_R d[r] = vf_from_f16(head + 32 + mm_f16(v0 + r, b.stride));
            MM_EACH_T
            {
                const vf sum = vf_word(&b.words[A32_SUM * T + t]);
                MM_EACH_R f[r][t] = vf_fma(d[r], sum, f[r][t]);
            }
        }
    }
    mm_store(tile, f, v0, RV, T, rows);
}

#define SMALL_ROW(fn, format)                                                                      \
    MM_INLINE void fn(const struct cpu_tile *tile, const int halves, const int RV, const int T,    \
                      const int rows)                                                              \
    {                                                                                              \
        small_panel(format, tile, 0, RV, T, rows);                                                 \
        if (halves == 2)                                                                           \
            small_panel(format, tile, RV, RV, T, rows);                                            \
    }                                                                                              \
    MM_ROW(fn)

SMALL_ROW(q4_0, SMALL_Q4_0)
SMALL_ROW(q4_1, SMALL_Q4_1)
SMALL_ROW(q5_0, SMALL_Q5_0)
SMALL_ROW(q5_1, SMALL_Q5_1)
SMALL_ROW(q8_0, SMALL_Q8_0)
SMALL_ROW(iq4_nl, SMALL_IQ4_NL)
SMALL_ROW(mxfp4, SMALL_MXFP4)
SMALL_ROW(bytes32, SMALL_BYTES)
