/* Fallback for systems without Linux's affinity, futex and /proc: correct, with fewer comforts. */
#include "engine/base/platform.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int oll_platform_cpus(int *ids, int max, int *n_physical)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1)
        n = 1;
    if (n > max)
        n = max;
    for (int i = 0; i < n; i++)
        ids[i] = i;
    *n_physical = (int)n;
    return (int)n;
}

bool oll_platform_pin(int cpu_id)
{
    (void)cpu_id;
    return false;
}

void oll_platform_wait(_Atomic uint32_t *word, uint32_t expected)
{
    /* Relaxed: the caller re-reads the word with the order it needs. */
    if (atomic_load_explicit(word, memory_order_relaxed) == expected) {
        struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
    }
}

void oll_platform_wake(_Atomic uint32_t *word, int n)
{
    (void)word;
    (void)n;
}

uint64_t oll_platform_memory_total(void) { return 0; }
uint64_t oll_platform_memory_free(void) { return 0; }

uint64_t oll_platform_peak_rss(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss : 0;
}
