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
    uint32_t n, n_sampled; /* tokens, slots that sample */
    bool decodes;          /* short, and some reply would wait for what is done twice */
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
    if (last)
        e->sampled[step->n_sampled++] = slot;
    slot->in_step = true;
}

/* Fills the arrays: decoding slots first, then prompts in the order of arrival within the budget.
 */
static void step_build(struct oll_engine *e, struct step *step)
{
    struct slot *prompts = NULL;
    bool canceled = false;
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
    }
    step->decodes = step->n > 0;
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

static void deliver(struct oll_engine *e, struct slot *slot, float *logits)
{
    struct oll_event done;
    struct oll_error err = {0};
    enum slot_outcome outcome;
    struct request *r = slot->request;
    oll_status status = slot_sample(slot, &e->env, logits, &done, &outcome, &err);
    done.truncated = slot->truncated;
    for (uint32_t i = 0; i < slot->split.n_events; i++) {
        slot->split.events[i].truncated = slot->truncated;
        if (!engine_push(e, r, &slot->split.events[i]))
            status = OLL_ERR_MEMORY;
    }
    split_clear(&slot->split);
    if (status != OLL_OK) {
        oll_event_free(&done);
        engine_end_slot(e, slot, status, &err);
    } else if (outcome == SLOT_DONE) {
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
    if (step->decodes && step->n >= STEP_PREFILL_MIN && ns > 0)
        learn_rate(e, (double)step->n * 1e9 / (double)ns);
    for (uint32_t i = 0; i < e->n_slots; i++)
        if (e->slots[i].request)
            slot_publish(&e->slots[i], &e->env);
    /* Rows stand in the order of the batch, which is that of `sampled`. */
    for (uint32_t i = 0; i < step->n_sampled; i++)
        deliver(e, e->sampled[i], logits + (size_t)i * e->info.n_vocab);
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
