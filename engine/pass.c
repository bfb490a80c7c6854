#include "engine/pass.h"

#include "engine/arch.h"
#include "engine/base/mem.h"

#include <string.h>

enum { ACT_ALIGN = 16 /* elements: one cache line */ };

/* ---- activations ---- */

/* In the dry run notes the size; afterwards gives the place. */
static size_t claim(struct pass *p, enum act act, size_t n)
{
    struct pass_device *d = &p->devices[p->i_device];
    if (p->is_dry) {
        if (n > d->acts[act].n)
            d->acts[act].n = n;
        return 0;
    }
    OLL_ASSERT(n <= d->acts[act].n);
    return d->acts[act].off;
}

struct oll_mat pass_mat(struct pass *p, enum act act, uint32_t rows, uint32_t cols)
{
    size_t off = claim(p, act, (size_t)rows * cols);
    return (struct oll_mat){p->devices[p->i_device].buf, off, rows, cols, cols};
}

struct oll_ints pass_ints(struct pass *p, enum act act, uint32_t n)
{
    return (struct oll_ints){p->devices[p->i_device].buf, claim(p, act, n), n};
}

struct oll_mat pass_wanted(struct pass *p, struct oll_mat m, enum act act)
{
    struct oll_mat y = pass_mat(p, act, p->n_out, m.cols);
    op_gather(p->cmd,
              &(struct op_gather){.y = y, .x = m, .rows = pass_ints(p, ACT_OUT_ROWS, p->n_out)});
    return y;
}

struct oll_mat pass_rope_table(struct pass *p, int32_t i_rope)
{
    const struct rope_params *rope = &p->model->hp.ropes[i_rope];
    return pass_mat(p, ACT_ROPE_MAIN + (enum act)i_rope, p->n_tokens, rope->n_rot);
}

static void record_tables(struct pass *p)
{
    const struct model_hparams *hp = &p->model->hp;
    for (uint32_t i = 0; i < hp->n_rope; i++) {
        struct oll_ints freq = pass_ints(p, ACT_FREQ_MAIN + (enum act)i, hp->ropes[i].n_rot / 2);
        op_rope_table(p->cmd, &(struct op_rope_table){
                                  .table = pass_rope_table(p, (int32_t)i),
                                  .pos = pass_ints(p, ACT_POS, p->n_tokens),
                                  .freq = {freq.buf, freq.off, freq.n},
                                  .magnitude = p->rope_magnitude[i],
                              });
    }
    p->devices[p->i_device].has_tables = true;
}

/* ---- devices ---- */

static void note(struct pass *p, oll_status status)
{
    if (p->status == OLL_OK)
        p->status = status;
}

static void enter(struct pass *p, int i_device)
{
    p->i_device = i_device;
    p->cmd = &p->devices[i_device].cmd;
    if (!p->devices[i_device].has_tables)
        record_tables(p);
}

/* Goes on with the residual stream on another device. */
static void move_to(struct pass *p, int i_device)
{
    if (i_device == p->i_device)
        return;
    struct oll_mat from = p->x;
    note(p, pass_run(p));
    enter(p, i_device);
    p->x = pass_mat(p, ACT_X, from.rows, from.cols);
    if (!p->is_dry && p->status == OLL_OK)
        note(p, oll_device_copy(&p->x, &from, p->err));
}

void pass_layer(struct pass *p, const struct model_layer *layer) { move_to(p, layer->i_device); }
void pass_output(struct pass *p) { move_to(p, model_last_device(p->model)); }

oll_status pass_run(struct pass *p)
{
    if (p->is_dry)
        return OLL_OK;
    if (p->status == OLL_OK)
        note(p, oll_device_submit(p->cmd, p->err));
    if (p->status == OLL_OK)
        note(p, oll_device_wait(p->cmd->dev, p->err));
    const atomic_bool *abort = p->cmd->abort;
    oll_cmd_reset(p->cmd);
    p->cmd->abort = abort;
    return p->status;
}

/* ---- inputs ---- */

static void upload_ints(struct pass *p, enum act act, const int32_t *values, uint32_t n)
{
    struct oll_ints at = pass_ints(p, act, n);
    if (p->is_dry || p->status != OLL_OK || n == 0)
        return;
    note(p, oll_buffer_upload(at.buf, at.off * sizeof *values, values, n * sizeof *values, p->err));
}

static void upload_inputs(struct pass *p, int i_device)
{
    static const struct ubatch none;
    const struct ubatch *ub = p->ub ? p->ub : &none;
    p->i_device = i_device;
    if (i_device == model_first_device(p->model))
        upload_ints(p, ACT_TOKENS, ub->tokens, p->n_tokens);
    if (i_device == model_first_device(p->model) && model_has_segments(p->model))
        upload_ints(p, ACT_TYPES, ub->types, p->n_tokens);
    upload_ints(p, ACT_POS, ub->pos, p->n_tokens);
    upload_ints(p, ACT_SEQ, ub->seq, p->n_tokens);
    upload_ints(p, ACT_KV_LEN, ub->kv_len, p->n_seq);
    if (i_device != model_last_layer_device(p->model))
        return;
    upload_ints(p, ACT_OUT_ROWS, ub->rows, p->n_out);
    upload_ints(p, ACT_OUT_POS, ub->pos_out, p->n_out);
    upload_ints(p, ACT_OUT_SEQ, ub->seq_out, p->n_out);
}

static void record(struct pass *p)
{
    for (int i = 0; i < p->n_device; i++) {
        p->devices[i].has_tables = false;
        upload_inputs(p, i);
    }
    p->n_rows = p->n_tokens;
    enter(p, model_first_device(p->model));
    p->model->hp.arch->family->forward(p);
}

void pass_begin(struct pass *p, const struct ubatch *ub, const atomic_bool *abort,
                struct oll_error *err)
{
    p->ub = ub;
    p->err = err;
    p->status = OLL_OK;
    p->n_tokens = ub->n_tokens;
    p->n_out = ub->n_out;
    for (int i = 0; i < p->n_device; i++) {
        oll_cmd_reset(&p->devices[i].cmd);
        p->devices[i].cmd.abort = abort;
    }
    record(p);
}

/* ---- size and memory ---- */

/* What the ends of a pass take beside the forward function. */
static void claim_ends(struct pass *p)
{
    const struct model_hparams *hp = &p->model->hp;
    p->i_device = model_last_device(p->model);
    if (!model_is_encoder(p->model))
        pass_mat(p, ACT_LOGITS, p->n_logit_rows, hp->n_vocab);
    pass_mat(p, ACT_POOLED, 1, hp->n_embd);
    pass_ints(p, ACT_POOL_BEGIN, 2);
    for (int i = 0; i < 2; i++)
        if (p->model->dense[i].w)
            pass_mat(p, ACT_DENSE_2 + (enum act)i, 1, p->model->dense[i].w->n_out);
}

static oll_status place_activations(struct pass *p, struct plan *plan, struct oll_error *err)
{
    for (int i = 0; i < p->n_device; i++) {
        size_t n = 0;
        for (int a = 0; a < ACT_COUNT; a++) {
            size_t n_act = p->devices[i].acts[a].n;
            p->devices[i].acts[a].off = n;
            if (n_act > SIZE_MAX / 64 || n > SIZE_MAX / 64)
                return OLL_FAIL(err, OLL_ERR_LIMIT, "activations exceed any memory");
            n += oll_align_up(n_act, ACT_ALIGN);
        }
        plan_add(plan, "activations", i, n * sizeof(float));
    }
    return OLL_OK;
}

oll_status pass_init(struct pass *p, const struct oll_model *model, uint32_t n_ubatch,
                     uint32_t n_seq, uint32_t n_logit_rows, struct plan *plan,
                     struct oll_error *err)
{
    memset(p, 0, sizeof *p);
    p->model = model;
    p->n_device = model->placement.n_device;
    p->n_seq = n_seq;
    p->n_logit_rows = n_logit_rows;
    for (int i = 0; i < p->n_device; i++) {
        p->devices[i].dev = model->devices[i].dev;
        oll_cmd_init(&p->devices[i].cmd, p->devices[i].dev);
        /* A list that has failed records nothing. */
        p->devices[i].cmd.status = OLL_ERR_CANCELED;
    }
    p->is_dry = true;
    p->n_tokens = p->n_out = n_ubatch;
    record(p);
    claim_ends(p);
    p->is_dry = false;
    return place_activations(p, plan, err);
}

oll_status pass_allocate(struct pass *p, struct kv_cache *kv, uint32_t n_ctx, struct oll_error *err)
{
    const struct model_hparams *hp = &p->model->hp;
    oll_status status = OLL_OK;
    p->kv = kv;
    float *freq = oll_alloc(hp->head_dim_k, sizeof *freq);
    if (!freq)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for rope frequencies");
    for (int i = 0; i < p->n_device; i++) {
        struct pass_device *d = &p->devices[i];
        size_t n = d->acts[ACT_COUNT - 1].off + oll_align_up(d->acts[ACT_COUNT - 1].n, ACT_ALIGN);
        OLL_TRY_DONE(oll_buffer_new(d->dev, n * sizeof(float), &d->buf, err));
        for (uint32_t r = 0; r < hp->n_rope; r++) {
            p->rope_magnitude[r] = rope_frequencies(&hp->ropes[r], n_ctx, freq);
            OLL_TRY_DONE(oll_buffer_upload(d->buf, d->acts[ACT_FREQ_MAIN + r].off * sizeof *freq,
                                           freq, hp->ropes[r].n_rot / 2 * sizeof *freq, err));
        }
    }
done:
    oll_free(freq);
    return status;
}

void pass_free(struct pass *p)
{
    for (int i = 0; i < p->n_device; i++) {
        oll_cmd_free(&p->devices[i].cmd);
        oll_buffer_free(p->devices[i].buf);
        p->devices[i].buf = NULL;
    }
}
