#include "server/schedule.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 50, MIN_CTX = 4, AUTO_CTX = 4096 };

static const uint64_t ns_per_ms = 1000 * 1000;

/* A loaded model. */
struct runner {
    struct runner *next;
    struct runner_engine *engine;
    char *path, *adapter_path, *name; /* adapter_path NULL: none */
    uint32_t n_ctx;                   /* as asked, within what the model was trained for */
    int64_t num_batch, num_thread;    /* as asked */
    int n_leases;
    bool doomed; /* to be unloaded when idle */
    int64_t keep_alive_ns;
    uint64_t expires_ns; /* while idle; UINT64_MAX: never */
};

struct lease {
    struct schedule *schedule;
    struct runner *runner;
};

/* A request that waits for a load; in the order of asking. Lives on its thread's stack. */
struct waiter {
    struct waiter *next;
};

struct schedule {
    struct schedule_config config;
    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t changed;
    struct runner *runners;
    int n_runners;
    struct waiter *first_waiter; /* whose turn to load it is */
    int n_waiting;
    bool stop;
    pthread_t reaper;
};

static void free_runner(struct runner *runner)
{
    oll_free(runner->path);
    oll_free(runner->adapter_path);
    oll_free(runner->name);
    oll_free(runner);
}

static void unload(struct runner *runner)
{
    oll_log_info("schedule", "unloading %s", runner->name);
    runner_close(runner->engine);
    free_runner(runner);
}

/* Waits for a change, at most `ms`. The lock is held. */
static void wait_change(struct schedule *s, uint64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms * ns_per_ms;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* Takes a runner out of the list. The lock is held. */
static void take_out(struct schedule *s, struct runner *runner)
{
    struct runner **link = &s->runners;
    while (*link != runner)
        link = &(*link)->next;
    *link = runner->next;
    s->n_runners--;
}

/* Unloads a runner that nobody uses, without the lock meanwhile. The lock is held. */
static void unload_idle(struct schedule *s, struct runner *runner)
{
    take_out(s, runner);
    pthread_mutex_unlock(&s->lock);
    unload(runner);
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->changed);
}

/* ---- keep-alive ---- */

static void start_clock(struct runner *runner)
{
    bool forever = runner->keep_alive_ns < 0 || runner->keep_alive_ns == SCHEDULE_FOREVER;
    runner->expires_ns = forever ? UINT64_MAX : oll_clock_ns() + (uint64_t)runner->keep_alive_ns;
}

static bool is_due(const struct runner *runner, uint64_t now)
{
    return runner->n_leases == 0 && (runner->doomed || now >= runner->expires_ns);
}

/* Thread that unloads what is due. */
static void *reaper_main(void *arg)
{
    struct schedule *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        uint64_t now = oll_clock_ns(), next = now + 3600000 * ns_per_ms;
        struct runner *due = NULL;
        for (struct runner *r = s->runners; r && !due; r = r->next) {
            if (is_due(r, now))
                due = r;
            else if (r->n_leases == 0 && r->expires_ns < next)
                next = r->expires_ns;
        }
        if (due)
            unload_idle(s, due);
        else
            wait_change(s, (next - now) / ns_per_ms + 1);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

oll_status schedule_new(const struct schedule_config *config, struct schedule **out,
                        struct oll_error *err)
{
    struct schedule *s = oll_calloc(1, sizeof *s);
    pthread_condattr_t attr;
    if (!s)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the scheduler");
    s->config = *config;
    s->config.max_loaded = config->max_loaded ? config->max_loaded : 3;
    s->config.max_waiting = config->max_waiting ? config->max_waiting : 512;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&s->reaper, NULL, reaper_main, s) != 0) {
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->changed);
        oll_free(s);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "cannot start the scheduler's thread");
    }
    *out = s;
    return OLL_OK;
}

void schedule_free(struct schedule *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->reaper, NULL);
    while (s->runners) {
        struct runner *runner = s->runners;
        OLL_ASSERT(runner->n_leases == 0);
        take_out(s, runner);
        unload(runner);
    }
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    oll_free(s);
}

/* ---- which model is it ---- */

/* Window that a request wants: its own, else the configured one, else the usual; never more than
 * the model was trained for. */
static uint32_t wanted_ctx(const struct schedule *s, const struct schedule_want *want)
{
    int64_t n = want->num_ctx > 0 ? want->num_ctx : s->config.n_ctx ? s->config.n_ctx : AUTO_CTX;
    if (want->n_ctx_train > 0 && (uint64_t)n > want->n_ctx_train)
        n = (int64_t)want->n_ctx_train;
    return n < MIN_CTX ? MIN_CTX : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* Whether a loaded model serves a request as it is. Values that the request leaves open never force
 * a reload, except the window: there the usual one is meant. */
static bool fits(const struct schedule *s, const struct runner *r, const struct schedule_want *want)
{
    return !r->doomed && wanted_ctx(s, want) == r->n_ctx &&
           (want->num_batch <= 0 || want->num_batch == r->num_batch) &&
           (want->num_thread <= 0 || want->num_thread == r->num_thread);
}

/* A model with an adapter is another one than the model without. */
static struct runner *find(const struct schedule *s, const char *path, const char *adapter_path)
{
    for (struct runner *r = s->runners; r; r = r->next)
        if (strcmp(r->path, path) == 0 && !r->adapter_path == !adapter_path &&
            (!adapter_path || strcmp(r->adapter_path, adapter_path) == 0))
            return r;
    return NULL;
}

/* Who goes first: the shortest keep-alive, then by path; idle ones before busy ones. */
static struct runner *choose_victim(const struct schedule *s)
{
    struct runner *best = NULL;
    for (struct runner *r = s->runners; r; r = r->next) {
        if (!best || (r->n_leases == 0) > (best->n_leases == 0)) {
            best = r;
            continue;
        }
        if ((r->n_leases == 0) < (best->n_leases == 0))
            continue;
        uint64_t a = (uint64_t)r->keep_alive_ns, b = (uint64_t)best->keep_alive_ns;
        if (a < b || (a == b && strcmp(r->path, best->path) < 0))
            best = r;
    }
    return best;
}

/* ---- loading ---- */

static struct runner *new_runner(const struct schedule *s, const struct schedule_want *want)
{
    struct runner *r = oll_calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->path = oll_strdup(want->path);
    r->adapter_path = want->adapter_path ? oll_strdup(want->adapter_path) : NULL;
    r->name = oll_strdup(want->name);
    r->n_ctx = wanted_ctx(s, want);
    r->num_batch = want->num_batch;
    r->num_thread = want->num_thread;
    r->keep_alive_ns = s->config.keep_alive_ns;
    r->expires_ns = UINT64_MAX;
    if (r->path && r->name && !r->adapter_path == !want->adapter_path)
        return r;
    free_runner(r);
    return NULL;
}

/* Takes the path out of a message: remote callers are not told where files lie (R9). */
static const char *without_path(const char *text, const char *path)
{
    size_t n = strlen(path);
    if (strncmp(text, path, n) != 0)
        return strstr(text, path) ? "see the server's log" : text;
    return text + n + strspn(text + n, ": ");
}

static oll_status fail_load(const struct runner *r, oll_status status,
                            const struct oll_error *detail, struct oll_error *err)
{
    const char *text = without_path(oll_error_text(detail), r->path);
    if (r->adapter_path)
        text = without_path(text, r->adapter_path);
    if (status == OLL_ERR_MEMORY)
        return OLL_FAIL(err, status, "model requires more system memory than is available (%s)",
                        text);
    return OLL_FAIL(err, status,
                    "unable to load model: %s; this model may be incompatible with "
                    "this version of oll",
                    text);
}

static oll_status open_engine(const struct schedule *s, struct runner *r, struct oll_error *detail)
{
    struct oll_engine_params params = {
        .model_path = r->path,
        .adapter_path = r->adapter_path,
        .n_ctx = r->n_ctx,
        .n_slots = s->config.n_slots,
        .n_ubatch = r->num_batch > 0 && r->num_batch < 65536 ? (uint32_t)r->num_batch : 0,
        .n_threads =
            r->num_thread > 0 && r->num_thread < 4096 ? (int)r->num_thread : s->config.n_threads,
        .kv_dtype = s->config.kv_dtype,
        .devices = s->config.devices,
    };
    return runner_open(&params, &r->engine, detail);
}

/* Evicts one idle model; false when there is none. The lock is held. */
static bool evict_one(struct schedule *s)
{
    struct runner *victim = choose_victim(s);
    if (!victim || victim->n_leases > 0)
        return false;
    unload_idle(s, victim);
    return true;
}

/* Loads, and once more with the other idle models gone when memory is short. It is our turn, the
 * lock is held; it is not while the engine opens. */
static oll_status load(struct schedule *s, const struct schedule_want *want, struct runner **out,
                       struct oll_error *err)
{
    struct runner *r = new_runner(s, want);
    struct oll_error detail = {0};
    if (!r)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model");
    uint64_t begin = oll_clock_ns();
    pthread_mutex_unlock(&s->lock);
    oll_status status = open_engine(s, r, &detail);
    pthread_mutex_lock(&s->lock);
    while (status == OLL_ERR_MEMORY && evict_one(s)) {
        detail = (struct oll_error){0};
        pthread_mutex_unlock(&s->lock);
        status = open_engine(s, r, &detail);
        pthread_mutex_lock(&s->lock);
    }
    if (status != OLL_OK) {
        oll_log(OLL_LOG_ERROR, "schedule", "cannot load %s: %s", r->name, oll_error_text(&detail));
        fail_load(r, status, &detail, err);
        free_runner(r);
        return status;
    }
    oll_log_info("schedule", "loaded %s in %llu ms", r->name,
                 (unsigned long long)((oll_clock_ns() - begin) / ns_per_ms));
    r->next = s->runners;
    s->runners = r;
    s->n_runners++;
    *out = r;
    return OLL_OK;
}

/* Makes room for a model: the same file loaded otherwise must go, and one more when the count is
 * full. True when a load may begin now; else it waited a while. */
static bool make_room(struct schedule *s, const struct schedule_want *want)
{
    struct runner *same = find(s, want->path, want->adapter_path);
    if (same && same->n_leases == 0) {
        unload_idle(s, same);
        return false;
    }
    if (same) {
        same->doomed = true;
        wait_change(s, POLL_MS);
        return false;
    }
    if (s->n_runners < s->config.max_loaded)
        return true;
    if (!evict_one(s)) {
        struct runner *victim = choose_victim(s);
        if (victim)
            victim->doomed = true;
        wait_change(s, POLL_MS);
    }
    return false;
}

/* Waits for its turn, then for room, then loads; or takes what others have loaded meanwhile. The
 * lock is held. */
static oll_status wait_and_load(struct schedule *s, const struct schedule_want *want,
                                const struct waiter *self, struct runner **out,
                                struct oll_error *err)
{
    for (;;) {
        if (want->gone && want->gone(want->gone_arg))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
        if (s->first_waiter != self) {
            wait_change(s, POLL_MS);
            continue;
        }
        struct runner *r = find(s, want->path, want->adapter_path);
        if (r && fits(s, r, want)) {
            *out = r;
            return OLL_OK;
        }
        if (make_room(s, want))
            return load(s, want, out, err);
    }
}

/* A loaded model that fits. The lock is held. */
static oll_status get_runner(struct schedule *s, const struct schedule_want *want,
                             struct runner **out, struct oll_error *err)
{
    struct runner *r = find(s, want->path, want->adapter_path);
    if (r && fits(s, r, want)) {
        *out = r;
        return OLL_OK;
    }
    if (s->n_waiting >= s->config.max_waiting)
        return OLL_FAIL(err, OLL_ERR_BUSY,
                        "server busy, please try again.  maximum pending requests exceeded");
    struct waiter self = {NULL}, **link = &s->first_waiter;
    while (*link)
        link = &(*link)->next;
    *link = &self;
    s->n_waiting++;
    oll_status status = wait_and_load(s, want, &self, out, err);
    for (link = &s->first_waiter; *link != &self;)
        link = &(*link)->next;
    *link = self.next;
    s->n_waiting--;
    pthread_cond_broadcast(&s->changed);
    return status;
}

oll_status schedule_acquire(struct schedule *s, const struct schedule_want *want,
                            struct lease **out, struct oll_error *err)
{
    struct runner *r = NULL;
    struct lease *lease = oll_calloc(1, sizeof *lease);
    if (!lease)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a request");
    pthread_mutex_lock(&s->lock);
    oll_status status = get_runner(s, want, &r, err);
    if (status == OLL_OK) {
        r->n_leases++;
        if (want->set_keep_alive)
            r->keep_alive_ns = want->keep_alive_ns;
        *lease = (struct lease){.schedule = s, .runner = r};
    }
    pthread_mutex_unlock(&s->lock);
    if (status != OLL_OK) {
        oll_free(lease);
        return status;
    }
    *out = lease;
    return OLL_OK;
}

void schedule_release(struct lease *lease)
{
    if (!lease)
        return;
    struct schedule *s = lease->schedule;
    pthread_mutex_lock(&s->lock);
    if (--lease->runner->n_leases == 0)
        start_clock(lease->runner);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    oll_free(lease);
}

struct runner_engine *schedule_engine(const struct lease *lease) { return lease->runner->engine; }

void schedule_expire(struct schedule *s, const char *path, const char *adapter_path)
{
    pthread_mutex_lock(&s->lock);
    struct runner *r = find(s, path, adapter_path);
    if (r) {
        r->doomed = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

static int compare_life(const void *a, const void *b)
{
    const struct schedule_entry *x = a, *y = b;
    return x->expires_in_ns != y->expires_in_ns ? (x->expires_in_ns < y->expires_in_ns ? 1 : -1)
                                                : strcmp(x->name, y->name);
}

/* A busy model lives for its whole keep-alive time from now on. */
static int64_t life_of(const struct runner *r, uint64_t now)
{
    if (r->doomed)
        return 0;
    if (r->n_leases == 0)
        return r->expires_ns == UINT64_MAX ? SCHEDULE_FOREVER
               : r->expires_ns > now       ? (int64_t)(r->expires_ns - now)
                                           : 0;
    return r->keep_alive_ns < 0 ? SCHEDULE_FOREVER : r->keep_alive_ns;
}

oll_status schedule_list(struct schedule *s, struct oll_arena *arena, struct schedule_entry **out,
                         size_t *n, struct oll_error *err)
{
    const uint64_t now = oll_clock_ns();
    *n = 0;
    pthread_mutex_lock(&s->lock);
    *out = oll_arena_alloc(arena, (size_t)s->n_runners + 1, sizeof **out);
    for (struct runner *r = *out ? s->runners : NULL; r; r = r->next) {
        const struct oll_model_info *info = runner_info(r->engine);
        (*out)[(*n)++] = (struct schedule_entry){
            .name = oll_arena_strdup(arena, r->name),
            .size_bytes = info->weights_bytes + info->kv_bytes + info->activation_bytes,
            .n_ctx = info->n_ctx,
            .expires_in_ns = life_of(r, now),
        };
    }
    pthread_mutex_unlock(&s->lock);
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "out of memory for the list of loaded models");
    qsort(*out, *n, sizeof **out, compare_life);
    return OLL_OK;
}
