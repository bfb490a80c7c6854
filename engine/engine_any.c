/* Events of all requests, for one reader that carries them elsewhere. */
#include "engine/engine_internal.h"

#include "engine/base/clock.h"

#include <time.h>

void engine_any_init(struct oll_engine *e)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->any, &attr);
    pthread_condattr_destroy(&attr);
}

/* Whether there is an event of a request, or its last one was lost for want of memory. */
static bool is_ready(const struct request *r)
{
    return !r->held && !r->released && (r->first || (r->state == REQUEST_FINISHED && !r->ended));
}

/* Requests lie in the order of arrival, so that those that run come before those that wait. */
static struct request *find_ready(struct oll_engine *e)
{
    struct request *r = e->requests;
    while (r && !is_ready(r))
        r = r->next;
    return r;
}

static void take_event(struct oll_engine *e, struct request *r, struct oll_event *event)
{
    const bool was_full = r->n_events >= REQUEST_MAX_EVENTS;
    if (!request_pop(r, event))
        *event = (struct oll_event){.kind = OLL_EVENT_ERROR, .status = OLL_ERR_MEMORY};
    r->ended = event->kind == OLL_EVENT_DONE || event->kind == OLL_EVENT_ERROR;
    if (was_full)
        engine_poke(e);
}

/* Waits for a change; false when the deadline (CLOCK_MONOTONIC) has passed. The mutex is held. */
static bool wait_any(struct oll_engine *e, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX) {
        pthread_cond_wait(&e->any, &e->mutex);
        return true;
    }
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                          .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(&e->any, &e->mutex, &at) == 0;
}

oll_status oll_engine_next_any(struct oll_engine *e, int timeout_ms, uint64_t *id,
                               struct oll_event *event)
{
    uint64_t deadline =
        timeout_ms < 0 ? UINT64_MAX : oll_clock_ns() + (uint64_t)timeout_ms * 1000000u;
    struct request *r;
    pthread_mutex_lock(&e->mutex);
    while (!(r = find_ready(e)) && !e->woken && timeout_ms != 0)
        if (!wait_any(e, deadline))
            break;
    if (r) {
        *id = r->id;
        take_event(e, r, event);
    } else {
        e->woken = false;
    }
    pthread_mutex_unlock(&e->mutex);
    return r ? OLL_OK : OLL_ERR_TIMEOUT;
}

void oll_engine_hold(struct oll_engine *e, uint64_t id, bool hold)
{
    pthread_mutex_lock(&e->mutex);
    for (struct request *r = e->requests; r; r = r->next)
        if (r->id == id)
            r->held = hold;
    pthread_cond_signal(&e->any);
    pthread_mutex_unlock(&e->mutex);
}

uint64_t oll_engine_progress(const struct oll_engine *e)
{
    return atomic_load_explicit(&e->n_steps, memory_order_relaxed);
}

void oll_engine_wake(struct oll_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    e->woken = true;
    pthread_cond_signal(&e->any);
    pthread_mutex_unlock(&e->mutex);
}
