/* How processes share one store without harming each other.
 *
 *   <root>/oll/lock          flock: shared while blobs or a manifest are published and while a
 * lease is written; exclusive while blobs are removed. Never held during a transfer.
 *   <root>/oll/leases/<n>    flock exclusive for as long as its owner lives; its lines name digests
 *                            that must not be removed although no manifest names them yet. A lease
 *                            whose lock is free belongs to a dead process and counts as absent.
 *
 * Who brings a model in: takes a lease on what it will name, THEN looks which blobs are present
 * (touching those), brings the others, writes the manifest, drops the lease. Who removes: takes the
 * exclusive lock, reads all manifests and leases, removes what neither names. So a blob is either
 * seen under the lease or was gone before the owner looked. A remover never waits for a transfer.
 *
 * Real Ollama takes no lock. It removes unreferenced blobs older than an hour when it starts, hence
 * the touching, and oll_catalog_write looks for all blobs once more under the lock. It writes
 * manifests in place; a half-written one makes our removal stop.
 *
 * The locks are those of open files: threads of one process exclude each other as processes do.
 * Where the file system has no flock, OLL_ERR_UNSUPPORTED says so. */
#ifndef OLL_REGISTRY_STORE_LOCK_H
#define OLL_REGISTRY_STORE_LOCK_H

#include "registry/blob_store.h"

/* *lock goes to oll_store_unlock. */
oll_status oll_store_lock_shared(const struct oll_store *store, int *lock,
                                 struct oll_error *err) OLL_MUST_USE;
/* With `wait` false OLL_ERR_BUSY when someone else holds it. */
oll_status oll_store_lock_exclusive(const struct oll_store *store, bool wait, int *lock,
                                    struct oll_error *err) OLL_MUST_USE;
void oll_store_unlock(int lock);

struct oll_lease;

/* One thread at a time. */
oll_status oll_lease_new(const struct oll_store *store, struct oll_lease **out,
                         struct oll_error *err) OLL_MUST_USE;
/* From here on the digests are safe from removal. */
oll_status oll_lease_add(struct oll_lease *lease, const struct oll_digest *digests, size_t n,
                         struct oll_error *err) OLL_MUST_USE;
/* Ends the protection; NULL is accepted. */
void oll_lease_free(struct oll_lease *lease);

/* Reads what living leases name, for the holder of the exclusive lock, and removes dead leases.
 * `add` gets each digest. */
typedef void (*lease_digest_fn)(void *user, const struct oll_digest *digest);
oll_status store_read_leases(const struct oll_store *store, lease_digest_fn add, void *user,
                             struct oll_error *err) OLL_MUST_USE;

#endif
