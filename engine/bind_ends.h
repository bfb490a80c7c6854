/* Tensors outside the layers, and the parts of a layer that several families share. */
#ifndef OLL_ENGINE_BIND_ENDS_H
#define OLL_ENGINE_BIND_ENDS_H

#include "engine/bind.h"

/* token_embd and, as the architecture has them, learned positions, token types and their norm. */
void bind_embedding(struct binder *b);
/* Final norm and head (for an encoder without output_norm: none), dense layers or a ranking head
 * behind the pooling, ALiBi slopes. */
void bind_head(struct binder *b);

/* q, k, v, output with their norms and sinks. */
void bind_attention(struct binder *b, struct model_layer *layer);
/* gate, up, down. */
void bind_ffn(struct binder *b, struct model_layer *layer);

#endif
