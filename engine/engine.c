/* The engine: one thread that owns a model's contexts and slots, and the queue of requests before
 * it.
 *
 * Callers' threads touch only the list of requests, under the mutex. The engine thread takes
 * requests from it in order of arrival, runs steps without the mutex, and puts events back. A step
 * holds one token of every slot that decodes and, within a budget, tokens of prompts: alone a
 * prompt gets a whole ubatch, beside decoding slots only as many tokens as keep the step short, so
 * that running replies go on streaming. */
#include "engine/engine_internal.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <string.h>

/* Wakes the thread, or keeps it awake when it is just about to sleep (mutex held). */
void engine_poke(struct oll_engine *e)
{
    e->poked = true;
    pthread_cond_signal(&e->work);
}

/* ---- the list of requests (mutex held) ---- */

static struct request *find_request(struct oll_engine *e, uint64_t id)
{
    for (struct request *r = e->requests; r; r = r->next)
        if (r->id == id && !r->released)
            return r;
    return NULL;
}

static void remove_request(struct oll_engine *e, struct request *r)
{
    struct request **link = &e->requests;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    if (!r->next)
        e->requests_end = link;
    request_free(r);
}

static void cancel_request(struct oll_engine *e, struct request *r)
{
    r->canceled = true;
    if (r->in_step)
        atomic_store_explicit(&e->abort, true, memory_order_relaxed);
    engine_poke(e);
}

/* ---- events (engine thread) ---- */

bool engine_push(struct oll_engine *e, struct request *r, struct oll_event *event)
{
    pthread_mutex_lock(&e->mutex);
    bool queued = request_push_move(r, event);
    pthread_cond_signal(&r->ready);
    pthread_cond_signal(&e->any);
    pthread_mutex_unlock(&e->mutex);
    return queued;
}

/* Ends a request: its last event, and the record itself when the caller has let go. */
void engine_finish(struct oll_engine *e, struct request *r, struct oll_event *last)
{
    pthread_mutex_lock(&e->mutex);
    request_push_move(r, last);
    r->state = REQUEST_FINISHED;
    pthread_cond_signal(&r->ready);
    pthread_cond_signal(&e->any);
    if (r->released)
        remove_request(e, r);
    pthread_mutex_unlock(&e->mutex);
}

void engine_fail(struct oll_engine *e, struct request *r, oll_status status,
                 const struct oll_error *err)
{
    struct oll_event event = {.kind = OLL_EVENT_ERROR, .status = status};
    event.text = oll_strdup(err && err->text[0] ? err->text : oll_status_text(status));
    event.n_text = event.text ? strlen(event.text) : 0;
    engine_finish(e, r, &event);
}

/* ---- admission ---- */

/* The idle slot that holds the longest part of the prompt; among equals the one idle for the
 * longest time. */
static struct slot *choose_slot(struct oll_engine *e, const struct oll_space *space,
                                const struct oll_tokens *tokens)
{
    struct slot *best = NULL;
    uint32_t best_prefix = 0;
    for (uint32_t i = 0; i < e->n_slots; i++) {
        struct slot *s = &e->slots[i];
        if (s->request || s->lent)
            continue;
        uint32_t prefix = slot_common_prefix(s, &e->env, space, tokens);
        if (!best || prefix > best_prefix ||
            (prefix == best_prefix && s->idle_since < best->idle_since)) {
            best = s;
            best_prefix = prefix;
        }
    }
    return best;
}

static bool has_idle_slot(const struct oll_engine *e)
{
    for (uint32_t i = 0; i < e->n_slots; i++)
        if (!e->slots[i].request && !e->slots[i].lent)
            return true;
    return false;
}

/* Takes the next request that can begin now, or NULL (mutex held). */
static struct request *next_request(struct oll_engine *e)
{
    for (struct request *r = e->requests; r; r = r->next) {
        if (r->state != REQUEST_QUEUED)
            continue;
        bool embed = r->ask.kind == OLL_REQUEST_EMBED;
        /* An encoder has no slots. */
        if (r->canceled || ((e->n_slots == 0 || has_idle_slot(e)) && !(embed && e->embedding))) {
            r->state = REQUEST_RUNNING;
            e->n_queued--;
            return r;
        }
    }
    return NULL;
}

static void answer_rendered(struct oll_engine *e, struct request *r)
{
    struct oll_strbuf text;
    struct oll_error err = {0};
    struct oll_event event = {.kind = OLL_EVENT_TEXT}, done = {.kind = OLL_EVENT_DONE};
    oll_strbuf_init(&text, PROMPT_MAX_BYTES);
    oll_status status = prompt_render(&e->prompt_env, r, &text, &err);
    if (status == OLL_OK) {
        event.text = oll_strbuf_take(&text, &event.n_text);
        if (!event.text || !engine_push(e, r, &event))
            status = OLL_ERR_MEMORY;
    }
    if (status == OLL_OK)
        engine_finish(e, r, &done);
    else
        engine_fail(e, r, status, &err);
    oll_event_free(&event);
    oll_strbuf_free(&text);
}

static void begin_request(struct oll_engine *e, struct request *r, bool canceled)
{
    struct oll_error err = {0};
    if (canceled) {
        engine_fail(e, r, OLL_ERR_CANCELED, NULL);
    } else if (r->ask.kind == OLL_REQUEST_EMBED) {
        engine_embed_begin(e, r);
    } else if (r->ask.render_only) {
        answer_rendered(e, r);
    } else {
        struct prompt prompt = {0};
        oll_status status = prompt_make(&prompt, &e->prompt_env, r, &err);
        if (status == OLL_OK && r->program)
            status = engine_trie(e, &err);
        if (status == OLL_OK)
            status =
                slot_begin(choose_slot(e, &r->space, &prompt.tokens), &e->env, r, &prompt, &err);
        prompt_free(&prompt);
        if (status != OLL_OK)
            engine_fail(e, r, status, &err);
    }
}

/* ---- the thread ---- */

static void end_all(struct oll_engine *e)
{
    for (uint32_t i = 0; i < e->n_slots; i++)
        if (e->slots[i].request)
            engine_end_slot(e, &e->slots[i], OLL_ERR_CANCELED, NULL);
    if (e->embedding)
        engine_fail(e, e->embedding, OLL_ERR_CANCELED, NULL);
    engine_embed_end(e);
    pthread_mutex_lock(&e->mutex);
    struct request *r = e->requests;
    while (r && r->state != REQUEST_QUEUED)
        r = r->next;
    while (r) {
        struct request *next = r->next;
        while (next && next->state != REQUEST_QUEUED)
            next = next->next;
        r->state = REQUEST_RUNNING;
        pthread_mutex_unlock(&e->mutex);
        engine_fail(e, r, OLL_ERR_CANCELED, NULL);
        pthread_mutex_lock(&e->mutex);
        r = next;
    }
    pthread_mutex_unlock(&e->mutex);
}

static void *engine_thread(void *arg)
{
    struct oll_engine *e = arg;
    bool idle = false;
    for (;;) {
        struct request *r = NULL;
        pthread_mutex_lock(&e->mutex);
        while (!e->closing && !(r = next_request(e)) && idle && !e->poked)
            /* Paused requests wait here too: pulling an event or a cancellation pokes. */
            pthread_cond_wait(&e->work, &e->mutex);
        bool closing = e->closing, canceled = r && r->canceled;
        e->poked = false;
        idle = false;
        pthread_mutex_unlock(&e->mutex);
        if (closing)
            break;
        if (r) {
            begin_request(e, r, canceled);
            continue; /* take in everything that can begin before the next step */
        }
        bool embedded = engine_embed_step(e);
        bool stepped = e->env.ctx && engine_step(e);
        idle = !embedded && !stepped && !(e->env.ctx && oll_context_keep_step(e->env.ctx));
        /* Relaxed: a count that is seen late is seen the next time. */
        atomic_fetch_add_explicit(&e->n_steps, !idle, memory_order_relaxed);
    }
    end_all(e);
    return NULL;
}

/* ---- public ---- */

static oll_status alloc_arrays(struct oll_engine *e, uint32_t n_slots, struct oll_error *err)
{
    e->slots = oll_calloc(n_slots, sizeof *e->slots);
    e->sampled = oll_calloc(n_slots, sizeof *e->sampled);
    e->tokens = oll_calloc(e->n_ubatch, sizeof *e->tokens);
    e->seq = oll_calloc(e->n_ubatch, sizeof *e->seq);
    e->want = oll_calloc(e->n_ubatch, sizeof *e->want);
    e->offers = oll_calloc(n_slots, sizeof *e->offers);
    if (!e->slots || !e->sampled || !e->tokens || !e->seq || !e->want || !e->offers)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for %u slots", n_slots);
    e->n_slots = n_slots;
    speculate_costs_init(&e->costs);
    for (uint32_t i = 0; i < n_slots; i++) {
        e->slots[i].seq = i;
        e->slots[i].idle_since = i;
    }
    return OLL_OK;
}

/* All that speculation needs is taken here: later it cannot fail for want of memory. Every layer
 * kind there is can forget its newest positions: rings of sliding windows hold a pass more than
 * their window. */
static oll_status open_speculation(struct oll_engine *e, struct oll_error *err)
{
    uint32_t n_rows = e->n_slots + SPECULATE_MAX;
    if (n_rows > e->n_ubatch)
        n_rows = e->n_ubatch;
    OLL_TRY(oll_context_reserve_logits(e->env.ctx, n_rows, err));
    for (uint32_t i = 0; i < e->n_slots; i++)
        OLL_TRY(speculate_init(&e->slots[i].speculator, e->info.n_ctx, err));
    e->speculates = true;
    return OLL_OK;
}

static void wake(void *arg)
{
    struct oll_engine *e = arg;
    pthread_mutex_lock(&e->mutex);
    engine_poke(e);
    pthread_mutex_unlock(&e->mutex);
}

/* A folder that cannot be used is no reason not to serve the model. */
static void keep_prefixes(struct oll_engine *e, const struct oll_engine_params *p)
{
    struct oll_error err = {0};
    const struct oll_keep_params keep = {
        .folder = p->prefix_folder, .max_bytes = p->prefix_bytes, .wake = wake, .arg = e};
    if (p->prefix_folder && oll_context_keep(e->env.ctx, &keep, &err) != OLL_OK)
        oll_log_warn("engine", "prefixes are not kept: %s", oll_error_text(&err));
}

/* An encoder sees one input at a time, in one pass. */
static oll_status open_encoder(struct oll_engine *e, struct oll_error *err)
{
    struct oll_context_params params = e->context_params;
    params.n_seq = 1;
    if (params.n_ctx == 0)
        params.n_ctx = e->info.n_ctx;
    OLL_TRY(oll_context_new(e->model, &params, &e->embed_ctx, err));
    e->info.n_ctx = oll_context_n_ctx(e->embed_ctx);
    e->info.kv_bytes = oll_context_kv_bytes(e->embed_ctx);
    e->info.activation_bytes = oll_context_activation_bytes(e->embed_ctx);
    return OLL_OK;
}

static oll_status open_contexts(struct oll_engine *e, const struct oll_engine_params *p,
                                struct oll_error *err)
{
    uint32_t n_slots = p->n_slots ? p->n_slots : 1;
    enum oll_dtype kv = p->kv_f32 ? OLL_F32 : p->kv_dtype == OLL_F32 ? OLL_F16 : p->kv_dtype;
    e->context_params = (struct oll_context_params){
        .n_ctx = p->n_ctx, .n_seq = n_slots, .n_ubatch = p->n_ubatch, .kv_dtype = kv};
    if (e->info.is_encoder)
        return open_encoder(e, err);
    /* Every slot must find room for its token in a step. */
    if (e->context_params.n_ubatch && e->context_params.n_ubatch < n_slots)
        e->context_params.n_ubatch = n_slots;
    OLL_TRY(oll_context_new(e->model, &e->context_params, &e->env.ctx, err));
    keep_prefixes(e, p);
    e->info.n_ctx = oll_context_n_ctx(e->env.ctx);
    if (e->info.n_ctx < 2)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "a context of %u token leaves no room for a reply: ask for at least 2",
                        e->info.n_ctx);
    e->info.kv_bytes = oll_context_kv_bytes(e->env.ctx);
    e->info.activation_bytes = oll_context_activation_bytes(e->env.ctx);
    e->n_ubatch = oll_context_n_ubatch(e->env.ctx);
    OLL_TRY(alloc_arrays(e, n_slots, err));
    return p->no_speculation ? OLL_OK : open_speculation(e, err);
}

/* Text of the token in a role; "" when there is none. */
static const char *role_text(const struct oll_tokenizer *tok, enum oll_token_role role)
{
    const int32_t id = oll_tokenizer_role(tok, role);
    size_t n;
    const char *text = id == OLL_TOKEN_NONE ? NULL : oll_tokenizer_text(tok, id, &n);
    return text ? text : "";
}

static oll_status open_prompts(struct oll_engine *e, struct oll_error *err)
{
    const struct oll_tokenizer *tok = e->env.tok;
    const struct jinja_native_params tokens = {.bos = role_text(tok, OLL_ROLE_BOS),
                                               .eos = role_text(tok, OLL_ROLE_EOS),
                                               .adds_bos = oll_tokenizer_adds_bos(tok),
                                               .adds_eos = oll_tokenizer_adds_eos(tok)};
    e->prompt_env = (struct prompt_env){.model = e->model, .tok = tok, .n_ctx = e->info.n_ctx};
    OLL_TRY(chat_model_open(&e->prompt_env.chat, e->info.architecture,
                            oll_model_chat_template(e->model), &tokens, err));
    e->prompt_env.chat.n_params = e->info.n_params;
    return OLL_OK;
}

/* How much of an engine is opened. */
enum extent { OPEN_ALL, OPEN_DRY, OPEN_DRY_WITHOUT_TEXT };

static oll_status open_engine(const struct oll_engine_params *params, enum extent extent,
                              struct oll_engine **out, struct oll_error *err)
{
    struct oll_engine *e = oll_calloc(1, sizeof *e);
    oll_status status;
    if (!e)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an engine");
    e->requests_end = &e->requests;
    e->next_id = 1;
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->work, NULL);
    engine_any_init(e);
    struct oll_model_params model_params = {.devices = params->devices,
                                            .adapter_path = params->adapter_path,
                                            .n_threads = params->n_threads,
                                            .no_tokenizer = extent == OPEN_DRY_WITHOUT_TEXT,
                                            .dry = extent != OPEN_ALL};
    OLL_TRY_DONE(oll_model_load(params->model_path, &model_params, &e->model, err));
    e->info = *oll_model_facts(e->model);
    e->env.tok = oll_model_tokenizer(e->model);
    e->env.n_vocab = e->info.n_vocab;
    if (e->env.tok && (uint32_t)oll_tokenizer_n_tokens(e->env.tok) < e->info.n_vocab)
        e->env.n_vocab = (uint32_t)oll_tokenizer_n_tokens(e->env.tok);
    OLL_TRY_DONE(open_contexts(e, params, err));
    rank_init(&e->ranker, e->model);
    if (e->env.tok)
        OLL_TRY_DONE(open_prompts(e, err));
    if (extent != OPEN_ALL) {
        *out = e;
        return OLL_OK;
    }
    if (pthread_create(&e->thread, NULL, engine_thread, e) != 0) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "cannot start the engine's thread");
        goto done;
    }
    e->thread_runs = true;
    *out = e;
done:
    if (status != OLL_OK)
        oll_engine_close(e);
    return status;
}

oll_status oll_engine_open(const struct oll_engine_params *params, struct oll_engine **out,
                           struct oll_error *err)
{
    return open_engine(params, OPEN_ALL, out, err);
}

oll_status engine_open_dry(const struct oll_engine_params *params, bool with_text,
                           struct oll_engine **out, struct oll_error *err)
{
    return open_engine(params, with_text ? OPEN_DRY : OPEN_DRY_WITHOUT_TEXT, out, err);
}

void oll_engine_close(struct oll_engine *e)
{
    if (!e)
        return;
    if (e->thread_runs) {
        pthread_mutex_lock(&e->mutex);
        e->closing = true;
        atomic_store_explicit(&e->abort, true, memory_order_relaxed);
        engine_poke(e);
        pthread_mutex_unlock(&e->mutex);
        pthread_join(e->thread, NULL);
    }
    while (e->requests)
        remove_request(e, e->requests);
    for (uint32_t i = 0; i < e->n_slots; i++)
        slot_free(&e->slots[i]);
    engine_programs_free(e);
    oll_free(e->slots);
    oll_free(e->sampled);
    oll_free(e->tokens);
    oll_free(e->seq);
    oll_free(e->want);
    oll_free(e->offers);
    oll_context_free(e->env.ctx);
    oll_context_free(e->embed_ctx);
    chat_model_close(&e->prompt_env.chat);
    oll_model_free(e->model);
    pthread_cond_destroy(&e->work);
    pthread_cond_destroy(&e->any);
    pthread_mutex_destroy(&e->mutex);
    oll_free(e);
}

const struct oll_model_info *oll_engine_info(const struct oll_engine *e) { return &e->info; }

/* What can be refused before the request waits. */
static oll_status check_ask(const struct oll_engine *e, const struct oll_request *ask,
                            struct oll_error *err)
{
    if (ask->kind == OLL_REQUEST_EMBED && !e->info.can_embed)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "this model does not support embeddings");
    if (ask->query && !rank_can(&e->ranker, ask->model_name))
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "this model does not rank documents: take a reranker, an encoder with a "
                        "ranking head (pooling type 4) or a decoder that answers yes or no");
    if (ask->kind != OLL_REQUEST_EMBED && e->info.is_encoder)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "this model only makes embeddings: it cannot generate text");
    int32_t n_vocab = (int32_t)e->info.n_vocab;
    for (uint32_t i = 0; i < ask->n_tokens; i++)
        if (ask->tokens[i] < 0 || ask->tokens[i] >= n_vocab)
            return OLL_FAIL(err, OLL_ERR_ARG, "token %d is not in the vocabulary of %d",
                            ask->tokens[i], n_vocab);
    for (uint32_t i = 0; i < ask->options.n_logit_bias; i++)
        if (ask->options.logit_bias[i].token < 0 ||
            (uint32_t)ask->options.logit_bias[i].token >= e->env.n_vocab)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "logit_bias names token %d, which is not in the vocabulary of %u",
                            ask->options.logit_bias[i].token, e->env.n_vocab);
    for (uint32_t i = 0; i < ask->n_context; i++)
        if (ask->context[i] < 0 || (uint32_t)ask->context[i] >= e->env.n_vocab)
            return OLL_FAIL(err, OLL_ERR_ARG, "context holds %d, which is not in the vocabulary",
                            ask->context[i]);
    return OLL_OK;
}

oll_status oll_engine_submit(struct oll_engine *e, const struct oll_request *ask, uint64_t *id,
                             struct oll_error *err)
{
    struct request *r = NULL;
    struct oll_constraint_program *program = NULL;
    OLL_TRY(check_ask(e, ask, err));
    OLL_TRY(engine_program(e, ask, &program, err));
    oll_status status = request_new(ask, &r, err);
    if (status != OLL_OK) {
        oll_constraint_program_release(program);
        return status;
    }
    r->program = program;
    pthread_mutex_lock(&e->mutex);
    if (e->n_queued >= OLL_QUEUE_MAX) {
        pthread_mutex_unlock(&e->mutex);
        request_free(r);
        return OLL_FAIL(err, OLL_ERR_BUSY,
                        "server busy, please try again.  maximum pending requests exceeded");
    }
    r->id = *id = e->next_id++;
    *e->requests_end = r;
    e->requests_end = &r->next;
    e->n_queued++;
    engine_poke(e);
    pthread_mutex_unlock(&e->mutex);
    return OLL_OK;
}

void oll_engine_cancel(struct oll_engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->mutex);
    struct request *r = find_request(e, id);
    if (r)
        cancel_request(e, r);
    pthread_mutex_unlock(&e->mutex);
}

void oll_engine_release(struct oll_engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->mutex);
    struct request *r = find_request(e, id);
    if (r) {
        r->released = true;
        if (r->state == REQUEST_FINISHED)
            remove_request(e, r);
        else
            cancel_request(e, r);
    }
    pthread_mutex_unlock(&e->mutex);
}

/* Waits for a signal until the deadline (CLOCK_MONOTONIC); false when it has passed. */
static bool wait_ready(struct oll_engine *e, struct request *r, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&r->ready, &e->mutex);
        return true;
    }
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                          .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(&r->ready, &e->mutex, &at) == 0;
}

oll_status oll_engine_next(struct oll_engine *e, uint64_t id, int timeout_ms,
                           struct oll_event *event)
{
    uint64_t deadline =
        timeout_ms < 0 ? UINT64_MAX : oll_clock_ns() + (uint64_t)timeout_ms * 1000000u;
    oll_status status = OLL_OK;
    pthread_mutex_lock(&e->mutex);
    struct request *r = find_request(e, id);
    while (r && !r->first && r->state != REQUEST_FINISHED)
        if (!wait_ready(e, r, deadline))
            break;
    if (!r || (!r->first && r->state == REQUEST_FINISHED))
        status = OLL_ERR_NOT_FOUND;
    else if (!r->first)
        status = OLL_ERR_TIMEOUT;
    else {
        bool was_full = r->n_events >= REQUEST_MAX_EVENTS;
        request_pop(r, event);
        if (was_full)
            engine_poke(e);
    }
    pthread_mutex_unlock(&e->mutex);
    return status;
}

oll_status oll_engine_tokenize(const struct oll_engine *e, const char *text, size_t n,
                               bool add_special, bool parse_special, int32_t **tokens,
                               size_t *n_tokens, struct oll_error *err)
{
    struct oll_tokens list = {0};
    unsigned flags = (add_special ? OLL_ENCODE_ADD_SPECIAL : 0u) |
                     (parse_special ? OLL_ENCODE_PARSE_SPECIAL : 0u);
    oll_status status = oll_tokenizer_encode(e->env.tok, text, n, flags, &list);
    if (status != OLL_OK) {
        oll_tokens_free(&list);
        return OLL_FAIL(err, status, "cannot tokenise the text");
    }
    *tokens = list.ids;
    *n_tokens = list.n;
    return OLL_OK;
}

oll_status oll_engine_detokenize(const struct oll_engine *e, const int32_t *ids, size_t n,
                                 struct oll_strbuf *out, struct oll_error *err)
{
    oll_status status = oll_tokenizer_decode(e->env.tok, ids, n, true, out);
    if (status == OLL_ERR_ARG)
        return OLL_FAIL(err, status, "tokens holds an id that is not in the vocabulary of %zu",
                        (size_t)oll_tokenizer_n_tokens(e->env.tok));
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "the text is too long");
}
