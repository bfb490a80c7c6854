/* Parser of Go templates. The order in which things are looked at is that of Go, because the first
 * fault met decides which error text a user sees. */
#include "engine/chat/go_func.h"
#include "engine/chat/go_node.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct oll_arena *arena;
    struct go_lexer lexer;
    struct go_token ahead[3]; /* ahead[n_ahead - 1] comes next */
    int n_ahead;
    uint32_t line;        /* of the token read last from the lexer */
    uint32_t action_line; /* where the current action opened, 0: outside */
    uint32_t range_depth, depth;
    struct go_str vars[GO_VARIABLES_MAX];
    uint32_t n_vars, first_var; /* of the define in work */
    struct go_tree *tree;
    struct oll_error *err;
};

/* ---- tokens ---- */

static oll_status fail(struct parser *p, const char *fmt, ...) OLL_PRINTF(2, 3);

static oll_status fail(struct parser *p, const char *fmt, ...)
{
    char text[OLL_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return OLL_FAIL(p->err, OLL_ERR_FORMAT, "template: :%u: %s", p->line, text);
}

static struct go_token read_token(struct parser *p)
{
    const struct go_token t = go_lexer_next(&p->lexer);
    p->line = t.line;
    return t;
}

static struct go_token next(struct parser *p)
{
    if (p->n_ahead)
        return p->ahead[--p->n_ahead];
    return read_token(p);
}

static void push_back(struct parser *p, struct go_token t) { p->ahead[p->n_ahead++] = t; }

static struct go_token peek(struct parser *p)
{
    if (!p->n_ahead)
        push_back(p, read_token(p));
    return p->ahead[p->n_ahead - 1];
}

static struct go_token next_solid(struct parser *p)
{
    struct go_token t = next(p);
    while (t.type == GO_TOKEN_SPACE)
        t = next(p);
    return t;
}

static struct go_token peek_solid(struct parser *p)
{
    const struct go_token t = next_solid(p);
    push_back(p, t);
    return t;
}

/* Bytes of the first `most` characters. */
static size_t first_runes(struct go_str s, size_t most)
{
    size_t at = 0;
    for (; at < s.n; at++)
        if (((unsigned char)s.s[at] & 0xC0) != 0x80 && most-- == 0)
            break;
    return at;
}

/* The token as error texts show it. */
static void print_token(struct oll_strbuf *out, struct go_token t)
{
    if (t.type == GO_TOKEN_EOF) {
        oll_strbuf_adds(out, "EOF");
    } else if (t.type == GO_TOKEN_ERROR) {
        oll_strbuf_add(out, t.val.s, t.val.n);
    } else if (t.type > GO_TOKEN_KEYWORD) {
        oll_strbuf_printf(out, "<%.*s>", (int)t.val.n, t.val.s);
    } else {
        go_quote(out, (struct go_str){t.val.s, first_runes(t.val, 10)});
        oll_strbuf_adds(out, t.val.n > 10 ? "..." : "");
    }
}

static bool ends_with(struct go_str s, const char *end)
{
    const size_t n = strlen(end);
    return s.n >= n && memcmp(s.s + s.n - n, end, n) == 0;
}

static oll_status unexpected(struct parser *p, struct go_token t, const char *context)
{
    struct oll_strbuf sb;
    oll_status status;
    oll_strbuf_init(&sb, 4096);
    print_token(&sb, t);
    if (t.type != GO_TOKEN_ERROR)
        status = fail(p, "unexpected %s in %s", sb.data, context);
    else if (p->action_line == 0 || p->action_line == t.line)
        status = fail(p, "%s", sb.data);
    else
        status = fail(p, "%s%s started at :%u", sb.data,
                      ends_with(t.val, " action") ? "" : " in action", p->action_line);
    oll_strbuf_free(&sb);
    return status;
}

static oll_status expect_close(struct parser *p, const char *context)
{
    const struct go_token t = next_solid(p);
    return t.type == GO_TOKEN_CLOSE ? OLL_OK : unexpected(p, t, context);
}

/* ---- nodes ---- */

static oll_status new_node(struct parser *p, enum go_node_type type, uint32_t pos,
                           struct go_node **out)
{
    struct go_node *n = oll_arena_alloc(p->arena, 1, sizeof *n);
    if (!n)
        return OLL_FAIL(p->err, p->arena->status, "no memory for the tree of the template");
    n->type = (uint8_t)type;
    n->pos = pos;
    *out = n;
    return OLL_OK;
}

static oll_status add_name(struct parser *p, struct go_node *node, struct go_str name)
{
    struct go_str *names = (struct go_str *)node->names;
    /* Room grows in powers of two. */
    if ((node->n_names & (node->n_names - 1)) == 0) {
        const uint32_t room = node->n_names ? 2 * node->n_names : 1;
        names = oll_arena_alloc(p->arena, room, sizeof *names);
        if (!names)
            return OLL_FAIL(p->err, p->arena->status, "no memory for the tree of the template");
        if (node->n_names)
            memcpy(names, node->names, node->n_names * sizeof *names);
    }
    names[node->n_names++] = name;
    node->names = names;
    return OLL_OK;
}

static oll_status enter(struct parser *p)
{
    if (++p->depth > GO_NEST_MAX)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT,
                        "template: :%u: blocks and parentheses are nested deeper than %d", p->line,
                        GO_NEST_MAX);
    return OLL_OK;
}

static oll_status declare(struct parser *p, struct go_str name)
{
    if (p->n_vars == GO_VARIABLES_MAX)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT,
                        "template: :%u: more than %d variables are visible at one place", p->line,
                        GO_VARIABLES_MAX);
    p->vars[p->n_vars++] = name;
    return OLL_OK;
}

static bool same(struct go_str a, struct go_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static bool is_declared(const struct parser *p, struct go_str name)
{
    for (uint32_t i = p->n_vars; i > p->first_var; i--)
        if (same(p->vars[i - 1], name))
            return true;
    return false;
}

/* ---- numbers ---- */

static bool contains_any(struct go_str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.s[i] && strchr(set, s.s[i]))
            return true;
    return false;
}

/* Go allows "_" between digits and behind a base prefix. */
static bool underscores_fit(struct go_str s)
{
    char before = '^';
    size_t i = s.n && (s.s[0] == '+' || s.s[0] == '-');
    const bool prefixed = s.n >= i + 2 && s.s[i] == '0' && strchr("xXoObB", s.s[i + 1]);
    const bool hex = prefixed && (s.s[i + 1] | 0x20) == 'x';
    if (prefixed) {
        i += 2;
        before = '0';
    }
    for (; i < s.n; i++) {
        const char c = s.s[i];
        if ((c >= '0' && c <= '9') || (hex && strchr("abcdefABCDEF", c))) {
            before = '0';
        } else if (c == '_') {
            if (before != '0')
                return false;
            before = '_';
        } else {
            if (before == '_')
                return false;
            before = '!';
        }
    }
    return before != '_';
}

static bool parse_integer(struct go_str s, int64_t *out, bool *overflows)
{
    uint64_t v = 0;
    size_t i = s.n && (s.s[0] == '+' || s.s[0] == '-');
    const bool negative = s.n && s.s[0] == '-';
    unsigned base = 10;
    *overflows = false;
    if (s.n > i + 1 && s.s[i] == '0') {
        const char c = (char)(s.s[i + 1] | 0x20);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        i += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
    }
    const size_t first = i;
    for (; i < s.n; i++) {
        const char c = s.s[i];
        if (c == '_')
            continue;
        const unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                           : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                  : 99;
        if (d >= base)
            return false;
        *overflows = *overflows || v > (UINT64_MAX - d) / base;
        v = v * base + d;
    }
    if (i == first)
        return false;
    *overflows = *overflows || v > (uint64_t)INT64_MAX + negative;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return !*overflows;
}

static bool parse_float(struct go_str s, double *out)
{
    char text[128];
    size_t n = 0;
    if (s.n >= sizeof text)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.s[i] != '_')
            text[n++] = s.s[i];
    text[n] = '\0';
    /* A mantissa in hexadecimal needs its exponent. */
    if (strpbrk(text, "xX") && !strpbrk(text, "pP"))
        return false;
    char *end;
    *out = strtod(text, &end);
    return n > 0 && *end == '\0' && isfinite(*out);
}

static oll_status parse_number(struct parser *p, struct go_token t, struct go_node **out)
{
    struct oll_strbuf sb;
    bool overflows = false;
    const bool fraction = contains_any(t.val, ".eEpP");
    OLL_TRY(new_node(p, GO_NODE_INT, t.pos, out));
    (*out)->text = t.val;
    if (t.type == GO_TOKEN_RUNE) {
        uint32_t cp;
        bool malformed;
        if (!go_unquote_rune(t.val, &cp, &malformed))
            return malformed ? fail(p, "malformed character constant: %.*s", (int)t.val.n, t.val.s)
                             : fail(p, "invalid syntax");
        (*out)->i = cp;
        return OLL_OK;
    }
    const bool spelled = underscores_fit(t.val);
    if (spelled && parse_integer(t.val, &(*out)->i, &overflows))
        return OLL_OK;
    if (spelled && !overflows && fraction && parse_float(t.val, &(*out)->real)) {
        (*out)->type = GO_NODE_FLOAT;
        return OLL_OK;
    }
    oll_strbuf_init(&sb, 4096);
    go_quote(&sb, t.val);
    const oll_status status =
        fail(p, "%s: %s", overflows ? "integer overflow" : "illegal number syntax", sb.data);
    oll_strbuf_free(&sb);
    return status;
}

/* ---- pipelines ---- */

static oll_status parse_pipeline(struct parser *p, const char *context, enum go_token_type end,
                                 struct go_node **out);

static oll_status parse_identifier(struct parser *p, struct go_token t, struct go_node **out)
{
    const struct go_function *function = go_function_find(t.val);
    if (!function)
        return fail(p, "function \"%.*s\" not defined", (int)t.val.n, t.val.s);
    OLL_TRY(new_node(p, GO_NODE_IDENT, t.pos, out));
    (*out)->text = t.val;
    (*out)->function = function;
    return OLL_OK;
}

static oll_status parse_variable(struct parser *p, struct go_token t, struct go_node **out)
{
    if (!is_declared(p, t.val))
        return fail(p, "undefined variable \"%.*s\"", (int)t.val.n, t.val.s);
    OLL_TRY(new_node(p, GO_NODE_VARIABLE, t.pos, out));
    return add_name(p, *out, t.val);
}

static oll_status parse_string(struct parser *p, struct go_token t, struct go_node **out)
{
    OLL_TRY(new_node(p, GO_NODE_STRING, t.pos, out));
    (*out)->text = t.val;
    if (!go_unquote(p->arena, t.val, &(*out)->value))
        return fail(p, "invalid syntax");
    return OLL_OK;
}

static struct go_str without_dot(struct go_str field)
{
    return (struct go_str){field.s + 1, field.n - 1};
}

/* One operand without the fields behind it; *out NULL when the next token starts none. */
static oll_status parse_term(struct parser *p, struct go_node **out)
{
    const struct go_token t = next_solid(p);
    *out = NULL;
    switch (t.type) {
    case GO_TOKEN_IDENT: return parse_identifier(p, t, out);
    case GO_TOKEN_VARIABLE: return parse_variable(p, t, out);
    case GO_TOKEN_RUNE:
    case GO_TOKEN_NUMBER: return parse_number(p, t, out);
    case GO_TOKEN_STRING:
    case GO_TOKEN_RAW: return parse_string(p, t, out);
    case GO_TOKEN_LEFT:
        OLL_TRY(enter(p));
        OLL_TRY(parse_pipeline(p, "parenthesized pipeline", GO_TOKEN_RIGHT, out));
        p->depth--;
        return OLL_OK;
    case GO_TOKEN_FIELD:
        OLL_TRY(new_node(p, GO_NODE_FIELD, t.pos, out));
        return add_name(p, *out, without_dot(t.val));
    case GO_TOKEN_DOT:
    case GO_TOKEN_NIL:
        OLL_TRY(new_node(p, t.type == GO_TOKEN_DOT ? GO_NODE_DOT : GO_NODE_NIL, t.pos, out));
        (*out)->text = t.val;
        return OLL_OK;
    case GO_TOKEN_BOOL:
        OLL_TRY(new_node(p, GO_NODE_BOOL, t.pos, out));
        (*out)->text = t.val;
        (*out)->is_true = go_str_equal(t.val, "true");
        return OLL_OK;
    default: push_back(p, t); return OLL_OK;
    }
}

static oll_status refuse_fields(struct parser *p, const struct go_node *term)
{
    struct oll_strbuf text, quoted;
    oll_strbuf_init(&text, 4096);
    oll_strbuf_init(&quoted, 8192);
    go_node_print(&text, term);
    go_quote(&quoted, (struct go_str){text.data, text.len});
    const oll_status status = fail(p, "unexpected . after term %s", quoted.data);
    oll_strbuf_free(&text);
    oll_strbuf_free(&quoted);
    return status;
}

/* A term and the fields that follow it without a blank. The node of a field chain stands, as in
 * Go, where its second field stands. */
static oll_status parse_operand(struct parser *p, struct go_node **out)
{
    OLL_TRY(parse_term(p, out));
    const struct go_token first = peek(p);
    if (!*out || first.type != GO_TOKEN_FIELD)
        return OLL_OK;
    struct go_node *node = *out;
    const bool named = node->type == GO_NODE_FIELD || node->type == GO_NODE_VARIABLE;
    if (named) {
        node->pos = first.pos;
    } else {
        OLL_TRY(new_node(p, GO_NODE_CHAIN, first.pos, out));
        (*out)->first = node;
    }
    while (peek(p).type == GO_TOKEN_FIELD)
        OLL_TRY(add_name(p, *out, without_dot(next(p).val)));
    const enum go_node_type type = (enum go_node_type)node->type;
    if (type == GO_NODE_BOOL || type == GO_NODE_STRING || type == GO_NODE_INT ||
        type == GO_NODE_FLOAT || type == GO_NODE_NIL || type == GO_NODE_DOT)
        return refuse_fields(p, node);
    return OLL_OK;
}

static oll_status parse_command(struct parser *p, struct go_node **out)
{
    OLL_TRY(new_node(p, GO_NODE_COMMAND, peek_solid(p).pos, out));
    struct go_node **tail = &(*out)->first;
    for (;;) {
        peek_solid(p);
        OLL_TRY(parse_operand(p, tail));
        if (*tail)
            tail = &(*tail)->next;
        const struct go_token t = next(p);
        if (t.type == GO_TOKEN_SPACE)
            continue;
        if (t.type == GO_TOKEN_CLOSE || t.type == GO_TOKEN_RIGHT)
            push_back(p, t);
        else if (t.type != GO_TOKEN_PIPE)
            return unexpected(p, t, "operand");
        break;
    }
    return (*out)->first ? OLL_OK : fail(p, "empty command");
}

/* "$x :=", "$x =", and in a range "$i, $x :=". Another use of a variable is pushed back. */
static oll_status parse_declarations(struct parser *p, const char *context, struct go_node *pipe)
{
    while (peek_solid(p).type == GO_TOKEN_VARIABLE) {
        const struct go_token v = next_solid(p), behind = peek(p), solid = peek_solid(p);
        const bool comma = solid.type == GO_TOKEN_CHAR && solid.val.s[0] == ',';
        if (solid.type != GO_TOKEN_ASSIGN && solid.type != GO_TOKEN_DECLARE && !comma) {
            if (behind.type == GO_TOKEN_SPACE)
                push_back(p, behind);
            push_back(p, v);
            return OLL_OK;
        }
        next_solid(p);
        OLL_TRY(add_name(p, pipe, v.val));
        OLL_TRY(declare(p, v.val));
        if (!comma) {
            pipe->is_assign = solid.type == GO_TOKEN_ASSIGN;
            return OLL_OK;
        }
        if (strcmp(context, "range") != 0 || pipe->n_names >= 2)
            return fail(p, "too many declarations in %s", context);
        const uint8_t then = peek_solid(p).type;
        if (then != GO_TOKEN_VARIABLE && then != GO_TOKEN_CLOSE && then != GO_TOKEN_RIGHT)
            return fail(p, "range can only initialize variables");
    }
    return OLL_OK;
}

/* Only the first command may be a value; the others receive one, so they must be callable. */
static oll_status check_pipeline(struct parser *p, const struct go_node *pipe, const char *context)
{
    int stage = 1;
    if (!pipe->first)
        return fail(p, "missing value for %s", context);
    for (const struct go_node *c = pipe->first->next; c; c = c->next) {
        const enum go_node_type type = (enum go_node_type)c->first->type;
        stage++;
        if (type == GO_NODE_BOOL || type == GO_NODE_DOT || type == GO_NODE_NIL ||
            type == GO_NODE_INT || type == GO_NODE_FLOAT || type == GO_NODE_STRING)
            return fail(p, "non executable command in pipeline stage %d", stage);
    }
    return OLL_OK;
}

static oll_status parse_pipeline(struct parser *p, const char *context, enum go_token_type end,
                                 struct go_node **out)
{
    OLL_TRY(new_node(p, GO_NODE_PIPE, peek_solid(p).pos, out));
    OLL_TRY(parse_declarations(p, context, *out));
    struct go_node **tail = &(*out)->first;
    for (;;) {
        const struct go_token t = next_solid(p);
        if (t.type == (uint8_t)end)
            return check_pipeline(p, *out, context);
        const bool starts_operand = (t.type >= GO_TOKEN_BOOL && t.type <= GO_TOKEN_IDENT) ||
                                    t.type == GO_TOKEN_DOT || t.type == GO_TOKEN_NIL ||
                                    t.type == GO_TOKEN_LEFT;
        if (!starts_operand)
            return unexpected(p, t, context);
        push_back(p, t);
        OLL_TRY(parse_command(p, tail));
        tail = &(*tail)->next;
    }
}

/* ---- actions ---- */

static oll_status parse_list(struct parser *p, struct go_node **list, struct go_node **end);
static oll_status parse_action(struct parser *p, struct go_node **out);

/* The else part of `{{else if x}}` is a list with that `if` alone, which takes over the {{end}}. */
static oll_status parse_else(struct parser *p, enum go_token_type word, struct go_node *node)
{
    struct go_node *end = NULL;
    if ((word == GO_TOKEN_IF || word == GO_TOKEN_WITH) && peek(p).type == (uint8_t)word) {
        const struct go_token t = peek(p);
        OLL_TRY(new_node(p, GO_NODE_LIST, t.pos, &node->other));
        return parse_action(p, &node->other->first);
    }
    OLL_TRY(parse_list(p, &node->other, &end));
    if (end->type != GO_NODE_END)
        return fail(p, "expected end; found {{else}}");
    return OLL_OK;
}

static oll_status parse_control(struct parser *p, struct go_token word, struct go_node **out)
{
    const enum go_token_type type = (enum go_token_type)word.type;
    const uint32_t n_vars = p->n_vars;
    const bool is_range = type == GO_TOKEN_RANGE;
    const char *context = is_range ? "range" : type == GO_TOKEN_IF ? "if" : "with";
    struct go_node *end = NULL;
    OLL_TRY(enter(p));
    OLL_TRY(new_node(p,
                     is_range              ? GO_NODE_RANGE
                     : type == GO_TOKEN_IF ? GO_NODE_IF
                                           : GO_NODE_WITH,
                     peek_solid(p).pos, out));
    OLL_TRY(parse_pipeline(p, context, GO_TOKEN_CLOSE, &(*out)->pipe));
    (*out)->pos = (*out)->pipe->pos;
    p->range_depth += is_range;
    OLL_TRY(parse_list(p, &(*out)->first, &end));
    p->range_depth -= is_range;
    if (end->type == GO_NODE_ELSE)
        OLL_TRY(parse_else(p, type, *out));
    p->n_vars = n_vars;
    p->depth--;
    return OLL_OK;
}

static oll_status parse_jump(struct parser *p, struct go_token word, struct go_node **out)
{
    const bool is_break = word.type == GO_TOKEN_BREAK;
    const struct go_token t = next_solid(p);
    if (t.type != GO_TOKEN_CLOSE)
        return unexpected(p, t, is_break ? "{{break}}" : "{{continue}}");
    if (p->range_depth == 0)
        return fail(p, "{{%s}} outside {{range}}", is_break ? "break" : "continue");
    return new_node(p, is_break ? GO_NODE_BREAK : GO_NODE_CONTINUE, word.pos, out);
}

static oll_status parse_else_word(struct parser *p, struct go_node **out)
{
    const struct go_token t = peek_solid(p);
    if (t.type == GO_TOKEN_IF || t.type == GO_TOKEN_WITH)
        return new_node(p, GO_NODE_ELSE, t.pos, out);
    OLL_TRY(expect_close(p, "else"));
    return new_node(p, GO_NODE_ELSE, t.pos, out);
}

static oll_status parse_name(struct parser *p, struct go_token t, const char *context,
                             struct go_str *name)
{
    if (t.type != GO_TOKEN_STRING && t.type != GO_TOKEN_RAW)
        return unexpected(p, t, context);
    return go_unquote(p->arena, t.val, name) ? OLL_OK : fail(p, "invalid syntax");
}

static oll_status parse_template(struct parser *p, struct go_node **out)
{
    const struct go_token name = next_solid(p);
    struct go_str value;
    OLL_TRY(parse_name(p, name, "template clause", &value));
    OLL_TRY(new_node(p, GO_NODE_TEMPLATE, name.pos, out));
    (*out)->text = name.val;
    (*out)->value = value;
    const struct go_token t = next_solid(p);
    if (t.type == GO_TOKEN_CLOSE)
        return OLL_OK;
    push_back(p, t);
    return parse_pipeline(p, "template clause", GO_TOKEN_CLOSE, &(*out)->pipe);
}

/* ---- definitions ---- */

static bool is_blank(const struct go_node *list)
{
    for (const struct go_node *n = list->first; n; n = n->next) {
        if (n->type != GO_NODE_TEXT)
            return false;
        for (size_t i = 0; i < n->text.n; i++)
            if (!strchr(" \t\r\n\v\f", n->text.s[i]) || !n->text.s[i])
                return false;
    }
    return true;
}

/* A second definition may only replace a blank one, or be blank itself. */
static oll_status add_define(struct parser *p, struct go_str name, struct go_node *root)
{
    struct go_tree *tree = p->tree;
    for (uint32_t i = 0; i < tree->n_defines; i++) {
        struct go_define *d = &tree->defines[i];
        if (!same(d->name, name))
            continue;
        if (!d->root || is_blank(d->root))
            d->root = root;
        else if (!is_blank(root))
            return fail(p, "template: multiple definition of template \"%.*s\"", (int)name.n,
                        name.s);
        return OLL_OK;
    }
    if (tree->n_defines == GO_DEFINES_MAX)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "template: :%u: more than %d templates are defined",
                        p->line, GO_DEFINES_MAX);
    tree->defines[tree->n_defines++] = (struct go_define){name, root};
    return OLL_OK;
}

/* The body of a define or block: variables and ranges around it are not visible inside. */
static oll_status parse_body(struct parser *p, struct go_str name, bool is_block)
{
    const uint32_t line = p->line;
    struct go_node *root = NULL, *end = NULL;
    const uint32_t n_vars = p->n_vars, first_var = p->first_var, range_depth = p->range_depth;
    const uint32_t action_line = p->action_line;
    OLL_TRY(enter(p));
    p->first_var = n_vars;
    p->range_depth = 0;
    p->action_line = 0;
    OLL_TRY(declare(p, (struct go_str){"$", 1}));
    OLL_TRY(parse_list(p, &root, &end));
    if (end->type != GO_NODE_END) {
        /* Go reports this fault of a block where the block began. */
        p->line = is_block ? line : p->line;
        return fail(p, "unexpected {{else}} in %s", is_block ? "block clause" : "define clause");
    }
    OLL_TRY(add_define(p, name, root));
    p->action_line = action_line;
    p->range_depth = range_depth;
    p->first_var = first_var;
    p->n_vars = n_vars;
    p->depth--;
    return OLL_OK;
}

static oll_status parse_define(struct parser *p)
{
    const struct go_token t = next_solid(p);
    struct go_str name;
    OLL_TRY(parse_name(p, t, "define clause", &name));
    OLL_TRY(expect_close(p, "define clause"));
    return parse_body(p, name, false);
}

static oll_status parse_block(struct parser *p, struct go_node **out)
{
    const struct go_token t = next_solid(p);
    struct go_str name;
    struct go_node *pipe = NULL;
    OLL_TRY(parse_name(p, t, "block clause", &name));
    OLL_TRY(parse_pipeline(p, "block clause", GO_TOKEN_CLOSE, &pipe));
    OLL_TRY(parse_body(p, name, true));
    OLL_TRY(new_node(p, GO_NODE_TEMPLATE, t.pos, out));
    (*out)->text = t.val;
    (*out)->value = name;
    (*out)->pipe = pipe;
    return OLL_OK;
}

/* ---- lists ---- */

/* What stands behind the opening delimiter. */
static oll_status parse_action(struct parser *p, struct go_node **out)
{
    const struct go_token t = next_solid(p);
    switch (t.type) {
    case GO_TOKEN_BLOCK: return parse_block(p, out);
    case GO_TOKEN_BREAK:
    case GO_TOKEN_CONTINUE: return parse_jump(p, t, out);
    case GO_TOKEN_ELSE: return parse_else_word(p, out);
    case GO_TOKEN_END: OLL_TRY(expect_close(p, "end")); return new_node(p, GO_NODE_END, t.pos, out);
    case GO_TOKEN_IF:
    case GO_TOKEN_RANGE:
    case GO_TOKEN_WITH: return parse_control(p, t, out);
    case GO_TOKEN_TEMPLATE: return parse_template(p, out);
    default: break;
    }
    push_back(p, t);
    OLL_TRY(new_node(p, GO_NODE_ACTION, t.pos, out));
    return parse_pipeline(p, "command", GO_TOKEN_CLOSE, &(*out)->pipe);
}

static oll_status parse_text_or_action(struct parser *p, struct go_node **out)
{
    const struct go_token t = next_solid(p);
    if (t.type == GO_TOKEN_TEXT) {
        OLL_TRY(new_node(p, GO_NODE_TEXT, t.pos, out));
        (*out)->text = t.val;
        return OLL_OK;
    }
    if (t.type != GO_TOKEN_OPEN)
        return unexpected(p, t, "input");
    p->action_line = t.line;
    OLL_TRY(parse_action(p, out));
    p->action_line = 0;
    return OLL_OK;
}

/* Nodes up to an {{else}} or {{end}}, which is given back in *end. */
static oll_status parse_list(struct parser *p, struct go_node **list, struct go_node **end)
{
    OLL_TRY(new_node(p, GO_NODE_LIST, peek_solid(p).pos, list));
    struct go_node **tail = &(*list)->first;
    while (peek_solid(p).type != GO_TOKEN_EOF) {
        struct go_node *node = NULL;
        OLL_TRY(parse_text_or_action(p, &node));
        if (node->type == GO_NODE_END || node->type == GO_NODE_ELSE) {
            *end = node;
            return OLL_OK;
        }
        *tail = node;
        tail = &node->next;
    }
    return fail(p, "unexpected EOF");
}

static oll_status parse_main(struct parser *p, struct go_node **root)
{
    OLL_TRY(new_node(p, GO_NODE_LIST, 0, root));
    struct go_node **tail = &(*root)->first;
    while (peek(p).type != GO_TOKEN_EOF) {
        struct go_node *node = NULL;
        if (peek(p).type == GO_TOKEN_OPEN) {
            const struct go_token open = next(p);
            const struct go_token word = next_solid(p);
            if (word.type == GO_TOKEN_DEFINE) {
                OLL_TRY(parse_define(p));
                continue;
            }
            push_back(p, word);
            push_back(p, open);
        }
        OLL_TRY(parse_text_or_action(p, &node));
        if (node->type == GO_NODE_END || node->type == GO_NODE_ELSE)
            return fail(p, "unexpected %s", node->type == GO_NODE_END ? "{{end}}" : "{{else}}");
        *tail = node;
        tail = &node->next;
    }
    return OLL_OK;
}

static oll_status prepare(struct parser *p, const char *source, size_t n)
{
    if (n > GO_SOURCE_MAX)
        return OLL_FAIL(p->err, OLL_ERR_LIMIT, "template: %zu bytes are more than the limit of %d",
                        n, GO_SOURCE_MAX);
    p->tree->source = oll_arena_strndup(p->arena, source, n);
    p->tree->source_len = n;
    p->tree->defines = oll_arena_alloc(p->arena, GO_DEFINES_MAX, sizeof *p->tree->defines);
    if (!p->tree->defines)
        return OLL_FAIL(p->err, p->arena->status, "no memory for the tree of the template");
    p->tree->defines[p->tree->n_defines++] = (struct go_define){{"", 0}, NULL};
    go_lexer_init(&p->lexer, p->arena, p->tree->source, n);
    return declare(p, (struct go_str){"$", 1});
}

oll_status go_tree_parse(struct oll_arena *arena, const char *source, size_t n, struct go_tree *out,
                         struct oll_error *err)
{
    struct go_node *root = NULL;
    struct parser *p = oll_arena_alloc(arena, 1, sizeof *p);
    if (!p)
        return OLL_FAIL(err, arena->status, "no memory for the parser of the template");
    *out = (struct go_tree){0};
    p->arena = arena;
    p->tree = out;
    p->err = err;
    OLL_TRY(prepare(p, source, n));
    OLL_TRY(parse_main(p, &root));
    return add_define(p, (struct go_str){"", 0}, root);
}
