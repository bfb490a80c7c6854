/* unevaluatedProperties and unevaluatedItems: what the rest of a schema left over. */
#include "sampler/json_schema_shape.h"

#include <string.h>

static oll_status close_object(struct schema *s, struct shape *v, uint32_t conj)
{
    static const struct object_shape any = {.max = REGEX_INF};
    const struct object_shape *from = v->object ? v->object : &any;
    struct object_shape *o = oll_arena_alloc(&s->arena, 1, sizeof *o);
    struct prop_shape *props = oll_arena_alloc(&s->arena, from->n_props + 1, sizeof *props);
    struct key_rule *rules = oll_arena_alloc(&s->arena, from->n_rules + 1, sizeof *rules);
    if (!o || !props || !rules)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *o = *from;
    o->props = props;
    o->rules = rules;
    for (uint32_t i = 0; i < o->n_props; i++) {
        props[i] = from->props[i];
        if (!regex_matches(s->pool, from->evaluated, props[i].name, props[i].n))
            props[i].value = schema_conj_both(s, props[i].value, conj);
    }
    if (o->n_rules)
        memcpy(rules, from->rules, o->n_rules * sizeof *rules);
    const uint32_t others = regex_not(s->pool, from->evaluated);
    if (conj != CONJ_ANY && from->evaluated != REGEX_ALL)
        rules[o->n_rules++] = (struct key_rule){others, others, conj};
    o->evaluated = REGEX_ALL;
    o->open_said = true;
    v->object = o;
    v->touched |= TYPE_OBJECT;
    return OLL_OK;
}

static oll_status close_array(struct schema *s, struct shape *v, uint32_t conj)
{
    static const struct array_shape any = {.max = REGEX_INF, .max_contains = REGEX_INF};
    const struct array_shape *from = v->array ? v->array : &any;
    struct array_shape *a = oll_arena_alloc(&s->arena, 1, sizeof *a);
    uint32_t *prefix = oll_arena_alloc(&s->arena, from->n_prefix + 1, sizeof *prefix);
    if (!a || !prefix)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *a = *from;
    a->prefix = prefix;
    for (uint32_t i = 0; i < from->n_prefix; i++) {
        prefix[i] = from->prefix[i];
        if (i >= from->evaluated)
            prefix[i] = schema_conj_both(s, prefix[i], conj);
    }
    if (from->evaluated != REGEX_INF)
        a->items = schema_conj_both(s, from->items, conj);
    a->evaluated = REGEX_INF;
    v->array = a;
    v->touched |= TYPE_ARRAY;
    return OLL_OK;
}

oll_status shapes_close(struct schema *s, struct shapes *list, const struct unevaluated *rest)
{
    if (!rest->has_properties && !rest->has_items)
        return OLL_OK;
    struct shapes out = {.inexact = list->inexact || list->n > 1};
    for (uint32_t i = 0; i < list->n; i++) {
        struct shape v = list->v[i];
        if (rest->has_properties && (v.types & TYPE_OBJECT))
            OLL_TRY(close_object(s, &v, rest->properties));
        /* Elements that `contains` matches count as evaluated; here they must be of `items` too. */
        if (rest->has_items && (v.types & TYPE_ARRAY)) {
            out.inexact = out.inexact || (v.array && v.array->min_contains);
            OLL_TRY(close_array(s, &v, rest->items));
        }
        OLL_TRY(shapes_add(s, &out, &v));
    }
    *list = out;
    return OLL_OK;
}
