/* Insides of an open model, shared by the files of this folder.
 *
 *   gguf_reader.c   opens, owns and closes; lookups
 *   gguf_parse.c    one part: header, metadata, tensor directory
 *   gguf_check.c    where tensors lie; rules that hold for the metadata of every model
 *   gguf_split.c    the parts of a split model
 *   gguf_value.c    typed reads of metadata */
#ifndef OLL_GGUF_GGUF_READER_H
#define OLL_GGUF_GGUF_READER_H

#include "engine/base/file.h"
#include "gguf/gguf.h"
#include "gguf/gguf_index.h"

#include <pthread.h>

enum {
    GGUF_MAX_KV = 65536,
    GGUF_MAX_TENSORS = 1 << 20,
    GGUF_MAX_KEY_BYTES = 65535,
    GGUF_MAX_STRING_BYTES = 16 << 20,
    GGUF_MAX_ARRAY_COUNT = 64 << 20,
    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MIN_ALIGNMENT = 8,
    GGUF_MAX_ALIGNMENT = 1 << 20,
    GGUF_LEGACY_MXFP4 = 4 /* type id in early gpt-oss files */
};

/* One file. */
struct gguf_part {
    char *path;              /* or the name given for bytes in memory */
    struct oll_file_map map; /* empty for bytes in memory */
    const unsigned char *data;
    uint64_t n_bytes;
    uint32_t version;
    uint64_t alignment, data_start;
    struct oll_gguf_kv *kvs; /* [n_kv] in file order */
    uint32_t n_kv;
    struct gguf_index kv_index;
};

struct oll_gguf {
    struct gguf_part *parts; /* [n_parts]; the first one has the metadata */
    uint32_t n_parts;
    struct oll_gguf_tensor *tensors; /* [n_tensors] of all parts in order */
    uint32_t n_tensors;
    struct gguf_index tensor_index;
    /* Converted copies of interleaved tensors, made under the lock; NULL when there are none. */
    unsigned char **converted; /* [n_tensors] */
    pthread_mutex_t lock;
};

/* Fails with "<path>: byte <pos>: <text>". */
oll_status gguf_fail_at(const struct gguf_part *part, uint64_t pos, struct oll_error *err,
                        oll_status status, const char *fmt, ...) OLL_PRINTF(5, 6);

/* Adds one file, parsed and checked, to the reader. `path` is copied. */
oll_status gguf_add_file(struct oll_gguf *gguf, const char *path,
                         struct oll_error *err) OLL_MUST_USE;

/* gguf_parse.c: fills part (data, n_bytes and path are set) and appends its tensors. */
oll_status gguf_parse_part(struct oll_gguf *gguf, uint32_t i_part,
                           struct oll_error *err) OLL_MUST_USE;

/* gguf_check.c */

/* Offsets, ends and overlaps of the tensors from `first` on, all of one part. */
oll_status gguf_check_layout(struct oll_gguf *gguf, uint32_t i_part, uint32_t first,
                             struct oll_error *err) OLL_MUST_USE;
/* Metadata of the whole model: architecture, token lists, ranges of common hyper-parameters. */
oll_status gguf_check_model(const struct oll_gguf *gguf, struct oll_error *err) OLL_MUST_USE;

/* gguf_split.c */

/* Position (from 0) and number of parts that the file states; 0 and 1 for a model in one file. */
oll_status gguf_split_position(const struct gguf_part *part, uint32_t *no, uint32_t *count,
                               struct oll_error *err) OLL_MUST_USE;
/* Path of part `no` beside `path`, which must have a name of the split form that agrees with its
 * own position. Freed by the caller. */
oll_status gguf_split_path(const char *path, uint32_t own_no, uint32_t count, uint32_t no,
                           char **out, struct oll_error *err) OLL_MUST_USE;
/* Adds the other parts to a reader that holds the first one; `paths` [count] says where they are,
 * NULL: beside it, under its name. */
oll_status gguf_split_add_rest(struct oll_gguf *gguf, const char *const *paths,
                               struct oll_error *err) OLL_MUST_USE;

/* gguf_value.c */

/* Bytes of a value or element of a fixed-size type, 0 for string, array and unknown. */
uint64_t gguf_type_bytes(uint32_t type);
const struct oll_gguf_kv *gguf_part_find(const struct gguf_part *part, const char *key);
/* As oll_gguf_u64, for the metadata of one part. */
oll_status gguf_part_u64(const struct gguf_part *part, const char *key, uint64_t *out,
                         struct oll_error *err);

#endif
