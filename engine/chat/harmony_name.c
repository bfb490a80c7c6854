#include "engine/chat/harmony_name.h"

#include <stdbool.h>
#include <string.h>

static bool built_in(const char *name)
{
    static const char *const names[] = {"browser.open", "browser.search", "browser.find", "python"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static char *identifier(struct oll_arena *arena, const char *name)
{
    char *out = oll_arena_alloc(arena, strlen(name) + 2, 1);
    size_t n = 0;
    for (const char *s = name; out && *s != '\0'; s++) {
        const bool digit = *s >= '0' && *s <= '9';
        const bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        if (digit && n == 0)
            out[n++] = '_';
        if (letter || digit || *s == '_' || *s == '$')
            out[n++] = *s;
        else if (*s == ' ' || *s == '-' || *s == '.')
            out[n++] = '_';
    }
    return out && n == 0 ? oll_arena_strdup(arena, "unnamed") : out;
}

static bool taken(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

const char *const *chat_harmony_names(struct oll_arena *arena, const char *const *names, size_t n)
{
    const char **out = oll_arena_alloc(arena, n + 1, sizeof *out);
    for (size_t i = 0; out && i < n; i++) {
        const char *base =
            built_in(names[i]) ? oll_arena_strdup(arena, names[i]) : identifier(arena, names[i]);
        out[i] = base;
        for (int k = 2; base && out[i] && taken(out, i, out[i]); k++)
            out[i] = oll_arena_printf(arena, "%s_%d", base, k);
        if (!out[i])
            return NULL;
    }
    return out;
}
