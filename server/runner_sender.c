/* What a runner sends: answers, events, signs of life. */
#include "server/runner_child_internal.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum {
    KEEP_BYTES = 1024 * 1024,
    BATCH_BYTES = 64 * 1024 /* of events that go out with one write */
};

static const uint64_t ns_per_ms = 1000 * 1000;

/* ---- progress ---- */

struct progress {
    uint64_t cpu_ns, n_io, n_steps, at_ns;
};

/* `engine` NULL: it is being loaded. */
static struct progress progress_now(const struct oll_engine *engine)
{
    struct rusage r;
    struct progress p = {.at_ns = oll_clock_ns(),
                         .n_steps = engine ? oll_engine_progress(engine) : 0};
    if (getrusage(RUSAGE_SELF, &r) == 0) {
        p.cpu_ns = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000u +
                   (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000u;
        p.n_io = (uint64_t)r.ru_majflt + (uint64_t)r.ru_inblock;
    }
    return p;
}

/* Whether this process has worked since: it has finished a step, read something, or computed in a
 * hundredth of the time at least. A device may compute while the processor has nothing to do, and a
 * step may take long on a slow machine. */
static bool has_progressed(const struct oll_engine *engine, struct progress *since)
{
    const struct progress now = progress_now(engine);
    const bool yes = now.n_steps != since->n_steps || now.n_io != since->n_io ||
                     now.cpu_ns - since->cpu_ns >= (now.at_ns - since->at_ns) / 100;
    *since = now;
    return yes;
}

/* ---- sending ---- */

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

bool runner_sender_flush(struct child *c)
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

void runner_sender_end_answer(struct child *c, uint64_t id)
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
    runner_sender_flush(c);
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
    struct progress progress = progress_now(NULL);
    pthread_mutex_lock(&c->lock);
    while (!c->loaded && !c->stop) {
        wait_changed(c, c->open.alive_ms);
        const bool loads = !c->loaded && !c->stop;
        pthread_mutex_unlock(&c->lock);
        if (loads && has_progressed(NULL, &progress))
            put_alive(c);
        pthread_mutex_lock(&c->lock);
    }
    const bool goes_on = c->loaded && !c->stop;
    pthread_mutex_unlock(&c->lock);
    runner_sender_flush(c);
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

void *runner_sender_main(void *arg)
{
    struct child *c = arg;
    bool goes_on = attend_load(c);
    struct progress progress = progress_now(c->engine);
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
        if (runner_sender_flush(c) || before == IDLE)
            progress.at_ns = oll_clock_ns(); /* the rest may be older: it only counts more */
        else if (oll_clock_ns() - progress.at_ns >= c->open.alive_ms * ns_per_ms &&
                 (has_progressed(c->engine, &progress) || activity(c) == WAITING_FOR_READER))
            put_alive(c);
    }
    runner_sender_flush(c);
    return NULL;
}
