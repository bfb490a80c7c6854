/* Filters for single values; those for lists are in jinja_filters_seq.c. */
#include "engine/chat/jinja_strings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value as text, for filters that work on any value's text; NULL after a failure. */
static struct jinja_str *text_of(struct jinja_run *run, struct jinja_value v)
{
    const struct jinja_value s = jinja_to_str(run, v);
    return jinja_ok(run) ? s.s : NULL;
}

static struct jinja_value change_case(struct jinja_run *run, struct jinja_value v,
                                      enum jinja_case how)
{
    const struct jinja_str *s = text_of(run, v);
    return s ? jinja_change_case(run, s, how) : jinja_undefined(NULL);
}

static struct jinja_value filter_upper(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    (void)args;
    return change_case(run, v, JINJA_UPPER);
}

static struct jinja_value filter_lower(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    (void)args;
    return change_case(run, v, JINJA_LOWER);
}

static struct jinja_value filter_capitalize(struct jinja_run *run, struct jinja_value v,
                                            const struct jinja_args *args)
{
    (void)args;
    return change_case(run, v, JINJA_CAPITALIZE);
}

static bool starts_word(const char *s, size_t i)
{
    return i == 0 || (s[i - 1] && strchr("-({[<", s[i - 1])) || jinja_space_after(s, i) > 0;
}

/* Words begin at the start and behind white space, hyphens and opening brackets; unlike str.title,
 * apostrophes and digits do not begin one. */
static struct jinja_value filter_title(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    const struct jinja_str *s = text_of(run, v);
    struct jinja_value out = jinja_text(run, "");
    (void)args;
    for (size_t i = 0, end; s && i < s->len && jinja_ok(run); i = end) {
        for (end = i + 1; end < s->len && !starts_word(s->data, end);)
            end++;
        const struct jinja_str word = {.data = s->data + i, .len = end - i, .n_chars = SIZE_MAX};
        const struct jinja_value part = jinja_change_case(run, &word, JINJA_CAPITALIZE);
        if (jinja_ok(run))
            out = jinja_concat(run, out.s, part.s);
    }
    return out;
}

static struct jinja_value filter_trim(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_str *s = text_of(run, v);
    const struct jinja_value *chars = jinja_arg(args, 0, "chars");
    if (!s)
        return jinja_undefined(NULL);
    return jinja_strip(run, s, chars && chars->type == JINJA_STR ? chars->s : NULL, true, true);
}

static struct jinja_value filter_replace(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    const struct jinja_value *old = jinja_arg(args, 0, "old"),
                             *new_text = jinja_arg(args, 1, "new");
    if (!old || !new_text)
        return jinja_fail(run, OLL_ERR_FORMAT, "replace takes two texts");
    const struct jinja_value in = jinja_to_str(run, v);
    const struct jinja_str *a = text_of(run, *old), *b = text_of(run, *new_text);
    const int64_t count = jinja_arg_int(run, args, 2, "count", -1);
    return jinja_ok(run) ? jinja_replace(run, in, a, b, count) : jinja_undefined(NULL);
}

/* Every line but the first, unless empty, is moved right by `width` blanks (or a text). */
static struct jinja_value filter_indent(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    const struct jinja_value *width = jinja_arg(args, 0, "width");
    const bool first = jinja_arg_bool(run, args, 1, "first", false);
    const bool blank = jinja_arg_bool(run, args, 2, "blank", false);
    const struct jinja_str *s = text_of(run, v);
    struct jinja_value by = jinja_text(run, " ");
    if (width && width->type == JINJA_STR)
        by = *width;
    else
        by = jinja_arith(run, '*', by, jinja_int(jinja_arg_int(run, args, 0, "width", 4)));
    if (!jinja_ok(run))
        return by;
    /* The engine it comes from appends a line end first, so a text always has a first line. */
    const struct jinja_str newline = {.data = "\n", .len = 1, .n_chars = 1};
    const struct jinja_value ended = jinja_concat(run, s, &newline);
    const struct jinja_value lines = jinja_ok(run) ? jinja_split_lines(run, ended.s, false) : ended;
    struct oll_strbuf text;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    for (size_t i = 0; jinja_ok(run) && i < lines.q->n; i++) {
        const struct jinja_str *line = lines.q->items[i].s;
        oll_strbuf_adds(&text, i ? "\n" : "");
        if (i == 0 ? first : blank || line->len > 0)
            oll_strbuf_add(&text, by.s->data, by.s->len);
        oll_strbuf_add(&text, line->data, line->len);
        jinja_step(run, 1 + by.s->len / 64);
    }
    return jinja_str_take(run, &text);
}

static struct jinja_value filter_string(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    (void)args;
    return jinja_to_str(run, v);
}

static struct jinja_value filter_escape(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    const struct jinja_value s = jinja_to_str(run, v);
    (void)args;
    return jinja_ok(run) && !s.s->is_markup ? jinja_escape(run, s.s) : s;
}

static struct jinja_value filter_safe(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_value s = jinja_to_str(run, v);
    (void)args;
    if (!jinja_ok(run))
        return s;
    struct jinja_value markup = jinja_str(run, s.s->data, s.s->len);
    if (markup.type == JINJA_STR)
        markup.s->is_markup = true;
    return markup;
}

static struct jinja_value filter_format(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    const struct jinja_str *s = text_of(run, v);
    return s ? jinja_percent(run, s, args) : jinja_undefined(NULL);
}

static struct jinja_value filter_wordcount(struct jinja_run *run, struct jinja_value v,
                                           const struct jinja_args *args)
{
    const struct jinja_str *s = text_of(run, v);
    int64_t n = 0;
    bool inside = false;
    (void)args;
    for (size_t i = 0; s && i < s->len && jinja_tick(run); i++) {
        const char c = s->data[i];
        const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                          (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
        n += word && !inside;
        inside = word;
    }
    return jinja_int(n);
}

static struct jinja_value filter_center(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    struct jinja_str *s = text_of(run, v);
    const int64_t width = jinja_arg_int(run, args, 0, "width", 80);
    struct oll_strbuf text;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    if (s && jinja_ok(run)) {
        const int64_t pad = width - (int64_t)jinja_str_chars(s);
        /* Of an odd number of blanks the extra one stands left when the width is odd, too. */
        const int64_t left = pad > 0 ? pad / 2 + (pad & width & 1) : 0;
        for (int64_t i = 0; i < left && text.status == OLL_OK; i++)
            oll_strbuf_addc(&text, ' ');
        oll_strbuf_add(&text, s->data, s->len);
        for (int64_t i = left; i < pad && text.status == OLL_OK; i++)
            oll_strbuf_addc(&text, ' ');
    }
    return jinja_str_take(run, &text);
}

static struct jinja_value filter_truncate(struct jinja_run *run, struct jinja_value v,
                                          const struct jinja_args *args)
{
    const struct jinja_value in = jinja_to_str(run, v);
    const int64_t length = jinja_arg_int(run, args, 0, "length", 255);
    const bool kill = jinja_arg_bool(run, args, 1, "killwords", false);
    const struct jinja_value *end_arg = jinja_arg(args, 2, "end");
    struct jinja_value end = end_arg ? *end_arg : jinja_text(run, "...");
    const int64_t leeway = jinja_arg_int(run, args, 3, "leeway", 5);
    if (!jinja_ok(run) || (int64_t)jinja_str_chars(in.s) <= length + leeway)
        return in;
    if (end.type != JINJA_STR || length < (int64_t)jinja_str_chars(end.s))
        return jinja_fail(run, OLL_ERR_FORMAT, "truncate: the length is too short for its end");
    const struct jinja_value bounds[3] = {
        jinja_none(), jinja_int(length - (int64_t)jinja_str_chars(end.s)), jinja_none()};
    struct jinja_value cut = jinja_slice(run, in, bounds);
    const size_t blank = jinja_ok(run) ? jinja_rfind(cut.s->data, cut.s->len, " ", 1) : SIZE_MAX;
    if (!kill && blank != SIZE_MAX)
        cut = jinja_str(run, cut.s->data, blank);
    return jinja_ok(run) ? jinja_concat(run, cut.s, end.s) : cut;
}

/* ---- JSON ---- */

static const char *separator(struct jinja_run *run, struct jinja_value v)
{
    char *text = v.type == JINJA_STR ? jinja_alloc(run, v.s->len + 1, 1) : NULL;
    if (text)
        memcpy(text, v.s->data, v.s->len);
    else
        jinja_fail(run, OLL_ERR_FORMAT, "tojson: separators and indent must be texts");
    return text ? text : "";
}

static const char *indent_of(struct jinja_run *run, struct jinja_value v)
{
    if (v.type == JINJA_NONE)
        return NULL;
    if (v.type == JINJA_STR)
        return separator(run, v);
    if (v.type != JINJA_INT || v.i > 64) {
        jinja_fail(run, OLL_ERR_FORMAT, "tojson: indent must be a small integer or a text");
        return NULL;
    }
    const struct jinja_value blanks = jinja_arith(run, '*', jinja_text(run, " "), v);
    return jinja_ok(run) ? separator(run, blanks) : NULL;
}

/* json.dumps with the arguments that transformers gives this filter, in its order. */
static struct jinja_value filter_tojson(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    const struct jinja_value *indent = jinja_arg(args, 1, "indent");
    const struct jinja_value *separators = jinja_arg(args, 2, "separators");
    struct jinja_json_style style = {
        .ascii = jinja_arg_bool(run, args, 0, "ensure_ascii", false),
        .indent = indent ? indent_of(run, *indent) : NULL,
        .sort_keys = jinja_arg_bool(run, args, 3, "sort_keys", false),
        .colon = ": ",
    };
    style.comma = style.indent ? "," : ", ";
    if (separators && separators->type == JINJA_SEQ && separators->q->n == 2) {
        style.comma = separator(run, separators->q->items[0]);
        style.colon = separator(run, separators->q->items[1]);
    }
    struct oll_strbuf text;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    if (jinja_ok(run))
        jinja_dump(run, &text, v, &style);
    return jinja_str_take(run, &text);
}

static struct jinja_value filter_from_json(struct jinja_run *run, struct jinja_value v,
                                           const struct jinja_args *args)
{
    struct oll_json *root = NULL;
    struct oll_error err = {0};
    (void)args;
    if (v.type != JINJA_STR)
        return jinja_fail(run, OLL_ERR_FORMAT, "from_json takes a text, not '%s'",
                          jinja_type_name(v));
    jinja_step(run, v.s->len / 8);
    if (!jinja_ok(run))
        return v;
    if (oll_json_parse(&run->arena, v.s->data, v.s->len, NULL, &root, &err) != OLL_OK)
        return jinja_fail(run, err.status, "from_json: %s", oll_error_text(&err));
    return jinja_from_json(run, root);
}

/* ---- other values ---- */

static struct jinja_value filter_length(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    (void)args;
    return jinja_int(jinja_len(run, v));
}

static struct jinja_value filter_default(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    const struct jinja_value *fallback = jinja_arg(args, 0, "default_value");
    const bool falsy = jinja_arg_bool(run, args, 1, "boolean", false);
    if (v.type == JINJA_UNDEFINED || (falsy && !jinja_truth(run, v)))
        return fallback ? *fallback : jinja_text(run, "");
    return v;
}

static struct jinja_value filter_abs(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    (void)args;
    if (v.type == JINJA_FLOAT)
        return jinja_float(fabs(v.f));
    if (v.type == JINJA_BOOL)
        return jinja_int(v.b);
    if (!jinja_is_number(v))
        return jinja_fail(run, OLL_ERR_FORMAT, "bad operand type for abs(): '%s'",
                          jinja_type_name(v));
    return jinja_as_double(v) < 0 ? jinja_negate(run, v) : v;
}

/* A number written in a text, white space around it; false: none. */
static bool parse_number(const struct jinja_str *s, double *out)
{
    char text[64], *end = text;
    const size_t before = jinja_space_before(s->data, s->len);
    const size_t n = s->len - before - jinja_space_after(s->data + before, s->len - before);
    if (n == 0 || n >= sizeof text || memchr(s->data + before, 'x', n) ||
        memchr(s->data + before, 'X', n))
        return false;
    memcpy(text, s->data + before, n);
    text[n] = '\0';
    *out = strtod(text, &end);
    return *end == '\0' && end != text;
}

static bool parse_int(const struct jinja_str *s, int base, int64_t *out)
{
    char text[80], *end = text;
    const size_t before = jinja_space_before(s->data, s->len);
    const size_t n = s->len - before - jinja_space_after(s->data + before, s->len - before);
    if (n == 0 || n >= sizeof text)
        return false;
    memcpy(text, s->data + before, n);
    text[n] = '\0';
    *out = strtoll(text, &end, base);
    return *end == '\0' && end != text;
}

static struct jinja_value filter_int(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    const struct jinja_value *fallback = jinja_arg(args, 0, "default");
    const int64_t base = jinja_arg_int(run, args, 1, "base", 10);
    double real = NAN;
    int64_t whole;
    if (v.type == JINJA_INT || v.type == JINJA_BOOL)
        return jinja_int(v.type == JINJA_INT ? v.i : v.b);
    jinja_step(run, v.type == JINJA_STR ? v.s->len / 2 : 0);
    if (v.type == JINJA_STR && base >= 2 && base <= 36 && parse_int(v.s, (int)base, &whole))
        return jinja_int(whole);
    if (v.type == JINJA_FLOAT)
        real = v.f;
    else if (v.type == JINJA_STR && !parse_number(v.s, &real))
        real = NAN;
    if (real > -9.2e18 && real < 9.2e18)
        return jinja_int((int64_t)real);
    return fallback ? *fallback : jinja_int(0);
}

static struct jinja_value filter_float(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    const struct jinja_value *fallback = jinja_arg(args, 0, "default");
    double real;
    jinja_step(run, v.type == JINJA_STR ? v.s->len / 4 : 0);
    if (jinja_is_number(v))
        return jinja_float(jinja_as_double(v));
    if (v.type == JINJA_STR && parse_number(v.s, &real))
        return jinja_float(real);
    return fallback ? *fallback : jinja_float(0);
}

/* round() of Python: the exact binary value decides, and of a tie the even neighbour wins; printf
 * rounds the same way. */
static double round_half_even(double v, int digits)
{
    char text[512];
    if (digits < 0) {
        const double unit = pow(10, -digits);
        return nearbyint(v / unit) * unit;
    }
    if (fabs(v) > 1e22)
        return v;
    snprintf(text, sizeof text, "%.*f", digits, v);
    return strtod(text, NULL);
}

static struct jinja_value filter_round(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    const int64_t digits = jinja_arg_int(run, args, 0, "precision", 0);
    const struct jinja_value *method = jinja_arg(args, 1, "method");
    if (!jinja_is_number(v) || digits < -20 || digits > 20)
        return jinja_fail(run, OLL_ERR_FORMAT, "round takes a number, and a precision up to 20");
    const double scale = pow(10, (double)digits), real = jinja_as_double(v);
    if (method && jinja_str_is(*method, "ceil"))
        return jinja_float(ceil(real * scale) / scale);
    if (method && jinja_str_is(*method, "floor"))
        return jinja_float(floor(real * scale) / scale);
    if (v.type != JINJA_FLOAT && digits >= 0)
        return jinja_int((int64_t)real);
    const double rounded = round_half_even(real, (int)digits);
    return v.type == JINJA_FLOAT ? jinja_float(rounded) : jinja_int((int64_t)rounded);
}

const struct jinja_builtin jinja_filters[] = {
    {"tojson", filter_tojson},
    {"length", filter_length},
    {"count", filter_length},
    {"trim", filter_trim},
    {"string", filter_string},
    {"safe", filter_safe},
    {"default", filter_default},
    {"d", filter_default},
    {"upper", filter_upper},
    {"lower", filter_lower},
    {"capitalize", filter_capitalize},
    {"title", filter_title},
    {"replace", filter_replace},
    {"indent", filter_indent},
    {"int", filter_int},
    {"float", filter_float},
    {"abs", filter_abs},
    {"round", filter_round},
    {"from_json", filter_from_json},
    {"fromjson", filter_from_json},
    {"escape", filter_escape},
    {"e", filter_escape},
    {"format", filter_format},
    {"wordcount", filter_wordcount},
    {"center", filter_center},
    {"truncate", filter_truncate},
    {NULL, NULL},
};

static jinja_fn find_in(const struct jinja_builtin *list, const char *name)
{
    for (; list->name; list++)
        if (list->name[0] == name[0] && !strcmp(list->name, name))
            return list->fn;
    return NULL;
}

jinja_fn jinja_find_filter(const char *name)
{
    const jinja_fn fn = find_in(jinja_filters, name);
    return fn ? fn : find_in(jinja_seq_filters, name);
}

jinja_fn jinja_find_test(const char *name) { return find_in(jinja_tests, name); }
