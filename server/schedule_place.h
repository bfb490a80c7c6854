/* Where a model goes: its memory plan, made once per request, in the room that the policy gives.
 *
 * Device 0 of the policy is the processor with the machine's memory, the others are those with
 * memory of their own that the configuration names. */
#ifndef OLL_SERVER_SCHEDULE_PLACE_H
#define OLL_SERVER_SCHEDULE_PLACE_H

#include "engine/plan.h"
#include "server/runner.h"
#include "server/schedule_policy.h"

/* Makes the plan of a model; runner_plan, or NULL: models are placed by the size of their file. */
typedef oll_status (*schedule_plan_fn)(struct runners *processes, const struct runner_wish *wish,
                                       struct oll_plan *out, struct oll_error *err);

/* One request's model. */
struct place_task {
    struct oll_plan plan;
    bool has_plan;
    uint64_t file_bytes;
    struct oll_plan_room room;   /* devices, and how the request wants them used */
    struct oll_plan_place place; /* found by the last call that said FITS */
};

void place_task_free(struct place_task *task);

/* Devices of a configuration for the policy; host memory as the system has it. */
void place_devices(const struct oll_plan_room *room, struct policy_config *out);
/* What they report as free, [room->n_device + 1]. */
void place_free_bytes(const struct oll_plan_room *room, uint64_t *out);

/* The policy's place function for a task. */
enum policy_fit place_find(struct place_task *task, uint32_t n_ctx, const struct policy_room *room,
                           struct policy_footprint *out, struct oll_error *err);

/* Part of a footprint that lies in memory of devices; all of it when all layers do. */
uint64_t place_vram_bytes(const struct place_task *task, const struct policy_footprint *footprint);
uint64_t place_bytes(const struct policy_footprint *footprint);

/* Window of models for which nobody names one, by the memory of devices (rest-api 3.5). */
uint32_t place_auto_ctx(const struct oll_plan_room *room);

#endif
