/* What only the operating system knows: processors, affinity, memory, waiting on a word. One
 * implementation file per system (platform_linux.c, platform_posix.c as the plain fallback);
 * nothing else names a system. */
#ifndef OLL_BASE_PLATFORM_H
#define OLL_BASE_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

enum { OLL_CPU_MAX = 1024 };

/* Processors this process may use, one per physical core first and SMT siblings last, cut to the
 * cgroup's CPU quota (rounded up). Fills at most `max` ids; *n_physical gets the number of leading
 * ids that are distinct physical cores. Returns the count, at least 1. */
int oll_platform_cpus(int *ids, int max, int *n_physical);
/* Pins the calling thread to one processor; false when the system refuses. */
bool oll_platform_pin(int cpu_id);
/* Sleeps until *word differs from `expected`, or a wake-up, or a spurious return. The caller loops.
 */
void oll_platform_wait(_Atomic uint32_t *word, uint32_t expected);
/* Wakes at most `n` sleepers of the word. */
void oll_platform_wake(_Atomic uint32_t *word, int n);
/* Physical memory, and what can be taken without swapping, both cut to the cgroup's limit. 0 when
 * unknown. */
uint64_t oll_platform_memory_total(void);
uint64_t oll_platform_memory_free(void);
/* Peak resident set of this process in bytes, 0 when unknown. */
uint64_t oll_platform_peak_rss(void);

#endif
