/* GGUF: the container of models.
 *
 *   1. header      "GGUF", u32 version (2 or 3), u64 n_tensors, u64 n_kv
 *   2. metadata    n_kv pairs: string key, u32 value type, value; no padding
 *   3. directory   n_tensors infos: string name, u32 n_dims, u64 dims[n_dims], u32 dtype,
 *                  u64 offset
 *   4. padding     zero bytes up to a multiple of general.alignment (default 32)
 *   5. data        each tensor at data_start + offset, padded to the alignment
 *
 * A string is a u64 length and that many bytes, no terminator. All numbers are little-endian.
 * Dimensions are stored innermost first: ne[0] is the contiguous one, so a weight [n_in, n_out] in
 * a file is [n_out][n_in] in C.
 *
 * The reader maps the file (all parts of a split model), checks every rule of the format before it
 * returns, and keeps pointers into the map: strings, arrays and tensor data are borrowed until
 * oll_gguf_close. Nothing is allocated that the file's size does not justify. An error names the
 * file, the byte offset and the key or tensor. A reader is read-only after opening and may be
 * shared by threads.
 *
 * Source: the GGUF specification of the ggml project (format facts only). */
#ifndef OLL_GGUF_GGUF_H
#define OLL_GGUF_GGUF_H

#include "engine/base/dtype.h"
#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { OLL_GGUF_MAX_DIMS = 4, OLL_GGUF_MAX_NAME = 63, OLL_GGUF_MAX_LAYERS = 1024 };

enum oll_gguf_type {
    OLL_GGUF_U8,
    OLL_GGUF_I8,
    OLL_GGUF_U16,
    OLL_GGUF_I16,
    OLL_GGUF_U32,
    OLL_GGUF_I32,
    OLL_GGUF_F32,
    OLL_GGUF_BOOL,
    OLL_GGUF_STRING,
    OLL_GGUF_ARRAY,
    OLL_GGUF_U64,
    OLL_GGUF_I64,
    OLL_GGUF_F64,
    OLL_GGUF_TYPE_COUNT
};

/* Bytes in the map; not terminated. */
struct oll_gguf_str {
    const char *data;
    uint64_t len;
};

/* One metadata pair. For an array `type` is OLL_GGUF_ARRAY and `elem_type` says of what. */
struct oll_gguf_kv {
    struct oll_gguf_str key;
    enum oll_gguf_type type, elem_type;
    uint64_t count; /* elements of an array, else 1 */
    const unsigned char
        *data; /* encoded value; for an array its first element; for a string its length word */
    uint64_t data_bytes; /* encoded size of the value (of all elements) */
};

struct oll_gguf_tensor {
    struct oll_gguf_str name;
    uint32_t n_dims;
    uint64_t ne[OLL_GGUF_MAX_DIMS]; /* innermost first; missing ones are 1 */
    enum oll_dtype dtype;
    const unsigned char *data; /* in the map of its part, of any alignment */
    uint64_t n_bytes;
    uint64_t file_off; /* of data, in that part */
    uint32_t i_part;   /* part of a split model, 0 for a single file */
    /* MXFP4 of an early gpt-oss file (type id 4): blocks have the right size, but element 2j and
     * 2j + 1 share byte j. Such data is read through oll_gguf_data or oll_gguf_deinterleave. */
    bool interleaved;
};

struct oll_gguf; /* an open model file */

/* Opens a model and all parts of a split one (any part's name may be given; the first is found
 * beside it). */
oll_status oll_gguf_open(const char *path, struct oll_gguf **out,
                         struct oll_error *err) OLL_MUST_USE;
/* Opens a split model whose parts have other names (a store names files by their content); in
 * order, from the first. */
oll_status oll_gguf_open_parts(const char *const *paths, uint32_t n, struct oll_gguf **out,
                               struct oll_error *err) OLL_MUST_USE;
/* The same for bytes in memory, which must outlive the reader; `name` is for messages. Split models
 * are refused. */
oll_status oll_gguf_open_memory(const void *data, uint64_t n_bytes, const char *name,
                                struct oll_gguf **out, struct oll_error *err) OLL_MUST_USE;
void oll_gguf_close(struct oll_gguf *gguf);

const char *oll_gguf_path(const struct oll_gguf *gguf);
uint32_t oll_gguf_version(const struct oll_gguf *gguf);
uint64_t oll_gguf_alignment(const struct oll_gguf *gguf);
uint64_t oll_gguf_file_bytes(const struct oll_gguf *gguf); /* all parts */
/* Data of a tensor in the layout of its dtype: tensor->data, or a copy of an interleaved tensor
 * that is made at the first call and lives as long as the reader. Any thread. OLL_ERR_MEMORY. */
oll_status oll_gguf_data(struct oll_gguf *gguf, const struct oll_gguf_tensor *tensor,
                         const unsigned char **out, struct oll_error *err) OLL_MUST_USE;
/* Brings whole blocks of an interleaved tensor into the layout of OLL_MXFP4; n_bytes is a multiple
 * of 17, dst may be src. */
void oll_gguf_deinterleave(const unsigned char *src, unsigned char *dst, size_t n_bytes);
/* Tells the system that a tensor's pages in the map are not needed any more (it was uploaded or
 * repacked); a later access reads them from the file again. */
void oll_gguf_drop_pages(const struct oll_gguf *gguf, const struct oll_gguf_tensor *tensor);

/* Metadata in file order, and by key (NULL when absent). */
uint64_t oll_gguf_n_kv(const struct oll_gguf *gguf);
const struct oll_gguf_kv *oll_gguf_kv_at(const struct oll_gguf *gguf, uint64_t i);
const struct oll_gguf_kv *oll_gguf_find(const struct oll_gguf *gguf, const char *key);

/* Tensors in file order, and by name (NULL when absent). */
uint64_t oll_gguf_n_tensors(const struct oll_gguf *gguf);
const struct oll_gguf_tensor *oll_gguf_tensor_at(const struct oll_gguf *gguf, uint64_t i);
const struct oll_gguf_tensor *oll_gguf_find_tensor(const struct oll_gguf *gguf, const char *name);

/* Typed reads. The key may have any integer width (also bool); a float key also takes an integer.
 * Each returns OLL_ERR_NOT_FOUND without touching `err` or `*out` when the key is absent, and
 * OLL_ERR_FORMAT with a message when it has another type or does not fit. */
oll_status oll_gguf_u64(const struct oll_gguf *gguf, const char *key, uint64_t *out,
                        struct oll_error *err);
oll_status oll_gguf_i64(const struct oll_gguf *gguf, const char *key, int64_t *out,
                        struct oll_error *err);
oll_status oll_gguf_f64(const struct oll_gguf *gguf, const char *key, double *out,
                        struct oll_error *err);
oll_status oll_gguf_bool(const struct oll_gguf *gguf, const char *key, bool *out,
                         struct oll_error *err);
oll_status oll_gguf_str(const struct oll_gguf *gguf, const char *key, struct oll_gguf_str *out,
                        struct oll_error *err);

/* Elements of an array (or of a scalar, seen as an array of one); `i` < count. Same rules as above,
 * but the value must exist. String element access is O(1) after the first use of that array only
 * through oll_gguf_strings. */
oll_status oll_gguf_kv_u64(const struct oll_gguf_kv *kv, uint64_t i, uint64_t *out,
                           struct oll_error *err);
oll_status oll_gguf_kv_i64(const struct oll_gguf_kv *kv, uint64_t i, int64_t *out,
                           struct oll_error *err);
oll_status oll_gguf_kv_f64(const struct oll_gguf_kv *kv, uint64_t i, double *out,
                           struct oll_error *err);
oll_status oll_gguf_kv_bool(const struct oll_gguf_kv *kv, uint64_t i, bool *out,
                            struct oll_error *err);
/* Fills out[0..kv->count) with the strings of a string array in one pass. */
oll_status oll_gguf_kv_strings(const struct oll_gguf_kv *kv, struct oll_gguf_str *out,
                               struct oll_error *err);

const char *oll_gguf_type_name(enum oll_gguf_type type);

/* Text of a string of the file for messages and terminals, cut to `out` with "..." at the end;
 * control characters and bytes that are no UTF-8 become '?'. Returns out; n >= 8. */
const char *oll_gguf_printable(struct oll_gguf_str s, char *out, size_t n);

/* ---- writer ----
 *
 * Metadata and tensors are declared in order, then data follows in the order of the tensors:
 *     oll_gguf_writer_new; oll_gguf_put_...; oll_gguf_add_tensor...; oll_gguf_write_header;
 * oll_gguf_write_data...; oll_gguf_writer_finish (flushes, fsyncs and closes; the file is complete
 * only when it returns OLL_OK). Version 3, little-endian, zero padding, offsets sequential; equal
 * calls give equal bytes. Errors stick: the put and add functions return nothing and the next
 * function that returns a status reports. */
struct oll_gguf_writer;

oll_status oll_gguf_writer_new(const char *path, struct oll_gguf_writer **out,
                               struct oll_error *err) OLL_MUST_USE;
/* Where a writer's bytes go, in order, when it makes no file of its own. */
struct oll_gguf_sink {
    oll_status (*write)(void *user, const void *data, size_t n, struct oll_error *err);
    void *user;
};
oll_status oll_gguf_writer_new_to(const struct oll_gguf_sink *sink, struct oll_gguf_writer **out,
                                  struct oll_error *err) OLL_MUST_USE;
void oll_gguf_writer_free(struct oll_gguf_writer *w); /* an unfinished file is removed */

void oll_gguf_put_u32(struct oll_gguf_writer *w, const char *key, uint32_t v);
void oll_gguf_put_u64(struct oll_gguf_writer *w, const char *key, uint64_t v);
void oll_gguf_put_i32(struct oll_gguf_writer *w, const char *key, int32_t v);
void oll_gguf_put_f32(struct oll_gguf_writer *w, const char *key, float v);
void oll_gguf_put_bool(struct oll_gguf_writer *w, const char *key, bool v);
void oll_gguf_put_str(struct oll_gguf_writer *w, const char *key, const char *s, uint64_t len);
/* Numeric and bool arrays: `data` holds `count` little-endian elements of `elem_type`. */
void oll_gguf_put_array(struct oll_gguf_writer *w, const char *key, enum oll_gguf_type elem_type,
                        const void *data, uint64_t count);
void oll_gguf_put_strings(struct oll_gguf_writer *w, const char *key,
                          const struct oll_gguf_str *strings, uint64_t count);
/* Copies a pair of a reader as it is. */
void oll_gguf_put_kv(struct oll_gguf_writer *w, const struct oll_gguf_kv *kv);

void oll_gguf_add_tensor(struct oll_gguf_writer *w, const char *name, enum oll_dtype dtype,
                         const uint64_t *ne, uint32_t n_dims);
oll_status oll_gguf_write_header(struct oll_gguf_writer *w, struct oll_error *err) OLL_MUST_USE;
/* Appends bytes of the current tensor; the writer pads and moves on when it is complete. */
oll_status oll_gguf_write_data(struct oll_gguf_writer *w, const void *data, uint64_t n_bytes,
                               struct oll_error *err) OLL_MUST_USE;
oll_status oll_gguf_writer_finish(struct oll_gguf_writer *w, struct oll_error *err) OLL_MUST_USE;

#endif
