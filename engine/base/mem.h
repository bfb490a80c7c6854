/* Checked sizes and allocation. Sizes derived from input go through these helpers before they reach
 * an allocator. */
#ifndef OLL_BASE_MEM_H
#define OLL_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a op b; false on overflow, then *out is not written. */
static inline bool oll_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

static inline bool oll_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool oll_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* Rounds up to a multiple of `align`, a power of two; the caller knows that it fits. */
static inline size_t oll_align_up(size_t n, size_t align) { return (n + align - 1) & ~(align - 1); }

static inline size_t oll_div_up(size_t n, size_t d) { return (n + d - 1) / d; }

/* malloc, calloc, realloc and strdup with two additions: `count * size` is checked, and a test
 * build can make the n-th allocation fail (OLL_FAULT_ALLOC=n in the environment of a build with
 * OLL_FAULTS). NULL means out of memory. */
void *oll_alloc(size_t count, size_t size);
void *oll_calloc(size_t count, size_t size);
void *oll_realloc(void *p, size_t count, size_t size);
char *oll_strdup(const char *s);
char *oll_strndup(const char *s, size_t n);
void oll_free(void *p); /* NULL is accepted */

/* Memory aligned to 64 bytes (a cache line, a zmm register), released with oll_free_aligned. */
void *oll_alloc_aligned(size_t bytes);
void oll_free_aligned(void *p);

/* What is allocated through here, in bytes as the allocator rounds them up. Pages of
 * oll_platform_pages_new count, and what a device that is only planned says it would take. */
struct oll_mem_meter {
    int64_t live_bytes, peak_bytes;
};

/* Counts the calling thread's allocations and releases from now on; NULL ends it. */
void oll_mem_meter_set(struct oll_mem_meter *meter);
/* Counts those of all threads, from zero; for measurements. */
void oll_mem_watch(bool on);
struct oll_mem_meter oll_mem_watched(void);
/* Adds (or takes off) memory that did not come from here. */
void oll_mem_claim(int64_t n_bytes);

#endif
