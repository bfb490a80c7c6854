#include "bench/bench_cost.h"
#include "bench/bench_forge.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b); }

/* Costs of a forged model. */
static struct bench_cost cost_of(const char *text)
{
    struct oll_error err = {0};
    struct bench_cost cost = {0};
    struct bench_forge forge;
    struct oll_gguf *gguf = NULL;
    char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/oll-cost-XXXXXX", base ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(path));
    char file[300];
    snprintf(file, sizeof file, "%s/m.gguf", path);
    CHECK_OK(bench_forge_parse(text, 1, &forge, &err));
    CHECK_OK(bench_forge_write(&forge, file, NULL, &err));
    CHECK_OK(oll_gguf_open(file, &gguf, &err));
    CHECK_MSG(bench_cost_read(gguf, &cost, &err) == OLL_OK, "%s", err.text);
    oll_gguf_close(gguf);
    unlink(file);
    rmdir(path);
    return cost;
}

/* 2 layers, n_embd 256, n_ff 512, 4 heads of 64, 2 of them kv, 1024 tokens */
enum { QKVO = 256 * 256 * 2 + 256 * 128 * 2, FFN = 3 * 256 * 512, HEAD = 1024 * 256, NORMS = 5 };

TEST(dense_model)
{
    struct bench_cost cost = cost_of("tiny:q8_0");
    const uint64_t linear = 2 * (QKVO + FFN);
    CHECK_EQ(cost.n_params, linear + HEAD + NORMS * 256);
    CHECK_EQ(cost.dense_bytes, linear / 32 * 34 + NORMS * 256 * 4);
    CHECK_EQ(cost.head_bytes, HEAD / 32 * 34);
    CHECK_EQ(cost.tensor_bytes, cost.dense_bytes + cost.head_bytes); /* tied: counted once */
    CHECK(near(cost.macs[OLL_Q8_0], (double)linear) && cost.macs[OLL_F32] == 0);
    CHECK(near(cost.head_macs, HEAD));
    CHECK_EQ(cost.expert_bytes, 0);
    CHECK_EQ(cost.n_layer, 2);
    CHECK_EQ(cost.layers[0].kv_size, 2 * (64 + 64));
    CHECK_EQ(cost.layers[0].q_macs, 4 * (64 + 64));
    bench_cost_free(&cost);
}

TEST(experts)
{
    /* 8 experts of n_ff 256, 2 used, the embedding apart from the head */
    struct bench_cost cost = cost_of("tiny-moe:q8_0");
    const uint64_t one = 3 * 256 * 256;
    CHECK_EQ(cost.expert_bytes, 2 * 8 * one / 32 * 34);
    CHECK(near(cost.macs[OLL_Q8_0], 2.0 * (QKVO + 2 * one)));
    CHECK(near(cost.macs[OLL_F32], 2.0 * 256 * 8)); /* the routers */
    CHECK_EQ(cost.tensor_bytes,
             cost.dense_bytes + cost.head_bytes + cost.expert_bytes + HEAD / 32 * 34);
    struct bench_need need1, need4;
    struct bench_test test = {.n_gen = 1, .n_parallel = 1, .kv_dtype = OLL_F16};
    bench_cost_of(&cost, &test, &need1);
    test.n_parallel = 4;
    bench_cost_of(&cost, &test, &need4);
    const double kv = 2.0 * 256 * 2, experts = (double)cost.expert_bytes;
    CHECK(near(need1.bytes, (double)(cost.dense_bytes + cost.head_bytes) + experts / 4 + kv));
    CHECK(near(need4.bytes, (double)(cost.dense_bytes + cost.head_bytes) +
                                experts * (1 - pow(0.75, 4)) + 4 * kv));
    bench_cost_free(&cost);
}

/* ---- tests of a hand-made model: one layer, 100 bytes, 1000 multiply-adds ---- */

static struct bench_cost_layer layer = {.kv_size = 10, .q_macs = 7};
static const struct bench_cost hand = {.dense_bytes = 100,
                                       .head_bytes = 50,
                                       .n_layer = 1,
                                       .macs = {[OLL_Q4_0] = 1000},
                                       .head_macs = 300,
                                       .head_dtype = OLL_Q6_K,
                                       .layers = &layer};

TEST(generation)
{
    struct bench_need need;
    const struct bench_test test = {.n_gen = 3, .n_depth = 4, .n_parallel = 2, .kv_dtype = OLL_F16};
    bench_cost_of(&hand, &test, &need);
    /* three steps; two sequences that see 5, 6, 7 positions of 20 bytes */
    CHECK(near(need.bytes, 3 * 150 + 2 * (5 + 6 + 7) * 20));
    CHECK(near(need.macs[OLL_Q4_0], 6 * 1000));
    CHECK(near(need.macs[OLL_Q6_K], 6 * 300));
    CHECK(near(need.attention_macs, 2 * (5 + 6 + 7) * 7));
    CHECK(near(bench_need_macs(&need), 6000 + 1800 + 252));
}

TEST(prompts)
{
    struct bench_need need;
    struct bench_test test = {
        .n_prompt = 10, .n_parallel = 1, .n_batch = 8, .n_ubatch = 4, .kv_dtype = OLL_F32};
    bench_cost_of(&hand, &test, &need);
    /* passes of 4, 4 and 2 tokens that end at 4, 8 and 10; one row of logits for 8 and for 2 */
    CHECK(near(need.bytes, 3 * 100 + 2 * 50 + (4 + 8 + 10) * 40));
    CHECK(near(need.macs[OLL_Q4_0], 10 * 1000));
    CHECK(near(need.macs[OLL_Q6_K], 2 * 300));
    CHECK(near(need.attention_macs, 55 * 7));
    test.n_gen = 1;
    bench_cost_of(&hand, &test, &need);
    CHECK(near(need.attention_macs, (55 + 11) * 7));
}

TEST(windows)
{
    struct bench_need need;
    struct bench_cost_layer sliding = {.window = 4, .kv_size = 10, .q_macs = 1};
    struct bench_cost cost = hand;
    cost.layers = &sliding;
    struct bench_test test = {
        .n_prompt = 6, .n_parallel = 1, .n_batch = 8, .n_ubatch = 8, .kv_dtype = OLL_F16};
    bench_cost_of(&cost, &test, &need);
    CHECK(near(need.attention_macs, 1 + 2 + 3 + 4 + 4 + 4));
    test.n_depth = 2;
    bench_cost_of(&cost, &test, &need);
    CHECK(near(need.attention_macs, 3 + 4 * 5));
    test.n_depth = 100;
    bench_cost_of(&cost, &test, &need);
    CHECK(near(need.attention_macs, 4 * 6));
    CHECK(near(need.bytes, 150 + (4 + 6) * 20));
}

TEST(rooflines)
{
    struct bench_need need = {.bytes = 1e9, .macs = {[OLL_Q4_0] = 2e9, [OLL_Q6_K] = 1e9}};
    struct bench_peak peak = {.read_bytes_s = 10e9,
                              .macs_s = {[OLL_Q4_0] = 100e9, [OLL_Q6_K] = 50e9}};
    struct bench_roofline r;
    bench_roofline_of(&need, &peak, 0.2, &r);
    CHECK(near(r.read_s, 0.1) && near(r.compute_s, 0.04) && near(r.share, 0.5));
    CHECK(!r.is_compute_bound);
    need.attention_macs = 10e9; /* no peak of its own: the best one */
    bench_roofline_of(&need, &peak, 0.2, &r);
    CHECK(near(r.compute_s, 0.14) && near(r.share, 0.7) && r.is_compute_bound);
    peak.macs_s[OLL_F32] = 20e9;
    bench_roofline_of(&need, &peak, 1, &r);
    CHECK(near(r.share, 0.54));
    peak = (struct bench_peak){.read_bytes_s = 10e9};
    bench_roofline_of(&need, &peak, 0.2, &r);
    CHECK(r.share == 0); /* half a roofline is none */
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
