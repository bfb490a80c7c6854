#include "sampler/unique_text.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "sampler/regex_number.h"

#include <string.h>

const char *const unique_text_words[3] = {"\1null", "\1false", "\1true"};

/* A container that is open where the text ends. */
struct level {
    char kind;         /* its bracket */
    size_t open, item; /* its bracket; behind its last comma or, without one, its bracket */
    size_t before;     /* where the child before the last comma begins; 0: there is none */
};

struct scan {
    struct level levels[OLL_JSON_DEPTH_MAX];
    int n;
};

static bool scan_byte(struct scan *s, char c, size_t at)
{
    struct level *top = s->n > 0 ? &s->levels[s->n - 1] : NULL;
    if (c == '{' || c == '[') {
        if (s->n == OLL_JSON_DEPTH_MAX)
            return false;
        s->levels[s->n++] = (struct level){.kind = c, .open = at, .item = at + 1};
    } else if (top && (c == '}' || c == ']')) {
        s->n--;
    } else if (top && c == ',') {
        top->before = top->item;
        top->item = at + 1;
    }
    return true;
}

static bool scan_text(struct scan *s, const char *text, size_t n)
{
    bool in_string = false;
    s->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && !scan_byte(s, text[i], i))
            return false;
    }
    return true;
}

/* A value of text[from, to), with a bracket added that closes it (0: none). */
static struct oll_json *parse(struct oll_arena *arena, const char *text, size_t from, size_t to,
                              char close)
{
    struct oll_json_limits limits = oll_json_limits_default;
    struct oll_strbuf copy;
    struct oll_json *v = NULL;
    limits.allow_trailing = true;
    oll_strbuf_init(&copy, to - from + 2);
    oll_strbuf_add(&copy, text + from, to - from);
    if (close)
        oll_strbuf_addc(&copy, close);
    if (copy.status != OLL_OK ||
        oll_json_parse(arena, copy.data, copy.len, &limits, &v, NULL) != OLL_OK)
        v = NULL;
    oll_strbuf_free(&copy);
    return v;
}

static uint32_t term_of(struct regex_pool *pool, const struct oll_json *v)
{
    struct regex_decimal d;
    if (v->type == OLL_JSON_STRING)
        return regex_text(pool, v->str, v->str_len);
    if (v->type == OLL_JSON_NUMBER && regex_decimal_read(v->raw, v->raw_len, &d))
        return regex_value(pool, &d);
    if (v->type == OLL_JSON_NULL || v->type == OLL_JSON_BOOL) {
        const char *word = unique_text_words[v->type == OLL_JSON_NULL ? 0 : 1 + v->is_true];
        return regex_text(pool, word, strlen(word));
    }
    return REGEX_NONE;
}

static size_t arena_bytes(size_t n) { return 64 * n + (1 << 16); }

bool unique_text_element(struct regex_pool *pool, const char *text, size_t n, uint32_t *out)
{
    struct scan s;
    struct oll_arena arena;
    *out = REGEX_NONE;
    if (!scan_text(&s, text, n) || s.n == 0 || s.levels[s.n - 1].before == 0)
        return false;
    const struct level *array = &s.levels[s.n - 1];
    oll_arena_init(&arena, arena_bytes(n));
    const struct oll_json *v = parse(&arena, text, array->before, array->item - 1, 0);
    if (v)
        *out = term_of(pool, v);
    oll_arena_free(&arena);
    return v != NULL;
}

/* ---- members ---- */

static const struct oll_json *member(const struct oll_json *object, const char *key, size_t n)
{
    for (const struct oll_json *m = object->first; m; m = m->next)
        if (m->key_len == n && memcmp(m->key, key, n) == 0)
            return m;
    return NULL;
}

/* Whether two values differ for everyone: numbers that one double stands for may be equal. */
static bool differ(const struct oll_json *a, const struct oll_json *b)
{
    if (a->type != b->type)
        return true;
    switch ((enum oll_json_type)a->type) {
    case OLL_JSON_NULL: return false;
    case OLL_JSON_BOOL: return a->is_true != b->is_true;
    case OLL_JSON_NUMBER: return a->real != b->real;
    case OLL_JSON_STRING:
        return a->str_len != b->str_len || memcmp(a->str, b->str, a->str_len) != 0;
    case OLL_JSON_ARRAY:
        if (a->n != b->n)
            return true;
        for (const struct oll_json *x = a->first, *y = b->first; x && y; x = x->next, y = y->next)
            if (differ(x, y))
                return true;
        return false;
    case OLL_JSON_OBJECT:
        if (a->n != b->n)
            return true;
        for (const struct oll_json *x = a->first; x; x = x->next) {
            const struct oll_json *y = member(b, x->key, x->key_len);
            if (!y || differ(x, y))
                return true;
        }
        return false;
    }
    return false;
}

/* Whether an object lacks a member that this one has, or has it otherwise. */
static bool differs_so_far(const struct oll_json *other, const struct oll_json *current)
{
    for (const struct oll_json *m = current ? current->first : NULL; m; m = m->next) {
        const struct oll_json *twin = member(other, m->key, m->key_len);
        if (!twin || differ(m, twin))
            return true;
    }
    return false;
}

/* From an element that is being written to the member in it that is asked for: keys, and the
 * members so far (NULL: none) of each object on the way. */
struct route {
    const struct oll_json *keys[OLL_JSON_DEPTH_MAX], *members[OLL_JSON_DEPTH_MAX];
    int n;
};

/* What the member is in another element; NULL when that surely differs. */
static const struct oll_json *follow(const struct route *route, const struct oll_json *element)
{
    for (int i = 0; element && i < route->n; i++) {
        if (element->type != OLL_JSON_OBJECT || differs_so_far(element, route->members[i]))
            return NULL;
        element = member(element, route->keys[i]->str, route->keys[i]->str_len);
    }
    return element;
}

static bool collect(struct regex_pool *pool, const struct oll_json *elements,
                    const struct route *route, uint32_t *out)
{
    struct regex_word *words = oll_alloc(elements->n + 1, sizeof *words);
    uint32_t *terms = oll_alloc(elements->n + 1, sizeof *terms), n_words = 0, n = 0;
    bool ok = words && terms;
    for (const struct oll_json *i = elements->first; ok && i; i = i->next) {
        const struct oll_json *v = follow(route, i);
        if (v && v->type == OLL_JSON_STRING)
            words[n_words++] = (struct regex_word){v->str, v->str_len};
        else if (v)
            terms[n++] = term_of(pool, v);
    }
    if (ok && n_words > 0)
        terms[n++] = regex_words(pool, words, n_words);
    if (ok)
        *out = regex_alt(pool, terms, n);
    oll_free(words);
    oll_free(terms);
    return ok;
}

static bool read_route(struct oll_arena *arena, const struct scan *s, int first, const char *text,
                       size_t n, struct route *route)
{
    route->n = 0;
    for (int i = first; i < s->n; i++) {
        const struct level *object = &s->levels[i];
        const struct oll_json *key = parse(arena, text, object->item, n, 0), *members = NULL;
        if (object->before && !(members = parse(arena, text, object->open, object->item - 1, '}')))
            return false;
        if (!key || key->type != OLL_JSON_STRING)
            return false;
        route->keys[route->n] = key;
        route->members[route->n++] = members;
    }
    return route->n > 0;
}

bool unique_text_member(struct regex_pool *pool, const char *text, size_t n, uint32_t *out)
{
    struct scan s;
    struct route route;
    struct oll_arena arena;
    *out = REGEX_NONE;
    if (!scan_text(&s, text, n))
        return false;
    int first = s.n;
    while (first > 0 && s.levels[first - 1].kind == '{')
        first--;
    if (first == 0)
        return false;
    const struct level *array = &s.levels[first - 1];
    if (array->before == 0)
        return true;
    oll_arena_init(&arena, arena_bytes(n));
    const struct oll_json *elements = parse(&arena, text, array->open, array->item - 1, ']');
    const bool ok = elements && read_route(&arena, &s, first, text, n, &route) &&
                    collect(pool, elements, &route, out);
    oll_arena_free(&arena);
    return ok;
}
