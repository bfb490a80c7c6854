/* Vectors of f32 for kernels that are written once and compiled per instruction set: the file that
 * instantiates them defines CPU_VEC_AVX512, CPU_VEC_AVX2 or CPU_VEC_NEON, or nothing for plain C.
 *
 * vf is a vector of VW floats. Every operation rounds like the scalar one; vf_fma rounds once, in
 * plain C twice where the machine has no fused operation. Partial loads and stores touch the first
 * n elements alone (0 < n < VW); missing ones read as 0. */
#ifndef OLL_KERNELS_CPU_VEC_H
#define OLL_KERNELS_CPU_VEC_H

#include <math.h>
#include <stdint.h>

#define CPU_INLINE static inline __attribute__((always_inline))

#if defined(CPU_VEC_AVX512)
#include "kernels/cpu/x86/vec_avx512.h"
#elif defined(CPU_VEC_AVX2)
#include "kernels/cpu/x86/vec_avx2.h"
#elif defined(CPU_VEC_NEON)
#include "kernels/cpu/arm/vec_neon.h"
#else
#include "kernels/cpu/cpu_vec_scalar.h"
#endif

/* Sum of all lanes of v[0 .. n), n a power of two: halves are added until one lane is left, so that
 * the result depends on n * VW alone and every level gives the same bits. v is used up. */
CPU_INLINE float vf_sum_all(vf *v, uint32_t n)
{
    while (n > 1) {
        n /= 2;
        for (uint32_t i = 0; i < n; i++)
            v[i] = vf_add(v[i], v[i + n]);
    }
    return vf_sum(v[0]);
}

/* e^r = 1 + r + r^2 Q(r) on |r| <= ln(2) / 2: interpolation at Chebyshev nodes, relative error
 * below 0.2 units of the last place. */
CPU_INLINE vf vf_exp_tail(vf r)
{
    vf q = vf_set1(0x1.6d117cp-10f);
    q = vf_fma(q, r, vf_set1(0x1.120be2p-7f));
    q = vf_fma(q, r, vf_set1(0x1.555518p-5f));
    q = vf_fma(q, r, vf_set1(0x1.5554dcp-3f));
    q = vf_fma(q, r, vf_set1(0.5f));
    return vf_fma(vf_mul(r, r), q, r);
}

/* x = n ln(2) + r; ln(2) in two parts so that n times the first is exact. */
CPU_INLINE vf vf_exp_reduce(vf x, vf *r)
{
    vf n = vf_round(vf_mul(x, vf_set1(0x1.715476p+0f)));
    *r = vf_fma(n, vf_set1(-0x1.62e4p-1f), x);
    *r = vf_fma(n, vf_set1(-0x1.7f7d1cp-20f), *r);
    return n;
}

/* e^x within 2 units of the last place; 0 below -86.6 (where results near the subnormals), infinite
 * above 88.72, NaN for NaN. */
CPU_INLINE vf vf_exp(vf x)
{
    vf r, in = vf_max(vf_set1(-87.0f), vf_min(vf_set1(89.0f), x));
    vf n = vf_exp_reduce(in, &r);
    vf p = vf_add(vf_set1(1.0f), vf_exp_tail(r));
    /* 2^n in two steps, since 2^128 is no float. */
    vf y = vf_mul(vf_add(p, p), vf_pow2(vf_sub(n, vf_set1(1.0f))));
    return vf_zero_if_less(x, vf_set1(-86.6f), y);
}

/* e^x for x <= 0, with the same bounds: no overflow to care for, and 2^n goes straight into the
 * exponent of the result. The kernel of softmax. */
CPU_INLINE vf vf_exp_nonpositive(vf x)
{
    vf r, n = vf_exp_reduce(vf_max(vf_set1(-87.0f), x), &r);
    vf y = vf_scale2(vf_add(vf_set1(1.0f), vf_exp_tail(r)), n);
    return vf_zero_if_less(x, vf_set1(-86.6f), y);
}

/* 1 / (1 + e^-x) */
CPU_INLINE vf vf_sigmoid(vf x)
{
    vf one = vf_set1(1.0f);
    return vf_div(one, vf_add(one, vf_exp(vf_neg(x))));
}

/* tanh x = (e^2x - 1) / (e^2x + 1). e^y - 1 is formed without cancellation, so small x keep their
 * relative precision. */
CPU_INLINE vf vf_tanh(vf x)
{
    vf two = vf_set1(2.0f), r;
    vf y = vf_min(vf_set1(40.0f), vf_mul(two, vf_abs(x)));
    vf scale = vf_pow2(vf_exp_reduce(y, &r));
    vf m = vf_fma(scale, vf_exp_tail(r), vf_sub(scale, vf_set1(1.0f)));
    return vf_copysign(vf_div(m, vf_add(m, two)), x);
}

#endif
