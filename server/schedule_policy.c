#include "server/schedule_policy.h"

#include "engine/base/mem.h"

#include <string.h>

enum { MAX_LOADED = 3, MAX_WAITING = 512 };

static const uint64_t recover_poll_ns = 250 * 1000 * 1000, recover_max_ns = 5000000000u;

struct policy {
    struct policy_config config;
    struct policy_model *models;
    struct policy_waiter *waiters; /* in the order of asking */
    uint64_t free_bytes[POLICY_MAX_DEVICES];
};

struct policy *policy_new(const struct policy_config *config)
{
    struct policy *p = oll_calloc(1, sizeof *p);
    if (!p)
        return NULL;
    OLL_ASSERT(config->n_device >= 1 && config->n_device <= POLICY_MAX_DEVICES);
    p->config = *config;
    if (config->max_loaded <= 0)
        p->config.max_loaded = MAX_LOADED;
    if (config->max_waiting <= 0)
        p->config.max_waiting = MAX_WAITING;
    for (int i = 0; i < config->n_device; i++)
        p->free_bytes[i] = config->devices[i].total_bytes;
    return p;
}

static void free_model(struct policy_model *m)
{
    oll_free(m->key);
    oll_free(m);
}

void policy_free(struct policy *p)
{
    if (!p)
        return;
    while (p->models) {
        struct policy_model *m = p->models;
        p->models = m->next;
        free_model(m);
    }
    oll_free(p);
}

/* ---- models ---- */

static struct policy_model *find(const struct policy *p, const char *key)
{
    for (struct policy_model *m = p->models; m; m = m->next)
        if (m->state != POLICY_RECOVERING && strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

static void remove_model(struct policy *p, struct policy_model *model)
{
    struct policy_model **link = &p->models;
    while (*link != model)
        link = &(*link)->next;
    *link = model->next;
    free_model(model);
}

static int count_models(const struct policy *p)
{
    int n = 0;
    for (const struct policy_model *m = p->models; m; m = m->next)
        n++;
    return n;
}

static bool is_leaving(const struct policy_model *m) { return m->doomed || m->aborted; }

static int count_leaving(const struct policy *p)
{
    int n = 0;
    for (const struct policy_model *m = p->models; m; m = m->next)
        n += is_leaving(m);
    return n;
}

/* Whether a loaded model serves a request as it is: what the request leaves open never forces a
 * reload, except the window, where the usual one is meant. */
static bool options_fit(const struct policy_options *have, const struct policy_options *want)
{
    return (have->n_ctx == want->n_ctx || (have->auto_ctx && want->auto_ctx)) &&
           (want->num_batch <= 0 || want->num_batch == have->num_batch) &&
           (want->num_thread <= 0 || want->num_thread == have->num_thread) &&
           (want->draft_num_predict <= 0 || want->draft_num_predict == have->draft_num_predict) &&
           (want->num_gpu < 0 || want->num_gpu == have->num_gpu) &&
           (want->main_gpu < 0 || want->main_gpu == have->main_gpu) &&
           /* Files are mapped unless somebody says no. */
           (want->use_mmap < 0 || (want->use_mmap != 0) == (have->use_mmap != 0));
}

static bool serves(const struct policy_model *m, const struct policy_waiter *w)
{
    return !is_leaving(m) && options_fit(&m->options, &w->want.options);
}

static void start_clock(struct policy_model *m, uint64_t now)
{
    m->used_ns = now;
    m->expires_ns =
        m->keep_alive_ns == POLICY_FOREVER ? UINT64_MAX : now + (uint64_t)m->keep_alive_ns;
}

static void lease(struct policy_model *m, struct policy_waiter *w, uint64_t now)
{
    w->model = m;
    m->n_leases++;
    m->used_ns = now;
    m->expires_ns = UINT64_MAX;
    if (w->want.set_keep_alive)
        m->keep_alive_ns = w->want.keep_alive_ns < 0 ? POLICY_FOREVER : w->want.keep_alive_ns;
}

/* Who goes first: idle ones before busy ones, then the shortest keep-alive, the longest unused, and
 * the order of keys. NULL: nobody is left who does not go already or is still being loaded. */
static struct policy_model *choose_victim(const struct policy *p)
{
    struct policy_model *best = NULL;
    for (struct policy_model *m = p->models; m; m = m->next) {
        if (m->state != POLICY_READY || m->doomed)
            continue;
        if (!best || (m->n_leases == 0) != (best->n_leases == 0)) {
            if (!best || m->n_leases == 0)
                best = m;
        } else if (m->keep_alive_ns != best->keep_alive_ns) {
            if (m->keep_alive_ns < best->keep_alive_ns)
                best = m;
        } else if (m->used_ns != best->used_ns) {
            if (m->used_ns < best->used_ns)
                best = m;
        } else if (strcmp(m->key, best->key) < 0) {
            best = m;
        }
    }
    return best;
}

/* ---- memory ---- */

static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* What models hold of a device; with `only_loading` those that are still being loaded. */
static uint64_t held_bytes(const struct policy *p, int i_device, bool only_loading)
{
    uint64_t sum = 0;
    for (const struct policy_model *m = p->models; m; m = m->next)
        if ((m->state == POLICY_LOADING || !only_loading) &&
            !oll_add_u64(sum, m->footprint.bytes[i_device], &sum))
            return UINT64_MAX;
    return sum;
}

/* Loads under way have taken an unknown part of their memory: what is reported counts as if they
 * had taken none of it. With `loaded` as if they had taken all. */
static uint64_t free_bytes(const struct policy *p, int i, bool loaded)
{
    uint64_t rest = less(p->config.devices[i].total_bytes, held_bytes(p, i, false));
    uint64_t reported = less(p->free_bytes[i], loaded ? 0 : held_bytes(p, i, true));
    return rest < reported ? rest : reported;
}

uint64_t policy_free_bytes(const struct policy *p, int i) { return free_bytes(p, i, false); }

/* What could be free if all models were gone. */
static uint64_t possible_bytes(const struct policy *p, int i)
{
    uint64_t total = p->config.devices[i].total_bytes, sum;
    if (!oll_add_u64(p->free_bytes[i], held_bytes(p, i, false), &sum))
        return total;
    return sum < total ? sum : total;
}

static uint64_t discrete_held(const struct policy *p, const struct policy_model *m)
{
    uint64_t sum = 0;
    for (int i = 0; i < p->config.n_device; i++)
        if (p->config.devices[i].is_discrete)
            sum += m->footprint.bytes[i];
    return sum;
}

bool policy_needs_memory(const struct policy *p)
{
    if (p->waiters)
        return true;
    for (const struct policy_model *m = p->models; m; m = m->next)
        if (discrete_held(p, m) > 0)
            return true;
    return false;
}

void policy_memory(struct policy *p, const uint64_t *free_bytes)
{
    for (int i = 0; i < p->config.n_device; i++)
        p->free_bytes[i] = free_bytes[i];
}

static uint64_t discrete_free(const struct policy *p)
{
    uint64_t sum = 0;
    for (int i = 0; i < p->config.n_device; i++)
        if (p->config.devices[i].is_discrete)
            sum += p->free_bytes[i];
    return sum;
}

/* ---- events ---- */

static void take_out(struct policy *p, struct policy_waiter *waiter)
{
    struct policy_waiter **link = &p->waiters;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
    waiter->next = NULL;
}

int policy_n_waiting(const struct policy *p)
{
    int n = 0;
    bool is_loading = false;
    for (const struct policy_waiter *w = p->waiters; w; w = w->next) {
        n += !w->is_first;
        is_loading |= w->is_first;
    }
    /* With no load under way it is the first one's turn. */
    return n > 0 && !is_loading ? n - 1 : n;
}

int policy_position(const struct policy *p, const struct policy_waiter *waiter)
{
    int n = 0;
    for (const struct policy_waiter *w = p->waiters; w && w != waiter; w = w->next)
        n++;
    return n;
}

bool policy_try(struct policy *p, struct policy_waiter *waiter, uint64_t now)
{
    struct policy_model *m = find(p, waiter->want.key);
    if (!m || m->state != POLICY_READY || !serves(m, waiter))
        return false;
    lease(m, waiter, now);
    return true;
}

/* The one whose turn it is at once does not count. */
bool policy_is_full(const struct policy *p)
{
    return p->waiters && policy_n_waiting(p) >= p->config.max_waiting;
}

enum policy_answer policy_acquire(struct policy *p, struct policy_waiter *waiter, uint64_t now)
{
    struct policy_waiter **link = &p->waiters;
    if (policy_try(p, waiter, now))
        return POLICY_GRANTED;
    if (policy_is_full(p))
        return POLICY_REFUSED;
    while (*link)
        link = &(*link)->next;
    *link = waiter;
    waiter->next = NULL;
    waiter->model = NULL;
    return POLICY_QUEUED;
}

/* Somebody else who waits for a load; NULL: nobody. */
static struct policy_waiter *first_of(const struct policy *p, const struct policy_model *m)
{
    for (struct policy_waiter *w = p->waiters; w; w = w->next)
        if (w->model == m)
            return w;
    return NULL;
}

void policy_cancel(struct policy *p, struct policy_waiter *waiter)
{
    struct policy_model *m = waiter->model;
    take_out(p, waiter);
    waiter->model = NULL;
    if (!m || !waiter->is_first)
        return;
    struct policy_waiter *heir = first_of(p, m);
    if (heir)
        heir->is_first = true;
}

void policy_release(struct policy *p, struct policy_model *model, uint64_t now)
{
    (void)p;
    OLL_ASSERT(model->state == POLICY_READY && model->n_leases > 0);
    if (--model->n_leases == 0)
        start_clock(model, now);
}

void policy_expire(struct policy *p, const char *key)
{
    struct policy_model *m = find(p, key);
    if (m)
        m->doomed = true;
}

void policy_expire_all(struct policy *p)
{
    for (struct policy_model *m = p->models; m; m = m->next)
        m->doomed = true;
}

void policy_lost(struct policy *p, struct policy_model *model)
{
    (void)p;
    model->doomed = true;
}

void policy_progress(struct policy *p, struct policy_model *model, uint64_t now)
{
    (void)p;
    model->progress_ns = now;
}

/* An automatic window becomes the next smaller one (rest-api 3.5); false when it is the smallest.
 */
static bool shrink(struct policy_options *o)
{
    if (!o->auto_ctx || o->n_ctx <= POLICY_AUTO_CTX)
        return false;
    o->n_ctx = o->n_ctx > POLICY_MIDDLE_CTX ? POLICY_MIDDLE_CTX : POLICY_AUTO_CTX;
    return true;
}

/* After a load that ran out of memory a second attempt has the machine to itself, with a smaller
 * window where nobody named one. False: there is nothing to be gained. */
static bool may_retry(const struct policy *p, const struct policy_model *m, struct policy_waiter *w)
{
    if (w->evict_all || m->aborted)
        return false;
    bool smaller = shrink(&w->want.options);
    return smaller || count_models(p) > 1;
}

void policy_loaded(struct policy *p, struct policy_model *model, oll_status status,
                   const void *cause, uint64_t now)
{
    OLL_ASSERT(model->state == POLICY_LOADING);
    if (status == OLL_OK) {
        model->state = POLICY_READY;
        start_clock(model, now);
        /* Nobody wants it any more. */
        if (model->aborted)
            model->doomed = true;
        return;
    }
    for (struct policy_waiter *w = p->waiters; w; w = w->next) {
        if (w->model != model)
            continue;
        w->model = NULL;
        w->is_first = false;
        if (status == OLL_ERR_MEMORY && may_retry(p, model, w)) {
            w->evict_all = true;
            continue;
        }
        w->failure = status;
        w->cause = cause;
    }
    remove_model(p, model);
}

void policy_unloaded(struct policy *p, struct policy_model *model, uint64_t now)
{
    OLL_ASSERT(model->state == POLICY_UNLOADING);
    model->user = NULL;
    if (discrete_held(p, model) == 0) {
        remove_model(p, model);
        return;
    }
    model->state = POLICY_RECOVERING;
    model->recover_ns = now + recover_max_ns;
}

/* ---- decisions that concern models alone ---- */

/* Forgets models whose memory has come back, or should have. */
static void end_recovery(struct policy *p, uint64_t now)
{
    for (struct policy_model *m = p->models, *next; m; m = next) {
        next = m->next;
        if (m->state != POLICY_RECOVERING)
            continue;
        uint64_t held = discrete_held(p, m), have = discrete_free(p);
        if (now >= m->recover_ns || (have > m->free_before && have - m->free_before > held / 4 * 3))
            remove_model(p, m);
    }
}

static struct policy_action unload_due(struct policy *p, uint64_t now)
{
    for (struct policy_model *m = p->models; m; m = m->next) {
        if (m->state != POLICY_READY || m->n_leases > 0 || (!m->doomed && now < m->expires_ns))
            continue;
        /* Those who waited for this very load get it first. */
        if (first_of(p, m))
            continue;
        m->state = POLICY_UNLOADING;
        m->doomed = true;
        m->free_before = discrete_free(p);
        return (struct policy_action){.kind = POLICY_UNLOAD, .model = m};
    }
    return (struct policy_action){0};
}

static bool is_stuck(const struct policy *p, const struct policy_model *m, uint64_t now)
{
    return p->config.load_timeout_ns > 0 &&
           now >= m->progress_ns + (uint64_t)p->config.load_timeout_ns;
}

/* Ends loads that nobody waits for any more, and those that have stopped coming further. */
static struct policy_action abort_due(struct policy *p, uint64_t now)
{
    for (struct policy_model *m = p->models; m; m = m->next) {
        if (m->state != POLICY_LOADING || m->aborted)
            continue;
        if (first_of(p, m) && !is_stuck(p, m, now))
            continue;
        m->aborted = true;
        for (struct policy_waiter *w = p->waiters; w; w = w->next)
            if (w->model == m) {
                w->model = NULL;
                w->is_first = false;
                w->failure = OLL_ERR_TIMEOUT;
            }
        return (struct policy_action){.kind = POLICY_ABORT, .model = m};
    }
    return (struct policy_action){0};
}

/* ---- decisions that concern who waits ---- */

/* What those who asked earlier, and cannot be helped yet, keep from those behind them. */
struct turn {
    uint64_t now;
    int n_free;    /* places for models */
    uint32_t busy; /* devices of loads under way, and those that are spoken for */
    uint64_t claimed[POLICY_MAX_DEVICES];
    bool has_claims;
    bool closed; /* nobody else may load */
};

static struct policy_action answer(struct policy *p, struct policy_waiter *w)
{
    struct policy_action a = {
        .kind = POLICY_FAIL, .waiter = w, .status = w->failure, .cause = w->cause};
    take_out(p, w);
    return a;
}

static struct policy_action grant(struct policy *p, struct policy_waiter *w, struct policy_model *m,
                                  uint64_t now)
{
    take_out(p, w);
    lease(m, w, now);
    return (struct policy_action){.kind = POLICY_GRANT, .waiter = w, .model = m};
}

static struct policy_action begin_load(struct policy *p, struct policy_waiter *w,
                                       const struct policy_footprint *footprint, uint64_t now)
{
    struct policy_model *m = oll_calloc(1, sizeof *m);
    if (m)
        m->key = oll_strdup(w->want.key);
    if (!m || !m->key) {
        oll_free(m);
        w->failure = OLL_FAIL(&w->err, OLL_ERR_MEMORY, "out of memory for a model");
        return answer(p, w);
    }
    m->state = POLICY_LOADING;
    m->options = w->want.options;
    m->footprint = *footprint;
    m->keep_alive_ns = p->config.keep_alive_ns < 0 ? POLICY_FOREVER : p->config.keep_alive_ns;
    m->expires_ns = UINT64_MAX;
    m->progress_ns = m->used_ns = now;
    m->next = p->models;
    p->models = m;
    w->model = m;
    w->is_first = true;
    return (struct policy_action){.kind = POLICY_LOAD, .model = m, .waiter = w};
}

static void doom_all(struct policy *p)
{
    for (struct policy_model *m = p->models; m; m = m->next)
        m->doomed = true;
}

static void doom_one(struct policy *p)
{
    struct policy_model *victim = choose_victim(p);
    if (victim)
        victim->doomed = true;
}

/* Keeps devices and memory for somebody who waits for them. */
static void claim(struct policy *p, struct turn *t, const struct policy_footprint *f)
{
    t->busy |= f->devices;
    t->has_claims = true;
    for (int i = 0; i < p->config.n_device; i++)
        if (!oll_add_u64(t->claimed[i], f->bytes[i], &t->claimed[i]))
            t->claimed[i] = UINT64_MAX;
}

static enum policy_fit place(struct policy *p, struct policy_waiter *w,
                             const struct policy_room *room, struct policy_footprint *f)
{
    memset(f, 0, sizeof *f);
    return p->config.place(p->config.arg, w, room, f);
}

/* Where it would go if nothing were loaded; false, and the waiter failed, when nowhere. */
static bool could_fit(struct policy *p, struct policy_waiter *w)
{
    struct policy_room room = {.may_split = true};
    struct policy_footprint f;
    for (int i = 0; i < p->config.n_device; i++)
        room.free_bytes[i] = possible_bytes(p, i);
    while (place(p, w, &room, &f) != POLICY_FITS)
        if (!shrink(&w->want.options)) {
            w->failure = w->err.status != OLL_OK ? w->err.status : OLL_ERR_LIMIT;
            return false;
        }
    w->err = (struct oll_error){0};
    return true;
}

/* A place among the loaded models. False: not now. */
static bool take_place(struct policy *p, struct turn *t)
{
    if (t->n_free > 0) {
        t->n_free--;
        return true;
    }
    if (count_leaving(p) == 0)
        doom_one(p);
    /* Whatever comes free is for the first who waits for it. */
    t->closed = true;
    return false;
}

/* Whether it fits into what is free; with `loaded` into what was free if all loads had ended. */
static bool fits_now(struct policy *p, const struct turn *t, struct policy_waiter *w, bool loaded,
                     struct policy_footprint *f)
{
    struct policy_room room = {.may_split = !p->models && !t->has_claims};
    for (int i = 0; i < p->config.n_device; i++)
        room.free_bytes[i] = less(free_bytes(p, i, loaded), t->claimed[i]);
    return place(p, w, &room, f) == POLICY_FITS;
}

/* Memory and devices; a decision other than NONE ends the turn. */
static struct policy_action take_memory(struct policy *p, struct turn *t, struct policy_waiter *w)
{
    struct policy_footprint f;
    if (fits_now(p, t, w, false, &f)) {
        if ((f.devices & t->busy) == 0)
            return begin_load(p, w, &f, t->now);
        claim(p, t, &f);
    } else if (fits_now(p, t, w, true, &f)) {
        claim(p, t, &f);
    } else {
        if (!t->has_claims && count_leaving(p) == 0)
            doom_one(p);
        t->closed = true;
    }
    return (struct policy_action){0};
}

/* One who waits and whose load has not begun. */
static struct policy_action consider(struct policy *p, struct turn *t, struct policy_waiter *w)
{
    struct policy_model *m = find(p, w->want.key);
    if (w->failure != OLL_OK)
        return answer(p, w);
    if (m && serves(m, w)) {
        if (m->state == POLICY_READY)
            return grant(p, w, m, t->now);
        w->model = m;
        return (struct policy_action){0};
    }
    if (t->closed)
        return (struct policy_action){0};
    if (!could_fit(p, w))
        return answer(p, w);
    if (m || (w->evict_all && p->models)) {
        if (w->evict_all)
            doom_all(p);
        else
            m->doomed = true;
        t->closed = true;
        return (struct policy_action){0};
    }
    if (!take_place(p, t))
        return (struct policy_action){0};
    return take_memory(p, t, w);
}

static struct policy_action take_turns(struct policy *p, uint64_t now)
{
    const int n = count_models(p), n_max = p->config.max_loaded;
    struct turn t = {.now = now, .n_free = n < n_max ? n_max - n : 0};
    for (const struct policy_model *m = p->models; m; m = m->next)
        if (m->state == POLICY_LOADING)
            t.busy |= m->footprint.devices;
    for (struct policy_waiter *w = p->waiters, *next; w; w = next) {
        struct policy_action a = {0};
        next = w->next;
        if (!w->model)
            a = consider(p, &t, w);
        else if (w->model->state == POLICY_READY)
            a = grant(p, w, w->model, now);
        if (a.kind != POLICY_NONE)
            return a;
    }
    return (struct policy_action){0};
}

struct policy_action policy_next(struct policy *p, uint64_t now)
{
    end_recovery(p, now);
    struct policy_action a = abort_due(p, now);
    if (a.kind == POLICY_NONE)
        a = take_turns(p, now);
    /* Last: what is wanted again is not unloaded, and turns may have doomed somebody. */
    return a.kind == POLICY_NONE ? unload_due(p, now) : a;
}

uint64_t policy_wake_ns(const struct policy *p, uint64_t now)
{
    uint64_t wake = UINT64_MAX;
    for (const struct policy_model *m = p->models; m; m = m->next) {
        uint64_t at = UINT64_MAX;
        if (m->state == POLICY_READY && m->n_leases == 0)
            at = m->expires_ns;
        else if (m->state == POLICY_LOADING && !m->aborted && p->config.load_timeout_ns > 0)
            at = m->progress_ns + (uint64_t)p->config.load_timeout_ns;
        else if (m->state == POLICY_RECOVERING)
            at = now + recover_poll_ns < m->recover_ns ? now + recover_poll_ns : m->recover_ns;
        if (at < wake)
            wake = at;
    }
    return wake;
}

const struct policy_model *policy_models(const struct policy *p) { return p->models; }
