#include "engine/convert/convert.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/convert/convert_internal.h"
#include "engine/convert/row_pool.h"
#include "kernels/quant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_BYTES_MAX = 1 << 30,
    JSON_BYTES_MAX = 64 << 20,
    SLAB_ELEMENTS = 4 << 20,
    PIECE_ELEMENTS = 64 << 10,
    CHUNK = 1024
};

/* ---- files ---- */

const struct oll_convert_file *convert_find(const struct convert *c, const char *name)
{
    for (size_t i = 0; i < c->n_files; i++)
        if (strcmp(c->files[i].name, name) == 0)
            return &c->files[i];
    return NULL;
}

oll_status convert_read_text(struct convert *c, const char *name, uint64_t max_bytes,
                             const char **out, size_t *n)
{
    const struct oll_convert_file *file = convert_find(c, name);
    char *data = NULL;
    uint64_t n_bytes = 0;
    *out = NULL;
    if (!file)
        return OLL_OK;
    oll_status status = oll_file_read(file->path, max_bytes, &data, &n_bytes, NULL);
    if (status != OLL_OK)
        return OLL_FAIL(c->err, status, "%s: %s", name, oll_status_text(status));
    *out = oll_arena_strndup(&c->arena, data, (size_t)n_bytes);
    *n = (size_t)n_bytes;
    oll_free(data);
    return *out ? OLL_OK : OLL_FAIL(c->err, OLL_ERR_MEMORY, "%s: out of memory", name);
}

oll_status convert_read_json(struct convert *c, const char *name, const struct oll_json **out)
{
    static const struct oll_json_limits limits = {.max_depth = 64,
                                                  .max_nodes = 16 << 20,
                                                  .max_members = CONVERT_VOCAB_MAX,
                                                  .max_key_bytes = 64 << 10,
                                                  .replace_utf8 = true};
    const struct oll_convert_file *file = convert_find(c, name);
    struct oll_error why = {0};
    struct oll_json *root = NULL;
    char *data = NULL;
    uint64_t n_bytes = 0;
    *out = NULL;
    if (!file)
        return OLL_OK;
    oll_status status = oll_file_read(file->path, JSON_BYTES_MAX, &data, &n_bytes, NULL);
    if (status != OLL_OK)
        return OLL_FAIL(c->err, status, "%s: %s", name, oll_status_text(status));
    status = oll_json_parse(&c->arena, data, (size_t)n_bytes, &limits, &root, &why);
    oll_free(data);
    if (status != OLL_OK)
        return OLL_FAIL(c->err, status, "%s: %s", name, oll_error_text(&why));
    *out = root;
    return OLL_OK;
}

static bool is_safetensors(const char *name)
{
    static const char end[] = ".safetensors";
    const size_t n = strlen(name);
    return n > sizeof end - 1 && strcmp(name + n - (sizeof end - 1), end) == 0;
}

static oll_status open_sources(struct convert *c)
{
    c->sources = oll_calloc(c->n_files ? c->n_files : 1, sizeof(void *));
    if (!c->sources)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the list of files");
    for (size_t i = 0; i < c->n_files; i++)
        if (is_safetensors(c->files[i].name)) {
            OLL_TRY(safetensors_open(c->files[i].path, c->files[i].name, &c->sources[c->n_sources],
                                     c->err));
            c->n_sources++;
        }
    return OLL_OK;
}

/* ---- metadata ---- */

static struct convert_kv *new_kv(struct convert *c, const char *key, enum oll_gguf_type type)
{
    OLL_ASSERT(c->n_kvs < CONVERT_KEYS_MAX);
    struct convert_kv *kv = &c->kvs[c->n_kvs++];
    kv->key = key;
    kv->type = type;
    return kv;
}

void convert_put_u32(struct convert *c, const char *key, uint64_t v)
{
    new_kv(c, key, OLL_GGUF_U32)->u32 = (uint32_t)v;
}

void convert_put_f32(struct convert *c, const char *key, double v)
{
    new_kv(c, key, OLL_GGUF_F32)->f32 = (float)v;
}

void convert_put_bool(struct convert *c, const char *key, bool v)
{
    new_kv(c, key, OLL_GGUF_BOOL)->truth = v;
}

void convert_put_str(struct convert *c, const char *key, const char *s, size_t n)
{
    new_kv(c, key, OLL_GGUF_STRING)->str = (struct oll_gguf_str){s, n};
}

void convert_put_array(struct convert *c, const char *key, enum oll_gguf_type elem_type,
                       const void *items, uint64_t n)
{
    struct convert_kv *kv = new_kv(c, key, OLL_GGUF_ARRAY);
    kv->elem_type = elem_type;
    kv->items = items;
    kv->n_items = n;
}

const char *convert_key(struct convert *c, const char *key)
{
    const char *text = oll_arena_printf(&c->arena, "%s.%s", c->arch, key);
    return text ? text : "";
}

static int compare_kvs(const void *a, const void *b)
{
    return strcmp(((const struct convert_kv *)a)->key, ((const struct convert_kv *)b)->key);
}

static void put_kv(struct oll_gguf_writer *w, const struct convert_kv *kv)
{
    if (kv->type == OLL_GGUF_U32)
        oll_gguf_put_u32(w, kv->key, kv->u32);
    else if (kv->type == OLL_GGUF_F32)
        oll_gguf_put_f32(w, kv->key, kv->f32);
    else if (kv->type == OLL_GGUF_BOOL)
        oll_gguf_put_bool(w, kv->key, kv->truth);
    else if (kv->type == OLL_GGUF_STRING)
        oll_gguf_put_str(w, kv->key, kv->str.data, kv->str.len);
    else if (kv->elem_type == OLL_GGUF_STRING)
        oll_gguf_put_strings(w, kv->key, kv->items, kv->n_items);
    else
        oll_gguf_put_array(w, kv->key, kv->elem_type, kv->items, kv->n_items);
}

/* ---- data ---- */

/* Rows of one tensor that are converted together. */
struct slab {
    const struct convert *c;
    const struct convert_tensor *t;
    uint64_t first_row;
    unsigned char *dst;
    uint64_t n_in; /* of a row; 1 for a vector whose elements move like rows */
    enum oll_dtype from;
};

/* Row of the source that becomes row r: within a head, row 2j was j, row 2j + 1 was j + half. */
static uint64_t source_row(const struct slab *s, uint64_t r)
{
    const bool is_q = s->t->treatment == CONVERT_PERMUTE_Q;
    if (!is_q && s->t->treatment != CONVERT_PERMUTE_K)
        return r;
    const uint64_t n_head = is_q ? s->c->n_head : s->c->n_head_kv;
    const uint64_t head_rows = s->t->source->shape[0] / n_head, k = r % head_rows;
    return r - k + k % 2 * (head_rows / 2) + k / 2;
}

static void convert_slab(void *user, uint64_t first, uint64_t last)
{
    const struct slab *s = user;
    float values[CHUNK];
    for (uint64_t r = first; r < last; r++) {
        const unsigned char *src = s->t->source->data + source_row(s, s->first_row + r) *
                                                            oll_dtype_row_bytes(s->from, s->n_in);
        unsigned char *dst = s->dst + r * oll_dtype_row_bytes(s->t->dtype, s->n_in);
        for (uint64_t i = 0; i < s->n_in; i += CHUNK) {
            const size_t n = s->n_in - i < CHUNK ? (size_t)(s->n_in - i) : CHUNK;
            oll_dequantize_row(s->from, src + oll_dtype_row_bytes(s->from, i), values, n);
            for (size_t k = 0; k < n && s->t->treatment == CONVERT_ADD_ONE; k++)
                values[k] += 1.0f;
            oll_quantize_row(s->t->dtype, values, dst + oll_dtype_row_bytes(s->t->dtype, i), n);
        }
    }
}

struct output {
    struct oll_gguf_writer *w;
    unsigned char *slab;
    uint64_t done_bytes, total_bytes;
    int n_threads;
};

static oll_status write_source(struct convert *c, const struct convert_tensor *t,
                               struct output *out)
{
    static const enum oll_dtype dtypes[] = {OLL_F32, OLL_F16, OLL_BF16};
    const bool is_vector = t->n_dims == 1;
    struct slab s = {.c = c, .t = t, .dst = out->slab, .from = dtypes[t->source->type]};
    s.n_in = is_vector ? 1 : t->ne[0];
    uint64_t n_rows = is_vector ? t->ne[0] : 1;
    for (uint32_t d = 1; d < t->n_dims; d++)
        n_rows *= t->ne[d];
    if (s.n_in > SLAB_ELEMENTS)
        return OLL_FAIL(c->err, OLL_ERR_LIMIT, "tensor %s: rows of %llu values, at most %d",
                        t->source->name, (unsigned long long)s.n_in, SLAB_ELEMENTS);
    const uint64_t rows_slab = SLAB_ELEMENTS / s.n_in;
    const uint64_t rows_piece = s.n_in < PIECE_ELEMENTS ? PIECE_ELEMENTS / s.n_in : 1;
    for (; s.first_row < n_rows; s.first_row += rows_slab) {
        const uint64_t n = n_rows - s.first_row < rows_slab ? n_rows - s.first_row : rows_slab;
        convert_rows(convert_slab, &s, n, rows_piece, out->n_threads);
        OLL_TRY(oll_gguf_write_data(out->w, out->slab, n * oll_dtype_row_bytes(t->dtype, s.n_in),
                                    c->err));
        out->done_bytes += n * oll_dtype_row_bytes(s.from, s.n_in);
        const struct oll_convert_options *o = c->options;
        if (o->progress && !o->progress(o->user, out->done_bytes, out->total_bytes))
            return OLL_FAIL(c->err, OLL_ERR_CANCELED, "converting was cancelled");
    }
    return OLL_OK;
}

static oll_status write_tensors(struct convert *c, struct output *out)
{
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const struct convert_tensor *t = &c->tensors[i];
        if (t->treatment == CONVERT_COMPUTED)
            OLL_TRY(oll_gguf_write_data(out->w, t->values, t->ne[0] * 4, c->err));
        else
            OLL_TRY(write_source(c, t, out));
    }
    return OLL_OK;
}

static oll_status write_model(struct convert *c, const struct oll_gguf_sink *sink)
{
    struct output out = {.n_threads = c->options->n_threads > 0 ? c->options->n_threads
                                                                : convert_thread_count()};
    oll_status status = OLL_OK;
    OLL_TRY_DONE(oll_gguf_writer_new_to(sink, &out.w, c->err));
    out.slab = oll_alloc(SLAB_ELEMENTS, 4);
    if (!out.slab)
        OLL_TRY_DONE(OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for converted rows"));
    qsort(c->kvs, c->n_kvs, sizeof *c->kvs, compare_kvs);
    for (uint32_t i = 0; i < c->n_kvs; i++)
        put_kv(out.w, &c->kvs[i]);
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const struct convert_tensor *t = &c->tensors[i];
        oll_gguf_add_tensor(out.w, t->name, t->dtype, t->ne, t->n_dims);
        out.total_bytes += t->source ? t->source->n_bytes : 0;
    }
    OLL_TRY_DONE(oll_gguf_write_header(out.w, c->err));
    OLL_TRY_DONE(write_tensors(c, &out));
    status = oll_gguf_writer_finish(out.w, c->err);
done:
    oll_free(out.slab);
    oll_gguf_writer_free(out.w);
    return status;
}

/* ---- order of things ---- */

static oll_status check_whole(struct convert *c)
{
    uint64_t n_in_layers = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        n_in_layers += strncmp(c->tensors[i].name, "blk.", 4) == 0;
    if (c->n_vocab == 0 || n_in_layers == 0)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT,
                        "the safetensors files hold no %s model: tensors are missing", c->arch);
    return OLL_OK;
}

static oll_status run(struct convert *c, const struct oll_gguf_sink *sink)
{
    OLL_TRY(convert_read_config(c));
    OLL_TRY(open_sources(c));
    OLL_TRY(convert_add_tensors(c));
    OLL_TRY(check_whole(c));
    OLL_TRY(convert_put_config(c));
    OLL_TRY(convert_put_vocab(c));
    if (c->arena.status != OLL_OK)
        return OLL_FAIL(c->err, c->arena.status, "out of memory for the model's metadata");
    return write_model(c, sink);
}

oll_status oll_convert_model(const struct oll_convert_file *files, size_t n_files,
                             const struct oll_gguf_sink *sink,
                             const struct oll_convert_options *options, struct oll_error *err)
{
    struct convert *c = oll_calloc(1, sizeof *c);
    if (!c)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversion");
    c->files = files;
    c->n_files = n_files;
    c->options = options;
    c->err = err;
    oll_arena_init(&c->arena, ARENA_BYTES_MAX);
    oll_status status = run(c, sink);
    for (size_t i = 0; i < c->n_sources; i++)
        safetensors_close(c->sources[i]);
    oll_free(c->sources);
    oll_free(c->tensors);
    oll_arena_free(&c->arena);
    oll_free(c);
    return status;
}
