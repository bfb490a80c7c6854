/* A grammar of text: what a reply may be, as a graph that grammar_machine.h walks.
 *
 * Built by the reader of GBNF (grammar_gbnf.h) and by the compiler of JSON Schema (json_schema.h).
 * Nodes are ids; a node may be used in many places, and cycles are recursion. Objects and arrays of
 * JSON are nodes of their own, with their counters in the stack of the walk instead of unrolled.
 *
 * Building fails stickily: look at `status` at the end. The terms of the pool grow automata while
 * the grammar is walked, so one thread at a time owns a grammar. */
#ifndef OLL_SAMPLER_GRAMMAR_H
#define OLL_SAMPLER_GRAMMAR_H

#include "sampler/regex_dfa.h"

enum { GRAMMAR_MAX_AUTOMATA = 100000, GRAMMAR_WORN_AUTOMATA = 20000 };
enum { GRAMMAR_MAX_NODES = 500000, GRAMMAR_MAX_BYTES = 16 << 20, GRAMMAR_NONE = 0 };

enum grammar_kind {
    GRAMMAR_UNSET,  /* reserved, its target not known yet; as a root: no text at all */
    GRAMMAR_EMPTY,  /* the empty text */
    GRAMMAR_BYTES,  /* bytes[a .. a + b), b > 0 */
    GRAMMAR_TERM,   /* texts of automaton a, in UTF-8 */
    GRAMMAR_STRING, /* JSON string whose characters are a text of automaton a; b: any character may
                       be escaped */
    GRAMMAR_SEQ,    /* kids[a .. a + b) one after the other */
    GRAMMAR_ALT,    /* one of kids[a .. a + b) */
    GRAMMAR_REP,    /* node a, b to c times */
    GRAMMAR_OBJECT, /* objects[a] */
    GRAMMAR_ARRAY,  /* arrays[a] */
    GRAMMAR_DIFFER, /* a string of term a or a number of term b, a member by which an object is
                       told from the elements before it (machine_unseal) */
    GRAMMAR_TOKEN   /* the token with id a; b: any token but that */
};

struct grammar_node {
    uint8_t kind;
    uint32_t a, b, c;
};

/* A node of the tree of member names: siblings are linked, the name's end names its property. */
struct grammar_name {
    uint8_t byte;
    uint32_t child, sibling; /* 0: none */
    uint32_t prop;           /* whose name ends here, REGEX_INF: none */
    uint32_t first, end;     /* order[first .. end): properties at and below this node */
};

struct grammar_prop {
    const char *name; /* as it stands between the quotes; owned by the builder until finished */
    size_t n_name;
    uint32_t value;
    bool required;
};

/* Members that are not named: a key of node `key` (a STRING) with that value. */
struct grammar_extra {
    uint32_t key, value;
};

struct grammar_object {
    uint32_t first_prop, n_prop;
    uint32_t first_extra, n_extra;
    uint32_t names; /* root of the tree of names, 0: no properties */
    uint32_t order; /* first of n_prop places of `order` */
    uint32_t min, max;
};

struct grammar_array {
    uint32_t first, n_prefix; /* kids[first ..): nodes of the leading elements */
    uint32_t item;            /* of all others */
    uint32_t min, max;
    /* `want` to `want_max` elements are of node `match` (0: no such wish), the others of `item`,
     * which then must not be of `match` unless want_max is REGEX_INF. */
    uint32_t match, want, want_max;
    bool is_set; /* elements are kids[first .. first + n_prefix), each at most once, in any order */
    /* Elements all differ: scalars of the terms `strings` and `numbers`, words, and objects that
     * have a DIFFER member each. A scalar begins only when the elements before it are known
     * (machine_unseal). */
    bool is_unique;
    uint32_t strings, numbers; /* terms, REGEX_NONE: none */
    uint8_t words;             /* 1 null, 2 false, 4 true */
    uint32_t objects;          /* node, GRAMMAR_NONE: none */
    uint32_t max_scalars;      /* `max` without objects */
};

enum { GRAMMAR_MAX_SET = 28, GRAMMAR_MAX_UNIQUE = 4096, GRAMMAR_MAX_COUNT = 1 << 14 };

/* Pieces of JSON's punctuation with the white space that may stand there. */
enum grammar_piece {
    GRAMMAR_OBJECT_OPEN,
    GRAMMAR_OBJECT_CLOSE,
    GRAMMAR_OBJECT_EMPTY,
    GRAMMAR_ARRAY_OPEN,
    GRAMMAR_ARRAY_CLOSE,
    GRAMMAR_ARRAY_EMPTY,
    GRAMMAR_COMMA,
    GRAMMAR_COLON,
    GRAMMAR_PIECES
};

struct grammar {
    struct regex_pool pool;
    struct regex_dfa *dfas;
    uint32_t *dfa_roots;      /* term of each automaton */
    uint32_t (*dfa_nodes)[2]; /* its TERM and STRING node, GRAMMAR_NONE until made */
    uint32_t n_dfas, cap_dfas, cap_roots, cap_dfa_nodes;
    uint32_t *dfa_table; /* open addressing: term to automaton + 1 */
    uint32_t dfa_mask;
    struct grammar_node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *kids;
    uint32_t n_kids, cap_kids;
    uint8_t *bytes;
    uint32_t n_bytes, cap_bytes;
    struct grammar_object *objects;
    uint32_t n_objects, cap_objects;
    struct grammar_array *arrays;
    uint32_t n_arrays, cap_arrays;
    struct grammar_prop *props;
    uint32_t n_props, cap_props;
    struct grammar_extra *extras;
    uint32_t n_extras, cap_extras;
    struct grammar_name *names;
    uint32_t n_names, cap_names;
    uint32_t *order;
    uint32_t n_order, cap_order;
    uint32_t pieces[GRAMMAR_PIECES]; /* nodes, made when first needed */
    uint32_t root;
    bool has_tokens; /* some node is a TOKEN */
    bool has_unique; /* some array is_unique */
    oll_status status;
};

oll_status grammar_init(struct grammar *g) OLL_MUST_USE;
void grammar_free(struct grammar *g);

/* A node to be given its meaning later, for recursion. */
uint32_t grammar_reserve(struct grammar *g);
void grammar_resolve(struct grammar *g, uint32_t reserved, uint32_t target);

uint32_t grammar_empty(struct grammar *g);
uint32_t grammar_bytes(struct grammar *g, const char *text, size_t n);
uint32_t grammar_term(struct grammar *g, uint32_t regex);
uint32_t grammar_string(struct grammar *g, uint32_t regex);
uint32_t grammar_differ(struct grammar *g, uint32_t strings, uint32_t numbers);
uint32_t grammar_seq(struct grammar *g, const uint32_t *ids, uint32_t n);
/* GRAMMAR_NONE among the alternatives is left out; none left gives GRAMMAR_NONE. */
uint32_t grammar_alt(struct grammar *g, const uint32_t *ids, uint32_t n);
uint32_t grammar_rep(struct grammar *g, uint32_t id, uint32_t min, uint32_t max);
uint32_t grammar_token(struct grammar *g, uint32_t token, bool any_but);
/* Copies the lists. Names are copied too. */
uint32_t grammar_object(struct grammar *g, const struct grammar_prop *props, uint32_t n_props,
                        const struct grammar_extra *extras, uint32_t n_extras, uint32_t min,
                        uint32_t max);
/* `array->first` and n_prefix are set from `prefix`. */
uint32_t grammar_array(struct grammar *g, struct grammar_array array, const uint32_t *prefix,
                       uint32_t n_prefix);
/* Makes the pieces of punctuation; `spaced` is false for compact text. */
void grammar_punctuate(struct grammar *g);

/* Removes what can never be completed; GRAMMAR_NONE as the root when nothing is left. To be called
 * once, after `root` is set. */
void grammar_finish(struct grammar *g);

#endif
