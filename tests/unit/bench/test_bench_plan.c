#include "bench/bench_plan.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static struct bench_list list(const char *text)
{
    struct bench_list l = {0};
    CHECK_OK(bench_list_add(&l, text, 0, 100000, NULL));
    return l;
}

static struct bench_lists lists(const char *p, const char *n)
{
    return (struct bench_lists){.n_prompt = list(p),
                                .n_gen = list(n),
                                .n_depth = list("0"),
                                .n_parallel = list("1"),
                                .n_batch = list("2048"),
                                .n_ubatch = list("512"),
                                .n_threads = list("2"),
                                .kv_dtypes = list("1")};
}

/* The names of the planned tests, with `all` also threads and ubatch; or the error. */
static const char *plan_text(const struct bench_lists *l, bool all)
{
    static char out[4096];
    struct bench_test *tests = NULL;
    uint32_t n = 0;
    struct oll_error err = {0};
    out[0] = '\0';
    if (bench_plan(l, &tests, &n, &err) != OLL_OK)
        snprintf(out, sizeof out, "%s", err.text);
    for (uint32_t i = 0; i < n; i++) {
        char name[BENCH_TEST_NAME_MAX], more[64] = "";
        bench_test_name(&tests[i], name);
        if (all)
            snprintf(more, sizeof more, " t%u ub%u", tests[i].n_threads, tests[i].n_ubatch);
        const size_t at = strlen(out);
        snprintf(out + at, sizeof out - at, "%s%s%s", i ? "; " : "", name, more);
    }
    oll_free(tests);
    return out;
}

static const char *names(const struct bench_lists *l) { return plan_text(l, false); }

TEST(lengths)
{
    struct bench_lists l = lists("512", "128");
    CHECK_STR(names(&l), "pp512; tg128");
    l = lists("8,16", "2,4");
    CHECK_OK(bench_list_add_pair(&l.pair_prompt, &l.pair_gen, "4,2", 99, NULL));
    CHECK_STR(names(&l), "pp8; pp16; tg2; tg4; pp4+tg2");
    l = lists("0", "0,5");
    CHECK_STR(names(&l), "tg5");
    l = lists("0", "0");
    CHECK_STR(names(&l), "no test is left: all lengths are 0");
}

TEST(depths_and_sequences)
{
    struct bench_lists l = lists("8", "2,4");
    l.n_depth = list("0,32");
    l.n_parallel = list("1,3");
    CHECK_STR(names(&l), "pp8; tg2; tg2 np3; tg4; tg4 np3; "
                         "pp8 @ d32; tg2 @ d32; tg2 np3 @ d32; tg4 @ d32; tg4 np3 @ d32");
}

TEST(order_of_the_outer_lists)
{
    struct bench_lists l = lists("8", "0");
    l.n_threads = list("1,2");
    l.n_ubatch = list("16,32");
    CHECK_STR(plan_text(&l, true), "pp8 t1 ub16; pp8 t2 ub16; pp8 t1 ub32; pp8 t2 ub32");
    l.n_depth = list("0,4");
    l.n_ubatch = list("16");
    CHECK_STR(plan_text(&l, true), "pp8 t1 ub16; pp8 @ d4 t1 ub16; pp8 t2 ub16; pp8 @ d4 t2 ub16");
    struct bench_test *tests = NULL;
    uint32_t n = 0;
    l = lists("8", "0");
    l.n_batch = list("64,128");
    l.kv_dtypes = list("1,8");
    l.n_ubatch = list("16,32");
    CHECK_OK(bench_plan(&l, &tests, &n, NULL));
    CHECK_EQ(n, 8);
    CHECK(n == 8 && tests[1].kv_dtype == OLL_Q8_0 && tests[1].n_ubatch == 16);
    CHECK(n == 8 && tests[2].n_ubatch == 32 && tests[2].n_batch == 64);
    CHECK(n == 8 && tests[4].n_batch == 128 && tests[4].n_ubatch == 16);
    oll_free(tests);
}

TEST(too_many)
{
    struct bench_lists l = lists("1-128", "1-128");
    l.n_depth = list("0-127");
    CHECK_STR(names(&l), "the lists make more than 4096 tests");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
