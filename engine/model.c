#include "engine/model.h"

#include "engine/arch.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/bind.h"

#include <inttypes.h>
#include <string.h>

/* Tables and strings of one model: a chat template is the largest of them. */
enum { ARENA_MAX_BYTES = 64 << 20 };

/* ---- facts ---- */

/* Name of general.file_type, a label that Ollama and others show; NULL when unknown. */
static const char *file_type_name(uint64_t id)
{
    static const char *const names[] = {
        [0] = "F32",      [1] = "F16",      [2] = "Q4_0",       [3] = "Q4_1",    [7] = "Q8_0",
        [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",      [11] = "Q3_K_S", [12] = "Q3_K_M",
        [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M",    [16] = "Q5_K_S", [17] = "Q5_K_M",
        [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS",    [21] = "Q2_K_S", [22] = "IQ3_XS",
        [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL",    [26] = "IQ3_S",  [27] = "IQ3_M",
        [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS",    [31] = "IQ1_M",  [32] = "BF16",
        [36] = "TQ1_0",   [37] = "TQ2_0",   [38] = "MXFP4_MOE", [39] = "NVFP4",  [40] = "Q1_0",
    };
    id &= ~UINT64_C(1024); /* "guessed" */
    return id < sizeof names / sizeof names[0] ? names[id] : NULL;
}

/* The label of the file, else the type that holds most bytes. Also counts the parameters. */
static void count_tensors(struct oll_model *m)
{
    uint64_t bytes[OLL_DTYPE_COUNT] = {0}, file_type;
    int most = 0;
    for (uint64_t i = 0; i < oll_gguf_n_tensors(m->gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(m->gguf, i);
        m->info.n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        bytes[t->dtype] += t->n_bytes;
        if (bytes[t->dtype] > bytes[most])
            most = (int)t->dtype;
    }
    m->info.quantization = oll_dtype_name((uint32_t)most);
    if (oll_gguf_u64(m->gguf, "general.file_type", &file_type, NULL) == OLL_OK &&
        file_type_name(file_type))
        m->info.quantization = file_type_name(file_type);
}

static const char *copy_str(struct oll_model *m, const char *key)
{
    struct oll_gguf_str s;
    if (oll_gguf_str(m->gguf, key, &s, NULL) != OLL_OK)
        return NULL;
    return oll_arena_strndup(&m->arena, s.data, (size_t)s.len);
}

static bool has_role(const struct oll_model *m, enum oll_token_role role)
{
    return m->tokenizer && oll_tokenizer_role(m->tokenizer, role) != OLL_TOKEN_NONE;
}

static bool template_has(const struct oll_model *m, const char *word)
{
    return m->chat_template && strstr(m->chat_template, word);
}

static void fill_info(struct oll_model *m)
{
    const struct model_hparams *hp = &m->hp;
    struct oll_model_info *info = &m->info;
    const char *name = copy_str(m, "general.name");
    info->architecture = hp->prefix;
    info->name = name ? name : "";
    info->file_bytes = oll_gguf_file_bytes(m->gguf);
    info->n_ctx_train = hp->n_ctx_train;
    info->n_embd = hp->n_embd;
    info->n_embd_out = hp->n_embd_out;
    info->n_layer = hp->n_layer;
    info->n_vocab = hp->n_vocab;
    info->is_encoder = model_is_encoder(m);
    info->can_complete = !info->is_encoder;
    info->can_embed = true;
    info->has_chat_template = m->chat_template != NULL;
    info->can_insert = has_role(m, OLL_ROLE_FIM_PRE) && has_role(m, OLL_ROLE_FIM_SUF) &&
                       has_role(m, OLL_ROLE_FIM_MID);
    info->can_use_tools = template_has(m, "tools");
    info->can_think = template_has(m, "<think>") || template_has(m, "enable_thinking") ||
                      template_has(m, "<|channel|>");
    count_tensors(m);

    info->weights_bytes = 0;
    for (int i = 0; i < m->placement.n_device; i++)
        info->weights_bytes += m->devices[i].n_vector * sizeof(float);
    for (uint32_t i = 0; i < m->n_weight; i++) {
        const struct oll_weight *w = m->weights[i];
        info->weights_bytes += w->device_bytes;
        if (w->borrows_source)
            info->weights_bytes +=
                (uint64_t)oll_dtype_row_bytes(w->dtype, w->n_in) * w->n_out * w->n_expert;
    }
}

/* ---- loading ---- */

static oll_status open_devices(struct oll_model *m, const struct oll_model_params *params,
                               struct oll_error *err)
{
    struct oll_device_params device_params = {
        .n_threads = params->n_threads, .isa = params->isa, .dry = params->dry};
    for (int i = 0; i < m->placement.n_device; i++) {
        OLL_TRY(oll_device_open(m->placement.names[i], &device_params, &m->devices[i].dev, err));
        uint32_t n = 0;
        for (uint32_t il = 0; il < m->hp.n_layer; il++)
            n += m->placement.layer_device[il] == i;
        oll_log(params->dry ? OLL_LOG_DEBUG : OLL_LOG_INFO, "engine",
                "device %s: %u of %u layers, %d threads", m->placement.names[i], n, m->hp.n_layer,
                m->devices[i].dev->n_threads);
    }
    return OLL_OK;
}

/* Weights are mapped, so that the system can drop and reread them; but a model that does not fit
 * into the machine at all would read its file once per token. */
static oll_status check_memory(const struct oll_model *m, struct oll_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    uint64_t need = oll_gguf_file_bytes(m->gguf), have = oll_platform_memory_total();
    if (have == 0 || need <= have)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_LIMIT,
                    "the model takes %.1f GiB, the machine has %.1f GiB of memory; take a smaller "
                    "model or quantisation",
                    (double)need / gib, (double)have / gib);
}

static oll_status load_tokenizer(struct oll_model *m, struct oll_error *err)
{
    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(m->gguf, "token_embd.weight");
    return oll_tokenizer_new(m->gguf, t ? t->ne[1] : 0, &m->tokenizer, err);
}

static oll_status load(struct oll_model *m, const struct oll_model_params *params,
                       struct oll_error *err)
{
    m->is_dry = params->dry;
    if (!params->dry)
        OLL_TRY(check_memory(m, err));
    OLL_TRY(hparams_read(m->gguf, &m->hp, err));
    m->layers = oll_calloc(m->hp.n_layer, sizeof *m->layers);
    if (!m->layers)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for %u layers", m->hp.n_layer);
    if (!params->no_tokenizer)
        OLL_TRY(load_tokenizer(m, err));
    m->chat_template = (char *)copy_str(m, "tokenizer.chat_template");
    OLL_TRY(placement_parse(params->devices, m->hp.n_layer, &m->placement, err));
    OLL_TRY(open_devices(m, params, err));
    if (params->adapter_path)
        OLL_TRY(adapter_open(params->adapter_path, m->hp.prefix, &m->adapter, err));
    OLL_TRY(bind_model(m, err));
    /* No file can promise more positions than its model has learned. */
    if (m->n_position != 0 && m->n_position < m->hp.n_ctx_train)
        m->hp.n_ctx_train = m->n_position;
    fill_info(m);
    if (m->arena.status != OLL_OK)
        return OLL_FAIL(err, m->arena.status, "strings of the model exceed their memory");
    return OLL_OK;
}

oll_status model_load_open(struct oll_gguf *gguf, const struct oll_model_params *params,
                           struct oll_model **out, struct oll_error *err)
{
    struct oll_model *m = oll_calloc(1, sizeof *m);
    if (!m) {
        oll_gguf_close(gguf);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a model");
    }
    m->gguf = gguf;
    oll_arena_init(&m->arena, ARENA_MAX_BYTES);
    oll_status status = load(m, params, err);
    if (status != OLL_OK) {
        oll_error_prefix(err, "%s", oll_gguf_path(gguf));
        oll_model_free(m);
        return status;
    }
    *out = m;
    return OLL_OK;
}

oll_status oll_model_load(const char *path, const struct oll_model_params *params,
                          struct oll_model **out, struct oll_error *err)
{
    struct oll_gguf *gguf;
    OLL_TRY(oll_gguf_open(path, &gguf, err));
    return model_load_open(gguf, params, out, err);
}

void oll_model_free(struct oll_model *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_weight; i++)
        oll_weight_free(m->weights[i]);
    oll_free(m->weights);
    for (int i = 0; i < m->placement.n_device; i++) {
        oll_buffer_free(m->devices[i].vectors);
        oll_device_close(m->devices[i].dev);
    }
    for (uint32_t i = 0; i < m->n_copy; i++)
        oll_free(m->copies[i]);
    oll_free(m->copies);
    oll_free(m->layers);
    placement_free(&m->placement);
    hparams_free(&m->hp);
    oll_tokenizer_free(m->tokenizer);
    oll_arena_free(&m->arena);
    adapter_close(&m->adapter);
    oll_gguf_close(m->gguf);
    oll_free(m);
}

const struct oll_model_info *oll_model_facts(const struct oll_model *m) { return &m->info; }

const struct oll_tokenizer *oll_model_tokenizer(const struct oll_model *m) { return m->tokenizer; }

const char *oll_model_chat_template(const struct oll_model *m) { return m->chat_template; }

int oll_model_pooling(const struct oll_model *m) { return (int)m->hp.pooling; }
