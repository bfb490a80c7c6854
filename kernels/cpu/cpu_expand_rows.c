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

/* One row of a block on its way into the 16 of a tile. */
struct row256 {
    float d;
    int8_t scale[16];
    uint64_t q[32]; /* 256 bytes + 128 */
};

static void put_row256(struct cpu_block256 *out, uint32_t r, const struct row256 *row)
{
    out->d[r] = row->d;
    out->dmin[r] = 0;
    for (int j = 0; j < 16; j++) {
        out->scale[j][r] = row->scale[j];
        out->min[j][r] = 0;
    }
    for (int i = 0; i < 32; i++) {
        memcpy(out->q[2 * i][r], &row->q[i], 4);
        memcpy(out->q[2 * i + 1][r], (const char *)&row->q[i] + 4, 4);
    }
}

/* Eight magnitudes 1 .. 127 with signs (bit k: value k is negative), biased. */
static uint64_t with_signs(uint64_t grid, uint32_t signs)
{
    const uint64_t bits = BYTES((uint64_t)signs) & UINT64_C(0x8040201008040201);
    const uint64_t ones = (bits + BYTES(0x7f)) >> 7 & BYTES(1);
    return ((grid ^ ones * 255) + ones) ^ BYTES(0x80);
}

static void row_iq2_xxs(const void *src, struct row256 *out)
{
    const struct block_iq2_xxs *b = src;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int ib = 0; ib < 8; ib++) {
        const uint32_t index = b->qs[2 * ib], aux = b->qs[2 * ib + 1];
        out->scale[2 * ib] = out->scale[2 * ib + 1] = (int8_t)(2 * (aux >> 28) + 1);
        for (int l = 0; l < 4; l++)
            out->q[4 * ib + l] = with_signs(quant_grid_iq2xxs[index >> 8 * l & 255],
                                            quant_signs(aux >> 7 * l & 127));
    }
}

static void row_iq2_xs(const void *src, struct row256 *out)
{
    const struct block_iq2_xs *b = src;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const uint32_t q = b->qs[i];
        out->scale[i / 2] = (int8_t)(2 * (b->scales[i / 4] >> i / 2 % 2 * 4 & 15) + 1);
        out->q[i] = with_signs(quant_grid_iq2xs[q & 511], quant_signs(q >> 9));
    }
}

static void row_iq2_s(const void *src, struct row256 *out)
{
    const struct block_iq2_s *b = src;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const int high = b->qh[i / 4] >> 2 * (i % 4) & 3;
        out->scale[i / 2] = (int8_t)(2 * (b->scales[i / 4] >> i / 2 % 2 * 4 & 15) + 1);
        out->q[i] = with_signs(quant_grid_iq2s[b->qs[i] | high << 8], b->signs[i]);
    }
}

static void row_iq3_xxs(const void *src, struct row256 *out)
{
    const struct block_iq3_xxs *b = src;
    out->d = oll_f16_to_f32(b->d) * 0.25f;
    for (int i = 0; i < 32; i++) {
        const uint32_t aux = b->signs[i / 4];
        const uint8_t *qs = b->qs + 2 * i;
        const uint64_t low = quant_grid_iq3xxs[qs[0]], high = quant_grid_iq3xxs[qs[1]];
        out->scale[i / 2] = (int8_t)(2 * (aux >> 28) + 1);
        out->q[i] = with_signs(low | high << 32, quant_signs(aux >> 7 * (i % 4) & 127));
    }
}

static void row_iq3_s(const void *src, struct row256 *out)
{
    const struct block_iq3_s *b = src;
    out->d = oll_f16_to_f32(b->d);
    for (int i = 0; i < 32; i++) {
        const int ib = i / 4, bits = b->qh[ib] >> 2 * (i % 4);
        const uint64_t low = quant_grid_iq3s[b->qs[2 * i] | (bits & 1) << 8];
        const uint64_t high = quant_grid_iq3s[b->qs[2 * i + 1] | (bits >> 1 & 1) << 8];
        out->scale[i / 2] = (int8_t)(2 * (b->scales[ib / 2] >> ib % 2 * 4 & 15) + 1);
        out->q[i] = with_signs(low | high << 32, b->signs[i]);
    }
}

/* Values -1, 0, 1 (signed bytes) plus or minus an eighth, times eight, biased. The values are taken
 * as 0, 1, 2 first, so that no byte carries into the next. */
static uint64_t ternary_moved(uint64_t grid, bool minus)
{
    const uint64_t up = ((grid & BYTES(3)) + BYTES(1)) & BYTES(3);
    return (up << 3) + BYTES(minus ? UINT64_C(119) : UINT64_C(121));
}

static void row_iq1_s(const void *src, struct row256 *out)
{
    const struct block_iq1_s *b = src;
    out->d = oll_f16_to_f32(b->d) * 0.125f;
    for (int i = 0; i < 32; i++) {
        const int qh = b->qh[i / 4], index = b->qs[i] | (qh >> 3 * (i % 4) & 7) << 8;
        out->scale[i / 2] = (int8_t)(2 * (qh >> 12 & 7) + 1);
        out->q[i] = ternary_moved(quant_grid_iq1s[index], qh & 0x8000);
    }
}

static void row_iq1_m(const void *src, struct row256 *out)
{
    const struct block_iq1_m *b = src;
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

static void row_tq1_0(const void *src, struct row256 *out)
{
    const struct block_tq1_0 *b = src;
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

static void row_tq2_0(const void *src, struct row256 *out)
{
    const struct block_tq2_0 *b = src;
    out->d = oll_f16_to_f32(b->d);
    memset(out->scale, 1, sizeof out->scale);
    for (int i = 0; i < 32; i++) { /* 32 bytes hold four planes of 32 elements */
        uint64_t v;
        memcpy(&v, b->qs + i / 16 * 32 + i % 4 * 8, 8);
        out->q[i] = (v >> 2 * (i % 16 / 4) & BYTES(3)) + BYTES(127);
    }
}

static void expand_rows(const struct cpu_tile *t, size_t offset,
                        void (*row)(const void *src, struct row256 *out), struct cpu_block256 *out)
{
    static const struct row256 zeros;
    for (uint32_t r = 0; r < ROWS; r++) {
        struct row256 one = zeros;
        if (r < t->n_rows)
            row(t->w + r * t->w_stride + offset, &one);
        put_row256(out, r, &one);
    }
}

#define EXPAND_ROWS(name)                                                                          \
    void cpu_expand_##name(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)         \
    {                                                                                              \
        expand_rows(t, b * sizeof(struct block_##name), row_##name, out);                          \
    }
EXPAND_ROWS(iq2_xxs)
EXPAND_ROWS(iq2_xs)
EXPAND_ROWS(iq2_s)
EXPAND_ROWS(iq3_xxs)
EXPAND_ROWS(iq3_s)
EXPAND_ROWS(iq1_s)
EXPAND_ROWS(iq1_m)
EXPAND_ROWS(tq1_0)
EXPAND_ROWS(tq2_0)

/* ---- blocks of 128 and 64, used in pieces of 32 ---- */

static void put_row32(struct cpu_block32 *out, uint32_t r, float d, const uint8_t q[32])
{
    out->d[0][r] = out->d[1][r] = d;
    out->m[r] = 0;
    for (int g = 0; g < 8; g++)
        memcpy(out->q[g][r], q + 4 * g, 4);
}

void cpu_expand_q1_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        uint8_t q[32] = {0};
        float d = 0;
        if (r < t->n_rows) {
            const struct block_q1_0 *s = (const void *)(t->w + r * t->w_stride);
            s += b / 4;
            d = oll_f16_to_f32(s->d);
            for (int e = 0; e < 32; e++)
                q[e] = s->qs[b % 4 * 4 + (uint32_t)(e / 8)] >> e % 8 & 1 ? 129 : 127;
        }
        put_row32(out, r, d, q);
    }
}

void cpu_expand_q2_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        uint8_t q[32] = {0};
        float d = 0;
        if (r < t->n_rows) {
            const struct block_q2_0 *s = (const void *)(t->w + r * t->w_stride);
            s += b / 2;
            d = oll_f16_to_f32(s->d);
            for (int e = 0; e < 32; e++)
                q[e] = (uint8_t)((s->qs[b % 2 * 8 + (uint32_t)(e / 4)] >> 2 * (e % 4) & 3) + 127);
        }
        put_row32(out, r, d, q);
    }
}
