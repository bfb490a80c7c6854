#include "engine/convert/safetensors.h"

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8, TENSORS_MAX = 1 << 20 };

struct safetensors {
    struct oll_file_map map; /* empty for bytes in memory */
    struct oll_arena arena;
    struct safetensors_tensor *tensors;
    uint64_t n_tensors;
};

static const struct {
    const char *name;
    enum safetensors_type type;
    uint8_t n_bytes;
} types[] = {
    {"F32", SAFETENSORS_F32, 4},       {"F16", SAFETENSORS_F16, 2},
    {"BF16", SAFETENSORS_BF16, 2},     {"F64", SAFETENSORS_OTHER, 8},
    {"I64", SAFETENSORS_OTHER, 8},     {"U64", SAFETENSORS_OTHER, 8},
    {"I32", SAFETENSORS_OTHER, 4},     {"U32", SAFETENSORS_OTHER, 4},
    {"I16", SAFETENSORS_OTHER, 2},     {"U16", SAFETENSORS_OTHER, 2},
    {"I8", SAFETENSORS_OTHER, 1},      {"U8", SAFETENSORS_OTHER, 1},
    {"BOOL", SAFETENSORS_OTHER, 1},    {"F8_E4M3", SAFETENSORS_OTHER, 1},
    {"F8_E5M2", SAFETENSORS_OTHER, 1},
};

/* ---- one entry ---- */

static oll_status read_type(const struct oll_json *node, struct safetensors_tensor *t,
                            uint64_t *element, struct oll_error *err)
{
    const char *name = oll_json_get_str(node, "dtype", "");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0) {
            t->type = types[i].type;
            t->type_name = types[i].name;
            *element = types[i].n_bytes;
            return OLL_OK;
        }
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "tensor %s: unknown dtype %.32s", t->name, name);
}

static bool take_u64(const struct oll_json *v, uint64_t *out)
{
    if (!v || v->type != OLL_JSON_NUMBER || !v->is_uint)
        return false;
    *out = (uint64_t)v->i;
    return true;
}

static oll_status read_shape(const struct oll_json *node, struct safetensors_tensor *t,
                             uint64_t *n_elements, struct oll_error *err)
{
    const struct oll_json *shape = oll_json_get(node, "shape");
    *n_elements = 1;
    if (!shape || shape->type != OLL_JSON_ARRAY || shape->n > SAFETENSORS_DIMS_MAX)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "tensor %s: no shape of at most %d dimensions",
                        t->name, SAFETENSORS_DIMS_MAX);
    for (const struct oll_json *d = shape->first; d; d = d->next) {
        if (!take_u64(d, &t->shape[t->n_dims]) ||
            !oll_mul_u64(*n_elements, t->shape[t->n_dims], n_elements))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "tensor %s: bad shape", t->name);
        t->n_dims++;
    }
    return OLL_OK;
}

static oll_status read_tensor(const struct oll_json *node, const unsigned char *data,
                              uint64_t n_data, struct safetensors_tensor *t, struct oll_error *err)
{
    const struct oll_json *offsets = oll_json_get(node, "data_offsets");
    uint64_t begin, end, element = 0, n;
    if (strlen(node->key) != node->key_len || node->key_len == 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "a tensor without a usable name");
    t->name = node->key;
    if (node->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "tensor %s: its entry is no object", t->name);
    OLL_TRY(read_type(node, t, &element, err));
    OLL_TRY(read_shape(node, t, &n, err));
    if (!offsets || offsets->type != OLL_JSON_ARRAY || offsets->n != 2 ||
        !take_u64(offsets->first, &begin) || !take_u64(offsets->first->next, &end) || begin > end ||
        end > n_data)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "tensor %s: data_offsets outside of the file's %llu "
                        "bytes of data",
                        t->name, (unsigned long long)n_data);
    if (!oll_mul_u64(n, element, &n) || n != end - begin)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "tensor %s: %llu bytes of data do not fit its shape",
                        t->name, (unsigned long long)(end - begin));
    t->data = data + begin;
    t->n_bytes = n;
    return OLL_OK;
}

/* ---- header ---- */

static int compare_data(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

static oll_status check_overlap(const struct safetensors *st, struct oll_error *err)
{
    for (uint64_t i = 1; i < st->n_tensors; i++) {
        const struct safetensors_tensor *a = &st->tensors[i - 1], *b = &st->tensors[i];
        if (a->n_bytes > 0 && b->n_bytes > 0 && a->data + a->n_bytes > b->data)
            return OLL_FAIL(err, OLL_ERR_FORMAT, "tensors %s and %s overlap", a->name, b->name);
    }
    return OLL_OK;
}

static oll_status parse_header(struct safetensors *st, const unsigned char *data, uint64_t n_bytes,
                               struct oll_error *err)
{
    static const struct oll_json_limits limits = {.max_depth = 8,
                                                  .max_nodes = 16 << 20,
                                                  .max_members = TENSORS_MAX,
                                                  .max_key_bytes = 4096,
                                                  .replace_utf8 = true};
    uint64_t n_header = 0;
    struct oll_json *root;
    if (n_bytes < PREFIX_BYTES)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "%llu bytes are no safetensors file",
                        (unsigned long long)n_bytes);
    for (int i = 0; i < PREFIX_BYTES; i++)
        n_header |= (uint64_t)data[i] << 8 * i;
    if (n_header > n_bytes - PREFIX_BYTES || n_header > SAFETENSORS_HEADER_MAX)
        return OLL_FAIL(
            err, OLL_ERR_FORMAT, "a header of %llu bytes in a file of %llu (at most %d are read)",
            (unsigned long long)n_header, (unsigned long long)n_bytes, SAFETENSORS_HEADER_MAX);
    OLL_TRY(oll_json_parse(&st->arena, (const char *)data + PREFIX_BYTES, (size_t)n_header, &limits,
                           &root, err));
    if (root->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "the header is no JSON object");
    st->tensors = oll_calloc(root->n ? root->n : 1, sizeof *st->tensors);
    if (!st->tensors)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for %zu tensors", root->n);
    data += PREFIX_BYTES + n_header;
    n_bytes -= PREFIX_BYTES + n_header;
    for (const struct oll_json *node = root->first; node; node = node->next)
        if (strcmp(node->key, "__metadata__") != 0)
            OLL_TRY(read_tensor(node, data, n_bytes, &st->tensors[st->n_tensors++], err));
    qsort(st->tensors, (size_t)st->n_tensors, sizeof *st->tensors, compare_data);
    return check_overlap(st, err);
}

oll_status safetensors_open_memory(const void *data, uint64_t n_bytes, const char *name,
                                   struct safetensors **out, struct oll_error *err)
{
    struct safetensors *st = oll_calloc(1, sizeof *st);
    struct oll_error why = {0};
    if (!st)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", name);
    oll_arena_init(
        &st->arena,
        32 * (size_t)(n_bytes < SAFETENSORS_HEADER_MAX ? n_bytes + 1024 : SAFETENSORS_HEADER_MAX));
    oll_status status = parse_header(st, data, n_bytes, &why);
    if (status != OLL_OK) {
        safetensors_close(st);
        return OLL_FAIL(err, status, "%s: %s", name, oll_error_text(&why));
    }
    *out = st;
    return OLL_OK;
}

oll_status safetensors_open(const char *path, const char *name, struct safetensors **out,
                            struct oll_error *err)
{
    struct oll_file_map map = {0};
    struct oll_error why = {0};
    oll_status status = oll_file_map(path, &map, &why);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "%s: %s", name, oll_status_text(status));
    status = safetensors_open_memory(map.data, map.size_bytes, name, out, err);
    if (status == OLL_OK)
        (*out)->map = map;
    else
        oll_file_unmap(&map);
    return status;
}

void safetensors_close(struct safetensors *st)
{
    if (!st)
        return;
    oll_free(st->tensors);
    oll_arena_free(&st->arena);
    oll_file_unmap(&st->map);
    oll_free(st);
}

uint64_t safetensors_count(const struct safetensors *st) { return st->n_tensors; }

const struct safetensors_tensor *safetensors_at(const struct safetensors *st, uint64_t i)
{
    return &st->tensors[i];
}
