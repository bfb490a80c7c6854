/* What the tokenizers need of the Unicode Character Database: general category, white space, the
 * Han script, simple lower case and the first code point of the canonical decomposition.
 *
 * A character is described by a mask with one bit per property, so that a class of a pre-tokenizer
 * is a mask too and membership is one AND. The tables are generated (unicode_tables.c, which
 * records the version); lookups are pure functions. */
#ifndef OLL_TOKENIZER_UNICODE_H
#define OLL_TOKENIZER_UNICODE_H

#include "engine/base/utf8.h"

#include <stdint.h>

enum char_bits {
    /* General category; exactly one of these is set. */
    CHAR_LU = 1 << 0,
    CHAR_LL = 1 << 1,
    CHAR_LT = 1 << 2,
    CHAR_LM = 1 << 3,
    CHAR_LO = 1 << 4,
    CHAR_M = 1 << 5, /* Mn, Mc, Me */
    CHAR_N = 1 << 6, /* Nd, Nl, No */
    CHAR_P = 1 << 7,
    CHAR_S = 1 << 8,
    CHAR_Z = 1 << 9,
    CHAR_CC = 1 << 10,
    CHAR_CF = 1 << 11,
    CHAR_CO = 1 << 12,
    CHAR_CS = 1 << 13,
    CHAR_CN = 1 << 14, /* unassigned */
    /* Further properties. */
    CHAR_SPACE = 1 << 15,   /* White_Space: \s */
    CHAR_NEWLINE = 1 << 16, /* CR and LF */
    CHAR_HAN = 1 << 17,     /* Script=Han */
    CHAR_DIGIT = 1 << 18,   /* Nd: \d */
    CHAR_WORD = 1 << 19,    /* \w of UTS 18: alphabetic, marks, Nd, Pc, joiners */
    CHAR_ASCII = 1 << 20,
    CHAR_BLANK = 1 << 21,       /* U+0020 alone */
    CHAR_SLASH = 1 << 22,       /* U+002F alone */
    CHAR_ASCII_DIGIT = 1 << 23, /* 0-9 */
    CHAR_APOSTROPHE = 1 << 24,  /* U+0027 alone */
    CHAR_L = CHAR_LU | CHAR_LL | CHAR_LT | CHAR_LM | CHAR_LO
};

/* Generated. Blocks of 128 code points share rows; a row holds indices of `unicode_kinds`. */
extern const char unicode_version[];
extern const uint8_t unicode_block[0x110000 / 128];
extern const uint8_t unicode_rows[][128];
extern const uint32_t unicode_kinds[];
/* Mask by byte for U+0000 to U+007F; 0 for other bytes. */
extern const uint32_t unicode_ascii[256];

/* Simple lower case: code points first, first + step, ... last move by delta. Sorted. */
struct unicode_lower_range {
    uint32_t first, last;
    int32_t delta;
    uint32_t step;
};
extern const struct unicode_lower_range unicode_lower_ranges[];
extern const uint32_t unicode_n_lower_ranges;

/* Code points whose full canonical decomposition starts with another one. Sorted by cp. Hangul
 * syllables are computed instead. */
struct unicode_base {
    uint32_t cp, base;
};
extern const struct unicode_base unicode_bases[];
extern const uint32_t unicode_n_bases;

static inline uint32_t char_mask(uint32_t cp)
{
    return cp < 0x110000 ? unicode_kinds[unicode_rows[unicode_block[cp >> 7]][cp & 127]] : CHAR_CN;
}

/* Mask and length of the character at p < end. A byte that begins no valid character counts as one
 * symbol of its own, so that no input is refused and none is lost. */
static inline uint32_t char_at(const char *p, const char *end, int *len)
{
    uint32_t cp, mask = unicode_ascii[(unsigned char)*p];
    if (mask) {
        *len = 1;
        return mask;
    }
    *len = oll_utf8_decode(p, (size_t)(end - p), &cp);
    if (*len == 0) {
        *len = 1;
        return CHAR_S;
    }
    return char_mask(cp);
}

uint32_t unicode_lower(uint32_t cp);
/* First code point of the full canonical decomposition. */
uint32_t unicode_base_letter(uint32_t cp);

#endif
