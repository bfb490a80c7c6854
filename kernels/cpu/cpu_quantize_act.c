/* Activations for the tiles, in plain C: the meaning that the vector versions match to the bit. */
#include "kernels/cpu/cpu_quantize_act.h"
#include "kernels/half.h"

#include <math.h>
#include <string.h>

size_t cpu_act_bytes(enum cpu_act act, uint32_t n_in)
{
    size_t bytes = act == CPU_ACT_B16 ? ((size_t)n_in + 1) / 2 * 4 : (size_t)n_in * 4;
    if (act == CPU_ACT_A32)
        bytes = n_in + (size_t)(n_in / 32) * A32_WORDS * 4;
    else if (act == CPU_ACT_A256)
        bytes = n_in + (size_t)(n_in / 256) * A256_WORDS * 4;
    return (bytes + 63) / 64 * 64;
}

enum cpu_act cpu_act_of(const struct cpu_matmul_kernels *k, enum oll_dtype dtype)
{
    switch (dtype) {
    case OLL_F32:
    case OLL_F16: return CPU_ACT_F32;
    case OLL_BF16: return k->bf16_act;
    case OLL_Q4_0:
    case OLL_Q4_1:
    case OLL_Q5_0:
    case OLL_Q5_1:
    case OLL_Q8_0:
    case OLL_Q8_1:
    case OLL_IQ4_NL:
    case OLL_MXFP4:
    case OLL_NVFP4:
    case OLL_Q1_0:
    case OLL_Q2_0: return CPU_ACT_A32;
    default: return CPU_ACT_A256;
    }
}

/* Scale of n values and their quants. The largest magnitude is found on the bits, where NaN is
 * larger than all: it must reach the scale. Below 2^-120 the inverse could overflow and the quants
 * are 0. */
static float quantize_block(const float *x, uint32_t n, int8_t *q)
{
    uint32_t max_bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = oll_f32_to_bits(x[i]) & 0x7fffffffu;
        max_bits = bits > max_bits ? bits : max_bits;
    }
    const float max = oll_bits_to_f32(max_bits);
    const bool usable = max_bits >= ACT_MIN_BITS && max_bits < 0x7f800000u;
    const float inverse = usable ? 127.0f / max : 0;
    for (uint32_t i = 0; i < n; i++)
        q[i] = usable ? (int8_t)lrintf(x[i] * inverse) : 0;
    return max * (1.0f / 127.0f);
}

static int sum_of(const int8_t *q, uint32_t n)
{
    int sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += q[i];
    return sum;
}

/* Quants of token t of T, [k / 4][T][4]. */
static void put_quants(uint8_t *dst, const int8_t *q, uint32_t n, uint32_t t, uint32_t n_tokens)
{
    for (uint32_t g = 0; g < n / 4; g++)
        memcpy(dst + ((size_t)g * n_tokens + t) * 4, q + 4 * g, 4);
}

void cpu_quantize_a32__scalar(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 32; b++) {
            int8_t q[32];
            union cpu_word *w = words + (size_t)b * A32_WORDS * n_tokens + t;
            const float scale = quantize_block(x[t] + b * 32, 32, q);
            const int sum = sum_of(q, 32);
            w[A32_SCALE * n_tokens].f = scale;
            w[A32_SUM * n_tokens].f = scale * (float)sum;
            w[A32_SUM8 * n_tokens].i = -8 * sum;
            put_quants(dst + (size_t)b * 32 * n_tokens, q, 32, t, n_tokens);
        }
    }
}

void cpu_quantize_a256__scalar(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                               uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 256; b++) {
            int8_t q[256];
            union cpu_word *w = words + (size_t)b * A256_WORDS * n_tokens + t;
            w[A256_SCALE * n_tokens].f = quantize_block(x[t] + b * 256, 256, q);
            for (uint32_t j = 0; j < 16; j++) {
                const int sum = sum_of(q + 16 * j, 16);
                w[(A256_PAIR16 + j / 2) * n_tokens].pair[j % 2] = (int16_t)sum;
                w[(A256_SUM32 + j) * n_tokens].i = -32 * sum;
            }
            for (uint32_t j = 0; j < 8; j++)
                w[(A256_PAIR32 + j / 2) * n_tokens].pair[j % 2] = (int16_t)sum_of(q + 32 * j, 32);
            put_quants(dst + (size_t)b * 256 * n_tokens, q, 256, t, n_tokens);
        }
    }
}

void cpu_quantize_f32__scalar(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    float *out = (float *)(void *)dst;
    if (n_tokens == 1) {
        memcpy(out, x[0], (size_t)n_in * sizeof *out);
        return;
    }
    for (uint32_t k = 0; k < n_in; k++)
        for (uint32_t t = 0; t < n_tokens; t++)
            *out++ = x[t][k];
}
