/* Formats with super-blocks of 256: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS, and all those that are
 * expanded to bytes first.
 *
 * Idea: the activations have one scale per 256, sub-block scales are integers: so a whole
 * super-block is summed in int32, each sub-block (16 or 32 weights) times its scale, and only
 * then becomes float. Mins are one more integer product, of pairs of mins with pairs of activation
 * sums. f += s * (d * q - dmin * m) lives in the result, touched once per 256 weights.
 * Registers (zmm, 32 x 6): 12 z, 12 q, 4 weights, mask. Limit: the two multiply pipes; 64 products,
 * 8 or 16 scalings and 4 or 8 mins per 256 weights. vpmaddubsw (ymm): the scale takes the place of
 * the ones in vpmaddwd, so it costs nothing. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/tile_k_scales.h"
#include "kernels/quant_grids.h"

/* One super-block of the tile. */
struct k_block {
    const uint8_t *d, *sub, *lines; /* d, scales and quants of the first panel */
    const uint8_t *a;
    const union cpu_word *words;
    const struct k_scales *scales; /* by panel */
    size_t stride;
    vi table;
    int v0;
    bool first; /* of the row */
};

MM_INLINE bool k_by_16(const enum k_format f)
{
    return f == K_Q2 || f == K_Q3 || f == K_Q6 || f == K_BYTES;
}
MM_INLINE bool k_has_min(const enum k_format f) { return f == K_Q2 || f == K_Q4 || f == K_Q5; }

/* Lines of one sub-block of 32, or of a pair of sub-blocks of 16. */
MM_INLINE int k_lines(const enum k_format f)
{
    switch (f) {
    case K_Q2: return 2;
    case K_Q3: return 3;
    case K_Q5: return 5;
    case K_Q6: return 6;
    case K_BYTES: return 8;
    default: return 4;
    }
}

/* Scales and quants of block b. */
MM_INLINE size_t k_sub_at(const enum k_format f, uint32_t b)
{
    switch (f) {
    case K_Q2: return panel_sub_q2_k(b);
    case K_Q3: return panel_sub_q3_k(b);
    case K_Q4: return panel_sub_q4_k(b);
    case K_Q5: return panel_sub_q5_k(b);
    case K_Q6: return panel_sub_q6_k(b);
    case K_BYTES: return b * sizeof(struct cpu_block256) + offsetof(struct cpu_block256, scale);
    default: return panel_sub_iq4_xs(b);
    }
}

/* Where the 16 d of the block are. */
MM_INLINE size_t k_d_at(const enum k_format f, uint32_t b)
{
    if (f == K_Q3)
        return panel_head_q3_k(b);
    if (f == K_BYTES)
        return b * sizeof(struct cpu_block256);
    return f == K_Q6 ? panel_head_q6_k(b) : k_sub_at(f, b);
}

/* First line of quants. */
MM_INLINE int k_first_line(const enum k_format f)
{
    switch (f) {
    case K_Q2: return 5;
    case K_Q3: return 3;
    case K_IQ4: return 2;
    case K_BYTES:
        return (offsetof(struct cpu_block256, q) - offsetof(struct cpu_block256, scale)) / CPU_LINE;
    default: return 4;
    }
}

/* Bytes of scale j (by sub-blocks of the format) for vector v. */
MM_INLINE const uint8_t *k_scale_at(const enum k_format f, const struct k_block *b, int j, int v)
{
    if (f == K_Q6 || f == K_BYTES)
        return b->sub + j * CPU_PANEL_ROWS + mm_bytes(v, b->stride);
    return b->scales[v / MM_PER_PANEL].scale + j * CPU_PANEL_ROWS + mm_bytes(v % MM_PER_PANEL, 0);
}

/* Weights of k-groups g and g + 4 of a sub-block of 32. */
MM_INLINE void k_pair(const enum k_format f, const struct k_block *b, const uint8_t *lines, int g,
                      vi *low, vi *up)
{
    const uint8_t *nibbles = lines + (f == K_Q5 ? CPU_LINE : 0);
    mm_nibbles(vi_load(nibbles + g * CPU_LINE), low, up);
    if (f == K_Q5)
        mm_fifth_bits(vi_load(lines), g, low, up);
    if (f == K_IQ4) {
        *low = vi_lookup(b->table, *low);
        *up = vi_lookup(b->table, *up);
    }
}

/* v shifted so that bit `from` becomes bit `to`. */
MM_INLINE vi vi_move_bit(vi v, int from, int to)
{
    return from > to ? vi_shr16(v, from - to) : vi_shl16(v, to - from);
}

/* Weights of k-group g of sub-block e (0, 1) of a pair of sub-blocks of 16. */
MM_INLINE vi k_group(const enum k_format f, const uint8_t *lines, int e, int g)
{
    const vi two = vi_set8(3);
    if (f == K_BYTES) /* signed where the instruction wants them so */
        return vi_xor(vi_load(lines + (4 * e + g) * CPU_LINE), vi_set8(MM_SIGNED ? -128 : 0));
    if (f == K_Q2)
        return vi_and(vi_shr16(vi_load(lines + e * CPU_LINE), 2 * g), two);
    if (f == K_Q3) {
        const vi q = vi_and(vi_shr16(vi_load(lines + (1 + e) * CPU_LINE), 2 * g), two);
        return vi_or_and(q, vi_move_bit(vi_load(lines), 4 * e + g, 2), vi_set8(4));
    }
    const vi low = vi_load(lines + (3 * e + g / 2) * CPU_LINE);
    const vi high = vi_load(lines + (3 * e + 2) * CPU_LINE);
    const vi nibble = vi_and(g % 2 ? vi_shr16(low, 4) : low, vi_set8(15));
    return vi_or_and(nibble, vi_move_bit(high, 2 * g, 4), vi_set8(0x30));
}

#if !MM_CHAINS

/* Start of the sums of sub-block j: minus the offset of the weights times the sum of the
 * activations (A256_SUM32 holds -32 times those of 16). */
MM_INLINE vi k_start(const enum k_format f, const struct k_block *b, int j, int t, const int T)
{
    const union cpu_word *sum32 = b->words + A256_SUM32 * T + t;
    if (MM_SIGNED && (f == K_IQ4 || f == K_BYTES))
        return vi_set32(0);
    if (f == K_IQ4)
        return vi_shl32(vi_add32(vi_word(sum32 + 2 * j * T), vi_word(sum32 + (2 * j + 1) * T)), 2);
    if (f == K_Q3)
        return vi_sar32(vi_word(sum32 + j * T), 3);
    if (f == K_BYTES)
        return vi_shl32(vi_word(sum32 + j * T), 2);
    return f == K_Q6 ? vi_word(sum32 + j * T) : vi_set32(0);
}

MM_INLINE void k_begin(const enum k_format f, const struct k_block *b, int j,
                       vi z[MM_MAX_V][MM_MAX_T], const int RV, const int T)
{
    MM_EACH_T
    {
        const vi start = k_start(f, b, j, t, T);
        MM_EACH_R z[r][t] = start;
    }
}

/* q += z * scale j. */
MM_INLINE void k_scale(const enum k_format f, const struct k_block *b, int j,
                       vi z[MM_MAX_V][MM_MAX_T], vi q[MM_MAX_V][MM_MAX_T], const int RV,
                       const int T)
{
    MM_EACH_R
    {
        const vi scale = vi_from_s8(vb_load(k_scale_at(f, b, j, b->v0 + r)));
        MM_EACH_T q[r][t] = vi_add32(q[r][t], vi_mul32(z[r][t], scale));
    }
}

/* q += products of sub-block j of 32 weights. */
MM_INLINE void k_sub32(const enum k_format f, const struct k_block *b, int j,
                       vi q[MM_MAX_V][MM_MAX_T], const int RV, const int T)
{
    const uint8_t *lines = b->lines + j * k_lines(f) * CPU_LINE, *a = b->a + j * 32 * T;
    vi z[MM_MAX_V][MM_MAX_T], low[MM_MAX_V], up[MM_MAX_V];
    k_begin(f, b, j, z, RV, T);
    MM_UNROLL for (int g = 0; g < 4; g++)
    {
        MM_EACH_R k_pair(f, b, lines + mm_line(b->v0 + r, b->stride), g, &low[r], &up[r]);
        mm_dot(z, low, a, g, RV, T);
        mm_dot(z, up, a, g + 4, RV, T);
    }
    k_scale(f, b, j, z, q, RV, T);
}

/* q += products of sub-blocks 2u and 2u + 1 of 16 weights. */
MM_INLINE void k_sub16(const enum k_format f, const struct k_block *b, int u,
                       vi q[MM_MAX_V][MM_MAX_T], const int RV, const int T)
{
    const uint8_t *lines = b->lines + u * k_lines(f) * CPU_LINE;
    MM_UNROLL for (int e = 0; e < 2; e++)
    {
        const uint8_t *a = b->a + (u * 32 + e * 16) * T;
        vi z[MM_MAX_V][MM_MAX_T], w[MM_MAX_V];
        k_begin(f, b, 2 * u + e, z, RV, T);
        MM_UNROLL for (int g = 0; g < 4; g++)
        {
            MM_EACH_R w[r] = k_group(f, lines + mm_line(b->v0 + r, b->stride), e, g);
            mm_dot(z, w, a, g, RV, T);
        }
        k_scale(f, b, 2 * u + e, z, q, RV, T);
    }
}

MM_INLINE void k_offset(const enum k_format f, const struct k_block *b, vi q[MM_MAX_V][MM_MAX_T],
                        const int RV, const int T)
{
    (void)f, (void)b, (void)q, (void)RV, (void)T; /* it is in the starts of the sums */
}

#else

/* Scale j of 8 rows as 16-bit numbers, each twice: the second factor of vpmaddwd. */
MM_INLINE vi k_scale16(const enum k_format f, const struct k_block *b, int j, int v)
{
    const vb s = vb_load(k_scale_at(f, b, j, v));
    return vi_pairs(s, s);
}

MM_INLINE void k_sub32(const enum k_format f, const struct k_block *b, int j,
                       vi q[MM_MAX_V][MM_MAX_T], const int RV, const int T)
{
    const uint8_t *lines = b->lines + j * k_lines(f) * CPU_LINE, *a = b->a + j * 32 * T;
    const int chain = f == K_Q4 ? 4 : 2; /* line pairs whose sums fit in 16 bits */
    vi s[MM_MAX_V][MM_MAX_T], scale[MM_MAX_V], low[MM_MAX_V], up[MM_MAX_V];
    MM_EACH_R scale[r] = k_scale16(f, b, j, b->v0 + r);
    MM_UNROLL for (int g = 0; g < 4; g++)
    {
        MM_EACH_R k_pair(f, b, lines + mm_line(b->v0 + r, b->stride), g, &low[r], &up[r]);
        MM_EACH_T
        {
            const vi y = vi_quad(a + (g * T + t) * 4), y4 = vi_quad(a + ((g + 4) * T + t) * 4);
            MM_EACH_R
            {
                if (f == K_IQ4) {
                    q[r][t] = vi_dot16(q[r][t], vi_signed_pairs(low[r], y), scale[r]);
                    q[r][t] = vi_dot16(q[r][t], vi_signed_pairs(up[r], y4), scale[r]);
                    continue;
                }
                const vi p = vi_add16(vi_madd8(low[r], y), vi_madd8(up[r], y4));
                s[r][t] = g % chain == 0 ? p : vi_add16(s[r][t], p);
                MM_PIN(s[r][t]);
                if (g % chain == chain - 1)
                    q[r][t] = vi_dot16(q[r][t], s[r][t], scale[r]);
            }
        }
    }
}

MM_INLINE void k_sub16(const enum k_format f, const struct k_block *b, int u,
                       vi q[MM_MAX_V][MM_MAX_T], const int RV, const int T)
{
    const uint8_t *lines = b->lines + u * k_lines(f) * CPU_LINE;
    const int chain = f == K_Q6 ? 2 : 4;
    MM_UNROLL for (int e = 0; e < 2; e++)
    {
        const uint8_t *a = b->a + (u * 32 + e * 16) * T;
        vi s[MM_MAX_V][MM_MAX_T], scale[MM_MAX_V], w[MM_MAX_V];
        MM_EACH_R scale[r] = k_scale16(f, b, 2 * u + e, b->v0 + r);
        MM_UNROLL for (int g = 0; g < 4; g++)
        {
            MM_EACH_R w[r] = k_group(f, lines + mm_line(b->v0 + r, b->stride), e, g);
            MM_EACH_T
            {
                const vi y = vi_quad(a + (g * T + t) * 4);
                MM_EACH_R
                {
                    if (f == K_BYTES) {
                        q[r][t] = vi_dot16(q[r][t], vi_signed_pairs(w[r], y), scale[r]);
                        continue;
                    }
                    const vi p = vi_madd8(w[r], y);
                    s[r][t] = g % chain == 0 ? p : vi_add16(s[r][t], p);
                    MM_PIN(s[r][t]);
                    if (g % chain == chain - 1)
                        q[r][t] = vi_dot16(q[r][t], s[r][t], scale[r]);
                }
            }
        }
    }
}

/* q -= offset of the weights * sum over j of scale j * sum of activations j. */
MM_INLINE void k_offset(const enum k_format f, const struct k_block *b, vi q[MM_MAX_V][MM_MAX_T],
                        const int RV, const int T)
{
    vi z[MM_MAX_V][MM_MAX_T];
    if (f != K_Q3 && f != K_Q6)
        return;
    MM_EACH_T MM_EACH_R z[r][t] = vi_set32(0);
    for (int j = 0; j < 8; j++) {
        MM_EACH_R
        {
            const vb even = vb_load(k_scale_at(f, b, 2 * j, b->v0 + r));
            const vb odd = vb_load(k_scale_at(f, b, 2 * j + 1, b->v0 + r));
            const vi pairs = vi_pairs(even, odd);
            MM_EACH_T z[r][t] =
                vi_dot16(z[r][t], pairs, vi_word(&b->words[(A256_PAIR16 + j) * T + t]));
        }
    }
    MM_EACH_T MM_EACH_R q[r][t] = vi_sub32(q[r][t], vi_shl32(z[r][t], f == K_Q3 ? 2 : 5));
}

#endif

/* m = products of the mins with the sums of the activations. */
MM_INLINE void k_mins(const enum k_format f, const struct k_block *b, vi m[MM_MAX_V][MM_MAX_T],
                      const int RV, const int T)
{
    const int n = f == K_Q2 ? 8 : 4, first = f == K_Q2 ? A256_PAIR16 : A256_PAIR32;
    MM_EACH_T MM_EACH_R m[r][t] = vi_set32(0);
    MM_UNROLL for (int j = 0; j < n; j++)
    {
        MM_EACH_R
        {
            const int v = b->v0 + r;
            const uint8_t *at =
                b->scales[v / MM_PER_PANEL].min + j * 32 + mm_f16(v % MM_PER_PANEL, 0);
            const vi pairs = vi_from_bytes16(at);
            MM_EACH_T m[r][t] = vi_dot16(m[r][t], pairs, vi_word(&b->words[(first + j) * T + t]));
        }
    }
}

/* Adds the finished super-block to the result. */
MM_INLINE void k_finish(const enum k_format f, const struct cpu_tile *tile, const struct k_block *b,
                        vi q[MM_MAX_V][MM_MAX_T], const int RV, const int T, const int rows)
{
    vi m[MM_MAX_V][MM_MAX_T];
    if (k_has_min(f))
        k_mins(f, b, m, RV, T);
    MM_EACH_R
    {
        const uint8_t *at = b->d + mm_f16(b->v0 + r, b->stride);
        const void *d_f32 = b->d + mm_line(b->v0 + r, b->stride);
        const vf d = f == K_BYTES ? vf_load(d_f32) : vf_from_f16(at);
        const vf dmin = k_has_min(f) ? vf_from_f16(at + 32) : d;
        MM_EACH_T
        {
            float *c = tile->c + t * rows + (b->v0 + r) * MM_LANES;
            const vf s = vf_word(&b->words[A256_SCALE * T + t]);
            vf v = vf_mul(vf_from_i32(q[r][t]), d);
            if (k_has_min(f))
                v = vf_fnma(vf_from_i32(m[r][t]), dmin, v);
            const vf old = b->first ? vf_zero() : vf_load(c);
            vf_store(c, vf_fma(v, s, old));
        }
    }
}

/* Values of the four bits of IQ4_XS, unsigned where the instruction wants them so. */
MM_INLINE vi k_table(const enum k_format f)
{
    if (f != K_IQ4)
        return vi_set8(0);
    return mm_table(quant_values_iq4nl, MM_SIGNED ? 0 : 128);
}

MM_INLINE void k_tile(const enum k_format f, const struct cpu_tile *tile, const int halves,
                      const int RV, const int T, const int rows)
{
    struct k_scales scales[2];
    struct k_block b = {.a = tile->a,
                        .words = tile->words,
                        .scales = scales,
                        .stride = tile->w_stride,
                        .table = k_table(f)};
    for (uint32_t i = 0; i < tile->n_in / 256; i++, b.a += 256 * T, b.words += A256_WORDS * T) {
        b.d = tile->w + k_d_at(f, i);
        b.sub = tile->w + k_sub_at(f, i);
        b.first = i == 0;
        b.lines = b.sub + k_first_line(f) * CPU_LINE;
        k_unpack(f, b.sub, &scales[0]);
        if (RV > MM_PER_PANEL)
            k_unpack(f, b.sub + b.stride, &scales[1]);
        MM_UNROLL for (int l = 0; l < k_first_line(f); l++)
            MM_PREFETCH(b.sub + l * CPU_LINE, b.stride);
        for (b.v0 = 0; b.v0 < halves * RV; b.v0 += RV) {
            vi q[MM_MAX_V][MM_MAX_T];
            MM_EACH_T MM_EACH_R q[r][t] = vi_set32(0);
            for (int j = 0; j < 8; j++) {
                MM_UNROLL for (int l = 0; l < k_lines(f); l++)
                    MM_PREFETCH(b.lines + (j * k_lines(f) + l) * CPU_LINE, b.stride);
                if (k_by_16(f))
                    k_sub16(f, &b, j, q, RV, T);
                else
                    k_sub32(f, &b, j, q, RV, T);
            }
            k_offset(f, &b, q, RV, T);
            k_finish(f, tile, &b, q, RV, T, rows);
        }
    }
}

#define K_ROW(fn, format)                                                                          \
    MM_INLINE void fn(const struct cpu_tile *tile, const int halves, const int RV, const int T,    \
                      const int rows)                                                              \
    {                                                                                              \
        k_tile(format, tile, halves, RV, T, rows);                                                 \
    }                                                                                              \
    MM_ROW(fn)

K_ROW(q2_k, K_Q2)
K_ROW(q3_k, K_Q3)
K_ROW(q4_k, K_Q4)
K_ROW(q5_k, K_Q5)
K_ROW(q6_k, K_Q6)
K_ROW(iq4_xs, K_IQ4)
K_ROW(bytes256, K_BYTES)
