/* The rounds of sha256_twin.h with the SHA extensions of x86 (sha256rnds2: two rounds on a state
 * that is kept as its words A, B, E, F and C, D, G, H). */
#include "engine/base/sha256_twin.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

/* FIPS 180-4, 4.2.2. */
static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define SHA_TARGET __attribute__((target("sha,sse4.1")))

struct pair {
    __m128i abef, cdgh;
};

SHA_TARGET static inline struct pair load(const uint32_t s[8])
{
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)s), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(s + 4)), 0x1b);
    return (struct pair){_mm_alignr_epi8(cdab, hgfe, 8), _mm_blend_epi16(hgfe, cdab, 0xf0)};
}

SHA_TARGET static inline void store(struct pair p, uint32_t s[8])
{
    const __m128i feba = _mm_shuffle_epi32(p.abef, 0x1b), dchg = _mm_shuffle_epi32(p.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)s, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(s + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* The next four words of the message schedule, from the last sixteen. */
SHA_TARGET static inline __m128i schedule(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

/* Four rounds of both states on four words of the schedule. */
SHA_TARGET static inline void rounds(struct pair *a, struct pair *b, __m128i w, int at)
{
    const __m128i k = _mm_load_si128((const __m128i *)(round_constants + at));
    const __m128i low = _mm_add_epi32(w, k), high = _mm_shuffle_epi32(low, 0x0e);
    a->cdgh = _mm_sha256rnds2_epu32(a->cdgh, a->abef, low);
    b->cdgh = _mm_sha256rnds2_epu32(b->cdgh, b->abef, low);
    a->abef = _mm_sha256rnds2_epu32(a->abef, a->cdgh, high);
    b->abef = _mm_sha256rnds2_epu32(b->abef, b->cdgh, high);
}

SHA_TARGET static inline __m128i load_words(const uint8_t *p)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), big_endian);
}

SHA_TARGET void sha256_twin_blocks(uint32_t sa[8], uint32_t sb[8], const uint8_t *data, size_t n)
{
    struct pair a = load(sa), b = load(sb);
    for (; n > 0; n--, data += SHA256_TWIN_BLOCK) {
        const struct pair a0 = a, b0 = b;
        __m128i w0 = load_words(data), w1 = load_words(data + 16);
        __m128i w2 = load_words(data + 32), w3 = load_words(data + 48);
        for (int i = 0; i < 48; i += 16) {
            rounds(&a, &b, w0, i);
            w0 = schedule(w0, w1, w2, w3);
            rounds(&a, &b, w1, i + 4);
            w1 = schedule(w1, w2, w3, w0);
            rounds(&a, &b, w2, i + 8);
            w2 = schedule(w2, w3, w0, w1);
            rounds(&a, &b, w3, i + 12);
            w3 = schedule(w3, w0, w1, w2);
        }
        rounds(&a, &b, w0, 48);
        rounds(&a, &b, w1, 52);
        rounds(&a, &b, w2, 56);
        rounds(&a, &b, w3, 60);
        a.abef = _mm_add_epi32(a.abef, a0.abef);
        a.cdgh = _mm_add_epi32(a.cdgh, a0.cdgh);
        b.abef = _mm_add_epi32(b.abef, b0.abef);
        b.cdgh = _mm_add_epi32(b.cdgh, b0.cdgh);
    }
    store(a, sa);
    store(b, sb);
}

bool sha256_twin_supported(void)
{
    enum { SSE41_ECX = 1 << 19, SSSE3_ECX = 1 << 9, SHA_EBX = 1 << 29 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & SSE41_ECX) || !(c & SSSE3_ECX))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & SHA_EBX);
}

#else

void sha256_twin_blocks(uint32_t a[8], uint32_t b[8], const uint8_t *data, size_t n)
{
    (void)a;
    (void)b;
    (void)data;
    (void)n;
}

bool sha256_twin_supported(void) { return false; }

#endif
