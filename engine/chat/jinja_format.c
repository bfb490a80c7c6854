/* str.format ("{} {0} {name!r:>5}") and the % operator ("%s %(name)d %.2f") with what templates use
 * of their languages. */
#include "engine/chat/jinja_strings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MAX = 4096 };

struct spec {
    char fill[5];
    char align; /* 0: by type */
    bool zero, left, plus;
    int width, precision; /* -1: none */
    char type;            /* 0: none */
};

static struct jinja_value unknown_format(struct jinja_run *run)
{
    return jinja_fail(run, OLL_ERR_UNSUPPORTED, "a format that this engine does not know");
}

static const char *read_int(const char *p, const char *end, int *out)
{
    *out = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        *out = *out < WIDTH_MAX ? *out * 10 + (*p - '0') : WIDTH_MAX;
    return p;
}

static const char *read_width(const char *p, const char *end, struct spec *spec)
{
    if (p < end && *p >= '1' && *p <= '9')
        p = read_int(p, end, &spec->width);
    if (p < end && *p == '.')
        p = read_int(p + 1, end, &spec->precision);
    return p;
}

/* Text of a number by its type letter; false: the letter does not fit the value. */
static bool format_number(struct jinja_value v, const struct spec *spec, char *out, size_t size)
{
    const int precision = spec->precision < 0 ? 6 : spec->precision > 60 ? 60 : spec->precision;
    const char *sign = spec->plus ? "+" : "";
    char how[16];
    if (!jinja_is_number(v))
        return false;
    if (strchr("dxXo", spec->type) && v.type != JINJA_FLOAT) {
        snprintf(how, sizeof how, "%%%sll%c", spec->type == 'd' ? sign : "", spec->type);
        snprintf(out, size, how, v.type == JINJA_INT ? (long long)v.i : (long long)v.b);
        return true;
    }
    if (!strchr("feEgG", spec->type))
        return false;
    snprintf(how, sizeof how, "%%%s.*%c", sign, spec->type);
    snprintf(out, size, how, precision, jinja_as_double(v));
    return true;
}

static void padding(struct oll_strbuf *text, const char *fill, size_t n)
{
    while (n-- > 0)
        oll_strbuf_adds(text, fill);
}

static void put_padded(struct jinja_run *run, struct oll_strbuf *text, struct jinja_str *s,
                       const struct spec *spec, bool number)
{
    const size_t n = jinja_str_chars(s);
    const size_t pad = spec->width > 0 && (size_t)spec->width > n ? (size_t)spec->width - n : 0;
    const char *fill = spec->fill[0] ? spec->fill : spec->zero && number ? "0" : " ";
    const char align = spec->align ? spec->align : spec->left ? '<' : number ? '>' : '<';
    const size_t before = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    jinja_step(run, 1 + pad / 16);
    /* Zeros go between sign and digits. */
    const bool sign =
        fill[0] == '0' && number && s->len && (s->data[0] == '-' || s->data[0] == '+');
    oll_strbuf_add(text, s->data, sign ? 1 : 0);
    padding(text, fill, before);
    oll_strbuf_add(text, s->data + (sign ? 1 : 0), s->len - (sign ? 1 : 0));
    padding(text, fill, pad - before);
}

static void put_value(struct jinja_run *run, struct oll_strbuf *text, struct jinja_value v,
                      const struct spec *spec)
{
    char number[400];
    const bool is_text = spec->type == 0 || spec->type == 's' || spec->type == 'r';
    if (!is_text && !format_number(v, spec, number, sizeof number)) {
        unknown_format(run);
        return;
    }
    struct jinja_value s = is_text ? jinja_to_str(run, v) : jinja_text(run, number);
    if (!jinja_ok(run))
        return;
    if (is_text && spec->precision >= 0) {
        const struct jinja_value bounds[3] = {jinja_none(), jinja_int(spec->precision),
                                              jinja_none()};
        s = jinja_slice(run, s, bounds);
    }
    if (jinja_ok(run))
        put_padded(run, text, s.s, spec, jinja_is_number(v) && spec->type != 's');
}

static struct jinja_value repr_of(struct jinja_run *run, struct jinja_value v)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    jinja_repr(run, &text, v);
    return jinja_str_take(run, &text);
}

/* ---- str.format ---- */

/* [[fill]align][+][0][width][.precision][type] */
static bool read_spec(const char *p, const char *end, struct spec *spec)
{
    *spec = (struct spec){.precision = -1};
    const size_t n = p < end ? (size_t)jinja_char_len(p, (size_t)(end - p)) : 0;
    if (n && p + n < end && strchr("<>^", p[n]) && p[n]) {
        memcpy(spec->fill, p, n);
        spec->align = p[n];
        p += n + 1;
    } else if (p < end && *p && strchr("<>^", *p)) {
        spec->align = *p++;
    }
    if (p < end && *p == '+')
        spec->plus = ++p != NULL;
    if (p < end && *p == '0')
        spec->zero = ++p != NULL;
    p = read_width(p, end, spec);
    if (p < end)
        spec->type = *p++;
    return p == end && spec->width < WIDTH_MAX;
}

static const struct jinja_value *named_arg(const struct jinja_args *args, const char *name,
                                           size_t n)
{
    for (size_t i = 0; i < args->n_kw; i++)
        if (strlen(args->kw[i].name) == n && !memcmp(args->kw[i].name, name, n))
            return &args->kw[i].value;
    return NULL;
}

static const struct jinja_value *named_value(struct jinja_run *run, const struct jinja_args *args,
                                             const char *name, size_t n)
{
    struct jinja_str key = {.data = name, .len = n, .n_chars = SIZE_MAX};
    const struct jinja_value v = {.type = JINJA_STR, .s = &key};
    struct jinja_entry *entry = args->named ? jinja_dict_find(run, args->named, v) : NULL;
    return entry ? &entry->value : named_arg(args, name, n);
}

/* One field between braces: name or number or nothing, !r or !s, :spec. */
static void format_field(struct jinja_run *run, struct oll_strbuf *text, const char *p,
                         const char *end, const struct jinja_args *args, size_t *next)
{
    struct spec spec = {.precision = -1};
    const char *colon = memchr(p, ':', (size_t)(end - p));
    const char *stop = colon ? colon : end;
    const char *bang = memchr(p, '!', (size_t)(stop - p));
    const char *name_end = bang ? bang : stop;
    int index = 0;
    const bool digits = name_end > p && read_int(p, name_end, &index) == name_end;
    const struct jinja_value *v = NULL;
    if (name_end == p)
        index = (int)(*next)++;
    if (name_end == p || digits)
        v = (size_t)index < args->n_pos ? &args->pos[index] : NULL;
    else
        v = named_arg(args, p, (size_t)(name_end - p));
    if ((colon && !read_spec(colon + 1, end, &spec)) ||
        (bang && (stop - bang != 2 || !strchr("rs", bang[1])))) {
        unknown_format(run);
    } else if (!v) {
        jinja_fail(run, OLL_ERR_FORMAT, "format: no argument for {%.*s}", (int)(end - p), p);
    } else {
        const bool repr = bang && bang[1] == 'r';
        put_value(run, text, repr ? repr_of(run, *v) : *v, &spec);
    }
}

struct jinja_value jinja_format(struct jinja_run *run, const struct jinja_str *s,
                                const struct jinja_args *args)
{
    struct oll_strbuf text;
    const char *p = s->data, *end = s->data + s->len;
    size_t next = 0;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    while (p < end && jinja_step(run, 1)) {
        if ((*p == '{' || *p == '}') && p + 1 < end && p[1] == *p) {
            oll_strbuf_addc(&text, *p);
            p += 2;
            continue;
        }
        if (*p == '}') {
            jinja_fail(run, OLL_ERR_FORMAT, "format: single '}'");
            break;
        }
        if (*p != '{') {
            oll_strbuf_addc(&text, *p++);
            continue;
        }
        const char *close = memchr(p, '}', (size_t)(end - p));
        if (!close) {
            jinja_fail(run, OLL_ERR_FORMAT, "format: '{' is not closed");
            break;
        }
        format_field(run, &text, p + 1, close, args, &next);
        p = close + 1;
    }
    return jinja_str_take(run, &text);
}

/* ---- the % operator ---- */

/* [(name)][flags][width][.precision]type behind a percent sign; the place behind it. */
static const char *percent_field(struct jinja_run *run, struct oll_strbuf *text, const char *p,
                                 const char *end, const struct jinja_args *args, size_t *next)
{
    struct spec spec = {.precision = -1};
    const struct jinja_value *v = NULL;
    if (p < end && *p == '%') {
        oll_strbuf_addc(text, '%');
        return p + 1;
    }
    if (p < end && *p == '(') {
        const char *close = memchr(p, ')', (size_t)(end - p));
        v = close ? named_value(run, args, p + 1, (size_t)(close - p - 1)) : NULL;
        p = close ? close + 1 : end;
    } else {
        v = *next < args->n_pos ? &args->pos[*next] : NULL;
        (*next)++;
    }
    for (; p < end && *p && strchr("-+0", *p); p++) {
        spec.left |= *p == '-';
        spec.plus |= *p == '+';
        spec.zero |= *p == '0';
    }
    p = read_width(p, end, &spec);
    spec.type = p < end ? *p : 0;
    if (spec.type == 0 || !strchr("srdifeEgGxXo", spec.type) || spec.width >= WIDTH_MAX) {
        unknown_format(run);
        return end;
    }
    if (!v) {
        jinja_fail(run, OLL_ERR_FORMAT, "not enough arguments for format string");
        return end;
    }
    struct jinja_value value = spec.type == 'r' ? repr_of(run, *v) : *v;
    spec.type = spec.type == 'i' ? 'd' : spec.type;
    if (spec.type == 'd' && value.type == JINJA_FLOAT)
        value = jinja_int((int64_t)(value.f > -9e18 && value.f < 9e18 ? value.f : 0));
    spec.align = spec.left ? '<' : '>';
    put_value(run, text, value, &spec);
    return p + 1;
}

struct jinja_value jinja_percent(struct jinja_run *run, const struct jinja_str *s,
                                 const struct jinja_args *args)
{
    struct oll_strbuf text;
    const char *p = s->data, *end = s->data + s->len;
    size_t next = 0;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    while (p < end && jinja_step(run, 1)) {
        if (*p != '%')
            oll_strbuf_addc(&text, *p++);
        else
            p = percent_field(run, &text, p + 1, end, args, &next);
    }
    /* One value that has items, like a list, may be left unused. */
    const bool may_stay = args->n_pos == 1 && (args->named || args->pos[0].type == JINJA_SEQ ||
                                               args->pos[0].type == JINJA_UNDEFINED);
    if (jinja_ok(run) && next < args->n_pos && !may_stay)
        jinja_fail(run, OLL_ERR_FORMAT, "not all arguments converted during string formatting");
    return jinja_str_take(run, &text);
}
