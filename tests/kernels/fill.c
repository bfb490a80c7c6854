#include "tests/kernels/fill.h"

#include "kernels/half.h"
#include "kernels/quant.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *fill_name(enum fill fill)
{
    static const char *const names[FILL_COUNT] = {"normal",   "min",  "max",   "alternate",
                                                  "denormal", "zero", "heavy", "wide"};
    return names[fill];
}

uint32_t fill_below(uint64_t *rng, uint32_t n) { return (uint32_t)(testing_random(rng) % n); }

static double uniform(uint64_t *rng) { return (double)(testing_random(rng) >> 11) * 0x1p-53; }

float fill_normal_value(uint64_t *rng)
{
    /* Box and Muller 1958; the logarithm's argument is never 0. */
    double radius = sqrt(-2.0 * log(1.0 - uniform(rng)));
    return (float)(radius * cos(6.283185307179586 * uniform(rng)));
}

static float fill_value(enum fill fill, size_t i, uint64_t *rng)
{
    const float extreme = 3.0f;
    switch (fill) {
    case FILL_MIN: return -extreme;
    case FILL_MAX: return extreme;
    case FILL_ALTERNATE: return i % 2 ? -extreme : extreme;
    case FILL_DENORMAL: return fill_normal_value(rng) * 0x1p-130f;
    case FILL_ZERO: return 0;
    case FILL_WIDE:
        if (fill_below(rng, 8) == 0)
            return fill_below(rng, 2) ? -0.0f : 0.0f;
        return (float)(240.0 * uniform(rng) - 120.0);
    case FILL_NORMAL:
    case FILL_HEAVY:
    case FILL_COUNT: break;
    }
    return fill_normal_value(rng);
}

void fill_floats(enum fill fill, float *x, size_t n, uint64_t *rng)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fill_value(fill, i, rng);
    if (fill == FILL_HEAVY && n > 0)
        x[fill_below(rng, (uint32_t)n)] = fill_below(rng, 2) ? 100.0f : -100.0f;
}

/* ---- weights ---- */

/* Where the scales of a block lie and how large they are when random codes shall give values near
 * one. `min_off` is -1 for types without a minimum. */
struct scale_fields {
    enum oll_dtype dtype;
    int d_off, min_off;
    float d;
};

static const struct scale_fields fields[] = {
    {OLL_Q4_0, 0, -1, 0.2f},      {OLL_Q4_1, 0, 2, 0.2f},       {OLL_Q5_0, 0, -1, 0.1f},
    {OLL_Q5_1, 0, 2, 0.1f},       {OLL_Q8_0, 0, -1, 0.015f},    {OLL_Q2_K, 80, 82, 0.07f},
    {OLL_Q3_K, 108, -1, 0.02f},   {OLL_Q4_K, 0, 2, 0.004f},     {OLL_Q5_K, 0, 2, 0.002f},
    {OLL_Q6_K, 208, -1, 0.0007f}, {OLL_IQ2_XXS, 0, -1, 0.01f},  {OLL_IQ2_XS, 0, -1, 0.01f},
    {OLL_IQ2_S, 0, -1, 0.01f},    {OLL_IQ3_XXS, 0, -1, 0.005f}, {OLL_IQ3_S, 0, -1, 0.005f},
    {OLL_IQ1_S, 0, -1, 0.1f},     {OLL_IQ4_NL, 0, -1, 0.015f},  {OLL_IQ4_XS, 0, -1, 0.0007f},
    {OLL_TQ1_0, 52, -1, 1},       {OLL_TQ2_0, 64, -1, 1},       {OLL_Q1_0, 0, -1, 1},
    {OLL_Q2_0, 0, -1, 1},
};

static const struct scale_fields *fields_of(enum oll_dtype dtype)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].dtype == dtype)
            return &fields[i];
    }
    return NULL;
}

static void put_u16(uint8_t *at, uint16_t value) { memcpy(at, &value, sizeof value); }

/* The f16 scale of IQ1_M is spread over the top nibbles of its four scale words. */
static void put_scale_iq1_m(uint8_t *block, uint16_t d)
{
    for (int i = 0; i < 4; i++) {
        uint16_t word;
        memcpy(&word, block + 48 + 2 * i, sizeof word);
        put_u16(block + 48 + 2 * i, (uint16_t)((word & 0x0fff) | (d >> 4 * i & 15) << 12));
    }
}

/* A random code byte, or the extreme one. Signed 8-bit codes and scales have their extremes at
 * other bytes than unsigned fields. */
static uint8_t code_byte(enum fill fill, enum oll_dtype dtype, size_t at, uint64_t *rng)
{
    bool is_signed = dtype == OLL_Q8_0 || (dtype == OLL_Q6_K && at >= 192);
    uint8_t low = is_signed ? 0x80 : 0, high = is_signed ? 0x7f : 0xff;
    switch (fill) {
    case FILL_MIN: return low;
    case FILL_MAX: return high;
    case FILL_ALTERNATE: return at % 2 ? low : high;
    default: return (uint8_t)testing_random(rng);
    }
}

/* Scales after the codes: random near the type's own, or extreme. */
static void put_scales(enum fill fill, enum oll_dtype dtype, uint8_t *block, uint64_t *rng)
{
    double u = 0.5 + uniform(rng);
    const struct scale_fields *f = fields_of(dtype);
    if (dtype == OLL_MXFP4) {
        block[0] = fill == FILL_ZERO || fill == FILL_DENORMAL ? (uint8_t)fill_below(rng, 3)
                                                              : (uint8_t)(124 + fill_below(rng, 5));
    } else if (dtype == OLL_NVFP4) {
        for (int i = 0; i < 4; i++)
            block[i] = fill == FILL_ZERO       ? 0
                       : fill == FILL_DENORMAL ? (uint8_t)fill_below(rng, 8)
                                               : (uint8_t)(40 + fill_below(rng, 30));
    } else {
        uint16_t d = fill == FILL_ZERO       ? 0
                     : fill == FILL_DENORMAL ? (uint16_t)(1 + fill_below(rng, 3))
                                             : oll_f32_to_f16((float)u * (f ? f->d : 0.1f));
        if (fill == FILL_HEAVY && fill_below(rng, 2))
            d |= 0x8000; /* files may hold negative scales */
        if (dtype == OLL_IQ1_M)
            put_scale_iq1_m(block, d);
        else
            put_u16(block + f->d_off, d);
        if (f && f->min_off >= 0)
            put_u16(block + f->min_off, fill == FILL_HEAVY ? oll_f32_to_f16(f->d * 3) : d);
    }
}

static void fill_codes(enum fill fill, enum oll_dtype dtype, uint8_t *dst, size_t n_block,
                       uint64_t *rng)
{
    size_t n_bytes = oll_dtype_info((uint32_t)dtype)->block_bytes;
    for (size_t b = 0; b < n_block; b++, dst += n_bytes) {
        for (size_t i = 0; i < n_bytes; i++)
            dst[i] = code_byte(fill, dtype, i, rng);
        put_scales(fill, dtype, dst, rng);
    }
}

static bool is_float(enum oll_dtype dtype)
{
    return dtype == OLL_F32 || dtype == OLL_F16 || dtype == OLL_BF16;
}

void fill_weights(enum fill fill, enum oll_dtype dtype, uint8_t *dst, size_t n_rows, size_t n_in,
                  uint64_t *rng)
{
    size_t n_row_bytes = oll_dtype_row_bytes(dtype, n_in);
    float *row = malloc(n_in * sizeof *row);
    for (size_t r = 0; r < n_rows; r++, dst += n_row_bytes) {
        if (is_float(dtype) || (fill == FILL_NORMAL && oll_quantize_supported(dtype))) {
            fill_floats(fill, row, n_in, rng);
            /* Below f16's range only its own smallest values are left. */
            for (size_t i = 0; i < n_in && fill == FILL_DENORMAL && dtype == OLL_F16; i++)
                row[i] *= 0x1p110f;
            oll_quantize_row(dtype, row, dst, n_in);
        } else {
            fill_codes(fill, dtype, dst, n_in / oll_dtype_info((uint32_t)dtype)->block_elements,
                       rng);
        }
    }
    free(row);
}

void fill_magnitudes(enum oll_dtype dtype, const uint8_t *row, size_t n_in, float *mag)
{
    const struct oll_dtype_info *info = oll_dtype_info((uint32_t)dtype);
    const struct scale_fields *f = fields_of(dtype);
    size_t n_block = n_in / info->block_elements, n_group = info->block_elements < 32 ? 1 : 32;
    oll_dequantize_row(dtype, row, mag, n_in);
    if (f && f->min_off >= 0) {
        /* The same row without its minimum tells the two terms apart. */
        uint8_t *plain = malloc(n_block * info->block_bytes);
        float *first = malloc(n_in * sizeof *first);
        memcpy(plain, row, n_block * info->block_bytes);
        for (size_t b = 0; b < n_block; b++)
            put_u16(plain + b * info->block_bytes + f->min_off, 0);
        oll_dequantize_row(dtype, plain, first, n_in);
        for (size_t i = 0; i < n_in; i++)
            mag[i] = fabsf(first[i]) + fabsf(mag[i] - first[i]);
        free(first);
        free(plain);
    }
    for (size_t g = 0; g < n_in; g += n_group) {
        float max = 0;
        for (size_t i = g; i < g + n_group; i++)
            max = fabsf(mag[i]) > max ? fabsf(mag[i]) : max;
        for (size_t i = g; i < g + n_group; i++)
            mag[i] = max;
    }
}
