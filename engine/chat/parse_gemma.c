/* Calls of Gemma 4 and FunctionGemma:  call:NAME{key:value,...}  (spec 5.5). */
#include "engine/chat/parse_internal.h"

#include <string.h>

#define QUOTE "<|\"|>"
enum { QUOTE_BYTES = sizeof QUOTE - 1, VALUE_DEPTH_MAX = 64 };

/* call:NAME up to the first brace: the arguments' text with its braces; false without a name. */
static bool split_call(const char *body, size_t n, const char **name, size_t *name_len,
                       const char **args, size_t *args_len)
{
    parse_trim(&body, &n);
    if (!parse_starts(body, n, "call:"))
        return false;
    const size_t brace = parse_index(body, n, 0, "{");
    *name = body + 5;
    *name_len = brace - 5;
    parse_trim(name, name_len);
    *args = body + brace;
    *args_len = n - brace;
    return brace < n && *name_len > 0;
}

static bool key_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Length of a bare key at s, when a colon follows it; else 0. */
static size_t bare_key(const char *s, size_t n)
{
    size_t len = 0;
    while (len < n && key_byte(s[len]))
        len++;
    const size_t colon = len + parse_space_lead(s + len, n - len);
    return colon < n && s[colon] == ':' ? len : 0;
}

/* End of a string in the quotes that stand at s[0], n when there is none. */
static size_t quoted_end(const char *s, size_t n, char quote)
{
    for (size_t i = 1; i < n; i++) {
        if (s[i] == '\\')
            i++;
        else if (s[i] == quote)
            return i + 1;
    }
    return n;
}

static void add_string(struct oll_strbuf *out, const char *s, size_t n)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_strn(&w, s, n);
}

/* One token of the arguments goes out as JSON; returns its length. `open` is the last structural
 * byte before it. */
static size_t convert_token(struct oll_strbuf *out, const char *s, size_t n, char open,
                            bool single_quotes)
{
    if (parse_starts(s, n, QUOTE)) {
        const size_t end = parse_index(s, n, QUOTE_BYTES, QUOTE);
        add_string(out, s + QUOTE_BYTES, end - QUOTE_BYTES);
        return end == n ? n : end + QUOTE_BYTES;
    }
    if (s[0] == '"' || (s[0] == '\'' && single_quotes)) {
        const size_t end = quoted_end(s, n, s[0]);
        if (s[0] == '"')
            oll_strbuf_add(out, s, end);
        else
            add_string(out, s + 1, end - 1 - (end > 1 && s[end - 1] == '\''));
        return end;
    }
    const size_t key = open == '{' || open == ',' ? bare_key(s, n) : 0;
    if (key > 0) {
        add_string(out, s, key);
        return key;
    }
    oll_strbuf_addc(out, s[0]);
    return 1;
}

static void convert(struct oll_strbuf *out, const char *s, size_t n, bool single_quotes)
{
    char open = '\0';
    oll_strbuf_clear(out);
    for (size_t i = 0; i < n;) {
        const char c = s[i];
        i += convert_token(out, s + i, n - i, open, single_quotes);
        if (!parse_space_lead(&c, 1))
            open = c;
    }
}

static bool attempt(struct chat_parser *p, const char *name, size_t name_len, const char *s,
                    size_t n, bool single_quotes)
{
    convert(&p->args, s, n, single_quotes);
    return parse_call_args(p, name, name_len);
}

static size_t count_quotes(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = parse_index(s, n, 0, QUOTE); i < n; i = parse_index(s, n, i + 1, QUOTE))
        count++;
    return count;
}

/* An odd number of quote marks: one was left out before the final bracket. */
static bool close_quote(struct oll_strbuf *out, const char *s, size_t n)
{
    size_t end = n - parse_space_tail(s, n);
    if (count_quotes(s, n) % 2 == 0)
        return false;
    while (end > 0 && (s[end - 1] == '}' || s[end - 1] == ']'))
        end--;
    oll_strbuf_add(out, s, end);
    oll_strbuf_adds(out, QUOTE);
    oll_strbuf_add(out, s + end, n - end);
    return true;
}

/* Where the raw value at s ends: before ",KEY:" of the next argument or the final brace. */
static size_t raw_end(const char *s, size_t n)
{
    size_t end = n - parse_space_tail(s, n);
    if (end > 0 && s[end - 1] == '}')
        end--;
    for (size_t i = 0; i < end; i++) {
        const size_t lead = s[i] == ',' ? parse_space_lead(s + i + 1, n - i - 1) : 0;
        if (s[i] == ',' && bare_key(s + i + 1 + lead, end - i - 1 - lead) > 0)
            return i;
    }
    return end;
}

/* Declared string arguments whose value stands without quotes get them. */
static bool quote_raw(struct oll_strbuf *out, const struct oll_json *tool, const char *s, size_t n)
{
    bool changed = false;
    for (size_t i = 0; i < n;) {
        const size_t key = i > 0 && (s[i - 1] == '{' || s[i - 1] == ',' || s[i - 1] == ' ')
                               ? bare_key(s + i, n - i)
                               : 0;
        if (key == 0 || !parse_param_is_string(tool, s + i, key)) {
            oll_strbuf_addc(out, s[i++]);
            continue;
        }
        const size_t value = parse_index(s, n, i, ":") + 1,
                     lead = parse_space_lead(s + value, n - value);
        oll_strbuf_add(out, s + i, value - i);
        i = value + lead;
        if (i < n && (s[i] == '"' || s[i] == '<'))
            continue;
        const size_t len = raw_end(s + i, n - i);
        add_string(out, s + i, len);
        i += len;
        changed = true;
    }
    return changed;
}

/* Tries the repairs in their order; a missing final brace is added only together with another one.
 */
static void repair(struct chat_parser *p, const char *name, size_t name_len, const char *s,
                   size_t n)
{
    struct oll_strbuf *fixed = &p->held; /* no white space waits inside a call */
    bool done = attempt(p, name, name_len, s, n, true);
    oll_strbuf_clear(fixed);
    if (!done && close_quote(fixed, s, n)) {
        done = attempt(p, name, name_len, fixed->data, fixed->len, false) ||
               attempt(p, name, name_len, fixed->data, fixed->len, true);
        oll_strbuf_addc(fixed, '}');
        done = done || attempt(p, name, name_len, fixed->data, fixed->len, false);
    } else if (!done && memchr(s, '\'', n)) {
        oll_strbuf_add(fixed, s, n);
        oll_strbuf_addc(fixed, '}');
        done = attempt(p, name, name_len, fixed->data, fixed->len, true);
    }
    oll_strbuf_clear(fixed);
    if (!done && quote_raw(fixed, parse_tool(p, name, name_len), s, n)) {
        done = attempt(p, name, name_len, fixed->data, fixed->len, false);
        oll_strbuf_addc(fixed, '}');
        if (!done)
            attempt(p, name, name_len, fixed->data, fixed->len, false);
    }
    oll_strbuf_clear(fixed);
}

void parse_body_gemma4(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    const char *name, *args;
    size_t name_len, args_len;
    (void)closed;
    if (split_call(body, n, &name, &name_len, &args, &args_len) &&
        !attempt(p, name, name_len, args, args_len, false))
        repair(p, name, name_len, args, args_len);
}

/* FunctionGemma's values: <escape>text<escape>, true, false, numbers, lists, objects, else text. */
struct escape_reader {
    const char *s;
    size_t n, at;
    struct oll_json_writer *w;
    int depth;
};

#define ESCAPE "<escape>"
enum { ESCAPE_BYTES = sizeof ESCAPE - 1 };

static bool read_value(struct escape_reader *r);

/* Up to the next structural byte. */
static void read_text(struct escape_reader *r, const char **text, size_t *n, const char *stops)
{
    const size_t from = r->at;
    while (r->at < r->n && (r->s[r->at] == '\0' || !strchr(stops, r->s[r->at])))
        r->at++;
    *text = r->s + from;
    *n = r->at - from;
    parse_trim(text, n);
}

static bool at_close(struct escape_reader *r, char close)
{
    r->at += parse_space_lead(r->s + r->at, r->n - r->at);
    if (r->at < r->n && r->s[r->at] == ',') {
        r->at++;
        return false;
    }
    if (r->at >= r->n || r->s[r->at] != close)
        return false;
    r->at++;
    return true;
}

/* Behind the opening bracket. */
static bool read_list(struct escape_reader *r)
{
    oll_json_write_array_begin(r->w);
    while (!at_close(r, ']')) {
        if (r->at >= r->n || r->s[r->at] == '}' || !read_value(r))
            return false;
    }
    oll_json_write_array_end(r->w);
    return true;
}

static bool read_object(struct escape_reader *r)
{
    const char *key;
    size_t n;
    oll_json_write_object_begin(r->w);
    while (!at_close(r, '}')) {
        if (parse_starts(r->s + r->at, r->n - r->at, ESCAPE)) {
            const size_t end = parse_index(r->s, r->n, r->at + ESCAPE_BYTES, ESCAPE);
            key = r->s + r->at + ESCAPE_BYTES;
            n = end - r->at - ESCAPE_BYTES;
            r->at = end == r->n ? end : end + ESCAPE_BYTES;
        } else {
            read_text(r, &key, &n, ":,{}[]");
        }
        if (r->at >= r->n || r->s[r->at] != ':' || n == 0)
            return false;
        r->at++;
        oll_json_write_keyn(r->w, key, n);
        if (!read_value(r))
            return false;
    }
    oll_json_write_object_end(r->w);
    return true;
}

static bool number_like(const char *s, size_t n)
{
    size_t digits = 0;
    for (size_t i = 0; i < n; i++) {
        digits += s[i] >= '0' && s[i] <= '9';
        if (s[i] == '\0' || !strchr("+-.eE0123456789", s[i]))
            return false;
    }
    return digits > 0 && ((s[0] >= '0' && s[0] <= '9') || s[0] == '-');
}

/* A word without quotes: what JSON knows as a number or a truth value, else a string. */
static void write_word(struct escape_reader *r, const char *s, size_t n)
{
    char complaint[96];
    const bool truth =
        (n == 4 && memcmp(s, "true", 4) == 0) || (n == 5 && memcmp(s, "false", 5) == 0);
    if (number_like(s, n))
        parse_json_complaint(s, n, complaint, sizeof complaint);
    if (truth || (number_like(s, n) && complaint[0] == '\0'))
        oll_json_write_raw(r->w, s, n);
    else
        oll_json_write_strn(r->w, s, n);
}

static bool read_value(struct escape_reader *r)
{
    const char *text;
    size_t n;
    bool ok = ++r->depth <= VALUE_DEPTH_MAX;
    r->at += parse_space_lead(r->s + r->at, r->n - r->at);
    const char c = r->at < r->n ? r->s[r->at] : '\0';
    if (ok && (c == '{' || c == '[')) {
        r->at++;
        ok = c == '{' ? read_object(r) : read_list(r);
    } else if (ok && parse_starts(r->s + r->at, r->n - r->at, ESCAPE)) {
        const size_t from = r->at + ESCAPE_BYTES, end = parse_index(r->s, r->n, from, ESCAPE);
        oll_json_write_strn(r->w, r->s + from, end - from);
        r->at = end == r->n ? end : end + ESCAPE_BYTES;
    } else if (ok) {
        read_text(r, &text, &n, ",}]");
        write_word(r, text, n);
    }
    r->depth--;
    return ok;
}

void parse_body_functiongemma(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    struct oll_json_writer w;
    const char *name, *args;
    size_t name_len, args_len;
    (void)closed;
    if (!split_call(body, n, &name, &name_len, &args, &args_len))
        return;
    struct escape_reader r = {.s = args, .n = args_len, .w = &w};
    oll_strbuf_clear(&p->args);
    oll_json_write_init(&w, &p->args);
    if (read_value(&r))
        parse_call_args(p, name, name_len);
}
