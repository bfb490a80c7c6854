/* Automaton of a regular term, grown as it is walked.
 *
 * States are derivatives. Code points fall into classes that no set of the term tells apart, and a
 * state's row of successors is filled one class at a time. A state from which no text of the
 * language can be reached is the dead state: a walk that is alive can always be completed. */
#ifndef OLL_SAMPLER_REGEX_DFA_H
#define OLL_SAMPLER_REGEX_DFA_H

#include "sampler/regex.h"

/* States of one automaton, and of one search for a way to an accepting state. */
enum { REGEX_DFA_MAX_STATES = 250000, REGEX_DFA_MAX_SEARCH = 10000 };
enum { REGEX_DFA_DEAD = 0, REGEX_DFA_START = 1 };

struct regex_dfa_state {
    uint64_t bytes[4]; /* first bytes, in UTF-8, of the characters that keep it alive */
    uint32_t regex;
    uint32_t parent, stamp; /* of a search */
    uint8_t alive;          /* 0 not known, 1 yes, 2 no */
    bool accepts;
    bool has_bytes;
};

struct regex_dfa {
    struct regex_pool *pool; /* borrowed */
    uint32_t *starts;        /* [n_interval] first code point of each interval, ascending */
    uint16_t *classes;       /* [n_interval] class of the interval; class 0 is that of surrogates */
    uint32_t n_interval, n_class;
    uint32_t *samples; /* [n_class] a code point of each class */
    uint16_t ascii[128];
    struct regex_dfa_state *states;
    uint32_t *next; /* [n_state][n_class], REGEX_INF while not known */
    uint32_t n_state, cap_state, cap_next;
    uint32_t *table; /* open addressing: term to state */
    uint32_t table_mask, stamp;
};

/* The pool must outlive the automaton. OLL_ERR_MEMORY, OLL_ERR_LIMIT. */
oll_status regex_dfa_init(struct regex_dfa *dfa, struct regex_pool *pool,
                          uint32_t root) OLL_MUST_USE;
void regex_dfa_free(struct regex_dfa *dfa);

/* The state after a character; REGEX_DFA_DEAD when the text cannot be completed, and also when a
 * limit or the memory stood in the way, which then sticks in the pool. */
uint32_t regex_dfa_next(struct regex_dfa *dfa, uint32_t state, uint32_t cp);
bool regex_dfa_alive(struct regex_dfa *dfa, uint32_t state);
/* Whether some character in [lo, hi] leads on. */
bool regex_dfa_any(struct regex_dfa *dfa, uint32_t state, uint32_t lo, uint32_t hi);
/* Whether all characters of [lo, hi] are alike in every state. */
bool regex_dfa_same(const struct regex_dfa *dfa, uint32_t lo, uint32_t hi);
/* Bit set of the bytes with which a character that leads on can begin; valid until the next call
 * that may make states. */
const uint64_t *regex_dfa_bytes(struct regex_dfa *dfa, uint32_t state);

/* Whether no text is in the language; remembered in the pool. True with the pool's status set when
 * it could not be found out. */
bool regex_is_empty(struct regex_pool *pool, uint32_t id);

#endif
