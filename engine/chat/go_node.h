/* The tree of a Go template and the tokens it is made from; internal to engine/chat/go_*.c.
 *
 * A tree is written once by the parser and only read afterwards. Everything in it, the source
 * included, belongs to the arena of the template. Positions are byte offsets into the source. */
#ifndef OLL_CHAT_GO_NODE_H
#define OLL_CHAT_GO_NODE_H

#include "engine/base/arena.h"
#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    GO_SOURCE_MAX = 1 << 20, /* bytes of a template */
    GO_NEST_MAX = 200,       /* blocks and parentheses inside each other */
    GO_VARIABLES_MAX = 1024, /* variables that are visible at one place */
    GO_DEFINES_MAX = 256     /* named templates */
};

/* Bytes of the source or of the arena; may hold NULs. */
struct go_str {
    const char *s;
    size_t n;
};

bool go_str_equal(struct go_str a, const char *b);

/* ---- tokens ---- */

enum go_token_type {
    GO_TOKEN_ERROR, /* val is the message */
    GO_TOKEN_EOF,
    GO_TOKEN_TEXT, /* never empty */
    GO_TOKEN_OPEN,
    GO_TOKEN_CLOSE,
    GO_TOKEN_SPACE,
    GO_TOKEN_ASSIGN,
    GO_TOKEN_DECLARE,
    GO_TOKEN_PIPE,
    GO_TOKEN_LEFT,
    GO_TOKEN_RIGHT,
    GO_TOKEN_CHAR, /* any other printable ASCII character */
    GO_TOKEN_BOOL,
    GO_TOKEN_RUNE,
    GO_TOKEN_NUMBER,
    GO_TOKEN_STRING,
    GO_TOKEN_RAW,
    GO_TOKEN_VARIABLE,
    GO_TOKEN_FIELD, /* with its dot */
    GO_TOKEN_IDENT,
    GO_TOKEN_KEYWORD, /* all from here on are keywords */
    GO_TOKEN_BLOCK,
    GO_TOKEN_BREAK,
    GO_TOKEN_CONTINUE,
    GO_TOKEN_DEFINE,
    GO_TOKEN_DOT, /* the cursor, a keyword in Go's own error texts */
    GO_TOKEN_ELSE,
    GO_TOKEN_END,
    GO_TOKEN_IF,
    GO_TOKEN_NIL,
    GO_TOKEN_RANGE,
    GO_TOKEN_TEMPLATE,
    GO_TOKEN_WITH
};

struct go_token {
    uint8_t type; /* enum go_token_type */
    uint32_t pos, line;
    struct go_str val;
};

struct go_lexer {
    struct oll_arena *arena; /* messages of error tokens */
    const char *text;
    size_t n, pos, start;
    uint32_t line, start_line; /* of pos and of start */
    int paren_depth;
    bool inside; /* an action */
    bool failed; /* an error token was given: only the end follows */
};

void go_lexer_init(struct go_lexer *lx, struct oll_arena *arena, const char *text, size_t n);
struct go_token go_lexer_next(struct go_lexer *lx);

/* Text of a quoted or raw string or the code point of a character constant; false: bad escapes, or
 * *malformed: more than one character. */
bool go_unquote(struct oll_arena *arena, struct go_str quoted, struct go_str *out);
bool go_unquote_rune(struct go_str quoted, uint32_t *out, bool *malformed);
/* Whether Go writes a character into quoted strings as it is. */
bool go_is_printable(uint32_t cp);

/* ---- nodes ---- */

enum go_node_type {
    GO_NODE_LIST,
    GO_NODE_TEXT,
    GO_NODE_ACTION,
    GO_NODE_IF,
    GO_NODE_WITH,
    GO_NODE_RANGE,
    GO_NODE_BREAK,
    GO_NODE_CONTINUE,
    GO_NODE_TEMPLATE,
    GO_NODE_ELSE, /* only between parser functions, like END */
    GO_NODE_END,
    GO_NODE_PIPE,
    GO_NODE_COMMAND,
    GO_NODE_FIELD,
    GO_NODE_VARIABLE,
    GO_NODE_CHAIN,
    GO_NODE_IDENT,
    GO_NODE_DOT,
    GO_NODE_NIL,
    GO_NODE_BOOL,
    GO_NODE_INT,
    GO_NODE_FLOAT,
    GO_NODE_STRING
};

struct go_function; /* go_func.h */

struct go_node {
    uint8_t type; /* enum go_node_type */
    bool is_assign, is_true;
    uint32_t pos;
    uint32_t n_names;
    struct go_node *next; /* in a list, a pipeline, a command */
    /* LIST: nodes; PIPE: commands; COMMAND: arguments; CHAIN: the operand; bodies: the list. */
    struct go_node *first;
    struct go_node *pipe;  /* ACTION, IF, WITH, RANGE, TEMPLATE (may be NULL) */
    struct go_node *other; /* IF, WITH, RANGE: else list or NULL */
    /* FIELD, CHAIN: names without dots; VARIABLE: "$name", then fields; PIPE: declared names. */
    const struct go_str *names;
    struct go_str text;  /* TEXT; constants and IDENT as written; TEMPLATE: name as written */
    struct go_str value; /* STRING; TEMPLATE: name */
    union {
        int64_t i;
        double real;
        const struct go_function *function;
    };
};

/* One named tree; the main one is the first of the table and has the name "". */
struct go_define {
    struct go_str name;
    struct go_node *root; /* LIST */
};

struct go_tree {
    const char *source;
    size_t source_len;
    struct go_define *defines;
    uint32_t n_defines;
};

/* Parses into the arena. Error texts are those of Go. */
oll_status go_tree_parse(struct oll_arena *arena, const char *source, size_t n, struct go_tree *out,
                         struct oll_error *err) OLL_MUST_USE;

/* The node as Go prints it in error messages. */
void go_node_print(struct oll_strbuf *out, const struct go_node *node);

/* A string between double quotes with Go's escapes. */
void go_quote(struct oll_strbuf *out, struct go_str s);

#endif
