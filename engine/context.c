/* Contexts: sequences of a model and the memory that evaluates them (eval.h). */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/batch.h"
#include "engine/blocks.h"
#include "engine/kv_keep.h"
#include "engine/model.h"
#include "engine/model_key.h"
#include "engine/pass.h"

#include <math.h>
#include <string.h>

enum {
    DEFAULT_CTX = 4096,
    DEFAULT_UBATCH = 512,
    UBATCH_MAX = 1 << 16,
    SEQ_MAX = 1024,
    LOGIT_ROWS = 16 /* rows the head computes at a time when there are fewer sequences */
};

struct oll_context {
    struct oll_model *model;
    struct kv_params kv_params;
    struct kv_cache *kv;
    struct ubatch ub;
    struct pass pass;
    struct plan plan;
    uint32_t *before; /* [n_seq] lengths when a call began */
    float *logits;    /* what the last call returned */
    size_t cap_logits;
    float *pooled; /* [n_embd] */
};

/* ---- creation ---- */

static oll_status choose_size(const struct oll_model *m, const struct oll_context_params *params,
                              struct kv_params *out, struct oll_error *err)
{
    uint32_t n_ctx = params->n_ctx, trained = m->hp.n_ctx_train;
    if (n_ctx == 0) {
        n_ctx = trained < DEFAULT_CTX ? trained : DEFAULT_CTX;
        if (m->n_position != 0 && n_ctx > m->n_position)
            n_ctx = m->n_position;
    }
    if (n_ctx > INT32_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "a context of %u tokens; at most %d are possible", n_ctx,
                        INT32_MAX);
    if (m->n_position != 0 && n_ctx > m->n_position)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "a context of %u tokens; the model has learned positions for %u", n_ctx,
                        m->n_position);
    if (n_ctx > trained)
        oll_log_warn("engine", "a context of %u tokens, the model was trained with %u", n_ctx,
                     trained);
    if (params->n_seq == 0 || params->n_seq > SEQ_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%u sequences; 1 to %d are possible", params->n_seq,
                        SEQ_MAX);
    if (!kv_cache_can_be(params->kv_dtype))
        return OLL_FAIL(err, OLL_ERR_ARG, "a kv cache of %s; F16, F32, Q8_0 and Q4_0 are possible",
                        oll_dtype_name((uint32_t)params->kv_dtype));
    uint64_t n_all = (uint64_t)n_ctx * params->n_seq;
    uint32_t n_ubatch = params->n_ubatch ? params->n_ubatch : DEFAULT_UBATCH;
    if (n_ubatch > UBATCH_MAX)
        n_ubatch = UBATCH_MAX;
    if (n_ubatch > n_all)
        n_ubatch = (uint32_t)n_all;
    if (model_is_encoder(m))
        n_ubatch = n_ctx;
    if (n_ubatch > UBATCH_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "an encoder of %u tokens; at most %d are possible",
                        n_ctx, UBATCH_MAX);
    *out = (struct kv_params){
        .n_ctx = n_ctx, .n_seq = params->n_seq, .n_ubatch = n_ubatch, .dtype = params->kv_dtype};
    return OLL_OK;
}

static oll_status make_context(struct oll_context *ctx, struct oll_error *err)
{
    const struct oll_model *m = ctx->model;
    const struct kv_params *size = &ctx->kv_params;
    uint32_t n_rows = size->n_seq > LOGIT_ROWS ? size->n_seq : LOGIT_ROWS;
    if (n_rows > size->n_ubatch)
        n_rows = size->n_ubatch;
    OLL_TRY(kv_cache_plan(m, size, &ctx->plan, err));
    OLL_TRY(pass_init(&ctx->pass, m, size->n_ubatch, size->n_seq, n_rows, &ctx->plan, err));
    if (!m->is_dry)
        OLL_TRY(
            plan_check(&ctx->plan, "take a smaller context, batch or number of sequences", err));
    OLL_TRY(ubatch_init(&ctx->ub, size->n_ubatch, size->n_seq, err));
    OLL_TRY(kv_cache_new(m, size, &ctx->kv, err));
    OLL_TRY(pass_allocate(&ctx->pass, ctx->kv, size->n_ctx, err));
    ctx->before = oll_calloc(size->n_seq, sizeof *ctx->before);
    ctx->pooled = oll_calloc(m->hp.n_embd, sizeof *ctx->pooled);
    if (!ctx->before || !ctx->pooled)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a context");
    return OLL_OK;
}

oll_status oll_context_new(struct oll_model *model, const struct oll_context_params *params,
                           struct oll_context **out, struct oll_error *err)
{
    struct kv_params size;
    OLL_TRY(choose_size(model, params, &size, err));
    struct oll_context *ctx = oll_calloc(1, sizeof *ctx);
    if (!ctx)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a context");
    ctx->model = model;
    ctx->kv_params = size;
    oll_status status = make_context(ctx, err);
    if (status != OLL_OK) {
        oll_context_free(ctx);
        return status;
    }
    oll_log(model->is_dry ? OLL_LOG_DEBUG : OLL_LOG_INFO, "engine",
            "context: %u sequences of %u tokens, kv cache %.1f MiB, activations "
            "%.1f MiB",
            size.n_seq, size.n_ctx, (double)oll_context_kv_bytes(ctx) / 1048576.0,
            (double)oll_context_activation_bytes(ctx) / 1048576.0);
    *out = ctx;
    return OLL_OK;
}

void oll_context_free(struct oll_context *ctx)
{
    if (!ctx)
        return;
    pass_free(&ctx->pass);
    kv_cache_free(ctx->kv);
    ubatch_free(&ctx->ub);
    oll_free(ctx->before);
    oll_free(ctx->logits);
    oll_free(ctx->pooled);
    oll_free(ctx);
}

uint64_t oll_context_kv_bytes(const struct oll_context *ctx)
{
    return plan_sum(&ctx->plan, "kv cache");
}

uint64_t oll_context_activation_bytes(const struct oll_context *ctx)
{
    return plan_sum(&ctx->plan, "activations");
}

const struct plan *oll_context_plan(const struct oll_context *ctx) { return &ctx->plan; }
uint32_t oll_context_n_ctx(const struct oll_context *ctx) { return ctx->kv_params.n_ctx; }
uint32_t oll_context_n_ubatch(const struct oll_context *ctx) { return ctx->kv_params.n_ubatch; }

/* ---- evaluation ---- */

/* Logits of the rows of the pass at hand, LOGIT_ROWS or so at a time: all rows of a long prompt at
 * once would take more memory than the model. */
static oll_status run_head(struct oll_context *ctx, float *out)
{
    struct pass *p = &ctx->pass;
    const struct oll_model *m = ctx->model;
    const struct model_hparams *hp = &m->hp;
    float scale = hp->logit_scale != 0 ? hp->logit_scale : 1;
    if (m->output.scale != 0)
        scale *= m->output.scale;
    for (uint32_t r = 0; r < p->n_out; r += p->n_logit_rows) {
        struct oll_mat x = p->x;
        x.off += (size_t)r * x.stride;
        x.rows = p->n_out - r < p->n_logit_rows ? p->n_out - r : p->n_logit_rows;
        struct oll_mat y = pass_mat(p, ACT_LOGITS, x.rows, hp->n_vocab);
        op_matmul(p->cmd, &(struct op_matmul){
                              .y = y, .x = x, .w = m->output.w, .b = m->output.b, .scale = scale});
        if (hp->final_softcap != 0)
            op_scale(p->cmd,
                     &(struct op_scale){.y = y, .x = y, .scale = 1, .softcap = hp->final_softcap});
        OLL_TRY(pass_run(p));
        OLL_TRY(oll_buffer_download(y.buf, y.off * sizeof *out, out + (size_t)r * hp->n_vocab,
                                    (size_t)x.rows * hp->n_vocab * sizeof *out, p->err));
    }
    return OLL_OK;
}

/* Runs one ubatch; its tokens then belong to their sequences. */
static oll_status run_ubatch(struct oll_context *ctx, const atomic_bool *abort, float *logits,
                             struct oll_error *err)
{
    for (uint32_t s = 0; s < ctx->kv->n_seq; s++)
        if (ctx->ub.n_new[s])
            OLL_TRY(kv_cache_store(ctx->kv, s, ctx->ub.n_new[s], err));
    pass_begin(&ctx->pass, &ctx->ub, abort, err);
    OLL_TRY(logits && ctx->ub.n_out ? run_head(ctx, logits) : pass_run(&ctx->pass));
    for (uint32_t s = 0; s < ctx->kv->n_seq; s++)
        if (ctx->ub.n_new[s])
            kv_cache_commit(ctx->kv, s, ctx->ub.n_new[s]);
    return OLL_OK;
}

oll_status oll_context_reserve_logits(struct oll_context *ctx, uint32_t n_rows,
                                      struct oll_error *err)
{
    size_t n;
    if (!oll_mul_size(n_rows, ctx->model->hp.n_vocab, &n) || n > SIZE_MAX / sizeof(float))
        return OLL_FAIL(err, OLL_ERR_LIMIT, "logits of %u rows exceed any memory", n_rows);
    if (n <= ctx->cap_logits)
        return OLL_OK;
    float *grown = oll_realloc(ctx->logits, n, sizeof *grown);
    if (!grown)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the logits of %u tokens", n_rows);
    ctx->logits = grown;
    ctx->cap_logits = n;
    return OLL_OK;
}

/* The sequences as they were before the call; one whose window has moved on is empty. */
static void restore(struct oll_context *ctx)
{
    for (uint32_t s = 0; s < ctx->kv->n_seq; s++)
        (void)kv_cache_truncate(ctx->kv, s, ctx->before[s]);
}

static void remember(struct oll_context *ctx)
{
    for (uint32_t s = 0; s < ctx->kv->n_seq; s++)
        ctx->before[s] = ctx->kv->seqs[s].n;
}

oll_status oll_context_eval(struct oll_context *ctx, const struct oll_batch *batch,
                            const atomic_bool *abort, float **logits, struct oll_error *err)
{
    uint32_t n_vocab = ctx->model->hp.n_vocab, n_wanted = 0, n_done = 0;
    oll_status status = OLL_OK;
    if (model_is_encoder(ctx->model))
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "architecture %s is an encoder: it has no logits",
                        ctx->model->hp.prefix);
    OLL_TRY(batch_check(batch, ctx->kv, n_vocab, &n_wanted, err));
    OLL_TRY(oll_context_reserve_logits(ctx, n_wanted, err));
    remember(ctx);
    for (uint32_t i = 0; i < batch->n;) {
        i += batch_take(batch, i, ctx->kv, &ctx->ub);
        float *rows = ctx->logits ? ctx->logits + (size_t)n_done * n_vocab : NULL;
        status = run_ubatch(ctx, abort, rows, err);
        if (status != OLL_OK) {
            restore(ctx);
            return status;
        }
        n_done += ctx->ub.n_out;
    }
    *logits = n_wanted ? ctx->logits : NULL;
    return OLL_OK;
}

/* ---- sequences ---- */

uint32_t oll_context_seq_len(const struct oll_context *ctx, uint32_t seq)
{
    return seq < ctx->kv->n_seq ? ctx->kv->seqs[seq].n : 0;
}

bool oll_context_seq_truncate(struct oll_context *ctx, uint32_t seq, uint32_t n)
{
    return seq < ctx->kv->n_seq && kv_cache_truncate(ctx->kv, seq, n);
}

void oll_context_seq_skip(struct oll_context *ctx, uint32_t seq, uint32_t n)
{
    OLL_ASSERT(ctx->model->is_dry && seq < ctx->kv->n_seq);
    if (kv_cache_store(ctx->kv, seq, n, NULL) == OLL_OK)
        kv_cache_commit(ctx->kv, seq, n);
}

void oll_context_seq_clear(struct oll_context *ctx, uint32_t seq)
{
    if (seq < ctx->kv->n_seq)
        kv_cache_truncate(ctx->kv, seq, 0);
}

static struct kv_space space_of(const struct oll_space *space)
{
    return (struct kv_space){{space->words[0], space->words[1]}};
}

uint32_t oll_context_match(const struct oll_context *ctx, const struct oll_space *space,
                           const int32_t *tokens, uint32_t n)
{
    return kv_cache_match(ctx->kv, space_of(space), tokens, n);
}

uint32_t oll_context_seq_adopt(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                               const int32_t *tokens, uint32_t n)
{
    return seq < ctx->kv->n_seq ? kv_cache_adopt(ctx->kv, seq, space_of(space), tokens, n) : 0;
}

void oll_context_seq_publish(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                             const int32_t *tokens, uint32_t n)
{
    if (seq < ctx->kv->n_seq)
        kv_cache_publish(ctx->kv, seq, space_of(space), tokens, n);
}

/* ---- pages that outlive the process ---- */

oll_status oll_context_keep(struct oll_context *ctx, const struct oll_keep_params *params,
                            struct oll_error *err)
{
    struct kv_keep_params keep = {.spill = {.folder = params->folder,
                                            .max_bytes = params->max_bytes,
                                            .wake = params->wake,
                                            .arg = params->arg}};
    if (!ctx->kv->tree || ctx->model->is_dry)
        return OLL_OK;
    OLL_TRY(model_key(ctx->model, ctx->kv->dtype, ctx->kv->n_ctx, keep.base.bytes, err));
    return kv_keep_open(ctx->kv, &keep, err);
}

bool oll_context_keep_step(struct oll_context *ctx) { return kv_keep_step(ctx->kv); }

bool oll_context_seq_fetch(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                           const int32_t *tokens, uint32_t n, uint32_t held)
{
    return seq < ctx->kv->n_seq && kv_keep_fetch(ctx->kv, seq, space_of(space), tokens, n, held);
}

bool oll_context_seq_fetching(struct oll_context *ctx, uint32_t seq, uint64_t deadline_ns)
{
    return seq < ctx->kv->n_seq && kv_keep_poll(ctx->kv, seq, deadline_ns);
}

/* ---- embeddings ---- */

/* What a model pools when its file does not say: the last state of a decoder, which has seen all.
 */
static enum oll_pooling pooling_of(const struct oll_model *m)
{
    if (m->hp.pooling != OLL_POOLING_NONE)
        return m->hp.pooling;
    return model_is_encoder(m) ? OLL_POOLING_MEAN : OLL_POOLING_LAST;
}

/* One input on its way to its vector. */
struct embedding {
    const struct oll_batch *batch;
    enum oll_pooling pooling;
    const atomic_bool *abort;
    float *row; /* [n_embd] scratch */
};

/* The pooled row of the ubatch at hand, added to ctx->pooled with its share of all tokens. */
static oll_status pool_ubatch(struct oll_context *ctx, const struct embedding *em,
                              struct oll_error *err)
{
    const enum oll_pooling pooling = em->pooling;
    float *row = em->row;
    struct pass *p = &ctx->pass;
    uint32_t n_embd = ctx->model->hp.n_embd, n_rows = ctx->ub.n_out;
    pass_begin(p, &ctx->ub, em->abort, err);
    struct oll_mat y = p->x;
    if (pooling == OLL_POOLING_MEAN) {
        struct oll_ints begin = pass_ints(p, ACT_POOL_BEGIN, 2);
        int32_t ends[] = {0, (int32_t)n_rows};
        OLL_TRY(oll_buffer_upload(begin.buf, begin.off * sizeof *ends, ends, sizeof ends, err));
        y = pass_mat(p, ACT_POOLED, 1, n_embd);
        op_pool(p->cmd, &(struct op_pool){.kind = pooling, .y = y, .x = p->x, .begin = begin});
    }
    OLL_TRY(pass_run(p));
    if (n_rows == 0)
        return OLL_OK;
    OLL_TRY(oll_buffer_download(y.buf, y.off * sizeof *row, row, n_embd * sizeof *row, err));
    float share = pooling == OLL_POOLING_MEAN ? (float)((double)n_rows / em->batch->n) : 1;
    for (uint32_t i = 0; i < n_embd; i++)
        ctx->pooled[i] += share * row[i];
    return OLL_OK;
}

/* Between the two matrices of a ranking head: tanh as BERT has it, or what modern-bert has. */
static void rank_middle(struct pass *p, struct oll_mat y)
{
    const struct norm *norm = &p->model->rank_norm;
    op_unary(p->cmd, &(struct op_unary){
                         .act = norm->present ? OLL_ACT_GELU : OLL_ACT_TANH, .y = y, .x = y});
    block_norm_in_place(p, y, norm);
}

/* out = dense layers of ctx->pooled, or the vector itself. */
static oll_status run_dense(struct oll_context *ctx, float *out, struct oll_error *err)
{
    struct pass *p = &ctx->pass;
    const struct oll_model *m = ctx->model;
    struct oll_mat x = pass_mat(p, ACT_POOLED, 1, m->hp.n_embd);
    OLL_TRY(oll_buffer_upload(x.buf, x.off * sizeof *out, ctx->pooled, m->hp.n_embd * sizeof *out,
                              err));
    for (int i = 0; i < 2; i++) {
        const struct linear *lin = &m->dense[i];
        if (!lin->w)
            continue;
        struct oll_mat y = pass_mat(p, ACT_DENSE_2 + (enum act)i, 1, lin->w->n_out);
        op_matmul(p->cmd, &(struct op_matmul){
                              .y = y, .x = x, .w = lin->w, .b = lin->b, .scale = lin->scale});
        if (m->hp.ranks && i == 0)
            rank_middle(p, y);
        x = y;
    }
    OLL_TRY(pass_run(p));
    return oll_buffer_download(x.buf, x.off * sizeof *out, out, x.cols * sizeof *out, err);
}

/* Unit length, as v / max(|v|, 1e-12). */
static void normalise(float *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    double length = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
    for (uint32_t i = 0; i < n; i++)
        v[i] = (float)((double)v[i] / length);
}

static oll_status embed(struct oll_context *ctx, const struct embedding *em, float *out,
                        struct oll_error *err)
{
    const uint32_t seq = em->batch->one_seq;
    memset(ctx->pooled, 0, ctx->model->hp.n_embd * sizeof *ctx->pooled);
    for (uint32_t i = 0; i < em->batch->n;) {
        i += batch_take(em->batch, i, ctx->kv, &ctx->ub);
        OLL_TRY(kv_cache_store(ctx->kv, seq, ctx->ub.n_tokens, err));
        OLL_TRY(pool_ubatch(ctx, em, err));
        kv_cache_commit(ctx->kv, seq, ctx->ub.n_tokens);
    }
    return run_dense(ctx, out, err);
}

/* The vector of an input as the head leaves it; `n_first` as in struct oll_batch. */
static oll_status embed_input(struct oll_context *ctx, uint32_t seq, const int32_t *tokens,
                              uint32_t n, uint32_t n_first, const atomic_bool *abort, float *out,
                              struct oll_error *err)
{
    const struct model_hparams *hp = &ctx->model->hp;
    enum oll_pooling pooling = pooling_of(ctx->model);
    oll_status status = OLL_OK;
    uint32_t n_wanted;
    oll_context_seq_clear(ctx, seq);
    if (n == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "an embedding needs at least one token");
    if (n > ctx->kv_params.n_ctx)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the input of %u tokens exceeds the context of %u", n,
                        ctx->kv_params.n_ctx);
    uint8_t *want = oll_calloc(n, 1);
    float *row = oll_alloc(hp->n_embd, sizeof *row);
    if (!want || !row) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for an embedding");
        goto done;
    }
    if (pooling == OLL_POOLING_MEAN)
        memset(want, 1, n);
    else
        want[pooling == OLL_POOLING_FIRST ? 0 : n - 1] = 1;
    struct oll_batch batch = {
        .n = n, .tokens = tokens, .want = want, .one_seq = seq, .n_first = n_first};
    OLL_TRY_DONE(batch_check(&batch, ctx->kv, hp->n_vocab, &n_wanted, err));
    const struct embedding em = {.batch = &batch, .pooling = pooling, .abort = abort, .row = row};
    OLL_TRY_DONE(embed(ctx, &em, out, err));
done:
    oll_context_seq_clear(ctx, seq);
    oll_free(want);
    oll_free(row);
    return status;
}

oll_status oll_context_embed(struct oll_context *ctx, uint32_t seq, const int32_t *tokens,
                             uint32_t n, bool raw, const atomic_bool *abort, float *out,
                             struct oll_error *err)
{
    OLL_TRY(embed_input(ctx, seq, tokens, n, 0, abort, out, err));
    if (!raw && !ctx->model->hp.ranks)
        normalise(out, ctx->model->hp.n_embd_out);
    return OLL_OK;
}

oll_status oll_context_embed_pair(struct oll_context *ctx, uint32_t seq, const int32_t *tokens,
                                  uint32_t n, uint32_t n_first, const atomic_bool *abort,
                                  float *out, struct oll_error *err)
{
    return embed_input(ctx, seq, tokens, n, n_first, abort, out, err);
}
