/* Byte strings to token ids by longest match: a trie whose edges lie in one hash table.
 *
 * An edge is found by (node, byte), so a node needs no memory of its own but its edge's slot of 12
 * bytes. Nodes are numbered from 0, the root. Filling is limited in probes like a text map's;
 * read-only afterwards. */
#ifndef OLL_TOKENIZER_BYTE_TRIE_H
#define OLL_TOKENIZER_BYTE_TRIE_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { BYTE_TRIE_MAX_NODES = 1 << 24, BYTE_TRIE_NONE = -1 };

struct byte_trie_edge {
    uint32_t key;   /* node << 8 | byte */
    uint32_t child; /* 0 while the slot is free */
    int32_t value;  /* of the text that ends at the child, or BYTE_TRIE_NONE */
};

struct byte_trie {
    struct byte_trie_edge *edges; /* NULL while empty */
    unsigned shift;
    uint32_t mask, n_nodes;
    uint64_t n_bytes; /* added so far, for the limit of probes */
    uint64_t n_probes;
};

/* Adds a text, n > 0; of equal texts the last value stays. OLL_ERR_MEMORY, OLL_ERR_LIMIT, or
 * OLL_ERR_FORMAT when the texts collide beyond all chance. */
oll_status byte_trie_add(struct byte_trie *trie, const char *p, size_t n,
                         int32_t value) OLL_MUST_USE;
void byte_trie_free(struct byte_trie *trie);

/* The edge of `byte` at `node`; NULL when no text goes on so. */
static inline const struct byte_trie_edge *byte_trie_step(const struct byte_trie *trie,
                                                          uint32_t node, char byte)
{
    uint32_t key = node << 8 | (unsigned char)byte;
    if (!trie->edges)
        return NULL;
    for (uint32_t i = key * UINT32_C(0x9E3779B1) >> trie->shift;; i = (i + 1) & trie->mask) {
        const struct byte_trie_edge *edge = &trie->edges[i];
        if (edge->child == 0)
            return NULL;
        if (edge->key == key)
            return edge;
    }
}

#endif
