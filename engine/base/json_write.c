/* The writer: Go's encoding/json, byte for byte. */
#include "engine/base/json.h"

#include "engine/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void oll_json_write_init(struct oll_json_writer *w, struct oll_strbuf *out)
{
    *w = (struct oll_json_writer){.out = out};
}

static void new_line(struct oll_json_writer *w)
{
    oll_strbuf_addc(w->out, '\n');
    for (int i = 0; i < w->depth * w->indent; i++)
        oll_strbuf_addc(w->out, ' ');
}

/* What stands between the token before and the value or key that follows. */
static void separate(struct oll_json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->need_comma)
        oll_strbuf_addc(w->out, ',');
    if (w->indent && w->depth > 0)
        new_line(w);
    else if (w->need_comma && w->spaced)
        oll_strbuf_addc(w->out, ' ');
}

static void begin(struct oll_json_writer *w, char bracket)
{
    separate(w);
    oll_strbuf_addc(w->out, bracket);
    w->need_comma = false;
    w->depth++;
}

static void end(struct oll_json_writer *w, char bracket)
{
    w->depth--;
    if (w->indent && w->need_comma)
        new_line(w);
    oll_strbuf_addc(w->out, bracket);
    w->need_comma = true;
}

void oll_json_write_object_begin(struct oll_json_writer *w) { begin(w, '{'); }
void oll_json_write_object_end(struct oll_json_writer *w) { end(w, '}'); }
void oll_json_write_array_begin(struct oll_json_writer *w) { begin(w, '['); }
void oll_json_write_array_end(struct oll_json_writer *w) { end(w, ']'); }

static void scalar(struct oll_json_writer *w, const char *text, size_t n)
{
    separate(w);
    oll_strbuf_add(w->out, text, n);
    w->need_comma = true;
}

/* Escape of an ASCII byte, "" when it stands for itself. */
static const char *ascii_escape(unsigned char c, bool keep_html, char out[8])
{
    static const char control[] = "\b\f\n\r\t", letter[] = "bfnrt";
    const char *hit = c ? strchr(control, c) : NULL;
    if (c == '"' || c == '\\' || hit)
        snprintf(out, 8, "\\%c", hit ? letter[hit - control] : (char)c);
    else if (c < 0x20 || (!keep_html && (c == '<' || c == '>' || c == '&')))
        snprintf(out, 8, "\\u%04x", c);
    else
        out[0] = '\0';
    return out;
}

/* Length of the character at s, and its escape, "" when it is written as it is. */
static size_t next_char(const char *s, size_t n, bool keep_html, char escape[8])
{
    uint32_t cp;
    if ((unsigned char)*s < 0x80) {
        ascii_escape((unsigned char)*s, keep_html, escape);
        return 1;
    }
    int len = oll_utf8_decode(s, n, &cp);
    escape[0] = '\0';
    if (len == 0)
        snprintf(escape, 8, "\\ufffd");
    else if (cp == 0x2028 || cp == 0x2029)
        snprintf(escape, 8, "\\u%04x", (unsigned)cp);
    return len ? (size_t)len : 1;
}

static void quoted(struct oll_json_writer *w, const char *s, size_t n)
{
    char escape[8];
    size_t run = 0;
    oll_strbuf_addc(w->out, '"');
    for (size_t i = 0; i < n;) {
        size_t len = next_char(s + i, n - i, w->keep_html, escape);
        if (escape[0]) {
            oll_strbuf_add(w->out, s + run, i - run);
            oll_strbuf_adds(w->out, escape);
            run = i + len;
        }
        i += len;
    }
    oll_strbuf_add(w->out, s + run, n - run);
    oll_strbuf_addc(w->out, '"');
}

void oll_json_write_strn(struct oll_json_writer *w, const char *s, size_t n)
{
    separate(w);
    quoted(w, s, n);
    w->need_comma = true;
}

void oll_json_write_str(struct oll_json_writer *w, const char *s)
{
    oll_json_write_strn(w, s, strlen(s));
}

void oll_json_write_keyn(struct oll_json_writer *w, const char *key, size_t n)
{
    separate(w);
    quoted(w, key, n);
    oll_strbuf_adds(w->out, w->spaced || w->indent ? ": " : ":");
    w->after_key = true;
}

void oll_json_write_key(struct oll_json_writer *w, const char *key)
{
    oll_json_write_keyn(w, key, strlen(key));
}

void oll_json_write_int(struct oll_json_writer *w, int64_t v)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    scalar(w, text, (size_t)snprintf(text, sizeof text, "%" PRId64, v));
}

void oll_json_write_uint(struct oll_json_writer *w, uint64_t v)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    scalar(w, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, v));
}

/* A decimal number: 0.d1d2d3... times ten to the `point`. */
struct decimal {
    char digits[20];
    int n, point;
};

static bool reads_back(const struct decimal *d, double v, bool single)
{
    char text[48];
    snprintf(text, sizeof text, "0.%.*se%d", d->n, d->digits, d->point);
    return single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v;
}

/* `v` > 0 rounded to `n` digits. */
static void round_decimal(double v, int n, struct decimal *d)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", n - 1, v);
    char *e = strchr(text, 'e');
    d->n = 0;
    for (const char *p = text; p < e; p++)
        if (*p != '.')
            d->digits[d->n++] = *p;
    d->point = (int)strtoll(e + 1, NULL, 10) + 1;
}

/* The next larger number of as many digits; false when the last digit is a nine, whose successor
 * is shorter and has been tried already. */
static bool next_decimal(struct decimal *d)
{
    if (d->digits[d->n - 1] == '9')
        return false;
    d->digits[d->n - 1]++;
    return true;
}

/* The shortest digits that read back as `v`, nearest to it among those. Every float of up to 15
 * digits (6 in single precision) survives the trip through 15, so the search begins there; numbers
 * below the normal range carry fewer bits and begin at one digit. At a power of two the gap above
 * is twice the gap below: then the neighbour above may read back when the nearest does not. */
static void slow_decimal(double v, bool single, struct decimal *d)
{
    int max = single ? 9 : 17, n = single ? 6 : 15;
    if (v < (single ? 1.17549435e-38 : 2.2250738585072014e-308))
        n = 1;
    for (; n <= max; n++) {
        round_decimal(v, n, d);
        if (reads_back(d, v, single))
            break;
        struct decimal above = *d;
        if (next_decimal(&above) && reads_back(&above, v, single)) {
            *d = above;
            break;
        }
    }
}

/* The same for a float of everyday size, without printing and reading: 0.17 instead of 3 us, and
 * embeddings are thousands of floats. A candidate is the float in units of 10^-k, rounded; it reads
 * back when it lies between the midpoints to the neighbouring floats. All of that is computed in
 * double, where a float, a midpoint and the powers of ten are exact and an error stays below 2^-51
 * of the value; false when something lies too near to an edge for that to decide. */
static bool quick_decimal(float v, struct decimal *d)
{
    static const double tens[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    static const double sure = 1e-14;
    int exponent;
    /* At a power of two the gaps differ: see slow_decimal. */
    if (v < 1e-6f || v >= 1e6f || frexpf(v, &exponent) == 0.5f)
        return false;
    double x = (double)v;
    double high = (x + (double)nextafterf(v, INFINITY)) / 2;
    double low = (x + (double)nextafterf(v, 0)) / 2;
    int point = 0; /* 0.ddd * 10^point */
    for (double y = x; y >= 1; y /= 10)
        point++;
    for (double y = x * 10; y < 1; y *= 10)
        point--;
    for (int n = 6; n <= 9; n++) {
        double scaled = x * tens[n - point], digits = floor(scaled + 0.5);
        double back = digits / tens[n - point];
        bool tie = fabs(scaled - floor(scaled) - 0.5) < 1e-5;
        if (tie || fabs(back - high) < sure * x || fabs(back - low) < sure * x)
            return false;
        if (back < low || back > high)
            continue;
        /* Rounding up may have made one digit more (0.9999999 becomes 1): at most 10^9. */
        d->n = 0;
        for (uint32_t rest = (uint32_t)digits; rest > 0; rest /= 10)
            d->n++;
        for (uint32_t i = 0, rest = (uint32_t)digits; i < (uint32_t)d->n; i++, rest /= 10)
            d->digits[d->n - 1 - (int)i] = (char)('0' + rest % 10);
        d->point = point + d->n - n;
        return d->n <= n + 1;
    }
    return false;
}

/* d.ddde-7; ten to the 21 and more with a plus sign, as Go prints it. */
static void format_exponent(const struct decimal *d, char *out, size_t size)
{
    int exponent = d->point - 1;
    snprintf(out, size, "%c%s%.*se%c%d", d->digits[0], d->n > 1 ? "." : "", d->n - 1, d->digits + 1,
             exponent < 0 ? '-' : '+', abs(exponent));
}

static void format_plain(const struct decimal *d, char *out)
{
    int i = 0;
    if (d->point <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (int zeros = d->point; zeros < 0; zeros++)
            *out++ = '0';
    }
    for (; i < d->n; i++) {
        if (i == d->point && d->point > 0)
            *out++ = '.';
        *out++ = d->digits[i];
    }
    for (; i < d->point; i++)
        *out++ = '0';
    *out = '\0';
}

static void format_number(double v, bool single, char *out)
{
    struct decimal d;
    if (!isfinite(v)) {
        memcpy(out, "null", 5);
        return;
    }
    if (signbit(v)) {
        *out++ = '-';
        v = -v;
    }
    if (v == 0) {
        memcpy(out, "0", 2);
        return;
    }
    if (!single || !quick_decimal((float)v, &d))
        slow_decimal(v, single, &d);
    while (d.n > 1 && d.digits[d.n - 1] == '0')
        d.n--;
    double low = single ? (double)1e-6f : 1e-6, high = single ? (double)1e21f : 1e21;
    if (v < low || v >= high)
        format_exponent(&d, out, OLL_JSON_NUMBER_TEXT_MAX - 1);
    else
        format_plain(&d, out);
}

void oll_json_format_double(double v, char out[OLL_JSON_NUMBER_TEXT_MAX])
{
    format_number(v, false, out);
}

void oll_json_format_float(float v, char out[OLL_JSON_NUMBER_TEXT_MAX])
{
    format_number((double)v, true, out);
}

void oll_json_write_double(struct oll_json_writer *w, double v)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    oll_json_format_double(v, text);
    scalar(w, text, strlen(text));
}

void oll_json_write_float(struct oll_json_writer *w, float v)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    oll_json_format_float(v, text);
    scalar(w, text, strlen(text));
}

void oll_json_write_bool(struct oll_json_writer *w, bool v)
{
    scalar(w, v ? "true" : "false", v ? 4 : 5);
}

void oll_json_write_null(struct oll_json_writer *w) { scalar(w, "null", 4); }

void oll_json_write_raw(struct oll_json_writer *w, const char *json, size_t n)
{
    scalar(w, json, n);
}

static void write_number(struct oll_json_writer *w, const struct oll_json *node)
{
    if (node->is_int && node->i != 0)
        oll_json_write_int(w, node->i);
    else if (node->is_uint)
        oll_json_write_uint(w, (uint64_t)node->i);
    else if (isfinite(node->real))
        oll_json_write_double(w, node->real);
    else
        scalar(w, node->raw, node->raw_len);
}

static void write_scalar_node(struct oll_json_writer *w, const struct oll_json *node)
{
    switch (node->type) {
    case OLL_JSON_BOOL: oll_json_write_bool(w, node->is_true); break;
    case OLL_JSON_NUMBER: write_number(w, node); break;
    case OLL_JSON_STRING: oll_json_write_strn(w, node->str, node->str_len); break;
    default: oll_json_write_null(w); break;
    }
}

/* A container whose children are being written: the next child, by link or by sorted index. */
struct cursor {
    const struct oll_json *container, *next;
    size_t i;
};

static const struct oll_json *advance(struct cursor *c, bool sort_keys)
{
    const struct oll_json *node = c->next;
    if (sort_keys && c->container->type == OLL_JSON_OBJECT)
        return c->i < c->container->n ? c->container->sorted[c->i++] : NULL;
    if (node)
        c->next = node->next;
    return node;
}

void oll_json_write_node(struct oll_json_writer *w, const struct oll_json *node, bool sort_keys)
{
    /* As deep as the deepest tree the reader makes. */
    struct cursor stack[OLL_JSON_DEPTH_MAX];
    int depth = 0;
    for (;;) {
        if (node && (node->type == OLL_JSON_ARRAY || node->type == OLL_JSON_OBJECT)) {
            begin(w, node->type == OLL_JSON_OBJECT ? '{' : '[');
            stack[depth++] = (struct cursor){.container = node, .next = node->first};
        } else if (node) {
            write_scalar_node(w, node);
        }
        for (node = NULL; depth > 0 && !node;) {
            struct cursor *top = &stack[depth - 1];
            node = advance(top, sort_keys);
            if (!node) {
                end(w, top->container->type == OLL_JSON_OBJECT ? '}' : ']');
                depth--;
            }
        }
        if (!node)
            return;
        if (node->key)
            oll_json_write_keyn(w, node->key, node->key_len);
    }
}
