/* Blobs in doubt are put aside, neither deleted nor used (R15): <root>/oll/quarantine/<blob>.
 * Internal to registry/. */
#ifndef OLL_REGISTRY_QUARANTINE_H
#define OLL_REGISTRY_QUARANTINE_H

#include "registry/blob_store.h"

struct stat;

/* Moves the file that `seen` was taken of from blobs/ to the quarantine, with the note about its
 * origin forgotten. Waits for the exclusive lock. OLL_ERR_BUSY: another file has this name now. */
oll_status blob_quarantine(const struct oll_store *store, const struct oll_digest *digest,
                           const struct stat *seen, struct oll_error *err) OLL_MUST_USE;
/* Opens what was put aside, -1 when there is nothing. */
int blob_quarantine_open(const struct oll_store *store, const struct oll_digest *digest);
/* Removes it: the true blob is there again. */
void blob_quarantine_drop(const struct oll_store *store, const struct oll_digest *digest);

#endif
