/* NEON: activations laid out for the tiles, and rows of weights interleaved to a panel, equal to
 * the plain C versions to the bit. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_quantize_act.h"

#include <arm_neon.h>
#include <string.h>

static inline uint32x4_t magnitude(float32x4_t x)
{
    return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffff));
}

struct scale {
    float scale, inverse; /* inverse 0: all quants are 0 */
};

/* Of n values, a multiple of 4: the largest magnitude is found on the bits, where NaN is the
 * largest. */
static inline struct scale scale_of(const float *x, uint32_t n)
{
    uint32x4_t m = magnitude(vld1q_f32(x));
    for (uint32_t i = 4; i < n; i += 4)
        m = vmaxq_u32(m, magnitude(vld1q_f32(x + i)));
    const uint32_t bits = vmaxvq_u32(m);
    const float max = vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(bits)), 0);
    const bool usable = bits >= ACT_MIN_BITS && bits < 0x7f800000u;
    return (struct scale){max * (1.0f / 127.0f), usable ? 127.0f / max : 0};
}

static inline int32x4_t round4(const float *x, float inverse)
{
    return vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse));
}

/* Sixteen quants; where the inverse is 0 an infinity would give NaN, which converts to 0 as well.
 */
static inline int8x16_t quants16(const float *x, float inverse)
{
    const int16x8_t low =
        vcombine_s16(vqmovn_s32(round4(x, inverse)), vqmovn_s32(round4(x + 4, inverse)));
    const int16x8_t high =
        vcombine_s16(vqmovn_s32(round4(x + 8, inverse)), vqmovn_s32(round4(x + 12, inverse)));
    return vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}

/* Words of one token go `n_tokens` apart. */
static inline void spread(uint8_t *dst, const void *src, uint32_t n_word, uint32_t n_tokens)
{
    for (uint32_t g = 0; g < n_word; g++)
        memcpy(dst + (size_t)g * n_tokens * 4, (const char *)src + 4 * g, 4);
}

void cpu_quantize_a32__neon(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 32; b++) {
            const struct scale s = scale_of(x[t] + b * 32, 32);
            int8_t q[32];
            int sum = 0;
            for (int i = 0; i < 32; i += 16) {
                const int8x16_t v = quants16(x[t] + b * 32 + i, s.inverse);
                vst1q_s8(q + i, v);
                sum += vaddlvq_s8(v);
            }
            union cpu_word *w = words + (size_t)b * A32_WORDS * n_tokens + t;
            w[A32_SCALE * n_tokens].f = s.scale;
            w[A32_SUM * n_tokens].f = s.scale * (float)sum;
            w[A32_SUM8 * n_tokens].i = -8 * sum;
            spread(dst + ((size_t)b * 32 * n_tokens + t * 4), q, 8, n_tokens);
        }
    }
}

void cpu_quantize_a256__neon(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 256; b++) {
            const struct scale s = scale_of(x[t] + (size_t)b * 256, 256);
            int8_t q[256];
            union cpu_word w[A256_WORDS];
            int sum[16];
            w[A256_SCALE].f = s.scale;
            for (int j = 0; j < 16; j++) {
                const int8x16_t v = quants16(x[t] + (size_t)b * 256 + 16 * j, s.inverse);
                vst1q_s8(q + 16 * j, v);
                sum[j] = vaddlvq_s8(v);
                w[A256_PAIR16 + j / 2].pair[j % 2] = (int16_t)sum[j];
                w[A256_SUM32 + j].i = -32 * sum[j];
            }
            for (int j = 0; j < 8; j++)
                w[A256_PAIR32 + j / 2].pair[j % 2] = (int16_t)(sum[2 * j] + sum[2 * j + 1]);
            spread((uint8_t *)(words + (size_t)b * A256_WORDS * n_tokens + t), w, A256_WORDS,
                   n_tokens);
            spread(dst + ((size_t)b * 256 * n_tokens + t * 4), q, 64, n_tokens);
        }
    }
}

void cpu_interleave__neon(const uint8_t *rows, size_t stride, uint32_t n_group,
                          uint8_t q[][CPU_PANEL_ROWS][4])
{
    uint32_t g = 0;
    for (; g + 4 <= n_group; g += 4) {
        for (uint32_t r = 0; r < CPU_PANEL_ROWS; r += 4) {
            uint32x4_t v[4];
            for (uint32_t i = 0; i < 4; i++)
                v[i] = vreinterpretq_u32_u8(vld1q_u8(rows + (r + i) * stride + 4 * g));
            const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(v[0], v[1]));
            const uint64x2_t b = vreinterpretq_u64_u32(vtrn2q_u32(v[0], v[1]));
            const uint64x2_t c = vreinterpretq_u64_u32(vtrn1q_u32(v[2], v[3]));
            const uint64x2_t d = vreinterpretq_u64_u32(vtrn2q_u32(v[2], v[3]));
            vst1q_u8(q[g][r], vreinterpretq_u8_u64(vtrn1q_u64(a, c)));
            vst1q_u8(q[g + 1][r], vreinterpretq_u8_u64(vtrn1q_u64(b, d)));
            vst1q_u8(q[g + 2][r], vreinterpretq_u8_u64(vtrn2q_u64(a, c)));
            vst1q_u8(q[g + 3][r], vreinterpretq_u8_u64(vtrn2q_u64(b, d)));
        }
    }
    if (g < n_group)
        cpu_interleave__scalar(rows + 4 * g, stride, n_group - g, q + g);
}
