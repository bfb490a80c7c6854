/* oll bench server: a server of this or another program, as its clients see it. */
#include "server/cli_bench.h"

#include "bench/bench_server.h"
#include "engine/base/platform.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_PROMPT = 128, DEFAULT_OUTPUT = 64, TOKENS_MAX = 1 << 20 };

struct printer {
    enum bench_format format;
    uint32_t n_rows;
};

static void print_md(const struct printer *p, const struct bench_server_result *r)
{
    const struct bench_times *f = &r->first_token, *b = &r->between;
    char first[48], between[48], tokens[32];
    if (p->n_rows == 0)
        printf("| clients | requests | prompt/output | output t/s | prompt t/s |"
               " first token ms p50/p95/p99 | between ms p50/p95/p99 |\n"
               "| ------: | -------: | ------------: | ---------: | ---------: |"
               " -------------------------: | ---------------------: |\n");
    snprintf(first, sizeof first, "%.0f/%.0f/%.0f", f->p50, f->p95, f->p99);
    snprintf(between, sizeof between, "%.1f/%.1f/%.1f", b->p50, b->p95, b->p99);
    snprintf(tokens, sizeof tokens, "%.0f/%.0f", r->n_prompt, r->n_output);
    printf("| %7u | %8u | %13s | %10.1f | %10.1f | %26s | %22s |\n", r->n_clients, r->n_done,
           tokens, r->output_s, r->prompt_s, first, between);
}

static void print_jsonl(const struct bench_server_result *r)
{
    printf("{\"n_clients\": %u, \"n_requests\": %u, \"n_failed\": %u, \"seconds\": %.3f, "
           "\"n_prompt\": %.1f, \"n_output\": %.1f, \"output_ts\": %.3f, \"prompt_ts\": %.3f, ",
           r->n_clients, r->n_done, r->n_failed, r->seconds, r->n_prompt, r->n_output, r->output_s,
           r->prompt_s);
    printf("\"first_token_ms\": {\"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f}, "
           "\"between_ms\": {\"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f}}\n",
           r->first_token.p50, r->first_token.p95, r->first_token.p99, r->between.p50,
           r->between.p95, r->between.p99);
}

static void print_csv(const struct printer *p, const struct bench_server_result *r)
{
    if (p->n_rows == 0)
        printf("n_clients,n_requests,n_failed,seconds,n_prompt,n_output,output_ts,prompt_ts,"
               "first_p50_ms,first_p95_ms,first_p99_ms,between_p50_ms,between_p95_ms,"
               "between_p99_ms\n");
    printf("%u,%u,%u,%.3f,%.1f,%.1f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f\n", r->n_clients,
           r->n_done, r->n_failed, r->seconds, r->n_prompt, r->n_output, r->output_s, r->prompt_s,
           r->first_token.p50, r->first_token.p95, r->first_token.p99, r->between.p50,
           r->between.p95, r->between.p99);
}

static oll_status print_row(void *ctx, const struct bench_server_result *r, struct oll_error *err)
{
    struct printer *p = ctx;
    if (p->format == BENCH_MD)
        print_md(p, r);
    else if (p->format == BENCH_CSV)
        print_csv(p, r);
    else
        print_jsonl(r);
    p->n_rows++;
    if (r->n_failed)
        fprintf(stderr, "warning: %u of %u requests failed, the first with %s\n", r->n_failed,
                r->n_done + r->n_failed, r->failure);
    return fflush(stdout) == 0 ? OLL_OK : OLL_FAIL(err, OLL_ERR_IO, "standard output was closed");
}

static bool read_api(const struct cli_args *args, enum bench_api *api)
{
    static const char *const names[] = {[BENCH_API_AUTO] = "auto",
                                        [BENCH_API_OLLAMA] = "ollama",
                                        [BENCH_API_OPENAI] = "openai",
                                        [BENCH_API_CHAT] = "chat"};
    const char *name = cli_value(args, "api", "auto");
    for (int i = 0; i <= BENCH_API_CHAT; i++) {
        if (strcmp(name, names[i]) == 0) {
            *api = (enum bench_api)i;
            return true;
        }
    }
    cli_failf("--api %s: expected auto, ollama, openai or chat", name);
    return false;
}

static bool read_clients(const struct cli_args *args, struct bench_list *clients)
{
    if (cli_has(args, "clients"))
        return cli_bench_list(args, "clients", 1, 1, BENCH_HTTP_CLIENTS_MAX, clients);
    *clients = (struct bench_list){.n = 3, .values = {1, 4, 16}};
    return true;
}

/* Somebody else's server is not loaded by a slip of the keyboard. */
static bool check_url(const struct cli_args *args)
{
    struct oll_error err = {0};
    bool is_local;
    if (bench_http_is_local(args->positional[0], &is_local, &err) != OLL_OK) {
        cli_fail(&err);
        return false;
    }
    if (!is_local && !cli_has(args, "remote"))
        cli_failf("%s is not on this machine; add --remote to load it all the same",
                  args->positional[0]);
    return is_local || cli_has(args, "remote");
}

/* New prompts in every run, or a server's cache of the last one would answer them. */
static bool read_seed(const struct cli_args *args, uint64_t *seed)
{
    int64_t given;
    oll_platform_random(seed, sizeof *seed);
    *seed &= INT32_MAX;
    if (!cli_int(args, "seed", (int64_t)*seed, 0, INT32_MAX, &given))
        return false;
    *seed = (uint64_t)given;
    return true;
}

static int run_server(const struct cli_args *args)
{
    struct oll_error err = {0};
    struct bench_watch watch;
    struct bench_list clients;
    struct printer printer = {0};
    struct bench_server_params params = {.url = args->positional[0],
                                         .model = cli_value(args, "model", NULL),
                                         .clients = &clients,
                                         .watch = &watch,
                                         .result = print_row,
                                         .ctx = &printer};
    const char *format = cli_value(args, "output", "md");
    int64_t n_prompt, n_output, n_request;
    if (!cli_int(args, "n-prompt", DEFAULT_PROMPT, 1, TOKENS_MAX, &n_prompt) ||
        !cli_int(args, "n-gen", DEFAULT_OUTPUT, 1, TOKENS_MAX, &n_output) ||
        !cli_int(args, "requests", 0, 1, BENCH_REQUESTS_MAX, &n_request) ||
        !read_seed(args, &params.seed) || !read_api(args, &params.api) ||
        !read_clients(args, &clients))
        return 2;
    if (!bench_format_from_name(format, &printer.format) || printer.format == BENCH_JSON)
        return cli_failf("-o %s: expected md, jsonl or csv", format);
    if (!check_url(args))
        return 1;
    cli_bench_watch(&watch);
    params.n_prompt = (uint32_t)n_prompt;
    params.n_output = (uint32_t)n_output;
    params.n_request = (uint32_t)n_request;
    const oll_status status = bench_server_run(&params, &err);
    if (status == OLL_ERR_CANCELED)
        fprintf(stderr, "stopped; these are the results so far\n");
    else if (status != OLL_OK)
        return cli_fail(&err);
    return status == OLL_OK ? 0 : 1;
}

static const struct cli_option options[] = {
    {"model", 'm', CLI_VALUE, "NAME", "model to ask for (default: the first one listed)"},
    {"api", 0, CLI_VALUE, "NAME", "auto (default), ollama, openai, chat"},
    {"clients", 'c', CLI_REPEATED, "N", "clients at once (default 1,4,16)"},
    {"n-prompt", 'p', CLI_VALUE, "N", "words of a prompt, about a token each (default 128)"},
    {"n-gen", 'n', CLI_VALUE, "N", "tokens of a reply (default 64)"},
    {"requests", 'r', CLI_VALUE, "N", "requests of a row (default: four per client)"},
    {"seed", 0, CLI_VALUE, "N", "of the prompts (default: a new one each time)"},
    {"remote", 0, CLI_FLAG, NULL, "allow a server on another machine"},
    {"output", 'o', CLI_VALUE, "FORMAT", "md (default), jsonl, csv"},
    {0}};

const struct cli_command cli_bench_server = {
    .name = "server",
    .usage = "URL",
    .summary = "Measure a server, of oll or another program",
    .details =
        "Each client sends its next request when the last one is answered; replies are streamed\n"
        "and every prompt is new. Tokens are those that the server counts.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_server};
