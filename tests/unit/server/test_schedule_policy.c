/* The scheduler's rules one by one (cli-and-scheduler 7 to 12 and its cases 25 to 35), on a clock
 * and devices that this program makes up. Sizes are in GiB. */
#include "engine/base/mem.h"
#include "server/schedule_policy.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#define SECONDS 1000000000ull
#define MINUTES (60 * SECONDS)
#define GIB     ((uint64_t)1 << 30)

static struct policy *policy;
static struct policy_config config;
static uint64_t now;
static struct policy_action last; /* the newest decision */

struct file {
    const char *key;
    uint64_t gib;
};
static const struct file a = {"a", 4}, b = {"b", 4}, c = {"c", 4}, big = {"big", 10};

/* One graphics card (device 1) whole, else, where that is allowed, what is left on the processor
 * (device 0); num_gpu 0 and machines without cards mean the processor. */
static enum policy_fit place(void *arg, struct policy_waiter *w, const struct policy_room *room,
                             struct policy_footprint *out)
{
    const struct file *f = w->want.data;
    const struct policy_config *have = arg;
    uint64_t need = f->gib * GIB * w->want.options.n_ctx / POLICY_AUTO_CTX;
    for (int i = 1; i < have->n_device && w->want.options.num_gpu != 0; i++)
        if (need <= room->free_bytes[i]) {
            out->bytes[i] = need;
            out->devices = 1u << i;
            return POLICY_FITS;
        }
    bool has_card = have->n_device > 1 && w->want.options.num_gpu != 0;
    if (has_card && !room->may_split)
        return POLICY_NEEDS_ROOM;
    out->devices = has_card ? 3 : 1;
    out->bytes[1] = has_card ? room->free_bytes[1] : 0;
    out->bytes[0] = need - out->bytes[1];
    if (out->bytes[0] <= room->free_bytes[0])
        return POLICY_FITS;
    OLL_FAIL(&w->err, OLL_ERR_MEMORY, "%s takes %d GiB", f->key, (int)(need / GIB));
    return POLICY_IMPOSSIBLE;
}

static void begin(void)
{
    config.place = place;
    config.arg = &config;
    if (config.n_device == 0)
        config.n_device = 1;
    if (config.keep_alive_ns == 0)
        config.keep_alive_ns = (int64_t)(5 * MINUTES);
    for (int i = 0; i < config.n_device; i++)
        if (config.devices[i].total_bytes == 0)
            config.devices[i].total_bytes = 100 * GIB;
    policy = policy_new(&config);
    now = 1000 * SECONDS;
}

static void end(void)
{
    policy_free(policy);
    config = (struct policy_config){0};
}

static struct policy_waiter ask_for(const struct file *f)
{
    return (struct policy_waiter){.want = {.key = f->key,
                                           .options = {.n_ctx = POLICY_AUTO_CTX,
                                                       .auto_ctx = true,
                                                       .num_gpu = -1,
                                                       .main_gpu = -1,
                                                       .use_mmap = -1},
                                           .data = f}};
}

static enum policy_action_kind next(void)
{
    last = policy_next(policy, now);
    return last.kind;
}

/* Asks and has the model loaded, which must be the only thing to do. */
static struct policy_model *load(struct policy_waiter *w)
{
    CHECK_EQ(policy_acquire(policy, w, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == w);
    struct policy_model *m = last.model;
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, m, OLL_OK, NULL, now);
    CHECK_EQ(next(), POLICY_GRANT);
    CHECK(last.waiter == w && last.model == m && w->model == m);
    CHECK_EQ(next(), POLICY_NONE);
    return m;
}

/* The same, and the lease is given back. */
static struct policy_model *load_idle(struct policy_waiter *w)
{
    struct policy_model *m = load(w);
    policy_release(policy, m, now);
    return m;
}

static void unload(struct policy_model *m)
{
    CHECK_EQ(next(), POLICY_UNLOAD);
    CHECK(last.model == m);
    policy_unloaded(policy, m, now);
}

static int n_models(void)
{
    int n = 0;
    for (const struct policy_model *m = policy_models(policy); m; m = m->next)
        n++;
    return n;
}

/* ---- keep-alive (chapter 8) ---- */

TEST(an_idle_model_stays_for_its_time)
{
    struct policy_waiter w = ask_for(&a);
    begin();
    struct policy_model *m = load_idle(&w);
    CHECK_EQ(policy_wake_ns(policy, now), now + 5 * MINUTES);
    now += 5 * MINUTES - 1;
    CHECK_EQ(next(), POLICY_NONE);
    now += 1;
    unload(m);
    CHECK_EQ(n_models(), 0);
    end();
}

TEST(the_time_counts_from_the_last_release)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a);
    begin();
    struct policy_model *m = load_idle(&w);
    now += 4 * MINUTES;
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_GRANTED);
    CHECK_EQ(policy_wake_ns(policy, now), UINT64_MAX);
    now += 60 * MINUTES;
    CHECK_EQ(next(), POLICY_NONE);
    policy_release(policy, m, now);
    CHECK_EQ(policy_wake_ns(policy, now), now + 5 * MINUTES);
    end();
}

TEST(keep_alive_of_zero_unloads_after_the_answer)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a);
    begin();
    w.want.set_keep_alive = true;
    struct policy_model *m = load(&w);
    CHECK_EQ(next(), POLICY_NONE);
    policy_release(policy, m, now);
    unload(m);
    load(&again);
    end();
}

TEST(negative_keep_alive_is_for_ever_and_stays)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a), brief = ask_for(&a);
    begin();
    w.want.set_keep_alive = true;
    w.want.keep_alive_ns = -1;
    struct policy_model *m = load_idle(&w);
    now += 1000000 * MINUTES;
    CHECK_EQ(next(), POLICY_NONE);
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_GRANTED);
    policy_release(policy, m, now);
    CHECK_EQ(m->keep_alive_ns, POLICY_FOREVER);
    CHECK_EQ(policy_wake_ns(policy, now), UINT64_MAX);
    brief.want.set_keep_alive = true;
    brief.want.keep_alive_ns = (int64_t)SECONDS;
    CHECK_EQ(policy_acquire(policy, &brief, now), POLICY_GRANTED);
    policy_release(policy, m, now);
    CHECK_EQ(policy_wake_ns(policy, now), now + SECONDS);
    end();
}

TEST(stop_unloads_an_idle_model_and_waits_for_a_busy_one)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a);
    begin();
    policy_expire(policy, "nothing");
    struct policy_model *m = load(&w);
    policy_expire(policy, "a");
    CHECK_EQ(next(), POLICY_NONE);
    /* Who asks after the stop gets a new one. */
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_release(policy, m, now);
    unload(m);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &again);
    end();
}

/* ---- reload (chapter 10, cases 28 to 30) ---- */

static bool reloads(struct policy_options had, struct policy_options wanted)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a);
    begin();
    w.want.options = had;
    again.want.options = wanted;
    struct policy_model *m = load_idle(&w);
    bool granted = policy_acquire(policy, &again, now) == POLICY_GRANTED;
    if (!granted) {
        unload(m);
        CHECK_EQ(next(), POLICY_LOAD);
    }
    end();
    return !granted;
}

TEST(options_of_the_load_force_a_reload)
{
    const struct policy_options base = ask_for(&a).want.options;
    struct policy_options x = base, y = base;
    CHECK(!reloads(base, base));
    x.n_ctx = 2048, x.auto_ctx = false;
    CHECK(reloads(base, x) && reloads(x, base) && !reloads(x, x));
    /* The usual window by name is the usual window. */
    y.auto_ctx = false;
    CHECK(!reloads(base, y) && !reloads(y, base));
    /* Two automatic windows are equal whatever became of them. */
    y.auto_ctx = true, y.n_ctx = 32768;
    CHECK(!reloads(y, base));
    x = base, x.num_gpu = 10, y = base, y.num_gpu = 11;
    CHECK(!reloads(x, base) && reloads(x, y) && reloads(base, x));
    x = base, x.main_gpu = 0;
    CHECK(!reloads(x, base) && reloads(base, x));
    x = base, x.num_batch = 64, y = base, y.num_batch = 128;
    CHECK(!reloads(x, base) && reloads(x, y) && reloads(base, x));
    x = base, x.num_thread = 1;
    CHECK(!reloads(x, base) && reloads(base, x));
    x = base, x.draft_num_predict = 4;
    CHECK(!reloads(x, base) && reloads(base, x));
    x = base, x.use_mmap = 1, y = base, y.use_mmap = 0;
    CHECK(!reloads(base, x) && reloads(base, y) && reloads(x, y) && !reloads(y, base));
}

TEST(a_reload_waits_for_who_uses_it)
{
    struct policy_waiter w = ask_for(&a), other = ask_for(&a), same = ask_for(&a);
    begin();
    other.want.options.n_ctx = 8192;
    other.want.options.auto_ctx = false;
    struct policy_model *m = load(&w);
    CHECK_EQ(policy_acquire(policy, &other, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    /* Requests that the old one would serve do not keep the new one waiting. */
    CHECK_EQ(policy_acquire(policy, &same, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_release(policy, m, now);
    unload(m);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &other);
    m = last.model;
    policy_loaded(policy, m, OLL_OK, NULL, now);
    CHECK_EQ(next(), POLICY_GRANT);
    CHECK(last.waiter == &other);
    policy_release(policy, m, now);
    unload(m);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &same);
    end();
}

TEST(a_dead_runner_is_replaced)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a);
    begin();
    struct policy_model *m = load(&w);
    policy_lost(policy, m);
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_QUEUED);
    policy_release(policy, m, now);
    unload(m);
    CHECK_EQ(next(), POLICY_LOAD);
    end();
}

/* ---- victims (chapter 9, cases 31, 32) ---- */

TEST(the_shortest_keep_alive_goes_first)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c), more = ask_for(&a);
    begin();
    policy_free(policy);
    config.max_loaded = 2;
    policy = policy_new(&config);
    struct policy_model *ma = load_idle(&wa);
    wb.want.set_keep_alive = true;
    wb.want.keep_alive_ns = (int64_t)(60 * MINUTES);
    struct policy_model *mb = load_idle(&wb);
    now += SECONDS;
    CHECK_EQ(policy_acquire(policy, &more, now), POLICY_GRANTED);
    policy_release(policy, ma, now);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    unload(ma);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(!mb->doomed);
    end();
}

TEST(an_idle_victim_before_a_busy_one_and_for_ever_last)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c);
    config.max_loaded = 2;
    begin();
    struct policy_model *ma = load(&wa); /* 5 m, busy */
    wb.want.set_keep_alive = true;
    wb.want.keep_alive_ns = -1;
    struct policy_model *mb = load_idle(&wb);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    unload(mb);
    CHECK(!ma->doomed);
    end();
}

TEST(of_equals_the_longest_unused_goes)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c), more = ask_for(&a);
    config.max_loaded = 2;
    begin();
    struct policy_model *ma = load_idle(&wa);
    now += SECONDS;
    struct policy_model *mb = load_idle(&wb);
    now += SECONDS;
    CHECK_EQ(policy_acquire(policy, &more, now), POLICY_GRANTED);
    policy_release(policy, ma, now);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    unload(mb);
    end();
}

TEST(a_busy_victim_ends_its_requests_first)
{
    struct policy_waiter wa = ask_for(&a), more = ask_for(&a), wb = ask_for(&b), late = ask_for(&a);
    config.max_loaded = 1;
    begin();
    struct policy_model *m = load(&wa);
    CHECK_EQ(policy_acquire(policy, &more, now), POLICY_GRANTED);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_release(policy, m, now);
    CHECK_EQ(next(), POLICY_NONE);
    /* It takes no more: b would wait for ever. */
    CHECK_EQ(policy_acquire(policy, &late, now), POLICY_QUEUED);
    policy_release(policy, m, now);
    unload(m);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &wb);
    end();
}

/* ---- the queue (chapter 7, cases 25, 33) ---- */

TEST(the_queue_has_an_end)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c), more = ask_for(&a);
    config.max_waiting = 1;
    begin();
    load(&wa);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    CHECK_EQ(policy_position(policy, &wc), 1);
    struct policy_waiter too_many = ask_for(&big);
    CHECK_EQ(policy_acquire(policy, &too_many, now), POLICY_REFUSED);
    CHECK_EQ(policy_acquire(policy, &more, now), POLICY_GRANTED);
    end();
}

TEST(who_has_gone_is_never_loaded_for)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c);
    begin();
    CHECK_EQ(policy_acquire(policy, &wa, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    struct policy_model *m = last.model;
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    policy_cancel(policy, &wb);
    policy_loaded(policy, m, OLL_OK, NULL, now);
    CHECK_EQ(next(), POLICY_GRANT);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &wc);
    end();
}

TEST(a_load_that_nobody_wants_is_aborted)
{
    struct policy_waiter w = ask_for(&a), other = ask_for(&a), again = ask_for(&a);
    struct policy_waiter behind = ask_for(&b);
    begin();
    CHECK_EQ(policy_acquire(policy, &w, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    struct policy_model *m = last.model;
    CHECK_EQ(policy_acquire(policy, &behind, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &other, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_cancel(policy, &w);
    CHECK_EQ(next(), POLICY_NONE); /* another one waits for it */
    policy_cancel(policy, &other);
    CHECK_EQ(next(), POLICY_ABORT);
    CHECK(last.model == m);
    CHECK_EQ(next(), POLICY_NONE);
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE); /* not two at once */
    policy_loaded(policy, m, OLL_OK, NULL, now);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &behind);
    unload(m);
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, behind.model, OLL_OK, NULL, now);
    CHECK_EQ(next(), POLICY_GRANT);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &again);
    end();
}

TEST(all_who_wait_for_a_load_share_it)
{
    struct policy_waiter w[3] = {ask_for(&a), ask_for(&a), ask_for(&a)};
    begin();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(policy_acquire(policy, &w[i], now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    struct policy_model *m = last.model;
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, m, OLL_OK, NULL, now);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(next(), POLICY_GRANT);
        CHECK(last.waiter == &w[i]);
    }
    CHECK_EQ(m->n_leases, 3);
    end();
}

TEST(a_failed_load_fails_for_all)
{
    struct policy_waiter w[2] = {ask_for(&a), ask_for(&a)}, again = ask_for(&a);
    int cause;
    begin();
    CHECK_EQ(policy_acquire(policy, &w[0], now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &w[1], now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, last.model ? last.model : w[0].model, OLL_ERR_FORMAT, &cause, now);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(next(), POLICY_FAIL);
        CHECK(last.waiter == &w[i] && last.status == OLL_ERR_FORMAT && last.cause == &cause);
    }
    CHECK_EQ(next(), POLICY_NONE);
    CHECK_EQ(n_models(), 0);
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    end();
}

/* ---- several loads (issue: two that want the same device wait, others do not) ---- */

static void two_cards(uint64_t gib)
{
    config.n_device = 3;
    config.max_loaded = 9;
    for (int i = 1; i < 3; i++)
        config.devices[i] = (struct policy_device){gib * GIB, true};
    begin();
}

TEST(loads_on_different_devices_go_on_together)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c), cpu = ask_for(&big);
    two_cards(6);
    cpu.want.options.num_gpu = 0;
    CHECK_EQ(policy_acquire(policy, &wa, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &cpu, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(last.model->footprint.devices, 2);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(last.model->footprint.devices, 4);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(last.model->footprint.devices, 1);
    CHECK_EQ(next(), POLICY_NONE);
    (void)wc;
    end();
}

TEST(loads_on_one_device_follow_each_other)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c);
    begin();
    CHECK_EQ(policy_acquire(policy, &wa, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(next(), POLICY_LOAD);
        struct policy_model *m = last.model;
        CHECK_EQ(next(), POLICY_NONE);
        policy_loaded(policy, m, OLL_OK, NULL, now);
        CHECK_EQ(next(), POLICY_GRANT);
    }
    end();
}

TEST(nobody_overtakes_on_the_device_that_the_first_waits_for)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b), wc = ask_for(&c);
    config.n_device = 2;
    config.devices[1] = (struct policy_device){9 * GIB, true};
    begin();
    CHECK_EQ(policy_acquire(policy, &wa, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    struct policy_model *m = last.model;
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(policy_acquire(policy, &wc, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, m, OLL_OK, NULL, now);
    CHECK_EQ(next(), POLICY_GRANT);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &wb);
    end();
}

/* ---- memory (chapters 7.4, 11, 12, case 35) ---- */

TEST(beside_others_a_model_fits_whole_or_they_go)
{
    struct policy_waiter wa = ask_for(&a), w = ask_for(&big);
    config.n_device = 2;
    config.devices[1] = (struct policy_device){8 * GIB, false};
    begin();
    struct policy_model *m = load_idle(&wa);
    CHECK_EQ(m->footprint.devices, 2);
    CHECK_EQ(policy_acquire(policy, &w, now), POLICY_QUEUED);
    unload(m);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(last.model->footprint.devices, 3);
    CHECK_EQ(last.model->footprint.bytes[1], 8 * GIB);
    CHECK_EQ(last.model->footprint.bytes[0], 2 * GIB);
    end();
}

TEST(too_large_is_refused_and_evicts_nobody)
{
    const struct file huge = {"huge", 101};
    struct policy_waiter wa = ask_for(&a), w = ask_for(&huge);
    begin();
    struct policy_model *m = load_idle(&wa);
    CHECK_EQ(policy_acquire(policy, &w, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_FAIL);
    CHECK(last.waiter == &w && last.status == OLL_ERR_MEMORY && !last.cause);
    CHECK_STR(w.err.text, "huge takes 101 GiB");
    CHECK_EQ(next(), POLICY_NONE);
    CHECK(!m->doomed);
    end();
}

TEST(an_automatic_window_shrinks_until_it_fits)
{
    struct policy_waiter w = ask_for(&a), named = ask_for(&b);
    begin();
    w.want.options.n_ctx = named.want.options.n_ctx = 262144; /* 256 GiB of 100 */
    named.want.options.auto_ctx = false;
    struct policy_model *m = load(&w);
    CHECK_EQ(m->options.n_ctx, 32768);
    CHECK_EQ(policy_acquire(policy, &named, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_FAIL);
    end();
}

TEST(memory_of_others_counts)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b);
    uint64_t reported = 6 * GIB;
    config.devices[0].total_bytes = 100 * GIB;
    begin();
    policy_memory(policy, &reported);
    struct policy_model *m = load_idle(&wa);
    reported = 2 * GIB;
    policy_memory(policy, &reported);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    unload(m);
    reported = 6 * GIB;
    policy_memory(policy, &reported);
    CHECK_EQ(next(), POLICY_LOAD);
    end();
}

TEST(a_load_under_way_has_its_memory)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b);
    uint64_t reported[3] = {100 * GIB, 6 * GIB, 0};
    two_cards(24);
    policy_memory(policy, reported);
    CHECK_EQ(policy_acquire(policy, &wa, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(policy_free_bytes(policy, 1), 2 * GIB);
    struct policy_model *m = last.model;
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, m, OLL_OK, NULL, now);
    end();
}

TEST(out_of_memory_retries_once_alone)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b);
    begin();
    struct policy_model *ma = load(&wa);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    policy_loaded(policy, last.model, OLL_ERR_MEMORY, NULL, now);
    CHECK_EQ(next(), POLICY_NONE);
    policy_release(policy, ma, now);
    unload(ma);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK(last.waiter == &wb);
    policy_loaded(policy, last.model, OLL_ERR_MEMORY, &wa, now);
    CHECK_EQ(next(), POLICY_FAIL);
    CHECK(last.waiter == &wb && last.status == OLL_ERR_MEMORY);
    end();
}

TEST(out_of_memory_takes_a_smaller_window)
{
    struct policy_waiter w = ask_for(&a);
    begin();
    w.want.options.n_ctx = 32768;
    CHECK_EQ(policy_acquire(policy, &w, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    policy_loaded(policy, last.model, OLL_ERR_MEMORY, NULL, now);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(last.model->options.n_ctx, POLICY_AUTO_CTX);
    policy_loaded(policy, last.model, OLL_ERR_MEMORY, &w, now);
    CHECK_EQ(next(), POLICY_FAIL);
    end();
}

TEST(out_of_memory_is_tried_no_third_time)
{
    struct policy_waiter w = ask_for(&a);
    config.devices[0].total_bytes = 1000 * GIB;
    begin();
    w.want.options.n_ctx = 262144;
    CHECK_EQ(policy_acquire(policy, &w, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    policy_loaded(policy, last.model, OLL_ERR_MEMORY, NULL, now);
    CHECK_EQ(next(), POLICY_LOAD);
    CHECK_EQ(last.model->options.n_ctx, POLICY_MIDDLE_CTX);
    policy_loaded(policy, last.model, OLL_ERR_MEMORY, NULL, now);
    CHECK_EQ(next(), POLICY_FAIL);
    CHECK_EQ(last.status, OLL_ERR_MEMORY);
    end();
}

TEST(memory_of_a_card_is_waited_for)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b);
    uint64_t reported[2] = {100 * GIB, 5 * GIB};
    config.n_device = 2;
    config.devices[1] = (struct policy_device){5 * GIB, true};
    begin();
    policy_memory(policy, reported);
    struct policy_model *m = load_idle(&wa);
    reported[1] = 1 * GIB;
    policy_memory(policy, reported);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    unload(m);
    CHECK_EQ(next(), POLICY_NONE);
    CHECK_EQ(policy_wake_ns(policy, now), now + SECONDS / 4);
    reported[1] = 4 * GIB; /* three quarters, not more */
    policy_memory(policy, reported);
    CHECK_EQ(next(), POLICY_NONE);
    reported[1] = 4 * GIB + 1;
    policy_memory(policy, reported);
    CHECK_EQ(next(), POLICY_LOAD);
    end();
}

TEST(memory_of_a_card_is_not_waited_for_for_ever)
{
    struct policy_waiter wa = ask_for(&a), wb = ask_for(&b);
    uint64_t reported[2] = {100 * GIB, 5 * GIB};
    config.n_device = 2;
    config.devices[1] = (struct policy_device){9 * GIB, true};
    begin();
    struct policy_model *m = load_idle(&wa);
    policy_memory(policy, reported);
    policy_expire(policy, "a");
    unload(m);
    CHECK_EQ(policy_acquire(policy, &wb, now), POLICY_QUEUED);
    now += 5 * SECONDS - 1;
    CHECK_EQ(policy_wake_ns(policy, now), now + 1);
    now += 1;
    CHECK_EQ(next(), POLICY_LOAD);
    end();
}

/* ---- time-out of a load (chapter 12) ---- */

TEST(a_load_without_progress_is_given_up)
{
    struct policy_waiter w = ask_for(&a), again = ask_for(&a);
    config.load_timeout_ns = (int64_t)(5 * MINUTES);
    begin();
    CHECK_EQ(policy_acquire(policy, &w, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_LOAD);
    struct policy_model *m = last.model;
    CHECK_EQ(policy_wake_ns(policy, now), now + 5 * MINUTES);
    now += 4 * MINUTES;
    policy_progress(policy, m, now);
    now += 5 * MINUTES - 1;
    CHECK_EQ(next(), POLICY_NONE);
    now += 1;
    CHECK_EQ(next(), POLICY_ABORT);
    CHECK(last.model == m);
    CHECK_EQ(next(), POLICY_FAIL);
    CHECK(last.waiter == &w && last.status == OLL_ERR_TIMEOUT && !last.cause);
    /* Its memory is not free before it has ended. */
    CHECK_EQ(policy_acquire(policy, &again, now), POLICY_QUEUED);
    CHECK_EQ(next(), POLICY_NONE);
    policy_loaded(policy, m, OLL_ERR_CANCELED, NULL, now);
    CHECK_EQ(next(), POLICY_LOAD);
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
