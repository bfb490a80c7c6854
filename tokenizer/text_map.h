/* Byte strings to token ids: the dictionary of a vocabulary.
 *
 * Open addressing with linear probing, at most half full. A slot of 16 bytes holds texts of up to
 * 12 bytes themselves, so that a look-up of a usual word touches one cache line and compares
 * exactly; longer texts leave their hash and are compared with the vocabulary's bytes.
 *
 *   OFFSET SIZE  slot
 *   0      8     text bytes 0 to 7, zero padded; for a long text its hash
 *   8      4     text bytes 8 to 11, zero padded; for a long text its length
 *   12     4     entry: id in bits 0 to 23, flags in bits 24 to 27, length (15: long) in bits 28 to
 *                31; 0 while the slot is free
 *
 * A forged vocabulary whose texts collide is refused when filling costs too many probes. After
 * filling only the flags of entries change: they record what the encoder has found out about a
 * token, always the same for the same token, so that threads may set and read them in any order. */
#ifndef OLL_TOKENIZER_TEXT_MAP_H
#define OLL_TOKENIZER_TEXT_MAP_H

#include "engine/base/status.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum {
    TEXT_MAP_MAX_IDS = 1 << 24,
    TEXT_MAP_INLINE = 12,
    TEXT_MAP_LONG = 15,
    TEXT_MAP_WHOLE = 1 << 24 /* flag: merging the text gives just this token */
};

struct text_map_slot {
    uint64_t lo;
    uint32_t hi;
    _Atomic uint32_t entry;
};

/* Bytes of the token `id`, for comparing long texts. */
struct text_map_bytes {
    uint32_t off, n;
};

struct text_map {
    struct text_map_slot *slots;
    unsigned shift; /* index = hash >> shift */
    size_t mask;
    uint64_t n_probes, max_probes;
    /* Borrowed from the vocabulary: text of id i is pool[bytes[i].off..). */
    const char *pool;
    const struct text_map_bytes *bytes;
};

/* Room for n_max texts. */
oll_status text_map_init(struct text_map *map, size_t n_max, const char *pool,
                         const struct text_map_bytes *bytes) OLL_MUST_USE;
void text_map_free(struct text_map *map);
/* Adds the text of `id` with flags; of equal texts the last one stays. OLL_ERR_FORMAT when the
 * texts collide beyond all chance. *replaced gets the id that had the text before, or -1. */
oll_status text_map_add(struct text_map *map, uint32_t id, uint32_t flags,
                        int32_t *replaced) OLL_MUST_USE;

uint64_t text_map_hash_long(const char *p, size_t n);
extern const uint64_t text_map_lo_mask[16];
extern const uint32_t text_map_hi_mask[16];

struct text_map_key {
    uint64_t lo, hash;
    uint32_t hi, n; /* n as in the entry */
};

static inline uint64_t text_map_hash(uint64_t lo, uint32_t hi, uint32_t n)
{
    return ((lo ^ (hi * UINT64_C(0x9E3779B97F4A7C15))) + n) * UINT64_C(0xD6E8FEB86659FD93);
}

/* Key of p[0..n), n > 0; bytes up to `end` may be read. */
static inline struct text_map_key text_map_key(const char *p, size_t n, const char *end)
{
    struct text_map_key key;
    if (n <= TEXT_MAP_INLINE) {
        key.n = (uint32_t)n;
        if (end - p >= TEXT_MAP_INLINE) {
            memcpy(&key.lo, p, 8);
            memcpy(&key.hi, p + 8, 4);
            key.lo &= text_map_lo_mask[n];
            key.hi &= text_map_hi_mask[n];
        } else {
            char bytes[TEXT_MAP_INLINE] = {0};
            memcpy(bytes, p, n);
            memcpy(&key.lo, bytes, 8);
            memcpy(&key.hi, bytes + 8, 4);
        }
    } else {
        key.n = TEXT_MAP_LONG;
        key.lo = text_map_hash_long(p, n);
        key.hi = (uint32_t)n;
    }
    key.hash = text_map_hash(key.lo, key.hi, key.n);
    return key;
}

/* Entry of p[0..n), n > 0; 0 when there is none. Bytes up to `end` may be read. */
static inline uint32_t text_map_find(const struct text_map *map, const char *p, size_t n,
                                     const char *end)
{
    struct text_map_key key = text_map_key(p, n, end);
    for (size_t i = (size_t)(key.hash >> map->shift);; i = (i + 1) & map->mask) {
        const struct text_map_slot *slot = &map->slots[i];
        uint32_t entry = atomic_load_explicit(&slot->entry, memory_order_relaxed);
        if (entry == 0)
            return 0;
        if (slot->lo != key.lo || slot->hi != key.hi || entry >> 28 != key.n)
            continue;
        if (key.n != TEXT_MAP_LONG ||
            memcmp(map->pool + map->bytes[entry & (TEXT_MAP_MAX_IDS - 1)].off, p, n) == 0)
            return entry;
    }
}

/* Id of an entry; -1 for 0. */
static inline int32_t text_map_id(uint32_t entry)
{
    return entry ? (int32_t)(entry & (TEXT_MAP_MAX_IDS - 1)) : -1;
}

/* Sets a flag of the entry of `id`, which is in the map. */
void text_map_set_flag(const struct text_map *map, uint32_t id, uint32_t flag);

#endif
