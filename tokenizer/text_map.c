#include "tokenizer/text_map.h"

#include "engine/base/mem.h"

enum { PROBES_PER_TEXT = 64, PROBES_ALWAYS = 4096 };

#define F UINT64_C(0xFFFFFFFFFFFFFFFF)
const uint64_t text_map_lo_mask[16] = {
    0, F >> 56, F >> 48, F >> 40, F >> 32, F >> 24, F >> 16, F >> 8, F, F, F, F, F, F, F, F};
const uint32_t text_map_hi_mask[16] = {
    0, 0,    0,      0,        0,          0,          0,          0,
    0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF};
#undef F

uint64_t text_map_hash_long(const char *p, size_t n)
{
    uint64_t h = n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * UINT64_C(0x9FB21C651E98DF25);
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, p, n);
    h = (h ^ word) * UINT64_C(0x9FB21C651E98DF25);
    return h ^ h >> 32;
}

oll_status text_map_init(struct text_map *map, size_t n_max, const char *pool,
                         const struct text_map_bytes *bytes)
{
    unsigned bits = 4;
    while (((size_t)1 << bits) < 2 * n_max)
        bits++;
    *map = (struct text_map){.pool = pool,
                             .bytes = bytes,
                             .shift = 64 - bits,
                             .mask = ((size_t)1 << bits) - 1,
                             .max_probes = (uint64_t)n_max * PROBES_PER_TEXT + PROBES_ALWAYS};
    map->slots = oll_calloc((size_t)1 << bits, sizeof *map->slots);
    return map->slots ? OLL_OK : OLL_ERR_MEMORY;
}

void text_map_free(struct text_map *map)
{
    oll_free(map->slots);
    map->slots = NULL;
}

/* The slot of a text, or the free one where it belongs. */
static struct text_map_slot *find_slot(const struct text_map *map, const char *p, size_t n,
                                       const struct text_map_key *key, uint64_t *n_probes)
{
    for (size_t i = (size_t)(key->hash >> map->shift);; i = (i + 1) & map->mask, (*n_probes)++) {
        struct text_map_slot *slot = &map->slots[i];
        uint32_t entry = atomic_load_explicit(&slot->entry, memory_order_relaxed);
        uint32_t id = entry & (TEXT_MAP_MAX_IDS - 1);
        if (entry == 0)
            return slot;
        if (slot->lo == key->lo && slot->hi == key->hi && entry >> 28 == key->n &&
            (key->n != TEXT_MAP_LONG || memcmp(map->pool + map->bytes[id].off, p, n) == 0))
            return slot;
    }
}

oll_status text_map_add(struct text_map *map, uint32_t id, uint32_t flags, int32_t *replaced)
{
    const char *p = map->pool + map->bytes[id].off;
    size_t n = map->bytes[id].n;
    struct text_map_key key = text_map_key(p, n, p + n);
    struct text_map_slot *slot = find_slot(map, p, n, &key, &map->n_probes);
    *replaced = text_map_id(slot->entry);
    slot->lo = key.lo;
    slot->hi = key.hi;
    slot->entry = id | flags | key.n << 28;
    return map->n_probes > map->max_probes ? OLL_ERR_FORMAT : OLL_OK;
}

void text_map_set_flag(const struct text_map *map, uint32_t id, uint32_t flag)
{
    const char *p = map->pool + map->bytes[id].off;
    size_t n = map->bytes[id].n;
    uint64_t n_probes = 0;
    struct text_map_key key = text_map_key(p, n, p + n);
    struct text_map_slot *slot = find_slot(map, p, n, &key, &n_probes);
    atomic_fetch_or_explicit(&slot->entry, flag, memory_order_relaxed);
}
