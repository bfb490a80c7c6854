/* A user's file as a blob without a copy (store-and-registry 10.5): a clone that shares its blocks
 * where the file system has that, else a second name of the same file.
 *
 * A second name shares the inode: who changes the file changes the blob. What it looked like is
 * noted in <root>/oll/origin/sha256-<hex> (device, inode, size, time of modification), and
 * oll_blob_check_origin hashes the blob again before use when that has changed. */
#ifndef OLL_REGISTRY_BLOB_LINK_H
#define OLL_REGISTRY_BLOB_LINK_H

#include "registry/store_lock.h"

enum oll_blob_link { OLL_BLOB_EXISTED, OLL_BLOB_CLONED, OLL_BLOB_LINKED };

/* Makes the regular file `path` a blob. `digest` was computed from it when it had this size and
 * time of modification; if it has others now: OLL_ERR_BUSY. The lease gets the digest.
 * OLL_ERR_UNSUPPORTED: it must be copied (another file system, another owner, no right to link). */
oll_status oll_blob_link(const struct oll_store *store, struct oll_lease *lease, const char *path,
                         const struct oll_digest *digest, uint64_t n_bytes, int64_t modified_ns,
                         enum oll_blob_link *how, struct oll_error *err) OLL_MUST_USE;

/* Whether a blob may be used: at once unless it is a second name of a file that has changed. Then
 * it is hashed; one that holds something else is moved to oll/quarantine/ and gives
 * OLL_ERR_DIGEST. */
oll_status oll_blob_check_origin(const struct oll_store *store, const struct oll_digest *digest,
                                 struct oll_error *err) OLL_MUST_USE;

#endif
