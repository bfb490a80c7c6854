#include "registry/model_info.h"

#include "engine/base/mem.h"
#include "gguf/gguf.h"
#include "registry/gguf_import.h"

#include <stdlib.h>
#include <string.h>

static bool str_is(struct oll_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static int compare_keys(const void *a, const void *b)
{
    const struct oll_gguf_kv *x = *(const struct oll_gguf_kv *const *)a;
    const struct oll_gguf_kv *y = *(const struct oll_gguf_kv *const *)b;
    const uint64_t n = x->key.len < y->key.len ? x->key.len : y->key.len;
    const int order = memcmp(x->key.data, y->key.data, (size_t)n);
    return order ? order : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

static uint64_t count_elements(const struct oll_gguf *gguf)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        n += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    return n;
}

/* Element `i` of a value that is no string. */
static void write_scalar(const struct oll_gguf_kv *kv, enum oll_gguf_type type, uint64_t i,
                         struct oll_json_writer *w)
{
    double real = 0.0;
    uint64_t u = 0;
    int64_t s = 0;
    bool truth = false;
    if (type == OLL_GGUF_F32 && oll_gguf_kv_f64(kv, i, &real, NULL) == OLL_OK)
        oll_json_write_float(w, (float)real);
    else if (type == OLL_GGUF_F64 && oll_gguf_kv_f64(kv, i, &real, NULL) == OLL_OK)
        oll_json_write_double(w, real);
    else if (type == OLL_GGUF_BOOL && oll_gguf_kv_bool(kv, i, &truth, NULL) == OLL_OK)
        oll_json_write_bool(w, truth);
    else if (oll_gguf_kv_i64(kv, i, &s, NULL) == OLL_OK)
        oll_json_write_int(w, s);
    else if (oll_gguf_kv_u64(kv, i, &u, NULL) == OLL_OK)
        oll_json_write_uint(w, u);
    else
        oll_json_write_null(w);
}

static oll_status write_strings(const struct oll_gguf_kv *kv, struct oll_json_writer *w,
                                struct oll_error *err)
{
    struct oll_gguf_str *strings = oll_alloc(kv->count ? (size_t)kv->count : 1, sizeof *strings);
    if (!strings)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a list of strings");
    oll_status status = oll_gguf_kv_strings(kv, strings, err);
    for (uint64_t i = 0; status == OLL_OK && i < kv->count; i++)
        oll_json_write_strn(w, strings[i].data, (size_t)strings[i].len);
    oll_free(strings);
    return status;
}

static oll_status write_value(const struct oll_gguf_kv *kv, bool verbose, struct oll_json_writer *w,
                              struct oll_error *err)
{
    oll_status status = OLL_OK;
    if (kv->type != OLL_GGUF_ARRAY) {
        if (kv->type == OLL_GGUF_STRING)
            return write_strings(kv, w, err);
        write_scalar(kv, kv->type, 0, w);
        return OLL_OK;
    }
    if (kv->count > 0 && (!verbose || kv->elem_type == OLL_GGUF_ARRAY)) {
        oll_json_write_null(w);
        return OLL_OK;
    }
    oll_json_write_array_begin(w);
    if (kv->elem_type == OLL_GGUF_STRING)
        status = write_strings(kv, w, err);
    else
        for (uint64_t i = 0; i < kv->count; i++)
            write_scalar(kv, kv->elem_type, i, w);
    oll_json_write_array_end(w);
    return status;
}

/* Keys that are computed or given stand among the others in their order. */
static oll_status write_pairs(const struct oll_gguf *gguf, const struct oll_gguf_kv **sorted,
                              uint64_t n, const struct oll_model_info_options *o,
                              struct oll_json_writer *w, struct oll_error *err)
{
    static const char basename[] = "general.basename", count[] = "general.parameter_count";
    const struct oll_gguf_kv extra[] = {{.key = {basename, sizeof basename - 1}},
                                        {.key = {count, sizeof count - 1}}};
    uint64_t i = 0;
    for (int e = o->basename ? 0 : 1; i < n || e < 2;) {
        const struct oll_gguf_kv *kv = i < n ? sorted[i] : NULL, *own = e < 2 ? &extra[e] : NULL;
        const int order = !kv ? 1 : !own ? -1 : compare_keys(&kv, &own);
        if (order <= 0)
            i++;
        if (order >= 0) {
            oll_json_write_key(w, e == 0 ? basename : count);
            if (e++ == 0)
                oll_json_write_str(w, o->basename);
            else
                oll_json_write_uint(w, count_elements(gguf));
            continue;
        }
        oll_json_write_keyn(w, kv->key.data, (size_t)kv->key.len);
        OLL_TRY(write_value(kv, o->verbose, w, err));
    }
    return OLL_OK;
}

static oll_status write_info(const struct oll_gguf *gguf, const struct oll_model_info_options *o,
                             struct oll_strbuf *out, struct oll_error *err)
{
    const struct oll_gguf_kv **sorted = oll_alloc((size_t)oll_gguf_n_kv(gguf) + 1, sizeof *sorted);
    struct oll_json_writer w;
    uint64_t n = 0;
    if (!sorted)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model's keys");
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++) {
        const struct oll_gguf_kv *kv = oll_gguf_kv_at(gguf, i);
        if (!str_is(kv->key, "general.name") && !str_is(kv->key, "tokenizer.chat_template"))
            sorted[n++] = kv;
    }
    qsort(sorted, (size_t)n, sizeof *sorted, compare_keys);
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    oll_status status = write_pairs(gguf, sorted, n, o, &w, err);
    oll_json_write_object_end(&w);
    oll_free(sorted);
    return status;
}

static void write_tensors(const struct oll_gguf *gguf, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_array_begin(&w);
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "name");
        oll_json_write_strn(&w, t->name.data, (size_t)t->name.len);
        oll_json_write_key(&w, "type");
        oll_json_write_str(&w, oll_dtype_name((uint32_t)t->dtype));
        oll_json_write_key(&w, "shape");
        oll_json_write_array_begin(&w);
        for (uint32_t d = 0; d < t->n_dims; d++)
            oll_json_write_uint(&w, t->ne[d]);
        oll_json_write_array_end(&w);
        oll_json_write_object_end(&w);
    }
    oll_json_write_array_end(&w);
}

oll_status oll_model_info_write(const char *path, const struct oll_model_info_options *options,
                                struct oll_strbuf *info, struct oll_strbuf *tensors,
                                struct oll_strbuf *chat_template, struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    struct oll_gguf_str s;
    OLL_TRY(gguf_import_open(&path, 1, &gguf, err));
    oll_status status = info ? write_info(gguf, options, info, err) : OLL_OK;
    if (tensors)
        write_tensors(gguf, tensors);
    if (chat_template && oll_gguf_str(gguf, "tokenizer.chat_template", &s, NULL) == OLL_OK)
        oll_strbuf_add(chat_template, s.data, (size_t)s.len);
    oll_gguf_close(gguf);
    if (status == OLL_OK &&
        ((info && info->status != OLL_OK) || (tensors && tensors->status != OLL_OK)))
        status = OLL_FAIL(err, OLL_ERR_LIMIT, "the model's metadata is too large to be shown");
    return status;
}
