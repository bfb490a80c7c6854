/* The tree of a parsed template. One node type serves all: the table says which fields hold what.
 *
 *   node           a            b           c           list            kw              else
 *   CONST                                                                               constant
 *   NAME                                                                                symbol,
 * name LIST TUPLE                                          items DICT PAIR (a: b) ATTR object name
 *   ITEM           object       index or SLICE
 *   SLICE          start        stop        step        (each NULL: absent)
 *   CALL           callee                               arguments       KEYWORDs
 *   FILTER TEST    value        (FILTER a NULL: text    arguments       KEYWORDs        name, fn
 *                               of the enclosing block)
 *   STAR           list or dict spread into arguments (in `list` and in `kw`)
 *   NOT NEG POS    operand
 *   AND OR         left         right
 *   COND           test         then        else or NULL
 *   COMPARE        left                                 OPERAND (op, a)
 *   ARITH          left         right                                                   op
 *   CONCAT                                              operands
 *   TEXT                                                                                name, n
 *   PRINT          value
 *   IF                                                  BRANCH (a test or NULL, list body)
 *   FOR            iterable     target      filter      body            else body       op 'r'
 *   SET            value        target
 *   SET_BLOCK      filters      target                  body
 *   MACRO                                               body            PARAM (a default) symbol
 *   CALL_BLOCK     CALL                                 body            PARAM
 *   FILTER_BLOCK   filters                              body
 *   WITH                                                body            SET
 *   SCOPE                                               body
 *   NSREF          (target)                                             symbol of the namespace,
 * name
 *
 * Children in a list are joined by `next`. The tree is never changed after parsing, so that any
 * number of threads may execute it. */
#ifndef OLL_CHAT_JINJA_TREE_H
#define OLL_CHAT_JINJA_TREE_H

#include "engine/chat/jinja_value.h"

enum jinja_node_type {
    JINJA_N_CONST,
    JINJA_N_NAME,
    JINJA_N_LIST,
    JINJA_N_TUPLE,
    JINJA_N_DICT,
    JINJA_N_PAIR,
    JINJA_N_ATTR,
    JINJA_N_ITEM,
    JINJA_N_SLICE,
    JINJA_N_CALL,
    JINJA_N_FILTER,
    JINJA_N_TEST,
    JINJA_N_STAR,
    JINJA_N_KEYWORD,
    JINJA_N_NOT,
    JINJA_N_NEG,
    JINJA_N_POS,
    JINJA_N_AND,
    JINJA_N_OR,
    JINJA_N_COND,
    JINJA_N_COMPARE,
    JINJA_N_OPERAND,
    JINJA_N_ARITH,
    JINJA_N_CONCAT,
    JINJA_N_TEXT,
    JINJA_N_PRINT,
    JINJA_N_IF,
    JINJA_N_BRANCH,
    JINJA_N_FOR,
    JINJA_N_SET,
    JINJA_N_SET_BLOCK,
    JINJA_N_MACRO,
    JINJA_N_PARAM,
    JINJA_N_CALL_BLOCK,
    JINJA_N_FILTER_BLOCK,
    JINJA_N_WITH,
    JINJA_N_SCOPE,
    JINJA_N_BREAK,
    JINJA_N_CONTINUE,
    JINJA_N_NSREF
};

/* Comparison operators of OPERAND nodes. */
enum jinja_compare_op {
    JINJA_EQ = 1,
    JINJA_NE,
    JINJA_LT,
    JINJA_LE,
    JINJA_GT,
    JINJA_GE,
    JINJA_IN,
    JINJA_NOT_IN
};

struct jinja_node {
    uint8_t type; /* enum jinja_node_type */
    uint8_t op;
    uint32_t line;
    uint32_t symbol;
    const char *name; /* terminated, except for TEXT */
    size_t n;         /* TEXT: bytes; otherwise children in `list` */
    struct jinja_node *a, *b, *c, *list, *kw, *next;
    jinja_fn fn;
    struct jinja_value constant;
};

/* Symbols that the engine itself knows. */
enum { JINJA_SYM_LOOP, JINJA_SYM_CALLER, JINJA_SYM_VARARGS, JINJA_SYM_KWARGS, JINJA_SYM_FIRST };

struct jinja_template {
    struct oll_arena arena;
    struct jinja_node *body;
    const char **symbols; /* n_symbols names: every variable that the text mentions */
    uint32_t n_symbols;
};

/* Nested brackets, blocks and operators. */
enum { JINJA_NEST_MAX = 150 };

/* Parses into page->arena, which is initialised. */
oll_status jinja_parse(struct jinja_template *page, const char *source, size_t n,
                       struct oll_error *err) OLL_MUST_USE;
/* SYMBOL of a name; UINT32_MAX when the template never mentions it. */
uint32_t jinja_symbol(const struct jinja_template *page, const char *name);

#endif
