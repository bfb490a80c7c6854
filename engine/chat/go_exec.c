/* Walks the tree of a Go template and writes its output. */
#include "engine/chat/go_exec.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

enum { CONTEXT_MAX = 400 }; /* bytes of a node's text in an error, so that the reason still fits */

/* ---- limits and errors ---- */

/* "template: :LINE:COL: executing "NAME" at <NODE>: reason". */
oll_status go_run_fail(struct go_run *run, const char *fmt, ...)
{
    char reason[512];
    struct oll_strbuf name, context;
    unsigned line = 1, column = 0;
    va_list args;
    va_start(args, fmt);
    vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    oll_strbuf_init(&name, 4096);
    oll_strbuf_init(&context, GO_SOURCE_MAX);
    go_quote(&name, run->name);
    go_node_print(&context, run->at);
    for (size_t i = 0; i < run->at->pos; i++) {
        const bool newline = run->tree->source[i] == '\n';
        line += newline;
        column = newline ? 0 : column + 1;
    }
    const bool cut = context.len > CONTEXT_MAX;
    const oll_status status =
        OLL_FAIL(run->err, OLL_ERR_FORMAT, "template: :%u:%u: executing %.100s at <%.*s%s>: %s",
                 line, column, name.data, cut ? CONTEXT_MAX : (int)context.len, context.data,
                 cut ? "..." : "", reason);
    oll_strbuf_free(&name);
    oll_strbuf_free(&context);
    return status;
}

oll_status go_run_limit(struct go_run *run, const char *what, long long limit)
{
    return OLL_FAIL(run->err, OLL_ERR_LIMIT, "template: more than %lld %s", limit, what);
}

oll_status go_run_step(struct go_run *run, uint64_t n)
{
    run->steps += n;
    return run->steps <= GO_STEPS_MAX ? OLL_OK : go_run_limit(run, "steps", GO_STEPS_MAX);
}

oll_status go_run_enter(struct go_run *run)
{
    run->depth++;
    if (run->depth > GO_DEPTH_MAX)
        return go_run_limit(run, "blocks and calls inside each other", GO_DEPTH_MAX);
    return go_run_step(run, 1);
}

static oll_status check_output(struct go_run *run, uint64_t bytes, uint64_t bytes_per_step)
{
    if (run->out->status != OLL_OK)
        return OLL_FAIL(run->err, run->out->status, "template: the output takes too much memory");
    if (run->out->len - run->out_start > GO_OUTPUT_MAX)
        return go_run_limit(run, "bytes of output", GO_OUTPUT_MAX);
    return go_run_step(run, bytes / bytes_per_step);
}

/* ---- nodes ---- */

static oll_status walk(struct go_run *run, const struct go_value *dot, const struct go_node *node);

static oll_status walk_list(struct go_run *run, const struct go_value *dot,
                            const struct go_node *list)
{
    OLL_TRY(go_run_enter(run));
    for (const struct go_node *n = list->first; n && run->flow == GO_FLOW_ON; n = n->next)
        OLL_TRY(walk(run, dot, n));
    run->depth--;
    return OLL_OK;
}

static oll_status walk_action(struct go_run *run, const struct go_value *dot,
                              const struct go_node *node)
{
    struct go_value value;
    OLL_TRY(go_run_pipeline(run, dot, node->pipe, &value));
    if (node->pipe->n_names)
        return OLL_OK;
    const size_t before = run->out->len;
    run->at = node;
    go_print(run->out, &value, false);
    const bool plain = value.kind <= GO_STRING && value.kind != GO_FLOAT;
    return check_output(run, run->out->len - before, plain ? GO_TEXT_BYTES : GO_COMPOSITE_BYTES);
}

static oll_status walk_branch(struct go_run *run, const struct go_value *dot,
                              const struct go_node *node)
{
    const uint32_t n_vars = run->n_vars;
    struct go_value value;
    OLL_TRY(go_run_pipeline(run, dot, node->pipe, &value));
    if (go_truth(&value))
        OLL_TRY(walk_list(run, node->type == GO_NODE_WITH ? &value : dot, node->first));
    else if (node->other)
        OLL_TRY(walk_list(run, dot, node->other));
    run->n_vars = n_vars;
    return OLL_OK;
}

/* ---- range ---- */

static oll_status set_range_variables(struct go_run *run, const struct go_node *pipe, uint32_t mark,
                                      const struct go_value *key, const struct go_value *element)
{
    const bool two = pipe->n_names > 1;
    if (pipe->n_names == 0)
        return OLL_OK;
    if (pipe->is_assign) {
        OLL_TRY(go_run_assign(run, pipe->names[0], two ? *key : *element));
        return two ? go_run_assign(run, pipe->names[1], *element) : OLL_OK;
    }
    run->vars[mark - 1].value = *element;
    if (two)
        run->vars[mark - 2].value = *key;
    return OLL_OK;
}

/* *stop: the body asked to leave the range. */
static oll_status walk_once(struct go_run *run, const struct go_node *node,
                            const struct go_value *key, const struct go_value *element, bool *stop)
{
    const uint32_t mark = run->n_vars;
    OLL_TRY(go_run_step(run, 1));
    OLL_TRY(set_range_variables(run, node->pipe, mark, key, element));
    OLL_TRY(walk_list(run, element, node->first));
    run->n_vars = mark;
    *stop = run->flow == GO_FLOW_BREAK;
    run->flow = GO_FLOW_ON;
    return OLL_OK;
}

static oll_status walk_list_range(struct go_run *run, const struct go_node *node,
                                  const struct go_value *list)
{
    struct go_iterator it;
    struct go_value element;
    bool stop = false;
    go_iterator_init(&it, list);
    while (!stop && go_iterator_next(&it, &element)) {
        const struct go_value key = go_int((int64_t)it.i - 1);
        OLL_TRY(walk_once(run, node, &key, &element, &stop));
    }
    return OLL_OK;
}

static oll_status walk_map_range(struct go_run *run, const struct go_node *node,
                                 const struct go_value *map)
{
    bool stop = false;
    for (size_t i = 0; i < map->n && !stop; i++) {
        struct go_value key;
        const struct go_value element = go_map_at(map, i, &key);
        OLL_TRY(walk_once(run, node, &key, &element, &stop));
    }
    return OLL_OK;
}

static oll_status walk_count(struct go_run *run, const struct go_node *node, int64_t n)
{
    bool stop = false;
    if (node->pipe->n_names > 1)
        return go_run_fail(run, "can't use %lld to iterate over more than one variable",
                           (long long)n);
    for (int64_t i = 0; i < n && !stop; i++) {
        const struct go_value element = go_int(i);
        OLL_TRY(walk_once(run, node, &element, &element, &stop));
    }
    return OLL_OK;
}

static oll_status refuse_range(struct go_run *run, const struct go_value *value)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, GO_OUTPUT_MAX);
    go_print(&text, value, true);
    const oll_status status = go_run_fail(run, "range can't iterate over %s", text.data);
    oll_strbuf_free(&text);
    return status;
}

static oll_status walk_range(struct go_run *run, const struct go_value *dot,
                             const struct go_node *node)
{
    const uint32_t n_vars = run->n_vars;
    struct go_value value;
    OLL_TRY(go_run_pipeline(run, dot, node->pipe, &value));
    if (go_is_list(&value))
        OLL_TRY(walk_list_range(run, node, &value));
    else if (go_is_map(&value))
        OLL_TRY(walk_map_range(run, node, &value));
    else if (value.kind == GO_INT)
        OLL_TRY(walk_count(run, node, value.i));
    else if (!go_is_nil(&value))
        return refuse_range(run, &value);
    const bool none = value.kind == GO_INT ? value.i <= 0 : value.n == 0;
    if (none && node->other)
        OLL_TRY(walk_list(run, dot, node->other));
    run->n_vars = n_vars;
    return OLL_OK;
}

/* ---- templates ---- */

static const struct go_node *find_template(const struct go_run *run, struct go_str name)
{
    for (uint32_t i = 0; i < run->tree->n_defines; i++) {
        const struct go_define *d = &run->tree->defines[i];
        if (d->name.n == name.n && memcmp(d->name.s, name.s, name.n) == 0)
            return d->root;
    }
    return NULL;
}

/* Inside a template "$" is what it was called with, and no variable of the caller is visible. */
static oll_status walk_template(struct go_run *run, const struct go_value *dot,
                                const struct go_node *node)
{
    const struct go_node *root = find_template(run, node->value);
    const struct go_str name = run->name;
    struct go_value value = {.kind = GO_MISSING};
    OLL_TRY(go_run_step(run, 1 + run->tree->n_defines / 16));
    if (!root)
        return go_run_fail(run, "template \"%.*s\" not defined", (int)node->value.n, node->value.s);
    if (node->pipe)
        OLL_TRY(go_run_pipeline(run, dot, node->pipe, &value));
    const uint32_t n_vars = run->n_vars, first_var = run->first_var;
    run->first_var = n_vars;
    run->name = node->value;
    OLL_TRY(go_run_declare(run, (struct go_str){"$", 1}, value));
    OLL_TRY(walk_list(run, &value, root));
    run->name = name;
    run->first_var = first_var;
    run->n_vars = n_vars;
    return OLL_OK;
}

static oll_status walk(struct go_run *run, const struct go_value *dot, const struct go_node *node)
{
    run->at = node;
    OLL_TRY(go_run_step(run, 1));
    switch (node->type) {
    case GO_NODE_TEXT:
        oll_strbuf_add(run->out, node->text.s, node->text.n);
        return check_output(run, node->text.n, GO_TEXT_BYTES);
    case GO_NODE_ACTION: return walk_action(run, dot, node);
    case GO_NODE_IF:
    case GO_NODE_WITH: return walk_branch(run, dot, node);
    case GO_NODE_RANGE: return walk_range(run, dot, node);
    case GO_NODE_BREAK: run->flow = GO_FLOW_BREAK; return OLL_OK;
    case GO_NODE_CONTINUE: run->flow = GO_FLOW_CONTINUE; return OLL_OK;
    case GO_NODE_TEMPLATE: return walk_template(run, dot, node);
    default: return walk_list(run, dot, node);
    }
}

/* ---- runs ---- */

oll_status go_run_open(struct go_run *run, const struct go_tree *tree, int64_t now,
                       struct oll_strbuf *out, struct oll_error *err)
{
    *run = (struct go_run){.tree = tree, .out = out, .out_start = out->len, .err = err};
    oll_arena_init(&run->arena, GO_STRINGS_MAX);
    run->call.arena = &run->arena;
    run->call.now = now;
    oll_strbuf_init(&run->call.scratch, GO_OUTPUT_MAX);
    run->vars = oll_alloc(GO_STACK_MAX, sizeof *run->vars);
    run->args = oll_alloc(GO_ARGS_MAX, sizeof *run->args);
    if (!run->vars || !run->args)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the variables of a template");
    return OLL_OK;
}

void go_run_close(struct go_run *run)
{
    oll_strbuf_free(&run->call.scratch);
    oll_arena_free(&run->arena);
    oll_free(run->vars);
    oll_free(run->args);
}

oll_status go_run_list(struct go_run *run, const struct go_node *list, const struct go_root *data)
{
    const struct go_value dot = {.kind = GO_MAP_ROOT, .n = data->n, .p = data};
    run->at = list;
    run->name = (struct go_str){"", 0};
    run->first_var = run->n_vars = run->n_args = run->depth = 0;
    run->flow = GO_FLOW_ON;
    OLL_TRY(go_run_declare(run, (struct go_str){"$", 1}, dot));
    return walk_list(run, &dot, list);
}
