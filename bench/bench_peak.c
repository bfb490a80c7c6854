#include "bench/bench_peak.h"

#include "bench/bench_bed.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* ---- memory ---- */

enum { SWEEPS = 5, THREADS_MAX = 1024, LANES = 32 };
#define READ_BYTES_MIN (UINT64_C(64) << 20)

/* The measuring thread starts a sweep by raising `phase` and sleeps until all readers are done. */
struct readers {
    _Atomic uint32_t phase; /* pairs with the readers' wait */
    _Atomic uint32_t n_busy;
    atomic_bool quit;
};

struct reader {
    pthread_t thread;
    struct readers *all;
    uint64_t *data; /* [n] */
    size_t n;       /* a multiple of LANES */
    int cpu;
    uint64_t sum; /* so that the loop has a result */
};

/* Wide enough that the compiler keeps several loads of its widest vectors under way. */
static uint64_t sweep(const uint64_t *data, size_t n)
{
    uint64_t lanes[LANES] = {0}, sum = 0;
    for (size_t i = 0; i < n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lanes[k] ^= data[i + k];
    for (int k = 0; k < LANES; k++)
        sum ^= lanes[k];
    return sum;
}

static void *read_part(void *arg)
{
    struct reader *r = arg;
    oll_platform_pin(r->cpu);
    memset(r->data, 1, r->n * sizeof *r->data);
    for (uint32_t phase = 0;; phase++) {
        while (atomic_load(&r->all->phase) == phase)
            oll_platform_wait(&r->all->phase, phase);
        if (atomic_load(&r->all->quit))
            return NULL;
        r->sum ^= sweep(r->data, r->n);
        if (atomic_fetch_sub(&r->all->n_busy, 1) == 1)
            oll_platform_wake(&r->all->n_busy, 1);
    }
}

static void start_phase(struct readers *all, int n)
{
    atomic_store(&all->n_busy, (uint32_t)n);
    atomic_fetch_add(&all->phase, 1);
    oll_platform_wake(&all->phase, n);
}

/* Seconds of the fastest common sweep, after one that is not counted. */
static double time_sweeps(struct readers *all, int n)
{
    double best = 0;
    for (int i = 0; i <= SWEEPS; i++) {
        const uint64_t start = oll_clock_ns();
        start_phase(all, n);
        for (uint32_t busy; (busy = atomic_load(&all->n_busy)) != 0;)
            oll_platform_wait(&all->n_busy, busy);
        const double now = (double)(oll_clock_ns() - start) * 1e-9;
        best = i <= 1 || now < best ? now : best;
    }
    return best;
}

static oll_status run_readers(struct reader *readers, int n, double *seconds, struct oll_error *err)
{
    struct readers all = {0};
    int n_started = 0;
    for (; n_started < n; n_started++) {
        readers[n_started].all = &all;
        if (pthread_create(&readers[n_started].thread, NULL, read_part, &readers[n_started]) != 0)
            break;
    }
    if (n_started == n)
        *seconds = time_sweeps(&all, n);
    atomic_store(&all.quit, true);
    start_phase(&all, n_started);
    for (int i = 0; i < n_started; i++)
        pthread_join(readers[i].thread, NULL);
    if (n_started < n)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "cannot start %d threads", n);
    return OLL_OK;
}

/* A large block, but never more than a quarter of the free memory. */
static uint64_t choose_bytes(uint64_t n_bytes)
{
    const uint64_t free_bytes = oll_platform_memory_free();
    if (n_bytes == 0)
        n_bytes = BENCH_PEAK_READ_BYTES;
    if (free_bytes != 0 && n_bytes > free_bytes / 4)
        n_bytes = free_bytes / 4 > READ_BYTES_MIN ? free_bytes / 4 : READ_BYTES_MIN;
    return n_bytes;
}

oll_status bench_peak_read(int n_threads, uint64_t n_bytes, double *bytes_s, struct oll_error *err)
{
    int cpus[OLL_CPU_MAX], n_physical;
    if (n_threads < 1 || n_threads > THREADS_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%d threads; 1 to %d are possible", n_threads,
                        THREADS_MAX);
    const int n_cpu = oll_platform_cpus(cpus, OLL_CPU_MAX, &n_physical);
    const size_t n_part =
        (size_t)(choose_bytes(n_bytes) / sizeof(uint64_t) / (unsigned)n_threads) / LANES * LANES;
    const size_t n_all_bytes = n_part * sizeof(uint64_t) * (size_t)n_threads;
    struct reader *readers = oll_calloc((size_t)n_threads, sizeof *readers);
    uint64_t *data = n_all_bytes ? oll_platform_pages_new(n_all_bytes) : NULL;
    oll_status status = readers && data ? OLL_OK : OLL_ERR_MEMORY;
    double seconds = 0;
    if (status == OLL_OK) {
        for (int i = 0; i < n_threads; i++)
            readers[i] = (struct reader){
                .data = data + (size_t)i * n_part, .n = n_part, .cpu = cpus[i % n_cpu]};
        status = run_readers(readers, n_threads, &seconds, err);
    } else {
        (void)OLL_FAIL(err, status, "no memory to read");
    }
    oll_platform_pages_free(data, n_all_bytes);
    oll_free(readers);
    if (status == OLL_OK)
        *bytes_s = (double)n_all_bytes / seconds;
    return status;
}

/* ---- arithmetic ---- */

enum { GEMM_N_IN = 2048, GEMM_TOKENS = 256, FIRST_OUT = 64, FIRST_TOKENS = 8 };

/* Seconds spent on one shape; a device too slow for the whole shape is asked for less of it. */
#define GEMM_BUDGET_S 0.05

/* Multiply-adds per second of one product. */
static oll_status time_product(struct bench_bed *bed, enum oll_dtype dtype, uint32_t n_out,
                               uint32_t n_tokens, double *macs_s, struct oll_error *err)
{
    double seconds;
    const struct oll_mat x = bench_bed_mat(bed, n_tokens, GEMM_N_IN, 1);
    const struct oll_mat y = bench_bed_mat(bed, n_tokens, n_out, 1);
    const struct oll_weight *w = bench_bed_weight(bed, dtype, GEMM_N_IN, n_out, 1);
    if (w)
        op_matmul(&bed->cmd, &(struct op_matmul){.y = y, .x = x, .w = w});
    OLL_TRY(bench_bed_best(bed, GEMM_BUDGET_S, &seconds, err));
    *macs_s = (double)n_tokens * n_out * GEMM_N_IN / seconds;
    bench_bed_clear(bed);
    return OLL_OK;
}

static oll_status measure_gemm(struct bench_bed *bed, enum oll_dtype dtype, double *macs_s,
                               struct oll_error *err)
{
    static const uint32_t n_outs[] = {1024, 4096};
    double best;
    OLL_TRY(time_product(bed, dtype, FIRST_OUT, FIRST_TOKENS, &best, err));
    for (size_t i = 0; i < sizeof n_outs / sizeof n_outs[0]; i++) {
        const double macs = (double)GEMM_TOKENS * GEMM_N_IN * n_outs[i];
        double now;
        if (macs / best > 10 * GEMM_BUDGET_S)
            break;
        OLL_TRY(time_product(bed, dtype, n_outs[i], GEMM_TOKENS, &now, err));
        best = now > best ? now : best;
    }
    *macs_s = best;
    return OLL_OK;
}

/* ---- both ---- */

oll_status bench_peak_measure(const struct bench_peak_params *params,
                              const struct bench_watch *watch, struct bench_peak *out,
                              struct oll_error *err)
{
    struct bench_bed bed;
    struct bench_peak peak = {0};
    const struct oll_device_params device = {.n_threads = params->n_threads, .isa = params->isa};
    bench_bed_init(&bed, params->device, &device);
    oll_status status = bed.status;
    if (status != OLL_OK)
        (void)OLL_FAIL(err, status, "%s", oll_error_text(&bed.err));
    for (int d = 0; d < OLL_DTYPE_COUNT && status == OLL_OK; d++) {
        if (!params->dtypes[d] || !oll_device_supports(bed.dev, OLL_OP_MATMUL, (enum oll_dtype)d))
            continue;
        bench_watch_show(watch, "measuring the machine: %s products", oll_dtype_name((uint32_t)d));
        status = measure_gemm(&bed, (enum oll_dtype)d, &peak.macs_s[d], err);
    }
    const int n_threads = bed.dev ? bed.dev->n_threads : 1;
    bench_bed_free(&bed);
    bench_watch_show(watch, "measuring the machine: memory");
    if (status == OLL_OK)
        status = bench_peak_read(n_threads, params->read_bytes, &peak.read_bytes_s, err);
    bench_watch_show(watch, "%s", "");
    if (status == OLL_OK)
        *out = peak;
    return status;
}

void bench_peak_mean(const struct bench_peak *before, const struct bench_peak *after,
                     struct bench_peak *out)
{
    out->read_bytes_s = (before->read_bytes_s + after->read_bytes_s) / 2;
    for (int d = 0; d < OLL_DTYPE_COUNT; d++)
        out->macs_s[d] = (before->macs_s[d] + after->macs_s[d]) / 2;
}
