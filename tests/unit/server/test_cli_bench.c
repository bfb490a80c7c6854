/* oll bench: options, formats, files in the user's folders, exit codes. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/cli.h"
#include "tests/testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct cli_command cli_bench;
const struct cli_command *const cli_commands[] = {&cli_bench, NULL};

static char folder[256], out_path[300], err_path[300];
static char *out, *errors; /* of the last run */

static int redirect(FILE *stream, const char *path)
{
    fflush(stream);
    const int saved = dup(fileno(stream));
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    OLL_ASSERT(saved >= 0 && fd >= 0 && dup2(fd, fileno(stream)) >= 0);
    close(fd);
    return saved;
}

static char *restore(FILE *stream, int saved, const char *path)
{
    char *data = NULL;
    uint64_t n;
    fflush(stream);
    OLL_ASSERT(dup2(saved, fileno(stream)) >= 0);
    close(saved);
    OLL_ASSERT(oll_file_read(path, 1 << 24, &data, &n, NULL) == OLL_OK);
    return data;
}

/* Runs "oll bench <line>", words separated by one blank. */
static int run(const char *line)
{
    char *argv[40] = {(char *)"oll", (char *)"bench"}, text[1024];
    int n = 2;
    snprintf(text, sizeof text, "%s", line);
    for (char *p = text; *p && n < 40; n++) {
        argv[n] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = '\0';
    }
    oll_free(out);
    oll_free(errors);
    const int saved_out = redirect(stdout, out_path), saved_err = redirect(stderr, err_path);
    const int code = cli_main(n, argv);
    errors = restore(stderr, saved_err, err_path);
    out = restore(stdout, saved_out, out_path);
    return code;
}

static void begin(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/oll-cli-XXXXXX", base ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(folder));
    snprintf(out_path, sizeof out_path, "%s/out", folder);
    snprintf(err_path, sizeof err_path, "%s/err", folder);
    setenv("XDG_CACHE_HOME", folder, 1);
    setenv("XDG_STATE_HOME", folder, 1);
}

/* Removes the folder with all below it. */
static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char child[700];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%.400s/%.255s", path, e->d_name);
        if (unlink(child) != 0)
            remove_all(child);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static void end(void)
{
    remove_all(folder);
    oll_free(out);
    oll_free(errors);
    out = errors = NULL;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

#define QUICK "--forge tiny:q4_0 --devices ref --no-peak --first 0 -r 1 "

TEST(table)
{
    begin();
    CHECK_EQ(run(QUICK "-p 4 -n 2 -d 0,3 -np 1,2 -ub 8 -b=16 -t1"), 0);
    CHECK(strstr(out, "| model ") == out);
    CHECK(strstr(out, "| n_batch | n_ubatch |            test |                  t/s |\n"));
    CHECK(strstr(out, "| REF        |       1 |      16 |        8 |             pp4 |"));
    CHECK_EQ(count(out, "\n| llama 1.44 M Q4_0"), 6);
    CHECK(strstr(out, "       tg2 @ d3 |") && strstr(out, "   tg2 np2 @ d3 |"));
    CHECK(strstr(out, "1 thread: loaded in "));
    CHECK(strstr(out, "build: " OLL_VERSION));
    end();
}

TEST(pairs_caches_and_json)
{
    begin();
    CHECK_EQ(run(QUICK "-p 0 -n 0 -pg 4,2 -ctk q8_0,f32 -t 1 -o json"), 0);
    CHECK(out[0] == '[' && strstr(out, "\n]\n"));
    CHECK_EQ(count(out, "\"test\": \"pp4+tg2\""), 2);
    CHECK(strstr(out, "\"type_k\": \"q8_0\"") && strstr(out, "\"type_k\": \"f32\""));
    CHECK(strstr(out, "\"first_token_ns\": null"));
    end();
}

TEST(history)
{
    begin();
    CHECK_EQ(run(QUICK "-p 4 -n 0 -t 1 --compare"), 0);
    CHECK(strstr(errors, "prompt: nothing saved to compare with (pp4, 1 threads)"));
    CHECK_EQ(run(QUICK "-p 4 -n 0 -t 1 --save"), 0);
    CHECK(strstr(errors, "saved to ") && strstr(errors, "/oll/bench/") &&
          strstr(errors, ".jsonl\n"));
    CHECK_EQ(run(QUICK "-p 4 -n 0 -t 1 --compare"), 0);
    CHECK(strstr(errors, " since 20")); /* the same version: the time it was saved */
    end();
}

TEST(forge_to_a_file)
{
    char line[400];
    struct stat st;
    begin();
    snprintf(line, sizeof line, "--forge tiny:q8_0 --out %s/m.gguf", folder);
    CHECK_EQ(run(line), 0);
    CHECK(strstr(out, "/m.gguf\n"));
    snprintf(line, sizeof line, "%s/m.gguf", folder);
    CHECK(stat(line, &st) == 0 && st.st_size > 1500000);
    snprintf(line, sizeof line, "%s/m.gguf --devices ref --no-peak -p 2 -n 0 -r 1 -o csv", folder);
    CHECK_EQ(run(line), 0);
    CHECK_EQ(count(out, "\n"), 2);
    snprintf(line, sizeof line,
             "-m %s/m.gguf --devices ref --no-peak -p 2 -n 0 -r 1 -t 1-2 -o jsonl", folder);
    CHECK_EQ(run(line), 0);
    CHECK_EQ(count(out, "\n"), 2);
    end();
}

TEST(wrong_usage)
{
    static const struct {
        const char *line;
        int code;
        const char *text;
    } cases[] = {
        {"", 1, "name a model, or make one with --forge"},
        {"--forge tiny:q4_0 more.gguf", 1, "name a model, or make one with --forge"},
        {"--forge tiny", 1, "SHAPE:TYPE"},
        {"--forge tiny:q77", 1, "no type 'q77'"},
        {"none.gguf", 1, "none.gguf"},
        {QUICK "-p x", 2, "--n-prompt x: expected numbers"},
        {QUICK "-np 0", 2, "--np 0: expected numbers from 1"},
        {QUICK "-p 0 -n 0", 1, "no test is left"},
        {QUICK "-pg 4", 2, "-pg 4: expected two numbers"},
        {QUICK "-o xml", 2, "-o xml: expected md"},
        {QUICK "-ctk q5_0", 2, "-ctk q5_0: expected f16"},
        {QUICK "-ctk f16 -ctv f32", 2, "stored alike"},
        {QUICK "-r 0", 2, "--repetitions 0"},
        {QUICK "--against /nonexistent/llama-bench -p 2 -n 0", 1, "cannot be started"},
        {"--out x", 1, "--out names the file that --forge makes"},
        {"-zz 4", 1, "unknown shorthand flag: 'z' in -zz"},
        {"-ub", 1, "flag needs an argument: -ub"},
        {"server", 1, "accepts 1 arg(s), received 0"},
        {"server http://192.0.2.1", 1, "is not on this machine"},
        {"op nothing-like-it --device ref", 1, "no op has"},
        {"sample -o json", 2, "expected md, jsonl or csv"},
    };
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_MSG(run(cases[i].line) == cases[i].code, "%s", cases[i].line);
        /* A build without the library for it measures no servers. */
        CHECK_MSG(strstr(errors, cases[i].text) || strstr(errors, "without libcurl"), "%s: %s",
                  cases[i].line, errors);
    }
    end();
}

TEST(parts)
{
    begin();
    CHECK_EQ(run("sample --vocab 500 -r 3 -o csv"), 0);
    CHECK(strstr(out, "chain,n_vocab,median_us,min_us,p99_us\ndefault,500,") == out);
    CHECK_EQ(count(out, "\n"), 5);
    CHECK_EQ(run("sample --vocab 500 -r 3"), 0);
    CHECK(strstr(out, "| greedy     |        500 |"));
    CHECK_EQ(run("op router.1 -t 1 --device ref -o jsonl"), 0);
    CHECK(strstr(out, "{\"op\": \"router.1\", \"us\": ") == out);
    CHECK_EQ(run("--help"), 0);
    CHECK(strstr(out, "oll bench MODEL... [flags]") && strstr(out, "  sample ") &&
          strstr(out, "--n-prompt"));
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
