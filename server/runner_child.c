#include "server/runner_child.h"

#include "engine/base/clock.h"
#include "engine/base/confine.h"
#include "engine/base/mem.h"
#include "server/env.h"
#include "server/message.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

enum {
    OUT_MAX = 512 * 1024 * 1024,
    KEEP_BYTES = 1024 * 1024,
    BATCH_BYTES = 64 * 1024, /* of events that go out with one write */
    ARENA_MAX = 512 * 1024 * 1024
};

static const uint64_t ns_per_ms = 1000 * 1000;

/* An accepted request. */
struct entry {
    struct entry *next;
    uint64_t id, engine_id;
    uint32_t credit;
    bool free_of_credit; /* cancelled: its last event must come through */
    bool held, over;
};

/* A message that may take long. */
struct call {
    struct call *next;
    struct message message; /* its body lies behind */
};

struct child {
    int fd;
    struct message_reader reader;
    unsigned char *open_body; /* strings of `open` lie here */
    struct message_open open;
    pthread_t sender, worker;

    pthread_mutex_t lock; /* all that follows; taken before the engine's own */
    pthread_cond_t changed;
    struct oll_engine *engine; /* set once, before `loaded` */
    bool loaded, stop;
    struct oll_strbuf out, spare;
    struct entry *entries;
    int n_submitting; /* requests that the engine may know and `entries` not yet */
    struct call *first_call, **last_call;
    int n_calls; /* waiting, or being done */
};

/* ---- progress ---- */

struct progress {
    uint64_t cpu_ns, n_io, at_ns;
};

static struct progress progress_now(void)
{
    struct rusage r;
    struct progress p = {.at_ns = oll_clock_ns()};
    if (getrusage(RUSAGE_SELF, &r) == 0) {
        p.cpu_ns = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000u +
                   (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000u;
        p.n_io = (uint64_t)r.ru_majflt + (uint64_t)r.ru_inblock;
    }
    return p;
}

/* Whether this process has worked since: it has read something, or computed in a hundredth of the
 * time at least. */
static bool has_progressed(struct progress *since)
{
    const struct progress now = progress_now();
    const bool yes =
        now.n_io != since->n_io || now.cpu_ns - since->cpu_ns >= (now.at_ns - since->at_ns) / 100;
    *since = now;
    return yes;
}

/* ---- sending (the sender's thread) ---- */

static bool send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* Sends what has gathered; false when there was nothing, or nobody to take it. */
static bool flush(struct child *c)
{
    pthread_mutex_lock(&c->lock);
    const struct oll_strbuf full = c->out;
    c->out = c->spare;
    c->spare = full;
    pthread_mutex_unlock(&c->lock);
    bool sent = full.len > 0 && send_all(c->fd, full.data, full.len);
    /* The reader sees the end of the socket, too, and ends the process. */
    if (full.cap > KEEP_BYTES)
        oll_strbuf_free(&c->spare);
    else
        oll_strbuf_clear(&c->spare);
    return sent;
}

/* Puts an error where an answer did not fit. The lock is held. */
static void end_answer(struct child *c, uint64_t id)
{
    const oll_status status = c->out.status;
    if (status == OLL_OK)
        return;
    c->out.status = OLL_OK;
    message_put_error(&c->out, id, status,
                      status == OLL_ERR_LIMIT ? "the answer is larger than a message may be"
                                              : "out of memory for an answer");
}

/* The lock is held; it is let go while a request is being accepted that may be the one. */
static struct entry *entry_of(struct child *c, uint64_t engine_id)
{
    for (;;) {
        for (struct entry *e = c->entries; e; e = e->next)
            if (e->engine_id == engine_id)
                return e;
        if (c->n_submitting == 0)
            return NULL;
        pthread_cond_wait(&c->changed, &c->lock);
    }
}

static void put_failure(struct child *c, struct entry *e)
{
    struct oll_event event = {.kind = OLL_EVENT_ERROR, .status = c->out.status};
    c->out.status = OLL_OK;
    message_put_event(&c->out, e->id, &event);
    oll_engine_cancel(c->engine, e->engine_id);
}

/* Takes an event to what will be sent; one of a request that was released meanwhile is dropped. */
static void put_event(struct child *c, uint64_t engine_id, struct oll_event *event)
{
    pthread_mutex_lock(&c->lock);
    struct entry *e = entry_of(c, engine_id);
    if (e && !e->over) {
        message_put_event(&c->out, e->id, event);
        e->over = event->kind == OLL_EVENT_DONE || event->kind == OLL_EVENT_ERROR;
        if (c->out.status != OLL_OK) {
            put_failure(c, e);
            e->over = true;
        }
        e->credit -= e->credit > 0;
        if (e->credit == 0 && !e->free_of_credit && !e->over) {
            e->held = true;
            oll_engine_hold(c->engine, engine_id, true);
        }
    }
    pthread_mutex_unlock(&c->lock);
    oll_event_free(event);
}

enum activity { IDLE, WORKING, WAITING_FOR_READER };

static enum activity activity(struct child *c)
{
    enum activity a = IDLE;
    pthread_mutex_lock(&c->lock);
    if (c->n_calls > 0)
        a = WORKING;
    for (struct entry *e = c->entries; e; e = e->next)
        if (!e->over && a != WAITING_FOR_READER)
            a = e->held ? WAITING_FOR_READER : WORKING;
    pthread_mutex_unlock(&c->lock);
    return a;
}

static void put_alive(struct child *c)
{
    pthread_mutex_lock(&c->lock);
    message_put_plain(&c->out, MESSAGE_ALIVE, 0);
    c->out.status = OLL_OK; /* without memory for it there will be another one */
    pthread_mutex_unlock(&c->lock);
    flush(c);
}

/* Waits for a change, at most `ms`; the lock is held. */
static void wait_changed(struct child *c, uint32_t ms)
{
    const uint64_t at_ns = oll_clock_ns() + ms * ns_per_ms;
    const struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000u),
                                .tv_nsec = (long)(at_ns % 1000000000u)};
    pthread_cond_timedwait(&c->changed, &c->lock, &at);
}

/* Tells of progress until the model is loaded; false when it will not be. */
static bool attend_load(struct child *c)
{
    struct progress progress = progress_now();
    pthread_mutex_lock(&c->lock);
    while (!c->loaded && !c->stop) {
        wait_changed(c, c->open.alive_ms);
        const bool loads = !c->loaded && !c->stop;
        pthread_mutex_unlock(&c->lock);
        if (loads && has_progressed(&progress))
            put_alive(c);
        pthread_mutex_lock(&c->lock);
    }
    const bool goes_on = c->loaded && !c->stop;
    pthread_mutex_unlock(&c->lock);
    flush(c);
    return goes_on;
}

static bool stopped(struct child *c)
{
    pthread_mutex_lock(&c->lock);
    const bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static size_t n_out(struct child *c)
{
    pthread_mutex_lock(&c->lock);
    const size_t n = c->out.len;
    pthread_mutex_unlock(&c->lock);
    return n;
}

static void *sender_main(void *arg)
{
    struct child *c = arg;
    bool goes_on = attend_load(c);
    struct progress progress = progress_now();
    while (goes_on && !stopped(c)) {
        struct oll_event event;
        uint64_t id;
        const enum activity before = activity(c);
        oll_status status = oll_engine_next_any(
            c->engine, before == IDLE ? -1 : (int)c->open.alive_ms, &id, &event);
        while (status == OLL_OK) {
            put_event(c, id, &event);
            status = n_out(c) < BATCH_BYTES ? oll_engine_next_any(c->engine, 0, &id, &event)
                                            : OLL_ERR_TIMEOUT;
        }
        if (flush(c) || before == IDLE)
            progress.at_ns = oll_clock_ns(); /* the rest may be older: it only counts more */
        else if (oll_clock_ns() - progress.at_ns >= c->open.alive_ms * ns_per_ms &&
                 (has_progressed(&progress) || activity(c) == WAITING_FOR_READER))
            put_alive(c);
    }
    flush(c);
    return NULL;
}

/* ---- calls (the worker's thread) ---- */

static void accept_request(struct child *c, struct entry *e, oll_status status,
                           const struct oll_error *err)
{
    pthread_mutex_lock(&c->lock);
    c->n_submitting--;
    if (status == OLL_OK) {
        message_put_plain(&c->out, MESSAGE_ACCEPTED, e->id);
        e->next = c->entries;
        c->entries = e;
    } else {
        message_put_error(&c->out, e->id, status, oll_error_text(err));
        oll_free(e);
    }
    end_answer(c, e->id);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void put_error(struct child *c, uint64_t id, oll_status status, const struct oll_error *err)
{
    pthread_mutex_lock(&c->lock);
    message_put_error(&c->out, id, status, oll_error_text(err));
    end_answer(c, id);
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
        end_answer(c, m->id);
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
        end_answer(c, m->id);
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

static void *worker_main(void *arg)
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

/* ---- commands (the first thread) ---- */

static oll_status queue_call(struct child *c, const struct message *m)
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
    case MESSAGE_DETOKENIZE: return queue_call(c, m);
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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED false
#endif

/* Sanitizers open files and start processes for their reports: in such builds rights are given up
 * on request only. */
static bool is_confined(void) { return env_bool("OLL_SANDBOX", !SANITIZED); }

static void say_unconfined(const struct oll_error *err)
{
    oll_log_warn("runner", "%s; OLL_SANDBOX=0 says that this is known", oll_error_text(err));
}

/* Before threads: files by folder, where a folder stays in use. */
static void confine_early(const struct child *c)
{
    char folder[ENV_TEXT_MAX];
    struct oll_error err = {0};
    if (!is_confined() || !env_text("OLL_PREFIX_CACHE_DIR", folder))
        return;
    mkdir(folder, 0700); /* it must be there; that it is not shows below */
    /* The files of a split model lie in one folder. */
    char models[ENV_TEXT_MAX];
    const char *readable[2] = {models, c->open.params.adapter_path};
    const char *slash = strrchr(c->open.params.model_path, '/');
    const int n = slash ? (int)(slash - c->open.params.model_path) : 1;
    snprintf(models, sizeof models, "%.*s", n > 0 ? n : 1, slash ? c->open.params.model_path : ".");
    if (oll_confine_paths(folder, readable, readable[1] ? 2 : 1, &err) != OLL_OK)
        say_unconfined(&err);
}

/* Weights are mapped, threads run: what is not needed any more goes. */
static void confine(void)
{
    char folder[ENV_TEXT_MAX];
    struct oll_error err = {0};
    if (is_confined() &&
        oll_confine_calls(env_text("OLL_PREFIX_CACHE_DIR", folder), &err) != OLL_OK)
        say_unconfined(&err);
}

static oll_status read_open(struct child *c)
{
    struct message m;
    struct oll_error err = {0};
    OLL_TRY(next_message(c, &m, &err));
    if (m.kind != MESSAGE_OPEN)
        return OLL_ERR_FORMAT;
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
}

static oll_status load(struct child *c)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    oll_status status = oll_engine_open(&c->open.params, &engine, &err);
    if (status == OLL_OK)
        confine();
    pthread_mutex_lock(&c->lock);
    if (status == OLL_OK)
        message_put_ready(&c->out, oll_engine_info(engine));
    else
        message_put_error(&c->out, 0, status, oll_error_text(&err));
    if (c->out.status != OLL_OK) {
        status = c->out.status;
        end_answer(c, 0);
    }
    c->engine = engine;
    c->loaded = status == OLL_OK;
    c->stop = status != OLL_OK;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return status;
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
        oll_log_set_level(c.open.log_level);
        oll_log_set_tag(c.open.name);
        oll_confine_child("oll runner", fd + 1, c.open.log_level >= OLL_LOG_DEBUG);
        confine_early(&c);
        if (pthread_create(&c.sender, NULL, sender_main, &c) != 0)
            status = OLL_ERR_MEMORY;
    }
    if (status != OLL_OK) {
        message_put_error(&c.out, 0, status, "the runner could not begin to load");
        flush(&c);
    } else {
        status = load(&c);
        bool worker = status == OLL_OK && pthread_create(&c.worker, NULL, worker_main, &c) == 0;
        if (worker)
            serve(&c);
        stop_threads(&c, worker);
    }
    give_back(&c);
    return 0;
}
