/* A set of digests: filled first, then asked. */
#ifndef OLL_REGISTRY_DIGEST_SET_H
#define OLL_REGISTRY_DIGEST_SET_H

#include "registry/digest.h"

#include <stdbool.h>
#include <stddef.h>

struct digest_set {
    struct oll_digest *items;
    size_t n, cap;
    bool sorted;
    bool failed; /* out of memory: the set is not complete */
};

void digest_set_add(struct digest_set *set, const struct oll_digest *digest);
bool digest_set_has(struct digest_set *set, const struct oll_digest *digest);
void digest_set_free(struct digest_set *set);

#endif
