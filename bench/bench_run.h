/* A run: all planned tests of one model, each with what the machine could do right before and after
 * it. The model is loaded again where the number of threads changes. */
#ifndef OLL_BENCH_BENCH_RUN_H
#define OLL_BENCH_BENCH_RUN_H

#include "bench/bench_model.h"

enum { BENCH_MODEL_TYPE_MAX = 96 };

/* One row. Everything belongs to the run and lives until the callback returns. */
struct bench_result {
    const struct bench_test *test;
    const struct bench_samples *samples;
    const char *model_path;
    char model_type[BENCH_MODEL_TYPE_MAX]; /* "llama 1.24 B Q4_K_M" */
    uint64_t model_bytes, n_params;        /* of all tensors */
    uint64_t load_ns, first_token_ns;      /* of this load; 0: not measured */
    uint32_t n_first;                      /* prompt tokens before the first token */
    struct bench_need need;                /* of one repetition */
    struct bench_peak peak;                /* all zero when not measured */
    struct bench_roofline roofline;        /* of the median repetition */
};

struct bench_run_params {
    const char *path, *devices, *isa;
    const struct bench_test *tests;
    uint32_t n_tests;
    struct bench_repeat repeat;
    uint32_t n_first;    /* as in bench_model_params */
    bool no_peak;        /* leave the machine's limits unmeasured */
    uint64_t read_bytes; /* as in bench_peak_params */
    const struct bench_watch *watch;
    /* Called with each row in order; a failure ends the run. */
    oll_status (*result)(void *ctx, const struct bench_result *result, struct oll_error *err);
    void *ctx;
};

/* OLL_ERR_CANCELED after a stop: rows so far, also that of a test with at least one repetition,
 * have been delivered. */
oll_status bench_run(const struct bench_run_params *params, struct oll_error *err) OLL_MUST_USE;

enum { BENCH_COUNT_TEXT_MAX = 24 };
/* "134.52 M", "1.24 B". */
void bench_count_text(uint64_t n, char out[BENCH_COUNT_TEXT_MAX]);

#endif
