/* Micro-benchmarks and limits of the machine: that they run and count right, not how fast. */
#include "bench/bench_ops.h"
#include "bench/bench_sample.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { RESULTS_MAX = 64 };

struct found {
    uint32_t n;
    struct bench_op_result rows[RESULTS_MAX];
};

static oll_status keep(void *ctx, const struct bench_op_result *r, struct oll_error *err)
{
    struct found *found = ctx;
    (void)err;
    if (found->n < RESULTS_MAX)
        found->rows[found->n++] = *r;
    return OLL_OK;
}

static struct found run(const char *filter)
{
    struct oll_error err = {0};
    struct found found = {0};
    const struct bench_ops_params params = {.device = "cpu",
                                            .n_threads = 1,
                                            .filter = filter,
                                            .working_bytes = 1 << 16,
                                            .n_tokens = 9,
                                            .n_depth = 40,
                                            .budget_s = 1e-9,
                                            .read_bytes = 1 << 20,
                                            .result = keep,
                                            .ctx = &found};
    CHECK_MSG(bench_ops_run(&params, &err) == OLL_OK, "%s: %s", filter, err.text);
    for (uint32_t i = 0; i < found.n; i++)
        CHECK_MSG(found.rows[i].seconds > 0 && found.rows[i].bytes > 0, "%s", found.rows[i].name);
    return found;
}

TEST(products)
{
    struct found found = run("matmul.q4_k");
    CHECK_EQ(found.n, 3);
    CHECK_STR(found.rows[0].name, "matmul.q4_k.1");
    CHECK_STR(found.rows[1].name, "matmul.q4_k.8");
    CHECK_STR(found.rows[2].name, "matmul.q4_k.9");
    CHECK(found.rows[0].bytes == 2048.0 * 8192 / 256 * 144);
    CHECK(found.rows[2].bytes == found.rows[0].bytes);
    CHECK(found.rows[0].macs == 2048.0 * 8192 && found.rows[2].macs == 9 * 2048.0 * 8192);
    CHECK(found.rows[0].share > 0);
}

TEST(experts)
{
    struct found found = run("matmul_expert.q8_0");
    CHECK_EQ(found.n, 3);
    /* four experts for one token, all thirty-two for eight */
    CHECK(found.rows[1].bytes == 8 * found.rows[0].bytes);
    CHECK(found.rows[2].bytes == found.rows[1].bytes);
    CHECK(found.rows[2].macs == 9 * found.rows[0].macs);
}

TEST(attention)
{
    struct found found = run("attention.f16");
    CHECK_EQ(found.n, 2);
    CHECK_STR(found.rows[0].name, "attention.f16.1.d40");
    CHECK(found.rows[0].bytes == 41.0 * 2 * 8 * 64 * 2);
    CHECK(found.rows[0].macs == 41.0 * 32 * 2 * 64);
    CHECK(found.rows[1].macs == 45.0 * 32 * 2 * 64); /* 1 + 2 + ... + 9 positions */
}

TEST(every_other_op)
{
    static const char *const filters[] = {"kv_store", "norm",  "rope",   "glu",    "unary",
                                          "add",      "scale", "gather", "router", "expert_sum"};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct found found = run(filters[i]);
        CHECK_MSG(found.n >= 2, "%s", filters[i]);
        for (uint32_t k = 0; k < found.n; k++)
            CHECK_MSG(found.rows[k].share == 0, "%s", found.rows[k].name);
    }
}

TEST(refusals)
{
    struct oll_error err = {0};
    struct found found = {0};
    struct bench_ops_params params = {.device = "cpu", .filter = "q9", .result = keep};
    params.ctx = &found;
    CHECK_STATUS(bench_ops_run(&params, &err), OLL_ERR_NOT_FOUND);
    CHECK(strstr(err.text, "\"q9\"") && strstr(err.text, "matmul.q4_k.512"));
    params.device = "abacus";
    CHECK_STATUS(bench_ops_run(&params, NULL), OLL_ERR_NOT_FOUND);
    double bytes_s;
    CHECK_STATUS(bench_peak_read(0, 1 << 20, &bytes_s, NULL), OLL_ERR_ARG);
}

TEST(reading_with_many_threads)
{
    double bytes_s = 0;
    CHECK_OK(bench_peak_read(5, 1 << 20, &bytes_s, NULL));
    CHECK(bytes_s > 0 && isfinite(bytes_s));
}

/* ---- sampler ---- */

struct drawn {
    uint32_t n;
    bool ok;
};

static oll_status keep_sample(void *ctx, const struct bench_sample_result *r, struct oll_error *err)
{
    struct drawn *drawn = ctx;
    (void)err;
    drawn->n++;
    drawn->ok = drawn->ok && r->n_vocab == 1000 && r->us.n == 7 && r->us.median > 0 &&
                r->p99_us <= r->us.max && r->p99_us >= r->us.median;
    return OLL_OK;
}

TEST(sampler)
{
    struct drawn drawn = {0, true};
    const atomic_bool stop = true;
    const struct bench_watch watch = {.abort = &stop};
    struct bench_sample_params params = {
        .n_vocab = 1000, .n_rounds = 7, .result = keep_sample, .ctx = &drawn};
    CHECK_OK(bench_sample_run(&params, NULL));
    CHECK(drawn.n == 4 && drawn.ok);
    params.watch = &watch;
    CHECK_STATUS(bench_sample_run(&params, NULL), OLL_ERR_CANCELED);
    params.n_rounds = 0;
    CHECK_STATUS(bench_sample_run(&params, NULL), OLL_ERR_ARG);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
