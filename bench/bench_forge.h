/* Forged models: files of a real model's shape and type with random weights, so that a machine can
 * be measured without a download. They are valid: the vocabulary is complete (bytes, letters,
 * combinations of letters), logits are finite, every reader of GGUF loads them. Equal parameters
 * give equal bytes. */
#ifndef OLL_BENCH_BENCH_FORGE_H
#define OLL_BENCH_BENCH_FORGE_H

#include "bench/bench_watch.h"
#include "engine/base/dtype.h"
#include "engine/base/status.h"

#include <stdint.h>

struct bench_shape {
    const char *name;
    uint32_t n_layer, n_embd, n_ff; /* n_ff: of one expert where there are experts */
    uint32_t n_head, n_head_kv, head_dim;
    uint32_t n_vocab;
    uint32_t n_expert, n_expert_used; /* 0: dense */
    bool is_tied;                     /* the embedding is the head */
};

struct bench_mix;

enum { BENCH_FORGE_NAME_MAX = 64 };

struct bench_forge {
    const struct bench_shape *shape;
    const struct bench_mix *mix; /* a named mixture of types; NULL: `dtype` throughout */
    enum oll_dtype dtype;
    uint64_t seed;
};

/* Reads "SHAPE:TYPE", e.g. "1b:q4_k_m". The error lists what there is. */
oll_status bench_forge_parse(const char *text, uint64_t seed, struct bench_forge *out,
                             struct oll_error *err) OLL_MUST_USE;

/* File name of the model, e.g. "1b-q4_k_m-v1-0.gguf". */
void bench_forge_name(const struct bench_forge *forge, char out[BENCH_FORGE_NAME_MAX]);

/* Type of a tensor: `name` without "blk.N." and ".weight" ("attn_v", "token_embd"), in layer il,
 * with rows of n_in elements. Where rows are no multiple of the type's block, the type is the one
 * that quantisers fall back to. */
enum oll_dtype bench_forge_dtype(const struct bench_forge *forge, const char *name, uint32_t il,
                                 uint64_t n_in);

/* Bytes of all tensors. */
uint64_t bench_forge_bytes(const struct bench_forge *forge);

/* Writes the file, which appears under its name when it is complete. OLL_ERR_LIMIT when the disk
 * has no room for it, OLL_ERR_CANCELED. */
oll_status bench_forge_write(const struct bench_forge *forge, const char *path,
                             const struct bench_watch *watch, struct oll_error *err) OLL_MUST_USE;

/* The file in `folder` (made when it is missing), written unless it is there. *path is released
 * with oll_free. */
oll_status bench_forge_cached(const struct bench_forge *forge, const char *folder, char **path,
                              const struct bench_watch *watch, struct oll_error *err) OLL_MUST_USE;

#endif
