#include "engine/chat/collate.h"

#include <string.h>

static bool is_system(const struct chat_message *m) { return strcmp(m->role, "system") == 0; }

/* Contents of messages[0..n) joined by a blank line; `only_system` leaves the others out. */
static const char *join(struct oll_arena *arena, const struct chat_message *messages, uint32_t n,
                        bool only_system)
{
    size_t bytes = 1;
    for (uint32_t i = 0; i < n; i++)
        bytes += strlen(messages[i].content) + 2;
    char *text = oll_arena_alloc(arena, bytes, 1);
    char *end = text;
    for (uint32_t i = 0, used = 0; text && i < n; i++) {
        if (only_system && !is_system(&messages[i]))
            continue;
        const size_t len = strlen(messages[i].content);
        if (used++) {
            memcpy(end, "\n\n", 2);
            end += 2;
        }
        memcpy(end, messages[i].content, len);
        end += len;
    }
    return text;
}

/* How many messages from `from` on become one. */
static uint32_t run_length(const struct chat_message *messages, uint32_t from, uint32_t n)
{
    uint32_t to = from + 1;
    if (strcmp(messages[from].role, "tool") == 0)
        return 1;
    while (to < n && strcmp(messages[to].role, messages[from].role) == 0)
        to++;
    return to - from;
}

oll_status chat_collate(struct oll_arena *arena, const struct chat_message *messages, uint32_t n,
                        struct chat_collated *out, struct oll_error *err)
{
    struct chat_message *list = oll_arena_alloc(arena, n ? n : 1, sizeof *list);
    *out = (struct chat_collated){.messages = list, .system = join(arena, messages, n, true)};
    for (uint32_t i = 0; list && i < n;) {
        const uint32_t run = run_length(messages, i, n);
        struct chat_message *m = &list[out->n_messages++];
        *m = messages[i];
        if (run > 1)
            m->content = join(arena, messages + i, run, false);
        i += run;
    }
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "no memory to collate %u messages", n);
    return OLL_OK;
}
