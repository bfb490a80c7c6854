#include "server/runner_process.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    STACK_BYTES = 256 * 1024,
    GONE_POLL_MS = 50,
    CREDIT_STEP = MESSAGE_CREDITS / 4,
    ALIVE_MS_MAX = 2000
};

static const uint64_t ns_per_ms = 1000 * 1000;

static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* Waits until a deadline (UINT64_MAX: none); false when it has passed. The lock is held. */
static bool wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX)
        return pthread_cond_wait(cond, lock) == 0;
    const struct timespec at = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(cond, lock, &at) == 0;
}

/* ---- start ---- */

/* Signs of life come often enough that one may be late. */
static uint32_t alive_ms(const struct runners *runners)
{
    const int64_t limits[] = {runners_silence_ns(runners), runners_load_timeout_ns(runners)};
    int64_t ms = ALIVE_MS_MAX;
    for (int i = 0; i < 2; i++) {
        const int64_t quarter = limits[i] / (4 * (int64_t)ns_per_ms);
        if (limits[i] > 0 && quarter < ms)
            ms = quarter;
    }
    return ms < 1 ? 1 : (uint32_t)ms;
}

static void free_process(struct runner_process *p)
{
    OLL_ASSERT(!p->waiting);
    if (p->fd >= 0)
        close(p->fd);
    if (p->log_fd >= 0)
        close(p->log_fd);
    message_reader_free(&p->reader);
    oll_strbuf_free(&p->outbox);
    oll_poller_free(p->poller);
    oll_free(p->info_body);
    oll_free(p->name);
    oll_free(p->path);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    oll_free(p);
}

static oll_status new_process(struct runners *runners, const struct runner_wish *wish,
                              struct runner_process **out, struct oll_error *err)
{
    const struct message_open open = {.params = wish->params,
                                      .name = wish->name,
                                      .log_level = oll_log_level(),
                                      .alive_ms = alive_ms(runners)};
    struct runner_process *p = oll_calloc(1, sizeof *p);
    if (!p)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a runner");
    p->runners = runners;
    p->lost = wish->lost;
    p->lost_arg = wish->arg;
    p->fd = p->log_fd = -1;
    p->next_id = 1;
    p->heard_ns = oll_clock_ns();
    message_reader_init(&p->reader, MESSAGE_FROM_RUNNER);
    oll_strbuf_init(&p->outbox, PROCESS_OUTBOX_MAX);
    pthread_mutex_init(&p->lock, NULL);
    init_cond(&p->changed);
    p->name = oll_strdup(wish->name);
    p->path = oll_strdup(wish->params.model_path);
    message_put_open(&p->outbox, &open);
    oll_status status = p->name && p->path ? p->outbox.status : OLL_ERR_MEMORY;
    if (status == OLL_OK)
        status = oll_poller_new(&p->poller, err);
    if (status == OLL_OK) {
        *out = p;
        return OLL_OK;
    }
    free_process(p);
    return OLL_FAIL(err, status, "no memory for the runner of %s", wish->name);
}

static void end_pump(struct runner_process *p, bool at_once)
{
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    p->aborted = at_once;
    p->close_ns = oll_clock_ns();
    pthread_mutex_unlock(&p->lock);
    oll_poller_wake(p->poller);
    pthread_join(p->pump, NULL);
    free_process(p);
}

/* Waits until the model is loaded, or cannot be. */
static oll_status wait_loaded(struct runner_process *p, const struct runner_wish *wish,
                              struct oll_error *err)
{
    bool gone = false;
    pthread_mutex_lock(&p->lock);
    while (p->state == PROCESS_STARTING && !gone) {
        wait_until(&p->changed, &p->lock,
                   wish->gone ? oll_clock_ns() + GONE_POLL_MS * ns_per_ms : UINT64_MAX);
        pthread_mutex_unlock(&p->lock);
        gone = wish->gone && wish->gone(wish->arg);
        pthread_mutex_lock(&p->lock);
    }
    /* A failure is told when the process is gone, and with it its memory. */
    while (p->state == PROCESS_FAILED)
        wait_until(&p->changed, &p->lock, UINT64_MAX);
    oll_status status = OLL_OK;
    if (p->state == PROCESS_DEAD) {
        status = p->error.status;
        oll_error_set(err, status, "%s", oll_error_text(&p->error));
    } else if (p->state == PROCESS_STARTING) {
        status = OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

static bool start_pump(struct runner_process *p)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    const bool started = pthread_create(&p->pump, &attr, runner_pump_main, p) == 0;
    pthread_attr_destroy(&attr);
    return started;
}

oll_status runner_process_open(struct runners *runners, const struct runner_wish *wish,
                               struct runner_process **out, struct oll_error *err)
{
    struct runner_process *p = NULL;
    OLL_TRY(runners_may_start(runners, wish->params.model_path, wish->name, err));
    OLL_TRY(new_process(runners, wish, &p, err));
    if (!start_pump(p)) {
        free_process(p);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no thread for the runner of %s", wish->name);
    }
    oll_status status = wait_loaded(p, wish, err);
    if (status != OLL_OK) {
        end_pump(p, true);
        return status;
    }
    *out = p;
    return OLL_OK;
}

void runner_process_close(struct runner_process *p) { end_pump(p, false); }

bool runner_process_is_lost(struct runner_process *p)
{
    pthread_mutex_lock(&p->lock);
    const bool lost = p->state == PROCESS_DEAD;
    pthread_mutex_unlock(&p->lock);
    return lost;
}

/* ---- records of those who wait ---- */

struct waiting *runner_process_find(struct runner_process *p, uint64_t id)
{
    struct waiting *w = p->waiting;
    while (w && w->id != id)
        w = w->next;
    return w;
}

static void free_waiting(struct waiting *w)
{
    while (w->first) {
        struct event_node *node = w->first;
        w->first = node->next;
        oll_event_free(&node->event);
        oll_free(node);
    }
    oll_free(w->tokens);
    oll_free(w->text);
    pthread_cond_destroy(&w->changed);
    oll_free(w);
}

/* Takes a record out of the list; it is the caller's then. The lock is held. */
static void take_out(struct runner_process *p, struct waiting *w)
{
    struct waiting **link = &p->waiting;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    if (!w->over)
        p->n_open--;
    for (struct event_node *node = w->first; node; node = node->next)
        p->backlog_bytes -= node->n_bytes;
}

static struct waiting *new_waiting(bool is_request)
{
    struct waiting *w = oll_calloc(1, sizeof *w);
    if (w) {
        w->is_request = is_request;
        w->credit = MESSAGE_CREDITS;
        w->last = &w->first;
        init_cond(&w->changed);
    }
    return w;
}

static uint64_t new_id(struct runner_process *p)
{
    pthread_mutex_lock(&p->lock);
    const uint64_t id = p->next_id++;
    pthread_mutex_unlock(&p->lock);
    return id;
}

/* Sends what asks for an answer, and waits for it; the record stays in the list after success
 * alone, else it is freed. Its frame must be whole. */
static oll_status ask(struct runner_process *p, struct waiting *w, const struct oll_strbuf *frame,
                      struct oll_error *err)
{
    pthread_mutex_lock(&p->lock);
    if (p->n_open++ == 0) {
        /* Silence counts from now on; the pump must know. */
        p->heard_ns = oll_clock_ns();
        oll_poller_wake(p->poller);
    }
    w->next = p->waiting;
    p->waiting = w;
    runner_pump_send(p, frame);
    while (!w->answered && p->state != PROCESS_DEAD)
        wait_until(&w->changed, &p->lock, UINT64_MAX);
    oll_status status = w->status;
    const struct oll_error *detail = &w->err;
    if (!w->answered) {
        status = p->error.status;
        detail = &p->error;
    }
    if (status != OLL_OK) {
        oll_error_set(err, status, "%s", oll_error_text(detail));
        take_out(p, w);
        free_waiting(w);
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* ---- requests ---- */

oll_status runner_process_submit(struct runner_process *p, const struct oll_request *request,
                                 uint64_t *id, struct oll_error *err)
{
    struct waiting *w = new_waiting(true);
    struct oll_strbuf frame;
    if (!w)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a request");
    oll_strbuf_init(&frame, PROCESS_OUTBOX_MAX);
    *id = w->id = new_id(p);
    message_put_submit(&frame, w->id, request);
    oll_status status = frame.status;
    if (status == OLL_OK) {
        status = ask(p, w, &frame, err);
    } else {
        free_waiting(w);
        OLL_FAIL(err, status,
                 status == OLL_ERR_LIMIT ? "the request is larger than a runner may be sent"
                                         : "out of memory for a request");
    }
    oll_strbuf_free(&frame);
    return status;
}

/* Sends a frame without a body. The lock is held. */
static void send_plain(struct runner_process *p, enum message_kind kind, uint64_t id)
{
    struct oll_strbuf frame;
    oll_strbuf_init(&frame, 64);
    message_put_plain(&frame, kind, id);
    if (frame.status != OLL_OK) {
        p->aborted = true; /* a cancellation that is lost would compute for nobody */
        oll_poller_wake(p->poller);
    } else {
        runner_pump_send(p, &frame);
    }
    oll_strbuf_free(&frame);
}

void runner_process_cancel(struct runner_process *p, uint64_t id)
{
    pthread_mutex_lock(&p->lock);
    struct waiting *w = runner_process_find(p, id);
    if (w && !w->canceled && !w->over) {
        w->canceled = true;
        send_plain(p, MESSAGE_CANCEL, id);
    }
    pthread_mutex_unlock(&p->lock);
}

void runner_process_release(struct runner_process *p, uint64_t id)
{
    pthread_mutex_lock(&p->lock);
    struct waiting *w = runner_process_find(p, id);
    if (w) {
        take_out(p, w);
        send_plain(p, MESSAGE_RELEASE, id);
        free_waiting(w);
    }
    pthread_mutex_unlock(&p->lock);
}

/* ---- events ---- */

/* Gives credit back for events that were taken, some at a time. The lock is held. */
static void pay(struct runner_process *p, struct waiting *w)
{
    struct oll_strbuf frame;
    if (++w->n_unpaid < CREDIT_STEP || w->over || w->canceled)
        return;
    oll_strbuf_init(&frame, 64);
    message_put_credit(&frame, w->id, w->n_unpaid);
    if (frame.status == OLL_OK) { /* else it is tried again with the next event */
        w->credit += w->n_unpaid;
        w->n_unpaid = 0;
        runner_pump_send(p, &frame);
    }
    oll_strbuf_free(&frame);
}

static void pop(struct runner_process *p, struct waiting *w, struct oll_event *event)
{
    struct event_node *node = w->first;
    *event = node->event;
    w->first = node->next;
    if (!w->first)
        w->last = &w->first;
    p->backlog_bytes -= node->n_bytes;
    oll_free(node);
    pay(p, w);
}

/* The last event of a request whose process died. */
static void put_death(struct runner_process *p, struct waiting *w, struct oll_event *event)
{
    *event = (struct oll_event){.kind = OLL_EVENT_ERROR, .status = p->error.status};
    event->text = oll_strdup(oll_error_text(&p->error));
    event->n_text = event->text ? strlen(event->text) : 0;
    w->over = true;
    p->n_open--;
}

oll_status runner_process_next(struct runner_process *p, uint64_t id, int timeout_ms,
                               struct oll_event *event)
{
    const uint64_t deadline =
        timeout_ms < 0 ? UINT64_MAX : oll_clock_ns() + (uint64_t)timeout_ms * ns_per_ms;
    oll_status status = OLL_OK;
    pthread_mutex_lock(&p->lock);
    struct waiting *w = runner_process_find(p, id);
    while (w && !w->first && !w->over && p->state != PROCESS_DEAD)
        if (!wait_until(&w->changed, &p->lock, deadline))
            break;
    if (w && w->first)
        pop(p, w, event);
    else if (!w || w->over)
        status = OLL_ERR_NOT_FOUND;
    else if (p->state == PROCESS_DEAD)
        put_death(p, w, event);
    else
        status = OLL_ERR_TIMEOUT;
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* ---- calls ---- */

/* Sends a call and hands over its answer. */
static oll_status call(struct runner_process *p, struct waiting *w, const struct oll_strbuf *frame,
                       struct oll_error *err)
{
    oll_status status = frame->status;
    if (status == OLL_OK)
        return ask(p, w, frame, err);
    free_waiting(w);
    return OLL_FAIL(err, status, "the text is larger than a runner may be sent");
}

static void end_call(struct runner_process *p, struct waiting *w)
{
    pthread_mutex_lock(&p->lock);
    take_out(p, w);
    pthread_mutex_unlock(&p->lock);
    free_waiting(w);
}

oll_status runner_process_tokenize(struct runner_process *p, const struct message_tokenize *text,
                                   int32_t **tokens, size_t *n_tokens, struct oll_error *err)
{
    struct waiting *w = new_waiting(false);
    struct oll_strbuf frame;
    if (!w)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a text");
    oll_strbuf_init(&frame, PROCESS_OUTBOX_MAX);
    w->id = new_id(p);
    message_put_tokenize(&frame, w->id, text);
    oll_status status = call(p, w, &frame, err);
    oll_strbuf_free(&frame);
    if (status != OLL_OK)
        return status;
    *tokens = w->tokens;
    *n_tokens = w->n;
    status = w->tokens ? OLL_OK : OLL_FAIL(err, OLL_ERR_INTERNAL, "the runner sent no tokens");
    w->tokens = NULL;
    end_call(p, w);
    return status;
}

oll_status runner_process_detokenize(struct runner_process *p, const int32_t *ids, size_t n,
                                     struct oll_strbuf *out, struct oll_error *err)
{
    struct waiting *w = new_waiting(false);
    struct oll_strbuf frame;
    if (!w)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a text");
    oll_strbuf_init(&frame, PROCESS_OUTBOX_MAX);
    w->id = new_id(p);
    message_put_tokens(&frame, MESSAGE_DETOKENIZE, w->id, ids, n);
    oll_status status = call(p, w, &frame, err);
    oll_strbuf_free(&frame);
    if (status != OLL_OK)
        return status;
    if (w->text)
        oll_strbuf_add(out, w->text, w->n);
    status = !w->text                ? OLL_FAIL(err, OLL_ERR_INTERNAL, "the runner sent no text")
             : out->status != OLL_OK ? OLL_FAIL(err, out->status, "the text is too long")
                                     : OLL_OK;
    end_call(p, w);
    return status;
}
