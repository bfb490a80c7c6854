/* Tokens of a Jinja template, with white space trimmed as transformers asks for it: trim_blocks and
 * lstrip_blocks on, keep_trailing_newline off.
 *
 *   trim_blocks     one line end right behind %} or #} is dropped
 *   lstrip_blocks   blanks between a line's start and {% or {# are dropped
 *   -               on either inner side of a tag: all white space on that side is dropped
 *   +               switches the automatic rule of its side off
 *
 * The rules are those of Jinja's documentation, "Whitespace Control". */
#ifndef OLL_CHAT_JINJA_LEXER_H
#define OLL_CHAT_JINJA_LEXER_H

#include "engine/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum jinja_token_type {
    JINJA_TOK_END,
    JINJA_TOK_TEXT,  /* literal text outside tags */
    JINJA_TOK_PRINT, /* {{ */
    JINJA_TOK_PRINT_END,
    JINJA_TOK_BLOCK, /* {% */
    JINJA_TOK_BLOCK_END,
    JINJA_TOK_NAME,
    JINJA_TOK_STRING, /* unescaped */
    JINJA_TOK_INT,
    JINJA_TOK_FLOAT,
    JINJA_TOK_OP
};

/* An operator of one or two characters as a number. */
#define JINJA_OP(a, b) ((uint32_t)(unsigned char)(a) | (uint32_t)(unsigned char)(b) << 8)

struct jinja_token {
    enum jinja_token_type type;
    uint32_t line;
    uint32_t op;
    const char *text; /* TEXT, NAME, STRING; not terminated */
    size_t n;
    int64_t i;
    double f;
};

enum { JINJA_BRACKETS_MAX = 200 };

struct jinja_lexer {
    struct oll_arena *arena; /* of unescaped strings */
    const char *s;
    size_t n, at;
    uint32_t line;
    enum jinja_token_type inside;  /* END (outside tags), PRINT or BLOCK */
    enum jinja_token_type pending; /* the tag that follows the text just returned; END: none */
    int n_brackets;
    char brackets[JINJA_BRACKETS_MAX]; /* closing ones that are awaited */
    struct oll_error *err;
    oll_status status;
};

/* Copies the source, with its line ends made \n and the last one dropped. */
oll_status jinja_lex_init(struct jinja_lexer *lexer, struct oll_arena *arena, const char *source,
                          size_t n, struct oll_error *err) OLL_MUST_USE;
/* The next token; END for ever at the end. OLL_ERR_FORMAT says what stands wrong in which line. */
oll_status jinja_lex(struct jinja_lexer *lexer, struct jinja_token *token) OLL_MUST_USE;

#endif
