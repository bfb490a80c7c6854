/* What the files that write grammars of schemas share: json_schema.c for JSON,
 * json_schema_unique.c for elements that must differ, and json_schema_style.c for the arguments of
 * tool calls. */
#ifndef OLL_SAMPLER_JSON_SCHEMA_EMIT_H
#define OLL_SAMPLER_JSON_SCHEMA_EMIT_H

#include "sampler/json_schema_shape.h"

/* Digits and signs of numbers where no two may round to one: what any double keeps. */
enum { JSON_EXACT_CHARS = 16 };

struct emitter {
    struct schema *s;
    const struct json_arguments *arguments; /* NULL: the document is JSON */
    uint32_t forbidden;                     /* term of the strings that the style allows */
    uint32_t *queue;                        /* conjunctions that have a node but no body yet */
    uint32_t n_queue, cap_queue;
    uint32_t word_nodes[3];
};

/* The node of a conjunction; its body is written later, so recursion is no problem. */
uint32_t json_emit_node(struct emitter *e, uint32_t conj);
/* A member of objects that must differ: the node of its value. */
struct json_differing {
    uint32_t prop, node;
};
/* An object; with `leaf` (NULL: none) that member is there in all of them, and of that node. */
oll_status json_emit_object(struct emitter *e, uint32_t owner, const struct object_shape *o,
                            const struct json_differing *leaf, uint32_t *node) OLL_MUST_USE;
/* The alternatives of one shape, of some of its types. */
oll_status json_emit_types(struct emitter *e, uint32_t owner, const struct shape *v, uint8_t types,
                           uint32_t *node) OLL_MUST_USE;
/* The term of the texts of a shape's numbers. */
uint32_t json_emit_numbers(struct emitter *e, const struct shape *v);
/* A place in the schema that a conjunction comes from. */
const struct oll_json *json_emit_place(const struct schema *s, uint32_t conj);
/* Members named by `properties` first, then those that are only required; without those that may
 * not be there. At most o->n_props indices. */
uint32_t json_emit_order(const struct schema *s, const struct object_shape *o, uint32_t *order);

/* ---- json_schema_unique.c ---- */

/* An array whose elements must differ. */
oll_status json_emit_unique(struct emitter *e, uint32_t owner, const struct array_shape *a,
                            uint32_t *node) OLL_MUST_USE;

/* ---- json_schema_style.c ---- */

/* The term of strings that the style can write; REGEX_ALL for JSON. */
uint32_t json_style_allowed(struct schema *s, const struct json_arguments *arguments);
/* A string of the style. */
uint32_t json_style_string(struct emitter *e, uint32_t term);
/* null, false or true; GRAMMAR_NONE where the style has no word for it. */
uint32_t json_style_word(struct emitter *e, int word);
/* An object with bare keys. */
oll_status json_style_object(struct emitter *e, uint32_t owner, const struct object_shape *o,
                             uint32_t *node) OLL_MUST_USE;
/* The whole: an object of members. */
oll_status json_style_arguments(struct emitter *e, uint32_t root, uint32_t *node) OLL_MUST_USE;

#endif
