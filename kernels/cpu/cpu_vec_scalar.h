/* Plain C: a vector of one. */
#ifndef OLL_KERNELS_CPU_VEC_SCALAR_H
#define OLL_KERNELS_CPU_VEC_SCALAR_H

#include "kernels/half.h"

typedef float vf;
enum { VW = 1 };

CPU_INLINE vf vf_set1(float x) { return x; }
CPU_INLINE vf vf_load(const float *p) { return *p; }
CPU_INLINE void vf_store(float *p, vf v) { *p = v; }
CPU_INLINE vf vf_load_partial(const float *p, uint32_t n)
{
    (void)n;
    return *p;
}
CPU_INLINE void vf_store_partial(float *p, vf v, uint32_t n)
{
    (void)n;
    *p = v;
}
CPU_INLINE vf vf_load_f16(const uint16_t *p) { return oll_f16_to_f32(*p); }
CPU_INLINE void vf_store_f16(uint16_t *p, vf v) { *p = oll_f32_to_f16(v); }
CPU_INLINE vf vf_load_s8(const int8_t *p) { return (float)*p; }
/* Four bits of each byte, shift 0 or 4, less 8. */
CPU_INLINE vf vf_load_u4(const uint8_t *p, uint32_t shift)
{
    return (float)((int)(*p >> shift & 15) - 8);
}
CPU_INLINE vf vf_set1_f16(const uint16_t *p) { return oll_f16_to_f32(*p); }
CPU_INLINE vf vf_add(vf a, vf b) { return a + b; }
CPU_INLINE vf vf_sub(vf a, vf b) { return a - b; }
CPU_INLINE vf vf_mul(vf a, vf b) { return a * b; }
CPU_INLINE vf vf_div(vf a, vf b) { return a / b; }
CPU_INLINE vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
CPU_INLINE vf vf_neg(vf a) { return -a; }
CPU_INLINE vf vf_abs(vf a) { return fabsf(a); }
CPU_INLINE vf vf_copysign(vf a, vf sign) { return copysignf(a, sign); }
/* b when either is NaN */
CPU_INLINE vf vf_max(vf a, vf b) { return a > b ? a : b; }
CPU_INLINE vf vf_min(vf a, vf b) { return a < b ? a : b; }
/* To the nearest integer, |a| < 2^22. */
CPU_INLINE vf vf_round(vf a) { return a + 0x1.8p23f - 0x1.8p23f; }
/* 2^n for an integral n in -126 .. 127; any number for NaN. The sum holds n in its low bits. */
CPU_INLINE vf vf_pow2(vf n)
{
    return oll_bits_to_f32((oll_f32_to_bits(n + 0x1.8p23f) + 127) << 23);
}
/* a 2^n for an integral n; a and the result are normal numbers, or a is NaN. */
CPU_INLINE vf vf_scale2(vf a, vf n)
{
    uint32_t bits = oll_f32_to_bits(a) + (oll_f32_to_bits(n + 0x1.8p23f) << 23);
    return a == a ? oll_bits_to_f32(bits) : a;
}
/* a < b ? 0 : v */
CPU_INLINE vf vf_zero_if_less(vf a, vf b, vf v) { return a < b ? 0 : v; }
CPU_INLINE float vf_sum(vf a) { return a; }
CPU_INLINE float vf_max_of(vf a) { return a; }

#endif
