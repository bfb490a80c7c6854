/* Expansion of the panel formats to signed bytes (layouts: cpu_panel.h). */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/half.h"
#include "kernels/quant.h"
#include "kernels/quant_grids.h"

#include <string.h>

enum { ROWS = CPU_PANEL_ROWS };

static void halves_to_f32(const uint8_t *src, float dst[ROWS])
{
    for (int r = 0; r < ROWS; r++) {
        uint16_t h;
        memcpy(&h, src + 2 * r, 2);
        dst[r] = oll_f16_to_f32(h);
    }
}

/* Scales of a block of 32 that has one f16 per row. */
static void one_scale(const uint8_t *head, struct cpu_block32 *out)
{
    halves_to_f32(head, out->d[0]);
    memcpy(out->d[1], out->d[0], sizeof out->d[1]);
    memset(out->m, 0, sizeof out->m);
}

/* Nibbles of `n` lines: the low ones are k-groups 0 .., the high ones follow after n groups; each
 * becomes value[nibble] + 128. */
static void nibble_lines(const uint8_t *lines, int n, const int8_t value[16], uint8_t q[][ROWS][4])
{
    uint8_t biased[16];
    for (int i = 0; i < 16; i++)
        biased[i] = (uint8_t)(value[i] + 128);
    for (int g = 0; g < n; g++) {
        const uint8_t *line = lines + g * CPU_LINE;
        uint8_t *low = &q[g][0][0], *high = &q[g + n][0][0];
        for (int i = 0; i < CPU_LINE; i++) {
            low[i] = biased[line[i] & 15];
            high[i] = biased[line[i] >> 4];
        }
    }
}

static const int8_t nibble_minus_8[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
static const int8_t nibble_as_is[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Five lines: fifth bits, nibbles; minus `bias`. */
static void five_bit_lines(const uint8_t *lines, int bias, uint8_t q[8][ROWS][4])
{
    nibble_lines(lines + CPU_LINE, 4, nibble_as_is, q);
    for (int g = 0; g < 8; g++) {
        uint8_t *group = &q[g][0][0];
        for (int i = 0; i < CPU_LINE; i++)
            group[i] = (uint8_t)(group[i] + ((lines[i] >> g & 1) << 4) - bias);
    }
}

static void expand_q4_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    one_scale(t->w + panel_head_q4_0(b), out);
    nibble_lines(t->w + panel_sub_q4_0(b), 4, nibble_minus_8, out->q);
}

static void expand_iq4_nl(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    one_scale(t->w + panel_head_iq4_nl(b), out);
    nibble_lines(t->w + panel_sub_iq4_nl(b), 4, quant_values_iq4nl, out->q);
}

static void expand_q4_1(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    const uint8_t *sub = t->w + panel_sub_q4_1(b);
    one_scale(sub, out);
    halves_to_f32(sub + 32, out->m);
    nibble_lines(sub + CPU_LINE, 4, nibble_as_is, out->q);
}

static void expand_q5_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    one_scale(t->w + panel_head_q5_0(b), out);
    five_bit_lines(t->w + panel_sub_q5_0(b), 16, out->q);
}

static void expand_q5_1(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    const uint8_t *sub = t->w + panel_sub_q5_1(b);
    one_scale(sub, out);
    halves_to_f32(sub + 32, out->m);
    five_bit_lines(sub + CPU_LINE, 0, out->q);
}

static void expand_q8_0(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    one_scale(t->w + panel_head_q8_0(b), out);
    memcpy(out->q, t->w + panel_sub_q8_0(b), sizeof out->q);
}

static void expand_mxfp4(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    const uint8_t *head = t->w + panel_head_mxfp4(b);
    for (int r = 0; r < ROWS; r++) {
        out->d[0][r] = out->d[1][r] = quant_mxfp4_scale(head[r]);
        out->m[r] = 0;
    }
    nibble_lines(t->w + panel_sub_mxfp4(b), 4, quant_values_fp4, out->q);
}

static void expand_nvfp4(const struct cpu_tile *t, uint32_t b, struct cpu_block32 *out)
{
    const uint8_t *sub = t->w + panel_sub_nvfp4(b / 2);
    memset(out->m, 0, sizeof out->m);
    for (uint32_t h = 0; h < 2; h++) {
        const uint32_t j = b % 2 * 2 + h;
        for (int r = 0; r < ROWS; r++)
            out->d[h][r] = quant_nvfp4_scale(sub[j * ROWS + (uint32_t)r]);
        nibble_lines(sub + (1 + 2 * j) * CPU_LINE, 2, quant_values_fp4, out->q + 4 * h);
    }
}

/* ---- super-blocks ---- */

/* Lines 0-3 of Q4_K and Q5_K. */
static void scales_k4(const uint8_t *sub, struct cpu_block256 *out)
{
    const uint8_t *high = sub + 3 * CPU_LINE;
    halves_to_f32(sub, out->d);
    halves_to_f32(sub + 32, out->dmin);
    for (unsigned j = 0; j < 8; j++) {
        const uint8_t *low = sub + CPU_LINE + j / 4 * CPU_LINE;
        for (unsigned r = 0; r < ROWS; r++) {
            const unsigned s = panel_scale_at(j, r), m = panel_min_at(j, r);
            out->scale[2 * j][r] = (int8_t)((low[s] & 15) | (high[s] >> j / 4 * 4 & 3) << 4);
            out->min[2 * j][r] = (uint8_t)(low[m] >> 4 | (high[m] >> (j / 4 * 4 + 2) & 3) << 4);
        }
        memcpy(out->scale[2 * j + 1], out->scale[2 * j], ROWS);
        memcpy(out->min[2 * j + 1], out->min[2 * j], ROWS);
    }
}

static void expand_q4_k(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)
{
    const uint8_t *sub = t->w + panel_sub_q4_k(b);
    scales_k4(sub, out);
    for (int j = 0; j < 8; j++)
        nibble_lines(sub + (4 + 4 * j) * CPU_LINE, 4, nibble_as_is, out->q + 8 * j);
}

static void expand_q5_k(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)
{
    const uint8_t *sub = t->w + panel_sub_q5_k(b);
    scales_k4(sub, out);
    for (int j = 0; j < 8; j++)
        five_bit_lines(sub + (4 + 5 * j) * CPU_LINE, 0, out->q + 8 * j);
}

static void no_mins(struct cpu_block256 *out)
{
    memset(out->dmin, 0, sizeof out->dmin);
    memset(out->min, 0, sizeof out->min);
}

static void expand_q6_k(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)
{
    const uint8_t *sub = t->w + panel_sub_q6_k(b);
    halves_to_f32(t->w + panel_head_q6_k(b), out->d);
    no_mins(out);
    memcpy(out->scale, sub, sizeof out->scale);
    for (int j = 0; j < 16; j++) {
        const uint8_t *lines = sub + (4 + 3 * j) * CPU_LINE;
        for (int g = 0; g < 4; g++) {
            const uint8_t *low = lines + g / 2 * CPU_LINE, *high = lines + 2 * CPU_LINE;
            uint8_t *q = &out->q[4 * j + g][0][0];
            for (int i = 0; i < CPU_LINE; i++) {
                const int v = (low[i] >> g % 2 * 4 & 15) | (high[i] >> 2 * g & 3) << 4;
                q[i] = (uint8_t)(v - 32 + 128);
            }
        }
    }
}

/* Two bits of each of four k-groups, minus `bias`. */
static void crumb_line(const uint8_t *line, int bias, uint8_t q[4][ROWS][4])
{
    for (int g = 0; g < 4; g++)
        for (int i = 0; i < CPU_LINE; i++)
            (&q[g][0][0])[i] = (uint8_t)((line[i] >> 2 * g & 3) - bias + 128);
}

static void expand_q2_k(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)
{
    const uint8_t *sub = t->w + panel_sub_q2_k(b);
    halves_to_f32(sub, out->d);
    halves_to_f32(sub + 32, out->dmin);
    for (unsigned j = 0; j < 16; j++) {
        const uint8_t *line = sub + (1 + j / 4) * CPU_LINE;
        for (unsigned r = 0; r < ROWS; r++) {
            out->scale[j][r] = (int8_t)(line[panel_scale_at(j, r)] & 15);
            out->min[j][r] = line[panel_min_at(j, r)] >> 4;
        }
        crumb_line(sub + (5 + j) * CPU_LINE, 0, out->q + 4 * j);
    }
}

static void expand_q3_k(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)
{
    const uint8_t *sub = t->w + panel_sub_q3_k(b);
    halves_to_f32(t->w + panel_head_q3_k(b), out->d);
    no_mins(out);
    for (unsigned j = 0; j < 16; j++) {
        for (unsigned r = 0; r < ROWS; r++) {
            const unsigned at = panel_scale_at(j, r);
            const int low = sub[j / 8 * CPU_LINE + at] >> j % 8 / 4 * 4 & 15;
            const int high = sub[2 * CPU_LINE + at] >> 2 * (j / 4) & 3;
            out->scale[j][r] = (int8_t)((low | high << 4) - 32);
        }
        const uint8_t *lines = sub + (3 + 3 * (j / 2)) * CPU_LINE;
        crumb_line(lines + (1 + j % 2) * CPU_LINE, 4, out->q + 4 * j);
        for (unsigned g = 0; g < 4; g++)
            for (int i = 0; i < CPU_LINE; i++) {
                uint8_t *q = &out->q[4 * j + g][0][0] + i;
                *q = (uint8_t)(*q + (lines[i] >> (j % 2 * 4 + g) & 1) * 4);
            }
    }
}

static void expand_iq4_xs(const struct cpu_tile *t, uint32_t b, struct cpu_block256 *out)
{
    const uint8_t *sub = t->w + panel_sub_iq4_xs(b);
    halves_to_f32(sub, out->d);
    no_mins(out);
    for (unsigned j = 0; j < 8; j++) {
        for (unsigned r = 0; r < ROWS; r++) {
            const int low = sub[CPU_LINE + panel_scale_at(j, r)] >> j / 4 * 4 & 15;
            const int high = sub[32 + j % 2 * 16 + r] >> j / 2 * 2 & 3;
            out->scale[2 * j][r] = out->scale[2 * j + 1][r] = (int8_t)((low | high << 4) - 32);
        }
        nibble_lines(sub + (2 + 4 * j) * CPU_LINE, 4, quant_values_iq4nl, out->q + 8 * j);
    }
}

const struct cpu_expand *cpu_expand_of(enum oll_dtype dtype)
{
    static const struct cpu_expand table[OLL_DTYPE_COUNT] = {
        [OLL_Q4_0] = {.block32 = expand_q4_0},
        [OLL_Q4_1] = {.block32 = expand_q4_1, .has_m = true},
        [OLL_Q5_0] = {.block32 = expand_q5_0},
        [OLL_Q5_1] = {.block32 = expand_q5_1, .has_m = true},
        [OLL_Q8_0] = {.block32 = expand_q8_0},
        [OLL_IQ4_NL] = {.block32 = expand_iq4_nl},
        [OLL_MXFP4] = {.block32 = expand_mxfp4},
        [OLL_NVFP4] = {.block32 = expand_nvfp4, .two_scales = true},
        [OLL_Q1_0] = {.block32 = cpu_expand_q1_0},
        [OLL_Q2_0] = {.block32 = cpu_expand_q2_0},
        [OLL_Q2_K] = {.block256 = expand_q2_k, .has_min = true},
        [OLL_Q3_K] = {.block256 = expand_q3_k},
        [OLL_Q4_K] = {.block256 = expand_q4_k, .has_min = true},
        [OLL_Q5_K] = {.block256 = expand_q5_k, .has_min = true},
        [OLL_Q6_K] = {.block256 = expand_q6_k},
        [OLL_IQ4_XS] = {.block256 = expand_iq4_xs},
        [OLL_TQ1_0] = {.row256 = cpu_expand_row_tq1_0},
        [OLL_TQ2_0] = {.row256 = cpu_expand_row_tq2_0},
        [OLL_IQ2_XXS] = {.row256 = cpu_expand_row_iq2_xxs},
        [OLL_IQ2_XS] = {.row256 = cpu_expand_row_iq2_xs},
        [OLL_IQ2_S] = {.row256 = cpu_expand_row_iq2_s},
        [OLL_IQ3_XXS] = {.row256 = cpu_expand_row_iq3_xxs},
        [OLL_IQ3_S] = {.row256 = cpu_expand_row_iq3_s},
        [OLL_IQ1_S] = {.row256 = cpu_expand_row_iq1_s},
        [OLL_IQ1_M] = {.row256 = cpu_expand_row_iq1_m},
    };
    return &table[dtype];
}

void cpu_interleave__scalar(const uint8_t *rows, size_t stride, uint32_t n_group,
                            uint8_t q[][ROWS][4])
{
    for (uint32_t g = 0; g < n_group; g++)
        for (uint32_t r = 0; r < ROWS; r++)
            memcpy(q[g][r], rows + r * stride + 4 * g, 4);
}

void cpu_expand_block256(const struct cpu_tile *t, uint32_t b, const struct cpu_matmul_kernels *k,
                         struct cpu_block256 *out)
{
    const struct cpu_expand *e = cpu_expand_of(t->dtype);
    if (e->block256) {
        e->block256(t, b, out);
        return;
    }
    const size_t at = (size_t)b * oll_dtype_info(t->dtype)->block_bytes;
    const struct cpu_matmul_rows *level = k->rows[t->dtype];
    struct cpu_row256 rows[ROWS];
    for (uint32_t r = 0; r < ROWS; r++) {
        if (r < t->n_rows)
            (level ? level->row256 : e->row256)(t->w + r * t->w_stride + at, &rows[r]);
        else
            memset(&rows[r], 0, sizeof rows[r]);
        out->d[r] = rows[r].d;
        for (int j = 0; j < 16; j++)
            out->scale[j][r] = rows[r].scale[j];
    }
    no_mins(out);
    k->interleave((const uint8_t *)rows[0].q, sizeof rows[0], 64, out->q);
}

size_t cpu_expanded_bytes(const struct cpu_expand *e, uint32_t n_in)
{
    return e->block32 ? n_in / 32 * sizeof(struct cpu_block32)
                      : n_in / 256 * sizeof(struct cpu_block256);
}

void cpu_expand_panel(const struct cpu_tile *t, const struct cpu_matmul_kernels *k, uint8_t *panel)
{
    const struct cpu_expand *e = cpu_expand_of(t->dtype);
    for (uint32_t b = 0; e->block32 && b < t->n_in / 32; b++)
        e->block32(t, b, (struct cpu_block32 *)(void *)panel + b);
    for (uint32_t b = 0; !e->block32 && b < t->n_in / 256; b++)
        cpu_expand_block256(t, b, k, (struct cpu_block256 *)(void *)panel + b);
}
