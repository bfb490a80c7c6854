#include "server/cli_bench.h"

#include "engine/base/platform.h"
#include "engine/base/version.h"
#include "kernels/cpu/cpu_features.h"
#include "server/env.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_bool stop; /* set by the handler, read by whoever measures */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

/* Ends with the cursor behind the text; the next call overwrites it (ECMA-48: CR, EL). */
static void show_line(void *ctx, const char *text)
{
    (void)ctx;
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
}

void cli_bench_watch(struct bench_watch *watch)
{
    const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    *watch = (struct bench_watch){.abort = &stop};
    if (isatty(STDERR_FILENO))
        watch->show = show_line;
    sigaction(SIGINT, &action, NULL);
}

void cli_bench_machine(const char *devices, const char *isa, struct bench_machine *out)
{
    char level[ENV_TEXT_MAX];
    struct cpu_words words;
    cpu_words_read(&words);
    uint32_t features = cpu_features_of(&words);
    if (!isa && env_text("OLL_CPU_ISA", level))
        isa = level;
    if (isa)
        (void)cpu_features_cut(isa, &features); /* a wrong name is refused by the device */
    oll_platform_cpu_name(out->cpu_name, sizeof out->cpu_name);
    out->isa = cpu_features_level(features);
    out->devices = devices ? devices : "cpu";
    out->version = OLL_VERSION;
}

bool cli_bench_folder(const char *variable, const char *fallback, const char *leaf,
                      char out[CLI_BENCH_PATH_MAX])
{
    char base[ENV_TEXT_MAX], home[ENV_TEXT_MAX];
    int n;
    if (env_text(variable, base) && base[0] == '/') {
        n = snprintf(out, CLI_BENCH_PATH_MAX, "%s/oll/%s", base, leaf);
    } else if (env_text("HOME", home)) {
        n = snprintf(out, CLI_BENCH_PATH_MAX, "%s/%s/oll/%s", home, fallback, leaf);
    } else {
        cli_failf("neither %s nor HOME is set", variable);
        return false;
    }
    if (n >= CLI_BENCH_PATH_MAX)
        cli_failf("the path of %s is too long", leaf);
    return n < CLI_BENCH_PATH_MAX;
}

bool cli_bench_list(const struct cli_args *args, const char *name, uint32_t fallback, uint32_t min,
                    uint32_t max, struct bench_list *list)
{
    list->n = 0;
    for (int i = 0; cli_value_at(args, name, i); i++) {
        struct oll_error err = {0};
        const char *text = cli_value_at(args, name, i);
        if (bench_list_add(list, text, min, max, &err) != OLL_OK) {
            oll_error_prefix(&err, "--%s %s", name, text);
            cli_fail(&err);
            return false;
        }
    }
    if (list->n == 0)
        list->values[list->n++] = fallback;
    return true;
}

uint32_t cli_bench_threads(void)
{
    int ids[OLL_CPU_MAX], n_physical;
    (void)oll_platform_cpus(ids, OLL_CPU_MAX, &n_physical);
    return (uint32_t)n_physical;
}
