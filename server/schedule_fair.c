#include "server/schedule_fair.h"

#include "engine/base/mem.h"

#include <string.h>

static const uint64_t age_ns = 10000000000u; /* of waiting, for one level of priority */

/* A client with requests; forgotten when the last one ends. */
struct fair_client {
    struct fair_client *next;
    char name[FAIR_CLIENT_MAX];
    struct fair_ticket *waiting; /* by priority, then in the order of asking */
    int n_running;
    int64_t
        deficit; /* tokens that it may still take; below 0: what it has taken beyond its turns */
};

static struct fair_client *find_client(const struct fair *f, const char *name)
{
    for (struct fair_client *c = f->clients; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* New ones come last: whoever waits already is not put off. */
static struct fair_client *add_client(struct fair *f, const char *name)
{
    struct fair_client **link = &f->clients, *c = oll_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    memcpy(c->name, name, strnlen(name, sizeof c->name - 1));
    while (*link)
        link = &(*link)->next;
    *link = c;
    return c;
}

static void take_client_out(struct fair *f, struct fair_client *c)
{
    struct fair_client **link = &f->clients;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    c->next = NULL;
}

static void forget_if_idle(struct fair *f, struct fair_client *c)
{
    if (c->waiting || c->n_running > 0)
        return;
    take_client_out(f, c);
    oll_free(c);
}

/* Its turn is over: the others come first. */
static void go_to_end(struct fair *f, struct fair_client *c)
{
    struct fair_client **link = &f->clients;
    take_client_out(f, c);
    while (*link)
        link = &(*link)->next;
    *link = c;
}

enum fair_answer fair_enter(struct fair *f, struct fair_ticket *t, uint64_t now)
{
    struct fair_client *c = find_client(f, t->client);
    if (f->n_running >= f->n_max && f->n_waiting >= f->max_waiting)
        return FAIR_FULL;
    if (!c)
        c = add_client(f, t->client);
    if (!c)
        return FAIR_NO_MEMORY;
    struct fair_ticket **link = &c->waiting;
    while (*link && (*link)->priority >= t->priority)
        link = &(*link)->next;
    t->next = *link;
    *link = t;
    t->owner = c;
    t->since_ns = now;
    t->running = false;
    f->n_waiting++;
    return FAIR_ENTERED;
}

/* Priority with age. */
static int64_t level_of(const struct fair_ticket *t, uint64_t now)
{
    return t->priority + (int64_t)((now - t->since_ns) / age_ns);
}

/* The ticket of a client that would be let in: the oldest of a lower priority may have overtaken
 * the first one by its age. */
static struct fair_ticket *head_of(const struct fair_client *c, uint64_t now)
{
    struct fair_ticket *best = c->waiting;
    for (struct fair_ticket *t = best ? best->next : NULL; t; t = t->next)
        if (level_of(t, now) > level_of(best, now))
            best = t;
    return best;
}

static struct fair_ticket *let_in(struct fair *f, struct fair_client *c, struct fair_ticket *t)
{
    struct fair_ticket **link = &c->waiting;
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    t->next = NULL;
    t->running = true;
    f->n_waiting--;
    f->n_running++;
    c->n_running++;
    c->deficit -= (int64_t)t->cost;
    return t;
}

/* Takes turns among the clients that have a request of the highest level. Every full round gives
 * each of them a quantum, so that somebody is let in after finitely many; rounds that can let in
 * nobody are taken all at once. */
static struct fair_ticket *take_turns(struct fair *f, int64_t level, uint64_t now)
{
    int64_t n_rounds = INT64_MAX;
    for (struct fair_client *c = f->clients; c; c = c->next) {
        const struct fair_ticket *t = head_of(c, now);
        if (!t || level_of(t, now) != level)
            continue;
        const int64_t needs = c->deficit > 0 ? 0 : -c->deficit / FAIR_QUANTUM + 1;
        n_rounds = needs < n_rounds ? needs : n_rounds;
    }
    for (struct fair_client *c = f->clients; c; c = c->next) {
        struct fair_ticket *t = head_of(c, now);
        if (t && level_of(t, now) == level)
            c->deficit += n_rounds * FAIR_QUANTUM;
    }
    for (struct fair_client *c = f->clients; c; c = c->next) {
        struct fair_ticket *t = head_of(c, now);
        if (!t || level_of(t, now) != level || c->deficit <= 0)
            continue;
        let_in(f, c, t);
        if (c->deficit <= 0)
            go_to_end(f, c);
        return t;
    }
    return NULL;
}

struct fair_ticket *fair_next(struct fair *f, uint64_t now)
{
    if (f->n_waiting == 0 || f->n_running >= f->n_max)
        return NULL;
    int64_t level = INT64_MIN;
    for (const struct fair_client *c = f->clients; c; c = c->next) {
        const struct fair_ticket *t = head_of(c, now);
        if (t && level_of(t, now) > level)
            level = level_of(t, now);
    }
    return take_turns(f, level, now);
}

void fair_leave(struct fair *f, struct fair_ticket *t, uint64_t taken)
{
    struct fair_client *c = t->owner;
    if (!c)
        return;
    t->owner = NULL;
    if (t->running) {
        f->n_running--;
        c->n_running--;
        c->deficit += (int64_t)t->cost - (int64_t)taken;
    } else {
        struct fair_ticket **link = &c->waiting;
        while (*link != t)
            link = &(*link)->next;
        *link = t->next;
        f->n_waiting--;
    }
    forget_if_idle(f, c);
}

int fair_position(const struct fair *f, const struct fair_ticket *t, uint64_t now)
{
    const int64_t level = level_of(t, now);
    int n_own = 0, n = 0;
    for (const struct fair_ticket *o = t->owner->waiting; o; o = o->next)
        n_own += level_of(o, now) > level ||
                 (o != t && level_of(o, now) == level && o->since_ns <= t->since_ns);
    for (const struct fair_client *c = f->clients; c; c = c->next) {
        int n_same = 0;
        if (c == t->owner)
            continue;
        for (const struct fair_ticket *o = c->waiting; o; o = o->next) {
            n += level_of(o, now) > level;
            n_same += level_of(o, now) == level;
        }
        /* In turns: as many of another client as there are of ours, this one included. */
        n += n_same < n_own + 1 ? n_same : n_own + 1;
    }
    return n + n_own;
}
