/* Random weights of any storage type: every bit that may vary is random, scales are such that the
 * values have a given spread and are finite. Equal seeds give equal bytes on every machine. */
#ifndef OLL_BENCH_BENCH_FILL_H
#define OLL_BENCH_BENCH_FILL_H

#include "engine/base/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_fill {
    enum oll_dtype dtype;
    uint64_t state;   /* of the generator */
    uint16_t d, dmin; /* scale words of each block */
    uint8_t code;     /* scale byte of MXFP4 and NVFP4 */
    float amplitude;  /* of the plain floats */
};

/* Whether weights of the type can be made: all that occur in model files, not those of activations
 * or integers. */
bool bench_fill_supported(enum oll_dtype dtype);

/* `sd`: root mean square of the values, about zero. */
void bench_fill_init(struct bench_fill *fill, enum oll_dtype dtype, uint64_t seed, double sd);

/* The next n_blocks blocks of the stream, at `dst` of any alignment. */
void bench_fill_next(struct bench_fill *fill, void *dst, size_t n_blocks);

/* One step of the generator (SplitMix64: Steele, Lea & Flood 2014, "Fast splittable pseudorandom
 * number generators"). */
uint64_t bench_random(uint64_t *state);

#endif
