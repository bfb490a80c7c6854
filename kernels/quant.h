/* Quantised storage: the blocks of every tensor type, and their normative meaning in scalar C.
 *
 * A row of a tensor is a run of blocks without padding; n elements take oll_dtype_row_bytes bytes.
 * Blocks have no alignment: rows of 18, 34 or 210 bytes start anywhere, so the structs are packed
 * and vector code uses unaligned loads. Multi-byte fields are little-endian, as is every supported
 * machine.
 *
 * Decoding rounds to f32 after every operation, in the order scale x sub-scale, x quant, then
 * -/+ minimum; nothing is fused. Two decoders that keep this order agree to the bit, and faster
 * kernels are judged against it. The formulas stand at the structs: q is the unsigned field, x the
 * value, "low half first" means that element j is the low nibble of byte j and element j + n/2 the
 * high nibble.
 *
 * All functions are pure and may be called from any thread.
 * Source: the format of the ggml project (facts only). */
#ifndef OLL_KERNELS_QUANT_H
#define OLL_KERNELS_QUANT_H

#include "engine/base/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUANT_K = 256 /* elements of a super-block */ };

#define QUANT_PACKED __attribute__((packed))

/* ---- blocks of 32 ---- */

struct block_q4_0 { /* x = d * (q - 8), low half first */
    uint16_t d;     /* f16, as every d, m and s below unless noted */
    uint8_t qs[16];
} QUANT_PACKED;

struct block_q4_1 { /* x = d * q + m, low half first */
    uint16_t d, m;
    uint8_t qs[16];
} QUANT_PACKED;

struct block_q5_0 { /* x = d * (q - 16); the fifth bit of element e is bit e of qh */
    uint16_t d;
    uint32_t qh;
    uint8_t qs[16];
} QUANT_PACKED;

struct block_q5_1 { /* x = d * q + m */
    uint16_t d, m;
    uint32_t qh;
    uint8_t qs[16];
} QUANT_PACKED;

struct block_q8_0 { /* x = d * q */
    uint16_t d;
    int8_t qs[32];
} QUANT_PACKED;

struct block_q8_1 { /* x = d * q; activations only, partner of types with a minimum */
    uint16_t d, s;  /* s = d * sum of qs */
    int8_t qs[32];
} QUANT_PACKED;

struct block_iq4_nl { /* x = d * quant_values_iq4nl[q], low half first */
    uint16_t d;
    uint8_t qs[16];
} QUANT_PACKED;

struct block_mxfp4 { /* x = 2^(e - 128) * quant_values_fp4[q], low half first; e = 255 is NaN to
                        the OCP standard and 2^127 here */
    uint8_t e;
    uint8_t qs[16];
} QUANT_PACKED;

/* ---- super-blocks of 256: K-quants ---- */

struct block_q2_k { /* 16 sub-blocks of 16: x = d * (scale & 15) * q - dmin * (scale >> 4) */
    uint8_t scales[16];
    uint8_t qs[64]; /* half h: bytes 32h.., planes of 2 bits */
    uint16_t d, dmin;
} QUANT_PACKED;

struct block_q3_k {    /* 16 sub-blocks of 16: x = d * scale * (q - 4), signed 6-bit scales */
    uint8_t hmask[32]; /* third bit of q */
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
} QUANT_PACKED;

struct block_q4_k { /* 8 sub-blocks of 32: x = d * scale * q - dmin * min, 6-bit scales and mins */
    uint16_t d, dmin;
    uint8_t scales[12]; /* unpacked by quant_scale_min_k4 */
    uint8_t qs[128];    /* 32 bytes hold sub-blocks 2c (low nibbles) and 2c + 1 (high) */
} QUANT_PACKED;

struct block_q5_k { /* as q4_k with a fifth bit: bit j of qh[l] for element l of sub-block j */
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} QUANT_PACKED;

struct block_q6_k { /* 16 sub-blocks of 16: x = d * scale * (q - 32) */
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
} QUANT_PACKED;

struct block_q8_k { /* x = d * q; activations only, partner of all super-blocks */
    float d;
    int8_t qs[QUANT_K];
    int16_t bsums[16]; /* sum of each 16 qs */
} QUANT_PACKED;

/* ---- super-blocks of 256: grids (quant_grids.h) ----
 * ib = 0..7 is a sub-block of 32, l = 0..3 a group of 8 in it. */

struct block_iq2_xxs { /* x = d * (0.5 + scale) / 4 * grid * sign */
    uint16_t d;
    uint32_t qs[16]; /* per ib: four index bytes; then 4 x 7 sign bits and a 4-bit scale on top */
} QUANT_PACKED;

struct block_iq2_xs {
    uint16_t d;
    uint16_t qs[32]; /* index | signs << 9 */
    uint8_t scales[8];
} QUANT_PACKED;

struct block_iq2_s {
    uint16_t d;
    uint8_t qs[32]; /* low 8 bits of the index */
    uint8_t signs[32];
    uint8_t qh[8]; /* 2 high bits of the index per group */
    uint8_t scales[8];
} QUANT_PACKED;

struct block_iq3_xxs { /* x = d * (0.5 + scale) / 2 * grid * sign; two entries of 4 per group */
    uint16_t d;
    uint8_t qs[64];
    uint32_t signs[8]; /* 4 x 7 sign bits and a 4-bit scale on top */
} QUANT_PACKED;

struct block_iq3_s { /* x = d * (1 + 2 * scale) * grid * sign */
    uint16_t d;
    uint8_t qs[64];
    uint8_t qh[8]; /* ninth bit of the index */
    uint8_t signs[32];
    uint8_t scales[4];
} QUANT_PACKED;

struct block_iq1_s { /* x = d * (2 * scale + 1) * (grid +- 1/8) */
    uint16_t d;
    uint8_t qs[32];
    uint16_t qh[8]; /* 4 x 3 high index bits, 3 bits of scale, sign of the 1/8 */
} QUANT_PACKED;

struct block_iq1_m { /* as iq1_s with a scale per 16; d is spread over the top nibbles of scales */
    uint8_t qs[32];
    uint8_t qh[16];
    uint16_t scales[4];
} QUANT_PACKED;

struct block_iq4_xs { /* x = d * (scale - 32) * quant_values_iq4nl[q], 6-bit scales */
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
} QUANT_PACKED;

/* ---- ternary, one and two bits, NVFP4 ---- */

struct block_tq1_0 { /* x = d * (digit - 1), five base-3 digits per byte, four in qh */
    uint8_t qs[48];
    uint8_t qh[4];
    uint16_t d;
} QUANT_PACKED;

struct block_tq2_0 { /* x = d * (q - 1) */
    uint8_t qs[64];
    uint16_t d;
} QUANT_PACKED;

struct block_nvfp4 {   /* 64 elements; x = scale / 2 * quant_values_fp4[q], a scale per 16 */
    uint8_t scales[4]; /* unsigned E4M3 */
    uint8_t qs[32];    /* 8 bytes per sub-block, low half first */
} QUANT_PACKED;

struct block_q1_0 { /* 128 elements; bit set: d, clear: -d */
    uint16_t d;
    uint8_t qs[16];
} QUANT_PACKED;

struct block_q2_0 { /* 64 elements; x = d * (q - 1), four consecutive elements per byte */
    uint16_t d;
    uint8_t qs[16];
} QUANT_PACKED;

/* The 6-bit packing of Q4_K and Q5_K: scale and minimum of sub-block j (0..7). */
static inline void quant_scale_min_k4(const uint8_t scales[12], int j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = scales[j] & 63;
        *min = scales[j + 4] & 63;
    } else {
        *scale = (uint8_t)((scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4);
        *min = (uint8_t)(scales[j + 4] >> 4 | (scales[j] >> 6) << 4);
    }
}

/* Signed scales of the 16 sub-blocks of Q3_K. */
void quant_scales_q3_k(const uint8_t packed[12], int8_t scales[16]);

/* Scale of an MXFP4 block, 2^(e - 128): half the standard's, since quant_values_fp4 is doubled.
 * A subnormal f32 for e < 2. */
float quant_mxfp4_scale(uint8_t e);
/* Half of the unsigned E4M3 value of an NVFP4 scale byte. 0x7f, the NaN, counts as 0; a set top bit
 * is no part of the format and ignored, so that 0xff is the number 480. */
float quant_nvfp4_scale(uint8_t byte);

/* n elements of any dtype as f32. `n` is a multiple of the block; src [row_bytes(n)] of any
 * alignment, dst [n], no overlap. Scales may be infinite or NaN: the result then is, too.
 * Integers and f64 are converted by the rules of C. */
void oll_dequantize_row(enum oll_dtype dtype, const void *src, float *dst, size_t n);

/* Whether oll_quantize_row writes the type. */
bool oll_quantize_supported(enum oll_dtype dtype);

/* Rounds n values to a dtype for which oll_quantize_supported holds; `n` is a multiple of the
 * block; src [n], dst [row_bytes(n)] of any alignment, no overlap. A block with a NaN or an
 * infinity gets a scale (or minimum) that is not finite and quants that are valid numbers: bad
 * values spoil their block, are never lost, and nothing overflows. */
void oll_quantize_row(enum oll_dtype dtype, const float *src, void *dst, size_t n);

#endif
