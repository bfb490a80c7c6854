/* oll bench op, oll bench sample: the parts of an engine, each on its own. */
#include "server/cli_bench.h"

#include "bench/bench_ops.h"
#include "bench/bench_sample.h"
#include "engine/base/platform.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_ROUNDS = 200, VOCAB_MIN = 16, VOCAB_MAX = 1 << 22 };

/* How rows are printed: a table for people, or a format for scripts. */
struct printer {
    enum bench_format format;
    uint32_t n_rows;
};

static bool read_format(const struct cli_args *args, struct printer *p)
{
    const char *name = cli_value(args, "output", "md");
    if (bench_format_from_name(name, &p->format) && p->format != BENCH_JSON)
        return true;
    cli_failf("-o %s: expected md, jsonl or csv", name);
    return false;
}

static int finish(oll_status status, const struct oll_error *err)
{
    if (status == OLL_ERR_CANCELED)
        fprintf(stderr, "stopped; these are the results so far\n");
    else if (status != OLL_OK)
        return cli_fail(err);
    return status == OLL_OK ? 0 : 1;
}

/* ---- op ---- */

static void print_op_md(const struct bench_op_result *r)
{
    char macs[24] = "", share[32] = "";
    if (r->macs > 0)
        snprintf(macs, sizeof macs, "%.1f", r->macs / r->seconds * 1e-9);
    if (r->share > 0)
        snprintf(share, sizeof share, "%.0f %% of %s", r->share * 100,
                 r->is_compute_bound ? "macs" : "read");
    printf("| %-28s | %11.2f | %8.1f | %8s | %13s |\n", r->name, r->seconds * 1e6,
           r->bytes / r->seconds * 1e-9, macs, share);
}

static oll_status print_op(void *ctx, const struct bench_op_result *r, struct oll_error *err)
{
    struct printer *p = ctx;
    (void)err;
    if (p->format == BENCH_MD && p->n_rows == 0)
        printf("| op                           |          us |     GB/s |   GMAC/s |      "
               "roofline |\n"
               "| ---------------------------- | ----------: | -------: | -------: | "
               "------------: |\n");
    if (p->format == BENCH_CSV && p->n_rows == 0)
        printf("op,us,gb_s,gmac_s,roofline,roofline_bound\n");
    p->n_rows++;
    const char *bound = r->share > 0 ? r->is_compute_bound ? "compute" : "memory" : "";
    if (p->format == BENCH_MD)
        print_op_md(r);
    else
        printf(p->format == BENCH_CSV
                   ? "%s,%.3f,%.3f,%.3f,%.4f,%s\n"
                   : "{\"op\": \"%s\", \"us\": %.3f, \"gb_s\": %.3f, \"gmac_s\": %.3f, "
                     "\"roofline\": %.4f, \"roofline_bound\": \"%s\"}\n",
               r->name, r->seconds * 1e6, r->bytes / r->seconds * 1e-9, r->macs / r->seconds * 1e-9,
               r->share, bound);
    return fflush(stdout) == 0 ? OLL_OK : OLL_ERR_IO;
}

static int run_op(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct printer printer = {0};
    struct bench_watch watch;
    int64_t n_threads;
    if (!cli_int(args, "threads", cli_bench_threads(), 1, OLL_CPU_MAX, &n_threads) ||
        !read_format(args, &printer))
        return 2;
    cli_bench_watch(&watch);
    const struct bench_ops_params params = {.device = cli_value(args, "device", "cpu"),
                                            .isa = cli_value(args, "isa", NULL),
                                            .n_threads = (int)n_threads,
                                            .filter =
                                                args->n_positional ? args->positional[0] : NULL,
                                            .watch = &watch,
                                            .result = print_op,
                                            .ctx = &printer};
    return finish(bench_ops_run(&params, &err), &err);
}

static const struct cli_option op_options[] = {
    {"threads", 't', CLI_VALUE, "N", "compute threads (default: physical cores)"},
    {"device", 0, CLI_VALUE, "NAME", "cpu (default), ref"},
    {"isa", 0, CLI_VALUE, "LEVEL", "highest set of instructions to use"},
    {"output", 'o', CLI_VALUE, "FORMAT", "md (default), jsonl, csv"},
    {0}};

const struct cli_command cli_bench_op = {
    .name = "op",
    .usage = "[FILTER]",
    .summary = "Measure the operations of a device",
    .details = "FILTER is a part of a name: matmul, q4_k, matmul.q4_k.512, attention.f16, norm.\n"
               "The number is that of the tokens. Products and attention are judged by the share\n"
               "of what the machine can do, measured at the start.",
    .options = op_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_op};

/* ---- sample ---- */

static oll_status print_sample(void *ctx, const struct bench_sample_result *r,
                               struct oll_error *err)
{
    struct printer *p = ctx;
    (void)err;
    if (p->format == BENCH_MD && p->n_rows == 0)
        printf("| chain      | vocabulary | us per token |      min |      p99 |\n"
               "| ---------- | ---------: | -----------: | -------: | -------: |\n");
    if (p->format == BENCH_CSV && p->n_rows == 0)
        printf("chain,n_vocab,median_us,min_us,p99_us\n");
    p->n_rows++;
    printf(p->format == BENCH_MD    ? "| %-10s | %10u | %12.1f | %8.1f | %8.1f |\n"
           : p->format == BENCH_CSV ? "%s,%u,%.3f,%.3f,%.3f\n"
                                    : "{\"chain\": \"%s\", \"n_vocab\": %u, \"median_us\": %.3f, "
                                      "\"min_us\": %.3f, \"p99_us\": %.3f}\n",
           r->chain, r->n_vocab, r->us.median, r->us.min, r->p99_us);
    return fflush(stdout) == 0 ? OLL_OK : OLL_ERR_IO;
}

static int run_sample(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct printer printer = {0};
    struct bench_watch watch;
    int64_t n_vocab, n_rounds;
    if (!cli_int(args, "vocab", 0, VOCAB_MIN, VOCAB_MAX, &n_vocab) ||
        !cli_int(args, "rounds", DEFAULT_ROUNDS, 1, BENCH_SAMPLE_ROUNDS_MAX, &n_rounds) ||
        !read_format(args, &printer))
        return 2;
    cli_bench_watch(&watch);
    const struct bench_sample_params params = {.n_vocab = (uint32_t)n_vocab,
                                               .n_rounds = (uint32_t)n_rounds,
                                               .watch = &watch,
                                               .result = print_sample,
                                               .ctx = &printer};
    return finish(bench_sample_run(&params, &err), &err);
}

static const struct cli_option sample_options[] = {
    {"vocab", 0, CLI_VALUE, "N", "one size of the vocabulary (default: 32768, 131072, 262144)"},
    {"rounds", 'r', CLI_VALUE, "N", "tokens drawn for each row (default 200)"},
    {"output", 'o', CLI_VALUE, "FORMAT", "md (default), jsonl, csv"},
    {0}};

const struct cli_command cli_bench_sample = {
    .name = "sample",
    .usage = "",
    .summary = "Measure the sampler",
    .details = "Chains: the default options; greedy; top_p 0.95 without top_k; the default with a\n"
               "repeat penalty.",
    .options = sample_options,
    .min_args = 0,
    .max_args = 0,
    .run = run_sample};
