/* Growth of the arrays that the readers and automata of this folder fill. */
#ifndef OLL_SAMPLER_GROW_H
#define OLL_SAMPLER_GROW_H

#include "engine/base/mem.h"

/* Makes room for `need` elements of `size` bytes at *p, doubling; false without memory, or when
 * `need` is above `max`. *p is then unchanged. */
static inline bool grow_array(void **p, uint32_t *cap, uint64_t need, uint64_t max, size_t size)
{
    if (need <= *cap)
        return true;
    if (need > max)
        return false;
    uint64_t n = *cap ? 2 * (uint64_t)*cap : 16;
    n = n < need ? need : n > max ? max : n;
    void *grown = oll_realloc(*p, (size_t)n, size);
    if (!grown)
        return false;
    *p = grown;
    *cap = (uint32_t)n;
    return true;
}

/* A fair mix of the bits of a 64-bit value, for hash tables (the finaliser of SplitMix64). */
static inline uint64_t grow_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

#endif
