/* oll tokenize, oll detokenize and oll bench tokenize: what they read, print and refuse. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "server/cli.h"
#include "tests/unit/gguf/forge.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct cli_command cli_tokenize, cli_detokenize, cli_bench;
const struct cli_command *const cli_commands[] = {&cli_tokenize, &cli_detokenize, &cli_bench, NULL};

static char folder[256], model[1024];
static char *out, *errors; /* of the last run */

static void path_of(const char *name, char path[320])
{
    snprintf(path, 320, "%s/%s", folder, name);
}

/* Puts a file of the folder in the place of a stream; returns what the stream was. */
static int redirect(FILE *stream, const char *name, int flags)
{
    char path[320];
    path_of(name, path);
    fflush(stream);
    int saved = dup(fileno(stream)), fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    OLL_ASSERT(saved >= 0 && fd >= 0 && dup2(fd, fileno(stream)) >= 0);
    close(fd);
    return saved;
}

static char *restore(FILE *stream, int saved, const char *name)
{
    char path[320], *data = NULL;
    uint64_t n;
    path_of(name, path);
    fflush(stream);
    OLL_ASSERT(dup2(saved, fileno(stream)) >= 0);
    close(saved);
    OLL_ASSERT(oll_file_read(path, 1 << 24, &data, &n, NULL) == OLL_OK);
    unlink(path);
    return data;
}

/* Runs "oll <words>" with `input` on standard input and keeps what it printed. */
static int run(const char *input, const char *const *words, int n)
{
    char *argv[10] = {(char *)"oll"}, path[320];
    path_of("in", path);
    FILE *in = fopen(path, "w");
    OLL_ASSERT(in && fputs(input, in) >= 0 && fclose(in) == 0);
    for (int i = 0; i < n; i++)
        argv[i + 1] = (char *)words[i];
    oll_free(out);
    oll_free(errors);
    int saved_in = redirect(stdin, "in", O_RDONLY);
    int saved_out = redirect(stdout, "out", O_WRONLY | O_TRUNC);
    int saved_err = redirect(stderr, "err", O_WRONLY | O_TRUNC);
    clearerr(stdin);
    int code = cli_main(n + 1, argv);
    errors = restore(stderr, saved_err, "err");
    out = restore(stdout, saved_out, "out");
    OLL_ASSERT(dup2(saved_in, STDIN_FILENO) >= 0);
    close(saved_in);
    unlink(path);
    return code;
}

#define RUN(input, ...)                                                                            \
    run(input, (const char *const[]){__VA_ARGS__},                                                 \
        (int)(sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *)))

/* The vocabulary of llama 3; false after marking the program as skipped. */
static bool begin(void)
{
    snprintf(model, sizeof model, "%s", testing_shared("data/vocab/ggml-vocab-llama-bpe.gguf"));
    if (!model[0])
        testing_skip("no vocabulary llama-bpe in shared/data/vocab");
    return model[0] != '\0';
}

TEST(text_becomes_one_array)
{
    if (!begin())
        return;
    CHECK_EQ(RUN("", "tokenize", model, "Hello world<|eot_id|>"), 0);
    CHECK_STR(out, "[128000,9906,1917,128009]\n");
    CHECK_EQ(RUN("", "tokenize", model, "Hello world", "--no-bos"), 0);
    CHECK_STR(out, "[9906,1917]\n");
    CHECK_EQ(RUN("", "tokenize", model, "", "--no-bos"), 0);
    CHECK_STR(out, "[]\n");
    CHECK_EQ(RUN("Hello world\n", "tokenize", model, "--no-bos"), 0);
    CHECK_STR(out, "[9906,1917,198]\n");
    CHECK_EQ(RUN("", "tokenize", model, "a<|eot_id|>", "--no-bos", "--no-special"), 0);
    CHECK(strstr(out, "128009") == NULL && strncmp(out, "[64,27,91,", 10) == 0);
    CHECK_STR(errors, "");
}

TEST(batches_go_line_by_line)
{
    if (!begin())
        return;
    CHECK_EQ(RUN("\"Hello world\"\n\"\"\n \"a\\u00e9\\n\" \n", "tokenize", model, "--no-bos",
                 "--batch", "json"),
             0);
    CHECK_STR(out, "[9906,1917]\n[]\n[64,978,198]\n");
    CHECK_EQ(RUN("YQ==\n\n/w==", "tokenize", model, "--no-bos", "--batch=base64"), 0);
    CHECK_STR(out, "[64]\n[]\n[187]\n");
    CHECK_EQ(RUN("[9906, 1917]\n[]\n187\n128009", "detokenize", model, "--batch", "json"), 0);
    CHECK_STR(out, "\"Hello world\"\n\"\"\n\"\\ufffd\"\n\"<|eot_id|>\"\n");
    CHECK_EQ(RUN("[187]\n[64,128009]\n", "detokenize", model, "--batch", "base64", "--no-special"),
             0);
    CHECK_STR(out, "/w==\nYQ==\n");
}

TEST(ids_become_exactly_their_bytes)
{
    if (!begin())
        return;
    CHECK_EQ(RUN("", "detokenize", model, "128000,9906,1917"), 0);
    CHECK_STR(out, "<|begin_of_text|>Hello world");
    CHECK_EQ(RUN("", "detokenize", model, " [ 128000, 1917 ] ", "--no-special"), 0);
    CHECK_STR(out, " world");
    CHECK_EQ(RUN("[9906]\n", "detokenize", model), 0);
    CHECK_STR(out, "Hello");
    CHECK_EQ(RUN("", "detokenize", model, "[]"), 0);
    CHECK_STR(out, "");
}

TEST(what_is_no_list_is_refused)
{
    static const char *const bad[] = {"[1,2",   "1,2]",   "1,",    "[1,]", ",1",
                                      "[1 2]",  "1;2",    "[1.5]", "x",    "-1",
                                      "[[1]]",  "128256", "[1]]",  "[",    "99999999999999999999",
                                      "[\"1\"]"};
    if (!begin())
        return;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_MSG(RUN("", "detokenize", model, "--", bad[i]) == 1, "%s is taken", bad[i]);
        CHECK_STR(out, "");
        CHECK(strncmp(errors, "Error: expected ", 16) == 0);
    }
}

TEST(errors_name_the_line)
{
    if (!begin())
        return;
    CHECK_EQ(RUN("\"a\"\n{}\n\"b\"\n", "tokenize", model, "--no-bos", "--batch", "json"), 1);
    CHECK_STR(out, "[64]\n");
    CHECK_STR(errors, "Error: line 2: expected a JSON string, found object\n");
    CHECK_EQ(RUN("YQ=\n", "tokenize", model, "--batch", "base64"), 1);
    CHECK(strncmp(errors, "Error: line 1: base64: ", 23) == 0);
    CHECK_EQ(RUN("1\n2,x\n", "detokenize", model, "--batch", "json"), 1);
    CHECK(strncmp(errors, "Error: line 2: ", 15) == 0);
    CHECK_EQ(RUN("", "tokenize", model, "a", "--batch", "xml"), 2);
    CHECK_EQ(RUN("", "tokenize", "absent.gguf", "a"), 1);
    CHECK_STR(errors, "Error: absent.gguf: no such file\n");
}

TEST(bench_says_what_it_measured)
{
    if (!begin())
        return;
    CHECK_EQ(RUN("", "bench", "tokenize", model, "--size", "1", "-r", "1"), 0);
    CHECK(strstr(out, "built-in sample") && strstr(out, " MB/s median of 1 ") &&
          strstr(out, "tokens/s"));
    CHECK_EQ(RUN("", "bench", "tokenize", model, "--size", "0"), 2);
    CHECK_EQ(RUN("", "bench", "tokenize", model, "absent.txt"), 1);
}

int main(int argc, char **argv)
{
    forge_folder(folder);
    int code = testing_main(argc, argv);
    oll_free(out);
    oll_free(errors);
    rmdir(folder);
    return code;
}
