#include "bench/bench_fill.h"

#include "kernels/half.h"
#include "kernels/quant.h"

#include <math.h>
#include <string.h>

uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Where the f16 scale words of a block lie, and what the second one is as a multiple of the first:
 * such that the mean of the values is zero. */
static const struct layout {
    bool is_known;
    int d_off, dmin_off; /* -1: none */
    float dmin_ratio;
} layouts[OLL_DTYPE_COUNT] = {
    [OLL_Q4_0] = {true, offsetof(struct block_q4_0, d), -1, 0},
    [OLL_Q4_1] = {true, offsetof(struct block_q4_1, d), offsetof(struct block_q4_1, m), -7.5f},
    [OLL_Q5_0] = {true, offsetof(struct block_q5_0, d), -1, 0},
    [OLL_Q5_1] = {true, offsetof(struct block_q5_1, d), offsetof(struct block_q5_1, m), -15.5f},
    [OLL_Q8_0] = {true, offsetof(struct block_q8_0, d), -1, 0},
    [OLL_Q2_K] = {true, offsetof(struct block_q2_k, d), offsetof(struct block_q2_k, dmin), 1.5f},
    [OLL_Q3_K] = {true, offsetof(struct block_q3_k, d), -1, 0},
    [OLL_Q4_K] = {true, offsetof(struct block_q4_k, d), offsetof(struct block_q4_k, dmin), 7.5f},
    [OLL_Q5_K] = {true, offsetof(struct block_q5_k, d), offsetof(struct block_q5_k, dmin), 15.5f},
    [OLL_Q6_K] = {true, offsetof(struct block_q6_k, d), -1, 0},
    [OLL_IQ2_XXS] = {true, offsetof(struct block_iq2_xxs, d), -1, 0},
    [OLL_IQ2_XS] = {true, offsetof(struct block_iq2_xs, d), -1, 0},
    [OLL_IQ2_S] = {true, offsetof(struct block_iq2_s, d), -1, 0},
    [OLL_IQ3_XXS] = {true, offsetof(struct block_iq3_xxs, d), -1, 0},
    [OLL_IQ3_S] = {true, offsetof(struct block_iq3_s, d), -1, 0},
    [OLL_IQ1_S] = {true, offsetof(struct block_iq1_s, d), -1, 0},
    [OLL_IQ1_M] = {true, -1, -1, 0},
    [OLL_IQ4_NL] = {true, offsetof(struct block_iq4_nl, d), -1, 0},
    [OLL_IQ4_XS] = {true, offsetof(struct block_iq4_xs, d), -1, 0},
    [OLL_TQ1_0] = {true, offsetof(struct block_tq1_0, d), -1, 0},
    [OLL_TQ2_0] = {true, offsetof(struct block_tq2_0, d), -1, 0},
    [OLL_MXFP4] = {true, -1, -1, 0},
    [OLL_NVFP4] = {true, -1, -1, 0},
    [OLL_Q1_0] = {true, offsetof(struct block_q1_0, d), -1, 0},
    [OLL_Q2_0] = {true, offsetof(struct block_q2_0, d), -1, 0},
};

static bool is_float(enum oll_dtype dtype)
{
    return dtype == OLL_F32 || dtype == OLL_F16 || dtype == OLL_BF16;
}

bool bench_fill_supported(enum oll_dtype dtype)
{
    return is_float(dtype) || ((unsigned)dtype < OLL_DTYPE_COUNT && layouts[dtype].is_known);
}

/* ---- scales ---- */

static void put_u16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }

/* Each nibble of `d` is the top one of a word of scales. */
static void put_iq1_m_scale(uint8_t *block, uint16_t d)
{
    struct block_iq1_m b;
    memcpy(&b, block, sizeof b);
    for (int i = 0; i < 4; i++)
        b.scales[i] = (uint16_t)((b.scales[i] & 0x0fff) | (d >> (4 * i) & 15) << 12);
    memcpy(block, &b, sizeof b);
}

/* The fourth two-bit value does not occur in ternary data. */
static void drop_fourth(uint8_t *qs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qs[i] = (uint8_t)(qs[i] & ~((qs[i] & qs[i] >> 1 & 0x55) << 1));
}

static void finish_block(const struct bench_fill *fill, uint8_t *block)
{
    const struct layout *l = &layouts[fill->dtype];
    if (l->d_off >= 0)
        put_u16(block + l->d_off, fill->d);
    if (l->dmin_off >= 0)
        put_u16(block + l->dmin_off, fill->dmin);
    if (fill->dtype == OLL_IQ1_M)
        put_iq1_m_scale(block, fill->d);
    else if (fill->dtype == OLL_TQ2_0)
        drop_fourth(block, sizeof((struct block_tq2_0 *)0)->qs);
    else if (fill->dtype == OLL_MXFP4)
        block[0] = fill->code;
    else if (fill->dtype == OLL_NVFP4)
        memset(block, fill->code, 4);
}

static void set_scale(struct bench_fill *fill, double d)
{
    fill->d = oll_f32_to_f16((float)d);
    fill->dmin = oll_f32_to_f16((float)d * layouts[fill->dtype].dmin_ratio);
}

/* Root mean square of the values with the scales as they are. */
static double measure(const struct bench_fill *fill)
{
    enum { BLOCKS = 8, BLOCK_BYTES_MAX = 256 };
    uint8_t block[BLOCK_BYTES_MAX];
    float x[QUANT_K];
    struct bench_fill copy = *fill;
    const uint32_t n = oll_dtype_info((uint32_t)fill->dtype)->block_elements;
    double sum = 0;
    copy.state = 1;
    for (int b = 0; b < BLOCKS; b++) {
        bench_fill_next(&copy, block, 1);
        oll_dequantize_row(fill->dtype, block, x, n);
        for (uint32_t i = 0; i < n; i++)
            sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum / (BLOCKS * n));
}

void bench_fill_init(struct bench_fill *fill, enum oll_dtype dtype, uint64_t seed, double sd)
{
    *fill = (struct bench_fill){.dtype = dtype, .state = seed};
    if (is_float(dtype)) {
        fill->amplitude = (float)(sd * sqrt(3)); /* of a uniform distribution */
    } else if (dtype == OLL_MXFP4) {
        fill->code = 128; /* 2^0 */
        fill->code = (uint8_t)(128 + lround(log2(sd / measure(fill))));
    } else if (dtype == OLL_NVFP4) {
        fill->code = 0x38; /* 1, of which a half counts */
        const float scale = (float)(sd / measure(fill)) / 2;
        for (fill->code = 1; fill->code < 0x7e && quant_nvfp4_scale(fill->code) < scale;)
            fill->code++;
    } else {
        set_scale(fill, 1);
        set_scale(fill, sd / measure(fill));
    }
}

/* ---- bytes ---- */

static void random_bytes(uint64_t *state, uint8_t *dst, size_t n)
{
    for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), dst += sizeof(uint64_t)) {
        const uint64_t r = bench_random(state);
        memcpy(dst, &r, sizeof r);
    }
    const uint64_t r = n ? bench_random(state) : 0;
    memcpy(dst, &r, n);
}

static void next_floats(struct bench_fill *fill, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t r = (int32_t)(bench_random(&fill->state) >> 32);
        const float f = (float)r * 0x1p-31f * fill->amplitude;
        if (fill->dtype == OLL_F32)
            memcpy(dst + i * sizeof f, &f, sizeof f);
        else
            put_u16(dst + i * 2, fill->dtype == OLL_F16 ? oll_f32_to_f16(f) : oll_f32_to_bf16(f));
    }
}

void bench_fill_next(struct bench_fill *fill, void *dst, size_t n_blocks)
{
    const size_t block_bytes = oll_dtype_info((uint32_t)fill->dtype)->block_bytes;
    uint8_t *p = dst;
    if (is_float(fill->dtype)) {
        next_floats(fill, p, n_blocks);
        return;
    }
    /* The stream is that of the blocks one by one, so that pieces of any size give equal bytes. */
    for (size_t i = 0; i < n_blocks; i++, p += block_bytes) {
        random_bytes(&fill->state, p, block_bytes);
        finish_block(fill, p);
    }
}
