/* Reader of ECMA-262 patterns, as JSON Schema's `pattern` has them. */
#ifndef OLL_SAMPLER_REGEX_PARSE_H
#define OLL_SAMPLER_REGEX_PARSE_H

#include "sampler/regex.h"

enum { REGEX_MAX_PATTERN = 1 << 16, REGEX_MAX_GROUPS = 100, REGEX_MAX_COUNT = 1 << 20 };

/* The texts in which the pattern is found somewhere (`^` and `$` tie it to an end). Look-ahead
 * works where it speaks of the rest of the text. Where ECMA and Python differ in what \d, \w and \s
 * mean beyond ASCII, what both accept is taken. OLL_ERR_FORMAT: no pattern; OLL_ERR_UNSUPPORTED:
 * look-behind, back-references, \b, flags, anchors in the middle; OLL_ERR_LIMIT; OLL_ERR_MEMORY.
 * The text says what and at which byte. */
oll_status regex_parse(struct regex_pool *pool, const char *text, size_t n, uint32_t *out,
                       struct oll_error *err) OLL_MUST_USE;

#endif
