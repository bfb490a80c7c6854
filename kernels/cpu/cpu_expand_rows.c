/* Expansion of the types that stay as the file has them: grids, ternary, one and two bits.
 *
 * Their weights are d * scale * q with a small odd or unit scale per 16 or 32 and a signed byte q:
 * halves and eighths of the decoding formulas (kernels/quant.h) move into d, exactly. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/half.h"
#include "kernels/quant.h"
#include "kernels/quant_grids.h"

#include <string.h>

enum { ROWS = CPU_PANEL_ROWS };

#define BYTES(x) ((x) * UINT64_C(0x0101010101010101))

/* What turns 8 magnitudes into values + 128, by the 8 sign bits: magnitudes are xor-ed with it,
 * which gives 128 + x or 127 - x, and its low bits added. */
#define SIGN(bits, k) ((uint64_t)((bits) >> (k) & 1 ? 0x7f : 0x80) << 8 * (k))
#define SIGNS(bits)                                                                                \
    (SIGN(bits, 0) | SIGN(bits, 1) | SIGN(bits, 2) | SIGN(bits, 3) | SIGN(bits, 4) |               \
     SIGN(bits, 5) | SIGN(bits, 6) | SIGN(bits, 7))
#define TIMES4(f, b)  f(b), f((b) + 1), f((b) + 2), f((b) + 3)
#define TIMES16(f, b) TIMES4(f, b), TIMES4(f, (b) + 4), TIMES4(f, (b) + 8), TIMES4(f, (b) + 12)
#define TIMES64(f, b)                                                                              \
    TIMES16(f, b), TIMES16(f, (b) + 16), TIMES16(f, (b) + 32), TIMES16(f, (b) + 48)
static const uint64_t signs8[256] = {TIMES64(SIGNS, 0), TIMES64(SIGNS, 64), TIMES64(SIGNS, 128),
                                     TIMES64(SIGNS, 192)};

/* The same by seven bits: the eighth makes the number of minus signs even. */
#define PARITY(b)     (((b) ^ (b) >> 1 ^ (b) >> 2 ^ (b) >> 3 ^ (b) >> 4 ^ (b) >> 5 ^ (b) >> 6) & 1)
#define SIGNS_EVEN(b) SIGNS((b) | PARITY(b) << 7)
static const uint64_t signs7[128] = {TIMES64(SIGNS_EVEN, 0), TIMES64(SIGNS_EVEN, 64)};

static uint64_t with_signs(uint64_t grid, uint64_t signs)
{
    return (grid ^ signs) + (signs & BYTES(1));
}

void cpu_expand_row_iq2_xxs(const void *block, struct cpu_row256 *out)
{
    const struct block_iq2_xxs *b = block;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int ib = 0; ib < 8; ib++) {
        const uint32_t index = b->qs[2 * ib], aux = b->qs[2 * ib + 1];
        out->scale[2 * ib] = out->scale[2 * ib + 1] = (int8_t)(2 * (aux >> 28) + 1);
        for (int l = 0; l < 4; l++)
            out->q[4 * ib + l] =
                with_signs(quant_grid_iq2xxs[index >> 8 * l & 255], signs7[aux >> 7 * l & 127]);
    }
}

void cpu_expand_row_iq2_xs(const void *block, struct cpu_row256 *out)
{
    const struct block_iq2_xs *b = block;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const uint32_t q = b->qs[i];
        out->scale[i / 2] = (int8_t)(2 * (b->scales[i / 4] >> i / 2 % 2 * 4 & 15) + 1);
        out->q[i] = with_signs(quant_grid_iq2xs[q & 511], signs7[q >> 9]);
    }
}

void cpu_expand_row_iq2_s(const void *block, struct cpu_row256 *out)
{
    const struct block_iq2_s *b = block;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const int high = b->qh[i / 4] >> 2 * (i % 4) & 3;
        out->scale[i / 2] = (int8_t)(2 * (b->scales[i / 4] >> i / 2 % 2 * 4 & 15) + 1);
        out->q[i] = with_signs(quant_grid_iq2s[b->qs[i] | high << 8], signs8[b->signs[i]]);
    }
}

void cpu_expand_row_iq3_xxs(const void *block, struct cpu_row256 *out)
{
    const struct block_iq3_xxs *b = block;
    out->d = oll_f16_to_f32(b->d) * 0.25f;
    for (int i = 0; i < 32; i++) {
        const uint32_t aux = b->signs[i / 4];
        const uint8_t *qs = b->qs + 2 * i;
        const uint64_t low = quant_grid_iq3xxs[qs[0]], high = quant_grid_iq3xxs[qs[1]];
        out->scale[i / 2] = (int8_t)(2 * (aux >> 28) + 1);
        out->q[i] = with_signs(low | high << 32, signs7[aux >> 7 * (i % 4) & 127]);
    }
}

void cpu_expand_row_iq3_s(const void *block, struct cpu_row256 *out)
{
    const struct block_iq3_s *b = block;
    out->d = oll_f16_to_f32(b->d);
    for (int i = 0; i < 32; i++) {
        const int ib = i / 4, bits = b->qh[ib] >> 2 * (i % 4);
        const uint64_t low = quant_grid_iq3s[b->qs[2 * i] | (bits & 1) << 8];
        const uint64_t high = quant_grid_iq3s[b->qs[2 * i + 1] | (bits >> 1 & 1) << 8];
        out->scale[i / 2] = (int8_t)(2 * (b->scales[ib / 2] >> ib % 2 * 4 & 15) + 1);
        out->q[i] = with_signs(low | high << 32, signs8[b->signs[i]]);
    }
}

/* Values -1, 0, 1 (signed bytes) plus or minus an eighth, times eight, biased. The values are taken
 * as 0, 1, 2 first, so that no byte carries into the next. */
static uint64_t ternary_moved(uint64_t grid, bool minus)
{
    const uint64_t up = ((grid & BYTES(3)) + BYTES(1)) & BYTES(3);
    return (up << 3) + BYTES(minus ? UINT64_C(119) : UINT64_C(121));
}

void cpu_expand_row_iq1_s(const void *block, struct cpu_row256 *out)
{
    const struct block_iq1_s *b = block;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const int qh = b->qh[i / 4], index = b->qs[i] | (qh >> 3 * (i % 4) & 7) << 8;
        out->scale[i / 2] = (int8_t)(2 * (qh >> 12 & 7) + 1);
        out->q[i] = ternary_moved(quant_grid_iq1s[index], qh & 0x8000);
    }
}

void cpu_expand_row_iq1_m(const void *block, struct cpu_row256 *out)
{
    const struct block_iq1_m *b = block;
    const uint32_t s0 = b->scales[0], s1 = b->scales[1], s2 = b->scales[2], s3 = b->scales[3];
    const uint32_t d = s0 >> 12 | (s1 >> 8 & 0xf0) | (s2 >> 4 & 0xf00) | (s3 & 0xf000);
    out->d = oll_f16_to_f32((uint16_t)d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const int ib = i / 4, h = b->qh[i / 2] >> 4 * (i % 2) & 15;
        const int sc = b->scales[ib / 2] >> (6 * (ib % 2) + 3 * (i % 4 / 2)) & 7;
        out->scale[i / 2] = (int8_t)(2 * sc + 1);
        out->q[i] = ternary_moved(quant_grid_iq1s[b->qs[i] | (h & 7) << 8], h & 8);
    }
}

/* Digit k of each of eight bytes in base 3 (most significant first), minus one, biased. */
static uint64_t ternary_digit(const uint8_t *qs, int n, int k)
{
    static const uint8_t pow3[5] = {1, 3, 9, 27, 81};
    uint64_t q = 0;
    for (int j = 0; j < n; j++) {
        const uint8_t rest = (uint8_t)(qs[j] * pow3[k]);
        q |= (uint64_t)((rest * 3 >> 8) + 127) << 8 * j;
    }
    return q;
}

void cpu_expand_row_tq1_0(const void *block, struct cpu_row256 *out)
{
    const struct block_tq1_0 *b = block;
    out->d = oll_f16_to_f32(b->d);
    memset(out->scale, 1, sizeof out->scale);
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < 4; i++)
            out->q[4 * k + i] = ternary_digit(b->qs + 8 * i, 8, k);
        for (int i = 0; i < 2; i++)
            out->q[20 + 2 * k + i] = ternary_digit(b->qs + 32 + 8 * i, 8, k);
    }
    for (int k = 0; k < 4; k += 2)
        out->q[30 + k / 2] = ternary_digit(b->qh, 4, k) | ternary_digit(b->qh, 4, k + 1) << 32;
}

void cpu_expand_row_tq2_0(const void *block, struct cpu_row256 *out)
{
    const struct block_tq2_0 *b = block;
    out->d = oll_f16_to_f32(b->d);
    memset(out->scale, 1, sizeof out->scale);
    for (int i = 0; i < 32; i++) { /* 32 bytes hold four planes of 32 elements */
        uint64_t v;
        memcpy(&v, b->qs + i / 16 * 32 + i % 4 * 8, 8);
        out->q[i] = (v >> 2 * (i % 16 / 4) & BYTES(3)) + BYTES(127);
    }
}

/* ---- blocks of 128 and 64, used in pieces of 32 ---- */

/* Piece b of 32 weights of one row of Q1_0, a bit each: 1 or -1. */
static float row_q1_0(const uint8_t *row, uint32_t b, uint64_t q[4])
{
    const struct block_q1_0 *s = (const struct block_q1_0 *)(const void *)row + b / 4;
    for (uint32_t i = 0; i < 4; i++) /* magnitude 1, the sign is the complement of the bit */
        q[i] = with_signs(BYTES(1), signs8[255 - s->qs[b % 4 * 4 + i]]);
    return oll_f16_to_f32(s->d);
}

/* The same of Q2_0, two bits each: -1, 0, 1, 2. */
static float row_q2_0(const uint8_t *row, uint32_t b, uint64_t q[4])
{
    const struct block_q2_0 *s = (const struct block_q2_0 *)(const void *)row + b / 2;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t v = 0;
        for (uint32_t j = 0; j < 8; j++)
            v |= (uint64_t)(s->qs[b % 2 * 8 + 2 * i + j / 4] >> 2 * (j % 4) & 3) << 8 * j;
        q[i] = v + BYTES(127);
    }
    return oll_f16_to_f32(s->d);
}

static void expand32(const struct cpu_tile *t, uint32_t b,
                     float (*row)(const uint8_t *row, uint32_t b, uint64_t q[4]),
                     struct cpu_block32 *out)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        uint64_t q[4] = {0};
        out->d[0][r] = out->d[1][r] = r < t->n_rows ? row(t->w + r * t->w_stride, b, q) : 0;
        out->m[r] = 0;
        for (int g = 0; g < 8; g++)
            memcpy(out->q[g][r], (const uint8_t *)q + 4 * g, 4);
    }
}

void cpu_expand_q1_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    expand32(t, b, row_q1_0, out);
}

void cpu_expand_q2_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    expand32(t, b, row_q2_0, out);
}
