/* Values for trials: friendly and hostile, for activations and for every storage type. */
#ifndef OLL_TESTS_KERNELS_FILL_H
#define OLL_TESTS_KERNELS_FILL_H

#include "engine/base/dtype.h"

#include <stddef.h>
#include <stdint.h>

enum fill {
    FILL_NORMAL,    /* standard normal; weights quantised from such, or random codes */
    FILL_MIN,       /* every value or code at its minimum */
    FILL_MAX,       /* every value or code at its maximum, scales included */
    FILL_ALTERNATE, /* minimum and maximum in turn */
    FILL_DENORMAL,  /* below the normal range of f32; for weights of their f16 scales */
    FILL_ZERO,
    FILL_HEAVY, /* normal with one outlier of 100 sigma per row; for weights random codes */
    FILL_WIDE,  /* -120 .. 120, both zeros among them: the arguments that exp overflows on */
    FILL_COUNT
};

const char *fill_name(enum fill fill);

float fill_normal_value(uint64_t *rng);
/* Uniform in 0 .. n - 1. */
uint32_t fill_below(uint64_t *rng, uint32_t n);

/* n activations. */
void fill_floats(enum fill fill, float *x, size_t n, uint64_t *rng);

/* n_rows rows of n_in weights; dst holds n_rows * oll_dtype_row_bytes(dtype, n_in) bytes. */
void fill_weights(enum fill fill, enum oll_dtype dtype, uint8_t *dst, size_t n_rows, size_t n_in,
                  uint64_t *rng);

/* The largest term of the sum that a kernel may form for each weight of a row: d * scale * q and
 * the minimum apart, and never less than the largest of the 32 (or 16) around it, since kernels
 * that shift codes by an offset subtract a multiple of the block's own scale. mag [n_in]. */
void fill_magnitudes(enum oll_dtype dtype, const uint8_t *row, size_t n_in, float *mag);

#endif
