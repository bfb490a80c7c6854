#include "engine/base/arena.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_CHUNK_MIN = 16 * 1024, ARENA_ALIGN = 16 };

struct oll_arena_chunk {
    struct oll_arena_chunk *next;
    size_t size, used; /* of data[] */
    _Alignas(ARENA_ALIGN) unsigned char data[];
};

void oll_arena_init(struct oll_arena *arena, size_t max_bytes)
{
    memset(arena, 0, sizeof *arena);
    arena->max_bytes = max_bytes;
}

void oll_arena_reset(struct oll_arena *arena)
{
    struct oll_arena_chunk *chunk = arena->head;
    while (chunk) {
        struct oll_arena_chunk *next = chunk->next;
        oll_free(chunk);
        chunk = next;
    }
    oll_arena_init(arena, arena->max_bytes);
}

void oll_arena_free(struct oll_arena *arena) { oll_arena_reset(arena); }

static void *arena_fail(struct oll_arena *arena, oll_status status)
{
    if (arena->status == OLL_OK)
        arena->status = status;
    return NULL;
}

void *oll_arena_alloc(struct oll_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (arena->status != OLL_OK)
        return NULL;
    if (!oll_mul_size(count, size, &bytes) || bytes > arena->max_bytes - arena->used_bytes)
        return arena_fail(arena, OLL_ERR_LIMIT);
    bytes = oll_align_up(bytes ? bytes : 1, ARENA_ALIGN);
    if (bytes > arena->max_bytes - arena->used_bytes)
        return arena_fail(arena, OLL_ERR_LIMIT);
    struct oll_arena_chunk *chunk = arena->head;
    if (!chunk || chunk->size - chunk->used < bytes) {
        /* Chunks double, so a long request takes few of them. */
        size_t want = chunk ? chunk->size * 2 : ARENA_CHUNK_MIN;
        if (want > 1024 * 1024)
            want = 1024 * 1024;
        if (want < bytes)
            want = bytes;
        chunk = oll_alloc(1, sizeof *chunk + want);
        if (!chunk)
            return arena_fail(arena, OLL_ERR_MEMORY);
        *chunk = (struct oll_arena_chunk){.next = arena->head, .size = want};
        arena->head = chunk;
    }
    void *p = chunk->data + chunk->used;
    chunk->used += bytes;
    arena->used_bytes += bytes;
    return memset(p, 0, bytes);
}

char *oll_arena_strndup(struct oll_arena *arena, const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? oll_arena_alloc(arena, n + 1, 1) : arena_fail(arena, OLL_ERR_LIMIT);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

char *oll_arena_strdup(struct oll_arena *arena, const char *s)
{
    return oll_arena_strndup(arena, s, strlen(s));
}

char *oll_arena_printf(struct oll_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        return arena_fail(arena, OLL_ERR_INTERNAL);
    char *text = oll_arena_alloc(arena, (size_t)n + 1, 1);
    if (!text)
        return NULL;
    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}
