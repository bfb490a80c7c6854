/* Names to positions: keys of a part, tensors of a model. Sorted and searched by halves rather than
 * hashed, so that no choice of names in a hostile file makes building it or looking up slow. */
#ifndef OLL_GGUF_GGUF_INDEX_H
#define OLL_GGUF_GGUF_INDEX_H

#include "gguf/gguf.h"

struct gguf_index_entry {
    struct oll_gguf_str name; /* borrowed from the item */
    uint32_t i;
};

struct gguf_index {
    struct gguf_index_entry *entries; /* [n], by length, then by bytes */
    uint32_t n;
};

/* Indexes items[0..n), structs of `stride` bytes that begin with their name as struct oll_gguf_str.
 * OLL_ERR_EXISTS when two have the same name; then *duplicate is the later one of the first such
 * pair. OLL_ERR_MEMORY. Freed with gguf_index_free in any case. */
oll_status gguf_index_build(struct gguf_index *index, const void *items, size_t stride, uint32_t n,
                            uint32_t *duplicate) OLL_MUST_USE;
void gguf_index_free(struct gguf_index *index);
/* Position of the item with this name, UINT32_MAX when there is none. */
uint32_t gguf_index_find(const struct gguf_index *index, const char *name, size_t len);

#endif
