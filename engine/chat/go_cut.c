/* The cut tree of legacy templates. Nodes are met in document order; conditions of if, with and
 * range are not looked into. A pipeline that loses a later command loses all: the action would
 * print something else than it was written for. */
#include "engine/chat/go_infer.h"

struct cut {
    struct oll_arena *arena;
    bool done; /* .Response was met: all that follows is dropped */
};

static struct go_node *copy(struct cut *c, const struct go_node *node)
{
    struct go_node *out = oll_arena_alloc(c->arena, 1, sizeof *out);
    if (out) {
        *out = *node;
        out->next = NULL;
    }
    return out;
}

static bool is_response(const struct go_node *node)
{
    for (uint32_t i = 0; node->type == GO_NODE_FIELD && i < node->n_names; i++)
        if (go_str_equal(node->names[i], "Response"))
            return true;
    return false;
}

static struct go_node *cut_pipe(struct cut *c, const struct go_node *pipe);

static struct go_node *cut_command(struct cut *c, const struct go_node *command)
{
    struct go_node *out = copy(c, command), **tail;
    if (!out)
        return NULL;
    tail = &out->first;
    *tail = NULL;
    for (const struct go_node *a = command->first; a && !c->done; a = a->next) {
        struct go_node *kept = a->type == GO_NODE_PIPE ? cut_pipe(c, a) : copy(c, a);
        if (is_response(a))
            c->done = true;
        if (!kept)
            continue;
        *tail = kept;
        tail = &kept->next;
    }
    return out->first ? out : NULL;
}

static struct go_node *cut_pipe(struct cut *c, const struct go_node *pipe)
{
    struct go_node *out = copy(c, pipe), **tail;
    if (!out)
        return NULL;
    tail = &out->first;
    *tail = NULL;
    for (const struct go_node *command = pipe->first; command; command = command->next) {
        *tail = cut_command(c, command);
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return out;
}

static struct go_node *cut_list(struct cut *c, const struct go_node *list);

static struct go_node *cut_node(struct cut *c, const struct go_node *node)
{
    struct go_node *out = copy(c, node);
    if (!out)
        return NULL;
    switch (node->type) {
    case GO_NODE_ACTION: out->pipe = cut_pipe(c, node->pipe); return out->pipe ? out : NULL;
    case GO_NODE_TEMPLATE:
        out->pipe = node->pipe ? cut_pipe(c, node->pipe) : NULL;
        return out->pipe || !node->pipe ? out : NULL;
    case GO_NODE_IF:
    case GO_NODE_WITH:
    case GO_NODE_RANGE:
        out->first = cut_list(c, node->first);
        if (node->other)
            out->other = cut_list(c, node->other);
        return out->first ? out : NULL;
    default: return out;
    }
}

static struct go_node *cut_list(struct cut *c, const struct go_node *list)
{
    struct go_node *out = copy(c, list), **tail;
    if (!out)
        return NULL;
    tail = &out->first;
    *tail = NULL;
    for (const struct go_node *n = list->first; n && !c->done; n = n->next) {
        struct go_node *kept = cut_node(c, n);
        if (!kept)
            continue;
        *tail = kept;
        tail = &kept->next;
    }
    return out;
}

oll_status go_cut(struct oll_arena *arena, const struct go_node *root, struct go_node **out,
                  struct oll_error *err)
{
    struct cut c = {.arena = arena};
    *out = cut_list(&c, root);
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "no memory for the tree of the template");
    return OLL_OK;
}
