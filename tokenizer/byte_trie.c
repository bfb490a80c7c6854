#include "tokenizer/byte_trie.h"

#include "engine/base/mem.h"

enum { FIRST_BITS = 8, PROBES_PER_BYTE = 64, PROBES_ALWAYS = 4096 };

/* The slot where the key is or belongs. */
static struct byte_trie_edge *find_edge(struct byte_trie *trie, uint32_t key)
{
    uint32_t i = key * UINT32_C(0x9E3779B1) >> trie->shift;
    while (trie->edges[i].child != 0 && trie->edges[i].key != key) {
        i = (i + 1) & trie->mask;
        trie->n_probes++;
    }
    return &trie->edges[i];
}

static oll_status trie_grow(struct byte_trie *trie, unsigned bits)
{
    struct byte_trie_edge *old = trie->edges;
    uint32_t n_old = old ? trie->mask + 1 : 0;
    struct byte_trie_edge *edges = oll_calloc((size_t)1 << bits, sizeof *edges);
    if (!edges)
        return OLL_ERR_MEMORY;
    trie->edges = edges;
    trie->shift = 32 - bits;
    trie->mask = ((uint32_t)1 << bits) - 1;
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i].child != 0)
            *find_edge(trie, old[i].key) = old[i];
    oll_free(old);
    return OLL_OK;
}

oll_status byte_trie_add(struct byte_trie *trie, const char *p, size_t n, int32_t value)
{
    struct byte_trie_edge *edge = NULL;
    uint32_t node = 0;
    if (!trie->edges)
        OLL_TRY(trie_grow(trie, FIRST_BITS));
    for (size_t i = 0; i < n; i++) {
        uint32_t key = node << 8 | (unsigned char)p[i];
        if (trie->n_nodes + 1 >= BYTE_TRIE_MAX_NODES)
            return OLL_ERR_LIMIT;
        /* Two thirds full at most. */
        if (trie->n_nodes >= (trie->mask + 1) / 3 * 2)
            OLL_TRY(trie_grow(trie, 33 - trie->shift));
        edge = find_edge(trie, key);
        if (edge->child == 0)
            *edge = (struct byte_trie_edge){key, ++trie->n_nodes, BYTE_TRIE_NONE};
        node = edge->child;
    }
    edge->value = value;
    trie->n_bytes += n;
    return trie->n_probes > trie->n_bytes * PROBES_PER_BYTE + PROBES_ALWAYS ? OLL_ERR_FORMAT
                                                                            : OLL_OK;
}

void byte_trie_free(struct byte_trie *trie)
{
    oll_free(trie->edges);
    *trie = (struct byte_trie){0};
}
