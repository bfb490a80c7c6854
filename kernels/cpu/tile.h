/* Tile kernels, written once for all instruction sets with wide registers.
 *
 * tile_small.h, tile_k.h and tile_float.h are families of weight formats. A file per family and
 * level (x86/matmul_*.c, arm/matmul_*.c) defines MM_LEVEL, includes the vectors of its instruction
 * set (x86/tile_vec_x86.h, arm/tile_vec_neon.h), then the family, which leaves one struct
 * cpu_matmul_row per format: cpu_matmul_q4_k__avx2 and so on.
 *
 * The vectors: vi (integers of any width) and vf (f32) of MM_LANES lanes of 32 bits, one lane per
 * row of a panel; MM_SIGNED (bytes that fill their 8 bits are multiplied as signed numbers, else as
 * unsigned ones), MM_CHAINS (no dot product of bytes: sums of pairs in 16 bits), MM_TWO_SUMS (float
 * sums of even and odd k: one vector per panel), MM_SHAPES (below).
 *
 * A tile function takes as constants the number of vectors RV, of tokens T, how many groups of RV
 * vectors there are one after the other (`halves`: where registers are few, rows 0-7 and then 8-15)
 * and the row length of the result. It is always inlined and its loops unrolled, so that its arrays
 * are registers. */
#ifndef OLL_KERNELS_CPU_TILE_H
#define OLL_KERNELS_CPU_TILE_H

#include "kernels/cpu/cpu_matmul.h"

#ifndef MM_LEVEL
#error "the including file defines MM_LEVEL and includes the vectors of its instruction set"
#endif

#define MM_UNROLL _Pragma("GCC unroll 16")
#define MM_EACH_T MM_UNROLL for (int t = 0; t < T; t++)
#define MM_EACH_R MM_UNROLL for (int r = 0; r < RV; r++)

enum {
    MM_BYTES = MM_LANES * 4,
    MM_PER_PANEL = CPU_PANEL_ROWS / MM_LANES,
    MM_MAX_V = MM_PER_PANEL > 2 ? MM_PER_PANEL : 2,
    MM_MAX_T = CPU_TILE_TOKENS
};

/* Where vector v of a line of 64 bytes starts, for panels `stride` apart; the same for 16 f16 and
 * for 16 bytes. */
MM_INLINE size_t mm_line(int v, size_t stride)
{
    return (size_t)(v / MM_PER_PANEL) * stride + (size_t)(v % MM_PER_PANEL) * MM_LANES * 4;
}
MM_INLINE size_t mm_f16(int v, size_t stride)
{
    return (size_t)(v / MM_PER_PANEL) * stride + (size_t)(v % MM_PER_PANEL) * MM_LANES * 2;
}
MM_INLINE size_t mm_bytes(int v, size_t stride)
{
    return (size_t)(v / MM_PER_PANEL) * stride + (size_t)(v % MM_PER_PANEL) * MM_LANES;
}

MM_INLINE vi vi_word(const union cpu_word *w) { return vi_set32(w->i); }
MM_INLINE vf vf_word(const union cpu_word *w) { return vf_set(w->f); }
/* Four activations of one token, in every lane. */
MM_INLINE vi vi_quad(const uint8_t *a)
{
    int32_t v;
    __builtin_memcpy(&v, a, sizeof v);
    return vi_set32(v);
}

/* Few tokens are bound by memory, many fetch a panel with their first tile. Asking for lines
 * MM_AHEAD bytes ahead, past the edge of the page that hardware prefetchers stop at, gains on Zen 5
 * 10 to 40 % with one token, 40 to 80 % with 2 to 16, 10 to 20 % with 24 or 32, and costs nothing
 * after. */
#define MM_PREFETCH(p, stride)                                                                     \
    do {                                                                                           \
        if (MM_AHEAD > 0)                                                                          \
            __builtin_prefetch((const char *)(p) + MM_AHEAD);                                      \
        if (MM_AHEAD > 0 && RV > MM_PER_PANEL)                                                     \
            __builtin_prefetch((const char *)(p) + (stride) + MM_AHEAD);                           \
    } while (0)

MM_INLINE void mm_store(const struct cpu_tile *tile, vf f[MM_MAX_V][MM_MAX_T], int v0, const int RV,
                        const int T, const int rows)
{
    MM_EACH_T MM_EACH_R vf_store(tile->c + t * rows + (v0 + r) * MM_LANES, f[r][t]);
}

/* Low and high nibbles. */
MM_INLINE void mm_nibbles(vi v, vi *low, vi *up)
{
    const vi mask = vi_set8(15);
    *low = vi_and(v, mask);
    *up = vi_and(vi_shr16(v, 4), mask);
}

/* Adds the fifth bits of k-groups g and g + 4: bit g of every byte of `high`. */
MM_INLINE void mm_fifth_bits(vi high, int g, vi *low, vi *up)
{
    const vi bit4 = vi_set8(16);
    *low = vi_or_and(*low, vi_shl16(high, 4 - g), bit4);
    *up = vi_or_and(*up, vi_shr16(high, g), bit4);
}

/* Values of four bits as bytes, moved up by `offset`. */
MM_INLINE vi mm_table(const int8_t values[16], int offset)
{
    return vi_add8(vi_table(values), vi_set8((int8_t)offset));
}

#if !MM_CHAINS
/* z += w * activations of k-group g, for all tokens. */
MM_INLINE void mm_dot(vi z[MM_MAX_V][MM_MAX_T], const vi w[MM_MAX_V], const uint8_t *a, int g,
                      const int RV, const int T)
{
    MM_EACH_T
    {
        const vi y = vi_quad(a + (g * T + t) * 4);
        MM_EACH_R z[r][t] = vi_dot(z[r][t], w[r], y);
    }
}
#endif

/* ---- instances ---- */

#define MM_SYMBOL2(fn, level) cpu_matmul_##fn##__##level
#define MM_SYMBOL1(fn, level) MM_SYMBOL2(fn, level)
#define MM_SYMBOL(fn)         MM_SYMBOL1(fn, MM_LEVEL)
#define MM_TEXT2(x)           #x
#define MM_TEXT(x)            MM_TEXT2(x)
#define MM_ROW_NAME(fn)       #fn "__" MM_TEXT(MM_LEVEL)

/* A panel at once, in two halves, and two panels. The single token must not read its stream twice,
 * so it never goes by halves. */
#define MM_WHOLE(fn, T)                                                                            \
    static void fn##_16x##T(const struct cpu_tile *t) { fn(t, 1, MM_PER_PANEL, T, 16); }
#define MM_HALVES(fn, T)                                                                           \
    static void fn##_8x##T(const struct cpu_tile *t) { fn(t, 2, MM_PER_PANEL / 2, T, 16); }
#define MM_WIDE(fn, T)                                                                             \
    static void fn##_32x##T(const struct cpu_tile *t) { fn(t, 1, 2 * MM_PER_PANEL, T, 32); }

/* Shapes that fit the registers: 32 of 64 bytes; 16 of 32 bytes with and without byte dot products;
 * 32 of 16 bytes. */
#define MM_SHAPES_ZMM       1
#define MM_SHAPES_YMM_DOT   2
#define MM_SHAPES_HALVES_X4 3

#if MM_SHAPES == MM_SHAPES_ZMM
#define MM_ROW(fn)                                                                                 \
    MM_WHOLE(fn, 1)                                                                                \
    MM_WHOLE(fn, 2)                                                                                \
    MM_WHOLE(fn, 3)                                                                                \
    MM_WHOLE(fn, 4)                                                                                \
    MM_WHOLE(fn, 5)                                                                                \
    MM_WHOLE(fn, 6)                                                                                \
    MM_WHOLE(fn, 7)                                                                                \
    MM_WHOLE(fn, 8)                                                                                \
    MM_WIDE(fn, 5)                                                                                 \
    MM_WIDE(fn, 6)                                                                                 \
    const struct cpu_matmul_row MM_SYMBOL(fn) = {                                                  \
        .name = MM_ROW_NAME(fn),                                                                   \
        .narrow = {NULL, fn##_16x1, fn##_16x2, fn##_16x3, fn##_16x4, fn##_16x5, fn##_16x6,         \
                   fn##_16x7, fn##_16x8},                                                          \
        .wide = {[5] = fn##_32x5, [6] = fn##_32x6},                                                \
    };
#define MM_FLOAT_ROW MM_ROW
#elif MM_SHAPES == MM_SHAPES_YMM_DOT
#define MM_ROW(fn)                                                                                 \
    MM_WHOLE(fn, 1)                                                                                \
    MM_HALVES(fn, 2)                                                                               \
    MM_HALVES(fn, 3)                                                                               \
    MM_HALVES(fn, 4)                                                                               \
    MM_HALVES(fn, 5)                                                                               \
    MM_HALVES(fn, 6)                                                                               \
    const struct cpu_matmul_row MM_SYMBOL(fn) = {                                                  \
        .name = MM_ROW_NAME(fn),                                                                   \
        .narrow = {NULL, fn##_16x1, fn##_8x2, fn##_8x3, fn##_8x4, fn##_8x5, fn##_8x6},             \
    };
#else
#define MM_ROW(fn)                                                                                 \
    MM_WHOLE(fn, 1)                                                                                \
    MM_HALVES(fn, 2)                                                                               \
    MM_HALVES(fn, 3)                                                                               \
    MM_HALVES(fn, 4)                                                                               \
    const struct cpu_matmul_row MM_SYMBOL(fn) = {                                                  \
        .name = MM_ROW_NAME(fn),                                                                   \
        .narrow = {NULL, fn##_16x1, fn##_8x2, fn##_8x3, fn##_8x4},                                 \
    };
#endif

#ifndef MM_FLOAT_ROW /* f32 needs no registers for integers: 16 rows times 6 tokens */
#define MM_FLOAT_ROW(fn)                                                                           \
    MM_WHOLE(fn, 1)                                                                                \
    MM_WHOLE(fn, 2)                                                                                \
    MM_WHOLE(fn, 3)                                                                                \
    MM_WHOLE(fn, 4)                                                                                \
    MM_WHOLE(fn, 5)                                                                                \
    MM_WHOLE(fn, 6)                                                                                \
    const struct cpu_matmul_row MM_SYMBOL(fn) = {                                                  \
        .name = MM_ROW_NAME(fn),                                                                   \
        .narrow = {NULL, fn##_16x1, fn##_16x2, fn##_16x3, fn##_16x4, fn##_16x5, fn##_16x6},        \
    };
#endif

#endif
