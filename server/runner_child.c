#include "server/runner_child.h"

#include "engine/base/confine.h"
#include "engine/base/mem.h"
#include "server/env.h"
#include "server/runner_child_internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { OUT_MAX = 512 * 1024 * 1024 };

/* ---- commands (the first thread) ---- */

/* The place of a request in the list, of NULL when it is unknown. The lock is held. */
static struct entry **find(struct child *c, uint64_t id)
{
    struct entry **link = &c->entries;
    while (*link && (*link)->id != id)
        link = &(*link)->next;
    return link;
}

static oll_status add_credit(struct child *c, struct entry *e, const struct message *m)
{
    uint32_t n;
    OLL_TRY(message_get_credit(m, &n));
    if (e->free_of_credit)
        return OLL_OK;
    if (n > MESSAGE_CREDITS || e->credit + n > MESSAGE_CREDITS)
        return OLL_ERR_LIMIT;
    e->credit += n;
    if (e->held)
        oll_engine_hold(c->engine, e->engine_id, false);
    e->held = false;
    return OLL_OK;
}

/* What is done at once. An unknown request is one that has not been accepted. */
static oll_status command(struct child *c, const struct message *m)
{
    oll_status status = OLL_OK;
    pthread_mutex_lock(&c->lock);
    struct entry **link = find(c, m->id), *e = *link;
    if (e && m->kind == MESSAGE_CREDIT) {
        status = add_credit(c, e, m);
    } else if (e && m->kind == MESSAGE_CANCEL) {
        e->free_of_credit = true;
        e->held = false;
        oll_engine_cancel(c->engine, e->engine_id);
        oll_engine_hold(c->engine, e->engine_id, false);
    } else if (e && m->kind == MESSAGE_RELEASE) {
        *link = e->next;
        oll_engine_release(c->engine, e->engine_id);
        oll_free(e);
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}

static oll_status take(struct child *c, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_SUBMIT:
    case MESSAGE_TOKENIZE:
    case MESSAGE_DETOKENIZE: return runner_worker_queue(c, m);
    case MESSAGE_CREDIT:
    case MESSAGE_CANCEL:
    case MESSAGE_RELEASE: return command(c, m);
    default: return OLL_ERR_FORMAT;
    }
}

/* The next message; OLL_ERR_NOT_FOUND at the end. */
static oll_status next_message(struct child *c, struct message *m, struct oll_error *err)
{
    oll_status status;
    while ((status = message_reader_next(&c->reader, m, err)) == OLL_ERR_TIMEOUT) {
        status = message_reader_fill(&c->reader, c->fd);
        if (status != OLL_OK)
            return status;
    }
    return status;
}

static void serve(struct child *c)
{
    struct oll_error err = {0};
    struct message m;
    oll_status status;
    while ((status = next_message(c, &m, &err)) == OLL_OK)
        if ((status = take(c, &m)) != OLL_OK)
            break;
    if (status != OLL_ERR_NOT_FOUND && status != OLL_ERR_IO)
        oll_log(OLL_LOG_ERROR, "runner", "the server sent what cannot be read: %s",
                err.text[0] ? err.text : oll_status_text(status));
}

/* ---- start and end ---- */

static oll_status read_open(struct child *c)
{
    struct message m;
    struct oll_error err = {0};
    OLL_TRY(next_message(c, &m, &err));
    if (m.kind != MESSAGE_OPEN && m.kind != MESSAGE_PLAN)
        return OLL_ERR_FORMAT;
    c->plans = m.kind == MESSAGE_PLAN;
    c->open_body = oll_alloc(m.n_body + 1, 1);
    if (!c->open_body)
        return OLL_ERR_MEMORY;
    memcpy(c->open_body, m.body, m.n_body);
    m.body = c->open_body;
    return message_get_open(&m, &c->open);
}

static void set_signals(void)
{
    /* A signal to the group of the server is the server's to answer; it ends its runners itself. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is like a full disk: the write says so */
}

static oll_status load(struct child *c)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    oll_status status = oll_engine_open(&c->open.params, &engine, &err);
    if (status == OLL_OK)
        runner_confine_late();
    pthread_mutex_lock(&c->lock);
    if (status == OLL_OK)
        message_put_ready(&c->out, oll_engine_info(engine));
    else
        message_put_error(&c->out, 0, status, oll_error_text(&err));
    if (c->out.status != OLL_OK) {
        status = c->out.status;
        runner_sender_end_answer(c, 0);
    }
    c->engine = engine;
    c->loaded = status == OLL_OK;
    c->stop = status != OLL_OK;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return status;
}

/* The plan, in place of the model. */
static void plan(struct child *c)
{
    struct oll_plan plan = {0};
    struct oll_error err = {0};
    runner_confine_plan(c);
    oll_status status = oll_plan_make(&c->open.params, OLL_PLAN_QUICK, &plan, &err);
    if (status == OLL_OK)
        message_put_planned(&c->out, &plan);
    else
        message_put_error(&c->out, 0, status, oll_error_text(&err));
    if (c->out.status != OLL_OK)
        runner_sender_end_answer(c, 0);
    oll_plan_free(&plan);
}

static void stop_threads(struct child *c, bool worker)
{
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (worker)
        pthread_join(c->worker, NULL);
    if (c->engine)
        oll_engine_wake(c->engine);
    pthread_join(c->sender, NULL);
}

static void init(struct child *c, int fd)
{
    pthread_condattr_t attr;
    *c = (struct child){.fd = fd, .last_call = &c->first_call};
    message_reader_init(&c->reader, MESSAGE_FROM_SERVER);
    oll_strbuf_init(&c->out, OUT_MAX);
    oll_strbuf_init(&c->spare, OUT_MAX);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static void give_back(struct child *c)
{
    while (c->entries) {
        struct entry *e = c->entries;
        c->entries = e->next;
        oll_engine_release(c->engine, e->engine_id);
        oll_free(e);
    }
    while (c->first_call) {
        struct call *call = c->first_call;
        c->first_call = call->next;
        oll_free(call);
    }
    oll_engine_close(c->engine);
    message_reader_free(&c->reader);
    oll_strbuf_free(&c->out);
    oll_strbuf_free(&c->spare);
    oll_free(c->open_body);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

/* Loads and serves until the socket ends; an error means that nothing was begun. */
static oll_status run(struct child *c)
{
    runner_confine_early(c);
    if (pthread_create(&c->sender, NULL, runner_sender_main, c) != 0)
        return OLL_ERR_MEMORY;
    const bool worker =
        load(c) == OLL_OK && pthread_create(&c->worker, NULL, runner_worker_main, c) == 0;
    if (worker)
        serve(c);
    stop_threads(c, worker);
    return OLL_OK;
}

/* Becomes what the server asked for. */
static void settle(const struct child *c)
{
    char form[ENV_TEXT_MAX];
    oll_log_set_level(c->open.log_level);
    oll_log_set_json(env_text("OLL_LOG", form) && strcmp(form, "json") == 0);
    oll_log_set_tag(c->open.name);
    oll_confine_child("oll runner", c->fd + 1, c->open.log_level >= OLL_LOG_DEBUG);
}

int runner_child_run(int fd)
{
    struct child c;
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode))
        return 1;
    set_signals();
    init(&c, fd);
    oll_status status = read_open(&c);
    if (status == OLL_OK) {
        settle(&c);
        if (c.plans)
            plan(&c);
        else
            status = run(&c);
    }
    if (status != OLL_OK)
        message_put_error(&c.out, 0, status, "the runner could not begin to load");
    if (status != OLL_OK || c.plans)
        runner_sender_flush(&c);
    give_back(&c);
    return 0;
}
