#include "sampler/grammar_gbnf.h"

#include "engine/base/arena.h"
#include "engine/base/utf8.h"
#include "sampler/grow.h"

#include <string.h>

struct rule {
    const char *name;
    size_t n;
    uint32_t node; /* reserved */
    uint32_t line; /* of the first mention */
    bool defined;
};

struct reader {
    struct grammar *g;
    const struct oll_tokenizer *tok;
    const char *text;
    size_t n, at;
    uint32_t line;
    int depth;
    struct rule *rules;
    uint32_t n_rules, cap_rules;
    uint32_t *table, table_mask; /* open addressing: name to rule + 1 */
    struct oll_error *err;
};

/* An item and the size to which its repetitions multiply. */
struct item {
    uint32_t node, weight;
};

struct list {
    uint32_t *v, n, cap, weight;
};

static bool broken(struct reader *r, const char *what)
{
    oll_error_set(r->err, OLL_ERR_FORMAT, "grammar, line %u: %s", r->line, what);
    return false;
}

static bool list_add(struct reader *r, struct list *list, struct item item)
{
    if (!grow_array((void **)&list->v, &list->cap, list->n + 1ull, GRAMMAR_MAX_NODES,
                    sizeof *list->v)) {
        oll_error_set(r->err, OLL_ERR_MEMORY, "out of memory for a grammar");
        return false;
    }
    list->v[list->n++] = item.node;
    list->weight = item.weight > list->weight ? item.weight : list->weight;
    return true;
}

/* ---- words ---- */

static char peek(const struct reader *r) { return r->at < r->n ? r->text[r->at] : '\0'; }

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Blanks and comments; line ends too where they do not end the rule. */
static void skip(struct reader *r, bool lines)
{
    for (; r->at < r->n; r->at++) {
        char c = r->text[r->at];
        if (c == '#')
            while (r->at + 1 < r->n && r->text[r->at + 1] != '\n')
                r->at++;
        else if (c == '\n' && lines)
            r->line++;
        else if (c != ' ' && c != '\t' && (c != '\r' || !lines))
            break;
    }
}

static bool accept(struct reader *r, const char *s)
{
    size_t n = strlen(s);
    if (r->n - r->at < n || memcmp(r->text + r->at, s, n) != 0)
        return false;
    r->at += n;
    return true;
}

static uint64_t hash_name(const char *s, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = grow_mix(h ^ (unsigned char)s[i]);
    return h;
}

static bool grow_rules(struct reader *r)
{
    uint32_t mask = r->table ? 2 * r->table_mask + 1 : 255;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < r->n_rules; i++) {
        uint32_t at = (uint32_t)hash_name(r->rules[i].name, r->rules[i].n) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = i + 1;
    }
    oll_free(r->table);
    r->table = table;
    r->table_mask = mask;
    return true;
}

/* The rule of this name, made when it is new; NULL without memory or beyond the limit. */
static struct rule *rule_of(struct reader *r, const char *name, size_t n)
{
    if (2 * r->n_rules >= r->table_mask && !grow_rules(r)) {
        oll_error_set(r->err, OLL_ERR_MEMORY, "out of memory for a grammar");
        return NULL;
    }
    uint32_t at = (uint32_t)hash_name(name, n) & r->table_mask;
    for (; r->table[at]; at = (at + 1) & r->table_mask) {
        struct rule *rule = &r->rules[r->table[at] - 1];
        if (rule->n == n && memcmp(rule->name, name, n) == 0)
            return rule;
    }
    if (!grow_array((void **)&r->rules, &r->cap_rules, r->n_rules + 1ull, GBNF_MAX_RULES,
                    sizeof *r->rules)) {
        oll_error_set(r->err, OLL_ERR_LIMIT, "a grammar of more than %d rules", GBNF_MAX_RULES);
        return NULL;
    }
    r->rules[r->n_rules] =
        (struct rule){.name = name, .n = n, .node = grammar_reserve(r->g), .line = r->line};
    r->table[at] = ++r->n_rules;
    return &r->rules[r->n_rules - 1];
}

/* ---- characters ---- */

static bool read_hex(struct reader *r, int digits, uint32_t *cp)
{
    *cp = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        char c = peek(r);
        uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
        if (d == 16)
            return broken(r, "a hexadecimal escape is too short");
        *cp = *cp << 4 | d;
    }
    if (*cp > REGEX_MAX_CP || (*cp >= 0xD800 && *cp < 0xE000))
        return broken(r, "an escape names no character");
    return true;
}

static bool read_char(struct reader *r, uint32_t *cp)
{
    static const char letters[] = "nrt\\\"[]", values[] = "\n\r\t\\\"[]";
    if (!accept(r, "\\")) {
        int len = oll_utf8_decode(r->text + r->at, r->n - r->at, cp);
        r->at += (size_t)len;
        return len > 0 || broken(r, "bad UTF-8");
    }
    char c = peek(r);
    const char *found = c ? strchr(letters, c) : NULL;
    if (!found && c != 'x' && c != 'u' && c != 'U')
        return broken(r, "an unknown escape");
    r->at++;
    if (!found)
        return read_hex(r, c == 'x' ? 2 : c == 'u' ? 4 : 8, cp);
    *cp = (unsigned char)values[found - letters];
    return true;
}

static bool read_literal(struct reader *r, uint32_t *node)
{
    struct oll_strbuf text;
    char buf[4];
    oll_strbuf_init(&text, GBNF_MAX_BYTES);
    bool ok = true;
    while (ok && !accept(r, "\"")) {
        uint32_t cp;
        if (r->at >= r->n || peek(r) == '\n')
            ok = broken(r, "a literal is not closed");
        else if ((ok = read_char(r, &cp)))
            oll_strbuf_add(&text, buf, (size_t)oll_utf8_encode(cp, buf));
    }
    if (ok && text.status != OLL_OK) {
        oll_error_set(r->err, text.status, "out of memory for a grammar");
        ok = false;
    }
    if (ok)
        *node = grammar_bytes(r->g, text.data, text.len);
    oll_strbuf_free(&text);
    return ok;
}

static bool read_class(struct reader *r, uint32_t *node)
{
    struct regex_range *ranges = NULL;
    uint32_t n = 0, cap = 0;
    bool invert = accept(r, "^"), ok = true;
    while (ok && !accept(r, "]")) {
        struct regex_range range;
        if (r->at >= r->n || peek(r) == '\n') {
            ok = broken(r, "a class of characters is not closed");
            break;
        }
        ok = read_char(r, &range.lo);
        range.hi = range.lo;
        if (ok && peek(r) == '-' && r->at + 1 < r->n && r->text[r->at + 1] != ']') {
            r->at++;
            ok = read_char(r, &range.hi);
        }
        if (ok && range.hi < range.lo)
            ok = broken(r, "a range of characters is out of order");
        if (ok && !grow_array((void **)&ranges, &cap, n + 1ull, GBNF_MAX_BYTES, sizeof *ranges)) {
            oll_error_set(r->err, OLL_ERR_MEMORY, "out of memory for a grammar");
            ok = false;
        }
        if (ok)
            ranges[n++] = range;
    }
    if (ok) {
        struct regex_pool *pool = &r->g->pool;
        uint32_t set = regex_set(pool, ranges, n);
        /* One character that is not in the set. */
        *node =
            grammar_term(r->g, invert ? regex_and2(pool, REGEX_ANY, regex_not(pool, set)) : set);
    }
    oll_free(ranges);
    return ok;
}

/* <text>, <[id]>; `any_but`: after a "!". */
static bool read_token(struct reader *r, bool any_but, uint32_t *node)
{
    size_t begin = r->at - 1;
    while (r->at < r->n && peek(r) != '>' && peek(r) != '\n')
        r->at++;
    if (!accept(r, ">"))
        return broken(r, "a token is not closed");
    const char *text = r->text + begin;
    size_t n = r->at - begin;
    int64_t id = -1;
    if (!r->tok)
        return broken(r, "tokens cannot be named here");
    if (n > 4 && text[1] == '[' && text[n - 2] == ']') {
        id = 0;
        for (size_t i = 2; i < n - 2 && id >= 0; i++)
            id = text[i] >= '0' && text[i] <= '9' && id < 1 << 24 ? id * 10 + (text[i] - '0') : -1;
    } else {
        id = oll_tokenizer_find(r->tok, text, n);
        id = id >= 0 ? id : oll_tokenizer_find(r->tok, text + 1, n - 2);
    }
    if (id < 0 || id >= oll_tokenizer_n_tokens(r->tok))
        return broken(r, "no such token");
    *node = grammar_token(r->g, (uint32_t)id, any_but);
    return true;
}

/* ---- rules ---- */

static bool read_alternatives(struct reader *r, bool in_group, struct item *out);

static bool read_number(struct reader *r, uint32_t *v)
{
    size_t begin = r->at;
    *v = 0;
    for (; peek(r) >= '0' && peek(r) <= '9'; r->at++)
        *v = *v > GBNF_MAX_REPEAT ? *v : *v * 10 + (uint32_t)(peek(r) - '0');
    return r->at > begin;
}

static bool read_repetition(struct reader *r, struct item *item)
{
    uint32_t min = 0, max = REGEX_INF;
    if (accept(r, "?")) {
        max = 1;
    } else if (accept(r, "+")) {
        min = 1;
    } else if (accept(r, "{")) {
        skip(r, false);
        if (!read_number(r, &min))
            return broken(r, "a repetition has no number");
        skip(r, false);
        max = min;
        if (accept(r, ",")) {
            skip(r, false);
            if (!read_number(r, &max))
                max = REGEX_INF;
            skip(r, false);
        }
        if (!accept(r, "}"))
            return broken(r, "a repetition is not closed");
    } else if (!accept(r, "*")) {
        return broken(r, "a repetition is expected");
    }
    if (min > GBNF_MAX_REPEAT || (max != REGEX_INF && max > GBNF_MAX_REPEAT))
        return broken(r, "a repetition is larger than 2000");
    if (max < min)
        return broken(r, "a repetition has its numbers in the wrong order");
    uint32_t count = max == REGEX_INF ? min : max;
    uint32_t weight = item->weight * (count ? count : 1);
    if (item->weight > 1 && count > 1 && weight >= GBNF_MAX_REPEAT)
        return broken(r, "nested repetitions multiply to 2000 or more");
    item->node = grammar_rep(r->g, item->node, min, max);
    item->weight = weight;
    return true;
}

static bool read_primary(struct reader *r, struct item *out)
{
    *out = (struct item){.weight = 1};
    if (accept(r, "\""))
        return read_literal(r, &out->node);
    if (accept(r, "["))
        return read_class(r, &out->node);
    if (accept(r, "."))
        return (out->node = grammar_term(r->g, REGEX_ANY)), true;
    if (accept(r, "!"))
        return accept(r, "<") ? read_token(r, true, &out->node)
                              : broken(r, "\"!\" stands before a token only");
    if (accept(r, "<"))
        return read_token(r, false, &out->node);
    if (accept(r, "(")) {
        if (++r->depth > GBNF_MAX_GROUPS)
            return broken(r, "groups are nested too deeply");
        if (!read_alternatives(r, true, out))
            return false;
        r->depth--;
        return accept(r, ")") || broken(r, "a group is not closed");
    }
    size_t begin = r->at;
    while (is_name(peek(r)))
        r->at++;
    if (r->at == begin)
        return broken(r, "an item is expected");
    struct rule *rule = rule_of(r, r->text + begin, r->at - begin);
    if (!rule)
        return false;
    out->node = rule->node;
    return true;
}

static bool at_item(const struct reader *r)
{
    char c = peek(r);
    return c && (is_name(c) || strchr("\"[.(<!", c));
}

static bool read_sequence(struct reader *r, bool in_group, struct item *out)
{
    struct list list = {.weight = 1};
    bool ok = true;
    for (skip(r, in_group); ok && at_item(r); skip(r, in_group)) {
        struct item item;
        ok = read_primary(r, &item);
        while (ok && peek(r) && strchr("*+?{", peek(r)))
            ok = read_repetition(r, &item);
        ok = ok && list_add(r, &list, item);
    }
    *out = (struct item){.weight = list.weight};
    if (ok)
        out->node = grammar_seq(r->g, list.v, list.n);
    oll_free(list.v);
    return ok;
}

static bool read_alternatives(struct reader *r, bool in_group, struct item *out)
{
    struct list list = {.weight = 1};
    bool ok = true, more = true;
    while (ok && more) {
        struct item item;
        ok = read_sequence(r, in_group, &item) && list_add(r, &list, item);
        more = ok && accept(r, "|");
        if (more)
            skip(r, true);
    }
    *out = (struct item){.weight = list.weight};
    if (ok)
        out->node = grammar_alt(r->g, list.v, list.n);
    oll_free(list.v);
    return ok;
}

static bool read_rule(struct reader *r)
{
    size_t begin = r->at;
    while (is_name(peek(r)))
        r->at++;
    if (r->at == begin)
        return broken(r, "the name of a rule is expected");
    struct rule *rule = rule_of(r, r->text + begin, r->at - begin);
    if (!rule)
        return false;
    if (rule->defined)
        return broken(r, "this rule is defined twice");
    rule->defined = true;
    uint32_t node = rule->node; /* the array of rules may move below */
    struct item body;
    skip(r, false);
    if (!accept(r, "::="))
        return broken(r, "\"::=\" is expected after the name of a rule");
    skip(r, true);
    if (!read_alternatives(r, false, &body))
        return false;
    grammar_resolve(r->g, node, body.node);
    if (peek(r) == '\r')
        r->at++;
    return r->at >= r->n || peek(r) == '\n' || broken(r, "the end of the rule is expected");
}

/* ---- left recursion ---- */

static uint32_t left_kids(const struct grammar *g, uint32_t id, const uint8_t *nullable,
                          const uint32_t **kids)
{
    const struct grammar_node *n = &g->nodes[id];
    uint32_t k = 0;
    bool is_list = n->kind == GRAMMAR_ALT || n->kind == GRAMMAR_SEQ;
    *kids = g->kids + (is_list ? n->a : 0);
    switch ((enum grammar_kind)n->kind) {
    case GRAMMAR_ALT: return n->b;
    case GRAMMAR_REP: *kids = &n->a; return 1;
    case GRAMMAR_SEQ:
        while (k < n->b && nullable[g->kids[n->a + k]])
            k++;
        return k < n->b ? k + 1 : k;
    default: return 0;
    }
}

static bool is_nullable(const struct grammar *g, uint32_t id, const uint8_t *nullable)
{
    const struct grammar_node *n = &g->nodes[id];
    if (n->kind == GRAMMAR_EMPTY || (n->kind == GRAMMAR_REP && (n->b == 0 || nullable[n->a])))
        return true;
    if (n->kind == GRAMMAR_ALT)
        for (uint32_t i = 0; i < n->b; i++)
            if (nullable[g->kids[n->a + i]])
                return true;
    if (n->kind != GRAMMAR_SEQ)
        return false;
    for (uint32_t i = 0; i < n->b; i++)
        if (!nullable[g->kids[n->a + i]])
            return false;
    return true;
}

enum { WHITE, GREY, BLACK, MAX_PASSES = 100 };

/* Depth first along what may begin a node, with a stack of its own. */
static bool has_left_cycle(const struct grammar *g, const uint8_t *nullable, uint8_t *color,
                           uint32_t *stack, uint32_t *place)
{
    const uint32_t *kids;
    for (uint32_t root = 1; root < g->n_nodes; root++) {
        uint32_t n = 0;
        if (color[root] == WHITE) {
            stack[n] = root;
            place[n++] = 0;
            color[root] = GREY;
        }
        while (n > 0) {
            uint32_t id = stack[n - 1], k = left_kids(g, id, nullable, &kids);
            if (place[n - 1] == k) {
                color[id] = BLACK;
                n--;
                continue;
            }
            uint32_t kid = kids[place[n - 1]++];
            if (color[kid] == GREY)
                return true;
            if (color[kid] == WHITE) {
                color[kid] = GREY;
                stack[n] = kid;
                place[n++] = 0;
            }
        }
    }
    return false;
}

static oll_status check_recursion(const struct grammar *g, struct oll_error *err)
{
    uint8_t *nullable = oll_calloc(g->n_nodes, 1), *color = oll_calloc(g->n_nodes, 1);
    uint32_t *stack = oll_alloc(g->n_nodes, sizeof *stack);
    uint32_t *place = oll_alloc(g->n_nodes, sizeof *place);
    oll_status status = OLL_OK;
    bool changed = true;
    if (!nullable || !color || !stack || !place)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a grammar");
    for (int pass = 0; status == OLL_OK && changed; pass++) {
        changed = false;
        for (uint32_t i = 1; i < g->n_nodes; i++) {
            uint32_t id = pass % 2 ? i : g->n_nodes - i;
            if (!nullable[id] && is_nullable(g, id, nullable))
                nullable[id] = changed = true;
        }
        if (pass == MAX_PASSES)
            status = OLL_FAIL(err, OLL_ERR_LIMIT, "the rules of the grammar are too entangled");
    }
    if (status == OLL_OK && has_left_cycle(g, nullable, color, stack, place))
        status =
            OLL_FAIL(err, OLL_ERR_FORMAT, "grammar: left recursion: a rule may begin with itself");
    oll_free(nullable);
    oll_free(color);
    oll_free(stack);
    oll_free(place);
    return status;
}

static bool check_rules(struct reader *r)
{
    for (uint32_t i = 0; i < r->n_rules; i++)
        if (!r->rules[i].defined) {
            r->line = r->rules[i].line;
            oll_error_set(r->err, OLL_ERR_FORMAT, "grammar, line %u: undefined rule \"%.*s\"",
                          r->line, r->rules[i].n < 64 ? (int)r->rules[i].n : 64, r->rules[i].name);
            return false;
        }
    return true;
}

oll_status gbnf_read(struct grammar *g, const char *text, size_t n, const struct oll_tokenizer *tok,
                     struct oll_error *err)
{
    struct oll_error own = {0};
    struct reader r = {.g = g, .tok = tok, .text = text, .n = n, .line = 1, .err = &own};
    if (n > GBNF_MAX_BYTES)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "a grammar is longer than %d bytes", GBNF_MAX_BYTES);
    bool ok = true;
    for (skip(&r, true); ok && r.at < r.n; skip(&r, true))
        ok = read_rule(&r);
    struct rule *root = ok ? rule_of(&r, "root", 4) : NULL;
    if (root && !root->defined)
        ok = broken(&r, "there is no rule \"root\"");
    ok = ok && root && check_rules(&r);
    if (ok && g->status == OLL_OK) {
        g->root = root->node;
        ok = check_recursion(g, &own) == OLL_OK;
    }
    oll_status bad = g->status != OLL_OK ? g->status : g->pool.status;
    if (own.status == OLL_OK && bad != OLL_OK)
        oll_error_set(&own, bad, "the grammar is too large");
    oll_free(r.rules);
    oll_free(r.table);
    return own.status == OLL_OK ? OLL_OK : OLL_FAIL(err, own.status, "%s", own.text);
}
