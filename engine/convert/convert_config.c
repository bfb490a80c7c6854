/* config.json to hyper-parameters (store-and-registry 10.6, second table). */
#include "engine/base/mem.h"
#include "engine/convert/convert_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *arch;
    enum convert_family family;
} architectures[] = {
    {"LlamaForCausalLM", "llama", CONVERT_LLAMA},
    {"MistralForCausalLM", "llama", CONVERT_LLAMA},
    {"Qwen2ForCausalLM", "qwen2", CONVERT_QWEN2},
    {"Qwen3ForCausalLM", "qwen3", CONVERT_QWEN3},
    {"Gemma3ForCausalLM", "gemma3", CONVERT_GEMMA3},
    {"Gemma3ForConditionalGeneration", "gemma3", CONVERT_GEMMA3},
    {"BertModel", "bert", CONVERT_BERT},
};

/* ---- reading ---- */

static double number_of(const struct oll_json *object, const char *key, double fallback)
{
    const struct oll_json *v = oll_json_get(object, key);
    return v && v->type == OLL_JSON_NUMBER ? v->real : fallback;
}

/* A count; `fallback` 0: it must be given. */
static oll_status take_count(struct convert *c, const char *key, uint64_t fallback, uint64_t *out)
{
    const struct oll_json *v = oll_json_get(c->config, key);
    *out = fallback;
    if ((!v || v->type == OLL_JSON_NULL) && fallback > 0)
        return OLL_OK;
    if (!v || v->type != OLL_JSON_NUMBER || !v->is_int || v->i < 1 || v->i > UINT32_MAX)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "config.json: %s must be a positive integer", key);
    *out = (uint64_t)v->i;
    return OLL_OK;
}

static oll_status find_family(struct convert *c, const struct oll_json *config)
{
    const struct oll_json *list = oll_json_get(config, "architectures");
    const struct oll_json *first = list && list->type == OLL_JSON_ARRAY ? list->first : NULL;
    if (!first || first->type != OLL_JSON_STRING)
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "unknown architecture");
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++)
        if (strcmp(architectures[i].name, first->str) == 0) {
            c->family = architectures[i].family;
            c->arch = architectures[i].arch;
            return OLL_OK;
        }
    return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "unsupported architecture \"%.64s\"", first->str);
}

static bool is_true(const struct oll_json *v, bool fallback)
{
    return v && v->type == OLL_JSON_BOOL ? v->is_true : fallback;
}

oll_status convert_read_config(struct convert *c)
{
    const struct oll_json *root;
    OLL_TRY(convert_read_json(c, "config.json", &root));
    return convert_take_config(c, root);
}

oll_status convert_take_config(struct convert *c, const struct oll_json *root)
{
    uint64_t n_embd;
    if (!root || root->type != OLL_JSON_OBJECT)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "config.json is missing, or no JSON object");
    OLL_TRY(find_family(c, root));
    const bool is_gemma3 = c->family == CONVERT_GEMMA3;
    const struct oll_json *text = oll_json_get(root, "text_config");
    c->config = is_gemma3 && text && text->type == OLL_JSON_OBJECT ? text : root;
    /* What a text_config leaves out has the values of the published 4B. */
    OLL_TRY(take_count(c, "hidden_size", is_gemma3 ? 2560 : 0, &n_embd));
    OLL_TRY(take_count(c, "num_attention_heads", is_gemma3 ? 8 : 0, &c->n_head));
    OLL_TRY(take_count(c, "num_key_value_heads", is_gemma3 ? 4 : c->n_head, &c->n_head_kv));
    OLL_TRY(take_count(c, "num_hidden_layers", is_gemma3 ? 34 : 0, &c->n_layer));
    if (n_embd < c->n_head || c->n_layer > OLL_GGUF_MAX_LAYERS)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "config.json: sizes that no model has");
    OLL_TRY(take_count(c, "head_dim", is_gemma3 ? 256 : n_embd / c->n_head, &c->head_dim));
    c->ties_embeddings = is_true(oll_json_get(c->config, "tie_word_embeddings"),
                                 is_true(oll_json_get(root, "tie_word_embeddings"), is_gemma3));
    return OLL_OK;
}

/* ---- rotary embedding ---- */

/* Newer files keep what belongs to rotary embedding in rope_parameters, by kind of layer where
 * kinds differ; older ones in the config and in rope_scaling. */
static const struct oll_json *rope_object(const struct convert *c, const char *kind)
{
    const struct oll_json *r = oll_json_get(c->config, "rope_parameters");
    const struct oll_json *of_kind = oll_json_get(r, kind);
    return of_kind && of_kind->type == OLL_JSON_OBJECT ? of_kind : r;
}

static double rope_base(const struct convert *c, const char *kind, const char *key, double fallback)
{
    return number_of(rope_object(c, kind), "rope_theta", number_of(c->config, key, fallback));
}

/* rope_freqs.weight of Llama 3: by what each frequency is to be divided. */
static oll_status add_rope_freqs(struct convert *c, const struct oll_json *scaling, double base)
{
    const double pi = 3.14159265358979323846, factor = number_of(scaling, "factor", 8.0);
    const double low = number_of(scaling, "low_freq_factor", 1.0);
    const double high = number_of(scaling, "high_freq_factor", 4.0);
    const double length = number_of(scaling, "original_max_position_embeddings", 8192.0);
    struct convert_tensor *t = convert_new_tensor(c);
    float *values = oll_arena_alloc(&c->arena, (size_t)c->head_dim / 2 + 1, sizeof *values);
    if (!t || !values)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for rope_freqs");
    if (!(factor > 0.0 && low > 0.0 && high > low && length > 0.0) || c->head_dim < 2)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "config.json: rope_scaling has bad factors");
    for (uint64_t i = 0; i < c->head_dim / 2; i++) {
        const double w = 2.0 * pi * pow(base, 2.0 * (double)i / (double)c->head_dim);
        const double s = (length / w - low) / (high - low);
        values[i] = (float)(w < length / high  ? 1.0
                            : w > length / low ? factor
                                               : 1.0 / ((1.0 - s) / factor + s));
    }
    snprintf(t->name, sizeof t->name, "rope_freqs.weight");
    t->treatment = CONVERT_COMPUTED;
    t->dtype = OLL_F32;
    t->values = values;
    t->ne[0] = c->head_dim / 2;
    t->n_dims = 1;
    /* Behind the tensors outside of layers that sort before it; order is restored by name. */
    for (struct convert_tensor *p = t; p > c->tensors; p--) {
        if (strncmp(p[-1].name, "blk.", 4) != 0 && strcmp(p[-1].name, p->name) < 0)
            break;
        const struct convert_tensor swap = p[-1];
        p[-1] = *p;
        *p = swap;
    }
    return OLL_OK;
}

static oll_status put_scaling(struct convert *c, double base)
{
    const struct oll_json *s = oll_json_get(c->config, "rope_scaling");
    if (!s || s->type != OLL_JSON_OBJECT)
        s = rope_object(c, "full_attention");
    const char *type = oll_json_get_str(s, "rope_type", oll_json_get_str(s, "type", "default"));
    if (strcmp(type, "default") == 0)
        return OLL_OK;
    if (strcmp(type, "llama3") == 0)
        return add_rope_freqs(c, s, base);
    if (strcmp(type, "linear") != 0 && strcmp(type, "yarn") != 0)
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "config.json: rope_scaling of type \"%.32s\"",
                        type);
    convert_put_str(c, convert_key(c, "rope.scaling.type"), type, strlen(type));
    convert_put_f32(c, convert_key(c, "rope.scaling.factor"), number_of(s, "factor", 1.0));
    if (strcmp(type, "linear") == 0)
        return OLL_OK;
    const double length = number_of(s, "original_max_position_embeddings", 0.0);
    if (length >= 1.0 && length <= UINT32_MAX)
        convert_put_u32(c, convert_key(c, "rope.scaling.original_context_length"),
                        (uint64_t)length);
    static const char *const names[][2] = {{"attention_factor", "rope.scaling.attn_factor"},
                                           {"beta_fast", "rope.scaling.yarn_beta_fast"},
                                           {"beta_slow", "rope.scaling.yarn_beta_slow"}};
    for (int i = 0; i < 3; i++)
        if (number_of(s, names[i][0], 0.0) > 0.0)
            convert_put_f32(c, convert_key(c, names[i][1]), number_of(s, names[i][0], 0.0));
    return OLL_OK;
}

/* ---- families ---- */

static oll_status put_gemma3(struct convert *c)
{
    const double scalar = number_of(c->config, "query_pre_attn_scalar", 256.0);
    uint64_t window;
    OLL_TRY(take_count(c, "sliding_window", 1024, &window));
    convert_put_u32(c, convert_key(c, "attention.sliding_window"), window);
    convert_put_f32(c, convert_key(c, "rope.freq_base_swa"),
                    rope_base(c, "sliding_attention", "rope_local_base_freq", 10000.0));
    if (scalar > 0.0 && scalar != (double)c->head_dim)
        convert_put_f32(c, convert_key(c, "attention.scale"), 1.0 / sqrt(scalar));
    return OLL_OK;
}

static oll_status put_text(struct convert *c)
{
    const bool is_gemma3 = c->family == CONVERT_GEMMA3;
    const double base =
        rope_base(c, "full_attention", "rope_theta", is_gemma3 ? 1000000.0 : 10000.0);
    convert_put_u32(c, convert_key(c, "attention.head_count_kv"), c->n_head_kv);
    convert_put_u32(c, convert_key(c, "attention.key_length"), c->head_dim);
    convert_put_u32(c, convert_key(c, "attention.value_length"), c->head_dim);
    convert_put_f32(c, convert_key(c, "attention.layer_norm_rms_epsilon"),
                    number_of(c->config, "rms_norm_eps", 1e-6));
    convert_put_f32(c, convert_key(c, "rope.freq_base"), base);
    if (c->family == CONVERT_LLAMA)
        convert_put_u32(c, convert_key(c, "rope.dimension_count"), c->head_dim);
    if (is_gemma3)
        OLL_TRY(put_gemma3(c));
    return put_scaling(c, base);
}

/* How sentence vectors are made, from the files of sentence-transformers. */
static oll_status put_bert(struct convert *c)
{
    static const char *const modes[] = {"pooling_mode_mean_tokens", "pooling_mode_cls_token",
                                        "pooling_mode_lasttoken"};
    const struct oll_json *pooling, *modules;
    uint32_t type = 1;
    OLL_TRY(convert_read_json(c, "1_Pooling/config.json", &pooling));
    for (uint32_t i = 3; i > 0; i--)
        if (is_true(oll_json_get(pooling, modes[i - 1]), false))
            type = i;
    convert_put_bool(c, "bert.attention.causal", false);
    convert_put_u32(c, "bert.pooling_type", type);
    convert_put_f32(c, "bert.attention.layer_norm_epsilon",
                    number_of(c->config, "layer_norm_eps", 1e-12));
    const double n_types = number_of(c->config, "type_vocab_size", 2.0);
    convert_put_u32(c, "tokenizer.ggml.token_type_count",
                    n_types >= 1.0 && n_types <= 65536.0 ? (uint64_t)n_types : 2);
    OLL_TRY(convert_read_json(c, "modules.json", &modules));
    bool normalizes = false;
    for (const struct oll_json *m = modules && modules->type == OLL_JSON_ARRAY ? modules->first
                                                                               : NULL;
         m; m = m->next)
        normalizes |= strstr(oll_json_get_str(m, "type", ""), ".Normalize") != NULL;
    if (normalizes)
        convert_put_bool(c, "bert.normalize_embeddings", true);
    return OLL_OK;
}

oll_status convert_put_config(struct convert *c)
{
    const bool is_gemma3 = c->family == CONVERT_GEMMA3;
    uint64_t n_ctx, n_embd, n_ff;
    OLL_TRY(take_count(c, "max_position_embeddings", is_gemma3 ? 131072 : 0, &n_ctx));
    OLL_TRY(take_count(c, "hidden_size", is_gemma3 ? 2560 : 0, &n_embd));
    OLL_TRY(take_count(c, "intermediate_size", is_gemma3 ? 10240 : 0, &n_ff));
    if (c->n_pos > 0 && c->n_pos < n_ctx)
        n_ctx = c->n_pos;
    convert_put_str(c, "general.architecture", c->arch, strlen(c->arch));
    convert_put_u32(c, "general.file_type", 1);
    convert_put_u32(c, convert_key(c, "context_length"), n_ctx);
    convert_put_u32(c, convert_key(c, "embedding_length"), n_embd);
    convert_put_u32(c, convert_key(c, "block_count"), c->n_layer);
    convert_put_u32(c, convert_key(c, "feed_forward_length"), n_ff);
    convert_put_u32(c, convert_key(c, "attention.head_count"), c->n_head);
    return c->family == CONVERT_BERT ? put_bert(c) : put_text(c);
}
