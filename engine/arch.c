#include "engine/arch.h"

#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

/* ---- what keys alone cannot say, by architecture ---- */

static float sqrt_n_embd(const struct model_hparams *hp) { return sqrtf((float)hp->n_embd); }

/* The largest model of a gemma generation scales its scores by the width of the stream; no key says
 * so, its number of layers does. */
static void scale_by_stream(struct model_hparams *hp, uint32_t n_layer)
{
    if (hp->n_layer == n_layer)
        hp->attn_scale = 1 / sqrtf((float)hp->n_embd / (float)hp->layers[0].n_head);
}

static void adjust_gemma(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->embedding_scale = sqrt_n_embd(hp);
}

static void adjust_gemma2(struct hparams_reader *r, struct model_hparams *hp)
{
    hp->embedding_scale = sqrt_n_embd(hp);
    hp->attn_softcap = 50;
    hp->final_softcap = 30;
    scale_by_stream(hp, 46);
    hparams_window(r, hp, 4096, 2);
}

static void adjust_gemma3(struct hparams_reader *r, struct model_hparams *hp)
{
    hp->embedding_scale = sqrt_n_embd(hp);
    hp->norm_eps = 1e-6f;
    hp->ropes[HPARAMS_ROPE_MAIN].freq_base = 1e6f;
    hp->ropes[HPARAMS_ROPE_SLIDING].freq_base = 10000;
    /* Some published files of the models with a long context lack their scaling keys. */
    if (hp->n_ctx_train >= 131072 && !hparams_has(r, "rope.scaling.type") &&
        !hparams_has(r, "rope.scaling.factor") && !hparams_has(r, "rope.scale_linear"))
        hp->ropes[HPARAMS_ROPE_MAIN].factor = 8;
    scale_by_stream(hp, 62);
    hparams_window(r, hp, hp->n_layer <= 26 ? 512 : 1024, 6);
    /* Files of embeddinggemma by another producer say gemma3; their dense layers give them away. */
    if (oll_gguf_find_tensor(r->gguf, "dense.0.weight") ||
        oll_gguf_find_tensor(r->gguf, "dense_2.weight"))
        hp->causal = false;
}

static void adjust_gemma_embedding(struct hparams_reader *r, struct model_hparams *hp)
{
    adjust_gemma3(r, hp);
    hp->causal = false;
}

static void adjust_modern_bert(struct hparams_reader *r, struct model_hparams *hp)
{
    hp->ropes[HPARAMS_ROPE_SLIDING].freq_base = 10000;
    hp->window_global_first = true;
    hparams_window(r, hp, 128, 3);
}

static void adjust_olmo2(struct hparams_reader *r, struct model_hparams *hp)
{
    /* olmo3 is the same model with a window on three of four layers. */
    hparams_window(r, hp, strcmp(hp->prefix, "olmo3") == 0 ? 4096 : 0, 4);
}

static void adjust_exaone4(struct hparams_reader *r, struct model_hparams *hp)
{
    hparams_window(r, hp, 0, 4);
    hp->rope_sliding_only = hp->window != 0;
}

static void adjust_cohere(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->logit_scale = 0.0625f;
}

static void adjust_cohere2(struct hparams_reader *r, struct model_hparams *hp)
{
    hp->logit_scale = 0.0625f;
    hp->rope_sliding_only = true;
    hp->gating = OLL_GATING_SIGMOID;
    hparams_window(r, hp, 4096, 4);
}

static void adjust_minicpm(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->embedding_scale = 12;
    hp->residual_scale = 1.4f / sqrtf((float)hp->n_layer);
    hp->logit_scale = (float)hp->n_embd / 256; /* a divisor, as the key */
}

static void adjust_granite(struct hparams_reader *r, struct model_hparams *hp)
{
    if (!hparams_bool(r, "rope.scaling.finetuned", true))
        hp->ropes[HPARAMS_ROPE_MAIN].kind = OLL_ROPE_NONE;
}

static void adjust_smollm3(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->no_rope_period = 4;
}

static void adjust_stablelm(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->ropes[HPARAMS_ROPE_MAIN].n_rot = hp->head_dim_k / 4;
}

static void adjust_glm(struct hparams_reader *r, struct model_hparams *hp)
{
    hp->ropes[HPARAMS_ROPE_MAIN].n_rot = hp->head_dim_k / 2;
    /* With sections of positions (text beside images) the pairs lie half a head apart. */
    if (hparams_has(r, "rope.dimension_sections") &&
        hparams_u32(r, "rope.dimension_sections", 0, 8192, 0) > 0)
        hp->ropes[HPARAMS_ROPE_MAIN].kind = OLL_ROPE_NEOX;
}

static void adjust_alibi(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->alibi_max_bias = 8;
}

/* The 13B model has ALiBi in place of rotations; its 40 layers are the only sign. */
static void adjust_baichuan(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    if (hp->n_layer == 40) {
        hp->alibi_max_bias = 8;
        hp->ropes[HPARAMS_ROPE_MAIN].kind = OLL_ROPE_NONE;
    }
}

static void adjust_not_normalised(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->expert_normalise = false;
}

static void adjust_sigmoid(struct hparams_reader *r, struct model_hparams *hp)
{
    (void)r;
    hp->gating = OLL_GATING_SIGMOID;
}

static void adjust_gpt_oss(struct hparams_reader *r, struct model_hparams *hp)
{
    hp->gating = OLL_GATING_SOFTMAX_SELECTED;
    hp->expert_normalise = false;
    hparams_window(r, hp, 128, 2);
    hp->ropes[HPARAMS_ROPE_MAIN].scaling = ROPE_SCALING_YARN;
    /* Another producer's files leave out what all models of the family share. */
    if (strcmp(hp->prefix, "gptoss") == 0) {
        hp->ropes[HPARAMS_ROPE_MAIN].factor = 32;
        hp->ropes[HPARAMS_ROPE_MAIN].n_ctx_orig = 4096;
    }
}

/* ---- rows ---- */

#define DECODER &arch_family_decoder
#define ENCODER &arch_family_encoder
#define RMS     OLL_NORM_RMS
#define LAYER   OLL_NORM_LAYER
#define NORM    OLL_ROPE_NORM
#define NEOX    OLL_ROPE_NEOX
#define NONE    OLL_ROPE_NONE
#define SILU    OLL_ACT_SILU
#define GELU    OLL_ACT_GELU

static const struct arch archs[] = {
    /* llama and those that differ by keys, rotation and tensors alone */
    {"llama", DECODER, RMS, NORM, SILU, ARCH_GATED, NULL},
    {"mistral3", DECODER, RMS, NORM, SILU, ARCH_GATED, NULL},
    {"qwen2", DECODER, RMS, NEOX, SILU, ARCH_GATED, NULL},
    {"qwen2vl", DECODER, RMS, NEOX, SILU, ARCH_GATED, NULL},
    {"qwen3", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM, NULL},
    {"qwen3vl", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM, NULL},
    {"internlm2", DECODER, RMS, NORM, SILU, ARCH_GATED, NULL},
    {"xverse", DECODER, RMS, NORM, SILU, ARCH_GATED, NULL},
    {"exaone", DECODER, RMS, NEOX, SILU, ARCH_GATED, NULL},
    {"ernie4_5", DECODER, RMS, NORM, SILU, ARCH_GATED, NULL},
    {"seed_oss", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_FFN_NORM_ALT, NULL},
    {"hunyuan-dense", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM | ARCH_ROPE_FIRST, NULL},
    {"smollm3", DECODER, RMS, NORM, SILU, ARCH_GATED, adjust_smollm3},
    {"minicpm", DECODER, RMS, NORM, SILU, ARCH_GATED | ARCH_LOGIT_DIVIDE, adjust_minicpm},
    {"granite", DECODER, RMS, NORM, SILU, ARCH_GATED | ARCH_LOGIT_DIVIDE, adjust_granite},
    {"baichuan", DECODER, RMS, NORM, SILU, ARCH_GATED, adjust_baichuan},
    {"phi3", DECODER, RMS, NEOX, SILU, ARCH_GATED, NULL},
    {"chatglm", DECODER, RMS, NORM, SILU, ARCH_GATED, adjust_glm},
    {"arcee", DECODER, RMS, NORM, OLL_ACT_RELU_SQR, 0, NULL},
    {"bitnet", DECODER, RMS, NEOX, SILU, ARCH_GATED, NULL},
    /* norms after the branches */
    {"gemma", DECODER, RMS, NEOX, GELU, ARCH_GATED, adjust_gemma},
    {"gemma2", DECODER, RMS, NEOX, GELU, ARCH_GATED | ARCH_POST_NORM, adjust_gemma2},
    {"gemma3", DECODER, RMS, NEOX, GELU,
     ARCH_GATED | ARCH_POST_NORM | ARCH_QK_NORM | ARCH_SLIDING_PLAIN, adjust_gemma3},
    {"gemma-embedding", DECODER, RMS, NEOX, GELU,
     ARCH_GATED | ARCH_POST_NORM | ARCH_QK_NORM | ARCH_SLIDING_PLAIN, adjust_gemma_embedding},
    {"glm4", DECODER, RMS, NORM, SILU, ARCH_GATED | ARCH_POST_NORM, adjust_glm},
    {"olmo2", DECODER, RMS, NEOX, SILU,
     ARCH_GATED | ARCH_NO_PRE_NORM | ARCH_POST_NORM | ARCH_QK_NORM | ARCH_SLIDING_PLAIN,
     adjust_olmo2},
    {"exaone4", DECODER, RMS, NEOX, SILU,
     ARCH_GATED | ARCH_NO_PRE_NORM | ARCH_POST_NORM | ARCH_QK_NORM, adjust_exaone4},
    /* layer norms */
    {"starcoder2", DECODER, LAYER, NEOX, GELU, 0, NULL},
    {"nemotron", DECODER, LAYER, NEOX, OLL_ACT_RELU_SQR, 0, NULL},
    {"stablelm", DECODER, LAYER, NEOX, SILU, ARCH_GATED | ARCH_PARALLEL_TENSOR, adjust_stablelm},
    {"olmo", DECODER, LAYER, NORM, SILU, ARCH_GATED | ARCH_NORM_BARE, NULL},
    {"orion", DECODER, LAYER, NEOX, SILU, ARCH_GATED, NULL},
    {"codeshell", DECODER, LAYER, NEOX, GELU, 0, NULL},
    {"gpt2", DECODER, LAYER, NONE, GELU, ARCH_POSITIONS, NULL},
    {"starcoder", DECODER, LAYER, NONE, GELU, ARCH_POSITIONS, NULL},
    {"mpt", DECODER, LAYER, NONE, GELU, 0, adjust_alibi},
    {"bloom", DECODER, LAYER, NONE, GELU, ARCH_EMBD_NORM, adjust_alibi},
    /* attention and feed-forward side by side */
    {"phi2", DECODER, LAYER, NEOX, GELU, ARCH_PARALLEL, NULL},
    {"gptneox", DECODER, LAYER, NEOX, GELU, ARCH_PARALLEL | ARCH_PARALLEL_KEY, NULL},
    {"falcon", DECODER, LAYER, NEOX, GELU, ARCH_PARALLEL, NULL},
    {"command-r", DECODER, LAYER, NORM, SILU, ARCH_GATED | ARCH_PARALLEL, adjust_cohere},
    {"cohere2", DECODER, LAYER, NORM, SILU, ARCH_GATED | ARCH_PARALLEL, adjust_cohere2},
    /* mixtures of experts */
    {"qwen2moe", DECODER, RMS, NEOX, SILU, ARCH_GATED, adjust_not_normalised},
    {"qwen3moe", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM, NULL},
    {"qwen3vlmoe", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM, NULL},
    {"granitemoe", DECODER, RMS, NORM, SILU, ARCH_GATED | ARCH_LOGIT_DIVIDE, adjust_granite},
    {"gpt-oss", DECODER, RMS, NEOX, OLL_ACT_SWIGLU_OAI, ARCH_GATED | ARCH_FFN_NORM_ALT,
     adjust_gpt_oss},
    {"ernie4_5-moe", DECODER, RMS, NORM, SILU, ARCH_GATED, NULL},
    {"hunyuan-moe", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM | ARCH_ROPE_FIRST, NULL},
    {"dots1", DECODER, RMS, NEOX, SILU, ARCH_GATED, adjust_sigmoid},
    {"glm4moe", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_FFN_NORM_ALT, adjust_sigmoid},
    {"minimax-m2", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM, adjust_sigmoid},
    {"olmoe", DECODER, RMS, NEOX, SILU, ARCH_GATED | ARCH_QK_NORM, adjust_not_normalised},
    {"dbrx", DECODER, LAYER, NEOX, SILU, ARCH_GATED, NULL},
    {"cohere2moe", DECODER, LAYER, NORM, SILU, ARCH_GATED | ARCH_PARALLEL, adjust_cohere2},
    /* encoders */
    {"modern-bert", DECODER, LAYER, NEOX, GELU,
     ARCH_GATED | ARCH_ENCODER | ARCH_EMBD_NORM | ARCH_FIRST_NORM_OPTIONAL, adjust_modern_bert},
    {"llama-embed", DECODER, RMS, NORM, SILU, ARCH_GATED | ARCH_ENCODER, NULL},
    {"bert", ENCODER, LAYER, NONE, GELU,
     ARCH_ENCODER | ARCH_POSITIONS | ARCH_TOKEN_TYPES | ARCH_EMBD_NORM, NULL},
    {"nomic-bert", ENCODER, LAYER, NEOX, SILU,
     ARCH_GATED | ARCH_ENCODER | ARCH_TOKEN_TYPES | ARCH_EMBD_NORM, NULL},
    {"nomic-bert-moe", ENCODER, LAYER, NEOX, GELU, ARCH_ENCODER | ARCH_TOKEN_TYPES | ARCH_EMBD_NORM,
     adjust_not_normalised},
    {"jina-bert-v2", ENCODER, LAYER, NONE, GELU,
     ARCH_GATED | ARCH_ENCODER | ARCH_TOKEN_TYPES | ARCH_EMBD_NORM, adjust_alibi},
};

enum { N_ARCHS = sizeof archs / sizeof archs[0], NAME_MAX_LEN = 63 };

/* Spellings of other producers. */
static const char *const aliases[][2] = {
    {"gptoss", "gpt-oss"},
    {"qwen25vl", "qwen2vl"},
    {"olmo3", "olmo2"},
    {"glmocr", "glm4"},
};

const struct arch *arch_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(name, aliases[i][0]) == 0)
            name = aliases[i][1];
    for (int i = 0; i < N_ARCHS; i++)
        if (strcmp(name, archs[i].name) == 0)
            return &archs[i];
    return NULL;
}

/* Levenshtein distance of two names, both cut to NAME_MAX_LEN. */
static int name_distance(const char *a, const char *b)
{
    int row[NAME_MAX_LEN + 1];
    int na = (int)strnlen(a, NAME_MAX_LEN), nb = (int)strnlen(b, NAME_MAX_LEN);
    for (int j = 0; j <= nb; j++)
        row[j] = j;
    for (int i = 1; i <= na; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            int step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[nb];
}

const char *arch_nearest(const char *name)
{
    int best = 0, best_distance = NAME_MAX_LEN + 1;
    for (int i = 0; i < N_ARCHS; i++) {
        int distance = name_distance(name, archs[i].name);
        if (distance < best_distance) {
            best_distance = distance;
            best = i;
        }
    }
    return archs[best].name;
}
