#include "engine/blocks.h"

#include "engine/arch.h"

/* ---- norms and projections ---- */

static struct op_norm norm_desc(const struct pass *p, struct oll_mat y, struct oll_mat x,
                                const struct norm *norm)
{
    return (struct op_norm){.kind = p->model->hp.arch->norm,
                            .y = y,
                            .x = x,
                            .w = norm->w,
                            .b = norm->b,
                            .group = norm->group,
                            .eps = p->model->hp.norm_eps};
}

struct oll_mat block_norm(struct pass *p, enum act act, struct oll_mat x, const struct norm *norm)
{
    if (!norm->present)
        return x;
    struct oll_mat y = pass_mat(p, act, x.rows, x.cols);
    struct op_norm desc = norm_desc(p, y, x, norm);
    op_norm(p->cmd, &desc);
    return y;
}

void block_norm_in_place(struct pass *p, struct oll_mat x, const struct norm *norm)
{
    if (!norm->present)
        return;
    struct op_norm desc = norm_desc(p, x, x, norm);
    op_norm(p->cmd, &desc);
}

/* y = scale * lin x + residual (where it has a buffer); y is not x. */
static void linear(struct pass *p, struct oll_mat y, struct oll_mat x, const struct linear *lin,
                   struct oll_mat residual, float scale)
{
    op_matmul(p->cmd, &(struct op_matmul){.y = y,
                                          .x = x,
                                          .w = lin->w,
                                          .b = lin->b,
                                          .residual = residual,
                                          .scale = lin->scale != 0 ? scale * lin->scale : scale});
    if (lin->lora_rank == 0)
        return;
    struct oll_mat inner = pass_mat(p, ACT_LORA, x.rows, lin->lora_rank);
    op_matmul(p->cmd, &(struct op_matmul){.y = inner, .x = x, .w = lin->lora_a, .scale = 1});
    op_matmul(
        p->cmd,
        &(struct op_matmul){
            .y = y, .x = inner, .w = lin->lora_b, .residual = y, .scale = scale * lin->lora_scale});
}

/* Whether the device has the fused op for these matrices; it knows no factors and no adapters. */
static bool can_fuse(const struct pass *p, enum oll_op_kind kind, int n,
                     const struct linear *const *lin)
{
    for (int i = 0; i < n; i++)
        if (lin[i]->scale != 0 || lin[i]->lora_rank != 0 ||
            !oll_device_supports(p->cmd->dev, kind, lin[i]->w->dtype))
            return false;
    return true;
}

void block_project(struct pass *p, struct oll_mat x, const struct norm *norm, int n,
                   const struct linear *const *lin, const struct oll_mat *y)
{
    if (norm && norm->present && can_fuse(p, OLL_OP_NORM_MATMUL, n, lin)) {
        struct op_norm_matmul desc = {.norm = norm_desc(p, x, x, norm), .n = (uint32_t)n};
        for (int i = 0; i < n; i++) {
            desc.y[i] = y[i];
            desc.w[i] = lin[i]->w;
            desc.b[i] = lin[i]->b;
        }
        op_norm_matmul(p->cmd, &desc);
        return;
    }
    struct oll_mat h = norm ? block_norm(p, ACT_H, x, norm) : x;
    for (int i = 0; i < n; i++)
        linear(p, y[i], h, lin[i], (struct oll_mat){0}, 1);
}

/* ---- ends ---- */

void block_embed(struct pass *p)
{
    const struct oll_model *m = p->model;
    const struct model_hparams *hp = &m->hp;
    float scale = hp->embedding_scale != 0 ? hp->embedding_scale : 1;
    p->x = pass_mat(p, ACT_X, p->n_tokens, hp->n_embd);
    op_embed(p->cmd, &(struct op_embed){
                         .y = p->x,
                         .w = m->token_embd.w,
                         .ids = pass_ints(p, ACT_TOKENS, p->n_tokens),
                         .scale = m->token_embd.scale != 0 ? scale * m->token_embd.scale : scale});
    if (m->token_types.w)
        op_embed(p->cmd, &(struct op_embed){.y = p->x,
                                            .w = m->token_types.w,
                                            .ids = model_has_segments(m)
                                                       ? pass_ints(p, ACT_TYPES, p->n_tokens)
                                                       : (struct oll_ints){0},
                                            .row = 0,
                                            .scale = 1,
                                            .add = true});
    if (m->position_embd.w)
        op_embed(p->cmd, &(struct op_embed){.y = p->x,
                                            .w = m->position_embd.w,
                                            .ids = pass_ints(p, ACT_POS, p->n_tokens),
                                            .scale = 1,
                                            .add = true});
    block_norm_in_place(p, p->x, &m->token_embd_norm);
}

void block_final_norm(struct pass *p)
{
    pass_output(p);
    p->x = block_norm(p, ACT_H, p->x, &p->model->output_norm);
}

/* ---- attention ---- */

/* Rotation, norm and clamp of the heads of q or k, in the order of the architecture. */
static void shape_heads(struct pass *p, const struct model_layer *layer, struct oll_mat x,
                        uint32_t n_head, const struct norm *norm)
{
    const struct model_hparams *hp = &p->model->hp;
    bool rope_first = arch_has(hp, ARCH_ROPE_FIRST);
    if (!rope_first)
        block_norm_in_place(p, x, norm);
    if (layer->hp->i_rope != HPARAMS_ROPE_NONE) {
        const struct rope_params *rope = &hp->ropes[layer->hp->i_rope];
        op_rope(p->cmd, &(struct op_rope){.kind = rope->kind,
                                          .x = x,
                                          .table = pass_rope_table(p, layer->hp->i_rope),
                                          .n_head = n_head,
                                          .head_dim = layer->hp->head_dim_k,
                                          .n_rot = rope->n_rot});
    }
    if (rope_first)
        block_norm_in_place(p, x, norm);
}

static void clamp(struct pass *p, struct oll_mat x)
{
    float limit = p->model->hp.clamp_kqv;
    if (limit != 0)
        op_scale(p->cmd, &(struct op_scale){.y = x, .x = x, .scale = 1, .limit = limit});
}

/* Softmax over what the cache holds. q [rows, n_head * head_dim_k], of all tokens or the wanted
 * ones. */
static struct oll_mat scores_and_values(struct pass *p, const struct model_layer *layer,
                                        struct oll_mat q, bool wanted_only)
{
    const struct model_hparams *hp = &p->model->hp;
    const struct layer_hparams *lhp = layer->hp;
    uint32_t n_seen = p->ub ? p->ub->n_kv_max : 1;
    if (lhp->window != 0 && lhp->window < n_seen)
        n_seen = lhp->window + 1;
    struct oll_mat y = pass_mat(p, ACT_ATTN, q.rows, lhp->n_head * lhp->head_dim_v);
    op_attention(p->cmd, &(struct op_attention){
                             .y = y,
                             .q = q,
                             .kv = p->kv ? p->kv->layers[layer->il] : (struct oll_kv){0},
                             .pos = pass_ints(p, wanted_only ? ACT_OUT_POS : ACT_POS, q.rows),
                             .seq = pass_ints(p, wanted_only ? ACT_OUT_SEQ : ACT_SEQ, q.rows),
                             .kv_len = pass_ints(p, ACT_KV_LEN, p->n_seq),
                             .sinks = layer->attn_sinks,
                             .slopes = p->model->alibi_slopes[p->i_device],
                             .n_head = lhp->n_head,
                             .window = lhp->window,
                             .n_kv_max = n_seen,
                             .scale = lhp->attn_scale,
                             .softcap = hp->attn_softcap,
                             .causal = hp->causal,
                         });
    return y;
}

struct oll_mat block_attention(struct pass *p, const struct model_layer *layer, struct oll_mat x,
                               const struct norm *norm)
{
    const struct model_hparams *hp = &p->model->hp;
    const struct layer_hparams *lhp = layer->hp;
    struct oll_mat q = pass_mat(p, ACT_Q, x.rows, lhp->n_head * lhp->head_dim_k);
    struct oll_mat k = pass_mat(p, ACT_K, x.rows, lhp->n_head_kv * lhp->head_dim_k);
    struct oll_mat v = pass_mat(p, ACT_V, x.rows, lhp->n_head_kv * lhp->head_dim_v);
    block_project(p, x, norm, 3,
                  (const struct linear *[]){&layer->attn_q, &layer->attn_k, &layer->attn_v},
                  (struct oll_mat[]){q, k, v});
    clamp(p, q);
    clamp(p, k);
    clamp(p, v);
    shape_heads(p, layer, q, lhp->n_head, &layer->attn_q_norm);
    shape_heads(p, layer, k, lhp->n_head_kv, &layer->attn_k_norm);
    struct oll_ints pos = pass_ints(p, ACT_POS, p->n_tokens);
    if (hp->query_beta != 0)
        op_query_scale(p->cmd,
                       &(struct op_query_scale){
                           .x = q, .pos = pos, .beta = hp->query_beta, .length = hp->query_length});
    op_kv_store(p->cmd, &(struct op_kv_store){
                            .k = k,
                            .v = v,
                            .kv = p->kv ? p->kv->layers[layer->il] : (struct oll_kv){0},
                            .pos = pos,
                            .seq = pass_ints(p, ACT_SEQ, p->n_tokens),
                        });
    bool wanted_only = pass_keeps_rows(p, layer);
    if (wanted_only)
        q = pass_wanted(p, q, ACT_Q_OUT);
    struct oll_mat y = scores_and_values(p, layer, q, wanted_only);
    block_norm_in_place(p, y, &layer->attn_sub_norm);
    return y;
}

/* ---- feed-forward ---- */

struct oll_mat block_activate(struct pass *p, struct oll_mat gate, struct oll_mat up)
{
    enum oll_act act = p->model->hp.arch->act;
    if (arch_has(&p->model->hp, ARCH_GATED)) {
        op_glu(p->cmd, &(struct op_glu){.act = act, .y = gate, .gate = gate, .up = up});
        return gate;
    }
    op_unary(p->cmd, &(struct op_unary){.act = act, .y = up, .x = up});
    return up;
}

/* act(gate norm(x)) * (up norm(x)). */
static struct oll_mat gated_ffn(struct pass *p, const struct model_layer *layer, struct oll_mat x,
                                const struct norm *norm)
{
    const struct linear *lin[] = {&layer->ffn_gate, &layer->ffn_up};
    struct oll_mat gate = pass_mat(p, ACT_GATE, x.rows, layer->n_ff);
    bool has_bias = layer->ffn_gate.b.n != 0 || layer->ffn_up.b.n != 0;
    if (norm && norm->present && !has_bias && can_fuse(p, OLL_OP_NORM_GLU, 2, lin)) {
        op_norm_glu(p->cmd, &(struct op_norm_glu){.norm = norm_desc(p, x, x, norm),
                                                  .act = p->model->hp.arch->act,
                                                  .y = gate,
                                                  .gate = layer->ffn_gate.w,
                                                  .up = layer->ffn_up.w});
        return gate;
    }
    struct oll_mat up = pass_mat(p, ACT_UP, x.rows, layer->n_ff);
    block_project(p, x, norm, 2, lin, (struct oll_mat[]){gate, up});
    return block_activate(p, gate, up);
}

struct oll_mat block_ffn(struct pass *p, const struct model_layer *layer, struct oll_mat x,
                         const struct norm *norm)
{
    struct oll_mat y;
    if (arch_has(&p->model->hp, ARCH_GATED)) {
        y = gated_ffn(p, layer, x, norm);
    } else {
        y = pass_mat(p, ACT_UP, x.rows, layer->n_ff);
        block_project(p, x, norm, 1, (const struct linear *[]){&layer->ffn_up}, &y);
        block_activate(p, (struct oll_mat){0}, y);
    }
    block_norm_in_place(p, y, &layer->ffn_sub_norm);
    return y;
}

void block_add(struct pass *p, const struct linear *lin, struct oll_mat y, const struct norm *post)
{
    float scale = block_residual_scale(p);
    if (!post || !post->present) {
        linear(p, p->x, y, lin, p->x, scale);
        return;
    }
    struct oll_mat branch = pass_mat(p, ACT_BRANCH, y.rows, p->x.cols);
    linear(p, branch, y, lin, (struct oll_mat){0}, 1);
    block_norm_in_place(p, branch, post);
    op_add(p->cmd, &(struct op_add){.y = p->x, .a = p->x, .b = branch, .scale = scale});
}
