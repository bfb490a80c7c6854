/* Typed reads of metadata. */
#include "engine/base/utf8.h"
#include "gguf/gguf_cursor.h"
#include "gguf/gguf_reader.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t bytes; /* 0 when the size varies */
} types[OLL_GGUF_TYPE_COUNT] = {
    [OLL_GGUF_U8] = {"u8", 1},   [OLL_GGUF_I8] = {"i8", 1},       [OLL_GGUF_U16] = {"u16", 2},
    [OLL_GGUF_I16] = {"i16", 2}, [OLL_GGUF_U32] = {"u32", 4},     [OLL_GGUF_I32] = {"i32", 4},
    [OLL_GGUF_F32] = {"f32", 4}, [OLL_GGUF_BOOL] = {"bool", 1},   [OLL_GGUF_STRING] = {"string", 0},
    [OLL_GGUF_U64] = {"u64", 8}, [OLL_GGUF_ARRAY] = {"array", 0}, [OLL_GGUF_I64] = {"i64", 8},
    [OLL_GGUF_F64] = {"f64", 8},
};

const char *oll_gguf_type_name(enum oll_gguf_type type)
{
    return (uint32_t)type < OLL_GGUF_TYPE_COUNT ? types[type].name : "unknown";
}

uint64_t gguf_type_bytes(uint32_t type)
{
    return type < OLL_GGUF_TYPE_COUNT ? types[type].bytes : 0;
}

const char *oll_gguf_printable(struct oll_gguf_str s, char *out, size_t n)
{
    size_t used = 0, fallback = 0; /* the longest text so far that leaves room for "..." */
    for (uint64_t i = 0; i < s.len;) {
        uint32_t cp;
        int len = oll_utf8_decode(s.data + i, (size_t)(s.len - i), &cp);
        const bool shown = len > 0 && cp >= 0x20 && !(cp >= 0x7f && cp < 0xa0);
        len = len > 0 ? len : 1;
        const size_t need = shown ? (size_t)len : 1;
        if (used + need >= n) {
            memcpy(out + fallback, "...", 3);
            used = fallback + 3;
            break;
        }
        if (shown)
            memcpy(out + used, s.data + i, need);
        else
            out[used] = '?';
        used += need;
        fallback = used + 3 < n ? used : fallback;
        i += (uint64_t)len;
    }
    out[used] = '\0';
    return out;
}

static oll_status fail_type(const struct oll_gguf_kv *kv, uint64_t i, const char *expected,
                            struct oll_error *err)
{
    char key[96];
    oll_gguf_printable(kv->key, key, sizeof key);
    if (i >= kv->count)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: element %llu is wanted of %llu", key,
                        (unsigned long long)i, (unsigned long long)kv->count);
    if (kv->type == OLL_GGUF_ARRAY)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: expected %s, found an array of %s", key,
                        expected, oll_gguf_type_name(kv->elem_type));
    return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: expected %s, found %s", key, expected,
                    oll_gguf_type_name(kv->type));
}

/* An integer or bool: its 64 bits, and whether they stand for a negative number. */
static bool load_integer(const struct oll_gguf_kv *kv, uint64_t i, uint64_t *bits, bool *negative)
{
    if (i >= kv->count)
        return false;
    const unsigned char *p = kv->data + i * gguf_type_bytes(kv->elem_type);
    int64_t v;
    *negative = false;
    switch (kv->elem_type) {
    case OLL_GGUF_U8: *bits = p[0]; return true;
    case OLL_GGUF_BOOL: *bits = p[0] != 0; return true;
    case OLL_GGUF_U16: *bits = gguf_load_u16(p); return true;
    case OLL_GGUF_U32: *bits = gguf_load_u32(p); return true;
    case OLL_GGUF_U64: *bits = gguf_load_u64(p); return true;
    case OLL_GGUF_I8: v = (int8_t)p[0]; break;
    case OLL_GGUF_I16: v = (int16_t)gguf_load_u16(p); break;
    case OLL_GGUF_I32: v = (int32_t)gguf_load_u32(p); break;
    case OLL_GGUF_I64: v = (int64_t)gguf_load_u64(p); break;
    default: return false;
    }
    *bits = (uint64_t)v;
    *negative = v < 0;
    return true;
}

oll_status oll_gguf_kv_u64(const struct oll_gguf_kv *kv, uint64_t i, uint64_t *out,
                           struct oll_error *err)
{
    uint64_t bits;
    bool negative;
    if (!load_integer(kv, i, &bits, &negative))
        return fail_type(kv, i, "an integer", err);
    if (negative) {
        char key[96];
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: %lld is negative",
                        oll_gguf_printable(kv->key, key, sizeof key), (long long)bits);
    }
    *out = bits;
    return OLL_OK;
}

oll_status oll_gguf_kv_i64(const struct oll_gguf_kv *kv, uint64_t i, int64_t *out,
                           struct oll_error *err)
{
    uint64_t bits;
    bool negative;
    if (!load_integer(kv, i, &bits, &negative))
        return fail_type(kv, i, "an integer", err);
    if (!negative && bits > INT64_MAX) {
        char key[96];
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: %llu does not fit 63 bits",
                        oll_gguf_printable(kv->key, key, sizeof key), (unsigned long long)bits);
    }
    *out = (int64_t)bits;
    return OLL_OK;
}

oll_status oll_gguf_kv_f64(const struct oll_gguf_kv *kv, uint64_t i, double *out,
                           struct oll_error *err)
{
    uint64_t bits;
    bool negative;
    if (i < kv->count && kv->elem_type == OLL_GGUF_F32) {
        const uint32_t word = gguf_load_u32(kv->data + 4 * i);
        float v;
        memcpy(&v, &word, sizeof v);
        *out = v;
        return OLL_OK;
    }
    if (i < kv->count && kv->elem_type == OLL_GGUF_F64) {
        const uint64_t word = gguf_load_u64(kv->data + 8 * i);
        memcpy(out, &word, sizeof *out);
        return OLL_OK;
    }
    if (!load_integer(kv, i, &bits, &negative))
        return fail_type(kv, i, "a number", err);
    *out = negative ? (double)(int64_t)bits : (double)bits;
    return OLL_OK;
}

oll_status oll_gguf_kv_bool(const struct oll_gguf_kv *kv, uint64_t i, bool *out,
                            struct oll_error *err)
{
    uint64_t bits;
    bool negative;
    if (!load_integer(kv, i, &bits, &negative))
        return fail_type(kv, i, "a bool", err);
    *out = bits != 0;
    return OLL_OK;
}

oll_status oll_gguf_kv_strings(const struct oll_gguf_kv *kv, struct oll_gguf_str *out,
                               struct oll_error *err)
{
    if (kv->elem_type != OLL_GGUF_STRING)
        return fail_type(kv, 0, "strings", err);
    /* The parser walked these bytes, so the lengths fit. */
    const unsigned char *p = kv->data;
    for (uint64_t i = 0; i < kv->count; i++) {
        out[i].len = gguf_load_u64(p);
        out[i].data = (const char *)p + 8;
        p += 8 + out[i].len;
    }
    return OLL_OK;
}

const struct oll_gguf_kv *gguf_part_find(const struct gguf_part *part, const char *key)
{
    const uint32_t i = gguf_index_find(&part->kv_index, key, strlen(key));
    return i == UINT32_MAX ? NULL : &part->kvs[i];
}

/* Looks a key up for a typed read of a scalar. On OLL_OK *kv may still be of a wrong type. */
static oll_status find_scalar(const struct gguf_part *part, const char *key, const char *expected,
                              const struct oll_gguf_kv **kv, struct oll_error *err)
{
    *kv = gguf_part_find(part, key);
    if (!*kv)
        return OLL_ERR_NOT_FOUND;
    return (*kv)->type == OLL_GGUF_ARRAY ? fail_type(*kv, 0, expected, err) : OLL_OK;
}

/* Runs a read of part `p` and names the file in what it reports. */
#define NAMED_READ(p, err, call)                                                                   \
    do {                                                                                           \
        const bool first_ = (err) && (err)->status == OLL_OK;                                      \
        const oll_status status_ = (call);                                                         \
        if (first_)                                                                                \
            oll_error_prefix((err), "%s", (p)->path);                                              \
        return status_;                                                                            \
    } while (0)

#define SCALAR_READ(suffix, type, expected)                                                        \
    static oll_status read_##suffix(const struct gguf_part *part, const char *key, type *out,      \
                                    struct oll_error *err)                                         \
    {                                                                                              \
        const struct oll_gguf_kv *kv;                                                              \
        OLL_TRY(find_scalar(part, key, expected, &kv, err));                                       \
        return oll_gguf_kv_##suffix(kv, 0, out, err);                                              \
    }                                                                                              \
    oll_status oll_gguf_##suffix(const struct oll_gguf *gguf, const char *key, type *out,          \
                                 struct oll_error *err)                                            \
    {                                                                                              \
        NAMED_READ(&gguf->parts[0], err, read_##suffix(&gguf->parts[0], key, out, err));           \
    }

SCALAR_READ(u64, uint64_t, "an integer")
SCALAR_READ(i64, int64_t, "an integer")
SCALAR_READ(f64, double, "a number")
SCALAR_READ(bool, bool, "a bool")

oll_status gguf_part_u64(const struct gguf_part *part, const char *key, uint64_t *out,
                         struct oll_error *err)
{
    NAMED_READ(part, err, read_u64(part, key, out, err));
}

static oll_status read_str(const struct gguf_part *part, const char *key, struct oll_gguf_str *out,
                           struct oll_error *err)
{
    const struct oll_gguf_kv *kv;
    OLL_TRY(find_scalar(part, key, "a string", &kv, err));
    return oll_gguf_kv_strings(kv, out, err);
}

oll_status oll_gguf_str(const struct oll_gguf *gguf, const char *key, struct oll_gguf_str *out,
                        struct oll_error *err)
{
    NAMED_READ(&gguf->parts[0], err, read_str(&gguf->parts[0], key, out, err));
}
