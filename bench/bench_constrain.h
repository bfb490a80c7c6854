/* Speed and coverage of structured output: schemas compiled, and documents walked token by token
 * with the mask of every step.
 *
 * A folder in the format of MaskBench (files with `schema` and `tests`: `data`, `valid`) is judged
 * as that benchmark does: documents as Python's json.dumps writes them, the end of output is not
 * checked, a schema passes when it compiles and all its documents have the expected result. */
#ifndef OLL_BENCH_BENCH_CONSTRAIN_H
#define OLL_BENCH_BENCH_CONSTRAIN_H

#include "bench/bench_watch.h"
#include "tokenizer/tokenizer.h"

/* Microseconds. */
struct bench_times {
    uint32_t n;
    double mean, p50, p90, p95, p99, p999, max;
};

struct bench_constrain_result {
    uint32_t n_schemas, n_compiled, n_passing;
    uint32_t n_valid, n_refused;    /* documents that must be let through; of them, that were not */
    uint32_t n_invalid, n_accepted; /* documents that must not; of them, that were */
    struct bench_times mask;        /* mask and commit of one token */
    struct bench_times compile;     /* schema to program */
    struct bench_times first;       /* schema to first mask */
};

struct bench_constrain_params {
    const struct oll_tokenizer *tok;
    const char *folder; /* NULL: the built-in pairs of schema and document, `rounds` times */
    uint32_t n_rounds;
    const struct bench_watch *watch;
    void (*failed)(void *ctx, const char *name, const char *why); /* a schema that does not pass */
    void *ctx;
};

oll_status bench_constrain_run(const struct bench_constrain_params *params,
                               struct bench_constrain_result *out,
                               struct oll_error *err) OLL_MUST_USE;

/* Decoding of one model with a schema and without, tokens per second; the schema never lets the
 * reply end, so both generate the same number. */
struct bench_constrain_decode {
    double free, constrained; /* medians over rounds */
};
oll_status bench_constrain_decode(const char *model_path, uint32_t n_tokens, uint32_t n_rounds,
                                  int n_threads, struct bench_constrain_decode *out,
                                  struct oll_error *err) OLL_MUST_USE;

#endif
