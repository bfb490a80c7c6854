/* Decoders of the types without super-block structure: 32-element blocks, 4-bit floats, ternary and
 * one- and two-bit types. */
#include "kernels/half.h"
#include "kernels/quant.h"
#include "kernels/quant_grids.h"
#include "kernels/quant_rows.h"

const int8_t quant_values_iq4nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};

const int8_t quant_values_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void quant_decode_q4_0(const void *src, float *dst, size_t n)
{
    const struct block_q4_0 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)((b->qs[j] & 15) - 8);
            dst[j + 16] = d * (float)((b->qs[j] >> 4) - 8);
        }
    }
}

void quant_decode_q4_1(const void *src, float *dst, size_t n)
{
    const struct block_q4_1 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d), m = oll_f16_to_f32(b->m);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)(b->qs[j] & 15) + m;
            dst[j + 16] = d * (float)(b->qs[j] >> 4) + m;
        }
    }
}

/* Element e of the 5-bit types, which share the layout of their quants. */
static int quant5(const uint8_t qs[16], uint32_t qh, int e)
{
    int low = e < 16 ? qs[e] & 15 : qs[e - 16] >> 4;
    return low | (int)(qh >> e & 1) << 4;
}

void quant_decode_q5_0(const void *src, float *dst, size_t n)
{
    const struct block_q5_0 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d);
        for (int e = 0; e < 32; e++)
            dst[e] = d * (float)(quant5(b->qs, b->qh, e) - 16);
    }
}

void quant_decode_q5_1(const void *src, float *dst, size_t n)
{
    const struct block_q5_1 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d), m = oll_f16_to_f32(b->m);
        for (int e = 0; e < 32; e++)
            dst[e] = d * (float)quant5(b->qs, b->qh, e) + m;
    }
}

void quant_decode_q8_0(const void *src, float *dst, size_t n)
{
    const struct block_q8_0 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d);
        for (int j = 0; j < 32; j++)
            dst[j] = d * (float)b->qs[j];
    }
}

void quant_decode_q8_1(const void *src, float *dst, size_t n)
{
    const struct block_q8_1 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d);
        for (int j = 0; j < 32; j++)
            dst[j] = d * (float)b->qs[j];
    }
}

void quant_decode_iq4_nl(const void *src, float *dst, size_t n)
{
    const struct block_iq4_nl *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = oll_f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)quant_values_iq4nl[b->qs[j] & 15];
            dst[j + 16] = d * (float)quant_values_iq4nl[b->qs[j] >> 4];
        }
    }
}

float quant_mxfp4_scale(uint8_t e)
{
    return oll_bits_to_f32(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

void quant_decode_mxfp4(const void *src, float *dst, size_t n)
{
    const struct block_mxfp4 *b = src;
    for (; n > 0; n -= 32, b++, dst += 32) {
        const float d = quant_mxfp4_scale(b->e);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)quant_values_fp4[b->qs[j] & 15];
            dst[j + 16] = d * (float)quant_values_fp4[b->qs[j] >> 4];
        }
    }
}

float quant_nvfp4_scale(uint8_t byte)
{
    const int exponent = byte >> 3 & 15, mantissa = byte & 7;
    if (byte == 0x7f)
        return 0.0f;
    if (exponent == 0)
        return (float)mantissa * 0x1p-10f;
    /* (1 + mantissa / 8) * 2^(exponent - 7), halved. */
    return oll_bits_to_f32((uint32_t)(exponent - 7 - 1 + 127) << 23 | (uint32_t)mantissa << 20);
}

void quant_decode_nvfp4(const void *src, float *dst, size_t n)
{
    const struct block_nvfp4 *b = src;
    for (; n > 0; n -= 64, b++) {
        for (int s = 0; s < 4; s++, dst += 16) {
            const float d = quant_nvfp4_scale(b->scales[s]);
            for (int j = 0; j < 8; j++) {
                dst[j] = d * (float)quant_values_fp4[b->qs[8 * s + j] & 15];
                dst[j + 8] = d * (float)quant_values_fp4[b->qs[8 * s + j] >> 4];
            }
        }
    }
}

void quant_decode_q1_0(const void *src, float *dst, size_t n)
{
    const struct block_q1_0 *b = src;
    for (; n > 0; n -= 128, b++, dst += 128) {
        const float d = oll_f16_to_f32(b->d);
        for (int e = 0; e < 128; e++)
            dst[e] = b->qs[e >> 3] >> (e & 7) & 1 ? d : -d;
    }
}

void quant_decode_q2_0(const void *src, float *dst, size_t n)
{
    const struct block_q2_0 *b = src;
    for (; n > 0; n -= 64, b++, dst += 64) {
        const float d = oll_f16_to_f32(b->d);
        for (int e = 0; e < 64; e++)
            dst[e] = d * (float)((b->qs[e >> 2] >> 2 * (e & 3) & 3) - 1);
    }
}

/* Digit k of `n_bytes` bytes in base 3, most significant first: b * 3^k drops the digits before it
 * modulo 256, and times 3 / 256 is the next one. */
static float *ternary_plane(const uint8_t *qs, int n_bytes, int n_digits, float d, float *dst)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    for (int k = 0; k < n_digits; k++) {
        for (int j = 0; j < n_bytes; j++) {
            const uint8_t rest = (uint8_t)(qs[j] * pow3[k]);
            *dst++ = d * (float)((rest * 3 >> 8) - 1);
        }
    }
    return dst;
}

void quant_decode_tq1_0(const void *src, float *dst, size_t n)
{
    const struct block_tq1_0 *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        dst = ternary_plane(b->qs, 32, 5, d, dst);
        dst = ternary_plane(b->qs + 32, 16, 5, d, dst);
        dst = ternary_plane(b->qh, 4, 4, d, dst);
    }
}

void quant_decode_tq2_0(const void *src, float *dst, size_t n)
{
    const struct block_tq2_0 *b = src;
    for (; n > 0; n -= QUANT_K, b++, dst += QUANT_K) {
        const float d = oll_f16_to_f32(b->d);
        for (int e = 0; e < QUANT_K; e++) {
            /* 32 bytes hold four planes of 32 elements. */
            const int q = b->qs[e / 128 * 32 + e % 32] >> 2 * (e % 128 / 32) & 3;
            dst[e] = d * (float)(q - 1);
        }
    }
}
