/* What a store takes on the disk, by kind (`oll du`). */
#ifndef OLL_REGISTRY_USAGE_H
#define OLL_REGISTRY_USAGE_H

#include "registry/inventory.h"

struct oll_usage {
    uint64_t used_bytes;       /* blobs that models name */
    uint64_t unused_bytes;     /* blobs that none does */
    uint64_t partial_bytes;    /* downloads that were not finished, ours and real Ollama's */
    uint64_t quarantine_bytes; /* blobs in doubt */
    uint64_t other_bytes;      /* manifests, notes, temporary files */
};

/* Adds up what lies below the store's root; files that vanish meanwhile count as nothing. */
void oll_usage_read(const struct oll_store *store, const struct oll_inventory *inventory,
                    struct oll_usage *out);

#endif
