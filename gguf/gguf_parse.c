/* One part of a model: header, metadata and tensor directory, checked while they are read. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "gguf/gguf_cursor.h"
#include "gguf/gguf_reader.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    HEADER_BYTES = 24,
    SMALLEST_KV_BYTES = 13,     /* empty key, type, one byte */
    SMALLEST_TENSOR_BYTES = 32, /* empty name, one dimension */
    PRINT_MAX = 96
};

struct parser {
    struct oll_gguf *gguf;
    struct gguf_part *part;
    uint32_t i_part;
    struct gguf_cursor c;
    struct oll_error *err;
    uint64_t n_tensors;
    bool is_gptoss; /* type id 4 stands for MXFP4 */
};

oll_status gguf_fail_at(const struct gguf_part *part, uint64_t pos, struct oll_error *err,
                        oll_status status, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return OLL_FAIL(err, status, "%s: byte %llu: %s", part->path, (unsigned long long)pos, text);
}

#define FAIL_AT(p, pos, status, ...) gguf_fail_at((p)->part, (pos), (p)->err, (status), __VA_ARGS__)

/* What a cursor that has failed means; `what` and `name` say in which record, name may be "". */
static oll_status fail_short(struct parser *p, const char *what, const char *name)
{
    return FAIL_AT(p, p->c.pos, OLL_ERR_FORMAT,
                   "%s%s%s: %llu bytes are needed, %llu are left; the file is cut short or damaged",
                   what, name[0] ? " " : "", name, (unsigned long long)p->c.need,
                   (unsigned long long)gguf_cursor_left(&p->c));
}

/* ---- what the file is, if it is no GGUF ---- */

static bool starts_with_word(const unsigned char *data, uint64_t n, const char *word)
{
    uint64_t i = 0;
    while (i < n && i < 256 && strchr(" \t\r\n\xef\xbb\xbf", data[i]) && data[i])
        i++;
    const size_t len = strlen(word);
    return n - i >= len && strncasecmp((const char *)data + i, word, len) == 0;
}

static bool is_safetensors(const unsigned char *data, uint64_t n)
{
    return n >= 10 && data[8] == '{' && gguf_load_u64(data) >= 2 && gguf_load_u64(data) <= n - 8;
}

static const char *foreign_format(const unsigned char *data, uint64_t n)
{
    static const uint32_t old_magics[] = {0x67676d6c, 0x67676d66, 0x67676a74, 0x67676c61};
    for (size_t i = 0; n >= 4 && i < sizeof old_magics / sizeof *old_magics; i++)
        if (gguf_load_u32(data) == old_magics[i])
            return "a file from before GGUF (2023): convert the original model again";
    if (n >= 4 && memcmp(data, "PK\x03\x04", 4) == 0)
        return "a zip archive, perhaps a PyTorch checkpoint: convert it to GGUF first";
    if (n >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5)
        return "a Python pickle, perhaps a PyTorch checkpoint: convert it to GGUF first";
    if (is_safetensors(data, n))
        return "a safetensors file: convert it to GGUF first";
    if (starts_with_word(data, n, "<!doctype") || starts_with_word(data, n, "<html"))
        return "a web page, perhaps an error page saved by a download: download the file again";
    if (starts_with_word(data, n, "version https://git-lfs"))
        return "a Git LFS pointer: fetch the file itself with git lfs pull";
    return NULL;
}

/* ---- header ---- */

static oll_status check_version(struct parser *p)
{
    const uint32_t version = p->part->version;
    if (version == 2 || version == 3)
        return OLL_OK;
    if (version == 1)
        return FAIL_AT(p, 4, OLL_ERR_UNSUPPORTED,
                       "GGUF v1 is no longer supported, convert the model again");
    if (version != 0 && (version & 0xffff) == 0)
        return FAIL_AT(p, 4, OLL_ERR_UNSUPPORTED,
                       "a big-endian file: convert it for little-endian machines");
    return FAIL_AT(p, 4, OLL_ERR_UNSUPPORTED, "GGUF version %u is not known, versions 2 and 3 are",
                   version);
}

/* A count is believed only if the bytes left can hold that many records. */
static oll_status check_count(struct parser *p, uint64_t pos, uint64_t n, uint64_t max,
                              uint64_t smallest, const char *what)
{
    const uint64_t left = gguf_cursor_left(&p->c);
    if (n > max)
        return FAIL_AT(p, pos, OLL_ERR_LIMIT, "%llu %s, at most %llu are read",
                       (unsigned long long)n, what, (unsigned long long)max);
    if (n > left / smallest)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT, "%llu %s do not fit the %llu bytes left",
                       (unsigned long long)n, what, (unsigned long long)left);
    return OLL_OK;
}

static oll_status parse_header(struct parser *p, uint64_t *n_kv)
{
    const struct gguf_part *part = p->part;
    const char *foreign = foreign_format(part->data, part->n_bytes);
    if (foreign)
        return OLL_FAIL(p->err, OLL_ERR_FORMAT, "%s: not a GGUF file but %s", part->path, foreign);
    const bool magic = part->n_bytes >= 4 && memcmp(part->data, "GGUF", 4) == 0;
    if (part->n_bytes >= 4 && !magic)
        return FAIL_AT(p, 0, OLL_ERR_FORMAT,
                       "not a GGUF file: it begins with %02x %02x %02x %02x, not with \"GGUF\"",
                       part->data[0], part->data[1], part->data[2], part->data[3]);
    if (part->n_bytes < HEADER_BYTES)
        return OLL_FAIL(p->err, OLL_ERR_FORMAT,
                        "%s: %llu bytes are too few for a GGUF header of %d bytes", part->path,
                        (unsigned long long)part->n_bytes, HEADER_BYTES);
    p->c.pos = 4;
    p->part->version = gguf_cursor_u32(&p->c);
    OLL_TRY(check_version(p));
    p->n_tensors = gguf_cursor_u64(&p->c);
    *n_kv = gguf_cursor_u64(&p->c);
    OLL_TRY(check_count(p, 16, *n_kv, GGUF_MAX_KV, SMALLEST_KV_BYTES, "metadata pairs"));
    return check_count(p, 8, p->n_tensors, GGUF_MAX_TENSORS, SMALLEST_TENSOR_BYTES, "tensors");
}

/* ---- metadata ---- */

static oll_status check_type(struct parser *p, uint64_t pos, uint32_t type, const char *key)
{
    if (type >= OLL_GGUF_TYPE_COUNT)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT, "key %s: unknown value type %u", key, type);
    return OLL_OK;
}

/* Skips `count` strings. */
static oll_status parse_strings(struct parser *p, uint64_t count, const char *key)
{
    char what[PRINT_MAX + 64];
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t pos = p->c.pos;
        const struct oll_gguf_str s = gguf_cursor_str(&p->c);
        if (!s.data) {
            snprintf(what, sizeof what, "%s: string %llu of %llu", key, (unsigned long long)i + 1,
                     (unsigned long long)count);
            return fail_short(p, "key", what);
        }
        if (s.len > GGUF_MAX_STRING_BYTES)
            return FAIL_AT(p, pos, OLL_ERR_LIMIT,
                           "key %s: a string of %llu bytes, at most %d are read", key,
                           (unsigned long long)s.len, GGUF_MAX_STRING_BYTES);
    }
    return OLL_OK;
}

static oll_status parse_array(struct parser *p, struct oll_gguf_kv *kv, const char *key)
{
    const uint64_t type_pos = p->c.pos;
    const uint32_t type = gguf_cursor_u32(&p->c);
    const uint64_t count = gguf_cursor_u64(&p->c);
    if (p->c.need)
        return fail_short(p, "key", key);
    OLL_TRY(check_type(p, type_pos, type, key));
    if (type == OLL_GGUF_ARRAY)
        return FAIL_AT(p, type_pos, OLL_ERR_UNSUPPORTED, "key %s: an array of arrays", key);
    const uint64_t elem_bytes = gguf_type_bytes(type);
    char what[PRINT_MAX + 32];
    snprintf(what, sizeof what, "elements of key %s", key);
    OLL_TRY(check_count(p, type_pos + 4, count, GGUF_MAX_ARRAY_COUNT, elem_bytes ? elem_bytes : 8,
                        what));
    kv->elem_type = (enum oll_gguf_type)type;
    kv->count = count;
    kv->data = p->c.base + p->c.pos;
    if (type == OLL_GGUF_STRING)
        return parse_strings(p, count, key);
    gguf_cursor_take(&p->c, count * elem_bytes);
    return OLL_OK;
}

static oll_status parse_value(struct parser *p, struct oll_gguf_kv *kv, const char *key)
{
    if (kv->type == OLL_GGUF_ARRAY)
        return parse_array(p, kv, key);
    kv->elem_type = kv->type;
    kv->count = 1;
    kv->data = p->c.base + p->c.pos;
    if (kv->type == OLL_GGUF_STRING)
        return parse_strings(p, 1, key);
    gguf_cursor_take(&p->c, gguf_type_bytes(kv->type));
    if (!p->c.need && kv->type == OLL_GGUF_BOOL && kv->data[0] > 1)
        oll_log_warn("gguf", "%s: key %s: bool of value %u taken as true", p->part->path, key,
                     kv->data[0]);
    return OLL_OK;
}

static oll_status parse_kv(struct parser *p, struct oll_gguf_kv *kv)
{
    const uint64_t pos = p->c.pos;
    char key[PRINT_MAX];
    kv->key = gguf_cursor_str(&p->c);
    if (p->c.need)
        return fail_short(p, "metadata key", "");
    if (kv->key.len == 0 || kv->key.len > GGUF_MAX_KEY_BYTES)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT, "metadata key of %llu bytes, 1 to %d are allowed",
                       (unsigned long long)kv->key.len, GGUF_MAX_KEY_BYTES);
    oll_gguf_printable(kv->key, key, sizeof key);
    const uint64_t type_pos = p->c.pos;
    const uint32_t type = gguf_cursor_u32(&p->c);
    if (p->c.need)
        return fail_short(p, "key", key);
    OLL_TRY(check_type(p, type_pos, type, key));
    kv->type = (enum oll_gguf_type)type;
    OLL_TRY(parse_value(p, kv, key));
    if (p->c.need)
        return fail_short(p, "key", key);
    kv->data_bytes = (uint64_t)(p->c.base + p->c.pos - kv->data);
    return OLL_OK;
}

static oll_status parse_metadata(struct parser *p, uint64_t n_kv)
{
    struct gguf_part *part = p->part;
    part->kvs = oll_calloc((size_t)n_kv, sizeof *part->kvs);
    if (!part->kvs)
        return OLL_FAIL(p->err, OLL_ERR_MEMORY, "%s: out of memory", part->path);
    part->n_kv = (uint32_t)n_kv;
    for (uint32_t i = 0; i < part->n_kv; i++)
        OLL_TRY(parse_kv(p, &part->kvs[i]));
    uint32_t duplicate = 0;
    const oll_status status =
        gguf_index_build(&part->kv_index, part->kvs, sizeof *part->kvs, part->n_kv, &duplicate);
    if (status == OLL_ERR_EXISTS) {
        const struct oll_gguf_str name = part->kvs[duplicate].key;
        char key[PRINT_MAX];
        return FAIL_AT(p, (uint64_t)((const unsigned char *)name.data - part->data), OLL_ERR_FORMAT,
                       "key %s occurs twice", oll_gguf_printable(name, key, sizeof key));
    }
    if (status != OLL_OK)
        return OLL_FAIL(p->err, status, "%s: out of memory", part->path);
    return OLL_OK;
}

static oll_status read_alignment(struct parser *p)
{
    uint64_t alignment = GGUF_DEFAULT_ALIGNMENT;
    const oll_status status = gguf_part_u64(p->part, "general.alignment", &alignment, p->err);
    if (status != OLL_OK && status != OLL_ERR_NOT_FOUND)
        return status;
    if (alignment < GGUF_MIN_ALIGNMENT || alignment > GGUF_MAX_ALIGNMENT ||
        (alignment & (alignment - 1)) != 0)
        return OLL_FAIL(p->err, OLL_ERR_FORMAT,
                        "%s: key general.alignment: %llu is no power of two from %d to %d",
                        p->part->path, (unsigned long long)alignment, GGUF_MIN_ALIGNMENT,
                        GGUF_MAX_ALIGNMENT);
    p->part->alignment = alignment;
    return OLL_OK;
}

/* ---- tensor directory ---- */

static oll_status parse_name(struct parser *p, struct oll_gguf_tensor *t)
{
    const uint64_t pos = p->c.pos;
    t->name = gguf_cursor_str(&p->c);
    if (p->c.need)
        return fail_short(p, "tensor name", "");
    if (t->name.len == 0 || t->name.len > OLL_GGUF_MAX_NAME)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT, "tensor name of %llu bytes, 1 to %d are allowed",
                       (unsigned long long)t->name.len, OLL_GGUF_MAX_NAME);
    return OLL_OK;
}

/* Dimensions are at least 1 and their product, the number of elements, at most INT64_MAX. */
static oll_status parse_dims(struct parser *p, struct oll_gguf_tensor *t, const char *name)
{
    const uint64_t pos = p->c.pos;
    uint64_t n_elements = 1;
    t->n_dims = gguf_cursor_u32(&p->c);
    if (!p->c.need && (t->n_dims < 1 || t->n_dims > OLL_GGUF_MAX_DIMS))
        return FAIL_AT(p, pos, OLL_ERR_FORMAT, "tensor %s: %u dimensions, 1 to %d are allowed",
                       name, t->n_dims, OLL_GGUF_MAX_DIMS);
    for (uint32_t d = 0; d < OLL_GGUF_MAX_DIMS; d++) {
        const uint64_t dim_pos = p->c.pos;
        t->ne[d] = d < t->n_dims ? gguf_cursor_u64(&p->c) : 1;
        if (p->c.need)
            return fail_short(p, "tensor", name);
        if (t->ne[d] < 1 || t->ne[d] > INT64_MAX)
            return FAIL_AT(p, dim_pos, OLL_ERR_FORMAT, "tensor %s: dimension %u is %llu", name, d,
                           (unsigned long long)t->ne[d]);
        if (!oll_mul_u64(n_elements, t->ne[d], &n_elements) || n_elements > INT64_MAX)
            return FAIL_AT(p, dim_pos, OLL_ERR_FORMAT, "tensor %s: more elements than 2^63 - 1",
                           name);
    }
    return OLL_OK;
}

static oll_status parse_dtype(struct parser *p, struct oll_gguf_tensor *t, const char *name)
{
    const uint64_t pos = p->c.pos;
    uint32_t id = gguf_cursor_u32(&p->c);
    if (p->c.need)
        return fail_short(p, "tensor", name);
    if (id == GGUF_LEGACY_MXFP4 && p->is_gptoss) {
        t->interleaved = true;
        id = OLL_MXFP4;
    }
    const struct oll_dtype_info *info = oll_dtype_info(id);
    if (!info)
        return FAIL_AT(p, pos, OLL_ERR_UNSUPPORTED, "tensor %s: type id %u is %s", name, id,
                       oll_dtype_refusal(id));
    t->dtype = (enum oll_dtype)id;
    if (t->ne[0] % info->block_elements != 0)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT,
                       "tensor %s: rows of %llu elements are no multiple of the %u of a %s block",
                       name, (unsigned long long)t->ne[0], info->block_elements, info->name);
    bool fits = oll_mul_u64(t->ne[0] / info->block_elements, info->block_bytes, &t->n_bytes);
    for (int d = 1; d < OLL_GGUF_MAX_DIMS; d++)
        fits = fits && oll_mul_u64(t->n_bytes, t->ne[d], &t->n_bytes);
    if (!fits)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT, "tensor %s: more bytes than 2^64 - 1", name);
    return OLL_OK;
}

static oll_status parse_tensor(struct parser *p, struct oll_gguf_tensor *t)
{
    char name[OLL_GGUF_MAX_NAME + 1];
    *t = (struct oll_gguf_tensor){.i_part = p->i_part};
    OLL_TRY(parse_name(p, t));
    oll_gguf_printable(t->name, name, sizeof name);
    OLL_TRY(parse_dims(p, t, name));
    OLL_TRY(parse_dtype(p, t, name));
    const uint64_t pos = p->c.pos;
    t->file_off = gguf_cursor_u64(&p->c); /* from data_start until the layout is checked */
    if (p->c.need)
        return fail_short(p, "tensor", name);
    if (t->file_off % p->part->alignment != 0)
        return FAIL_AT(p, pos, OLL_ERR_FORMAT,
                       "tensor %s: offset %llu is no multiple of the alignment %llu", name,
                       (unsigned long long)t->file_off, (unsigned long long)p->part->alignment);
    return OLL_OK;
}

static oll_status parse_tensors(struct parser *p)
{
    struct oll_gguf *gguf = p->gguf;
    const uint32_t first = gguf->n_tensors;
    /* Again, now that the metadata has taken its share of the bytes. */
    OLL_TRY(check_count(p, 8, p->n_tensors, GGUF_MAX_TENSORS - first, SMALLEST_TENSOR_BYTES,
                        "tensors"));
    if (p->n_tensors > 0) {
        struct oll_gguf_tensor *tensors =
            oll_realloc(gguf->tensors, first + (size_t)p->n_tensors, sizeof *tensors);
        if (!tensors)
            return OLL_FAIL(p->err, OLL_ERR_MEMORY, "%s: out of memory", p->part->path);
        gguf->tensors = tensors;
    }
    for (uint64_t i = 0; i < p->n_tensors; i++) {
        OLL_TRY(parse_tensor(p, &gguf->tensors[first + i]));
        gguf->n_tensors++;
    }
    /* No overflow: pos is within the file, the alignment at most 1 MiB. */
    const uint64_t mask = p->part->alignment - 1;
    p->part->data_start = (p->c.pos + mask) & ~mask;
    return gguf_check_layout(gguf, p->i_part, first, p->err);
}

static bool is_gptoss(const struct gguf_part *part)
{
    const struct oll_gguf_kv *kv = gguf_part_find(part, "general.architecture");
    struct oll_gguf_str s;
    if (!kv || kv->type != OLL_GGUF_STRING || oll_gguf_kv_strings(kv, &s, NULL) != OLL_OK)
        return false;
    return (s.len == 6 && memcmp(s.data, "gptoss", 6) == 0) ||
           (s.len == 7 && memcmp(s.data, "gpt-oss", 7) == 0);
}

oll_status gguf_parse_part(struct oll_gguf *gguf, uint32_t i_part, struct oll_error *err)
{
    struct gguf_part *part = &gguf->parts[i_part];
    struct parser p = {.gguf = gguf, .part = part, .i_part = i_part, .err = err};
    uint64_t n_kv = 0;
    p.c = (struct gguf_cursor){.base = part->data, .end = part->n_bytes};
    OLL_TRY(parse_header(&p, &n_kv));
    OLL_TRY(parse_metadata(&p, n_kv));
    OLL_TRY(read_alignment(&p));
    p.is_gptoss = is_gptoss(&gguf->parts[0]);
    return parse_tensors(&p);
}
