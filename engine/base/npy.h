/* Writer of one array of f32 as a NumPy file (.npy, format version 1.0, '<f4', C order), streamed:
 * the shape first, then the values in pieces of any size.
 *
 * A regular file appears under its name, in place of an older one, only when oll_npy_finish
 * succeeds; a pipe or device is written directly. One thread at a time.
 * Format: numpy/lib/format.py, "Format Version 1.0". */
#ifndef OLL_BASE_NPY_H
#define OLL_BASE_NPY_H

#include "engine/base/status.h"

#include <stdint.h>
#include <stdio.h>

enum { OLL_NPY_MAX_DIMS = 8 };

struct oll_npy {
    FILE *file; /* NULL once finished or closed */
    char *path;
    char *temp_path; /* what is written until then; NULL for a pipe or device */
    uint64_t n_left; /* values that are still to come */
};

/* Begins the file `path` with its header. shape[0] is the outermost dimension; a
 * dimension may be 0. On failure there is nothing to close. */
oll_status oll_npy_create(struct oll_npy *npy, const char *path, const uint64_t *shape, int n_dims,
                          struct oll_error *err) OLL_MUST_USE;
/* Appends n values. OLL_ERR_ARG when the shape has no room for them. */
oll_status oll_npy_write(struct oll_npy *npy, const float *values, size_t n,
                         struct oll_error *err) OLL_MUST_USE;
/* Flushes and closes; OLL_ERR_ARG when values are missing. */
oll_status oll_npy_finish(struct oll_npy *npy, struct oll_error *err) OLL_MUST_USE;
/* Gives up what was not finished; no effect afterwards. */
void oll_npy_close(struct oll_npy *npy);

#endif
