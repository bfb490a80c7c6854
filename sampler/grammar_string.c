#include "sampler/grammar_string.h"

#include <string.h>

/* A partial character: continuation bytes needed, its length, the bits so far. */
static uint32_t partial(uint32_t need, uint32_t len, uint32_t bits)
{
    return STRING_PARTIAL | need << 4 | len << 8 | bits << 12;
}

/* Whether a character that begins with these bits is in the language. */
static bool partial_alive(struct regex_dfa *dfa, uint32_t state, uint32_t need, uint32_t len,
                          uint32_t bits)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t lo = bits << 6 * need, hi = lo | ((1u << 6 * need) - 1);
    lo = lo > least[len] ? lo : least[len];
    hi = hi < REGEX_MAX_CP ? hi : REGEX_MAX_CP;
    return lo <= hi && regex_dfa_any(dfa, state, lo, hi);
}

/* When no range of the language divides the characters that begin with these bits, the place is
 * that behind any of them: so the automaton has three places inside such a character, not
 * thousands. */
static bool skip_rest(struct regex_dfa *dfa, struct string_place *place, uint32_t need,
                      uint32_t len, uint32_t bits)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t lo = bits << 6 * need, hi = lo | ((1u << 6 * need) - 1);
    if (lo < least[len] || hi > REGEX_MAX_CP || !regex_dfa_same(dfa, lo, hi))
        return false;
    place->state = regex_dfa_next(dfa, place->state, lo);
    place->stage = STRING_SKIP | need << 4;
    return true;
}

/* A byte of 0x80 and above; `rest` is the stage between characters. */
static enum string_outcome step_utf8(struct regex_dfa *dfa, struct string_place *place,
                                     uint8_t byte, uint32_t rest)
{
    uint32_t need, len, bits;
    if ((place->stage & 15) == STRING_SKIP) {
        need = (place->stage >> 4) - 1;
        place->stage = need ? STRING_SKIP | need << 4 : rest;
        return (byte & 0xC0) == 0x80 ? STRING_GOES_ON : STRING_REFUSED;
    }
    if ((place->stage & 15) == STRING_PARTIAL) {
        if ((byte & 0xC0) != 0x80)
            return STRING_REFUSED;
        need = (place->stage >> 4 & 15) - 1;
        len = place->stage >> 8 & 15;
        bits = place->stage >> 12 << 6 | (byte & 0x3F);
    } else {
        if (byte < 0xC2 || byte > 0xF4)
            return STRING_REFUSED;
        len = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        need = len - 1;
        bits = byte & (0x7Fu >> len);
    }
    if (!partial_alive(dfa, place->state, need, len, bits))
        return STRING_REFUSED;
    if (need > 0 && skip_rest(dfa, place, need, len, bits))
        return place->state != REGEX_DFA_DEAD ? STRING_GOES_ON : STRING_REFUSED;
    if (need > 0) {
        place->stage = partial(need, len, bits);
        return STRING_GOES_ON;
    }
    place->state = regex_dfa_next(dfa, place->state, bits);
    place->stage = rest;
    return place->state != REGEX_DFA_DEAD ? STRING_GOES_ON : STRING_REFUSED;
}

enum string_outcome grammar_string_step_raw(struct regex_dfa *dfa, struct string_place *place,
                                            uint8_t byte)
{
    if (byte >= 0x80 || place->stage)
        return step_utf8(dfa, place, byte, 0);
    place->state = regex_dfa_next(dfa, place->state, byte);
    return place->state != REGEX_DFA_DEAD ? STRING_GOES_ON : STRING_REFUSED;
}

/* ---- escapes ---- */

static const char short_letters[] = "\"\\bfnrt", short_values[] = "\"\\\b\f\n\r\t";

static bool has_short_escape(uint32_t cp)
{
    return cp && cp < 0x80 && strchr(short_values, (int)cp);
}

/* Whether some code point in [lo, hi] may be written as \uXXXX and is in the language. */
static bool hex_alive(struct regex_dfa *dfa, bool escapes, uint32_t state, uint32_t lo, uint32_t hi)
{
    if (escapes) {
        /* A high surrogate stands for the characters beyond the basic plane. */
        if (lo < 0xDC00 && hi >= 0xD800 && regex_dfa_any(dfa, state, 0x10000, REGEX_MAX_CP))
            return true;
        return (lo < 0xD800 && regex_dfa_any(dfa, state, lo, hi < 0xD7FF ? hi : 0xD7FF)) ||
               (hi >= 0xE000 && regex_dfa_any(dfa, state, lo > 0xE000 ? lo : 0xE000, hi));
    }
    for (uint32_t cp = lo; cp <= hi && cp <= 0x7F; cp++)
        if ((cp < 0x20 || cp == 0x7F) && !has_short_escape(cp) && regex_dfa_any(dfa, state, cp, cp))
            return true;
    return false;
}

/* The second half of a pair: `high` is the first. */
static bool low_alive(struct regex_dfa *dfa, uint32_t state, uint32_t high, uint32_t lo,
                      uint32_t hi)
{
    lo = lo > 0xDC00 ? lo : 0xDC00;
    hi = hi < 0xDFFF ? hi : 0xDFFF;
    uint32_t base = 0x10000 + ((high & 0x3FF) << 10);
    return lo <= hi && regex_dfa_any(dfa, state, base + (lo & 0x3FF), base + (hi & 0x3FF));
}

static int hex_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

static enum string_outcome take(struct regex_dfa *dfa, struct string_place *place, uint32_t cp)
{
    place->state = regex_dfa_next(dfa, place->state, cp);
    place->stage = STRING_BODY;
    return place->state != REGEX_DFA_DEAD ? STRING_GOES_ON : STRING_REFUSED;
}

static enum string_outcome step_backslash(struct regex_dfa *dfa, bool escapes,
                                          struct string_place *place, uint8_t byte)
{
    const char *at = byte ? strchr(short_letters, byte) : NULL;
    if (at)
        return take(dfa, place, (unsigned char)short_values[at - short_letters]);
    if (byte == '/' && escapes)
        return take(dfa, place, '/');
    if (byte != 'u' || !hex_alive(dfa, escapes, place->state, 0, 0xFFFF))
        return STRING_REFUSED;
    place->stage = STRING_HEX;
    return STRING_GOES_ON;
}

/* Hexadecimal digits: bits 4 to 6 count those read, three at most, their value lies in bits 7 to
 * 18, and the low ten bits of a high surrogate from bit 20 on. */
static enum string_outcome step_hex(struct regex_dfa *dfa, bool escapes, struct string_place *place,
                                    uint8_t byte)
{
    int digit = hex_digit(byte);
    uint32_t n = (place->stage >> 4 & 7) + 1, high = place->stage >> 20 & 0x3FF;
    bool is_low = (place->stage & 15) == STRING_LOW_HEX;
    if (digit < 0)
        return STRING_REFUSED;
    uint32_t value = (place->stage >> 7 & 0xFFF) << 4 | (uint32_t)digit, left = 4 * (4 - n);
    uint32_t lo = value << left, hi = lo | ((1u << left) - 1);
    if (is_low ? !low_alive(dfa, place->state, high, lo, hi)
               : !hex_alive(dfa, escapes, place->state, lo, hi))
        return STRING_REFUSED;
    if (n < 4) {
        place->stage = (place->stage & 15) | n << 4 | value << 7 | high << 20;
        return STRING_GOES_ON;
    }
    if (is_low)
        return take(dfa, place, 0x10000 + (high << 10) + (value & 0x3FF));
    if (value >= 0xD800 && value < 0xDC00) {
        place->stage = STRING_LOW_BACKSLASH | (value & 0x3FF) << 20;
        return STRING_GOES_ON;
    }
    return take(dfa, place, value);
}

enum string_outcome grammar_string_step(struct regex_dfa *dfa, bool escapes,
                                        struct string_place *place, uint8_t byte)
{
    switch (place->stage & 15) {
    case STRING_QUOTE:
        if (byte != '"')
            return STRING_REFUSED;
        place->stage = STRING_BODY;
        return STRING_GOES_ON;
    case STRING_BODY:
        if (byte == '"')
            return dfa->states[place->state].accepts ? STRING_ENDED : STRING_REFUSED;
        if (byte == '\\') {
            place->stage = STRING_BACKSLASH;
            return STRING_GOES_ON; /* grammar_string_bytes knows whether an escape can follow */
        }
        if (byte < 0x20 || byte == 0x7F)
            return STRING_REFUSED;
        return byte < 0x80 ? take(dfa, place, byte) : step_utf8(dfa, place, byte, STRING_BODY);
    case STRING_PARTIAL:
    case STRING_SKIP: return step_utf8(dfa, place, byte, STRING_BODY);
    case STRING_BACKSLASH: return step_backslash(dfa, escapes, place, byte);
    case STRING_LOW_BACKSLASH:
    case STRING_LOW_U: {
        bool is_u = (place->stage & 15) == STRING_LOW_U;
        if (byte != (is_u ? 'u' : '\\'))
            return STRING_REFUSED;
        place->stage = (place->stage & ~15u) | (is_u ? STRING_LOW_HEX : STRING_LOW_U);
        return STRING_GOES_ON;
    }
    default: return step_hex(dfa, escapes, place, byte);
    }
}

/* ---- bytes ---- */

static void set_bit(uint64_t bytes[4], uint8_t byte)
{
    bytes[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

/* By trial: places inside a character or an escape are few. */
static void try_bytes(struct regex_dfa *dfa, bool escapes, bool raw, struct string_place place,
                      uint64_t bytes[4])
{
    bool inside = (place.stage & 15) == STRING_PARTIAL;
    if ((place.stage & 15) == STRING_SKIP) {
        bytes[2] = UINT64_MAX;
        return;
    }
    for (int b = inside ? 0x80 : 0; b < (inside ? 0xC0 : 0x80); b++) {
        struct string_place next = place;
        enum string_outcome o = raw ? grammar_string_step_raw(dfa, &next, (uint8_t)b)
                                    : grammar_string_step(dfa, escapes, &next, (uint8_t)b);
        if (o != STRING_REFUSED)
            set_bit(bytes, (uint8_t)b);
    }
}

void grammar_string_bytes_raw(struct regex_dfa *dfa, struct string_place place, uint64_t bytes[4])
{
    if (place.stage) {
        try_bytes(dfa, false, true, place, bytes);
        return;
    }
    const uint64_t *own = regex_dfa_bytes(dfa, place.state);
    for (int i = 0; i < 4; i++)
        bytes[i] |= own[i];
}

void grammar_string_bytes(struct regex_dfa *dfa, bool escapes, struct string_place place,
                          uint64_t bytes[4])
{
    const uint64_t controls = 0xFFFFFFFFu, quote = UINT64_C(1) << '"';
    const uint64_t backslash = UINT64_C(1) << ('\\' & 63), del = UINT64_C(1) << 63;
    if (place.stage == STRING_QUOTE) {
        set_bit(bytes, '"');
        return;
    }
    if (place.stage != STRING_BODY) {
        try_bytes(dfa, escapes, false, place, bytes);
        return;
    }
    const uint64_t *own = regex_dfa_bytes(dfa, place.state);
    bytes[0] |= own[0] & ~(controls | quote);
    bytes[1] |= own[1] & ~(backslash | del);
    bytes[2] |= own[2];
    bytes[3] |= own[3];
    bool any = own[0] | own[1] | own[2] | own[3];
    if ((escapes && any) || (own[0] & (controls | quote)) || (own[1] & (backslash | del)))
        bytes[1] |= backslash;
    if (dfa->states[place.state].accepts)
        bytes[0] |= quote;
}
