/* Memory plan: what a model will take, before it is loaded.
 *
 * The plan is the list of allocations itself: the model is opened, given its contexts, and taken
 * through its largest passes on devices that compute nothing and take no memory, but count what
 * they would take (kernels/device.h, `dry`). What tokeniser, tables and requests take in host
 * memory is counted the same way (engine/base/mem.h). */
#ifndef OLL_ENGINE_PLAN_H
#define OLL_ENGINE_PLAN_H

#include "engine/oll.h"

enum { OLL_PLAN_MAX_DEVICES = 4, OLL_PLAN_MAX_NAME = 16 };

struct oll_plan_device {
    char name[OLL_PLAN_MAX_NAME];
    uint32_t n_layer;
    uint64_t weights_bytes, kv_bytes, activation_bytes;
};

struct oll_plan {
    uint32_t n_ctx, n_slots, n_ubatch, n_layer;
    enum oll_dtype kv_dtype;
    int n_device;
    struct oll_plan_device devices[OLL_PLAN_MAX_DEVICES];
    uint64_t mapped_bytes;  /* of the weights: read in place from the file, in no allocator */
    uint64_t scratch_bytes; /* of the devices while they compute, and staging of a load, in host
                               memory */
    uint64_t host_bytes;    /* tokeniser, tables, and what requests in all slots take */
};

/* Fills the plan. Errors are those of oll_engine_open but for the lack of memory. */
oll_status oll_plan_make(const struct oll_engine_params *params, struct oll_plan *out,
                         struct oll_error *err) OLL_MUST_USE;

/* All of it, and the part of one kind on all devices. */
uint64_t oll_plan_total(const struct oll_plan *plan);
uint64_t oll_plan_weights(const struct oll_plan *plan);
uint64_t oll_plan_kv(const struct oll_plan *plan);
uint64_t oll_plan_activations(const struct oll_plan *plan);

#endif
