/* Constraint: which tokens may come next so that the text of a reply stays within a grammar.
 *
 *     program     a compiled JSON Schema or GBNF grammar; shared by requests that ask for the same,
 *                 with all automata and masks that were found while they ran
 *     constraint  one reply's place in it
 *
 * Every text that a constraint lets through can be completed, and the end of generation is allowed
 * exactly when the text is complete. Masks are kept with the state that they belong to, so that
 * most are found, not computed.
 *
 * oll_constraint_compile and the reference count may be used by any thread; a program that has a
 * constraint belongs to the thread of its engine. Mask sizes: bit i of word i / 64 is token i. */
#ifndef OLL_SAMPLER_CONSTRAINT_H
#define OLL_SAMPLER_CONSTRAINT_H

#include "sampler/token_trie.h"

struct oll_constraint_program;
struct oll_constraint;

struct json_arguments; /* sampler/json_schema.h */

/* A text, then a document of a schema, then a text. */
struct oll_constraint_part {
    const char *before, *schema_json, *after;
    const struct json_arguments *arguments; /* how the document is written; NULL: as JSON */
};

struct oll_constraint_source {
    const char *format_json;                 /* "\"json\"" or the text of a JSON Schema; or */
    const char *grammar;                     /* GBNF; or */
    const struct oll_constraint_part *parts; /* one of these */
    uint32_t n_parts;
    /* What may come before the part: a text that begins with free_open, ends with free_close, and
     * holds no free_mark between. NULL: nothing. */
    const char *free_open, *free_mark, *free_close;
    bool strict_spec; /* schema: members are open, types are any, as the standard says */
};

/* Compiles without a model, except that `tok` finds tokens which a grammar names (NULL: none).
 * OLL_ERR_FORMAT: the schema or grammar is invalid; OLL_ERR_UNSUPPORTED: a keyword cannot be
 * enforced, or no text can satisfy it; OLL_ERR_LIMIT; OLL_ERR_MEMORY. For a schema the error ends
 * with the JSON pointer of the place. */
oll_status oll_constraint_compile(const struct oll_constraint_source *source,
                                  const struct oll_tokenizer *tok,
                                  struct oll_constraint_program **out,
                                  struct oll_error *err) OLL_MUST_USE;
struct oll_constraint_program *oll_constraint_program_retain(struct oll_constraint_program *p);
void oll_constraint_program_release(struct oll_constraint_program *p); /* NULL is accepted */

/* Whether so much has grown in it that it is better compiled anew than used again. Any thread. */
bool oll_constraint_program_worn(const struct oll_constraint_program *p);

/* A reply that begins. The trie must be the same for all constraints of a program, and outlive
 * them. */
oll_status oll_constraint_new(struct oll_constraint_program *program,
                              const struct oll_token_trie *trie, struct oll_constraint **out,
                              struct oll_error *err) OLL_MUST_USE;
void oll_constraint_free(struct oll_constraint *c); /* NULL is accepted */

/* Whether this token may come next: its bytes are tried, which costs about a microsecond. */
bool oll_constraint_allows(struct oll_constraint *c, int32_t token);
/* All tokens that may come next, valid until the constraint's next call. OLL_ERR_LIMIT when the
 * grammar needs more memory than it may have. */
oll_status oll_constraint_mask(struct oll_constraint *c, const uint64_t **mask,
                               struct oll_error *err) OLL_MUST_USE;
/* Goes on behind a token. OLL_ERR_ARG when it is not allowed: the place is then unchanged. */
oll_status oll_constraint_accept(struct oll_constraint *c, int32_t token,
                                 struct oll_error *err) OLL_MUST_USE;
/* The text may end here; it must end here. */
bool oll_constraint_complete(const struct oll_constraint *c);
bool oll_constraint_finished(const struct oll_constraint *c);

/* Tokens that must come next whatever the model thinks, appended to *out: the text that is forced,
 * tokenised as the tokenizer would, without tokens at its end that the model might have merged with
 * what follows. Does not move. */
oll_status oll_constraint_forced(struct oll_constraint *c, struct oll_tokens *out) OLL_MUST_USE;

/* For tests and tools: the same over bytes. */
bool oll_constraint_accept_bytes(struct oll_constraint *c, const char *text, size_t n);
/* Bit set [4] of the bytes that may come next. */
void oll_constraint_bytes(const struct oll_constraint *c, uint64_t bytes[4]);
/* Sets all logits [n_vocab] that the mask forbids to -inf. */
void oll_constraint_apply(const uint64_t *mask, float *logits, uint32_t n_vocab);

#endif
