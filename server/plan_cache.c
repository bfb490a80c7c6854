#include "server/plan_cache.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LOOK_MS = 50, KEY_MAX = 1 << 16 };

enum state { MAKING, MADE, FAILED };

struct entry {
    struct entry *next;
    char *key;
    enum state state;
    int n_waiting; /* threads that wait for it; it stays for them */
    uint64_t used; /* the larger, the later */
    struct oll_plan plan;
    oll_status status;
    struct oll_error err;
};

struct plan_cache {
    plan_cache_make_fn make;
    struct runners *runners;
    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t changed;
    struct entry *entries; /* none that has failed */
    int n_entries, n_making;
    uint64_t n_used;
};

struct plan_cache *plan_cache_new(plan_cache_make_fn make, struct runners *runners)
{
    struct plan_cache *c = oll_calloc(1, sizeof *c);
    pthread_condattr_t attr;
    if (!c)
        return NULL;
    c->make = make;
    c->runners = runners;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    return c;
}

static void free_entry(struct entry *e)
{
    oll_plan_free(&e->plan);
    oll_free(e->key);
    oll_free(e);
}

void plan_cache_free(struct plan_cache *c)
{
    if (!c)
        return;
    while (c->entries) {
        struct entry *e = c->entries;
        c->entries = e->next;
        free_entry(e);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    oll_free(c);
}

/* ---- keys ---- */

/* Path and identity; false when there is no such file. */
static bool add_file(struct oll_strbuf *key, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    oll_strbuf_printf(key, "%s\n%llu:%llu %lld %lld.%09ld\n", path, (unsigned long long)st.st_dev,
                      (unsigned long long)st.st_ino, (long long)st.st_size,
                      (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return true;
}

/* NULL: the files cannot be told from others, or there is no memory. */
static char *key_of(const struct oll_engine_params *p)
{
    struct oll_strbuf key;
    oll_strbuf_init(&key, KEY_MAX);
    const bool known =
        add_file(&key, p->model_path) && (!p->adapter_path || add_file(&key, p->adapter_path));
    oll_strbuf_printf(&key, "%u %u %u %d %d %d %s", p->n_ctx, p->n_slots, p->n_ubatch, p->n_threads,
                      (int)p->kv_dtype, (int)p->kv_f32, p->devices ? p->devices : "");
    char *copy = known && key.status == OLL_OK ? oll_strdup(key.data) : NULL;
    oll_strbuf_free(&key);
    return copy;
}

/* ---- entries; the lock is held ---- */

static struct entry *find(struct plan_cache *c, const char *key)
{
    struct entry *e = c->entries;
    while (e && strcmp(e->key, key) != 0)
        e = e->next;
    return e;
}

static void take_out(struct plan_cache *c, struct entry *e)
{
    struct entry **link = &c->entries;
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    c->n_entries--;
}

/* Lets go of the plans that were wanted least lately. */
static void evict(struct plan_cache *c)
{
    while (c->n_entries > PLAN_CACHE_MAX) {
        struct entry *oldest = NULL;
        for (struct entry *e = c->entries; e; e = e->next)
            if (e->state == MADE && e->n_waiting == 0 && (!oldest || e->used < oldest->used))
                oldest = e;
        if (!oldest)
            return;
        take_out(c, oldest);
        free_entry(oldest);
    }
}

static uint64_t *copy_sizes(const uint64_t *sizes, size_t n)
{
    uint64_t *copy = oll_alloc(n + 1, sizeof *copy);
    if (copy)
        memcpy(copy, sizes, n * sizeof *copy);
    return copy;
}

static oll_status copy_plan(const struct oll_plan *plan, struct oll_plan *out,
                            struct oll_error *err)
{
    *out = *plan;
    out->layer_bytes = copy_sizes(plan->layer_bytes, (size_t)plan->n_layer + 1);
    out->layer_kv_bytes = copy_sizes(plan->layer_kv_bytes, plan->n_layer);
    if (out->layer_bytes && out->layer_kv_bytes)
        return OLL_OK;
    oll_plan_free(out);
    return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a plan");
}

/* Waits a moment; false when the plan is not wanted any more. */
static bool wait_some(struct plan_cache *c, const struct runner_wish *wish)
{
    const uint64_t ns = oll_clock_ns() + (uint64_t)LOOK_MS * 1000000u;
    const struct timespec at = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    pthread_cond_timedwait(&c->changed, &c->lock, &at);
    if (!wish->gone)
        return true;
    pthread_mutex_unlock(&c->lock);
    const bool gone = wish->gone(wish->arg);
    pthread_mutex_lock(&c->lock);
    return !gone;
}

/* ---- plans ---- */

/* Makes a plan with the lock released. */
static oll_status make(struct plan_cache *c, const struct runner_wish *wish, struct oll_plan *out,
                       struct oll_error *err)
{
    while (c->n_making >= PLAN_CACHE_AT_ONCE)
        if (!wait_some(c, wish))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
    c->n_making++;
    pthread_mutex_unlock(&c->lock);
    const oll_status status = c->make(c->runners, wish, out, err);
    pthread_mutex_lock(&c->lock);
    c->n_making--;
    pthread_cond_broadcast(&c->changed);
    return status;
}

/* Makes the plan of a new entry, and copies it. */
static oll_status fill(struct plan_cache *c, struct entry *e, const struct runner_wish *wish,
                       struct oll_plan *out, struct oll_error *err)
{
    e->status = make(c, wish, &e->plan, &e->err);
    e->state = e->status == OLL_OK ? MADE : FAILED;
    pthread_cond_broadcast(&c->changed);
    if (e->status == OLL_OK) {
        e->used = ++c->n_used;
        const oll_status status = copy_plan(&e->plan, out, err);
        evict(c);
        return status;
    }
    const oll_status status = e->status;
    oll_error_set(err, status, "%s", oll_error_text(&e->err));
    take_out(c, e);
    if (e->n_waiting == 0)
        free_entry(e);
    return status;
}

/* Waits for what another thread makes. *again: nobody wanted that one any more, and the plan is
 * still to be made. */
static oll_status share(struct plan_cache *c, struct entry *e, const struct runner_wish *wish,
                        struct oll_plan *out, bool *again, struct oll_error *err)
{
    oll_status status = OLL_OK;
    e->n_waiting++;
    while (e->state == MAKING && status == OLL_OK)
        if (!wait_some(c, wish))
            status = OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
    e->n_waiting--;
    *again = status == OLL_OK && e->state == FAILED && e->status == OLL_ERR_CANCELED;
    if (status == OLL_OK && e->state == MADE) {
        e->used = ++c->n_used;
        status = copy_plan(&e->plan, out, err);
    } else if (status == OLL_OK && !*again) {
        status = e->status;
        oll_error_set(err, status, "%s", oll_error_text(&e->err));
    }
    if (e->state == FAILED && e->n_waiting == 0)
        free_entry(e);
    return status;
}

static struct entry *add(struct plan_cache *c, char *key)
{
    struct entry *e = oll_calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->key = key;
    e->next = c->entries;
    c->entries = e;
    c->n_entries++;
    return e;
}

oll_status plan_cache_get(struct plan_cache *c, const struct runner_wish *wish,
                          struct oll_plan *out, struct oll_error *err)
{
    char *key = key_of(&wish->params);
    oll_status status = OLL_OK;
    struct entry *e = NULL;
    bool again = true;
    pthread_mutex_lock(&c->lock);
    while (again && key && (e = find(c, key)))
        status = share(c, e, wish, out, &again, err);
    if (again && key && (e = add(c, key))) {
        key = NULL;
        status = fill(c, e, wish, out, err);
    } else if (again) {
        status = make(c, wish, out, err);
    }
    pthread_mutex_unlock(&c->lock);
    oll_free(key);
    return status;
}
