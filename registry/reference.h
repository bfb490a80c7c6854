/* Names of models: [scheme "://"] [host "/"] [namespace "/"] model [":" tag]
 *
 *   part        bytes    first             others
 *   host        1..350   [A-Za-z0-9_]      [A-Za-z0-9_.:-]
 *   namespace   1..80    [A-Za-z0-9_]      [A-Za-z0-9_-]
 *   model, tag  1..80    [A-Za-z0-9_]      [A-Za-z0-9_.-]
 *
 * Missing parts are registry.ollama.ai, library and latest. No part can be "." or ".." or hold a
 * slash, so the parts of a valid name are safe as path components (security rule R11). Names keep
 * their case and compare without it. (store-and-registry 1) */
#ifndef OLL_REGISTRY_REFERENCE_H
#define OLL_REGISTRY_REFERENCE_H

#include "engine/base/status.h"

#include <stdbool.h>

enum { OLL_HOST_MAX = 350, OLL_NAME_PART_MAX = 80, OLL_REFERENCE_TEXT_MAX = 640 };

/* Where a name says the model lives: ":local" and ":cloud" at its end (1.6). */
enum oll_source { OLL_SOURCE_ANY, OLL_SOURCE_LOCAL, OLL_SOURCE_CLOUD };

struct oll_reference {
    char scheme[16]; /* "https" when none was given; not part of the name */
    char host[OLL_HOST_MAX + 1];
    char namespace[OLL_NAME_PART_MAX + 1];
    char model[OLL_NAME_PART_MAX + 1];
    char tag[OLL_NAME_PART_MAX + 1];
    enum oll_source source;
};

/* Parses, fills in defaults, validates. OLL_ERR_ARG: "invalid model name", "model is required" for
 * an empty text, or the text about two sources. */
oll_status oll_reference_parse(const char *text, struct oll_reference *out,
                               struct oll_error *err) OLL_MUST_USE;
/* Whether a path component is valid as that part of a name. */
bool oll_reference_valid_host(const char *s);
bool oll_reference_valid_namespace(const char *s);
bool oll_reference_valid_part(const char *s); /* model or tag */

bool oll_reference_equal(const struct oll_reference *a, const struct oll_reference *b);
/* "llama3:latest", "me/llama3:latest", "hf.co/u/r:Q4_K_M": what lists and replies show. */
void oll_reference_short(const struct oll_reference *ref, char out[OLL_REFERENCE_TEXT_MAX]);
/* host/namespace/model:tag */
void oll_reference_full(const struct oll_reference *ref, char out[OLL_REFERENCE_TEXT_MAX]);

#endif
