/* One blob of a push. Internal. */
#ifndef OLL_REGISTRY_PUSH_BLOB_H
#define OLL_REGISTRY_PUSH_BLOB_H

#include "registry/manifest.h"
#include "registry/oci_client.h"
#include "registry/pull.h"

/* Sends a layer unless the registry has it; the status lines come out of the transfer. */
oll_status push_blob(const struct oll_transfer *transfer, struct oci_client *client,
                     const struct oll_layer *layer, struct oll_error *err) OLL_MUST_USE;

/* Bytes of one part of a blob: a sixteenth of it, 100 to 1000 MB. */
uint64_t push_part_bytes(uint64_t size);

#endif
