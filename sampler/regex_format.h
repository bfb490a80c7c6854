/* The string formats of JSON Schema as regular languages. */
#ifndef OLL_SAMPLER_REGEX_FORMAT_H
#define OLL_SAMPLER_REGEX_FORMAT_H

#include "sampler/regex.h"

/* *out is the language of the format, REGEX_ALL when the name says nothing about strings (unknown
 * formats are annotations). */
oll_status regex_format(struct regex_pool *pool, const char *name, uint32_t *out,
                        struct oll_error *err) OLL_MUST_USE;

#endif
