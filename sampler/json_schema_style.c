/* Arguments of tool calls in formats that are not JSON: named members one after the other, strings
 * as plain text or between quotes of the format's own. What a format cannot write is left out of
 * the grammar, so that whatever is generated means a document that the schema accepts. */
#include "sampler/json_schema_emit.h"

#include "sampler/regex_dfa.h"
#include "sampler/regex_number.h"

#include <string.h>

/* Texts that hold the given one. */
static uint32_t containing(struct regex_pool *pool, const char *text)
{
    const uint32_t rest = regex_cat(pool, regex_text(pool, text, strlen(text)), REGEX_ALL);
    return regex_cat(pool, REGEX_ALL, rest);
}

uint32_t json_style_allowed(struct schema *s, const struct json_arguments *arguments)
{
    uint32_t allowed = REGEX_ALL;
    if (!arguments)
        return allowed;
    const struct json_style *style = &arguments->style;
    for (const char *const *f = style->forbidden; f && *f; f++)
        allowed = regex_and2(s->pool, allowed, regex_not(s->pool, containing(s->pool, *f)));
    if (style->quote)
        allowed =
            regex_and2(s->pool, allowed, regex_not(s->pool, containing(s->pool, style->quote)));
    return allowed;
}

/* Texts without control characters other than tab and line end. */
static uint32_t plain_text(struct regex_pool *pool)
{
    static const struct regex_range ranges[] = {
        {'\t', '\n'}, {0x20, 0x7E}, {0xA0, 0xD7FF}, {0xE000, REGEX_MAX_CP}};
    return regex_rep(pool, regex_set(pool, ranges, 4), 0, REGEX_INF);
}

uint32_t json_style_string(struct emitter *e, uint32_t term)
{
    struct grammar *g = e->s->g;
    const char *quote = e->arguments ? e->arguments->style.quote : NULL;
    term = regex_and2(e->s->pool, term, e->forbidden);
    if (!quote)
        return grammar_string(g, term);
    const uint32_t mark = grammar_bytes(g, quote, strlen(quote));
    const uint32_t text = regex_and2(e->s->pool, term, plain_text(e->s->pool));
    const uint32_t parts[] = {mark, grammar_term(g, text), mark};
    return grammar_seq(g, parts, 3);
}

uint32_t json_style_word(struct emitter *e, int word)
{
    static const char *const json[] = {"null", "false", "true"};
    const char *text = (e->arguments ? e->arguments->style.words : json)[word];
    if (!text)
        return GRAMMAR_NONE;
    if (e->word_nodes[word] == GRAMMAR_NONE)
        e->word_nodes[word] = grammar_bytes(e->s->g, text, strlen(text));
    return e->word_nodes[word];
}

/* ---- members in a row ---- */

static bool is_name(const char *name, size_t n, const char *more)
{
    for (size_t i = 0; i < n; i++) {
        const char c = name[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(i > 0 && c >= '0' && c <= '9') &&
            !(i > 0 && c != '\0' && strchr(more, c)))
            return false;
    }
    return n > 0;
}

struct members {
    uint32_t *nodes, n; /* one for each member, GRAMMAR_NONE: cannot be written */
    bool *required;
};

/* Makes as many members required as there must be, and drops those that would be too many. False:
 * there is no such object. */
static bool fit_counts(struct members *m, uint32_t min, uint32_t max)
{
    uint32_t n_required = 0, n_optional = 0;
    for (uint32_t i = 0; i < m->n; i++)
        n_required += m->required[i];
    for (uint32_t i = 0; i < m->n && n_required < min; i++) {
        if (!m->required[i] && m->nodes[i] != GRAMMAR_NONE) {
            m->required[i] = true;
            n_required++;
        }
    }
    for (uint32_t i = 0; i < m->n && n_required <= max; i++)
        if (!m->required[i] && n_optional++ >= max - n_required)
            m->nodes[i] = GRAMMAR_NONE;
    return n_required >= min && n_required <= max;
}

/* The row: required members all, others or not, `between` between two. Nodes are shared, so it is
 * as long as the list. */
static uint32_t row_of(struct emitter *e, const struct members *m, const char *between)
{
    struct grammar *g = e->s->g;
    const uint32_t sep = *between ? grammar_bytes(g, between, strlen(between)) : grammar_empty(g);
    uint32_t first = grammar_empty(g), rest = first; /* nothing stands before, or something */
    for (uint32_t i = m->n; i-- > 0;) {
        const uint32_t begins[] = {m->nodes[i], rest}, follows[] = {sep, m->nodes[i], rest};
        const uint32_t either_first[] = {grammar_seq(g, begins, 2), first};
        const uint32_t either_rest[] = {grammar_seq(g, follows, 3), rest};
        first = m->required[i] ? either_first[0] : grammar_alt(g, either_first, 2);
        rest = m->required[i] ? either_rest[0] : grammar_alt(g, either_rest, 2);
    }
    return first;
}

typedef oll_status (*member_fn)(struct emitter *e, uint32_t owner, const struct prop_shape *p,
                                uint32_t *node);

static oll_status members_of(struct emitter *e, uint32_t owner, const struct object_shape *o,
                             const char *name_chars, member_fn write, const char *between,
                             uint32_t *node)
{
    static const struct object_shape any = {.max = REGEX_INF};
    struct schema *s = e->s;
    o = o ? o : &any;
    uint32_t *order = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof *order);
    struct members m = {.nodes = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof *m.nodes),
                        .required = oll_arena_alloc(&s->arena, o->n_props + 1, sizeof(bool))};
    if (!order || !m.nodes || !m.required)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    m.n = json_emit_order(s, o, order);
    for (uint32_t i = 0; i < m.n; i++) {
        const struct prop_shape *p = &o->props[order[i]];
        if (!is_name(p->name, p->n, name_chars))
            return schema_fail(s, json_emit_place(s, owner), OLL_ERR_UNSUPPORTED,
                               "this model's format of calls cannot write the name \"%.*s\"",
                               (int)(p->n < 80 ? p->n : 80), p->name);
        m.required[i] = p->required;
        OLL_TRY(write(e, owner, p, &m.nodes[i]));
    }
    *node = fit_counts(&m, o->min, o->max) ? row_of(e, &m, between) : GRAMMAR_NONE;
    return OLL_OK;
}

static oll_status bare_member(struct emitter *e, uint32_t owner, const struct prop_shape *p,
                              uint32_t *node)
{
    struct grammar *g = e->s->g;
    (void)owner;
    const uint32_t parts[] = {grammar_bytes(g, p->name, p->n), grammar_bytes(g, ":", 1),
                              json_emit_node(e, p->value)};
    *node = grammar_seq(g, parts, 3);
    return OLL_OK;
}

oll_status json_style_object(struct emitter *e, uint32_t owner, const struct object_shape *o,
                             uint32_t *node)
{
    struct grammar *g = e->s->g;
    uint32_t row = GRAMMAR_NONE;
    OLL_TRY(members_of(e, owner, o, e->arguments->name_chars, bare_member, ",", &row));
    const uint32_t parts[] = {grammar_bytes(g, "{", 1), row, grammar_bytes(g, "}", 1)};
    *node = grammar_seq(g, parts, 3);
    return OLL_OK;
}

/* ---- the members of the whole ---- */

/* A word in any case. */
static uint32_t folded(struct regex_pool *pool, const char *word)
{
    uint32_t term = REGEX_EPS;
    for (size_t i = strlen(word); i-- > 0;) {
        const uint32_t lower = (unsigned char)word[i], upper = lower - 'a' + 'A';
        const struct regex_range both[] = {{upper, upper}, {lower, lower}};
        term = regex_cat(pool, regex_set(pool, both, 2), term);
    }
    return term;
}

/* Raw texts that are taken for something else than a string. */
static uint32_t mistaken(struct regex_pool *pool, unsigned declared)
{
    static const struct regex_range number_chars[] = {
        {'+', '+'}, {'-', '.'}, {'0', '9'}, {'E', 'E'}, {'e', 'e'}};
    static const struct regex_range space[] = {{'\t', '\r'}, {' ', ' '}};
    static const struct regex_range brackets[] = {{'[', '['}, {'{', '{'}};
    uint32_t term = folded(pool, "null");
    if (declared & JSON_DECLARED_BOOLEAN) {
        term = regex_alt2(pool, term, folded(pool, "true"));
        term = regex_alt2(pool, term, folded(pool, "false"));
    }
    if (declared & (JSON_DECLARED_INTEGER | JSON_DECLARED_NUMBER))
        term =
            regex_alt2(pool, term, regex_rep(pool, regex_set(pool, number_chars, 5), 1, REGEX_INF));
    if (declared & (JSON_DECLARED_ARRAY | JSON_DECLARED_OBJECT)) {
        const uint32_t opens = regex_cat(pool, regex_set(pool, brackets, 2), REGEX_ALL);
        const uint32_t blanks = regex_rep(pool, regex_set(pool, space, 2), 0, REGEX_INF);
        term = regex_alt2(pool, term, regex_cat(pool, blanks, opens));
    }
    return term;
}

static uint32_t raw_string(struct emitter *e, uint32_t term, unsigned declared, bool is_typed)
{
    struct regex_pool *pool = e->s->pool;
    if (declared == JSON_DECLARED_BOOLEAN && is_typed)
        return GRAMMAR_NONE; /* all texts but true count as false */
    term = regex_and2(pool, term, regex_and2(pool, e->forbidden, plain_text(pool)));
    if (is_typed)
        term = regex_and2(pool, term, regex_not(pool, mistaken(pool, declared)));
    if (e->arguments->cuts_newlines) {
        const uint32_t line_end = regex_char(pool, '\n');
        const uint32_t edge = regex_alt2(pool, regex_cat(pool, line_end, REGEX_ALL),
                                         regex_cat(pool, REGEX_ALL, line_end));
        term = regex_and2(pool, term, regex_not(pool, edge));
    }
    return grammar_term(e->s->g, term);
}

/* Numbers of raw text: 64 bits where only integers are declared, and nothing near infinity. */
static void narrow_numbers(struct emitter *e, unsigned declared, struct shape *v)
{
    static const struct regex_range no_exponent[] = {{0, 'D'}, {'F', 'd'}, {'f', REGEX_MAX_CP}};
    enum { INTEGER_CHARS = 18, NUMBER_CHARS = 24 };
    struct regex_pool *pool = e->s->pool;
    const bool is_integer = !(declared & JSON_DECLARED_NUMBER);
    const uint32_t texts = regex_rep(pool, regex_set(pool, no_exponent, 3), 1,
                                     is_integer ? INTEGER_CHARS : NUMBER_CHARS);
    v->integer |= is_integer;
    v->spelling = regex_and2(pool, v->spelling, texts);
}

/* The types that raw text of a member declared so can mean. */
static uint8_t raw_types(unsigned declared)
{
    uint8_t types = TYPE_NULL | TYPE_STRING;
    types |= declared & JSON_DECLARED_BOOLEAN ? TYPE_BOOL : 0;
    types |= declared & (JSON_DECLARED_INTEGER | JSON_DECLARED_NUMBER) ? TYPE_NUMBER : 0;
    types |= declared & JSON_DECLARED_ARRAY ? TYPE_ARRAY : 0;
    types |= declared & JSON_DECLARED_OBJECT ? TYPE_OBJECT : 0;
    return types;
}

/* The values of a member: strings, which may be introduced in another way, and all others. */
static oll_status member_values(struct emitter *e, const struct prop_shape *p, uint32_t *strings,
                                uint32_t *others)
{
    const struct json_arguments *a = e->arguments;
    struct schema *s = e->s;
    struct shapes list;
    const bool is_typed = a->raw_strings && a->declared;
    const unsigned declared = is_typed ? a->declared(a->user, p->name, p->n) : 0;
    const uint8_t types = is_typed ? raw_types(declared) : TYPE_ALL;
    *strings = *others = GRAMMAR_NONE;
    if (p->value == CONJ_NEVER)
        return OLL_OK;
    OLL_TRY(schema_read_conj(s, p->value, &list));
    for (uint32_t i = 0; i < list.n; i++) {
        struct shape v = list.v[i];
        uint32_t both[] = {*others, GRAMMAR_NONE};
        if (is_typed && (v.types & types & TYPE_NUMBER))
            narrow_numbers(e, declared, &v);
        OLL_TRY(json_emit_types(e, p->value, &v, types & (uint8_t)~TYPE_STRING, &both[1]));
        *others = grammar_alt(s->g, both, 2);
        if (!(v.types & types & TYPE_STRING) ||
            (!s->strict_spec && !v.typed && v.touched == TYPE_OBJECT))
            continue;
        const uint32_t two[] = {*strings, a->raw_strings
                                              ? raw_string(e, v.string, declared, is_typed)
                                              : json_style_string(e, v.string)};
        *strings = grammar_alt(s->g, two, 2);
    }
    return OLL_OK;
}

/* A text in which byte 1 stands for the name. */
static uint32_t with_name(struct grammar *g, const char *text, const struct prop_shape *p)
{
    const char *mark = strchr(text, '\1');
    if (!mark)
        return grammar_bytes(g, text, strlen(text));
    const uint32_t parts[] = {grammar_bytes(g, text, (size_t)(mark - text)),
                              grammar_bytes(g, p->name, p->n),
                              grammar_bytes(g, mark + 1, strlen(mark + 1))};
    return grammar_seq(g, parts, 3);
}

static oll_status member(struct emitter *e, uint32_t owner, const struct prop_shape *p,
                         uint32_t *node)
{
    const struct json_arguments *a = e->arguments;
    struct grammar *g = e->s->g;
    const char *string_close = a->string_key_close ? a->string_key_close : a->key_close;
    uint32_t strings, others;
    (void)owner;
    OLL_TRY(member_values(e, p, &strings, &others));
    const uint32_t open = grammar_bytes(g, a->key_open, strlen(a->key_open));
    const uint32_t name = grammar_bytes(g, p->name, p->n);
    const uint32_t close = with_name(g, a->value_close, p);
    const uint32_t with_string[] = {
        open, name, grammar_bytes(g, string_close, strlen(string_close)), strings, close};
    const uint32_t with_other[] = {open, name, grammar_bytes(g, a->key_close, strlen(a->key_close)),
                                   others, close};
    const uint32_t either[] = {grammar_seq(g, with_string, 5), grammar_seq(g, with_other, 5)};
    *node = grammar_alt(g, either, 2);
    return OLL_OK;
}

oll_status json_style_arguments(struct emitter *e, uint32_t root, uint32_t *node)
{
    struct schema *s = e->s;
    struct shapes list;
    *node = e->arguments->is_document ? json_emit_node(e, root) : GRAMMAR_NONE;
    OLL_TRY(schema_read_conj(s, root, &list));
    for (uint32_t i = 0; i < list.n && !e->arguments->is_document; i++) {
        uint32_t both[] = {*node, GRAMMAR_NONE};
        if (!(list.v[i].types & TYPE_OBJECT))
            continue;
        OLL_TRY(members_of(e, root, list.v[i].object, e->arguments->name_chars, member,
                           e->arguments->between, &both[1]));
        *node = grammar_alt(s->g, both, 2);
    }
    if (*node != GRAMMAR_NONE)
        return OLL_OK;
    return schema_fail(s, s->root, OLL_ERR_UNSUPPORTED,
                       "unsupported JSON schema: this model's format of calls has no way to write "
                       "such arguments");
}
