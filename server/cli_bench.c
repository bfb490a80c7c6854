/* oll bench: speed on this machine. The command itself measures a model; its sub-commands measure
 * the parts. */
#include "server/cli_bench.h"

#include "bench/bench_forge.h"
#include "bench/bench_history.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "server/model_path.h"

#include <stdio.h>
#include <string.h>

enum {
    TOKENS_MAX = 1 << 24,
    PARALLEL_MAX = 1024,
    UBATCH_MAX = 1 << 16,
    OUT_MAX_BYTES = 256 << 20,
    FIRST_TOKENS = 128
};

extern const struct cli_command cli_bench_constrain, cli_bench_op, cli_bench_sample,
    cli_bench_server, cli_bench_speculate, cli_bench_tokenize;

/* ---- what to measure ---- */

static bool read_kv(const struct cli_args *args, struct bench_list *kv_dtypes)
{
    static const struct {
        const char *name;
        enum oll_dtype dtype;
    } known[] = {{"f16", OLL_F16}, {"f32", OLL_F32}, {"q8_0", OLL_Q8_0}, {"q4_0", OLL_Q4_0}};
    const char *k = cli_value(args, "ctk", "f16");
    const char *v = cli_value(args, "ctv", k);
    if (strcmp(k, v) != 0) {
        cli_failf("-ctk %s, -ctv %s: keys and values are stored alike", k, v);
        return false;
    }
    kv_dtypes->n = 0;
    for (const char *s = k; *s;) {
        const size_t n = strcspn(s, ",");
        const uint32_t n_before = kv_dtypes->n;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (strlen(known[i].name) == n && memcmp(s, known[i].name, n) == 0 &&
                n_before < BENCH_LIST_MAX)
                kv_dtypes->values[kv_dtypes->n++] = known[i].dtype;
        if (kv_dtypes->n == n_before) {
            cli_failf("-ctk %s: expected f16, f32, q8_0 or q4_0", k);
            return false;
        }
        s += n + (s[n] == ',');
    }
    return kv_dtypes->n > 0;
}

static bool read_pairs(const struct cli_args *args, struct bench_lists *lists)
{
    for (int i = 0; cli_value_at(args, "pg", i); i++) {
        struct oll_error err = {0};
        const char *text = cli_value_at(args, "pg", i);
        if (bench_list_add_pair(&lists->pair_prompt, &lists->pair_gen, text, TOKENS_MAX, &err) !=
            OLL_OK) {
            oll_error_prefix(&err, "-pg %s", text);
            cli_fail(&err);
            return false;
        }
    }
    return true;
}

/* Plans the tests; 0, or the exit code after a message. */
static int read_tests(struct cli_bench_setup *setup)
{
    const struct cli_args *args = setup->args;
    struct oll_error err = {0};
    int code = 2;
    struct bench_lists *l = oll_calloc(1, sizeof *l);
    if (!l)
        return cli_failf("out of memory");
    if (cli_bench_list(args, "n-prompt", 512, 0, TOKENS_MAX, &l->n_prompt) &&
        cli_bench_list(args, "n-gen", 128, 0, TOKENS_MAX, &l->n_gen) &&
        cli_bench_list(args, "n-depth", 0, 0, TOKENS_MAX, &l->n_depth) &&
        cli_bench_list(args, "np", 1, 1, PARALLEL_MAX, &l->n_parallel) &&
        cli_bench_list(args, "batch-size", 2048, 1, TOKENS_MAX, &l->n_batch) &&
        cli_bench_list(args, "ub", 512, 1, UBATCH_MAX, &l->n_ubatch) &&
        cli_bench_list(args, "threads", cli_bench_threads(), 1, OLL_CPU_MAX, &l->n_threads) &&
        read_pairs(args, l) && read_kv(args, &l->kv_dtypes))
        code = bench_plan(l, &setup->tests, &setup->n_tests, &err) == OLL_OK ? 0 : cli_fail(&err);
    oll_free(l);
    return code;
}

static bool read_settings(struct cli_bench_setup *setup, const struct bench_watch *watch)
{
    const struct cli_args *args = setup->args;
    const char *format = cli_value(args, "output", "md");
    int64_t n_repeat, n_first, seed;
    const int64_t n_default = cli_has(args, "against") ? 2 : 5; /* rounds repeat, too */
    if (!cli_int(args, "repetitions", n_default, 1, BENCH_REPETITIONS_MAX, &n_repeat) ||
        !cli_int(args, "first", FIRST_TOKENS, 0, TOKENS_MAX, &n_first) ||
        !cli_int(args, "seed", 0, 0, INT64_MAX, &seed))
        return false;
    if (!bench_format_from_name(format, &setup->format)) {
        cli_failf("-o %s: expected md, json, jsonl or csv", format);
        return false;
    }
    setup->run = (struct bench_run_params){.devices = cli_value(args, "devices", NULL),
                                           .isa = cli_value(args, "isa", NULL),
                                           .tests = setup->tests,
                                           .n_tests = setup->n_tests,
                                           .repeat = {.n = (uint32_t)n_repeat,
                                                      .no_warmup = cli_has(args, "no-warmup"),
                                                      .seed = (uint64_t)seed},
                                           .n_first = (uint32_t)n_first,
                                           .no_peak = cli_has(args, "no-peak"),
                                           .watch = watch};
    cli_bench_machine(setup->run.devices, setup->run.isa, &setup->machine);
    return true;
}

/* ---- models ---- */

/* Makes a model, or finds it in the cache; NULL after a message. */
static char *forge_model(const struct cli_args *args, const struct bench_watch *watch)
{
    struct oll_error err = {0};
    struct bench_forge forge;
    char folder[CLI_BENCH_PATH_MAX], *path = NULL;
    const char *out = cli_value(args, "out", NULL);
    int64_t seed;
    if (!cli_int(args, "seed", 0, 0, INT64_MAX, &seed))
        return NULL;
    oll_status status =
        bench_forge_parse(cli_value(args, "forge", ""), (uint64_t)seed, &forge, &err);
    if (status == OLL_OK && out) {
        status = bench_forge_write(&forge, out, watch, &err);
        path = status == OLL_OK ? oll_strdup(out) : NULL;
    } else if (status == OLL_OK) {
        if (!cli_bench_folder("XDG_CACHE_HOME", ".cache", "forge", folder))
            return NULL;
        status = bench_forge_cached(&forge, folder, &path, watch, &err);
    }
    if (status != OLL_OK)
        cli_fail(&err);
    return path;
}

static char *find_model(const struct cli_args *args, const char *name,
                        const struct bench_watch *watch)
{
    struct oll_error err = {0};
    char *path = NULL;
    if (!name)
        return forge_model(args, watch);
    if (model_path_resolve(name, &path, &err) != OLL_OK) {
        cli_fail(&err);
        return NULL;
    }
    return path;
}

/* ---- output ---- */

struct output {
    struct cli_bench_setup *setup;
    struct bench_report report;
    struct oll_strbuf text, saved; /* of the report; lines for the history */
    struct bench_history *history; /* NULL: nothing is compared */
};

static oll_status flush_text(struct output *out, struct oll_error *err)
{
    if (out->text.status != OLL_OK)
        return OLL_FAIL(err, out->text.status, "the report: %s", oll_status_text(out->text.status));
    if (fwrite(out->text.data, 1, out->text.len, stdout) != out->text.len || fflush(stdout) != 0)
        return OLL_FAIL(err, OLL_ERR_IO, "standard output was closed");
    oll_strbuf_clear(&out->text);
    return OLL_OK;
}

/* What changed goes to standard error: the report stays readable by scripts. */
static oll_status compare(struct output *out, const struct bench_result *result,
                          struct oll_error *err)
{
    struct bench_comparison c;
    char text[BENCH_COMPARISON_MAX];
    OLL_TRY(bench_history_compare(out->history, &out->setup->machine, result, &c, err));
    bench_comparison_text(&c, result->test, text);
    fprintf(stderr, "%s\n", text);
    return OLL_OK;
}

static oll_status on_result(void *ctx, const struct bench_result *result, struct oll_error *err)
{
    struct output *out = ctx;
    bench_report_row(&out->report, result);
    bench_report_json_line(&out->setup->machine, result, &out->saved);
    oll_strbuf_addc(&out->saved, '\n');
    OLL_TRY(flush_text(out, err));
    return out->history ? compare(out, result, err) : OLL_OK;
}

static bool history_path(const struct bench_machine *machine, char out[CLI_BENCH_PATH_MAX])
{
    char name[BENCH_SINCE_MAX], leaf[BENCH_SINCE_MAX + 8];
    int ids[OLL_CPU_MAX], n_physical;
    bench_history_name(machine->cpu_name, oll_platform_cpus(ids, OLL_CPU_MAX, &n_physical), name);
    snprintf(leaf, sizeof leaf, "bench/%s", name);
    return cli_bench_folder("XDG_STATE_HOME", ".local/state", leaf, out);
}

static oll_status save(struct output *out, const char *path, struct oll_error *err)
{
    if (out->saved.status != OLL_OK || out->saved.len == 0)
        return out->saved.status;
    OLL_TRY(bench_history_append(path, out->saved.data, out->saved.len, err));
    fprintf(stderr, "saved to %s\n", path);
    return OLL_OK;
}

/* All models one after the other, into one report. */
static oll_status run_models(struct output *out, const char *const *names, int n,
                             struct oll_error *err)
{
    struct cli_bench_setup *setup = out->setup;
    oll_status status = OLL_OK;
    for (int i = 0; i < n && status == OLL_OK; i++) {
        oll_free(setup->path);
        setup->path = find_model(setup->args, names[i], setup->run.watch);
        if (!setup->path)
            return OLL_ERR_NOT_FOUND; /* the message is out */
        setup->run.path = setup->path;
        status = bench_run(&setup->run, err);
    }
    return status;
}

/* Ends the report whatever happened: after Ctrl-C it holds the results so far. */
static int run_and_report(struct cli_bench_setup *setup, const char *const *names, int n)
{
    struct oll_error err = {0};
    struct output out = {.setup = setup};
    char path[CLI_BENCH_PATH_MAX];
    oll_strbuf_init(&out.text, OUT_MAX_BYTES);
    oll_strbuf_init(&out.saved, OUT_MAX_BYTES);
    if (!history_path(&setup->machine, path))
        return 1;
    oll_status status =
        cli_has(setup->args, "compare") ? bench_history_load(path, &out.history, &err) : OLL_OK;
    setup->run.result = on_result;
    setup->run.ctx = &out;
    if (status == OLL_OK) {
        bench_report_begin(&out.report, setup->format, &setup->machine, setup->tests,
                           setup->n_tests, &out.text);
        out.report.has_share = !setup->run.no_peak;
        status = run_models(&out, names, n, &err);
        bench_report_end(&out.report);
        const oll_status flushed = flush_text(&out, NULL);
        status = status == OLL_OK ? flushed : status;
    }
    if (cli_has(setup->args, "save") && (status == OLL_OK || status == OLL_ERR_CANCELED)) {
        const oll_status saved = save(&out, path, &err);
        status = saved == OLL_OK ? status : saved;
    }
    bench_history_free(out.history);
    oll_strbuf_free(&out.text);
    oll_strbuf_free(&out.saved);
    if (status == OLL_ERR_CANCELED)
        fprintf(stderr, "stopped; these are the results so far\n");
    else if (status != OLL_OK && err.status != OLL_OK)
        return cli_fail(&err);
    return status == OLL_OK ? 0 : 1;
}

/* A neighbour at work makes every number worthless; say so before they are read. */
static void warn_if_busy(void)
{
    int ids[OLL_CPU_MAX], n_physical;
    const int n_cpu = oll_platform_cpus(ids, OLL_CPU_MAX, &n_physical);
    const double load = oll_platform_load();
    if (load > 0.3 * n_cpu)
        fprintf(stderr,
                "warning: the machine was busy in the last minute (load %.1f on %d processors): "
                "expect scatter\n",
                load, n_cpu);
}

/* Against another program, one model at a time. */
static int run_against(struct cli_bench_setup *setup, const char *const *names, int n)
{
    int code = 0;
    for (int i = 0; i < n && code == 0; i++) {
        oll_free(setup->path);
        setup->path = find_model(setup->args, names[i], setup->run.watch);
        setup->run.path = setup->path;
        code = setup->path ? cli_bench_against(setup) : 1;
    }
    return code;
}

static int measure(struct cli_bench_setup *setup)
{
    const struct cli_args *args = setup->args;
    const bool is_forged = cli_has(args, "forge");
    const int n_models = args->n_positional + cli_has(args, "model");
    const char *const forged = NULL, *const option = cli_value(args, "model", NULL);
    if (is_forged + (n_models > 0) != 1)
        return cli_failf("name a model, or make one with --forge 1b:q4_k_m");
    warn_if_busy();
    const char *const *names = is_forged ? &forged : option ? &option : args->positional;
    const int n = is_forged || option ? 1 : args->n_positional;
    return cli_has(args, "against") ? run_against(setup, names, n)
                                    : run_and_report(setup, names, n);
}

/* --forge with --out only makes the file. */
static int only_forge(const struct cli_args *args, const struct bench_watch *watch)
{
    if (!cli_has(args, "forge"))
        return cli_failf("--out names the file that --forge makes");
    char *path = forge_model(args, watch);
    if (!path)
        return 1;
    printf("%s\n", path);
    oll_free(path);
    return 0;
}

static int run_bench(const struct cli_args *args)
{
    struct cli_bench_setup setup = {.args = args};
    struct bench_watch watch;
    cli_bench_watch(&watch);
    oll_log_set_level(OLL_LOG_ERROR); /* a context beyond the trained one is asked for here */
    if (cli_has(args, "out"))
        return only_forge(args, &watch);
    int code = read_tests(&setup);
    if (code == 0)
        code = read_settings(&setup, &watch) ? measure(&setup) : 2;
    oll_free(setup.path);
    oll_free(setup.tests);
    return code;
}

/* ---- the command ---- */

static const struct cli_option options[] = {
    {"model", 'm', CLI_VALUE, "MODEL", "the model, for scripts that give it so"},
    {"n-prompt", 'p', CLI_REPEATED, "N", "prompt tokens (default 512; 0: none)"},
    {"n-gen", 'n', CLI_REPEATED, "N", "tokens generated (default 128; 0: none)"},
    {"pg", 0, CLI_REPEATED, "P,N", "prompt of P, then N generated, timed together"},
    {"n-depth", 'd', CLI_REPEATED, "N", "positions filled before (default 0)"},
    {"np", 0, CLI_REPEATED, "N", "sequences generated at once (default 1)"},
    {"batch-size", 'b', CLI_REPEATED, "N", "tokens handed over at once (default 2048)"},
    {"ub", 0, CLI_REPEATED, "N", "tokens of one pass (default 512)"},
    {"ctk", 0, CLI_VALUE, "TYPE", "kv cache: f16 (default), f32, q8_0, q4_0"},
    {"ctv", 0, CLI_VALUE, "TYPE", "the same; it cannot differ"},
    {"threads", 't', CLI_REPEATED, "N", "compute threads (default: physical cores)"},
    {"repetitions", 'r', CLI_VALUE, "N", "runs of each test (default 5)"},
    {"output", 'o', CLI_VALUE, "FORMAT", "md (default), json, jsonl, csv"},
    {"no-warmup", 0, CLI_FLAG, NULL, "no run before those that count"},
    {"no-peak", 0, CLI_FLAG, NULL, "leave the machine's limits unmeasured"},
    {"first", 0, CLI_VALUE, "N", "prompt of the time to the first token (default 128)"},
    {"devices", 0, CLI_VALUE, "LIST", "layers of devices: cpu, ref, cpu:0-9,ref:10-29"},
    {"isa", 0, CLI_VALUE, "LEVEL", "highest set of instructions to use"},
    {"forge", 0, CLI_VALUE, "SHAPE:TYPE", "measure a made-up model, e.g. 1b:q4_k_m"},
    {"out", 0, CLI_VALUE, "FILE", "with --forge: only write it there"},
    {"seed", 0, CLI_VALUE, "N", "of tokens and made-up weights (default 0)"},
    {"against", 0, CLI_VALUE, "PROGRAM", "compare with this llama-bench, run alternately"},
    {"rounds", 0, CLI_VALUE, "N", "with --against: rounds (default 5)"},
    {"peer-args", 0, CLI_VALUE, "WORDS", "with --against: further arguments, e.g. \"-rtr 1\""},
    {"save", 0, CLI_FLAG, NULL, "keep the results in this machine's history"},
    {"compare", 0, CLI_FLAG, NULL, "say what changed since those saved"},
    {0}};

static const struct cli_command *const children[] = {
    &cli_bench_constrain, &cli_bench_op, &cli_bench_sample, &cli_bench_server, &cli_bench_speculate,
    &cli_bench_tokenize,  NULL};

const struct cli_command cli_bench = {
    .name = "bench",
    .usage = "MODEL...",
    .summary = "Measure speed on this machine",
    .details =
        "Tests, fields and words are those of llama-bench, so that numbers compare. Lists: 1,2,4,\n"
        "1-4, 0-8192+2048, 1-16*2. Shapes of --forge: 135m, 0.5b, 1b, 3b, 8b, moe; any type of\n"
        "tensor, and q4_k_s, q4_k_m, q5_k_s, q5_k_m. The column `roofline` is the share of what\n"
        "the machine can do: read bandwidth and matrix products, measured right before and after.",
    .options = options,
    .children = children,
    .min_args = 0,
    .max_args = -1,
    .run = run_bench};
