/* Values of pipelines. `run->at` is moved to each node that is looked at, in Go's order, because
 * error texts name the node that was looked at last. */
#include "engine/chat/go_exec.h"

#include <string.h>

/* A command: its arguments, the first of which is the operand or function. */
struct command {
    const struct go_node *node;   /* what error texts of functions show */
    const struct go_node *args;   /* behind the first */
    const struct go_value *final; /* value piped in, NULL: none */
};

/* ---- variables ---- */

static oll_status find_variable(struct go_run *run, struct go_str name, struct go_value **out)
{
    uint32_t i = run->n_vars;
    *out = NULL;
    for (; i > run->first_var && !*out; i--) {
        struct go_variable *v = &run->vars[i - 1];
        if (v->name.n == name.n && memcmp(v->name.s, name.s, name.n) == 0)
            *out = &v->value;
    }
    OLL_TRY(go_run_step(run, (run->n_vars - i) / 16));
    if (!*out)
        return go_run_fail(run, "undefined variable: %.*s", (int)name.n, name.s);
    return OLL_OK;
}

oll_status go_run_declare(struct go_run *run, struct go_str name, struct go_value value)
{
    if (run->n_vars == GO_STACK_MAX)
        return go_run_limit(run, "variables of active templates", GO_STACK_MAX);
    run->vars[run->n_vars++] = (struct go_variable){name, value};
    return OLL_OK;
}

oll_status go_run_assign(struct go_run *run, struct go_str name, struct go_value value)
{
    struct go_value *slot;
    OLL_TRY(find_variable(run, name, &slot));
    *slot = value;
    return OLL_OK;
}

/* ---- fields ---- */

static bool has_args(const struct command *c) { return c && (c->args || c->final); }

static oll_status eval_field(struct go_run *run, struct go_str name, const struct command *command,
                             const struct go_value *from, struct go_value *out)
{
    const int n = (int)name.n;
    OLL_TRY(go_run_step(run, 1));
    *out = (struct go_value){.kind = GO_MISSING};
    if (from->kind == GO_MISSING)
        return OLL_OK;
    if (from->kind == GO_NULL)
        return go_run_fail(run, "nil pointer evaluating interface {}.%.*s", n, name.s);
    if (go_is_record(from) && go_record_field(from, name, out)) {
        if (has_args(command))
            return go_run_fail(run, "%.*s has arguments but cannot be invoked as function", n,
                               name.s);
        return OLL_OK;
    }
    if (!go_is_map(from))
        return go_run_fail(run, "can't evaluate field %.*s in type %s", n, name.s,
                           go_type_name(from));
    if (has_args(command))
        return go_run_fail(run, "%.*s is not a method but has arguments", n, name.s);
    if (!go_map_get(from, name, out))
        *out = go_map_absent(from);
    return OLL_OK;
}

static oll_status eval_chain(struct go_run *run, const struct go_node *node, uint32_t first,
                             const struct command *command, struct go_value value,
                             struct go_value *out)
{
    for (uint32_t i = first; i < node->n_names; i++) {
        struct go_value inner;
        const bool last = i + 1 == node->n_names;
        OLL_TRY(eval_field(run, node->names[i], last ? command : NULL, &value, &inner));
        value = inner;
    }
    *out = value;
    return OLL_OK;
}

/* ---- operands ---- */

static oll_status eval_function(struct go_run *run, const struct go_value *dot,
                                const struct go_node *ident, const struct command *command,
                                struct go_value *out);

static oll_status refuse_args(struct go_run *run, const struct go_node *operand,
                              const struct command *command)
{
    struct oll_strbuf text;
    if (!has_args(command))
        return OLL_OK;
    oll_strbuf_init(&text, 4096);
    go_node_print(&text, operand);
    const oll_status status = go_run_fail(run, "can't give argument to non-function %s", text.data);
    oll_strbuf_free(&text);
    return status;
}

static oll_status eval_constant(struct go_run *run, const struct go_node *node,
                                struct go_value *out)
{
    switch (node->type) {
    case GO_NODE_BOOL: *out = go_bool(node->is_true); return OLL_OK;
    case GO_NODE_INT: *out = go_int(node->i); return OLL_OK;
    case GO_NODE_FLOAT:
        *out = (struct go_value){.kind = GO_FLOAT, .real = node->real};
        return OLL_OK;
    case GO_NODE_STRING: *out = go_string(node->value.s, node->value.n); return OLL_OK;
    default: return go_run_fail(run, "nil is not a command");
    }
}

static oll_status eval_variable(struct go_run *run, const struct go_node *node,
                                const struct command *command, struct go_value *out)
{
    struct go_value *value;
    run->at = node;
    OLL_TRY(find_variable(run, node->names[0], &value));
    if (node->n_names == 1)
        OLL_TRY(refuse_args(run, node, command));
    return eval_chain(run, node, 1, command, *value, out);
}

/* Any operand but nil; `command` NULL: it stands as an argument. */
static oll_status eval_operand(struct go_run *run, const struct go_value *dot,
                               const struct go_node *node, const struct command *command,
                               struct go_value *out)
{
    const struct command alone = {.node = node};
    struct go_value inner;
    OLL_TRY(go_run_step(run, 1));
    switch (node->type) {
    case GO_NODE_FIELD: run->at = node; return eval_chain(run, node, 0, command, *dot, out);
    case GO_NODE_CHAIN:
        run->at = node;
        if (node->first->type == GO_NODE_NIL)
            return go_run_fail(run, "indirection through explicit nil");
        OLL_TRY(eval_operand(run, dot, node->first, NULL, &inner));
        return eval_chain(run, node, 0, command, inner, out);
    case GO_NODE_IDENT: return eval_function(run, dot, node, command ? command : &alone, out);
    case GO_NODE_PIPE:
        OLL_TRY(refuse_args(run, node, command));
        return go_run_pipeline(run, dot, node, out);
    case GO_NODE_VARIABLE: return eval_variable(run, node, command, out);
    default: break;
    }
    run->at = node;
    OLL_TRY(refuse_args(run, node, command));
    if (node->type == GO_NODE_DOT) {
        *out = *dot;
        return OLL_OK;
    }
    return eval_constant(run, node, out);
}

/* ---- calls ---- */

/* Functions with parameters of type string refuse other values, with other words for constants. */
static oll_status check_string(struct go_run *run, const struct go_node *node,
                               const struct go_value *v)
{
    if (v->kind == GO_STRING)
        return OLL_OK;
    if (node &&
        (node->type == GO_NODE_BOOL || node->type == GO_NODE_INT || node->type == GO_NODE_FLOAT))
        return go_run_fail(run, "expected string; found %.*s", (int)node->text.n, node->text.s);
    if (node && node->type == GO_NODE_NIL)
        return go_run_fail(run, "cannot assign nil to string");
    if (v->kind == GO_MISSING)
        return go_run_fail(run, "invalid value; expected string");
    return go_run_fail(run, "wrong type for value; expected string; got %s", go_type_name(v));
}

static oll_status eval_arg(struct go_run *run, const struct go_value *dot,
                           const struct go_node *node, struct go_value *out)
{
    run->at = node;
    if (node->type == GO_NODE_NIL) {
        *out = (struct go_value){.kind = GO_MISSING};
        return OLL_OK;
    }
    return eval_operand(run, dot, node, NULL, out);
}

/* `and` and `or` look at no argument behind the one that decides. */
static oll_status eval_logic(struct go_run *run, const struct go_value *dot, bool is_or,
                             const struct command *command, struct go_value *out)
{
    for (const struct go_node *a = command->args; a; a = a->next) {
        OLL_TRY(eval_arg(run, dot, a, out));
        if (go_truth(out) == is_or)
            return OLL_OK;
    }
    if (command->final)
        *out = *command->final;
    return OLL_OK;
}

static oll_status push_arg(struct go_run *run, struct go_value v)
{
    if (run->n_args == GO_ARGS_MAX)
        return go_run_limit(run, "arguments of active calls", GO_ARGS_MAX);
    run->args[run->n_args++] = v;
    return OLL_OK;
}

static oll_status push_args(struct go_run *run, const struct go_value *dot,
                            const struct go_function *function, const struct command *command)
{
    const struct go_value *final = command->final;
    bool wants_string = function->wants_format || function->wants_strings;
    for (const struct go_node *a = command->args; a; a = a->next) {
        struct go_value v;
        OLL_TRY(eval_arg(run, dot, a, &v));
        if (wants_string)
            OLL_TRY(check_string(run, a, &v));
        wants_string = function->wants_strings;
        OLL_TRY(push_arg(run, v));
    }
    if (!final)
        return OLL_OK;
    if (wants_string)
        OLL_TRY(check_string(run, NULL, final));
    return push_arg(run, *final);
}

static oll_status check_count(struct go_run *run, const struct go_function *function,
                              const struct command *command)
{
    uint32_t n = command->final != NULL;
    for (const struct go_node *a = command->args; a; a = a->next)
        n++;
    if (function->arity == GO_AT_LEAST && n < function->n_args)
        return go_run_fail(run, "wrong number of args for %s: want at least %u got %u",
                           function->name, function->n_args, n);
    if (function->arity == GO_EXACTLY && n != function->n_args)
        return go_run_fail(run, "wrong number of args for %s: want %u got %u", function->name,
                           function->n_args, n);
    return OLL_OK;
}

static oll_status eval_function(struct go_run *run, const struct go_value *dot,
                                const struct go_node *ident, const struct command *command,
                                struct go_value *out)
{
    const struct go_function *function = ident->function;
    const uint32_t first = run->n_args;
    run->at = ident;
    OLL_TRY(check_count(run, function, command));
    if (!function->run)
        return eval_logic(run, dot, strcmp(function->name, "or") == 0, command, out);
    OLL_TRY(push_args(run, dot, function, command));
    run->call.work = 0;
    oll_strbuf_clear(&run->call.scratch);
    const bool done = function->run(&run->call, run->args + first, run->n_args - first, out);
    run->n_args = first;
    if (!done) {
        run->at = command->node;
        return go_run_fail(run, "error calling %s: %s", function->name, run->call.error);
    }
    return go_run_step(run, 1 + run->call.work / GO_TEXT_BYTES);
}

/* ---- pipelines ---- */

static oll_status declare_all(struct go_run *run, const struct go_node *pipe, struct go_value value)
{
    for (uint32_t i = 0; i < pipe->n_names; i++) {
        if (pipe->is_assign)
            OLL_TRY(go_run_assign(run, pipe->names[i], value));
        else
            OLL_TRY(go_run_declare(run, pipe->names[i], value));
    }
    return OLL_OK;
}

oll_status go_run_pipeline(struct go_run *run, const struct go_value *dot,
                           const struct go_node *pipe, struct go_value *out)
{
    struct go_value value = {.kind = GO_MISSING};
    OLL_TRY(go_run_enter(run));
    run->at = pipe;
    for (const struct go_node *c = pipe->first; c; c = c->next) {
        const struct go_value piped = value;
        const struct command command = {
            .node = c, .args = c->first->next, .final = c == pipe->first ? NULL : &piped};
        OLL_TRY(eval_operand(run, dot, c->first, &command, &value));
        /* A nil taken out of its container is no value any more. */
        if (value.kind == GO_NULL)
            value.kind = GO_MISSING;
    }
    OLL_TRY(declare_all(run, pipe, value));
    run->depth--;
    *out = value;
    return OLL_OK;
}
