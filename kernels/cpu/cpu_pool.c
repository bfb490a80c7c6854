#include "kernels/cpu/cpu_pool.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

/* How long a worker spins for the next list: two to four times the cost of a wake-up. */
enum { SPIN_BETWEEN_RUNS_NS = 150000 };
/* How long it spins at a barrier before it sleeps. A wait of this length means that somebody was
 * preempted or has a long tile; a wake-up then costs little in comparison. */
enum { SPIN_AT_BARRIER_NS = 1000000 };
/* The same two while the machine is shared: the processor may be needed by the one waited for. */
enum { SPIN_UNDER_PRESSURE_NS = 20000 };
/* A run counts as disturbed when a worker that was preempted lost this much of it, and more than a
 * quarter of what one worker of nth contributes: a long run bears a lost moment better than a
 * worker less. (A quarter, since waking up late, which the others feel too, is not seen.) */
enum { LOST_NS = 1000000, LOST_SHARE = 4 };
enum { DISTURBED_RUNS_MAX = 2 };
/* Pause before the full number of workers is tried again; doubles while that fails. */
#define RETRY_FIRST_NS 64000000ull
#define RETRY_MAX_NS   4000000000ull

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#endif
}

/* A word to wait on. It grows by 2; bit 0 says that somebody sleeps on the current value. */
struct gate {
    _Alignas(64) _Atomic uint32_t word;
};

/* Opens the gate for those who wait on `seen`. Release: pairs with the acquire load of gate_wait.
 */
static void gate_open(struct gate *gate, uint32_t seen)
{
    uint32_t old = atomic_exchange_explicit(&gate->word, seen + 2, memory_order_release);
    if (old & 1)
        oll_platform_wake(&gate->word, INT_MAX);
}

/* Waits until the word is no longer `seen` (even), spinning for spin_ns first. Returns the time
 * slept. */
static uint64_t gate_wait(struct gate *gate, uint32_t seen, uint64_t spin_ns)
{
    uint64_t start = 0, slept_since = 0;
    for (uint32_t i = 1;; i++) {
        /* Acquire: what the opener wrote before gate_open is visible after. */
        uint32_t now = atomic_load_explicit(&gate->word, memory_order_acquire);
        if ((now & ~1u) != seen)
            return slept_since ? oll_clock_ns() - slept_since : 0;
        if (slept_since == 0) {
            relax();
            if (i % 64 != 0 && spin_ns > 0)
                continue;
            uint64_t t = oll_clock_ns();
            if (start == 0)
                start = t;
            if (t - start < spin_ns)
                continue;
            slept_since = t;
        }
        /* Relaxed: the flag only asks for a wake-up; the loop re-reads with acquire. */
        if ((now & 1) ||
            atomic_compare_exchange_strong_explicit(&gate->word, &now, seen | 1,
                                                    memory_order_relaxed, memory_order_relaxed))
            oll_platform_wait(&gate->word, seen | 1);
    }
}

struct worker {
    struct gate gate; /* opened by the caller for each run that this worker takes part in */
    struct cpu_pool *pool;
    pthread_t thread;
    uint32_t index;
    bool pinned;
    uint64_t slept_ns; /* at barriers of this run */
};

struct cpu_pool {
    _Alignas(64) _Atomic uint32_t arrived; /* workers at the barrier */
    struct gate phase;                     /* of the barrier */
    _Alignas(64) _Atomic bool disturbed;   /* a worker of this run was held up */

    /* Written by the caller before the gates open, read by the workers after. */
    cpu_pool_fn fn;
    void *ctx;
    uint32_t nth;
    bool quit, pin_now;
    uint64_t spin_ns;

    /* Caller only. */
    uint32_t n_active; /* workers of the next run, at most n */
    uint32_t n_disturbed;
    uint64_t retry_at_ns, retry_ns;

    uint32_t n;
    bool pin, adaptive;
    int cpus[OLL_CPU_MAX];
    int n_cpu;
    struct worker *workers; /* [n]; 0 is the caller */
};

void cpu_pool_barrier(struct cpu_pool *pool, uint32_t ith)
{
    /* Read before arriving: once the last worker has arrived, the caller may already be setting
     * up the next run, with another number of workers. */
    const uint32_t nth = pool->nth;
    const uint64_t spin_ns = pool->spin_ns;
    if (nth == 1)
        return;
    /* Relaxed: the phase cannot move before this worker has arrived. */
    uint32_t seen = atomic_load_explicit(&pool->phase.word, memory_order_relaxed) & ~1u;
    /* Acquire and release: the last one to arrive has seen what all others wrote before arriving,
     * and hands it on by opening the gate. */
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == nth) {
        /* Relaxed: published by the release in gate_open. */
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        gate_open(&pool->phase, seen);
    } else {
        pool->workers[ith].slept_ns += gate_wait(&pool->phase, seen, spin_ns);
    }
}

static void set_pinned(struct worker *w, bool pin)
{
    if (w->pinned == pin)
        return;
    if (pin)
        oll_platform_pin(w->pool->cpus[w->index]);
    else
        oll_platform_unpin(w->pool->cpus, w->pool->n_cpu);
    w->pinned = pin;
}

/* One worker's part of a run, with the bookkeeping that tells a preempted worker from a busy one:
 * it was stopped with work at hand, and time passed that it neither used nor slept. */
static void take_part(struct cpu_pool *pool, struct worker *w)
{
    struct oll_thread_usage before = {0, 0}, after;
    uint64_t start = 0;
    if (pool->adaptive) {
        w->slept_ns = 0;
        before = oll_platform_thread_usage();
        start = oll_clock_ns();
    }
    pool->fn(pool->ctx, w->index, pool->nth);
    if (pool->adaptive) {
        after = oll_platform_thread_usage();
        const uint64_t used = after.cpu_ns - before.cpu_ns + w->slept_ns;
        const uint64_t wall = oll_clock_ns() - start, lost = wall > used ? wall - used : 0;
        /* Relaxed: the barrier below publishes it. */
        if (after.n_preempted != before.n_preempted && lost > LOST_NS &&
            lost * LOST_SHARE * pool->nth > wall)
            atomic_store_explicit(&pool->disturbed, true, memory_order_relaxed);
    }
    cpu_pool_barrier(pool, w->index);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct cpu_pool *pool = w->pool;
    for (uint32_t seen = 0;; seen += 2) {
        /* Not pool->spin_ns: the caller may be writing it for the next run. */
        gate_wait(&w->gate, seen, pool->adaptive ? SPIN_BETWEEN_RUNS_NS : 0);
        if (pool->quit)
            return NULL;
        set_pinned(w, pool->pin_now);
        take_part(pool, w);
    }
}

/* Decides how many workers the next run gets. Giving up one worker costs 1/n; waiting for one that
 * was preempted costs the others a time slice at every barrier. */
static void adapt(struct cpu_pool *pool)
{
    bool disturbed = atomic_load_explicit(&pool->disturbed, memory_order_relaxed);
    atomic_store_explicit(&pool->disturbed, false, memory_order_relaxed);
    if (disturbed && pool->n_active > 1) {
        if (++pool->n_disturbed < DISTURBED_RUNS_MAX)
            return;
        pool->n_disturbed = 0;
        pool->n_active--;
        pool->retry_at_ns = oll_clock_ns() + pool->retry_ns;
        if (pool->retry_ns < RETRY_MAX_NS)
            pool->retry_ns *= 2;
        oll_log_debug("cpu", "the machine is shared: %u of %u threads", pool->n_active, pool->n);
    } else if (pool->n_active < pool->n) {
        if (oll_clock_ns() < pool->retry_at_ns)
            return;
        pool->n_active++;
        pool->n_disturbed = 0;
        pool->retry_at_ns = oll_clock_ns() + pool->retry_ns;
    } else {
        pool->n_disturbed = 0;
        /* A whole retry period with all workers and without trouble: forget the trouble. */
        if (pool->retry_ns > RETRY_FIRST_NS && oll_clock_ns() > pool->retry_at_ns)
            pool->retry_ns = RETRY_FIRST_NS;
    }
}

void cpu_pool_run(struct cpu_pool *pool, uint32_t max_workers, cpu_pool_fn fn, void *ctx)
{
    uint32_t nth = pool->n_active;
    if (max_workers > 0 && max_workers < nth)
        nth = max_workers;
    bool pressure = pool->n_active < pool->n;
    pool->fn = fn;
    pool->ctx = ctx;
    pool->nth = nth;
    pool->pin_now = pool->pin && !pressure;
    pool->spin_ns = !pool->adaptive ? 0 : pressure ? SPIN_UNDER_PRESSURE_NS : SPIN_AT_BARRIER_NS;
    if (pool->pin_now && nth > 1)
        oll_platform_move(pool->cpus[0]);
    for (uint32_t i = 1; i < nth; i++) {
        struct gate *gate = &pool->workers[i].gate;
        /* Relaxed: only the caller moves the word; workers only add the sleeper's bit. */
        gate_open(gate, atomic_load_explicit(&gate->word, memory_order_relaxed) & ~1u);
    }
    take_part(pool, &pool->workers[0]);
    if (pool->adaptive)
        adapt(pool);
}

oll_status cpu_pool_new(int n_threads, bool pin, struct cpu_pool **out, struct oll_error *err)
{
    struct cpu_pool *pool = oll_alloc_aligned(sizeof *pool);
    if (!pool)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the thread pool");
    int n_physical;
    *pool = (struct cpu_pool){.retry_ns = RETRY_FIRST_NS};
    pool->n_cpu = oll_platform_cpus(pool->cpus, OLL_CPU_MAX, &n_physical);
    uint32_t n = (uint32_t)(n_threads > 0 ? n_threads : n_physical);
    if (n > OLL_CPU_MAX)
        n = OLL_CPU_MAX;
    /* More threads than processors is what tests ask for: nothing to pin, nothing to spin for. */
    pool->adaptive = n <= (uint32_t)pool->n_cpu;
    pool->pin = pin && pool->adaptive;
    pool->workers = oll_alloc_aligned(n * sizeof *pool->workers);
    if (!pool->workers) {
        oll_free_aligned(pool);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for %u threads", n);
    }
    for (uint32_t i = 0; i < n; i++)
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
    for (pool->n = 1; pool->n < n; pool->n++) {
        struct worker *w = &pool->workers[pool->n];
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            cpu_pool_free(pool);
            return OLL_FAIL(err, OLL_ERR_LIMIT,
                            "the system refuses thread %u of %u: lower the "
                            "number of threads or raise the process limit",
                            pool->n + 1, n);
        }
    }
    pool->n_active = pool->n;
    *out = pool;
    return OLL_OK;
}

void cpu_pool_free(struct cpu_pool *pool)
{
    if (!pool)
        return;
    pool->quit = true;
    for (uint32_t i = 1; i < pool->n; i++) {
        struct gate *gate = &pool->workers[i].gate;
        gate_open(gate, atomic_load_explicit(&gate->word, memory_order_relaxed) & ~1u);
    }
    for (uint32_t i = 1; i < pool->n; i++)
        pthread_join(pool->workers[i].thread, NULL);
    oll_free_aligned(pool->workers);
    oll_free_aligned(pool);
}

uint32_t cpu_pool_size(const struct cpu_pool *pool) { return pool->n; }
