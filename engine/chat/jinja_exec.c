#include "engine/chat/jinja_eval.h"

#include <string.h>

/* ---- scopes ---- */

struct jinja_scope *jinja_scope_new(struct jinja_run *run, struct jinja_scope *parent)
{
    struct jinja_scope *s = jinja_alloc(run, 1, sizeof *s);
    if (s)
        s->parent = parent;
    return s;
}

void jinja_bind(struct jinja_run *run, struct jinja_scope *scope, uint32_t symbol,
                struct jinja_value v)
{
    if (!jinja_ok(run))
        return;
    if (scope->table) {
        scope->table[symbol] = v;
        scope->is_set[symbol] = true;
        return;
    }
    for (uint32_t i = 0; i < scope->n; i++)
        if (scope->items[i].symbol == symbol) {
            scope->items[i].value = v;
            return;
        }
    if (scope->n == scope->cap) {
        const uint32_t cap = scope->cap ? 2 * scope->cap : 8;
        struct jinja_binding *items = jinja_alloc(run, cap, sizeof *items);
        if (!items)
            return;
        if (scope->n)
            memcpy(items, scope->items, scope->n * sizeof *items);
        scope->items = items;
        scope->cap = cap;
    }
    scope->items[scope->n++] = (struct jinja_binding){.symbol = symbol, .value = v};
}

static void assign_tuple(struct jinja_run *run, const struct jinja_node *target,
                         struct jinja_value v)
{
    const struct jinja_seq *q = jinja_iterate(run, v);
    size_t i = 0;
    if (!jinja_ok(run))
        return;
    if (q->n != target->n) {
        jinja_fail(run, OLL_ERR_FORMAT, "%zu values for %zu names", q->n, target->n);
        return;
    }
    for (const struct jinja_node *t = target->list; t && jinja_ok(run); t = t->next)
        jinja_assign(run, t, q->items[i++]);
}

/* Recursion follows the nesting of the source, which the parser bounds. */
void jinja_assign(struct jinja_run *run, const struct jinja_node *target, struct jinja_value v)
{
    if (target->type == JINJA_N_TUPLE) {
        assign_tuple(run, target, v);
    } else if (target->type == JINJA_N_NAME) {
        jinja_bind(run, run->scope, target->symbol, v);
    } else {
        struct jinja_node name = *target;
        name.type = JINJA_N_NAME;
        const struct jinja_value space = jinja_eval(run, &name);
        if (!jinja_ok(run))
            return;
        if (space.type != JINJA_SPACE)
            jinja_fail(run, OLL_ERR_FORMAT,
                       "attributes can be assigned on namespaces alone, not %s",
                       jinja_type_name(space));
        else
            jinja_dict_sets(run, space.d, target->name, v);
    }
}

/* ---- text that is kept ---- */

struct jinja_value jinja_capture(struct jinja_run *run, const struct jinja_node *list,
                                 struct jinja_scope *scope)
{
    struct jinja_scope *outer = run->scope;
    const size_t mark = run->out.len;
    struct jinja_value text = jinja_undefined(NULL);
    if (!scope || !jinja_ok(run))
        return text;
    run->scope = scope;
    jinja_exec(run, list);
    run->scope = outer;
    if (jinja_ok(run) && run->out.len >= mark) {
        text = jinja_str_copy(run, run->out.data + mark, run->out.len - mark);
        if (run->out.cap) {
            run->out.len = mark;
            run->out.data[mark] = '\0';
        }
    }
    return text;
}

/* ---- macros ---- */

static const struct jinja_value *keyword_of(const struct jinja_args *args, const char *name,
                                            size_t *used)
{
    for (size_t i = 0; i < args->n_kw; i++)
        if (!strcmp(args->kw[i].name, name)) {
            ++*used;
            return &args->kw[i].value;
        }
    return NULL;
}

/* What a macro may ask for beyond its parameters: `varargs`, `kwargs` and `caller`. */
static void bind_extras(struct jinja_run *run, const struct jinja_node *node,
                        struct jinja_scope *scope, const struct jinja_args *args, size_t n_params)
{
    struct jinja_value rest = jinja_seq(run, JINJA_TUPLE, 0), more = jinja_dict(run, 0);
    for (size_t i = n_params; i < args->n_pos && jinja_ok(run); i++)
        jinja_push(run, rest.q, args->pos[i]);
    for (size_t i = 0; i < args->n_kw && jinja_ok(run); i++) {
        const struct jinja_node *p = node->kw;
        while (p && strcmp(p->name, args->kw[i].name))
            p = p->next;
        if (!strcmp(args->kw[i].name, "caller"))
            jinja_bind(run, scope, JINJA_SYM_CALLER, args->kw[i].value);
        else if (!p)
            jinja_dict_sets(run, more.d, args->kw[i].name, args->kw[i].value);
    }
    jinja_bind(run, scope, JINJA_SYM_VARARGS, rest);
    jinja_bind(run, scope, JINJA_SYM_KWARGS, more);
}

/* Defaults are evaluated in the macro's own scope, so they may use the parameters before them. */
static void bind_params(struct jinja_run *run, const struct jinja_node *node,
                        struct jinja_scope *scope, const struct jinja_args *args)
{
    size_t i = 0, used = 0;
    for (const struct jinja_node *p = node->kw; p && jinja_ok(run); p = p->next, i++) {
        const struct jinja_value *given =
            i < args->n_pos ? &args->pos[i] : keyword_of(args, p->name, &used);
        struct jinja_value v = given ? *given : jinja_undefined(p->name);
        if (!given && p->a) {
            struct jinja_scope *outer = run->scope;
            run->scope = scope;
            v = jinja_eval(run, p->a);
            run->scope = outer;
        }
        jinja_bind(run, scope, p->symbol, v);
    }
    bind_extras(run, node, scope, args, i);
}

struct jinja_value jinja_call_macro(struct jinja_run *run, const struct jinja_call *macro,
                                    const struct jinja_args *args)
{
    struct jinja_scope *scope = jinja_scope_new(run, macro->scope);
    struct jinja_value text = jinja_undefined(NULL);
    if (!scope)
        return text;
    if (++run->call_depth > JINJA_CALL_DEPTH_MAX)
        jinja_fail(run, OLL_ERR_LIMIT, "macros call each other deeper than %d levels",
                   JINJA_CALL_DEPTH_MAX);
    bind_params(run, macro->macro, scope, args);
    text = jinja_capture(run, macro->macro->list, scope);
    run->call_depth--;
    return text;
}

static struct jinja_value macro_value(struct jinja_run *run, const struct jinja_node *node)
{
    /* Every scope around sees the macro's free names, so all of them must be kept. */
    for (struct jinja_scope *s = run->scope; s; s = s->parent)
        s->is_captured = true;
    return jinja_new_call(
        run, (struct jinja_call){
                 .kind = JINJA_MACRO, .name = node->name, .macro = node, .scope = run->scope});
}

/* {% call(x) f(a) %}body{% endcall %}: f(a, caller=body as a macro with parameter x) */
static void exec_call_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_args args;
    const struct jinja_value callee = jinja_eval(run, node->a->a);
    if (!jinja_ok(run) || !jinja_eval_args(run, node->a, &args))
        return;
    struct jinja_kwarg *kw = jinja_alloc(run, args.n_kw + 1, sizeof *kw);
    if (!kw)
        return;
    if (args.n_kw)
        memcpy(kw, args.kw, args.n_kw * sizeof *kw);
    kw[args.n_kw] = (struct jinja_kwarg){.name = "caller", .value = macro_value(run, node)};
    args.kw = kw;
    args.n_kw++;
    const struct jinja_value v = jinja_invoke(run, callee, &args);
    if (jinja_ok(run))
        jinja_print(run, &run->out, v);
}

/* ---- statements ---- */

static enum jinja_flow exec_if(struct jinja_run *run, const struct jinja_node *node)
{
    for (const struct jinja_node *b = node->list; b && jinja_ok(run); b = b->next)
        if (!b->a || jinja_truth(run, jinja_eval(run, b->a)))
            return jinja_ok(run) ? jinja_exec(run, b->list) : JINJA_FLOW_NEXT;
    return JINJA_FLOW_NEXT;
}

/* Executes in a new scope around `sets`, the assignments of {% with %}. */
static enum jinja_flow exec_scope(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_scope *outer = run->scope, *inner = jinja_scope_new(run, outer);
    enum jinja_flow flow = JINJA_FLOW_NEXT;
    if (!inner)
        return flow;
    for (const struct jinja_node *set = node->kw; set && jinja_ok(run); set = set->next) {
        const struct jinja_value v = jinja_eval(run, set->a);
        run->scope = inner;
        if (jinja_ok(run))
            jinja_assign(run, set->b, v);
        run->scope = outer;
    }
    run->scope = inner;
    if (jinja_ok(run))
        flow = jinja_exec(run, node->list);
    run->scope = outer;
    return flow;
}

static void exec_print(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value v = jinja_eval(run, node->a);
    if (jinja_ok(run))
        jinja_print(run, &run->out, v);
}

static void exec_set(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value v = jinja_eval(run, node->a);
    if (jinja_ok(run))
        jinja_assign(run, node->b, v);
}

/* {% set x %} and {% filter %}: text of a block, through filters. */
static void exec_text_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v = jinja_capture(run, node->list, jinja_scope_new(run, run->scope));
    if (jinja_ok(run))
        v = jinja_eval_piped(run, node->a, v);
    if (!jinja_ok(run))
        return;
    if (node->type == JINJA_N_SET_BLOCK)
        jinja_assign(run, node->b, v);
    else
        jinja_print(run, &run->out, v);
}

static void exec_text(struct jinja_run *run, const struct jinja_node *node)
{
    oll_strbuf_add(&run->out, node->name, node->n);
    if (run->out.status != OLL_OK)
        jinja_fail(run, run->out.status, "the prompt is too long");
    jinja_step(run, node->n / 64);
}

static enum jinja_flow exec_node(struct jinja_run *run, const struct jinja_node *node)
{
    switch (node->type) {
    case JINJA_N_TEXT: exec_text(run, node); break;
    case JINJA_N_PRINT: exec_print(run, node); break;
    case JINJA_N_IF: return exec_if(run, node);
    case JINJA_N_FOR: return jinja_exec_for(run, node);
    case JINJA_N_SET: exec_set(run, node); break;
    case JINJA_N_SET_BLOCK:
    case JINJA_N_FILTER_BLOCK: exec_text_block(run, node); break;
    case JINJA_N_MACRO: jinja_bind(run, run->scope, node->symbol, macro_value(run, node)); break;
    case JINJA_N_CALL_BLOCK: exec_call_block(run, node); break;
    case JINJA_N_WITH:
    case JINJA_N_SCOPE: return exec_scope(run, node);
    case JINJA_N_BREAK: return JINJA_FLOW_BREAK;
    case JINJA_N_CONTINUE: return JINJA_FLOW_CONTINUE;
    default: jinja_fail(run, OLL_ERR_INTERNAL, "no statement: node %d", node->type);
    }
    return JINJA_FLOW_NEXT;
}

enum jinja_flow jinja_exec(struct jinja_run *run, const struct jinja_node *list)
{
    enum jinja_flow flow = JINJA_FLOW_NEXT;
    if (jinja_enter(run))
        for (const struct jinja_node *n = list; n && flow == JINJA_FLOW_NEXT && jinja_ok(run);
             n = n->next) {
            run->line = n->line;
            if (jinja_step(run, 1))
                flow = exec_node(run, n);
        }
    run->eval_depth--;
    return flow;
}
