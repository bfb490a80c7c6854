/* Compiler of JSON Schema (drafts 4 to 2020-12) to a grammar of the documents that it accepts.
 *
 * docs/structured-output.md lists the keywords. What cannot be enforced is refused, never ignored;
 * unknown keywords, annotations and unknown formats are ignored, as the standard says. Members come
 * in the order of the schema. */
#ifndef OLL_SAMPLER_JSON_SCHEMA_H
#define OLL_SAMPLER_JSON_SCHEMA_H

#include "sampler/grammar.h"

enum {
    JSON_SCHEMA_MAX_BYTES = 8 << 20,
    JSON_SCHEMA_MAX_NODES = 400000, /* values in the text of a schema */
    JSON_SCHEMA_MAX_SHAPES = 600    /* alternatives of one schema once all is multiplied out */
};

/* text[0..n): a schema, or the string "json" for any object. Fills an initialised grammar and sets
 * its root. `strict_spec`, or "x-oll-strict-spec": true at the root of the schema, makes members
 * that are not named allowed by default, and schemas without a type apply to all types. Errors end
 * with the JSON pointer of the place. */
oll_status json_schema_compile(struct grammar *g, const char *text, size_t n, bool strict_spec,
                               struct oll_error *err) OLL_MUST_USE;

#endif
