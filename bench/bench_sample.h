/* Speed of the sampler: microseconds from logits to a token, for vocabularies of real models. */
#ifndef OLL_BENCH_BENCH_SAMPLE_H
#define OLL_BENCH_BENCH_SAMPLE_H

#include "bench/bench_stats.h"
#include "bench/bench_watch.h"

enum { BENCH_SAMPLE_ROUNDS_MAX = 100000 };

struct bench_sample_result {
    const char *chain; /* "default", "greedy", "top_p", "penalties" */
    uint32_t n_vocab;
    struct bench_stats us; /* microseconds per token */
    double p99_us;
};

struct bench_sample_params {
    uint32_t n_vocab; /* 0: 32768, 131072 and 262144 in turn */
    uint32_t n_rounds;
    const struct bench_watch *watch;
    oll_status (*result)(void *ctx, const struct bench_sample_result *result,
                         struct oll_error *err);
    void *ctx;
};

/* Logits are drawn anew in each round, outside the time, with the spread of real ones: most in a
 * bell, a few far above it. */
oll_status bench_sample_run(const struct bench_sample_params *params,
                            struct oll_error *err) OLL_MUST_USE;

#endif
