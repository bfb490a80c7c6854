/* AVX-512 (F, BW, VL, DQ): sixteen floats. */
#ifndef OLL_KERNELS_CPU_VEC_AVX512_H
#define OLL_KERNELS_CPU_VEC_AVX512_H

#include <immintrin.h>

typedef __m512 vf;
enum { VW = 16 };

CPU_INLINE __mmask16 vf_mask(uint32_t n) { return (__mmask16)((1u << n) - 1); }
CPU_INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
CPU_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
CPU_INLINE void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
CPU_INLINE vf vf_load_partial(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps(vf_mask(n), p);
}
CPU_INLINE void vf_store_partial(float *p, vf v, uint32_t n)
{
    _mm512_mask_storeu_ps(p, vf_mask(n), v);
}
CPU_INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
CPU_INLINE void vf_store_f16(uint16_t *p, vf v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
CPU_INLINE vf vf_load_s8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* Four bits of each byte, shift 0 or 4, less 8. */
CPU_INLINE vf vf_load_u4(const uint8_t *p, uint32_t shift)
{
    __m512i b = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    b = _mm512_and_si512(_mm512_srl_epi32(b, _mm_cvtsi32_si128((int)shift)), _mm512_set1_epi32(15));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(b, _mm512_set1_epi32(8)));
}
CPU_INLINE vf vf_set1_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)*p));
}
CPU_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
CPU_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
CPU_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
CPU_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
CPU_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
CPU_INLINE vf vf_neg(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
CPU_INLINE vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
CPU_INLINE vf vf_copysign(vf a, vf sign)
{
    return _mm512_or_ps(vf_abs(a), _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}
CPU_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
CPU_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
CPU_INLINE vf vf_round(vf a) { return _mm512_roundscale_ps(a, 0); }
CPU_INLINE vf vf_pow2(vf n)
{
    __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}
CPU_INLINE vf vf_scale2(vf a, vf n)
{
    __m512i e = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), e));
}
CPU_INLINE vf vf_zero_if_less(vf a, vf b, vf v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), v);
}
CPU_INLINE float vf_sum(vf a) { return _mm512_reduce_add_ps(a); }
CPU_INLINE float vf_max_of(vf a) { return _mm512_reduce_max_ps(a); }

#endif
