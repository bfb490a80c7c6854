/* Quantisers of the types that are written without a search (16-bit floats, the 32-element blocks
 * and the activation formats), and the table of all. Rounding is that of the format's reference: to
 * nearest, halves away from zero; the super-block format rounds halves to even. */
#include "kernels/half.h"
#include "kernels/quant.h"
#include "kernels/quant_encode_k.h"

#include "engine/base/status.h"

#include <math.h>
#include <string.h>

typedef void (*encode_fn)(const float *src, void *dst, size_t n);

static void encode_f32(const float *src, void *dst, size_t n) { memcpy(dst, src, n * sizeof *src); }

static void encode_f16(const float *src, void *dst, size_t n)
{
    unsigned char *out = dst;
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = oll_f32_to_f16(src[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}

static void encode_bf16(const float *src, void *dst, size_t n)
{
    unsigned char *out = dst;
    for (size_t i = 0; i < n; i++) {
        const uint16_t h = oll_f32_to_bf16(src[i]);
        memcpy(out + 2 * i, &h, 2);
    }
}

/* Range of a block. Comparisons skip NaN, so it is looked for apart and spoils every field. */
struct range {
    float min, max;
    float extreme; /* the signed value of largest magnitude, the first of equals */
};

static struct range range_of(const float *x, int n)
{
    struct range r = {x[0], x[0], 0.0f};
    bool is_nan = false;
    for (int i = 0; i < n; i++) {
        r.min = x[i] < r.min ? x[i] : r.min;
        r.max = x[i] > r.max ? x[i] : r.max;
        r.extreme = fabsf(x[i]) > fabsf(r.extreme) ? x[i] : r.extreme;
        is_nan |= x[i] != x[i];
    }
    return is_nan ? (struct range){NAN, NAN, NAN} : r;
}

static float inverse(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

/* A float as an integer in [min, max]. What is no number becomes 0: then the scale is not finite
 * either and the quant does not matter. */
static int clamp_int(float v, int min, int max)
{
    if (!(v >= (float)min))
        return v < (float)min ? min : 0;
    return v > (float)max ? max : (int)v;
}

static void encode_q4_0(const float *src, void *dst, size_t n)
{
    struct block_q4_0 *b = dst;
    for (; n > 0; n -= 32, b++, src += 32) {
        const float d = range_of(src, 32).extreme / -8.0f, id = inverse(d);
        b->d = oll_f32_to_f16(d);
        for (int j = 0; j < 16; j++) {
            const int low = clamp_int(src[j] * id + 8.5f, 0, 15);
            const int high = clamp_int(src[j + 16] * id + 8.5f, 0, 15);
            b->qs[j] = (uint8_t)(low | high << 4);
        }
    }
}

static void encode_q4_1(const float *src, void *dst, size_t n)
{
    struct block_q4_1 *b = dst;
    for (; n > 0; n -= 32, b++, src += 32) {
        const struct range r = range_of(src, 32);
        const float d = (r.max - r.min) / 15.0f, id = inverse(d);
        b->d = oll_f32_to_f16(d);
        b->m = oll_f32_to_f16(r.min);
        for (int j = 0; j < 16; j++) {
            const int low = clamp_int((src[j] - r.min) * id + 0.5f, 0, 15);
            const int high = clamp_int((src[j + 16] - r.min) * id + 0.5f, 0, 15);
            b->qs[j] = (uint8_t)(low | high << 4);
        }
    }
}

/* Stores the 32 five-bit quants trunc((x - min) * id + half). */
static uint32_t pack5(const float *src, float min, float id, float half, uint8_t qs[16])
{
    uint32_t qh = 0;
    for (int j = 0; j < 16; j++) {
        const int low = clamp_int((src[j] - min) * id + half, 0, 31);
        const int high = clamp_int((src[j + 16] - min) * id + half, 0, 31);
        qs[j] = (uint8_t)((low & 15) | (high & 15) << 4);
        qh |= (uint32_t)(low >> 4) << j | (uint32_t)(high >> 4) << (j + 16);
    }
    return qh;
}

static void encode_q5_0(const float *src, void *dst, size_t n)
{
    struct block_q5_0 *b = dst;
    for (; n > 0; n -= 32, b++, src += 32) {
        const float d = range_of(src, 32).extreme / -16.0f;
        b->d = oll_f32_to_f16(d);
        b->qh = pack5(src, 0.0f, inverse(d), 16.5f, b->qs);
    }
}

static void encode_q5_1(const float *src, void *dst, size_t n)
{
    struct block_q5_1 *b = dst;
    for (; n > 0; n -= 32, b++, src += 32) {
        const struct range r = range_of(src, 32);
        const float d = (r.max - r.min) / 31.0f;
        b->d = oll_f32_to_f16(d);
        b->m = oll_f32_to_f16(r.min);
        b->qh = pack5(src, r.min, inverse(d), 0.5f, b->qs);
    }
}

static void encode_q8_0(const float *src, void *dst, size_t n)
{
    struct block_q8_0 *b = dst;
    for (; n > 0; n -= 32, b++, src += 32) {
        const float d = fabsf(range_of(src, 32).extreme) / 127.0f, id = inverse(d);
        b->d = oll_f32_to_f16(d);
        for (int j = 0; j < 32; j++)
            b->qs[j] = (int8_t)clamp_int(roundf(src[j] * id), -127, 127);
    }
}

static void encode_q8_1(const float *src, void *dst, size_t n)
{
    struct block_q8_1 *b = dst;
    for (; n > 0; n -= 32, b++, src += 32) {
        const float d = fabsf(range_of(src, 32).extreme) / 127.0f, id = inverse(d);
        int sum = 0;
        for (int j = 0; j < 32; j++) {
            b->qs[j] = (int8_t)clamp_int(roundf(src[j] * id), -127, 127);
            sum += b->qs[j];
        }
        b->d = oll_f32_to_f16(d);
        b->s = oll_f32_to_f16(d * (float)sum);
    }
}

static void encode_q8_k(const float *src, void *dst, size_t n)
{
    struct block_q8_k *b = dst;
    for (; n > 0; n -= QUANT_K, b++, src += QUANT_K) {
        const float d = fabsf(range_of(src, QUANT_K).extreme) / 127.0f, id = inverse(d);
        b->d = d;
        for (int g = 0; g < 16; g++) {
            int sum = 0;
            for (int j = 16 * g; j < 16 * g + 16; j++) {
                b->qs[j] = (int8_t)clamp_int(rintf(src[j] * id), -127, 127);
                sum += b->qs[j];
            }
            b->bsums[g] = (int16_t)sum;
        }
    }
}

static const encode_fn encoders[OLL_DTYPE_COUNT] = {
    [OLL_F32] = encode_f32,         [OLL_F16] = encode_f16,         [OLL_BF16] = encode_bf16,
    [OLL_Q4_0] = encode_q4_0,       [OLL_Q4_1] = encode_q4_1,       [OLL_Q5_0] = encode_q5_0,
    [OLL_Q5_1] = encode_q5_1,       [OLL_Q8_0] = encode_q8_0,       [OLL_Q8_1] = encode_q8_1,
    [OLL_Q8_K] = encode_q8_k,       [OLL_Q2_K] = quant_encode_q2_k, [OLL_Q3_K] = quant_encode_q3_k,
    [OLL_Q4_K] = quant_encode_q4_k, [OLL_Q5_K] = quant_encode_q5_k, [OLL_Q6_K] = quant_encode_q6_k,
};

bool oll_quantize_supported(enum oll_dtype dtype)
{
    return (uint32_t)dtype < OLL_DTYPE_COUNT && encoders[dtype];
}

void oll_quantize_row(enum oll_dtype dtype, const float *src, void *dst, size_t n)
{
    OLL_ASSERT(oll_quantize_supported(dtype));
    OLL_ASSERT(n % oll_dtype_info((uint32_t)dtype)->block_elements == 0);
    encoders[dtype](src, dst, n);
}
