/* AVX2 with FMA and F16C: eight floats. */
#ifndef OLL_KERNELS_CPU_VEC_AVX2_H
#define OLL_KERNELS_CPU_VEC_AVX2_H

#include <immintrin.h>

typedef __m256 vf;
enum { VW = 8 };

CPU_INLINE __m256i vf_mask(uint32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
CPU_INLINE vf vf_set1(float x) { return _mm256_set1_ps(x); }
CPU_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
CPU_INLINE void vf_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
CPU_INLINE vf vf_load_partial(const float *p, uint32_t n)
{
    return _mm256_maskload_ps(p, vf_mask(n));
}
CPU_INLINE void vf_store_partial(float *p, vf v, uint32_t n)
{
    _mm256_maskstore_ps(p, vf_mask(n), v);
}
CPU_INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
CPU_INLINE void vf_store_f16(uint16_t *p, vf v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
CPU_INLINE vf vf_load_s8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
/* Four bits of each byte, shift 0 or 4, less 8. */
CPU_INLINE vf vf_load_u4(const uint8_t *p, uint32_t shift)
{
    __m256i b = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    b = _mm256_and_si256(_mm256_srl_epi32(b, _mm_cvtsi32_si128((int)shift)), _mm256_set1_epi32(15));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(b, _mm256_set1_epi32(8)));
}
CPU_INLINE vf vf_set1_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_set1_epi16((short)*p)); }
CPU_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
CPU_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
CPU_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
CPU_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
CPU_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
CPU_INLINE vf vf_neg(vf a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
CPU_INLINE vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
CPU_INLINE vf vf_copysign(vf a, vf sign)
{
    return _mm256_or_ps(vf_abs(a), _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}
CPU_INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
CPU_INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
CPU_INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
CPU_INLINE vf vf_pow2(vf n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}
CPU_INLINE vf vf_scale2(vf a, vf n)
{
    __m256i e = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), e));
}
CPU_INLINE vf vf_zero_if_less(vf a, vf b, vf v)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), v);
}
CPU_INLINE float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
CPU_INLINE float vf_max_of(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#endif
