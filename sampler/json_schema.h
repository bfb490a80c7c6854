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

/* Documents that are not written as JSON: the arguments of tool calls. */

struct json_style {
    const char *words[3];         /* for null, false and true; NULL: has no way to be written */
    const char *quote;            /* strings are plain text between two of these; NULL: as JSON */
    const char *const *forbidden; /* texts that no string holds, ends with NULL; NULL: none */
    bool bare_objects;            /* objects as {key:value,...}, keys without quotes */
};

/* What raw text is taken for, by the types that its parameter declares. */
enum json_declared {
    JSON_DECLARED_STRING = 1,
    JSON_DECLARED_BOOLEAN = 2,
    JSON_DECLARED_INTEGER = 4,
    JSON_DECLARED_NUMBER = 8,
    JSON_DECLARED_ARRAY = 16,
    JSON_DECLARED_OBJECT = 32,
    JSON_DECLARED_OTHER = 64
};

/* An object of named members, one after the other:
 *     key_open NAME key_close VALUE value_close, with `between` between two of them
 * A byte 1 in value_close stands for the name. */
struct json_arguments {
    struct json_style style; /* of the values */
    bool is_document;        /* the object is one value of the style: nothing else below counts */
    const char *key_open, *key_close, *value_close, *between;
    const char *string_key_close; /* before a string; NULL: as key_close */
    const char *name_chars;       /* of names, beside letters, digits and _ */
    bool raw_strings;             /* a member that is a string is plain text without quotes, */
    bool cuts_newlines;           /* of which one line end at either end is lost */
    /* With raw_strings: the declared types of a member (bits of json_declared), whose text is read
     * as null, a truth value, a number or JSON before it counts as a string; NULL: it never is. */
    unsigned (*declared)(void *user, const char *name, size_t n);
    void *user;
};

/* As json_schema_compile, for the arguments that a schema describes: members that it names, in its
 * order, no others. OLL_ERR_UNSUPPORTED also for what the style cannot write. */
oll_status json_schema_compile_arguments(struct grammar *g, const char *text, size_t n,
                                         const struct json_arguments *arguments,
                                         struct oll_error *err) OLL_MUST_USE;

#endif
