#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

#ifdef OLL_FAULTS
#include <stdatomic.h>
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

void *oll_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!oll_mul_size(count, size, &bytes) || fault_due())
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *oll_calloc(size_t count, size_t size)
{
    if (fault_due())
        return NULL;
    return calloc(count ? count : 1, size ? size : 1);
}

void *oll_realloc(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (!oll_mul_size(count, size, &bytes) || fault_due())
        return NULL;
    return realloc(p, bytes ? bytes : 1);
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

void oll_free(void *p) { free(p); }

void *oll_alloc_aligned(size_t bytes)
{
    if (bytes > SIZE_MAX - 64 || fault_due())
        return NULL;
    return aligned_alloc(64, oll_align_up(bytes ? bytes : 1, 64));
}

void oll_free_aligned(void *p) { free(p); }
