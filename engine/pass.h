/* One forward pass: the tape of ops that takes the tokens of an ubatch through the layers.
 *
 * A pass owns, on every device, one buffer that holds the named activations below. Their sizes come
 * from a dry run: the forward function of the model is called with a full ubatch and command lists
 * that record nothing, and each request for an activation (pass_mat) notes the largest size. Later
 * requests get views into the buffer.
 *
 * The forward function asks for the layers in order (pass_layer). Where a layer lives on another
 * device than the one before, the list so far is run and the residual stream copied, once and
 * visibly. Failures stick; pass_run reports them.
 *
 * In the last layer only the rows go on that somebody wants: from its attention on, `n_rows` is
 * n_out instead of n_tokens. */
#ifndef OLL_ENGINE_PASS_H
#define OLL_ENGINE_PASS_H

#include "engine/batch.h"
#include "engine/kv_cache.h"
#include "engine/model.h"

/* Named activations. Rows are tokens of the pass, or (token, expert) pairs for the expert ones. */
enum act {
    /* inputs, uploaded before the pass; i32 */
    ACT_TOKENS,
    ACT_TYPES,
    ACT_POS,
    ACT_SEQ,
    ACT_OUT_ROWS,
    ACT_OUT_POS,
    ACT_OUT_SEQ,
    ACT_KV_LEN,
    /* angles */
    ACT_FREQ_MAIN,
    ACT_FREQ_SLIDING,
    ACT_ROPE_MAIN, /* [n_tokens, n_rot] */
    ACT_ROPE_SLIDING,
    /* stream and branches */
    ACT_X,      /* residual stream [n_tokens, n_embd] */
    ACT_X_OUT,  /* its wanted rows */
    ACT_H,      /* normalised stream */
    ACT_H_OUT,  /* its wanted rows */
    ACT_H2,     /* the second norm of a parallel block */
    ACT_BRANCH, /* a branch before its own norm */
    ACT_Q,
    ACT_K,
    ACT_V,
    ACT_Q_OUT,
    ACT_ATTN, /* heads joined [n_rows, n_head * head_dim_v] */
    ACT_GATE, /* [n_rows, n_ff], or of the experts */
    ACT_UP,
    ACT_ROUTER,     /* [n_rows, n_expert] */
    ACT_EXPERT_IDS, /* [n_rows * n_used] i32 */
    ACT_EXPERT_WEIGHTS,
    ACT_EXPERT_OUT, /* [n_rows * n_used, n_embd] */
    ACT_SHARED_GATE,
    ACT_LORA, /* [n_rows, rank] between the two matrices of an adapter */
    /* ends */
    ACT_POOLED,
    ACT_POOL_BEGIN,
    ACT_DENSE_2,
    ACT_DENSE_3,
    ACT_LOGITS,
    ACT_COUNT
};

struct pass_device {
    struct oll_device *dev;
    struct oll_cmd cmd;
    struct oll_buffer *buf;
    struct {
        size_t off, n; /* elements of 4 bytes */
    } acts[ACT_COUNT];
    bool has_tables; /* angles recorded in this pass */
};

struct pass {
    const struct oll_model *model;
    struct kv_cache *kv; /* NULL in the dry run of a plan */
    const struct ubatch *ub;
    int n_device, i_device;
    struct pass_device devices[PLACEMENT_MAX_DEVICES];
    struct oll_cmd *cmd; /* list of the device at hand */
    bool is_dry;
    uint32_t n_tokens, n_out;
    uint32_t n_seq, n_logit_rows; /* of the context; rows the head computes at a time */
    float rope_magnitude[HPARAMS_MAX_ROPES];
    uint32_t n_rows;  /* rows of `x` */
    struct oll_mat x; /* residual stream at hand; the final rows when the pass is over */
    oll_status status;
    struct oll_error *err;
};

/* Sizes the activations by a dry run for ubatches of `n_ubatch` tokens and adds them to the plan.
 */
oll_status pass_init(struct pass *p, const struct oll_model *model, uint32_t n_ubatch,
                     uint32_t n_seq, uint32_t n_logit_rows, struct plan *plan,
                     struct oll_error *err) OLL_MUST_USE;
/* Allocates what pass_init planned, and computes the frequencies for a context of n_ctx. */
oll_status pass_allocate(struct pass *p, struct kv_cache *kv, uint32_t n_ctx,
                         struct oll_error *err) OLL_MUST_USE;
void pass_free(struct pass *p);

/* Uploads the ubatch and records the forward function, which leaves its rows in p->x on the last
 * device, not yet run. */
void pass_begin(struct pass *p, const struct ubatch *ub, const atomic_bool *abort,
                struct oll_error *err);
/* Runs what is recorded on the device at hand and waits; reports the first failure of the pass. */
oll_status pass_run(struct pass *p) OLL_MUST_USE;

/* ---- for forward functions ---- */

struct oll_mat pass_mat(struct pass *p, enum act act, uint32_t rows, uint32_t cols);
struct oll_ints pass_ints(struct pass *p, enum act act, uint32_t n);

/* Goes to the device of a layer, or of final norm and head. */
void pass_layer(struct pass *p, const struct model_layer *layer);
void pass_output(struct pass *p);
/* Whether only wanted rows go on from this layer's attention. */
static inline bool pass_keeps_rows(const struct pass *p, const struct model_layer *layer)
{
    return layer->il + 1 == p->model->hp.n_layer && (p->is_dry || p->n_out < p->n_tokens);
}
/* The wanted rows of m, copied to `act`. */
struct oll_mat pass_wanted(struct pass *p, struct oll_mat m, enum act act);
/* Angles of a rope on the device at hand; recorded at the first use of a device. */
struct oll_mat pass_rope_table(struct pass *p, int32_t i_rope);

#endif
