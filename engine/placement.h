/* Placement: which layer runs on which device, and what memory that takes.
 *
 * `--devices` is a list of NAME[:FIRST[-[LAST]]], layers from 0: "cpu", "cpu:0-9,ref:10-29",
 * "ref:0-1,cpu". A name without a range takes every layer that no other entry names. The embedding
 * lives with the first layer, the final norm and the head with the last one, unless NAME:input or
 * NAME:output say otherwise. Where neighbours live on different devices the residual stream is
 * copied once (pass.c). placement_fill.h finds such a list by free memory.
 *
 * The memory plan is the list of allocations itself: loading and contexts first write down what
 * they need, the plan is compared with what the machine has, and then exactly that is allocated. */
#ifndef OLL_ENGINE_PLACEMENT_H
#define OLL_ENGINE_PLACEMENT_H

#include "kernels/device.h"

enum { PLACEMENT_MAX_DEVICES = 4, PLACEMENT_MAX_NAME = 16 };

struct placement {
    int n_device;
    char names[PLACEMENT_MAX_DEVICES][PLACEMENT_MAX_NAME];
    uint32_t n_layer;
    uint8_t *layer_device; /* [n_layer] index into names */
    int input_device, output_device;
};

/* `text` NULL: everything on "cpu". OLL_ERR_ARG names the entry at fault. */
oll_status placement_parse(const char *text, uint32_t n_layer, struct placement *out,
                           struct oll_error *err) OLL_MUST_USE;
void placement_free(struct placement *p);

/* One allocation of a plan. */
struct plan_entry {
    const char *what; /* "kv cache", "activations": for messages */
    int i_device;
    uint64_t n_bytes;
};

enum { PLAN_MAX_ENTRIES = 16 };

struct plan {
    int n;
    struct plan_entry entries[PLAN_MAX_ENTRIES];
};

/* Adds bytes to the entry of that name and device, which is made when it is new. Sums saturate. */
void plan_add(struct plan *plan, const char *what, int i_device, uint64_t n_bytes);
uint64_t plan_sum(const struct plan *plan, const char *what);
/* OLL_ERR_LIMIT when the plan exceeds the memory that can be taken now; the text names needs,
 * memory and `advice`. */
oll_status plan_check(const struct plan *plan, const char *advice,
                      struct oll_error *err) OLL_MUST_USE;

#endif
