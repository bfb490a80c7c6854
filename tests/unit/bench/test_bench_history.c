#include "bench/bench_history.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256], path[512];

static void begin(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/oll-history-XXXXXX", base ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a/b.jsonl", folder);
}

static void end(void)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    CHECK_EQ(rmdir(folder), 0);
}

static struct bench_machine machine = {.cpu_name = "C", .isa = "avx2", .devices = "cpu"};
static struct bench_test test = {.n_prompt = 512,
                                 .n_parallel = 1,
                                 .n_batch = 2048,
                                 .n_ubatch = 512,
                                 .n_threads = 2,
                                 .kv_dtype = OLL_F16};

/* A result of five repetitions around `speed` tokens per second. */
struct row {
    uint64_t ns[5];
    double ts[5], sorted[5];
    struct bench_samples samples;
    struct bench_result result;
};

static void fill_row(struct row *r, double speed, const char *time)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < 5; i++)
        r->ts[i] = r->sorted[i] = speed * (1 + 0.01 * (i - 2));
    r->samples = (struct bench_samples){.n = 5, .ns = r->ns, .ts = r->ts, .sorted = r->sorted};
    bench_stats_of(r->sorted, 5, &r->samples.speed);
    snprintf(r->samples.test_time, sizeof r->samples.test_time, "%s", time);
    r->result = (struct bench_result){.test = &test,
                                      .samples = &r->samples,
                                      .model_path = "dir/m.gguf",
                                      .model_type = "t",
                                      .model_bytes = 77};
}

static void save(const char *version, double speed, const char *time)
{
    struct row row;
    struct oll_strbuf line;
    machine.version = version;
    fill_row(&row, speed, time);
    oll_strbuf_init(&line, 1 << 20);
    bench_report_json_line(&machine, &row.result, &line);
    oll_strbuf_addc(&line, '\n');
    CHECK_OK(bench_history_append(path, line.data, line.len, NULL));
    oll_strbuf_free(&line);
}

/* What is said of a run at this speed. */
static const char *said(const char *version, double speed)
{
    static char text[BENCH_COMPARISON_MAX];
    struct bench_history *history = NULL;
    struct bench_comparison c = {0};
    struct row row;
    machine.version = version;
    fill_row(&row, speed, "now");
    CHECK_OK(bench_history_load(path, &history, NULL));
    CHECK_OK(bench_history_compare(history, &machine, &row.result, &c, NULL));
    bench_comparison_text(&c, row.result.test, text);
    bench_history_free(history);
    return text;
}

TEST(changes)
{
    begin();
    CHECK_STR(said("1.5", 100), "prompt: nothing saved to compare with (pp512, 2 threads)");
    save("1.4", 107.2, "2026-01-01T00:00:00Z");
    CHECK_STR(said("1.5", 88), "prompt -18 % since 1.4 (pp512, 2 threads: 107.2 to 88.0 t/s)");
    CHECK_STR(said("1.5", 128.64), "prompt +20 % since 1.4 (pp512, 2 threads: 107.2 to 128.6 t/s)");
    CHECK_STR(said("1.5", 107),
              "prompt: no change beyond the noise of 3 % since 1.4 (pp512, 2 threads: 107.2 to "
              "107.0 t/s)");
    end();
}

TEST(noise_between_runs)
{
    begin();
    save("1.4", 100, "2026-01-01T00:00:00Z");
    save("1.4", 130, "2026-01-02T00:00:00Z"); /* the machine has better days */
    const char *text = said("1.5", 98);
    CHECK_MSG(strstr(text, "no change beyond the noise"), "%s", text);
    CHECK(strstr(said("1.5", 50), "prompt -5"));
    end();
}

TEST(which_rows)
{
    begin();
    save("1.3", 10, "2026-01-01T00:00:00Z");
    save("1.4", 100, "2026-01-02T00:00:00Z");
    save("1.5", 200, "2026-01-03T00:00:00Z");
    CHECK(strstr(said("1.5", 100), "since 1.4")); /* its own version comes last */
    CHECK(strstr(said("1.6", 100), "since 1.5"));
    test.n_threads = 1;
    CHECK(strstr(said("1.6", 100), "nothing saved"));
    save("1.6", 50, "2026-01-04T00:00:00Z");
    CHECK(strstr(said("1.6", 25), "prompt -50 % since 2026-01-04T00:00:00Z"));
    test.n_threads = 2;
    machine.isa = "scalar";
    CHECK(strstr(said("1.6", 100), "nothing saved"));
    machine.isa = "avx2";
    test.kv_dtype = OLL_Q8_0;
    CHECK(strstr(said("1.6", 100), "nothing saved"));
    test.kv_dtype = OLL_F16;
    test.n_depth = 8;
    CHECK(strstr(said("1.6", 100), "nothing saved"));
    test.n_depth = 0;
    end();
}

TEST(damaged_lines)
{
    static const char bad[] = "\nnot json\n{\"test\": \n[1]\n{\"test\": \"pp512\"}\n"
                              "{\"test\": \"pp512\", \"samples_ts\": {}}\n";
    begin();
    save("1.4", 100, "2026-01-02T00:00:00Z");
    CHECK_OK(bench_history_append(path, bad, strlen(bad), NULL));
    save("1.4", 100, "2026-01-02T00:00:00Z");
    CHECK_OK(bench_history_append(path, "{\"test\": \"pp5", 13, NULL)); /* cut short */
    CHECK(strstr(said("1.5", 50), "prompt -50 % since 1.4"));
    end();
}

TEST(names)
{
    char name[BENCH_SINCE_MAX];
    bench_history_name("AMD EPYC 9655 (96-Core)", 8, name);
    CHECK_STR(name, "amd-epyc-9655-96-core-x8.jsonl");
    bench_history_name("../.. ", 2, name);
    CHECK_STR(name, "unknown-x2.jsonl");
    bench_history_name("A very long name of a processor that nobody could pronounce", 2, name);
    CHECK_STR(name, "a-very-long-name-of-a-processor-x2.jsonl");
}

TEST(unwritable)
{
    struct oll_error err = {0};
    CHECK(bench_history_append("/dev/null/x/y", "a\n", 2, &err) != OLL_OK);
    CHECK(strstr(err.text, "/dev/null"));
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
