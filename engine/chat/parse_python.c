/* Calls as Python writes them (OLMo 3, LFM2):  name(key=value, ...)  with Python's literals. */
#include "engine/base/utf8.h"
#include "engine/chat/parse_internal.h"

#include <string.h>

enum { LITERAL_DEPTH_MAX = 64 };

struct python {
    const char *s;
    size_t n, at;
    struct oll_json_writer *w;
    struct oll_strbuf *text; /* of the string in the making */
    int depth;
};

static char peek(const struct python *y) { return y->at < y->n ? y->s[y->at] : '\0'; }

static void skip_space(struct python *y) { y->at += parse_space_lead(y->s + y->at, y->n - y->at); }

static bool take(struct python *y, char c)
{
    skip_space(y);
    if (y->at >= y->n || y->s[y->at] != c)
        return false;
    y->at++;
    return true;
}

static bool letter(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

/* An identifier; tools' names may hold dots and hyphens behind the first letter. */
static bool take_name(struct python *y, const char **name, size_t *len)
{
    skip_space(y);
    *name = y->s + y->at;
    *len = 0;
    while (y->at < y->n && letter(y->s[y->at], *len == 0)) {
        y->at++;
        ++*len;
    }
    return *len > 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \xHH and \uHHHH; false when the digits are not there or name no character. */
static bool take_code(struct python *y, int digits)
{
    char bytes[4];
    uint32_t cp = 0;
    for (int i = 0; i < digits; i++, y->at++) {
        const int h = hex_value(peek(y));
        if (h < 0)
            return false;
        cp = cp << 4 | (uint32_t)h;
    }
    if (cp >= 0xD800 && cp < 0xE000)
        return false;
    oll_strbuf_add(y->text, bytes, (size_t)oll_utf8_encode(cp, bytes));
    return true;
}

/* Behind a backslash. What is no escape keeps its backslash, as in Python. */
static bool take_escape(struct python *y)
{
    static const char codes[] = "ntrbf0\\'\"", values[] = "\n\t\r\b\f\0\\'\"";
    const char c = peek(y);
    if (y->at >= y->n)
        return false;
    y->at++;
    const char *code = c != '\0' ? strchr(codes, c) : NULL;
    if (c == 'x' || c == 'u')
        return take_code(y, c == 'x' ? 2 : 4);
    if (code) {
        oll_strbuf_addc(y->text, values[code - codes]);
    } else if (c != '\n') {
        oll_strbuf_addc(y->text, '\\');
        oll_strbuf_addc(y->text, c);
    }
    return true;
}

/* A string in either kind of quotes, into y->text. */
static bool take_string(struct python *y)
{
    const char quote = peek(y);
    oll_strbuf_clear(y->text);
    y->at++;
    while (y->at < y->n && y->s[y->at] != quote) {
        const char c = y->s[y->at++];
        if (c != '\\')
            oll_strbuf_addc(y->text, c);
        else if (!take_escape(y))
            return false;
    }
    y->at++;
    return y->at <= y->n;
}

static bool take_number(struct python *y)
{
    const size_t from = y->at;
    while (y->at < y->n && y->s[y->at] != '\0' && strchr("+-.0123456789eE", y->s[y->at]))
        y->at++;
    if (y->at == from)
        return false;
    /* Checked as JSON together with the whole; only Python's leading plus has no place there. */
    const size_t plus = y->s[from] == '+';
    oll_json_write_raw(y->w, y->s + from + plus, y->at - from - plus);
    return true;
}

static bool take_word(struct python *y)
{
    const char *word;
    size_t n;
    if (!take_name(y, &word, &n))
        return take_number(y);
    if (n == 4 && (memcmp(word, "True", 4) == 0 || memcmp(word, "true", 4) == 0))
        oll_json_write_bool(y->w, true);
    else if (n == 5 && (memcmp(word, "False", 5) == 0 || memcmp(word, "false", 5) == 0))
        oll_json_write_bool(y->w, false);
    else if (n == 4 && (memcmp(word, "None", 4) == 0 || memcmp(word, "null", 4) == 0))
        oll_json_write_null(y->w);
    else
        return false;
    return true;
}

static bool take_value(struct python *y);

static bool take_list(struct python *y, char close)
{
    oll_json_write_array_begin(y->w);
    while (!take(y, close)) {
        if (!take_value(y))
            return false;
        if (!take(y, ',') && !(skip_space(y), peek(y) == close))
            return false;
    }
    oll_json_write_array_end(y->w);
    return true;
}

static bool take_dict(struct python *y)
{
    oll_json_write_object_begin(y->w);
    while (!take(y, '}')) {
        skip_space(y);
        if ((peek(y) != '"' && peek(y) != '\'') || !take_string(y))
            return false;
        oll_json_write_keyn(y->w, y->text->data, y->text->len);
        if (!take(y, ':') || !take_value(y))
            return false;
        if (!take(y, ',') && !(skip_space(y), peek(y) == '}'))
            return false;
    }
    oll_json_write_object_end(y->w);
    return true;
}

static bool take_value(struct python *y)
{
    bool ok;
    skip_space(y);
    const char c = peek(y);
    if (++y->depth > LITERAL_DEPTH_MAX)
        return false;
    if (c == '"' || c == '\'') {
        ok = take_string(y);
        oll_json_write_strn(y->w, y->text->data, y->text->len);
    } else if (c == '[' || c == '(') {
        y->at++;
        ok = take_list(y, c == '[' ? ']' : ')');
    } else if (c == '{') {
        y->at++;
        ok = take_dict(y);
    } else {
        ok = take_word(y);
    }
    y->depth--;
    return ok;
}

/* Behind the opening parenthesis. */
static bool take_arguments(struct python *y)
{
    const char *key;
    size_t len;
    oll_json_write_object_begin(y->w);
    while (!take(y, ')')) {
        if (!take_name(y, &key, &len))
            return false;
        oll_json_write_keyn(y->w, key, len);
        if (!take(y, '=') || !take_value(y))
            return false;
        if (!take(y, ',') && !(skip_space(y), peek(y) == ')'))
            return false;
    }
    oll_json_write_object_end(y->w);
    return true;
}

/* All calls of s[0..n), separated by commas or white space; when `emit` is false they are only
 * checked. */
static bool read_calls(struct chat_parser *p, const char *s, size_t n, bool emit)
{
    struct oll_json_writer w;
    struct python y = {.s = s, .n = n, .w = &w, .text = &p->held};
    const char *name;
    size_t len;
    for (skip_space(&y); y.at < y.n && p->status == OLL_OK; take(&y, ','), skip_space(&y)) {
        oll_strbuf_clear(&p->args);
        oll_json_write_init(&w, &p->args);
        if (!take_name(&y, &name, &len) || !take(&y, '(') || !take_arguments(&y) ||
            p->args.status != OLL_OK)
            return false;
        if (emit ? !parse_call_args(p, name, len) : !parse_json_tree(p, p->args.data, p->args.len))
            return false;
    }
    return true;
}

/* One bad call spoils the block: what the model meant is not known then. */
static void body_calls(struct chat_parser *p, const char *s, size_t n)
{
    if (read_calls(p, s, n, false))
        read_calls(p, s, n, true);
    oll_strbuf_clear(&p->held);
}

void parse_body_olmo(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    (void)closed;
    body_calls(p, body, n);
}

void parse_body_lfm(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    (void)closed;
    parse_trim(&body, &n);
    if (n >= 2 && body[0] == '[' && body[n - 1] == ']') {
        body++;
        n -= 2;
    }
    body_calls(p, body, n);
}
