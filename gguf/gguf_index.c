#include "gguf/gguf_index.h"

#include "engine/base/mem.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(struct oll_gguf_str a, struct oll_gguf_str b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len ? memcmp(a.data, b.data, (size_t)a.len) : 0;
}

static int compare_entries(const void *pa, const void *pb)
{
    const struct gguf_index_entry *a = pa, *b = pb;
    const int order = compare_names(a->name, b->name);
    if (order != 0)
        return order;
    return a->i < b->i ? -1 : a->i > b->i;
}

oll_status gguf_index_build(struct gguf_index *index, const void *items, size_t stride, uint32_t n,
                            uint32_t *duplicate)
{
    *index = (struct gguf_index){0};
    index->entries = oll_alloc(n, sizeof *index->entries);
    if (!index->entries)
        return OLL_ERR_MEMORY;
    index->n = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct oll_gguf_str *name = (const void *)((const char *)items + i * stride);
        index->entries[i] = (struct gguf_index_entry){*name, i};
    }
    if (n > 1)
        qsort(index->entries, n, sizeof *index->entries, compare_entries);
    for (uint32_t i = 1; i < n; i++) {
        if (compare_names(index->entries[i - 1].name, index->entries[i].name) == 0) {
            *duplicate = index->entries[i].i;
            return OLL_ERR_EXISTS;
        }
    }
    return OLL_OK;
}

void gguf_index_free(struct gguf_index *index)
{
    oll_free(index->entries);
    *index = (struct gguf_index){0};
}

uint32_t gguf_index_find(const struct gguf_index *index, const char *name, size_t len)
{
    const struct oll_gguf_str wanted = {name, len};
    uint32_t begin = 0, end = index->n;
    while (begin < end) {
        const uint32_t middle = begin + (end - begin) / 2;
        const int order = compare_names(wanted, index->entries[middle].name);
        if (order == 0)
            return index->entries[middle].i;
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return UINT32_MAX;
}
