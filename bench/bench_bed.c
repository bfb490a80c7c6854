#include "bench/bench_bed.h"

#include "bench/bench_fill.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

enum { OPERAND_MAX = 512, ROUNDS_MIN = 3, ROUNDS_MAX = 1000 };

#define WEIGHT_SD 0.02

static void fail_memory(struct bench_bed *bed)
{
    if (bed->status == OLL_OK)
        bed->status = OLL_FAIL(&bed->err, OLL_ERR_MEMORY, "no memory for the operands");
}

void bench_bed_init(struct bench_bed *bed, const char *device,
                    const struct oll_device_params *params)
{
    memset(bed, 0, sizeof *bed);
    bed->state = 1;
    bed->buffers = oll_calloc(OPERAND_MAX, sizeof *bed->buffers);
    bed->weights = oll_calloc(OPERAND_MAX, sizeof *bed->weights);
    bed->sources = oll_calloc(OPERAND_MAX, sizeof *bed->sources);
    if (!bed->buffers || !bed->weights || !bed->sources)
        fail_memory(bed);
    else
        bed->status = oll_device_open(device, params, &bed->dev, &bed->err);
    oll_cmd_init(&bed->cmd, bed->dev);
}

void bench_bed_clear(struct bench_bed *bed)
{
    while (bed->n_buffer > 0)
        oll_buffer_free(bed->buffers[--bed->n_buffer]);
    while (bed->n_weight > 0) {
        oll_weight_free(bed->weights[--bed->n_weight]);
        oll_free(bed->sources[bed->n_weight]);
    }
    oll_cmd_reset(&bed->cmd);
}

void bench_bed_free(struct bench_bed *bed)
{
    bench_bed_clear(bed);
    oll_cmd_free(&bed->cmd);
    oll_device_close(bed->dev);
    oll_free(bed->buffers);
    oll_free(bed->weights);
    oll_free(bed->sources);
    memset(bed, 0, sizeof *bed);
}

/* ---- operands ---- */

struct oll_buffer *bench_bed_buffer(struct bench_bed *bed, size_t n_bytes)
{
    struct oll_buffer *buf = NULL;
    if (bed->status != OLL_OK)
        return NULL;
    if (bed->n_buffer == OPERAND_MAX)
        bed->status = OLL_FAIL(&bed->err, OLL_ERR_LIMIT, "more than %d operands", OPERAND_MAX);
    else
        bed->status = oll_buffer_new(bed->dev, n_bytes, &buf, &bed->err);
    if (bed->status == OLL_OK)
        bed->buffers[bed->n_buffer++] = buf;
    return bed->status == OLL_OK ? buf : NULL;
}

/* A buffer with these bytes; NULL after a failure. */
static struct oll_buffer *make_buffer(struct bench_bed *bed, const void *data, size_t n_bytes)
{
    struct oll_buffer *buf = bench_bed_buffer(bed, n_bytes);
    if (buf)
        bed->status = oll_buffer_upload(buf, 0, data, n_bytes, &bed->err);
    return buf;
}

struct oll_mat bench_bed_mat(struct bench_bed *bed, uint32_t rows, uint32_t cols, float sd)
{
    const size_t n = (size_t)rows * cols;
    float *values = oll_alloc(n, sizeof *values);
    struct oll_mat mat = {.rows = rows, .cols = cols, .stride = cols};
    if (!values) {
        fail_memory(bed);
        return mat;
    }
    const float amplitude = sd * sqrtf(3);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(int32_t)(bench_random(&bed->state) >> 32) * 0x1p-31f * amplitude;
    mat.buf = make_buffer(bed, values, n * sizeof *values);
    oll_free(values);
    return mat;
}

struct oll_vec bench_bed_vec(struct bench_bed *bed, uint32_t n, float value)
{
    float *values = oll_alloc(n, sizeof *values);
    struct oll_vec vec = {.n = n};
    if (!values) {
        fail_memory(bed);
        return vec;
    }
    for (uint32_t i = 0; i < n; i++)
        values[i] = value;
    vec.buf = make_buffer(bed, values, n * sizeof *values);
    oll_free(values);
    return vec;
}

struct oll_ints bench_bed_ints(struct bench_bed *bed, const int32_t *values, uint32_t n)
{
    return (struct oll_ints){.n = n, .buf = make_buffer(bed, values, n * sizeof *values)};
}

struct oll_ints bench_bed_count(struct bench_bed *bed, uint32_t n, int32_t first, int32_t step)
{
    int32_t *values = oll_alloc(n, sizeof *values);
    struct oll_ints ints = {.n = n};
    if (!values) {
        fail_memory(bed);
        return ints;
    }
    for (uint32_t i = 0; i < n; i++)
        values[i] = first + (int32_t)i * step;
    ints = bench_bed_ints(bed, values, n);
    oll_free(values);
    return ints;
}

const struct oll_weight *bench_bed_weight(struct bench_bed *bed, enum oll_dtype dtype,
                                          uint32_t n_in, uint32_t n_out, uint32_t n_expert)
{
    const size_t n_rows = (size_t)n_out * n_expert;
    const size_t n_bytes = n_rows * oll_dtype_row_bytes(dtype, n_in);
    struct oll_weight *w = NULL;
    if (bed->status != OLL_OK)
        return NULL;
    void *data = oll_alloc(n_bytes, 1);
    if (!data || bed->n_weight == OPERAND_MAX) {
        oll_free(data);
        fail_memory(bed);
        return NULL;
    }
    struct bench_fill fill;
    bench_fill_init(&fill, dtype, bench_random(&bed->state), WEIGHT_SD);
    bench_fill_next(&fill, data, n_bytes / oll_dtype_info((uint32_t)dtype)->block_bytes);
    const struct oll_weight_source source = {.name = "bench",
                                             .data = data,
                                             .dtype = dtype,
                                             .n_in = n_in,
                                             .n_out = n_out,
                                             .n_expert = n_expert};
    bed->status = oll_weights_new(bed->dev, &source, 1, &w, &bed->err);
    if (bed->status != OLL_OK || !w->borrows_source) {
        oll_free(data);
        data = NULL;
    }
    if (bed->status == OLL_OK) {
        bed->sources[bed->n_weight] = data;
        bed->weights[bed->n_weight++] = w;
    }
    return w;
}

/* ---- runs ---- */

oll_status bench_bed_run(struct bench_bed *bed, double *seconds, struct oll_error *err)
{
    if (bed->status != OLL_OK)
        return OLL_FAIL(err, bed->status, "%s", oll_error_text(&bed->err));
    const uint64_t start = oll_clock_ns();
    OLL_TRY(oll_device_submit(&bed->cmd, err));
    OLL_TRY(oll_device_wait(bed->dev, err));
    *seconds = (double)(oll_clock_ns() - start) * 1e-9;
    return OLL_OK;
}

oll_status bench_bed_best(struct bench_bed *bed, double budget_s, double *seconds,
                          struct oll_error *err)
{
    double best = 0, sum = 0;
    for (int i = 0; i < ROUNDS_MIN || (sum < budget_s && i < ROUNDS_MAX); i++) {
        double now;
        OLL_TRY(bench_bed_run(bed, &now, err));
        best = i == 0 || now < best ? now : best;
        sum += now;
    }
    *seconds = best;
    return OLL_OK;
}
