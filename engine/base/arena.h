/* Arena: memory of one lifetime (model, request), given back whole.
 *
 * Allocation never fails in the middle of a run of reservations: the first failure (out of memory,
 * or beyond the arena's maximum) sticks, later calls return NULL, and the caller checks
 * `arena->status` once at the end. Pointers into an arena are borrowed: valid until reset or free.
 * One thread at a time. */
#ifndef OLL_BASE_ARENA_H
#define OLL_BASE_ARENA_H

#include "engine/base/status.h"

struct oll_arena_chunk;

struct oll_arena {
    struct oll_arena_chunk *head; /* newest chunk */
    size_t used_bytes;            /* handed out in all, alignment included */
    size_t max_bytes;             /* limit of used_bytes */
    oll_status status;            /* sticky: OLL_OK, OLL_ERR_MEMORY or OLL_ERR_LIMIT */
};

/* No memory is taken before the first allocation. */
void oll_arena_init(struct oll_arena *arena, size_t max_bytes);
/* Gives everything back; the arena may be used again with the same maximum. */
void oll_arena_reset(struct oll_arena *arena);
void oll_arena_free(struct oll_arena *arena);

/* `count * size` bytes, zeroed, aligned to 16; NULL once the arena has failed. */
void *oll_arena_alloc(struct oll_arena *arena, size_t count, size_t size);
/* Copies `n` bytes and adds a terminator. */
char *oll_arena_strndup(struct oll_arena *arena, const char *s, size_t n);
char *oll_arena_strdup(struct oll_arena *arena, const char *s);
char *oll_arena_printf(struct oll_arena *arena, const char *fmt, ...) OLL_PRINTF(2, 3);

#endif
