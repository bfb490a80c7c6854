/* Go's constants: quoted strings and runes, both ways. */
#include "engine/base/utf8.h"
#include "engine/chat/go_node.h"

#include <string.h>

bool go_str_equal(struct go_str a, const char *b)
{
    return a.n == strlen(b) && memcmp(a.s, b, a.n) == 0;
}

/* ---- reading ---- */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

static bool read_digits(struct go_str *in, size_t n, int base, uint32_t *out)
{
    *out = 0;
    if (in->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const int d = digit_value(in->s[i]);
        if (d >= base)
            return false;
        *out = *out * (uint32_t)base + (uint32_t)d;
    }
    in->s += n;
    in->n -= n;
    return true;
}

/* One character behind a backslash. *is_byte: a byte of its own (\x41, \101), not a character. */
static bool read_escape(struct go_str *in, char quote, uint32_t *cp, bool *is_byte)
{
    static const char letters[] = "abfnrtv\\", values[] = "\a\b\f\n\r\t\v\\";
    if (in->n == 0)
        return false;
    const char c = in->s[0];
    *is_byte = false;
    if (c >= '0' && c <= '7') {
        *is_byte = true;
        return read_digits(in, 3, 8, cp) && *cp <= 0xFF;
    }
    in->s++;
    in->n--;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter || c == quote) {
        *cp = letter ? (uint32_t)values[letter - letters] : (uint32_t)quote;
        return true;
    }
    if (c == 'x') {
        *is_byte = true;
        return read_digits(in, 2, 16, cp);
    }
    if (c != 'u' && c != 'U')
        return false;
    return read_digits(in, c == 'u' ? 4 : 8, 16, cp) && *cp <= 0x10FFFF &&
           !(*cp >= 0xD800 && *cp <= 0xDFFF);
}

static bool unquote_raw(struct oll_arena *arena, struct go_str inner, struct go_str *out)
{
    char *copy = oll_arena_alloc(arena, inner.n + 1, 1);
    if (!copy)
        return false;
    *out = (struct go_str){copy, 0};
    for (size_t i = 0; i < inner.n; i++)
        if (inner.s[i] != '\r')
            copy[out->n++] = inner.s[i];
    return true;
}

bool go_unquote(struct oll_arena *arena, struct go_str quoted, struct go_str *out)
{
    struct go_str in = {quoted.s + 1, quoted.n - 2};
    if (quoted.s[0] == '`')
        return unquote_raw(arena, in, out);
    /* An escape is never shorter than what it stands for. */
    char *text = oll_arena_alloc(arena, in.n + 1, 1);
    if (!text)
        return false;
    size_t n = 0;
    while (in.n) {
        uint32_t cp;
        bool is_byte;
        if (in.s[0] != '\\') {
            text[n++] = *in.s++;
            in.n--;
            continue;
        }
        in.s++;
        in.n--;
        if (!read_escape(&in, '"', &cp, &is_byte))
            return false;
        if (is_byte)
            text[n++] = (char)cp;
        else
            n += (size_t)oll_utf8_encode(cp, text + n);
    }
    *out = (struct go_str){text, n};
    return true;
}

bool go_unquote_rune(struct go_str quoted, uint32_t *out, bool *malformed)
{
    struct go_str in = {quoted.s + 1, quoted.n - 2};
    bool is_byte;
    *malformed = false;
    if (in.n && in.s[0] == '\\') {
        in.s++;
        in.n--;
        if (!read_escape(&in, '\'', out, &is_byte))
            return false;
    } else {
        const int n = oll_utf8_decode(in.s, in.n, out);
        if (n == 0)
            return false;
        in.n -= (size_t)n;
    }
    *malformed = in.n > 0;
    return in.n == 0;
}

/* ---- writing ---- */

/* Characters that Go writes as escapes although they are valid: controls, blanks other than the
 * ASCII one, format characters, private use. */
bool go_is_printable(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0, 0x1F},          {0x7F, 0xA0},     {0xAD, 0xAD},     {0x61C, 0x61C},
                  {0x1680, 0x1680},   {0x180E, 0x180E}, {0x2000, 0x200F}, {0x2028, 0x202F},
                  {0x205F, 0x206F},   {0x3000, 0x3000}, {0xD800, 0xF8FF}, {0xFDD0, 0xFDEF},
                  {0xFEFF, 0xFEFF},   {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0xE00FF},
                  {0xF0000, 0x10FFFF}};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return false;
    return true;
}

static void quote_char(struct oll_strbuf *out, const char *s, int len, uint32_t cp)
{
    static const char escaped[] = "\a\b\f\n\r\t\v\"\\", letters[] = "abfnrtv\"\\";
    const char *e = cp && cp < 0x80 ? strchr(escaped, (int)cp) : NULL;
    if (e)
        oll_strbuf_printf(out, "\\%c", letters[e - escaped]);
    else if (go_is_printable(cp))
        oll_strbuf_add(out, s, (size_t)len);
    else if (cp < 0x80)
        oll_strbuf_printf(out, "\\x%02x", (unsigned)cp);
    else
        oll_strbuf_printf(out, cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
}

void go_quote(struct oll_strbuf *out, struct go_str s)
{
    oll_strbuf_addc(out, '"');
    for (size_t i = 0; i < s.n && out->status == OLL_OK;) {
        uint32_t cp;
        const int len = oll_utf8_decode(s.s + i, s.n - i, &cp);
        if (len > 0)
            quote_char(out, s.s + i, len, cp);
        else
            oll_strbuf_printf(out, "\\x%02x", (unsigned char)s.s[i]);
        i += len > 0 ? (size_t)len : 1;
    }
    oll_strbuf_addc(out, '"');
}
