/* Arrays whose elements must differ.
 *
 * Few scalars are a set of words. Many are terms from which the walk takes what was used. Objects
 * differ in one member, a string or number that all of them get: the walk keeps it from being what
 * it is in an element that is not known to differ already. That leaves out arrays whose elements
 * differ in what comes behind that member alone. */
#include "sampler/json_schema_emit.h"

#include "sampler/regex_dfa.h"
#include "sampler/regex_number.h"

#include "engine/base/utf8.h"

#include <string.h>

/* ---- few values ---- */

/* Collects the texts of a term while they are few. */
struct texts {
    struct regex_dfa dfa;
    char buf[GRAMMAR_MAX_COUNT];
    size_t n;
    uint32_t nodes[GRAMMAR_MAX_SET];
    uint32_t n_nodes;
    bool is_string, too_many;
};

static void add_text(struct emitter *e, struct texts *t)
{
    struct grammar *g = e->s->g;
    if (t->n_nodes == GRAMMAR_MAX_SET)
        t->too_many = true;
    else
        t->nodes[t->n_nodes++] = t->is_string
                                     ? json_style_string(e, regex_text(e->s->pool, t->buf, t->n))
                                     : grammar_bytes(g, t->buf, t->n);
}

static void collect_texts(struct emitter *e, struct texts *t, uint32_t state, int depth)
{
    struct regex_dfa *dfa = &t->dfa;
    if (dfa->states[state].accepts)
        add_text(e, t);
    for (uint32_t i = 0; i < dfa->n_interval && !t->too_many; i++) {
        uint32_t lo = dfa->starts[i];
        uint32_t hi = i + 1 < dfa->n_interval ? dfa->starts[i + 1] - 1 : REGEX_MAX_CP;
        uint32_t to = regex_dfa_next(dfa, state, lo);
        if (to == REGEX_DFA_DEAD)
            continue;
        if (hi - lo > GRAMMAR_MAX_SET || t->n + 4 > sizeof t->buf || depth > 200) {
            t->too_many = true;
            return;
        }
        for (uint32_t cp = lo; cp <= hi && !t->too_many; cp++) {
            size_t n = t->n;
            t->n += (size_t)oll_utf8_encode(cp, t->buf + n);
            collect_texts(e, t, to, depth + 1);
            t->n = n;
        }
    }
}

static bool collect_term(struct emitter *e, struct texts *t, uint32_t term, bool is_string)
{
    if (regex_is_empty(e->s->pool, term))
        return true;
    t->is_string = is_string;
    t->n = 0;
    if (regex_dfa_init(&t->dfa, e->s->pool, term) != OLL_OK)
        return false;
    collect_texts(e, t, REGEX_DFA_START, 0);
    regex_dfa_free(&t->dfa);
    return !t->too_many;
}

/* The values of a conjunction, when they are few scalars. */
static oll_status collect_values(struct emitter *e, uint32_t conj, struct texts *t, bool *finite)
{
    struct schema *s = e->s;
    struct shapes list;
    OLL_TRY(schema_read_conj(s, conj, &list));
    *finite = list.n > 0;
    for (uint32_t i = 0; i < list.n && *finite; i++) {
        const struct shape *v = &list.v[i];
        *finite = !(v->types & ~TYPE_SCALARS) && (i == 0 || !(v->types & list.v[0].types));
        if (*finite && (v->types & TYPE_NUMBER))
            *finite = v->integer || v->spelling != REGEX_ALL;
        if (*finite && (v->types & TYPE_NUMBER))
            *finite = collect_term(e, t, json_emit_numbers(e, v), false);
        if (*finite && (v->types & TYPE_STRING))
            *finite = collect_term(e, t, v->string, true);
        const bool has[] = {v->types & TYPE_NULL, (v->types & TYPE_BOOL) && (v->bools & 1),
                            (v->types & TYPE_BOOL) && (v->bools & 2)};
        for (int w = 0; w < 3 && *finite; w++) {
            *finite = !has[w] || t->n_nodes < GRAMMAR_MAX_SET;
            if (has[w] && *finite)
                t->nodes[t->n_nodes++] = json_style_word(e, w);
        }
    }
    return OLL_OK;
}

/* ---- many values ---- */

enum { MAX_COUNT_DEPTH = 200 };

/* How many texts a term has from the state on that is last in `path`, at most `limit`; 0 when it is
 * too deep to say. A state that comes twice on a way has no end of them, since all lead on. */
static uint32_t count_texts(struct regex_dfa *dfa, uint32_t *path, uint32_t depth, uint32_t limit)
{
    const uint32_t state = path[depth];
    uint64_t n = dfa->states[state].accepts;
    if (depth + 1 == MAX_COUNT_DEPTH)
        return 0;
    for (uint32_t i = 0; i < depth; i++)
        if (path[i] == state)
            return limit;
    for (uint32_t i = 0; i < dfa->n_interval && n < limit; i++) {
        uint32_t to = regex_dfa_next(dfa, state, dfa->starts[i]);
        uint32_t end = i + 1 < dfa->n_interval ? dfa->starts[i + 1] : REGEX_MAX_CP + 1;
        uint64_t chars = end - dfa->starts[i];
        if (to == REGEX_DFA_DEAD)
            continue;
        path[depth + 1] = to;
        uint32_t rest = chars >= limit ? 1 : count_texts(dfa, path, depth + 1, limit);
        if (rest == 0)
            return 0;
        n += chars * rest;
    }
    return n < limit ? (uint32_t)n : limit;
}

/* Adds the number of a term's texts to *n. False when it cannot be said. */
static bool add_count(struct emitter *e, uint32_t term, uint32_t *n)
{
    struct regex_dfa dfa;
    uint32_t path[MAX_COUNT_DEPTH] = {REGEX_DFA_START};
    if (regex_is_empty(e->s->pool, term))
        return true;
    if (!e->s->pool->nodes[term].plain || e->s->pool->nodes[term].finite) {
        if (regex_dfa_init(&dfa, e->s->pool, term) != OLL_OK)
            return false;
        uint32_t more = count_texts(&dfa, path, 0, GRAMMAR_MAX_UNIQUE);
        regex_dfa_free(&dfa);
        *n += more;
        return more > 0;
    }
    *n += GRAMMAR_MAX_UNIQUE; /* no end of them */
    return true;
}

/* Numbers that differ as texts, but for the spellings of one value, must differ as doubles too. */
static uint32_t unique_number_term(struct emitter *e, const struct shape *v)
{
    struct regex_pool *pool = e->s->pool;
    uint32_t term = regex_and2(pool, json_emit_numbers(e, v), regex_numbers(pool));
    return v->integer ? term
                      : regex_and2(pool, term, regex_rep(pool, REGEX_ANY, 1, JSON_EXACT_CHARS));
}

/* Adds what a shape's strings and numbers may be. */
static void add_scalars(struct emitter *e, const struct shape *v, uint32_t *strings,
                        uint32_t *numbers)
{
    struct regex_pool *pool = e->s->pool;
    if (v->types & TYPE_STRING)
        *strings = regex_alt2(pool, *strings, regex_and2(pool, v->string, e->forbidden));
    if (v->types & TYPE_NUMBER)
        *numbers = regex_alt2(pool, *numbers, unique_number_term(e, v));
}

/* ---- objects ---- */

/* A member that objects can differ in. */
struct candidate {
    uint32_t strings, numbers, n; /* how many values, GRAMMAR_MAX_UNIQUE at most */
    bool pure;                    /* it may be nothing else */
};

static oll_status look_at(struct emitter *e, const struct prop_shape *p, struct candidate *out)
{
    struct shapes list;
    *out = (struct candidate){.strings = REGEX_NONE, .numbers = REGEX_NONE, .pure = true};
    OLL_TRY(schema_read_conj(e->s, p->value, &list));
    for (uint32_t i = 0; i < list.n; i++) {
        add_scalars(e, &list.v[i], &out->strings, &out->numbers);
        out->pure = out->pure && !(list.v[i].types & ~(TYPE_STRING | TYPE_NUMBER));
    }
    if (!add_count(e, out->strings, &out->n) || !add_count(e, out->numbers, &out->n))
        out->n = 0;
    out->n = out->n < GRAMMAR_MAX_UNIQUE ? out->n : GRAMMAR_MAX_UNIQUE;
    return OLL_OK;
}

enum { MAX_LEAF_DEPTH = 4 };

static oll_status find_leaf(struct emitter *e, const struct object_shape *o, uint32_t depth,
                            struct json_differing *leaf, uint32_t *n);

/* The node of a member in which objects can differ, and how many values it has: those of its own
 * or, where it is an object, of a member of that. *n is 0 when there is none. */
static oll_status leaf_node(struct emitter *e, const struct prop_shape *p,
                            const struct candidate *c, uint32_t depth, uint32_t *node, uint32_t *n)
{
    struct json_differing inner;
    struct shapes list;
    *n = c->n;
    *node = GRAMMAR_NONE;
    if (c->n > 0) {
        *node = grammar_differ(e->s->g, c->strings, c->numbers);
        return OLL_OK;
    }
    OLL_TRY(schema_read_conj(e->s, p->value, &list));
    const bool is_object = list.n == 1 && list.v[0].object && (list.v[0].types & TYPE_OBJECT) &&
                           (list.v[0].typed || (list.v[0].touched & TYPE_OBJECT));
    if (!is_object || depth == MAX_LEAF_DEPTH)
        return OLL_OK;
    OLL_TRY(find_leaf(e, list.v[0].object, depth + 1, &inner, n));
    return *n ? json_emit_object(e, p->value, list.v[0].object, &inner, node) : OLL_OK;
}

/* The member with the most values; of several one of the object itself, a required one, and of
 * those the last, so that all before it are free to be equal. *n is 0 when there is none. */
static oll_status find_leaf(struct emitter *e, const struct object_shape *o, uint32_t depth,
                            struct json_differing *leaf, uint32_t *n)
{
    struct schema *s = e->s;
    uint32_t *order = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof *order), best = 0;
    *n = 0;
    if (!order)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    uint32_t n_order = json_emit_order(s, o, order);
    for (uint32_t i = 0; i < n_order; i++) {
        const struct prop_shape *p = &o->props[order[i]];
        struct candidate c;
        uint32_t node, n_values;
        OLL_TRY(look_at(e, p, &c));
        uint32_t rank = (c.n > 0 ? 4u : 0) + (p->required ? 2u : 0) + (c.pure ? 1u : 0);
        if ((c.n > 0 ? c.n : GRAMMAR_MAX_UNIQUE) * 8 + rank < best)
            continue;
        OLL_TRY(leaf_node(e, p, &c, depth, &node, &n_values));
        if (n_values == 0 || node == GRAMMAR_NONE || n_values * 8 + rank < best)
            continue;
        best = n_values * 8 + rank;
        *n = n_values;
        *leaf = (struct json_differing){order[i], node};
    }
    return OLL_OK;
}

/* Objects of a shape among elements that must differ. *n is lowered to how many there can be. */
static oll_status add_objects(struct emitter *e, uint32_t owner, const struct shape *v, uint32_t *n,
                              uint32_t *node)
{
    struct json_differing leaf;
    uint32_t n_leaf = 0;
    if (v->object)
        OLL_TRY(find_leaf(e, v->object, 0, &leaf, &n_leaf));
    if (n_leaf == 0)
        return schema_unsupported(e->s, json_emit_place(e->s, owner), "uniqueItems");
    *n = *n < n_leaf ? *n : n_leaf;
    return json_emit_object(e, owner, v->object, &leaf, node);
}

/* ---- elements ---- */

/* What a shape may be as an element: what may be anything is narrowed to scalars; arrays are
 * refused where the schema says that they may come. */
static oll_status element_types(struct emitter *e, uint32_t owner, const struct shape *v,
                                uint8_t *types)
{
    *types = v->types;
    if (!e->s->strict_spec && !v->typed && v->touched == TYPE_OBJECT)
        *types &= TYPE_OBJECT;
    if ((*types & TYPE_ARRAY) && (v->typed || (v->touched & TYPE_ARRAY)))
        return schema_unsupported(e->s, json_emit_place(e->s, owner), "uniqueItems");
    *types &= (uint8_t)~TYPE_ARRAY;
    if (!v->typed && !(v->touched & TYPE_OBJECT))
        *types &= (uint8_t)~TYPE_OBJECT;
    return OLL_OK;
}

static oll_status add_elements(struct emitter *e, uint32_t owner, uint32_t items,
                               struct grammar_array *out)
{
    struct schema *s = e->s;
    struct shapes list;
    uint32_t n = 0, n_objects = GRAMMAR_MAX_UNIQUE, n_nodes = 0;
    OLL_TRY(schema_read_conj(s, items, &list));
    uint32_t *nodes = oll_arena_alloc(&s->arena, list.n + 1, sizeof *nodes);
    if (!nodes)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (uint32_t i = 0; i < list.n; i++) {
        struct shape v = list.v[i];
        OLL_TRY(element_types(e, owner, &v, &v.types));
        add_scalars(e, &v, &out->strings, &out->numbers);
        out->words |=
            (v.types & TYPE_NULL ? 1 : 0) | (uint8_t)(v.types & TYPE_BOOL ? (v.bools & 3) << 1 : 0);
        if (v.types & TYPE_OBJECT)
            OLL_TRY(add_objects(e, owner, &v, &n_objects, &nodes[n_nodes++]));
    }
    bool counted = add_count(e, out->strings, &n) && add_count(e, out->numbers, &n);
    for (int i = 0; i < 3; i++)
        n += out->words >> i & 1;
    if (!counted)
        return schema_unsupported(s, json_emit_place(s, owner), "uniqueItems");
    out->max_scalars = n < GRAMMAR_MAX_UNIQUE ? n : GRAMMAR_MAX_UNIQUE;
    out->objects = grammar_alt(s->g, nodes, n_nodes);
    n = n_nodes > 0 ? n_objects : out->max_scalars;
    if (n_nodes > 0 && n < out->min) /* there may be more that differ in other members */
        return schema_unsupported(s, json_emit_place(s, owner), "uniqueItems");
    out->max = out->max < n ? out->max : n;
    return OLL_OK;
}

oll_status json_emit_unique(struct emitter *e, uint32_t owner, const struct array_shape *a,
                            uint32_t *node)
{
    struct schema *s = e->s;
    struct texts *t = oll_arena_alloc(&s->arena, 1, sizeof *t);
    struct grammar_array out = {.min = a->min, .max = a->max};
    bool finite = false;
    if (!t)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    if (a->n_prefix || a->min_contains || a->max_contains != REGEX_INF)
        return schema_unsupported(s, json_emit_place(s, owner), "uniqueItems");
    OLL_TRY(collect_values(e, a->items, t, &finite));
    out.is_set = finite;
    out.is_unique = !finite;
    /* The walk compares elements as JSON writes them. */
    if (!finite && e->arguments && !e->arguments->is_document)
        return schema_unsupported(s, json_emit_place(s, owner), "uniqueItems");
    if (!finite)
        OLL_TRY(add_elements(e, owner, a->items, &out));
    *node = grammar_array(s->g, out, t->nodes, finite ? t->n_nodes : 0);
    return OLL_OK;
}
