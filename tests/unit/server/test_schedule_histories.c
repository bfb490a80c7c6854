/* The scheduler's policy against thousands of random histories: requests, cancellations, loads that
 * fail, hang or take long, runners that die, cards that give memory back late. Clock, devices and
 * runners are made up; each history comes from a seed, which a failure prints.
 *
 *     test_schedule_histories               all
 *     OLL_HISTORY=17 test_schedule_histories     one, with its events
 *
 * What must hold in all of them:
 *
 *   budget      no device ever holds more than it has; no more models than allowed
 *   exclusion   two loads under way never share a device
 *   service     a request is granted a loaded runner that was loaded as it wants, and none that is
 *               being unloaded or was told to go; one for a loaded model is granted at once
 *   bounds      no more wait than the queue takes
 *   progress    nobody waits longer than those before it may need (starvation), nor when nothing
 *               is left to happen (lost wake-up)
 *   leaks       in the end every runner is gone and every request answered
 *
 * Broken on purpose, and seen to fail (tests/unit/server/schedule_mutations.py does it again). */
#include "engine/base/mem.h"
#include "server/schedule_policy.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS      1000000ull
#define SECONDS (1000 * MS)
#define GIB     ((uint64_t)1 << 30)

enum {
    HISTORIES = 2000,
    KEYS = 7,
    REQUESTS = 64, /* at once */
    EVENTS = 512,  /* at once */
    LEASE_S = 20,  /* longest */
    LOAD_S = 10,
    HANG_S = 30, /* the time-out of a load */
    /* What one who waits may need, and each one before it: a load under way that hangs, victims'
     * requests, unloading with its late memory, its own load twice. */
    PATIENCE_S = 2 * (HANG_S + LEASE_S + 8 + HANG_S)
};

enum what { ARRIVE, GIVE_UP, RETURN, LOADED, STEP, UNLOADED, MEMORY, DIE, STOP };

struct event {
    uint64_t at;
    enum what what;
    int i;                      /* request */
    struct policy_model *model; /* with its number, as models come and go */
    uint64_t serial;
    oll_status status;
    uint64_t bytes[POLICY_MAX_DEVICES];
};

struct request {
    struct policy_waiter waiter;
    bool used, waiting;
    uint64_t since, serial;
    int n_before;
    int key;
};

/* What the fake knows of a runner. */
struct runner {
    struct policy_model *model; /* NULL: free */
    uint64_t serial;
    struct policy_options options;
    struct policy_footprint footprint;
    bool loaded, unloading, hangs;
    int n_leases;
};

enum { RUNNERS = 32 };

static struct {
    uint64_t seed, random, now, serial;
    struct policy *policy;
    struct policy_config config;
    struct request requests[REQUESTS];
    struct event events[EVENTS];
    int n_events;
    struct runner runners[RUNNERS];
    uint64_t lagging[POLICY_MAX_DEVICES]; /* of runners that are gone */
    int n_loads, n_unloads, n_failures;
    bool trace, broken;
} world;

static const char *const keys[KEYS] = {"a", "b", "c", "d", "e", "f", "g"};
static const uint64_t sizes[KEYS] = {1, 2, 3, 4, 5, 7, 12}; /* GiB at the usual window */

static void fail(const char *what)
{
    if (!world.broken)
        CHECK_MSG(false, "history %llu at %.3f s: %s", (unsigned long long)world.seed,
                  (double)world.now / (double)SECONDS, what);
    world.broken = true;
}

static void must(bool ok, const char *what)
{
    if (!ok)
        fail(what);
}

static uint64_t below(uint64_t n) { return testing_random(&world.random) % n; }
static bool chance(int percent) { return below(100) < (uint64_t)percent; }
static uint64_t within(uint64_t from, uint64_t to) { return from + below(to - from + 1); }

/* ---- devices ---- */

/* The card with most room that holds it all; else all cards, filled one after the other, and the
 * processor with the rest when that is allowed. */
static enum policy_fit place(void *arg, struct policy_waiter *w, const struct policy_room *room,
                             struct policy_footprint *out)
{
    (void)arg;
    const int n = world.config.n_device;
    const struct policy_options *o = &w->want.options;
    uint64_t need = *(const uint64_t *)w->want.data * GIB * o->n_ctx / POLICY_AUTO_CTX;
    int best = 0;
    for (int i = 1; i < n && o->num_gpu != 0; i++)
        if (room->free_bytes[i] >= need && (!best || room->free_bytes[i] > room->free_bytes[best]))
            best = i;
    if (best) {
        out->bytes[best] = need;
        out->devices = 1u << best;
        return POLICY_FITS;
    }
    for (int i = 1; i < n && o->num_gpu != 0; i++) {
        uint64_t take = need < room->free_bytes[i] ? need : room->free_bytes[i];
        out->bytes[i] = take;
        out->devices |= take > 0 ? 1u << i : 0;
        need -= take;
    }
    if (need == 0)
        return POLICY_FITS;
    if (n > 1 && o->num_gpu != 0 && !room->may_split)
        return POLICY_NEEDS_ROOM;
    out->bytes[0] = need;
    out->devices |= 1;
    return need <= room->free_bytes[0] ? POLICY_FITS : POLICY_NEEDS_ROOM;
}

/* In use for certain: what is being loaded has taken half of its memory. */
static uint64_t used_bytes(int i, bool all)
{
    uint64_t sum = world.lagging[i];
    for (int r = 0; r < RUNNERS; r++)
        if (world.runners[r].model) {
            uint64_t n = world.runners[r].footprint.bytes[i];
            sum += world.runners[r].loaded || all ? n : n / 2;
        }
    return sum;
}

static void report_memory(void)
{
    uint64_t bytes[POLICY_MAX_DEVICES] = {0};
    for (int i = 0; i < world.config.n_device; i++)
        bytes[i] = world.config.devices[i].total_bytes - used_bytes(i, false);
    policy_memory(world.policy, bytes);
}

/* ---- events ---- */

static struct event *push(uint64_t delay, enum what what)
{
    OLL_ASSERT(world.n_events < EVENTS);
    struct event *e = &world.events[world.n_events++];
    *e = (struct event){.at = world.now + delay, .what = what};
    return e;
}

static struct event pop(void)
{
    int first = 0;
    for (int i = 1; i < world.n_events; i++)
        if (world.events[i].at < world.events[first].at)
            first = i;
    struct event e = world.events[first];
    world.events[first] = world.events[--world.n_events];
    return e;
}

static uint64_t next_event(void)
{
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < world.n_events; i++)
        if (world.events[i].at < at)
            at = world.events[i].at;
    return at;
}

static struct runner *find_runner(const struct policy_model *model, uint64_t serial)
{
    for (int i = 0; i < RUNNERS; i++)
        if (world.runners[i].model == model && (!serial || world.runners[i].serial == serial))
            return &world.runners[i];
    return NULL;
}

/* ---- decisions ---- */

static void check_budget(void)
{
    int n = 0;
    for (int i = 0; i < world.config.n_device; i++)
        must(used_bytes(i, true) <= world.config.devices[i].total_bytes, "over budget");
    for (int i = 0; i < RUNNERS; i++)
        n += world.runners[i].model != NULL;
    must(n <= world.config.max_loaded, "too many models");
}

static void begin_load(const struct policy_action *a)
{
    struct runner *r = find_runner(NULL, 0);
    OLL_ASSERT(r);
    for (int i = 0; i < RUNNERS; i++) {
        const struct runner *other = &world.runners[i];
        if (other->model && !other->loaded)
            must((other->footprint.devices & a->model->footprint.devices) == 0,
                 "two loads on one device");
        if (other->model)
            must(strcmp(other->model->key, a->model->key) != 0, "one file loaded twice");
    }
    *r = (struct runner){.model = a->model,
                         .serial = ++world.serial,
                         .options = a->model->options,
                         .footprint = a->model->footprint,
                         .hangs = chance(3)};
    world.n_loads++;
    check_budget();
    if (r->hangs)
        return;
    uint64_t takes = within(1, LOAD_S * 1000) * MS;
    struct event *e = push(takes, LOADED);
    e->model = r->model;
    e->serial = r->serial;
    e->status = chance(5) ? OLL_ERR_MEMORY : chance(4) ? OLL_ERR_FORMAT : OLL_OK;
    e = push(takes / 2, STEP);
    e->model = r->model;
    e->serial = r->serial;
}

static void end_soon(const struct policy_model *model)
{
    struct runner *r = find_runner(model, 0);
    must(r && !r->loaded, "abort of no load");
    if (!r || !r->hangs)
        return; /* this one ends by itself, and may even succeed */
    struct event *e = push(within(1, 1000) * MS, LOADED);
    e->model = r->model;
    e->serial = r->serial;
    e->status = OLL_ERR_CANCELED;
}

static void begin_unload(const struct policy_model *model)
{
    struct runner *r = find_runner(model, 0);
    must(r && r->loaded && !r->unloading, "unloading of no loaded runner");
    if (!r)
        return;
    must(r->n_leases == 0, "unloaded while in use");
    r->unloading = true;
    struct event *e = push(within(1, 1500) * MS, UNLOADED);
    e->model = r->model;
    e->serial = r->serial;
}

static void took_lease(struct request *q)
{
    const struct policy_options *want = &q->waiter.want.options;
    struct runner *r = find_runner(q->waiter.model, 0);
    q->waiting = false;
    must(r && r->loaded && !r->unloading, "granted what is not loaded");
    if (!r)
        return;
    must(strcmp(r->model->key, q->waiter.want.key) == 0, "granted another model");
    must((r->options.auto_ctx && want->auto_ctx) || r->options.n_ctx == want->n_ctx,
         "granted another window");
    must(want->num_gpu < 0 || want->num_gpu == r->options.num_gpu, "granted another num_gpu");
    r->n_leases++;
    struct event *e = push(within(1, LEASE_S * 1000) * MS, RETURN);
    e->i = (int)(q - world.requests);
}

static void carry_out(const struct policy_action *a)
{
    struct request *q = (struct request *)a->waiter;
    switch (a->kind) {
    case POLICY_NONE: break;
    case POLICY_GRANT: took_lease(q); break;
    case POLICY_FAIL:
        must(a->status != OLL_OK, "failed without a reason");
        q->waiting = q->used = false;
        break;
    case POLICY_LOAD: begin_load(a); break;
    case POLICY_ABORT: end_soon(a->model); break;
    case POLICY_UNLOAD: begin_unload(a->model); break;
    }
}

static void decide(void)
{
    report_memory();
    for (int i = 0;; i++) {
        struct policy_action a = policy_next(world.policy, world.now);
        if (world.trace && a.kind != POLICY_NONE)
            printf("%10.3f   decision %d %s %s\n", (double)world.now / (double)SECONDS, a.kind,
                   a.model ? a.model->key : "", a.waiter ? a.waiter->want.key : "");
        if (a.kind == POLICY_NONE || world.broken)
            return;
        must(i < 10000, "decisions without end");
        carry_out(&a);
    }
}

/* ---- what happens ---- */

/* Whether somebody who looks on would say that a loaded model serves this request. */
static bool is_served(const struct request *q)
{
    for (const struct policy_model *m = policy_models(world.policy); m; m = m->next)
        if (m->state == POLICY_READY && !m->doomed && strcmp(m->key, q->waiter.want.key) == 0 &&
            m->options.n_ctx == q->waiter.want.options.n_ctx &&
            (q->waiter.want.options.num_gpu < 0 ||
             m->options.num_gpu == q->waiter.want.options.num_gpu))
            return true;
    return false;
}

static int n_waiting(void)
{
    int n = 0;
    for (int i = 0; i < REQUESTS; i++)
        n += world.requests[i].used && world.requests[i].waiting;
    return n;
}

static void arrive(bool hot)
{
    int i = 0;
    while (i < REQUESTS && world.requests[i].used)
        i++;
    if (i == REQUESTS)
        return;
    struct request *q = &world.requests[i];
    memset(q, 0, sizeof *q);
    q->key = hot ? 2 : (int)below(KEYS);
    q->since = world.now;
    q->serial = ++world.serial;
    q->waiter.want = (struct policy_want){
        .key = keys[q->key],
        .options = {.n_ctx = POLICY_AUTO_CTX,
                    .auto_ctx = true,
                    .num_gpu = !hot && chance(15) ? 0 : -1,
                    .main_gpu = -1,
                    .use_mmap = -1},
        .set_keep_alive = chance(30),
        .keep_alive_ns = chance(10)   ? -1
                         : chance(30) ? 0
                                      : (int64_t)(within(0, 60) * SECONDS),
        .data = &sizes[q->key],
    };
    if (!hot && chance(20)) {
        q->waiter.want.options.n_ctx = chance(50) ? 8192 : 2048;
        q->waiter.want.options.auto_ctx = false;
    }
    const bool served = is_served(q);
    q->n_before = n_waiting();
    const enum policy_answer answer = policy_acquire(world.policy, &q->waiter, world.now);
    must(!served || answer == POLICY_GRANTED, "a loaded model was delayed");
    if (answer == POLICY_REFUSED) {
        must(q->n_before > world.config.max_waiting, "refused although there was room to wait");
        return;
    }
    q->used = true;
    q->waiting = true;
    if (answer == POLICY_GRANTED)
        took_lease(q);
    else if (chance(20)) {
        struct event *e = push(within(1, 40000) * MS, GIVE_UP);
        e->i = i;
        e->serial = q->serial;
    }
}

static void return_lease(struct request *q)
{
    struct runner *r = find_runner(q->waiter.model, 0);
    r->n_leases--;
    q->used = false;
    policy_release(world.policy, q->waiter.model, world.now);
}

static void end_load(const struct event *e)
{
    struct runner *r = find_runner(e->model, e->serial);
    OLL_ASSERT(r);
    if (e->status == OLL_OK)
        r->loaded = true;
    else
        r->model = NULL, world.n_failures++;
    policy_loaded(world.policy, e->model, e->status, NULL, world.now);
}

/* The memory of a card comes back some time after its runner has ended, now and then very late. */
static void end_unload(const struct event *e)
{
    struct runner *r = find_runner(e->model, e->serial);
    struct event later = {0};
    bool lags = false;
    for (int i = 0; i < world.config.n_device; i++)
        if (world.config.devices[i].is_discrete && r->footprint.bytes[i] > 0) {
            later.bytes[i] = r->footprint.bytes[i];
            world.lagging[i] += later.bytes[i];
            lags = true;
        }
    r->model = NULL;
    world.n_unloads++;
    if (lags)
        memcpy(push(within(0, chance(5) ? 12000 : 2000) * MS, MEMORY)->bytes, later.bytes,
               sizeof later.bytes);
    policy_unloaded(world.policy, e->model, world.now);
}

/* It may have been answered meanwhile, and its record be in use again. */
static void give_up(struct request *q, uint64_t serial)
{
    if (!q->used || !q->waiting || q->serial != serial)
        return;
    policy_cancel(world.policy, &q->waiter);
    q->used = q->waiting = false;
}

static void happen(const struct event *e)
{
    struct runner *r;
    if (world.trace)
        printf("%10.3f event %d %s request %d status %d\n", (double)world.now / (double)SECONDS,
               e->what, e->model && find_runner(e->model, e->serial) ? e->model->key : "", e->i,
               e->status);
    switch (e->what) {
    case ARRIVE: arrive(e->i != 0); break;
    case GIVE_UP: give_up(&world.requests[e->i], e->serial); break;
    case RETURN: return_lease(&world.requests[e->i]); break;
    case LOADED: end_load(e); break;
    case STEP:
        if (find_runner(e->model, e->serial))
            policy_progress(world.policy, e->model, world.now);
        break;
    case UNLOADED: end_unload(e); break;
    case MEMORY:
        for (int i = 0; i < world.config.n_device; i++)
            world.lagging[i] -= e->bytes[i];
        break;
    case DIE:
        r = &world.runners[below(RUNNERS)];
        if (r->model && r->loaded && !r->unloading)
            policy_lost(world.policy, r->model);
        break;
    case STOP: policy_expire(world.policy, keys[below(KEYS)]); break;
    }
}

/* ---- histories ---- */

static void check_waits(void)
{
    int n = 0;
    for (int i = 0; i < REQUESTS; i++) {
        const struct request *q = &world.requests[i];
        if (!q->used || !q->waiting)
            continue;
        n++;
        uint64_t patience = (uint64_t)(q->n_before + 1) * PATIENCE_S * SECONDS;
        must(world.now - q->since <= patience, "starved");
    }
    /* Those whose load failed wait again. */
    must(policy_n_waiting(world.policy) <= world.config.max_waiting + world.config.n_device,
         "too many wait");
    must(policy_n_waiting(world.policy) <= n, "waits for nobody");
}

/* Goes on to the next event, or to when the policy wants to be asked. False at the end. */
static bool step(void)
{
    uint64_t wake = policy_wake_ns(world.policy, world.now), at = next_event();
    if (wake == UINT64_MAX && at == UINT64_MAX)
        return false;
    must(wake >= world.now, "wants to be woken in the past");
    if (at <= wake) {
        struct event e = pop();
        world.now = e.at;
        happen(&e);
    } else {
        world.now = wake;
    }
    decide();
    check_budget();
    check_waits();
    return !world.broken;
}

static void set_up(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.seed = world.random = seed;
    world.now = 1000 * SECONDS;
    world.config = (struct policy_config){
        .max_loaded = (int)within(1, 5),
        .max_waiting = (int)within(1, 12),
        .keep_alive_ns = (int64_t)(within(0, 30) * SECONDS),
        .load_timeout_ns = (int64_t)HANG_S * (int64_t)SECONDS,
        .n_device = (int)within(1, 4),
        .place = place,
    };
    for (int i = 0; i < world.config.n_device; i++)
        world.config.devices[i] = (struct policy_device){.total_bytes = within(4, 24) * GIB,
                                                         .is_discrete = i > 0 && chance(70)};
    world.policy = policy_new(&world.config);
}

/* Requests come for a while; then all that is left happens, and nothing may remain. */
static void run_history(uint64_t seed, int n_requests)
{
    set_up(seed);
    world.trace = getenv("OLL_HISTORY") != NULL;
    const uint64_t gap_ms = within(200, 8000);
    const bool has_hot = chance(50);
    for (int i = 0; i < n_requests && !world.broken; i++) {
        push(below(2 * gap_ms) * MS, ARRIVE)->i = has_hot && chance(60);
        if (chance(2))
            push(below(gap_ms) * MS, DIE);
        if (chance(3))
            push(below(gap_ms) * MS, STOP);
        uint64_t until = world.now + gap_ms * MS;
        while (!world.broken && next_event() <= until)
            step();
        while (!world.broken && policy_wake_ns(world.policy, world.now) <= until)
            step();
        if (world.now < until)
            world.now = until;
    }
    while (!world.broken && step()) {
    }
    /* Those that stay for ever. */
    policy_expire_all(world.policy);
    decide();
    while (!world.broken && step()) {
    }
    if (world.broken) {
        policy_free(world.policy);
        return;
    }
    must(n_waiting() == 0, "somebody waits, and nothing is left to happen");
    for (int i = 0; i < REQUESTS; i++)
        must(!world.requests[i].used, "a lease is left");
    must(!policy_models(world.policy), "a model is left");
    must(world.n_loads == world.n_unloads + world.n_failures, "a runner has leaked");
    policy_free(world.policy);
}

TEST(random_histories_keep_what_they_promise)
{
    const char *one = getenv("OLL_HISTORY");
    int n_loads = 0;
    for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
        if (one && strtoull(one, NULL, 10) != seed)
            continue;
        run_history(seed, seed % 20 == 0 ? 1500 : 150);
        n_loads += world.n_loads;
        if (world.broken)
            break;
    }
    printf("       %d loads\n", n_loads);
    CHECK(one || world.broken || n_loads > 50 * HISTORIES / 4);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
