/* The thread of a runner's process: what it sends, its silence, its death. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/runner_process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLOSE_MS = 5000, WHY_MAX = 1024 };

static const uint64_t ns_per_ms = 1000 * 1000;

/* Why the loop is left. */
enum end {
    END_NONE,
    END_SOCKET,  /* it has closed its socket: it ends, or has died */
    END_WRONG,   /* it sent what it must not */
    END_MEMORY,  /* none for what it sends */
    END_SILENT,  /* no sign of life */
    END_FAILED,  /* it said that it cannot load */
    END_CLOSING, /* it was told to end, and takes too long */
    END_ABORTED  /* nobody wants it any more */
};

/* ---- what it sends (lock held) ---- */

static void finish(struct runner_process *p, struct waiting *w)
{
    if (!w->over)
        p->n_open--;
    w->over = true;
}

static bool take_ready(struct runner_process *p, const struct message *m)
{
    struct message own = *m;
    if (p->state != PROCESS_STARTING || !(p->info_body = oll_alloc(m->n_body + 1, 1)))
        return false;
    memcpy(p->info_body, m->body, m->n_body);
    own.body = p->info_body;
    if (message_get_ready(&own, &p->info) != OLL_OK)
        return false;
    p->state = PROCESS_READY;
    pthread_cond_broadcast(&p->changed);
    return true;
}

static bool take_event(struct runner_process *p, struct waiting *w, const struct message *m)
{
    struct event_node *node = oll_calloc(1, sizeof *node);
    const bool wanted = w->is_request && w->answered && !w->over && (w->credit > 0 || w->canceled);
    if (!node || !wanted || m->n_body > MESSAGE_BACKLOG_BYTES - p->backlog_bytes ||
        message_get_event(m, &node->event) != OLL_OK) {
        oll_free(node);
        return false;
    }
    node->n_bytes = m->n_body;
    p->backlog_bytes += m->n_body;
    w->credit -= w->credit > 0;
    *w->last = node;
    w->last = &node->next;
    if (node->event.kind == OLL_EVENT_DONE || node->event.kind == OLL_EVENT_ERROR)
        finish(p, w);
    if (node->event.kind == OLL_EVENT_DONE)
        runners_note_success(p->runners, p->path);
    p->retired |= node->event.kind == OLL_EVENT_ERROR && node->event.status == OLL_ERR_DEVICE;
    return true;
}

static bool take_tokens(struct waiting *w, const struct message *m)
{
    const int32_t *ids;
    struct oll_arena arena;
    oll_arena_init(&arena, SIZE_MAX / 2);
    const bool good = message_get_tokens(m, &arena, &ids, &w->n) == OLL_OK &&
                      (w->tokens = oll_alloc(w->n + 1, sizeof *w->tokens));
    if (good && w->n)
        memcpy(w->tokens, ids, w->n * sizeof *ids);
    oll_arena_free(&arena);
    return good;
}

static bool take_text(struct waiting *w, const struct message *m)
{
    const char *text;
    if (message_get_text(m, &text, &w->n) != OLL_OK)
        return false;
    w->text = oll_strndup(text, w->n);
    return w->text != NULL;
}

static bool take_refusal(struct waiting *w, const struct message *m)
{
    const char *text;
    if (message_get_error(m, &w->status, &text) != OLL_OK)
        return false;
    oll_error_set(&w->err, w->status, "%s", text);
    return true;
}

/* The answer to a call or a submission. */
static bool take_answer(struct runner_process *p, struct waiting *w, const struct message *m)
{
    const bool fits = m->kind == MESSAGE_ERROR || w->is_request == (m->kind == MESSAGE_ACCEPTED);
    if (w->answered || !fits)
        return false;
    const bool good = m->kind == MESSAGE_ACCEPTED ? m->n_body == 0
                      : m->kind == MESSAGE_ERROR  ? take_refusal(w, m)
                      : m->kind == MESSAGE_TOKENS ? take_tokens(w, m)
                                                  : take_text(w, m);
    if (!good)
        return false;
    w->answered = true;
    if (m->kind != MESSAGE_ACCEPTED)
        finish(p, w);
    return true;
}

/* An ERROR about no request: it cannot load. */
static bool take_load_error(struct runner_process *p, const struct message *m)
{
    oll_status status;
    const char *text;
    if (p->state != PROCESS_STARTING || message_get_error(m, &status, &text) != OLL_OK)
        return false;
    oll_error_set(&p->error, status, "%s", text);
    p->state = PROCESS_FAILED;
    return true;
}

static bool take(struct runner_process *p, const struct message *m)
{
    if (m->kind == MESSAGE_ALIVE)
        return m->n_body == 0;
    if (m->kind == MESSAGE_READY)
        return take_ready(p, m);
    if (m->kind == MESSAGE_ERROR && m->id == 0)
        return take_load_error(p, m);
    struct waiting *w = runner_process_find(p, m->id);
    if (!w)
        return true; /* it was let go of meanwhile */
    const bool good = m->kind == MESSAGE_EVENT ? take_event(p, w, m) : take_answer(p, w, m);
    if (good)
        pthread_cond_signal(&w->changed);
    return good;
}

/* Who gives out runners is told that this one is of no more use, once. */
static void tell_loss(struct runner_process *p)
{
    if (p->lost)
        p->lost(p->lost_arg);
    p->lost = NULL;
}

static enum end read_messages(struct runner_process *p, struct oll_error *wrong)
{
    const oll_status filled = message_reader_fill(&p->reader, p->fd);
    if (filled == OLL_ERR_TIMEOUT)
        return END_NONE;
    if (filled != OLL_OK)
        return filled == OLL_ERR_MEMORY ? END_MEMORY : END_SOCKET;
    enum end end = END_NONE;
    struct message m;
    oll_status status;
    pthread_mutex_lock(&p->lock);
    p->heard_ns = oll_clock_ns();
    while (end == END_NONE && (status = message_reader_next(&p->reader, &m, wrong)) == OLL_OK) {
        if (!take(p, &m)) {
            oll_error_set(wrong, OLL_ERR_FORMAT, "an unexpected message of kind %d", (int)m.kind);
            end = END_WRONG;
        } else if (p->state == PROCESS_FAILED) {
            end = END_FAILED;
        }
    }
    if (end == END_NONE && status != OLL_ERR_TIMEOUT)
        end = END_WRONG;
    pthread_mutex_unlock(&p->lock);
    if (p->retired)
        tell_loss(p);
    return end;
}

/* ---- what it is sent ---- */

/* The lock is held; the socket takes what it can. */
static size_t send_some(struct runner_process *p, const char *data, size_t n)
{
    size_t done = 0;
    while (done < n) {
        const ssize_t sent = send(p->fd, data + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            break; /* full, or dead: its end will be read */
        done += (size_t)sent;
    }
    return done;
}

/* Asks to be told when there is room while something is left to send. The lock is held. */
static void watch_socket(struct runner_process *p)
{
    const uint32_t ready = OLL_POLLER_READ | (p->outbox.len > 0 ? OLL_POLLER_WRITE : 0);
    if (oll_poller_watch(p->poller, p->fd, ready, &p->fd) != OLL_OK) {
        p->aborted = true;
        oll_poller_wake(p->poller);
    }
}

void runner_pump_send(struct runner_process *p, const struct oll_strbuf *frames)
{
    size_t sent = 0;
    if (p->state == PROCESS_DEAD || p->closing || p->aborted)
        return;
    if (p->fd >= 0 && p->outbox.len == 0)
        sent = send_some(p, frames->data, frames->len);
    if (sent == frames->len)
        return;
    oll_strbuf_add(&p->outbox, frames->data + sent, frames->len - sent);
    if (p->outbox.status != OLL_OK) {
        /* Half a frame cannot be followed by another. */
        p->aborted = true;
        oll_poller_wake(p->poller);
    } else if (p->fd >= 0) {
        watch_socket(p);
    }
}

static void send_outbox(struct runner_process *p)
{
    pthread_mutex_lock(&p->lock);
    oll_strbuf_drop(&p->outbox, send_some(p, p->outbox.data, p->outbox.len));
    if (p->outbox.len == 0)
        oll_strbuf_free(&p->outbox);
    watch_socket(p);
    pthread_mutex_unlock(&p->lock);
}

/* ---- time ---- */

/* Until when to wait for a sign of life; UINT64_MAX: none is expected. The lock is held. */
static uint64_t deadline(const struct runner_process *p)
{
    if (p->closing)
        return p->close_ns + CLOSE_MS * ns_per_ms;
    const int64_t limit = p->state == PROCESS_STARTING ? runners_load_timeout_ns(p->runners)
                                                       : runners_silence_ns(p->runners);
    const bool expects = p->state == PROCESS_STARTING || p->n_open > 0;
    return expects && limit > 0 ? p->heard_ns + (uint64_t)limit : UINT64_MAX;
}

/* Whether time is over; else how long to wait for messages. */
static enum end check_time(struct runner_process *p, int *timeout_ms)
{
    enum end end = END_NONE;
    pthread_mutex_lock(&p->lock);
    const uint64_t until = deadline(p), now = oll_clock_ns();
    if (p->aborted)
        end = END_ABORTED;
    else if (now >= until)
        end = p->closing ? END_CLOSING : END_SILENT;
    else if (until == UINT64_MAX)
        *timeout_ms = -1;
    else
        *timeout_ms =
            (until - now) / ns_per_ms < 3600000 ? (int)((until - now) / ns_per_ms) + 1 : 3600000;
    pthread_mutex_unlock(&p->lock);
    return end;
}

/* ---- the loop ---- */

static void read_log(struct runner_process *p)
{
    if (runner_read_log(p))
        return;
    oll_poller_forget(p->poller, p->log_fd);
    close(p->log_fd);
    p->log_fd = -1;
}

static enum end attend(struct runner_process *p, const struct oll_poller_event *event,
                       struct oll_error *wrong)
{
    if (event->data == &p->log_fd) {
        read_log(p);
        return END_NONE;
    }
    if (event->ready & OLL_POLLER_WRITE)
        send_outbox(p);
    return event->ready & ~(uint32_t)OLL_POLLER_WRITE ? read_messages(p, wrong) : END_NONE;
}

static enum end watch(struct runner_process *p, struct oll_error *wrong)
{
    bool told = false; /* the process that it shall end */
    for (;;) {
        struct oll_poller_event ready[4];
        int timeout_ms = -1;
        enum end end = check_time(p, &timeout_ms);
        const int n = end == END_NONE ? oll_poller_wait(p->poller, ready, 4, timeout_ms) : 0;
        for (int i = 0; i < n && end == END_NONE; i++)
            end = attend(p, &ready[i], wrong);
        if (end != END_NONE)
            return end;
        pthread_mutex_lock(&p->lock);
        if (p->closing && !told)
            shutdown(p->fd, SHUT_WR);
        told = p->closing;
        pthread_mutex_unlock(&p->lock);
    }
}

/* ---- the end ---- */

static void say_why(struct runner_process *p, enum end end, const struct oll_error *wrong,
                    struct oll_strbuf *why, bool *was_memory)
{
    struct oll_strbuf how;
    oll_strbuf_init(&how, WHY_MAX);
    runner_reap(p, end == END_SOCKET || end == END_FAILED, &how, was_memory);
    if (end == END_WRONG)
        oll_strbuf_printf(why, "ended because it sent %s", oll_error_text(wrong));
    else if (end == END_SILENT)
        oll_strbuf_printf(why, "ended because it made no progress for %lld s",
                          (long long)(runners_silence_ns(p->runners) / 1000000000));
    else if (end == END_MEMORY)
        oll_strbuf_adds(why, "ended because the server has no memory for what it sent");
    else if (end == END_ABORTED)
        oll_strbuf_adds(why, "ended by the server");
    else
        oll_strbuf_adds(why, how.data);
    oll_strbuf_free(&how);
}

/* Whether the process ended although it was wanted. */
static bool is_death(const struct runner_process *p, enum end end)
{
    return end != END_FAILED && end != END_ABORTED && !p->closing;
}

void runner_say_death(bool was_memory, const char *why, struct oll_error *err)
{
    if (was_memory)
        oll_error_set(err, OLL_ERR_MEMORY, "its runner was %s", why);
    else
        oll_error_set(err, OLL_ERR_INTERNAL,
                      "model runner has unexpectedly stopped, this may be due to resource "
                      "limitations or an internal error, check ollama server logs for details (%s)",
                      why);
}

/* The error of a load, or of those that wait; the first one that is set counts. The lock is held.
 */
static void set_error(struct runner_process *p, enum end end, bool was_memory, const char *why)
{
    if (p->state == PROCESS_STARTING && end == END_SILENT) {
        struct oll_strbuf words;
        oll_strbuf_init(&words, WHY_MAX);
        if (!runner_last_words(p, "", &words))
            oll_strbuf_adds(&words, "it made no progress");
        oll_error_set(&p->error, OLL_ERR_INTERNAL, "timed out waiting for %s to start - %s",
                      p->name, words.data);
        oll_strbuf_free(&words);
    }
    runner_say_death(p->state == PROCESS_STARTING && was_memory, why, &p->error);
}

static void end_process(struct runner_process *p, enum end end, const struct oll_error *wrong)
{
    struct oll_strbuf why;
    bool was_memory = false;
    oll_strbuf_init(&why, WHY_MAX);
    const long pid = (long)p->pid;
    say_why(p, end, wrong, &why, &was_memory);
    pthread_mutex_lock(&p->lock);
    if (is_death(p, end)) {
        oll_log(OLL_LOG_ERROR, "runner", "the runner of %s (process %ld) was %s", p->name, pid,
                why.data);
        runners_note_death(p->runners, p->path, why.data);
    } else if (end == END_CLOSING) {
        oll_log_warn("runner", "the runner of %s did not end within %d s", p->name,
                     CLOSE_MS / 1000);
    }
    set_error(p, end, was_memory, why.data);
    pthread_mutex_unlock(&p->lock);
    oll_strbuf_free(&why);
}

/* Tells everybody; first the one who gives out runners, so that who hears of the death and asks
 * again does not get the same one. */
static void tell(struct runner_process *p)
{
    pthread_mutex_lock(&p->lock);
    const bool lost = p->state == PROCESS_READY && !p->closing;
    pthread_mutex_unlock(&p->lock);
    if (lost)
        tell_loss(p);
    pthread_mutex_lock(&p->lock);
    p->state = PROCESS_DEAD;
    for (struct waiting *w = p->waiting; w; w = w->next)
        pthread_cond_signal(&w->changed);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* Hands the socket over to those who send, with what has gathered for it. */
static oll_status start_watching(struct runner_process *p, struct oll_error *err)
{
    oll_status status = oll_poller_watch(p->poller, p->log_fd, OLL_POLLER_READ, &p->log_fd);
    pthread_mutex_lock(&p->lock);
    if (status == OLL_OK)
        watch_socket(p);
    p->heard_ns = oll_clock_ns();
    pthread_mutex_unlock(&p->lock);
    return status == OLL_OK ? OLL_OK
                            : OLL_FAIL(err, status, "no memory for the runner of %s", p->name);
}

void *runner_pump_main(void *arg)
{
    struct runner_process *p = arg;
    struct oll_error wrong = {0}, failed = {0};
    oll_status status = runner_spawn(p, &failed);
    if (status == OLL_OK && start_watching(p, &failed) != OLL_OK)
        status = OLL_ERR_MEMORY;
    if (status == OLL_OK) {
        const enum end end = watch(p, &wrong);
        end_process(p, end, &wrong);
    } else {
        bool was_memory;
        struct oll_strbuf why;
        oll_strbuf_init(&why, WHY_MAX);
        if (p->pid > 0)
            runner_reap(p, false, &why, &was_memory);
        oll_strbuf_free(&why);
        pthread_mutex_lock(&p->lock);
        p->error = failed;
        pthread_mutex_unlock(&p->lock);
    }
    tell(p);
    return NULL;
}
