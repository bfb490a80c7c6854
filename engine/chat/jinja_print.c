/* str(), repr() and json.dumps of Python. */
#include "engine/base/utf8.h"
#include "engine/chat/jinja_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest digits that read back equal; exponents from 1e16 on and below 1e-4. */
void jinja_format_float(double f, char out[32])
{
    char text[40];
    if (isnan(f) || isinf(f)) {
        snprintf(out, 32, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 1;
    do
        snprintf(text, sizeof text, "%.*e", precision - 1, f);
    while (strtod(text, NULL) != f && precision++ < 17);
    const long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        snprintf(out, 32, "%.*e", precision - 1, f);
        return;
    }
    const int decimals = precision - 1 > exponent ? (int)(precision - 1 - exponent) : 0;
    snprintf(out, 32, "%.*f%s", decimals, f, decimals ? "" : ".0");
}

/* What str.isprintable refuses, without the unassigned code points. */
static bool is_printable(uint32_t cp)
{
    static const uint32_t hidden[][2] = {
        {0, 0x1f},          {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},
        {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},
        {0x8e2, 0x8e2},     {0x1680, 0x1680},   {0x180e, 0x180e},   {0x2000, 0x200f},
        {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},   {0xd800, 0xf8ff},
        {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x13430, 0x1343f},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0xe01f0, 0x10ffff}};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (cp >= hidden[i][0] && cp <= hidden[i][1])
            return false;
    return true;
}

static void repr_char(struct oll_strbuf *out, const char *s, size_t n, uint32_t cp, char quote)
{
    if (cp == '\\' || (cp < 0x80 && (char)cp == quote))
        oll_strbuf_printf(out, "\\%c", (char)cp);
    else if (cp == '\n' || cp == '\r' || cp == '\t')
        oll_strbuf_adds(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    else if (is_printable(cp))
        oll_strbuf_add(out, s, n);
    else
        oll_strbuf_printf(out,
                          cp < 0x100     ? "\\x%02" PRIx32
                          : cp < 0x10000 ? "\\u%04" PRIx32
                                         : "\\U%08" PRIx32,
                          cp);
}

static void repr_str(struct oll_strbuf *out, const struct jinja_str *s)
{
    const bool single = memchr(s->data, '\'', s->len) && !memchr(s->data, '"', s->len);
    const char quote = single ? '"' : '\'';
    oll_strbuf_addc(out, quote);
    for (size_t i = 0; i < s->len;) {
        uint32_t cp = 0xfffd;
        const int len = oll_utf8_decode(s->data + i, s->len - i, &cp);
        repr_char(out, s->data + i, len ? (size_t)len : 1, cp, quote);
        i += len ? (size_t)len : 1;
    }
    oll_strbuf_addc(out, quote);
}

static bool fits(struct jinja_run *run, const struct oll_strbuf *out, int depth)
{
    if (depth > JINJA_DATA_DEPTH_MAX)
        jinja_fail(run, OLL_ERR_LIMIT, "data nests deeper than %d levels", JINJA_DATA_DEPTH_MAX);
    if (out->status != OLL_OK)
        jinja_fail(run, out->status, "the template makes too long a text");
    return jinja_ok(run) && jinja_step(run, 1);
}

static void repr_value(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v,
                       int depth);

static void repr_dict(struct jinja_run *run, struct oll_strbuf *out, struct jinja_dict *d,
                      int depth)
{
    oll_strbuf_addc(out, '{');
    for (size_t i = 0; i < d->n && jinja_ok(run); i++) {
        d->entries[i].was_read = true;
        oll_strbuf_adds(out, i ? ", " : "");
        repr_value(run, out, d->entries[i].key, depth + 1);
        oll_strbuf_adds(out, ": ");
        repr_value(run, out, d->entries[i].value, depth + 1);
    }
    oll_strbuf_addc(out, '}');
}

static void repr_seq(struct jinja_run *run, struct oll_strbuf *out, const struct jinja_seq *q,
                     int depth)
{
    static const char *const around[][2] = {
        [JINJA_LIST] = {"[", "]"},
        [JINJA_TUPLE] = {"(", ")"},
        [JINJA_KEYS] = {"dict_keys([", "])"},
        [JINJA_VALUES] = {"dict_values([", "])"},
        [JINJA_ITEMS] = {"dict_items([", "])"},
    };
    if (q->kind == JINJA_GENERATOR) {
        oll_strbuf_adds(out, "<generator object>");
        return;
    }
    if (q->kind == JINJA_RANGE) {
        oll_strbuf_printf(out, "range(%" PRId64 ", %" PRId64, q->range[0], q->range[1]);
        if (q->range[2] != 1)
            oll_strbuf_printf(out, ", %" PRId64, q->range[2]);
        oll_strbuf_addc(out, ')');
        return;
    }
    oll_strbuf_adds(out, around[q->kind][0]);
    for (size_t i = 0; i < q->n && jinja_ok(run); i++) {
        oll_strbuf_adds(out, i ? ", " : "");
        repr_value(run, out, q->items[i], depth + 1);
    }
    oll_strbuf_adds(out, q->kind == JINJA_TUPLE && q->n == 1 ? ",)" : around[q->kind][1]);
}

static void repr_value(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v,
                       int depth)
{
    char number[32];
    if (!fits(run, out, depth))
        return;
    switch (v.type) {
    case JINJA_UNDEFINED: oll_strbuf_adds(out, "Undefined"); break;
    case JINJA_NONE: oll_strbuf_adds(out, "None"); break;
    case JINJA_BOOL: oll_strbuf_adds(out, v.b ? "True" : "False"); break;
    case JINJA_INT: oll_strbuf_printf(out, "%" PRId64, v.i); break;
    case JINJA_FLOAT:
        jinja_format_float(v.f, number);
        oll_strbuf_adds(out, number);
        break;
    case JINJA_STR:
        oll_strbuf_adds(out, v.s->is_markup ? "Markup(" : "");
        repr_str(out, v.s);
        oll_strbuf_adds(out, v.s->is_markup ? ")" : "");
        break;
    case JINJA_SEQ: repr_seq(run, out, v.q, depth); break;
    case JINJA_DICT: repr_dict(run, out, v.d, depth); break;
    case JINJA_SPACE:
        oll_strbuf_adds(out, "<Namespace ");
        repr_dict(run, out, v.d, depth);
        oll_strbuf_addc(out, '>');
        break;
    case JINJA_CALL: oll_strbuf_printf(out, "<function %s>", v.c->name ? v.c->name : ""); break;
    case JINJA_LOOP: oll_strbuf_adds(out, "<LoopContext>"); break;
    }
}

void jinja_repr(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v)
{
    repr_value(run, out, v, 0);
}

void jinja_print(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v)
{
    if (v.type == JINJA_STR)
        oll_strbuf_add(out, v.s->data, v.s->len);
    else if (v.type != JINJA_UNDEFINED)
        jinja_repr(run, out, v);
    if (out->status != OLL_OK)
        jinja_fail(run, out->status, "the template makes too long a text");
    else if (v.type == JINJA_STR)
        jinja_step(run, v.s->len / 64);
}

struct jinja_value jinja_to_str(struct jinja_run *run, struct jinja_value v)
{
    struct oll_strbuf text;
    if (v.type == JINJA_STR)
        return v;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    jinja_print(run, &text, v);
    return jinja_str_take(run, &text);
}

/* ---- JSON ---- */

static void dump_char(struct oll_strbuf *out, const char *s, size_t n, uint32_t cp, bool ascii)
{
    static const char plain[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
    const char *known = cp < 0x80 && cp ? strchr(plain, (int)cp) : NULL;
    if (known)
        oll_strbuf_printf(out, "\\%c", letter[known - plain]);
    else if (cp < 0x20 || (ascii && cp >= 0x80 && cp < 0x10000))
        oll_strbuf_printf(out, "\\u%04" PRIx32, cp);
    else if (ascii && cp >= 0x10000)
        oll_strbuf_printf(out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((cp - 0x10000) >> 10),
                          0xdc00 + ((cp - 0x10000) & 0x3ff));
    else
        oll_strbuf_add(out, s, n);
}

static void dump_str(struct oll_strbuf *out, const struct jinja_str *s, bool ascii)
{
    oll_strbuf_addc(out, '"');
    for (size_t i = 0; i < s->len;) {
        uint32_t cp = 0xfffd;
        const int len = oll_utf8_decode(s->data + i, s->len - i, &cp);
        dump_char(out, s->data + i, len ? (size_t)len : 1, cp, ascii);
        i += len ? (size_t)len : 1;
    }
    oll_strbuf_addc(out, '"');
}

struct dump {
    struct jinja_run *run;
    struct oll_strbuf *out;
    const struct jinja_json_style *style;
    int depth;
};

static void dump_value(struct dump *d, struct jinja_value v);

/* The comma of a list and, when indenting, the start of a line. */
static void dump_break(struct dump *d, bool comma)
{
    if (comma)
        oll_strbuf_adds(d->out, d->style->comma);
    if (!d->style->indent)
        return;
    oll_strbuf_addc(d->out, '\n');
    for (int i = 0; i < d->depth; i++)
        oll_strbuf_adds(d->out, d->style->indent);
}

static void dump_key(struct dump *d, struct jinja_value key)
{
    switch (key.type) {
    case JINJA_STR: dump_str(d->out, key.s, d->style->ascii); break;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        oll_strbuf_addc(d->out, '"');
        dump_value(d, key);
        oll_strbuf_addc(d->out, '"');
        break;
    default:
        jinja_fail(d->run, OLL_ERR_FORMAT, "keys must be str, int, float, bool or None, not %s",
                   jinja_type_name(key));
    }
}

static int by_key(struct jinja_run *run, const struct jinja_dict *d, size_t a, size_t b)
{
    return jinja_compare(run, d->entries[a].key, d->entries[b].key);
}

/* The order in which entries are written; NULL: as they stand. Dicts are small: insertion sort. */
static size_t *key_order(struct dump *d, const struct jinja_dict *dict)
{
    size_t *order = d->style->sort_keys ? jinja_alloc(d->run, dict->n, sizeof *order) : NULL;
    for (size_t i = 0; order && i < dict->n; i++) {
        size_t at = i;
        for (; at > 0 && jinja_step(d->run, 1) && by_key(d->run, dict, order[at - 1], i) > 0; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return order;
}

static void dump_dict(struct dump *d, struct jinja_dict *dict)
{
    const size_t *order = key_order(d, dict);
    oll_strbuf_addc(d->out, '{');
    d->depth++;
    for (size_t i = 0; i < dict->n && jinja_ok(d->run); i++) {
        struct jinja_entry *e = &dict->entries[order ? order[i] : i];
        e->was_read = true;
        dump_break(d, i > 0);
        dump_key(d, e->key);
        oll_strbuf_adds(d->out, d->style->colon);
        dump_value(d, e->value);
    }
    d->depth--;
    if (dict->n > 0)
        dump_break(d, false);
    oll_strbuf_addc(d->out, '}');
}

static void dump_seq(struct dump *d, struct jinja_seq *q)
{
    if (q->kind != JINJA_LIST && q->kind != JINJA_TUPLE) {
        jinja_fail(d->run, OLL_ERR_FORMAT, "Object of type %s is not JSON serializable",
                   jinja_type_name((struct jinja_value){.type = JINJA_SEQ, .q = q}));
        return;
    }
    oll_strbuf_addc(d->out, '[');
    d->depth++;
    for (size_t i = 0; i < q->n && jinja_ok(d->run); i++) {
        dump_break(d, i > 0);
        dump_value(d, q->items[i]);
    }
    d->depth--;
    if (q->n > 0)
        dump_break(d, false);
    oll_strbuf_addc(d->out, ']');
}

static void dump_float(struct oll_strbuf *out, double f)
{
    char number[32];
    jinja_format_float(f, number);
    oll_strbuf_adds(out, isnan(f) ? "NaN" : isinf(f) ? (f < 0 ? "-Infinity" : "Infinity") : number);
}

static void dump_value(struct dump *d, struct jinja_value v)
{
    if (!fits(d->run, d->out, d->depth))
        return;
    switch (v.type) {
    case JINJA_NONE: oll_strbuf_adds(d->out, "null"); break;
    case JINJA_BOOL: oll_strbuf_adds(d->out, v.b ? "true" : "false"); break;
    case JINJA_INT: oll_strbuf_printf(d->out, "%" PRId64, v.i); break;
    case JINJA_FLOAT: dump_float(d->out, v.f); break;
    case JINJA_STR:
        jinja_step(d->run, v.s->len / 64);
        dump_str(d->out, v.s, d->style->ascii);
        break;
    case JINJA_SEQ: dump_seq(d, v.q); break;
    case JINJA_DICT: dump_dict(d, v.d); break;
    default:
        jinja_fail(d->run, OLL_ERR_FORMAT, "Object of type %s is not JSON serializable",
                   jinja_type_name(v));
    }
}

void jinja_dump(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v,
                const struct jinja_json_style *style)
{
    struct dump d = {.run = run, .out = out, .style = style};
    dump_value(&d, v);
}
