/* The decoder family: one function for all models built from the standard block.
 *
 *     serial     x += Wo attention(norm(x))            parallel   h = norm(x)
 *                x += ffn(norm(x))                                x += Wo attention(h) + ffn(h)
 *
 * with, as the tensors have it, norms before or after the branches, gated or plain feed-forward, or
 * a mixture of experts in its place (arch_moe.c). Also bidirectional models of this build
 * (embedding gemma, modern-bert): only the mask differs. */
#include "engine/arch.h"
#include "engine/arch_moe.h"
#include "engine/base/mem.h"
#include "engine/bind.h"
#include "engine/bind_ends.h"
#include "engine/blocks.h"

/* ---- weights ---- */

void bind_attention(struct binder *b, struct model_layer *l)
{
    const struct model_hparams *hp = &b->model->hp;
    const struct layer_hparams *lhp = l->hp;
    enum bind_need qk = arch_has(hp, ARCH_QK_NORM) ? BIND_REQUIRED : BIND_OPTIONAL;
    uint32_t n_q = lhp->n_head * lhp->head_dim_k, n_k = lhp->n_head_kv * lhp->head_dim_k;
    uint32_t n_v = lhp->n_head_kv * lhp->head_dim_v, n_attn = lhp->n_head * lhp->head_dim_v;
    bind_group(b, "attn_qkv",
               (struct bind_part[]){{"attn_q", n_q, &l->attn_q},
                                    {"attn_k", n_k, &l->attn_k},
                                    {"attn_v", n_v, &l->attn_v}},
               3, hp->n_embd);
    bind_linear(b, "attn_output", n_attn, hp->n_embd, BIND_REQUIRED, &l->attn_output);
    bind_head_norm(b, "attn_q_norm", lhp->n_head, lhp->head_dim_k, qk, &l->attn_q_norm);
    bind_head_norm(b, "attn_k_norm", lhp->n_head_kv, lhp->head_dim_k, qk, &l->attn_k_norm);
    bind_norm(b, "attn_sub_norm", n_attn, BIND_OPTIONAL, &l->attn_sub_norm);
    bind_vec(b, "attn_sinks", "weight", lhp->n_head, BIND_OPTIONAL, &l->attn_sinks);
}

void bind_ffn(struct binder *b, struct model_layer *l)
{
    const struct model_hparams *hp = &b->model->hp;
    if (l->n_ff == 0)
        l->n_ff = bind_dim(b, "ffn_down", 0, 1);
    if (arch_has(hp, ARCH_GATED))
        bind_group(b, "ffn_up",
                   (struct bind_part[]){{"ffn_gate", l->n_ff, &l->ffn_gate},
                                        {"ffn_up", l->n_ff, &l->ffn_up}},
                   2, hp->n_embd);
    else
        bind_linear(b, "ffn_up", hp->n_embd, l->n_ff, BIND_REQUIRED, &l->ffn_up);
    bind_linear(b, "ffn_down", l->n_ff, hp->n_embd, BIND_REQUIRED, &l->ffn_down);
    bind_norm(b, "ffn_sub_norm", l->n_ff, BIND_OPTIONAL, &l->ffn_sub_norm);
}

static void bind_norms(struct binder *b, struct model_layer *l)
{
    const struct model_hparams *hp = &b->model->hp;
    uint32_t n = hp->n_embd;
    bool pre = !arch_has(hp, ARCH_NO_PRE_NORM);
    bool first_optional = arch_has(hp, ARCH_FIRST_NORM_OPTIONAL) && l->il == 0;
    if (pre)
        bind_norm(b, "attn_norm", n, first_optional ? BIND_OPTIONAL : BIND_REQUIRED, &l->attn_norm);
    bind_norm(b, "attn_norm_2", n, BIND_OPTIONAL, &l->attn_norm_2);
    if (arch_has(hp, ARCH_POST_NORM)) {
        bind_norm(b, "post_attention_norm", n, BIND_REQUIRED, &l->attn_post_norm);
        bind_norm(b, "post_ffw_norm", n, BIND_REQUIRED, &l->ffn_post_norm);
    }
    l->parallel = hp->parallel;
    const char *name = "ffn_norm";
    if (arch_has(hp, ARCH_FFN_NORM_ALT) && bind_has(b, "post_attention_norm"))
        name = "post_attention_norm";
    if (arch_has(hp, ARCH_PARALLEL_TENSOR) && !bind_has(b, name))
        l->parallel = true;
    if (pre)
        bind_norm(b, name, n, l->parallel ? BIND_OPTIONAL : BIND_REQUIRED, &l->ffn_norm);
}

static void decoder_bind_layer(struct binder *b, struct model_layer *l)
{
    bind_norms(b, l);
    bind_attention(b, l);
    if (bind_has(b, "ffn_gate_inp"))
        moe_bind(b, l);
    else
        bind_ffn(b, l);
}

static void decoder_bind_model(struct binder *b)
{
    bind_embedding(b);
    bind_head(b);
}

/* ---- forward ---- */

static void decoder_layer(struct pass *p, const struct model_layer *l)
{
    struct oll_mat in_attn = p->x, in_ffn = p->x;
    const struct norm *attn_norm = &l->attn_norm, *ffn_norm = &l->ffn_norm;
    if (l->parallel) {
        /* Where the branches have a norm each, falcon names them the other way round. */
        bool swapped = l->attn_norm_2.present;
        const struct norm *second = swapped ? &l->attn_norm : &l->ffn_norm;
        in_attn = block_norm(p, ACT_H, p->x, swapped ? &l->attn_norm_2 : &l->attn_norm);
        in_ffn = second->present ? block_norm(p, ACT_H2, p->x, second) : in_attn;
        attn_norm = ffn_norm = NULL;
    }
    struct oll_mat a = block_attention(p, l, in_attn, attn_norm);
    if (pass_keeps_rows(p, l)) {
        p->x = pass_wanted(p, p->x, ACT_X_OUT);
        if (l->parallel)
            in_ffn = pass_wanted(p, in_ffn, ACT_H_OUT);
    }
    block_add(p, &l->attn_output, a, &l->attn_post_norm);
    if (!l->parallel)
        in_ffn = p->x;
    if (l->ffn_gate_inp.w)
        moe_ffn(p, l, in_ffn, ffn_norm);
    else
        block_add(p, &l->ffn_down, block_ffn(p, l, in_ffn, ffn_norm), &l->ffn_post_norm);
}

static void decoder_forward(struct pass *p)
{
    block_embed(p);
    for (uint32_t il = 0; il < p->model->hp.n_layer; il++) {
        pass_layer(p, &p->model->layers[il]);
        decoder_layer(p, &p->model->layers[il]);
    }
    block_final_norm(p);
}

const struct arch_family arch_family_decoder = {
    .name = "decoder",
    .bind_model = decoder_bind_model,
    .bind_layer = decoder_bind_layer,
    .forward = decoder_forward,
};
