#include "bench/bench_plan.h"

#include "engine/base/mem.h"

#include <stdio.h>

struct plan {
    struct bench_test *tests;
    uint32_t n, cap;
    oll_status status; /* sticky */
};

static void add(struct plan *plan, const struct bench_test *test)
{
    if (plan->status != OLL_OK || (test->n_prompt == 0 && test->n_gen == 0))
        return;
    if (plan->n == BENCH_PLAN_MAX) {
        plan->status = OLL_ERR_LIMIT;
        return;
    }
    if (plan->n == plan->cap) {
        const uint32_t cap = plan->cap ? plan->cap * 2 : 16;
        struct bench_test *grown = oll_realloc(plan->tests, cap, sizeof *grown);
        if (!grown) {
            plan->status = OLL_ERR_MEMORY;
            return;
        }
        plan->tests = grown;
        plan->cap = cap;
    }
    plan->tests[plan->n++] = *test;
}

/* The tests of one setting of everything else. */
static void add_lengths(struct plan *plan, const struct bench_lists *l, struct bench_test base)
{
    base.n_parallel = 1;
    for (uint32_t i = 0; i < l->n_prompt.n; i++) {
        struct bench_test test = base;
        test.n_prompt = l->n_prompt.values[i];
        add(plan, &test);
    }
    for (uint32_t i = 0; i < l->n_gen.n * l->n_parallel.n; i++) {
        struct bench_test test = base;
        test.n_gen = l->n_gen.values[i / l->n_parallel.n];
        test.n_parallel = l->n_parallel.values[i % l->n_parallel.n];
        add(plan, &test);
    }
    for (uint32_t i = 0; i < l->pair_prompt.n; i++) {
        struct bench_test test = base;
        test.n_prompt = l->pair_prompt.values[i];
        test.n_gen = l->pair_gen.values[i];
        add(plan, &test);
    }
}

static void add_depths(struct plan *plan, const struct bench_lists *l, struct bench_test base)
{
    for (uint32_t t = 0; t < l->n_threads.n; t++) {
        for (uint32_t d = 0; d < l->n_depth.n; d++) {
            base.n_threads = l->n_threads.values[t];
            base.n_depth = l->n_depth.values[d];
            add_lengths(plan, l, base);
        }
    }
}

oll_status bench_plan(const struct bench_lists *l, struct bench_test **out, uint32_t *n,
                      struct oll_error *err)
{
    struct plan plan = {0};
    struct bench_test base = {0};
    /* One loop over the three outer lists together, the last running fastest. */
    const uint32_t n_outer = l->n_batch.n * l->n_ubatch.n * l->kv_dtypes.n;
    for (uint32_t i = 0; i < n_outer && plan.status == OLL_OK; i++) {
        base.kv_dtype = (enum oll_dtype)l->kv_dtypes.values[i % l->kv_dtypes.n];
        base.n_ubatch = l->n_ubatch.values[i / l->kv_dtypes.n % l->n_ubatch.n];
        base.n_batch = l->n_batch.values[i / l->kv_dtypes.n / l->n_ubatch.n];
        add_depths(&plan, l, base);
    }
    if (plan.status == OLL_OK && plan.n == 0)
        plan.status = OLL_ERR_ARG;
    if (plan.status != OLL_OK) {
        oll_free(plan.tests);
        return plan.status == OLL_ERR_ARG
                   ? OLL_FAIL(err, OLL_ERR_ARG, "no test is left: all lengths are 0")
                   : OLL_FAIL(err, plan.status, "the lists make more than %d tests",
                              BENCH_PLAN_MAX);
    }
    *out = plan.tests;
    *n = plan.n;
    return OLL_OK;
}

void bench_test_name(const struct bench_test *t, char out[BENCH_TEST_NAME_MAX])
{
    char prompt[16] = "", gen[16] = "", parallel[16] = "", depth[16] = "";
    if (t->n_prompt)
        snprintf(prompt, sizeof prompt, "pp%u", t->n_prompt);
    if (t->n_gen)
        snprintf(gen, sizeof gen, "%stg%u", t->n_prompt ? "+" : "", t->n_gen);
    if (t->n_parallel > 1)
        snprintf(parallel, sizeof parallel, " np%u", t->n_parallel);
    if (t->n_depth)
        snprintf(depth, sizeof depth, " @ d%u", t->n_depth);
    snprintf(out, BENCH_TEST_NAME_MAX, "%s%s%s%s", prompt, gen, parallel, depth);
}
