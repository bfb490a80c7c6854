/* Decoders of the I-quants: groups of 4 or 8 values picked from a grid. In all of them ib is a
 * sub-block of 32 and l a group of 8 in it. */
#include "kernels/half.h"
#include "kernels/quant.h"
#include "kernels/quant_grids.h"
#include "kernels/quant_rows.h"

/* Writes eight magnitudes with their signs. */
static float *put8(float *dst, float scale, uint64_t grid, uint8_t signs)
{
    for (int k = 0; k < 8; k++) {
        const float x = scale * (float)(grid >> 8 * k & 255);
        *dst++ = signs >> k & 1 ? -x : x;
    }
    return dst;
}

void quant_decode_iq2_xxs(const void *src, float *dst, size_t n)
{
    const struct block_iq2_xxs *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int ib = 0; ib < 8; ib++) {
            const uint32_t index = b->qs[2 * ib], aux = b->qs[2 * ib + 1];
            const float scale = d * (0.5f + (float)(aux >> 28)) * 0.25f;
            for (int l = 0; l < 4; l++)
                dst = put8(dst, scale, quant_grid_iq2xxs[index >> 8 * l & 255],
                           quant_signs(aux >> 7 * l & 127));
        }
    }
}

/* Scale of groups l = 0, 1 (low nibble) and 2, 3 (high nibble). */
static float scale_iq2(float d, uint8_t scales, int l)
{
    return d * (0.5f + (float)(scales >> l / 2 * 4 & 15)) * 0.25f;
}

void quant_decode_iq2_xs(const void *src, float *dst, size_t n)
{
    const struct block_iq2_xs *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int i = 0; i < 32; i++) {
            const uint32_t q = b->qs[i];
            dst = put8(dst, scale_iq2(d, b->scales[i / 4], i % 4), quant_grid_iq2xs[q & 511],
                       quant_signs(q >> 9));
        }
    }
}

void quant_decode_iq2_s(const void *src, float *dst, size_t n)
{
    const struct block_iq2_s *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int i = 0; i < 32; i++) {
            const int high = b->qh[i / 4] >> 2 * (i % 4) & 3;
            dst = put8(dst, scale_iq2(d, b->scales[i / 4], i % 4),
                       quant_grid_iq2s[b->qs[i] | high << 8], b->signs[i]);
        }
    }
}

void quant_decode_iq3_xxs(const void *src, float *dst, size_t n)
{
    const struct block_iq3_xxs *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int ib = 0; ib < 8; ib++) {
            const uint32_t aux = b->signs[ib];
            const float scale = d * (0.5f + (float)(aux >> 28)) * 0.5f;
            for (int l = 0; l < 4; l++) {
                const uint8_t *qs = b->qs + 8 * ib + 2 * l;
                const uint64_t low = quant_grid_iq3xxs[qs[0]], high = quant_grid_iq3xxs[qs[1]];
                dst = put8(dst, scale, low | high << 32, quant_signs(aux >> 7 * l & 127));
            }
        }
    }
}

void quant_decode_iq3_s(const void *src, float *dst, size_t n)
{
    const struct block_iq3_s *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int ib = 0; ib < 8; ib++) {
            const float scale = d * (float)(1 + 2 * (b->scales[ib / 2] >> ib % 2 * 4 & 15));
            for (int l = 0; l < 4; l++) {
                const uint8_t *qs = b->qs + 8 * ib + 2 * l;
                const int bits = b->qh[ib] >> 2 * l;
                const uint64_t low = quant_grid_iq3s[qs[0] | (bits & 1) << 8];
                const uint64_t high = quant_grid_iq3s[qs[1] | (bits >> 1 & 1) << 8];
                dst = put8(dst, scale, low | high << 32, b->signs[4 * ib + l]);
            }
        }
    }
}

/* Writes eight values -1, 0, 1 moved by delta. */
static float *put8_iq1(float *dst, float scale, uint64_t grid, float delta)
{
    for (int k = 0; k < 8; k++)
        *dst++ = scale * ((float)(int8_t)(grid >> 8 * k & 255) + delta);
    return dst;
}

void quant_decode_iq1_s(const void *src, float *dst, size_t n)
{
    const struct block_iq1_s *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int ib = 0; ib < 8; ib++) {
            const int qh = b->qh[ib];
            const float scale = d * (float)(2 * (qh >> 12 & 7) + 1);
            const float delta = qh & 0x8000 ? -0.125f : 0.125f;
            for (int l = 0; l < 4; l++) {
                const int index = b->qs[4 * ib + l] | (qh >> 3 * l & 7) << 8;
                dst = put8_iq1(dst, scale, quant_grid_iq1s[index], delta);
            }
        }
    }
}

void quant_decode_iq1_m(const void *src, float *dst, size_t n)
{
    const struct block_iq1_m *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const uint32_t s0 = b->scales[0], s1 = b->scales[1], s2 = b->scales[2], s3 = b->scales[3];
        const float d = oll_f16_to_f32(
            (uint16_t)(s0 >> 12 | (s1 >> 8 & 0xf0) | (s2 >> 4 & 0xf00) | (s3 & 0xf000)));
        for (int i = 0; i < 32; i++) { /* groups of 8; a scale serves two, a byte of qh two */
            const int ib = i / 4, l = i % 4;
            const int sc = b->scales[ib / 2] >> (6 * (ib % 2) + 3 * (l / 2)) & 7;
            const int h = b->qh[i / 2] >> 4 * (i % 2) & 15;
            dst = put8_iq1(dst, d * (float)(2 * sc + 1), quant_grid_iq1s[b->qs[i] | (h & 7) << 8],
                           h & 8 ? -0.125f : 0.125f);
        }
    }
}

void quant_decode_iq4_xs(const void *src, float *dst, size_t n)
{
    const struct block_iq4_xs *b = src;
    for (; n > 0; n -= QUANT_K, b++) {
        const float d = oll_f16_to_f32(b->d);
        for (int ib = 0; ib < 8; ib++, dst += 32) {
            const uint8_t *qs = b->qs + 16 * ib;
            const int low = b->scales_l[ib / 2] >> ib % 2 * 4 & 15;
            const int high = b->scales_h >> 2 * ib & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            for (int j = 0; j < 16; j++) {
                dst[j] = scale * (float)quant_values_iq4nl[qs[j] & 15];
                dst[j + 16] = scale * (float)quant_values_iq4nl[qs[j] >> 4];
            }
        }
    }
}
