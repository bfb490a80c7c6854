/* Names and treatment of tensors (store-and-registry 10.6, first table). */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/convert/convert_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rename {
    const char *from, *to;
};

/* Outside of layers, then of a layer; without ".weight". */
static const struct rename text_names[] = {
    {"embed_tokens", "token_embd"}, {"norm", "output_norm"}, {"lm_head", "output"}, {NULL, NULL}};
static const struct rename text_layer[] = {
    {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
    {"input_layernorm", "attn_norm"},    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},       {NULL, NULL}};
static const struct rename gemma3_layer[] = {{"post_attention_layernorm", "post_attention_norm"},
                                             {"pre_feedforward_layernorm", "ffn_norm"},
                                             {"post_feedforward_layernorm", "post_ffw_norm"},
                                             {NULL, NULL}};
static const struct rename bert_names[] = {{"embeddings.word_embeddings", "token_embd"},
                                           {"embeddings.position_embeddings", "position_embd"},
                                           {"embeddings.token_type_embeddings", "token_types"},
                                           {"embeddings.LayerNorm", "token_embd_norm"},
                                           {NULL, NULL}};
static const struct rename bert_layer[] = {{"attention.self.query", "attn_q"},
                                           {"attention.self.key", "attn_k"},
                                           {"attention.self.value", "attn_v"},
                                           {"attention.output.dense", "attn_output"},
                                           {"attention.output.LayerNorm", "attn_output_norm"},
                                           {"intermediate.dense", "ffn_up"},
                                           {"output.dense", "ffn_down"},
                                           {"output.LayerNorm", "layer_output_norm"},
                                           {NULL, NULL}};

static const char *look_up(const struct rename *table, const char *name, size_t n)
{
    for (; table->from; table++)
        if (strlen(table->from) == n && memcmp(table->from, name, n) == 0)
            return table->to;
    return NULL;
}

static bool begins(const char *s, const char *start)
{
    return strncmp(s, start, strlen(start)) == 0;
}

static bool ends(const char *s, const char *end)
{
    const size_t n = strlen(s), n_end = strlen(end);
    return n >= n_end && strcmp(s + n - n_end, end) == 0;
}

/* The name behind the prefixes that publishers put in front in one order or another. */
static const char *strip(const struct convert *c, const char *name)
{
    static const char *const prefixes[] = {"language_model.", "model."};
    if (c->family == CONVERT_BERT)
        return begins(name, "bert.") ? name + 5 : name;
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < 2; i++)
            if (begins(name, prefixes[i])) {
                name += strlen(prefixes[i]);
                again = true;
            }
    }
    return name;
}

static bool is_vision(const char *name)
{
    return begins(name, "vision_tower.") || begins(name, "multi_modal_projector.") ||
           begins(name, "visual.") || begins(name, "vision_model.");
}

static bool is_dropped(const struct convert *c, const char *name)
{
    return ends(name, "rotary_emb.inv_freq") || strcmp(name, "embeddings.position_ids") == 0 ||
           begins(name, "pooler.") || begins(name, "cls.") ||
           (c->ties_embeddings && strcmp(name, "lm_head.weight") == 0);
}

/* Ending of the new name; *n is the length of what stands before it. */
static const char *suffix_of(const char *name, size_t *n)
{
    static const struct rename endings[] = {
        {".weight", ".weight"}, {".bias", ".bias"}, {".gamma", ".weight"}, {".beta", ".bias"}};
    for (int i = 0; i < 4; i++)
        if (ends(name, endings[i].from)) {
            *n = strlen(name) - strlen(endings[i].from);
            return endings[i].to;
        }
    return NULL;
}

/* Writes the new name; false when the tensor is not known. */
static bool rename_tensor(const struct convert *c, const char *name, char *out, size_t size)
{
    const bool is_bert = c->family == CONVERT_BERT;
    const char *layers = is_bert ? "encoder.layer." : "layers.", *to;
    size_t n;
    const char *suffix = suffix_of(name, &n);
    if (!suffix)
        return false;
    if (!begins(name, layers)) {
        to = look_up(is_bert ? bert_names : text_names, name, n);
        return to && snprintf(out, size, "%s%s", to, suffix) < (int)size;
    }
    char *rest;
    const unsigned long il = strtoul(name + strlen(layers), &rest, 10);
    if (rest == name + strlen(layers) || *rest != '.' || il >= OLL_GGUF_MAX_LAYERS)
        return false;
    rest++;
    if (rest > name + n)
        return false;
    n -= (size_t)(rest - name);
    to = c->family == CONVERT_GEMMA3 ? look_up(gemma3_layer, rest, n) : NULL;
    if (!to)
        to = look_up(is_bert ? bert_layer : text_layer, rest, n);
    return to && snprintf(out, size, "blk.%lu.%s%s", il, to, suffix) < (int)size;
}

/* ---- one tensor ---- */

struct convert_tensor *convert_new_tensor(struct convert *c)
{
    if (c->n_tensors == c->cap_tensors) {
        const uint64_t cap = c->cap_tensors ? 2 * c->cap_tensors : 256;
        struct convert_tensor *grown = oll_realloc(c->tensors, (size_t)cap, sizeof *grown);
        if (!grown)
            return NULL;
        c->tensors = grown;
        c->cap_tensors = cap;
    }
    struct convert_tensor *t = &c->tensors[c->n_tensors++];
    memset(t, 0, sizeof *t);
    return t;
}

static enum convert_treatment treatment_of(const struct convert *c, const char *name)
{
    if (c->family == CONVERT_GEMMA3 && ends(name, "norm.weight"))
        return CONVERT_ADD_ONE;
    if (c->family == CONVERT_LLAMA && strstr(name, ".attn_q."))
        return CONVERT_PERMUTE_Q;
    if (c->family == CONVERT_LLAMA && strstr(name, ".attn_k."))
        return CONVERT_PERMUTE_K;
    return CONVERT_COPY;
}

static enum oll_dtype dtype_of(const struct convert_tensor *t)
{
    if (t->n_dims < 2 || strcmp(t->name, "token_types.weight") == 0)
        return OLL_F32;
    return t->source->type == SAFETENSORS_BF16 ? OLL_BF16 : OLL_F16;
}

static oll_status check_heads(struct convert *c, const struct convert_tensor *t)
{
    if (t->treatment != CONVERT_PERMUTE_Q && t->treatment != CONVERT_PERMUTE_K)
        return OLL_OK;
    const uint64_t n_head = t->treatment == CONVERT_PERMUTE_Q ? c->n_head : c->n_head_kv;
    const uint64_t n_rows = t->source->shape[0];
    if (n_rows % n_head != 0 || n_rows / n_head % 2 != 0)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tensor %s: %llu rows are no %llu heads",
                        t->source->name, (unsigned long long)n_rows, (unsigned long long)n_head);
    return OLL_OK;
}

static oll_status add_tensor(struct convert *c, const struct safetensors_tensor *source,
                             const char *name)
{
    struct convert_tensor *t = convert_new_tensor(c);
    if (!t)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the list of tensors");
    if (!rename_tensor(c, name, t->name, sizeof t->name))
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "tensor %s is not known for %s models",
                        source->name, c->arch);
    if (source->type == SAFETENSORS_OTHER)
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED,
                        "tensor %s: weights of type %s are not read, only F32, F16 and BF16",
                        source->name, source->type_name);
    if (source->n_dims < 1 || source->n_dims > OLL_GGUF_MAX_DIMS || source->n_bytes == 0)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tensor %s: a shape of %u dimensions", source->name,
                        source->n_dims);
    t->source = source;
    t->n_dims = source->n_dims;
    for (uint32_t d = 0; d < t->n_dims; d++)
        t->ne[d] = source->shape[t->n_dims - 1 - d];
    t->treatment = treatment_of(c, t->name);
    t->dtype = dtype_of(t);
    if (strcmp(t->name, "token_embd.weight") == 0)
        c->n_vocab = source->shape[0];
    if (strcmp(t->name, "position_embd.weight") == 0)
        c->n_pos = source->shape[0];
    return check_heads(c, t);
}

/* ---- order ---- */

/* Tensors outside of layers come first, by name; then by layer and name. */
static int compare_tensors(const void *a, const void *b)
{
    const struct convert_tensor *x = a, *y = b;
    const long lx = begins(x->name, "blk.") ? strtol(x->name + 4, NULL, 10) : -1;
    const long ly = begins(y->name, "blk.") ? strtol(y->name + 4, NULL, 10) : -1;
    return lx != ly ? (lx > ly) - (lx < ly) : strcmp(x->name, y->name);
}

oll_status convert_add_tensors(struct convert *c)
{
    uint64_t n_vision = 0;
    for (size_t i = 0; i < c->n_sources; i++)
        for (uint64_t k = 0; k < safetensors_count(c->sources[i]); k++) {
            const struct safetensors_tensor *source = safetensors_at(c->sources[i], k);
            const char *name = strip(c, source->name);
            if (is_vision(name))
                n_vision++;
            else if (!is_dropped(c, name))
                OLL_TRY(add_tensor(c, source, name));
        }
    if (n_vision > 0)
        oll_log_warn("convert", "%llu tensors of the vision part are left out",
                     (unsigned long long)n_vision);
    if (c->n_tensors > 0)
        qsort(c->tensors, (size_t)c->n_tensors, sizeof *c->tensors, compare_tensors);
    for (uint64_t i = 1; i < c->n_tensors; i++)
        if (strcmp(c->tensors[i - 1].name, c->tensors[i].name) == 0)
            return OLL_FAIL(c->err, OLL_ERR_FORMAT,
                            "duplicate tensor name '%s' was found for this model",
                            c->tensors[i].name);
    return OLL_OK;
}
