/* oll bench tokenize: speed of a tokenizer. */
#include "server/cli.h"

#include "bench/bench_tokenize.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "server/model_tokenizer.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CORPUS_MB = 1024, DEFAULT_MB = 8, DEFAULT_ROUNDS = 9 };

/* The files one after the other, else the built-in sample. */
static oll_status read_corpus(const struct cli_args *args, struct oll_strbuf *corpus,
                              struct oll_error *err)
{
    if (args->n_positional == 1)
        oll_strbuf_adds(corpus, bench_tokenize_sample);
    for (int i = 1; i < args->n_positional; i++) {
        char *data;
        uint64_t n;
        OLL_TRY(oll_file_read(args->positional[i], (uint64_t)MAX_CORPUS_MB << 20, &data, &n, err));
        oll_strbuf_add(corpus, data, (size_t)n);
        oll_free(data);
    }
    if (corpus->status != OLL_OK)
        return OLL_FAIL(err, corpus->status, "the corpus: %s", oll_status_text(corpus->status));
    return corpus->len ? OLL_OK : OLL_FAIL(err, OLL_ERR_ARG, "the corpus is empty");
}

static void print_corpus(const struct cli_args *args, size_t n_part, size_t n)
{
    printf("corpus   ");
    for (int i = 1; i < args->n_positional; i++)
        printf(" %s", args->positional[i]);
    if (args->n_positional == 1)
        printf(" built-in sample");
    printf(", %zu bytes, repeated to %zu\n", n_part, n);
}

static oll_status bench_text(const struct cli_args *args, const struct oll_tokenizer *tok,
                             size_t n_bytes, int rounds, struct oll_error *err)
{
    struct bench_tokenize_result r;
    struct oll_strbuf corpus;
    char *text = NULL;
    size_t n;
    oll_strbuf_init(&corpus, (size_t)MAX_CORPUS_MB << 20);
    oll_status status = read_corpus(args, &corpus, err);
    if (status == OLL_OK) {
        text = bench_tokenize_repeat(corpus.data, corpus.len, n_bytes, &n);
        status = text ? bench_tokenize(tok, text, n, rounds, &r) : OLL_ERR_MEMORY;
    }
    if (status == OLL_OK) {
        print_corpus(args, corpus.len, n);
        printf("encode    %.1f MB/s median of %d (%.1f to %.1f), %.2f M tokens/s\n", r.median,
               rounds, r.slowest, r.best, r.median * (double)r.n_tokens / (double)r.n_bytes);
        printf("decode    %.1f M tokens/s\n", r.decode_median);
        printf("tokens    %zu, %.2f bytes each\n", r.n_tokens,
               r.n_tokens ? (double)r.n_bytes / (double)r.n_tokens : 0.0);
    }
    oll_free(text);
    oll_strbuf_free(&corpus);
    return status == OLL_OK ? OLL_OK
                            : oll_error_set(err, status, "measuring: %s", oll_status_text(status));
}

static int run_tokenize(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct oll_tokenizer *tok;
    int64_t mb, rounds;
    if (!cli_int(args, "size", DEFAULT_MB, 1, MAX_CORPUS_MB, &mb) ||
        !cli_int(args, "rounds", DEFAULT_ROUNDS, 1, BENCH_TOKENIZE_MAX_ROUNDS, &rounds))
        return 2;
    if (model_tokenizer_load(args->positional[0], &tok, &err) != OLL_OK)
        return cli_fail(&err);
    oll_status status = bench_text(args, tok, (size_t)mb * 1000000, (int)rounds, &err);
    oll_tokenizer_free(tok);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option tokenize_options[] = {
    {"size", 0, CLI_VALUE, "MB", "bytes to encode in a round, in millions (default 8)"},
    {"rounds", 'r', CLI_VALUE, "N", "rounds, of which the median counts (default 9)"},
    {0}};

const struct cli_command cli_bench_tokenize = {
    .name = "tokenize",
    .usage = "MODEL [FILE...]",
    .summary = "Measure a tokenizer on one core",
    .details = "The files, or a built-in sample without any, are put together and repeated up to\n"
               "the size asked for. Times are CPU times of the one thread.",
    .options = tokenize_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_tokenize};
