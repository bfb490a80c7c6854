#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/schedule_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 50, CROWD = 32, CROWD_POLL_MS = 250 };

static const uint64_t ns_per_ms = 1000 * 1000;

/* ---- waiting ---- */

void schedule_wait_until(struct schedule *s, pthread_cond_t *cond, uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
    if (ns == UINT64_MAX)
        pthread_cond_wait(cond, &s->lock);
    else
        pthread_cond_timedwait(cond, &s->lock, &until);
}

/* In a crowd not so often, as all look. */
uint64_t schedule_next_look(int n_waiting)
{
    return oll_clock_ns() + (n_waiting > CROWD ? CROWD_POLL_MS : POLL_MS) * ns_per_ms;
}

oll_status schedule_refuse(struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_BUSY,
                    "server busy, please try again.  maximum pending requests exceeded");
}

/* ---- turns ---- */

static void let_in(struct model *m)
{
    for (struct fair_ticket *t; (t = fair_next(&m->fair, oll_clock_ns()));)
        pthread_cond_signal(&((struct lease *)t)->let_in);
}

static void fill_ticket(const struct schedule_turn *turn, struct fair_ticket *t)
{
    const int64_t max = FAIR_PRIORITY_MAX;
    *t = (struct fair_ticket){
        .priority = (int)(turn->priority > max    ? max
                          : turn->priority < -max ? -max
                                                  : turn->priority),
        .cost = turn->n_tokens < UINT32_MAX ? turn->n_tokens : UINT32_MAX,
    };
    memcpy(t->client, turn->client, strnlen(turn->client, sizeof t->client - 1));
}

/* Waits with the lock held, which is not while the peer is looked at. */
static oll_status wait_for_turn(struct lease *lease, const struct schedule_turn *turn,
                                struct oll_error *err)
{
    struct schedule *s = lease->schedule;
    struct model *m = lease->model->user;
    while (!lease->ticket.running) {
        pthread_mutex_unlock(&s->lock);
        const bool gone = turn->gone && turn->gone(turn->gone_arg);
        pthread_mutex_lock(&s->lock);
        if (gone && !lease->ticket.running) {
            fair_leave(&m->fair, &lease->ticket, 0);
            return OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
        }
        if (!lease->ticket.running)
            schedule_wait_until(s, &lease->let_in, schedule_next_look(m->fair.n_waiting));
        /* Age may have moved somebody up. */
        let_in(m);
    }
    return OLL_OK;
}

oll_status schedule_enter(struct lease *lease, const struct schedule_turn *turn, int *position,
                          struct oll_error *err)
{
    struct schedule *s = lease->schedule;
    struct model *m = lease->model->user;
    oll_status status = OLL_OK;
    *position = 0;
    schedule_leave(lease, 0);
    fill_ticket(turn, &lease->ticket);
    pthread_mutex_lock(&s->lock);
    switch (fair_enter(&m->fair, &lease->ticket, oll_clock_ns())) {
    case FAIR_FULL: status = schedule_refuse(err); break;
    case FAIR_NO_MEMORY:
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a request");
        break;
    case FAIR_ENTERED:
        let_in(m);
        if (!lease->ticket.running) {
            *position = fair_position(&m->fair, &lease->ticket, oll_clock_ns()) + 1;
            status = wait_for_turn(lease, turn, err);
        }
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

void schedule_leave(struct lease *lease, uint64_t n_tokens)
{
    struct schedule *s = lease->schedule;
    struct model *m = lease->model->user;
    pthread_mutex_lock(&s->lock);
    fair_leave(&m->fair, &lease->ticket, n_tokens);
    let_in(m);
    pthread_mutex_unlock(&s->lock);
}

uint32_t schedule_waiting(struct schedule *s)
{
    pthread_mutex_lock(&s->lock);
    uint32_t n = (uint32_t)policy_n_waiting(s->policy);
    for (const struct policy_model *m = policy_models(s->policy); m; m = m->next)
        n += m->user ? (uint32_t)((const struct model *)m->user)->fair.n_waiting : 0;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- lists ---- */

static int compare_life(const void *a, const void *b)
{
    const struct schedule_entry *x = a, *y = b;
    return x->expires_in_ns != y->expires_in_ns ? (x->expires_in_ns < y->expires_in_ns ? 1 : -1)
                                                : strcmp(x->name, y->name);
}

/* A busy model, or one that is being loaded, lives for its whole keep-alive time from now on. */
static int64_t life_of(const struct policy_model *m, uint64_t now)
{
    if (m->doomed)
        return 0;
    if (m->state == POLICY_READY && m->n_leases == 0)
        return m->expires_ns == UINT64_MAX ? SCHEDULE_FOREVER
               : m->expires_ns > now       ? (int64_t)(m->expires_ns - now)
                                           : 0;
    return m->keep_alive_ns;
}

oll_status schedule_list(struct schedule *s, struct oll_arena *arena, struct schedule_entry **out,
                         size_t *n, struct oll_error *err)
{
    const uint64_t now = oll_clock_ns();
    size_t n_models = 0;
    *n = 0;
    pthread_mutex_lock(&s->lock);
    for (const struct policy_model *m = policy_models(s->policy); m; m = m->next)
        n_models++;
    *out = oll_arena_alloc(arena, n_models + 1, sizeof **out);
    for (const struct policy_model *m = *out ? policy_models(s->policy) : NULL; m; m = m->next) {
        const struct model *model = m->user;
        if (model)
            (*out)[(*n)++] = (struct schedule_entry){
                .name = oll_arena_strdup(arena, model->name),
                .size_bytes = model->size_bytes,
                .vram_bytes = model->vram_bytes,
                .n_ctx = model->n_ctx,
                .expires_in_ns = life_of(m, now),
            };
    }
    pthread_mutex_unlock(&s->lock);
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "out of memory for the list of loaded models");
    qsort(*out, *n, sizeof **out, compare_life);
    return OLL_OK;
}
