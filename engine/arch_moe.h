/* Mixture of experts in place of a feed-forward layer. */
#ifndef OLL_ENGINE_ARCH_MOE_H
#define OLL_ENGINE_ARCH_MOE_H

#include "engine/bind.h"
#include "engine/pass.h"

/* Router, experts (stacked, fused gate and up, or a tensor each) and shared expert of a layer. */
void moe_bind(struct binder *b, struct model_layer *layer);

/* p->x += residual_scale * ffn_post_norm(sum of the chosen experts over norm(x) + shared expert);
 * norm NULL: over x itself. */
void moe_ffn(struct pass *p, const struct model_layer *layer, struct oll_mat x,
             const struct norm *norm);

#endif
