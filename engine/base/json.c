/* The reader. One pass over a private copy of the text: strings are unescaped in place (what an
 * escape stands for is never longer than the escape) and open containers stand on an explicit
 * stack, so depth costs no stack frames. */
#include "engine/base/json.h"

#include "engine/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT_LIMIT = 1024 };

const struct oll_json_limits oll_json_limits_default = {
    .max_depth = 64,
    .max_nodes = 1000 * 1000,
    .max_members = 10 * 1000,
    .max_key_bytes = 1024,
};

/* An open container while its children are read. */
struct level {
    struct oll_json *node, *last;
};

struct parser {
    struct oll_arena *arena;
    char *text; /* terminated by a NUL that is no part of it */
    size_t n, pos;
    const struct oll_json_limits *limits;
    struct level *stack;
    int depth;
    size_t n_nodes;
    struct oll_error *err;
};

/* A byte as Go quotes it in its messages. */
static const char *quote_byte(unsigned char c, char out[8])
{
    static const char hex[] = "0123456789abcdef";
    char *p = out;
    if (c >= 0x20 && c < 0x7F) {
        if (c == '\'' || c == '\\')
            *p++ = '\\';
        *p++ = (char)c;
    } else {
        *p++ = '\\';
        *p++ = 'x';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 15];
    }
    *p = '\0';
    return out;
}

static oll_status fail_at(struct parser *p, size_t pos, const char *context)
{
    char quoted[8];
    if (pos >= p->n)
        return OLL_FAIL(p->err, OLL_ERR_FORMAT, "unexpected EOF");
    return OLL_FAIL(p->err, OLL_ERR_FORMAT, "invalid character '%s' %s at byte %zu",
                    quote_byte((unsigned char)p->text[pos], quoted), context, pos);
}

static oll_status fail_arena(struct parser *p)
{
    return OLL_FAIL(p->err, p->arena->status, "JSON needs more memory than allowed, at byte %zu",
                    p->pos);
}

static void skip_space(struct parser *p)
{
    while (p->pos < p->n) {
        char c = p->text[p->pos];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        p->pos++;
    }
}

/* The byte at `pos`, 0 at the end; a NUL in the text matches no token either. */
static char peek(const struct parser *p) { return p->pos < p->n ? p->text[p->pos] : '\0'; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads the four digits after "\u"; `pos` is the first of them. */
static oll_status read_hex4(struct parser *p, size_t pos, uint32_t *cp)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = pos + i < p->n ? hex_value(p->text[pos + i]) : -1;
        if (digit < 0)
            return fail_at(p, pos + i, "in \\u hexadecimal character escape");
        v = v << 4 | (uint32_t)digit;
    }
    *cp = v;
    return OLL_OK;
}

/* A "\u" escape: `*in` stands on the 'u' and moves behind the escape; `*out` grows by its UTF-8. A
 * high surrogate takes the low one that follows; alone, either becomes U+FFFD. */
static oll_status unescape_unicode(struct parser *p, size_t *in, size_t *out)
{
    uint32_t cp, low;
    OLL_TRY(read_hex4(p, *in + 1, &cp));
    *in += 5;
    if (cp >= 0xD800 && cp < 0xE000) {
        bool pair = false;
        if (cp < 0xDC00 && *in + 1 < p->n && p->text[*in] == '\\' && p->text[*in + 1] == 'u') {
            OLL_TRY(read_hex4(p, *in + 2, &low));
            pair = low >= 0xDC00 && low < 0xE000;
        }
        if (pair) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            *in += 6;
        } else {
            cp = 0xFFFD;
        }
    }
    char bytes[4];
    int len = oll_utf8_encode(cp, bytes);
    memcpy(p->text + *out, bytes, (size_t)len);
    *out += (size_t)len;
    return OLL_OK;
}

static oll_status unescape(struct parser *p, size_t *in, size_t *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    *in += 1;
    char c = *in < p->n ? p->text[*in] : '\0';
    if (c == 'u')
        return unescape_unicode(p, in, out);
    const char *hit = c ? strchr(from, c) : NULL;
    if (!hit)
        return fail_at(p, *in, "in string escape code");
    p->text[(*out)++] = to[hit - from];
    *in += 1;
    return OLL_OK;
}

/* `pos` stands on the opening quote and moves behind the closing one, which the terminator
 * replaces. */
static oll_status read_string(struct parser *p, const char **str, size_t *len)
{
    size_t start = p->pos + 1, in = start, out = start;
    for (;;) {
        size_t run = in;
        while (in < p->n && p->text[in] != '"' && p->text[in] != '\\' &&
               (unsigned char)p->text[in] >= 0x20)
            in++;
        if (out != run)
            memmove(p->text + out, p->text + run, in - run);
        out += in - run;
        if (in >= p->n || (p->text[in] != '"' && p->text[in] != '\\'))
            return fail_at(p, in, "in string literal");
        if (p->text[in] == '"')
            break;
        OLL_TRY(unescape(p, &in, &out));
    }
    p->text[out] = '\0';
    p->pos = in + 1;
    *str = p->text + start;
    *len = out - start;
    return OLL_OK;
}

/* Value of a run of digits; false when it exceeds 64 bits. */
static bool digits_value(const char *s, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t digit = (uint64_t)(s[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static void set_integer(struct oll_json *node, const char *digits, size_t n, bool negative)
{
    uint64_t v;
    if (!digits_value(digits, n, &v))
        return;
    if (negative) {
        node->is_int = v <= (uint64_t)INT64_MAX + 1;
        node->is_uint = false;
        node->i = v <= INT64_MAX ? -(int64_t)v : INT64_MIN;
    } else {
        node->is_int = v <= INT64_MAX;
        node->is_uint = true;
        node->i = (int64_t)v;
    }
}

static void skip_digits(struct parser *p)
{
    while (is_digit(peek(p)))
        p->pos++;
}

static oll_status read_number(struct parser *p, struct oll_json *node)
{
    size_t start = p->pos;
    bool negative = peek(p) == '-', whole = true;
    p->pos += negative;
    size_t digits = p->pos;
    if (!is_digit(peek(p)))
        return fail_at(p, p->pos, "in numeric literal");
    if (peek(p) == '0')
        p->pos++;
    else
        skip_digits(p);
    size_t n_digits = p->pos - digits;
    if (peek(p) == '.') {
        whole = false;
        p->pos++;
        if (!is_digit(peek(p)))
            return fail_at(p, p->pos, "after decimal point in numeric literal");
        skip_digits(p);
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        whole = false;
        p->pos++;
        if (peek(p) == '+' || peek(p) == '-')
            p->pos++;
        if (!is_digit(peek(p)))
            return fail_at(p, p->pos, "in exponent of numeric literal");
        skip_digits(p);
    }
    node->raw = p->text + start;
    node->raw_len = p->pos - start;
    if (node->raw_len > NUMBER_TEXT_LIMIT)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "JSON number longer than %d bytes at byte %zu",
                        NUMBER_TEXT_LIMIT, start);
    if (whole)
        set_integer(node, p->text + digits, n_digits, negative);
    /* The grammar above is a subset of strtod's, which must not see what follows (0x1). The process
     * keeps the numeric locale "C". */
    char after = p->text[p->pos];
    p->text[p->pos] = '\0';
    node->real = strtod(node->raw, NULL);
    p->text[p->pos] = after;
    return OLL_OK;
}

static oll_status read_literal(struct parser *p, const char *word)
{
    for (size_t i = 0; word[i]; i++) {
        char context[48];
        if (p->pos + i < p->n && p->text[p->pos + i] == word[i])
            continue;
        snprintf(context, sizeof context, "in literal %s (expecting '%c')", word, word[i]);
        return fail_at(p, p->pos + i, context);
    }
    p->pos += strlen(word);
    return OLL_OK;
}

static oll_status new_node(struct parser *p, struct oll_json **out)
{
    if (++p->n_nodes > p->limits->max_nodes)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "JSON with more than %zu values at byte %zu",
                        p->limits->max_nodes, p->pos);
    struct oll_json *node = oll_arena_alloc(p->arena, 1, sizeof *node);
    if (!node)
        return fail_arena(p);
    node->offset = p->pos;
    *out = node;
    return OLL_OK;
}

static oll_status open_container(struct parser *p, struct oll_json *node)
{
    if (p->depth >= p->limits->max_depth)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "JSON nested deeper than %d at byte %zu",
                        p->limits->max_depth, p->pos);
    node->type = peek(p) == '{' ? OLL_JSON_OBJECT : OLL_JSON_ARRAY;
    p->pos++;
    p->stack[p->depth++] = (struct level){.node = node};
    return OLL_OK;
}

/* Reads a scalar, or opens a container. */
static oll_status read_value(struct parser *p, struct oll_json *node)
{
    char c = peek(p);
    switch (c) {
    case '{':
    case '[': return open_container(p, node);
    case '"': node->type = OLL_JSON_STRING; return read_string(p, &node->str, &node->str_len);
    case 't':
    case 'f':
        node->type = OLL_JSON_BOOL;
        node->is_true = c == 't';
        return read_literal(p, c == 't' ? "true" : "false");
    case 'n': node->type = OLL_JSON_NULL; return read_literal(p, "null");
    default:
        if (c != '-' && !is_digit(c))
            return fail_at(p, p->pos, "looking for beginning of value");
        node->type = OLL_JSON_NUMBER;
        return read_number(p, node);
    }
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    int order = n ? memcmp(a, b, n) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* By key, then by place: a total order, so an unstable sort will do. */
static bool member_less(const struct oll_json *a, const struct oll_json *b)
{
    int order = compare_bytes(a->key, a->key_len, b->key, b->key_len);
    return order ? order < 0 : a->offset < b->offset;
}

static void sift_down(struct oll_json **v, size_t root, size_t n)
{
    struct oll_json *moved = v[root];
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n)
            break;
        if (child + 1 < n && member_less(v[child], v[child + 1]))
            child++;
        if (!member_less(moved, v[child]))
            break;
        v[root] = v[child];
        root = child;
    }
    v[root] = moved;
}

/* Heap sort: in place and n log n for any keys, so that no choice of keys costs quadratic time. */
static void sort_members(struct oll_json **v, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(v, i, n);
    for (size_t end = n; end-- > 1;) {
        struct oll_json *largest = v[0];
        v[0] = v[end];
        v[end] = largest;
        sift_down(v, 0, end);
    }
}

/* Moves the value of a later duplicate to the place of the first. */
static void take_value(struct oll_json *to, const struct oll_json *from)
{
    struct oll_json kept = *to;
    *to = *from;
    to->key = kept.key;
    to->key_len = kept.key_len;
    to->next = kept.next;
}

/* Sorts the members of a finished object and drops duplicates. */
static oll_status close_object(struct parser *p, struct oll_json *object)
{
    if (object->n == 0)
        return OLL_OK;
    struct oll_json **v = oll_arena_alloc(p->arena, object->n, sizeof *v);
    if (!v)
        return fail_arena(p);
    size_t n = 0, n_unique = 0;
    for (struct oll_json *m = object->first; m; m = m->next)
        v[n++] = m;
    sort_members(v, n);
    for (size_t i = 0; i < n; i++) {
        struct oll_json *last = n_unique ? v[n_unique - 1] : NULL;
        if (last && compare_bytes(last->key, last->key_len, v[i]->key, v[i]->key_len) == 0) {
            take_value(last, v[i]);
            v[i]->key = NULL;
        } else {
            v[n_unique++] = v[i];
        }
    }
    object->sorted = v;
    object->n = n_unique;
    if (n_unique < n)
        for (struct oll_json **link = &object->first; *link;) {
            if ((*link)->key)
                link = &(*link)->next;
            else
                *link = (*link)->next;
        }
    return OLL_OK;
}

/* Reads "key" and the colon of the next member. */
static oll_status read_key(struct parser *p, const char **key, size_t *len)
{
    size_t start = p->pos;
    if (peek(p) != '"')
        return fail_at(p, p->pos, "looking for beginning of object key string");
    OLL_TRY(read_string(p, key, len));
    if (*len > p->limits->max_key_bytes)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "JSON key longer than %zu bytes at byte %zu",
                        p->limits->max_key_bytes, start);
    skip_space(p);
    if (peek(p) != ':')
        return fail_at(p, p->pos, "after object key");
    p->pos++;
    skip_space(p);
    return OLL_OK;
}

/* Adds the next child to the innermost container; it may become the innermost itself. */
static oll_status read_child(struct parser *p)
{
    struct level *level = &p->stack[p->depth - 1];
    struct oll_json *node = NULL, *container = level->node;
    const char *key = NULL;
    size_t key_len = 0;
    if (container->type == OLL_JSON_OBJECT) {
        OLL_TRY(read_key(p, &key, &key_len));
        if (container->n >= p->limits->max_members)
            return OLL_FAIL(p->err, OLL_ERR_LIMIT,
                            "JSON object with more than %zu members at byte %zu",
                            p->limits->max_members, p->pos);
    }
    OLL_TRY(new_node(p, &node));
    node->key = key;
    node->key_len = (uint32_t)key_len;
    if (level->last)
        level->last->next = node;
    else
        container->first = node;
    level->last = node;
    container->n++;
    return read_value(p, node);
}

/* Goes on in the innermost container, whose bracket or last child lies just before `pos`. */
static oll_status step(struct parser *p)
{
    struct oll_json *container = p->stack[p->depth - 1].node;
    bool object = container->type == OLL_JSON_OBJECT;
    skip_space(p);
    if (peek(p) == (object ? '}' : ']')) {
        p->pos++;
        p->depth--;
        return object ? close_object(p, container) : OLL_OK;
    }
    if (p->stack[p->depth - 1].last) {
        if (peek(p) != ',')
            return fail_at(p, p->pos,
                           object ? "after object key:value pair" : "after array element");
        p->pos++;
        skip_space(p);
    }
    return read_child(p);
}

/* Copies the text; on request with U+FFFD for each byte that is no UTF-8. */
static oll_status copy_text(struct parser *p, const char *text, size_t n)
{
    uint32_t cp;
    size_t bad = 0;
    for (size_t i = 0; i < n;) {
        int len = (unsigned char)text[i] < 0x80 ? 1 : oll_utf8_decode(text + i, n - i, &cp);
        if (len == 0 && !p->limits->replace_utf8)
            return OLL_FAIL(p->err, OLL_ERR_FORMAT, "invalid UTF-8 in JSON at byte %zu", i);
        bad += len == 0;
        i += len ? (size_t)len : 1;
    }
    if (bad > (SIZE_MAX - 1 - n) / 2)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "JSON text too long");
    p->text = oll_arena_alloc(p->arena, n + 2 * bad + 1, 1);
    if (!p->text)
        return fail_arena(p);
    if (bad == 0) {
        if (n)
            memcpy(p->text, text, n);
        p->n = n;
        return OLL_OK;
    }
    for (size_t i = 0; i < n;) {
        int len = oll_utf8_decode(text + i, n - i, &cp);
        memcpy(p->text + p->n, len ? text + i : "\xEF\xBF\xBD", len ? (size_t)len : 3);
        p->n += len ? (size_t)len : 3;
        i += len ? (size_t)len : 1;
    }
    return OLL_OK;
}

oll_status oll_json_parse(struct oll_arena *arena, const char *text, size_t n,
                          const struct oll_json_limits *limits, struct oll_json **root,
                          struct oll_error *err)
{
    struct parser p = {.arena = arena, .err = err};
    struct oll_json *node = NULL;
    p.limits = limits ? limits : &oll_json_limits_default;
    OLL_ASSERT(p.limits->max_depth > 0 && p.limits->max_depth <= OLL_JSON_DEPTH_MAX);
    OLL_TRY(copy_text(&p, text, n));
    p.stack = oll_arena_alloc(arena, (size_t)p.limits->max_depth, sizeof *p.stack);
    if (!p.stack)
        return fail_arena(&p);
    skip_space(&p);
    OLL_TRY(new_node(&p, &node));
    OLL_TRY(read_value(&p, node));
    while (p.depth > 0)
        OLL_TRY(step(&p));
    skip_space(&p);
    if (p.pos < p.n && !p.limits->allow_trailing)
        return fail_at(&p, p.pos, "after top-level value");
    *root = node;
    return OLL_OK;
}

const struct oll_json *oll_json_get(const struct oll_json *object, const char *key)
{
    if (!object || object->type != OLL_JSON_OBJECT)
        return NULL;
    size_t lo = 0, hi = object->n, len = strlen(key);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct oll_json *m = object->sorted[mid];
        int order = compare_bytes(m->key, m->key_len, key, len);
        if (order == 0)
            return m;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

bool oll_json_key_folds(const char *key, size_t key_len, const char *name)
{
    size_t i = 0;
    for (; *name; name++) {
        uint32_t cp = 0;
        int len = oll_utf8_decode(key + i, key_len - i, &cp);
        if (len == 0)
            return false;
        i += (size_t)len;
        if (cp >= 'A' && cp <= 'Z')
            cp |= 0x20;
        /* The long s and the Kelvin sign are the two letters outside ASCII that fold into it. */
        if (cp == 0x17F)
            cp = 's';
        if (cp == 0x212A)
            cp = 'k';
        unsigned char want = (unsigned char)*name;
        if (want >= 'A' && want <= 'Z')
            want |= 0x20;
        if (cp != want)
            return false;
    }
    return i == key_len;
}

const struct oll_json *oll_json_get_fold(const struct oll_json *object, const char *key)
{
    const struct oll_json *found = NULL;
    if (!object || object->type != OLL_JSON_OBJECT)
        return NULL;
    for (const struct oll_json *m = object->first; m; m = m->next)
        if (oll_json_key_folds(m->key, m->key_len, key) && (!found || m->offset > found->offset))
            found = m;
    return found;
}

const char *oll_json_get_str(const struct oll_json *object, const char *key, const char *fallback)
{
    const struct oll_json *v = oll_json_get(object, key);
    return v && v->type == OLL_JSON_STRING ? v->str : fallback;
}

const char *oll_json_type_name(const struct oll_json *value)
{
    static const char *const names[] = {"null", "bool", "number", "string", "array", "object"};
    return value && value->type <= OLL_JSON_OBJECT ? names[value->type] : "null";
}
