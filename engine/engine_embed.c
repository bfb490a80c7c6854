/* Embeddings and scores of documents: one input after another.
 *
 * A model that generates embeds in a sequence of its one context, which an idle slot lends for the
 * length of the request: the memory is that of the plan, and a request waits for a slot as any
 * other. What that slot had computed in whole pages stays known to prompts; of embeddings nothing
 * becomes known. */
#include "engine/engine_internal.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

/* ---- the sequence ---- */

static struct oll_context *context_of(const struct oll_engine *e)
{
    return e->embed_slot ? e->env.ctx : e->embed_ctx;
}

static uint32_t seq_of(const struct oll_engine *e)
{
    return e->embed_slot ? e->embed_slot->seq : 0;
}

/* The idle slot with the least to lose: an empty one, else the one idle for the longest time. */
static struct slot *slot_to_lend(struct oll_engine *e)
{
    struct slot *best = NULL;
    bool best_empty = false;
    for (uint32_t i = 0; i < e->n_slots; i++) {
        struct slot *s = &e->slots[i];
        const bool empty = oll_context_seq_len(e->env.ctx, s->seq) == 0;
        if (s->request || s->lent)
            continue;
        if (!best || empty > best_empty ||
            (empty == best_empty && s->idle_since < best->idle_since)) {
            best = s;
            best_empty = empty;
        }
    }
    return best;
}

void engine_embed_begin(struct oll_engine *e, struct request *r)
{
    e->embedding = r;
    e->i_input = 0;
    e->embed_done = (struct oll_event){.kind = OLL_EVENT_DONE};
    e->embed_slot = slot_to_lend(e);
    if (e->embed_slot)
        e->embed_slot->lent = true;
}

void engine_embed_end(struct oll_engine *e)
{
    if (e->embed_slot)
        e->embed_slot->lent = false;
    e->embed_slot = NULL;
    e->embedding = NULL;
}

/* ---- inputs ---- */

/* The ids of an input on their way to a vector or a score. */
struct input {
    struct oll_tokens tokens;
    uint32_t n_first; /* of a pair: where the second text begins */
};

static uint32_t window_of(const struct oll_engine *e, const struct oll_request *ask)
{
    uint32_t n_ctx = oll_context_n_ctx(context_of(e));
    return ask->n_input_max > 0 && ask->n_input_max < n_ctx ? ask->n_input_max : n_ctx;
}

/* Ids of input i, cut to the window as rest-api 4.1 asks: the end token stays. */
static oll_status input_tokens(struct oll_engine *e, const struct oll_request *ask, uint32_t i,
                               struct oll_tokens *out, struct oll_error *err)
{
    if (ask->n_tokens) {
        for (uint32_t t = 0; t < ask->n_tokens; t++)
            OLL_TRY(oll_tokens_add(out, ask->tokens[t]));
    } else {
        oll_status status =
            oll_tokenizer_encode(e->env.tok, ask->inputs[i], strlen(ask->inputs[i]),
                                 OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL, out);
        if (status != OLL_OK)
            return OLL_FAIL(err, status, "cannot tokenise input %u", i);
    }
    uint32_t n_ctx = window_of(e, ask);
    const uint32_t n_special =
        (uint32_t)oll_tokenizer_adds_bos(e->env.tok) + (uint32_t)oll_tokenizer_adds_eos(e->env.tok);
    if (n_ctx <= n_special && !ask->n_tokens)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "input after truncation exceeds maximum context length");
    if (out->n <= n_ctx)
        return OLL_OK;
    if (ask->no_truncate)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the input length exceeds the context length");
    int32_t last = out->ids[out->n - 1];
    out->n = n_ctx;
    if (oll_tokenizer_is_special(e->env.tok, last))
        out->ids[n_ctx - 1] = last;
    return OLL_OK;
}

static void normalise(float *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    double scale = 1 / fmax(sqrt(sum), 1e-12);
    for (uint32_t i = 0; i < n; i++)
        v[i] = (float)((double)v[i] * scale);
}

static oll_status rank_input(struct oll_engine *e, const struct input *input, float *out,
                             struct oll_error *err)
{
    const uint32_t n = (uint32_t)input->tokens.n;
    struct oll_context *ctx = context_of(e);
    const struct oll_batch batch = {.n = n, .tokens = input->tokens.ids, .one_seq = seq_of(e)};
    float *values = out;
    oll_status status;
    if (e->ranker.has_head) {
        status = oll_context_embed_pair(ctx, seq_of(e), input->tokens.ids, n, input->n_first,
                                        &e->abort, out, err);
    } else {
        oll_context_seq_clear(ctx, batch.one_seq);
        status = oll_context_eval(ctx, &batch, &e->abort, &values, err);
        oll_context_seq_clear(ctx, batch.one_seq);
    }
    if (status == OLL_OK)
        out[0] = rank_score(&e->ranker, values);
    return status;
}

/* The pass of one input; a cancellation or the engine's end stops it midway. */
static oll_status run_input(struct oll_engine *e, struct request *r, const struct input *input,
                            float *out, struct oll_error *err)
{
    pthread_mutex_lock(&e->mutex);
    r->in_step = true;
    /* Relaxed: the device only looks at the flag's value. */
    atomic_store_explicit(&e->abort, e->closing || r->canceled, memory_order_relaxed);
    pthread_mutex_unlock(&e->mutex);
    oll_status status =
        r->ask.query ? rank_input(e, input, out, err)
                     : oll_context_embed(context_of(e), seq_of(e), input->tokens.ids,
                                         (uint32_t)input->tokens.n, false, &e->abort, out, err);
    pthread_mutex_lock(&e->mutex);
    r->in_step = false;
    pthread_mutex_unlock(&e->mutex);
    return status;
}

static oll_status embed_one(struct oll_engine *e, struct request *r, struct oll_error *err)
{
    struct input input = {0};
    struct oll_event event = {.kind = OLL_EVENT_EMBEDDING};
    oll_status status;
    uint32_t dims = e->info.n_embd_out;
    uint64_t begin = oll_clock_ns();
    OLL_TRY_DONE(r->ask.query
                     ? rank_tokens(&e->ranker, e->env.tok, &r->ask, e->i_input,
                                   window_of(e, &r->ask), &input.tokens, &input.n_first, err)
                     : input_tokens(e, &r->ask, e->i_input, &input.tokens, err));
    event.embedding = oll_calloc(dims, sizeof *event.embedding);
    if (!event.embedding) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an embedding");
        goto done;
    }
    OLL_TRY_DONE(run_input(e, r, &input, event.embedding, err));
    if (r->ask.query)
        dims = 1;
    for (uint32_t i = 0; i < dims; i++)
        if (!isfinite(event.embedding[i])) {
            status = OLL_FAIL(err, OLL_ERR_DEVICE, "embedding contains NaN or Inf values");
            goto done;
        }
    if (!r->ask.query && r->ask.dimensions > 0 && r->ask.dimensions < dims) {
        dims = r->ask.dimensions;
        normalise(event.embedding, dims);
    }
    event.n_embedding = dims;
    e->embed_done.n_prompt += (uint32_t)input.tokens.n;
    e->embed_done.prompt_ns += oll_clock_ns() - begin;
    if (!engine_push(e, r, &event))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an embedding");
done:
    oll_event_free(&event);
    oll_tokens_free(&input.tokens);
    return status;
}

bool engine_embed_step(struct oll_engine *e)
{
    struct request *r = e->embedding;
    struct oll_error err = {0};
    if (!r)
        return false;
    uint32_t n = r->ask.n_tokens ? 1 : r->ask.n_inputs;
    pthread_mutex_lock(&e->mutex);
    bool canceled = r->canceled || e->closing, room = r->n_events < REQUEST_MAX_EVENTS;
    pthread_mutex_unlock(&e->mutex);
    if (!canceled && !room)
        return false;
    oll_status status = canceled ? OLL_ERR_CANCELED : OLL_OK;
    if (status == OLL_OK && e->i_input < n) {
        status = embed_one(e, r, &err);
        e->i_input++;
    }
    if (status != OLL_OK || e->i_input >= n)
        engine_embed_end(e);
    if (status != OLL_OK)
        engine_fail(e, r, status, &err);
    else if (e->i_input >= n)
        engine_finish(e, r, &e->embed_done);
    return true;
}
