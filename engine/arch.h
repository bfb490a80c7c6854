/* Architectures: one row each.
 *
 * A row names the family whose code binds and runs the model, and says as data how it differs from
 * the standard block (spec of models, 6.1). Shapes and tensors decide the rest: a bias is used
 * where the file has one, a missing head is the embedding, a router makes a layer a mixture of
 * experts. Rows are constant; nothing here depends on a device. */
#ifndef OLL_ENGINE_ARCH_H
#define OLL_ENGINE_ARCH_H

#include "engine/hparams.h"

struct binder;
struct pass;
struct model_layer;

/* Code of a family. */
struct arch_family {
    const char *name;
    /* Binds the tensors outside the layers and those of one layer; failures stick to the binder. */
    void (*bind_model)(struct binder *b);
    void (*bind_layer)(struct binder *b, struct model_layer *layer);
    /* Records one pass from the embedding to the rows of the final norm. */
    void (*forward)(struct pass *p);
};

extern const struct arch_family arch_family_decoder; /* arch_dense.c, arch_moe.c */
extern const struct arch_family arch_family_encoder; /* arch_encoder.c */

enum arch_flags {
    ARCH_GATED = 1 << 0,        /* feed-forward is down(act(gate x) * up x), else down(act(up x)) */
    ARCH_PARALLEL = 1 << 1,     /* attention and feed-forward read the same residual stream */
    ARCH_PARALLEL_KEY = 1 << 2, /* so they do, unless the key use_parallel_residual says no */
    ARCH_PARALLEL_TENSOR = 1 << 3,     /* so they do in layers without ffn_norm (stablelm) */
    ARCH_NO_PRE_NORM = 1 << 4,         /* branches read the stream itself (olmo2) */
    ARCH_FIRST_NORM_OPTIONAL = 1 << 5, /* layer 0 may lack attn_norm (modern-bert) */
    ARCH_POST_NORM = 1 << 6,           /* branches are normalised before the residual add */
    ARCH_QK_NORM = 1 << 7,             /* q and k norms are required; else used where present */
    ARCH_ROPE_FIRST = 1 << 8,          /* the q and k norms come after the rotation */
    ARCH_FFN_NORM_ALT = 1 << 9,        /* the second norm is called post_attention_norm */
    ARCH_NORM_BARE = 1 << 10,          /* norms have neither weight nor bias (olmo) */
    ARCH_POSITIONS = 1 << 11,          /* learned positions, added to the embedding */
    ARCH_TOKEN_TYPES = 1 << 12,        /* a row of token_types is added to the embedding */
    ARCH_EMBD_NORM = 1 << 13,          /* the embedding is normalised */
    ARCH_SLIDING_PLAIN = 1 << 14,      /* sliding layers rotate without scaling and factors */
    ARCH_ENCODER = 1 << 15,            /* not causal unless the file says so */
    ARCH_LOGIT_DIVIDE = 1 << 16,       /* logit_scale is a divisor (granite) */
};

struct arch {
    const char *name;
    const struct arch_family *family;
    enum oll_norm_kind norm;
    enum oll_rope_kind rope;
    enum oll_act act;
    unsigned flags;
    /* What keys and defaults alone cannot say; NULL: nothing. Called when the shared keys have been
     * read and before the layers are laid out. */
    void (*adjust)(struct hparams_reader *r, struct model_hparams *hp);
};

/* By the text of general.architecture, other producers' spellings included. NULL when unknown. */
const struct arch *arch_find(const char *name);
/* The known name most like an unknown one, for messages. */
const char *arch_nearest(const char *name);

static inline bool arch_has(const struct model_hparams *hp, unsigned flag)
{
    return (hp->arch->flags & flag) != 0;
}

#endif
