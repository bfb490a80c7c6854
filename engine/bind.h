/* Binder: finds the tensors of a model by name, checks their shapes and uploads them.
 *
 * The bind functions of a family read like a list of what the family holds. They run twice: the
 * first pass checks every name, shape and type and counts bytes, so that a faulty file fails before
 * anything is allocated; the second uploads. Failures stick to the binder and the first speaks; it
 * names the tensor, the architecture and what was expected.
 *
 * Spellings of other producers are known here (table in bind.c). Unknown tensors of a file are
 * never looked at. */
#ifndef OLL_ENGINE_BIND_H
#define OLL_ENGINE_BIND_H

#include "engine/model.h"

struct binder {
    struct oll_model *model;
    const struct oll_gguf *gguf;
    bool is_upload;                         /* second pass */
    int32_t il;                             /* layer at hand, -1: outside the layers */
    int i_device;                           /* where it lives */
    size_t n_vector[PLACEMENT_MAX_DEVICES]; /* floats of vectors so far */
    uint64_t weight_bytes;                  /* of the file, counted once per upload */
    oll_status status;
    struct oll_error *err;
};

/* Presence by default is required. */
enum bind_need { BIND_REQUIRED, BIND_OPTIONAL };

/* Names are those of the spec without "blk.N." and without ".weight". */
const struct oll_gguf_tensor *bind_find(const struct binder *b, const char *name,
                                        const char *suffix);
bool bind_has(const struct binder *b, const char *name);
/* Size `dim` (0: contiguous) of a tensor, `fallback` when it is absent. */
uint32_t bind_dim(struct binder *b, const char *name, int dim, uint32_t fallback);

/* [n] f32 from any storage type; name includes the suffix, as in "attn_sinks.weight". */
void bind_vec(struct binder *b, const char *name, const char *suffix, uint32_t n,
              enum bind_need need, struct oll_vec *out);
/* Norm weights [n] and, where present, biases. A bare norm (arch flag) needs no tensor. */
void bind_norm(struct binder *b, const char *name, uint32_t n, enum bind_need need,
               struct norm *out);
/* Norm of q or k: weights [head_dim] (each head, one weight), [n_head * head_dim] (whole vector) or
 * [head_dim, n_head] (each head, its own weights); told apart by the shape. */
void bind_head_norm(struct binder *b, const char *name, uint32_t n_head, uint32_t head_dim,
                    enum bind_need need, struct norm *out);

/* Matrix [n_in, n_out] with its bias, where there is one. */
void bind_linear(struct binder *b, const char *name, uint32_t n_in, uint32_t n_out,
                 enum bind_need need, struct linear *out);

struct bind_part {
    const char *name;
    uint32_t n_out;
    struct linear *out;
};

/* Matrices that read the same input and go to the device as one group: a tensor each, or `fused`,
 * which holds their rows one after the other. */
void bind_group(struct binder *b, const char *fused, const struct bind_part *parts, int n,
                uint32_t n_in);
/* Stacks of experts [n_in, n_out, n_expert] as one group; also from a tensor per expert
 * ("ffn_up.3" for "ffn_up_exps"). */
void bind_experts(struct binder *b, const struct bind_part *parts, int n, uint32_t n_in);

/* [n] values computed by the engine. */
void bind_computed(struct binder *b, const float *values, uint32_t n, struct oll_vec *out);
void bind_fail(struct binder *b, oll_status status, const char *fmt, ...) OLL_PRINTF(3, 4);

/* Both passes over the whole model; devices are open. */
oll_status bind_model(struct oll_model *model, struct oll_error *err) OLL_MUST_USE;

#endif
