/* Making a model: layers from another model or from uploaded blobs, texts and parameters over them,
 * a config, a manifest.  (store-and-registry 10)
 *
 *   create.c         the order of things, config, manifest
 *   create_base.c    base layers: FROM a name, GGUF files; adapters; quantising
 *   create_import.c  safetensors to GGUF; the template that a GGUF file's own behaves like
 *   create_layers.c  the list of layers, texts, parameters, messages
 *
 * A lease protects what the model will name until the manifest is written. Runs on the thread of
 * the request; strings lie in its arena. */
#ifndef OLL_SERVER_CREATE_H
#define OLL_SERVER_CREATE_H

#include "engine/base/json.h"
#include "registry/catalog_write.h"
#include "registry/store_lock.h"
#include "server/models.h"

enum { CREATE_LAYERS_MAX = 1024 };

/* Values of `info` that override what the files say; NULL and 0: not given. */
struct create_info {
    const char *family, *base_name, *quantization, *n_params;
    const struct oll_json *capabilities; /* array */
    uint64_t context_length, embedding_length;
};

struct create_request {
    const char *name;
    const char *from; /* "" : none */
    /* Objects from file names to digests; NULL: not given. */
    const struct oll_json *files, *adapters, *draft_files;
    const char *template_text, *system, *renderer, *parser, *requires_version;
    const char *quantize, *draft_quantize;
    const struct oll_json *license;    /* string or array of strings */
    const struct oll_json *parameters; /* object */
    const struct oll_json *messages;   /* array */
    struct create_info info;
};

/* Where progress goes. `digest` is "" and `total` 0 but for lines that count bytes. False: nobody
 * waits for the model any more. */
struct create_events {
    bool (*status)(void *user, const char *text, const char *digest, uint64_t total,
                   uint64_t completed);
    bool (*canceled)(void *user); /* asked while there is nothing to tell; may be NULL */
    void *user;
};

/* Makes the model. *http_status is that of a failure: 400 where the request is to blame, else 500.
 */
oll_status create_model(struct models *models, const struct create_request *request,
                        const struct create_events *events, struct oll_arena *arena, bool prune,
                        int *http_status, struct oll_error *err) OLL_MUST_USE;

/* ---- shared by the files of this module ---- */

struct create_layer {
    struct oll_layer layer;
    bool existed; /* "using existing layer" */
    bool is_new;  /* it came with this request, not from a parent */
};

struct create {
    struct models *models;
    const struct oll_store *store;
    const struct create_request *request;
    const struct create_events *events;
    struct oll_arena *arena;
    struct oll_lease *lease;
    struct oll_reference target;
    struct create_layer *layers; /* [CREATE_LAYERS_MAX] */
    uint32_t n_layers;
    struct oll_model_config config;
    const struct oll_json *base_params; /* of the parent; NULL: none */
    const char *template_name;          /* of the detected template; NULL: none */
    bool prune, gone;                   /* gone: a line could not be sent */
    int http_status;
    struct oll_error *err;
};

/* Fails with status 400. */
oll_status create_fail400(struct create *c, oll_status status, const char *fmt, ...)
    OLL_PRINTF(3, 4);
/* Sends a status line; OLL_ERR_CANCELED when nobody listens. */
oll_status create_tell(struct create *c, const char *text) OLL_MUST_USE;

oll_status create_add_layer(struct create *c, const struct create_layer *layer) OLL_MUST_USE;
/* Stores bytes as a blob and appends it. */
oll_status create_put_layer(struct create *c, const char *kind, const void *data,
                            size_t n) OLL_MUST_USE;
/* Takes layers of a kind off the list. */
void create_drop_layers(struct create *c, const char *kind);
const struct oll_layer *create_find_layer(const struct create *c, const char *kind);
/* Template, system, licenses, parameters, messages. */
oll_status create_add_texts(struct create *c) OLL_MUST_USE;

/* Layers of `from` or `files`; adapters and draft; quantising. */
oll_status create_add_base(struct create *c) OLL_MUST_USE;
oll_status create_add_adapters(struct create *c) OLL_MUST_USE;
oll_status create_quantize(struct create *c, const char *kind, const char *type) OLL_MUST_USE;
/* A file of the request whose blob is present. */
struct create_file {
    const char *name, *path;
    struct oll_digest digest;
    uint64_t n_bytes;
    size_t n_prefix;    /* of a part of a split model: length of the common part of the names */
    uint32_t no, count; /* of it; count is 0 for other files */
};

/* Makes a model layer of a published model's files. */
oll_status create_convert(struct create *c, const struct create_file *files, size_t n) OLL_MUST_USE;
/* Adds the built-in template that the model's own behaves like, with its stop strings, when there
 * is one. */
oll_status create_detect_template(struct create *c) OLL_MUST_USE;
/* Publishes what was written and fills digest and size; the writer is gone. */
struct oll_blob_writer;
oll_status create_finish_blob(struct create *c, struct oll_blob_writer *w,
                              struct create_layer *out) OLL_MUST_USE;
/* For sinks of models: `user` is a blob writer. */
oll_status create_sink_write(void *user, const void *data, size_t n,
                             struct oll_error *err) OLL_MUST_USE;
/* Path of a layer's blob, in the arena. */
oll_status create_blob_path(struct create *c, const struct oll_digest *digest,
                            const char **path) OLL_MUST_USE;

#endif
