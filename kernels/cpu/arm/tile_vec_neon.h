/* Vectors of the tile kernels (kernels/cpu/tile.h) on ARM: 4 rows in a register of 16 bytes.
 * MM_LEVEL is dotprod, or neon for cores without sdot, where a dot product of four bytes takes six
 * instructions. Both compute with signed bytes; fused multiply-add rounds like that of x86. */
#ifndef OLL_KERNELS_CPU_ARM_TILE_VEC_NEON_H
#define OLL_KERNELS_CPU_ARM_TILE_VEC_NEON_H

#include "kernels/cpu/arm/matmul_levels_arm.h"

#include <arm_neon.h>

#define MM_INLINE static inline __attribute__((always_inline))

#define MM_SHAPES   MM_SHAPES_HALVES_X4
#define MM_SIGNED   1
#define MM_CHAINS   0
#define MM_TWO_SUMS 0

enum { MM_AHEAD = 0 }; /* see MM_PREFETCH: not measured here */
enum { MM_LANES = 4 };
typedef int32x4_t vi;
typedef float32x4_t vf;
typedef int8x8_t vb; /* a byte per lane: the low 4 */

#define V8(v)   vreinterpretq_s8_s32(v)
#define VU8(v)  vreinterpretq_u8_s32(v)
#define V16(v)  vreinterpretq_s16_s32(v)
#define VU16(v) vreinterpretq_u16_s32(v)
#define OF8(v)  vreinterpretq_s32_s8(v)
#define OF16(v) vreinterpretq_s32_s16(v)

MM_INLINE vi vi_load(const void *p) { return OF8(vld1q_s8(p)); }
MM_INLINE void vi_store(void *p, vi v) { vst1q_s8(p, V8(v)); }
MM_INLINE vb vb_load(const void *p)
{
    uint32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return vreinterpret_s8_u32(vdup_n_u32(bits));
}
MM_INLINE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
MM_INLINE vi vi_xor(vi a, vi b) { return veorq_s32(a, b); }
MM_INLINE vi vi_or_and(vi a, vi b, vi c) { return vorrq_s32(a, vandq_s32(b, c)); }
MM_INLINE vi vi_table(const int8_t t[16]) { return OF8(vld1q_s8(t)); }
MM_INLINE vi vi_lookup(vi table, vi index) { return OF8(vqtbl1q_s8(V8(table), VU8(index))); }
MM_INLINE vi vi_select_gt(vi a, vi b, vi yes, vi no) { return vbslq_s32(vcgtq_s32(a, b), yes, no); }

MM_INLINE vi vi_set8(int8_t x) { return OF8(vdupq_n_s8(x)); }
MM_INLINE vi vi_set32(int32_t x) { return vdupq_n_s32(x); }
MM_INLINE vi vi_add8(vi a, vi b) { return OF8(vaddq_s8(V8(a), V8(b))); }
MM_INLINE vi vi_sub8(vi a, vi b) { return OF8(vsubq_s8(V8(a), V8(b))); }
MM_INLINE vi vi_add32(vi a, vi b) { return vaddq_s32(a, b); }
MM_INLINE vi vi_sub32(vi a, vi b) { return vsubq_s32(a, b); }
MM_INLINE vi vi_mul32(vi a, vi b) { return vmulq_s32(a, b); }
/* A negative count shifts to the right. */
MM_INLINE vi vi_shl16(vi v, int n) { return OF16(vshlq_s16(V16(v), vdupq_n_s16((int16_t)n))); }
MM_INLINE vi vi_shr16(vi v, int n)
{
    return vreinterpretq_s32_u16(vshlq_u16(VU16(v), vdupq_n_s16((int16_t)-n)));
}
MM_INLINE vi vi_shl32(vi v, int n) { return vshlq_s32(v, vdupq_n_s32(n)); }
MM_INLINE vi vi_sar32(vi v, int n) { return vshlq_s32(v, vdupq_n_s32(-n)); }
MM_INLINE vi vi_shlv32(vi v, vi n) { return vshlq_s32(v, n); }
MM_INLINE vi vi_from_s8(vb b) { return vmovl_s16(vget_low_s16(vmovl_s8(b))); }
MM_INLINE vi vi_from_u8(vb b)
{
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_s8(b)))));
}
/* Two bytes per lane as 16-bit numbers. */
MM_INLINE vi vi_from_bytes16(const void *p) { return vreinterpretq_s32_u16(vmovl_u8(vld1_u8(p))); }

#if defined(__ARM_FEATURE_DOTPROD)
MM_INLINE vi vi_dot(vi z, vi w, vi y) { return vdotq_s32(z, V8(w), V8(y)); }
#else
MM_INLINE vi vi_dot(vi z, vi w, vi y)
{
    const int16x8_t low = vmull_s8(vget_low_s8(V8(w)), vget_low_s8(V8(y)));
    const int16x8_t high = vmull_high_s8(V8(w), V8(y));
    return vaddq_s32(z, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}
#endif
/* z += a0 * b0 + a1 * b1 of the two 16-bit numbers of each lane. */
MM_INLINE vi vi_dot16(vi z, vi a, vi b)
{
    const int32x4_t low = vmull_s16(vget_low_s16(V16(a)), vget_low_s16(V16(b)));
    return vaddq_s32(z, vpaddq_s32(low, vmull_high_s16(V16(a), V16(b))));
}

MM_INLINE vf vf_set(float x) { return vdupq_n_f32(x); }
MM_INLINE vf vf_zero(void) { return vdupq_n_f32(0); }
MM_INLINE vf vf_load(const void *p) { return vld1q_f32(p); }
MM_INLINE void vf_store(float *p, vf v) { vst1q_f32(p, v); }
MM_INLINE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
MM_INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
MM_INLINE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
MM_INLINE vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
MM_INLINE vf vf_from_i32(vi v) { return vcvtq_f32_s32(v); }
MM_INLINE vf vf_from_bits(vi v) { return vreinterpretq_f32_s32(v); }
MM_INLINE vf vf_from_f16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

/* Scales of IQ4_XS minus 32, at S(j), from half line 0 and line 1 of its sub-block: 16 bytes hold
 * the high bits of scales j, j + 2, j + 4, j + 6 of every row. */
MM_INLINE void mm_scales_iq4_xs(const uint8_t *sub, uint8_t *scale)
{
    const uint8x16_t low = vdupq_n_u8(15), high = vdupq_n_u8(0x30), offset = vdupq_n_u8(32);
    for (int j = 0; j < 8; j++) {
        uint8x16_t v = vld1q_u8(sub + 64 + j % 4 * 16);
        const uint8x16_t h = vld1q_u8(sub + 32 + j % 2 * 16);
        v = vandq_u8(vshlq_u8(v, vdupq_n_s8(j < 4 ? 0 : -4)), low);
        v = vorrq_u8(v, vandq_u8(vshlq_u8(h, vdupq_n_s8((int8_t)(4 - j / 2 * 2))), high));
        vst1q_u8(scale + j * 16, vsubq_u8(v, offset));
    }
}

#endif
