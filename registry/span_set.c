#include "registry/span_set.h"

#include "engine/base/mem.h"

#include <string.h>

static bool grow(struct span_set *set)
{
    size_t cap = set->cap ? set->cap * 2 : 16;
    struct span *grown = cap <= SPANS_MAX ? oll_realloc(set->items, cap, sizeof *grown) : NULL;
    if (!grown)
        return false;
    set->items = grown;
    set->cap = cap;
    return true;
}

bool span_set_add(struct span_set *set, uint64_t begin, uint64_t end)
{
    size_t first = 0;
    if (begin >= end)
        return true;
    while (first < set->n && set->items[first].end < begin)
        first++;
    /* The spans [first, last) touch the new one and melt into it. */
    size_t last = first;
    while (last < set->n && set->items[last].begin <= end)
        last++;
    if (last == first && set->n == set->cap && !grow(set))
        return false;
    if (last > first) {
        if (set->items[first].begin < begin)
            begin = set->items[first].begin;
        if (set->items[last - 1].end > end)
            end = set->items[last - 1].end;
    }
    memmove(set->items + first + 1, set->items + last, (set->n - last) * sizeof *set->items);
    set->items[first] = (struct span){begin, end};
    set->n = set->n + 1 - (last - first);
    return true;
}

uint64_t span_set_end(const struct span_set *set, uint64_t at)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->items[i].begin <= at && at < set->items[i].end)
            return set->items[i].end;
    return at;
}

uint64_t span_set_next(const struct span_set *set, uint64_t at)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->items[i].begin > at)
            return set->items[i].begin;
    return UINT64_MAX;
}

uint64_t span_set_bytes(const struct span_set *set)
{
    uint64_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        n += set->items[i].end - set->items[i].begin;
    return n;
}

bool span_set_copy(const struct span_set *from, struct span_set *to)
{
    struct span_set copy = {0};
    for (size_t i = 0; i < from->n; i++)
        if (!span_set_add(&copy, from->items[i].begin, from->items[i].end)) {
            span_set_free(&copy);
            return false;
        }
    *to = copy;
    return true;
}

void span_set_free(struct span_set *set)
{
    oll_free(set->items);
    *set = (struct span_set){0};
}
