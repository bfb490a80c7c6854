/* What a store holds, put together: its models, and each blob with the models that name it. A
 * picture of one moment; nothing is locked, so a blob may be missing because its model has just
 * been removed: who finds damage looks again (oll_inventory_still_names). */
#ifndef OLL_REGISTRY_INVENTORY_H
#define OLL_REGISTRY_INVENTORY_H

#include "engine/base/arena.h"
#include "registry/blob_store.h"
#include "registry/reference.h"

struct oll_inventory_model {
    struct oll_reference ref;
    const char *name;    /* short form */
    const char *damage;  /* why its manifest cannot be read; NULL: it can */
    uint64_t size_bytes; /* of its blobs, each counted once */
    uint64_t own_bytes;  /* of those that no other model names */
};

struct oll_inventory_blob {
    struct oll_digest digest;
    bool present;         /* as a regular file */
    uint64_t file_bytes;  /* its size, when present */
    uint64_t named_bytes; /* the size that the first of its models says */
    const uint32_t *users;
    uint32_t n_users; /* indices of models, ascending; 0: nobody names it */
};

struct oll_inventory {
    struct oll_arena arena;
    struct oll_inventory_model *models; /* by name */
    struct oll_inventory_blob *blobs;   /* by digest */
    uint32_t n_models, n_blobs;
};

/* A store that does not exist is empty. To be freed also after a failure. */
oll_status oll_inventory_read(const struct oll_store *store, struct oll_inventory *out,
                              struct oll_error *err) OLL_MUST_USE;
void oll_inventory_free(struct oll_inventory *inventory);

/* Whether the manifest of a model names a blob now. */
bool oll_inventory_still_names(const struct oll_store *store, const struct oll_reference *ref,
                               const struct oll_digest *digest);

#endif
