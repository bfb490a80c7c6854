/* Fallback for systems without Linux's affinity, futex and /proc: correct, with fewer comforts. */
/* MAP_ANONYMOUS lies outside POSIX. */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "engine/base/platform.h"

#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
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

void oll_platform_hwcap(uint64_t *hwcap, uint64_t *hwcap2) { *hwcap = *hwcap2 = 0; }

bool oll_platform_pin(int cpu_id)
{
    (void)cpu_id;
    return false;
}

void oll_platform_move(int cpu_id) { (void)cpu_id; }

void oll_platform_unpin(const int *cpu_ids, int n)
{
    (void)cpu_ids;
    (void)n;
}

void oll_platform_background(void) {}

void oll_platform_yield(void) { sched_yield(); }

bool oll_platform_clone_file(int to_fd, int from_fd)
{
    (void)to_fd;
    (void)from_fd;
    return false;
}

struct oll_thread_usage oll_platform_thread_usage(void) { return (struct oll_thread_usage){0, 0}; }

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

size_t oll_platform_block_bytes(void *p)
{
    (void)p;
    return 0;
}

void *oll_platform_pages_new(size_t n_bytes)
{
    void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    oll_mem_claim((int64_t)n_bytes);
    return p;
}

void oll_platform_pages_free(void *p, size_t n_bytes)
{
    if (!p)
        return;
    oll_mem_claim(-(int64_t)n_bytes);
    munmap(p, n_bytes);
}

void oll_platform_pages_drop(const void *p, size_t n_bytes)
{
    posix_madvise((void *)p, n_bytes, POSIX_MADV_DONTNEED);
}

uint64_t oll_platform_memory_total(void) { return 0; }
uint64_t oll_platform_memory_free(void) { return 0; }

uint64_t oll_platform_rss(void) { return 0; }

uint64_t oll_platform_peak_rss(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss : 0;
}

bool oll_platform_peak_rss_reset(void) { return false; }

double oll_platform_load(void) { return 0; }

void oll_platform_cpu_name(char *out, size_t n) { snprintf(out, n, "unknown"); }

void oll_platform_random(void *out, size_t n)
{
    FILE *f = fopen("/dev/urandom", "rb");
    size_t got = f ? fread(out, 1, n, f) : 0;
    if (f)
        fclose(f);
    OLL_ASSERT(got == n);
}

uint64_t oll_platform_oom_kills(void) { return 0; }

bool oll_platform_executable(char *out, size_t n)
{
    (void)out;
    (void)n;
    return false;
}
