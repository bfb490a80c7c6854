/* Expressions, lowest precedence first; the grammar is that of Jinja's own parser:
 *
 *   condition   or [if or [else condition]]
 *   or, and, not
 *   comparison  sum {== != < <= > >= in "not in" sum}
 *   sum         concat {+ - concat}
 *   concat      product {~ product}
 *   product     power {* / // % power}
 *   power       unary {** unary}
 *   unary       - unary | + unary | primary, then . [] () and then | is ()
 */
#include "engine/chat/jinja_parser.h"

#include <string.h>

static struct jinja_node *node_of(struct jinja_parser *p, enum jinja_node_type type,
                                  struct jinja_node *a, struct jinja_node *b)
{
    struct jinja_node *node = jinja_parser_node(p, type);
    if (node) {
        node->a = a;
        node->b = b;
        if (a)
            node->line = a->line;
    }
    return node;
}

static struct jinja_node *constant(struct jinja_parser *p, struct jinja_value v)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_N_CONST);
    if (node)
        node->constant = v;
    return node;
}

/* Adjacent literals are one string. Its characters are counted now: nothing of the tree may change
 * while threads render. */
static struct jinja_node *string_literal(struct jinja_parser *p)
{
    struct oll_arena *arena = &p->page->arena;
    const char *data = p->now.text;
    size_t n = p->now.n;
    for (jinja_parser_next(p); p->now.type == JINJA_TOK_STRING; jinja_parser_next(p)) {
        char *joined = oll_arena_alloc(arena, n + p->now.n + 1, 1);
        if (!joined)
            return jinja_parser_fail(p, "no memory for the strings");
        memcpy(joined, data, n);
        memcpy(joined + n, p->now.text, p->now.n);
        data = joined;
        n += p->now.n;
    }
    struct jinja_str *s = oll_arena_alloc(arena, 1, sizeof *s);
    if (!s)
        return jinja_parser_fail(p, "no memory for the strings");
    *s = (struct jinja_str){.data = data, .len = n, .n_chars = SIZE_MAX};
    jinja_str_chars(s);
    return constant(p, (struct jinja_value){.type = JINJA_STR, .s = s});
}

static struct jinja_node *name_or_constant(struct jinja_parser *p)
{
    static const struct {
        const char *name;
        struct jinja_value value;
    } words[] = {
        {"true", {.type = JINJA_BOOL, .b = true}},
        {"True", {.type = JINJA_BOOL, .b = true}},
        {"false", {.type = JINJA_BOOL, .b = false}},
        {"False", {.type = JINJA_BOOL, .b = false}},
        {"none", {.type = JINJA_NONE}},
        {"None", {.type = JINJA_NONE}},
    };
    const char *name = jinja_parser_expect_ident(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(name, words[i].name))
            return constant(p, words[i].value);
    struct jinja_node *node = jinja_parser_node(p, JINJA_N_NAME);
    if (node) {
        node->name = name;
        node->symbol = jinja_parser_symbol(p, name);
    }
    return node;
}

static struct jinja_node *list_literal(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_N_LIST);
    struct jinja_node **link = node ? &node->list : NULL;
    jinja_parser_next(p);
    while (jinja_parser_ok(p) && !jinja_parser_is_op(p, JINJA_OP(']', 0))) {
        if (node->n > 0)
            jinja_parser_expect_op(p, JINJA_OP(',', 0));
        if (jinja_parser_is_op(p, JINJA_OP(']', 0)))
            break;
        jinja_parser_append(&link, jinja_parser_expression(p, true));
        node->n++;
    }
    jinja_parser_expect_op(p, JINJA_OP(']', 0));
    return node;
}

static struct jinja_node *dict_literal(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_N_DICT);
    struct jinja_node **link = node ? &node->list : NULL;
    jinja_parser_next(p);
    while (jinja_parser_ok(p) && !jinja_parser_is_op(p, JINJA_OP('}', 0))) {
        if (node->n > 0)
            jinja_parser_expect_op(p, JINJA_OP(',', 0));
        if (jinja_parser_is_op(p, JINJA_OP('}', 0)))
            break;
        struct jinja_node *key = jinja_parser_expression(p, true);
        jinja_parser_expect_op(p, JINJA_OP(':', 0));
        jinja_parser_append(&link, node_of(p, JINJA_N_PAIR, key, jinja_parser_expression(p, true)));
        node->n++;
    }
    jinja_parser_expect_op(p, JINJA_OP('}', 0));
    return node;
}

/* Where a tuple that has just had a comma may end. */
static bool at_tuple_end(const struct jinja_parser *p)
{
    return p->now.type == JINJA_TOK_PRINT_END || p->now.type == JINJA_TOK_BLOCK_END ||
           p->now.type == JINJA_TOK_END || jinja_parser_is_op(p, JINJA_OP(')', 0)) ||
           jinja_parser_is_name(p, "recursive");
}

static struct jinja_node *tuple_of(struct jinja_parser *p, bool with_condition, bool in_brackets)
{
    struct jinja_node *tuple = jinja_parser_node(p, JINJA_N_TUPLE);
    struct jinja_node **link = tuple ? &tuple->list : NULL;
    bool comma = false;
    while (jinja_parser_ok(p) && !at_tuple_end(p)) {
        jinja_parser_append(&link, jinja_parser_expression(p, with_condition));
        if (!tuple)
            return NULL;
        tuple->n++;
        if (!jinja_parser_skip_op(p, JINJA_OP(',', 0)))
            break;
        comma = true;
    }
    if (!jinja_parser_ok(p))
        return NULL;
    if (tuple->n == 1 && !comma)
        return tuple->list;
    if (tuple->n == 0 && !in_brackets)
        return jinja_parser_fail(p, "an expression is missing");
    return tuple;
}

struct jinja_node *jinja_parser_tuple(struct jinja_parser *p, bool with_condition)
{
    return tuple_of(p, with_condition, false);
}

static struct jinja_node *number_literal(struct jinja_parser *p)
{
    const struct jinja_value v =
        p->now.type == JINJA_TOK_INT ? jinja_int(p->now.i) : jinja_float(p->now.f);
    jinja_parser_next(p);
    return constant(p, v);
}

static struct jinja_node *primary(struct jinja_parser *p)
{
    switch (p->now.type) {
    case JINJA_TOK_NAME: return name_or_constant(p);
    case JINJA_TOK_STRING: return string_literal(p);
    case JINJA_TOK_INT:
    case JINJA_TOK_FLOAT: return number_literal(p);
    default: break;
    }
    if (jinja_parser_is_op(p, JINJA_OP('[', 0)))
        return list_literal(p);
    if (jinja_parser_is_op(p, JINJA_OP('{', 0)))
        return dict_literal(p);
    if (!jinja_parser_skip_op(p, JINJA_OP('(', 0)))
        return jinja_parser_fail(p, "an expression is missing");
    struct jinja_node *inner = tuple_of(p, true, true);
    jinja_parser_expect_op(p, JINJA_OP(')', 0));
    return inner;
}

static struct jinja_node *keyword(struct jinja_parser *p)
{
    struct jinja_node *node = jinja_parser_node(p, JINJA_N_KEYWORD);
    const char *name = jinja_parser_expect_ident(p);
    jinja_parser_next(p); /* = */
    struct jinja_node *value = jinja_parser_expression(p, true);
    if (node) {
        node->name = name;
        node->a = value;
    }
    return node;
}

static struct jinja_node *spread(struct jinja_parser *p)
{
    jinja_parser_next(p);
    return node_of(p, JINJA_N_STAR, jinja_parser_expression(p, true), NULL);
}

/* (a, *b, c=d, **e) */
static void call_arguments(struct jinja_parser *p, struct jinja_node *call)
{
    struct jinja_node **link = &call->list, **kw_link = &call->kw;
    bool first = true;
    jinja_parser_expect_op(p, JINJA_OP('(', 0));
    for (; jinja_parser_ok(p) && !jinja_parser_is_op(p, JINJA_OP(')', 0)); first = false) {
        if (!first)
            jinja_parser_expect_op(p, JINJA_OP(',', 0));
        if (jinja_parser_is_op(p, JINJA_OP(')', 0)))
            break;
        const struct jinja_token *ahead = jinja_parser_peek(p);
        if (jinja_parser_is_op(p, JINJA_OP('*', '*'))) {
            jinja_parser_append(&kw_link, spread(p));
        } else if (p->now.type == JINJA_TOK_NAME && ahead->type == JINJA_TOK_OP &&
                   ahead->op == JINJA_OP('=', 0)) {
            jinja_parser_append(&kw_link, keyword(p));
        } else if (call->kw) {
            jinja_parser_fail(p, "a positional argument follows a keyword argument");
        } else {
            jinja_parser_append(&link, jinja_parser_is_op(p, JINJA_OP('*', 0))
                                           ? spread(p)
                                           : jinja_parser_expression(p, true));
            call->n++;
        }
    }
    jinja_parser_expect_op(p, JINJA_OP(')', 0));
}

static struct jinja_node *call_of(struct jinja_parser *p, struct jinja_node *callee)
{
    struct jinja_node *call = node_of(p, JINJA_N_CALL, callee, NULL);
    if (call)
        call_arguments(p, call);
    return call;
}

static struct jinja_node *subscript_item(struct jinja_parser *p)
{
    struct jinja_node *part[3] = {NULL};
    int n = 0;
    bool slice = false;
    for (; jinja_parser_ok(p) && n < 3; n++) {
        const bool empty = jinja_parser_is_op(p, JINJA_OP(':', 0)) ||
                           jinja_parser_is_op(p, JINJA_OP(']', 0)) ||
                           jinja_parser_is_op(p, JINJA_OP(',', 0));
        if (empty && n == 0 && !jinja_parser_is_op(p, JINJA_OP(':', 0)))
            return jinja_parser_fail(p, "an index is missing");
        part[n] = empty ? NULL : jinja_parser_expression(p, true);
        if (!jinja_parser_skip_op(p, JINJA_OP(':', 0)))
            break;
        slice = true;
    }
    if (!slice)
        return part[0];
    struct jinja_node *node = node_of(p, JINJA_N_SLICE, part[0], part[1]);
    if (node)
        node->c = part[2];
    return node;
}

static struct jinja_node *subscript(struct jinja_parser *p, struct jinja_node *object)
{
    jinja_parser_next(p);
    struct jinja_node *index = subscript_item(p);
    if (jinja_parser_is_op(p, JINJA_OP(',', 0))) {
        struct jinja_node *tuple = jinja_parser_node(p, JINJA_N_TUPLE);
        struct jinja_node **link = tuple ? &tuple->list : NULL;
        for (; jinja_parser_ok(p); index = jinja_parser_expression(p, true)) {
            jinja_parser_append(&link, index);
            tuple->n++;
            if (!jinja_parser_skip_op(p, JINJA_OP(',', 0)) ||
                jinja_parser_is_op(p, JINJA_OP(']', 0)))
                break;
        }
        index = tuple;
    }
    jinja_parser_expect_op(p, JINJA_OP(']', 0));
    return node_of(p, JINJA_N_ITEM, object, index);
}

static struct jinja_node *attribute(struct jinja_parser *p, struct jinja_node *object)
{
    jinja_parser_next(p);
    if (p->now.type == JINJA_TOK_INT)
        return node_of(p, JINJA_N_ITEM, object, number_literal(p));
    const char *name = jinja_parser_expect_ident(p);
    struct jinja_node *node = node_of(p, JINJA_N_ATTR, object, NULL);
    if (node)
        node->name = name;
    return node;
}

static struct jinja_node *postfix(struct jinja_parser *p, struct jinja_node *node)
{
    while (jinja_parser_ok(p)) {
        if (jinja_parser_is_op(p, JINJA_OP('.', 0)))
            node = attribute(p, node);
        else if (jinja_parser_is_op(p, JINJA_OP('[', 0)))
            node = subscript(p, node);
        else if (jinja_parser_is_op(p, JINJA_OP('(', 0)))
            node = call_of(p, node);
        else
            break;
    }
    return node;
}

static const char *dotted_name(struct jinja_parser *p)
{
    const char *name = jinja_parser_expect_ident(p);
    while (jinja_parser_skip_op(p, JINJA_OP('.', 0))) {
        const char *more = jinja_parser_expect_ident(p);
        name = oll_arena_printf(&p->page->arena, "%s.%s", name, more);
        if (!name) {
            jinja_parser_fail(p, "no memory for the names");
            return "";
        }
    }
    return name;
}

struct jinja_node *jinja_parser_filters(struct jinja_parser *p, struct jinja_node *value,
                                        bool name_first)
{
    for (; jinja_parser_ok(p) && (name_first || jinja_parser_is_op(p, JINJA_OP('|', 0)));
         name_first = false) {
        if (!name_first)
            jinja_parser_next(p);
        struct jinja_node *node = node_of(p, JINJA_N_FILTER, value, NULL);
        const char *name = dotted_name(p);
        if (!node)
            return NULL;
        node->name = name;
        node->fn = jinja_find_filter(name);
        if (!node->fn && p->conditions == 0)
            return jinja_parser_fail(p, "there is no filter named '%s'", name);
        if (jinja_parser_is_op(p, JINJA_OP('(', 0)))
            call_arguments(p, node);
        value = node;
    }
    return value;
}

static bool starts_test_argument(const struct jinja_parser *p)
{
    if (p->now.type == JINJA_TOK_NAME)
        return !jinja_parser_is_name(p, "else") && !jinja_parser_is_name(p, "or") &&
               !jinja_parser_is_name(p, "and");
    return p->now.type == JINJA_TOK_STRING || p->now.type == JINJA_TOK_INT ||
           p->now.type == JINJA_TOK_FLOAT || jinja_parser_is_op(p, JINJA_OP('[', 0)) ||
           jinja_parser_is_op(p, JINJA_OP('{', 0));
}

/* is [not] name, name(arguments), name argument */
static struct jinja_node *test_of(struct jinja_parser *p, struct jinja_node *value)
{
    jinja_parser_next(p);
    const bool negated = jinja_parser_skip_name(p, "not");
    struct jinja_node *node = node_of(p, JINJA_N_TEST, value, NULL);
    const char *name = dotted_name(p);
    if (!node || !jinja_parser_ok(p))
        return NULL;
    node->name = name;
    node->fn = jinja_find_test(name);
    if (!node->fn && p->conditions == 0)
        return jinja_parser_fail(p, "there is no test named '%s'", name);
    if (jinja_parser_is_op(p, JINJA_OP('(', 0))) {
        call_arguments(p, node);
    } else if (starts_test_argument(p)) {
        if (jinja_parser_is_name(p, "is"))
            return jinja_parser_fail(p, "tests cannot be chained with 'is'");
        node->list = postfix(p, primary(p));
        node->n = 1;
    }
    return negated ? node_of(p, JINJA_N_NOT, node, NULL) : node;
}

static struct jinja_node *unary(struct jinja_parser *p, bool with_filter)
{
    struct jinja_node *node;
    if (!jinja_parser_enter(p))
        return NULL;
    if (jinja_parser_skip_op(p, JINJA_OP('-', 0)))
        node = node_of(p, JINJA_N_NEG, unary(p, false), NULL);
    else if (jinja_parser_skip_op(p, JINJA_OP('+', 0)))
        node = node_of(p, JINJA_N_POS, unary(p, false), NULL);
    else
        node = primary(p);
    node = postfix(p, node);
    while (with_filter && jinja_parser_ok(p)) {
        if (jinja_parser_is_op(p, JINJA_OP('|', 0)))
            node = jinja_parser_filters(p, node, false);
        else if (jinja_parser_is_name(p, "is"))
            node = test_of(p, node);
        else if (jinja_parser_is_op(p, JINJA_OP('(', 0)))
            node = call_of(p, node);
        else
            break;
    }
    jinja_parser_leave(p);
    return node;
}

static struct jinja_node *arith(struct jinja_parser *p, uint8_t op, struct jinja_node *a,
                                struct jinja_node *b)
{
    struct jinja_node *node = node_of(p, JINJA_N_ARITH, a, b);
    if (node)
        node->op = op;
    return node;
}

static struct jinja_node *power(struct jinja_parser *p)
{
    struct jinja_node *left = unary(p, true);
    while (jinja_parser_skip_op(p, JINJA_OP('*', '*')))
        left = arith(p, 'p', left, unary(p, true));
    return left;
}

static struct jinja_node *product(struct jinja_parser *p)
{
    struct jinja_node *left = power(p);
    for (;;) {
        uint8_t op;
        if (jinja_parser_skip_op(p, JINJA_OP('*', 0)))
            op = '*';
        else if (jinja_parser_skip_op(p, JINJA_OP('/', 0)))
            op = '/';
        else if (jinja_parser_skip_op(p, JINJA_OP('/', '/')))
            op = 'f';
        else if (jinja_parser_skip_op(p, JINJA_OP('%', 0)))
            op = '%';
        else
            return left;
        left = arith(p, op, left, power(p));
    }
}

static struct jinja_node *concat(struct jinja_parser *p)
{
    struct jinja_node *first = product(p);
    if (!jinja_parser_is_op(p, JINJA_OP('~', 0)))
        return first;
    struct jinja_node *node = jinja_parser_node(p, JINJA_N_CONCAT);
    struct jinja_node **link = node ? &node->list : NULL;
    if (!node)
        return NULL;
    jinja_parser_append(&link, first);
    while (jinja_parser_skip_op(p, JINJA_OP('~', 0)))
        jinja_parser_append(&link, product(p));
    return node;
}

static struct jinja_node *sum(struct jinja_parser *p)
{
    struct jinja_node *left = concat(p);
    for (;;) {
        if (jinja_parser_skip_op(p, JINJA_OP('+', 0)))
            left = arith(p, '+', left, concat(p));
        else if (jinja_parser_skip_op(p, JINJA_OP('-', 0)))
            left = arith(p, '-', left, concat(p));
        else
            return left;
    }
}

/* The comparison at the current token, which is stepped over; 0: none. */
static uint8_t comparison_op(struct jinja_parser *p)
{
    static const struct {
        uint32_t token;
        uint8_t op;
    } ops[] = {{JINJA_OP('=', '='), JINJA_EQ}, {JINJA_OP('!', '='), JINJA_NE},
               {JINJA_OP('<', 0), JINJA_LT},   {JINJA_OP('<', '='), JINJA_LE},
               {JINJA_OP('>', 0), JINJA_GT},   {JINJA_OP('>', '='), JINJA_GE}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (jinja_parser_skip_op(p, ops[i].token))
            return ops[i].op;
    if (jinja_parser_skip_name(p, "in"))
        return JINJA_IN;
    if (!jinja_parser_is_name(p, "not"))
        return 0;
    const struct jinja_token *ahead = jinja_parser_peek(p);
    if (ahead->type != JINJA_TOK_NAME || ahead->n != 2 || memcmp(ahead->text, "in", 2))
        return 0;
    jinja_parser_next(p);
    jinja_parser_next(p);
    return JINJA_NOT_IN;
}

static struct jinja_node *comparison(struct jinja_parser *p)
{
    struct jinja_node *left = sum(p);
    uint8_t op = comparison_op(p);
    if (op == 0)
        return left;
    struct jinja_node *node = node_of(p, JINJA_N_COMPARE, left, NULL);
    struct jinja_node **link = node ? &node->list : NULL;
    for (; op != 0 && node; op = comparison_op(p)) {
        struct jinja_node *operand = node_of(p, JINJA_N_OPERAND, sum(p), NULL);
        if (operand)
            operand->op = op;
        jinja_parser_append(&link, operand);
    }
    return node;
}

static struct jinja_node *negation(struct jinja_parser *p)
{
    if (!jinja_parser_is_name(p, "not"))
        return comparison(p);
    if (!jinja_parser_enter(p))
        return NULL;
    jinja_parser_next(p);
    struct jinja_node *node = node_of(p, JINJA_N_NOT, negation(p), NULL);
    jinja_parser_leave(p);
    return node;
}

static struct jinja_node *conjunction(struct jinja_parser *p)
{
    struct jinja_node *left = negation(p);
    while (jinja_parser_skip_name(p, "and"))
        left = node_of(p, JINJA_N_AND, left, negation(p));
    return left;
}

static struct jinja_node *disjunction(struct jinja_parser *p)
{
    struct jinja_node *left = conjunction(p);
    while (jinja_parser_skip_name(p, "or"))
        left = node_of(p, JINJA_N_OR, left, conjunction(p));
    return left;
}

struct jinja_node *jinja_parser_expression(struct jinja_parser *p, bool with_condition)
{
    if (!jinja_parser_enter(p))
        return NULL;
    struct jinja_node *node = disjunction(p);
    while (with_condition && jinja_parser_skip_name(p, "if")) {
        struct jinja_node *condition = node_of(p, JINJA_N_COND, disjunction(p), node);
        if (jinja_parser_skip_name(p, "else") && condition)
            condition->c = jinja_parser_expression(p, true);
        node = condition;
    }
    jinja_parser_leave(p);
    return jinja_parser_ok(p) ? node : NULL;
}

struct jinja_node *jinja_parser_target(struct jinja_parser *p, bool with_namespace)
{
    struct jinja_node *tuple = jinja_parser_node(p, JINJA_N_TUPLE);
    struct jinja_node **link = tuple ? &tuple->list : NULL;
    bool comma = false;
    while (jinja_parser_ok(p) && !jinja_parser_is_name(p, "in") &&
           !jinja_parser_is_op(p, JINJA_OP('=', 0))) {
        const bool bracket = jinja_parser_skip_op(p, JINJA_OP('(', 0));
        struct jinja_node *one = NULL;
        if (bracket && jinja_parser_enter(p)) {
            one = jinja_parser_target(p, with_namespace);
            jinja_parser_leave(p);
            jinja_parser_expect_op(p, JINJA_OP(')', 0));
        } else {
            one = name_or_constant(p);
        }
        if (jinja_parser_ok(p) && one && one->type == JINJA_N_CONST)
            return jinja_parser_fail(p, "a constant cannot be assigned to");
        if (with_namespace && one && jinja_parser_skip_op(p, JINJA_OP('.', 0))) {
            one->type = JINJA_N_NSREF;
            one->name = jinja_parser_expect_ident(p);
        }
        jinja_parser_append(&link, one);
        if (!tuple)
            return NULL;
        tuple->n++;
        if (!jinja_parser_skip_op(p, JINJA_OP(',', 0)))
            break;
        comma = true;
    }
    if (!jinja_parser_ok(p))
        return NULL;
    if (tuple->n == 0)
        return jinja_parser_fail(p, "a name to assign to is missing");
    return tuple->n == 1 && !comma ? tuple->list : tuple;
}
