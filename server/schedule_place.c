#include "server/schedule_place.h"

#include "engine/base/platform.h"

#include <string.h>

enum { HIGH_GIB = 47, MIDDLE_GIB = 23, HIGH_CTX = 262144 };

void place_task_free(struct place_task *task) { oll_plan_free(&task->plan); }

void place_devices(const struct oll_plan_room *room, struct policy_config *out)
{
    const uint64_t total = oll_platform_memory_total();
    out->n_device = room->n_device + 1;
    out->devices[0] = (struct policy_device){.total_bytes = total ? total : UINT64_MAX};
    for (int i = 0; i < room->n_device; i++)
        out->devices[i + 1] = (struct policy_device){.total_bytes = room->devices[i].total_bytes};
}

void place_free_bytes(const struct oll_plan_room *room, uint64_t *out)
{
    const uint64_t have = oll_platform_memory_free();
    out[0] = have ? have : UINT64_MAX;
    for (int i = 0; i < room->n_device; i++)
        out[i + 1] = room->devices[i].free_bytes;
}

/* The file as it is, on the processor; whether it fits the machine is for the engine to say. */
static enum policy_fit place_file(const struct place_task *task, const struct policy_room *room,
                                  struct policy_footprint *out)
{
    out->bytes[0] = task->file_bytes;
    out->devices = 1;
    return task->file_bytes <= room->free_bytes[0] || room->may_split ? POLICY_FITS
                                                                      : POLICY_NEEDS_ROOM;
}

/* More layers than fit were asked for by number: alone that may be tried, beside others not. */
static bool is_over(const struct place_task *task, const struct policy_room *room)
{
    for (int i = 0; i < task->room.n_device; i++)
        if (task->place.device_bytes[i] > room->free_bytes[i + 1])
            return true;
    return false;
}

enum policy_fit place_find(struct place_task *task, uint32_t n_ctx, const struct policy_room *room,
                           struct policy_footprint *out, struct oll_error *err)
{
    if (!task->has_plan)
        return place_file(task, room, out);
    struct oll_plan_room *r = &task->room;
    r->host_free_bytes = room->free_bytes[0];
    r->require_full = !room->may_split && r->num_gpu < 0;
    for (int i = 0; i < r->n_device; i++)
        r->devices[i].free_bytes = room->free_bytes[i + 1];
    struct oll_error why = {0};
    if (oll_plan_place(&task->plan, r, n_ctx, &task->place, &why) != OLL_OK) {
        *err = why;
        return why.status == OLL_ERR_BUSY ? POLICY_NEEDS_ROOM : POLICY_IMPOSSIBLE;
    }
    if (!room->may_split && is_over(task, room))
        return POLICY_NEEDS_ROOM;
    out->bytes[0] = task->place.host_bytes;
    for (int i = 0; i < r->n_device; i++) {
        out->bytes[i + 1] = task->place.device_bytes[i];
        if (out->bytes[i + 1])
            out->devices |= 2u << i;
    }
    if (task->place.n_placed <= task->plan.n_layer)
        out->devices |= 1;
    return POLICY_FITS;
}

uint64_t place_bytes(const struct policy_footprint *footprint)
{
    uint64_t sum = 0;
    for (int i = 0; i < POLICY_MAX_DEVICES; i++)
        sum += footprint->bytes[i];
    return sum;
}

uint64_t place_vram_bytes(const struct place_task *task, const struct policy_footprint *footprint)
{
    const uint64_t all = place_bytes(footprint);
    if (task->has_plan && task->place.n_placed == task->plan.n_layer + 1)
        return all;
    return all - footprint->bytes[0];
}

uint32_t place_auto_ctx(const struct oll_plan_room *room)
{
    const uint64_t gib = (uint64_t)1 << 30;
    uint64_t sum = 0;
    for (int i = 0; i < room->n_device; i++)
        if (room->devices[i].total_bytes > room->reserve_bytes)
            sum += room->devices[i].total_bytes - room->reserve_bytes;
    return sum >= HIGH_GIB * gib     ? HIGH_CTX
           : sum >= MIDDLE_GIB * gib ? POLICY_MIDDLE_CTX
                                     : POLICY_AUTO_CTX;
}
