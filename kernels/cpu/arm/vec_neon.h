/* NEON of ARMv8.0 (half-precision conversions are part of it): four floats. */
#ifndef OLL_KERNELS_CPU_VEC_NEON_H
#define OLL_KERNELS_CPU_VEC_NEON_H

#include <arm_neon.h>

typedef float32x4_t vf;
enum { VW = 4 };

CPU_INLINE vf vf_set1(float x) { return vdupq_n_f32(x); }
CPU_INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
CPU_INLINE void vf_store(float *p, vf v) { vst1q_f32(p, v); }
CPU_INLINE vf vf_load_partial(const float *p, uint32_t n)
{
    float t[4] = {0};
    for (uint32_t i = 0; i < n; i++)
        t[i] = p[i];
    return vld1q_f32(t);
}
CPU_INLINE void vf_store_partial(float *p, vf v, uint32_t n)
{
    float t[4];
    vst1q_f32(t, v);
    for (uint32_t i = 0; i < n; i++)
        p[i] = t[i];
}
CPU_INLINE vf vf_load_f16(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
CPU_INLINE void vf_store_f16(uint16_t *p, vf v)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
CPU_INLINE vf vf_load_s8(const int8_t *p)
{
    uint32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(bits)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}
/* Four bits of each byte, shift 0 or 4, less 8. */
CPU_INLINE vf vf_load_u4(const uint8_t *p, uint32_t shift)
{
    uint32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    bits = bits >> shift & 0x0f0f0f0f;
    int16x8_t wide = vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(bits))));
    return vcvtq_f32_s32(vsubq_s32(vmovl_s16(vget_low_s16(wide)), vdupq_n_s32(8)));
}
CPU_INLINE vf vf_set1_f16(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(*p)));
}
CPU_INLINE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
CPU_INLINE vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
CPU_INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
CPU_INLINE vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
CPU_INLINE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
CPU_INLINE vf vf_neg(vf a) { return vnegq_f32(a); }
CPU_INLINE vf vf_abs(vf a) { return vabsq_f32(a); }
CPU_INLINE vf vf_copysign(vf a, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }
CPU_INLINE vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
CPU_INLINE vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
CPU_INLINE vf vf_round(vf a) { return vrndnq_f32(a); }
CPU_INLINE vf vf_pow2(vf n)
{
    int32x4_t e = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(e, 23));
}
CPU_INLINE vf vf_scale2(vf a, vf n)
{
    int32x4_t e = vshlq_n_s32(vcvtq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), e));
}
CPU_INLINE vf vf_zero_if_less(vf a, vf b, vf v)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), vcltq_f32(a, b)));
}
CPU_INLINE float vf_sum(vf a) { return vaddvq_f32(a); }
CPU_INLINE float vf_max_of(vf a) { return vmaxvq_f32(a); }

#endif
