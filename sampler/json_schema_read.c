/* Keywords to shapes. */
#include "sampler/json_schema_shape.h"

#include "sampler/regex_format.h"
#include "sampler/regex_number.h"
#include "sampler/regex_parse.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 200, MAX_MODULUS = 100000, MAX_DECIMALS = 30 };

static const struct oll_json *get(const struct oll_json *json, const char *key)
{
    return oll_json_get(json, key);
}

static oll_status invalid(struct schema *s, const struct oll_json *at, const char *what)
{
    return schema_fail(s, at, OLL_ERR_FORMAT, "invalid JSON schema: %s", what);
}

/* A count that a keyword names; `fallback` when it is absent. Whole numbers may be written with a
 * fraction of nothing. */
static oll_status read_count(struct schema *s, const struct oll_json *json, const char *key,
                             uint32_t fallback, uint32_t *out)
{
    const struct oll_json *v = get(json, key);
    *out = fallback;
    if (!v)
        return OLL_OK;
    if (v->type != OLL_JSON_NUMBER || !(v->real >= 0) || v->real != floor(v->real))
        return schema_fail(s, v, OLL_ERR_FORMAT, "invalid JSON schema: \"%s\" is no count", key);
    *out = v->real > 1e9 ? 1000000000u : (uint32_t)v->real;
    return OLL_OK;
}

/* ---- types ---- */

static const struct {
    const char *name;
    uint8_t type;
} type_names[] = {{"null", TYPE_NULL},      {"boolean", TYPE_BOOL},  {"number", TYPE_NUMBER},
                  {"integer", TYPE_NUMBER}, {"string", TYPE_STRING}, {"array", TYPE_ARRAY},
                  {"object", TYPE_OBJECT}};

static oll_status add_type(struct schema *s, const struct oll_json *v, struct shape *shape,
                           bool *number, bool *integer)
{
    for (size_t i = 0; v->type == OLL_JSON_STRING && i < sizeof type_names / sizeof *type_names;
         i++)
        if (strcmp(v->str, type_names[i].name) == 0) {
            shape->types |= type_names[i].type;
            *number = *number || strcmp(v->str, "number") == 0;
            *integer = *integer || strcmp(v->str, "integer") == 0;
            return OLL_OK;
        }
    return schema_fail(s, v, OLL_ERR_FORMAT, "Unrecognized schema: unknown type %.60s",
                       v->type == OLL_JSON_STRING ? v->str : oll_json_type_name(v));
}

static oll_status read_type(struct schema *s, const struct oll_json *v, struct shape *shape)
{
    bool number = false, integer = false;
    shape->types = 0;
    shape->typed = true;
    if (v->type != OLL_JSON_ARRAY)
        OLL_TRY(add_type(s, v, shape, &number, &integer));
    else
        for (const struct oll_json *i = v->first; i; i = i->next)
            OLL_TRY(add_type(s, i, shape, &number, &integer));
    if (integer && !number) {
        shape->integer = true;
        shape->number = regex_integers(s->pool);
    }
    return OLL_OK;
}

/* ---- numbers ---- */

static oll_status read_decimal(struct schema *s, const struct oll_json *v,
                               struct regex_decimal *out)
{
    if (v->type != OLL_JSON_NUMBER)
        return invalid(s, v, "a number is expected");
    if (!regex_decimal_read(v->raw, v->raw_len, out))
        return schema_fail(s, v, OLL_ERR_LIMIT, "unsupported JSON schema: the number is too large");
    return OLL_OK;
}

/* `open_key`: the exclusive keyword, a number of its own or, in draft 4, a switch. */
static oll_status read_bound(struct schema *s, const struct oll_json *json, const char *key,
                             const char *open_key, bool is_min, struct shape *shape)
{
    const struct oll_json *v = get(json, key), *open = get(json, open_key);
    struct regex_decimal d;
    if (open && open->type != OLL_JSON_BOOL) {
        OLL_TRY(read_decimal(s, open, &d));
        shape->number = regex_and2(s->pool, shape->number,
                                   is_min ? regex_at_least(s->pool, &d, true)
                                          : regex_at_most(s->pool, &d, true));
    }
    if (open) {
        shape->touched |= TYPE_NUMBER;
        shape->exact = true;
    }
    if (!v)
        return OLL_OK;
    bool is_open = open && open->type == OLL_JSON_BOOL && open->is_true;
    OLL_TRY(read_decimal(s, v, &d));
    shape->number = regex_and2(s->pool, shape->number,
                               is_min ? regex_at_least(s->pool, &d, is_open)
                                      : regex_at_most(s->pool, &d, is_open));
    shape->touched |= TYPE_NUMBER;
    return OLL_OK;
}

static oll_status read_multiple(struct schema *s, const struct oll_json *v, struct shape *shape)
{
    struct regex_decimal d;
    uint64_t modulus = 0;
    OLL_TRY(read_decimal(s, v, &d));
    for (uint32_t i = 0; i < d.n_whole && modulus <= MAX_MODULUS; i++)
        modulus = modulus * 10 + (uint64_t)(d.whole[i] - '0');
    for (uint32_t i = 0; i < d.n_fraction && modulus <= MAX_MODULUS; i++)
        modulus = modulus * 10 + (uint64_t)(d.fraction[i] - '0');
    if (d.negative || (d.n_whole == 0 && d.n_fraction == 0))
        return invalid(s, v, "\"multipleOf\" must be above 0");
    if (modulus > MAX_MODULUS || d.n_fraction > MAX_DECIMALS)
        return schema_unsupported(s, v, "multipleOf");
    shape->number = regex_and2(s->pool, shape->number,
                               regex_multiple(s->pool, (uint32_t)modulus, d.n_fraction));
    shape->integer = shape->integer || d.n_fraction == 0;
    shape->exact = true;
    shape->touched |= TYPE_NUMBER;
    return OLL_OK;
}

static oll_status read_numbers(struct schema *s, const struct oll_json *json, struct shape *shape)
{
    const struct oll_json *multiple = get(json, "multipleOf");
    OLL_TRY(read_bound(s, json, "minimum", "exclusiveMinimum", true, shape));
    OLL_TRY(read_bound(s, json, "maximum", "exclusiveMaximum", false, shape));
    if (multiple)
        OLL_TRY(read_multiple(s, multiple, shape));
    if ((shape->touched & TYPE_NUMBER) && regex_is_empty(s->pool, shape->number))
        shape->types &= (uint8_t)~TYPE_NUMBER;
    return OLL_OK;
}

/* ---- strings ---- */

static oll_status read_strings(struct schema *s, const struct oll_json *json, struct shape *shape)
{
    const struct oll_json *pattern = get(json, "pattern"), *format = get(json, "format");
    struct oll_error own = {0};
    uint32_t min, max, term;
    OLL_TRY(read_count(s, json, "minLength", 0, &min));
    OLL_TRY(read_count(s, json, "maxLength", REGEX_INF, &max));
    if (min > 0 || max != REGEX_INF) {
        shape->string = min <= max ? regex_rep(s->pool, REGEX_ANY, min, max) : REGEX_NONE;
        shape->touched |= TYPE_STRING;
    }
    if (pattern) {
        if (pattern->type != OLL_JSON_STRING)
            return invalid(s, pattern, "\"pattern\" is no string");
        oll_status status = regex_parse(s->pool, pattern->str, pattern->str_len, &term, &own);
        if (status != OLL_OK)
            return schema_fail(s, pattern, status, "%s JSON schema: %s",
                               status == OLL_ERR_FORMAT ? "invalid" : "unsupported", own.text);
        shape->string = regex_and2(s->pool, shape->string, term);
        shape->touched |= TYPE_STRING;
    }
    shape->unformatted = shape->string;
    if (format && format->type == OLL_JSON_STRING) {
        OLL_TRY(regex_format(s->pool, format->str, &term, s->err));
        shape->string = regex_and2(s->pool, shape->string, term);
        shape->touched |= term != REGEX_ALL ? TYPE_STRING : 0;
    }
    if (shape->string != REGEX_ALL && regex_is_empty(s->pool, shape->string))
        shape->types &= (uint8_t)~TYPE_STRING;
    return OLL_OK;
}

/* ---- arrays ---- */

static oll_status read_subschema(struct schema *s, const struct oll_json *v, uint32_t base,
                                 uint32_t *conj)
{
    if (v->type != OLL_JSON_OBJECT && v->type != OLL_JSON_BOOL)
        return invalid(s, v, "a schema is an object or a boolean");
    *conj = schema_conj(s, v, base);
    return OLL_OK;
}

static oll_status read_prefix(struct schema *s, const struct oll_json *list, uint32_t base,
                              struct array_shape *a)
{
    a->prefix = oll_arena_alloc(&s->arena, list->n + 1, sizeof *a->prefix);
    if (!a->prefix)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (const struct oll_json *i = list->first; i; i = i->next)
        OLL_TRY(read_subschema(s, i, base, &a->prefix[a->n_prefix++]));
    return OLL_OK;
}

static oll_status read_items(struct schema *s, const struct oll_json *json, uint32_t base,
                             struct array_shape *a)
{
    const struct oll_json *items = get(json, "items"), *prefix = get(json, "prefixItems");
    const struct oll_json *rest = items;
    if (items && items->type == OLL_JSON_ARRAY) {
        prefix = items;
        rest = get(json, "additionalItems");
    }
    if (prefix) {
        if (prefix->type != OLL_JSON_ARRAY)
            return invalid(s, prefix, "\"prefixItems\" is no array");
        OLL_TRY(read_prefix(s, prefix, base, a));
    }
    if (rest)
        OLL_TRY(read_subschema(s, rest, base, &a->items));
    a->evaluated = rest ? REGEX_INF : a->n_prefix;
    return OLL_OK;
}

static oll_status read_contains(struct schema *s, const struct oll_json *json, uint32_t base,
                                struct array_shape *a)
{
    const struct oll_json *contains = get(json, "contains");
    if (!contains)
        return OLL_OK;
    OLL_TRY(read_subschema(s, contains, base, &a->contains));
    OLL_TRY(read_count(s, json, "minContains", 1, &a->min_contains));
    OLL_TRY(read_count(s, json, "maxContains", REGEX_INF, &a->max_contains));
    if (a->contains == CONJ_ANY) { /* every element matches */
        a->min = a->min > a->min_contains ? a->min : a->min_contains;
        a->max = a->max < a->max_contains ? a->max : a->max_contains;
        a->min_contains = 0;
        a->max_contains = REGEX_INF;
    }
    return OLL_OK;
}

static oll_status read_arrays(struct schema *s, const struct oll_json *json, uint32_t base,
                              struct shape *shape)
{
    static const char *const names[] = {"items",    "prefixItems",     "additionalItems",
                                        "minItems", "maxItems",        "uniqueItems",
                                        "contains", "unevaluatedItems"};
    const struct oll_json *unique = get(json, "uniqueItems");
    bool any = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        any = any || get(json, names[i]);
    if (!any)
        return OLL_OK;
    struct array_shape *a = oll_arena_alloc(&s->arena, 1, sizeof *a);
    if (!a)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *a = (struct array_shape){.max_contains = REGEX_INF};
    OLL_TRY(read_count(s, json, "minItems", 0, &a->min));
    OLL_TRY(read_count(s, json, "maxItems", REGEX_INF, &a->max));
    OLL_TRY(read_items(s, json, base, a));
    OLL_TRY(read_contains(s, json, base, a));
    if (unique && unique->type != OLL_JSON_BOOL)
        return invalid(s, unique, "\"uniqueItems\" is no boolean");
    a->unique = unique && unique->is_true;
    shape->array = a;
    shape->touched |= TYPE_ARRAY;
    return OLL_OK;
}

/* ---- objects ---- */

struct object_build {
    struct object_shape *o;
    uint32_t cap_props, cap_rules;
    struct regex_word *names; /* of `properties` */
    uint32_t n_names;
    uint32_t patterns; /* term of the keys that some pattern matches */
};

static oll_status add_rule(struct schema *s, struct object_build *b, struct key_rule rule)
{
    if (rule.value == CONJ_ANY || rule.match == REGEX_NONE)
        return OLL_OK;
    if (b->o->n_rules == b->cap_rules)
        return OLL_FAIL(s->err, OLL_ERR_INTERNAL, "a rule too many");
    b->o->rules[b->o->n_rules++] = rule;
    return OLL_OK;
}

static oll_status read_patterns(struct schema *s, const struct oll_json *v, uint32_t base,
                                struct object_build *b)
{
    struct oll_error own = {0};
    if (v->type != OLL_JSON_OBJECT)
        return invalid(s, v, "\"patternProperties\" is no object");
    for (const struct oll_json *i = v->first; i; i = i->next) {
        struct key_rule rule;
        oll_status status = regex_parse(s->pool, i->key, i->key_len, &rule.match, &own);
        if (status != OLL_OK)
            return schema_fail(s, i, status, "%s JSON schema: %s",
                               status == OLL_ERR_FORMAT ? "invalid" : "unsupported", own.text);
        rule.key = rule.match;
        OLL_TRY(read_subschema(s, i, base, &rule.value));
        b->patterns = regex_alt2(s->pool, b->patterns, rule.match);
        OLL_TRY(add_rule(s, b, rule));
    }
    return OLL_OK;
}

static oll_status read_additional(struct schema *s, const struct oll_json *v, uint32_t base,
                                  struct object_build *b)
{
    struct key_rule rule;
    OLL_TRY(read_subschema(s, v, base, &rule.value));
    uint32_t named = regex_words(s->pool, b->names, b->n_names);
    rule.match = regex_not(s->pool, regex_alt2(s->pool, named, b->patterns));
    rule.key = regex_not(s->pool, b->patterns);
    return add_rule(s, b, rule);
}

/* Keys that are no valid name may have no value. */
static oll_status read_property_names(struct schema *s, const struct oll_json *v, uint32_t base,
                                      struct object_build *b)
{
    uint32_t conj = CONJ_NEVER, good = REGEX_NONE;
    struct shapes list;
    struct shape any = shape_any();
    struct shapes strings = {0};
    OLL_TRY(read_subschema(s, v, base, &conj));
    any.types = TYPE_STRING;
    if (conj != CONJ_NEVER) {
        OLL_TRY(schema_read_conj(s, conj, &list));
        OLL_TRY(shapes_add(s, &strings, &any));
        OLL_TRY(shapes_meet(s, &strings, &list));
    }
    for (uint32_t i = 0; i < strings.n; i++)
        good = regex_alt2(s->pool, good, strings.v[i].string);
    uint32_t bad = regex_not(s->pool, good);
    return add_rule(s, b, (struct key_rule){bad, bad, CONJ_NEVER});
}

static struct prop_shape *add_prop(struct object_build *b, const char *name, size_t n)
{
    struct prop_shape *p = &b->o->props[b->o->n_props++];
    *p = (struct prop_shape){.name = name, .n = n};
    return p;
}

static oll_status read_properties(struct schema *s, const struct oll_json *v, uint32_t base,
                                  struct object_build *b)
{
    if (v->type != OLL_JSON_OBJECT)
        return invalid(s, v, "\"properties\" is no object");
    b->names = oll_arena_alloc(&s->arena, v->n + 1, sizeof *b->names);
    if (!b->names)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (const struct oll_json *i = v->first; i; i = i->next) {
        struct prop_shape *p = add_prop(b, i->key, i->key_len);
        p->listed = true;
        OLL_TRY(read_subschema(s, i, base, &p->value));
        b->names[b->n_names++] = (struct regex_word){i->key, i->key_len};
    }
    return OLL_OK;
}

static oll_status read_required(struct schema *s, const struct oll_json *v, struct object_build *b)
{
    if (v->type == OLL_JSON_BOOL)
        return invalid(s, v, "\"required\" is an array of names since draft 4");
    if (v->type != OLL_JSON_ARRAY)
        return invalid(s, v, "\"required\" is no array");
    for (const struct oll_json *i = v->first; i; i = i->next) {
        struct prop_shape *p = NULL;
        if (i->type != OLL_JSON_STRING)
            return invalid(s, i, "a name in \"required\" is no string");
        for (uint32_t j = 0; j < b->o->n_props && !p; j++)
            if (b->o->props[j].n == i->str_len &&
                memcmp(b->o->props[j].name, i->str, i->str_len) == 0)
                p = &b->o->props[j];
        p = p ? p : add_prop(b, i->str, i->str_len);
        p->required = true;
    }
    return OLL_OK;
}

/* What the patterns, the rule for the rest and propertyNames say about names that are written out.
 */
static void apply_rules(struct schema *s, struct object_shape *o)
{
    struct object_shape rules = {.rules = o->rules, .n_rules = o->n_rules};
    for (uint32_t i = 0; i < o->n_props; i++)
        o->props[i].value = schema_conj_both(
            s, o->props[i].value, shape_value_of(s, &rules, o->props[i].name, o->props[i].n));
}

static oll_status fill_object(struct schema *s, const struct oll_json *json, uint32_t base,
                              struct object_build *b)
{
    const struct oll_json *props = get(json, "properties"), *required = get(json, "required");
    const struct oll_json *patterns = get(json, "patternProperties");
    const struct oll_json *rest = get(json, "additionalProperties");
    const struct oll_json *names = get(json, "propertyNames");
    const struct oll_json *unevaluated = get(json, "unevaluatedProperties");
    OLL_TRY(read_count(s, json, "minProperties", 0, &b->o->min));
    OLL_TRY(read_count(s, json, "maxProperties", REGEX_INF, &b->o->max));
    b->o->open_said = patterns || rest || names || unevaluated;
    if (props)
        OLL_TRY(read_properties(s, props, base, b));
    if (patterns)
        OLL_TRY(read_patterns(s, patterns, base, b));
    if (rest)
        OLL_TRY(read_additional(s, rest, base, b));
    if (s->has_unevaluated)
        b->o->evaluated =
            rest ? REGEX_ALL
                 : regex_alt2(s->pool, regex_words(s->pool, b->names, b->n_names), b->patterns);
    if (names)
        OLL_TRY(read_property_names(s, names, base, b));
    if (required)
        OLL_TRY(read_required(s, required, b));
    apply_rules(s, b->o);
    return OLL_OK;
}

static oll_status read_objects(struct schema *s, const struct oll_json *json, uint32_t base,
                               struct shape *shape)
{
    static const char *const names[] = {
        "properties",    "required",      "patternProperties", "additionalProperties",
        "propertyNames", "minProperties", "maxProperties",     "unevaluatedProperties"};
    struct object_build b = {.patterns = REGEX_NONE, .cap_rules = 2};
    size_t n_props = 0;
    bool any = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct oll_json *v = get(json, names[i]);
        bool list = v && (v->type == OLL_JSON_ARRAY || v->type == OLL_JSON_OBJECT);
        any = any || v;
        n_props += list && i < 2 ? v->n : 0;
        b.cap_rules += list && i == 2 ? (uint32_t)v->n : 0;
    }
    if (!any)
        return OLL_OK;
    b.o = oll_arena_alloc(&s->arena, 1, sizeof *b.o);
    struct prop_shape *props = oll_arena_alloc(&s->arena, n_props + 1, sizeof *props);
    struct key_rule *rules = oll_arena_alloc(&s->arena, b.cap_rules, sizeof *rules);
    if (!b.o || !props || !rules)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    b.o->props = props;
    b.o->rules = rules;
    shape->object = b.o;
    shape->touched |= TYPE_OBJECT;
    return fill_object(s, json, base, &b);
}

/* ---- constants ---- */

static void const_number(struct schema *s, const struct oll_json *v, struct shape *shape)
{
    struct regex_decimal d;
    if (!regex_decimal_read(v->raw, v->raw_len, &d)) {
        shape->types = 0;
        return;
    }
    shape->types = TYPE_NUMBER;
    shape->number = regex_value(s->pool, &d);
    shape->spelling = regex_spelling(s->pool, &d);
}

static oll_status const_array(struct schema *s, const struct oll_json *v, struct shape *shape)
{
    struct array_shape *a = oll_arena_alloc(&s->arena, 1, sizeof *a);
    uint32_t *prefix = oll_arena_alloc(&s->arena, v->n + 1, sizeof *prefix);
    if (!a || !prefix)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *a = (struct array_shape){.min = (uint32_t)v->n,
                              .max = (uint32_t)v->n,
                              .prefix = prefix,
                              .items = CONJ_NEVER,
                              .max_contains = REGEX_INF};
    for (const struct oll_json *i = v->first; i; i = i->next)
        prefix[a->n_prefix++] = schema_conj_const(s, i);
    shape->types = TYPE_ARRAY;
    shape->array = a;
    return OLL_OK;
}

static oll_status const_object(struct schema *s, const struct oll_json *v, struct shape *shape)
{
    struct object_shape *o = oll_arena_alloc(&s->arena, 1, sizeof *o);
    struct object_build b = {.o = o, .cap_rules = 1, .patterns = REGEX_NONE};
    if (o) {
        *o = (struct object_shape){.max = REGEX_INF, .open_said = true};
        o->props = oll_arena_alloc(&s->arena, v->n + 1, sizeof *o->props);
        o->rules = oll_arena_alloc(&s->arena, 1, sizeof *o->rules);
        b.names = oll_arena_alloc(&s->arena, v->n + 1, sizeof *b.names);
    }
    if (s->arena.status != OLL_OK)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (const struct oll_json *i = v->first; i; i = i->next) {
        struct prop_shape *p = add_prop(&b, i->key, i->key_len);
        p->required = p->listed = true;
        p->value = schema_conj_const(s, i);
        b.names[b.n_names++] = (struct regex_word){i->key, i->key_len};
    }
    struct key_rule rule = {.value = CONJ_NEVER, .key = REGEX_ALL};
    rule.match = regex_not(s->pool, regex_words(s->pool, b.names, b.n_names));
    OLL_TRY(add_rule(s, &b, rule));
    shape->types = TYPE_OBJECT;
    shape->object = o;
    return OLL_OK;
}

static oll_status add_const(struct schema *s, const struct oll_json *v, struct shapes *list)
{
    struct shape shape = shape_any();
    shape.typed = true;
    shape.types = 0;
    switch ((enum oll_json_type)v->type) {
    case OLL_JSON_NULL: shape.types = TYPE_NULL; break;
    case OLL_JSON_BOOL:
        shape.types = TYPE_BOOL;
        shape.bools = v->is_true ? 2 : 1;
        break;
    case OLL_JSON_NUMBER: const_number(s, v, &shape); break;
    case OLL_JSON_STRING:
        shape.types = TYPE_STRING;
        shape.string = shape.unformatted = regex_text(s->pool, v->str, v->str_len);
        break;
    case OLL_JSON_ARRAY: OLL_TRY(const_array(s, v, &shape)); break;
    case OLL_JSON_OBJECT: OLL_TRY(const_object(s, v, &shape)); break;
    }
    return shapes_add(s, list, &shape);
}

static oll_status read_enum(struct schema *s, const struct oll_json *v, struct shapes *list)
{
    struct shape strings = shape_any();
    uint32_t n = 0;
    if (v->type != OLL_JSON_ARRAY)
        return invalid(s, v, "\"enum\" is no array");
    /* The strings together, as a tree of their prefixes. */
    struct regex_word *words = oll_arena_alloc(&s->arena, v->n + 1, sizeof *words);
    if (!words)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (const struct oll_json *i = v->first; i; i = i->next) {
        if (i->type == OLL_JSON_STRING)
            words[n++] = (struct regex_word){i->str, i->str_len};
        else
            OLL_TRY(add_const(s, i, list));
    }
    strings.types = TYPE_STRING;
    strings.typed = true;
    strings.string = strings.unformatted = regex_words(s->pool, words, n);
    return n ? shapes_add(s, list, &strings) : OLL_OK;
}

/* ---- applicators ---- */

static oll_status read_now(struct schema *s, const struct oll_json *v, uint32_t base,
                           struct shapes *out)
{
    uint32_t conj = CONJ_NEVER;
    OLL_TRY(read_subschema(s, v, base, &conj));
    return schema_read_conj(s, conj, out);
}

static oll_status need_list(struct schema *s, const struct oll_json *v, const char *key)
{
    if (v->type == OLL_JSON_ARRAY && v->n > 0)
        return OLL_OK;
    return schema_fail(s, v, OLL_ERR_FORMAT, "invalid JSON schema: \"%s\" is no array of schemas",
                       key);
}

static oll_status read_all_of(struct schema *s, const struct oll_json *v, uint32_t base,
                              struct shapes *list)
{
    struct shapes one;
    OLL_TRY(need_list(s, v, "allOf"));
    for (const struct oll_json *i = v->first; i; i = i->next) {
        OLL_TRY(read_now(s, i, base, &one));
        OLL_TRY(shapes_meet(s, list, &one));
    }
    return OLL_OK;
}

static oll_status read_any_of(struct schema *s, const struct oll_json *v, uint32_t base,
                              struct shapes *list)
{
    struct shapes any = {0};
    struct shapes one;
    OLL_TRY(need_list(s, v, "anyOf"));
    for (const struct oll_json *i = v->first; i; i = i->next) {
        OLL_TRY(read_now(s, i, base, &one));
        OLL_TRY(shapes_join(s, &any, &one));
    }
    return shapes_meet(s, list, &any);
}

static oll_status overlap(struct schema *s, const struct shapes *a, const struct shapes *b,
                          bool *overlaps)
{
    struct shapes both = {0};
    bool empty;
    OLL_TRY(shapes_apart(s, a, b, &empty));
    *overlaps = !empty;
    if (empty)
        return OLL_OK;
    OLL_TRY(shapes_join(s, &both, a));
    OLL_TRY(shapes_meet(s, &both, b));
    OLL_TRY(shapes_empty(s, &both, &empty));
    *overlaps = !empty;
    return OLL_OK;
}

struct branch {
    const struct oll_json *json;
    struct shapes own; /* within the context */
};

/* Adds what branch `i` alone allows. With `strict`, what has not the format of another branch is
 * not of that branch; else only what would not be even if formats were not enforced. */
static oll_status add_alone(struct schema *s, const struct oll_json *one_of, uint32_t base,
                            const struct branch *branches, size_t i, bool strict,
                            struct shapes *any)
{
    struct shapes rest = {0}, other, without;
    OLL_TRY(shapes_join(s, &rest, &branches[i].own));
    for (size_t j = 0; j < one_of->n; j++) {
        struct shapes theirs = {0};
        bool overlaps = false;
        OLL_TRY(shapes_join(s, &theirs, &branches[j].own));
        if (!strict)
            OLL_TRY(shapes_unformat(s, &theirs));
        if (j != i && rest.n)
            OLL_TRY(overlap(s, &rest, &theirs, &overlaps));
        if (!overlaps)
            continue;
        OLL_TRY(read_now(s, branches[j].json, base, &other));
        oll_status status = (strict ? shapes_negate : shapes_negate_lenient)(s, &other, &without);
        if (status == OLL_ERR_UNSUPPORTED)
            return schema_unsupported(s, one_of, "oneOf");
        OLL_TRY(status);
        OLL_TRY(shapes_meet(s, &rest, &without));
    }
    for (uint32_t k = 0; k < rest.n && strict; k++)
        rest.v[k].types &= TYPE_STRING;
    return shapes_join(s, any, &rest);
}

static bool has_strings(const struct shapes *list, bool of_format)
{
    for (uint32_t i = 0; i < list->n; i++)
        if ((list->v[i].types & TYPE_STRING) &&
            (!of_format || list->v[i].string != list->v[i].unformatted))
            return true;
    return false;
}

/* Exactly one: each branch, within `context`, without the branches that it overlaps. Formats tell
 * branches apart only where no strings would be left otherwise, and only those that have one. */
static oll_status read_one_of(struct schema *s, const struct oll_json *v, uint32_t base,
                              struct shapes *context)
{
    struct shapes any = {0};
    OLL_TRY(need_list(s, v, "oneOf"));
    struct branch *branches = oll_arena_alloc(&s->arena, v->n, sizeof *branches);
    if (!branches)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    size_t n = 0;
    for (const struct oll_json *i = v->first; i; i = i->next, n++) {
        struct shapes one;
        branches[n].json = i;
        OLL_TRY(read_now(s, i, base, &one));
        OLL_TRY(shapes_join(s, &branches[n].own, context));
        OLL_TRY(shapes_meet(s, &branches[n].own, &one));
    }
    for (size_t i = 0; i < n; i++)
        OLL_TRY(add_alone(s, v, base, branches, i, false, &any));
    const bool by_format = !has_strings(&any, false);
    for (size_t i = 0; i < n && by_format; i++)
        if (has_strings(&branches[i].own, true))
            OLL_TRY(add_alone(s, v, base, branches, i, true, &any));
    any.inexact = any.inexact || context->inexact;
    *context = any;
    return OLL_OK;
}

static oll_status negation(struct schema *s, const struct oll_json *v, const char *key,
                           uint32_t base, struct shapes *out)
{
    struct shapes list;
    OLL_TRY(read_now(s, v, base, &list));
    oll_status status = shapes_negate(s, &list, out);
    return status == OLL_ERR_UNSUPPORTED ? schema_unsupported(s, v, key) : status;
}

static oll_status read_if(struct schema *s, const struct oll_json *json, uint32_t base,
                          struct shapes *list)
{
    const struct oll_json *when = get(json, "if"), *then = get(json, "then"),
                          *otherwise = get(json, "else");
    struct shapes yes = {0}, no = {0};
    struct shapes one;
    if (!then && !otherwise)
        return OLL_OK;
    OLL_TRY(read_now(s, when, base, &one));
    OLL_TRY(shapes_join(s, &yes, &one));
    if (then) {
        OLL_TRY(read_now(s, then, base, &one));
        OLL_TRY(shapes_meet(s, &yes, &one));
    }
    OLL_TRY(negation(s, when, "if", base, &no));
    if (otherwise) {
        OLL_TRY(read_now(s, otherwise, base, &one));
        OLL_TRY(shapes_meet(s, &no, &one));
    }
    struct shapes both = {0};
    OLL_TRY(shapes_join(s, &both, &yes));
    OLL_TRY(shapes_join(s, &both, &no));
    return shapes_meet(s, list, &both);
}

/* ---- dependencies ---- */

static oll_status object_of(struct schema *s, uint32_t n, struct shape *shape,
                            struct object_shape **out)
{
    struct object_shape *o = oll_arena_alloc(&s->arena, 1, sizeof *o);
    struct prop_shape *props = oll_arena_alloc(&s->arena, n, sizeof *props);
    if (!o || !props)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *o = (struct object_shape){.props = props, .max = REGEX_INF};
    *shape = shape_any();
    shape->object = o;
    shape->touched = TYPE_OBJECT;
    *out = o;
    return OLL_OK;
}

/* Either no member `name`, or it and what it asks for: other members, or a schema. */
static oll_status read_dependency(struct schema *s, const struct oll_json *v, uint32_t base,
                                  struct shapes *list)
{
    struct shapes either = {0}, with = {0};
    struct shape shape;
    struct object_shape *o;
    struct shapes one;
    bool is_list = v->type == OLL_JSON_ARRAY, is_name = v->type == OLL_JSON_STRING;
    OLL_TRY(object_of(s, 1, &shape, &o));
    o->props[o->n_props++] =
        (struct prop_shape){.name = v->key, .n = v->key_len, .value = CONJ_NEVER};
    OLL_TRY(shapes_add(s, &either, &shape));
    OLL_TRY(object_of(s, (is_list ? (uint32_t)v->n : 1) + 1, &shape, &o));
    o->props[o->n_props++] = (struct prop_shape){.name = v->key, .n = v->key_len, .required = true};
    for (const struct oll_json *i = is_list   ? v->first
                                    : is_name ? v
                                              : NULL;
         i; i = is_list ? i->next : NULL) {
        bool known = false;
        if (i->type != OLL_JSON_STRING)
            return invalid(s, i, "a dependency is no name");
        for (uint32_t j = 0; j < o->n_props && !known; j++)
            known =
                o->props[j].n == i->str_len && memcmp(o->props[j].name, i->str, i->str_len) == 0;
        if (!known)
            o->props[o->n_props++] =
                (struct prop_shape){.name = i->str, .n = i->str_len, .required = true};
    }
    shape.types = TYPE_OBJECT;
    OLL_TRY(shapes_add(s, &with, &shape));
    if (!is_list && !is_name) {
        OLL_TRY(read_now(s, v, base, &one));
        OLL_TRY(shapes_meet(s, &with, &one));
    }
    OLL_TRY(shapes_join(s, &either, &with));
    return shapes_meet(s, list, &either);
}

static oll_status read_dependencies(struct schema *s, const struct oll_json *v, uint32_t base,
                                    struct shapes *list)
{
    if (v->type != OLL_JSON_OBJECT)
        return invalid(s, v, "dependencies are no object");
    for (const struct oll_json *i = v->first; i; i = i->next)
        OLL_TRY(read_dependency(s, i, base, list));
    return OLL_OK;
}

/* ---- references ---- */

static oll_status read_ref(struct schema *s, const struct oll_json *v, uint32_t base,
                           struct shapes *list)
{
    const struct oll_json *target;
    struct shapes one;
    struct shapes object = {0};
    struct shape shape = shape_any();
    uint32_t new_base;
    bool is_meta;
    if (v->type != OLL_JSON_STRING)
        return invalid(s, v, "a reference is no string");
    OLL_TRY(schema_resolve(s, v, base, &target, &new_base, &is_meta));
    if (is_meta) {
        shape.types = TYPE_OBJECT;
        shape.typed = true;
        OLL_TRY(shapes_add(s, &object, &shape));
        return shapes_meet(s, list, &object);
    }
    OLL_TRY(read_now(s, target, new_base, &one));
    return shapes_meet(s, list, &one);
}

/* ---- schemas ---- */

static oll_status read_own(struct schema *s, const struct oll_json *json, uint32_t base,
                           struct shapes *list)
{
    struct shape shape = shape_any();
    struct shapes own = {0};
    const struct oll_json *type = get(json, "type");
    if (type)
        OLL_TRY(read_type(s, type, &shape));
    OLL_TRY(read_numbers(s, json, &shape));
    OLL_TRY(read_strings(s, json, &shape));
    OLL_TRY(read_arrays(s, json, base, &shape));
    OLL_TRY(read_objects(s, json, base, &shape));
    if (s->pool->status != OLL_OK)
        return schema_fail(
            s, json, s->pool->status,
            "unsupported JSON schema: patterns or numbers need too large an automaton");
    OLL_TRY(shapes_add(s, &own, &shape));
    return shapes_meet(s, list, &own);
}

static oll_status read_applicator(struct schema *s, const struct oll_json *json,
                                  const struct oll_json *v, uint32_t base, struct shapes *list)
{
    struct shapes own = {0};
    const char *key = v->key;
    if (strcmp(key, "$ref") == 0 || strcmp(key, "$dynamicRef") == 0 ||
        strcmp(key, "$recursiveRef") == 0)
        return read_ref(s, v, base, list);
    if (strcmp(key, "allOf") == 0)
        return read_all_of(s, v, base, list);
    if (strcmp(key, "anyOf") == 0)
        return read_any_of(s, v, base, list);
    if (strcmp(key, "if") == 0)
        return read_if(s, json, base, list);
    if (strcmp(key, "dependencies") == 0 || strcmp(key, "dependentRequired") == 0 ||
        strcmp(key, "dependentSchemas") == 0)
        return read_dependencies(s, v, base, list);
    if (strcmp(key, "not") == 0) {
        OLL_TRY(negation(s, v, key, base, &own));
        return shapes_meet(s, list, &own);
    }
    if (strcmp(key, "enum") == 0 || strcmp(key, "const") == 0) {
        OLL_TRY(key[0] == 'e' ? read_enum(s, v, &own) : add_const(s, v, &own));
        return shapes_meet(s, list, &own);
    }
    return OLL_OK;
}

static oll_status read_unevaluated(struct schema *s, const struct oll_json *json, uint32_t base,
                                   struct shapes *list)
{
    const struct oll_json *properties = get(json, "unevaluatedProperties");
    const struct oll_json *items = get(json, "unevaluatedItems");
    struct unevaluated rest = {.has_properties = properties, .has_items = items};
    if (properties)
        OLL_TRY(read_subschema(s, properties, base, &rest.properties));
    if (items)
        OLL_TRY(read_subschema(s, items, base, &rest.items));
    return shapes_close(s, list, &rest);
}

/* Members in the order of the text, so that the properties of what stands first come first; oneOf
 * last, since its branches are told apart within all else. */
static oll_status read_schema(struct schema *s, const struct oll_json *json, uint32_t base,
                              struct shapes *list)
{
    struct shape any = shape_any();
    bool own_done = !get(json, "properties");
    const struct oll_json *one_of = get(json, "oneOf");
    OLL_TRY(shapes_add(s, list, &any));
    if (own_done)
        OLL_TRY(read_own(s, json, base, list));
    for (const struct oll_json *v = json->first; v; v = v->next) {
        if (!own_done && strcmp(v->key, "properties") == 0) {
            OLL_TRY(read_own(s, json, base, list));
            own_done = true;
        }
        OLL_TRY(read_applicator(s, json, v, base, list));
    }
    if (one_of)
        OLL_TRY(read_one_of(s, one_of, base, list));
    return read_unevaluated(s, json, base, list);
}

static oll_status read_atom(struct schema *s, struct atom atom, struct shapes *list)
{
    struct shapes one;
    if (atom.kind == ATOM_CONST)
        return add_const(s, atom.json, list);
    if (atom.kind == ATOM_SCHEMA)
        return read_schema(s, atom.json, schema_base_of(s, atom.json, atom.base), list);
    OLL_TRY(schema_read_conj(s, atom.conj, &one));
    oll_status status = (atom.base ? shapes_negate_lenient : shapes_negate)(s, &one, list);
    if (status != OLL_ERR_UNSUPPORTED)
        return status;
    uint32_t first = s->conjs[atom.conj].atoms[0];
    const struct oll_json *at = s->atoms[first].json;
    return schema_unsupported(s, at ? at : s->root, "not");
}

oll_status schema_read_atom(struct schema *s, uint32_t id, struct shapes *out)
{
    struct shapes list = {0};
    struct atom *atom = &s->atoms[id];
    if (atom->state == ATOM_READ) {
        *out = atom->shapes;
        return OLL_OK;
    }
    if (atom->state == ATOM_READING && s->probing)
        return OLL_ERR_BUSY;
    if (atom->state == ATOM_READING || s->depth > MAX_DEPTH)
        return schema_fail(s, atom->json ? atom->json : s->root, OLL_ERR_UNSUPPORTED,
                           "unsupported JSON schema: circular references with sibling keys are not "
                           "supported");
    atom->state = ATOM_READING;
    const bool lenient = s->lenient; /* of whoever asks: what an atom means is the same for all */
    s->lenient = false;
    s->depth++;
    oll_status status = read_atom(s, *atom, &list);
    s->depth--;
    s->lenient = lenient;
    atom = &s->atoms[id]; /* the array may have moved */
    atom->state = status == OLL_OK ? ATOM_READ : ATOM_NEW;
    *out = atom->shapes = list;
    return status;
}

oll_status schema_read_conj(struct schema *s, uint32_t id, struct shapes *out)
{
    struct shapes list = {0};
    struct shape any = shape_any();
    if (s->conjs[id].has_shapes) {
        *out = s->conjs[id].shapes;
        return OLL_OK;
    }
    if (id != CONJ_NEVER)
        OLL_TRY(shapes_add(s, &list, &any));
    struct conj conj = s->conjs[id];
    for (uint32_t i = 0; i < conj.n; i++) {
        struct shapes one;
        OLL_TRY(schema_read_atom(s, conj.atoms[i], &one));
        OLL_TRY(shapes_meet(s, &list, &one));
    }
    *out = s->conjs[id].shapes = list;
    s->conjs[id].has_shapes = true;
    return OLL_OK;
}
