#include "engine/arch_moe.h"

#include "engine/arch.h"
#include "engine/blocks.h"

/* ---- weights ---- */

/* Width of an expert: the key, else what the tensors have. */
static uint32_t expert_width(struct binder *b, const struct model_layer *l)
{
    uint32_t n = b->model->hp.n_ff_exp;
    if (n != 0)
        return n;
    static const char *const names[] = {"ffn_gate_exps", "ffn_up_exps", "ffn_gate.0", "ffn_up.0"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && n == 0; i++)
        n = bind_dim(b, names[i], 1, 0);
    if (n == 0)
        n = bind_dim(b, "ffn_gate_up_exps", 1, 0) / 2;
    return n != 0 ? n : l->n_ff != 0 ? l->n_ff : 1;
}

static void bind_shared(struct binder *b, struct model_layer *l)
{
    const struct model_hparams *hp = &b->model->hp;
    if (!bind_has(b, "ffn_up_shexp"))
        return;
    /* The key means one of several shared experts in some files, all of them in others. */
    l->n_ff_shexp = bind_dim(b, "ffn_up_shexp", 1, 1);
    if (arch_has(hp, ARCH_GATED))
        bind_group(b, NULL,
                   (struct bind_part[]){{"ffn_gate_shexp", l->n_ff_shexp, &l->ffn_gate_shexp},
                                        {"ffn_up_shexp", l->n_ff_shexp, &l->ffn_up_shexp}},
                   2, hp->n_embd);
    else
        bind_linear(b, "ffn_up_shexp", hp->n_embd, l->n_ff_shexp, BIND_REQUIRED, &l->ffn_up_shexp);
    bind_linear(b, "ffn_down_shexp", l->n_ff_shexp, hp->n_embd, BIND_REQUIRED, &l->ffn_down_shexp);
    bind_linear(b, "ffn_gate_inp_shexp", hp->n_embd, 1, BIND_OPTIONAL, &l->ffn_gate_inp_shexp);
}

void moe_bind(struct binder *b, struct model_layer *l)
{
    const struct model_hparams *hp = &b->model->hp;
    if (hp->n_expert == 0) {
        bind_fail(b, OLL_ERR_FORMAT, "layer %u has a router, but %s.expert_count is 0 or missing",
                  l->il, hp->prefix);
        return;
    }
    bind_linear(b, "ffn_gate_inp", hp->n_embd, hp->n_expert, BIND_REQUIRED, &l->ffn_gate_inp);
    bind_vec(b, "exp_probs_b", "bias", hp->n_expert, BIND_OPTIONAL, &l->exp_probs_b);
    uint32_t n_ff = l->n_ff_exp = expert_width(b, l);
    if (!arch_has(hp, ARCH_GATED)) {
        bind_experts(b, &(struct bind_part){"ffn_up_exps", n_ff, &l->ffn_up_exps}, 1, hp->n_embd);
    } else if (bind_has(b, "ffn_gate_up_exps")) {
        l->fused_exps = true;
        bind_experts(b, &(struct bind_part){"ffn_gate_up_exps", 2 * n_ff, &l->ffn_up_exps}, 1,
                     hp->n_embd);
    } else {
        bind_experts(b,
                     (struct bind_part[]){{"ffn_gate_exps", n_ff, &l->ffn_gate_exps},
                                          {"ffn_up_exps", n_ff, &l->ffn_up_exps}},
                     2, hp->n_embd);
    }
    bind_experts(b, &(struct bind_part){"ffn_down_exps", hp->n_embd, &l->ffn_down_exps}, 1, n_ff);
    bind_shared(b, l);
}

/* ---- forward ---- */

/* y[t * n_used + s] = w[ids[t * n_used + s]] x[t], or of x[t * n_used + s]. */
static void expert_matmul(struct pass *p, struct oll_mat y, struct oll_mat x,
                          const struct linear *lin, struct oll_ints ids)
{
    op_matmul_expert(p->cmd, &(struct op_matmul_expert){.y = y,
                                                        .x = x,
                                                        .w = lin->w,
                                                        .ids = ids,
                                                        .b = lin->b,
                                                        .expert_scale = lin->expert_scale,
                                                        .n_used = p->model->hp.n_expert_used});
}

/* Columns [first, first + n) of m. */
static struct oll_mat columns(struct oll_mat m, uint32_t first, uint32_t n)
{
    m.off += first;
    m.cols = n;
    return m;
}

/* Hidden states of the chosen experts: [rows * n_used, n_ff_exp]. */
static struct oll_mat expert_hidden(struct pass *p, const struct model_layer *l, struct oll_mat h,
                                    struct oll_ints ids)
{
    uint32_t n = ids.n, n_ff = l->n_ff_exp;
    if (l->fused_exps) {
        struct oll_mat both = pass_mat(p, ACT_GATE, n, 2 * n_ff);
        expert_matmul(p, both, h, &l->ffn_up_exps, ids);
        return block_activate(p, columns(both, 0, n_ff), columns(both, n_ff, n_ff));
    }
    struct oll_mat gate = {0}, up = pass_mat(p, ACT_UP, n, n_ff);
    if (l->ffn_gate_exps.w) {
        gate = pass_mat(p, ACT_GATE, n, n_ff);
        expert_matmul(p, gate, h, &l->ffn_gate_exps, ids);
    }
    expert_matmul(p, up, h, &l->ffn_up_exps, ids);
    return block_activate(p, gate, up);
}

static struct oll_ints route(struct pass *p, const struct model_layer *l, struct oll_mat h,
                             struct oll_mat weights)
{
    const struct model_hparams *hp = &p->model->hp;
    struct oll_ints ids = pass_ints(p, ACT_EXPERT_IDS, h.rows * hp->n_expert_used);
    struct oll_mat logits = pass_mat(p, ACT_ROUTER, h.rows, hp->n_expert);
    block_project(p, h, NULL, 1, (const struct linear *[]){&l->ffn_gate_inp}, &logits);
    op_router(p->cmd, &(struct op_router){.ids = ids,
                                          .weights = weights,
                                          .logits = logits,
                                          .selection_bias = l->exp_probs_b,
                                          .gating = hp->gating,
                                          .n_used = hp->n_expert_used,
                                          .n_group = hp->n_expert_group,
                                          .n_group_used = hp->n_expert_group_used,
                                          .scale = hp->expert_scale,
                                          .normalise = hp->expert_normalise});
    return ids;
}

/* y += scale * shared expert of h, weighted by its own gate where it has one. */
static void add_shared(struct pass *p, const struct model_layer *l, struct oll_mat y,
                       struct oll_mat h, float scale)
{
    struct oll_mat gate = {0}, up = pass_mat(p, ACT_UP, h.rows, l->n_ff_shexp);
    if (l->ffn_gate_shexp.w) {
        gate = pass_mat(p, ACT_GATE, h.rows, l->n_ff_shexp);
        block_project(p, h, NULL, 2,
                      (const struct linear *[]){&l->ffn_gate_shexp, &l->ffn_up_shexp},
                      (struct oll_mat[]){gate, up});
    } else {
        block_project(p, h, NULL, 1, (const struct linear *[]){&l->ffn_up_shexp}, &up);
    }
    struct oll_mat hidden = block_activate(p, gate, up);
    struct oll_mat out = pass_mat(p, ACT_EXPERT_OUT, h.rows, y.cols);
    block_project(p, hidden, NULL, 1, (const struct linear *[]){&l->ffn_down_shexp}, &out);
    if (l->ffn_gate_inp_shexp.w) {
        struct oll_mat g = pass_mat(p, ACT_SHARED_GATE, h.rows, 1);
        block_project(p, h, NULL, 1, (const struct linear *[]){&l->ffn_gate_inp_shexp}, &g);
        op_gate(p->cmd, &(struct op_gate){.y = out, .x = out, .g = g});
    }
    op_add(p->cmd, &(struct op_add){.y = y, .a = y, .b = out, .scale = scale});
}

void moe_ffn(struct pass *p, const struct model_layer *l, struct oll_mat x, const struct norm *norm)
{
    uint32_t n_used = p->model->hp.n_expert_used;
    bool post = l->ffn_post_norm.present;
    float scale = block_residual_scale(p);
    struct oll_mat h = norm ? block_norm(p, ACT_H, x, norm) : x;
    struct oll_mat weights = pass_mat(p, ACT_EXPERT_WEIGHTS, h.rows, n_used);
    struct oll_ints ids = route(p, l, h, weights);
    struct oll_mat hidden = expert_hidden(p, l, h, ids);
    struct oll_mat out = pass_mat(p, ACT_EXPERT_OUT, h.rows * n_used, p->x.cols);
    expert_matmul(p, out, hidden, &l->ffn_down_exps, ids);
    if (!post && !l->ffn_up_shexp.w) {
        op_expert_sum(
            p->cmd, &(struct op_expert_sum){
                        .y = p->x, .x = out, .weights = weights, .residual = p->x, .scale = scale});
        return;
    }
    /* The branch is gathered beside the stream: its input may be the stream itself. */
    struct oll_mat branch = pass_mat(p, ACT_BRANCH, h.rows, p->x.cols);
    op_expert_sum(p->cmd,
                  &(struct op_expert_sum){.y = branch, .x = out, .weights = weights, .scale = 1});
    if (l->ffn_up_shexp.w)
        add_shared(p, l, branch, h, 1);
    if (post)
        block_norm_in_place(p, branch, &l->ffn_post_norm);
    op_add(p->cmd, &(struct op_add){.y = p->x, .a = p->x, .b = branch, .scale = scale});
}
