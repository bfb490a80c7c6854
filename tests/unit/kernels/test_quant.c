/* Decoders against the shared golden data, to the bit; encoders against the error of the reference.
 */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "kernels/half.h"
#include "kernels/quant.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"quant", "quant_imatrix", "random", "edge"};
enum { N_KINDS = 4, N_GOLDEN_FILES = 97 };

/* Reads golden/quant/<name>; NULL when absent. */
static char *read_golden(const char *name, uint64_t *n_bytes)
{
    char *data = NULL;
    const char *path = testing_shared("data/golden/quant/%s", name);
    if (!path[0] || oll_file_read(path, 1 << 24, &data, n_bytes, NULL) != OLL_OK)
        return NULL;
    return data;
}

/* NaN equals NaN whatever its payload. */
static bool same_bits(float a, float b)
{
    return oll_f32_to_bits(a) == oll_f32_to_bits(b) || (a != a && b != b);
}

static void check_values(const char *name, const float *got, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!same_bits(got[i], expected[i])) {
            CHECK_MSG(false, "%s: element %zu is %a, expected %a", name, i, (double)got[i],
                      (double)expected[i]);
            return;
        }
    }
}

/* Returns whether the pair of files exists. */
static bool check_golden(uint32_t id, const char *kind)
{
    const struct oll_dtype_info *info = oll_dtype_info(id);
    char name[64];
    uint64_t n_raw = 0, n_f32 = 0;
    snprintf(name, sizeof name, "%s.%s.f32", info->name, kind);
    char *expected = read_golden(name, &n_f32);
    snprintf(name, sizeof name, "%s.%s.raw", info->name, kind);
    char *raw = read_golden(name, &n_raw);
    bool found = raw && expected;
    if (found) {
        const size_t n = n_f32 / 4;
        /* One byte off any alignment, in an allocation of the exact size, so that sanitizers see a
         * read beyond the row. */
        char *shifted = oll_alloc(n_raw + 1, 1);
        float *got = oll_alloc(n, sizeof *got);
        if (CHECK(shifted && got) && CHECK_EQ(oll_dtype_row_bytes((enum oll_dtype)id, n), n_raw)) {
            memcpy(shifted + 1, raw, n_raw);
            memset(got, 0xa5, n * sizeof *got);
            oll_dequantize_row((enum oll_dtype)id, shifted + 1, got, n);
            check_values(name, got, (const float *)expected, n);
        }
        oll_free(shifted);
        oll_free(got);
    }
    oll_free(expected);
    oll_free(raw);
    return found;
}

TEST(decodes_golden_files_to_the_bit)
{
    if (!testing_shared("data/golden/quant")[0]) {
        testing_skip("no golden/quant in the shared data");
        return;
    }
    int n_files = 0;
    for (uint32_t id = 0; id < OLL_DTYPE_COUNT; id++)
        for (int k = 0; oll_dtype_info(id) && k < N_KINDS; k++)
            n_files += check_golden(id, kinds[k]);
    CHECK_EQ(n_files, N_GOLDEN_FILES);
}

TEST(decodes_plain_types)
{
    const int8_t i8[2] = {-128, 127};
    const int16_t i16[2] = {-32768, 32767};
    const int32_t i32[2] = {INT32_MIN, 16777217};
    const int64_t i64[2] = {INT64_MIN, 3};
    const double f64[2] = {0.1, -1e300};
    float x[2];
    oll_dequantize_row(OLL_I8, i8, x, 2);
    CHECK(x[0] == -128.0f && x[1] == 127.0f);
    oll_dequantize_row(OLL_I16, i16, x, 2);
    CHECK(x[0] == -32768.0f && x[1] == 32767.0f);
    oll_dequantize_row(OLL_I32, i32, x, 2);
    CHECK(x[0] == -2147483648.0f && x[1] == 16777216.0f);
    oll_dequantize_row(OLL_I64, i64, x, 2);
    CHECK(x[0] == -9223372036854775808.0f && x[1] == 3.0f);
    oll_dequantize_row(OLL_F64, f64, x, 2);
    CHECK(x[0] == 0.1f && x[1] == -INFINITY);
}

TEST(decodes_activation_blocks)
{
    struct block_q8_1 q81 = {.d = oll_f32_to_f16(0.5f), .qs = {3, -4, [31] = 127}};
    struct block_q8_k q8k = {.d = 0.25f, .qs = {-127, [255] = 9}};
    float x[QUANT_K];
    oll_dequantize_row(OLL_Q8_1, &q81, x, 32);
    CHECK(x[0] == 1.5f && x[1] == -2.0f && x[2] == 0.0f && x[31] == 63.5f);
    oll_dequantize_row(OLL_Q8_K, &q8k, x, QUANT_K);
    CHECK(x[0] == -31.75f && x[1] == 0.0f && x[255] == 2.25f);
}

TEST(f16_round_trip_covers_every_number)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = oll_f16_to_f32((uint16_t)h);
        bool is_nan = (h & 0x7fff) > 0x7c00;
        uint16_t back = oll_f32_to_f16(f);
        if (is_nan ? f == f || (back & 0x7fff) <= 0x7c00 : back != h)
            CHECK_MSG(false, "f16 %04x -> %a -> %04x", h, (double)f, back);
    }
}

/* Between two neighbours of f16 or bf16 the nearer wins and the middle goes to the even one. */
TEST(narrowing_rounds_to_nearest_even)
{
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double low = oll_f16_to_f32((uint16_t)h);
        const double high = h == 0x7bff ? 65536.0 : oll_f16_to_f32((uint16_t)(h + 1));
        const float middle = (float)((low + high) / 2);
        const uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        if (oll_f32_to_f16(middle) != even || oll_f32_to_f16(nextafterf(middle, 0)) != h ||
            oll_f32_to_f16(nextafterf(middle, 1e9f)) != h + 1 ||
            oll_f32_to_f16(-middle) != (0x8000 | even))
            CHECK_MSG(false, "f16 rounding above %04x", h);
    }
    for (uint32_t h = 0; h < 0x7f80; h++) {
        const uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        if (oll_f32_to_bf16(oll_bits_to_f32(h << 16 | 0x8000)) != even ||
            oll_f32_to_bf16(oll_bits_to_f32(h << 16 | 0x7fff)) != h ||
            oll_f32_to_bf16(oll_bits_to_f32(h << 16 | 0x8001)) != h + 1)
            CHECK_MSG(false, "bf16 rounding above %04x", h);
    }
    CHECK_EQ(oll_f32_to_f16(INFINITY), 0x7c00);
    CHECK_EQ(oll_f32_to_f16(1e30f), 0x7c00);
    CHECK_EQ(oll_f32_to_bf16(-INFINITY), 0xff80);
    CHECK((oll_f32_to_bf16(oll_bits_to_f32(0x7f800001)) & 0x7fff) > 0x7f80);
}

/* Root mean square error of one row after a round trip. */
static double row_rmse(enum oll_dtype dtype, const float *x, size_t n, void *blocks, float *y)
{
    double sum = 0;
    oll_quantize_row(dtype, x, blocks, n);
    oll_dequantize_row(dtype, blocks, y, n);
    for (size_t i = 0; i < n; i++)
        sum += ((double)y[i] - x[i]) * ((double)y[i] - x[i]);
    return sqrt(sum / (double)n);
}

/* The reference's error per row follows from its own decoded values. */
TEST(encoders_are_as_good_as_the_reference)
{
    static const enum oll_dtype dtypes[] = {OLL_F16,  OLL_BF16, OLL_Q4_0, OLL_Q4_1,
                                            OLL_Q5_0, OLL_Q5_1, OLL_Q8_0, OLL_Q2_K,
                                            OLL_Q3_K, OLL_Q4_K, OLL_Q5_K, OLL_Q6_K};
    enum { ROWS = 8, COLS = 512 };
    uint64_t n_source = 0, n_ref = 0;
    float *source = (float *)read_golden("source.f32", &n_source);
    if (!source) {
        testing_skip("no golden/quant in the shared data");
        return;
    }
    CHECK_EQ(n_source, ROWS * COLS * 4);
    for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++) {
        char name[64];
        unsigned char blocks[COLS * 4];
        float y[COLS];
        snprintf(name, sizeof name, "%s.quant.f32", oll_dtype_name(dtypes[t]));
        float *ref = (float *)read_golden(name, &n_ref);
        for (int r = 0; CHECK(ref != NULL) && r < ROWS; r++) {
            const float *x = source + r * COLS, *expected = ref + r * COLS;
            double sum = 0;
            for (int i = 0; i < COLS; i++)
                sum += ((double)expected[i] - x[i]) * ((double)expected[i] - x[i]);
            /* The first two are no targets of `oll create -q`. */
            const double most = dtypes[t] == OLL_Q2_K || dtypes[t] == OLL_Q3_K ? 1.05 : 1.02;
            double rmse = row_rmse(dtypes[t], x, COLS, blocks, y),
                   limit = sqrt(sum / COLS) * most + 1e-12;
            CHECK_MSG(rmse <= limit, "%s row %d: error %g, at most %g", name, r, rmse, limit);
        }
        oll_free(ref);
    }
    oll_free(source);
}

TEST(activation_encoders_keep_their_sums)
{
    float x[QUANT_K], y[QUANT_K];
    uint64_t seed = 7;
    for (int i = 0; i < QUANT_K; i++)
        x[i] = (float)((double)(testing_random(&seed) >> 11) * 0x1p-53 - 0.5);
    struct block_q8_k k;
    oll_quantize_row(OLL_Q8_K, x, &k, QUANT_K);
    oll_dequantize_row(OLL_Q8_K, &k, y, QUANT_K);
    for (int g = 0; g < 16; g++) {
        int sum = 0;
        for (int j = 0; j < 16; j++)
            sum += k.qs[16 * g + j];
        CHECK_EQ(k.bsums[g], sum);
    }
    for (int i = 0; i < QUANT_K; i++)
        CHECK(fabsf(x[i] - y[i]) <= k.d * 0.5001f);

    struct block_q8_1 b[8];
    oll_quantize_row(OLL_Q8_1, x, b, QUANT_K);
    for (int i = 0; i < 8; i++) {
        int sum = 0;
        for (int j = 0; j < 32; j++)
            sum += b[i].qs[j];
        float s = oll_f16_to_f32(b[i].d) * (float)sum;
        CHECK(fabsf(oll_f16_to_f32(b[i].s) - s) <= fabsf(s) * 0x1p-10f + 1e-6f);
    }
}

/* A bad value spoils its own block, visibly, and no other one. */
TEST(encoders_survive_numbers_that_are_none)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 0.0f};
    for (uint32_t id = 0; id < OLL_DTYPE_COUNT; id++) {
        if (!oll_quantize_supported((enum oll_dtype)id))
            continue;
        const size_t block = oll_dtype_info(id)->block_elements;
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            float x[2 * QUANT_K] = {0}, y[2 * QUANT_K];
            unsigned char blocks[2 * QUANT_K * 4];
            x[0] = bad[k];
            x[block] = 1.0f;
            oll_quantize_row((enum oll_dtype)id, x, blocks, 2 * block);
            oll_dequantize_row((enum oll_dtype)id, blocks, y, 2 * block);
            CHECK_MSG(isfinite(bad[k]) || !isfinite(y[0]), "%s hides %g", oll_dtype_name(id),
                      (double)bad[k]);
            CHECK_MSG(fabsf(y[block] - 1.0f) < 0.01f, "%s: neighbour is %g", oll_dtype_name(id),
                      (double)y[block]);
        }
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
