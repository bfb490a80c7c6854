/* AVX-512: activations laid out for the tiles, and rows of weights interleaved to a panel, equal to
 * the plain C versions to the bit.
 *
 * A block of 32 is two vectors, one of 256 sixteen. The largest magnitude is found on the bits as
 * integers (NaN is the largest); quants are packed to bytes and spread over the tile as words of
 * four. Limit: the horizontal maximum of A32, the spreading where several tokens share a tile. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_quantize_act.h"

#include <immintrin.h>
#include <string.h>

static inline __m512i magnitude(__m512 x)
{
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

struct scale {
    float scale, inverse; /* inverse 0: all quants are 0 */
};

/* From the bits of the largest magnitude. */
static inline struct scale scale_of(uint32_t max_bits)
{
    const float max = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)max_bits)));
    const bool usable = max_bits >= ACT_MIN_BITS && max_bits < 0x7f800000u;
    return (struct scale){max * (1.0f / 127.0f), usable ? 127.0f / max : 0};
}

/* Sixteen quants; where the inverse is 0 an infinity would give NaN, and that no number. */
static inline __m512i quants(__m512 x, float inverse)
{
    const __mmask16 all = inverse != 0 ? 0xffff : 0;
    return _mm512_maskz_cvtps_epi32(all, _mm512_mul_ps(x, _mm512_set1_ps(inverse)));
}

/* Words of one token go `n_tokens` apart. */
static inline void spread(uint8_t *dst, const void *src, uint32_t n_word, uint32_t n_tokens)
{
    if (n_tokens == 1) {
        memcpy(dst, src, n_word * 4);
        return;
    }
    for (uint32_t g = 0; g < n_word; g++)
        memcpy(dst + (size_t)g * n_tokens * 4, (const char *)src + 4 * g, 4);
}

void cpu_quantize_a32__avx512(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 32; b++) {
            const __m512 v0 = _mm512_loadu_ps(x[t] + b * 32),
                         v1 = _mm512_loadu_ps(x[t] + b * 32 + 16);
            const __m512i m = _mm512_max_epu32(magnitude(v0), magnitude(v1));
            const struct scale s = scale_of(_mm512_reduce_max_epu32(m));
            const __m512i q0 = quants(v0, s.inverse), q1 = quants(v1, s.inverse);
            const int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
            _Alignas(32) int8_t q[32];
            _mm_store_si128((void *)q, _mm512_cvtepi32_epi8(q0));
            _mm_store_si128((void *)(q + 16), _mm512_cvtepi32_epi8(q1));
            union cpu_word *w = words + (size_t)b * A32_WORDS * n_tokens + t;
            w[A32_SCALE * n_tokens].f = s.scale;
            w[A32_SUM * n_tokens].f = s.scale * (float)sum;
            w[A32_SUM8 * n_tokens].i = -8 * sum;
            spread(dst + ((size_t)b * 32 * n_tokens + t * 4), q, 8, n_tokens);
        }
    }
}

/* Sums of each 16 of 256 bytes, in order. */
static inline __m512i sums16(const int8_t q[256])
{
    __m512i v[4];
    for (int i = 0; i < 4; i++) {
        const __m512i b = _mm512_loadu_si512(q + 64 * i);
        const __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), b);
        v[i] = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    }
    const __m512i a =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i b =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    /* Lane l of this holds the sums of lane l of v[0], v[1], v[2], v[3]. */
    const __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), s);
}

/* The words of a block but for the scale. */
static inline void sum_words(const int8_t q[256], union cpu_word w[A256_WORDS])
{
    const __m512i s = sums16(q), next = _mm512_srli_epi64(s, 32);
    const __m256i pairs = _mm512_cvtepi32_epi16(s);
    const __m256i s32 = _mm512_cvtepi64_epi32(_mm512_add_epi32(s, next));
    _mm_storeu_si128((void *)(w + A256_PAIR32), _mm256_cvtepi32_epi16(s32));
    _mm256_storeu_si256((void *)(w + A256_PAIR16), pairs);
    _mm512_storeu_si512(w + A256_SUM32,
                        _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(s, 5)));
}

void cpu_quantize_a256__avx512(const float *const *x, uint32_t n_tokens, uint32_t n_in,
                               uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 256; b++) {
            const float *in = x[t] + (size_t)b * 256;
            _Alignas(64) int8_t q[256];
            union cpu_word w[A256_WORDS];
            __m512i m = magnitude(_mm512_loadu_ps(in));
            for (int i = 16; i < 256; i += 16)
                m = _mm512_max_epu32(m, magnitude(_mm512_loadu_ps(in + i)));
            const struct scale s = scale_of(_mm512_reduce_max_epu32(m));
            for (int i = 0; i < 256; i += 16)
                _mm_store_si128((void *)(q + i),
                                _mm512_cvtepi32_epi8(quants(_mm512_loadu_ps(in + i), s.inverse)));
            w[A256_SCALE].f = s.scale;
            sum_words(q, w);
            spread((uint8_t *)(words + (size_t)b * A256_WORDS * n_tokens + t), w, A256_WORDS,
                   n_tokens);
            spread(dst + ((size_t)b * 256 * n_tokens + t * 4), q, 64, n_tokens);
        }
    }
}

/* A 16 x 16 transposition of words, in four steps that double the run of one row. */
static inline void transpose16(__m512i v[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int j = 0; j < 2; j++) {
            v[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            v[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    }
    /* Lane l of v[4a + c] holds word 4l + c of rows 4a .. 4a + 3. */
    for (int c = 0; c < 4; c++) {
        const __m512i even01 = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
        const __m512i odd01 = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
        const __m512i even23 = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
        const __m512i odd23 = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
        t[c] = _mm512_shuffle_i32x4(even01, even23, 0x88);
        t[8 + c] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
        t[4 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
        t[12 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
    }
    for (int i = 0; i < 16; i++)
        v[i] = t[i];
}

void cpu_interleave__avx512(const uint8_t *rows, size_t stride, uint32_t n_group,
                            uint8_t q[][CPU_PANEL_ROWS][4])
{
    uint32_t g = 0;
    for (; g + 16 <= n_group; g += 16) {
        __m512i v[16];
        for (int r = 0; r < 16; r++)
            v[r] = _mm512_loadu_si512(rows + (size_t)r * stride + 4 * g);
        transpose16(v);
        for (int i = 0; i < 16; i++)
            _mm512_storeu_si512(q[g + (uint32_t)i], v[i]);
    }
    if (g < n_group)
        cpu_interleave__scalar(rows + 4 * g, stride, n_group - g, q + g);
}
