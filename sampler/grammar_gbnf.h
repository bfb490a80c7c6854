/* Reader of GBNF, the grammar notation of local inference servers:
 *
 *     root  ::= "yes" | "no" reason?      # a rule per line; `root` is where the text begins
 *     reason ::= ", " [a-z ]{1,40}
 *
 * Literals with \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH, classes of characters, `.`, groups,
 * `|`, `* + ? {m} {m,} {m,n}`, tokens by text (<think>) or id (<[42]>), `!` before them for any
 * other, comments. A line end ends a rule, except inside parentheses and after `|` and `::=`. */
#ifndef OLL_SAMPLER_GRAMMAR_GBNF_H
#define OLL_SAMPLER_GRAMMAR_GBNF_H

#include "sampler/grammar.h"
#include "tokenizer/tokenizer.h"

enum {
    GBNF_MAX_BYTES = 1 << 20,
    GBNF_MAX_RULES = 50000,
    GBNF_MAX_GROUPS = 100,
    GBNF_MAX_REPEAT = 2000 /* of one repetition, and below it of nested ones multiplied */
};

/* Fills an initialised grammar and sets its root. `tok` finds tokens by text, NULL: a grammar that
 * names one is refused. OLL_ERR_FORMAT with the line, OLL_ERR_LIMIT, OLL_ERR_MEMORY. */
oll_status gbnf_read(struct grammar *g, const char *text, size_t n, const struct oll_tokenizer *tok,
                     struct oll_error *err) OLL_MUST_USE;

#endif
