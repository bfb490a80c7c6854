#include "sampler/json_schema_shape.h"

#include "sampler/grow.h"
#include "sampler/regex_number.h"

#include <string.h>

enum { MAX_PROBE = 5, FIRST_TABLE = 256, MAX_ATOMS = 1 << 20 };

/* ---- atoms and conjunctions ---- */

static uint32_t sticky(struct schema *s, oll_status status)
{
    if (s->arena.status == OLL_OK)
        s->arena.status = status;
    return CONJ_NEVER;
}

static uint64_t hash_atom(const struct atom *a)
{
    return grow_mix(grow_mix((uintptr_t)a->json ^ (uint64_t)a->kind << 56) ^
                    ((uint64_t)a->base << 32 | a->conj));
}

static bool grow_atoms(struct schema *s)
{
    uint32_t mask = s->atom_table ? 2 * s->atom_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < s->n_atoms; i++) {
        uint32_t at = (uint32_t)hash_atom(&s->atoms[i]) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = i + 1;
    }
    oll_free(s->atom_table);
    s->atom_table = table;
    s->atom_mask = mask;
    return true;
}

static bool intern_atom(struct schema *s, struct atom a, uint32_t *out)
{
    if (2 * s->n_atoms >= s->atom_mask && !grow_atoms(s))
        return false;
    uint32_t at = (uint32_t)hash_atom(&a) & s->atom_mask;
    for (; s->atom_table[at]; at = (at + 1) & s->atom_mask) {
        const struct atom *b = &s->atoms[s->atom_table[at] - 1];
        if (b->kind == a.kind && b->json == a.json && b->base == a.base && b->conj == a.conj) {
            *out = s->atom_table[at] - 1;
            return true;
        }
    }
    if (!grow_array((void **)&s->atoms, &s->cap_atoms, s->n_atoms + 1ull, MAX_ATOMS, sizeof a))
        return false;
    s->atoms[s->n_atoms] = a;
    s->atom_table[at] = ++s->n_atoms;
    *out = s->n_atoms - 1;
    return true;
}

static uint64_t hash_ids(const uint32_t *ids, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++)
        h = grow_mix(h ^ ids[i]);
    return h;
}

static bool grow_conjs(struct schema *s)
{
    uint32_t mask = s->conj_table ? 2 * s->conj_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 2; i < s->n_conjs; i++) { /* ANY and NEVER are found by name */
        uint32_t at = (uint32_t)hash_ids(s->conjs[i].atoms, s->conjs[i].n) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = i;
    }
    oll_free(s->conj_table);
    s->conj_table = table;
    s->conj_mask = mask;
    return true;
}

static uint32_t intern_conj(struct schema *s, const uint32_t *atoms, uint32_t n)
{
    if (n == 0)
        return CONJ_ANY;
    if (2 * s->n_conjs >= s->conj_mask && !grow_conjs(s))
        return sticky(s, OLL_ERR_MEMORY);
    uint32_t at = (uint32_t)hash_ids(atoms, n) & s->conj_mask;
    for (; s->conj_table[at]; at = (at + 1) & s->conj_mask) {
        const struct conj *c = &s->conjs[s->conj_table[at]];
        if (c->n == n && memcmp(c->atoms, atoms, n * sizeof *atoms) == 0)
            return s->conj_table[at];
    }
    uint32_t *copy = oll_arena_alloc(&s->arena, n, sizeof *copy);
    if (!copy)
        return CONJ_NEVER;
    if (!grow_array((void **)&s->conjs, &s->cap_conjs, s->n_conjs + 1ull, MAX_ATOMS,
                    sizeof *s->conjs))
        return sticky(s, OLL_ERR_LIMIT);
    memcpy(copy, atoms, n * sizeof *copy);
    s->conjs[s->n_conjs] = (struct conj){.atoms = copy, .n = n};
    s->conj_table[at] = s->n_conjs++;
    return s->n_conjs - 1;
}

static uint32_t conj_of(struct schema *s, struct atom a)
{
    uint32_t id;
    return intern_atom(s, a, &id) ? intern_conj(s, &id, 1) : sticky(s, OLL_ERR_MEMORY);
}

uint32_t schema_conj(struct schema *s, const struct oll_json *json, uint32_t base)
{
    if (json->type == OLL_JSON_BOOL)
        return json->is_true ? CONJ_ANY : CONJ_NEVER;
    if (json->type == OLL_JSON_OBJECT && json->n == 0)
        return CONJ_ANY;
    return conj_of(s, (struct atom){.kind = ATOM_SCHEMA, .json = json, .base = base});
}

uint32_t schema_conj_const(struct schema *s, const struct oll_json *json)
{
    return conj_of(s, (struct atom){.kind = ATOM_CONST, .json = json});
}

uint32_t schema_conj_not(struct schema *s, uint32_t conj)
{
    if (conj == CONJ_ANY || conj == CONJ_NEVER)
        return conj == CONJ_ANY ? CONJ_NEVER : CONJ_ANY;
    const struct conj *c = &s->conjs[conj];
    if (c->n == 1 && s->atoms[c->atoms[0]].kind == ATOM_NOT)
        return s->atoms[c->atoms[0]].conj;
    return conj_of(s, (struct atom){.kind = ATOM_NOT, .conj = conj, .base = s->lenient});
}

uint32_t schema_conj_both(struct schema *s, uint32_t a, uint32_t b)
{
    if (a == b || b == CONJ_ANY)
        return a;
    if (a == CONJ_ANY || b == CONJ_NEVER)
        return b;
    if (a == CONJ_NEVER)
        return a;
    struct conj x = s->conjs[a], y = s->conjs[b];
    uint32_t *both = oll_alloc((size_t)x.n + y.n, sizeof *both), n = 0;
    if (!both)
        return sticky(s, OLL_ERR_MEMORY);
    for (uint32_t i = 0, j = 0; i < x.n || j < y.n;) {
        uint32_t next = j == y.n || (i < x.n && x.atoms[i] <= y.atoms[j]) ? x.atoms[i] : y.atoms[j];
        i += i < x.n && x.atoms[i] == next;
        j += j < y.n && y.atoms[j] == next;
        both[n++] = next;
    }
    uint32_t id = intern_conj(s, both, n);
    oll_free(both);
    return id;
}

/* ---- lists ---- */

struct shape shape_any(void)
{
    return (struct shape){.types = TYPE_ALL,
                          .bools = 3,
                          .number = REGEX_ALL,
                          .spelling = REGEX_ALL,
                          .string = REGEX_ALL,
                          .unformatted = REGEX_ALL};
}

/* Two shapes of scalars are one, when numbers are written alike. */
static bool merge_scalars(struct schema *s, struct shape *a, const struct shape *b)
{
    bool both_numbers = a->types & b->types & TYPE_NUMBER;
    if (((a->types | b->types) & ~TYPE_SCALARS) || a->typed != b->typed || a->touched != b->touched)
        return false;
    if (both_numbers &&
        (a->integer != b->integer || (a->spelling == REGEX_ALL) != (b->spelling == REGEX_ALL)))
        return false;
    if (both_numbers) {
        a->number = regex_alt2(s->pool, a->number, b->number);
        a->spelling = regex_alt2(s->pool, a->spelling, b->spelling);
        a->exact = a->exact || b->exact;
    } else if (b->types & TYPE_NUMBER) {
        a->number = b->number;
        a->spelling = b->spelling;
        a->integer = b->integer;
        a->exact = b->exact;
    }
    if (a->types & b->types & TYPE_STRING) {
        a->string = regex_alt2(s->pool, a->string, b->string);
        a->unformatted = regex_alt2(s->pool, a->unformatted, b->unformatted);
    } else if (b->types & TYPE_STRING) {
        a->string = b->string;
        a->unformatted = b->unformatted;
    }
    a->bools =
        (uint8_t)((a->types & TYPE_BOOL ? a->bools : 0) | (b->types & TYPE_BOOL ? b->bools : 0));
    a->types |= b->types;
    return true;
}

oll_status shapes_add(struct schema *s, struct shapes *list, const struct shape *shape)
{
    if (shape->types == 0)
        return OLL_OK;
    if (list->n > 0 && merge_scalars(s, &list->v[list->n - 1], shape))
        return OLL_OK;
    if (list->n >= JSON_SCHEMA_MAX_SHAPES || s->fuel == 0)
        return schema_fail(s, s->root, OLL_ERR_LIMIT,
                           "unsupported JSON schema: too many alternatives once multiplied out");
    s->fuel--;
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? 2 * list->cap : 4;
        struct shape *grown = oll_arena_alloc(&s->arena, cap, sizeof *grown);
        if (!grown)
            return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
        if (list->n)
            memcpy(grown, list->v, list->n * sizeof *grown);
        list->v = grown;
        list->cap = cap;
    }
    list->v[list->n++] = *shape;
    return OLL_OK;
}

oll_status shapes_join(struct schema *s, struct shapes *list, const struct shapes *other)
{
    list->inexact = list->inexact || other->inexact;
    for (uint32_t i = 0; i < other->n; i++)
        OLL_TRY(shapes_add(s, list, &other->v[i]));
    return OLL_OK;
}

/* ---- conjunction of shapes ---- */

static uint32_t at_most(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t at_least(uint32_t a, uint32_t b) { return a > b ? a : b; }

static uint32_t item_of(const struct array_shape *a, uint32_t i)
{
    return i < a->n_prefix ? a->prefix[i] : a->items;
}

static const struct array_shape *meet_arrays(struct schema *s, const struct array_shape *a,
                                             const struct array_shape *b)
{
    if (!a || !b || a == b)
        return a ? a : b;
    struct array_shape *out = oll_arena_alloc(&s->arena, 1, sizeof *out);
    uint32_t n = at_least(a->n_prefix, b->n_prefix);
    uint32_t *prefix = oll_arena_alloc(&s->arena, n + 1, sizeof *prefix);
    if (!out || !prefix)
        return NULL;
    *out = (struct array_shape){.min = at_least(a->min, b->min),
                                .max = at_most(a->max, b->max),
                                .prefix = prefix,
                                .n_prefix = n,
                                .items = schema_conj_both(s, a->items, b->items),
                                .evaluated = at_least(a->evaluated, b->evaluated),
                                .unique = a->unique || b->unique,
                                .hard = a->hard || b->hard};
    for (uint32_t i = 0; i < n; i++)
        prefix[i] = schema_conj_both(s, item_of(a, i), item_of(b, i));
    const struct array_shape *from = a->min_contains || a->max_contains != REGEX_INF ? a : b;
    bool a_says = from == a, b_says = b->min_contains || b->max_contains != REGEX_INF;
    out->contains = from->contains;
    out->min_contains = from->min_contains;
    out->max_contains = from->max_contains;
    if (a_says && b_says) {
        out->hard = out->hard || a->contains != b->contains;
        out->min_contains = at_least(a->min_contains, b->min_contains);
        out->max_contains = at_most(a->max_contains, b->max_contains);
    }
    return out;
}

static const struct prop_shape *find_prop(const struct object_shape *o, const char *name, size_t n,
                                          uint32_t hint)
{
    if (hint < o->n_props && o->props[hint].n == n && memcmp(o->props[hint].name, name, n) == 0)
        return &o->props[hint];
    for (uint32_t i = 0; i < o->n_props; i++)
        if (o->props[i].n == n && memcmp(o->props[i].name, name, n) == 0)
            return &o->props[i];
    return NULL;
}

static uint32_t rules_for(struct schema *s, const struct object_shape *o, const char *name,
                          size_t n)
{
    uint32_t conj = CONJ_ANY;
    for (uint32_t i = 0; i < o->n_rules; i++)
        if (regex_matches(s->pool, o->rules[i].match, name, n))
            conj = schema_conj_both(s, conj, o->rules[i].value);
    return conj;
}

uint32_t shape_value_of(struct schema *s, const struct object_shape *o, const char *name, size_t n)
{
    const struct prop_shape *p = o ? find_prop(o, name, n, REGEX_INF) : NULL;
    return p ? p->value : o ? rules_for(s, o, name, n) : CONJ_ANY;
}

static void spend(struct schema *s, uint64_t n) { s->fuel = s->fuel > n ? s->fuel - n : 0; }

static void meet_props(struct schema *s, const struct object_shape *a, const struct object_shape *b,
                       struct object_shape *out)
{
    for (uint32_t i = 0; i < a->n_props; i++) {
        struct prop_shape p = a->props[i];
        const struct prop_shape *other = find_prop(b, p.name, p.n, i);
        p.value = schema_conj_both(s, p.value, other ? other->value : rules_for(s, b, p.name, p.n));
        p.required = p.required || (other && other->required);
        p.listed = p.listed || (other && other->listed);
        out->props[out->n_props++] = p;
    }
    for (uint32_t i = 0; i < b->n_props; i++) {
        struct prop_shape p = b->props[i];
        if (find_prop(a, p.name, p.n, i))
            continue;
        p.value = schema_conj_both(s, p.value, rules_for(s, a, p.name, p.n));
        out->props[out->n_props++] = p;
    }
}

static const struct object_shape *meet_objects(struct schema *s, const struct object_shape *a,
                                               const struct object_shape *b)
{
    if (!a || !b || a == b)
        return a ? a : b;
    struct object_shape *out = oll_arena_alloc(&s->arena, 1, sizeof *out);
    if (!out)
        return NULL;
    out->props = oll_arena_alloc(&s->arena, a->n_props + b->n_props + 1, sizeof *out->props);
    out->rules = oll_arena_alloc(&s->arena, a->n_rules + b->n_rules + 1, sizeof *out->rules);
    if (!out->props || !out->rules)
        return NULL;
    out->min = at_least(a->min, b->min);
    out->max = at_most(a->max, b->max);
    out->open_said = a->open_said || b->open_said;
    if (s->has_unevaluated)
        out->evaluated = regex_alt2(s->pool, a->evaluated, b->evaluated);
    spend(s, a->n_props + b->n_props + (uint64_t)a->n_props * b->n_props / 64);
    meet_props(s, a, b, out);
    for (uint32_t i = 0; i < a->n_rules; i++)
        out->rules[out->n_rules++] = a->rules[i];
    for (uint32_t i = 0; i < b->n_rules; i++) {
        bool known = false;
        for (uint32_t j = 0; j < a->n_rules && !known; j++)
            known = memcmp(&a->rules[j], &b->rules[i], sizeof *b->rules) == 0;
        if (!known)
            out->rules[out->n_rules++] = b->rules[i];
    }
    return out;
}

static struct shape meet(struct schema *s, const struct shape *a, const struct shape *b)
{
    struct shape out = *a;
    out.types = a->types & b->types;
    out.bools = a->bools & b->bools;
    out.touched = a->touched | b->touched;
    out.typed = a->typed || b->typed;
    out.integer = a->integer || b->integer;
    out.exact = a->exact || b->exact;
    if ((out.types & TYPE_BOOL) && !out.bools)
        out.types &= (uint8_t)~TYPE_BOOL;
    if (out.types & TYPE_NUMBER) {
        out.number = regex_and2(s->pool, a->number, b->number);
        out.spelling = regex_and2(s->pool, a->spelling, b->spelling);
        if (regex_is_empty(s->pool, out.number))
            out.types &= (uint8_t)~TYPE_NUMBER;
    }
    if (out.types & TYPE_STRING) {
        const bool formatted = a->string != a->unformatted || b->string != b->unformatted;
        out.string = regex_and2(s->pool, a->string, b->string);
        out.unformatted =
            formatted ? regex_and2(s->pool, a->unformatted, b->unformatted) : out.string;
        if (regex_is_empty(s->pool, out.string))
            out.types &= (uint8_t)~TYPE_STRING;
    }
    out.array = out.types & TYPE_ARRAY ? meet_arrays(s, a->array, b->array) : NULL;
    out.object = out.types & TYPE_OBJECT ? meet_objects(s, a->object, b->object) : NULL;
    return out;
}

static oll_status objects_apart(struct schema *s, const struct object_shape *a,
                                const struct object_shape *b, bool *apart);

/* Drops the objects of a shape when those of its two sides exclude each other, as the branches of
 * many conditions do; else their number would double with every condition. */
static oll_status drop_apart(struct schema *s, const struct shape *a, const struct shape *b,
                             struct shape *both)
{
    bool apart = false;
    if ((both->types & TYPE_OBJECT) && a->object && b->object)
        OLL_TRY(objects_apart(s, a->object, b->object, &apart));
    if (apart)
        both->types &= (uint8_t)~TYPE_OBJECT;
    return OLL_OK;
}

static bool is_any(const struct shapes *list)
{
    const struct shape any = shape_any(), *v = list->v;
    return list->n == 1 && !list->inexact && v->types == any.types && v->bools == any.bools &&
           v->number == REGEX_ALL && v->spelling == REGEX_ALL && v->string == REGEX_ALL &&
           !v->array && !v->object && !v->typed && !v->touched && !v->integer;
}

oll_status shapes_meet(struct schema *s, struct shapes *list, const struct shapes *other)
{
    struct shapes out = {.inexact = list->inexact || other->inexact};
    if (is_any(other))
        return OLL_OK;
    if (is_any(list)) {
        *list = (struct shapes){0}; /* a copy, since adding may change the last shape */
        return shapes_join(s, list, other);
    }
    for (uint32_t i = 0; i < list->n; i++)
        for (uint32_t j = 0; j < other->n; j++) {
            struct shape both = meet(s, &list->v[i], &other->v[j]);
            if (list->n * other->n > 1)
                OLL_TRY(drop_apart(s, &list->v[i], &other->v[j], &both));
            OLL_TRY(shapes_add(s, &out, &both));
        }
    *list = out;
    if (s->pool->status != OLL_OK || s->arena.status != OLL_OK)
        return OLL_FAIL(s->err, s->pool->status != OLL_OK ? s->pool->status : s->arena.status,
                        "the schema is too large");
    return OLL_OK;
}

/* ---- complement ---- */

static oll_status add_array(struct schema *s, struct shapes *out, struct array_shape a)
{
    struct shape piece = shape_any();
    struct array_shape *copy = oll_arena_alloc(&s->arena, 1, sizeof *copy);
    if (!copy)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *copy = a;
    piece.types = TYPE_ARRAY;
    piece.typed = true;
    piece.array = copy;
    return shapes_add(s, out, &piece);
}

static oll_status negate_array(struct schema *s, const struct array_shape *a, struct shapes *out)
{
    const struct array_shape any = {.max = REGEX_INF, .max_contains = REGEX_INF};
    struct array_shape p = any;
    if (a->min > 0) {
        p.max = a->min - 1;
        OLL_TRY(add_array(s, out, p));
    }
    p = any;
    if (a->max != REGEX_INF) {
        p.min = a->max + 1;
        OLL_TRY(add_array(s, out, p));
    }
    for (uint32_t i = 0; i < a->n_prefix; i++) {
        if (a->prefix[i] == CONJ_ANY)
            continue;
        uint32_t *prefix = oll_arena_alloc(&s->arena, i + 1, sizeof *prefix);
        if (!prefix)
            return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
        prefix[i] = schema_conj_not(s, a->prefix[i]);
        p = any;
        p.min = p.n_prefix = i + 1;
        p.prefix = prefix;
        OLL_TRY(add_array(s, out, p));
    }
    p = any;
    if (a->items == CONJ_NEVER) {
        p.min = a->n_prefix + 1;
        OLL_TRY(add_array(s, out, p));
    } else if (a->items != CONJ_ANY && a->n_prefix == 0) {
        p.contains = schema_conj_not(s, a->items);
        p.min_contains = 1;
        OLL_TRY(add_array(s, out, p));
    } else if (a->items != CONJ_ANY) {
        out->inexact = true;
    }
    p = any;
    if (a->min_contains == 1 && a->max_contains == REGEX_INF) {
        p.items = schema_conj_not(s, a->contains);
        OLL_TRY(add_array(s, out, p));
    } else if (a->min_contains || a->max_contains != REGEX_INF) {
        out->inexact = true;
    }
    out->inexact = out->inexact || a->unique || a->hard;
    return OLL_OK;
}

static oll_status add_object(struct schema *s, struct shapes *out, const struct prop_shape *prop,
                             uint32_t min, uint32_t max)
{
    struct shape piece = shape_any();
    struct object_shape *o = oll_arena_alloc(&s->arena, 1, sizeof *o);
    struct prop_shape *props = oll_arena_alloc(&s->arena, 1, sizeof *props);
    if (!o || !props)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *o = (struct object_shape){.props = props, .min = min, .max = max};
    if (prop)
        props[o->n_props++] = *prop;
    piece.types = TYPE_OBJECT;
    piece.touched = TYPE_OBJECT;
    piece.object = o;
    return shapes_add(s, out, &piece);
}

static oll_status negate_object(struct schema *s, const struct object_shape *o, struct shapes *out)
{
    for (uint32_t i = 0; i < o->n_props; i++) {
        struct prop_shape p = o->props[i];
        p.listed = false;
        if (p.required) {
            p.required = false;
            p.value = CONJ_NEVER;
            OLL_TRY(add_object(s, out, &p, 0, REGEX_INF));
        }
        p.value = schema_conj_not(s, o->props[i].value);
        p.required = true;
        if (p.value != CONJ_NEVER)
            OLL_TRY(add_object(s, out, &p, 0, REGEX_INF));
    }
    if (o->min > 0)
        OLL_TRY(add_object(s, out, NULL, 0, o->min - 1));
    if (o->max != REGEX_INF)
        OLL_TRY(add_object(s, out, NULL, o->max + 1, REGEX_INF));
    /* "Some unnamed member breaks a rule" is left out: what remains is still outside. */
    out->inexact = out->inexact || o->n_rules > 0;
    return OLL_OK;
}

uint32_t schema_no_line_end(struct schema *s)
{
    return regex_not(s->pool, regex_cat(s->pool, REGEX_ALL, regex_char(s->pool, '\n')));
}

static oll_status negate_shape(struct schema *s, const struct shape *a, struct shapes *out)
{
    struct shape piece = shape_any();
    piece.types = TYPE_ALL & (uint8_t)~a->types;
    piece.typed = true;
    OLL_TRY(shapes_add(s, out, &piece));
    piece = shape_any();
    piece.typed = true;
    piece.types = TYPE_BOOL;
    piece.bools = 3 & (uint8_t)~a->bools;
    if ((a->types & TYPE_BOOL) && piece.bools)
        OLL_TRY(shapes_add(s, out, &piece));
    piece.bools = 3;
    if ((a->types & TYPE_NUMBER) && a->number != REGEX_ALL) {
        if (!s->numbers)
            s->numbers = regex_numbers(s->pool);
        piece.types = TYPE_NUMBER;
        piece.exact = true;
        piece.number = regex_and2(s->pool, s->numbers, regex_not(s->pool, a->number));
        if (!regex_is_empty(s->pool, piece.number))
            OLL_TRY(shapes_add(s, out, &piece));
        piece.number = REGEX_ALL;
        piece.exact = false;
    }
    if ((a->types & TYPE_STRING) && a->string != REGEX_ALL) {
        piece.types = TYPE_STRING;
        piece.string = regex_not(s->pool, a->string);
        if (!s->pool->nodes[a->string].finite)
            piece.string = regex_and2(s->pool, piece.string, schema_no_line_end(s));
        piece.unformatted = piece.string;
        if (!regex_is_empty(s->pool, piece.string))
            OLL_TRY(shapes_add(s, out, &piece));
    }
    if ((a->types & TYPE_ARRAY) && a->array)
        OLL_TRY(negate_array(s, a->array, out));
    return (a->types & TYPE_OBJECT) && a->object ? negate_object(s, a->object, out) : OLL_OK;
}

oll_status shapes_negate(struct schema *s, const struct shapes *list, struct shapes *out)
{
    struct shape any = shape_any();
    *out = (struct shapes){0};
    if (list->inexact)
        return OLL_ERR_UNSUPPORTED;
    OLL_TRY(shapes_add(s, out, &any));
    for (uint32_t i = 0; i < list->n; i++) {
        struct shapes one = {0};
        OLL_TRY(negate_shape(s, &list->v[i], &one));
        OLL_TRY(shapes_meet(s, out, &one));
    }
    return OLL_OK;
}

oll_status shapes_unformat(struct schema *s, struct shapes *list)
{
    struct shapes out = {.inexact = list->inexact};
    for (uint32_t i = 0; i < list->n; i++) {
        struct shape v = list->v[i];
        v.string = v.unformatted;
        OLL_TRY(shapes_add(s, &out, &v));
    }
    *list = out;
    return OLL_OK;
}

oll_status shapes_negate_lenient(struct schema *s, const struct shapes *list, struct shapes *out)
{
    struct shapes copy = {0};
    const bool before = s->lenient;
    OLL_TRY(shapes_join(s, &copy, list));
    OLL_TRY(shapes_unformat(s, &copy));
    s->lenient = true;
    oll_status status = shapes_negate(s, &copy, out);
    s->lenient = before;
    out->inexact = true; /* what a format alone keeps apart is in neither side */
    return status;
}

/* ---- emptiness ---- */

static oll_status conj_empty(struct schema *s, uint32_t conj, bool *empty)
{
    struct shapes list;
    *empty = conj == CONJ_NEVER;
    if (conj <= CONJ_NEVER || s->probing > MAX_PROBE)
        return OLL_OK;
    s->probing++;
    oll_status status = schema_read_conj(s, conj, &list);
    if (status == OLL_OK)
        status = shapes_empty(s, &list, empty);
    s->probing--;
    /* A circle says nothing about emptiness. */
    return status == OLL_ERR_BUSY ? OLL_OK : status;
}

static oll_status array_empty(struct schema *s, const struct array_shape *a, bool *empty)
{
    *empty = a->min > a->max || a->min_contains > a->max || a->min_contains > a->max_contains;
    for (uint32_t i = 0; i < a->min && i <= a->n_prefix && !*empty; i++)
        OLL_TRY(conj_empty(s, item_of(a, i), empty));
    return OLL_OK;
}

static oll_status object_empty(struct schema *s, const struct object_shape *o, bool *empty)
{
    uint32_t n_required = 0;
    *empty = o->min > o->max;
    for (uint32_t i = 0; i < o->n_props && !*empty; i++) {
        n_required += o->props[i].required;
        if (o->props[i].required)
            OLL_TRY(conj_empty(s, o->props[i].value, empty));
    }
    *empty = *empty || n_required > o->max;
    return OLL_OK;
}

oll_status shapes_empty(struct schema *s, const struct shapes *list, bool *empty)
{
    *empty = true;
    for (uint32_t i = 0; i < list->n && *empty; i++) {
        const struct shape *v = &list->v[i];
        *empty = !(v->types & (TYPE_NULL | TYPE_BOOL)) &&
                 (!(v->types & TYPE_NUMBER) || regex_is_empty(s->pool, v->number)) &&
                 (!(v->types & TYPE_STRING) || regex_is_empty(s->pool, v->string));
        if (*empty && (v->types & TYPE_ARRAY)) {
            *empty = false;
            if (v->array)
                OLL_TRY(array_empty(s, v->array, empty));
        }
        if (*empty && (v->types & TYPE_OBJECT)) {
            *empty = false;
            if (v->object)
                OLL_TRY(object_empty(s, v->object, empty));
        }
    }
    return OLL_OK;
}

static oll_status objects_apart(struct schema *s, const struct object_shape *a,
                                const struct object_shape *b, bool *apart)
{
    *apart = false;
    for (uint32_t i = 0; i < a->n_props && !*apart; i++) {
        const struct prop_shape *p = &a->props[i];
        const struct prop_shape *q = find_prop(b, p->name, p->n, i);
        if (q && (p->required || q->required))
            OLL_TRY(conj_empty(s, schema_conj_both(s, p->value, q->value), apart));
    }
    return OLL_OK;
}

oll_status shapes_apart(struct schema *s, const struct shapes *a, const struct shapes *b,
                        bool *apart)
{
    *apart = true;
    for (uint32_t i = 0; i < a->n && *apart; i++)
        for (uint32_t j = 0; j < b->n && *apart; j++) {
            const struct shape *u = &a->v[i], *v = &b->v[j];
            if ((u->types & v->types) == 0)
                continue;
            *apart = (u->types & v->types) == TYPE_OBJECT && u->object && v->object;
            if (*apart)
                OLL_TRY(objects_apart(s, u->object, v->object, apart));
        }
    return OLL_OK;
}
