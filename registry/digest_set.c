#include "registry/digest_set.h"

#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

void digest_set_add(struct digest_set *set, const struct oll_digest *digest)
{
    if (set->n == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 64;
        struct oll_digest *grown = oll_realloc(set->items, cap, sizeof *grown);
        if (!grown) {
            set->failed = true;
            return;
        }
        set->items = grown;
        set->cap = cap;
    }
    set->items[set->n++] = *digest;
    set->sorted = false;
}

static int compare(const void *a, const void *b) { return memcmp(a, b, OLL_SHA256_BYTES); }

bool digest_set_has(struct digest_set *set, const struct oll_digest *digest)
{
    if (set->n == 0)
        return false;
    if (!set->sorted)
        qsort(set->items, set->n, sizeof *set->items, compare);
    set->sorted = true;
    return bsearch(digest, set->items, set->n, sizeof *set->items, compare) != NULL;
}

void digest_set_free(struct digest_set *set)
{
    oll_free(set->items);
    *set = (struct digest_set){0};
}
