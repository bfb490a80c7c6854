/* Loaded models: who has which, what is loaded next, what goes when there is no room or nobody
 * asks any more (rest-api 1.9, 3.2; cli-and-scheduler 6 to 12).
 *
 * A handler takes a lease on a model that is loaded as it wants, which may mean to wait for a load,
 * or for others to finish with a model that must go first. A model without leases stays for its
 * keep-alive time and is then unloaded. What happens when is decided in schedule_policy.c; here are
 * the lock, the clock and the threads: one for the clock, and one for each load or unloading while
 * it lasts. Any thread may call. */
#ifndef OLL_SERVER_SCHEDULE_H
#define OLL_SERVER_SCHEDULE_H

#include "engine/base/arena.h"
#include "engine/oll.h"
#include "server/runner.h"
#include "server/schedule_place.h"

#include <stdbool.h>
#include <stdint.h>

struct schedule;
struct lease;

#define SCHEDULE_FOREVER INT64_MAX /* keep-alive without end */

/* How runners are started and ended; the functions of server/runner.h, or those of a test. */
struct schedule_runners {
    oll_status (*open)(struct runners *processes, const struct runner_wish *wish,
                       struct runner_engine **out, struct oll_error *err);
    void (*close)(struct runner_engine *engine);
    const struct oll_model_info *(*info)(const struct runner_engine *engine);
};

struct schedule_config {
    int max_loaded;          /* models at once; 0: 3, or 3 for each of several devices */
    int max_waiting;         /* requests that wait for a load; 0: 512 */
    int64_t keep_alive_ns;   /* of a model of which nobody says anything */
    int64_t load_timeout_ns; /* without progress; <= 0: none */
    uint32_t n_ctx;          /* window of a model for which nobody names one; 0: 4096 */
    uint32_t n_slots;        /* sequences of one model at once; 0: 1 */
    int n_threads;           /* 0: the engine's choice */
    enum oll_dtype kv_dtype;
    bool no_speculation; /* as in oll_engine_params */
    /* Of the layers: a list for the engine, or memory to be filled ("ref=64M,cpu"); NULL: the
     * engine's choice. Outlives the schedule. */
    const char *devices;
    uint64_t reserve_bytes;                 /* kept free on each device with memory of its own */
    bool spread;                            /* over all devices, not over as few as possible */
    schedule_plan_fn plan;                  /* NULL: models are placed by the size of their file */
    const struct schedule_runners *runners; /* NULL: those of server/runner.h */
    struct runners *processes; /* how models get processes; NULL: they run in this one */
};

oll_status schedule_new(const struct schedule_config *config, struct schedule **out,
                        struct oll_error *err) OLL_MUST_USE;
/* Unloads everything; all leases must have been given back. NULL is accepted. */
void schedule_free(struct schedule *schedule);

/* How a model is wanted. Strings are copied. */
struct schedule_want {
    const char *path;
    const char *adapter_path; /* NULL: none */
    const char *name;         /* for messages and lists */
    uint64_t n_ctx_train;     /* what the model was trained for; 0: unknown */
    int64_t num_ctx;          /* 0: not said, as the next three */
    int64_t num_batch;
    int64_t num_thread;
    int64_t draft_num_predict;
    int64_t num_gpu, main_gpu, use_mmap; /* negative: not said */
    bool set_keep_alive;                 /* the model takes `keep_alive_ns` from now on */
    int64_t keep_alive_ns;
    /* Asked while waiting, by the calling thread: true ends the wait with OLL_ERR_CANCELED. */
    bool (*gone)(void *arg);
    void *gone_arg;
};

/* OLL_ERR_BUSY: too many wait already. Other errors are the load's; their text names no path. */
oll_status schedule_acquire(struct schedule *schedule, const struct schedule_want *want,
                            struct lease **out, struct oll_error *err) OLL_MUST_USE;
/* Gives a lease back; NULL is accepted. */
void schedule_release(struct lease *lease);
struct runner_engine *schedule_engine(const struct lease *lease);

/* How many others waited for a load when this one came to wait; 0: none, or it did not wait. */
int schedule_position(const struct lease *lease);

/* A request that is about to be given to a leased model. */
struct schedule_turn {
    const char *client; /* who asks: turns go round between clients */
    int64_t priority;   /* higher ones first; cut to -10 to 10 */
    uint64_t n_tokens;  /* that it will take, as far as can be told */
    bool (*gone)(void *arg);
    void *gone_arg;
};
/* Waits until the request may be given to the model (schedule_fair.h); *position is its
 * place in the line when it came, 1 for the next, 0 when it did not wait. OLL_ERR_BUSY: too many
 * wait already; OLL_ERR_CANCELED: `gone`. */
oll_status schedule_enter(struct lease *lease, const struct schedule_turn *turn, int *position,
                          struct oll_error *err) OLL_MUST_USE;
/* The request has taken so many tokens; without schedule_enter before it does nothing. */
void schedule_leave(struct lease *lease, uint64_t n_tokens);

/* A loaded model, as lists show it. */
struct schedule_entry {
    const char *name;                /* that loaded it */
    uint64_t size_bytes, vram_bytes; /* all of it; in memory of devices */
    uint32_t n_ctx;
    int64_t expires_in_ns; /* from now; SCHEDULE_FOREVER: never */
};
/* Loaded models, the longest-lived first; names lie in the arena. */
oll_status schedule_list(struct schedule *schedule, struct oll_arena *arena,
                         struct schedule_entry **out, size_t *n,
                         struct oll_error *err) OLL_MUST_USE;

/* Requests that wait for a load, or for their turn at a loaded model. */
uint32_t schedule_waiting(struct schedule *schedule);

/* Unloads all models as soon as nobody uses them: memory ran out while one was running. */
void schedule_expire_all(struct schedule *schedule);
/* Unloads the model of a file and its adapter (NULL: none) as soon as nobody uses it. Unknown paths
 * are ignored. */
void schedule_expire(struct schedule *schedule, const char *path, const char *adapter_path);

#endif
