/* Layers over devices by free memory (cli-and-scheduler 16, 18): a pure function of sizes.
 *
 * A model is a row of layers, the output layer last; its input embedding stays on the processor.
 * Devices of one library (here: cards) are taken first, as few as hold everything; what they cannot
 * hold stays on the processor. Layers are placed from the last one downwards, on the devices from
 * the last one downwards:
 *
 *     layers      0  1  2  3  4  5  6  out        two cards that hold it all
 *     device      a  a  a  a  b  b  b  b
 *
 *     layers      0  1  2  3  4  5  6  out        one card that holds four: the output layer gives
 *     device      .  .  .  a  a  a  a  .          its place to layers that repeat
 */
#ifndef OLL_ENGINE_PLACEMENT_FILL_H
#define OLL_ENGINE_PLACEMENT_FILL_H

#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum { FILL_MAX_DEVICES = 8, FILL_HOST = -1 };

struct fill_device {
    const char *name;
    uint64_t free_bytes;
    bool is_integrated;
};

struct fill_request {
    uint32_t n_layer;            /* without the output layer */
    const uint64_t *layer_bytes; /* [n_layer + 1] weights and cache; the last: the output layer */
    uint64_t input_bytes;        /* embedding; on the processor */
    uint64_t scratch_bytes;      /* of every device that computes, the processor too */
    int n_device;
    const struct fill_device *devices;
    uint64_t reserve_bytes; /* kept free on each */
    uint64_t host_free_bytes;
    int64_t num_gpu;   /* layers on devices, the output layer counts; < 0: as many as fit */
    int64_t main_gpu;  /* this device alone; < 0: any */
    bool spread;       /* all devices, not as few as possible */
    bool require_full; /* everything on devices, or what num_gpu says */
};

struct fill_result {
    uint32_t n_placed;                       /* layers on devices, output layer included */
    uint64_t device_bytes[FILL_MAX_DEVICES]; /* layers and scratch */
    uint64_t host_bytes;                     /* what is left, the embedding, scratch */
};

/* layer_device [n_layer + 1] gets an index of a device or FILL_HOST. Errors:
 * OLL_ERR_BUSY    require_full, and not everything fits now
 * OLL_ERR_MEMORY  the processor's memory is too small for the rest, or num_gpu cannot be honoured;
 *                 the text names both sizes */
oll_status fill_layers(const struct fill_request *request, int *layer_device,
                       struct fill_result *out, struct oll_error *err) OLL_MUST_USE;

/* The text that placement_parse reads: "cpu:input,a:0-3,b:4-6,b:output". `host` is the name of the
 * processor's device. */
void fill_text(const struct fill_request *request, const int *layer_device, const char *host,
               struct oll_strbuf *out);

#endif
