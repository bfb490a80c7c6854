/* Modelfile: the text from which a model is created.  (store-and-registry 9.1 to 9.6)
 *
 *   # comment
 *   FROM tiny
 *   PARAMETER stop "x y "
 *   SYSTEM """several
 *   lines"""
 *
 * UTF-8 or, with a byte order mark, UTF-16. A value ends with its line unless it begins with a
 * quote, single or triple; there are no escapes. NUL characters are dropped, so that every value is
 * a C string; nothing else is. Any thread. */
#ifndef OLL_REGISTRY_MODELFILE_H
#define OLL_REGISTRY_MODELFILE_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/base/strbuf.h"

#include <stdbool.h>

enum { OLL_MODELFILE_BYTES_MAX = 16 * 1024 * 1024 };

/* X(enumerator, "WORD") */
#define OLL_MODELFILE_WORDS(X)                                                                     \
    X(OLL_MODELFILE_FROM, "FROM")                                                                  \
    X(OLL_MODELFILE_LICENSE, "LICENSE")                                                            \
    X(OLL_MODELFILE_TEMPLATE, "TEMPLATE")                                                          \
    X(OLL_MODELFILE_SYSTEM, "SYSTEM")                                                              \
    X(OLL_MODELFILE_ADAPTER, "ADAPTER")                                                            \
    X(OLL_MODELFILE_DRAFT, "DRAFT")                                                                \
    X(OLL_MODELFILE_RENDERER, "RENDERER")                                                          \
    X(OLL_MODELFILE_PARSER, "PARSER")                                                              \
    X(OLL_MODELFILE_PARAMETER, "PARAMETER")                                                        \
    X(OLL_MODELFILE_MESSAGE, "MESSAGE")                                                            \
    X(OLL_MODELFILE_REQUIRES, "REQUIRES")

enum oll_modelfile_word {
#define X(name, text) name,
    OLL_MODELFILE_WORDS(X)
#undef X
        OLL_MODELFILE_WORD_COUNT
};

struct oll_modelfile_command {
    enum oll_modelfile_word word;
    const char *name; /* of a parameter; role of a message; else NULL */
    const char *value;
};

struct oll_modelfile {
    struct oll_modelfile_command *commands; /* in file order, at least one FROM among them */
    size_t n_commands;
};

/* Parses text[0..n); strings lie in the arena. OLL_ERR_FORMAT with the texts of 9.4, OLL_ERR_LIMIT
 * beyond OLL_MODELFILE_BYTES_MAX. */
oll_status oll_modelfile_parse(struct oll_arena *arena, const char *text, size_t n,
                               struct oll_modelfile *out, struct oll_error *err) OLL_MUST_USE;

/* Appends one command as a line, its value quoted where it must be to be read back. `name` is NULL
 * but for PARAMETER and MESSAGE. */
void oll_modelfile_print(struct oll_strbuf *sb, enum oll_modelfile_word word, const char *name,
                         const char *value);

/* ---- values of PARAMETER (9.5) ---- */

enum oll_modelfile_param {
    OLL_PARAM_UNKNOWN,
    OLL_PARAM_DEPRECATED, /* known once, ignored with a warning */
    OLL_PARAM_INT,
    OLL_PARAM_FLOAT,
    OLL_PARAM_BOOL,
    OLL_PARAM_STRINGS /* each value is one more element */
};

enum oll_modelfile_param oll_modelfile_param_kind(const char *name);
/* Writes a value of that kind as JSON: an integer of 64 bits, a number rounded to single precision,
 * a boolean, a string (one element). OLL_ERR_ARG: "invalid int value [x]". */
oll_status oll_modelfile_param_write(enum oll_modelfile_param kind, const char *value,
                                     struct oll_json_writer *w, struct oll_error *err) OLL_MUST_USE;

/* Whether REQUIRES may hold this text, without its "v": a semantic version, minor and patch may be
 * missing. */
bool oll_modelfile_version_valid(const char *text);

#endif
