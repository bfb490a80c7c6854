/* Shapes to the grammar: one node for each conjunction that is reached. */
#include "sampler/json_schema.h"

#include "sampler/grow.h"
#include "sampler/json_schema_emit.h"
#include "sampler/regex_dfa.h"
#include "sampler/regex_number.h"

#include "engine/base/utf8.h"

#include <string.h>

enum {
    ARENA_MAX = 256 << 20,
    FUEL = 2000000,
    /* Of numbers that a schema says something about: what doubles print. */
    MAX_NUMBER_CHARS = 24,
    MAX_INTEGER_CHARS = 21,
    MAX_EXTRAS = 256
};

/* ---- nodes ---- */

uint32_t json_emit_node(struct emitter *e, uint32_t conj)
{
    struct schema *s = e->s;
    if (conj == CONJ_NEVER)
        return GRAMMAR_NONE;
    struct conj *c = &s->conjs[conj];
    if (c->node != GRAMMAR_NONE)
        return c->node;
    c->node = grammar_reserve(s->g);
    if (!grow_array((void **)&e->queue, &e->cap_queue, e->n_queue + 1ull, REGEX_MAX_NODES,
                    sizeof *e->queue))
        s->g->status = s->g->status == OLL_OK ? OLL_ERR_MEMORY : s->g->status;
    else
        e->queue[e->n_queue++] = conj;
    return c->node;
}

/* ---- numbers ---- */

/* Long ones are left out where others remain. */
uint32_t json_emit_numbers(struct emitter *e, const struct shape *v)
{
    struct regex_pool *pool = e->s->pool;
    bool is_free = v->number == REGEX_ALL;
    if (is_free && v->spelling == REGEX_ALL)
        return regex_number_texts(pool);
    uint32_t term = regex_and2(pool, v->number, v->spelling);
    if (v->integer)
        term = regex_and2(pool, term, regex_integer_texts(pool));
    else
        term = regex_and2(pool, term, regex_numbers(pool));
    uint32_t limit = v->integer ? MAX_INTEGER_CHARS
                     : v->exact ? JSON_EXACT_CHARS
                                : MAX_NUMBER_CHARS;
    uint32_t shorter = regex_and2(pool, term, regex_rep(pool, REGEX_ANY, 1, limit));
    return regex_is_empty(pool, shorter) ? term : shorter;
}

const struct oll_json *json_emit_place(const struct schema *s, uint32_t conj)
{
    for (uint32_t i = 0; i < s->conjs[conj].n; i++)
        if (s->atoms[s->conjs[conj].atoms[i]].json)
            return s->atoms[s->conjs[conj].atoms[i]].json;
    return s->root;
}

/* ---- arrays ---- */

static oll_status emit_array(struct emitter *e, uint32_t owner, const struct array_shape *a,
                             uint32_t *node)
{
    static const struct array_shape any = {.max = REGEX_INF, .max_contains = REGEX_INF};
    struct schema *s = e->s;
    a = a ? a : &any;
    uint32_t max = a->max;
    for (uint32_t i = 0; i < a->n_prefix && i < max; i++)
        if (a->prefix[i] == CONJ_NEVER)
            max = i;
    if (a->items == CONJ_NEVER && max > a->n_prefix)
        max = a->n_prefix;
    if (a->unique && max > 1)
        return json_emit_unique(e, owner, a, node);
    bool counts = a->min_contains || a->max_contains != REGEX_INF;
    if (a->hard || (counts && (a->n_prefix || a->min_contains >= GRAMMAR_MAX_COUNT)))
        return schema_unsupported(s, json_emit_place(s, owner), "contains");
    struct grammar_array out = {.min = a->min, .max = max, .want_max = REGEX_INF};
    uint32_t items = a->items;
    if (counts) {
        out.match = json_emit_node(e, schema_conj_both(s, items, a->contains));
        out.want = a->min_contains;
        out.want_max = a->max_contains < GRAMMAR_MAX_COUNT ? a->max_contains : REGEX_INF;
        if (out.want_max != REGEX_INF)
            items = schema_conj_both(s, items, schema_conj_not(s, a->contains));
    }
    out.item = json_emit_node(e, items);
    uint32_t *prefix = oll_arena_alloc(&s->arena, a->n_prefix + 1, sizeof *prefix);
    if (!prefix)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (uint32_t i = 0; i < a->n_prefix; i++)
        prefix[i] = json_emit_node(e, a->prefix[i]);
    *node = grammar_array(s->g, out, prefix, a->n_prefix);
    return OLL_OK;
}

/* ---- objects ---- */

/* A member's name as it stands in the text: canonical escapes only. */
static const char *encode_name(struct schema *s, const char *name, size_t n, size_t *len)
{
    static const char letters[] = "\"\\bfnrt", values[] = "\"\\\b\f\n\r\t";
    char *out = oll_arena_alloc(&s->arena, n + 1, 6), *at = out;
    for (size_t i = 0; out && i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        const char *found = c ? strchr(values, c) : NULL;
        if (found) {
            *at++ = '\\';
            *at++ = letters[found - values];
        } else if (c < 0x20 || c == 0x7F) {
            const char *hex = "0123456789abcdef";
            memcpy(at, "\\u00", 4);
            at[4] = hex[c >> 4];
            at[5] = hex[c & 15];
            at += 6;
        } else {
            *at++ = (char)c;
        }
    }
    *len = out ? (size_t)(at - out) : 0;
    return out;
}

struct extras {
    struct grammar_extra v[MAX_EXTRAS];
    uint32_t n;
    bool too_many;
};

/* Keys of `term`, whose values satisfy `conj`, split by the rules from the i-th on. */
static void split_keys(struct emitter *e, const struct object_shape *o, uint32_t i, uint32_t term,
                       uint32_t conj, struct extras *out)
{
    struct schema *s = e->s;
    if (conj == CONJ_NEVER || out->too_many || regex_is_empty(s->pool, term))
        return;
    if (i == o->n_rules) {
        out->too_many = out->n == MAX_EXTRAS;
        if (!out->too_many)
            out->v[out->n++] = (struct grammar_extra){
                grammar_string(s->g, regex_and2(s->pool, term, e->forbidden)),
                json_emit_node(e, conj)};
        return;
    }
    uint32_t key = o->rules[i].key, both = schema_conj_both(s, conj, o->rules[i].value);
    if (both == conj) {
        split_keys(e, o, i + 1, term, conj, out);
        return;
    }
    split_keys(e, o, i + 1, regex_and2(s->pool, term, key), both, out);
    split_keys(e, o, i + 1, regex_and2(s->pool, term, regex_not(s->pool, key)), conj, out);
}

static bool is_closed(const struct schema *s, const struct object_shape *o)
{
    bool listed = false;
    for (uint32_t i = 0; i < o->n_props; i++)
        listed = listed || o->props[i].listed;
    return listed && !o->open_said && !s->strict_spec;
}

uint32_t json_emit_order(const struct schema *s, const struct object_shape *o, uint32_t *order)
{
    uint32_t n = 0;
    for (int listed = 1; listed >= 0; listed--)
        for (uint32_t i = 0; i < o->n_props; i++) {
            const struct prop_shape *p = &o->props[i];
            if (p->listed == listed && (p->value != CONJ_NEVER || p->required) &&
                (p->listed || p->required || !is_closed(s, o)))
                order[n++] = i;
        }
    return n;
}

static oll_status emit_props(struct emitter *e, const struct object_shape *o,
                             const struct json_differing *leaf, struct grammar_prop *props,
                             uint32_t *n, uint32_t *unnamed)
{
    struct schema *s = e->s;
    struct regex_word *words = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof *words);
    uint32_t *order = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof *order);
    if (!words || !order)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    *n = json_emit_order(s, o, order);
    for (uint32_t i = 0; i < *n; i++) {
        const struct prop_shape *p = &o->props[order[i]];
        props[i] =
            (struct grammar_prop){.required = p->required, .value = json_emit_node(e, p->value)};
        props[i].name = encode_name(s, p->name, p->n, &props[i].n_name);
        if (leaf && leaf->prop == order[i]) {
            props[i].value = leaf->node;
            props[i].required = true;
        }
    }
    for (uint32_t i = 0; i < o->n_props; i++)
        words[i] = (struct regex_word){o->props[i].name, o->props[i].n};
    *unnamed = regex_not(s->pool, regex_words(s->pool, words, o->n_props));
    return s->arena.status == OLL_OK
               ? OLL_OK
               : OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
}

oll_status json_emit_object(struct emitter *e, uint32_t owner, const struct object_shape *o,
                            const struct json_differing *leaf, uint32_t *node)
{
    static const struct object_shape any = {.max = REGEX_INF};
    struct schema *s = e->s;
    uint32_t n = 0, unnamed = REGEX_NONE;
    o = o ? o : &any;
    struct grammar_prop *props = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof *props);
    struct extras *extras = oll_arena_alloc(&s->arena, 1, sizeof *extras);
    if (!props || !extras)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    if (o->min >= GRAMMAR_MAX_COUNT - 1 || (o->max != REGEX_INF && o->max >= GRAMMAR_MAX_COUNT - 1))
        return schema_unsupported(s, json_emit_place(s, owner),
                                  o->min >= GRAMMAR_MAX_COUNT - 1 ? "minProperties"
                                                                  : "maxProperties");
    OLL_TRY(emit_props(e, o, leaf, props, &n, &unnamed));
    for (uint32_t i = 0; i < o->n_rules; i++)
        if (o->rules[i].key != REGEX_ALL) {
            unnamed = regex_and2(s->pool, unnamed, schema_no_line_end(s));
            break;
        }
    if (!is_closed(s, o))
        split_keys(e, o, 0, unnamed, CONJ_ANY, extras);
    if (extras->too_many)
        return schema_unsupported(s, json_emit_place(s, owner), "patternProperties");
    if (o->min > n + (extras->n > 0)) {
        if (extras->n > 0) /* unnamed members may repeat a key, so only one can be counted */
            return schema_unsupported(s, json_emit_place(s, owner), "minProperties");
        *node = GRAMMAR_NONE;
        return OLL_OK;
    }
    *node = grammar_object(s->g, props, n, extras->v, extras->n, o->min, o->max);
    return OLL_OK;
}

/* ---- shapes ---- */

enum { MAX_PARTS = 8 };

oll_status json_emit_types(struct emitter *e, uint32_t owner, const struct shape *v, uint8_t types,
                           uint32_t *node)
{
    struct schema *s = e->s;
    const bool is_bare = e->arguments && e->arguments->style.bare_objects;
    uint32_t parts[MAX_PARTS], n = 0;
    types &= v->types;
    /* Keywords of objects alone mean an object, for every user who is not after the letter. */
    if (!s->strict_spec && !v->typed && v->touched == TYPE_OBJECT)
        types &= TYPE_OBJECT;
    if ((types & TYPE_OBJECT) && is_bare)
        OLL_TRY(json_style_object(e, owner, v->object, &parts[n++]));
    else if (types & TYPE_OBJECT)
        OLL_TRY(json_emit_object(e, owner, v->object, NULL, &parts[n++]));
    if (types & TYPE_ARRAY)
        OLL_TRY(emit_array(e, owner, v->array, &parts[n++]));
    if (types & TYPE_STRING)
        parts[n++] = json_style_string(e, v->string);
    if (types & TYPE_NUMBER)
        parts[n++] = grammar_term(s->g, json_emit_numbers(e, v));
    if ((types & TYPE_BOOL) && (v->bools & 2))
        parts[n++] = json_style_word(e, 2);
    if ((types & TYPE_BOOL) && (v->bools & 1))
        parts[n++] = json_style_word(e, 1);
    if (types & TYPE_NULL)
        parts[n++] = json_style_word(e, 0);
    *node = grammar_alt(s->g, parts, n);
    return OLL_OK;
}

static oll_status emit_conj(struct emitter *e, uint32_t conj)
{
    struct schema *s = e->s;
    struct shapes list;
    OLL_TRY(schema_read_conj(s, conj, &list));
    uint32_t *parts = oll_arena_alloc(&s->arena, list.n + 1, sizeof *parts);
    if (!parts)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    for (uint32_t i = 0; i < list.n; i++)
        OLL_TRY(json_emit_types(e, conj, &list.v[i], TYPE_ALL, &parts[i]));
    grammar_resolve(s->g, s->conjs[conj].node, grammar_alt(s->g, parts, list.n));
    if (s->pool->status != OLL_OK || s->g->status != OLL_OK)
        return schema_fail(s, json_emit_place(s, conj),
                           s->g->status != OLL_OK ? s->g->status : s->pool->status,
                           "unsupported JSON schema: it needs too large an automaton");
    return OLL_OK;
}

/* ---- compile ---- */

static oll_status begin(struct schema *s)
{
    uint32_t cap = 16;
    s->conjs = oll_calloc(cap, sizeof *s->conjs);
    if (!s->conjs)
        return OLL_FAIL(s->err, OLL_ERR_MEMORY, "out of memory for a schema");
    s->cap_conjs = cap;
    s->n_conjs = 2; /* CONJ_ANY, CONJ_NEVER */
    return OLL_OK;
}

static oll_status emit_all(struct schema *s, uint32_t root, const struct json_arguments *arguments)
{
    struct emitter e = {
        .s = s, .arguments = arguments, .forbidden = json_style_allowed(s, arguments)};
    oll_status status = OLL_OK;
    if (arguments)
        status = json_style_arguments(&e, root, &s->g->root);
    else
        s->g->root = json_emit_node(&e, root);
    for (uint32_t i = 0; i < e.n_queue && status == OLL_OK; i++)
        status = emit_conj(&e, e.queue[i]);
    oll_free(e.queue);
    if (status == OLL_OK && s->arena.status != OLL_OK)
        return OLL_FAIL(s->err, s->arena.status, "the schema is too large");
    return status;
}

static oll_status compile(struct schema *s, const char *text, size_t n,
                          const struct json_arguments *arguments)
{
    static const struct oll_json_limits limits = {.max_depth = OLL_JSON_DEPTH_MAX,
                                                  .max_nodes = JSON_SCHEMA_MAX_NODES,
                                                  .max_members = JSON_SCHEMA_MAX_NODES,
                                                  .max_key_bytes = 1 << 16};
    static const char object[] = "{\"type\":\"object\"}";
    struct oll_json *root;
    if (n == 6 && memcmp(text, "\"json\"", 6) == 0) {
        text = object;
        n = sizeof object - 1;
    }
    if (n > JSON_SCHEMA_MAX_BYTES)
        return OLL_FAIL(s->err, OLL_ERR_LIMIT, "a JSON schema is longer than %d bytes",
                        JSON_SCHEMA_MAX_BYTES);
    OLL_TRY(oll_json_parse(&s->arena, text, n, &limits, &root, s->err));
    s->root = root;
    if (root->type != OLL_JSON_OBJECT && root->type != OLL_JSON_BOOL)
        return schema_fail(s, root, OLL_ERR_FORMAT,
                           "invalid JSON schema: a schema is an object or a boolean");
    const struct oll_json *strict =
        root->type == OLL_JSON_OBJECT ? oll_json_get(root, "x-oll-strict-spec") : NULL;
    s->strict_spec = s->strict_spec || (strict && strict->is_true);
    OLL_TRY(begin(s));
    OLL_TRY(schema_index(s));
    return emit_all(s, schema_conj(s, root, 0), arguments);
}

static oll_status compile_style(struct grammar *g, const char *text, size_t n, bool strict_spec,
                                const struct json_arguments *arguments, struct oll_error *err)
{
    struct oll_error own = {0};
    struct schema s = {
        .g = g, .pool = &g->pool, .err = &own, .strict_spec = strict_spec, .fuel = FUEL};
    oll_arena_init(&s.arena, ARENA_MAX);
    oll_status status = compile(&s, text, n, arguments);
    oll_arena_free(&s.arena);
    oll_free(s.atoms);
    oll_free(s.atom_table);
    oll_free(s.conjs);
    oll_free(s.conj_table);
    oll_free(s.resources);
    oll_free(s.anchors);
    if (status == OLL_OK)
        return OLL_OK;
    return OLL_FAIL(err, status, "%s", oll_error_text(&own));
}

oll_status json_schema_compile(struct grammar *g, const char *text, size_t n, bool strict_spec,
                               struct oll_error *err)
{
    return compile_style(g, text, n, strict_spec, NULL, err);
}

oll_status json_schema_compile_arguments(struct grammar *g, const char *text, size_t n,
                                         const struct json_arguments *arguments,
                                         struct oll_error *err)
{
    return compile_style(g, text, n, false, arguments, err);
}
