/* Hyper-parameters: what the metadata of a file says about its model, read once at load.
 *
 * Every value passes a range table before anything is sized, divided or indexed by it
 * (hparams.c); defaults follow the architecture's row (arch.h). What follows from tensors instead
 * of keys (biases, fused matrices, widths of experts, LongRoPE factors) is found by bind.c.
 *
 * The struct is plain data, owned by the model. */
#ifndef OLL_ENGINE_HPARAMS_H
#define OLL_ENGINE_HPARAMS_H

#include "engine/rope.h"
#include "gguf/gguf.h"
#include "kernels/device.h"

struct arch;

enum { HPARAMS_MAX_ROPES = 2, HPARAMS_MAX_ARCH_NAME = 64 };

/* Index into model_hparams.ropes. A model whose sliding layers rotate like the others has one. */
enum hparams_rope { HPARAMS_ROPE_NONE = -1, HPARAMS_ROPE_MAIN = 0, HPARAMS_ROPE_SLIDING = 1 };

struct layer_hparams {
    uint32_t n_head, n_head_kv;
    uint32_t head_dim_k, head_dim_v;
    uint32_t n_ff;   /* 0: the file does not say, the tensors do */
    uint32_t window; /* sliding window in positions, 0: none */
    int32_t i_rope;  /* enum hparams_rope */
    float attn_scale;
};

struct model_hparams {
    const struct arch *arch;
    char prefix[HPARAMS_MAX_ARCH_NAME]; /* general.architecture as written: prefix of the keys */

    uint32_t n_vocab; /* rows of token_embd */
    uint32_t n_embd;
    uint32_t n_embd_out; /* of a pooled vector; the dense layers decide */
    uint32_t n_layer;    /* without appended layers for multi-token prediction */
    uint32_t n_nextn;    /* those */
    uint32_t n_ctx_train;

    float norm_eps;
    uint32_t head_dim_k, head_dim_v; /* as keys say or n_embd / n_head */

    /* attention */
    bool causal;
    float attn_scale; /* 0: 1 / sqrt(head_dim_k) */
    float attn_softcap, clamp_kqv, alibi_max_bias;
    float query_beta, query_length; /* op_query_scale; beta 0: none */
    uint32_t window;                /* of sliding layers, 0: there are none */
    uint32_t window_period;         /* layer il slides when il mod period < period - 1 ... */
    bool window_global_first;       /* ... or, with this, when il mod period > 0 */
    uint32_t n_rope;
    uint32_t no_rope_period; /* every period-th layer does not rotate, 0: all do */
    bool rope_sliding_only;  /* layers without a window do not rotate */
    struct rope_params ropes[HPARAMS_MAX_ROPES];

    /* feed-forward */
    uint32_t n_expert, n_expert_used;
    uint32_t n_ff_exp; /* 0: the tensors say */
    enum oll_gating gating;
    bool expert_normalise;
    float expert_scale; /* 0 and 1: none */
    uint32_t n_expert_group, n_expert_group_used;

    /* residual stream and head; 0: none */
    bool parallel; /* attention and feed-forward read the same stream */
    float embedding_scale, residual_scale;
    float logit_scale; /* factor on the logits */
    float final_softcap;
    bool has_pooling; /* the file asks for a pooling: an embedding model */
    enum oll_pooling pooling;
    bool ranks; /* it pools for a head that says how well two texts go together */

    struct layer_hparams *layers; /* [n_layer] */
};

/* Reader of the keys `<prefix>.<name>`; failures stick and the first speaks. */
struct hparams_reader {
    const struct oll_gguf *gguf;
    const char *prefix;
    oll_status status;
    struct oll_error *err;
};

bool hparams_has(const struct hparams_reader *r, const char *name);
/* The value, or `fallback` when the key is absent. Out of [min, max] (or not a number of that
 * kind) is OLL_ERR_FORMAT: "llama.attention.head_count = 0 is not in 1..4096". */
uint32_t hparams_u32(struct hparams_reader *r, const char *name, uint32_t min, uint32_t max,
                     uint32_t fallback);
float hparams_f32(struct hparams_reader *r, const char *name, float min, float max, float fallback);
bool hparams_bool(struct hparams_reader *r, const char *name, bool fallback);
/* Reads the window and its pattern (a period or one bool per layer); 0 switches the window off. */
void hparams_window(struct hparams_reader *r, struct model_hparams *hp, uint32_t window,
                    uint32_t period);
void hparams_fail(struct hparams_reader *r, oll_status status, const char *fmt, ...)
    OLL_PRINTF(3, 4);

/* Reads everything; `arch` comes from general.architecture. `layers` is allocated and released by
 * hparams_free. */
oll_status hparams_read(const struct oll_gguf *gguf, struct model_hparams *hp,
                        struct oll_error *err) OLL_MUST_USE;
void hparams_free(struct model_hparams *hp);

#endif
