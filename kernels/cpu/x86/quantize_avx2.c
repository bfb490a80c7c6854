/* AVX2: activations laid out for the tiles, and rows of weights interleaved to a panel, equal to
 * the plain C versions to the bit. As quantize_avx512.c, with vectors of 8. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/cpu_quantize_act.h"

#include <immintrin.h>
#include <string.h>

static inline __m256i magnitude(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

static inline uint32_t reduce_max(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
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

/* Quants of 32 values as bytes; where the inverse is 0 an infinity would give NaN, and that no
 * number. */
static inline __m256i quants32(const float *x, float inverse)
{
    __m256i q[4];
    for (int i = 0; i < 4; i++) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse));
        q[i] = _mm256_cvtps_epi32(v);
    }
    const __m256i words =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i in_order =
        _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    return inverse != 0 ? in_order : _mm256_setzero_si256();
}

/* Sums of four bytes each. */
static inline __m256i sums4(__m256i q)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), q), _mm256_set1_epi16(1));
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

static inline int reduce_add(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

void cpu_quantize_a32__avx2(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 32; b++) {
            const float *in = x[t] + b * 32;
            __m256i m = magnitude(_mm256_loadu_ps(in));
            for (int i = 8; i < 32; i += 8)
                m = _mm256_max_epu32(m, magnitude(_mm256_loadu_ps(in + i)));
            const struct scale s = scale_of(reduce_max(m));
            const __m256i packed = quants32(in, s.inverse);
            const int sum = reduce_add(sums4(packed));
            _Alignas(32) int8_t q[32];
            _mm256_store_si256((void *)q, packed);
            union cpu_word *w = words + (size_t)b * A32_WORDS * n_tokens + t;
            w[A32_SCALE * n_tokens].f = s.scale;
            w[A32_SUM * n_tokens].f = s.scale * (float)sum;
            w[A32_SUM8 * n_tokens].i = -8 * sum;
            spread(dst + ((size_t)b * 32 * n_tokens + t * 4), q, 8, n_tokens);
        }
    }
}

/* Sums of each 16 of 128 bytes, in order. */
static inline __m256i sums16(const int8_t q[128])
{
    __m256i v[4];
    for (int i = 0; i < 4; i++)
        v[i] = sums4(_mm256_loadu_si256((const void *)(q + 32 * i)));
    /* Lane l of this holds the sums of lane l of v[0], v[1], v[2], v[3]. */
    const __m256i s =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    return _mm256_permutevar8x32_epi32(s, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The words of a block but for the scale. */
static inline void sum_words(const int8_t q[256], union cpu_word w[A256_WORDS])
{
    const __m256i s0 = sums16(q), s1 = sums16(q + 128);
    const __m256i zero = _mm256_setzero_si256();
    _mm256_storeu_si256((void *)(w + A256_SUM32), _mm256_sub_epi32(zero, _mm256_slli_epi32(s0, 5)));
    _mm256_storeu_si256((void *)(w + A256_SUM32 + 8),
                        _mm256_sub_epi32(zero, _mm256_slli_epi32(s1, 5)));
    const __m256i pairs = _mm256_permute4x64_epi64(_mm256_packs_epi32(s0, s1), 0xd8);
    _mm256_storeu_si256((void *)(w + A256_PAIR16), pairs);
    const __m256i s32 = _mm256_permute4x64_epi64(_mm256_hadd_epi32(s0, s1), 0xd8);
    const __m128i pairs32 =
        _mm_packs_epi32(_mm256_castsi256_si128(s32), _mm256_extracti128_si256(s32, 1));
    _mm_storeu_si128((void *)(w + A256_PAIR32), pairs32);
}

void cpu_quantize_a256__avx2(const float *const *x, uint32_t n_tokens, uint32_t n_in, uint8_t *dst)
{
    union cpu_word *words = (union cpu_word *)(void *)(dst + cpu_act_words_at(n_in, n_tokens));
    for (uint32_t t = 0; t < n_tokens; t++) {
        for (uint32_t b = 0; b < n_in / 256; b++) {
            const float *in = x[t] + (size_t)b * 256;
            _Alignas(32) int8_t q[256];
            union cpu_word w[A256_WORDS];
            __m256i m = magnitude(_mm256_loadu_ps(in));
            for (int i = 8; i < 256; i += 8)
                m = _mm256_max_epu32(m, magnitude(_mm256_loadu_ps(in + i)));
            const struct scale s = scale_of(reduce_max(m));
            for (int i = 0; i < 256; i += 32)
                _mm256_store_si256((void *)(q + i), quants32(in + i, s.inverse));
            w[A256_SCALE].f = s.scale;
            sum_words(q, w);
            spread((uint8_t *)(words + (size_t)b * A256_WORDS * n_tokens + t), w, A256_WORDS,
                   n_tokens);
            spread(dst + ((size_t)b * 256 * n_tokens + t * 4), q, 64, n_tokens);
        }
    }
}

/* An 8 x 8 transposition of words. */
static inline void transpose8(__m256i v[8])
{
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; j++) {
            v[i + 2 * j] = _mm256_unpacklo_epi64(t[i + j], t[i + j + 2]);
            v[i + 2 * j + 1] = _mm256_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    }
    for (int c = 0; c < 4; c++) {
        t[c] = _mm256_permute2x128_si256(v[c], v[4 + c], 0x20);
        t[4 + c] = _mm256_permute2x128_si256(v[c], v[4 + c], 0x31);
    }
    for (int i = 0; i < 8; i++)
        v[i] = t[i];
}

void cpu_interleave__avx2(const uint8_t *rows, size_t stride, uint32_t n_group,
                          uint8_t q[][CPU_PANEL_ROWS][4])
{
    uint32_t g = 0;
    for (; g + 8 <= n_group; g += 8) {
        for (int h = 0; h < 16; h += 8) {
            __m256i v[8];
            for (int r = 0; r < 8; r++)
                v[r] = _mm256_loadu_si256((const void *)(rows + (size_t)(h + r) * stride + 4 * g));
            transpose8(v);
            for (int i = 0; i < 8; i++)
                _mm256_storeu_si256((void *)q[g + (uint32_t)i][h], v[i]);
        }
    }
    if (g < n_group)
        cpu_interleave__scalar(rows + 4 * g, stride, n_group - g, q + g);
}
