/* oll bench speculate: what speculation brings and costs. */
#include "server/cli_bench.h"

#include "bench/bench_speculate.h"
#include "engine/base/mem.h"
#include "server/model_path.h"

#include <stdio.h>

enum { DEFAULT_ROUNDS = 20, DEFAULT_TOKENS = 256, MAX_TOKENS = 1024, MAX_CLIENTS = 16 };

static void print_result(void *ctx, const struct bench_speculate_result *r)
{
    bool *has_head = ctx;
    if (!*has_head)
        printf("| text  | tokens | drafted | right |    off t/s |     on t/s | on / off | pairs, "
               "smallest to largest |\n"
               "| ----- | -----: | ------: | ----: | ---------: | ---------: | -------: | "
               "--------------------------: |\n");
    *has_head = true;
    printf("| %-5s | %6u | %7u | %5u | %10.1f | %10.1f | %8.3f | %9.3f .. %-5.3f of %4u |\n",
           r->name, r->n_reply, r->n_drafted, r->n_accepted, r->off.median, r->on.median,
           r->gain.median, r->gain.min, r->gain.max, r->gain.n);
    fflush(stdout);
}

static int run_speculate(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct bench_watch watch;
    int64_t n_threads, n_tokens, n_rounds, n_clients;
    char *path = NULL;
    bool has_head = false;
    if (!cli_int(args, "threads", cli_bench_threads(), 1, 1024, &n_threads) ||
        !cli_int(args, "tokens", DEFAULT_TOKENS, 2, MAX_TOKENS, &n_tokens) ||
        !cli_int(args, "rounds", DEFAULT_ROUNDS, 1, BENCH_SPECULATE_ROUNDS_MAX, &n_rounds) ||
        !cli_int(args, "clients", 1, 1, MAX_CLIENTS, &n_clients))
        return 2;
    cli_bench_watch(&watch);
    const oll_status found = model_path_resolve(args->positional[0], &path, &err);
    if (found != OLL_OK)
        return cli_fail(&err);
    const struct bench_speculate_params params = {.path = path,
                                                  .text = cli_value(args, "text", NULL),
                                                  .n_tokens = (uint32_t)n_tokens,
                                                  .n_rounds = (uint32_t)n_rounds,
                                                  .n_clients = (uint32_t)n_clients,
                                                  .n_threads = (int)n_threads,
                                                  .watch = &watch,
                                                  .result = print_result,
                                                  .ctx = &has_head};
    const oll_status status = bench_speculate_run(&params, &err);
    oll_free(path);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option speculate_options[] = {
    {"text", 0, CLI_VALUE, "NAME", "only this text: edit, free or noise"},
    {"rounds", 'r', CLI_VALUE, "N", "pairs of each text (default 20)"},
    {"tokens", 'n', CLI_VALUE, "N", "most tokens of a reply (default 256)"},
    {"clients", 'c', CLI_VALUE, "N", "replies at the same time (default 1)"},
    {"threads", 't', CLI_VALUE, "N", "compute threads (default: physical cores)"},
    {0}};

const struct cli_command cli_bench_speculate = {
    .name = "speculate",
    .usage = "MODEL",
    .summary = "Measure speculation: replies with it and without",
    .details = "Pairs of replies, one with speculation and one without, in an order that\n"
               "alternates; their texts are compared. edit: code is repeated with one change,\n"
               "free: a story is told, noise: words at random, where guesses are wrong.",
    .options = speculate_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_speculate};
