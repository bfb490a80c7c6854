/* Which models a store holds, and what belongs to one of them. */
#ifndef OLL_REGISTRY_CATALOG_H
#define OLL_REGISTRY_CATALOG_H

#include "engine/base/json.h"
#include "registry/blob_store.h"
#include "registry/manifest.h"
#include "registry/reference.h"

struct oll_catalog_entry {
    struct oll_reference ref;
    int64_t modified_ns; /* of the manifest file, since 1970 */
};

/* All names that have a manifest, in no order; files whose path is no valid name are left out.
 * *entries is released with oll_free. An absent store has none. */
oll_status oll_catalog_list(const struct oll_store *store, struct oll_catalog_entry **entries,
                            size_t *n, struct oll_error *err) OLL_MUST_USE;
/* The same for those who remove things: *n_odd counts entries below manifests/ that are no names
 * and folders that cannot be read, where manifests may hide. */
oll_status oll_catalog_list_strict(const struct oll_store *store,
                                   struct oll_catalog_entry **entries, size_t *n, size_t *n_odd,
                                   struct oll_error *err) OLL_MUST_USE;
/* Gives each part of a name the spelling that the store has for it (1.4). */
oll_status oll_catalog_canonical(const struct oll_store *store, struct oll_reference *ref,
                                 struct oll_error *err) OLL_MUST_USE;

/* A stored model without its weights: documents and small layers. Absent texts are NULL. */
struct oll_stored_model {
    struct oll_reference ref;
    int64_t modified_ns;
    struct oll_manifest manifest;
    struct oll_model_config config;
    const struct oll_layer *model; /* the last one; NULL for a name that stands for a cloud model */
    const struct oll_layer *projector; /* the first one */
    const struct oll_layer *adapter;   /* the first one */
    uint32_t n_adapters;
    const char *template_text, *system;
    const struct oll_json *params;   /* object */
    const struct oll_json *messages; /* array */
};

/* Reads the model of exactly this name (see oll_catalog_canonical). OLL_ERR_NOT_FOUND when there is
 * no manifest; OLL_ERR_FORMAT and the like when it, or a layer, cannot be used. With `with_layers`
 * false the template and the other texts are left NULL. */
oll_status oll_catalog_load(const struct oll_store *store, const struct oll_reference *ref,
                            bool with_layers, struct oll_arena *arena, struct oll_stored_model *out,
                            struct oll_error *err) OLL_MUST_USE;

#endif
