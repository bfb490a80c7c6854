/* A loaded model as the engine sees it: hyper-parameters, devices and the weight table.
 *
 * The table is bound once, by tensor name, into named fields (bind.h); a field of an absent
 * optional tensor is empty (`w` NULL, `buf` NULL). The model owns the maps of its files, the
 * devices, every weight and the vectors; contexts borrow them. Read-only after loading. */
#ifndef OLL_ENGINE_MODEL_H
#define OLL_ENGINE_MODEL_H

#include "engine/adapter.h"
#include "engine/base/arena.h"
#include "engine/eval.h"
#include "engine/hparams.h"
#include "engine/placement.h"
#include "gguf/gguf.h"
#include "kernels/device.h"

/* y = scale * (w x + b): a matrix with what belongs to it. `b` is divided by the scale of the file
 * beforehand, so that both can be applied by one op. For a stack of experts, b is [n_expert *
 * n_out] and expert_scale [n_expert]. */
struct linear {
    const struct oll_weight *w;
    struct oll_vec b;
    struct oll_vec expert_scale;
    float scale; /* 0: none */
    /* An adapter adds lora_scale * lora_b (lora_a x); lora_rank 0: none. */
    const struct oll_weight *lora_a, *lora_b;
    float lora_scale;
    uint32_t lora_rank;
};

/* Weights of a norm. `present` may hold without weights (olmo). */
struct norm {
    bool present;
    struct oll_vec w, b;
    uint32_t group; /* columns normalised together, 0: the whole row */
};

struct model_layer {
    uint32_t il;
    const struct layer_hparams *hp;
    int i_device;
    bool parallel; /* attention and feed-forward read the same stream */

    struct norm attn_norm;   /* before attention */
    struct norm attn_norm_2; /* falcon: attention reads this one; jina: after the first add */
    struct linear attn_q, attn_k, attn_v, attn_output;
    struct norm attn_q_norm, attn_k_norm;
    struct norm attn_sub_norm;                       /* before attn_output (bitnet) */
    struct norm attn_post_norm;                      /* after attn_output, before the add */
    struct norm attn_output_norm, layer_output_norm; /* after the adds (bert) */
    struct oll_vec attn_sinks;

    struct norm ffn_norm, ffn_sub_norm, ffn_post_norm;
    struct linear ffn_gate, ffn_up, ffn_down;
    uint32_t n_ff;

    /* Mixture of experts; ffn_gate_inp.w NULL: a dense layer. */
    struct linear ffn_gate_inp;
    struct oll_vec exp_probs_b;
    struct linear ffn_gate_exps, ffn_up_exps, ffn_down_exps;
    bool fused_exps; /* ffn_up_exps holds the gate rows first, then the up rows of each expert */
    uint32_t n_ff_exp;
    struct linear ffn_gate_inp_shexp, ffn_gate_shexp, ffn_up_shexp, ffn_down_shexp;
    uint32_t n_ff_shexp;
};

struct model_device {
    struct oll_device *dev;
    struct oll_buffer *vectors; /* norm weights, biases and the like, f32 */
    size_t n_vector;            /* floats of it */
};

struct oll_model {
    bool is_dry; /* sizes alone: no weight has values */
    struct oll_gguf *gguf;
    struct adapter adapter; /* empty: none */
    struct oll_tokenizer *tokenizer;
    char *chat_template;
    struct oll_arena arena; /* strings and tables of the model's lifetime */
    struct oll_model_info info;

    struct model_hparams hp;
    struct placement placement;
    struct model_device devices[PLACEMENT_MAX_DEVICES];

    struct linear token_embd; /* also the head when tied and on the same device */
    struct linear position_embd, token_types;
    uint32_t n_position; /* rows of position_embd, 0: positions without limit */
    struct norm token_embd_norm, output_norm;
    struct linear output;
    /* After pooling: two matrices (embedding gemma), or the head of a model that ranks, which has
     * an activation and perhaps a norm between them. */
    struct linear dense[2];
    struct norm rank_norm;
    struct oll_vec alibi_slopes[PLACEMENT_MAX_DEVICES]; /* [n_head], buf NULL: none */
    struct model_layer *layers;

    /* Everything uploaded, in order, and host bytes that a borrowing weight reads. */
    struct oll_weight **weights;
    uint32_t n_weight, cap_weight;
    void **copies;
    uint32_t n_copy, cap_copy;
};

/* The same as oll_model_load for a file that is open already; takes it over, also on failure. */
oll_status model_load_open(struct oll_gguf *gguf, const struct oll_model_params *params,
                           struct oll_model **out, struct oll_error *err) OLL_MUST_USE;

/* Device of the embedding, of final norm and head, and of the last layer. */
static inline int model_first_device(const struct oll_model *model)
{
    return model->placement.input_device;
}

static inline int model_last_device(const struct oll_model *model)
{
    return model->placement.output_device;
}

static inline int model_last_layer_device(const struct oll_model *model)
{
    return model->placement.layer_device[model->hp.n_layer - 1];
}

/* Whether tokens of a second text are told apart from those of a first. */
static inline bool model_has_segments(const struct oll_model *model)
{
    return model->hp.ranks && model->token_types.w && model->token_types.w->n_out > 1;
}

/* Whether the model cannot generate: it sees the whole input at once. */
static inline bool model_is_encoder(const struct oll_model *model) { return !model->hp.causal; }

#endif
