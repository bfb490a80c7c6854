/* Memory plan: what a model will take, before it is loaded.
 *
 * The plan is the list of allocations itself: the model is opened, given its contexts, and taken
 * through its largest passes on devices that compute nothing and take no memory, but count what
 * they would take (kernels/device.h, `dry`). What tokeniser, tables and requests take in host
 * memory is counted the same way (engine/base/mem.h). */
#ifndef OLL_ENGINE_PLAN_H
#define OLL_ENGINE_PLAN_H

#include "engine/oll.h"

enum { OLL_PLAN_MAX_DEVICES = 4, OLL_PLAN_MAX_NAME = 16, OLL_PLAN_TEXT_MAX = 512 };

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
    uint64_t scratch_bytes; /* host memory of devices while they compute */
    uint64_t host_bytes;    /* tokeniser, tables, and what requests in all slots take */
    /* The whole again, as placement wants it: weights of each layer, the output layer last, and the
     * cache of each. */
    uint64_t *layer_bytes, *layer_kv_bytes; /* [n_layer + 1], [n_layer] */
    uint64_t input_bytes;                   /* embedding */
};

/* How sure a plan is: EXACT reads vocabulary and template, too; QUICK counts a rule of thumb for
 * them, which is on the safe side. */
enum oll_plan_care { OLL_PLAN_EXACT, OLL_PLAN_QUICK };

/* Fills the plan, to be given to oll_plan_free. Errors are those of oll_engine_open but for the
 * lack of memory. */
oll_status oll_plan_make(const struct oll_engine_params *params, enum oll_plan_care care,
                         struct oll_plan *out, struct oll_error *err) OLL_MUST_USE;
void oll_plan_free(struct oll_plan *plan); /* also a zeroed one */

/* All of it, and the part of one kind on all devices. */
uint64_t oll_plan_total(const struct oll_plan *plan);
uint64_t oll_plan_weights(const struct oll_plan *plan);
uint64_t oll_plan_kv(const struct oll_plan *plan);
uint64_t oll_plan_activations(const struct oll_plan *plan);

/* ---- where it goes ---- */

/* Devices with a limit, beside the processor. */
struct oll_plan_room {
    int n_device;
    struct {
        char name[OLL_PLAN_MAX_NAME];
        uint64_t total_bytes, free_bytes;
        bool is_integrated;
    } devices[OLL_PLAN_MAX_DEVICES];
    uint64_t host_free_bytes;
    uint64_t reserve_bytes;    /* kept free on each device */
    int64_t num_gpu, main_gpu; /* as the options of the API; < 0: not said */
    bool spread;               /* over all devices, not as few as possible */
    bool require_full;         /* all layers on devices, or what num_gpu says */
};

/* Whether a list of devices names memory: "ref=64M,cpu"; else it is one for the engine. */
bool oll_plan_is_room(const char *devices);
/* Reads "NAME=SIZE,...": sizes in bytes or with K, M, G, T (powers of 1024). "cpu" without a size
 * may be there. The rest of *out is left alone. OLL_ERR_ARG names the entry at fault. */
oll_status oll_plan_read_room(const char *devices, struct oll_plan_room *out,
                              struct oll_error *err) OLL_MUST_USE;

struct oll_plan_place {
    char devices[OLL_PLAN_TEXT_MAX]; /* for oll_engine_params */
    uint32_t n_placed;               /* layers on devices, the output layer too */
    uint64_t device_bytes[OLL_PLAN_MAX_DEVICES];
    uint64_t host_bytes;
};
/* Finds a place in the room for a model whose plan was made for the processor alone, with a window
 * of n_ctx at most as large as planned. Errors as fill_layers (engine/placement_fill.h). */
oll_status oll_plan_place(const struct oll_plan *plan, const struct oll_plan_room *room,
                          uint32_t n_ctx, struct oll_plan_place *out,
                          struct oll_error *err) OLL_MUST_USE;

#endif
