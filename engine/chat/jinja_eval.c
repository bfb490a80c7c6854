#include "engine/chat/jinja_eval.h"

#include <string.h>

static struct jinja_value lookup(struct jinja_run *run, const struct jinja_node *node)
{
    for (const struct jinja_scope *s = run->scope; s; s = s->parent) {
        if (s->table)
            return s->is_set[node->symbol] ? s->table[node->symbol] : jinja_undefined(node->name);
        for (uint32_t i = s->n; i-- > 0;)
            if (s->items[i].symbol == node->symbol)
                return s->items[i].value;
    }
    return jinja_undefined(node->name);
}

static struct jinja_value eval_list(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v =
        jinja_seq(run, node->type == JINJA_N_TUPLE ? JINJA_TUPLE : JINJA_LIST, node->n);
    for (const struct jinja_node *c = node->list; c && jinja_ok(run); c = c->next)
        jinja_push(run, v.q, jinja_eval(run, c));
    return v;
}

static struct jinja_value eval_dict(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v = jinja_dict(run, node->n);
    for (const struct jinja_node *c = node->list; c && jinja_ok(run); c = c->next) {
        const struct jinja_value key = jinja_eval(run, c->a);
        const struct jinja_value value = jinja_eval(run, c->b);
        if (jinja_ok(run))
            jinja_dict_set(run, v.d, key, value);
    }
    return v;
}

/* ---- calls ---- */

static void spread_keywords(struct jinja_run *run, struct jinja_value v, struct jinja_kwarg *kw,
                            size_t *n, size_t max)
{
    if (v.type != JINJA_DICT) {
        jinja_fail(run, OLL_ERR_FORMAT, "the argument after ** must be a mapping, not %s",
                   jinja_type_name(v));
        return;
    }
    for (size_t i = 0; i < v.d->n && *n < max && jinja_ok(run); i++) {
        const struct jinja_value key = v.d->entries[i].key;
        char *name = key.type == JINJA_STR ? jinja_alloc(run, key.s->len + 1, 1) : NULL;
        if (!name) {
            jinja_fail(run, OLL_ERR_FORMAT, "keywords must be strings");
            return;
        }
        memcpy(name, key.s->data, key.s->len);
        kw[(*n)++] = (struct jinja_kwarg){.name = name, .value = v.d->entries[i].value};
    }
}

static void eval_keywords(struct jinja_run *run, const struct jinja_node *list,
                          struct jinja_args *out)
{
    size_t n = 0, max = 0;
    for (const struct jinja_node *k = list; k; k = k->next)
        max += k->type == JINJA_N_STAR ? 64 : 1;
    struct jinja_kwarg *kw = jinja_alloc(run, max, sizeof *kw);
    for (const struct jinja_node *k = list; k && kw && jinja_ok(run); k = k->next) {
        const struct jinja_value v = jinja_eval(run, k->a);
        if (k->type == JINJA_N_STAR && jinja_ok(run))
            spread_keywords(run, v, kw, &n, max);
        else if (n < max)
            kw[n++] = (struct jinja_kwarg){.name = k->name, .value = v};
    }
    out->kw = kw;
    out->n_kw = n;
}

bool jinja_eval_args(struct jinja_run *run, const struct jinja_node *call, struct jinja_args *out)
{
    *out = (struct jinja_args){0};
    if (call->list) {
        struct jinja_value pos = jinja_seq(run, JINJA_LIST, call->n);
        for (const struct jinja_node *a = call->list; a && jinja_ok(run); a = a->next) {
            const struct jinja_value v = jinja_eval(run, a->type == JINJA_N_STAR ? a->a : a);
            if (a->type != JINJA_N_STAR) {
                jinja_push(run, pos.q, v);
                continue;
            }
            const struct jinja_seq *q = jinja_iterate(run, v);
            for (size_t i = 0; i < q->n && jinja_ok(run); i++)
                jinja_push(run, pos.q, q->items[i]);
        }
        if (jinja_ok(run)) {
            out->pos = pos.q->items;
            out->n_pos = pos.q->n;
        }
    }
    if (call->kw && jinja_ok(run))
        eval_keywords(run, call->kw, out);
    return jinja_ok(run);
}

struct jinja_value jinja_invoke(struct jinja_run *run, struct jinja_value callee,
                                const struct jinja_args *args)
{
    if (!jinja_ok(run))
        return jinja_undefined(NULL);
    if (callee.type == JINJA_LOOP)
        return jinja_loop_again(run, callee.l, args);
    if (callee.type == JINJA_UNDEFINED)
        return jinja_fail(run, OLL_ERR_FORMAT, "'%s' is undefined",
                          callee.name ? callee.name : "a value");
    if (callee.type != JINJA_CALL)
        return jinja_fail(run, OLL_ERR_FORMAT, "'%s' object is not callable",
                          jinja_type_name(callee));
    struct jinja_call *call = callee.c;
    switch (call->kind) {
    case JINJA_MACRO: return jinja_call_macro(run, call, args);
    case JINJA_JOINER: return call->place++ == 0 ? jinja_text(run, "") : call->self;
    case JINJA_CYCLER: return jinja_fail(run, OLL_ERR_FORMAT, "'Cycler' object is not callable");
    default: return call->fn(run, call->self, args);
    }
}

/* A method is called without making a value of it first. */
static struct jinja_value eval_call(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_args args;
    struct jinja_value callee = jinja_undefined(NULL), object = callee;
    jinja_fn method = NULL;
    if (node->a->type == JINJA_N_ATTR) {
        object = jinja_eval(run, node->a->a);
        method = jinja_find_method(object, node->a->name);
        if (!method && jinja_ok(run))
            callee = jinja_get_attr(run, object, node->a->name);
    } else {
        callee = jinja_eval(run, node->a);
    }
    if (!jinja_ok(run) || !jinja_eval_args(run, node, &args))
        return jinja_undefined(NULL);
    run->line = node->line;
    return method ? method(run, object, &args) : jinja_invoke(run, callee, &args);
}

/* Filters and tests. */
static struct jinja_value eval_applied(struct jinja_run *run, const struct jinja_node *node,
                                       struct jinja_value v)
{
    struct jinja_args args;
    if (!jinja_ok(run) || !jinja_eval_args(run, node, &args))
        return jinja_undefined(NULL);
    run->line = node->line;
    if (!node->fn)
        return jinja_fail(run, OLL_ERR_FORMAT, "there is no %s named '%s'",
                          node->type == JINJA_N_TEST ? "test" : "filter", node->name);
    return node->fn(run, v, &args);
}

struct jinja_value jinja_eval_piped(struct jinja_run *run, const struct jinja_node *filters,
                                    struct jinja_value text)
{
    if (!filters)
        return text;
    if (!jinja_enter(run))
        return jinja_undefined(NULL);
    const struct jinja_value v =
        eval_applied(run, filters, jinja_eval_piped(run, filters->a, text));
    run->eval_depth--;
    return v;
}

/* ---- operators ---- */

static bool compare_holds(struct jinja_run *run, uint8_t op, struct jinja_value a,
                          struct jinja_value b)
{
    switch (op) {
    case JINJA_EQ: return jinja_equal(run, a, b);
    case JINJA_NE: return !jinja_equal(run, a, b);
    case JINJA_LT: return jinja_compare(run, a, b) < 0;
    case JINJA_LE: return jinja_compare(run, a, b) <= 0;
    case JINJA_GT: return jinja_compare(run, a, b) > 0;
    case JINJA_GE: return jinja_compare(run, a, b) >= 0;
    case JINJA_IN: return jinja_contains(run, b, a);
    default: return !jinja_contains(run, b, a);
    }
}

/* a < b < c holds when each pair does; what stands behind the first pair that fails is not asked.
 */
static struct jinja_value eval_compare(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value left = jinja_eval(run, node->a);
    for (const struct jinja_node *o = node->list; o && jinja_ok(run); o = o->next) {
        const struct jinja_value right = jinja_eval(run, o->a);
        if (!jinja_ok(run) || !compare_holds(run, o->op, left, right))
            return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static struct jinja_value eval_concat(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value text = jinja_undefined(NULL);
    for (const struct jinja_node *c = node->list; c && jinja_ok(run); c = c->next) {
        const struct jinja_value v = jinja_to_str(run, jinja_eval(run, c));
        if (!jinja_ok(run))
            break;
        text = c == node->list ? v : jinja_concat(run, text.s, v.s);
    }
    return text;
}

static struct jinja_value eval_item(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value v = jinja_eval(run, node->a);
    if (!jinja_ok(run))
        return v;
    if (node->b->type != JINJA_N_SLICE) {
        const struct jinja_value key = jinja_eval(run, node->b);
        return jinja_ok(run) ? jinja_get_item(run, v, key) : key;
    }
    const struct jinja_node *parts[3] = {node->b->a, node->b->b, node->b->c};
    struct jinja_value bounds[3];
    for (int i = 0; i < 3; i++)
        bounds[i] = parts[i] ? jinja_eval(run, parts[i]) : jinja_none();
    return jinja_ok(run) ? jinja_slice(run, v, bounds) : jinja_undefined(NULL);
}

static struct jinja_value eval_logic(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value left = jinja_eval(run, node->a);
    if (!jinja_ok(run) || jinja_truth(run, left) == (node->type == JINJA_N_OR))
        return left;
    return jinja_eval(run, node->b);
}

static struct jinja_value eval_condition(struct jinja_run *run, const struct jinja_node *node)
{
    if (jinja_truth(run, jinja_eval(run, node->a)))
        return jinja_eval(run, node->b);
    return node->c && jinja_ok(run) ? jinja_eval(run, node->c) : jinja_undefined(NULL);
}

static struct jinja_value eval_attr(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value v = jinja_eval(run, node->a);
    return jinja_ok(run) ? jinja_get_attr(run, v, node->name) : v;
}

static struct jinja_value eval_arith(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value a = jinja_eval(run, node->a);
    const struct jinja_value b = jinja_eval(run, node->b);
    run->line = node->line;
    return jinja_arith(run, (char)node->op, a, b);
}

static struct jinja_value eval_sign(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value v = jinja_eval(run, node->a);
    if (!jinja_ok(run) || (node->type == JINJA_N_POS && jinja_is_number(v)))
        return v;
    return jinja_negate(run, v);
}

static struct jinja_value eval_node(struct jinja_run *run, const struct jinja_node *node)
{
    switch (node->type) {
    case JINJA_N_CONST: return node->constant;
    case JINJA_N_NAME: return lookup(run, node);
    case JINJA_N_LIST:
    case JINJA_N_TUPLE: return eval_list(run, node);
    case JINJA_N_DICT: return eval_dict(run, node);
    case JINJA_N_ATTR: return eval_attr(run, node);
    case JINJA_N_ITEM: return eval_item(run, node);
    case JINJA_N_CALL: return eval_call(run, node);
    case JINJA_N_FILTER:
    case JINJA_N_TEST: return eval_applied(run, node, jinja_eval(run, node->a));
    case JINJA_N_NOT: return jinja_bool(!jinja_truth(run, jinja_eval(run, node->a)));
    case JINJA_N_NEG:
    case JINJA_N_POS: return eval_sign(run, node);
    case JINJA_N_AND:
    case JINJA_N_OR: return eval_logic(run, node);
    case JINJA_N_COND: return eval_condition(run, node);
    case JINJA_N_COMPARE: return eval_compare(run, node);
    case JINJA_N_ARITH: return eval_arith(run, node);
    case JINJA_N_CONCAT: return eval_concat(run, node);
    default: return jinja_fail(run, OLL_ERR_INTERNAL, "no expression: node %d", node->type);
    }
}

struct jinja_value jinja_eval(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value v = jinja_undefined(NULL);
    if (jinja_enter(run)) {
        run->line = node->line;
        v = eval_node(run, node);
    }
    run->eval_depth--;
    return v;
}
