#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "engine/base/platform.h"

#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* First number of a small text file; false when it is absent or says "max". */
static bool read_number(const char *path, long long *out)
{
    char text[64];
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    char *end;
    *out = strtoll(text, &end, 10);
    return end != text;
}

/* Processors' worth of time that the cgroup grants, INT_MAX without a limit. cgroup v2 writes
 * "quota period" into cpu.max, v1 has one file for each. A process in a container sees its own
 * group at the mount's root. */
static int cgroup_cpus(void)
{
    long long quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f) {
        int n = fscanf(f, "%lld %lld", &quota, &period);
        fclose(f);
        if (n != 2)
            return INT_MAX;
    } else if (!read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota) ||
               !read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period)) {
        return INT_MAX;
    }
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    long long cpus = (quota + period - 1) / period;
    return cpus < 1 ? 1 : cpus > INT_MAX ? INT_MAX : (int)cpus;
}

/* True when a sibling with a smaller number shares the core of `cpu`. */
static bool is_smt_sibling(int cpu)
{
    char path[96];
    long long first;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    return read_number(path, &first) && first < cpu;
}

/* Appends to ids[0..n) the processors of the set that are second siblings of a core, or that are
 * not, up to `limit` in all; returns the new count. */
static int add_cpus(const cpu_set_t *set, bool siblings, int *ids, int n, int limit)
{
    for (int cpu = 0; cpu < CPU_SETSIZE && n < limit; cpu++)
        if (CPU_ISSET(cpu, set) && is_smt_sibling(cpu) == siblings)
            ids[n++] = cpu;
    return n;
}

int oll_platform_cpus(int *ids, int max, int *n_physical)
{
    cpu_set_t set;
    int n = 0, limit = cgroup_cpus();
    if (limit > max)
        limit = max;
    *n_physical = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        *n_physical = n = add_cpus(&set, false, ids, 0, limit);
        n = add_cpus(&set, true, ids, n, limit);
    }
    if (n == 0) {
        ids[n++] = 0;
        *n_physical = 1;
    }
    /* An affinity mask of second siblings alone: each still has a core of its own. */
    if (*n_physical == 0)
        *n_physical = n;
    return n;
}

void oll_platform_hwcap(uint64_t *hwcap, uint64_t *hwcap2)
{
    *hwcap = getauxval(AT_HWCAP);
    *hwcap2 = getauxval(AT_HWCAP2);
}

bool oll_platform_pin(int cpu_id)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu_id, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

void oll_platform_move(int cpu_id)
{
    cpu_set_t before, set;
    if (sched_getcpu() == cpu_id || sched_getaffinity(0, sizeof before, &before) != 0)
        return;
    CPU_ZERO(&set);
    CPU_SET(cpu_id, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        sched_setaffinity(0, sizeof before, &before);
}

/* A nice value belongs to a thread here, not to the process as POSIX has it. */
void oll_platform_background(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
}

void oll_platform_unpin(const int *cpu_ids, int n)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < n; i++)
        CPU_SET(cpu_ids[i], &set);
    sched_setaffinity(0, sizeof set, &set);
}

void oll_platform_yield(void) { sched_yield(); }

bool oll_platform_clone_file(int to_fd, int from_fd) { return ioctl(to_fd, FICLONE, from_fd) == 0; }

struct oll_thread_usage oll_platform_thread_usage(void)
{
    struct oll_thread_usage usage = {0, 0};
    struct rusage r;
    if (getrusage(RUSAGE_THREAD, &r) == 0) {
        usage.cpu_ns = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000u +
                       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000u;
        usage.n_preempted = (uint64_t)r.ru_nivcsw;
    }
    return usage;
}

void oll_platform_wait(_Atomic uint32_t *word, uint32_t expected)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void oll_platform_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

size_t oll_platform_block_bytes(void *p) { return malloc_usable_size(p); }

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

/* A line "key   123 kB" of a file of the kernel, in bytes; 0 when there is none. */
static uint64_t read_kib(const char *path, const char *key)
{
    char line[256];
    uint64_t kib = 0;
    size_t n = strlen(key);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n) == 0) {
            kib = strtoull(line + n, NULL, 10);
            break;
        }
    }
    fclose(f);
    return kib * 1024;
}

/* The number behind a word at the beginning of a line; false when there is none. */
static bool read_count(const char *path, const char *word, uint64_t *out)
{
    char line[256];
    const size_t n = strlen(word);
    bool found = false;
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        found = strncmp(line, word, n) == 0 && line[n] == ' ';
        if (found)
            *out = strtoull(line + n, NULL, 10);
    }
    if (f)
        fclose(f);
    return found;
}

uint64_t oll_platform_oom_kills(void)
{
    /* The mount's root is this process' group in a container alone; the machine's count has all. */
    uint64_t group = 0, machine = 0;
    if (!read_count("/sys/fs/cgroup/memory.events", "oom_kill", &group))
        read_count("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill", &group);
    read_count("/proc/vmstat", "oom_kill", &machine);
    return group + machine;
}

bool oll_platform_executable(char *out, size_t n)
{
    return access("/proc/self/exe", X_OK) == 0 && snprintf(out, n, "%s", "/proc/self/exe") < (int)n;
}

void oll_platform_pages_drop(const void *p, size_t n_bytes)
{
    /* posix_madvise would be a no-op: glibc ignores POSIX_MADV_DONTNEED, because the kernel's
     * advice of that name also discards changes, of which a read-only map has none. */
    madvise((void *)p, n_bytes, MADV_DONTNEED);
}

/* Not getrusage: its maximum counts the program that called exec and cannot be reset. */
uint64_t oll_platform_rss(void) { return read_kib("/proc/self/status", "VmRSS:"); }

uint64_t oll_platform_peak_rss(void) { return read_kib("/proc/self/status", "VmHWM:"); }

bool oll_platform_peak_rss_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (!f)
        return false;
    const bool ok = fwrite("5", 1, 1, f) == 1; /* proc(5): the peak becomes the present size */
    return fclose(f) == 0 && ok;
}

double oll_platform_load(void)
{
    double load = 0;
    FILE *f = fopen("/proc/loadavg", "re");
    if (f && fscanf(f, "%lf", &load) != 1)
        load = 0;
    if (f)
        fclose(f);
    return load;
}

void oll_platform_cpu_name(char *out, size_t n)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, n, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (!colon || (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model", 5) != 0))
            continue;
        colon += strspn(colon, ": \t");
        snprintf(out, n, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    if (f)
        fclose(f);
}

void oll_platform_random(void *out, size_t n)
{
    /* Up to 256 bytes are given whole once the kernel's pool is ready, which it is before user
     * space runs. */
    ssize_t got = getrandom(out, n, 0);
    OLL_ASSERT(got == (ssize_t)n);
}
