/* Go's fmt.Sprintf for the values of templates. Where a verb does not fit its value Go prints a
 * text that says so, and goes on. */
#include "engine/base/utf8.h"
#include "engine/chat/go_func.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_MAX = 1000000, DIGITS_MAX = 1000, NO_NUMBER = -1 };

struct spec {
    bool minus, plus, sharp, space, zero;
    int width, precision; /* NO_NUMBER: not given */
    char verb;
};

struct formatter {
    struct oll_strbuf *out;
    struct go_str format;
    size_t at;
    const struct go_value *args;
    uint32_t n_args, arg;
    bool reordered, bad_index;
};

/* ---- padding ---- */

static size_t count_runes(const char *s, size_t n)
{
    size_t runes = 0;
    for (size_t i = 0; i < n; i++)
        runes += ((unsigned char)s[i] & 0xC0) != 0x80;
    return runes;
}

static void repeat(struct oll_strbuf *out, char c, size_t n)
{
    char block[64];
    memset(block, c, sizeof block);
    for (; n > 0 && out->status == OLL_OK;) {
        const size_t part = n < sizeof block ? n : sizeof block;
        oll_strbuf_add(out, block, part);
        n -= part;
    }
}

static void pad(struct oll_strbuf *out, const struct spec *spec, const char *s, size_t n)
{
    const size_t runes = count_runes(s, n);
    const size_t width = spec->width > 0 ? (size_t)spec->width : 0;
    const size_t fill = width > runes ? width - runes : 0;
    if (!spec->minus)
        repeat(out, spec->zero ? '0' : ' ', fill);
    oll_strbuf_add(out, s, n);
    if (spec->minus)
        repeat(out, ' ', fill);
}

/* Digits behind their sign; zeros go between the two. */
static void pad_number(struct oll_strbuf *out, const struct spec *spec, bool negative,
                       const char *digits, size_t n)
{
    const char *sign = negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
    const size_t len = n + strlen(sign);
    const size_t width = spec->width > 0 ? (size_t)spec->width : 0;
    const size_t fill = width > len ? width - len : 0;
    const bool zeros = spec->zero && !spec->minus;
    if (!spec->minus && !zeros)
        repeat(out, ' ', fill);
    oll_strbuf_adds(out, sign);
    if (zeros)
        repeat(out, '0', fill);
    oll_strbuf_add(out, digits, n);
    if (spec->minus)
        repeat(out, ' ', fill);
}

/* ---- kinds ---- */

static void format_value(struct oll_strbuf *out, const struct spec *spec, const struct go_value *v);

/* The value as %v prints it with the flags of the verb that does not fit. */
static void bad_verb(struct oll_strbuf *out, const struct spec *spec, const struct go_value *v)
{
    struct spec plain = *spec;
    plain.verb = 'v';
    oll_strbuf_printf(out, "%%!%c(", spec->verb);
    if (go_is_nil(v)) {
        oll_strbuf_adds(out, "<nil>)");
        return;
    }
    oll_strbuf_printf(out, "%s=", go_type_name(v));
    format_value(out, &plain, v);
    oll_strbuf_addc(out, ')');
}

/* Nothing inside a list or map is "<nil>" whatever the verb. */
static void format_element(struct oll_strbuf *out, const struct spec *spec,
                           const struct go_value *v)
{
    if (go_is_nil(v))
        oll_strbuf_adds(out, "<nil>");
    else
        format_value(out, spec, v);
}

static void format_hex(struct oll_strbuf *out, const struct spec *spec, const char *s, size_t n)
{
    struct oll_strbuf hex;
    oll_strbuf_init(&hex, out->max_bytes);
    for (size_t i = 0; i < n && hex.status == OLL_OK; i++)
        oll_strbuf_printf(&hex, spec->verb == 'x' ? "%02x" : "%02X", (unsigned char)s[i]);
    pad(out, spec, hex.data, hex.len);
    oll_strbuf_free(&hex);
}

static void format_quoted(struct oll_strbuf *out, const struct spec *spec, const char *s, size_t n)
{
    struct oll_strbuf quoted;
    oll_strbuf_init(&quoted, out->max_bytes);
    if (spec->sharp && !memchr(s, '`', n) && !memchr(s, '\n', n))
        oll_strbuf_printf(&quoted, "`%.*s`", (int)n, s);
    else
        go_quote(&quoted, (struct go_str){s, n});
    pad(out, spec, quoted.data, quoted.len);
    oll_strbuf_free(&quoted);
}

/* A precision cuts strings after that many characters. */
static size_t cut(const struct spec *spec, const char *s, size_t n)
{
    size_t runes = 0;
    if (spec->precision == NO_NUMBER)
        return n;
    for (size_t i = 0; i < n; i++) {
        const bool starts = ((unsigned char)s[i] & 0xC0) != 0x80;
        if (starts && runes++ == (size_t)spec->precision)
            return i;
    }
    return n;
}

static bool format_string(struct oll_strbuf *out, const struct spec *spec, const char *s, size_t n)
{
    const size_t part = cut(spec, s, n);
    if (spec->verb == 'q')
        format_quoted(out, spec, s, part);
    else if (spec->verb == 'v' && spec->sharp)
        format_quoted(out, &(struct spec){.width = spec->width, .minus = spec->minus}, s, part);
    else if (spec->verb == 'v' || spec->verb == 's')
        pad(out, spec, s, part);
    else if (spec->verb == 'x' || spec->verb == 'X')
        format_hex(out, spec, s, part);
    else
        return false;
    return true;
}

static void format_integer(struct oll_strbuf *out, const struct spec *spec, uint64_t magnitude,
                           bool negative, unsigned base)
{
    char digits[80], *end = digits + sizeof digits, *p = end;
    const char *set = spec->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    if (magnitude == 0 && spec->precision == 0) {
        repeat(out, ' ', spec->width > 0 ? (size_t)spec->width : 0);
        return;
    }
    do {
        *--p = set[magnitude % base];
        magnitude /= base;
    } while (magnitude);
    const int least = spec->precision > 64 ? 64 : spec->precision;
    while (end - p < least)
        *--p = '0';
    if (spec->verb == 'O')
        *--p = 'o';
    if (base == 8 && (spec->sharp || spec->verb == 'O'))
        *--p = '0';
    if (base != 8 && base != 10 && spec->sharp) {
        *--p = spec->verb;
        *--p = '0';
    }
    /* With a precision the width is filled with blanks. */
    struct spec padding = *spec;
    padding.zero = spec->zero && spec->precision == NO_NUMBER;
    pad_number(out, &padding, negative, p, (size_t)(end - p));
}

/* The character between single quotes. */
static void quote_character(struct oll_strbuf *out, const char *utf8, size_t n)
{
    struct oll_strbuf quoted;
    oll_strbuf_init(&quoted, 64);
    go_quote(&quoted, (struct go_str){utf8, n});
    oll_strbuf_addc(out, '\'');
    if (utf8[0] == '"' || utf8[0] == '\'')
        oll_strbuf_printf(out, utf8[0] == '"' ? "%c" : "\\%c", utf8[0]);
    else
        oll_strbuf_add(out, quoted.data + 1, quoted.len - 2);
    oll_strbuf_addc(out, '\'');
    oll_strbuf_free(&quoted);
}

static bool format_character(struct oll_strbuf *out, const struct spec *spec, int64_t v)
{
    struct oll_strbuf text;
    char utf8[4];
    const bool valid = v >= 0 && v <= 0x10FFFF && !(v >= 0xD800 && v <= 0xDFFF);
    const size_t n = (size_t)oll_utf8_encode(valid ? (uint32_t)v : 0xFFFD, utf8);
    if (!strchr("cqU", spec->verb))
        return false;
    oll_strbuf_init(&text, 64);
    if (spec->verb == 'c')
        oll_strbuf_add(&text, utf8, n);
    else if (spec->verb == 'q')
        quote_character(&text, utf8, n);
    else
        oll_strbuf_printf(&text, "U+%04llX", (unsigned long long)v);
    struct spec padding = *spec;
    padding.zero = spec->zero && spec->verb == 'c';
    pad(out, &padding, text.data, text.len);
    oll_strbuf_free(&text);
    return true;
}

static bool format_int(struct oll_strbuf *out, const struct spec *spec, int64_t v)
{
    static const struct {
        char verb;
        unsigned base;
    } bases[] = {{'v', 10}, {'d', 10}, {'b', 2}, {'o', 8}, {'O', 8}, {'x', 16}, {'X', 16}};
    const uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        if (spec->verb == bases[i].verb) {
            format_integer(out, spec, magnitude, v < 0, bases[i].base);
            return true;
        }
    return format_character(out, spec, v);
}

static void float_text(struct oll_strbuf *text, const struct spec *spec, double v)
{
    const char verb = spec->verb == 'v' ? 'g' : spec->verb == 'F' ? 'f' : spec->verb;
    const bool general = verb == 'g' || verb == 'G';
    if (!isfinite(v) || (general && spec->precision == NO_NUMBER)) {
        go_print_float(text, v);
        char *e = verb == 'G' ? strchr(text->data, 'e') : NULL;
        if (e)
            *e = 'E';
        return;
    }
    char fmt[] = "%.*g";
    fmt[3] = verb;
    const int precision = spec->precision == NO_NUMBER ? 6 : spec->precision;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    oll_strbuf_printf(text, fmt, precision < DIGITS_MAX ? precision : DIGITS_MAX, v);
#pragma GCC diagnostic pop
}

static bool format_float(struct oll_strbuf *out, const struct spec *spec, double v)
{
    struct oll_strbuf text;
    if (!strchr("veEfFgG", spec->verb))
        return false;
    oll_strbuf_init(&text, 4096);
    float_text(&text, spec, v);
    const bool negative = text.data[0] == '-', sign = negative || text.data[0] == '+';
    pad_number(out, spec, negative, text.data + sign, text.len - sign);
    oll_strbuf_free(&text);
    return true;
}

static void format_list(struct oll_strbuf *out, const struct spec *spec, const struct go_value *v)
{
    struct go_iterator it;
    struct go_value element;
    go_iterator_init(&it, v);
    oll_strbuf_addc(out, '[');
    while (out->status == OLL_OK && go_iterator_next(&it, &element)) {
        oll_strbuf_adds(out, it.i > 1 ? " " : "");
        format_element(out, spec, &element);
    }
    oll_strbuf_addc(out, ']');
}

static void format_map(struct oll_strbuf *out, const struct spec *spec, const struct go_value *v)
{
    oll_strbuf_adds(out, "map[");
    for (size_t i = 0; i < v->n && out->status == OLL_OK; i++) {
        struct go_value key;
        const struct go_value value = go_map_at(v, i, &key);
        oll_strbuf_adds(out, i ? " " : "");
        format_value(out, spec, &key);
        oll_strbuf_addc(out, ':');
        format_element(out, spec, &value);
    }
    oll_strbuf_addc(out, ']');
}

/* Kinds that Ollama gives a text of their own are formatted as that text where the verb takes a
 * text. */
static bool format_special(struct oll_strbuf *out, const struct spec *spec,
                           const struct go_value *v)
{
    struct oll_strbuf text;
    if (!strchr("vsqxX", spec->verb)) {
        if (go_is_list(v))
            format_list(out, spec, v);
        else if (go_is_map(v))
            format_map(out, spec, v);
        return !go_is_record(v);
    }
    oll_strbuf_init(&text, out->max_bytes);
    go_print(&text, v, true);
    format_string(out, spec, text.data, text.len);
    oll_strbuf_free(&text);
    return true;
}

static bool format_known(struct oll_strbuf *out, const struct spec *spec, const struct go_value *v)
{
    switch (v->kind) {
    case GO_BOOL:
        if (spec->verb != 't' && spec->verb != 'v')
            return false;
        pad(out, spec, v->is_true ? "true" : "false", v->is_true ? 4 : 5);
        return true;
    case GO_INT: return format_int(out, spec, v->i);
    case GO_FLOAT: return format_float(out, spec, v->real);
    case GO_STRING: return format_string(out, spec, v->s, v->n);
    case GO_LIST_ANY:
    case GO_LIST_STRINGS:
    case GO_LIST_PROPERTIES:
    case GO_LIST_MESSAGES:
    case GO_LIST_CALLS:
    case GO_LIST_IMAGES: format_list(out, spec, v); return true;
    case GO_MAP_ANY:
    case GO_MAP_ROOT: format_map(out, spec, v); return true;
    default: return format_special(out, spec, v);
    }
}

static void format_value(struct oll_strbuf *out, const struct spec *spec, const struct go_value *v)
{
    if (spec->verb == 'T') {
        const char *name = go_is_nil(v) ? "<nil>" : go_type_name(v);
        pad(out, spec, name, cut(spec, name, strlen(name)));
        return;
    }
    if (go_is_nil(v) && spec->verb == 'v') {
        pad(out, spec, "<nil>", 5);
        return;
    }
    if (go_is_nil(v) || !format_known(out, spec, v))
        bad_verb(out, spec, v);
}

/* ---- the format ---- */

static int read_number(struct formatter *f)
{
    int n = NO_NUMBER;
    while (f->at < f->format.n && f->format.s[f->at] >= '0' && f->format.s[f->at] <= '9') {
        n = (n == NO_NUMBER ? 0 : n) * 10 + (f->format.s[f->at++] - '0');
        if (n > NUMBER_MAX)
            n = NUMBER_MAX + 1;
    }
    return n;
}

static bool at_char(const struct formatter *f, char c)
{
    return f->at < f->format.n && f->format.s[f->at] == c;
}

/* "[3]": the argument that is used next. */
static void read_index(struct formatter *f)
{
    if (!at_char(f, '['))
        return;
    const size_t start = f->at++;
    const int n = read_number(f);
    f->reordered = true;
    if (n < 1 || (uint32_t)n > f->n_args || !at_char(f, ']')) {
        f->bad_index = true;
        const char *close = memchr(f->format.s + start, ']', f->format.n - start);
        f->at = close ? (size_t)(close - f->format.s) + 1 : start + 1;
        return;
    }
    f->at++;
    f->arg = (uint32_t)n - 1;
}

static bool star(struct formatter *f, int *out)
{
    const bool fits = f->arg < f->n_args && f->args[f->arg].kind == GO_INT &&
                      f->args[f->arg].i >= -NUMBER_MAX && f->args[f->arg].i <= NUMBER_MAX;
    *out = fits ? (int)f->args[f->arg].i : NO_NUMBER;
    f->arg += f->arg < f->n_args;
    f->at++;
    return fits;
}

static void read_flags(struct formatter *f, struct spec *spec)
{
    for (; f->at < f->format.n; f->at++) {
        switch (f->format.s[f->at]) {
        case '-': spec->minus = true; break;
        case '+': spec->plus = true; break;
        case '#': spec->sharp = true; break;
        case ' ': spec->space = true; break;
        case '0': spec->zero = true; break;
        default: return;
        }
    }
}

static void read_width(struct formatter *f, struct spec *spec)
{
    read_index(f);
    if (at_char(f, '*')) {
        if (!star(f, &spec->width))
            oll_strbuf_adds(f->out, "%!(BADWIDTH)");
        else if (spec->width < 0) {
            spec->minus = true;
            spec->width = -spec->width;
        }
        return;
    }
    spec->width = read_number(f);
    if (spec->width > NUMBER_MAX) {
        oll_strbuf_adds(f->out, "%!(BADWIDTH)");
        spec->width = NO_NUMBER;
    }
}

static void read_precision(struct formatter *f, struct spec *spec)
{
    if (!at_char(f, '.'))
        return;
    f->at++;
    read_index(f);
    if (at_char(f, '*')) {
        if (!star(f, &spec->precision) || spec->precision < 0) {
            oll_strbuf_adds(f->out, "%!(BADPREC)");
            spec->precision = NO_NUMBER;
        }
        return;
    }
    spec->precision = read_number(f);
    if (spec->precision == NO_NUMBER)
        spec->precision = 0;
    if (spec->precision > NUMBER_MAX)
        spec->precision = NO_NUMBER;
}

/* One verb; f->at stands behind its percent sign. */
static void format_one(struct formatter *f)
{
    struct spec spec = {.width = NO_NUMBER, .precision = NO_NUMBER};
    read_flags(f, &spec);
    f->bad_index = false;
    read_width(f, &spec);
    read_precision(f, &spec);
    read_index(f);
    if (f->at >= f->format.n) {
        oll_strbuf_adds(f->out, "%!(NOVERB)");
        return;
    }
    uint32_t cp;
    const char *verb = f->format.s + f->at;
    const int decoded = oll_utf8_decode(verb, f->format.n - f->at, &cp);
    const size_t len = decoded > 0 ? (size_t)decoded : 1;
    f->at += len;
    spec.verb = len == 1 ? verb[0] : '?';
    /* With %v a plus asks for names of fields, not for a sign. */
    spec.plus = spec.plus && spec.verb != 'v';
    if (spec.verb == '%') {
        oll_strbuf_addc(f->out, '%');
    } else if (f->bad_index || f->arg >= f->n_args) {
        oll_strbuf_printf(f->out, "%%!%.*s(%s)", (int)len, verb,
                          f->bad_index ? "BADINDEX" : "MISSING");
    } else {
        format_value(f->out, &spec, &f->args[f->arg++]);
    }
}

static void name_extra(struct formatter *f)
{
    oll_strbuf_adds(f->out, "%!(EXTRA ");
    for (uint32_t i = f->arg; i < f->n_args; i++) {
        const struct go_value *v = &f->args[i];
        oll_strbuf_adds(f->out, i > f->arg ? ", " : "");
        if (!go_is_nil(v))
            oll_strbuf_printf(f->out, "%s=", go_type_name(v));
        go_print(f->out, v, true);
    }
    oll_strbuf_addc(f->out, ')');
}

void go_format(struct oll_strbuf *out, struct go_str format, const struct go_value *args,
               uint32_t n_args)
{
    struct formatter f = {.out = out, .format = format, .args = args, .n_args = n_args};
    while (f.at < format.n && out->status == OLL_OK) {
        const char *from = format.s + f.at;
        const char *percent = memchr(from, '%', format.n - f.at);
        const size_t plain = percent ? (size_t)(percent - from) : format.n - f.at;
        oll_strbuf_add(out, from, plain);
        f.at += plain;
        if (!percent)
            break;
        f.at++;
        format_one(&f);
    }
    if (!f.reordered && f.arg < n_args)
        name_extra(&f);
}
