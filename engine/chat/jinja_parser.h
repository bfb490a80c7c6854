/* What the two halves of the Jinja parser share: statements (jinja_parser.c) and expressions
 * (jinja_expr.c). Failures stick in the lexer's status; after one, the current token is END, so
 * that every loop ends by itself, and nodes may be NULL. */
#ifndef OLL_CHAT_JINJA_PARSER_H
#define OLL_CHAT_JINJA_PARSER_H

#include "engine/chat/jinja_lexer.h"
#include "engine/chat/jinja_tree.h"

struct jinja_name {
    struct jinja_name *next;
    const char *text;
    uint32_t symbol;
};

enum { JINJA_NAME_BUCKETS = 256 };

struct jinja_parser {
    struct jinja_template *page;
    struct jinja_lexer lexer;
    struct jinja_token now, ahead;
    bool has_ahead;
    int depth;      /* of nesting */
    int conditions; /* enclosing ifs: in there, unknown filters fail when they are reached */
    struct jinja_name *names[JINJA_NAME_BUCKETS];
};

static inline bool jinja_parser_ok(const struct jinja_parser *p)
{
    return p->lexer.status == OLL_OK;
}

/* Records the first failure, with the current line; returns NULL. */
struct jinja_node *jinja_parser_fail(struct jinja_parser *p, const char *fmt, ...) OLL_PRINTF(2, 3);
void jinja_parser_next(struct jinja_parser *p);
const struct jinja_token *jinja_parser_peek(struct jinja_parser *p);
bool jinja_parser_is_op(const struct jinja_parser *p, uint32_t op);
bool jinja_parser_is_name(const struct jinja_parser *p, const char *name);
/* Steps over the token when it is the one asked for. */
bool jinja_parser_skip_op(struct jinja_parser *p, uint32_t op);
bool jinja_parser_skip_name(struct jinja_parser *p, const char *name);
void jinja_parser_expect_op(struct jinja_parser *p, uint32_t op);
/* The name at the current token, which is stepped over; "" after a failure. */
const char *jinja_parser_expect_ident(struct jinja_parser *p);

/* NULL after a failure. */
struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_type type);
uint32_t jinja_parser_symbol(struct jinja_parser *p, const char *name);
/* False, and a failure, when nesting is too deep; pairs with jinja_parser_leave. */
bool jinja_parser_enter(struct jinja_parser *p);
void jinja_parser_leave(struct jinja_parser *p);

struct jinja_node *jinja_parser_expression(struct jinja_parser *p, bool with_condition);
/* Expressions with commas between them make a tuple. */
struct jinja_node *jinja_parser_tuple(struct jinja_parser *p, bool with_condition);
/* Names for `for` and `set`: one, a tuple, or namespace.attribute. */
struct jinja_node *jinja_parser_target(struct jinja_parser *p, bool with_namespace);
/* "| name(...)" as often as it stands there, around `value`, which may be NULL. */
struct jinja_node *jinja_parser_filters(struct jinja_parser *p, struct jinja_node *value,
                                        bool name_first);
/* (a, b=default) of a macro, into node->kw. */
void jinja_parser_signature(struct jinja_parser *p, struct jinja_node *node);

/* Appends to a list through the address of its last link. */
static inline void jinja_parser_append(struct jinja_node ***link, struct jinja_node *node)
{
    if (node) {
        **link = node;
        *link = &node->next;
    }
}

#endif
