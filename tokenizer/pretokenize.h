/* Pre-tokenizers: cut a text into the pieces that byte-pair merging never crosses.
 *
 * A scheme is what a value of `tokenizer.ggml.pre` stands for: a list of passes, each one regex of
 * the original tokenizer, written by hand. The first pass cuts the text, the next one every piece
 * of the first on its own, and so on; the text between two matches is a piece too. Every matcher
 * looks at each byte a bounded number of times, so a scheme is linear in the text. Pieces are never
 * empty and put together they are the text. Invalid UTF-8 counts byte by byte as symbols.
 *
 * Source: the regexes published with each model's tokenizer.json. */
#ifndef OLL_TOKENIZER_PRETOKENIZE_H
#define OLL_TOKENIZER_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

enum { PRETOK_MAX_PASSES = 6 };

/* Where a pass stands in the text given to it. */
struct pretok_level {
    const char *p, *end;
    const char *memo; /* how far a matcher has looked ahead; NULL at the start of a text */
};

/* End of the next piece of [level->p, level->end), which is not empty: a match at level->p, or the
 * text up to the next match. `rule` is the constant of the pass. */
typedef const char *(*pretok_matcher)(const void *rule, struct pretok_level *level);

struct pretok_pass {
    pretok_matcher match;
    const void *rule;
};

enum pretok_flags {
    PRETOK_IGNORE_MERGES = 1, /* a piece that is a token is that token */
    PRETOK_ADD_BOS = 2,       /* add_bos when the file does not say */
    PRETOK_ADD_SEP = 4,       /* likewise a separator at the end */
    PRETOK_RAW = 8,           /* merges over UTF-8 with the word mark, not over mapped bytes */
    PRETOK_UNMARKED = 16,     /* PRETOK_RAW without the word mark */
    PRETOK_NO_BOS = 32,       /* the bos id of the file is cleared */
    PRETOK_GUESS = 64         /* stands in for an unknown scheme: worse than the real one */
};

struct pretok_scheme {
    const char *names; /* values of tokenizer.ggml.pre, separated by single spaces */
    struct pretok_pass passes[PRETOK_MAX_PASSES]; /* up to the first without a matcher */
    unsigned flags;
};

/* The scheme of that name, NULL when unknown. */
const struct pretok_scheme *pretok_find(const char *name, size_t n);
/* All schemes, for tests; the list ends with NULL names. */
extern const struct pretok_scheme pretok_schemes[];

struct pretok_iter {
    const struct pretok_scheme *scheme;
    int n_passes, depth;
    struct pretok_level level[PRETOK_MAX_PASSES];
};

void pretok_begin(struct pretok_iter *it, const struct pretok_scheme *scheme, const char *text,
                  size_t n);
/* The next piece, or false at the end of the text. */
bool pretok_next(struct pretok_iter *it, const char **piece, size_t *n);

/* Matchers: pretok_words.c. The names are those of the table in pretokenize.c. */
const char *pretok_g2(const void *rule, struct pretok_level *level);
const char *pretok_l3(const void *rule, struct pretok_level *level);
const char *pretok_l3p(const void *rule, struct pretok_level *level);
const char *pretok_q2(const void *rule, struct pretok_level *level);
const char *pretok_q2t(const void *rule, struct pretok_level *level);
const char *pretok_q35(const void *rule, struct pretok_level *level);
const char *pretok_j2(const void *rule, struct pretok_level *level);
const char *pretok_sc(const void *rule, struct pretok_level *level);
const char *pretok_exm(const void *rule, struct pretok_level *level);
const char *pretok_g4o(const void *rule, struct pretok_level *level);
const char *pretok_tk(const void *rule, struct pretok_level *level);
const char *pretok_yt2(const void *rule, struct pretok_level *level);
const char *pretok_k2(const void *rule, struct pretok_level *level);
const char *pretok_ds3(const void *rule, struct pretok_level *level);
const char *pretok_spk(const void *rule, struct pretok_level *level);

/* Matchers: pretok_runs.c. */
struct pretok_range {
    unsigned first, last;
};
/* Characters by property, by ASCII text and by ranges (sorted). */
struct pretok_set {
    unsigned mask;
    const char *ascii; /* further members, may be NULL */
    const struct pretok_range *ranges;
    unsigned n_ranges;
    bool negated; /* the set of all others */
};
/* lead? body{min,max}; max 0: no limit. Alternatives follow until one without a body. */
struct pretok_run {
    const struct pretok_set *lead, *body;
    unsigned min, max;
};
const char *pretok_runs(const void *rule, struct pretok_level *level);
/* Runs of digits in groups of three counted from the right; the rule is a bool: whether a word
 * boundary must follow the run. */
const char *pretok_groups(const void *rule, struct pretok_level *level);
const char *pretok_trailing_space(const void *rule, struct pretok_level *level);
const char *pretok_sentinel(const void *rule, struct pretok_level *level);
const char *pretok_image(const void *rule, struct pretok_level *level);
const char *pretok_indent(const void *rule, struct pretok_level *level);

extern const struct pretok_run pretok_run_number1[], pretok_run_number3[], pretok_run_number[];
extern const struct pretok_run pretok_run_ascii3[], pretok_run_newline[], pretok_run_lines[];
extern const struct pretok_run pretok_run_words[], pretok_run_punct[], pretok_run_default_punct[];
extern const struct pretok_run pretok_run_falcon_punct[], pretok_run_ascii_punct[];
extern const struct pretok_run pretok_run_deepseek_han[], pretok_run_cjk[], pretok_run_youtu[];
extern const struct pretok_run pretok_run_afmoe[], pretok_run_bloom[],
    pretok_run_deepseek_letters[];
extern const struct pretok_run pretok_run_deepseek_punct[], pretok_run_not_space[];
extern const bool pretok_groups_anywhere, pretok_groups_at_boundary;

#endif
