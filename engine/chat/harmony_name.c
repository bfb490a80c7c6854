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

/* ---- conversations ---- */

static const char *tool_name(const struct oll_json *tool)
{
    return oll_json_get_str(oll_json_get(tool, "function"), "name", "");
}

/* A copy of an object with one member replaced; NULL when the arena has failed. */
static struct oll_json *with_member(struct oll_arena *arena, const struct oll_json *object,
                                    const char *key, struct oll_json *value)
{
    struct oll_json *copy = oll_arena_alloc(arena, 1, sizeof *copy);
    struct oll_json **sorted = oll_arena_alloc(arena, object->n + 1, sizeof *sorted);
    if (!copy || !sorted || !value)
        return NULL;
    *copy = *object;
    struct oll_json **link = &copy->first;
    for (const struct oll_json *m = object->first; m; m = m->next) {
        struct oll_json *member = oll_arena_alloc(arena, 1, sizeof *member);
        if (!member)
            return NULL;
        *member = *m;
        if (strcmp(m->key, key) == 0) {
            *member = *value;
            member->key = m->key;
            member->key_len = m->key_len;
        }
        member->next = NULL;
        for (size_t i = 0; i < object->n; i++)
            if (object->sorted[i] == m)
                sorted[i] = member;
        *link = member;
        link = &member->next;
    }
    copy->sorted = sorted;
    copy->next = NULL;
    return copy;
}

static struct oll_json *renamed_tool(struct oll_arena *arena, const struct oll_json *tool,
                                     const char *name)
{
    const struct oll_json *function = oll_json_get(tool, "function");
    struct oll_json text = {.type = OLL_JSON_STRING, .str = name, .str_len = strlen(name)};
    if (oll_json_get(function, "name"))
        return with_member(arena, tool, "function", with_member(arena, function, "name", &text));
    struct oll_json *same = oll_arena_alloc(arena, 1, sizeof *same);
    if (same) {
        *same = *tool;
        same->next = NULL;
    }
    return same;
}

/* What a call's name becomes: that of its tool; of one that is not declared, its own identifier. */
static const char *call_name(struct oll_arena *arena, const struct oll_json *tools,
                             const char *const *names, const char *name)
{
    size_t i = 0;
    for (const struct oll_json *t = tools ? tools->first : NULL; t; t = t->next, i++)
        if (strcmp(tool_name(t), name) == 0)
            return names[i];
    const char *const *own = chat_harmony_names(arena, &name, 1);
    return own ? own[0] : NULL;
}

static oll_status rename_tools(struct oll_arena *arena, const struct oll_json *tools,
                               const char *const *names, struct chat_conversation *out)
{
    struct oll_json *list = oll_arena_alloc(arena, 1, sizeof *list);
    if (!list)
        return arena->status;
    *list = *tools;
    struct oll_json **link = &list->first;
    size_t i = 0;
    for (const struct oll_json *t = tools->first; t; t = t->next) {
        struct oll_json *copy = renamed_tool(arena, t, names[i++]);
        if (!copy)
            return arena->status;
        *link = copy;
        link = &copy->next;
    }
    out->tools = list;
    return OLL_OK;
}

static oll_status rename_calls(struct oll_arena *arena, const struct chat_conversation *in,
                               const char *const *names, struct chat_message *messages)
{
    for (uint32_t i = 0; i < in->n_messages; i++) {
        messages[i] = in->messages[i];
        if (*messages[i].tool_name)
            messages[i].tool_name = call_name(arena, in->tools, names, messages[i].tool_name);
        struct chat_call *calls =
            oll_arena_alloc(arena, (size_t)messages[i].n_calls + 1, sizeof *calls);
        if (!messages[i].tool_name || !calls)
            return arena->status;
        for (uint32_t k = 0; k < messages[i].n_calls; k++) {
            calls[k] = messages[i].calls[k];
            calls[k].name = call_name(arena, in->tools, names, calls[k].name);
            if (!calls[k].name)
                return arena->status;
        }
        messages[i].calls = calls;
    }
    return OLL_OK;
}

oll_status chat_harmony_conversation(struct oll_arena *arena, const struct chat_conversation *in,
                                     struct chat_conversation *out, struct oll_error *err)
{
    const size_t n_tools = in->tools ? in->tools->n : 0;
    const char **names = oll_arena_alloc(arena, n_tools + 1, sizeof *names);
    struct chat_message *messages =
        oll_arena_alloc(arena, (size_t)in->n_messages + 1, sizeof *messages);
    size_t i = 0;
    for (const struct oll_json *t = in->tools && names ? in->tools->first : NULL; t; t = t->next)
        names[i++] = tool_name(t);
    const char *const *shown = names ? chat_harmony_names(arena, names, n_tools) : NULL;
    *out = *in;
    oll_status status = shown && messages ? OLL_OK : OLL_ERR_MEMORY;
    if (status == OLL_OK && n_tools > 0)
        status = rename_tools(arena, in->tools, shown, out);
    if (status == OLL_OK)
        status = rename_calls(arena, in, shown, messages);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "out of memory for the conversation");
    out->messages = messages;
    if (in->think == OLL_THINK_MAX)
        out->think = OLL_THINK_HIGH;
    return OLL_OK;
}
