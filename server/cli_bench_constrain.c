/* oll bench constrain: speed and coverage of structured output. */
#include "server/cli_bench.h"

#include "bench/bench_constrain.h"
#include "engine/base/mem.h"
#include "server/model_path.h"
#include "server/model_tokenizer.h"

#include <stdio.h>

enum { DEFAULT_ROUNDS = 20, MAX_ROUNDS = 10000, DECODE_ROUNDS = 5, DECODE_TOKENS = 200 };

static void print_failed(void *ctx, const char *name, const char *why)
{
    (void)ctx;
    printf("%s: %s\n", name, why);
}

static void print_times(const char *name, const struct bench_times *t)
{
    printf("| %-14s | %8u | %8.1f | %8.1f | %8.1f | %8.1f | %8.1f | %8.1f | %8.1f |\n", name, t->n,
           t->mean, t->p50, t->p90, t->p95, t->p99, t->p999, t->max);
}

static void print_result(const struct bench_constrain_result *r)
{
    printf(
        "| us             |        n |  average |      p50 |      p90 |      p95 |      p99 |    "
        "p99.9 |      max |\n"
        "| -------------- | -------: | -------: | -------: | -------: | -------: | -------: | "
        "-------: | -------: |\n");
    print_times("mask, commit", &r->mask);
    print_times("compile", &r->compile);
    print_times("to first mask", &r->first);
    printf("\n%u schemas, %u compiled, %u passing (%.1f %%)\n", r->n_schemas, r->n_compiled,
           r->n_passing, r->n_schemas ? 100.0 * r->n_passing / r->n_schemas : 0.0);
    printf("%u of %u valid documents refused, %u of %u invalid ones accepted\n", r->n_refused,
           r->n_valid, r->n_accepted, r->n_invalid);
}

static int run_decode(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct bench_constrain_decode d;
    int64_t n_threads, n_tokens;
    char *path = NULL;
    if (!cli_int(args, "threads", cli_bench_threads(), 1, 1024, &n_threads) ||
        !cli_int(args, "tokens", DECODE_TOKENS, 1, 1000, &n_tokens))
        return 2;
    oll_status status = model_path_resolve(args->positional[0], &path, &err);
    if (status == OLL_OK)
        status = bench_constrain_decode(path, (uint32_t)n_tokens, DECODE_ROUNDS, (int)n_threads, &d,
                                        &err);
    oll_free(path);
    if (status != OLL_OK)
        return cli_fail(&err);
    printf("decode, free           %8.1f tokens/s\n"
           "decode, with a schema  %8.1f tokens/s (%.1f %%)\n",
           d.free, d.constrained, 100 * d.constrained / d.free);
    return 0;
}

static int run_constrain(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct oll_tokenizer *tok;
    struct bench_watch watch;
    struct bench_constrain_result result;
    int64_t n_rounds;
    if (!cli_int(args, "rounds", DEFAULT_ROUNDS, 1, MAX_ROUNDS, &n_rounds))
        return 2;
    if (cli_has(args, "decode"))
        return run_decode(args);
    cli_bench_watch(&watch);
    if (model_tokenizer_load(args->positional[0], &tok, &err) != OLL_OK)
        return cli_fail(&err);
    const struct bench_constrain_params params = {
        .tok = tok,
        .folder = args->n_positional > 1 ? args->positional[1] : NULL,
        .n_rounds = (uint32_t)n_rounds,
        .watch = &watch,
        .failed = cli_has(args, "failures") ? print_failed : NULL};
    oll_status status = bench_constrain_run(&params, &result, &err);
    if (status == OLL_OK || status == OLL_ERR_CANCELED)
        print_result(&result);
    oll_tokenizer_free(tok);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option constrain_options[] = {
    {"rounds", 'r', CLI_VALUE, "N", "times that the built-in schemas run (default 20)"},
    {"failures", 0, CLI_FLAG, NULL, "name the schemas that do not pass, and why"},
    {"decode", 0, CLI_FLAG, NULL, "decode MODEL with a schema and without instead"},
    {"tokens", 'n', CLI_VALUE, "N", "with --decode: tokens of a reply (default 200)"},
    {"threads", 't', CLI_VALUE, "N", "with --decode: compute threads (default: physical cores)"},
    {0}};

const struct cli_command cli_bench_constrain = {
    .name = "constrain",
    .usage = "MODEL [FOLDER]",
    .summary = "Measure structured output",
    .details = "FOLDER holds schemas with documents in the format of MaskBench; without it a few\n"
               "built-in ones run. Every token of every document gets its mask, on one core.",
    .options = constrain_options,
    .min_args = 1,
    .max_args = 2,
    .run = run_constrain};
