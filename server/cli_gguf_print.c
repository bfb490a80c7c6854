#include "server/cli_gguf_print.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    SHOWN_ELEMENTS = 6,
    SHOWN_ELEMENT_BYTES = 24,
    SHOWN_STRING_BYTES = 100,
    SHOWN_KEY_BYTES = 200,
    JSON_PIECE_BYTES = 64 << 10,
    JSON_MAX_BYTES = 64 << 20 /* of one piece: a string of the file is at most 16 MiB */
};

struct totals {
    uint64_t tensors, elements, bytes;
};

static uint64_t n_elements(const struct oll_gguf_tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

/* Per type, and in totals[OLL_DTYPE_COUNT] of all. */
static void add_up(const struct oll_gguf *gguf, struct totals totals[OLL_DTYPE_COUNT + 1])
{
    memset(totals, 0, (OLL_DTYPE_COUNT + 1) * sizeof *totals);
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        struct totals *of[2] = {&totals[t->dtype], &totals[OLL_DTYPE_COUNT]};
        for (int k = 0; k < 2; k++) {
            of[k]->tensors++;
            of[k]->elements += n_elements(t);
            of[k]->bytes += t->n_bytes;
        }
    }
}

/* ---- text ---- */

/* An element that is no string. */
static void print_number(const struct oll_gguf_kv *kv, uint64_t i)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    uint64_t u = 0;
    int64_t v = 0;
    double d = 0;
    bool b = false;
    if (kv->elem_type == OLL_GGUF_BOOL && oll_gguf_kv_bool(kv, i, &b, NULL) == OLL_OK) {
        printf("%s", b ? "true" : "false");
    } else if (oll_gguf_kv_u64(kv, i, &u, NULL) == OLL_OK) {
        printf("%llu", (unsigned long long)u);
    } else if (oll_gguf_kv_i64(kv, i, &v, NULL) == OLL_OK) {
        printf("%lld", (long long)v);
    } else if (oll_gguf_kv_f64(kv, i, &d, NULL) == OLL_OK) {
        if (d != d || d - d != 0)
            snprintf(text, sizeof text, "%f", d); /* nan, inf: JSON has no text for them */
        else if (kv->elem_type == OLL_GGUF_F32)
            oll_json_format_float((float)d, text);
        else
            oll_json_format_double(d, text);
        printf("%s", text);
    }
}

/* The string whose length word is at p; returns what follows it. */
static const unsigned char *print_string(const unsigned char *p, size_t max_bytes)
{
    char text[SHOWN_STRING_BYTES];
    struct oll_gguf_str s;
    const struct oll_gguf_kv one = {
        .type = OLL_GGUF_STRING, .elem_type = OLL_GGUF_STRING, .count = 1, .data = p};
    if (oll_gguf_kv_strings(&one, &s, NULL) == OLL_OK)
        printf("\"%s\"", oll_gguf_printable(s, text, max_bytes));
    return (const unsigned char *)s.data + s.len;
}

static void print_array(const struct oll_gguf_kv *kv)
{
    const unsigned char *p = kv->data;
    printf("[");
    for (uint64_t i = 0; i < kv->count && i < SHOWN_ELEMENTS; i++) {
        printf("%s", i > 0 ? ", " : "");
        if (kv->elem_type == OLL_GGUF_STRING)
            p = print_string(p, SHOWN_ELEMENT_BYTES);
        else
            print_number(kv, i);
    }
    printf("%s]\n", kv->count > SHOWN_ELEMENTS ? ", ..." : "");
}

static void print_kv(const struct oll_gguf_kv *kv)
{
    char key[SHOWN_KEY_BYTES], type[40];
    const char *name = oll_gguf_type_name(kv->elem_type);
    if (kv->type == OLL_GGUF_ARRAY)
        snprintf(type, sizeof type, "%s[%llu]", name, (unsigned long long)kv->count);
    else
        snprintf(type, sizeof type, "%s", name);
    printf("  %-44s %-15s ", oll_gguf_printable(kv->key, key, sizeof key), type);
    if (kv->type == OLL_GGUF_ARRAY) {
        print_array(kv);
    } else if (kv->type == OLL_GGUF_STRING) {
        print_string(kv->data, SHOWN_STRING_BYTES);
        printf("\n");
    } else {
        print_number(kv, 0);
        printf("\n");
    }
}

static void print_tensor(const struct oll_gguf_tensor *t)
{
    char name[OLL_GGUF_MAX_NAME + 1], shape[96];
    size_t n = 0;
    for (uint32_t d = 0; d < t->n_dims; d++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%llu", d > 0 ? " x " : "",
                              (unsigned long long)t->ne[d]);
    printf("  %-44s %-8s %-22s %14llu %14llu", oll_gguf_printable(t->name, name, sizeof name),
           oll_dtype_name(t->dtype), shape, (unsigned long long)t->n_bytes,
           (unsigned long long)t->file_off);
    if (t->i_part > 0)
        printf("  part %u", t->i_part + 1);
    printf("%s\n", t->interleaved ? "  (type id 4)" : "");
}

static void print_totals(const char *name, const struct totals *t)
{
    printf("  %-8s %8llu tensors %16llu elements %16llu bytes\n", name,
           (unsigned long long)t->tensors, (unsigned long long)t->elements,
           (unsigned long long)t->bytes);
}

void gguf_print_text(const struct oll_gguf *gguf)
{
    struct totals totals[OLL_DTYPE_COUNT + 1];
    printf("%s: GGUF version %u, %llu bytes, alignment %llu\n", oll_gguf_path(gguf),
           oll_gguf_version(gguf), (unsigned long long)oll_gguf_file_bytes(gguf),
           (unsigned long long)oll_gguf_alignment(gguf));
    printf("\nmetadata (%llu)\n", (unsigned long long)oll_gguf_n_kv(gguf));
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++)
        print_kv(oll_gguf_kv_at(gguf, i));
    printf("\ntensors (%llu): name, type, shape with the contiguous dimension first, bytes, "
           "offset\n",
           (unsigned long long)oll_gguf_n_tensors(gguf));
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++)
        print_tensor(oll_gguf_tensor_at(gguf, i));
    add_up(gguf, totals);
    printf("\ntotals\n");
    for (uint32_t id = 0; id < OLL_DTYPE_COUNT; id++)
        if (totals[id].tensors > 0)
            print_totals(oll_dtype_name(id), &totals[id]);
    print_totals("all", &totals[OLL_DTYPE_COUNT]);
}

/* ---- JSON ---- */

/* Hands what was written to the stream once there is enough of it, so that a vocabulary does not
 * have to fit the buffer. */
static void pass_on(struct oll_strbuf *sb, size_t min_bytes)
{
    if (sb->len < min_bytes || sb->status != OLL_OK)
        return;
    fwrite(sb->data, 1, sb->len, stdout);
    oll_strbuf_clear(sb);
}

static void write_number(struct oll_json_writer *w, const struct oll_gguf_kv *kv, uint64_t i)
{
    uint64_t u = 0;
    int64_t v = 0;
    double d = 0;
    bool b = false;
    if (kv->elem_type == OLL_GGUF_BOOL && oll_gguf_kv_bool(kv, i, &b, NULL) == OLL_OK)
        oll_json_write_bool(w, b);
    else if (oll_gguf_kv_u64(kv, i, &u, NULL) == OLL_OK)
        oll_json_write_uint(w, u);
    else if (oll_gguf_kv_i64(kv, i, &v, NULL) == OLL_OK)
        oll_json_write_int(w, v);
    else if (oll_gguf_kv_f64(kv, i, &d, NULL) == OLL_OK && kv->elem_type == OLL_GGUF_F32)
        oll_json_write_float(w, (float)d);
    else
        oll_json_write_double(w, d);
}

static oll_status write_elements(struct oll_json_writer *w, const struct oll_gguf_kv *kv,
                                 struct oll_error *err)
{
    struct oll_gguf_str *strings = NULL;
    if (kv->elem_type == OLL_GGUF_STRING) {
        strings = oll_alloc((size_t)kv->count, sizeof *strings);
        if (!strings)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
        OLL_ASSERT(oll_gguf_kv_strings(kv, strings, NULL) == OLL_OK);
    }
    for (uint64_t i = 0; i < kv->count; i++) {
        if (strings)
            oll_json_write_strn(w, strings[i].data, (size_t)strings[i].len);
        else
            write_number(w, kv, i);
        pass_on(w->out, JSON_PIECE_BYTES);
    }
    oll_free(strings);
    return OLL_OK;
}

static oll_status write_kv(struct oll_json_writer *w, const struct oll_gguf_kv *kv,
                           struct oll_error *err)
{
    const bool is_array = kv->type == OLL_GGUF_ARRAY;
    oll_json_write_keyn(w, kv->key.data, (size_t)kv->key.len);
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, oll_gguf_type_name(kv->type));
    if (is_array) {
        oll_json_write_key(w, "of");
        oll_json_write_str(w, oll_gguf_type_name(kv->elem_type));
    }
    oll_json_write_key(w, "value");
    if (is_array)
        oll_json_write_array_begin(w);
    OLL_TRY(write_elements(w, kv, err));
    if (is_array)
        oll_json_write_array_end(w);
    oll_json_write_object_end(w);
    return OLL_OK;
}

static void write_uint(struct oll_json_writer *w, const char *key, uint64_t v)
{
    oll_json_write_key(w, key);
    oll_json_write_uint(w, v);
}

static void write_tensor(struct oll_json_writer *w, const struct oll_gguf_tensor *t)
{
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "name");
    oll_json_write_strn(w, t->name.data, (size_t)t->name.len);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, oll_dtype_name(t->dtype));
    oll_json_write_key(w, "shape");
    oll_json_write_array_begin(w);
    for (uint32_t d = 0; d < t->n_dims; d++)
        oll_json_write_uint(w, t->ne[d]);
    oll_json_write_array_end(w);
    write_uint(w, "bytes", t->n_bytes);
    write_uint(w, "offset", t->file_off);
    write_uint(w, "part", t->i_part);
    oll_json_write_object_end(w);
}

static void write_totals(struct oll_json_writer *w, const struct oll_gguf *gguf)
{
    struct totals totals[OLL_DTYPE_COUNT + 1];
    add_up(gguf, totals);
    oll_json_write_key(w, "totals");
    oll_json_write_object_begin(w);
    for (uint32_t id = 0; id < OLL_DTYPE_COUNT; id++) {
        if (totals[id].tensors == 0)
            continue;
        oll_json_write_key(w, oll_dtype_name(id));
        oll_json_write_object_begin(w);
        write_uint(w, "tensors", totals[id].tensors);
        write_uint(w, "elements", totals[id].elements);
        write_uint(w, "bytes", totals[id].bytes);
        oll_json_write_object_end(w);
    }
    oll_json_write_object_end(w);
}

static oll_status write_model(struct oll_json_writer *w, const struct oll_gguf *gguf,
                              struct oll_error *err)
{
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "file");
    oll_json_write_str(w, oll_gguf_path(gguf));
    write_uint(w, "version", oll_gguf_version(gguf));
    write_uint(w, "alignment", oll_gguf_alignment(gguf));
    write_uint(w, "bytes", oll_gguf_file_bytes(gguf));
    oll_json_write_key(w, "metadata");
    oll_json_write_object_begin(w);
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++)
        OLL_TRY(write_kv(w, oll_gguf_kv_at(gguf, i), err));
    oll_json_write_object_end(w);
    oll_json_write_key(w, "tensors");
    oll_json_write_array_begin(w);
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        write_tensor(w, oll_gguf_tensor_at(gguf, i));
        pass_on(w->out, JSON_PIECE_BYTES);
    }
    oll_json_write_array_end(w);
    write_totals(w, gguf);
    oll_json_write_object_end(w);
    return OLL_OK;
}

oll_status gguf_print_json(const struct oll_gguf *gguf, struct oll_error *err)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, JSON_MAX_BYTES);
    oll_json_write_init(&w, &sb);
    w.keep_html = true;
    oll_status status = write_model(&w, gguf, err);
    oll_strbuf_addc(&sb, '\n');
    pass_on(&sb, 1);
    if (status == OLL_OK && sb.status != OLL_OK)
        status = OLL_FAIL(err, sb.status, "%s: cannot print a value: %s", oll_gguf_path(gguf),
                          oll_status_text(sb.status));
    oll_strbuf_free(&sb);
    return status;
}
