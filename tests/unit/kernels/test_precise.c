/* Products of the cpu device with weights that ask for precision: within 16 bits of the activations
 * where plain ones are within 8, for every type, shape of batch and way to store a result. */
#include "engine/base/mem.h"
#include "kernels/device.h"
#include "kernels/quant.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { N_IN = 512, N_OUT = 37, MAX_ROWS = 70 };

static uint64_t state = 7;

static float uniform(void) { return (float)(testing_random(&state) >> 40) * 0x1p-23f - 1; }

/* The device under test with one buffer: y, x, bias, norm weights. */
struct bed {
    struct oll_device *dev;
    struct oll_buffer *buf;
    struct oll_weight *plain, *precise;
    uint8_t *rows; /* of both */
    float w[N_OUT][N_IN], x[MAX_ROWS][N_IN], bias[N_OUT], norm[N_IN];
    float y[MAX_ROWS][N_OUT], before[MAX_ROWS][N_OUT];
};

enum { AT_Y = 0, AT_X = MAX_ROWS * N_OUT + 16, AT_BIAS = AT_X + MAX_ROWS * N_IN };
enum { AT_NORM = AT_BIAS + N_OUT + 16, N_FLOAT = AT_NORM + N_IN };

static void put(struct bed *b, size_t at, const float *v, size_t n)
{
    CHECK_OK(oll_buffer_upload(b->buf, at * 4, v, n * 4, NULL));
}

static bool bed_weights(struct bed *b, enum oll_dtype dtype)
{
    const size_t row_bytes = oll_dtype_row_bytes(dtype, N_IN);
    b->rows = oll_alloc(N_OUT, row_bytes);
    float values[N_IN];
    for (int o = 0; o < N_OUT; o++) {
        for (int i = 0; i < N_IN; i++)
            values[i] = uniform();
        oll_quantize_row(dtype, values, b->rows + (size_t)o * row_bytes, N_IN);
        oll_dequantize_row(dtype, b->rows + (size_t)o * row_bytes, b->w[o], N_IN);
    }
    struct oll_weight_source src = {
        .name = "w", .data = b->rows, .dtype = dtype, .n_in = N_IN, .n_out = N_OUT, .n_expert = 1};
    bool ok = oll_weights_new(b->dev, &src, 1, &b->plain, NULL) == OLL_OK;
    src.precise = true;
    ok = ok && oll_weights_new(b->dev, &src, 1, &b->precise, NULL) == OLL_OK;
    CHECK(ok && b->precise->precise);
    return ok;
}

static bool bed_open(struct bed *b, const char *isa, enum oll_dtype dtype)
{
    const struct oll_device_params params = {.n_threads = 2, .isa = isa};
    memset(b, 0, sizeof *b);
    if (oll_device_open("cpu", &params, &b->dev, NULL) != OLL_OK)
        return false;
    CHECK_OK(oll_buffer_new(b->dev, N_FLOAT * sizeof(float), &b->buf, NULL));
    for (int t = 0; t < MAX_ROWS; t++)
        for (int i = 0; i < N_IN; i++)
            b->x[t][i] = uniform() * uniform() * uniform();
    for (int o = 0; o < N_OUT; o++)
        b->bias[o] = uniform();
    for (int i = 0; i < N_IN; i++)
        b->norm[i] = 1 + 0.3f * uniform();
    put(b, AT_X, b->x[0], MAX_ROWS * N_IN);
    put(b, AT_BIAS, b->bias, N_OUT);
    put(b, AT_NORM, b->norm, N_IN);
    return bed_weights(b, dtype);
}

static void bed_close(struct bed *b)
{
    oll_weight_free(b->plain);
    oll_weight_free(b->precise);
    oll_free(b->rows);
    oll_buffer_free(b->buf);
    oll_device_close(b->dev);
}

/* Runs one op on y and reads y back. */
static void run(struct bed *b, const struct op_matmul *matmul, const struct op_norm_matmul *fused)
{
    struct oll_cmd cmd;
    oll_cmd_init(&cmd, b->dev);
    for (int t = 0; t < MAX_ROWS; t++)
        for (int o = 0; o < N_OUT; o++)
            b->before[t][o] = uniform();
    put(b, AT_Y, b->before[0], MAX_ROWS * N_OUT);
    if (matmul)
        op_matmul(&cmd, matmul);
    else
        op_norm_matmul(&cmd, fused);
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_OK(oll_device_wait(b->dev, NULL));
    CHECK_OK(oll_buffer_download(b->buf, AT_Y * 4, b->y, sizeof b->y, NULL));
    oll_cmd_free(&cmd);
}

/* Root mean square of the error, in the unit of the outputs; of rows beyond `rows` any change. */
static double error_of(const struct bed *b, uint32_t rows, bool normed, bool residual, double scale)
{
    double sum = 0;
    for (uint32_t t = 0; t < MAX_ROWS; t++) {
        double square = 0;
        for (int i = 0; i < N_IN; i++)
            square += (double)b->x[t][i] * (double)b->x[t][i];
        const double factor = normed ? 1 / sqrt(square / N_IN + 1e-6) : 1;
        for (int o = 0; o < N_OUT; o++) {
            double y = (double)b->bias[o];
            for (int i = 0; i < N_IN; i++)
                y += (double)b->w[o][i] * (double)b->x[t][i] * factor *
                     (normed ? (double)b->norm[i] : 1);
            y = scale * y + (residual ? (double)b->before[t][o] : 0);
            const double d = (double)b->y[t][o] - (t < rows ? y : (double)b->before[t][o]);
            sum += d * d;
        }
    }
    return sqrt(sum / (rows * N_OUT));
}

static struct oll_mat mat_at(const struct bed *b, size_t at, uint32_t rows, uint32_t cols)
{
    return (struct oll_mat){b->buf, at, rows, cols, cols};
}

static double matmul_error(struct bed *b, const struct oll_weight *w, uint32_t rows)
{
    const struct oll_mat y = mat_at(b, AT_Y, rows, N_OUT);
    const struct op_matmul op = {.y = y,
                                 .x = mat_at(b, AT_X, rows, N_IN),
                                 .w = w,
                                 .b = {b->buf, AT_BIAS, N_OUT},
                                 .residual = y,
                                 .scale = 0.5f};
    run(b, &op, NULL);
    return error_of(b, rows, false, true, 0.5);
}

static double fused_error(struct bed *b, const struct oll_weight *w, uint32_t rows)
{
    const struct op_norm_matmul op = {.norm = {.kind = OLL_NORM_RMS,
                                               .y = mat_at(b, AT_X, rows, N_IN),
                                               .x = mat_at(b, AT_X, rows, N_IN),
                                               .w = {b->buf, AT_NORM, N_IN},
                                               .eps = 1e-6f},
                                      .n = 1,
                                      .y = {mat_at(b, AT_Y, rows, N_OUT)},
                                      .w = {w},
                                      .b = {{b->buf, AT_BIAS, N_OUT}}};
    run(b, NULL, &op);
    return error_of(b, rows, true, false, 1);
}

static void check_type(const char *isa, enum oll_dtype dtype)
{
    static const uint32_t rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, MAX_ROWS};
    struct bed b;
    if (!bed_open(&b, isa, dtype))
        return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const double plain = matmul_error(&b, b.plain, rows[i]);
        const double precise = matmul_error(&b, b.precise, rows[i]);
        CHECK_MSG(precise < plain / 60, "%s %s, %u rows: error %.3g, plain %.3g", isa,
                  oll_dtype_name((uint32_t)dtype), rows[i], precise, plain);
        if (!oll_device_supports(b.dev, OLL_OP_NORM_MATMUL, dtype))
            continue;
        const double fused_plain = fused_error(&b, b.plain, rows[i]);
        const double fused = fused_error(&b, b.precise, rows[i]);
        CHECK_MSG(fused < fused_plain / 60, "%s %s, %u rows, normed: error %.3g, plain %.3g", isa,
                  oll_dtype_name((uint32_t)dtype), rows[i], fused, fused_plain);
    }
    bed_close(&b);
}

TEST(precise_weights_see_sixteen_bits)
{
    static const char *const levels[] = {"scalar",     "avx2", "avxvnni", "avx512",
                                         "avx512vnni", "neon", "dotprod", NULL};
    static const enum oll_dtype types[] = {OLL_Q4_0, OLL_Q4_1, OLL_Q8_0, OLL_Q4_K,
                                           OLL_Q6_K, OLL_Q5_1, OLL_Q3_K};
    for (int l = 0; levels[l]; l++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            check_type(levels[l], types[t]);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
