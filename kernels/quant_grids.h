/* Lookup tables of the I-quants and the 4-bit float types.
 *
 * An entry of a grid packs the values of one group, value k in bits 8k..8k+7: eight values per
 * entry for IQ1 and IQ2, four for IQ3. The values of IQ1 are signed bytes, the others are unsigned.
 * A sub-block picks entries by index and gives each value a sign and a scale; quant.h has the
 * layout of the blocks. */
#ifndef OLL_KERNELS_QUANT_GRIDS_H
#define OLL_KERNELS_QUANT_GRIDS_H

#include <stdint.h>

extern const uint64_t quant_grid_iq2xxs[256]; /* magnitudes 8, 25, 43 */
extern const uint64_t quant_grid_iq2xs[512];
extern const uint64_t quant_grid_iq2s[1024];
extern const uint64_t quant_grid_iq1s[2048];  /* -1, 0, 1; also of IQ1_M */
extern const uint32_t quant_grid_iq3xxs[256]; /* 4, 12, 20, 28, 36, 44, 52, 62 */
extern const uint32_t quant_grid_iq3s[512];   /* 1, 3, 5 ... 15 */

extern const int8_t quant_values_iq4nl[16]; /* IQ4_NL and IQ4_XS */
extern const int8_t quant_values_fp4[16];   /* MXFP4 and NVFP4: E2M1 times two */

/* Signs of eight values from 7 stored bits: the eighth makes the number of minus signs even. Bit k
 * set means value k is negative. */
static inline uint8_t quant_signs(uint32_t bits7)
{
    uint32_t p = bits7 ^ bits7 >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return (uint8_t)(bits7 | (p & 1) << 7);
}

#endif
