/* A whole run of a forged model, on both devices: rows, stops, depths. */
#include "bench/bench_forge.h"
#include "bench/bench_run.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256], model[300];

static void begin(void)
{
    struct bench_forge forge;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/oll-run-XXXXXX", base ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(folder));
    snprintf(model, sizeof model, "%s/m.gguf", folder);
    CHECK_OK(bench_forge_parse("tiny:q4_k_m", 0, &forge, NULL));
    CHECK_OK(bench_forge_write(&forge, model, NULL, NULL));
}

static void end(void)
{
    unlink(model);
    CHECK_EQ(rmdir(folder), 0);
}

static struct bench_test test_of(uint32_t n_prompt, uint32_t n_gen, uint32_t n_depth,
                                 uint32_t n_parallel)
{
    return (struct bench_test){.n_prompt = n_prompt,
                               .n_gen = n_gen,
                               .n_depth = n_depth,
                               .n_parallel = n_parallel,
                               .n_batch = 16,
                               .n_ubatch = 8,
                               .n_threads = 1,
                               .kv_dtype = OLL_F16};
}

struct seen {
    uint32_t n_rows, n_samples;
    uint64_t load_ns, first_token_ns;
    double share;
    atomic_bool *stop; /* set after the first row, NULL: never */
};

static oll_status check_row(void *ctx, const struct bench_result *r, struct oll_error *err)
{
    struct seen *seen = ctx;
    (void)err;
    seen->n_rows++;
    seen->n_samples += r->samples->n;
    seen->load_ns = r->load_ns;
    seen->first_token_ns = r->first_token_ns;
    seen->share = r->roofline.share;
    CHECK_STR(r->model_type, "llama 1.44 M Q4_K_M");
    CHECK(r->model_bytes > 900000 && r->model_bytes < 950000);
    for (uint32_t i = 0; i < r->samples->n; i++) {
        const double tokens = (double)bench_test_n_tokens(r->test);
        CHECK(r->samples->ns[i] > 0);
        CHECK(fabs(r->samples->ts[i] * (double)r->samples->ns[i] * 1e-9 - tokens) < 1e-6 * tokens);
    }
    CHECK(r->samples->speed.min <= r->samples->speed.median &&
          r->samples->speed.median <= r->samples->speed.max);
    CHECK(r->need.bytes > 0 && r->samples->kv_bytes > 0 && r->samples->activation_bytes > 0);
    CHECK_EQ(strlen(r->samples->test_time), 20);
    if (seen->stop)
        atomic_store(seen->stop, true);
    return OLL_OK;
}

static oll_status run(const char *device, const struct bench_test *tests, uint32_t n,
                      struct seen *seen, struct oll_error *err)
{
    const struct bench_watch watch = {.abort = seen->stop};
    const struct bench_run_params params = {.path = model,
                                            .devices = device,
                                            .tests = tests,
                                            .n_tests = n,
                                            .repeat = {.n = 2},
                                            .n_first = 4,
                                            .no_peak = strcmp(device, "cpu") != 0,
                                            .read_bytes = 1 << 20,
                                            .watch = &watch,
                                            .result = check_row,
                                            .ctx = seen};
    return bench_run(&params, err);
}

TEST(rows)
{
    static const char *const devices[] = {"ref", "cpu"};
    begin();
    struct bench_test tests[] = {test_of(20, 0, 0, 1), test_of(0, 3, 0, 1), test_of(0, 2, 5, 3),
                                 test_of(9, 2, 37, 1), test_of(1, 0, 0, 1)};
    tests[4].n_threads = 2;
    for (int i = 0; i < 2; i++) {
        struct oll_error err = {0};
        struct seen seen = {0};
        CHECK_MSG(run(devices[i], tests, 5, &seen, &err) == OLL_OK, "%s", err.text);
        CHECK_EQ(seen.n_rows, 5);
        CHECK_EQ(seen.n_samples, 10);
        CHECK(seen.load_ns > 0 && seen.first_token_ns > seen.load_ns);
        CHECK((seen.share > 0) == (i == 1));
    }
    end();
}

TEST(stop)
{
    atomic_bool stop = false;
    struct seen seen = {.stop = &stop};
    const struct bench_test tests[] = {test_of(4, 0, 0, 1), test_of(0, 3, 0, 1)};
    begin();
    CHECK_STATUS(run("ref", tests, 2, &seen, NULL), OLL_ERR_CANCELED);
    CHECK_EQ(seen.n_rows, 1); /* that of the test before the stop */
    CHECK_STATUS(run("ref", tests, 2, &seen, NULL), OLL_ERR_CANCELED);
    CHECK_EQ(seen.n_rows, 1);
    end();
}

/* Stops in the middle of a test: the repetitions done make a row. */
static void stop_in_second_run(void *ctx, const char *text)
{
    if (strstr(text, "run 2 of 2"))
        atomic_store((atomic_bool *)ctx, true);
}

TEST(stop_within_a_test)
{
    atomic_bool stop = false;
    struct seen seen = {0};
    const struct bench_test tests[] = {test_of(4, 0, 0, 1)};
    const struct bench_watch watch = {.show = stop_in_second_run, .ctx = &stop, .abort = &stop};
    begin();
    const struct bench_run_params params = {.path = model,
                                            .devices = "ref",
                                            .tests = tests,
                                            .n_tests = 1,
                                            .repeat = {.n = 2},
                                            .no_peak = true,
                                            .watch = &watch,
                                            .result = check_row,
                                            .ctx = &seen};
    CHECK_STATUS(bench_run(&params, NULL), OLL_ERR_CANCELED);
    CHECK_EQ(seen.n_rows, 1);
    CHECK_EQ(seen.n_samples, 1);
    end();
}

TEST(errors)
{
    struct oll_error err = {0};
    struct seen seen = {0};
    const struct bench_test tests[] = {test_of(4, 0, 0, 1)};
    begin();
    unlink(model);
    CHECK_STATUS(run("ref", tests, 1, &seen, &err), OLL_ERR_NOT_FOUND);
    CHECK(strstr(err.text, "m.gguf"));
    CHECK_EQ(seen.n_rows, 0);
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
