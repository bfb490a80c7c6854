/* Regular languages over code points: hash-consed terms and their derivatives.
 *
 * A term is an id in a pool; equal terms have equal ids. The constructors simplify (an empty
 * language is always REGEX_NONE unless conjunction or complement hides it), so that the derivatives
 * of a term by all texts are few and can be the states of an automaton (regex_dfa.h). Brzozowski
 * 1964, "Derivatives of regular expressions"; similarity rules as in Owens, Reppy and Turon 2009,
 * "Regular-expression derivatives re-examined".
 *
 * Failure sticks in the pool: out of memory, out of fuel, or one of the limits below. Constructors
 * then return REGEX_NONE, and the caller looks at `status` once at the end. One thread at a time.
 */
#ifndef OLL_SAMPLER_REGEX_H
#define OLL_SAMPLER_REGEX_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    REGEX_MAX_NODES = 1 << 19,
    REGEX_MAX_DEPTH = 2000, /* of terms inside terms, while a derivative is taken */
    REGEX_MAX_CP = 0x10FFFF
};
#define REGEX_INF UINT32_MAX

/* Terms that every pool has. */
enum { REGEX_NONE = 0, REGEX_EPS = 1, REGEX_ANY = 2, REGEX_ALL = 3 };

struct regex_range {
    uint32_t lo, hi; /* inclusive */
};

enum regex_kind {
    REGEX_K_NONE,
    REGEX_K_EPS,
    REGEX_K_SET, /* a: first range, b: number of ranges, sorted and apart */
    REGEX_K_CAT, /* a, then b; a is no CAT */
    REGEX_K_ALT, /* kids[a .. a + b) sorted */
    REGEX_K_AND, /* the same */
    REGEX_K_NOT, /* a */
    REGEX_K_REP, /* a, b to c times (REGEX_INF: no end) */
    REGEX_K_MULT /* decimal numbers that are multiples: a modulus, b remainder, c phase */
};

struct regex_node {
    uint8_t kind;
    bool nullable;
    bool plain;    /* no AND, NOT or MULT inside: not empty unless it is REGEX_NONE */
    bool finite;   /* surely a finite language; false: not known */
    uint8_t empty; /* memo of regex_is_empty (regex_dfa.h): 0 not known, 1 no, 2 yes */
    uint32_t a, b, c;
    uint32_t mark;  /* of a search */
    uint32_t chain; /* next of the same hash */
};

struct regex_pool {
    struct regex_node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *kids;
    uint32_t n_kids, cap_kids;
    struct regex_range *ranges;
    uint32_t n_ranges, cap_ranges;
    uint32_t *table; /* heads of the hash chains */
    uint32_t table_mask, mark;
    oll_status status;
    uint64_t fuel; /* derivatives of single terms that may still be taken */
};

/* About a second's worth: enough for any honest schema, and an end for one that is not. */
enum { REGEX_FUEL = 4000000 };
/* Fills the tank: before a schema is compiled, and before each mask. */
static inline void regex_refuel(struct regex_pool *pool) { pool->fuel = REGEX_FUEL; }

oll_status regex_pool_init(struct regex_pool *pool) OLL_MUST_USE;
void regex_pool_free(struct regex_pool *pool);

/* Any order, overlaps welcome. */
uint32_t regex_set(struct regex_pool *pool, const struct regex_range *ranges, uint32_t n);
uint32_t regex_char(struct regex_pool *pool, uint32_t cp);
uint32_t regex_range(struct regex_pool *pool, uint32_t lo, uint32_t hi);
uint32_t regex_cat(struct regex_pool *pool, uint32_t a, uint32_t b);
uint32_t regex_alt(struct regex_pool *pool, const uint32_t *ids, uint32_t n);
uint32_t regex_alt2(struct regex_pool *pool, uint32_t a, uint32_t b);
uint32_t regex_and2(struct regex_pool *pool, uint32_t a, uint32_t b);
uint32_t regex_not(struct regex_pool *pool, uint32_t a);
uint32_t regex_rep(struct regex_pool *pool, uint32_t a, uint32_t min, uint32_t max);
uint32_t regex_opt(struct regex_pool *pool, uint32_t a);
/* The characters of valid UTF-8 text. */
uint32_t regex_text(struct regex_pool *pool, const char *text, size_t n);
/* Any of the texts, as a tree of their prefixes. `texts` is sorted in place. */
struct regex_word {
    const char *text;
    size_t n;
};
uint32_t regex_words(struct regex_pool *pool, struct regex_word *words, uint32_t n);
/* Decimal numbers, with sign and fraction but no exponent, that are multiples of
 * modulus * 10^-decimals. modulus is 1 to 100,000, decimals 0 to 30. */
uint32_t regex_multiple(struct regex_pool *pool, uint32_t modulus, uint32_t decimals);

/* The texts that go on after `cp` in the texts of `id` that begin with it. */
uint32_t regex_derive(struct regex_pool *pool, uint32_t id, uint32_t cp);
/* Whether the whole text (valid UTF-8) is in the language. */
bool regex_matches(struct regex_pool *pool, uint32_t id, const char *text, size_t n);

/* Lower bound on the length up to which every text over the characters of `set` (a SET term) is the
 * beginning of some text of the language; REGEX_INF: all of them. Says 0 when in doubt. */
uint32_t regex_free_length(struct regex_pool *pool, uint32_t id, uint32_t set);

static inline bool regex_nullable(const struct regex_pool *pool, uint32_t id)
{
    return pool->nodes[id].nullable;
}

#endif
