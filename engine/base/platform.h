/* What only the operating system knows: processors, affinity, memory, waiting on a word. One
 * implementation file per system (platform_linux.c, platform_posix.c as the plain fallback);
 * nothing else names a system. */
#ifndef OLL_BASE_PLATFORM_H
#define OLL_BASE_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OLL_CPU_MAX = 1024 };

/* Whether a sanitizer that wants memory and files of its own is part of this build. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OLL_SANITIZED true
#elif defined(__has_feature)
#define OLL_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define OLL_SANITIZED false
#endif

/* Processors this process may use, one per physical core first and SMT siblings last, cut to the
 * cgroup's CPU quota (rounded up). Fills at most `max` ids; *n_physical gets the number of leading
 * ids that are distinct physical cores. Returns the count, at least 1. */
int oll_platform_cpus(int *ids, int max, int *n_physical);
/* The words in which the system reports processor features (Linux: AT_HWCAP, AT_HWCAP2; their bits
 * depend on the architecture); 0 when it does not. */
void oll_platform_hwcap(uint64_t *hwcap, uint64_t *hwcap2);
/* Pins the calling thread to one processor; false when the system refuses. */
bool oll_platform_pin(int cpu_id);
/* Puts the calling thread on one processor now, without keeping it there. */
void oll_platform_move(int cpu_id);
/* Lets the calling thread run on all `n` processors again. */
void oll_platform_unpin(const int *cpu_ids, int n);
/* The calling thread gives way to all others from now on, where the system allows it. */
void oll_platform_background(void);
/* Lets other threads of this processor run first. */
void oll_platform_yield(void);

/* Time the calling thread has had, and how often it was stopped although it had work. Zeros when
 * unknown. */
struct oll_thread_usage {
    uint64_t cpu_ns, n_preempted;
};
struct oll_thread_usage oll_platform_thread_usage(void);

/* Sleeps until *word differs from `expected`, or a wake-up, or a spurious return. The caller loops.
 */
void oll_platform_wait(_Atomic uint32_t *word, uint32_t expected);
/* Wakes at most `n` sleepers of the word. */
void oll_platform_wake(_Atomic uint32_t *word, int n);
/* Bytes of a block of malloc and its kin, as it was rounded up; 0 where the system does not tell.
 */
size_t oll_platform_block_bytes(void *p);
/* Zeroed pages that take memory when they are first written; NULL when the system refuses. */
void *oll_platform_pages_new(size_t n_bytes);
void oll_platform_pages_free(void *p, size_t n_bytes);
/* Gives back the physical memory of whole pages of a file's private, read-only map; the next access
 * reads them from the file again. Where the system only takes advice, it may do nothing. */
void oll_platform_pages_drop(const void *p, size_t n_bytes);
/* Physical memory, and what can be taken without swapping, both cut to the cgroup's limit. 0 when
 * unknown. */
uint64_t oll_platform_memory_total(void);
uint64_t oll_platform_memory_free(void);
/* Fills `n` bytes (at most 256) with unpredictable ones. */
void oll_platform_random(void *out, size_t n);
/* Makes the empty file `to` share the blocks of `from`, as a copy that takes no room; false where
 * the system or the file system cannot. */
bool oll_platform_clone_file(int to_fd, int from_fd);
/* Resident set of this process in bytes, 0 when unknown. */
uint64_t oll_platform_rss(void);
/* Peak resident set of this process in bytes, 0 when unknown; since the start, or since the last
 * reset where the system can forget (false where it cannot). */
uint64_t oll_platform_peak_rss(void);
bool oll_platform_peak_rss_reset(void);
/* Grows when the kernel ends a process, of this cgroup or of the machine, for want of memory; 0
 * when unknown. */
uint64_t oll_platform_oom_kills(void);
/* Path under which this very program can be started again, also after its file was replaced; false
 * when the system does not tell. */
bool oll_platform_executable(char *out, size_t n);
/* Mean number of tasks that wanted a processor over the last minute; 0 when unknown. */
double oll_platform_load(void);
/* Name of the processor as its maker gave it, "unknown" when the system does not tell. */
void oll_platform_cpu_name(char *out, size_t n);

#endif
