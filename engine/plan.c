#include "engine/plan.h"

#include "engine/base/mem.h"
#include "engine/engine_internal.h"
#include "engine/model.h"

#include <stdio.h>
#include <string.h>

/* What one request takes beside its slot's sampler: its copy, texts, tokens, events on their way.
 * They vary with what is asked, hence a spare part of everything on top. */
enum {
    REQUEST_BYTES = 24 * 1024,
    EMBED_BYTES = 20 * 1024,
    REQUEST_TOKEN_BYTES = 16,
    SPARE_PART = 512,
    TEXT_FACTOR = 5 /* tokeniser and template against their bytes in the file */
};

static void sum_weights(const struct oll_model *m, struct oll_plan *plan)
{
    for (uint32_t i = 0; i < m->n_weight; i++) {
        const struct oll_weight *w = m->weights[i];
        uint64_t mapped = w->borrows_source ? (uint64_t)oll_dtype_row_bytes(w->dtype, w->n_in) *
                                                  w->n_out * w->n_expert
                                            : 0;
        for (int d = 0; d < plan->n_device; d++)
            if (m->devices[d].dev == w->dev)
                plan->devices[d].weights_bytes += w->device_bytes + mapped;
        plan->mapped_bytes += mapped;
    }
    for (int d = 0; d < plan->n_device; d++)
        plan->devices[d].weights_bytes += m->devices[d].n_vector * sizeof(float);
}

static void fill(const struct oll_engine *e, const struct oll_engine_params *params,
                 struct oll_plan *plan)
{
    const struct oll_model *m = e->model;
    const struct oll_context *ctx = e->env.ctx ? e->env.ctx : e->embed_ctx;
    const struct plan *list = oll_context_plan(ctx);
    plan->n_ctx = oll_context_n_ctx(ctx);
    plan->n_ubatch = oll_context_n_ubatch(ctx);
    plan->n_slots = params->n_slots ? params->n_slots : 1;
    plan->n_layer = m->hp.n_layer;
    plan->kv_dtype = e->context_params.kv_dtype;
    plan->n_device = m->placement.n_device;
    for (int d = 0; d < plan->n_device; d++) {
        snprintf(plan->devices[d].name, sizeof plan->devices[d].name, "%s", m->placement.names[d]);
        for (uint32_t il = 0; il < m->hp.n_layer; il++)
            plan->devices[d].n_layer += m->placement.layer_device[il] == d;
    }
    sum_weights(m, plan);
    for (int i = 0; i < list->n; i++) {
        struct oll_plan_device *d = &plan->devices[list->entries[i].i_device];
        if (strcmp(list->entries[i].what, "activations") == 0)
            d->activation_bytes += list->entries[i].n_bytes;
        else
            d->kv_bytes += list->entries[i].n_bytes;
    }
}

/* ---- layer by layer ---- */

/* Block that a tensor belongs to, n_layer for the output layer, -1 for the embedding. */
static int64_t layer_of(const struct oll_gguf_tensor *t, uint32_t n_layer)
{
    char name[64];
    unsigned il;
    snprintf(name, sizeof name, "%.*s", (int)(t->name.len < 63 ? t->name.len : 63), t->name.data);
    if (sscanf(name, "blk.%u.", &il) == 1)
        return il < n_layer ? (int64_t)il : n_layer;
    static const char *const inputs[] = {"token_embd", "position_embd", "token_types"};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (strncmp(name, inputs[i], strlen(inputs[i])) == 0)
            return -1;
    return n_layer;
}

/* Cache of a layer in proportion: what it holds per position times the positions it keeps. */
static double cache_share(const struct oll_engine *e, const struct oll_plan *plan, uint32_t il)
{
    const struct layer_hparams *hp = &e->model->hp.layers[il];
    double n = plan->n_ctx;
    if (hp->window && (double)hp->window + plan->n_ubatch < n)
        n = (double)hp->window + plan->n_ubatch;
    return n * hp->n_head_kv * ((double)hp->head_dim_k + hp->head_dim_v);
}

static oll_status fill_layers_of(const struct oll_engine *e, struct oll_plan *plan,
                                 struct oll_error *err)
{
    const struct oll_model *m = e->model;
    const uint32_t n = plan->n_layer;
    uint64_t file_bytes = 0, embd_bytes = 0;
    double shares = 0;
    bool has_output = false;
    plan->layer_bytes = oll_calloc(n + 1, sizeof *plan->layer_bytes);
    plan->layer_kv_bytes = oll_calloc(n, sizeof *plan->layer_kv_bytes);
    if (!plan->layer_bytes || !plan->layer_kv_bytes)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a plan of %u layers", n);
    for (uint64_t i = 0; i < oll_gguf_n_tensors(m->gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(m->gguf, i);
        const int64_t il = layer_of(t, n);
        *(il < 0 ? &plan->input_bytes : &plan->layer_bytes[il]) += t->n_bytes;
        file_bytes += t->n_bytes;
        embd_bytes += il < 0 ? t->n_bytes : 0;
        has_output |= t->name.len == 13 && memcmp(t->name.data, "output.weight", 13) == 0;
    }
    /* Devices lay weights out in their own way: the same share of what they take in all. */
    const double scale = (double)oll_plan_weights(plan) / (double)(file_bytes ? file_bytes : 1);
    for (uint32_t il = 0; il <= n; il++)
        plan->layer_bytes[il] = (uint64_t)((double)plan->layer_bytes[il] * scale);
    plan->input_bytes = (uint64_t)((double)plan->input_bytes * scale);
    if (!has_output) /* the embedding is the head, too, wherever that lives */
        plan->layer_bytes[n] += (uint64_t)((double)embd_bytes * scale);
    for (uint32_t il = 0; il < n; il++)
        shares += cache_share(e, plan, il);
    for (uint32_t il = 0; il < n && shares > 0; il++)
        plan->layer_kv_bytes[il] =
            (uint64_t)((double)oll_plan_kv(plan) * cache_share(e, plan, il) / shares);
    return OLL_OK;
}

/* ---- the largest passes ---- */

/* Arrays of a batch: tokens 0 of any sequences. */
struct rehearsal {
    int32_t *tokens, *seq;
    uint8_t *want;
};

/* Fills whole sequences one after the other, in passes as large as they can be, until one pass has
 * been as large as any; then lets all sequences decode together. Of a long sequence only the first
 * pass and the last ones count: those between need no more than the last. */
static oll_status rehearse_decoder(struct oll_context *ctx, uint32_t n_seq,
                                   const struct rehearsal *r, struct oll_error *err)
{
    const uint32_t n_ctx = oll_context_n_ctx(ctx), n_ubatch = oll_context_n_ubatch(ctx);
    const uint32_t n_full = n_ubatch / n_ctx + 1 < n_seq ? n_ubatch / n_ctx + 1 : n_seq;
    const uint64_t n_all = (uint64_t)n_full * n_ctx;
    float *logits;
    struct oll_batch batch = {.tokens = r->tokens, .seq = r->seq, .want = r->want};
    for (uint64_t at = 0; at < n_all;) {
        batch.n = n_all - at < n_ubatch ? (uint32_t)(n_all - at) : n_ubatch;
        for (uint32_t i = 0; i < batch.n; i++)
            r->seq[i] = (int32_t)((at + i) / n_ctx);
        OLL_TRY(oll_context_eval(ctx, &batch, NULL, &logits, err));
        at += batch.n;
        if (n_full == 1 && n_all - at > 2 * (uint64_t)n_ubatch) {
            const uint64_t n_skip = n_all - at - 2 * (uint64_t)n_ubatch;
            oll_context_seq_skip(ctx, 0, (uint32_t)n_skip);
            at += n_skip;
        }
    }
    for (uint32_t s = 0; s < n_seq; s++) {
        (void)oll_context_seq_truncate(ctx, s, n_ctx - 1);
        r->seq[s] = (int32_t)s;
    }
    memset(r->want, 1, n_seq);
    batch.n = n_seq;
    return oll_context_eval(ctx, &batch, NULL, &logits, err);
}

static oll_status rehearse(struct oll_engine *e, struct oll_error *err)
{
    struct oll_context *ctx = e->env.ctx ? e->env.ctx : e->embed_ctx;
    uint32_t n = e->env.ctx ? oll_context_n_ubatch(ctx) : oll_context_n_ctx(ctx);
    oll_status status;
    n = n < e->n_slots ? e->n_slots : n;
    struct rehearsal r = {.tokens = oll_calloc(n, sizeof *r.tokens),
                          .seq = oll_calloc(n, sizeof *r.seq),
                          .want = oll_calloc(n, sizeof *r.want)};
    float *vector = oll_calloc(e->info.n_embd_out, sizeof *vector);
    if (!r.tokens || !r.seq || !r.want || !vector)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a plan");
    else if (e->env.ctx)
        status = rehearse_decoder(ctx, e->n_slots, &r, err);
    else
        status = oll_context_embed(ctx, 0, r.tokens, n, false, NULL, vector, err);
    oll_free(r.tokens);
    oll_free(r.seq);
    oll_free(r.want);
    oll_free(vector);
    return status;
}

/* What the requests of all slots take: a sampler each, and the rest by rule. */
static oll_status plan_requests(const struct oll_engine *e, const struct oll_mem_meter *meter,
                                struct oll_plan *plan, struct oll_error *err)
{
    const struct oll_options usual = oll_options_default();
    struct oll_sampler *sampler = NULL;
    uint64_t each = EMBED_BYTES + (uint64_t)plan->n_ctx * REQUEST_TOKEN_BYTES;
    if (e->env.ctx) {
        each += REQUEST_BYTES - EMBED_BYTES;
        const int64_t before = meter->live_bytes;
        OLL_TRY(oll_sampler_new(
            &(struct oll_sampler_params){.repeat_last_n = (uint32_t)usual.repeat_last_n,
                                         .repeat_penalty = 1},
            e->env.n_vocab, &sampler, err));
        each += (uint64_t)(meter->live_bytes - before);
        oll_sampler_free(sampler);
    }
    plan->host_bytes += each * plan->n_slots;
    plan->host_bytes += oll_plan_total(plan) / SPARE_PART;
    return OLL_OK;
}

/* The file without its tensors: nearly all of it is vocabulary. */
static uint64_t header_bytes(const struct oll_model *m)
{
    uint64_t n = oll_gguf_file_bytes(m->gguf);
    for (uint64_t i = 0; i < oll_gguf_n_tensors(m->gguf); i++)
        n -= oll_gguf_tensor_at(m->gguf, i)->n_bytes;
    return n;
}

static oll_status make(struct oll_engine *e, const struct oll_engine_params *params,
                       const struct oll_mem_meter *meter, struct oll_plan *plan,
                       struct oll_error *err)
{
    fill(e, params, plan);
    OLL_TRY(fill_layers_of(e, plan, err));
    const uint64_t loaded = (uint64_t)meter->live_bytes;
    OLL_TRY(rehearse(e, err));
    plan->scratch_bytes =
        (uint64_t)meter->peak_bytes > loaded ? (uint64_t)meter->peak_bytes - loaded : 0;
    uint64_t known = oll_plan_weights(plan) - plan->mapped_bytes + oll_plan_kv(plan) +
                     oll_plan_activations(plan);
    plan->host_bytes = loaded > known ? loaded - known : 0;
    if (!e->env.tok)
        plan->host_bytes += TEXT_FACTOR * header_bytes(e->model);
    return plan_requests(e, meter, plan, err);
}

oll_status oll_plan_make(const struct oll_engine_params *params, enum oll_plan_care care,
                         struct oll_plan *out, struct oll_error *err)
{
    struct oll_mem_meter meter = {0};
    struct oll_engine *e = NULL;
    struct oll_plan plan = {0};
    oll_mem_meter_set(&meter);
    oll_status status = engine_open_dry(params, care == OLL_PLAN_EXACT, &e, err);
    if (status == OLL_OK)
        status = make(e, params, &meter, &plan, err);
    oll_engine_close(e);
    oll_mem_meter_set(NULL);
    if (status == OLL_OK)
        *out = plan;
    else
        oll_plan_free(&plan);
    return status;
}
