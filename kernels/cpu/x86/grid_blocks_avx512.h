/* Blocks of 256 weights that are picked from grids, 64 weights at a time as bytes: IQ1, IQ2, IQ3
 * and the ternary types, in the layout of the file (kernels/quant.h).
 *
 * Idea: eight table entries of eight weights, or sixteen of four, fill a vector. What a weight is
 * beyond its entry goes into the activations: a minus sign subtracts them, an offset is paid back
 * from their sums. So bytes stay unsigned, as vpdpbusd wants them, and are never rewritten. */
#ifndef OLL_KERNELS_CPU_X86_GRID_BLOCKS_AVX512_H
#define OLL_KERNELS_CPU_X86_GRID_BLOCKS_AVX512_H

#include "kernels/quant.h"
#include "kernels/quant_grids.h"

#include <immintrin.h>
#include <string.h>

#define GRID_INLINE static inline __attribute__((always_inline))

/* Weight i is scale * (minus i ? -w : w - offset of its type). */
struct grid64 {
    __m512i w;
    __mmask64 minus;
};

GRID_INLINE uint64_t grid_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
GRID_INLINE __m128i grid_load8(const void *p) { return _mm_loadl_epi64(p); }

/* Eight bytes of the sign bits in the low 28 bits of each of two words, seven by seven. */
GRID_INLINE uint64_t grid_sevens(uint32_t a, uint32_t b)
{
    const uint64_t bits = (a & 0xfffffffu) | (uint64_t)(b & 0xfffffffu) << 28;
    return _pdep_u64(bits, UINT64_C(0x7f7f7f7f7f7f7f7f));
}

/* Seven bits of sign in each byte; the eighth makes the number of minus signs even. */
GRID_INLINE __mmask64 grid_signs(uint64_t bits)
{
    uint64_t p = bits ^ bits >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return bits | (p & UINT64_C(0x0101010101010101)) << 7;
}

/* Entries one after the other. Eight loads beat a gather, which takes 12 cycles on Zen 5. */
GRID_INLINE __m128i grid_two8(const uint64_t *low, const uint64_t *up)
{
    return _mm_castps_si128(
        _mm_loadh_pi(_mm_castsi128_ps(_mm_loadl_epi64((const void *)low)), (const void *)up));
}
GRID_INLINE __m128i grid_four4(const uint32_t *table, const uint32_t i[4])
{
    const uint64_t low = table[i[0]] | (uint64_t)table[i[1]] << 32;
    const uint64_t up = table[i[2]] | (uint64_t)table[i[3]] << 32;
    return _mm_set_epi64x((long long)up, (long long)low);
}
GRID_INLINE __m512i grid_join(const __m128i v[4])
{
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(v[0]), v[1], 1);
    const __m256i up = _mm256_inserti128_si256(_mm256_castsi128_si256(v[2]), v[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), up, 1);
}
GRID_INLINE __m512i grid_entries8(const uint32_t i[8], const uint64_t *t)
{
    const __m128i v[4] = {grid_two8(t + i[0], t + i[1]), grid_two8(t + i[2], t + i[3]),
                          grid_two8(t + i[4], t + i[5]), grid_two8(t + i[6], t + i[7])};
    return grid_join(v);
}
GRID_INLINE __m512i grid_entries4(const uint32_t i[16], const uint32_t *t)
{
    const __m128i v[4] = {grid_four4(t, i), grid_four4(t, i + 4), grid_four4(t, i + 8),
                          grid_four4(t, i + 12)};
    return grid_join(v);
}

/* 2 n + 1 of sixteen nibbles, the low one of a byte first. */
GRID_INLINE __m128i grid_odd_nibbles(__m128i bytes)
{
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i v = _mm_unpacklo_epi8(_mm_and_si128(bytes, mask),
                                        _mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
    return _mm_add_epi8(_mm_add_epi8(v, v), _mm_set1_epi8(1));
}

/* Each of the low eight bytes twice. */
GRID_INLINE __m128i grid_twice(__m128i v) { return _mm_unpacklo_epi8(v, v); }

/* ---- weights 64 j .. 64 j + 63 of a block ---- */

GRID_INLINE struct grid64 grid_iq2_xxs(const struct block_iq2_xxs *b, int j)
{
    const uint32_t *q = b->qs + 4 * j;
    const uint8_t *low = (const uint8_t *)q, *up = low + 8;
    const uint32_t index[8] = {low[0], low[1], low[2], low[3], up[0], up[1], up[2], up[3]};
    return (struct grid64){grid_entries8(index, quant_grid_iq2xxs),
                           grid_signs(grid_sevens(q[1], q[3]))};
}

GRID_INLINE struct grid64 grid_iq2_xs(const struct block_iq2_xs *b, int j)
{
    const uint16_t *q = b->qs + 8 * j;
    const __m128i signs = _mm_srli_epi16(_mm_loadu_si128((const void *)q), 9);
    uint32_t index[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        index[i] = q[i] & 511u;
    return (struct grid64){grid_entries8(index, quant_grid_iq2xs),
                           grid_signs((uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(signs, signs)))};
}

GRID_INLINE struct grid64 grid_iq2_s(const struct block_iq2_s *b, int j)
{
    const uint8_t *q = b->qs + 8 * j;
    const uint32_t high = (uint32_t)b->qh[2 * j] << 8 | (uint32_t)b->qh[2 * j + 1] << 16;
    uint32_t index[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        index[i] = q[i] | (high >> 2 * i & 0x300);
    return (struct grid64){grid_entries8(index, quant_grid_iq2s), grid_u64(b->signs + 8 * j)};
}

GRID_INLINE struct grid64 grid_iq3_xxs(const struct block_iq3_xxs *b, int j)
{
    const uint32_t *s = b->signs + 2 * j;
    uint32_t index[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        index[i] = b->qs[16 * j + i];
    return (struct grid64){grid_entries4(index, quant_grid_iq3xxs),
                           grid_signs(grid_sevens(s[0], s[1]))};
}

GRID_INLINE struct grid64 grid_iq3_s(const struct block_iq3_s *b, int j)
{
    const uint32_t high = (uint32_t)b->qh[2 * j] << 8 | (uint32_t)b->qh[2 * j + 1] << 16;
    uint32_t index[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        index[i] = b->qs[16 * j + i] | (high >> i & 0x100);
    return (struct grid64){grid_entries4(index, quant_grid_iq3s), grid_u64(b->signs + 8 * j)};
}

/* -1, 0, 1 plus or minus an eighth, times 8, plus 9. `high` has four bits per entry: three more of
 * its index, and whether the eighth is taken away. */
GRID_INLINE struct grid64 grid_iq1(const uint8_t *qs, uint32_t high)
{
    const uint64_t moved = (uint64_t)high << 8;
    uint32_t index[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        index[i] = qs[i] | ((uint32_t)(moved >> 4 * i) & 0x700);
    const __m512i v = grid_entries8(index, quant_grid_iq1s);
    const __m512i ternary = _mm512_add_epi8(v, _mm512_set1_epi8(1)); /* 0, 1, 2 */
    const __m512i up = _mm512_add_epi8(_mm512_slli_epi16(ternary, 3), _mm512_set1_epi8(2));
    /* Bit 3 of each four, as 2 in all bytes of its entry. */
    const __m512i four =
        _mm512_srlv_epi64(_mm512_set1_epi64(high), _mm512_setr_epi64(2, 6, 10, 14, 18, 22, 26, 30));
    const __m512i bit = _mm512_and_si512(four, _mm512_set1_epi8(2));
    const __m512i eighth = _mm512_shuffle_epi8(
        bit, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8)));
    return (struct grid64){_mm512_sub_epi8(up, eighth), 0};
}

/* Four fields of three bits and the top bit, as four times four bits. */
GRID_INLINE uint32_t grid_high_iq1_s(uint32_t h)
{
    const uint32_t spread = _pdep_u32(h, 0x7777);
    return spread | (h & 0x8000 ? 0x8888u : 0);
}

GRID_INLINE struct grid64 grid_iq1_s(const struct block_iq1_s *b, int j)
{
    return grid_iq1(b->qs + 8 * j, grid_high_iq1_s(b->qh[2 * j]) | grid_high_iq1_s(b->qh[2 * j + 1])
                                                                       << 16);
}

GRID_INLINE struct grid64 grid_iq1_m(const struct block_iq1_m *b, int j)
{
    uint32_t high;
    memcpy(&high, b->qh + 4 * j, sizeof high);
    return grid_iq1(b->qs + 8 * j, high);
}

/* Values + 1: two of the four planes of 32 in half the bytes. */
GRID_INLINE struct grid64 grid_tq2_0(const struct block_tq2_0 *b, int j)
{
    const __m256i q = _mm256_loadu_si256((const void *)(b->qs + j / 2 * 32));
    const __m256i low = _mm256_srli_epi16(q, j % 2 * 4), up = _mm256_srli_epi16(q, j % 2 * 4 + 2);
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), up, 1);
    return (struct grid64){_mm512_and_si512(both, _mm512_set1_epi8(3)), 0};
}

/* Byte times 3^k, of which the leading base-3 digit counts. */
GRID_INLINE __m256i grid_times(__m256i q, int k)
{
    static const int16_t pow3[5] = {1, 3, 9, 27, 81};
    const __m256i m = _mm256_set1_epi16(pow3[k]), low = _mm256_set1_epi16(255);
    const __m256i even = _mm256_and_si256(_mm256_mullo_epi16(q, m), low);
    const __m256i odd = _mm256_mullo_epi16(_mm256_srli_epi16(q, 8), m);
    return _mm256_or_si256(even, _mm256_slli_epi16(odd, 8));
}

/* Values + 1. Elements: 5 digits of the first 32 bytes, 5 of the next 16, 4 of the last 4. */
GRID_INLINE struct grid64 grid_tq1_0(const struct block_tq1_0 *b, int j)
{
    const __m256i q = _mm256_loadu_si256((const void *)b->qs);
    const __m256i q16 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)(b->qs + 32)));
    __m256i low, up;
    if (j < 2) {
        low = grid_times(q, 2 * j);
        up = grid_times(q, 2 * j + 1);
    } else if (j == 2) {
        low = grid_times(q, 4);
        up = _mm256_blend_epi32(grid_times(q16, 0), grid_times(q16, 1), 0xf0);
    } else {
        uint32_t h;
        memcpy(&h, b->qh, sizeof h);
        const __m256i last = _mm256_set1_epi32((int)h);
        low = _mm256_blend_epi32(grid_times(q16, 2), grid_times(q16, 3), 0xf0);
        up = _mm256_blend_epi32(grid_times(last, 0), grid_times(last, 1), 0x20);
        up = _mm256_blend_epi32(up, grid_times(last, 2), 0x40);
        up = _mm256_blend_epi32(up, grid_times(last, 3), 0x80);
        up = _mm256_blend_epi32(up, grid_times(q16, 4), 0x0f);
    }
    const __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(low), up, 1);
    const __m512i one = _mm512_set1_epi8(1);
    const __m512i w = _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(v, _mm512_set1_epi8(86)), one);
    const __mmask64 two = _mm512_cmpge_epu8_mask(v, _mm512_set1_epi8((char)171));
    return (struct grid64){_mm512_mask_add_epi8(w, two, w, one), 0};
}

/* ---- scales of sixteen weights each, signed bytes; d of a block as its half ---- */

GRID_INLINE __m128i grid_scales_iq2_xxs(const struct block_iq2_xxs *b)
{
    const __m512i q = _mm512_srli_epi64(_mm512_loadu_si512(b->qs), 60);
    const __m128i s = _mm512_cvtepi64_epi8(q);
    return grid_twice(_mm_add_epi8(_mm_add_epi8(s, s), _mm_set1_epi8(1)));
}
GRID_INLINE __m128i grid_scales_iq3_xxs(const struct block_iq3_xxs *b)
{
    const __m256i q = _mm256_srli_epi32(_mm256_loadu_si256((const void *)b->signs), 28);
    const __m128i s = _mm256_cvtepi32_epi8(q);
    return grid_twice(_mm_add_epi8(_mm_add_epi8(s, s), _mm_set1_epi8(1)));
}
GRID_INLINE __m128i grid_scales_iq2_xs(const struct block_iq2_xs *b)
{
    return grid_odd_nibbles(grid_load8(b->scales));
}
GRID_INLINE __m128i grid_scales_iq2_s(const struct block_iq2_s *b)
{
    return grid_odd_nibbles(grid_load8(b->scales));
}
GRID_INLINE __m128i grid_scales_iq3_s(const struct block_iq3_s *b)
{
    int32_t s;
    memcpy(&s, b->scales, sizeof s);
    return grid_twice(grid_odd_nibbles(_mm_cvtsi32_si128(s)));
}
GRID_INLINE __m128i grid_scales_iq1_s(const struct block_iq1_s *b)
{
    const __m128i q =
        _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128((const void *)b->qh), 11), _mm_set1_epi16(14));
    const __m128i s = _mm_add_epi16(q, _mm_set1_epi16(1));
    return grid_twice(_mm_packus_epi16(s, s));
}
/* Eight bytes of the fields of three bits in the low 12 of each of two words. */
GRID_INLINE long long grid_threes(uint32_t a, uint32_t b)
{
    return (long long)_pdep_u64((a & 0xfff) | (b & 0xfff) << 12, UINT64_C(0x0707070707070707));
}
GRID_INLINE __m128i grid_scales_iq1_m(const struct block_iq1_m *b)
{
    const __m128i s = _mm_set_epi64x(grid_threes(b->scales[2], b->scales[3]),
                                     grid_threes(b->scales[0], b->scales[1]));
    return _mm_add_epi8(_mm_add_epi8(s, s), _mm_set1_epi8(1));
}
GRID_INLINE __m128i grid_scales_one(void) { return _mm_set1_epi8(1); }

GRID_INLINE uint16_t grid_d_iq1_m(const struct block_iq1_m *b)
{
    return (uint16_t)(b->scales[0] >> 12 | (b->scales[1] >> 8 & 0xf0) |
                      (b->scales[2] >> 4 & 0xf00) | (b->scales[3] & 0xf000));
}

#endif
