#include "engine/chat/go_infer.h"

#include <stdlib.h>
#include <string.h>

/* ---- variables ---- */

struct names {
    struct oll_arena *arena;
    const char **list;
    uint32_t n, room;
    bool bare_call; /* a template is called without a pipeline */
};

static void add_name(struct names *names, struct go_str name)
{
    if (names->n == names->room) {
        const uint32_t room = names->room ? 2 * names->room : 32;
        const char **list = oll_arena_alloc(names->arena, room, sizeof *list);
        if (!list)
            return;
        if (names->n)
            memcpy(list, names->list, names->n * sizeof *list);
        names->list = list;
        names->room = room;
    }
    char *copy = oll_arena_strndup(names->arena, name.s, name.n);
    if (!copy)
        return;
    for (size_t i = 0; i < name.n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
    names->list[names->n++] = copy;
}

static void collect(struct names *names, const struct go_node *node)
{
    const bool named = node->type == GO_NODE_FIELD || node->type == GO_NODE_VARIABLE;
    for (uint32_t i = 0; named && i < node->n_names; i++)
        add_name(names, node->names[i]);
    names->bare_call = names->bare_call || (node->type == GO_NODE_TEMPLATE && !node->pipe);
    if (node->pipe)
        collect(names, node->pipe);
    if (node->type == GO_NODE_LIST || node->type == GO_NODE_PIPE || node->type == GO_NODE_COMMAND) {
        for (const struct go_node *n = node->first; n; n = n->next)
            collect(names, n);
    } else if (node->first) {
        collect(names, node->first);
    }
    if (node->other)
        collect(names, node->other);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

oll_status go_infer_variables(struct oll_arena *arena, const struct go_tree *tree,
                              const char *const **out, uint32_t *n_out, struct oll_error *err)
{
    struct names names = {.arena = arena};
    uint32_t n = 0;
    for (uint32_t i = 0; i < tree->n_defines; i++)
        if (tree->defines[i].root)
            collect(&names, tree->defines[i].root);
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "no memory for the variables of the template");
    if (names.bare_call)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "undefined template specified");
    if (names.n)
        qsort(names.list, names.n, sizeof *names.list, compare_names);
    for (uint32_t i = 0; i < names.n; i++)
        if (n == 0 || strcmp(names.list[n - 1], names.list[i]) != 0)
            names.list[n++] = names.list[i];
    *out = names.list;
    *n_out = n;
    return OLL_OK;
}

/* ---- fields of a pipeline ---- */

typedef bool (*field_test)(const struct go_node *field);

static bool pipe_has(const struct go_node *pipe, field_test test)
{
    for (const struct go_node *c = pipe->first; c; c = c->next)
        for (const struct go_node *a = c->first; a; a = a->next) {
            if (a->type == GO_NODE_FIELD && test(a))
                return true;
            if (a->type == GO_NODE_PIPE && pipe_has(a, test))
                return true;
        }
    return false;
}

static bool names_tool_calls(const struct go_node *field)
{
    for (uint32_t i = 0; i < field->n_names; i++)
        if (go_str_equal(field->names[i], "ToolCalls"))
            return true;
    return false;
}

static bool starts_with_messages(const struct go_node *field)
{
    return go_str_equal(field->names[0], "Messages");
}

/* ---- white space of Go's strings.TrimSpace, on the bytes that occur in templates ---- */

static bool is_space(char c) { return c && strchr(" \t\r\n\v\f", c); }

static struct go_str trim(struct go_str s)
{
    while (s.n && is_space(s.s[0])) {
        s.s++;
        s.n--;
    }
    while (s.n && is_space(s.s[s.n - 1]))
        s.n--;
    return s;
}

/* ---- tag of a tool call ---- */

enum search { SEARCH_ON, SEARCH_FOUND, SEARCH_NONE };

static bool has_body(const struct go_node *node)
{
    return node->type == GO_NODE_IF || node->type == GO_NODE_WITH || node->type == GO_NODE_RANGE;
}

/* The first text that is not blank. What prints a value in front of it means that calls do not
 * begin with a text. */
static enum search first_text(const struct go_node *list, struct go_str *out)
{
    for (const struct go_node *n = list->first; n; n = n->next) {
        if (n->type == GO_NODE_TEXT && trim(n->text).n) {
            *out = n->text;
            return SEARCH_FOUND;
        }
        if (n->type == GO_NODE_TEMPLATE || (n->type == GO_NODE_ACTION && !n->pipe->n_names))
            return SEARCH_NONE;
        if (has_body(n))
            return first_text(n->first, out) == SEARCH_FOUND ? SEARCH_FOUND : SEARCH_NONE;
    }
    return SEARCH_ON;
}

/* Depth first: the first `if` that asks for tool calls. */
static const struct go_node *find_calls(const struct go_node *list)
{
    for (const struct go_node *n = list->first; n; n = n->next) {
        if (!has_body(n))
            continue;
        if (n->type == GO_NODE_IF && pipe_has(n->pipe, names_tool_calls))
            return n;
        const struct go_node *inner = find_calls(n->first);
        if (!inner && n->other)
            inner = find_calls(n->other);
        if (inner)
            return inner;
    }
    return NULL;
}

const char *go_infer_tool_call_tag(struct oll_arena *arena, const struct go_node *root)
{
    const struct go_node *branch = find_calls(root);
    struct go_str text = {"", 0};
    if (!branch || first_text(branch->first, &text) != SEARCH_FOUND)
        return "{";
    char *tag = oll_arena_alloc(arena, text.n + 1, 1);
    size_t n = 0;
    if (!tag)
        return NULL;
    for (size_t i = 0; i < text.n && text.s[i] != '{'; i++)
        if (!(text.s[i] == '\r' && i + 1 < text.n && text.s[i + 1] == '\n'))
            tag[n++] = text.s[i];
    const struct go_str trimmed = trim((struct go_str){tag, n});
    memmove(tag, trimmed.s, trimmed.n);
    tag[trimmed.n] = '\0';
    return trimmed.n ? tag : "{";
}

/* ---- thinking ---- */

struct thinking {
    struct go_str open, close;
};

/* Where the walk is: the nearest list and the pipeline of the nearest range. */
struct place {
    const struct go_node *list, *range_pipe;
};

static void take_tags(struct thinking *t, const struct place *at)
{
    const struct go_node *last = at->list->first;
    if (!at->range_pipe || !last || !pipe_has(at->range_pipe, starts_with_messages))
        return;
    if (last->type == GO_NODE_TEXT)
        t->open = trim(last->text);
    while (last->next)
        last = last->next;
    if (last->type == GO_NODE_TEXT)
        t->close = trim(last->text);
}

static void look(struct thinking *t, const struct go_node *node, struct place at)
{
    if (node->type == GO_NODE_FIELD && go_str_equal(node->names[0], "Thinking"))
        take_tags(t, &at);
    if (node->type == GO_NODE_RANGE)
        at.range_pipe = node->pipe;
    if (node->type == GO_NODE_LIST)
        at.list = node;
    if (node->pipe)
        look(t, node->pipe, at);
    if (node->type == GO_NODE_LIST || node->type == GO_NODE_PIPE || node->type == GO_NODE_COMMAND) {
        for (const struct go_node *n = node->first; n; n = n->next)
            look(t, n, at);
    } else if (node->first) {
        look(t, node->first, at);
    }
    if (node->other)
        look(t, node->other, at);
}

oll_status go_infer_thinking(struct oll_arena *arena, const struct go_node *root, const char **open,
                             const char **close, struct oll_error *err)
{
    struct thinking t = {{"", 0}, {"", 0}};
    look(&t, root, (struct place){.list = root});
    const bool both = t.open.n && t.close.n;
    *open = both ? oll_arena_strndup(arena, t.open.s, t.open.n) : "";
    *close = both ? oll_arena_strndup(arena, t.close.s, t.close.n) : "";
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "no memory for the thinking tags of the template");
    return OLL_OK;
}
