/* Vectors, addresses and instances of the quantised tile kernels: one source for zmm with
 * vpdpbusd (16 rows in a vector), ymm with vpdpbusd, and ymm with vpmaddubsw (8 rows, two vectors
 * to a panel). The including file defines MM_LEVEL as avx512vnni, avxvnni or avx2, or, for float
 * weights, avx512.
 *
 * A tile function takes as constants the number of vectors RV, of tokens T, how many groups of RV
 * vectors there are one after the other (`halves`: with 16 registers, rows 0-7 and then 8-15) and
 * the row length of the result. It is always inlined and its loops unrolled, so that its arrays are
 * registers. */
#ifndef OLL_KERNELS_CPU_X86_MATMUL_VEC_H
#define OLL_KERNELS_CPU_X86_MATMUL_VEC_H

#include "kernels/cpu/x86/matmul_levels.h"

#include <immintrin.h>

#define MM_LEVEL_avx512vnni 1
#define MM_LEVEL_avxvnni    2
#define MM_LEVEL_avx2       3
#define MM_LEVEL_avx512     4
#define MM_CAT(a, b)        a##b
#define MM_NUMBER(level)    MM_CAT(MM_LEVEL_, level)
#define MM_IS(level)        (MM_NUMBER(MM_LEVEL) == MM_LEVEL_##level)

#define MM_INLINE static inline __attribute__((always_inline))
#define MM_UNROLL _Pragma("GCC unroll 16")
#define MM_EACH_T MM_UNROLL for (int t = 0; t < T; t++)
#define MM_EACH_R MM_UNROLL for (int r = 0; r < RV; r++)

enum { MM_MAX_V = 2, MM_MAX_T = CPU_TILE_TOKENS };

#if MM_IS(avx512vnni) || MM_IS(avx512)
#define MM_ZMM 1
enum { MM_LANES = 16 };
typedef __m512i vi;
typedef __m512 vf;
#define MM(op) _mm512_##op
MM_INLINE vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
MM_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
MM_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
/* a | (b & c) */
MM_INLINE vi vi_or_and(vi a, vi b, vi c) { return _mm512_ternarylogic_epi32(a, b, c, 0xf8); }
#if MM_IS(avx512vnni)
MM_INLINE vi vi_dot(vi z, vi u8, vi s8) { return _mm512_dpbusd_epi32(z, u8, s8); }
MM_INLINE vi vi_dot16(vi z, vi a, vi b) { return _mm512_dpwssd_epi32(z, a, b); }
#endif
MM_INLINE vi vi_table(const int8_t table[16])
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table));
}
MM_INLINE vf vf_from_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
MM_INLINE __m128i bytes_load(const void *p) { return _mm_loadu_si128(p); }
MM_INLINE void vi_store(void *p, vi v) { _mm512_storeu_si512(p, v); }
/* Two bytes per lane as 16-bit numbers. */
MM_INLINE vi vi_from_bytes16(const void *p) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256(p)); }
#else
#define MM_ZMM 0
enum { MM_LANES = 8 };
typedef __m256i vi;
typedef __m256 vf;
#define MM(op) _mm256_##op
MM_INLINE vi vi_load(const void *p) { return _mm256_loadu_si256(p); }
MM_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
MM_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
MM_INLINE vi vi_or_and(vi a, vi b, vi c) { return _mm256_or_si256(a, _mm256_and_si256(b, c)); }
MM_INLINE vi vi_table(const int8_t table[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
}
MM_INLINE vf vf_from_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
/* The low 8 bytes. */
MM_INLINE __m128i bytes_load(const void *p) { return _mm_loadl_epi64(p); }
MM_INLINE void vi_store(void *p, vi v) { _mm256_storeu_si256(p, v); }
MM_INLINE vi vi_from_bytes16(const void *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128(p)); }
#if MM_IS(avxvnni)
MM_INLINE vi vi_dot(vi z, vi u8, vi s8) { return _mm256_dpbusd_avx_epi32(z, u8, s8); }
MM_INLINE vi vi_dot16(vi z, vi a, vi b) { return _mm256_dpwssd_avx_epi32(z, a, b); }
#else
MM_INLINE vi vi_dot16(vi z, vi a, vi b) { return MM(add_epi32)(z, MM(madd_epi16)(a, b)); }
#endif
#endif

/* One byte per lane. */
MM_INLINE vi vi_from_u8(__m128i b) { return MM(cvtepu8_epi32)(b); }
MM_INLINE vi vi_from_s8(__m128i b) { return MM(cvtepi8_epi32)(b); }

enum { MM_PER_PANEL = CPU_PANEL_ROWS / MM_LANES };

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

MM_INLINE vi vi_word(const union cpu_word *w) { return MM(set1_epi32)(w->i); }
MM_INLINE vf vf_word(const union cpu_word *w) { return MM(set1_ps)(w->f); }
/* Four activations of one token, in every lane. */
MM_INLINE vi vi_quad(const uint8_t *a)
{
    int32_t v;
    __builtin_memcpy(&v, a, sizeof v);
    return MM(set1_epi32)(v);
}

/* The stream of a single token is memory-bound: asking for lines one page ahead, past the edge that
 * hardware prefetchers stop at, gains 10 to 40 % on Zen 5. */
enum { MM_AHEAD = 4096 };
#define MM_PREFETCH(p)                                                                             \
    do {                                                                                           \
        if (T == 1)                                                                                \
            _mm_prefetch((const char *)(p) + MM_AHEAD, _MM_HINT_T0);                               \
    } while (0)

MM_INLINE void mm_store(const struct cpu_tile *tile, vf f[MM_MAX_V][MM_MAX_T], int v0, const int RV,
                        const int T, const int rows)
{
    MM_EACH_T MM_EACH_R MM(storeu_ps)(tile->c + t * rows + (v0 + r) * MM_LANES, f[r][t]);
}

/* Low and high nibbles. */
MM_INLINE void mm_nibbles(vi v, vi *low, vi *up)
{
    const vi mask = MM(set1_epi8)(15);
    *low = vi_and(v, mask);
    *up = vi_and(MM(srli_epi16)(v, 4), mask);
}

/* Adds the fifth bits of k-groups g and g + 4: bit g of every byte of `high`. */
MM_INLINE void mm_fifth_bits(vi high, int g, vi *low, vi *up)
{
    const vi bit4 = MM(set1_epi8)(16);
    *low = vi_or_and(*low, MM(slli_epi16)(high, 4 - g), bit4);
    *up = vi_or_and(*up, MM(srli_epi16)(high, g), bit4);
}

#if MM_IS(avx512vnni) || MM_IS(avxvnni)
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
#elif MM_IS(avx2)
/* Keeps a sum in its register here: gcc would rather regroup additions of integers across the tile,
 * and spill what it then holds. */
#define MM_PIN(v) __asm__("" : "+x"(v))

/* Products of true 8-bit weights: their magnitudes, with the signs moved to the activations. */
MM_INLINE vi vi_signed_pairs(vi w, vi y)
{
    return MM(maddubs_epi16)(MM(abs_epi8)(w), MM(sign_epi8)(y, w));
}
#endif

/* ---- instances ---- */

#define MM_SYMBOL2(fn, level) cpu_matmul_##fn##__##level
#define MM_SYMBOL1(fn, level) MM_SYMBOL2(fn, level)
#define MM_SYMBOL(fn)         MM_SYMBOL1(fn, MM_LEVEL)
#define MM_TEXT2(x)           #x
#define MM_TEXT(x)            MM_TEXT2(x)
#define MM_ROW_NAME(fn)       #fn "__" MM_TEXT(MM_LEVEL)

/* Sixteen registers hold no two vectors times several tokens: there the halves of a panel go one by
 * one, but for the single token, which must not read its stream twice. */
#define MM_WHOLE(fn, T)                                                                            \
    static void fn##_16x##T(const struct cpu_tile *t) { fn(t, 1, MM_PER_PANEL, T, 16); }
#define MM_HALVES(fn, T)                                                                           \
    static void fn##_8x##T(const struct cpu_tile *t) { fn(t, 2, 1, T, 16); }
#define MM_WIDE(fn, T)                                                                             \
    static void fn##_32x##T(const struct cpu_tile *t) { fn(t, 1, 2, T, 32); }

#if MM_ZMM
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
#elif MM_IS(avxvnni)
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

/* Rows of float weights on ymm: there 16 rows times 6 tokens fit the registers. */
#define MM_ROW_YMM_FLOAT(fn)                                                                       \
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
