#include "engine/convert/quantize.h"

#include "engine/base/mem.h"
#include "engine/convert/row_pool.h"
#include "gguf/gguf.h"
#include "kernels/quant.h"

#include <stdio.h>
#include <string.h>

enum {
    SLAB_ELEMENTS = 8 << 20,   /* quantised between two writes */
    PIECE_ELEMENTS = 32 << 10, /* given to a thread at once */
    ROW_ELEMENTS_MAX = 16 << 20
};

/* general.file_type of each target. */
static const uint32_t file_types[] = {0, 1, 32, 7, 14, 15, 0};

/* What one model needs while it is written. */
struct job {
    struct oll_gguf *in;
    struct oll_gguf_writer *out;
    const struct oll_quantize_options *options;
    enum oll_dtype *dtypes; /* [n_tensors] */
    unsigned char *slab;    /* of output */
    uint64_t slab_bytes;
    uint64_t done_bytes, total_bytes;
    int n_threads;
};

/* Rows of one tensor that are quantised together. */
struct slab {
    const unsigned char *src;
    unsigned char *dst;
    enum oll_dtype from, to;
    uint64_t n_in;
    size_t src_row_bytes, dst_row_bytes;
};

static bool is_key(const struct oll_gguf_kv *kv, const char *key)
{
    return kv->key.len == strlen(key) && memcmp(kv->key.data, key, kv->key.len) == 0;
}

static bool key_begins(const struct oll_gguf_kv *kv, const char *start)
{
    return kv->key.len >= strlen(start) && memcmp(kv->key.data, start, strlen(start)) == 0;
}

/* All pairs in their order; those that quantising changes get their new value in their old place,
 * or at the end. What told the parts of a split model apart is gone. */
static void put_metadata(struct job *job)
{
    const bool keeps = job->options->target == OLL_TARGET_KEEP;
    const bool quantised = !keeps && job->options->target >= OLL_TARGET_Q8_0;
    const uint32_t file_type = file_types[job->options->target];
    bool has_type = keeps, has_version = false;
    for (uint64_t i = 0; i < oll_gguf_n_kv(job->in); i++) {
        const struct oll_gguf_kv *kv = oll_gguf_kv_at(job->in, i);
        if (is_key(kv, "general.file_type") && !keeps) {
            oll_gguf_put_u32(job->out, "general.file_type", file_type);
            has_type = true;
        } else if (is_key(kv, "general.quantization_version") && !keeps) {
            oll_gguf_put_u32(job->out, "general.quantization_version", 2);
            has_version = true;
        } else if (!key_begins(kv, "split.") && !is_key(kv, "general.alignment")) {
            oll_gguf_put_kv(job->out, kv);
        }
    }
    if (!has_version && quantised)
        oll_gguf_put_u32(job->out, "general.quantization_version", 2);
    if (!has_type)
        oll_gguf_put_u32(job->out, "general.file_type", file_type);
}

/* An optional number of the architecture's own; 0 when absent. */
static uint64_t arch_number(const struct oll_gguf *in, const char *key)
{
    char name[128];
    struct oll_gguf_str arch;
    uint64_t v = 0;
    if (oll_gguf_str(in, "general.architecture", &arch, NULL) != OLL_OK || arch.len > 64)
        return 0;
    snprintf(name, sizeof name, "%.*s.%s", (int)arch.len, arch.data, key);
    return oll_gguf_u64(in, name, &v, NULL) == OLL_OK ? v : 0;
}

static void tensor_name(const struct oll_gguf_tensor *t, char out[OLL_GGUF_MAX_NAME + 1])
{
    snprintf(out, OLL_GGUF_MAX_NAME + 1, "%.*s", (int)t->name.len, t->name.data);
}

static struct quantize_plan plan_of(const struct job *job)
{
    struct quantize_plan plan = {
        .target = job->options->target,
        .n_layer = arch_number(job->in, "block_count"),
        .n_expert = arch_number(job->in, "expert_count"),
        .has_output = oll_gguf_find_tensor(job->in, "output.weight") != NULL,
    };
    for (uint64_t i = 0; i < oll_gguf_n_tensors(job->in); i++) {
        char name[OLL_GGUF_MAX_NAME + 1];
        tensor_name(oll_gguf_tensor_at(job->in, i), name);
        const uint64_t i_layer = quantize_layer_of(name);
        if (strstr(name, ".attn_v.weight") && i_layer < QUANTIZE_LAYERS_MAX)
            plan.has_attn_v[i_layer] = true;
    }
    return plan;
}

static oll_status plan_tensors(struct job *job, struct oll_error *err)
{
    const struct quantize_plan plan = plan_of(job);
    const uint64_t n = oll_gguf_n_tensors(job->in);
    job->dtypes = oll_calloc(n ? n : 1, sizeof *job->dtypes);
    if (!job->dtypes)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of tensors");
    for (uint64_t i = 0; i < n; i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(job->in, i);
        char name[OLL_GGUF_MAX_NAME + 1];
        tensor_name(t, name);
        job->dtypes[i] = quantize_tensor_type(&plan, name, t->n_dims, t->ne[0], t->dtype);
        if (job->dtypes[i] != t->dtype && t->ne[0] > ROW_ELEMENTS_MAX)
            return OLL_FAIL(err, OLL_ERR_LIMIT, "tensor %s: rows of %llu values, at most %d", name,
                            (unsigned long long)t->ne[0], ROW_ELEMENTS_MAX);
        oll_gguf_add_tensor(job->out, name, job->dtypes[i], t->ne, t->n_dims);
        job->total_bytes += t->n_bytes;
    }
    return OLL_OK;
}

/* Decodes and rounds pieces of rows: a whole number of blocks of either type at a time. */
static void quantize_rows(void *user, uint64_t first, uint64_t last)
{
    enum { CHUNK = 4 * 256 };
    const struct slab *s = user;
    float values[CHUNK];
    for (uint64_t r = first; r < last; r++) {
        const unsigned char *src = s->src + r * s->src_row_bytes;
        unsigned char *dst = s->dst + r * s->dst_row_bytes;
        for (uint64_t i = 0; i < s->n_in; i += CHUNK) {
            const size_t n = s->n_in - i < CHUNK ? (size_t)(s->n_in - i) : CHUNK;
            oll_dequantize_row(s->from, src + oll_dtype_row_bytes(s->from, i), values, n);
            oll_quantize_row(s->to, values, dst + oll_dtype_row_bytes(s->to, i), n);
        }
    }
}

static oll_status report(struct job *job, uint64_t n_bytes, struct oll_error *err)
{
    const struct oll_quantize_options *o = job->options;
    job->done_bytes += n_bytes;
    if (o->progress && !o->progress(o->user, job->done_bytes, job->total_bytes))
        return OLL_FAIL(err, OLL_ERR_CANCELED, "quantising was cancelled");
    return OLL_OK;
}

static oll_status grow_slab(struct job *job, uint64_t n_bytes, struct oll_error *err)
{
    if (n_bytes <= job->slab_bytes)
        return OLL_OK;
    oll_free(job->slab);
    job->slab = oll_alloc(n_bytes, 1);
    job->slab_bytes = job->slab ? n_bytes : 0;
    return job->slab ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for quantised rows");
}

static oll_status write_quantized(struct job *job, const struct oll_gguf_tensor *t,
                                  const unsigned char *data, enum oll_dtype to,
                                  struct oll_error *err)
{
    struct slab s = {.src = data, .from = t->dtype, .to = to, .n_in = t->ne[0]};
    const uint64_t n_rows = t->ne[1] * t->ne[2] * t->ne[3];
    s.src_row_bytes = oll_dtype_row_bytes(t->dtype, t->ne[0]);
    s.dst_row_bytes = oll_dtype_row_bytes(to, t->ne[0]);
    const uint64_t rows_slab = t->ne[0] < SLAB_ELEMENTS ? SLAB_ELEMENTS / t->ne[0] : 1;
    const uint64_t rows_piece = t->ne[0] < PIECE_ELEMENTS ? PIECE_ELEMENTS / t->ne[0] : 1;
    OLL_TRY(grow_slab(job, (n_rows < rows_slab ? n_rows : rows_slab) * s.dst_row_bytes, err));
    s.dst = job->slab;
    for (uint64_t r = 0; r < n_rows; r += rows_slab) {
        const uint64_t n = n_rows - r < rows_slab ? n_rows - r : rows_slab;
        convert_rows(quantize_rows, &s, n, rows_piece, job->n_threads);
        OLL_TRY(oll_gguf_write_data(job->out, job->slab, n * s.dst_row_bytes, err));
        OLL_TRY(report(job, n * s.src_row_bytes, err));
        s.src += n * s.src_row_bytes;
    }
    return OLL_OK;
}

static oll_status write_tensors(struct job *job, struct oll_error *err)
{
    for (uint64_t i = 0; i < oll_gguf_n_tensors(job->in); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(job->in, i);
        const unsigned char *data;
        OLL_TRY(oll_gguf_data(job->in, t, &data, err));
        if (job->dtypes[i] == t->dtype) {
            OLL_TRY(oll_gguf_write_data(job->out, data, t->n_bytes, err));
            OLL_TRY(report(job, t->n_bytes, err));
        } else {
            OLL_TRY(write_quantized(job, t, data, job->dtypes[i], err));
        }
        oll_gguf_drop_pages(job->in, t);
    }
    return OLL_OK;
}

oll_status oll_quantize_model(const char *const *paths, uint32_t n_parts,
                              const struct oll_gguf_sink *sink,
                              const struct oll_quantize_options *options, struct oll_error *err)
{
    struct job job = {.options = options};
    oll_status status = OLL_OK;
    job.n_threads = options->n_threads > 0 ? options->n_threads : convert_thread_count();
    OLL_TRY_DONE(n_parts == 1 ? oll_gguf_open(paths[0], &job.in, err)
                              : oll_gguf_open_parts(paths, n_parts, &job.in, err));
    OLL_TRY_DONE(oll_gguf_writer_new_to(sink, &job.out, err));
    put_metadata(&job);
    OLL_TRY_DONE(plan_tensors(&job, err));
    OLL_TRY_DONE(oll_gguf_write_header(job.out, err));
    OLL_TRY_DONE(write_tensors(&job, err));
    status = oll_gguf_writer_finish(job.out, err);
done:
    oll_free(job.slab);
    oll_free(job.dtypes);
    oll_gguf_writer_free(job.out);
    oll_gguf_close(job.in);
    return status;
}
