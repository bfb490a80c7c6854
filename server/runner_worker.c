/* Calls to a runner that may take long, one after another: a grammar to compile, a text to
 * tokenise. */
#include "server/runner_child_internal.h"

#include "engine/base/mem.h"

#include <string.h>

enum { ARENA_MAX = 512 * 1024 * 1024 };

static void accept_request(struct child *c, struct entry *e, oll_status status,
                           const struct oll_error *err)
{
    const uint64_t id = e->id;
    const bool accepted = status == OLL_OK;
    pthread_mutex_lock(&c->lock);
    c->n_submitting--;
    if (accepted)
        message_put_plain(&c->out, MESSAGE_ACCEPTED, id);
    else
        message_put_error(&c->out, id, status, oll_error_text(err));
    if (accepted && c->out.status == OLL_OK) {
        e->next = c->entries;
        c->entries = e;
    } else {
        if (accepted)
            oll_engine_release(c->engine, e->engine_id);
        oll_free(e);
    }
    runner_sender_end_answer(c, id);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void put_error(struct child *c, uint64_t id, oll_status status, const struct oll_error *err)
{
    pthread_mutex_lock(&c->lock);
    message_put_error(&c->out, id, status, oll_error_text(err));
    runner_sender_end_answer(c, id);
    pthread_mutex_unlock(&c->lock);
}

static void submit(struct child *c, const struct message *m)
{
    struct oll_request request;
    struct oll_error err = {0};
    struct oll_arena arena;
    struct entry *e = oll_calloc(1, sizeof *e);
    oll_arena_init(&arena, ARENA_MAX);
    oll_status status = e ? message_get_submit(m, &arena, &request) : OLL_ERR_MEMORY;
    if (status != OLL_OK) {
        oll_error_set(&err, status, "a request cannot be read: %s", oll_status_text(status));
        put_error(c, m->id, status, &err);
        oll_free(e);
    } else {
        pthread_mutex_lock(&c->lock);
        c->n_submitting++;
        pthread_mutex_unlock(&c->lock);
        *e = (struct entry){.id = m->id, .credit = MESSAGE_CREDITS};
        status = oll_engine_submit(c->engine, &request, &e->engine_id, &err);
        accept_request(c, e, status, &err);
    }
    oll_arena_free(&arena);
}

static void tokenize(struct child *c, const struct message *m)
{
    struct message_tokenize ask;
    struct oll_error err = {0};
    int32_t *tokens = NULL;
    size_t n = 0;
    oll_status status = message_get_tokenize(m, &ask);
    if (status == OLL_OK)
        status = oll_engine_tokenize(c->engine, ask.text, ask.n_text, ask.add_special,
                                     ask.parse_special, &tokens, &n, &err);
    if (status == OLL_OK) {
        pthread_mutex_lock(&c->lock);
        message_put_tokens(&c->out, MESSAGE_TOKENS, m->id, tokens, n);
        runner_sender_end_answer(c, m->id);
        pthread_mutex_unlock(&c->lock);
        oll_free(tokens);
    } else {
        put_error(c, m->id, status, &err);
    }
}

static void detokenize(struct child *c, const struct message *m)
{
    const int32_t *ids;
    struct oll_error err = {0};
    struct oll_arena arena;
    struct oll_strbuf text;
    size_t n = 0;
    oll_arena_init(&arena, ARENA_MAX);
    oll_strbuf_init(&text, ARENA_MAX);
    oll_status status = message_get_tokens(m, &arena, &ids, &n);
    if (status == OLL_OK)
        status = oll_engine_detokenize(c->engine, ids, n, &text, &err);
    if (status == OLL_OK) {
        pthread_mutex_lock(&c->lock);
        message_put_text(&c->out, m->id, text.data, text.len);
        runner_sender_end_answer(c, m->id);
        pthread_mutex_unlock(&c->lock);
    } else {
        put_error(c, m->id, status, &err);
    }
    oll_strbuf_free(&text);
    oll_arena_free(&arena);
}

static void do_call(struct child *c, const struct message *m)
{
    if (m->kind == MESSAGE_SUBMIT)
        submit(c, m);
    else if (m->kind == MESSAGE_TOKENIZE)
        tokenize(c, m);
    else
        detokenize(c, m);
}

void *runner_worker_main(void *arg)
{
    struct child *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->first_call && !c->stop)
            pthread_cond_wait(&c->changed, &c->lock);
        struct call *call = c->first_call;
        if (c->stop)
            break;
        c->first_call = call->next;
        if (!c->first_call)
            c->last_call = &c->first_call;
        pthread_mutex_unlock(&c->lock);
        do_call(c, &call->message);
        oll_free(call);
        pthread_mutex_lock(&c->lock);
        c->n_calls--;
        oll_engine_wake(c->engine); /* the answer is to be sent */
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

oll_status runner_worker_queue(struct child *c, const struct message *m)
{
    struct call *call = oll_alloc(1, sizeof *call + m->n_body);
    if (!call)
        return OLL_ERR_MEMORY;
    unsigned char *body = (unsigned char *)(call + 1);
    *call = (struct call){.message = *m};
    if (m->n_body)
        memcpy(body, m->body, m->n_body);
    call->message.body = body;
    pthread_mutex_lock(&c->lock);
    *c->last_call = call;
    c->last_call = &call->next;
    c->n_calls++;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    oll_engine_wake(c->engine); /* from now on signs of life are due */
    return OLL_OK;
}
