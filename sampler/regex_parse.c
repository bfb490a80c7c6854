#include "sampler/regex_parse.h"

#include "engine/base/arena.h"
#include "engine/base/utf8.h"
#include "sampler/grow.h"
#include "tokenizer/unicode.h"

#include <string.h>

/* ---- tree ---- */

enum tree_kind { TREE_SET, TREE_SEQ, TREE_ALT, TREE_REP, TREE_BEGIN, TREE_END, TREE_LOOK };

struct tree {
    enum tree_kind kind;
    uint32_t set;      /* SET */
    uint32_t min, max; /* REP */
    bool negative;     /* LOOK */
    bool has_anchor;   /* BEGIN, END or LOOK inside */
    struct tree *first, *last, *next;
    uint32_t n;
};

struct set {
    struct regex_range *v;
    uint32_t n, cap;
    bool failed;
};

/* Sets that the whole of Unicode had to be looked through for. */
enum { MAX_KNOWN = 20 };
struct known_set {
    uint32_t bits;
    struct set set;
};

struct parser {
    struct regex_pool *pool;
    const char *text;
    size_t n, at;
    int depth;
    struct oll_arena arena;
    struct known_set known[MAX_KNOWN];
    uint32_t n_known;
    struct oll_error *err;
};

enum { ARENA_MAX = 64 << 20 };

static struct tree *new_tree(struct parser *p, enum tree_kind kind)
{
    struct tree *t = oll_arena_alloc(&p->arena, 1, sizeof *t);
    if (t)
        t->kind = kind;
    else
        oll_error_set(p->err, p->arena.status, "out of memory for a pattern");
    return t;
}

static void add_child(struct tree *t, struct tree *child)
{
    child->next = NULL;
    if (t->last)
        t->last->next = child;
    else
        t->first = child;
    t->last = child;
    t->n++;
    t->has_anchor = t->has_anchor || child->has_anchor;
}

static void *broken(struct parser *p, const char *what)
{
    oll_error_set(p->err, OLL_ERR_FORMAT, "invalid pattern: %s at byte %zu", what, p->at);
    return NULL;
}

static void *unsupported(struct parser *p, const char *what)
{
    oll_error_set(p->err, OLL_ERR_UNSUPPORTED, "%s in a pattern (byte %zu)", what, p->at);
    return NULL;
}

static bool accept(struct parser *p, const char *s)
{
    size_t n = strlen(s);
    if (p->n - p->at < n || memcmp(p->text + p->at, s, n) != 0)
        return false;
    p->at += n;
    return true;
}

static bool next_char(struct parser *p, uint32_t *cp)
{
    int len = oll_utf8_decode(p->text + p->at, p->n - p->at, cp);
    p->at += (size_t)len;
    return len > 0;
}

/* ---- sets ---- */

enum { SET_MAX = 1 << 16 };

static void set_add(struct set *s, uint32_t lo, uint32_t hi)
{
    if (grow_array((void **)&s->v, &s->cap, s->n + 1ull, SET_MAX, sizeof *s->v))
        s->v[s->n++] = (struct regex_range){lo, hi};
    else
        s->failed = true;
}

/* Code points whose mask has one of `bits`. */
static void look_through(struct set *s, uint32_t bits)
{
    uint32_t from = REGEX_INF;
    for (uint32_t cp = 0; cp <= REGEX_MAX_CP + 1; cp++) {
        bool in = cp <= REGEX_MAX_CP && (char_mask(cp) & bits);
        if (in && from == REGEX_INF)
            from = cp;
        if (!in && from != REGEX_INF) {
            set_add(s, from, cp - 1);
            from = REGEX_INF;
        }
    }
}

static void set_add_mask(struct parser *p, struct set *s, uint32_t bits)
{
    uint32_t i = 0;
    while (i < p->n_known && p->known[i].bits != bits)
        i++;
    if (i == p->n_known) {
        if (i == MAX_KNOWN) {
            s->failed = true;
            return;
        }
        p->known[p->n_known++] = (struct known_set){.bits = bits};
        look_through(&p->known[i].set, bits);
    }
    const struct set *known = &p->known[i].set;
    for (uint32_t r = 0; r < known->n; r++)
        set_add(s, known->v[r].lo, known->v[r].hi);
    s->failed = s->failed || known->failed;
}

static int compare_ranges(const struct regex_range *a, const struct regex_range *b)
{
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* Insertion sort: ranges come nearly sorted, from tables or from hand-written classes. */
static void set_sort(struct set *s)
{
    for (uint32_t i = 1; i < s->n; i++) {
        struct regex_range r = s->v[i];
        uint32_t j = i;
        for (; j > 0 && compare_ranges(&r, &s->v[j - 1]) < 0; j--)
            s->v[j] = s->v[j - 1];
        s->v[j] = r;
    }
}

static void set_invert(struct set *s)
{
    struct set out = {.failed = s->failed};
    uint32_t from = 0;
    set_sort(s);
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->v[i].lo > from)
            set_add(&out, from, s->v[i].lo - 1);
        if (s->v[i].hi + 1 > from)
            from = s->v[i].hi + 1;
    }
    if (from <= REGEX_MAX_CP)
        set_add(&out, from, REGEX_MAX_CP);
    oll_free(s->v);
    *s = out;
}

static void set_append(struct set *s, struct set *other)
{
    for (uint32_t i = 0; i < other->n; i++)
        set_add(s, other->v[i].lo, other->v[i].hi);
    s->failed = s->failed || other->failed;
    oll_free(other->v);
    *other = (struct set){0};
}

static void add_spaces(struct set *s, bool wide)
{
    static const struct regex_range both[] = {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},
                                              {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                                              {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        set_add(s, both[i].lo, both[i].hi);
    if (wide) {
        set_add(s, 0x1C, 0x1F);
        set_add(s, 0x85, 0x85);
        set_add(s, 0xFEFF, 0xFEFF);
    }
}

/* \d \w \s and their complements. `wide` takes in what only one of ECMA and Python counts. */
static void add_kind(struct parser *p, struct set *s, char lower, bool wide)
{
    if (lower == 's') {
        add_spaces(s, wide);
        return;
    }
    if (wide) {
        set_add_mask(p, s, lower == 'd' ? CHAR_DIGIT : CHAR_WORD | CHAR_L | CHAR_N);
        return;
    }
    set_add(s, '0', '9');
    if (lower == 'w') {
        set_add(s, 'A', 'Z');
        set_add(s, '_', '_');
        set_add(s, 'a', 'z');
    }
}

/* `outside`: the set will be inverted, so that what both dialects accept is what neither has in
 * it. */
static void add_class_escape(struct parser *p, struct set *s, char letter, bool outside)
{
    bool is_complement = letter >= 'A' && letter <= 'Z';
    struct set own = {0};
    add_kind(p, &own, (char)(letter | 0x20), is_complement != outside);
    if (is_complement)
        set_invert(&own);
    set_append(s, &own);
}

static const struct {
    const char *name;
    uint32_t bits;
} categories[] = {{"L", CHAR_L},   {"Letter", CHAR_L}, {"Lu", CHAR_LU},       {"Ll", CHAR_LL},
                  {"Lt", CHAR_LT}, {"Lm", CHAR_LM},    {"Lo", CHAR_LO},       {"M", CHAR_M},
                  {"N", CHAR_N},   {"Nd", CHAR_DIGIT}, {"P", CHAR_P},         {"S", CHAR_S},
                  {"Z", CHAR_Z},   {"Cc", CHAR_CC},    {"Alphabetic", CHAR_L}};

/* \p{..} and \P{..}, after the letter. */
static bool add_property(struct parser *p, struct set *s, bool invert)
{
    size_t open = p->at;
    if (!accept(p, "{"))
        return broken(p, "\\p without a property in braces");
    while (p->at < p->n && p->text[p->at] != '}')
        p->at++;
    size_t n = p->at - open - 1;
    if (!accept(p, "}"))
        return broken(p, "\\p{ without its brace");
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (strlen(categories[i].name) == n &&
            memcmp(categories[i].name, p->text + open + 1, n) == 0) {
            struct set own = {0};
            set_add_mask(p, &own, categories[i].bits);
            if (invert)
                set_invert(&own);
            set_append(s, &own);
            return true;
        }
    return unsupported(p, "this \\p{..} property");
}

static bool read_hex(struct parser *p, int digits, uint32_t *cp)
{
    uint32_t v = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        char c = p->at < p->n ? p->text[p->at] : ' ';
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return broken(p, "a hexadecimal escape is too short");
        v = v * 16 + (uint32_t)d;
    }
    *cp = v;
    return true;
}

static bool read_unicode(struct parser *p, uint32_t *cp)
{
    if (accept(p, "{")) {
        size_t end = p->at;
        while (end < p->n && p->text[end] != '}')
            end++;
        if (end == p->n || end - p->at > 6 || end == p->at)
            return broken(p, "\\u{ needs 1 to 6 digits and a brace");
        if (!read_hex(p, (int)(end - p->at), cp))
            return false;
        p->at++;
        return *cp <= REGEX_MAX_CP || broken(p, "\\u{..} is beyond U+10FFFF");
    }
    uint32_t low;
    if (!read_hex(p, 4, cp))
        return false;
    size_t before = p->at;
    if (*cp >= 0xD800 && *cp < 0xDC00 && accept(p, "\\u")) {
        if (!read_hex(p, 4, &low))
            return false;
        if (low >= 0xDC00 && low < 0xE000)
            *cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
        else
            p->at = before;
    }
    return true;
}

/* One character written with a backslash, which has been read; `c` is the byte after it. */
static bool read_char_escape(struct parser *p, char c, uint32_t *cp)
{
    static const char letters[] = "tnrfv", values[] = "\t\n\r\f\v";
    const char *found = c ? strchr(letters, c) : NULL;
    if (found) {
        *cp = (unsigned char)values[found - letters];
        return true;
    }
    if (c == '0' && (p->at == p->n || p->text[p->at] < '0' || p->text[p->at] > '9')) {
        *cp = 0;
        return true;
    }
    if (c == 'x')
        return read_hex(p, 2, cp);
    if (c == 'u')
        return read_unicode(p, cp);
    if (c == 'c' && p->at < p->n) {
        *cp = (unsigned char)p->text[p->at++] & 31;
        return true;
    }
    if (c >= '0' && c <= '9')
        return unsupported(p, "a back-reference");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return unsupported(p, "an escape with this letter");
    p->at--;
    return next_char(p, cp) || broken(p, "bad UTF-8");
}

/* A member of a class: a character in *cp, or a whole set (then *is_set). */
static bool class_member(struct parser *p, struct set *s, bool outside, uint32_t *cp, bool *is_set)
{
    *is_set = false;
    if (!accept(p, "\\"))
        return next_char(p, cp) || broken(p, "bad UTF-8");
    if (p->at == p->n)
        return broken(p, "it ends with a backslash");
    char c = p->text[p->at++];
    if (c && strchr("dDwWsS", c)) {
        add_class_escape(p, s, c, outside);
        *is_set = true;
        return true;
    }
    if (c == 'p' || c == 'P') {
        *is_set = true;
        return add_property(p, s, c == 'P');
    }
    if (c == 'b') {
        *cp = 8;
        return true;
    }
    return read_char_escape(p, c, cp);
}

static bool read_class_members(struct parser *p, struct set *s, bool outside)
{
    while (!accept(p, "]")) {
        uint32_t lo, hi;
        bool is_set;
        if (p->at >= p->n)
            return broken(p, "a class is not closed");
        if (!class_member(p, s, outside, &lo, &is_set))
            return false;
        if (is_set)
            continue;
        hi = lo;
        if (p->at + 1 < p->n && p->text[p->at] == '-' && p->text[p->at + 1] != ']') {
            p->at++;
            if (!class_member(p, s, outside, &hi, &is_set))
                return false;
            if (is_set) { /* as in [a-\d]: the dash is itself */
                set_add(s, '-', '-');
                hi = lo;
            }
            if (hi < lo)
                return broken(p, "a range is out of order");
        }
        set_add(s, lo, hi);
    }
    return true;
}

static struct tree *finish_set(struct parser *p, struct set *s, bool invert)
{
    struct tree *t = NULL;
    if (invert)
        set_invert(s);
    if (s->failed)
        oll_error_set(p->err, OLL_ERR_LIMIT, "a class of a pattern is too large");
    else if ((t = new_tree(p, TREE_SET)))
        t->set = regex_set(p->pool, s->v, s->n);
    oll_free(s->v);
    return t;
}

static struct tree *read_class(struct parser *p)
{
    struct set s = {0};
    bool invert = accept(p, "^");
    if (read_class_members(p, &s, invert))
        return finish_set(p, &s, invert);
    oll_free(s.v);
    return NULL;
}

/* ---- grammar ---- */

static struct tree *read_alternatives(struct parser *p);

static struct tree *read_group(struct parser *p)
{
    bool is_look = false, negative = false;
    if (accept(p, "?")) {
        if (accept(p, "=") || accept(p, "!")) {
            is_look = true;
            negative = p->text[p->at - 1] == '!';
        } else if (accept(p, "<=") || accept(p, "<!")) {
            return unsupported(p, "look-behind");
        } else if (accept(p, "<") || accept(p, "P<")) {
            while (p->at < p->n && p->text[p->at] != '>')
                p->at++;
            if (!accept(p, ">"))
                return broken(p, "the name of a group is not closed");
        } else if (!accept(p, ":")) {
            return unsupported(p, "a group with flags");
        }
    }
    if (++p->depth > REGEX_MAX_GROUPS)
        return broken(p, "groups are nested too deeply");
    struct tree *body = read_alternatives(p), *t;
    p->depth--;
    if (!body)
        return NULL;
    if (!accept(p, ")"))
        return broken(p, "a group is not closed");
    if (!is_look)
        return body;
    if (!(t = new_tree(p, TREE_LOOK)))
        return NULL;
    add_child(t, body);
    t->negative = negative;
    t->has_anchor = true;
    return t;
}

static struct tree *read_escape(struct parser *p)
{
    struct set s = {0};
    uint32_t cp = 0;
    if (p->at == p->n)
        return broken(p, "it ends with a backslash");
    char c = p->text[p->at++];
    bool ok = true;
    if (c && strchr("dDwWsS", c))
        add_class_escape(p, &s, c, false);
    else if (c == 'p' || c == 'P')
        ok = add_property(p, &s, c == 'P');
    else if (c == 'b' || c == 'B')
        ok = unsupported(p, "a word boundary") != NULL;
    else if ((ok = read_char_escape(p, c, &cp)))
        set_add(&s, cp, cp);
    if (ok)
        return finish_set(p, &s, false);
    oll_free(s.v);
    return NULL;
}

static struct tree *read_atom(struct parser *p)
{
    struct set s = {0};
    uint32_t cp;
    struct tree *t;
    if (accept(p, "("))
        return read_group(p);
    if (accept(p, "["))
        return read_class(p);
    if (accept(p, "\\"))
        return read_escape(p);
    if (accept(p, "^") || accept(p, "$")) {
        if ((t = new_tree(p, p->text[p->at - 1] == '^' ? TREE_BEGIN : TREE_END)))
            t->has_anchor = true;
        return t;
    }
    if (p->text[p->at] == '*' || p->text[p->at] == '+' || p->text[p->at] == '?')
        return broken(p, "nothing to repeat");
    if (accept(p, ".")) {
        set_add(&s, '\n', '\n');
        set_add(&s, '\r', '\r');
        set_add(&s, 0x2028, 0x2029);
        return finish_set(p, &s, true);
    }
    if (!next_char(p, &cp))
        return broken(p, "bad UTF-8");
    set_add(&s, cp, cp);
    return finish_set(p, &s, false);
}

static bool read_number(const struct parser *p, size_t *at, uint32_t *v)
{
    size_t begin = *at;
    *v = 0;
    for (; *at < p->n && p->text[*at] >= '0' && p->text[*at] <= '9'; ++*at)
        *v = *v > REGEX_MAX_COUNT ? *v : *v * 10 + (uint32_t)(p->text[*at] - '0');
    return *at > begin;
}

/* {m}, {m,} or {m,n} at the cursor; anything else is an ordinary brace. */
static bool read_count(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t at = p->at + 1;
    if (p->at >= p->n || p->text[p->at] != '{' || !read_number(p, &at, min))
        return false;
    *max = *min;
    if (at < p->n && p->text[at] == ',') {
        at++;
        if (!read_number(p, &at, max))
            *max = REGEX_INF;
    }
    if (at >= p->n || p->text[at] != '}')
        return false;
    p->at = at + 1;
    return true;
}

static struct tree *read_piece(struct parser *p)
{
    struct tree *atom = read_atom(p), *t;
    uint32_t min, max;
    if (!atom)
        return NULL;
    if (accept(p, "*"))
        min = 0, max = REGEX_INF;
    else if (accept(p, "+"))
        min = 1, max = REGEX_INF;
    else if (accept(p, "?"))
        min = 0, max = 1;
    else if (!read_count(p, &min, &max))
        return atom;
    accept(p, "?"); /* lazy: the same language */
    if (max < min)
        return broken(p, "a repetition has its numbers in the wrong order");
    if (min > REGEX_MAX_COUNT || (max != REGEX_INF && max > REGEX_MAX_COUNT))
        return broken(p, "a repetition is too large");
    if (p->at < p->n && (p->text[p->at] == '*' || p->text[p->at] == '+'))
        return broken(p, "a repetition of a repetition");
    if (!(t = new_tree(p, TREE_REP)))
        return NULL;
    add_child(t, atom);
    t->min = min;
    t->max = max;
    return t;
}

static struct tree *read_sequence(struct parser *p)
{
    struct tree *seq = new_tree(p, TREE_SEQ);
    while (seq && p->at < p->n && p->text[p->at] != '|' && p->text[p->at] != ')') {
        struct tree *piece = read_piece(p);
        if (!piece)
            return NULL;
        add_child(seq, piece);
    }
    return seq;
}

static struct tree *read_alternatives(struct parser *p)
{
    struct tree *alt = new_tree(p, TREE_ALT);
    do {
        struct tree *seq = alt ? read_sequence(p) : NULL;
        if (!seq)
            return NULL;
        add_child(alt, seq);
    } while (accept(p, "|"));
    return alt;
}

/* ---- terms ---- */

/* Where a part of the pattern stands: at the open left end (any text may go before), at the open
 * right end, and whether the text ends with it. */
struct place {
    bool left, right, at_end;
};

static uint32_t to_term(struct parser *p, const struct tree *t, struct place at);

static uint32_t open_ends(struct parser *p, uint32_t id, struct place at)
{
    if (at.right)
        id = regex_cat(p->pool, id, REGEX_ALL);
    return at.left ? regex_cat(p->pool, REGEX_ALL, id) : id;
}

static uint32_t rep_term(struct parser *p, const struct tree *t, struct place at)
{
    if (t->has_anchor)
        return unsupported(p, "a repeated anchor or look-ahead"), REGEX_NONE;
    uint32_t body = to_term(p, t->first, (struct place){0});
    /* At an open end more copies than needed are part of "anything". */
    uint32_t max = at.left || at.right ? t->min : t->max;
    return open_ends(p, regex_rep(p->pool, body, t->min, max), at);
}

/* Look-ahead: what follows up to the end of the text is in both languages. */
static uint32_t look_term(struct parser *p, const struct tree *t, struct place at, uint32_t rest)
{
    if (!at.at_end)
        return unsupported(p, "look-ahead inside a group that more follows"), REGEX_NONE;
    uint32_t seen = to_term(p, t->first, (struct place){.right = true, .at_end = true});
    return regex_and2(p->pool, rest, t->negative ? regex_not(p->pool, seen) : seen);
}

static uint32_t seq_term(struct parser *p, const struct tree *t, struct place at)
{
    uint32_t n = 0;
    const struct tree **items = oll_arena_alloc(&p->arena, t->n + 1, sizeof *items);
    if (!items)
        return oll_error_set(p->err, p->arena.status, "out of memory for a pattern"), REGEX_NONE;
    for (const struct tree *i = t->first; i; i = i->next) {
        if (n == 0 && i->kind == TREE_BEGIN && (at.left || t->first == i)) {
            if (!at.left)
                return unsupported(p, "^ in the middle"), REGEX_NONE;
            at.left = false;
            while (i->next && i->next->kind == TREE_BEGIN)
                i = i->next;
            continue;
        }
        items[n++] = i;
    }
    while (n > 0 && items[n - 1]->kind == TREE_END && at.at_end) {
        at.right = false;
        n--;
    }
    bool looks_last = n > 0 && items[n - 1]->kind == TREE_LOOK;
    uint32_t id = (n == 0 || looks_last) && at.right ? REGEX_ALL : REGEX_EPS;
    for (uint32_t i = n; i-- > 0 && p->err->status == OLL_OK;) {
        struct place here = {.left = at.left && i == 0,
                             .right = at.right && i == n - 1,
                             .at_end = at.at_end && i == n - 1};
        if (items[i]->kind == TREE_LOOK)
            id = look_term(p, items[i], (struct place){.at_end = at.at_end}, id);
        else
            id = regex_cat(p->pool, to_term(p, items[i], here), id);
    }
    if (at.left && (n == 0 || items[0]->kind == TREE_LOOK))
        id = regex_cat(p->pool, REGEX_ALL, id);
    return id;
}

static uint32_t to_term(struct parser *p, const struct tree *t, struct place at)
{
    uint32_t id = REGEX_NONE, n = 0, *ids;
    switch (t->kind) {
    case TREE_SET: return open_ends(p, t->set, at);
    case TREE_REP: return rep_term(p, t, at);
    case TREE_SEQ: return seq_term(p, t, at);
    case TREE_BEGIN:
    case TREE_END: return unsupported(p, "^ or $ in the middle"), REGEX_NONE;
    case TREE_LOOK: return look_term(p, t, at, at.right ? REGEX_ALL : REGEX_EPS);
    case TREE_ALT: break;
    }
    ids = oll_arena_alloc(&p->arena, t->n, sizeof *ids);
    if (!ids)
        return oll_error_set(p->err, p->arena.status, "out of memory for a pattern"), REGEX_NONE;
    for (const struct tree *i = t->first; i; i = i->next)
        ids[n++] = to_term(p, i, at);
    id = n == 1 ? ids[0] : regex_alt(p->pool, ids, n);
    return id;
}

oll_status regex_parse(struct regex_pool *pool, const char *text, size_t n, uint32_t *out,
                       struct oll_error *err)
{
    struct oll_error own = {0};
    struct parser p = {.pool = pool, .text = text, .n = n, .err = &own};
    if (n > REGEX_MAX_PATTERN)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "a pattern is longer than %d bytes", REGEX_MAX_PATTERN);
    oll_arena_init(&p.arena, ARENA_MAX);
    struct tree *tree = read_alternatives(&p);
    if (tree && p.at < n)
        broken(&p, "a parenthesis too many");
    else if (tree)
        *out = to_term(&p, tree, (struct place){true, true, true});
    oll_arena_free(&p.arena);
    for (uint32_t i = 0; i < p.n_known; i++)
        oll_free(p.known[i].set.v);
    if (own.status == OLL_OK && pool->status != OLL_OK)
        oll_error_set(&own, pool->status, "a pattern is too large");
    return own.status == OLL_OK ? OLL_OK : OLL_FAIL(err, own.status, "%s", own.text);
}
