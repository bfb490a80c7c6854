#include "server/cli_doctor.h"

#include "engine/base/confine.h"
#include "engine/base/platform.h"
#include "engine/base/version.h"
#include "kernels/cpu/cpu_features.h"
#include "registry/size_text.h"
#include "server/cli.h"
#include "server/cli_help.h"
#include "server/env.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { CPUS_MAX = 1024, FILES_NEEDED = 1024, NEAR_MAX = 256 };
#define MEMORY_LITTLE ((uint64_t)2 << 30) /* too little for all but the smallest models */

/* ---- report ---- */

void cli_doctor_say(struct cli_doctor *d, enum cli_doctor_level level, const char *area,
                    const char *fmt, ...)
{
    static const char *const words[] = {"ok", "note", "WRONG"};
    va_list args;
    d->n_warnings += level == DOCTOR_WARN;
    d->n_errors += level == DOCTOR_WRONG;
    printf("%-6s %-12s ", words[level], area);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

void cli_doctor_advise(const char *fmt, ...)
{
    va_list args;
    printf("%-19s -> ", "");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

/* ---- the machine ---- */

static void check_processor(struct cli_doctor *d)
{
    int ids[CPUS_MAX], n_physical = 0;
    char name[128];
    struct cpu_words words;
    struct utsname system;
    cpu_words_read(&words);
    const uint32_t features = cpu_features_of(&words);
    const int n = oll_platform_cpus(ids, CPUS_MAX, &n_physical);
    oll_platform_cpu_name(name, sizeof name);
    if (uname(&system) == 0)
        cli_doctor_say(d, DOCTOR_OK, "system", "%s %s, %s", system.sysname, system.release,
                       system.machine);
    const char *level = cpu_features_level(features);
    const bool slow = features == 0;
    cli_doctor_say(d, slow ? DOCTOR_WARN : DOCTOR_OK, "processor",
                   "%s: %d thread%s on %d core%s, instructions: %s", name, n, n == 1 ? "" : "s",
                   n_physical, n_physical == 1 ? "" : "s", level);
    if (slow)
        cli_doctor_advise("no vector instructions were found: answers will be slow; in a virtual "
                          "machine let it see the host's processor");
    const double load = oll_platform_load();
    if (load > n + 0.5) {
        cli_doctor_say(d, DOCTOR_WARN, "load", "%.1f on %d threads", load, n);
        cli_doctor_advise("other programs compute, too: answers come slower than they could");
    }
}

static void check_memory(struct cli_doctor *d)
{
    char total[OLL_SIZE_TEXT_MAX], unused[OLL_SIZE_TEXT_MAX];
    const uint64_t n_total = oll_platform_memory_total(), n_free = oll_platform_memory_free();
    struct rlimit limit;
    oll_size_text(n_total, total);
    oll_size_text(n_free, unused);
    const bool little = n_free < MEMORY_LITTLE;
    cli_doctor_say(d, little ? DOCTOR_WARN : DOCTOR_OK, "memory", "%s, %s of it available", total,
                   unused);
    if (little)
        cli_doctor_advise("a model needs its size and some more: end other programs, or choose a "
                          "smaller model");
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        cli_doctor_say(d, DOCTOR_WARN, "limits", "address space is limited to %llu MiB",
                       (unsigned long long)(limit.rlim_cur >> 20));
        cli_doctor_advise("raise it: ulimit -v unlimited");
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < FILES_NEEDED) {
        cli_doctor_say(d, DOCTOR_WARN, "limits", "at most %llu open files",
                       (unsigned long long)limit.rlim_max);
        cli_doctor_advise("a server of many connections needs more: ulimit -Hn, LimitNOFILE=");
    }
}

/* Devices are told by the files that drivers make. */
static void check_devices(struct cli_doctor *d)
{
    static const char *const gpus[][2] = {
        {"/dev/nvidia0", "NVIDIA GPU"}, {"/dev/kfd", "AMD GPU"}, {"/dev/dri/renderD128", "GPU"}};
    cli_doctor_say(d, DOCTOR_OK, "devices", "cpu, ref");
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++)
        if (access(gpus[i][0], F_OK) == 0) {
            cli_doctor_say(d, DOCTOR_WARN, "devices", "%s (%s), not used by this build", gpus[i][1],
                           gpus[i][0]);
            cli_doctor_advise("models run on the processor");
            return;
        }
}

/* What a runner gives up once its model is loaded (engine/base/confine.h). */
static void check_sandbox(struct cli_doctor *d)
{
    char folder[ENV_TEXT_MAX];
    const unsigned means = oll_confine_means();
    const bool keeps_files = env_text("OLL_PREFIX_CACHE_DIR", folder);
    if (!env_bool("OLL_RUNNERS", true) || !env_bool("OLL_SANDBOX", true)) {
        cli_doctor_say(d, DOCTOR_WARN, "sandbox", "switched off by OLL_RUNNERS or OLL_SANDBOX");
        cli_doctor_advise("a model's file that exploits a fault could read and change your files");
    } else if (!(means & OLL_CONFINE_CALLS)) {
        cli_doctor_say(d, DOCTOR_WARN, "sandbox", "this system cannot take rights from runners");
        cli_doctor_advise("load models of people you trust only, or run the server in a container");
    } else if (keeps_files && !(means & OLL_CONFINE_PATHS)) {
        cli_doctor_say(d, DOCTOR_WARN, "sandbox",
                       "runners have no network and no programs, but all files: "
                       "OLL_PREFIX_CACHE_DIR is set and this kernel has no Landlock");
        cli_doctor_advise("unset it, or use a kernel of 5.13 or later with Landlock");
    } else {
        cli_doctor_say(d, DOCTOR_OK, "sandbox", "runners have no network, no programs and %s",
                       keeps_files ? "only files of OLL_PREFIX_CACHE_DIR" : "no files");
    }
}

/* ---- environment ---- */

static bool is_known(const char *name)
{
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        for (const struct cli_variable *v = (*c)->variables; v && v->name; v++)
            if (strcmp(v->name, name) == 0)
                return true;
    return false;
}

extern char **environ;

static void check_environment(struct cli_doctor *d)
{
    for (char **e = environ; *e; e++) {
        char name[64], value[ENV_TEXT_MAX];
        const size_t n = strcspn(*e, "=");
        if (strncmp(*e, "OLLAMA_", 7) != 0 || n >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)n, *e);
        if (is_known(name)) {
            cli_doctor_say(d, DOCTOR_OK, "environment", "%s=%s", name,
                           env_text(name, value) ? value : "");
            continue;
        }
        cli_doctor_say(d, DOCTOR_WARN, "environment", "%s is no variable that is read", name);
        cli_doctor_advise("look for its right name in: oll serve --help");
    }
}

/* ---- command ---- */

static int run_doctor(const struct cli_args *args)
{
    struct cli_doctor d = {0};
    (void)args;
    printf("oll %s, with the API of Ollama %s\n\n", OLL_VERSION, OLL_OLLAMA_VERSION);
    check_processor(&d);
    check_memory(&d);
    check_devices(&d);
    check_sandbox(&d);
    cli_doctor_store(&d);
    cli_doctor_network(&d);
    check_environment(&d);
    if (d.n_errors + d.n_warnings == 0)
        printf("\nNothing is wrong.\n");
    else
        printf("\n%d wrong, %d to note.\n", d.n_errors, d.n_warnings);
    return d.n_errors > 0 ? 1 : 0;
}

const struct cli_command cli_doctor = {
    .name = "doctor",
    .usage = "",
    .summary = "Look for what is wrong on this machine, and say what to do",
    .details = "Nothing is changed, and no other machine but the configured server and proxies is\n"
               "asked. Exits with 1 when something is wrong.",
    .variables = cli_host_variables,
    .run = run_doctor,
};
