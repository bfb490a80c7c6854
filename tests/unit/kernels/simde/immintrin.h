/* Stands in for the compiler's <immintrin.h> when kernels of x86 are compiled for a machine that
 * lacks their instructions: SIMDe (libsimde-dev) computes them in plain C, and what its version
 * 0.7.4 lacks is written out here, element by element. */
#ifndef OLL_TESTS_SIMDE_IMMINTRIN_H
#define OLL_TESTS_SIMDE_IMMINTRIN_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t __mmask16;

/* The alias takes the arguments of the masked form. */
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

/* NAME(in) of N elements of type FROM to type TO: EXPR of x. */
#define SHIM_EACH(NAME, RESULT, ARG, N, FROM, TO, EXPR)                                            \
    static inline RESULT NAME(ARG in)                                                              \
    {                                                                                              \
        FROM from[N];                                                                              \
        TO to[N];                                                                                  \
        RESULT out;                                                                                \
        memcpy(from, &in, sizeof from);                                                            \
        for (int i = 0; i < (N); i++) {                                                            \
            const FROM x = from[i];                                                                \
            to[i] = (TO)(EXPR);                                                                    \
        }                                                                                          \
        memcpy(&out, to, sizeof out);                                                              \
        return out;                                                                                \
    }

SHIM_EACH(_mm512_cvtepi32_ps, __m512, __m512i, 16, int32_t, float, x)
SHIM_EACH(_mm512_cvtepu8_epi32, __m512i, __m128i, 16, uint8_t, int32_t, x)
SHIM_EACH(_mm512_cvtepi8_epi32, __m512i, __m128i, 16, int8_t, int32_t, x)
SHIM_EACH(_mm512_cvtepu8_epi16, __m512i, __m256i, 32, uint8_t, int16_t, x)
SHIM_EACH(_mm512_cvtepi32_epi8, __m128i, __m512i, 16, int32_t, int8_t, x)
SHIM_EACH(_mm512_cvtepi32_epi16, __m256i, __m512i, 16, int32_t, int16_t, x)
SHIM_EACH(_mm256_cvtepi32_epi16, __m128i, __m256i, 8, int32_t, int16_t, x)

static inline __m512 _mm512_cvtph_ps(__m256i in)
{
    __m128i half[2];
    __m256 wide[2];
    __m512 out;
    memcpy(half, &in, sizeof half);
    for (int i = 0; i < 2; i++)
        wide[i] = _mm256_cvtph_ps(half[i]);
    memcpy(&out, wide, sizeof out);
    return out;
}

static inline __m512i _mm512_srai_epi32(__m512i in, int n)
{
    int32_t x[16];
    memcpy(x, &in, sizeof x);
    for (int i = 0; i < 16; i++)
        x[i] = x[i] < 0 ? ~(~x[i] >> n) : x[i] >> n;
    memcpy(&in, x, sizeof in);
    return in;
}

static inline __m512i _mm512_maskz_cvtps_epi32(__mmask16 mask, __m512 in)
{
    float x[16];
    int32_t y[16];
    __m512i out;
    memcpy(x, &in, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = mask >> i & 1 ? (int32_t)lrintf(x[i]) : 0;
    memcpy(&out, y, sizeof out);
    return out;
}

static inline int32_t _mm512_reduce_add_epi32(__m512i in)
{
    uint32_t x[16], sum = 0;
    memcpy(x, &in, sizeof x);
    for (int i = 0; i < 16; i++)
        sum += x[i];
    return (int32_t)sum;
}

static inline uint32_t _mm512_reduce_max_epu32(__m512i in)
{
    uint32_t x[16], max = 0;
    memcpy(x, &in, sizeof x);
    for (int i = 0; i < 16; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* AVX-VNNI: the instructions of AVX-512 VNNI under another name. */
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#define _mm256_dpwssd_avx_epi32 _mm256_dpwssd_epi32

#endif
