#include "bench/bench_against.h"
#include "bench/bench_forge.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256];

static const char *file_in(const char *name)
{
    static char paths[4][400];
    static int i;
    char *path = paths[i++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_script(const char *name, const char *text)
{
    FILE *f = fopen(file_in(name), "w");
    OLL_ASSERT(f);
    fprintf(f, "#!/bin/sh\necho \"$@\" >> \"$0.log\"\n%s", text);
    fclose(f);
    OLL_ASSERT(chmod(file_in(name), 0700) == 0);
}

/* What a script was called with, a line each time. */
static const char *log_of(const char *name)
{
    static char text[4096];
    char *data = NULL;
    uint64_t n;
    char log[64];
    snprintf(log, sizeof log, "%s.log", name);
    text[0] = '\0';
    if (oll_file_read(file_in(log), 1 << 20, &data, &n, NULL) == OLL_OK)
        snprintf(text, sizeof text, "%s", data);
    oll_free(data);
    return text;
}

/* Programs that print like the real ones, messages included, at the same speed every time. */
static void begin(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/oll-against-XXXXXX", base ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(folder));
    write_script("llama-bench",
                 "p=0; n=0; d=0\n"
                 "while [ $# -gt 1 ]; do\n"
                 "  case $1 in -p) p=$2 ;; -n) n=$2 ;; -d) d=$2 ;; esac\n"
                 "  shift\n"
                 "done\n"
                 "echo 'a [message]'\n"
                 "echo '['\n"
                 "echo \"{\\\"n_prompt\\\": 1, \\\"n_gen\\\": 1, \\\"samples_ts\\\": [5]},\"\n"
                 "echo \"{\\\"n_prompt\\\": $p, \\\"n_gen\\\": $n, \\\"n_depth\\\": $d,\"\n"
                 "echo '\"avg_ts\": 2, \"samples_ts\": [ 0.2, 0.1, 0.4 ]}'\n"
                 "echo ']'\n"
                 "echo 'bye'\n");
    write_script(
        "llama-batched-bench",
        "echo 'loading'\n"
        "echo '{\"pp\": 0, \"tg\": 3, \"pl\": 2, \"speed_pp\": -nan, \"speed_tg\": 0.5}'\n"
        "echo '{\"pp\": 0, \"tg\": 3, \"pl\": 4, \"speed_pp\": inf, \"speed_tg\": 0.7}'\n");
}

static void end(void)
{
    static const char *const names[] = {"llama-bench",     "llama-batched-bench",
                                        "llama-bench.log", "llama-batched-bench.log",
                                        "m.gguf",          "bad",
                                        "bad.log"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(file_in(names[i]));
    CHECK_EQ(rmdir(folder), 0);
}

static struct bench_test base_test(void)
{
    return (struct bench_test){
        .n_parallel = 1, .n_batch = 64, .n_ubatch = 32, .n_threads = 1, .kv_dtype = OLL_F16};
}

TEST(command_lines)
{
    double ts[BENCH_PEER_SAMPLES_MAX];
    uint32_t n = 0;
    begin();
    const char *const more[] = {"-rtr", "1", NULL};
    struct bench_peer peer = {
        .path = file_in("llama-bench"), .model = "m.gguf", .more = more, .n_repeat = 3};
    struct bench_test test = base_test();
    test.n_prompt = 8;
    CHECK_OK(bench_peer_run(&peer, &test, ts, &n, NULL));
    CHECK(n == 3 && ts[0] == 0.2 && ts[2] == 0.4);
    test.n_prompt = 0;
    test.n_gen = 5;
    test.n_depth = 16;
    test.kv_dtype = OLL_Q8_0;
    peer.more = NULL;
    CHECK_OK(bench_peer_run(&peer, &test, ts, &n, NULL));
    CHECK_STR(log_of("llama-bench"),
              "-m m.gguf -t 1 -b 64 -ub 32 -p 8 -n 0 -r 3 -o json -rtr 1\n"
              "-m m.gguf -t 1 -b 64 -ub 32 -ctk q8_0 -ctv q8_0 -p 0 -n 5 -d 16 -r 3 -o json\n");
    test = base_test();
    test.n_prompt = 4;
    test.n_gen = 2;
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, NULL), OLL_ERR_FORMAT);
    CHECK(strstr(log_of("llama-bench"), "-p 0 -n 0 -pg 4,2 -r 3"));
    end();
}

TEST(several_sequences)
{
    double ts[BENCH_PEER_SAMPLES_MAX];
    uint32_t n = 0;
    struct oll_error err = {0};
    begin();
    struct bench_peer peer = {.path = file_in("llama-bench"), .model = "m.gguf", .n_repeat = 3};
    struct bench_test test = base_test();
    test.n_gen = 3;
    test.n_parallel = 4;
    CHECK_OK(bench_peer_run(&peer, &test, ts, &n, NULL));
    CHECK(n == 1 && ts[0] == 0.7);
    CHECK_STR(log_of("llama-batched-bench"), "-m m.gguf -t 1 -b 64 -ub 32 -tb 1 -c 12 -npp 0 -ntg "
                                             "3 -npl 4 --output-format jsonl\n");
    peer.path = file_in("bad");
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, &err), OLL_ERR_UNSUPPORTED);
    end();
}

TEST(programs_that_fail)
{
    double ts[BENCH_PEER_SAMPLES_MAX];
    uint32_t n = 0;
    struct oll_error err = {0};
    begin();
    struct bench_peer peer = {.path = file_in("bad"), .model = "m.gguf", .n_repeat = 1};
    struct bench_test test = base_test();
    test.n_prompt = 8;
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, &err), OLL_ERR_NOT_FOUND);
    write_script("bad", "exit 3\n");
    err = (struct oll_error){0};
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, &err), OLL_ERR_IO);
    CHECK(strstr(err.text, "code 3") && strstr(err.text, "-p 8 -n 0"));
    write_script("bad", "kill -9 $$\n");
    err = (struct oll_error){0};
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, &err), OLL_ERR_IO);
    CHECK(strstr(err.text, "signal 9"));
    write_script("bad", "echo '[{\"n_prompt\": 8, \"n_gen\": 0, \"samples_ts\": [0, null]}]'\n");
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, NULL), OLL_ERR_FORMAT);
    write_script("bad", "exec yes\n"); /* without end */
    CHECK_STATUS(bench_peer_run(&peer, &test, ts, &n, NULL), OLL_ERR_LIMIT);
    end();
}

TEST(words)
{
    char **words = bench_peer_words("  -rtr 1\t-fa on ");
    CHECK(words);
    CHECK_STR(words[0], "-rtr");
    CHECK_STR(words[3], "on");
    CHECK(!words[4]);
    oll_free(words);
    words = bench_peer_words("");
    CHECK(words && !words[0]);
    oll_free(words);
    CHECK(!bench_peer_words("1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3"));
}

TEST(rounds)
{
    struct oll_error err = {0};
    struct bench_forge forge;
    struct bench_duel *duels = NULL;
    begin();
    CHECK_OK(bench_forge_parse("tiny:q4_0", 0, &forge, NULL));
    CHECK_OK(bench_forge_write(&forge, file_in("m.gguf"), NULL, NULL));
    struct bench_test tests[] = {base_test(), base_test()};
    tests[0].n_prompt = 4;
    tests[1].n_gen = 3;
    tests[1].n_parallel = 2;
    struct bench_against_params params = {.run = {.path = file_in("m.gguf"),
                                                  .devices = "ref",
                                                  .tests = tests,
                                                  .n_tests = 2,
                                                  .repeat = {.n = 1}},
                                          .peer = {.path = file_in("llama-bench")},
                                          .n_rounds = 2};
    CHECK_MSG(bench_against(&params, &duels, &err) == OLL_OK, "%s", err.text);
    for (int i = 0; duels && i < 2; i++) {
        CHECK_EQ(duels[i].n, 2);
        CHECK(duels[i].theirs[0] == (i == 0 ? 0.2 : 0.5)); /* the median of three, the one */
        CHECK(duels[i].ours[0] > 1 && duels[i].ratios[1] == duels[i].ours[1] / duels[i].theirs[1]);
    }
    oll_free(duels);
    params.n_rounds = 0;
    CHECK_STATUS(bench_against(&params, &duels, NULL), OLL_ERR_ARG);
    params.n_rounds = 1;
    params.peer.path = file_in("bad");
    CHECK_STATUS(bench_against(&params, &duels, NULL), OLL_ERR_NOT_FOUND);
    end();
}

static struct bench_test summary_test = {.n_prompt = 512, .n_threads = 2, .n_parallel = 1};
static const struct bench_duel summary_duels[] = {{.test = &summary_test,
                                                   .n = 3,
                                                   .ours = {150, 120, 160},
                                                   .theirs = {100, 100, 80},
                                                   .ratios = {1.5, 1.2, 2}},
                                                  {.test = &summary_test, .n = 0}};

TEST(table)
{
    struct oll_strbuf out;
    oll_strbuf_init(&out, 1 << 16);
    bench_against_table(summary_duels, 2, "llama-bench", &out);
    CHECK(strstr(out.data, "ratio of oll to llama-bench."));
    CHECK(strstr(out.data,
                 "\n| pp512                |       2 |     150.0 (120.0 to 160.0) |"
                 "      100.0 (80.0 to 100.0) |  1.50 | 1.20 to 2.00 |   3/3 | 0.250 |\n"));
    oll_strbuf_free(&out);
}

TEST(json)
{
    struct oll_strbuf out;
    struct oll_arena arena;
    struct oll_json *root = NULL;
    oll_strbuf_init(&out, 1 << 16);
    oll_arena_init(&arena, 1 << 20);
    bench_against_json(summary_duels, 2, "llama-bench", "m.gguf", &out);
    CHECK_OK(oll_json_parse(&arena, out.data, out.len, NULL, &root, NULL));
    const struct oll_json *tests = oll_json_get(root, "tests");
    CHECK(tests && tests->n == 1);
    const struct oll_json *ratio = tests ? oll_json_get(tests->first, "ratio") : NULL;
    const struct oll_json *v = oll_json_get(ratio, "median");
    CHECK(v && v->real == 1.5);
    v = oll_json_get(ratio, "rounds");
    CHECK(v && v->n == 3 && v->first->next->real == 1.2);
    v = tests ? oll_json_get(tests->first, "n_won") : NULL;
    CHECK(v && v->i == 3);
    oll_arena_free(&arena);
    oll_strbuf_free(&out);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
