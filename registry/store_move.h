/* A whole store goes to another folder, on this or another disk.
 *
 * The old store is locked for removal, so that nothing is published or removed there meanwhile, and
 * must have no transfer at work. Everything is put into the new store first: blobs as further names
 * of the same files where both lie on one file system, else copied and hashed; then manifests, with
 * their times. Only when all is durable there does the old store lose its manifests, then its
 * blobs. Killed in between, the next run goes on. The new folder may be a store already; models of
 * the same name must then be equal. */
#ifndef OLL_REGISTRY_STORE_MOVE_H
#define OLL_REGISTRY_STORE_MOVE_H

#include "registry/blob_store.h"

struct oll_store_move {
    const struct oll_store *from;
    const char *to;
    void (*progress)(void *user, const struct oll_digest *digest, uint64_t total,
                     uint64_t completed); /* of a copy; may be NULL */
    bool (*canceled)(void *user);         /* may be NULL */
    void *user;
};

struct oll_store_moved {
    uint32_t n_models, n_blobs;
    uint64_t copied_bytes; /* 0 on one file system */
};

/* OLL_ERR_BUSY: a transfer is at work. OLL_ERR_EXISTS: another model of that name is there already.
 * OLL_ERR_DIGEST, OLL_ERR_NOT_FOUND: a blob is damaged or missing (see verify.h); the old store is
 * whole then. */
oll_status oll_store_move(const struct oll_store_move *config, struct oll_store_moved *moved,
                          struct oll_error *err) OLL_MUST_USE;

#endif
