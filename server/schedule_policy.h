/* What the scheduler decides, as a state machine: events go in, decisions come out. No thread, no
 * clock and no engine in here: the caller says what time it is, carries the decisions out and
 * reports back (schedule.c), so that a test can run thousands of histories on a fake clock.
 *
 * A model is one file, with its adapter, loaded in one way:
 *
 *   LOADING --policy_loaded--> READY --UNLOAD--> UNLOADING --policy_unloaded--> (gone)
 *      |                                             `--> RECOVERING --memory is back, 5 s-->
 * (gone)
 *      `--failure--> (gone)
 *
 * Requests for a READY model that is loaded as they want get it at once. The others wait in the
 * order of asking; the first one that can be helped is. A load begins when the model count allows
 * it, when the memory for it is free, and when no other load is under way on the same devices, nor
 * wanted there by somebody who asked before. A model that must go first is "doomed": it takes no
 * new requests, so that those who wait for its place cannot be starved, and is unloaded when its
 * last request ends (cli-and-scheduler 7 to 12, rest-api 1.9, 3.2).
 *
 * One thread at a time. Waiters belong to the caller, models to the policy. */
#ifndef OLL_SERVER_SCHEDULE_POLICY_H
#define OLL_SERVER_SCHEDULE_POLICY_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { POLICY_MAX_DEVICES = 8, POLICY_AUTO_CTX = 4096, POLICY_MIDDLE_CTX = 32768 };

#define POLICY_FOREVER INT64_MAX /* keep-alive without end */

/* How a model is loaded, as far as a request may say so (cli-and-scheduler 10). */
struct policy_options {
    uint32_t n_ctx;                                   /* within what the model was trained for */
    bool auto_ctx;                                    /* nobody named it */
    int64_t num_batch, num_thread, draft_num_predict; /* <= 0: not said */
    int64_t num_gpu, main_gpu, use_mmap;              /* < 0: not said */
};

/* What a loaded model takes. */
struct policy_footprint {
    uint64_t bytes[POLICY_MAX_DEVICES];
    uint32_t devices; /* bit i: layers run on device i; a load has these to itself */
};

struct policy_want {
    const char *key; /* file and adapter; copied when a model is made of it */
    struct policy_options options;
    bool set_keep_alive;
    int64_t keep_alive_ns; /* negative or POLICY_FOREVER: for ever */
    const void *data;      /* for the place function */
};

enum policy_fit {
    POLICY_FITS,
    POLICY_NEEDS_ROOM, /* not in what is free */
    POLICY_IMPOSSIBLE  /* nowhere, whatever is free; waiter->err says why */
};

/* Memory that a model may be placed in. */
struct policy_room {
    uint64_t free_bytes[POLICY_MAX_DEVICES];
    bool may_split; /* nothing else is loaded: a part of it may stay on the processor */
};

struct policy_model;

/* A request that wants a model. Zeroed by the caller but for `want`. */
struct policy_waiter {
    struct policy_want want;
    struct policy_model *model; /* granted, or being loaded for it */
    struct oll_error err;       /* why it failed, when the place function says so */
    struct policy_waiter *next; /* policy's own from here on */
    oll_status failure;
    const void *cause;
    bool is_first;  /* the load is its own, others only wait for it too */
    bool evict_all; /* memory ran out: the next attempt has the machine to itself */
};

enum policy_state { POLICY_LOADING, POLICY_READY, POLICY_UNLOADING, POLICY_RECOVERING };

struct policy_model {
    struct policy_model *next;
    char *key;
    void *user; /* the caller's */
    enum policy_state state;
    struct policy_options options;
    struct policy_footprint footprint;
    int n_leases;
    bool doomed;  /* takes no new requests, goes when idle */
    bool aborted; /* its load is not wanted any more */
    int64_t keep_alive_ns;
    uint64_t expires_ns;  /* while idle; UINT64_MAX: never */
    uint64_t used_ns;     /* last grant or release */
    uint64_t progress_ns; /* of the load */
    uint64_t free_before; /* free memory of discrete devices when the unloading began */
    uint64_t recover_ns;  /* when the wait for it ends */
};

struct policy_device {
    uint64_t total_bytes;
    bool is_discrete; /* a driver gives its memory back some time after a runner has ended */
};

struct policy_config {
    int max_loaded, max_waiting;
    int64_t keep_alive_ns;   /* of a model of which nobody says anything */
    int64_t load_timeout_ns; /* without progress; <= 0: none */
    int n_device;
    struct policy_device devices[POLICY_MAX_DEVICES];
    /* Where a model would go in the given room. A pure function of its arguments. */
    enum policy_fit (*place)(void *arg, struct policy_waiter *waiter,
                             const struct policy_room *room, struct policy_footprint *out);
    void *arg;
};

struct policy;

struct policy *policy_new(const struct policy_config *config); /* NULL: no memory */
void policy_free(struct policy *policy); /* frees models, not what they stand for */

/* ---- events ---- */

enum policy_answer { POLICY_GRANTED, POLICY_QUEUED, POLICY_REFUSED };
/* GRANTED: waiter->model is leased. QUEUED: a GRANT or FAIL decision will name the waiter, which
 * stays where it is until then. REFUSED: too many wait. */
enum policy_answer policy_acquire(struct policy *policy, struct policy_waiter *waiter,
                                  uint64_t now);
/* Whether a loaded model serves the waiter at once, which then has leased it; it never waits. */
bool policy_try(struct policy *policy, struct policy_waiter *waiter, uint64_t now);
/* Whether a waiter would be refused. */
bool policy_is_full(const struct policy *policy);
/* A queued waiter is not interested any more. */
void policy_cancel(struct policy *policy, struct policy_waiter *waiter);
/* Gives a lease back. */
void policy_release(struct policy *policy, struct policy_model *model, uint64_t now);
/* The model of a key goes as soon as nobody uses it. Unknown keys are ignored. */
void policy_expire(struct policy *policy, const char *key);
/* All models go as soon as nobody uses them. */
void policy_expire_all(struct policy *policy);
/* The runner of a model has died: who asks next gets a new one. */
void policy_lost(struct policy *policy, struct policy_model *model);
/* A load has come further. */
void policy_progress(struct policy *policy, struct policy_model *model, uint64_t now);
/* A load has ended. After a failure the model is gone; `cause` is handed to those who waited. */
void policy_loaded(struct policy *policy, struct policy_model *model, oll_status status,
                   const void *cause, uint64_t now);
/* An unloading has ended; the model is gone for the caller. */
void policy_unloaded(struct policy *policy, struct policy_model *model, uint64_t now);
/* What devices report as free, [n_device]. To be called before decisions are asked for, when the
 * policy needs it. */
bool policy_needs_memory(const struct policy *policy);
void policy_memory(struct policy *policy, const uint64_t *free_bytes);

/* ---- decisions ---- */

enum policy_action_kind {
    POLICY_NONE,
    POLICY_GRANT,  /* `waiter` has leased `model` and left the queue */
    POLICY_FAIL,   /* `waiter` has left the queue with `status` and `cause` (NULL: waiter->err) */
    POLICY_LOAD,   /* load `model` for `waiter`, then policy_loaded */
    POLICY_ABORT,  /* end the load of `model` soon; policy_loaded is still to come */
    POLICY_UNLOAD, /* unload `model`, which nobody uses, then policy_unloaded */
};

struct policy_action {
    enum policy_action_kind kind;
    struct policy_model *model;
    struct policy_waiter *waiter;
    oll_status status; /* FAIL: OLL_ERR_TIMEOUT for a load without progress */
    const void *cause;
};

/* The next decision; NONE when nothing is to be done at this time. */
struct policy_action policy_next(struct policy *policy, uint64_t now);
/* When decisions are to be asked for although nothing has happened; UINT64_MAX: never. */
uint64_t policy_wake_ns(const struct policy *policy, uint64_t now);

/* ---- views ---- */

const struct policy_model *policy_models(const struct policy *policy); /* linked by `next` */
/* Those who wait and whose turn has not come. */
int policy_n_waiting(const struct policy *policy);
/* How many asked before a queued waiter and still wait. */
int policy_position(const struct policy *policy, const struct policy_waiter *waiter);
/* What is free for models now, by what is reported and by what is held: min(reported, total -
 * held). */
uint64_t policy_free_bytes(const struct policy *policy, int i_device);

#endif
