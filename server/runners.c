/* What all runners of a server share: their program, their limits, and the list of models whose
 * runners died, which are tried again after a growing while. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/plan_cache.h"
#include "server/runner_process.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { CRASHES_MAX = 64, WHY_MAX = 160, PAUSE_MAX_S = 60 };

/* A model whose process died and that has not answered since. */
struct crash {
    char *path; /* NULL: a free place */
    unsigned n;
    uint64_t at_ns;
    char why[WHY_MAX];
};

struct runners {
    char *executable;
    int64_t load_timeout_ns, silence_ns;
    struct plan_cache *plans;
    pthread_mutex_t lock; /* all that follows */
    struct crash crashes[CRASHES_MAX];
    atomic_int n_crashes; /* read without the lock: most servers have none, and ask often */
};

oll_status runners_new(const struct runners_config *config, struct runners **out,
                       struct oll_error *err)
{
    struct runners *r = oll_calloc(1, sizeof *r);
    *out = NULL;
    if (!r || !(r->executable = oll_strdup(config->executable)) ||
        !(r->plans = plan_cache_new(runner_plan_make, r))) {
        if (r)
            oll_free(r->executable);
        oll_free(r);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for runners");
    }
    r->load_timeout_ns = config->load_timeout_ns;
    r->silence_ns = config->silence_ns;
    pthread_mutex_init(&r->lock, NULL);
    /* Who started the server may have it ignore its children; then how they end would be lost. */
    signal(SIGCHLD, SIG_DFL);
    *out = r;
    return OLL_OK;
}

void runners_free(struct runners *r)
{
    if (!r)
        return;
    for (int i = 0; i < CRASHES_MAX; i++)
        oll_free(r->crashes[i].path);
    pthread_mutex_destroy(&r->lock);
    plan_cache_free(r->plans);
    oll_free(r->executable);
    oll_free(r);
}

oll_status runners_plan(struct runners *r, const struct runner_wish *wish, struct oll_plan *out,
                        struct oll_error *err)
{
    return plan_cache_get(r->plans, wish, out, err);
}

const char *runners_executable(const struct runners *r) { return r->executable; }
int64_t runners_load_timeout_ns(const struct runners *r) { return r->load_timeout_ns; }
int64_t runners_silence_ns(const struct runners *r) { return r->silence_ns; }

/* The lock is held. */
static struct crash *find(struct runners *r, const char *path)
{
    for (int i = 0; i < CRASHES_MAX; i++)
        if (r->crashes[i].path && strcmp(r->crashes[i].path, path) == 0)
            return &r->crashes[i];
    return NULL;
}

/* After the first death a model is tried at once, then after 1, 2, 4 ... seconds. */
static uint64_t pause_ns(const struct crash *c)
{
    uint64_t s = c->n < 2 ? 0 : c->n < 8 ? (uint64_t)1 << (c->n - 2) : PAUSE_MAX_S;
    return (s < PAUSE_MAX_S ? s : PAUSE_MAX_S) * 1000000000u;
}

oll_status runners_may_start(struct runners *r, const char *path, const char *name,
                             struct oll_error *err)
{
    oll_status status = OLL_OK;
    pthread_mutex_lock(&r->lock);
    const struct crash *c = find(r, path);
    const uint64_t since = c ? oll_clock_ns() - c->at_ns : 0;
    if (c && since < pause_ns(c))
        status = OLL_FAIL(err, OLL_ERR_BUSY,
                          "the runner of %s has died %u times in a row, at last %s; it is started "
                          "again in %llu s",
                          name, c->n, c->why,
                          (unsigned long long)((pause_ns(c) - since) / 1000000000u + 1));
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* A free place, else that of the oldest death. */
static struct crash *choose_place(struct runners *r)
{
    struct crash *best = &r->crashes[0];
    for (int i = 0; i < CRASHES_MAX; i++) {
        if (!r->crashes[i].path)
            return &r->crashes[i];
        if (r->crashes[i].at_ns < best->at_ns)
            best = &r->crashes[i];
    }
    return best;
}

static void forget(struct runners *r, struct crash *c)
{
    if (c && c->path) {
        oll_free(c->path);
        *c = (struct crash){0};
        atomic_fetch_sub_explicit(&r->n_crashes, 1, memory_order_relaxed);
    }
}

void runners_note_death(struct runners *r, const char *path, const char *why)
{
    pthread_mutex_lock(&r->lock);
    struct crash *c = find(r, path);
    if (!c) {
        c = choose_place(r);
        forget(r, c);
        c->path = oll_strdup(path);
        if (c->path)
            atomic_fetch_add_explicit(&r->n_crashes, 1, memory_order_relaxed);
    }
    c->n++;
    c->at_ns = oll_clock_ns();
    snprintf(c->why, sizeof c->why, "%s", why);
    pthread_mutex_unlock(&r->lock);
}

void runners_note_success(struct runners *r, const char *path)
{
    /* Relaxed: a death seen late costs one more pause, nothing else. */
    if (atomic_load_explicit(&r->n_crashes, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&r->lock);
    forget(r, find(r, path));
    pthread_mutex_unlock(&r->lock);
}
