/* Steps: the tokens of all slots that can go on, in one pass of the model.
 *
 * Decoding slots come first, one token each. Then prompts in the order of arrival: alone a prompt
 * gets a whole ubatch, beside decoding slots only as many tokens as keep the step near STEP_MS, so
 * that running replies go on streaming. */
#include "engine/engine_internal.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"

enum { STEP_PREFILL_MIN = 8, STEP_MS = 50, STEP_FETCH_MS = 5 };

void engine_end_slot(struct oll_engine *e, struct slot *slot, oll_status status,
                     const struct oll_error *err)
{
    struct request *r = slot->request;
    if (slot->fetching)
        oll_context_seq_clear(e->env.ctx, slot->seq);
    slot_end(slot, oll_clock_ns());
    engine_fail(e, r, status, err);
}

/* Whether the slot takes part in steps now: it has a request that is wanted, whose prompt is not
 * being fetched, and whose reader keeps up. */
static bool is_active(struct oll_engine *e, struct slot *slot, bool *canceled)
{
    if (!slot->request)
        return false;
    const bool waits = slot_waits(slot, &e->env, oll_clock_ns() + STEP_FETCH_MS * 1000000u);
    pthread_mutex_lock(&e->mutex);
    *canceled = slot->request->canceled;
    bool room = !waits && slot->request->n_events < REQUEST_MAX_EVENTS;
    pthread_mutex_unlock(&e->mutex);
    return room || *canceled;
}

static uint32_t waiting_tokens(const struct oll_engine *e, const struct slot *slot)
{
    return (uint32_t)slot->tokens.n - oll_context_seq_len(e->env.ctx, slot->seq);
}

/* Prompt tokens that may join a step beside decoding slots. */
static uint32_t prefill_budget(const struct oll_engine *e, bool decodes)
{
    if (!decodes)
        return e->n_ubatch;
    double tokens = e->prefill_rate * STEP_MS / 1000;
    return tokens < STEP_PREFILL_MIN ? STEP_PREFILL_MIN
           : tokens > e->n_ubatch    ? e->n_ubatch
                                     : (uint32_t)tokens;
}

struct step {
    uint32_t n, n_sampled, n_rows; /* tokens, slots that sample, rows of logits */
    uint32_t n_decoding, n_draft;  /* slots that decode, tokens drafted for them */
    bool decodes;                  /* short, and some reply would wait for what is done twice */
};

static void step_add(struct oll_engine *e, struct step *step, struct slot *slot, uint32_t n)
{
    uint32_t held = oll_context_seq_len(e->env.ctx, slot->seq);
    bool last = held + n == slot->tokens.n;
    for (uint32_t i = 0; i < n; i++) {
        e->tokens[step->n] = slot->tokens.ids[held + i];
        e->seq[step->n] = (int32_t)slot->seq;
        e->want[step->n++] = last && i + 1 == n;
    }
    if (last) {
        slot->i_row = step->n_rows++;
        slot->draft.n_taken = 0;
        e->sampled[step->n_sampled++] = slot;
    }
    slot->in_step = true;
}

/* What the slot would draft behind its one waiting token: not for the first token of a reply, which
 * must not wait for the index of its prompt, and not beyond the reply's or the window's end. */
static void offer_draft(struct oll_engine *e, struct slot *slot, struct speculate_offer *offer)
{
    const uint32_t n = (uint32_t)slot->tokens.n, n_ctx = oll_context_n_ctx(e->env.ctx);
    uint32_t n_max = slot->max_reply > slot->n_reply ? slot->max_reply - slot->n_reply - 1 : 0;
    n_max = n_max < n_ctx - n ? n_max : n_ctx - n;
    offer->n = offer->n_taken = 0;
    if (slot->n_reply > 0 && !slot->request->ask.no_speculation)
        speculate_look(&slot->speculator, slot->tokens.ids, n, n_max, offer);
}

/* Adds the drafts of the slots [n_decoding] that stand in the step to their tokens. Beside prompts
 * nothing is drafted: their tokens make rows dear, and none of them is in vain. */
static void step_draft(struct oll_engine *e, struct step *step, bool has_prompts)
{
    struct slot *const *slots = e->sampled;
    if (!e->speculates || step->n_decoding == 0)
        return;
    for (uint32_t i = 0; i < step->n_decoding; i++)
        offer_draft(e, slots[i], &e->offers[i]);
    if (has_prompts)
        return;
    step->n_draft =
        speculate_share(&e->costs, e->offers, step->n_decoding, e->n_ubatch - step->n_decoding);
    step->n = step->n_rows = 0;
    for (uint32_t i = 0; i < step->n_decoding; i++) {
        struct slot *slot = slots[i];
        slot->draft = e->offers[i];
        slot->i_row = step->n_rows;
        for (uint32_t k = 0; k <= slot->draft.n_taken; k++) {
            e->tokens[step->n] =
                k ? slot->draft.tokens[k - 1] : slot->tokens.ids[slot->tokens.n - 1];
            e->seq[step->n] = (int32_t)slot->seq;
            e->want[step->n++] = true;
            step->n_rows++;
        }
    }
}

/* Fills the arrays: decoding slots first, then prompts in the order of arrival within the budget.
 */
static void step_build(struct oll_engine *e, struct step *step)
{
    struct slot *prompts = NULL;
    bool canceled = false, has_prompts = false;
    *step = (struct step){0};
    for (uint32_t i = 0; i < e->n_slots && step->n < e->n_ubatch; i++) {
        struct slot *slot = &e->slots[i];
        slot->in_step = false;
        if (!is_active(e, slot, &canceled))
            continue;
        if (canceled)
            engine_end_slot(e, slot, OLL_ERR_CANCELED, NULL);
        else if (waiting_tokens(e, slot) == 1)
            step_add(e, step, slot, 1);
        else
            has_prompts = true;
    }
    step->n_decoding = step->n;
    step->decodes = step->n > 0;
    step_draft(e, step, has_prompts);
    uint32_t budget = prefill_budget(e, step->decodes);
    for (uint64_t after = 0; budget > 0 && step->n < e->n_ubatch; after = prompts->request->id) {
        prompts = NULL;
        for (uint32_t i = 0; i < e->n_slots; i++) {
            struct slot *slot = &e->slots[i];
            if (slot->request && slot->request->id > after && waiting_tokens(e, slot) > 1 &&
                is_active(e, slot, &canceled) &&
                (!prompts || slot->request->id < prompts->request->id))
                prompts = slot;
        }
        if (!prompts)
            break;
        uint32_t n = waiting_tokens(e, prompts), room = e->n_ubatch - step->n;
        n = n < budget ? n : budget;
        n = n < room ? n : room;
        step_add(e, step, prompts, n);
        budget -= n;
    }
}

/* Samples one token, and what the format forces behind it, and posts what may be shown. On failure,
 * or when the outcome is SLOT_DONE, *done and *err say the rest. */
static oll_status sample_row(struct oll_engine *e, struct slot *slot, float *logits,
                             struct oll_event *done, enum slot_outcome *outcome,
                             struct oll_error *err)
{
    oll_status status = slot_sample(slot, &e->env, logits, done, outcome, err);
    done->truncated = slot->truncated;
    for (uint32_t i = 0; i < slot->split.n_events; i++) {
        slot->split.events[i].truncated = slot->truncated;
        if (!engine_push(e, slot->request, &slot->split.events[i]))
            status = OLL_ERR_MEMORY;
    }
    split_clear(&slot->split);
    return status;
}

/* Drafted tokens that are the text by now. */
static uint32_t count_right(const struct slot *slot, size_t n_before)
{
    uint32_t n = 0;
    while (n < slot->draft.n_taken && n_before + n < slot->tokens.n &&
           slot->tokens.ids[n_before + n] == slot->draft.tokens[n])
        n++;
    return n;
}

/* Samples as long as the text goes on as it was drafted, each time from the row behind its last
 * token, as if the tokens had come one by one. The sequence forgets what has come otherwise. */
static void deliver(struct oll_engine *e, const struct step *step, struct slot *slot, float *logits)
{
    struct oll_event done;
    struct oll_error err = {0};
    enum slot_outcome outcome;
    oll_status status;
    const size_t n_before = slot->tokens.n;
    const uint32_t held = oll_context_seq_len(e->env.ctx, slot->seq);
    uint32_t n_right = 0, n_sampled = 0;
    do {
        float *row = logits + (size_t)(slot->i_row + n_right) * e->info.n_vocab;
        status = sample_row(e, slot, row, &done, &outcome, &err);
        n_sampled++;
        if (oll_context_seq_len(e->env.ctx, slot->seq) != held)
            break; /* the window has moved on: all behind its kept part is evaluated anew */
        n_right = count_right(slot, n_before);
    } while (status == OLL_OK && outcome == SLOT_CONTINUES && n_before + n_right == slot->tokens.n);
    if (n_right < slot->draft.n_taken && oll_context_seq_len(e->env.ctx, slot->seq) == held)
        (void)oll_context_seq_truncate(e->env.ctx, slot->seq, held - slot->draft.n_taken + n_right);
    if (step->n_decoding > 0)
        speculate_settle(&slot->speculator, &e->costs, step->n_decoding, step->n_draft,
                         slot->draft.n_taken, n_sampled - 1);
    if (status != OLL_OK) {
        oll_event_free(&done);
        engine_end_slot(e, slot, status, &err);
    } else if (outcome == SLOT_DONE) {
        struct request *r = slot->request;
        done.n_drafted = slot->speculator.n_drafted;
        done.n_accepted = slot->speculator.n_accepted;
        slot_end(slot, oll_clock_ns());
        engine_finish(e, r, &done);
    }
}

/* Steps that decode teach what the next may hold; those of prompts alone run faster per token. A
 * late token is seen by somebody, a short step costs little: what is slower counts for more. */
static void learn_rate(struct oll_engine *e, double rate)
{
    const double share = rate < e->prefill_rate ? 0.6 : 0.2;
    e->prefill_rate += (e->prefill_rate > 0 ? share : 1) * (rate - e->prefill_rate);
}

/* A step of prompts alone may last long: it is given up when one of its requests is canceled, and
 * the others do theirs again. One that decodes is short, and goes to its end. */
static void mark_step(struct oll_engine *e, const struct step *step)
{
    pthread_mutex_lock(&e->mutex);
    bool abort = e->closing;
    for (uint32_t i = 0; i < e->n_slots; i++) {
        struct request *r = e->slots[i].request;
        if (r && e->slots[i].in_step && !step->decodes) {
            r->in_step = true;
            abort = abort || r->canceled;
        }
    }
    /* Relaxed: the device only looks at the flag's value. */
    atomic_store_explicit(&e->abort, abort, memory_order_relaxed);
    pthread_mutex_unlock(&e->mutex);
}

static void unmark_step(struct oll_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    for (uint32_t i = 0; i < e->n_slots; i++)
        if (e->slots[i].request)
            e->slots[i].request->in_step = false;
    pthread_mutex_unlock(&e->mutex);
}

static void step_run(struct oll_engine *e, const struct step *step)
{
    struct oll_batch batch = {.n = step->n, .tokens = e->tokens, .seq = e->seq, .want = e->want};
    struct oll_error err = {0};
    float *logits = NULL;
    mark_step(e, step);
    uint64_t begin = oll_clock_ns();
    oll_status status = oll_context_eval(e->env.ctx, &batch, &e->abort, &logits, &err);
    uint64_t ns = oll_clock_ns() - begin;
    unmark_step(e);
    if (status == OLL_ERR_CANCELED)
        return; /* the next step_build ends the request */
    if (status != OLL_OK) {
        oll_log(OLL_LOG_ERROR, "engine", "a step of %u tokens failed: %s", step->n,
                oll_error_text(&err));
        for (uint32_t i = 0; i < e->n_slots; i++)
            if (e->slots[i].request) {
                oll_context_seq_clear(e->env.ctx, e->slots[i].seq);
                engine_end_slot(e, &e->slots[i], status, &err);
            }
        return;
    }
    if (step->n == step->n_rows)
        speculate_costs_learn(&e->costs, step->n, ns);
    if (step->decodes && step->n >= STEP_PREFILL_MIN && step->n_draft == 0 && ns > 0)
        learn_rate(e, (double)step->n * 1e9 / (double)ns);
    for (uint32_t i = 0; i < e->n_slots; i++)
        if (e->slots[i].request)
            slot_publish(&e->slots[i], &e->env);
    for (uint32_t i = 0; i < step->n_sampled; i++)
        deliver(e, step, e->sampled[i], logits);
}

bool engine_step(struct oll_engine *e)
{
    struct step step;
    step_build(e, &step);
    if (step.n == 0)
        return false;
    step_run(e, &step);
    return true;
}
