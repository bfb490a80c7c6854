/* AVX-512 VNNI: types whose weights come from grids, straight from the rows of the file.
 *
 * Idea: one token cannot pay for a panel of bytes that it reads once, so its product goes row by
 * row: 64 weights times 64 activations per instruction, sums of four times their sub-block's scale,
 * a vector per row and block; then sixteen rows are added up across at once and finished as
 * tile_k.h does, to the same bits. Many tokens have the rows expanded to bytes, which takes the
 * same entries. Limit: the instructions that fetch 8 or 16 table entries for 64 weights. */
#include "kernels/cpu/cpu_expand.h"
#include "kernels/cpu/x86/grid_blocks_avx512.h"
#include "kernels/cpu/x86/matmul_levels.h"

enum { ROWS = CPU_PANEL_ROWS, CHUNK = 8 /* blocks of a row in a run */, AHEAD = 1024 };

/* X(type, offset, factor of d, scales, half d) */
#define GRID_TYPES(X)                                                                              \
    X(iq2_xxs, 0, 0.125f, grid_scales_iq2_xxs(b), b->d)                                            \
    X(iq2_xs, 0, 0.125f, grid_scales_iq2_xs(b), b->d)                                              \
    X(iq2_s, 0, 0.125f, grid_scales_iq2_s(b), b->d)                                                \
    X(iq3_xxs, 0, 0.25f, grid_scales_iq3_xxs(b), b->d)                                             \
    X(iq3_s, 0, 1.0f, grid_scales_iq3_s(b), b->d)                                                  \
    X(iq1_s, 9, 0.125f, grid_scales_iq1_s(b), b->d)                                                \
    X(iq1_m, 9, 0.125f, grid_scales_iq1_m(b), grid_d_iq1_m(b))                                     \
    X(tq1_0, 1, 1.0f, grid_scales_one(), b->d)                                                     \
    X(tq2_0, 1, 1.0f, grid_scales_one(), b->d)

enum grid_type {
#define X(fn, offset, factor, scales, half) GRID_##fn,
    GRID_TYPES(X)
#undef X
};

/* ---- one block of one row; `type` is a constant wherever these are inlined ---- */

GRID_INLINE size_t grid_block_bytes(enum grid_type type)
{
#define X(fn, offset, factor, scales, half)                                                        \
    if (type == GRID_##fn)                                                                         \
        return sizeof(struct block_##fn);
    GRID_TYPES(X)
#undef X
    return 0;
}

GRID_INLINE int grid_offset(enum grid_type type)
{
#define X(fn, offset, factor, scales, half)                                                        \
    if (type == GRID_##fn)                                                                         \
        return offset;
    GRID_TYPES(X)
#undef X
    return 0;
}

GRID_INLINE float grid_factor(enum grid_type type)
{
#define X(fn, offset, factor, scales, half)                                                        \
    if (type == GRID_##fn)                                                                         \
        return factor;
    GRID_TYPES(X)
#undef X
    return 0;
}

GRID_INLINE struct grid64 grid_at(enum grid_type type, const void *block, int j)
{
#define X(fn, offset, factor, scales, half)                                                        \
    if (type == GRID_##fn)                                                                         \
        return grid_##fn((const struct block_##fn *)block, j);
    GRID_TYPES(X)
#undef X
    return (struct grid64){_mm512_setzero_si512(), 0};
}

GRID_INLINE __m128i grid_scales(enum grid_type type, const void *block)
{
#define X(fn, offset, factor, sc, half)                                                            \
    if (type == GRID_##fn) {                                                                       \
        const struct block_##fn *b = block;                                                        \
        (void)b;                                                                                   \
        return sc;                                                                                 \
    }
    GRID_TYPES(X)
#undef X
    return _mm_setzero_si128();
}

GRID_INLINE uint16_t grid_d(enum grid_type type, const void *block)
{
#define X(fn, offset, factor, scales, half)                                                        \
    if (type == GRID_##fn) {                                                                       \
        const struct block_##fn *b = block;                                                        \
        return half;                                                                               \
    }
    GRID_TYPES(X)
#undef X
    return 0;
}

/* ---- the product with one token ---- */

/* What sums of four start from: -offset * the sum of 16 activations in one of their four lanes. */
GRID_INLINE void grid_starts(enum grid_type type, const union cpu_word *words, __m512i start[4])
{
    const __m512i sum32 = _mm512_loadu_si512(words + A256_SUM32); /* -32 * sums of 16 */
    const __m512i sum =
        _mm512_mullo_epi32(_mm512_srai_epi32(sum32, 5), _mm512_set1_epi32(grid_offset(type)));
    for (int j = 0; j < 4; j++) {
        const __m512i lanes =
            _mm512_add_epi32(_mm512_set1_epi32(4 * j),
                             _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
        start[j] = _mm512_maskz_permutexvar_epi32(0x1111, lanes, sum);
    }
}

/* The integer sum of a block as sixteen parts. */
GRID_INLINE __m512i grid_dot(enum grid_type type, const void *block, const uint8_t *a,
                             const __m512i start[4])
{
    const __m512i quarter = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i scales = _mm512_cvtepi8_epi32(grid_scales(type, block));
    __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const struct grid64 g = grid_at(type, block, j);
        __m512i y = _mm512_loadu_si512(a + 64 * j);
        if (grid_offset(type) == 0)
            y = _mm512_mask_sub_epi8(y, g.minus, _mm512_setzero_si512(), y);
        const __m512i z =
            _mm512_dpbusd_epi32(grid_offset(type) == 0 ? _mm512_setzero_si512() : start[j], g.w, y);
        const __m512i lanes = _mm512_add_epi32(quarter, _mm512_set1_epi32(4 * j));
        sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(z, _mm512_permutexvar_epi32(lanes, scales)));
    }
    return sum;
}

/* Lane r of the result: the sum of the lanes of v[r]. */
static __m512i sums_across(const __m512i v[ROWS])
{
    __m512i four[4];
    for (int i = 0; i < 4; i++) {
        const __m512i *r = v + 4 * i;
        const __m512i a =
            _mm512_add_epi32(_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]));
        const __m512i b =
            _mm512_add_epi32(_mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3]));
        four[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    }
    for (int i = 0; i < 2; i++)
        four[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(four[2 * i], four[2 * i + 1], 0x88),
                                   _mm512_shuffle_i32x4(four[2 * i], four[2 * i + 1], 0xdd));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(four[0], four[1], 0x88),
                            _mm512_shuffle_i32x4(four[0], four[1], 0xdd));
}

/* A run of up to CHUNK blocks of all rows. */
struct grid_run {
    __m512i sum[CHUNK][ROWS], start[CHUNK][4];
    uint16_t d[CHUNK][ROWS];
};

GRID_INLINE void grid_tile(enum grid_type type, const struct cpu_tile *t)
{
    const size_t block_bytes = grid_block_bytes(type);
    struct grid_run run;
    __m512 c = _mm512_setzero_ps();
    if (t->n_rows < ROWS)
        memset(&run, 0, sizeof run);
    for (uint32_t first = 0; first < t->n_in / 256; first += CHUNK) {
        const uint32_t left = t->n_in / 256 - first, n = left < CHUNK ? left : CHUNK;
        const uint8_t *a = t->a + (size_t)first * 256;
        const union cpu_word *words = t->words + (size_t)first * A256_WORDS;
        for (uint32_t b = 0; b < n && grid_offset(type) != 0; b++)
            grid_starts(type, words + b * A256_WORDS, run.start[b]);
        for (uint32_t r = 0; r < t->n_rows; r++) {
            const uint8_t *row = t->w + r * t->w_stride + first * block_bytes;
            for (uint32_t b = 0; b < n; b++, row += block_bytes) {
                _mm_prefetch((const char *)row + AHEAD, _MM_HINT_T0);
                run.sum[b][r] = grid_dot(type, row, a + 256 * b, run.start[b]);
                run.d[b][r] = grid_d(type, row);
            }
        }
        for (uint32_t b = 0; b < n; b++) {
            const __m512 d =
                _mm512_mul_ps(_mm512_cvtph_ps(_mm256_loadu_si256((const void *)run.d[b])),
                              _mm512_set1_ps(grid_factor(type)));
            const __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(sums_across(run.sum[b])), d);
            c = _mm512_fmadd_ps(v, _mm512_set1_ps(words[b * A256_WORDS + A256_SCALE].f), c);
        }
    }
    _mm512_storeu_ps(t->c, c);
}

/* ---- expansion for many tokens ---- */

GRID_INLINE void grid_expand(enum grid_type type, const void *block, struct cpu_row256 *out)
{
    const __m512i middle = _mm512_set1_epi8((char)(128 - grid_offset(type)));
    out->d =
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(grid_d(type, block)))) * grid_factor(type);
    _mm_storeu_si128((void *)out->scale, grid_scales(type, block));
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const struct grid64 g = grid_at(type, block, j);
        const __m512i up = _mm512_add_epi8(middle, g.w);
        _mm512_storeu_si512(out->q + 8 * j, _mm512_mask_sub_epi8(up, g.minus, middle, g.w));
    }
}

#define X(fn, offset, factor, scales, half)                                                        \
    static void dot_##fn(const struct cpu_tile *t) { grid_tile(GRID_##fn, t); }                    \
    static void expand_##fn(const void *block, struct cpu_row256 *out)                             \
    {                                                                                              \
        grid_expand(GRID_##fn, block, out);                                                        \
    }                                                                                              \
    const struct cpu_matmul_rows cpu_rows_##fn##__avx512vnni = {                                   \
        .direct = {.name = #fn "__rows_avx512vnni", .narrow = {[1] = dot_##fn}},                   \
        .row256 = expand_##fn,                                                                     \
    };
GRID_TYPES(X)
#undef X
