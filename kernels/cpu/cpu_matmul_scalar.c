/* Tile kernels in plain C: any processor, and what the vector kernels are compared with.
 *
 * Quantised types expand one block of 16 rows to signed bytes and multiply it with all tokens of
 * the tile; integer sums are exact, so that they equal those of every other level. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_quantize_act.h"
#include "kernels/half.h"

#include <string.h>

enum { ROWS = CPU_PANEL_ROWS };

/* z[r] = sum over n_group groups of four k of q * a, for token `i`. */
static void dot_groups(const uint8_t q[][ROWS][4], const int8_t *a, uint32_t n_group, uint32_t i,
                       uint32_t n_tokens, int32_t z[ROWS])
{
    memset(z, 0, ROWS * sizeof *z);
    for (uint32_t g = 0; g < n_group; g++) {
        const int8_t *y = a + ((size_t)g * n_tokens + i) * 4;
        for (int r = 0; r < ROWS; r++)
            for (int e = 0; e < 4; e++)
                z[r] += (q[g][r][e] - 128) * y[e];
    }
}

static void tile_a32(const struct cpu_tile *t, const struct cpu_expand *expand)
{
    const uint32_t n_tokens = t->n_tokens;
    memset(t->c, 0, sizeof(float) * ROWS * n_tokens);
    for (uint32_t b = 0; b < t->n_in / 32; b++) {
        struct cpu_block32 block;
        expand->block32(t, b, &block);
        const int8_t *a = (const int8_t *)t->a + (size_t)b * 32 * n_tokens;
        const union cpu_word *words = t->words + (size_t)b * A32_WORDS * n_tokens;
        for (uint32_t i = 0; i < n_tokens; i++) {
            int32_t z[2][ROWS];
            dot_groups(block.q, a, 4, i, n_tokens, z[0]);
            dot_groups(block.q + 4, a + (size_t)16 * n_tokens, 4, i, n_tokens, z[1]);
            const float s = words[A32_SCALE * n_tokens + i].f,
                        sum = words[A32_SUM * n_tokens + i].f;
            float *c = t->c + (size_t)i * ROWS;
            for (int r = 0; r < ROWS; r++) {
                if (expand->two_scales)
                    c[r] = c[r] +
                           s * ((float)z[0][r] * block.d[0][r] + (float)z[1][r] * block.d[1][r]);
                else
                    c[r] = c[r] + (float)(z[0][r] + z[1][r]) * (block.d[0][r] * s);
                if (expand->has_m)
                    c[r] = c[r] + block.m[r] * sum;
            }
        }
    }
}

static void tile_a256(const struct cpu_tile *t, const struct cpu_expand *expand)
{
    const uint32_t n_tokens = t->n_tokens;
    memset(t->c, 0, sizeof(float) * ROWS * n_tokens);
    for (uint32_t b = 0; b < t->n_in / 256; b++) {
        struct cpu_block256 block;
        cpu_expand_block256(t, b, &cpu_matmul_scalar, &block);
        const int8_t *a = (const int8_t *)t->a + (size_t)b * 256 * n_tokens;
        const union cpu_word *words = t->words + (size_t)b * A256_WORDS * n_tokens;
        for (uint32_t i = 0; i < n_tokens; i++) {
            int32_t q[ROWS] = {0}, mins[ROWS] = {0};
            for (uint32_t j = 0; j < 16; j++) {
                int32_t z[ROWS];
                dot_groups(block.q + 4 * j, a + (size_t)j * 16 * n_tokens, 4, i, n_tokens, z);
                const int sum = words[(A256_PAIR16 + j / 2) * n_tokens + i].pair[j % 2];
                for (int r = 0; r < ROWS; r++) {
                    q[r] += z[r] * block.scale[j][r];
                    mins[r] += sum * block.min[j][r];
                }
            }
            float *c = t->c + (size_t)i * ROWS;
            const float s = words[A256_SCALE * n_tokens + i].f;
            for (int r = 0; r < ROWS; r++) {
                float v = (float)q[r] * block.d[r];
                if (expand->has_min)
                    v = v - (float)mins[r] * block.dmin[r];
                c[r] = c[r] + v * s;
            }
        }
    }
}

static void tile_quantised(const struct cpu_tile *t)
{
    const struct cpu_expand *expand = cpu_expand_of(t->dtype);
    if (expand->block32)
        tile_a32(t, expand);
    else
        tile_a256(t, expand);
}

/* Weights k of 16 rows. */
static void column_f32(const struct cpu_tile *t, uint32_t k, float w[ROWS])
{
    memcpy(w, t->w + (size_t)k * ROWS * 4, ROWS * sizeof *w);
}

static void column_f16(const struct cpu_tile *t, uint32_t k, float w[ROWS])
{
    uint16_t h[ROWS];
    memcpy(h, t->w + (size_t)k * ROWS * 2, sizeof h);
    for (int r = 0; r < ROWS; r++)
        w[r] = oll_f16_to_f32(h[r]);
}

static void column_bf16(const struct cpu_tile *t, uint32_t k, float w[ROWS])
{
    uint16_t h[ROWS][2];
    memcpy(h, t->w + (size_t)(k / 2) * CPU_LINE, sizeof h);
    for (int r = 0; r < ROWS; r++)
        w[r] = oll_bf16_to_f32(h[r][k % 2]);
}

static inline void tile_float(const struct cpu_tile *t,
                              void (*column)(const struct cpu_tile *t, uint32_t k, float w[ROWS]))
{
    const float *a = (const float *)(const void *)t->a;
    memset(t->c, 0, sizeof(float) * ROWS * t->n_tokens);
    for (uint32_t k = 0; k < t->n_in; k++) {
        float w[ROWS];
        column(t, k, w);
        for (uint32_t i = 0; i < t->n_tokens; i++) {
            const float y = a[(size_t)k * t->n_tokens + i];
            float *c = t->c + (size_t)i * ROWS;
            for (int r = 0; r < ROWS; r++)
                c[r] = c[r] + w[r] * y;
        }
    }
}

static void tile_f32(const struct cpu_tile *t) { tile_float(t, column_f32); }
static void tile_f16(const struct cpu_tile *t) { tile_float(t, column_f16); }
static void tile_bf16(const struct cpu_tile *t) { tile_float(t, column_bf16); }

#define ANY_TOKENS(fn) {NULL, fn, fn, fn, fn, fn, fn, fn, fn}

static const struct cpu_matmul_row row_quantised = {.name = "quantised_16xn__scalar",
                                                    .narrow = ANY_TOKENS(tile_quantised)};
static const struct cpu_matmul_row row_f32 = {.name = "f32_16xn__scalar",
                                              .narrow = ANY_TOKENS(tile_f32)};
static const struct cpu_matmul_row row_f16 = {.name = "f16_16xn__scalar",
                                              .narrow = ANY_TOKENS(tile_f16)};
static const struct cpu_matmul_row row_bf16 = {.name = "bf16_16xn__scalar",
                                               .narrow = ANY_TOKENS(tile_bf16)};

#define QUANTISED(dtype) [dtype] = &row_quantised

const struct cpu_matmul_kernels cpu_matmul_scalar = {
    .name = "scalar",
    .interleave = cpu_interleave__scalar,
    .tiling = {{CPU_TILE_TOKENS, 0}, {CPU_TILE_TOKENS, 0}, {CPU_TILE_TOKENS, 0}},
    .quantize = {cpu_quantize_f32__scalar, cpu_quantize_a32__scalar, cpu_quantize_a256__scalar},
    .row = {[OLL_F32] = &row_f32,   [OLL_F16] = &row_f16,  [OLL_BF16] = &row_bf16,
            QUANTISED(OLL_Q4_0),    QUANTISED(OLL_Q4_1),   QUANTISED(OLL_Q5_0),
            QUANTISED(OLL_Q5_1),    QUANTISED(OLL_Q8_0),   QUANTISED(OLL_IQ4_NL),
            QUANTISED(OLL_MXFP4),   QUANTISED(OLL_NVFP4),  QUANTISED(OLL_Q1_0),
            QUANTISED(OLL_Q2_0),    QUANTISED(OLL_Q2_K),   QUANTISED(OLL_Q3_K),
            QUANTISED(OLL_Q4_K),    QUANTISED(OLL_Q5_K),   QUANTISED(OLL_Q6_K),
            QUANTISED(OLL_IQ4_XS),  QUANTISED(OLL_TQ1_0),  QUANTISED(OLL_TQ2_0),
            QUANTISED(OLL_IQ2_XXS), QUANTISED(OLL_IQ2_XS), QUANTISED(OLL_IQ2_S),
            QUANTISED(OLL_IQ3_XXS), QUANTISED(OLL_IQ3_S),  QUANTISED(OLL_IQ1_S),
            QUANTISED(OLL_IQ1_M)},
};
