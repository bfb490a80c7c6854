/* Characters of an automaton as bytes of a reply: plain UTF-8, or inside a JSON string.
 *
 * In a JSON string a character stands as itself where RFC 8259 lets it (U+007F excepted), else as
 * its short escape, else as \u00XX; `escapes` (strings that may hold anything) lets any character
 * be written as \uXXXX, surrogates in pairs. A place lies between two bytes, also inside a
 * character or an escape. */
#ifndef OLL_SAMPLER_GRAMMAR_STRING_H
#define OLL_SAMPLER_GRAMMAR_STRING_H

#include "sampler/regex_dfa.h"

/* Stages, in the low 4 bits; what has been read of a character or an escape lies above. */
enum {
    STRING_QUOTE = 0, /* before the opening quote; of plain UTF-8: between characters */
    STRING_BODY = 1,
    STRING_PARTIAL, /* inside a UTF-8 character */
    STRING_SKIP, /* the same, where the bytes that are missing make no difference: `state` is that
                    behind the character */
    STRING_BACKSLASH,
    STRING_HEX,           /* of \uXXXX */
    STRING_LOW_BACKSLASH, /* a high surrogate was read: its partner must follow */
    STRING_LOW_U,
    STRING_LOW_HEX
};

struct string_place {
    uint32_t state, stage;
};

enum string_outcome { STRING_REFUSED, STRING_GOES_ON, STRING_ENDED };

enum string_outcome grammar_string_step(struct regex_dfa *dfa, bool escapes,
                                        struct string_place *place, uint8_t byte);
enum string_outcome grammar_string_step_raw(struct regex_dfa *dfa, struct string_place *place,
                                            uint8_t byte);

/* Adds the bytes that lead on from the place. */
void grammar_string_bytes(struct regex_dfa *dfa, bool escapes, struct string_place place,
                          uint64_t bytes[4]);
void grammar_string_bytes_raw(struct regex_dfa *dfa, struct string_place place, uint64_t bytes[4]);

#endif
