/* Quantises a model file: the same model with its matrices in smaller types.
 * (store-and-registry 10.3, gguf-and-models 2.9)
 *
 * Which type a tensor gets follows from its name, its layer and the target; what is small or
 * sensitive (norms, routers, positions) stays as it is. Rows that the block of a type does not
 * divide get the next larger type. Equal input gives equal bytes, whatever the number of threads.
 * Any thread. */
#ifndef OLL_CONVERT_QUANTIZE_H
#define OLL_CONVERT_QUANTIZE_H

#include "engine/base/dtype.h"
#include "engine/base/status.h"
#include "gguf/gguf.h"

#include <stdbool.h>
#include <stdint.h>

enum oll_quantize_target {
    OLL_TARGET_F32,
    OLL_TARGET_F16,
    OLL_TARGET_BF16,
    OLL_TARGET_Q8_0,
    OLL_TARGET_Q4_K_S,
    OLL_TARGET_Q4_K_M,
    OLL_TARGET_KEEP /* every tensor as it is: parts of a split model become one file */
};

/* By name in any case; "Q4_K" is Q4_K_M. OLL_ERR_UNSUPPORTED with the text for the client. */
oll_status oll_quantize_target_parse(const char *name, enum oll_quantize_target *out,
                                     struct oll_error *err) OLL_MUST_USE;
/* "Q4_K_M" */
const char *oll_quantize_target_name(enum oll_quantize_target target);

enum { QUANTIZE_LAYERS_MAX = 1024 };

/* What the choice of a tensor's type depends on beside the tensor. */
struct quantize_plan {
    enum oll_quantize_target target;
    uint64_t n_layer, n_expert;
    bool has_output;                      /* output.weight exists: token_embd.weight is no head */
    bool has_attn_v[QUANTIZE_LAYERS_MAX]; /* layers with a matrix of this name */
};

/* Number of the layer in "blk.<i>."; 0 for other names. */
uint64_t quantize_layer_of(const char *name);
/* Type of a tensor after quantising. `name` is terminated, n_in the length of its rows. */
enum oll_dtype quantize_tensor_type(const struct quantize_plan *plan, const char *name,
                                    uint32_t n_dims, uint64_t n_in, enum oll_dtype source);

struct oll_quantize_options {
    enum oll_quantize_target target;
    int n_threads; /* 0: one per physical core */
    /* Called after each piece with bytes of the source that are done; false stops with
     * OLL_ERR_CANCELED. May be NULL. */
    bool (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
};

/* Reads a model (n_parts files, in order; 1: also a split model whose other parts lie beside) and
 * writes one file to the sink. */
oll_status oll_quantize_model(const char *const *paths, uint32_t n_parts,
                              const struct oll_gguf_sink *sink,
                              const struct oll_quantize_options *options,
                              struct oll_error *err) OLL_MUST_USE;

#endif
