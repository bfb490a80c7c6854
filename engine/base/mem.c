#include "engine/base/mem.h"

#include "engine/base/platform.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#ifdef OLL_FAULTS
#include <unistd.h>

/* Tells the driver (tests/fault) that the allocation was reached; a run without this line has met
 * no fault. write, because nothing here may allocate. */
static void announce_fault(void)
{
    static const char line[] = "fault: an allocation failed on purpose\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
}

/* Counts allocations and fails the one whose number the environment names, and every later one when
 * the number is followed by '+'. Relaxed: the count alone matters, no data is published through it.
 */
static bool fault_due(void)
{
    static atomic_long count;
    static atomic_long target = -2;
    static atomic_bool and_later;
    long want = atomic_load_explicit(&target, memory_order_relaxed);
    if (want == -2) {
        const char *text = getenv("OLL_FAULT_ALLOC");
        want = text ? strtol(text, NULL, 10) : -1;
        atomic_store_explicit(&and_later, text && strchr(text, '+'), memory_order_relaxed);
        atomic_store_explicit(&target, want, memory_order_relaxed);
    }
    if (want < 0)
        return false;
    long n = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
    if (n == want)
        announce_fault();
    return n == want || (n > want && atomic_load_explicit(&and_later, memory_order_relaxed));
}
#else
static inline bool fault_due(void) { return false; }
#endif

/* ---- meters ---- */

static _Thread_local struct oll_mem_meter *thread_meter;
/* Relaxed throughout: counts alone, no data is published through them. */
static atomic_bool is_watched;
static _Atomic int64_t watched_live, watched_peak;

void oll_mem_meter_set(struct oll_mem_meter *meter) { thread_meter = meter; }

void oll_mem_watch(bool on)
{
    atomic_store_explicit(&watched_live, 0, memory_order_relaxed);
    atomic_store_explicit(&watched_peak, 0, memory_order_relaxed);
    atomic_store_explicit(&is_watched, on, memory_order_relaxed);
}

struct oll_mem_meter oll_mem_watched(void)
{
    return (struct oll_mem_meter){atomic_load_explicit(&watched_live, memory_order_relaxed),
                                  atomic_load_explicit(&watched_peak, memory_order_relaxed)};
}

void oll_mem_claim(int64_t n_bytes)
{
    struct oll_mem_meter *m = thread_meter;
    if (m) {
        m->live_bytes += n_bytes;
        if (m->live_bytes > m->peak_bytes)
            m->peak_bytes = m->live_bytes;
    }
    if (!atomic_load_explicit(&is_watched, memory_order_relaxed))
        return;
    int64_t live =
        atomic_fetch_add_explicit(&watched_live, n_bytes, memory_order_relaxed) + n_bytes;
    int64_t peak = atomic_load_explicit(&watched_peak, memory_order_relaxed);
    while (live > peak &&
           !atomic_compare_exchange_weak_explicit(&watched_peak, &peak, live, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static bool is_metered(void)
{
    return thread_meter || atomic_load_explicit(&is_watched, memory_order_relaxed);
}

/* A block that was just handed out; NULL is passed on. */
static void *taken(void *p)
{
    if (p && is_metered())
        oll_mem_claim((int64_t)oll_platform_block_bytes(p));
    return p;
}

static void *given(void *p)
{
    if (p && is_metered())
        oll_mem_claim(-(int64_t)oll_platform_block_bytes(p));
    return p;
}

/* ---- blocks ---- */

void *oll_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!oll_mul_size(count, size, &bytes) || fault_due())
        return NULL;
    return taken(malloc(bytes ? bytes : 1));
}

void *oll_calloc(size_t count, size_t size)
{
    if (fault_due())
        return NULL;
    return taken(calloc(count ? count : 1, size ? size : 1));
}

void *oll_realloc(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (!oll_mul_size(count, size, &bytes) || fault_due())
        return NULL;
    const bool metered = is_metered();
    const int64_t old = p && metered ? (int64_t)oll_platform_block_bytes(p) : 0;
    void *grown = realloc(p, bytes ? bytes : 1);
    if (grown && metered)
        oll_mem_claim((int64_t)oll_platform_block_bytes(grown) - old);
    return grown;
}

char *oll_strndup(const char *s, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *copy = oll_alloc(n + 1, 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *oll_strdup(const char *s) { return oll_strndup(s, strlen(s)); }

void oll_free(void *p) { free(given(p)); }

void *oll_alloc_aligned(size_t bytes)
{
    if (bytes > SIZE_MAX - 64 || fault_due())
        return NULL;
    return taken(aligned_alloc(64, oll_align_up(bytes ? bytes : 1, 64)));
}

void oll_free_aligned(void *p) { free(given(p)); }
