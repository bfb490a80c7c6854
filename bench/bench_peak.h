/* What the machine can do at most, measured now: the denominators of every share.
 *
 * Memory: all threads read a block of memory far larger than any cache, front to back.
 * Arithmetic: the best matrix product of the device for a type of weights, on operands that stay in
 * the caches. Both use the number of threads of the run they are compared with. */
#ifndef OLL_BENCH_BENCH_PEAK_H
#define OLL_BENCH_BENCH_PEAK_H

#include "bench/bench_cost.h"
#include "bench/bench_watch.h"

struct bench_peak_params {
    const char *device; /* as oll_device_open */
    const char *isa;    /* as in oll_device_params */
    int n_threads;
    uint64_t read_bytes;          /* 0: BENCH_PEAK_READ_BYTES, less on a small machine */
    bool dtypes[OLL_DTYPE_COUNT]; /* types whose products are measured */
};

#define BENCH_PEAK_READ_BYTES (UINT64_C(1) << 30)

oll_status bench_peak_measure(const struct bench_peak_params *params,
                              const struct bench_watch *watch, struct bench_peak *out,
                              struct oll_error *err) OLL_MUST_USE;

/* Bytes per second of n_threads threads; *n_bytes as in the parameters. */
oll_status bench_peak_read(int n_threads, uint64_t n_bytes, double *bytes_s,
                           struct oll_error *err) OLL_MUST_USE;

/* The mean of what was measured before and after. */
void bench_peak_mean(const struct bench_peak *before, const struct bench_peak *after,
                     struct bench_peak *out);

#endif
