/* The BERT family: every token sees every other, norms stand behind the residual adds, nothing is
 * kept after the pass.
 *
 *     x = norm(token + type + position)
 *     x = norm(x + Wo attention(x))
 *     x = norm(x + ffn(x))
 *
 * Devlin et al. 2019, arXiv:1810.04805. */
#include "engine/arch.h"
#include "engine/arch_moe.h"
#include "engine/bind_ends.h"
#include "engine/blocks.h"

/* ---- weights ---- */

static void encoder_bind_model(struct binder *b)
{
    bind_embedding(b);
    bind_head(b);
}

static void encoder_bind_layer(struct binder *b, struct model_layer *l)
{
    uint32_t n = b->model->hp.n_embd;
    bind_attention(b, l);
    bind_norm(b, "attn_output_norm", n, BIND_REQUIRED, &l->attn_output_norm);
    bind_norm(b, "attn_norm_2", n, BIND_OPTIONAL, &l->attn_norm_2);
    bind_norm(b, "layer_output_norm", n, BIND_REQUIRED, &l->layer_output_norm);
    if (bind_has(b, "ffn_gate_inp"))
        moe_bind(b, l);
    else
        bind_ffn(b, l);
}

/* ---- forward ---- */

static void encoder_layer(struct pass *p, const struct model_layer *l)
{
    struct oll_mat a = block_attention(p, l, p->x, NULL);
    if (pass_keeps_rows(p, l))
        p->x = pass_wanted(p, p->x, ACT_X_OUT);
    if (l->attn_norm_2.present) {
        /* jina-bert-v2 for code: the input is added once more around the first norm. */
        struct oll_mat input = p->x, sum = pass_mat(p, ACT_BRANCH, p->x.rows, p->x.cols);
        op_scale(p->cmd, &(struct op_scale){.y = sum, .x = input, .scale = 1});
        p->x = sum;
        block_add(p, &l->attn_output, a, NULL);
        block_norm_in_place(p, sum, &l->attn_output_norm);
        p->x = input;
        op_add(p->cmd, &(struct op_add){.y = p->x, .a = p->x, .b = sum, .scale = 1});
        block_norm_in_place(p, p->x, &l->attn_norm_2);
    } else {
        block_add(p, &l->attn_output, a, NULL);
        block_norm_in_place(p, p->x, &l->attn_output_norm);
    }
    if (l->ffn_gate_inp.w)
        moe_ffn(p, l, p->x, NULL);
    else
        block_add(p, &l->ffn_down, block_ffn(p, l, p->x, NULL), NULL);
    block_norm_in_place(p, p->x, &l->layer_output_norm);
}

static void encoder_forward(struct pass *p)
{
    block_embed(p);
    for (uint32_t il = 0; il < p->model->hp.n_layer; il++) {
        pass_layer(p, &p->model->layers[il]);
        encoder_layer(p, &p->model->layers[il]);
    }
    block_final_norm(p);
}

const struct arch_family arch_family_encoder = {
    .name = "encoder",
    .bind_model = encoder_bind_model,
    .bind_layer = encoder_bind_layer,
    .forward = encoder_forward,
};
