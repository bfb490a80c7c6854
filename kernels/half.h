/* 16-bit floats: exact scalar conversions, the meaning that every vectorised one must match.
 *
 * f16 is IEEE binary16 with subnormals, bf16 the upper half of an f32. Narrowing rounds to nearest,
 * ties to even; values beyond the range become infinite; NaN stays NaN (quiet, upper payload bits
 * kept). The rounding mode of the thread must be the default one. */
#ifndef OLL_KERNELS_HALF_H
#define OLL_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float oll_bits_to_f32(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t oll_f32_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float oll_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, abs = h & 0x7fffu;
    if (abs >= 0x7c00u) { /* infinity, NaN */
        uint32_t quiet = abs > 0x7c00u ? 0x00400000u : 0;
        return oll_bits_to_f32(sign | 0x7f800000u | (abs & 0x3ffu) << 13 | quiet);
    }
    if (abs >= 0x0400u) /* the exponent moves from bias 15 to bias 127 */
        return oll_bits_to_f32(sign | ((abs << 13) + (112u << 23)));
    /* Zero and subnormals count units of 2^-24, all of them exact in f32. */
    return oll_bits_to_f32(sign | oll_f32_to_bits((float)abs * 0x1p-24f));
}

static inline uint16_t oll_f32_to_f16(float f)
{
    uint32_t bits = oll_f32_to_bits(f), abs = bits & 0x7fffffffu;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (abs > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (abs >> 13 & 0x3ffu));
    if (abs >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (abs < 0x38800000u) {
        /* Below 2^-14 the result counts units of 2^-24, the unit of an f32 in [0.5, 1): the
         * addition rounds. */
        uint32_t sum = oll_f32_to_bits(oll_bits_to_f32(abs) + 0.5f);
        return (uint16_t)(sign | (sum - 0x3f000000u));
    }
    uint32_t odd = abs >> 13 & 1;
    return (uint16_t)(sign | (abs - (112u << 23) + 0xfffu + odd) >> 13);
}

static inline float oll_bf16_to_f32(uint16_t h) { return oll_bits_to_f32((uint32_t)h << 16); }

static inline uint16_t oll_f32_to_bf16(float f)
{
    uint32_t bits = oll_f32_to_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

#endif
