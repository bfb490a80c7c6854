#include "engine/base/clock.h"
#include "engine/base/crypto.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "server/schedule_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { MIN_CTX = 4, KEY_MAX_BYTES = 1 << 16, MAX_WAITING = 512, MODELS_PER_DEVICE = 3 };

static const uint64_t ns_per_ms = 1000 * 1000;

/* A request that wants a model; its thread's own but for what the policy does with it. */
struct request {
    struct policy_waiter waiter; /* first */
    pthread_cond_t answered;
    const struct schedule_want *want;
    struct place_task task;
    int position;
    bool is_answered;
    oll_status status;
    struct oll_error err;
};

/* Why a load failed, for all who waited for it. */
struct failure {
    const char *path, *adapter_path;
    oll_status status;
    struct oll_error detail;
};

static void free_model(struct model *m)
{
    if (!m)
        return;
    oll_free(m->path);
    oll_free(m->adapter_path);
    oll_free(m->name);
    oll_free(m);
}

/* ---- errors of a load ---- */

/* Takes the path out of a message: remote callers are not told where files lie (R9). */
static const char *without_path(const char *text, const char *path)
{
    size_t n = strlen(path);
    if (strncmp(text, path, n) != 0)
        return strstr(text, path) ? "see the server's log" : text;
    return text + n + strspn(text + n, ": ");
}

static oll_status say_failure(const struct failure *f, struct oll_error *err)
{
    const char *text = without_path(oll_error_text(&f->detail), f->path);
    if (f->adapter_path)
        text = without_path(text, f->adapter_path);
    /* What became of a process is no fault of the model's file. */
    if (f->status == OLL_ERR_INTERNAL || f->status == OLL_ERR_BUSY || f->status == OLL_ERR_CANCELED)
        return OLL_FAIL(err, f->status, "%s", text);
    if (f->status == OLL_ERR_MEMORY)
        return OLL_FAIL(err, f->status, "model requires more system memory than is available (%s)",
                        text);
    return OLL_FAIL(err, f->status,
                    "unable to load model: %s; this model may be incompatible with "
                    "this version of oll",
                    text);
}

static void answer(struct request *r, const struct policy_action *a)
{
    r->is_answered = true;
    r->status = a->kind == POLICY_GRANT ? OLL_OK : a->status;
    if (a->kind == POLICY_FAIL && a->cause)
        r->status = say_failure(a->cause, &r->err);
    else if (a->kind == POLICY_FAIL && a->status == OLL_ERR_TIMEOUT)
        r->status =
            OLL_FAIL(&r->err, OLL_ERR_INTERNAL, "timed out waiting for %s to start", r->want->name);
    else if (a->kind == POLICY_FAIL)
        r->err = r->waiter.err;
    pthread_cond_signal(&r->answered);
}

static struct oll_engine_params engine_params(const struct schedule_config *config,
                                              const struct model *m)
{
    const struct policy_options *o = &m->options;
    return (struct oll_engine_params){
        .model_path = m->path,
        .adapter_path = m->adapter_path,
        .n_ctx = o->n_ctx,
        .n_slots = config->n_slots,
        .n_ubatch = o->num_batch > 0 && o->num_batch < 65536 ? (uint32_t)o->num_batch : 0,
        .n_threads =
            o->num_thread > 0 && o->num_thread < 4096 ? (int)o->num_thread : config->n_threads,
        .kv_dtype = config->kv_dtype,
        .no_speculation = config->no_speculation,
        .devices = m->devices[0] ? m->devices : config->devices,
    };
}

/* ---- loads and unloadings, each on a thread of its own ---- */

static void pump(struct schedule *s);

static void end_work(struct schedule *s)
{
    oll_crypto_end_thread();
    s->n_workers--;
    pthread_cond_broadcast(&s->idle);
    pump(s);
    pthread_mutex_unlock(&s->lock);
}

/* Whether nobody waits for a load any more. */
static bool is_unwanted(void *arg)
{
    const struct model *m = arg;
    pthread_mutex_lock(&m->schedule->lock);
    const bool unwanted = m->policy->aborted;
    pthread_mutex_unlock(&m->schedule->lock);
    return unwanted;
}

/* The runner of a loaded model has died: who asks next gets a new one. */
static void take_loss(void *arg)
{
    const struct model *m = arg;
    pthread_mutex_lock(&m->schedule->lock);
    policy_lost(m->schedule->policy, m->policy);
    /* This thread belongs to the runner and cannot wait for its end. */
    pthread_cond_signal(&m->schedule->timer);
    pthread_mutex_unlock(&m->schedule->lock);
}

static oll_status open_runner(struct model *m, struct oll_error *detail)
{
    const struct schedule *s = m->schedule;
    const struct runner_wish wish = {.params = engine_params(&s->config, m),
                                     .name = m->name,
                                     .gone = is_unwanted,
                                     .lost = take_loss,
                                     .arg = m};
    return s->runners.open(s->config.processes, &wish, &m->engine, detail);
}

/* Reports a load that has ended; the lock is held. After a failure the model is gone. */
static void finish_load(struct model *m, oll_status status, const struct oll_error *detail)
{
    struct schedule *s = m->schedule;
    if (status == OLL_OK) {
        const struct oll_model_info *info = s->runners.info(m->engine);
        if (!m->is_planned)
            m->size_bytes = info->weights_bytes + info->kv_bytes + info->activation_bytes;
        m->n_ctx = info->n_ctx;
        policy_loaded(s->policy, m->policy, OLL_OK, NULL, oll_clock_ns());
        return;
    }
    struct failure f = {
        .path = m->path, .adapter_path = m->adapter_path, .status = status, .detail = *detail};
    policy_loaded(s->policy, m->policy, status, &f, oll_clock_ns());
    pump(s);
    free_model(m);
}

static void *load_main(void *arg)
{
    struct model *m = arg;
    struct schedule *s = m->schedule;
    struct oll_error detail = {0};
    uint64_t begin = oll_clock_ns();
    oll_status status = open_runner(m, &detail);
    if (status == OLL_OK)
        oll_log_info("schedule", "loaded %s in %llu ms", m->name,
                     (unsigned long long)((oll_clock_ns() - begin) / ns_per_ms));
    else
        oll_log(OLL_LOG_ERROR, "schedule", "cannot load %s: %s", m->name, oll_error_text(&detail));
    pthread_mutex_lock(&s->lock);
    finish_load(m, status, &detail);
    end_work(s);
    return NULL;
}

static void *unload_main(void *arg)
{
    struct model *m = arg;
    struct schedule *s = m->schedule;
    oll_log_info("schedule", "unloading %s", m->name);
    s->runners.close(m->engine);
    pthread_mutex_lock(&s->lock);
    policy_unloaded(s->policy, m->policy, oll_clock_ns());
    free_model(m);
    end_work(s);
    return NULL;
}

/* False when the system has no thread to give. */
static bool start_worker(struct schedule *s, void *(*run)(void *), struct model *m)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, m) != 0)
        return false;
    pthread_detach(thread);
    s->n_workers++;
    return true;
}

static struct model *new_model(struct schedule *s, const struct request *r,
                               struct policy_model *policy)
{
    const struct schedule_want *want = r->want;
    struct model *m = oll_calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->schedule = s;
    m->policy = policy;
    m->path = oll_strdup(want->path);
    m->adapter_path = want->adapter_path ? oll_strdup(want->adapter_path) : NULL;
    m->name = oll_strdup(want->name);
    m->options = policy->options;
    m->n_ctx = policy->options.n_ctx;
    m->is_planned = r->task.has_plan;
    m->size_bytes = place_bytes(&policy->footprint);
    m->vram_bytes = place_vram_bytes(&r->task, &policy->footprint);
    memcpy(m->devices, r->task.place.devices, sizeof m->devices);
    const int n_slots = s->config.n_slots ? (int)s->config.n_slots : 1;
    /* Some more than there are slots, so that none waits for the network. */
    m->fair.n_max = n_slots + (n_slots + 1) / 2;
    m->fair.max_waiting = s->config.max_waiting > 0 ? s->config.max_waiting : MAX_WAITING;
    if (m->path && m->name && !m->adapter_path == !want->adapter_path)
        return m;
    free_model(m);
    return NULL;
}

static void begin_load(struct schedule *s, const struct policy_action *a)
{
    struct oll_error detail = {0};
    struct model *m = new_model(s, (const struct request *)a->waiter, a->model);
    a->model->user = m;
    if (m && start_worker(s, load_main, m))
        return;
    OLL_FAIL(&detail, OLL_ERR_INTERNAL, "out of memory or threads for a model");
    if (m) {
        finish_load(m, OLL_ERR_INTERNAL, &detail);
        return;
    }
    struct failure f = {.path = "", .status = OLL_ERR_INTERNAL, .detail = detail};
    policy_loaded(s->policy, a->model, OLL_ERR_INTERNAL, &f, oll_clock_ns());
    pump(s);
}

static void begin_unload(struct schedule *s, struct model *m)
{
    if (start_worker(s, unload_main, m))
        return;
    /* Without a thread of its own it keeps whoever is here waiting. */
    s->n_workers++;
    pthread_mutex_unlock(&s->lock);
    unload_main(m);
    pthread_mutex_lock(&s->lock);
}

/* ---- the policy and the clock ---- */

static void read_memory(struct schedule *s)
{
    uint64_t bytes[POLICY_MAX_DEVICES];
    place_free_bytes(&s->room, bytes);
    policy_memory(s->policy, bytes);
}

/* Carries out what the policy decides, until it has nothing more to say. The lock is held. */
static void pump(struct schedule *s)
{
    struct policy_action a;
    if (policy_needs_memory(s->policy))
        read_memory(s);
    while ((a = policy_next(s->policy, oll_clock_ns())).kind != POLICY_NONE) {
        switch (a.kind) {
        case POLICY_NONE: break;
        case POLICY_GRANT:
        case POLICY_FAIL: answer((struct request *)a.waiter, &a); break;
        case POLICY_LOAD: begin_load(s, &a); break;
        case POLICY_ABORT: break;
        case POLICY_UNLOAD: begin_unload(s, a.model->user); break;
        }
    }
    if (policy_wake_ns(s->policy, oll_clock_ns()) < s->armed_ns)
        pthread_cond_signal(&s->timer);
}

static void *clock_main(void *arg)
{
    struct schedule *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        pump(s);
        s->armed_ns = policy_wake_ns(s->policy, oll_clock_ns());
        schedule_wait_until(s, &s->timer, s->armed_ns);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static enum policy_fit place(void *arg, struct policy_waiter *waiter,
                             const struct policy_room *room, struct policy_footprint *out)
{
    (void)arg;
    struct request *r = (struct request *)waiter;
    return place_find(&r->task, waiter->want.options.n_ctx, room, out, &waiter->err);
}

static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void init_sync(struct schedule *s)
{
    pthread_mutex_init(&s->lock, NULL);
    init_cond(&s->timer);
    init_cond(&s->idle);
}

static void destroy(struct schedule *s)
{
    policy_free(s->policy);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->timer);
    pthread_cond_destroy(&s->idle);
    oll_free(s);
}

oll_status schedule_new(const struct schedule_config *config, struct schedule **out,
                        struct oll_error *err)
{
    static const struct schedule_runners children = {runner_open, runner_close, runner_info};
    struct schedule *s = oll_calloc(1, sizeof *s);
    if (!s)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the scheduler");
    s->config = *config;
    s->runners = config->runners ? *config->runners : children;
    s->room =
        (struct oll_plan_room){.reserve_bytes = config->reserve_bytes, .spread = config->spread};
    if (oll_plan_is_room(config->devices)) {
        oll_status status = oll_plan_read_room(config->devices, &s->room, err);
        if (status != OLL_OK) {
            oll_free(s);
            return status;
        }
        s->config.devices = NULL;
    }
    struct policy_config policy = {
        .max_loaded = config->max_loaded > 0 ? config->max_loaded
                      : s->room.n_device > 1 ? MODELS_PER_DEVICE * s->room.n_device
                                             : MODELS_PER_DEVICE,
        .max_waiting = config->max_waiting,
        .keep_alive_ns = config->keep_alive_ns,
        .load_timeout_ns = config->load_timeout_ns,
        .place = place,
    };
    place_devices(&s->room, &policy);
    init_sync(s);
    s->policy = policy_new(&policy);
    if (!s->policy || pthread_create(&s->clock, NULL, clock_main, s) != 0) {
        destroy(s);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "cannot start the scheduler's thread");
    }
    *out = s;
    return OLL_OK;
}

/* Nothing is loaded, loading or being unloaded. */
static bool is_empty(const struct schedule *s)
{
    if (s->n_workers > 0)
        return false;
    for (const struct policy_model *m = policy_models(s->policy); m; m = m->next)
        if (m->user)
            return false;
    return true;
}

void schedule_free(struct schedule *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->timer);
    policy_expire_all(s->policy);
    pump(s);
    while (!is_empty(s)) {
        for (const struct policy_model *m = policy_models(s->policy); m; m = m->next)
            OLL_ASSERT(m->n_leases == 0);
        pthread_cond_wait(&s->idle, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->clock, NULL);
    destroy(s);
}

/* ---- requests ---- */

/* Window that somebody named: the request, else the configuration; 0: nobody did. */
static int64_t named_ctx(const struct schedule *s, const struct schedule_want *want)
{
    return want->num_ctx > 0 ? want->num_ctx : s->config.n_ctx;
}

/* Window that a request wants: the named one, else the usual; never more than the model was
 * trained for. */
static uint32_t wanted_ctx(const struct schedule *s, const struct schedule_want *want)
{
    int64_t named = named_ctx(s, want), n = named ? named : place_auto_ctx(&s->room);
    if (want->n_ctx_train > 0 && (uint64_t)n > want->n_ctx_train)
        n = (int64_t)want->n_ctx_train;
    return n < MIN_CTX ? MIN_CTX : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* A model with an adapter is another one than the model without. */
static char *key_of(const char *path, const char *adapter_path)
{
    struct oll_strbuf key;
    oll_strbuf_init(&key, KEY_MAX_BYTES);
    oll_strbuf_printf(&key, "%s\n%s", path, adapter_path ? adapter_path : "");
    char *copy = key.status == OLL_OK ? oll_strdup(key.data) : NULL;
    oll_strbuf_free(&key);
    return copy;
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static void fill_want(const struct schedule *s, const struct schedule_want *want, const char *key,
                      struct policy_want *out)
{
    *out = (struct policy_want){
        .key = key,
        .options = {.n_ctx = wanted_ctx(s, want),
                    .auto_ctx = want->num_ctx <= 0,
                    .num_batch = want->num_batch,
                    .num_thread = want->num_thread,
                    .draft_num_predict = want->draft_num_predict,
                    .num_gpu = want->num_gpu,
                    .main_gpu = want->main_gpu,
                    .use_mmap = want->use_mmap},
        .set_keep_alive = want->set_keep_alive,
        .keep_alive_ns = want->keep_alive_ns,
    };
}

/* Waits for the answer, looking now and then whether it is still wanted. The lock is held. */
static oll_status wait_for_answer(struct schedule *s, struct request *r, struct oll_error *err)
{
    const struct schedule_want *want = r->want;
    while (!r->is_answered) {
        pthread_mutex_unlock(&s->lock);
        bool gone = want->gone && want->gone(want->gone_arg);
        pthread_mutex_lock(&s->lock);
        if (r->is_answered)
            break;
        if (gone) {
            policy_cancel(s->policy, &r->waiter);
            pump(s);
            return OLL_FAIL(err, OLL_ERR_CANCELED, "request canceled");
        }
        schedule_wait_until(s, &r->answered, schedule_next_look(policy_n_waiting(s->policy)));
    }
    if (r->status != OLL_OK)
        oll_error_set(err, r->status, "%s", oll_error_text(&r->err));
    return r->status;
}

/* What the model would take. May mean to read the file's header, hence without the lock. */
static oll_status make_plan(const struct schedule *s, struct request *r, struct oll_error *err)
{
    const struct schedule_want *want = r->want;
    struct failure f = {.path = want->path, .adapter_path = want->adapter_path};
    r->task.file_bytes = file_bytes(want->path);
    r->task.room = s->room;
    r->task.room.num_gpu = want->num_gpu;
    r->task.room.main_gpu = want->main_gpu;
    if (want->n_ctx_train > 0 && (uint64_t)named_ctx(s, want) > want->n_ctx_train)
        oll_log_warn("schedule",
                     "%s: a context of %" PRId64 " tokens is asked for, but the model was trained "
                     "with %" PRIu64 ": it gets these",
                     want->name, named_ctx(s, want), want->n_ctx_train);
    if (!s->config.plan)
        return OLL_OK;
    const struct model m = {.path = (char *)want->path,
                            .adapter_path = (char *)want->adapter_path,
                            .options = r->waiter.want.options};
    const struct runner_wish wish = {.params = engine_params(&s->config, &m),
                                     .name = want->name,
                                     .gone = want->gone,
                                     .arg = want->gone_arg};
    f.status = s->config.plan(s->config.processes, &wish, &r->task.plan, &f.detail);
    r->task.has_plan = f.status == OLL_OK;
    if (f.status == OLL_OK)
        return OLL_OK;
    if (f.status != OLL_ERR_CANCELED)
        oll_log(OLL_LOG_ERROR, "schedule", "cannot load %s: %s", want->name,
                oll_error_text(&f.detail));
    return say_failure(&f, err);
}

/* A leased model in r->waiter.model. */
static oll_status get_model(struct schedule *s, struct request *r, struct oll_error *err)
{
    pthread_mutex_lock(&s->lock);
    bool done = policy_try(s->policy, &r->waiter, oll_clock_ns());
    bool full = !done && policy_is_full(s->policy);
    pthread_mutex_unlock(&s->lock);
    if (done)
        return OLL_OK;
    if (full)
        return schedule_refuse(err);
    OLL_TRY(make_plan(s, r, err));
    oll_status status = OLL_OK;
    pthread_mutex_lock(&s->lock);
    switch (policy_acquire(s->policy, &r->waiter, oll_clock_ns())) {
    case POLICY_GRANTED: break;
    case POLICY_REFUSED: status = schedule_refuse(err); break;
    case POLICY_QUEUED:
        r->position = policy_position(s->policy, &r->waiter);
        pump(s);
        status = wait_for_answer(s, r, err);
        break;
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void free_request(struct request *r)
{
    if (!r)
        return;
    pthread_cond_destroy(&r->answered);
    place_task_free(&r->task);
    oll_free(r);
}

static void free_lease(struct lease *lease)
{
    if (!lease)
        return;
    pthread_cond_destroy(&lease->let_in);
    oll_free(lease);
}

oll_status schedule_acquire(struct schedule *s, const struct schedule_want *want,
                            struct lease **out, struct oll_error *err)
{
    struct request *r = oll_calloc(1, sizeof *r);
    struct lease *lease = oll_calloc(1, sizeof *lease);
    char *key = key_of(want->path, want->adapter_path);
    oll_status status;
    if (r)
        init_cond(&r->answered);
    if (lease)
        init_cond(&lease->let_in);
    if (!r || !lease || !key) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a request");
        goto done;
    }
    r->want = want;
    fill_want(s, want, key, &r->waiter.want);
    OLL_TRY_DONE(get_model(s, r, err));
    lease->schedule = s;
    lease->model = r->waiter.model;
    lease->position = r->position;
    *out = lease;
done:
    free_request(r);
    oll_free(key);
    if (status != OLL_OK)
        free_lease(lease);
    return status;
}

void schedule_release(struct lease *lease)
{
    if (!lease)
        return;
    struct schedule *s = lease->schedule;
    schedule_leave(lease, lease->ticket.cost);
    pthread_mutex_lock(&s->lock);
    policy_release(s->policy, lease->model, oll_clock_ns());
    pump(s);
    pthread_mutex_unlock(&s->lock);
    free_lease(lease);
}

struct runner_engine *schedule_engine(const struct lease *lease)
{
    return ((const struct model *)lease->model->user)->engine;
}

int schedule_position(const struct lease *lease) { return lease->position; }

void schedule_expire(struct schedule *s, const char *path, const char *adapter_path)
{
    char *key = key_of(path, adapter_path);
    if (!key)
        return;
    pthread_mutex_lock(&s->lock);
    policy_expire(s->policy, key);
    pump(s);
    pthread_mutex_unlock(&s->lock);
    oll_free(key);
}

void schedule_expire_all(struct schedule *s)
{
    pthread_mutex_lock(&s->lock);
    policy_expire_all(s->policy);
    pump(s);
    pthread_mutex_unlock(&s->lock);
}
