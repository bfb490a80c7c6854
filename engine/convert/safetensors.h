/* Safetensors files: tensors behind a JSON header.
 *
 *   OFFSET  SIZE  DESCRIPTION
 *   0       8     n, little-endian: bytes of the header
 *   8       n     JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}; "__metadata__"
 *   8 + n         data; offsets count from here
 *
 * Shapes are outermost first. The reader maps the file and checks every rule before it returns: the
 * header fits the file, each tensor's range lies in the data and has the size of its shape, no two
 * tensors overlap, no name occurs twice. Nothing is allocated that the file's size does not
 * justify. Names and data are borrowed until safetensors_close; read-only, any thread.
 *
 * Source: the safetensors format of Hugging Face (format facts only). */
#ifndef OLL_CONVERT_SAFETENSORS_H
#define OLL_CONVERT_SAFETENSORS_H

#include "engine/base/status.h"

#include <stdint.h>

enum { SAFETENSORS_DIMS_MAX = 8, SAFETENSORS_HEADER_MAX = 100 << 20 };

enum safetensors_type {
    SAFETENSORS_F32,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_OTHER /* known size, but no type that weights are read from: F64, I64, BOOL, F8 */
};

struct safetensors_tensor {
    const char *name; /* terminated, no NUL inside */
    enum safetensors_type type;
    const char *type_name; /* "F32" */
    uint32_t n_dims;
    uint64_t shape[SAFETENSORS_DIMS_MAX];
    const unsigned char *data; /* of any alignment */
    uint64_t n_bytes;
};

struct safetensors;

/* `name` is for messages, which never hold the path. */
oll_status safetensors_open(const char *path, const char *name, struct safetensors **out,
                            struct oll_error *err) OLL_MUST_USE;
/* Bytes in memory, which must outlive the reader. */
oll_status safetensors_open_memory(const void *data, uint64_t n_bytes, const char *name,
                                   struct safetensors **out, struct oll_error *err) OLL_MUST_USE;
void safetensors_close(struct safetensors *st); /* NULL is accepted */

uint64_t safetensors_count(const struct safetensors *st);
const struct safetensors_tensor *safetensors_at(const struct safetensors *st, uint64_t i);

#endif
