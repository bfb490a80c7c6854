#include "bench/bench_report.h"
#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static const struct bench_machine machine = {
    .cpu_name = "A \"fast\" one", .isa = "avx2", .devices = "cpu", .version = "1.4.2"};

static struct bench_test prompt_test(void)
{
    return (struct bench_test){.n_prompt = 512,
                               .n_parallel = 1,
                               .n_batch = 2048,
                               .n_ubatch = 512,
                               .n_threads = 2,
                               .kv_dtype = OLL_F16};
}

static uint64_t ns[] = {2000000000, 4000000000};
static double ts[] = {256, 128}, sorted[] = {128, 256};

static struct bench_samples samples(void)
{
    struct bench_samples s = {.n = 2, .ns = ns, .ts = ts, .sorted = sorted};
    snprintf(s.test_time, sizeof s.test_time, "2026-01-31T12:00:00Z");
    bench_stats_of(s.sorted, 2, &s.speed);
    s.time = (struct bench_stats){.n = 2, .mean = 3e9, .sd = 1414213562.4, .median = 3e9};
    s.kv_bytes = 1000;
    s.activation_bytes = 2000;
    s.peak_bytes = 512 << 20;
    return s;
}

static struct bench_result result(const struct bench_test *t, const struct bench_samples *s)
{
    struct bench_result r = {.test = t,
                             .samples = s,
                             .model_path = "dir/m.gguf",
                             .model_type = "llama 1.24 B Q4_K_M",
                             .model_bytes = 799862784,
                             .n_params = 1235814432,
                             .load_ns = 250000000,
                             .first_token_ns = 400000000,
                             .n_first = 128};
    r.need.bytes = 8e8;
    r.need.macs[OLL_Q4_K] = 6e11;
    r.peak.read_bytes_s = 2e10;
    r.peak.macs_s[OLL_Q4_K] = 3e11;
    bench_roofline_of(&r.need, &r.peak, 3, &r.roofline);
    return r;
}

/* The text of a report of these tests, each with the same samples. */
static const char *render(enum bench_format format, const struct bench_test *tests, uint32_t n,
                          bool has_share)
{
    static struct oll_strbuf out;
    struct bench_report report;
    struct bench_samples s = samples();
    oll_strbuf_free(&out);
    oll_strbuf_init(&out, 1 << 20);
    bench_report_begin(&report, format, &machine, tests, n, &out);
    report.has_share = has_share;
    for (uint32_t i = 0; i < n; i++) {
        struct bench_result r = result(&tests[i], &s);
        if (!has_share)
            memset(&r.roofline, 0, sizeof r.roofline);
        bench_report_row(&report, &r);
    }
    bench_report_end(&report);
    CHECK_OK(out.status);
    return out.data;
}

TEST(table)
{
    struct bench_test tests[] = {prompt_test(), prompt_test()};
    tests[1].n_prompt = 0;
    tests[1].n_gen = 128;
    tests[1].n_depth = 4096;
    CHECK_STR(
        render(BENCH_MD, tests, 2, true),
        "| model                          |       size |     params | backend    | threads |"
        "            test |                  t/s |      roofline |\n"
        "| ------------------------------ | ---------: | ---------: | ---------- | ------: |"
        " --------------: | -------------------: | ------------: |\n"
        "| llama 1.24 B Q4_K_M            | 762.81 MiB |     1.24 B | CPU        |       2 |"
        "           pp512 |       192.00 \xc2\xb1 90.51 |  67 % of macs |\n"
        "| llama 1.24 B Q4_K_M            | 762.81 MiB |     1.24 B | CPU        |       2 |"
        "   tg128 @ d4096 |       192.00 \xc2\xb1 90.51 |  67 % of macs |\n"
        "\n"
        "2 threads: loaded in 250 ms, first token of 128 after 400 ms, peak memory 512 MiB; the "
        "machine reads 20.0 GB/s and multiplies 300 GMAC/s\n"
        "\n"
        "build: 1.4.2 (10402), A \"fast\" one, avx2\n");
}

TEST(table_columns)
{
    struct bench_test tests[] = {prompt_test(), prompt_test()};
    tests[1].n_threads = 1;
    tests[0].n_ubatch = 64;
    tests[1].n_batch = 64;
    tests[0].kv_dtype = OLL_Q8_0;
    const char *text = render(BENCH_MD, tests, 2, false);
    CHECK(strstr(text, "| threads | n_batch | n_ubatch | type_k | type_v |            test |"
                       "                  t/s |\n"));
    CHECK(strstr(text, "|       2 |    2048 |       64 |   q8_0 |   q8_0 |           pp512 |"));
    CHECK(strstr(text, "|       1 |      64 |      512 |    f16 |    f16 |           pp512 |"));
    CHECK(strstr(text, "\n2 threads: ") && strstr(text, "\n1 thread: "));
    CHECK_STR(render(BENCH_MD, tests, 0, true), "");
}

/* Keys of the first row in order, up to `last`. */
static void check_keys(const struct oll_json *row, const char *const *keys, size_t n)
{
    const struct oll_json *member = row ? row->first : NULL;
    for (size_t i = 0; i < n && member; i++, member = member->next)
        CHECK_STR(member->key, keys[i]);
    CHECK(member);
}

TEST(json)
{
    static const char *const keys[] = {
        "build_commit",   "build_number", "cpu_info",     "gpu_info",       "backends",
        "model_filename", "model_type",   "model_size",   "model_n_params", "n_batch",
        "n_ubatch",       "n_threads",    "cpu_mask",     "cpu_strict",     "poll",
        "type_k",         "type_v",       "n_gpu_layers", "split_mode",     "main_gpu",
        "no_kv_offload",  "flash_attn",   "devices",      "tensor_split",   "use_mmap",
        "embeddings",     "n_prompt",     "n_gen",        "n_depth",        "test_time",
        "avg_ns",         "stddev_ns",    "avg_ts",       "stddev_ts",      "samples_ns",
        "samples_ts",     "test"};
    struct oll_error err = {0};
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct bench_test tests[] = {prompt_test(), prompt_test()};
    tests[1].n_parallel = 4;
    const char *text = render(BENCH_JSON, tests, 2, true);
    oll_arena_init(&arena, 1 << 20);
    CHECK_MSG(oll_json_parse(&arena, text, strlen(text), NULL, &root, &err) == OLL_OK, "%s",
              err.text);
    CHECK(root && root->type == OLL_JSON_ARRAY && root->n == 2);
    const struct oll_json *row = root && root->n == 2 ? root->first : NULL;
    check_keys(row, keys, sizeof keys / sizeof keys[0]);
    CHECK_STR(oll_json_get_str(row, "cpu_info", ""), "A \"fast\" one");
    CHECK_STR(oll_json_get_str(row, "backends", ""), "CPU");
    const struct oll_json *v = oll_json_get(row, "avg_ts");
    CHECK(v && v->real == 192.0);
    v = oll_json_get(row, "avg_ns");
    CHECK(v && v->is_int && v->i == 3000000000);
    v = oll_json_get(row, "samples_ns");
    CHECK(v && v->n == 2 && v->first->i == 2000000000);
    v = oll_json_get(row, "samples_ts");
    CHECK(v && v->n == 2 && v->first->next->real == 128);
    v = oll_json_get(row, "median_ts");
    CHECK(v && v->real == 192);
    v = oll_json_get(row, "min_ts");
    CHECK(v && v->real == 128);
    v = oll_json_get(row, "roofline");
    CHECK(v && v->real == 0.6667);
    CHECK_STR(oll_json_get_str(row, "roofline_bound", ""), "compute");
    v = row ? oll_json_get(row->next, "n_parallel") : NULL;
    CHECK(v && v->i == 4);
    oll_arena_free(&arena);
    CHECK_STR(render(BENCH_JSON, tests, 0, true), "[\n]\n"); /* stopped before the first row */
}

TEST(json_lines)
{
    struct bench_test tests[] = {prompt_test(), prompt_test()};
    const char *text = render(BENCH_JSONL, tests, 2, false);
    const char *end = strchr(text, '\n');
    CHECK(end && strchr(end + 1, '\n') && strchr(end + 1, '\n')[1] == '\0');
    CHECK(strstr(text, "{\"build_commit\": \"1.4.2\", \"build_number\": 10402, ") == text);
    CHECK(strstr(text, "\"samples_ns\": [ 2000000000, 4000000000 ], \"samples_ts\": [ 256, 128 ]"));
    CHECK(strstr(text, "\"roofline\": null, \"roofline_bound\": \"\"}"));
}

TEST(csv)
{
    struct bench_test tests[] = {prompt_test(), prompt_test()};
    const char *text = render(BENCH_CSV, tests, 2, false);
    CHECK(strstr(text, "build_commit,build_number,cpu_info,gpu_info,backends,model_filename,") ==
          text);
    CHECK(
        strstr(text, ",n_prompt,n_gen,n_depth,test_time,avg_ns,stddev_ns,avg_ts,stddev_ts,test,"));
    CHECK(
        strstr(text, "\n\"1.4.2\",\"10402\",\"A \"\"fast\"\" one\",\"\",\"CPU\",\"dir/m.gguf\","));
    CHECK(strstr(text, "\"512\",\"0\",\"0\",\"2026-01-31T12:00:00Z\",\"3000000000\","
                       "\"1414213562\",\"192.000000\",\"90.509668\",\"pp512\",\"1\","));
    int n_lines = 0, n_columns[3] = {1, 1, 1};
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            n_lines++;
        else if (n_lines < 3)
            n_columns[n_lines] += *p == ',';
    }
    CHECK_EQ(n_lines, 3);
    CHECK_EQ(n_columns[0], n_columns[1]);
    CHECK_EQ(n_columns[0], n_columns[2]);
}

TEST(formats)
{
    enum bench_format f;
    CHECK(bench_format_from_name("md", &f) && f == BENCH_MD);
    CHECK(bench_format_from_name("jsonl", &f) && f == BENCH_JSONL);
    CHECK(!bench_format_from_name("sql", &f) && !bench_format_from_name("", &f));
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
