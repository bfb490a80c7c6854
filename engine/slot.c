#include "engine/slot.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/chat/call_shape.h"

#include <math.h>
#include <string.h>

/* ---- begin ---- */

static oll_status new_sampler(struct slot *slot, const struct slot_env *env,
                              const struct oll_options *o, struct oll_error *err)
{
    uint64_t seed = (uint64_t)o->seed;
    if (o->seed < 0)
        oll_platform_random(&seed, sizeof seed);
    uint32_t n_ctx = oll_context_n_ctx(env->ctx);
    struct oll_sampler_params params = {
        .seed = seed,
        .temperature = o->temperature,
        .top_k = o->top_k,
        .top_p = o->top_p,
        .min_p = o->min_p,
        .typical_p = o->typical_p,
        .repeat_last_n = o->repeat_last_n < 0 || (uint32_t)o->repeat_last_n > n_ctx
                             ? n_ctx
                             : (uint32_t)o->repeat_last_n,
        .repeat_penalty = o->repeat_penalty,
        .presence_penalty = o->presence_penalty,
        .frequency_penalty = o->frequency_penalty,
    };
    return oll_sampler_new(&params, env->n_vocab, &slot->sampler, err);
}

uint32_t slot_common_prefix(const struct slot *slot, const struct slot_env *env,
                            const struct oll_space *space, const struct oll_tokens *tokens)
{
    uint32_t held = oll_context_seq_len(env->ctx, slot->seq), n = 0;
    if (memcmp(space, &slot->space, sizeof *space) != 0)
        return 0;
    while (n < held && n < tokens->n && n < slot->tokens.n && slot->tokens.ids[n] == tokens->ids[n])
        n++;
    return n;
}

void slot_publish(const struct slot *slot, const struct slot_env *env)
{
    oll_context_seq_publish(env->ctx, slot->seq, &slot->space, slot->tokens.ids,
                            (uint32_t)slot->tokens.n);
}

/* Brings the sequence to the longest beginning of the prompt that is there; its length. The last
 * token is always evaluated anew: its logits are needed. */
static uint32_t reuse(const struct slot *slot, const struct slot_env *env, const struct request *r,
                      const struct oll_tokens *tokens)
{
    const uint32_t limit = (uint32_t)tokens->n - 1;
    uint32_t own = slot_common_prefix(slot, env, &r->space, tokens);
    if (own > limit)
        own = limit;
    if (own > 0 && own >= oll_context_match(env->ctx, &r->space, tokens->ids, limit) &&
        oll_context_seq_truncate(env->ctx, slot->seq, own))
        return own;
    return oll_context_seq_adopt(env->ctx, slot->seq, &r->space, tokens->ids, limit);
}

bool slot_waits(struct slot *slot, const struct slot_env *env, uint64_t deadline_ns)
{
    if (!slot->fetching)
        return false;
    if (oll_context_seq_fetching(env->ctx, slot->seq, deadline_ns))
        return true;
    slot->fetching = false;
    slot->n_cached = oll_context_seq_adopt(env->ctx, slot->seq, &slot->space, slot->tokens.ids,
                                           (uint32_t)slot->tokens.n - 1);
    return false;
}

/* A forced call in a format whose replies are messages has its header in its grammar. */
static const struct chat_call_shape *forced_message(const struct request *r,
                                                    const struct chat_parser_config *config)
{
    const struct chat_call_shape *shape =
        r->ask.force_call && config->parser ? chat_call_shape_of(config->parser, NULL) : NULL;
    return shape && shape->is_message ? shape : NULL;
}

/* Harmony's headers say where content begins. */
static enum guard_start guard_start_of(const struct request *r,
                                       const struct chat_parser_config *config)
{
    if (forced_message(r, config))
        return GUARD_AT_ONCE;
    return config->parser && strcmp(config->parser, "harmony") == 0 ? GUARD_BEHIND_HEADER
                                                                    : GUARD_AFTER_THINKING;
}

/* Text that ends thinking when its budget is used up; NULL: there is none. */
static const char *think_close_of(const struct slot *slot, const struct request *r,
                                  const struct chat_parser_config *config)
{
    const struct chat_call_shape *shape = forced_message(r, config);
    if (!slot->split.parser)
        return NULL;
    return shape ? shape->free_close : chat_parser_think_close(slot->split.parser);
}

oll_status slot_begin(struct slot *slot, const struct slot_env *env, struct request *r,
                      struct prompt *prompt, struct oll_error *err)
{
    const struct oll_request *ask = &r->ask;
    struct oll_tokens *tokens = &prompt->tokens;
    oll_status status = OLL_OK;
    uint32_t n_ctx = oll_context_n_ctx(env->ctx);
    OLL_TRY_DONE(reply_init(&slot->reply, env->tok, ask->options.stop, ask->options.n_stop, err));
    slot->reply.shown = prompt->shown;
    prompt->shown = (struct oll_tokens){0};
    if (r->program && !ask->force_call) /* what is constrained is content: it cannot be a call */
        prompt->parser.tools = NULL;
    OLL_TRY_DONE(split_init(&slot->split, prompt->has_parser ? &prompt->parser : NULL, err));
    OLL_TRY_DONE(guard_init(&slot->guard, r->program, env->trie, &slot->split,
                            guard_start_of(r, &prompt->parser), err));
    slot->think_close = think_close_of(slot, r, &prompt->parser);
    OLL_TRY_DONE(new_sampler(slot, env, &ask->options, err));
    for (size_t i = 0; i < tokens->n; i++)
        oll_sampler_accept(slot->sampler, tokens->ids[i]);
    slot->history.n = 0;
    for (size_t i = 0; ask->want_context && i < tokens->n; i++)
        OLL_TRY_DONE(oll_tokens_add(&slot->history, tokens->ids[i]));

    slot->n_cached = reuse(slot, env, r, tokens);
    slot->fetching = oll_context_seq_fetch(env->ctx, slot->seq, &r->space, tokens->ids,
                                           (uint32_t)tokens->n - 1, slot->n_cached);
    slot->space = r->space;
    slot->n_prompt = (uint32_t)tokens->n;
    slot->n_keep = prompt->n_keep;
    slot->truncated = prompt->truncated;
    slot->n_reply = slot->n_thinking = 0;
    slot->n_calls = 0;
    slot->thinking_cut = false;
    slot->draft.n_taken = 0;
    speculate_begin(&slot->speculator);
    slot->max_reply =
        ask->options.num_predict > 0 && (uint64_t)ask->options.num_predict <= 10ull * n_ctx
            ? (uint32_t)ask->options.num_predict
            : 10 * n_ctx;
    oll_tokens_free(&slot->tokens);
    slot->tokens = *tokens;
    *tokens = (struct oll_tokens){0};
    slot->begin_ns = oll_clock_ns();
    slot->first_ns = 0;
    slot->request = r;
done:
    if (status != OLL_OK) {
        oll_error_set(err, status, "out of memory for a slot");
        slot_end(slot, slot->idle_since);
    }
    return status;
}

/* ---- sampling ---- */

static bool fill_logprob(const struct slot_env *env, struct oll_logprob *out, int32_t token,
                         double logprob)
{
    const char *bytes;
    size_t n;
    oll_tokenizer_piece(env->tok, token, true, &bytes, &n);
    *out = (struct oll_logprob){.token = token, .logprob = (float)logprob, .n_text = (uint32_t)n};
    out->text = oll_strndup(bytes, n);
    return out->text != NULL;
}

/* The alternatives are taken before the penalties change the logits. */
static oll_status note_alternatives(struct slot *slot, const struct slot_env *env,
                                    const float *logits, double lse, struct oll_error *err)
{
    uint32_t k = slot->request->ask.n_top_logprobs;
    int32_t ids[OLL_TOP_LOGPROBS_MAX];
    if (slot->n_logprobs == slot->cap_logprobs) {
        uint32_t cap = slot->cap_logprobs ? 2 * slot->cap_logprobs : 16;
        struct oll_logprob *list = oll_realloc(slot->logprobs, cap, sizeof *list);
        if (!list)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for log probabilities");
        slot->logprobs = list;
        slot->cap_logprobs = cap;
    }
    struct oll_logprob *entry = &slot->logprobs[slot->n_logprobs++];
    *entry = (struct oll_logprob){0};
    if (k > OLL_TOP_LOGPROBS_MAX)
        k = OLL_TOP_LOGPROBS_MAX;
    k = oll_top_logits(logits, env->n_vocab, k, ids);
    struct oll_logprob *top = k ? oll_calloc(k, sizeof *top) : NULL;
    bool ok = k == 0 || top;
    entry->top = top;
    for (uint32_t i = 0; ok && i < k; i++) {
        entry->n_top = i + 1;
        ok = fill_logprob(env, &top[i], ids[i], (double)logits[ids[i]] - lse);
    }
    return ok ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for log probabilities");
}

static oll_status choose(struct slot *slot, const struct slot_env *env, float *logits,
                         int32_t *token, struct oll_error *err)
{
    bool wants = slot->request->ask.logprobs;
    double lse = 0;
    size_t n_suppressed;
    const int32_t *suppressed = oll_tokenizer_suppressed(env->tok, &n_suppressed);
    for (size_t i = 0; i < n_suppressed; i++)
        if (suppressed[i] >= 0 && (uint32_t)suppressed[i] < env->n_vocab)
            logits[suppressed[i]] = -INFINITY;
    const struct oll_options *options = &slot->request->ask.options;
    for (uint32_t i = 0; i < options->n_logit_bias; i++)
        logits[options->logit_bias[i].token] += options->logit_bias[i].bias;
    float *raw = NULL;
    if (wants) {
        lse = oll_logsumexp(logits, env->n_vocab);
        OLL_TRY(note_alternatives(slot, env, logits, lse, err));
        /* The chosen token's own value is needed as it was before the penalties. */
        raw = oll_alloc(env->n_vocab, sizeof *raw);
        if (!raw)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for log probabilities");
        memcpy(raw, logits, env->n_vocab * sizeof *raw);
    }
    *token = oll_sampler_sample(slot->sampler, logits);
    oll_status status = OLL_OK;
    if (*token == OLL_SAMPLER_NO_TOKEN)
        status = OLL_FAIL(err, OLL_ERR_DEVICE,
                          "the model's logits are not finite: the file or the device is damaged");
    if (status == OLL_OK)
        status = guard_choose(&slot->guard, &slot->split, slot->sampler, logits, token, err);
    if (wants && status == OLL_OK) {
        struct oll_logprob *entry = &slot->logprobs[slot->n_logprobs - 1], own;
        if (fill_logprob(env, &own, *token, (double)raw[*token] - lse)) {
            own.top = entry->top;
            own.n_top = entry->n_top;
            *entry = own;
        } else {
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for log probabilities");
        }
    }
    oll_free(raw);
    return status;
}

/* The last entry belongs to a token that is no part of the reply (end of generation). */
static void forget_last_logprob(struct slot *slot)
{
    if (!slot->n_logprobs)
        return;
    struct oll_event holder = {.logprobs = oll_alloc(1, sizeof *holder.logprobs), .n_logprobs = 1};
    if (holder.logprobs)
        *holder.logprobs = slot->logprobs[slot->n_logprobs - 1];
    slot->n_logprobs--;
    oll_event_free(&holder);
}

/* Hands the new text on; entries of log probabilities go with the first event, or alone while a
 * parser withholds text. */
static oll_status take_text(struct slot *slot, const struct oll_strbuf *text, bool ends,
                            struct oll_error *err)
{
    struct split *split = &slot->split;
    oll_status status = text->status != OLL_OK ? text->status : slot->reply.pending.status;
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "out of memory for the reply");
    OLL_TRY(split_text(split, text->data, text->len, err));
    if (ends)
        OLL_TRY(split_finish(split, err));
    if (slot->n_logprobs == 0)
        return OLL_OK;
    struct oll_event *first =
        split->n_events ? &split->events[0] : split_add(split, OLL_EVENT_TEXT);
    if (!first)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the reply");
    first->logprobs = slot->logprobs;
    first->n_logprobs = slot->n_logprobs;
    slot->logprobs = NULL;
    slot->n_logprobs = slot->cap_logprobs = 0;
    return OLL_OK;
}

/* Makes room in a full window: half of what comes after the kept prefix goes, the rest is evaluated
 * again. */
static void shift_window(struct slot *slot, const struct slot_env *env)
{
    uint32_t n_ctx = oll_context_n_ctx(env->ctx),
             keep = slot->n_keep < n_ctx - 1 ? slot->n_keep : n_ctx - 2;
    uint32_t drop = (n_ctx - keep) / 2 > 1 ? (n_ctx - keep) / 2 : 1;
    size_t rest = slot->tokens.n - keep - drop;
    memmove(slot->tokens.ids + keep, slot->tokens.ids + keep + drop,
            rest * sizeof *slot->tokens.ids);
    slot->tokens.n = keep + rest;
    if (!oll_context_seq_truncate(env->ctx, slot->seq, keep))
        oll_context_seq_clear(env->ctx, slot->seq);
    speculate_forget_text(&slot->speculator);
}

static oll_status finish(struct slot *slot, enum oll_done_reason reason, struct oll_event *done,
                         struct oll_error *err)
{
    uint64_t now = oll_clock_ns();
    *done = (struct oll_event){
        .kind = OLL_EVENT_DONE,
        .done_reason = reason,
        .n_prompt = slot->n_prompt,
        .n_prompt_cached = slot->n_cached,
        .n_reply = slot->n_reply,
        .prompt_ns = slot->first_ns - slot->begin_ns,
        .reply_ns = now - slot->first_ns,
        .queue_ns = slot->begin_ns - slot->request->submit_ns,
        .thinking_cut = slot->thinking_cut,
    };
    if (slot->request->ask.want_context && slot->history.n) {
        done->context = oll_alloc(slot->history.n, sizeof *done->context);
        if (!done->context)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the context of the reply");
        memcpy(done->context, slot->history.ids, slot->history.n * sizeof *done->context);
        done->n_context = (uint32_t)slot->history.n;
    }
    return OLL_OK;
}

/* Tokens that lie wholly in a stop string are no part of the reply: neither of its context nor of
 * its log probabilities. */
static void forget_stop_string(struct slot *slot, const struct slot_env *env)
{
    const char *bytes;
    size_t n, cut = slot->reply.n_cut;
    for (size_t i = slot->tokens.n; i > slot->n_prompt; i--) {
        oll_tokenizer_piece(env->tok, slot->tokens.ids[i - 1], true, &bytes, &n);
        if (n == 0 || n > cut)
            return;
        cut -= n;
        forget_last_logprob(slot);
        if (slot->request->ask.want_context && slot->history.n > 0)
            slot->history.n--;
    }
}

/* Adds the token to the reply and tells whether the reply ends here. */
static oll_status add_token(struct slot *slot, const struct slot_env *env, int32_t token,
                            struct oll_strbuf *text, bool *ends, enum oll_done_reason *reason,
                            struct oll_error *err)
{
    const struct oll_request *ask = &slot->request->ask;
    bool complete, stuck;
    *reason = OLL_DONE_STOP;
    *ends = true;
    slot->n_reply++; /* the end token counts, as Ollama's eval_count has it */
    if (!ask->options.ignore_eog && oll_tokenizer_is_eog(env->tok, token)) {
        forget_last_logprob(slot);
        return OLL_OK;
    }
    reply_add(&slot->reply, token, text);
    OLL_TRY(oll_tokens_add(&slot->tokens, token));
    if (ask->want_context)
        OLL_TRY(oll_tokens_add(&slot->history, token));
    if (slot->reply.stopped) {
        forget_stop_string(slot, env);
        return OLL_OK;
    }
    OLL_TRY(guard_accept(&slot->guard, &slot->split, token, &complete, &stuck, err));
    if (complete)
        return OLL_OK;
    bool full = slot->tokens.n > oll_context_n_ctx(env->ctx);
    *reason = OLL_DONE_LENGTH;
    *ends = stuck || slot->n_reply >= slot->max_reply || (full && ask->no_shift);
    if (full && !*ends)
        shift_window(slot, env);
    return OLL_OK;
}

/* What the format forces is not sampled: it waits for evaluation in one pass, as a prompt does. Log
 * probabilities need a pass for each token. */
static oll_status add_forced(struct slot *slot, const struct slot_env *env, struct oll_strbuf *text,
                             bool *ends, enum oll_done_reason *reason, struct oll_error *err)
{
    struct oll_tokens forced = {0};
    oll_status status = OLL_OK;
    if (!slot->request->ask.logprobs)
        status = guard_forced(&slot->guard, &forced);
    for (size_t i = 0; i < forced.n && status == OLL_OK && !*ends; i++) {
        oll_sampler_accept(slot->sampler, forced.ids[i]);
        status = add_token(slot, env, forced.ids[i], text, ends, reason, err);
    }
    oll_tokens_free(&forced);
    return status;
}

/* Counts thinking, and where its budget is used up puts the text that ends it into the reply. The
 * tokens wait for evaluation as those of a prompt do. */
static oll_status keep_budget(struct slot *slot, const struct slot_env *env,
                              struct oll_strbuf *text, bool *ends, enum oll_done_reason *reason,
                              struct oll_error *err)
{
    const struct chat_parser *parser = slot->split.parser;
    const int32_t budget = slot->request->ask.options.think_budget;
    if (budget <= 0 || !parser || *ends)
        return OLL_OK;
    OLL_TRY(take_text(slot, text, false, err));
    OLL_TRY(guard_follow(&slot->guard, &slot->split, err));
    oll_strbuf_clear(text);
    if (!chat_parser_is_thinking(parser) || ++slot->n_thinking < (uint32_t)budget)
        return OLL_OK;
    const char *close = slot->think_close;
    struct oll_tokens forced = {0};
    oll_status status = oll_tokenizer_encode(
        env->tok, close ? close : "", close ? strlen(close) : 0, OLL_ENCODE_PARSE_SPECIAL, &forced);
    /* Where the grammar has the word, thinking ends behind a whole character. */
    if (status == OLL_OK && forced.n > 0 && slot->guard.active &&
        !oll_constraint_allows(slot->guard.constraint, forced.ids[0]))
        forced.n = 0;
    slot->thinking_cut = status == OLL_OK && forced.n > 0;
    for (size_t i = 0; i < forced.n && status == OLL_OK && !*ends; i++) {
        oll_sampler_accept(slot->sampler, forced.ids[i]);
        status = add_token(slot, env, forced.ids[i], text, ends, reason, err);
    }
    oll_tokens_free(&forced);
    return status;
}

oll_status slot_sample(struct slot *slot, const struct slot_env *env, float *logits,
                       struct oll_event *done, enum slot_outcome *outcome, struct oll_error *err)
{
    struct oll_strbuf text;
    int32_t token = OLL_SAMPLER_NO_TOKEN;
    bool ends = false;
    enum oll_done_reason reason = OLL_DONE_STOP;
    oll_status status = OLL_OK;
    *done = (struct oll_event){0};
    *outcome = SLOT_CONTINUES;
    oll_strbuf_init(&text, REPLY_MAX_PENDING);
    if (slot->request->ask.one_call && slot->n_calls > 0) {
        /* The call is out, the token behind it is not wanted. */
        *outcome = SLOT_DONE;
        OLL_TRY_DONE(finish(slot, reason, done, err));
        goto done;
    }
    OLL_TRY_DONE(choose(slot, env, logits, &token, err));
    if (slot->first_ns == 0)
        slot->first_ns = oll_clock_ns();
    oll_sampler_accept(slot->sampler, token);
    status = add_token(slot, env, token, &text, &ends, &reason, err);
    if (status == OLL_OK && !ends)
        status = add_forced(slot, env, &text, &ends, &reason, err);
    if (status == OLL_OK)
        status = keep_budget(slot, env, &text, &ends, &reason, err);
    if (status != OLL_OK) {
        oll_error_set(err, status, "out of memory for the reply");
        goto done;
    }
    if (ends) {
        reply_finish(&slot->reply, &text);
        *outcome = SLOT_DONE;
        OLL_TRY_DONE(finish(slot, reason, done, err));
    }
    OLL_TRY_DONE(take_text(slot, &text, ends, err));
    for (uint32_t i = 0; i < slot->split.n_events; i++)
        slot->n_calls += slot->split.events[i].kind == OLL_EVENT_TOOL_CALL;
    status = guard_follow(&slot->guard, &slot->split, err);
done:
    oll_strbuf_free(&text);
    return status;
}

/* ---- end ---- */

void slot_end(struct slot *slot, uint64_t now)
{
    struct oll_event holder = {.logprobs = slot->logprobs, .n_logprobs = slot->n_logprobs};
    oll_event_free(&holder);
    slot->logprobs = NULL;
    slot->n_logprobs = slot->cap_logprobs = 0;
    oll_sampler_free(slot->sampler);
    slot->sampler = NULL;
    reply_free(&slot->reply);
    split_free(&slot->split);
    guard_free(&slot->guard);
    oll_tokens_free(&slot->history);
    slot->request = NULL;
    slot->fetching = false;
    slot->idle_since = now;
}

void slot_free(struct slot *slot)
{
    slot_end(slot, 0);
    oll_tokens_free(&slot->tokens);
    speculate_free(&slot->speculator);
}
