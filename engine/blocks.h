/* Pieces that the forward passes of all families are made of.
 *
 * Each records ops on the list of the device at hand. Where a device has a fused op for a step it
 * is taken here and nowhere else: the files of the families do not know. Activations are views
 * into the pass (pass.h); rows are tokens. */
#ifndef OLL_ENGINE_BLOCKS_H
#define OLL_ENGINE_BLOCKS_H

#include "engine/pass.h"

/* p->x = embedding of the tokens, scaled; plus learned positions and token type, normalised, where
 * the model has these. */
void block_embed(struct pass *p);

/* The norm of x in `act`; x itself where the model has no such norm. */
struct oll_mat block_norm(struct pass *p, enum act act, struct oll_mat x, const struct norm *norm);
/* x = norm(x). */
void block_norm_in_place(struct pass *p, struct oll_mat x, const struct norm *norm);

/* y[i] = lin[i] norm(x) for i < n, n at most OLL_FUSED_MAX; norm NULL: of x itself. */
void block_project(struct pass *p, struct oll_mat x, const struct norm *norm, int n,
                   const struct linear *const *lin, const struct oll_mat *y);

/* Attention of a layer over norm(x): projections, norms of q and k, rotation, cache, scores. Gives
 * the heads joined, before attn_output: [n_tokens or, in the last layer, n_out, n_head *
 * head_dim_v]. */
struct oll_mat block_attention(struct pass *p, const struct model_layer *layer, struct oll_mat x,
                               const struct norm *norm);

/* Hidden state of a feed-forward layer over norm(x), before ffn_down: [rows, n_ff]. */
struct oll_mat block_ffn(struct pass *p, const struct model_layer *layer, struct oll_mat x,
                         const struct norm *norm);
/* act(gate) * up in place of gate, or act(up) in place of up where `gate` has no buffer. */
struct oll_mat block_activate(struct pass *p, struct oll_mat gate, struct oll_mat up);

/* p->x += residual_scale * post(lin y), with post NULL or absent: no norm between. */
void block_add(struct pass *p, const struct linear *lin, struct oll_mat y, const struct norm *post);

/* p->x = final norm of the rows that are left, on the device of the head. */
void block_final_norm(struct pass *p);

/* Residual scale as a factor: 1 where the model has none. */
static inline float block_residual_scale(const struct pass *p)
{
    return p->model->hp.residual_scale != 0 ? p->model->hp.residual_scale : 1;
}

#endif
