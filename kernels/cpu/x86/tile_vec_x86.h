/* Vectors of the tile kernels (kernels/cpu/tile.h) on x86. MM_LEVEL is avx512vnni, avx512bf16 or
 * avx512 (16 rows in a zmm), avxvnni or avx2 (8 rows in a ymm). */
#ifndef OLL_KERNELS_CPU_X86_TILE_VEC_X86_H
#define OLL_KERNELS_CPU_X86_TILE_VEC_X86_H

#include "kernels/cpu/x86/matmul_levels.h"

#include <immintrin.h>

#ifndef MM_INLINE /* a build that emulates the instructions has no use for copies of every shape   \
                   */
#define MM_INLINE static inline __attribute__((always_inline))
#endif

#define MM_LEVEL_avx512vnni 1
#define MM_LEVEL_avx512     2
#define MM_LEVEL_avxvnni    3
#define MM_LEVEL_avx2       4
#define MM_LEVEL_avx512bf16 5
#define MM_CAT2(a, b)       a##b
#define MM_CAT(a, b)        MM_CAT2(a, b)
#define MM_IS(level)        (MM_CAT(MM_LEVEL_, MM_LEVEL) == MM_LEVEL_##level)

enum { MM_AHEAD = 4096 }; /* see MM_PREFETCH */

#if MM_IS(avx512vnni) || MM_IS(avx512) || MM_IS(avx512bf16)
#define MM_TWO_SUMS 1
#define MM_SHAPES   MM_SHAPES_ZMM
#define MM_SIGNED   0
#define MM_CHAINS   !MM_IS(avx512vnni)
enum { MM_LANES = 16 };
typedef __m512i vi;
typedef __m512 vf;
typedef __m128i vb; /* a byte per lane */
#define MM(op) _mm512_##op
MM_INLINE vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
MM_INLINE void vi_store(void *p, vi v) { _mm512_storeu_si512(p, v); }
MM_INLINE vb vb_load(const void *p) { return _mm_loadu_si128(p); }
MM_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
MM_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
MM_INLINE vi vi_or_and(vi a, vi b, vi c) { return _mm512_ternarylogic_epi32(a, b, c, 0xf8); }
MM_INLINE vi vi_table(const int8_t t[16])
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)t));
}
MM_INLINE vi vi_select_gt(vi a, vi b, vi yes, vi no)
{
    return _mm512_mask_mov_epi32(no, _mm512_cmpgt_epi32_mask(a, b), yes);
}
MM_INLINE vi vi_from_bytes16(const void *p) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256(p)); }
MM_INLINE vf vf_from_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
MM_INLINE vf vf_from_bits(vi v) { return _mm512_castsi512_ps(v); }
#if MM_IS(avx512vnni)
MM_INLINE vi vi_dot(vi z, vi u8, vi s8) { return _mm512_dpbusd_epi32(z, u8, s8); }
MM_INLINE vi vi_dot16(vi z, vi a, vi b) { return _mm512_dpwssd_epi32(z, a, b); }
#endif

#else
#define MM_TWO_SUMS 0
#define MM_SIGNED   MM_IS(avx2)
#define MM_CHAINS   MM_IS(avx2)
enum { MM_LANES = 8 };
typedef __m256i vi;
typedef __m256 vf;
typedef __m128i vb; /* a byte per lane: the low 8 */
#define MM(op)      _mm256_##op
MM_INLINE vi vi_load(const void *p) { return _mm256_loadu_si256(p); }
MM_INLINE void vi_store(void *p, vi v) { _mm256_storeu_si256(p, v); }
MM_INLINE vb vb_load(const void *p) { return _mm_loadl_epi64(p); }
MM_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
MM_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
MM_INLINE vi vi_or_and(vi a, vi b, vi c) { return _mm256_or_si256(a, _mm256_and_si256(b, c)); }
MM_INLINE vi vi_table(const int8_t t[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)t));
}
MM_INLINE vi vi_select_gt(vi a, vi b, vi yes, vi no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi32(a, b));
}
MM_INLINE vi vi_from_bytes16(const void *p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128(p)); }
MM_INLINE vf vf_from_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
MM_INLINE vf vf_from_bits(vi v) { return _mm256_castsi256_ps(v); }
#if MM_IS(avxvnni)
#define MM_SHAPES MM_SHAPES_YMM_DOT
MM_INLINE vi vi_dot(vi z, vi u8, vi s8) { return _mm256_dpbusd_avx_epi32(z, u8, s8); }
MM_INLINE vi vi_dot16(vi z, vi a, vi b) { return _mm256_dpwssd_avx_epi32(z, a, b); }
#else
#define MM_SHAPES MM_SHAPES_HALVES_X4
MM_INLINE vi vi_dot16(vi z, vi a, vi b) { return _mm256_add_epi32(z, _mm256_madd_epi16(a, b)); }
MM_INLINE vi vi_madd8(vi u8, vi s8) { return _mm256_maddubs_epi16(u8, s8); }
/* Sums of pairs of true 8-bit weights: magnitudes, the signs moved to the activations. */
MM_INLINE vi vi_signed_pairs(vi w, vi y)
{
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(y, w));
}
/* Pairs (a, b) of signed bytes of each row, as 16-bit numbers. */
MM_INLINE vi vi_pairs(vb a, vb b) { return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)); }
/* Keeps a sum in its register here: gcc would rather regroup additions of integers across the tile,
 * and spill what it then holds. */
#if defined(__AVX2__)
#define MM_PIN(v) __asm__("" : "+x"(v))
#else /* the instructions are emulated */
#define MM_PIN(v) ((void)0)
#endif
#endif
#endif

/* What is read through a pointer after this is not kept in registers from before. */
#define MM_READ_AGAIN(p) __asm__ __volatile__("" : "+r"(p))

MM_INLINE vi vi_set8(int8_t x) { return MM(set1_epi8)(x); }
MM_INLINE vi vi_set16(int16_t x) { return MM(set1_epi16)(x); }
MM_INLINE vi vi_set32(int32_t x) { return MM(set1_epi32)(x); }
MM_INLINE vi vi_add8(vi a, vi b) { return MM(add_epi8)(a, b); }
MM_INLINE vi vi_sub8(vi a, vi b) { return MM(sub_epi8)(a, b); }
MM_INLINE vi vi_add16(vi a, vi b) { return MM(add_epi16)(a, b); }
MM_INLINE vi vi_add32(vi a, vi b) { return MM(add_epi32)(a, b); }
MM_INLINE vi vi_sub32(vi a, vi b) { return MM(sub_epi32)(a, b); }
MM_INLINE vi vi_mul32(vi a, vi b) { return MM(mullo_epi32)(a, b); }
MM_INLINE vi vi_shl16(vi v, int n) { return MM(slli_epi16)(v, n); }
MM_INLINE vi vi_shr16(vi v, int n) { return MM(srli_epi16)(v, n); }
MM_INLINE vi vi_shl32(vi v, int n) { return MM(slli_epi32)(v, n); }
MM_INLINE vi vi_sar32(vi v, int n) { return MM(srai_epi32)(v, n); }
MM_INLINE vi vi_shlv32(vi v, vi n) { return MM(sllv_epi32)(v, n); }
MM_INLINE vi vi_lookup(vi table, vi index) { return MM(shuffle_epi8)(table, index); }
MM_INLINE vi vi_from_u8(vb b) { return MM(cvtepu8_epi32)(b); }
MM_INLINE vi vi_from_s8(vb b) { return MM(cvtepi8_epi32)(b); }

MM_INLINE vf vf_set(float x) { return MM(set1_ps)(x); }
MM_INLINE vf vf_zero(void) { return MM(setzero_ps)(); }
MM_INLINE vf vf_load(const void *p) { return MM(loadu_ps)(p); }
MM_INLINE void vf_store(float *p, vf v) { MM(storeu_ps)(p, v); }
MM_INLINE vf vf_add(vf a, vf b) { return MM(add_ps)(a, b); }
MM_INLINE vf vf_mul(vf a, vf b) { return MM(mul_ps)(a, b); }
MM_INLINE vf vf_fma(vf a, vf b, vf c) { return MM(fmadd_ps)(a, b, c); }
MM_INLINE vf vf_fnma(vf a, vf b, vf c) { return MM(fnmadd_ps)(a, b, c); }
MM_INLINE vf vf_from_i32(vi v) { return MM(cvtepi32_ps)(v); }

/* Scales of IQ4_XS minus 32, at S(j), from half line 0 and line 1 of its sub-block: 32 bytes hold
 * the high bits of scales j and j + 1 at once. */
MM_INLINE void mm_scales_iq4_xs(const uint8_t *sub, uint8_t *scale)
{
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(0x30);
    const __m256i offset = _mm256_set1_epi8(32);
    const __m256i h = _mm256_loadu_si256((const void *)(sub + 32));
    const __m256i moved[4] = {_mm256_slli_epi16(h, 4), _mm256_slli_epi16(h, 2), h,
                              _mm256_srli_epi16(h, 2)};
    for (int m = 0; m < 4; m++) { /* scales 2m and 2m + 1 */
        __m256i v = _mm256_loadu_si256((const void *)(sub + 64 + m % 2 * 32));
        v = _mm256_and_si256(m < 2 ? v : _mm256_srli_epi16(v, 4), low);
        v = _mm256_or_si256(v, _mm256_and_si256(moved[m], high));
        _mm256_storeu_si256((void *)(scale + m * 32), _mm256_sub_epi8(v, offset));
    }
}

#endif
