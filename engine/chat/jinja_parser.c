#include "engine/chat/jinja_parser.h"

#include <stdio.h>
#include <string.h>

/* ---- tokens and nodes ---- */

struct jinja_node *jinja_parser_fail(struct jinja_parser *p, const char *fmt, ...)
{
    if (jinja_parser_ok(p)) {
        char text[512];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        p->lexer.status = OLL_FAIL(p->lexer.err, OLL_ERR_FORMAT, "%s (chat template, line %u)",
                                   text, p->now.line);
    }
    p->now.type = JINJA_TOK_END;
    p->has_ahead = false;
    return NULL;
}

static void read_token(struct jinja_parser *p, struct jinja_token *token)
{
    if (jinja_lex(&p->lexer, token) != OLL_OK)
        token->type = JINJA_TOK_END;
}

void jinja_parser_next(struct jinja_parser *p)
{
    if (p->has_ahead && jinja_parser_ok(p))
        p->now = p->ahead;
    else
        read_token(p, &p->now);
    p->has_ahead = false;
}

const struct jinja_token *jinja_parser_peek(struct jinja_parser *p)
{
    if (!p->has_ahead)
        read_token(p, &p->ahead);
    p->has_ahead = true;
    return &p->ahead;
}

bool jinja_parser_is_op(const struct jinja_parser *p, uint32_t op)
{
    return p->now.type == JINJA_TOK_OP && p->now.op == op;
}

bool jinja_parser_is_name(const struct jinja_parser *p, const char *name)
{
    return p->now.type == JINJA_TOK_NAME && p->now.n == strlen(name) &&
           !memcmp(p->now.text, name, p->now.n);
}

bool jinja_parser_skip_op(struct jinja_parser *p, uint32_t op)
{
    const bool found = jinja_parser_ok(p) && jinja_parser_is_op(p, op);
    if (found)
        jinja_parser_next(p);
    return found;
}

bool jinja_parser_skip_name(struct jinja_parser *p, const char *name)
{
    const bool found = jinja_parser_ok(p) && jinja_parser_is_name(p, name);
    if (found)
        jinja_parser_next(p);
    return found;
}

void jinja_parser_expect_op(struct jinja_parser *p, uint32_t op)
{
    if (jinja_parser_ok(p) && !jinja_parser_skip_op(p, op))
        jinja_parser_fail(p, "'%c' expected", (char)(op & 0xff));
}

const char *jinja_parser_expect_ident(struct jinja_parser *p)
{
    if (jinja_parser_ok(p) && p->now.type != JINJA_TOK_NAME)
        jinja_parser_fail(p, "a name expected");
    if (!jinja_parser_ok(p))
        return "";
    const char *name = oll_arena_strndup(&p->page->arena, p->now.text, p->now.n);
    if (!name)
        jinja_parser_fail(p, "no memory for the names");
    jinja_parser_next(p);
    return name ? name : "";
}

struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_type type)
{
    if (!jinja_parser_ok(p))
        return NULL;
    struct jinja_node *node = oll_arena_alloc(&p->page->arena, 1, sizeof *node);
    if (!node)
        return jinja_parser_fail(p, "no memory: the template is too large");
    node->type = (uint8_t)type;
    node->line = p->now.line;
    return node;
}

static struct jinja_name **bucket(struct jinja_parser *p, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return &p->names[hash % JINJA_NAME_BUCKETS];
}

uint32_t jinja_parser_symbol(struct jinja_parser *p, const char *name)
{
    struct jinja_name **chain = bucket(p, name);
    for (struct jinja_name *n = *chain; n; n = n->next)
        if (!strcmp(n->text, name))
            return n->symbol;
    struct jinja_name *n = oll_arena_alloc(&p->page->arena, 1, sizeof *n);
    if (!n) {
        jinja_parser_fail(p, "no memory for the names");
        return 0;
    }
    *n = (struct jinja_name){.next = *chain, .text = name, .symbol = p->page->n_symbols++};
    *chain = n;
    return n->symbol;
}

bool jinja_parser_enter(struct jinja_parser *p)
{
    if (++p->depth > JINJA_NEST_MAX)
        jinja_parser_fail(p, "the template nests deeper than %d levels", JINJA_NEST_MAX);
    return jinja_parser_ok(p);
}

void jinja_parser_leave(struct jinja_parser *p) { p->depth--; }

/* ---- statements ---- */

static void expect_block_end(struct jinja_parser *p)
{
    if (jinja_parser_ok(p) && p->now.type != JINJA_TOK_BLOCK_END)
        jinja_parser_fail(p, "'%%}' expected");
    jinja_parser_next(p);
}

static struct jinja_node *statement(struct jinja_parser *p);

static bool at_one_of(const struct jinja_parser *p, const char *const *words)
{
    for (; *words; words++)
        if (jinja_parser_is_name(p, *words))
            return true;
    return false;
}

/* Text and tags up to a block that starts with one of `ends` (NULL: the end of the template), whose
 * word is left as the current token. */
static struct jinja_node *body(struct jinja_parser *p, const char *const *ends)
{
    struct jinja_node *first = NULL, **link = &first;
    if (!jinja_parser_enter(p))
        return NULL;
    while (jinja_parser_ok(p) && p->now.type != JINJA_TOK_END) {
        if (p->now.type == JINJA_TOK_TEXT) {
            struct jinja_node *text = jinja_parser_node(p, JINJA_N_TEXT);
            if (text) {
                text->name = p->now.text;
                text->n = p->now.n;
            }
            jinja_parser_append(&link, text);
            jinja_parser_next(p);
        } else if (p->now.type == JINJA_TOK_PRINT) {
            jinja_parser_next(p);
            struct jinja_node *print = jinja_parser_node(p, JINJA_N_PRINT);
            struct jinja_node *value = jinja_parser_tuple(p, true);
            if (print)
                print->a = value;
            jinja_parser_append(&link, print);
            if (jinja_parser_ok(p) && p->now.type != JINJA_TOK_PRINT_END)
                jinja_parser_fail(p, "'}}' expected");
            jinja_parser_next(p);
        } else {
            jinja_parser_next(p);
            if (ends && at_one_of(p, ends))
                break;
            jinja_parser_append(&link, statement(p));
            expect_block_end(p);
        }
    }
    if (ends && jinja_parser_ok(p) && p->now.type == JINJA_TOK_END)
        jinja_parser_fail(p, "the template ends where '%s' is expected", ends[0]);
    jinja_parser_leave(p);
    return first;
}

/* The body of a block up to its end tag, whose word is stepped over. */
static struct jinja_node *closed_body(struct jinja_parser *p, const char *end)
{
    const char *const ends[] = {end, NULL};
    expect_block_end(p);
    struct jinja_node *list = body(p, ends);
    jinja_parser_next(p);
    return list;
}

static struct jinja_node *if_statement(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    struct jinja_node **link = &node->list;
    bool with_test = true;
    p->conditions++;
    for (;;) {
        struct jinja_node *branch = jinja_parser_node(p, JINJA_N_BRANCH);
        if (!branch)
            break;
        if (with_test)
            branch->a = jinja_parser_tuple(p, false);
        expect_block_end(p);
        branch->list = body(p, ends);
        jinja_parser_append(&link, branch);
        if (jinja_parser_skip_name(p, "endif") || !jinja_parser_ok(p))
            break;
        if (!with_test) {
            jinja_parser_fail(p, "'endif' expected");
            break;
        }
        with_test = jinja_parser_is_name(p, "elif");
        jinja_parser_next(p);
    }
    p->conditions--;
    return node;
}

static struct jinja_node *for_statement(struct jinja_parser *p, struct jinja_node *node)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    node->b = jinja_parser_target(p, false);
    if (!jinja_parser_skip_name(p, "in"))
        return jinja_parser_fail(p, "'in' expected");
    node->a = jinja_parser_tuple(p, false);
    if (jinja_parser_skip_name(p, "if"))
        node->c = jinja_parser_expression(p, true);
    node->op = jinja_parser_skip_name(p, "recursive") ? 'r' : 0;
    expect_block_end(p);
    node->list = body(p, ends);
    if (jinja_parser_skip_name(p, "else"))
        node->kw = closed_body(p, "endfor");
    else
        jinja_parser_next(p);
    return node;
}

static struct jinja_node *set_statement(struct jinja_parser *p, struct jinja_node *node)
{
    node->b = jinja_parser_target(p, true);
    if (jinja_parser_skip_op(p, JINJA_OP('=', 0))) {
        node->a = jinja_parser_tuple(p, true);
        return node;
    }
    node->type = JINJA_N_SET_BLOCK;
    node->a = jinja_parser_filters(p, NULL, false);
    node->list = closed_body(p, "endset");
    return node;
}

void jinja_parser_signature(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_node **link = &node->kw;
    jinja_parser_expect_op(p, JINJA_OP('(', 0));
    while (jinja_parser_ok(p) && !jinja_parser_is_op(p, JINJA_OP(')', 0))) {
        if (node->kw)
            jinja_parser_expect_op(p, JINJA_OP(',', 0));
        struct jinja_node *param = jinja_parser_node(p, JINJA_N_PARAM);
        const char *name = jinja_parser_expect_ident(p);
        if (!param)
            return;
        param->name = name;
        param->symbol = jinja_parser_symbol(p, name);
        if (jinja_parser_skip_op(p, JINJA_OP('=', 0)))
            param->a = jinja_parser_expression(p, true);
        jinja_parser_append(&link, param);
    }
    jinja_parser_expect_op(p, JINJA_OP(')', 0));
}

static struct jinja_node *macro_statement(struct jinja_parser *p, struct jinja_node *node)
{
    node->name = jinja_parser_expect_ident(p);
    node->symbol = jinja_parser_symbol(p, node->name);
    jinja_parser_signature(p, node);
    node->list = closed_body(p, "endmacro");
    return node;
}

static struct jinja_node *call_statement(struct jinja_parser *p, struct jinja_node *node)
{
    node->name = "caller";
    if (jinja_parser_is_op(p, JINJA_OP('(', 0)))
        jinja_parser_signature(p, node);
    node->a = jinja_parser_expression(p, true);
    if (jinja_parser_ok(p) && node->a->type != JINJA_N_CALL)
        return jinja_parser_fail(p, "a call expected");
    node->list = closed_body(p, "endcall");
    return node;
}

static struct jinja_node *filter_statement(struct jinja_parser *p, struct jinja_node *node)
{
    node->a = jinja_parser_filters(p, NULL, true);
    node->list = closed_body(p, "endfilter");
    return node;
}

static struct jinja_node *with_statement(struct jinja_parser *p, struct jinja_node *node)
{
    struct jinja_node **link = &node->kw;
    while (jinja_parser_ok(p) && p->now.type == JINJA_TOK_NAME) {
        struct jinja_node *set = jinja_parser_node(p, JINJA_N_SET);
        struct jinja_node *target = jinja_parser_target(p, false);
        jinja_parser_expect_op(p, JINJA_OP('=', 0));
        if (!set)
            return NULL;
        set->b = target;
        set->a = jinja_parser_expression(p, true);
        jinja_parser_append(&link, set);
        if (!jinja_parser_skip_op(p, JINJA_OP(',', 0)))
            break;
    }
    node->list = closed_body(p, "endwith");
    return node;
}

static struct jinja_node *generation_statement(struct jinja_parser *p, struct jinja_node *node)
{
    node->list = closed_body(p, "endgeneration");
    return node;
}

static struct jinja_node *bare_statement(struct jinja_parser *p, struct jinja_node *node)
{
    (void)p;
    return node;
}

/* The statement at the current token, up to its last '%}'. */
static struct jinja_node *statement(struct jinja_parser *p)
{
    static const struct {
        const char *word;
        enum jinja_node_type type;
        struct jinja_node *(*parse)(struct jinja_parser *p, struct jinja_node *node);
    } statements[] = {
        {"if", JINJA_N_IF, if_statement},
        {"for", JINJA_N_FOR, for_statement},
        {"set", JINJA_N_SET, set_statement},
        {"macro", JINJA_N_MACRO, macro_statement},
        {"call", JINJA_N_CALL_BLOCK, call_statement},
        {"filter", JINJA_N_FILTER_BLOCK, filter_statement},
        {"with", JINJA_N_WITH, with_statement},
        {"generation", JINJA_N_SCOPE, generation_statement},
        {"break", JINJA_N_BREAK, bare_statement},
        {"continue", JINJA_N_CONTINUE, bare_statement},
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!jinja_parser_is_name(p, statements[i].word))
            continue;
        struct jinja_node *node = jinja_parser_node(p, statements[i].type);
        jinja_parser_next(p);
        return node && jinja_parser_ok(p) ? statements[i].parse(p, node) : NULL;
    }
    if (p->now.type != JINJA_TOK_NAME)
        return jinja_parser_fail(p, "the name of a statement expected behind '{%%'");
    return jinja_parser_fail(p, "unknown statement '%.*s'", (int)(p->now.n < 40 ? p->now.n : 40),
                             p->now.text);
}

static oll_status collect_symbols(struct jinja_parser *p)
{
    struct jinja_template *page = p->page;
    page->symbols = oll_arena_alloc(&page->arena, page->n_symbols, sizeof *page->symbols);
    if (!page->symbols)
        return OLL_FAIL(p->lexer.err, page->arena.status, "no memory for the names of a template");
    for (size_t i = 0; i < JINJA_NAME_BUCKETS; i++)
        for (const struct jinja_name *n = p->names[i]; n; n = n->next)
            page->symbols[n->symbol] = n->text;
    return OLL_OK;
}

oll_status jinja_parse(struct jinja_template *page, const char *source, size_t n,
                       struct oll_error *err)
{
    struct jinja_parser p = {.page = page};
    OLL_TRY(jinja_lex_init(&p.lexer, &page->arena, source, n, err));
    jinja_parser_symbol(&p, "loop");
    jinja_parser_symbol(&p, "caller");
    jinja_parser_symbol(&p, "varargs");
    jinja_parser_symbol(&p, "kwargs");
    jinja_parser_next(&p);
    page->body = body(&p, NULL);
    OLL_TRY(p.lexer.status);
    return collect_symbols(&p);
}

uint32_t jinja_symbol(const struct jinja_template *page, const char *name)
{
    for (uint32_t i = 0; i < page->n_symbols; i++)
        if (!strcmp(page->symbols[i], name))
            return i;
    return UINT32_MAX;
}
