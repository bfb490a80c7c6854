/* What the files of the schema compiler share.
 *
 *     atom    one reason for a constraint: a place in the schema, a constant, or "not a
 * conjunction" conj    a conjunction of atoms, hash-consed: what one value must satisfy, still
 * unread shape   a conjunction read: per type what a value of that type must satisfy shapes
 * alternatives (a disjunction) of shapes
 *
 * json_schema_read.c turns atoms into shapes, json_schema_shape.c computes with shapes,
 * json_schema.c writes the grammar. Parts of arrays and objects stay conjunctions until they are
 * needed, so recursion ends by itself.
 *
 * OLL_ERR_BUSY is the answer for an atom that is being read already. */
#ifndef OLL_SAMPLER_JSON_SCHEMA_SHAPE_H
#define OLL_SAMPLER_JSON_SCHEMA_SHAPE_H

#include "engine/base/json.h"
#include "sampler/grammar.h"
#include "sampler/json_schema.h"

enum { CONJ_ANY = 0, CONJ_NEVER = 1 };

enum schema_types {
    TYPE_NULL = 1,
    TYPE_BOOL = 2,
    TYPE_NUMBER = 4,
    TYPE_STRING = 8,
    TYPE_ARRAY = 16,
    TYPE_OBJECT = 32,
    TYPE_ALL = 63,
    TYPE_SCALARS = TYPE_NULL | TYPE_BOOL | TYPE_NUMBER | TYPE_STRING
};

struct array_shape {
    uint32_t min, max;
    uint32_t *prefix, n_prefix; /* conjunctions */
    uint32_t items;
    uint32_t contains; /* conjunction, CONJ_ANY: no such wish */
    uint32_t min_contains, max_contains;
    uint32_t evaluated; /* elements that prefixItems and items spoke about, REGEX_INF: all */
    bool unique;
    bool hard; /* more than one contains: cannot be written as a grammar */
};

struct prop_shape {
    const char *name;
    size_t n;
    uint32_t value; /* conjunction; CONJ_NEVER: the member is forbidden */
    bool required;
    bool listed; /* in some `properties` */
};

/* Every unnamed key in `match` has a value of the conjunction. `key` is the same set where it does
 * not matter that it may hold names of the side that the rule comes from. */
struct key_rule {
    uint32_t match, key, value;
};

struct object_shape {
    struct prop_shape *props;
    uint32_t n_props;
    struct key_rule *rules;
    uint32_t n_rules;
    uint32_t min, max;
    /* Term of the keys that properties and its like spoke about; only kept where the document asks
     * for it (has_unevaluated). */
    uint32_t evaluated;
    bool open_said; /* something spoke about unnamed members */
};

struct shape {
    uint8_t types, bools;      /* bools: 1 false, 2 true */
    uint8_t touched;           /* types that a keyword spoke about */
    bool typed;                /* the types were restricted on purpose */
    bool integer;              /* numbers are written without fraction */
    bool exact;                /* no two numbers of these may round to one double: few digits */
    uint32_t number, spelling; /* terms; REGEX_ALL: any number, any spelling */
    uint32_t string;
    uint32_t unformatted; /* `string` without what `format` asks for, which not all enforce */
    const struct array_shape *array;   /* NULL: any */
    const struct object_shape *object; /* NULL: any */
};

struct shapes {
    struct shape *v;
    uint32_t n, cap;
    bool inexact; /* holds less than it should: fine to generate from, not to be negated */
};

enum atom_kind { ATOM_SCHEMA, ATOM_CONST, ATOM_NOT };
enum { ATOM_NEW, ATOM_READING, ATOM_READ };

struct atom {
    enum atom_kind kind;
    int state;
    const struct oll_json *json; /* SCHEMA, CONST */
    uint32_t base; /* SCHEMA: resource that references are relative to; NOT: whether lenient */
    uint32_t conj; /* NOT */
    struct shapes shapes; /* once READ */
};

struct conj {
    const uint32_t *atoms; /* ascending */
    uint32_t n;
    bool has_shapes;
    struct shapes shapes;
    uint32_t node; /* of the grammar; GRAMMAR_NONE: not asked for yet */
};

/* A part of the document with an identifier of its own. */
struct resource {
    const char *uri; /* without fragment */
    const struct oll_json *root;
};

struct anchor {
    const char *uri; /* of its resource */
    const char *name;
    const struct oll_json *json;
};

struct schema {
    struct grammar *g;
    struct regex_pool *pool;
    struct oll_arena arena;
    struct oll_error *err;
    const struct oll_json *root;
    bool strict_spec;
    bool lenient;         /* complements leave out what only a format keeps apart */
    bool has_unevaluated; /* some schema says what becomes of members or elements left over */
    struct atom *atoms;
    uint32_t n_atoms, cap_atoms, *atom_table, atom_mask;
    struct conj *conjs;
    uint32_t n_conjs, cap_conjs, *conj_table, conj_mask;
    struct resource *resources;
    uint32_t n_resources, cap_resources;
    struct anchor *anchors;
    uint32_t n_anchors, cap_anchors;
    uint32_t depth, probing; /* of reading; of questions whether something is empty */
    uint32_t numbers;        /* term of all numbers, once made */
    uint64_t fuel;           /* shapes, and members of objects, that may still be looked at */
};

/* ---- errors: the pointer of `at` is appended ---- */

oll_status schema_fail(struct schema *s, const struct oll_json *at, oll_status status,
                       const char *fmt, ...) OLL_PRINTF(4, 5);
/* `unsupported JSON schema: "keyword" at #/...` */
oll_status schema_unsupported(struct schema *s, const struct oll_json *at, const char *keyword);

/* ---- atoms and conjunctions; they return CONJ_NEVER after a failure of memory, see arena ---- */

uint32_t schema_conj(struct schema *s, const struct oll_json *json, uint32_t base);
uint32_t schema_conj_const(struct schema *s, const struct oll_json *json);
uint32_t schema_conj_not(struct schema *s, uint32_t conj);
uint32_t schema_conj_both(struct schema *s, uint32_t a, uint32_t b);

/* ---- shapes ---- */

struct shape shape_any(void);
oll_status shapes_add(struct schema *s, struct shapes *list,
                      const struct shape *shape) OLL_MUST_USE;
/* *list = *list and *other; *list = *list or *other. */
oll_status shapes_meet(struct schema *s, struct shapes *list,
                       const struct shapes *other) OLL_MUST_USE;
oll_status shapes_join(struct schema *s, struct shapes *list,
                       const struct shapes *other) OLL_MUST_USE;
/* Texts that do not end with a line end: to ECMA `$` is the very end, to Python also the place
 * before a last line end, and what is outside a pattern must be so to both. */
uint32_t schema_no_line_end(struct schema *s);
/* Everything but the list. OLL_ERR_UNSUPPORTED (without text) when the list is inexact. */
oll_status shapes_negate(struct schema *s, const struct shapes *list,
                         struct shapes *out) OLL_MUST_USE;
/* The list with strings of any format. */
oll_status shapes_unformat(struct schema *s, struct shapes *list) OLL_MUST_USE;
/* As shapes_negate, of the list as those see it who do not enforce formats: what is in neither
 * reading of it. */
oll_status shapes_negate_lenient(struct schema *s, const struct shapes *list,
                                 struct shapes *out) OLL_MUST_USE;
/* Whether surely nothing is in the list. */
oll_status shapes_empty(struct schema *s, const struct shapes *list, bool *empty) OLL_MUST_USE;
/* Whether two lists have surely nothing in common: asked before they are met, since it costs no
 * memory. It looks at types and at members that one side requires and both name, as the ones that
 * tell kinds of objects apart. */
oll_status shapes_apart(struct schema *s, const struct shapes *a, const struct shapes *b,
                        bool *apart) OLL_MUST_USE;
/* The conjunction that a key's value must satisfy as far as this side is concerned. */
uint32_t shape_value_of(struct schema *s, const struct object_shape *o, const char *name, size_t n);

/* Adds what unevaluatedProperties and unevaluatedItems of a schema say, once all else of it is in
 * the list: `properties`, `items`: conjunctions for what is left over, CONJ_ANY where it says
 * nothing. In each shape it is what that shape's own branches left over: where others would hold
 * too, this leaves out what only they allow. */
struct unevaluated {
    bool has_properties, has_items;
    uint32_t properties, items;
};
oll_status shapes_close(struct schema *s, struct shapes *list,
                        const struct unevaluated *rest) OLL_MUST_USE;

/* ---- reading; the list that comes back is shared and must not be changed ---- */

oll_status schema_read_atom(struct schema *s, uint32_t atom, struct shapes *out) OLL_MUST_USE;
oll_status schema_read_conj(struct schema *s, uint32_t conj, struct shapes *out) OLL_MUST_USE;
/* Notes the identifiers and anchors of the whole document. */
oll_status schema_index(struct schema *s) OLL_MUST_USE;
/* The place that a reference names. *is_meta: a meta-schema of the standard, of which only this is
 * known. */
oll_status schema_resolve(struct schema *s, const struct oll_json *ref, uint32_t base,
                          const struct oll_json **json, uint32_t *new_base,
                          bool *is_meta) OLL_MUST_USE;
/* The resource whose root this object is, else `base`. */
uint32_t schema_base_of(const struct schema *s, const struct oll_json *json, uint32_t base);

#endif
