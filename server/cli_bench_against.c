/* oll bench MODEL --against PROGRAM. */
#include "server/cli_bench.h"

#include "bench/bench_against.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { DEFAULT_ROUNDS = 5, OUT_MAX_BYTES = 16 << 20 };

/* A folder stands for the llama-bench in it. */
static bool peer_path(const char *given, char out[CLI_BENCH_PATH_MAX])
{
    struct stat st;
    const bool is_folder = stat(given, &st) == 0 && S_ISDIR(st.st_mode);
    const int n = snprintf(out, CLI_BENCH_PATH_MAX, "%s%s", given, is_folder ? "/llama-bench" : "");
    if (n >= CLI_BENCH_PATH_MAX)
        cli_failf("--against: the path is too long");
    return n < CLI_BENCH_PATH_MAX;
}

static int print_duels(const struct cli_bench_setup *setup, const struct bench_duel *duels,
                       const char *peer)
{
    struct oll_strbuf out;
    oll_strbuf_init(&out, OUT_MAX_BYTES);
    if (setup->format == BENCH_JSON)
        bench_against_json(duels, setup->n_tests, peer, setup->path, &out);
    else
        bench_against_table(duels, setup->n_tests, peer, &out);
    const bool ok = out.status == OLL_OK && fwrite(out.data, 1, out.len, stdout) == out.len &&
                    fflush(stdout) == 0;
    oll_strbuf_free(&out);
    return ok ? 0 : cli_failf("cannot write the results");
}

int cli_bench_against(struct cli_bench_setup *setup)
{
    const struct cli_args *args = setup->args;
    struct oll_error err = {0};
    struct bench_duel *duels = NULL;
    char path[CLI_BENCH_PATH_MAX];
    int64_t n_rounds;
    if (!cli_int(args, "rounds", DEFAULT_ROUNDS, 1, BENCH_ROUNDS_MAX, &n_rounds) ||
        !peer_path(cli_value(args, "against", ""), path))
        return 2;
    if (setup->format != BENCH_MD && setup->format != BENCH_JSON)
        return cli_failf("--against prints md or json");
    char **more = bench_peer_words(cli_value(args, "peer-args", ""));
    if (!more)
        return cli_failf("--peer-args: at most %d words", BENCH_PEER_ARGS_MAX);
    const struct bench_against_params params = {
        .run = setup->run,
        .peer = {.path = path, .more = (const char *const *)more},
        .n_rounds = (uint32_t)n_rounds};
    const oll_status status = bench_against(&params, &duels, &err);
    int code = status == OLL_OK ? 0 : 1;
    if (status == OLL_ERR_CANCELED)
        fprintf(stderr, "stopped; these are the rounds so far\n");
    else if (status != OLL_OK)
        cli_fail(&err);
    if (duels && print_duels(setup, duels, path) != 0)
        code = 1;
    oll_free(duels);
    oll_free(more);
    return code;
}
