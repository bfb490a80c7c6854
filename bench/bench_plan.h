/* The tests of a run, from lists of parameters: every combination, in llama-bench's order. */
#ifndef OLL_BENCH_BENCH_PLAN_H
#define OLL_BENCH_BENCH_PLAN_H

#include "bench/bench_list.h"
#include "engine/base/dtype.h"

#include <stdbool.h>
#include <stdint.h>

/* One row of the result. With both n_prompt and n_gen the prompt is evaluated and then tokens are
 * generated, all of it timed. */
struct bench_test {
    uint32_t n_prompt;   /* tokens evaluated as one batch */
    uint32_t n_gen;      /* steps of one token per sequence */
    uint32_t n_depth;    /* positions filled before, not timed */
    uint32_t n_parallel; /* sequences; more than 1 with n_prompt 0 alone */
    uint32_t n_batch;    /* tokens handed to the model at once */
    uint32_t n_ubatch;   /* tokens of one pass */
    uint32_t n_threads;
    enum oll_dtype kv_dtype;
};

struct bench_lists {
    struct bench_list n_prompt, n_gen, n_depth, n_parallel, n_batch, n_ubatch, n_threads;
    struct bench_list pair_prompt, pair_gen; /* of equal length */
    struct bench_list kv_dtypes;             /* enum oll_dtype */
};

enum { BENCH_PLAN_MAX = 4096, BENCH_TEST_NAME_MAX = 64 };

/* Tests outermost first: batch, ubatch, cache type, threads, depth; innermost prompts, then
 * generations (by number of sequences), then pairs. A length of 0 leaves that test out. The array
 * is released with oll_free. OLL_ERR_LIMIT beyond BENCH_PLAN_MAX; OLL_ERR_ARG when there is no
 * test. */
oll_status bench_plan(const struct bench_lists *lists, struct bench_test **out, uint32_t *n,
                      struct oll_error *err) OLL_MUST_USE;

/* "pp512", "tg128 @ d4096", "tg128 np4", "pp512+tg128": the first parts as llama-bench. */
void bench_test_name(const struct bench_test *test, char out[BENCH_TEST_NAME_MAX]);

/* Positions of one sequence when the test has ended. */
static inline uint32_t bench_test_n_ctx(const struct bench_test *t)
{
    return t->n_depth + t->n_prompt + t->n_gen;
}

/* Tokens that count, of all sequences. */
static inline uint64_t bench_test_n_tokens(const struct bench_test *t)
{
    return (uint64_t)t->n_parallel * ((uint64_t)t->n_prompt + t->n_gen);
}

#endif
