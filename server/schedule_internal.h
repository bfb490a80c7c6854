/* What the files of the scheduler's shell share: schedule.c (loads, unloadings, requests for a
 * model), schedule_turn.c (requests to a loaded model, and lists). */
#ifndef OLL_SERVER_SCHEDULE_INTERNAL_H
#define OLL_SERVER_SCHEDULE_INTERNAL_H

#include "server/schedule.h"
#include "server/schedule_fair.h"
#include "server/schedule_policy.h"

#include <pthread.h>

/* What a policy_model stands for. Its thread alone touches `engine` while it is loaded or unloaded;
 * all else is guarded by the schedule's lock, or fixed. */
struct model {
    struct schedule *schedule;
    struct policy_model *policy;
    struct runner_engine *engine;
    char *path, *adapter_path, *name; /* adapter_path NULL: none */
    struct policy_options options;
    char devices[OLL_PLAN_TEXT_MAX]; /* of its layers; "": as configured */
    bool is_planned;
    uint64_t size_bytes, vram_bytes;
    uint32_t n_ctx;
    struct fair fair; /* whose turn it is to use it */
};

struct lease {
    struct fair_ticket ticket; /* first */
    pthread_cond_t let_in;
    struct schedule *schedule;
    struct policy_model *model;
    int position;
};

struct schedule {
    struct schedule_config config;
    struct schedule_runners runners;
    struct oll_plan_room room; /* devices with memory of their own */
    pthread_mutex_t lock;      /* all that follows */
    pthread_cond_t timer;      /* for the clock's thread */
    pthread_cond_t idle;       /* a worker has ended */
    struct policy *policy;
    uint64_t armed_ns; /* when the clock's thread will look */
    int n_workers;
    bool stop;
    pthread_t clock;
};

/* Waits at most until `ns` on the clock; the lock is held. */
void schedule_wait_until(struct schedule *s, pthread_cond_t *cond, uint64_t ns);
/* When somebody who waits among so many looks next whether its peer is still there. */
uint64_t schedule_next_look(int n_waiting);
oll_status schedule_refuse(struct oll_error *err) OLL_MUST_USE;

#endif
