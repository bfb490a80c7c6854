/* Writer: the header grows in memory, the data streams to a file beside the target, which takes the
 * target's name when everything is on the disk. */
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "gguf/gguf.h"
#include "gguf/gguf_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_MAX_BYTES = 1 << 30,
    FILE_BUFFER_BYTES = 1 << 20,
    TEMP_NAME_TRIES = 100,
    PRINT_MAX = 96
};

struct writer_tensor {
    struct oll_gguf_str name;
    uint64_t n_bytes, offset;
};

struct oll_gguf_writer {
    char *path, *temp_path;    /* temp_path is NULL when there is no file to remove */
    FILE *file;                /* NULL with a sink */
    struct oll_gguf_sink sink; /* `write` is NULL without one */
    uint64_t alignment;
    struct oll_strbuf kvs, infos; /* encoded pairs and tensor infos */
    struct oll_gguf_str *keys;    /* [n_keys] owned copies, for the check of duplicates */
    uint32_t n_keys, cap_keys;
    struct writer_tensor *tensors; /* [n_tensors], names owned */
    uint32_t n_tensors, cap_tensors;
    bool has_header;
    uint32_t i_tensor;      /* the one that is being written */
    uint64_t done;          /* bytes of it that were */
    struct oll_error error; /* sticky */
};

static void fail(struct oll_gguf_writer *w, oll_status status, const char *fmt, ...)
    OLL_PRINTF(3, 4);

static void fail(struct oll_gguf_writer *w, oll_status status, const char *fmt, ...)
{
    va_list args;
    if (w->error.status != OLL_OK)
        return;
    va_start(args, fmt);
    oll_error_setv(&w->error, status, fmt, args);
    va_end(args);
    oll_error_prefix(&w->error, "%s", w->path);
}

static void fail_errno(struct oll_gguf_writer *w, const char *what)
{
    fail(w, errno == EACCES ? OLL_ERR_DENIED : OLL_ERR_IO, "cannot %s: %s", what, strerror(errno));
}

static oll_status report(const struct oll_gguf_writer *w, struct oll_error *err)
{
    if (w->error.status == OLL_OK)
        return OLL_OK;
    return OLL_FAIL(err, w->error.status, "%s", w->error.text);
}

/* ---- file ---- */

/* Creates "<path>.<pid>-<i>.part" beside the target, so that the rename stays in one file system.
 */
static void create_temp(struct oll_gguf_writer *w)
{
    const size_t n = strlen(w->path) + 48;
    w->temp_path = oll_alloc(n, 1);
    if (!w->temp_path) {
        fail(w, OLL_ERR_MEMORY, "out of memory");
        return;
    }
    int fd = -1;
    errno = EEXIST;
    for (int i = 0; fd < 0 && errno == EEXIST && i < TEMP_NAME_TRIES; i++) {
        snprintf(w->temp_path, n, "%s.%ld-%d.part", w->path, (long)getpid(), i);
        fd = open(w->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (fd >= 0 && !(w->file = fdopen(fd, "wb")))
        close(fd);
    if (w->file) {
        setvbuf(w->file, NULL, _IOFBF, FILE_BUFFER_BYTES);
        return;
    }
    fail_errno(w, "create");
    if (fd >= 0)
        unlink(w->temp_path);
    oll_free(w->temp_path);
    w->temp_path = NULL;
}

static void write_bytes(struct oll_gguf_writer *w, const void *data, size_t n)
{
    if (w->error.status != OLL_OK || n == 0)
        return;
    if (w->sink.write)
        (void)w->sink.write(w->sink.user, data, n, &w->error);
    else if (fwrite(data, 1, n, w->file) != n)
        fail_errno(w, "write");
}

static void write_zeros(struct oll_gguf_writer *w, uint64_t n)
{
    static const unsigned char zeros[256];
    for (; n > 0 && w->error.status == OLL_OK; n -= n < sizeof zeros ? n : sizeof zeros)
        write_bytes(w, zeros, n < sizeof zeros ? (size_t)n : sizeof zeros);
}

static oll_status writer_new(const char *path, const struct oll_gguf_sink *sink,
                             struct oll_gguf_writer **out, struct oll_error *err)
{
    struct oll_gguf_writer *w = oll_calloc(1, sizeof *w);
    if (!w)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", path);
    w->alignment = GGUF_DEFAULT_ALIGNMENT;
    oll_strbuf_init(&w->kvs, HEADER_MAX_BYTES);
    oll_strbuf_init(&w->infos, HEADER_MAX_BYTES);
    w->path = oll_strdup(path);
    if (!w->path)
        oll_error_set(&w->error, OLL_ERR_MEMORY, "%s: out of memory", path);
    else if (sink)
        w->sink = *sink;
    else
        create_temp(w);
    const oll_status status = report(w, err);
    if (status != OLL_OK)
        oll_gguf_writer_free(w);
    else
        *out = w;
    return status;
}

oll_status oll_gguf_writer_new(const char *path, struct oll_gguf_writer **out,
                               struct oll_error *err)
{
    return writer_new(path, NULL, out, err);
}

oll_status oll_gguf_writer_new_to(const struct oll_gguf_sink *sink, struct oll_gguf_writer **out,
                                  struct oll_error *err)
{
    return writer_new("new model", sink, out, err);
}

void oll_gguf_writer_free(struct oll_gguf_writer *w)
{
    if (!w)
        return;
    if (w->file)
        fclose(w->file);
    if (w->temp_path)
        unlink(w->temp_path);
    for (uint32_t i = 0; i < w->n_keys; i++)
        oll_free((char *)w->keys[i].data);
    for (uint32_t i = 0; i < w->n_tensors; i++)
        oll_free((char *)w->tensors[i].name.data);
    oll_free(w->keys);
    oll_free(w->tensors);
    oll_strbuf_free(&w->kvs);
    oll_strbuf_free(&w->infos);
    oll_free(w->temp_path);
    oll_free(w->path);
    oll_free(w);
}

/* ---- encoding ---- */

static void add_u32(struct oll_strbuf *sb, uint32_t v)
{
    const unsigned char bytes[4] = {(unsigned char)v, (unsigned char)(v >> 8),
                                    (unsigned char)(v >> 16), (unsigned char)(v >> 24)};
    oll_strbuf_add(sb, bytes, sizeof bytes);
}

static void add_u64(struct oll_strbuf *sb, uint64_t v)
{
    add_u32(sb, (uint32_t)v);
    add_u32(sb, (uint32_t)(v >> 32));
}

static void add_str(struct oll_strbuf *sb, struct oll_gguf_str s)
{
    add_u64(sb, s.len);
    oll_strbuf_add(sb, s.data, (size_t)s.len);
}

/* Room for one more element of an array that doubles; false after a sticky failure. */
static bool grow(struct oll_gguf_writer *w, void **array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    const uint32_t new_cap = *cap ? *cap * 2 : 64;
    void *p = oll_realloc(*array, new_cap, size);
    if (!p) {
        fail(w, OLL_ERR_MEMORY, "out of memory");
        return false;
    }
    *array = p;
    *cap = new_cap;
    return true;
}

/* Copies a name for later checks; {NULL, 0} after a sticky failure. */
static struct oll_gguf_str copy_name(struct oll_gguf_writer *w, struct oll_gguf_str name)
{
    struct oll_gguf_str copy = {oll_strndup(name.data, (size_t)name.len), name.len};
    if (!copy.data) {
        fail(w, OLL_ERR_MEMORY, "out of memory");
        copy.len = 0;
    }
    return copy;
}

/* Begins a pair: key and type. False when nothing must follow. */
static bool begin_pair(struct oll_gguf_writer *w, struct oll_gguf_str key, enum oll_gguf_type type)
{
    char text[PRINT_MAX];
    if (w->error.status != OLL_OK)
        return false;
    if (w->has_header || key.len == 0 || key.len > GGUF_MAX_KEY_BYTES || w->n_keys >= GGUF_MAX_KV)
        fail(w, OLL_ERR_ARG, "key %s: %s", oll_gguf_printable(key, text, sizeof text),
             w->has_header              ? "the header is written already"
             : w->n_keys >= GGUF_MAX_KV ? "too many pairs"
                                        : "a key has 1 to 65535 bytes");
    void *keys = w->keys;
    if (w->error.status != OLL_OK || !grow(w, &keys, w->n_keys, &w->cap_keys, sizeof *w->keys))
        return false;
    w->keys = keys;
    const struct oll_gguf_str copy = copy_name(w, key);
    if (!copy.data)
        return false;
    w->keys[w->n_keys++] = copy;
    add_str(&w->kvs, key);
    add_u32(&w->kvs, type);
    return true;
}

static struct oll_gguf_str str_of(const char *s) { return (struct oll_gguf_str){s, strlen(s)}; }

static void put_scalar(struct oll_gguf_writer *w, const char *key, enum oll_gguf_type type,
                       uint64_t bits)
{
    if (!begin_pair(w, str_of(key), type))
        return;
    const uint64_t n = gguf_type_bytes(type);
    for (uint64_t i = 0; i < n; i++)
        oll_strbuf_addc(&w->kvs, (char)(bits >> 8 * i & 255));
    if (strcmp(key, "general.alignment") == 0)
        w->alignment = bits;
}

void oll_gguf_put_u32(struct oll_gguf_writer *w, const char *key, uint32_t v)
{
    put_scalar(w, key, OLL_GGUF_U32, v);
}

void oll_gguf_put_u64(struct oll_gguf_writer *w, const char *key, uint64_t v)
{
    put_scalar(w, key, OLL_GGUF_U64, v);
}

void oll_gguf_put_i32(struct oll_gguf_writer *w, const char *key, int32_t v)
{
    put_scalar(w, key, OLL_GGUF_I32, (uint32_t)v);
}

void oll_gguf_put_f32(struct oll_gguf_writer *w, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_scalar(w, key, OLL_GGUF_F32, bits);
}

void oll_gguf_put_bool(struct oll_gguf_writer *w, const char *key, bool v)
{
    put_scalar(w, key, OLL_GGUF_BOOL, v);
}

void oll_gguf_put_str(struct oll_gguf_writer *w, const char *key, const char *s, uint64_t len)
{
    if (begin_pair(w, str_of(key), OLL_GGUF_STRING))
        add_str(&w->kvs, (struct oll_gguf_str){s, len});
}

void oll_gguf_put_array(struct oll_gguf_writer *w, const char *key, enum oll_gguf_type elem_type,
                        const void *data, uint64_t count)
{
    const uint64_t elem_bytes = gguf_type_bytes(elem_type);
    if (elem_bytes == 0 || count > GGUF_MAX_ARRAY_COUNT) {
        fail(w, OLL_ERR_ARG, "key %s: an array of %llu %s cannot be written", key,
             (unsigned long long)count, oll_gguf_type_name(elem_type));
        return;
    }
    if (!begin_pair(w, str_of(key), OLL_GGUF_ARRAY))
        return;
    add_u32(&w->kvs, elem_type);
    add_u64(&w->kvs, count);
    oll_strbuf_add(&w->kvs, data, (size_t)(count * elem_bytes));
}

void oll_gguf_put_strings(struct oll_gguf_writer *w, const char *key,
                          const struct oll_gguf_str *strings, uint64_t count)
{
    if (!begin_pair(w, str_of(key), OLL_GGUF_ARRAY))
        return;
    add_u32(&w->kvs, OLL_GGUF_STRING);
    add_u64(&w->kvs, count);
    for (uint64_t i = 0; i < count; i++)
        add_str(&w->kvs, strings[i]);
}

void oll_gguf_put_kv(struct oll_gguf_writer *w, const struct oll_gguf_kv *kv)
{
    static const char alignment_key[] = "general.alignment";
    if (!begin_pair(w, kv->key, kv->type))
        return;
    if (kv->type == OLL_GGUF_ARRAY) {
        add_u32(&w->kvs, kv->elem_type);
        add_u64(&w->kvs, kv->count);
    }
    oll_strbuf_add(&w->kvs, kv->data, (size_t)kv->data_bytes);
    if (kv->key.len == sizeof alignment_key - 1 &&
        memcmp(kv->key.data, alignment_key, kv->key.len) == 0 &&
        oll_gguf_kv_u64(kv, 0, &w->alignment, &w->error) != OLL_OK)
        oll_error_prefix(&w->error, "%s", w->path);
}

/* ---- tensors ---- */

static bool tensor_bytes(enum oll_dtype dtype, const uint64_t *ne, uint32_t n_dims, uint64_t *out)
{
    const struct oll_dtype_info *info = oll_dtype_info((uint32_t)dtype);
    if (!info || n_dims < 1 || n_dims > OLL_GGUF_MAX_DIMS || ne[0] % info->block_elements != 0)
        return false;
    bool fits = oll_mul_u64(ne[0] / info->block_elements, info->block_bytes, out);
    for (uint32_t d = 1; d < n_dims; d++)
        fits = fits && oll_mul_u64(*out, ne[d], out);
    return fits && *out > 0 && *out <= INT64_MAX;
}

void oll_gguf_add_tensor(struct oll_gguf_writer *w, const char *name, enum oll_dtype dtype,
                         const uint64_t *ne, uint32_t n_dims)
{
    const size_t len = strlen(name);
    struct writer_tensor t = {0};
    if (w->error.status != OLL_OK)
        return;
    if (w->has_header || len == 0 || len > OLL_GGUF_MAX_NAME || w->n_tensors >= GGUF_MAX_TENSORS ||
        !tensor_bytes(dtype, ne, n_dims, &t.n_bytes)) {
        fail(w, OLL_ERR_ARG, "tensor %s: a bad name, shape or type, or too late", name);
        return;
    }
    void *tensors = w->tensors;
    if (!grow(w, &tensors, w->n_tensors, &w->cap_tensors, sizeof *w->tensors))
        return;
    w->tensors = tensors;
    t.name = copy_name(w, str_of(name));
    if (!t.name.data)
        return;
    w->tensors[w->n_tensors++] = t;
    add_str(&w->infos, t.name);
    add_u32(&w->infos, n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        add_u64(&w->infos, ne[d]);
    add_u32(&w->infos, (uint32_t)dtype);
    add_u64(&w->infos, 0); /* the offset, once the alignment is final */
}

/* Offsets follow the order of the infos; each is the last word of its info. */
static void set_offsets(struct oll_gguf_writer *w)
{
    uint64_t offset = 0;
    char *p = w->infos.data;
    for (uint32_t i = 0; i < w->n_tensors; i++) {
        struct writer_tensor *t = &w->tensors[i];
        uint32_t n_dims;
        p += 8 + t->name.len;
        memcpy(&n_dims, p, sizeof n_dims);
        p += 4 + 8 * (size_t)n_dims + 4;
        for (int b = 0; b < 8; b++)
            *p++ = (char)(offset >> 8 * b & 255);
        t->offset = offset;
        uint64_t end;
        if (!oll_add_u64(offset, t->n_bytes, &end) ||
            !oll_add_u64(end, w->alignment - 1, &offset)) {
            fail(w, OLL_ERR_LIMIT, "the tensors take more than 2^64 bytes");
            return;
        }
        offset &= ~(w->alignment - 1);
    }
}

static void check_unique(struct oll_gguf_writer *w, const void *items, size_t stride, uint32_t n,
                         const char *what)
{
    struct gguf_index index;
    uint32_t i = 0;
    char text[PRINT_MAX];
    const oll_status status = gguf_index_build(&index, items, stride, n, &i);
    if (status == OLL_ERR_EXISTS) {
        const struct oll_gguf_str *name = (const void *)((const char *)items + i * stride);
        fail(w, OLL_ERR_ARG, "%s %s is given twice", what,
             oll_gguf_printable(*name, text, sizeof text));
    } else if (status != OLL_OK) {
        fail(w, status, "out of memory");
    }
    gguf_index_free(&index);
}

oll_status oll_gguf_write_header(struct oll_gguf_writer *w, struct oll_error *err)
{
    struct oll_strbuf head;
    if (w->has_header)
        fail(w, OLL_ERR_ARG, "the header is written already");
    if (w->alignment < GGUF_MIN_ALIGNMENT || w->alignment > GGUF_MAX_ALIGNMENT ||
        (w->alignment & (w->alignment - 1)) != 0)
        fail(w, OLL_ERR_ARG, "general.alignment %llu is no power of two from %d to %d",
             (unsigned long long)w->alignment, GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    if (w->kvs.status != OLL_OK || w->infos.status != OLL_OK)
        fail(w, w->kvs.status != OLL_OK ? w->kvs.status : w->infos.status,
             "the header does not fit the memory");
    check_unique(w, w->keys, sizeof *w->keys, w->n_keys, "key");
    check_unique(w, w->tensors, sizeof *w->tensors, w->n_tensors, "tensor");
    OLL_TRY(report(w, err));
    set_offsets(w);
    oll_strbuf_init(&head, 64);
    oll_strbuf_adds(&head, "GGUF");
    add_u32(&head, 3);
    add_u64(&head, w->n_tensors);
    add_u64(&head, w->n_keys);
    if (head.status != OLL_OK)
        fail(w, head.status, "out of memory");
    write_bytes(w, head.data, head.len);
    write_bytes(w, w->kvs.data, w->kvs.len);
    write_bytes(w, w->infos.data, w->infos.len);
    if (w->n_tensors > 0) {
        const uint64_t end = head.len + w->kvs.len + w->infos.len;
        write_zeros(w, (0 - end) & (w->alignment - 1));
    }
    oll_strbuf_free(&head);
    oll_strbuf_free(&w->kvs);
    oll_strbuf_free(&w->infos);
    w->has_header = true;
    return report(w, err);
}

oll_status oll_gguf_write_data(struct oll_gguf_writer *w, const void *data, uint64_t n_bytes,
                               struct oll_error *err)
{
    OLL_TRY(report(w, err));
    if (!w->has_header || w->i_tensor >= w->n_tensors ||
        n_bytes > w->tensors[w->i_tensor].n_bytes - w->done) {
        fail(w, OLL_ERR_ARG, "%llu bytes of data that no tensor has room for",
             (unsigned long long)n_bytes);
        return report(w, err);
    }
    write_bytes(w, data, (size_t)n_bytes);
    w->done += n_bytes;
    if (w->done == w->tensors[w->i_tensor].n_bytes) {
        write_zeros(w, (0 - w->done) & (w->alignment - 1));
        w->done = 0;
        w->i_tensor++;
    }
    return report(w, err);
}

/* Makes the rename durable. A folder that cannot be opened for reading is left to the system. */
static void sync_folder(struct oll_gguf_writer *w)
{
    const char *slash = strrchr(w->path, '/');
    char *folder = slash ? oll_strndup(w->path, slash == w->path ? 1 : (size_t)(slash - w->path))
                         : oll_strdup(".");
    if (!folder) {
        fail(w, OLL_ERR_MEMORY, "out of memory");
        return;
    }
    const int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL)
        fail_errno(w, "sync the folder");
    if (fd >= 0)
        close(fd);
    oll_free(folder);
}

oll_status oll_gguf_writer_finish(struct oll_gguf_writer *w, struct oll_error *err)
{
    if (!w->has_header || w->i_tensor < w->n_tensors)
        fail(w, OLL_ERR_ARG, "finished with data of %u of %u tensors", w->i_tensor, w->n_tensors);
    OLL_TRY(report(w, err));
    if (w->sink.write)
        return OLL_OK;
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)
        fail_errno(w, "write");
    if (fclose(w->file) != 0)
        fail_errno(w, "close");
    w->file = NULL;
    OLL_TRY(report(w, err));
    if (rename(w->temp_path, w->path) != 0) {
        fail_errno(w, "rename");
        return report(w, err);
    }
    oll_free(w->temp_path);
    w->temp_path = NULL;
    sync_folder(w);
    return report(w, err);
}
