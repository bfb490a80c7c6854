/* Correctness and speed of every op on every ISA level.
 *
 *   test_kernels [--device cpu] [--isa LEVEL] [--filter TEXT] [--seed N] [--threads N]
 *                [--part K/N] [--list] [--full] [--bench] [--verbose]
 *
 * Each trial runs on `ref` and, for each level, on the candidate device; a level that the machine
 * lacks is skipped with exit code 77 when it was asked for by name. `--part K/N` runs the trials
 * whose number modulo N is K, to split the work or to sample it. `--full` adds real model sizes and
 * whole products of shapes; `--bench` times the trials that have rates. A crash or a hang is a
 * failure of the trial under way: trials run in a child process, and the parent starts another one
 * behind the trial that died. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "kernels/cpu/cpu_features.h"
#include "tests/kernels/cases.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77, N_CRASH_MAX = 25 };

/* ---- levels ---- */

static const char *const level_names[] = {"scalar",     "avx2", "avxvnni", "avx512", "avx512vnni",
                                          "avx512bf16", "neon", "dotprod", "i8mm"};

/* Whether limiting this machine to the level leaves just that level. */
static bool is_level_here(const char *name)
{
    struct cpu_words words;
    cpu_words_read(&words);
    uint32_t features = cpu_features_of(&words);
    return cpu_features_cut(name, &features) && strcmp(cpu_features_level(features), name) == 0;
}

static void close_levels(struct session *s)
{
    for (int i = 0; i < s->n_level; i++) {
        for (int j = 0; j < s->levels[i].n_dev; j++)
            oll_device_close(s->levels[i].devs[j]);
    }
    s->n_level = 0;
    oll_device_close(s->ref);
    s->ref = NULL;
}

/* A level with the thread counts that results must not depend on. */
static oll_status open_level(struct session *s, const char *name, const char *isa,
                             struct oll_error *err)
{
    static const int n_threads[N_THREADS_MAX] = {1, 2, 3, 5};
    snprintf(s->progress->level_names[s->n_level], sizeof s->progress->level_names[0], "%s", name);
    struct level *level = &s->levels[s->n_level++];
    snprintf(level->name, sizeof level->name, "%s", name);
    int n_dev = s->is_bench || strcmp(s->device, "cpu") != 0 ? 1 : N_THREADS_MAX;
    for (int i = 0; i < n_dev; i++) {
        /* Threads beyond the processors are part of the test, so none may be pinned on another. */
        struct oll_device_params params = {
            .n_threads = n_dev > 1 ? n_threads[i] : s->n_threads, .no_pin = n_dev > 1, .isa = isa};
        OLL_TRY(oll_device_open(s->device, &params, &level->devs[i], err));
        level->n_dev++;
    }
    return OLL_OK;
}

static oll_status open_levels(struct session *s, struct oll_error *err)
{
    OLL_TRY(oll_device_open("ref", NULL, &s->ref, err));
    if (strcmp(s->device, "cpu") != 0)
        return open_level(s, s->device, NULL, err);
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if ((!s->isa || strcmp(s->isa, level_names[i]) == 0) && is_level_here(level_names[i]))
            OLL_TRY(open_level(s, level_names[i], level_names[i], err));
    }
    return OLL_OK;
}

/* ---- the child ---- */

static void run_families(struct session *s)
{
    cases_elementwise(s);
    cases_norm(s);
    cases_rope(s);
    cases_rows(s);
    cases_router(s);
    cases_matmul(s);
    cases_fused(s);
    cases_attention(s);
    cases_list(s);
}

static int child_main(struct session *s)
{
    struct oll_error err = {0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!s->is_list && open_levels(s, &err) != OLL_OK) {
        printf("FAILED: %s\n", oll_error_text(&err));
        s->progress->n_failed++;
    } else {
        run_families(s);
    }
    close_levels(s);
    s->progress->is_done = true;
    return 0;
}

/* ---- the parent ---- */

/* Runs children until the list of trials is through. */
static int supervise(struct session *s)
{
    struct progress *progress = s->progress;
    for (int n_crash = 0; n_crash < N_CRASH_MAX; n_crash++) {
        progress->index = 0;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            int status = child_main(s);
            fflush(NULL);
            exit(status);
        }
        int how = 0;
        while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR)
            continue;
        if (pid < 0 || (progress->is_done && WIFEXITED(how)))
            return pid < 0 ? 1 : WEXITSTATUS(how);
        const char *cause = !WIFSIGNALED(how)          ? "exit"
                            : WTERMSIG(how) == SIGALRM ? "hangs"
                                                       : strsignal(WTERMSIG(how));
        printf("FAILED %s [%s]: %s\n", progress->name, progress->level, cause);
        progress->n_failed++;
        s->resume_after = progress->index;
        if (progress->is_done)
            return 1;
    }
    printf("FAILED: %d crashes are enough\n", N_CRASH_MAX);
    return 1;
}

static void print_unsupported(const struct progress *progress)
{
    for (int kind = 0; kind < OLL_OP_COUNT; kind++) {
        if (progress->unsupported[kind] == 0)
            continue;
        printf("not on this device: %s for", oll_op_name((enum oll_op_kind)kind));
        for (int dtype = 0; dtype < OLL_DTYPE_COUNT; dtype++) {
            if (progress->unsupported[kind] >> dtype & 1)
                printf(" %s", oll_dtype_name((uint32_t)dtype));
        }
        printf("\n");
    }
}

/* What ran, and which levels this machine cannot run: those are not tested here. */
static void print_levels(const struct session *s)
{
    printf("levels:");
    for (int i = 0; i < N_LEVEL_MAX; i++)
        printf("%s%s", s->progress->level_names[i][0] ? " " : "", s->progress->level_names[i]);
    printf("; not on this machine:");
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        printf("%s%s", is_level_here(level_names[i]) ? "" : " ",
               is_level_here(level_names[i]) ? "" : level_names[i]);
    printf("\n");
}

/* Tighter than any single trial can ask for (spec 5.1): products of Gaussian data with 8-bit
 * activations stay below 1e-4 over a whole run, with f32 activations far below. */
static void judge_totals(struct progress *progress)
{
    enum { N_MEANINGFUL = 2000 };
    for (int level = 0; level < N_LEVEL_MAX; level++) {
        for (int dtype = 0; dtype < OLL_DTYPE_COUNT; dtype++) {
            double error = progress->totals[level][dtype].error;
            double power = progress->totals[level][dtype].power;
            if (progress->totals[level][dtype].n < N_MEANINGFUL)
                continue;
            const bool is_rounded = oll_dtype_info((uint32_t)dtype)->block_elements > 1;
            /* bf16 activations: a relative step of 2^-7 to 2^-8, squared and divided by 12. */
            const double bound = is_rounded ? 1e-4 : dtype == OLL_BF16 ? 4e-6 : 1e-10;
            if (error <= bound * power)
                continue;
            progress->n_failed++;
            printf("FAILED matmul/%s [%s]: nmse %.3g over the run, allowed %.3g\n",
                   oll_dtype_name((uint32_t)dtype), progress->level_names[level], error / power,
                   bound);
        }
    }
}

/* A number from `min` on; false for anything else. */
static bool parse_number(const char *text, long min, int *out)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > 1000000)
        return false;
    *out = (int)value;
    return true;
}

static bool parse_part(const char *text, struct session *s)
{
    const char *slash = strchr(text, '/');
    char part[16] = "";
    if (!slash || (size_t)(slash - text) >= sizeof part)
        return false;
    memcpy(part, text, (size_t)(slash - text));
    return parse_number(slash + 1, 1, &s->n_part) && parse_number(part, 0, &s->part) &&
           s->part < s->n_part;
}

static bool parse_options(struct session *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--list") == 0)
            s->is_list = true;
        else if (strcmp(argv[i], "--full") == 0)
            s->is_full = true;
        else if (strcmp(argv[i], "--bench") == 0)
            s->is_bench = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            s->is_verbose = true;
        else if (!value)
            return false;
        else if (strcmp(argv[i], "--device") == 0)
            s->device = argv[++i];
        else if (strcmp(argv[i], "--isa") == 0)
            s->isa = argv[++i];
        else if (strcmp(argv[i], "--filter") == 0)
            s->filter = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0)
            s->seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--threads") == 0 && parse_number(value, 0, &s->n_threads))
            i++;
        else if (strcmp(argv[i], "--part") == 0 && parse_part(value, s))
            i++;
        else
            return false;
    }
    return true;
}

/* Why nothing can be tested here, or NULL. */
static const char *reason_to_skip(const struct session *s)
{
    struct oll_device *dev = NULL;
    if (s->is_list)
        return NULL;
    if (s->isa && strcmp(s->device, "cpu") == 0 && !is_level_here(s->isa))
        return "this machine lacks the level";
    oll_status status =
        oll_device_open(s->device, &(struct oll_device_params){.n_threads = 1}, &dev, NULL);
    oll_device_close(dev);
    return status == OLL_ERR_NOT_FOUND ? "this build lacks the device" : NULL;
}

int main(int argc, char **argv)
{
    struct session s = {.device = "cpu", .filter = "", .seed = 1, .n_part = 1};
    if (!parse_options(&s, argc, argv)) {
        fprintf(stderr, "usage: test_kernels [--device NAME] [--isa LEVEL] [--filter TEXT] "
                        "[--seed N] [--threads N] [--part K/N] [--list] [--full] [--bench] "
                        "[--verbose]\n");
        return 2;
    }
    const char *reason = reason_to_skip(&s);
    if (reason) {
        printf("SKIPPED: %s\n", reason);
        return EXIT_SKIPPED;
    }
    s.progress =
        mmap(NULL, sizeof *s.progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.progress == MAP_FAILED)
        return 1;
    if (s.is_bench)
        printf("%-44s %-11s %3s %10s %10s %10s %8s %8s\n", "op/type/shape", "level", "thr",
               "median_us", "min_us", "max_us", "GB/s", "GMAC/s");
    int status = supervise(&s);
    if (s.is_list)
        return status;
    print_unsupported(s.progress);
    judge_totals(s.progress);
    print_levels(&s);
    printf("seed %llu: %d trials, %d comparisons, %d failed\n", (unsigned long long)s.seed,
           s.progress->n_trial, s.progress->n_compared, s.progress->n_failed);
    if (s.progress->n_trial == 0)
        printf("no trial matches\n");
    return s.progress->n_failed || s.progress->n_trial == 0 ? 1 : status;
}
