/* Decoders of the K-quants: super-blocks of 256 with quantised scales per sub-block. */
#include "kernels/half.h"
#include "kernels/quant.h"
#include "kernels/quant_rows.h"

/* The 2-bit planes of Q2_K and Q3_K. Half h of the super-block uses bytes 32h..32h+31; each shift
 * selects a plane of 32 elements, two sub-blocks of 16. */
struct plane2 {
    int byte;  /* first of the 16 bytes that hold the sub-block */
    int shift; /* 0, 2, 4 or 6 */
};

static struct plane2 plane2_of(int is) /* is = 0..15, sub-blocks in element order */
{
    return (struct plane2){.byte = is / 8 * 32 + is % 2 * 16, .shift = is % 8 / 2 * 2};
}

void quant_decode_q2_k(const void *src, float *dst, size_t n)
{
    const struct block_q2_k *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d), dmin = oll_f16_to_f32(b->dmin);
        for (int is = 0; is < 16; is++) {
            const struct plane2 p = plane2_of(is);
            const float scale = d * (float)(b->scales[is] & 15);
            const float min = dmin * (float)(b->scales[is] >> 4);
            for (int l = 0; l < 16; l++)
                *dst++ = scale * (float)(b->qs[p.byte + l] >> p.shift & 3) - min;
        }
    }
}

void quant_scales_q3_k(const uint8_t packed[12], int8_t scales[16])
{
    for (int k = 0; k < 16; k++) {
        const int low = k < 8 ? packed[k] & 15 : packed[k - 8] >> 4;
        const int high = packed[8 + k % 4] >> 2 * (k / 4) & 3;
        scales[k] = (int8_t)((low | high << 4) - 32);
    }
}

void quant_decode_q3_k(const void *src, float *dst, size_t n)
{
    const struct block_q3_k *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        int8_t scales[16];
        quant_scales_q3_k(b->scales, scales);
        for (int is = 0; is < 16; is++) {
            const struct plane2 p = plane2_of(is);
            const float scale = d * (float)scales[is];
            for (int l = 0; l < 16; l++) {
                /* One bit of hmask per plane of both halves; the byte repeats with the plane. */
                const int high = b->hmask[p.byte % 32 + l] >> is / 2 & 1;
                const int q = b->qs[p.byte + l] >> p.shift & 3;
                *dst++ = scale * (float)(q - (high ? 0 : 4));
            }
        }
    }
}

void quant_decode_q4_k(const void *src, float *dst, size_t n)
{
    const struct block_q4_k *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d), dmin = oll_f16_to_f32(b->dmin);
        for (int j = 0; j < 8; j++) {
            const uint8_t *qs = b->qs + j / 2 * 32;
            uint8_t sc, mn;
            quant_scale_min_k4(b->scales, j, &sc, &mn);
            const float scale = d * (float)sc, min = dmin * (float)mn;
            for (int l = 0; l < 32; l++)
                *dst++ = scale * (float)(qs[l] >> j % 2 * 4 & 15) - min;
        }
    }
}

void quant_decode_q5_k(const void *src, float *dst, size_t n)
{
    const struct block_q5_k *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d), dmin = oll_f16_to_f32(b->dmin);
        for (int j = 0; j < 8; j++) {
            const uint8_t *qs = b->qs + j / 2 * 32;
            uint8_t sc, mn;
            quant_scale_min_k4(b->scales, j, &sc, &mn);
            const float scale = d * (float)sc, min = dmin * (float)mn;
            for (int l = 0; l < 32; l++) {
                const int q = (qs[l] >> j % 2 * 4 & 15) | (b->qh[l] >> j & 1) << 4;
                *dst++ = scale * (float)q - min;
            }
        }
    }
}

void quant_decode_q6_k(const void *src, float *dst, size_t n)
{
    const struct block_q6_k *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int is = 0; is < 16; is++) {
            /* Sub-block is = 8h + 2p + g: half h, plane p of 32 elements, 16 of them. Planes 0 and
             * 1 are the low nibbles of 64 bytes, 2 and 3 the high ones; qh has 2 bits a plane. */
            const int h = is / 8, p = is % 8 / 2, g = is % 2;
            const uint8_t *ql = b->ql + 64 * h + 32 * (p % 2) + 16 * g;
            const uint8_t *qh = b->qh + 32 * h + 16 * g;
            const float scale = d * (float)b->scales[is];
            for (int l = 0; l < 16; l++) {
                const int q = (ql[l] >> p / 2 * 4 & 15) | (qh[l] >> 2 * p & 3) << 4;
                *dst++ = scale * (float)(q - 32);
            }
        }
    }
}

void quant_decode_q8_k(const void *src, float *dst, size_t n)
{
    const struct block_q8_k *b = src;
    for (; n > 0; n -= QUANT_K, b++)
        for (int j = 0; j < QUANT_K; j++)
            *dst++ = b->d * (float)b->qs[j];
}
