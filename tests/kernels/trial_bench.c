#include "tests/kernels/trial.h"

#include "engine/base/clock.h"

#include <stdlib.h>

/* Copies of the weights make a list stream more bytes than any cache holds, as a pass does. */
enum { BENCH_BYTES = 96 << 20, N_COPY_MAX = 256, N_SAMPLE_MIN = 7, N_SAMPLE_MAX = 101 };
static const double BENCH_SECONDS = 0.4;

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one run of the list, or below 0 after a failure. */
static double time_once(struct oll_cmd *cmd, struct oll_error *err)
{
    uint64_t begin = oll_clock_ns();
    if (oll_device_submit(cmd, err) != OLL_OK || oll_device_wait(cmd->dev, err) != OLL_OK)
        return -1;
    return (double)(oll_clock_ns() - begin) * 1e-9;
}

static int n_copies(const struct trial *t)
{
    if (t->n_byte <= 0)
        return 1;
    double n = (double)BENCH_BYTES / t->n_byte;
    return n > N_COPY_MAX ? N_COPY_MAX : n < 1 ? 1 : (int)n;
}

/* Units per nanosecond; a dash where the list does no such work. */
static void print_rate(double per_second)
{
    if (per_second > 0)
        printf(" %8.2f", per_second * 1e-9);
    else
        printf(" %8s", "-");
}

void trial_bench(struct trial *t, const struct level *level, record_fn record, const void *params)
{
    struct oll_device *dev = level->devs[0];
    struct oll_error err = {0};
    struct oll_cmd cmd;
    double seconds[N_SAMPLE_MAX], total = 0;
    int n_copy = n_copies(t), n_open = 0, n = 0;
    struct run *runs = calloc((size_t)n_copy, sizeof *runs);
    oll_cmd_init(&cmd, dev);
    for (; n_open < n_copy; n_open++) {
        if (run_open(&runs[n_open], t, dev, &err) != OLL_OK)
            goto done;
        record(&runs[n_open], &cmd, params);
    }
    if (time_once(&cmd, &err) < 0) /* the first touches pages and wakes threads */
        goto done;
    while (n < N_SAMPLE_MAX && (n < N_SAMPLE_MIN || total < BENCH_SECONDS)) {
        seconds[n] = time_once(&cmd, &err);
        if (seconds[n] < 0)
            goto done;
        total += seconds[n++];
    }
    for (int i = 0; i < n; i++)
        seconds[i] /= n_copy;
    qsort(seconds, (size_t)n, sizeof *seconds, compare_doubles);
    double median = seconds[n / 2];
    printf("%-44s %-11s %3d %10.2f %10.2f %10.2f", t->name, level->name, dev->n_threads,
           median * 1e6, seconds[0] * 1e6, seconds[n - 1] * 1e6);
    print_rate(t->n_byte / median);
    print_rate(t->n_mac / median);
    printf("\n");
done:
    if (err.status != OLL_OK)
        printf("%s [%s]: %s\n", t->name, level->name, oll_error_text(&err));
    oll_cmd_free(&cmd);
    for (int i = 0; i < n_open; i++)
        run_close(&runs[i]);
    free(runs);
}
