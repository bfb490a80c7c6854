/* The two JSON documents of a stored model: the manifest, which lists its layers, and the config.
 * Unknown fields are ignored. All strings lie in the arena that was given. (store-and-registry
 * 3.2 to 3.4) */
#ifndef OLL_REGISTRY_MANIFEST_H
#define OLL_REGISTRY_MANIFEST_H

#include "engine/base/arena.h"
#include "registry/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct oll_json;

enum { OLL_MANIFEST_BYTES_MAX = 4 * 1024 * 1024, OLL_MANIFEST_LAYERS_MAX = 4096 };

struct oll_layer {
    const char *media_type; /* in full */
    struct oll_digest digest;
    uint64_t size_bytes;
    const char *from, *name; /* "" when absent */
};

struct oll_manifest {
    struct oll_layer config; /* media_type is NULL when there is none */
    struct oll_layer *layers;
    uint32_t n_layers;
    uint64_t total_bytes; /* of all layers and the config; a layer listed twice counts twice */
    char id[OLL_SHA256_HEX + 1]; /* SHA-256 of the document's bytes */
};

oll_status oll_manifest_parse(struct oll_arena *arena, const char *text, size_t n,
                              struct oll_manifest *out, struct oll_error *err) OLL_MUST_USE;
/* Whether a layer is of a kind: the part of the media type after "application/vnd.ollama.image.",
 * e.g. "model", "template". */
bool oll_layer_is(const struct oll_layer *layer, const char *kind);

struct oll_model_config {
    const char *format;       /* "gguf" when empty */
    const char *family;       /* "llama" */
    const char **families;    /* NULL when the document has none */
    const char *n_params;     /* for display: "8.0B" */
    const char *quantization; /* for display: "Q4_K_M" */
    const char *renderer, *parser, *requires_version;
    const char *remote_host, *remote_model; /* of a name that stands for a cloud model */
    const char **capabilities;
    uint32_t n_families, n_capabilities;
    uint64_t context_length, embedding_length; /* 0: not said */
    const char *base_name;
    const struct oll_json *draft; /* object, NULL when there is none */
};

/* Absent strings are "". */
oll_status oll_model_config_parse(struct oll_arena *arena, const char *text, size_t n,
                                  struct oll_model_config *out, struct oll_error *err) OLL_MUST_USE;

#endif
