/* A blob that is missing or damaged, fetched anew from the registry of a model that names it. What
 * of a damaged file (put aside by blob_quarantine) still fits its chunk sums is kept, and only the
 * rest is asked for; the digest decides in the end. Internal to registry/. */
#ifndef OLL_REGISTRY_BLOB_REPAIR_H
#define OLL_REGISTRY_BLOB_REPAIR_H

#include "registry/blob_store.h"
#include "registry/reference.h"

struct blob_repair {
    const struct oll_store *store;
    const struct oll_reference *ref; /* the model; its host is asked */
    struct oll_digest digest;
    uint64_t size_bytes;
    bool insecure;
    const char *key_path;         /* NULL: none */
    bool (*canceled)(void *user); /* may be NULL */
    void (*progress)(void *user, uint64_t completed);
    void *user;
};

/* On OLL_OK the blob is there, whole and durable, and the damaged file is gone; otherwise both stay
 * as they are and the next try goes on. */
oll_status blob_repair_run(const struct blob_repair *repair, struct oll_error *err) OLL_MUST_USE;

#endif
