#include "engine/bind.h"

#include "engine/arch.h"
#include "engine/base/mem.h"
#include "kernels/quant.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128, GROUP_MAX = 4, VECTOR_ALIGN = 16 /* floats: one cache line */ };

void bind_fail(struct binder *b, oll_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    oll_error_setv(b->err, status, fmt, args);
    va_end(args);
    if (b->status == OLL_OK)
        b->status = status;
}

/* ---- names ---- */

/* Names that other producers use. `bare`: without the suffix. */
static const struct {
    const char *name, *alt;
    bool bare;
} aliases[] = {
    {"attn_output", "attn_out", false},
    {"attn_sinks", "attn_sinks", true},
    {"exp_probs_b", "exp_probs_b", true},
    {"post_attention_norm", "post_attn_norm", false},
    {"post_ffw_norm", "post_ffn_norm", false},
    {"ffn_norm", "attn_output_norm", false}, /* dbrx */
    {"output_norm", "norm", false},          /* embeddinggemma, as the next two */
    {"dense_2", "dense.0", false},
    {"dense_3", "dense.1", false},
    {"rope_freqs", "blk.0.rope_freqs", false},
};

static void full_name(const struct binder *b, const char *name, const char *suffix,
                      char out[NAME_MAX_BYTES])
{
    const char *dot = suffix[0] ? "." : "";
    if (b->il >= 0)
        snprintf(out, NAME_MAX_BYTES, "blk.%d.%s%s%s", b->il, name, dot, suffix);
    else
        snprintf(out, NAME_MAX_BYTES, "%s%s%s", name, dot, suffix);
}

const struct oll_gguf_tensor *bind_find(const struct binder *b, const char *name,
                                        const char *suffix)
{
    char full[NAME_MAX_BYTES];
    full_name(b, name, suffix, full);
    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(b->gguf, full);
    for (size_t i = 0; !t && i < sizeof aliases / sizeof aliases[0]; i++) {
        if (strcmp(name, aliases[i].name) != 0)
            continue;
        full_name(b, aliases[i].alt, aliases[i].bare ? "" : suffix, full);
        t = oll_gguf_find_tensor(b->gguf, full);
    }
    return t;
}

bool bind_has(const struct binder *b, const char *name)
{
    return bind_find(b, name, "weight") != NULL;
}

uint32_t bind_dim(struct binder *b, const char *name, int dim, uint32_t fallback)
{
    const struct oll_gguf_tensor *t = bind_find(b, name, "weight");
    if (!t)
        return fallback;
    if (t->ne[dim] > UINT32_MAX / 2) {
        bind_fail(b, OLL_ERR_LIMIT, "tensor %.*s: dimension %" PRIu64 " is too large",
                  (int)t->name.len, t->name.data, t->ne[dim]);
        return fallback;
    }
    return (uint32_t)t->ne[dim];
}

/* ---- checks ---- */

static void shape_text(const uint64_t *ne, uint32_t n, char *out, size_t n_bytes)
{
    size_t at = 0;
    for (uint32_t i = 0; i < n && at < n_bytes; i++)
        at += (size_t)snprintf(out + at, n_bytes - at, "%s%" PRIu64, i ? ", " : "", ne[i]);
}

static void fail_missing(struct binder *b, const char *name, const char *suffix, const uint64_t *ne,
                         uint32_t n)
{
    char full[NAME_MAX_BYTES], shape[96];
    full_name(b, name, suffix, full);
    shape_text(ne, n, shape, sizeof shape);
    bind_fail(b, OLL_ERR_FORMAT, "tensor %s [%s] is missing, architecture %s needs it", full, shape,
              b->model->hp.prefix);
}

/* The tensor has the shape [ne0, ne1, ne2] (later ones 1). */
static bool check_shape(struct binder *b, const struct oll_gguf_tensor *t, const uint64_t ne[3])
{
    if (t->ne[0] == ne[0] && t->ne[1] == ne[1] && t->ne[2] == ne[2] && t->ne[3] == 1)
        return true;
    char want[96], have[96];
    shape_text(ne, ne[2] > 1 ? 3 : 2, want, sizeof want);
    shape_text(t->ne, t->n_dims, have, sizeof have);
    bind_fail(b, OLL_ERR_FORMAT, "architecture %s needs %.*s [%s], found [%s]", b->model->hp.prefix,
              (int)t->name.len, t->name.data, want, have);
    return false;
}

static bool check_dtype(struct binder *b, const struct oll_gguf_tensor *t, enum oll_op_kind op)
{
    const struct oll_device *dev = b->model->devices[b->i_device].dev;
    if (oll_device_supports(dev, op, t->dtype))
        return true;
    bind_fail(b, OLL_ERR_UNSUPPORTED, "tensor %.*s: device %s has no %s for type %s",
              (int)t->name.len, t->name.data, dev->ops->name, oll_op_name(op),
              oll_dtype_name((uint32_t)t->dtype));
    return false;
}

/* ---- vectors ---- */

/* All elements of a tensor as f32, released with oll_free; NULL after a failure. */
static float *read_floats(struct binder *b, const struct oll_gguf_tensor *t, uint64_t n)
{
    float *v = oll_alloc((size_t)n, sizeof *v);
    if (!v) {
        bind_fail(b, OLL_ERR_MEMORY, "no memory for %" PRIu64 " values of tensor %.*s", n,
                  (int)t->name.len, t->name.data);
        return NULL;
    }
    oll_dequantize_row(t->dtype, t->data, v, (size_t)n);
    return v;
}

/* Takes room for n floats; in the upload pass fills it. */
static void put_floats(struct binder *b, const float *values, uint32_t n, struct oll_vec *out)
{
    struct model_device *d = &b->model->devices[b->i_device];
    size_t off = b->n_vector[b->i_device];
    b->n_vector[b->i_device] += oll_align_up(n, VECTOR_ALIGN);
    *out = (struct oll_vec){.off = off, .n = n};
    if (!b->is_upload || b->status != OLL_OK)
        return;
    OLL_ASSERT(off + n <= d->n_vector);
    out->buf = d->vectors;
    oll_status status =
        oll_buffer_upload(d->vectors, off * sizeof *values, values, n * sizeof *values, b->err);
    if (status != OLL_OK)
        bind_fail(b, status, "upload failed");
}

/* Elements [first, first + n) of a tensor of n_all, multiplied by `factor`. */
static void put_tensor(struct binder *b, const struct oll_gguf_tensor *t, uint64_t n_all,
                       uint64_t first, uint32_t n, float factor, struct oll_vec *out)
{
    uint64_t have = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    if (have != n_all) {
        char shape[96];
        shape_text(t->ne, t->n_dims, shape, sizeof shape);
        bind_fail(b, OLL_ERR_FORMAT, "architecture %s needs %" PRIu64 " values in %.*s, found [%s]",
                  b->model->hp.prefix, n_all, (int)t->name.len, t->name.data, shape);
        return;
    }
    if (!b->is_upload) {
        put_floats(b, NULL, n, out);
        return;
    }
    float *v = read_floats(b, t, n_all);
    if (!v)
        return;
    if (factor != 1)
        for (uint32_t i = 0; i < n; i++)
            v[first + i] *= factor;
    put_floats(b, v + first, n, out);
    oll_free(v);
}

void bind_vec(struct binder *b, const char *name, const char *suffix, uint32_t n,
              enum bind_need need, struct oll_vec *out)
{
    const struct oll_gguf_tensor *t = bind_find(b, name, suffix);
    *out = (struct oll_vec){0};
    if (b->status != OLL_OK)
        return;
    if (t)
        put_tensor(b, t, n, 0, n, 1, out);
    else if (need == BIND_REQUIRED)
        fail_missing(b, name, suffix, (uint64_t[]){n}, 1);
}

void bind_computed(struct binder *b, const float *values, uint32_t n, struct oll_vec *out)
{
    put_floats(b, values, n, out);
}

/* Frequency divisors [n] of a rope, kept on the host in the model's arena; NULL when absent. */
static const float *rope_factors(struct binder *b, const char *name, uint32_t n)
{
    const struct oll_gguf_tensor *t = bind_find(b, name, "weight");
    if (!t || b->status != OLL_OK || !check_shape(b, t, (uint64_t[]){n, 1, 1}))
        return NULL;
    float *v = oll_arena_alloc(&b->model->arena, n, sizeof *v);
    if (!v) {
        bind_fail(b, OLL_ERR_MEMORY, "no memory for tensor %s", name);
        return NULL;
    }
    oll_dequantize_row(t->dtype, t->data, v, n);
    for (uint32_t i = 0; i < n; i++)
        if (!(v[i] > 0 && isfinite(v[i]))) {
            bind_fail(b, OLL_ERR_FORMAT, "tensor %s: factor %u is %g, expected a positive number",
                      name, i, (double)v[i]);
            return NULL;
        }
    return v;
}

/* Factors apply to every rope but one that sliding layers have for being plain. */
static void bind_rope_factors(struct binder *b)
{
    struct model_hparams *hp = &b->model->hp;
    if (hp->n_rope == 0)
        return;
    struct rope_params *rope = &hp->ropes[HPARAMS_ROPE_MAIN];
    uint32_t n = rope->n_rot / 2;
    rope->factors = rope_factors(b, "rope_factors_short", n);
    rope->factors_long = rope->factors ? rope_factors(b, "rope_factors_long", n) : NULL;
    if (!rope->factors)
        rope->factors = rope_factors(b, "rope_freqs", n);
    if (hp->n_rope == 2 && !arch_has(hp, ARCH_SLIDING_PLAIN)) {
        hp->ropes[HPARAMS_ROPE_SLIDING].factors = rope->factors;
        hp->ropes[HPARAMS_ROPE_SLIDING].factors_long = rope->factors_long;
    }
}

/* ---- norms ---- */

void bind_norm(struct binder *b, const char *name, uint32_t n, enum bind_need need,
               struct norm *out)
{
    *out = (struct norm){0};
    if (arch_has(&b->model->hp, ARCH_NORM_BARE)) {
        out->present = need == BIND_REQUIRED;
        return;
    }
    if (!bind_has(b, name) && need == BIND_OPTIONAL)
        return;
    out->present = true;
    bind_vec(b, name, "weight", n, BIND_REQUIRED, &out->w);
    if (b->model->hp.arch->norm == OLL_NORM_LAYER)
        bind_vec(b, name, "bias", n, BIND_OPTIONAL, &out->b);
}

void bind_head_norm(struct binder *b, const char *name, uint32_t n_head, uint32_t head_dim,
                    enum bind_need need, struct norm *out)
{
    const struct oll_gguf_tensor *t = bind_find(b, name, "weight");
    *out = (struct norm){0};
    if (!t) {
        if (need == BIND_REQUIRED)
            fail_missing(b, name, "weight", (uint64_t[]){head_dim}, 1);
        return;
    }
    uint32_t n = n_head * head_dim;
    bool is_vector = t->ne[0] == n && t->ne[1] == 1 && n_head > 1;
    bool is_shared = t->ne[0] == head_dim && t->ne[1] == 1;
    out->present = true;
    out->group = is_vector ? 0 : head_dim;
    n = is_shared ? head_dim : n;
    bind_vec(b, name, "weight", n, BIND_REQUIRED, &out->w);
    if (b->model->hp.arch->norm == OLL_NORM_LAYER)
        bind_vec(b, name, "bias", n, BIND_OPTIONAL, &out->b);
}

/* ---- copies in host memory ---- */

/* Memory of the model, which may have to outlive the upload. NULL after a failure. */
static unsigned char *new_copy(struct binder *b, uint64_t count, uint64_t size, const char *name)
{
    struct oll_model *m = b->model;
    unsigned char *copy = NULL;
    if (m->n_copy == m->cap_copy) {
        uint32_t cap = m->cap_copy ? 2 * m->cap_copy : 16;
        void **grown = oll_realloc(m->copies, cap, sizeof *grown);
        if (grown) {
            m->copies = grown;
            m->cap_copy = cap;
        }
    }
    if (m->n_copy < m->cap_copy && size <= SIZE_MAX)
        copy = oll_alloc((size_t)count, (size_t)size);
    if (!copy) {
        bind_fail(b, OLL_ERR_MEMORY, "no memory to rearrange tensor %s", name);
        return NULL;
    }
    m->copies[m->n_copy++] = copy;
    return copy;
}

static void drop_copies(struct oll_model *m, uint32_t n_keep)
{
    while (m->n_copy > n_keep)
        oll_free(m->copies[--m->n_copy]);
}

/* Data of a tensor in the layout of its type: that of the map, or of a copy of an interleaved one.
 */
static const void *plain_data(struct binder *b, const struct oll_gguf_tensor *t, const char *name)
{
    if (!t->interleaved || !b->is_upload)
        return t->data;
    unsigned char *copy = new_copy(b, 1, t->n_bytes, name);
    if (copy)
        oll_gguf_deinterleave(t->data, copy, (size_t)t->n_bytes);
    return copy;
}

/* ---- matrices ---- */

static bool keep_weight(struct binder *b, struct oll_weight *w)
{
    struct oll_model *m = b->model;
    if (m->n_weight == m->cap_weight) {
        uint32_t cap = m->cap_weight ? 2 * m->cap_weight : 64;
        struct oll_weight **grown = oll_realloc(m->weights, cap, sizeof *grown);
        if (!grown) {
            oll_weight_free(w);
            bind_fail(b, OLL_ERR_MEMORY, "no memory for the weight table");
            return false;
        }
        m->weights = grown;
        m->cap_weight = cap;
    }
    m->weights[m->n_weight++] = w;
    return true;
}

/* Uploads a group; out[i] gets the handles, which the model owns. */
static void upload(struct binder *b, const struct oll_weight_source *src, int n,
                   struct linear *const *out)
{
    struct oll_weight *w[GROUP_MAX];
    struct oll_device *dev = b->model->devices[b->i_device].dev;
    oll_status status = oll_weights_new(dev, src, n, w, b->err);
    if (status != OLL_OK) {
        bind_fail(b, status, "tensor %s: upload to device %s failed", src[0].name, dev->ops->name);
        return;
    }
    for (int i = 0; i < n; i++)
        if (keep_weight(b, w[i]))
            out[i]->w = w[i];
}

static bool all_uploaded(struct linear *const *out, int n)
{
    for (int i = 0; i < n; i++)
        if (!out[i]->w || out[i]->w->borrows_source)
            return false;
    return true;
}

/* The factor of the file that goes with a whole matrix. */
static float read_scale(struct binder *b, const char *name)
{
    const struct oll_gguf_tensor *t = bind_find(b, name, "scale");
    float scale = 1;
    if (!t)
        return 0;
    if (t->ne[0] != 1 || t->ne[1] != 1 || t->ne[2] != 1)
        bind_fail(b, OLL_ERR_FORMAT, "tensor %.*s: expected one value", (int)t->name.len,
                  t->name.data);
    else
        oll_dequantize_row(t->dtype, t->data, &scale, 1);
    if (!(fabsf(scale) >= 1e-30f && fabsf(scale) <= 1e30f))
        bind_fail(b, OLL_ERR_FORMAT, "tensor %.*s: scale %g is not usable", (int)t->name.len,
                  t->name.data, (double)scale);
    return scale;
}

/* The device can use a matrix of that name: tables of rows are embedded, the embedding may also be
 * the head. */
static bool check_use(struct binder *b, const char *name, const struct oll_gguf_tensor *t)
{
    bool is_embd = strcmp(name, "token_embd") == 0;
    bool is_table =
        is_embd || strcmp(name, "position_embd") == 0 || strcmp(name, "token_types") == 0;
    return (!is_table || check_dtype(b, t, OLL_OP_EMBED)) &&
           ((is_table && !is_embd) || check_dtype(b, t, OLL_OP_MATMUL));
}

/* Super-blocks: one scale for 256 activations where others have one for 32. */
static bool has_wide_scales(const struct oll_gguf_tensor *t)
{
    return t && oll_dtype_info(t->dtype)->block_elements == 256;
}

/* Where 8 bits of an activation are too few: errors of the head go straight into the logits. Of the
 * layers, narrow models, where work matters least, get one remedy: in ffn_down, whose input has the
 * longest tails, where its type makes most of them; else round the attention. In wide ones only
 * values are worth their price: their errors reach all later positions (docs/performance.md,
 * Precision). */
static bool is_precise(const struct binder *b, const char *name, uint32_t n_in, uint32_t n_out)
{
    enum { NARROW = 1024 };
    if (b->il < 0)
        return true;
    const bool is_wide_down = has_wide_scales(bind_find(b, "ffn_down", "weight"));
    if (strcmp(name, "ffn_down") == 0)
        return n_out <= NARROW && is_wide_down;
    if (strcmp(name, "attn_q") == 0)
        return n_in <= NARROW && !is_wide_down;
    if (strcmp(name, "attn_output") == 0)
        return n_out <= NARROW && !is_wide_down;
    return strcmp(name, "attn_v") == 0 && n_in > NARROW;
}

/* One part of a group: its rows in tensor `t` (of name `name`) begin at `row`. */
static bool take_part(struct binder *b, const char *name, const struct oll_gguf_tensor *t,
                      uint64_t row, uint64_t n_rows, uint32_t n_in, const struct bind_part *part,
                      struct oll_weight_source *src)
{
    if (!check_shape(b, t, (uint64_t[]){n_in, n_rows, 1}) || !check_use(b, name, t))
        return false;
    size_t row_bytes = oll_dtype_row_bytes(t->dtype, n_in);
    const unsigned char *data = plain_data(b, t, name);
    if (!data)
        return false;
    *src = (struct oll_weight_source){.name = part->name,
                                      .data = data + row * row_bytes,
                                      .dtype = t->dtype,
                                      .n_in = n_in,
                                      .n_out = part->n_out,
                                      .n_expert = 1,
                                      .precise = is_precise(b, part->name, n_in, part->n_out)};
    b->weight_bytes += (uint64_t)row_bytes * part->n_out;
    *part->out = (struct linear){.scale = read_scale(b, name)};
    const struct oll_gguf_tensor *bias = bind_find(b, name, "bias");
    if (bias && b->status == OLL_OK)
        put_tensor(b, bias, n_rows, row, part->n_out,
                   part->out->scale != 0 ? 1 / part->out->scale : 1, &part->out->b);
    return b->status == OLL_OK;
}

/* One matrix of an adapter, a group of its own. */
static void upload_adapter(struct binder *b, const struct oll_weight_source *src,
                           const struct oll_weight **out)
{
    struct linear lin = {0};
    upload(b, src, 1, (struct linear *[]){&lin});
    *out = lin.w;
}

/* What an adapter adds to a part of a group; rows and names as in take_part. */
static void bind_adapter(struct binder *b, const char *name, uint64_t row, uint64_t n_rows,
                         uint32_t n_in, const struct bind_part *part)
{
    char full[NAME_MAX_BYTES];
    struct adapter_pair pair;
    if (!b->model->adapter.gguf || b->status != OLL_OK)
        return;
    full_name(b, name, "weight", full);
    oll_status status = adapter_find(&b->model->adapter, full, n_in, n_rows, &pair, b->err);
    if (status != OLL_OK)
        bind_fail(b, status, "adapter failed");
    if (status != OLL_OK || !pair.a || !check_dtype(b, pair.a, OLL_OP_MATMUL) ||
        !check_dtype(b, pair.b, OLL_OP_MATMUL))
        return;
    const uint32_t rank = (uint32_t)pair.a->ne[1];
    const size_t row_bytes = oll_dtype_row_bytes(pair.b->dtype, rank);
    b->weight_bytes += pair.a->n_bytes + row_bytes * part->n_out;
    part->out->lora_scale = pair.scale;
    part->out->lora_rank = rank;
    if (!b->is_upload)
        return;
    upload_adapter(b,
                   &(struct oll_weight_source){.name = "lora_a",
                                               .data = pair.a->data,
                                               .dtype = pair.a->dtype,
                                               .n_in = n_in,
                                               .n_out = rank,
                                               .n_expert = 1},
                   &part->out->lora_a);
    upload_adapter(b,
                   &(struct oll_weight_source){.name = "lora_b",
                                               .data = pair.b->data + row * row_bytes,
                                               .dtype = pair.b->dtype,
                                               .n_in = rank,
                                               .n_out = part->n_out,
                                               .n_expert = 1},
                   &part->out->lora_b);
}

void bind_group(struct binder *b, const char *fused, const struct bind_part *parts, int n,
                uint32_t n_in)
{
    struct oll_weight_source src[GROUP_MAX] = {0};
    const struct oll_gguf_tensor *tensors[GROUP_MAX];
    struct linear *out[GROUP_MAX] = {0};
    uint64_t row = 0, n_rows = 0;
    uint32_t n_copy = b->model->n_copy;
    if (b->status != OLL_OK)
        return;
    for (int i = 0; i < n; i++) {
        n_rows += parts[i].n_out;
        out[i] = parts[i].out;
    }
    bool is_fused = fused && bind_has(b, fused) && !bind_has(b, parts[0].name);
    for (int i = 0; i < n; i++) {
        const char *name = is_fused ? fused : parts[i].name;
        tensors[i] = bind_find(b, name, "weight");
        if (!tensors[i]) {
            fail_missing(b, name, "weight", (uint64_t[]){n_in, parts[i].n_out}, 2);
            return;
        }
        if (!take_part(b, name, tensors[i], row, is_fused ? n_rows : parts[i].n_out, n_in,
                       &parts[i], &src[i]))
            return;
        if (b->il >= 0)
            bind_adapter(b, name, row, is_fused ? n_rows : parts[i].n_out, n_in, &parts[i]);
        row += is_fused ? parts[i].n_out : 0;
    }
    if (!b->is_upload)
        return;
    upload(b, src, n, out);
    if (!all_uploaded(out, n))
        return;
    for (int i = 0; i < (is_fused ? 1 : n); i++)
        oll_gguf_drop_pages(b->gguf, tensors[i]);
    drop_copies(b->model, n_copy);
}

void bind_linear(struct binder *b, const char *name, uint32_t n_in, uint32_t n_out,
                 enum bind_need need, struct linear *out)
{
    *out = (struct linear){0};
    if (need == BIND_OPTIONAL && !bind_has(b, name))
        return;
    bind_group(b, NULL, &(struct bind_part){name, n_out, out}, 1, n_in);
}

/* ---- experts ---- */

/* Name of one expert's tensor in old files: "ffn_up.3" for "ffn_up_exps". */
static void expert_name(const char *stack, uint32_t i, char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%.*s.%u", (int)(strlen(stack) - strlen("_exps")), stack, i);
}

/* Joins a tensor per expert to one stack in memory of the model. In the check pass only looks. */
static const void *join_experts(struct binder *b, const struct bind_part *part, uint32_t n_in,
                                enum oll_dtype *dtype)
{
    struct oll_model *m = b->model;
    char name[NAME_MAX_BYTES];
    unsigned char *all = NULL;
    for (uint32_t e = 0; e < m->hp.n_expert; e++) {
        expert_name(part->name, e, name);
        const struct oll_gguf_tensor *t = bind_find(b, name, "weight");
        if (!t) {
            fail_missing(b, e ? name : part->name, "weight", (uint64_t[]){n_in, part->n_out}, 2);
            return NULL;
        }
        if (!check_shape(b, t, (uint64_t[]){n_in, part->n_out, 1}) ||
            !check_dtype(b, t, OLL_OP_MATMUL_EXPERT))
            return NULL;
        if (e > 0 && t->dtype != *dtype) {
            bind_fail(b, OLL_ERR_FORMAT, "tensor %.*s: type differs from that of expert 0",
                      (int)t->name.len, t->name.data);
            return NULL;
        }
        *dtype = t->dtype;
        if (!b->is_upload)
            continue;
        if (!all)
            all = new_copy(b, m->hp.n_expert, t->n_bytes, part->name);
        if (!all)
            return NULL;
        if (t->interleaved)
            oll_gguf_deinterleave(t->data, all + e * (size_t)t->n_bytes, (size_t)t->n_bytes);
        else
            memcpy(all + e * (size_t)t->n_bytes, t->data, (size_t)t->n_bytes);
        oll_gguf_drop_pages(b->gguf, t);
    }
    return all;
}

static void bind_expert_extras(struct binder *b, const struct bind_part *part)
{
    uint32_t n_expert = b->model->hp.n_expert;
    const struct oll_gguf_tensor *bias = bind_find(b, part->name, "bias");
    const struct oll_gguf_tensor *scale = bind_find(b, part->name, "scale");
    *part->out = (struct linear){0};
    if (bias && scale) {
        bind_fail(b, OLL_ERR_UNSUPPORTED, "tensor %.*s: experts with both bias and scale",
                  (int)bias->name.len, bias->name.data);
        return;
    }
    if (bias)
        put_tensor(b, bias, (uint64_t)n_expert * part->n_out, 0, n_expert * part->n_out, 1,
                   &part->out->b);
    if (scale)
        put_tensor(b, scale, n_expert, 0, n_expert, 1, &part->out->expert_scale);
}

void bind_experts(struct binder *b, const struct bind_part *parts, int n, uint32_t n_in)
{
    struct oll_weight_source src[GROUP_MAX] = {0};
    const struct oll_gguf_tensor *tensors[GROUP_MAX] = {0};
    struct linear *out[GROUP_MAX] = {0};
    uint32_t n_expert = b->model->hp.n_expert, n_copy = b->model->n_copy;
    if (b->status != OLL_OK)
        return;
    for (int i = 0; i < n && b->status == OLL_OK; i++) {
        out[i] = parts[i].out;
        src[i] = (struct oll_weight_source){
            .name = parts[i].name, .n_in = n_in, .n_out = parts[i].n_out, .n_expert = n_expert};
        tensors[i] = bind_find(b, parts[i].name, "weight");
        if (!tensors[i]) {
            src[i].data = join_experts(b, &parts[i], n_in, &src[i].dtype);
        } else if (check_shape(b, tensors[i], (uint64_t[]){n_in, parts[i].n_out, n_expert}) &&
                   check_dtype(b, tensors[i], OLL_OP_MATMUL_EXPERT)) {
            src[i].data = plain_data(b, tensors[i], parts[i].name);
            src[i].dtype = tensors[i]->dtype;
        }
        if (b->status == OLL_OK) {
            b->weight_bytes +=
                (uint64_t)oll_dtype_row_bytes(src[i].dtype, n_in) * parts[i].n_out * n_expert;
            bind_expert_extras(b, &parts[i]);
        }
    }
    if (!b->is_upload || b->status != OLL_OK)
        return;
    upload(b, src, n, out);
    if (!all_uploaded(out, n))
        return;
    for (int i = 0; i < n; i++)
        if (tensors[i])
            oll_gguf_drop_pages(b->gguf, tensors[i]);
    drop_copies(b->model, n_copy);
}

/* ---- both passes ---- */

static void bind_pass(struct binder *b)
{
    struct oll_model *m = b->model;
    const struct arch_family *family = m->hp.arch->family;
    b->il = -1;
    b->i_device = model_first_device(m);
    memset(b->n_vector, 0, sizeof b->n_vector);
    b->weight_bytes = 0;
    family->bind_model(b);
    for (uint32_t il = 0; il < m->hp.n_layer && b->status == OLL_OK; il++) {
        struct model_layer *layer = &m->layers[il];
        b->il = (int32_t)il;
        b->i_device = m->placement.layer_device[il];
        *layer = (struct model_layer){.il = il,
                                      .hp = &m->hp.layers[il],
                                      .i_device = b->i_device,
                                      .n_ff = m->hp.layers[il].n_ff};
        family->bind_layer(b, layer);
    }
}

oll_status bind_model(struct oll_model *model, struct oll_error *err)
{
    struct binder b = {.model = model, .gguf = model->gguf, .il = -1, .err = err};
    bind_rope_factors(&b);
    bind_pass(&b);
    if (b.status != OLL_OK)
        return b.status;
    if (model->adapter.gguf)
        OLL_TRY(adapter_check_used(&model->adapter, err));
    for (int i = 0; i < model->placement.n_device; i++) {
        struct model_device *d = &model->devices[i];
        d->n_vector = b.n_vector[i];
        if (d->n_vector)
            OLL_TRY(oll_buffer_new(d->dev, d->n_vector * sizeof(float), &d->vectors, err));
    }
    model->info.weights_bytes = b.weight_bytes;
    b.is_upload = true;
    bind_pass(&b);
    return b.status;
}
