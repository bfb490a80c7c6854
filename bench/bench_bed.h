/* Test bed on one device: operands with random values, and command lists that are timed.
 *
 * Failures stick: after the first one the makers return empty operands and bench_bed_run reports
 * it. Everything made is released by bench_bed_free. One thread. */
#ifndef OLL_BENCH_BENCH_BED_H
#define OLL_BENCH_BENCH_BED_H

#include "kernels/device.h"

struct bench_bed {
    struct oll_device *dev;
    struct oll_cmd cmd; /* ops are recorded here by the caller */
    struct oll_buffer **buffers;
    struct oll_weight **weights;
    void **sources; /* bytes that a weight reads in place, else NULL */
    uint32_t n_buffer, n_weight;
    uint64_t state; /* of the random values */
    oll_status status;
    struct oll_error err;
};

/* Opens the device; on failure too the bed must be freed. */
void bench_bed_init(struct bench_bed *bed, const char *device,
                    const struct oll_device_params *params);
void bench_bed_free(struct bench_bed *bed);
/* Releases operands and recorded ops, keeps the device. */
void bench_bed_clear(struct bench_bed *bed);

/* Zeroed memory; NULL after a failure. */
struct oll_buffer *bench_bed_buffer(struct bench_bed *bed, size_t n_bytes);
/* Uniform values of the given root mean square. */
struct oll_mat bench_bed_mat(struct bench_bed *bed, uint32_t rows, uint32_t cols, float sd);
/* n times the same value. */
struct oll_vec bench_bed_vec(struct bench_bed *bed, uint32_t n, float value);
struct oll_ints bench_bed_ints(struct bench_bed *bed, const int32_t *values, uint32_t n);
/* first, first + step, ... */
struct oll_ints bench_bed_count(struct bench_bed *bed, uint32_t n, int32_t first, int32_t step);
/* Random weights (bench_fill.h); NULL after a failure. */
const struct oll_weight *bench_bed_weight(struct bench_bed *bed, enum oll_dtype dtype,
                                          uint32_t n_in, uint32_t n_out, uint32_t n_expert);

/* Runs what was recorded, once, and gives the time it took. */
oll_status bench_bed_run(struct bench_bed *bed, double *seconds,
                         struct oll_error *err) OLL_MUST_USE;
/* The shortest of several runs: at least three, more while they take less than `budget_s`
 * together. */
oll_status bench_bed_best(struct bench_bed *bed, double budget_s, double *seconds,
                          struct oll_error *err) OLL_MUST_USE;

#endif
