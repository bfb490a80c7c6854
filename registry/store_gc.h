/* Removing what nobody needs. A blob is live when a manifest or a living lease names it; which are
 * live is worked out anew each time, under the exclusive lock, and one manifest that cannot be read
 * stops the removal (R14). Age alone is never a reason. */
#ifndef OLL_REGISTRY_STORE_GC_H
#define OLL_REGISTRY_STORE_GC_H

#include "registry/catalog.h"
#include "registry/digest_set.h"

/* Removes those of the digests that nothing names any more, at once if the exclusive lock is free;
 * else they stay for the next clean-up, which is no failure. OLL_ERR_FORMAT: a manifest cannot be
 * read. */
oll_status oll_store_drop_unused(const struct oll_store *store, const struct oll_digest *digests,
                                 size_t n, struct oll_error *err) OLL_MUST_USE;
/* Removes empty folders below manifests/. */
void oll_store_drop_empty(const struct oll_store *store);

/* What the server does when it starts (store-and-registry 6): old file names are renamed, what dead
 * processes left is cleared, and with `prune` blobs and strays that nobody names and that are at
 * least an hour old are removed; partial downloads stay. Trouble is logged and never keeps the
 * server from starting. */
void oll_store_start(const struct oll_store *store, bool prune);

/* What `oll prune` removes, or would. */
struct oll_prune_item {
    const char *name; /* of the file, below the store's root */
    uint64_t size_bytes;
    const char *kind; /* "unused blob", "partial download", "quarantined blob", "upload", "stray" */
};
typedef void (*oll_prune_fn)(void *user, const struct oll_prune_item *item);
/* Blobs that nothing names and that are `min_age_s` old or older; partial downloads, ours and real
 * Ollama's, that are not at work, quarantined blobs and uploads that can be resumed, all untouched
 * for `older_s` seconds; also, unmentioned, temporary files of dead processes and journals of
 * downloads that are gone. Waits for the exclusive lock. `each` is told what is gone; it may be
 * NULL. OLL_ERR_IO: something could not be removed; the rest was. */
oll_status oll_store_prune(const struct oll_store *store, int64_t min_age_s, int64_t older_s,
                           bool dry_run, oll_prune_fn each, void *user,
                           struct oll_error *err) OLL_MUST_USE;

/* Everything that manifests name, and with `leases` what living leases do, for the holder of the
 * exclusive lock. Internal. */
oll_status store_live_set(const struct oll_store *store, bool leases, struct digest_set *set,
                          struct oll_error *err) OLL_MUST_USE;

#endif
