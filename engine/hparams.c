#include "engine/hparams.h"

#include "engine/arch.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 256, HEAD_MAX = 4096, HEAD_DIM_MAX = 8192, WIDTH_MAX = 1 << 20 };

/* ---- keys ---- */

static const char *full_key(const struct hparams_reader *r, const char *name, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%s.%s", r->prefix, name);
    return key;
}

static const struct oll_gguf_kv *find(const struct hparams_reader *r, const char *name)
{
    char key[KEY_MAX];
    return oll_gguf_find(r->gguf, full_key(r, name, key));
}

bool hparams_has(const struct hparams_reader *r, const char *name) { return find(r, name) != NULL; }

void hparams_fail(struct hparams_reader *r, oll_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    oll_error_setv(r->err, status, fmt, args);
    va_end(args);
    if (r->status == OLL_OK)
        r->status = status;
}

static void fail_key(struct hparams_reader *r, const char *name)
{
    hparams_fail(r, OLL_ERR_FORMAT, "key %s.%s is missing, architecture %s needs it", r->prefix,
                 name, r->prefix);
}

/* Element `i` of the value (0 for a scalar) within its range. */
static uint32_t element_u32(struct hparams_reader *r, const struct oll_gguf_kv *kv,
                            const char *name, uint64_t i, uint32_t min, uint32_t max)
{
    uint64_t v = 0;
    oll_status status = oll_gguf_kv_u64(kv, i, &v, r->err);
    if (status != OLL_OK)
        hparams_fail(r, status, "key %s.%s: not a count", r->prefix, name);
    else if (v < min || v > max)
        hparams_fail(r, OLL_ERR_FORMAT, "%s.%s = %" PRIu64 " is not in %u..%u", r->prefix, name, v,
                     min, max);
    return v < min ? min : v > max ? max : (uint32_t)v;
}

uint32_t hparams_u32(struct hparams_reader *r, const char *name, uint32_t min, uint32_t max,
                     uint32_t fallback)
{
    const struct oll_gguf_kv *kv = find(r, name);
    if (!kv || r->status != OLL_OK)
        return fallback;
    /* A scalar key stored per layer stands for its first layer. */
    if (kv->count == 0) {
        hparams_fail(r, OLL_ERR_FORMAT, "key %s.%s: empty array", r->prefix, name);
        return fallback;
    }
    return element_u32(r, kv, name, 0, min, max);
}

static uint32_t need_u32(struct hparams_reader *r, const char *name, uint32_t min, uint32_t max)
{
    if (!hparams_has(r, name))
        fail_key(r, name);
    return hparams_u32(r, name, min, max, min);
}

float hparams_f32(struct hparams_reader *r, const char *name, float min, float max, float fallback)
{
    char key[KEY_MAX];
    double v = 0;
    if (r->status != OLL_OK)
        return fallback;
    oll_status status = oll_gguf_f64(r->gguf, full_key(r, name, key), &v, r->err);
    if (status == OLL_ERR_NOT_FOUND)
        return fallback;
    if (status != OLL_OK)
        hparams_fail(r, status, "key %s: not a number", key);
    else if (!(v >= (double)min && v <= (double)max))
        hparams_fail(r, OLL_ERR_FORMAT, "%s = %g is not in %g..%g", key, v, (double)min,
                     (double)max);
    else
        return (float)v;
    return fallback;
}

bool hparams_bool(struct hparams_reader *r, const char *name, bool fallback)
{
    char key[KEY_MAX];
    bool v = fallback;
    if (r->status != OLL_OK)
        return fallback;
    oll_status status = oll_gguf_bool(r->gguf, full_key(r, name, key), &v, r->err);
    if (status == OLL_ERR_NOT_FOUND)
        return fallback;
    if (status != OLL_OK)
        hparams_fail(r, status, "key %s: not a truth value", key);
    return v;
}

/* ---- ranges of the scalar keys ---- */

enum row_kind { ROW_U32, ROW_F32, ROW_BOOL };

/* One key of the table. `alt` is the spelling of another producer, read when `key` is absent. */
struct row {
    const char *key, *alt;
    enum row_kind kind;
    size_t off; /* in model_hparams */
    double min, max;
};

#define U32(key, alt, field, min, max)                                                             \
    {key, alt, ROW_U32, offsetof(struct model_hparams, field), min, max}
#define F32(key, alt, field, min, max)                                                             \
    {key, alt, ROW_F32, offsetof(struct model_hparams, field), min, max}
#define BOOL(key, alt, field) {key, alt, ROW_BOOL, offsetof(struct model_hparams, field), 0, 1}

/* Optional keys: an absent one leaves the default that set_defaults and the row of the
 * architecture gave. Where the range begins with 0, 0 means "none". */
static const struct row rows[] = {
    BOOL("attention.causal", NULL, causal),
    F32("attention.scale", NULL, attn_scale, 0, 1e6),
    F32("attn_logit_softcapping", NULL, attn_softcap, 0, 1e6),
    F32("final_logit_softcapping", NULL, final_softcap, 0, 1e6),
    F32("attention.max_alibi_bias", NULL, alibi_max_bias, 0, 1e3),
    F32("attention.clamp_kqv", NULL, clamp_kqv, 0, 1e6),
    F32("attention.temperature_scale", "rope.scaling_beta", query_beta, 0, 1e3),
    F32("attention.temperature_length", NULL, query_length, 0, 2147483647.0),
    F32("embedding_scale", NULL, embedding_scale, 0, 1e6),
    F32("residual_scale", NULL, residual_scale, 0, 1e6),
    F32("logit_scale", NULL, logit_scale, 0, 1e6),
    F32("rope.freq_base", "rope.global.freq_base", ropes[0].freq_base, 1.001, 1e18),
    F32("rope.scaling.factor", "rope.scale_linear", ropes[0].factor, 0, 1e6),
    U32("rope.scaling.original_context_length", NULL, ropes[0].n_ctx_orig, 0, INT32_MAX),
    F32("rope.scaling.attn_factor", NULL, ropes[0].attn_factor, 0, 1e3),
    F32("rope.scaling.yarn_ext_factor", NULL, ropes[0].ext_factor, -1, 1e3),
    F32("rope.scaling.yarn_attn_factor", NULL, ropes[0].yarn_attn_factor, 0, 1e3),
    F32("rope.scaling.yarn_beta_fast", "rope.scaling.beta_fast", ropes[0].beta_fast, 1e-6, 1e6),
    F32("rope.scaling.yarn_beta_slow", "rope.scaling.beta_slow", ropes[0].beta_slow, 1e-6, 1e6),
    F32("rope.scaling.yarn_log_multiplier", "rope.scaling.mscale_all_dim", ropes[0].log_multiplier,
        0, 1e3),
    U32("expert_count", NULL, n_expert, 0, 1024),
    U32("expert_used_count", NULL, n_expert_used, 0, 1024),
    U32("expert_feed_forward_length", NULL, n_ff_exp, 0, WIDTH_MAX),
    F32("expert_weights_scale", NULL, expert_scale, 0, 1e6),
    BOOL("expert_weights_norm", NULL, expert_normalise),
    U32("expert_group_count", NULL, n_expert_group, 0, 1024),
    U32("expert_group_used_count", NULL, n_expert_group_used, 0, 1024),
};

static void read_row(struct hparams_reader *r, const struct row *row, struct model_hparams *hp)
{
    const char *key = row->key;
    if (row->alt && !hparams_has(r, key))
        key = row->alt;
    if (!hparams_has(r, key))
        return;
    void *at = (char *)hp + row->off;
    if (row->kind == ROW_U32)
        *(uint32_t *)at = hparams_u32(r, key, (uint32_t)row->min, (uint32_t)row->max, 0);
    else if (row->kind == ROW_F32)
        *(float *)at = hparams_f32(r, key, (float)row->min, (float)row->max, 1);
    else
        *(bool *)at = hparams_bool(r, key, *(bool *)at);
}

static void set_defaults(struct model_hparams *hp)
{
    hp->causal = !arch_has(hp, ARCH_ENCODER);
    hp->expert_normalise = true;
    hp->parallel = arch_has(hp, ARCH_PARALLEL);
    hp->ropes[0] = (struct rope_params){.kind = hp->arch->rope,
                                        .freq_base = 10000,
                                        .factor = 1,
                                        .attn_factor = 1,
                                        .ext_factor = 1,
                                        .beta_fast = 32,
                                        .beta_slow = 1};
}

/* Of the two kinds of epsilon the architecture's own, else the other one. */
static void read_eps(struct hparams_reader *r, struct model_hparams *hp)
{
    const char *rms = "attention.layer_norm_rms_epsilon", *layer = "attention.layer_norm_epsilon";
    const char *first = hp->arch->norm == OLL_NORM_RMS ? rms : layer;
    const char *second = hp->arch->norm == OLL_NORM_RMS ? layer : rms;
    if (hparams_has(r, first))
        hp->norm_eps = hparams_f32(r, first, 0, 1, 0);
    else if (hparams_has(r, second))
        hp->norm_eps = hparams_f32(r, second, 0, 1, 0);
    else if (hp->norm_eps == 0)
        fail_key(r, first);
}

static void read_rope_scaling(struct hparams_reader *r, struct model_hparams *hp)
{
    struct rope_params *rope = &hp->ropes[0];
    static const struct {
        const char *name;
        enum rope_scaling scaling;
    } types[] = {{"none", ROPE_SCALING_NONE},
                 {"linear", ROPE_SCALING_LINEAR},
                 {"yarn", ROPE_SCALING_YARN},
                 {"longrope", ROPE_SCALING_LONG}};
    char key[KEY_MAX];
    struct oll_gguf_str text;
    if (rope->factor == 0)
        rope->factor = 1;
    if (rope->attn_factor == 0)
        rope->attn_factor = 1;
    if (rope->n_ctx_orig == 0)
        rope->n_ctx_orig = hp->n_ctx_train;
    if (rope->ext_factor < 0) /* "as the method says" */
        rope->ext_factor = 1;
    oll_status status = oll_gguf_str(r->gguf, full_key(r, "rope.scaling.type", key), &text, r->err);
    if (status == OLL_ERR_NOT_FOUND) {
        if (rope->scaling == ROPE_SCALING_NONE)
            rope->scaling = ROPE_SCALING_LINEAR;
        return;
    }
    if (status != OLL_OK) {
        hparams_fail(r, status, "key %s: not a string", key);
        return;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (text.len == strlen(types[i].name) && memcmp(text.data, types[i].name, text.len) == 0) {
            rope->scaling = types[i].scaling;
            return;
        }
    char shown[32];
    hparams_fail(r, OLL_ERR_UNSUPPORTED,
                 "%s = \"%s\" is not known; known are none, linear, yarn, longrope", key,
                 oll_gguf_printable(text, shown, sizeof shown));
}

static void read_pooling(struct hparams_reader *r, struct model_hparams *hp)
{
    /* 4 is ranking: its head reads a token that has seen all others. */
    const enum oll_pooling kinds[] = {OLL_POOLING_NONE, OLL_POOLING_MEAN, OLL_POOLING_FIRST,
                                      OLL_POOLING_LAST,
                                      hp->causal ? OLL_POOLING_LAST : OLL_POOLING_FIRST};
    if (hparams_has(r, "pooling_type")) {
        uint32_t kind = hparams_u32(r, "pooling_type", 0, 4, 0);
        hp->has_pooling = true;
        hp->pooling = kinds[kind];
        hp->ranks = kind == 4;
    } else if (!hp->causal) {
        hp->has_pooling = true;
        hp->pooling = OLL_POOLING_MEAN;
    }
}

static void read_experts(struct hparams_reader *r, struct model_hparams *hp)
{
    static const enum oll_gating gatings[] = {0, OLL_GATING_SOFTMAX, OLL_GATING_SIGMOID,
                                              OLL_GATING_SOFTMAX_SELECTED,
                                              OLL_GATING_SQRT_SOFTPLUS};
    uint32_t gating = hparams_u32(r, "expert_gating_func", 0, 4, 0);
    if (gating != 0)
        hp->gating = gatings[gating];
    if (hp->n_expert == 0) {
        hp->n_expert_used = 0;
        return;
    }
    if (hp->n_expert_used == 0 || hp->n_expert_used > hp->n_expert)
        hparams_fail(r, OLL_ERR_FORMAT, "%s.expert_used_count = %u is not in 1..%u (expert_count)",
                     r->prefix, hp->n_expert_used, hp->n_expert);
    if (hp->n_expert_group <= 1) {
        hp->n_expert_group = hp->n_expert_group_used = 0;
        return;
    }
    uint32_t size = hp->n_expert / hp->n_expert_group;
    if (hp->n_expert % hp->n_expert_group != 0 || hp->n_expert_group_used == 0 ||
        hp->n_expert_group_used > hp->n_expert_group ||
        hp->n_expert_used > size * hp->n_expert_group_used)
        hparams_fail(r, OLL_ERR_FORMAT,
                     "%s.expert_group_count = %u with %u groups used does not fit %u experts of "
                     "which %u are used",
                     r->prefix, hp->n_expert_group, hp->n_expert_group_used, hp->n_expert,
                     hp->n_expert_used);
}

/* ---- layers ---- */

/* A key that holds one value, or one per layer. Absent: `fallback` everywhere. */
static void read_per_layer(struct hparams_reader *r, struct model_hparams *hp, const char *name,
                           uint32_t min, uint32_t max, uint32_t fallback, size_t off)
{
    const struct oll_gguf_kv *kv = find(r, name);
    bool is_array = kv && kv->type == OLL_GGUF_ARRAY;
    if (is_array && kv->count < hp->n_layer) {
        hparams_fail(r, OLL_ERR_FORMAT, "key %s.%s: %" PRIu64 " values for %u layers", r->prefix,
                     name, kv->count, hp->n_layer);
        return;
    }
    for (uint32_t il = 0; il < hp->n_layer && r->status == OLL_OK; il++) {
        uint32_t v = kv ? element_u32(r, kv, name, is_array ? il : 0, min, max) : fallback;
        *(uint32_t *)((char *)&hp->layers[il] + off) = v;
    }
}

void hparams_window(struct hparams_reader *r, struct model_hparams *hp, uint32_t window,
                    uint32_t period)
{
    hp->window = hparams_u32(r, "attention.sliding_window", 0, INT32_MAX, window);
    hp->window_period = period;
    const struct oll_gguf_kv *kv = find(r, "attention.sliding_window_pattern");
    if (kv && kv->type != OLL_GGUF_ARRAY)
        hp->window_period = hparams_u32(r, "attention.sliding_window_pattern", 1, 1024, period);
}

/* Whether a layer slides, by the pattern array or the period. */
static bool is_sliding(struct hparams_reader *r, const struct model_hparams *hp,
                       const struct oll_gguf_kv *pattern, uint32_t il)
{
    if (hp->window == 0 || hp->window_period == 0)
        return false;
    if (pattern) {
        bool slides = false;
        if (oll_gguf_kv_bool(pattern, il, &slides, r->err) != OLL_OK)
            hparams_fail(r, OLL_ERR_FORMAT,
                         "key %s.attention.sliding_window_pattern: not an array of truth values",
                         r->prefix);
        return slides;
    }
    uint32_t i = il % hp->window_period;
    return hp->window_global_first ? i > 0 : i < hp->window_period - 1;
}

static void lay_out_windows(struct hparams_reader *r, struct model_hparams *hp)
{
    const struct oll_gguf_kv *pattern = find(r, "attention.sliding_window_pattern");
    if (pattern && pattern->type != OLL_GGUF_ARRAY)
        pattern = NULL;
    if (pattern && hp->window > 0 && hp->window_period > 0 && pattern->count < hp->n_layer) {
        hparams_fail(r, OLL_ERR_FORMAT,
                     "key %s.attention.sliding_window_pattern: %" PRIu64 " values for %u layers",
                     r->prefix, pattern->count, hp->n_layer);
        return;
    }
    for (uint32_t il = 0; il < hp->n_layer && r->status == OLL_OK; il++) {
        struct layer_hparams *l = &hp->layers[il];
        bool slides = is_sliding(r, hp, pattern, il);
        bool rotates = hp->ropes[0].kind != OLL_ROPE_NONE &&
                       !(hp->no_rope_period && (il + 1) % hp->no_rope_period == 0) &&
                       !(hp->rope_sliding_only && !slides);
        l->window = slides ? hp->window : 0;
        l->i_rope = !rotates                    ? HPARAMS_ROPE_NONE
                    : slides && hp->n_rope == 2 ? HPARAMS_ROPE_SLIDING
                                                : HPARAMS_ROPE_MAIN;
    }
}

/* The head sizes of the file, or n_embd / n_head. */
static void read_head_dims(struct hparams_reader *r, struct model_hparams *hp)
{
    uint32_t n_head = hp->layers[0].n_head, dim = 0;
    bool has_both =
        hparams_has(r, "attention.key_length") && hparams_has(r, "attention.value_length");
    if (r->status != OLL_OK)
        return;
    if (!has_both && hp->n_embd % n_head != 0) {
        hparams_fail(r, OLL_ERR_FORMAT,
                     "%s.attention.head_count = %u does not divide embedding_length %u and there "
                     "is no attention.key_length",
                     r->prefix, n_head, hp->n_embd);
        return;
    }
    dim = hp->n_embd / n_head;
    hp->head_dim_k = hparams_u32(r, "attention.key_length", 1, HEAD_DIM_MAX, dim);
    hp->head_dim_v = hparams_u32(r, "attention.value_length", 1, HEAD_DIM_MAX, dim);
    if (hp->head_dim_k > HEAD_DIM_MAX || hp->head_dim_v > HEAD_DIM_MAX)
        hparams_fail(r, OLL_ERR_FORMAT, "%s: heads of %u values, at most %d are possible",
                     r->prefix, dim, HEAD_DIM_MAX);
}

static void read_layers(struct hparams_reader *r, struct model_hparams *hp)
{
    read_per_layer(r, hp, "attention.head_count", 1, HEAD_MAX, 0,
                   offsetof(struct layer_hparams, n_head));
    read_per_layer(r, hp, "attention.head_count_kv", 1, HEAD_MAX, 0,
                   offsetof(struct layer_hparams, n_head_kv));
    read_per_layer(r, hp, "feed_forward_length", 0, WIDTH_MAX, 0,
                   offsetof(struct layer_hparams, n_ff));
    if (r->status == OLL_OK)
        read_head_dims(r, hp);
    for (uint32_t il = 0; il < hp->n_layer && r->status == OLL_OK; il++) {
        struct layer_hparams *l = &hp->layers[il];
        if (l->n_head_kv == 0)
            l->n_head_kv = l->n_head;
        if (l->n_head % l->n_head_kv != 0)
            hparams_fail(r, OLL_ERR_FORMAT,
                         "%s.attention.head_count_kv = %u does not divide head_count %u of layer "
                         "%u",
                         r->prefix, l->n_head_kv, l->n_head, il);
        l->head_dim_k = hp->head_dim_k;
        l->head_dim_v = hp->head_dim_v;
    }
}

/* Scale of the scores, known once the head size is. */
static void lay_out_scales(struct model_hparams *hp)
{
    for (uint32_t il = 0; il < hp->n_layer; il++)
        hp->layers[il].attn_scale =
            hp->attn_scale != 0 ? hp->attn_scale : 1 / sqrtf((float)hp->layers[il].head_dim_k);
}

/* ---- rope ---- */

static void read_rope(struct hparams_reader *r, struct model_hparams *hp)
{
    struct rope_params *main = &hp->ropes[0], *sliding = &hp->ropes[1];
    if (main->kind == OLL_ROPE_NONE)
        return;
    read_rope_scaling(r, hp);
    if (main->n_rot == 0)
        main->n_rot = hp->head_dim_k;
    main->n_rot = hparams_u32(r, "rope.dimension_count", 1, HEAD_DIM_MAX, main->n_rot);
    if (r->status == OLL_OK && (main->n_rot > hp->head_dim_k || main->n_rot % 2 != 0))
        hparams_fail(r, OLL_ERR_FORMAT,
                     "%s.rope.dimension_count = %u is not an even number up to the head size %u",
                     r->prefix, main->n_rot, hp->head_dim_k);
    if (hp->query_length == 0)
        hp->query_length = (float)main->n_ctx_orig;

    /* Sliding layers with a base of their own, or without the scaling of the others. */
    bool plain = arch_has(hp, ARCH_SLIDING_PLAIN);
    float base = sliding->freq_base != 0 ? sliding->freq_base : main->freq_base;
    const char *key =
        hparams_has(r, "rope.freq_base_swa") ? "rope.freq_base_swa" : "rope.local.freq_base";
    base = hparams_f32(r, key, 1.001f, 1e18f, base);
    hp->n_rope = 1;
    if (hp->window != 0 && (plain || base != main->freq_base)) {
        hp->n_rope = 2;
        *sliding = *main;
        sliding->freq_base = base;
        if (plain) {
            sliding->scaling = ROPE_SCALING_NONE;
            sliding->attn_factor = 1;
        }
    }
}

/* ---- all ---- */

static oll_status read_arch(const struct oll_gguf *gguf, struct model_hparams *hp,
                            struct oll_error *err)
{
    struct oll_gguf_str name;
    oll_status status = oll_gguf_str(gguf, "general.architecture", &name, err);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "key general.architecture is missing");
    OLL_TRY(status);
    if (name.len == 0 || name.len >= sizeof hp->prefix || memchr(name.data, 0, name.len))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "general.architecture is no name");
    memcpy(hp->prefix, name.data, name.len);
    hp->prefix[name.len] = '\0';
    hp->arch = arch_find(hp->prefix);
    if (hp->arch)
        return OLL_OK;
    char shown[HPARAMS_MAX_ARCH_NAME];
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "architecture \"%s\" is not supported; the nearest one that is: %s",
                    oll_gguf_printable(name, shown, sizeof shown), arch_nearest(hp->prefix));
}

oll_status hparams_read(const struct oll_gguf *gguf, struct model_hparams *hp,
                        struct oll_error *err)
{
    memset(hp, 0, sizeof *hp);
    OLL_TRY(read_arch(gguf, hp, err));
    struct hparams_reader reader = {.gguf = gguf, .prefix = hp->prefix, .err = err};
    struct hparams_reader *r = &reader;

    hp->n_ctx_train = need_u32(r, "context_length", 1, INT32_MAX);
    hp->n_embd = need_u32(r, "embedding_length", 1, WIDTH_MAX);
    hp->n_layer = need_u32(r, "block_count", 1, OLL_GGUF_MAX_LAYERS);
    if (!hparams_has(r, "attention.head_count"))
        fail_key(r, "attention.head_count");
    hp->n_nextn = hparams_u32(r, "nextn_predict_layers", 0, hp->n_layer - 1, 0);
    hp->n_layer -= hp->n_nextn;
    if (r->status != OLL_OK)
        return r->status;
    hp->layers = oll_calloc(hp->n_layer, sizeof *hp->layers);
    if (!hp->layers)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for %u layers", hp->n_layer);

    set_defaults(hp);
    read_layers(r, hp);
    if (r->status == OLL_OK && hp->arch->adjust)
        hp->arch->adjust(r, hp);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        read_row(r, &rows[i], hp);
    if (arch_has(hp, ARCH_PARALLEL_KEY))
        hp->parallel = hparams_bool(r, "use_parallel_residual", hp->parallel);
    if (arch_has(hp, ARCH_LOGIT_DIVIDE) && hp->logit_scale != 0)
        hp->logit_scale = 1 / hp->logit_scale;
    read_eps(r, hp);
    read_pooling(r, hp);
    read_experts(r, hp);
    read_rope(r, hp);
    lay_out_windows(r, hp);
    lay_out_scales(hp);
    return r->status;
}

void hparams_free(struct model_hparams *hp)
{
    oll_free(hp->layers);
    hp->layers = NULL;
}
