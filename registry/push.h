/* Sending a model to a registry: each blob that is not there, in parts of 100 to 1000 MB, then the
 * manifest. Blobs that came from another model of the same registry are mounted instead of sent. An
 * upload that was interrupted between parts goes on where the registry says, also in another
 * process: <root>/oll/uploads/ keeps the URL of the session. (store-and-registry 8) */
#ifndef OLL_REGISTRY_PUSH_H
#define OLL_REGISTRY_PUSH_H

#include "registry/pull.h"

/* OLL_ERR_NOT_FOUND: there is no such model here. `prune` is not used. */
oll_status oll_push(const struct oll_transfer *transfer, struct oll_error *err) OLL_MUST_USE;

#endif
