/* Calls in the tag styles of Qwen3-Coder and of "invoke" blocks (Glimmer, MiniMax, DeepSeek V3.2).
 */
#include "engine/chat/parse_internal.h"

#include <stdio.h>
#include <string.h>

/* Qwen3-Coder:  <function=NAME> <parameter=KEY> value </parameter> ... </function>
 * Only these four tags count; every other text is text, so a value may hold markup. */
enum xml_tag { XML_FUNCTION, XML_PARAMETER, XML_FUNCTION_END, XML_PARAMETER_END, XML_EOF };

struct xml_cursor {
    const char *s;
    size_t n, at;   /* behind the last tag */
    size_t text_at; /* text before that tag */
    size_t text_len;
    const char *name; /* of an opening tag */
    size_t name_len;
};

/* An opening tag at `at`: <function=N> with one byte or more in N. */
static bool open_tag(struct xml_cursor *c, size_t at, const char *start)
{
    const size_t from = at + strlen(start);
    if (!parse_starts(c->s + at, c->n - at, start))
        return false;
    const size_t end = parse_index(c->s, c->n, from, ">");
    if (end == c->n || end == from)
        return false;
    c->name = c->s + from;
    c->name_len = end - from;
    c->at = end + 1;
    return true;
}

static bool close_tag(struct xml_cursor *c, size_t at, const char *tag)
{
    if (!parse_starts(c->s + at, c->n - at, tag))
        return false;
    c->at = at + strlen(tag);
    return true;
}

static enum xml_tag next_tag(struct xml_cursor *c)
{
    c->text_at = c->at;
    for (size_t i = c->at; i < c->n; i++) {
        i = parse_index(c->s, c->n, i, "<");
        if (i == c->n)
            break;
        c->text_len = i - c->text_at;
        if (open_tag(c, i, "<function="))
            return XML_FUNCTION;
        if (open_tag(c, i, "<parameter="))
            return XML_PARAMETER;
        if (close_tag(c, i, "</function>"))
            return XML_FUNCTION_END;
        if (close_tag(c, i, "</parameter>"))
            return XML_PARAMETER_END;
    }
    c->text_len = c->n - c->text_at;
    c->at = c->n;
    return XML_EOF;
}

/* Words of Go's encoding/xml, with the line of the place. */
static void xml_fail(struct chat_parser *p, const struct xml_cursor *c, const char *what)
{
    int line = 1;
    for (size_t i = 0; i < c->at; i++)
        line += c->s[i] == '\n';
    parse_fail(p, "XML syntax error on line %d: %s", line, what);
}

static const char *const xml_names[] = {"function", "parameter", "function", "parameter"};

static void xml_mismatch(struct chat_parser *p, const struct xml_cursor *c, const char *open,
                         const char *close)
{
    char what[80];
    snprintf(what, sizeof what, "element <%s> closed by </%s>", open, close);
    xml_fail(p, c, what);
}

/* Reads a parameter up to its end; tags inside are elements of their own and add no text. */
static bool xml_parameter(struct chat_parser *p, struct xml_cursor *c, struct oll_json_writer *w,
                          const struct oll_json *tool)
{
    struct parse_raw raw = {.key = c->name, .key_len = c->name_len, .cut_newlines = true};
    const enum xml_tag tag = next_tag(c);
    if (tag == XML_PARAMETER_END) {
        raw.value = c->s + c->text_at;
        raw.len = c->text_len;
        parse_typed_value(p, w, tool, &raw);
        return true;
    }
    if (tag == XML_EOF)
        xml_fail(p, c, "unexpected EOF");
    else if (tag == XML_FUNCTION_END)
        xml_mismatch(p, c, "parameter", "function");
    else
        xml_fail(p, c, "a parameter inside a parameter");
    return false;
}

void parse_body_xml(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    struct xml_cursor c = {.s = body, .n = n};
    struct oll_json_writer w;
    enum xml_tag tag = next_tag(&c);
    (void)closed;
    if (tag == XML_EOF) {
        parse_fail(p, "EOF");
    } else if (tag == XML_PARAMETER) {
        parse_fail(p, "expected element type <function> but have <parameter>");
    } else if (tag != XML_FUNCTION) {
        char what[64];
        snprintf(what, sizeof what, "unexpected end element </%s>", xml_names[tag]);
        xml_fail(p, &c, what);
    }
    if (tag != XML_FUNCTION)
        return;
    const char *name = c.name;
    const size_t name_len = c.name_len;
    const struct oll_json *tool = parse_tool(p, name, name_len);
    parse_args_begin(p, &w);
    while ((tag = next_tag(&c)) == XML_PARAMETER) {
        if (!xml_parameter(p, &c, &w, tool))
            return;
    }
    oll_json_write_object_end(&w);
    if (tag == XML_EOF)
        xml_fail(p, &c, "unexpected EOF");
    else if (tag == XML_PARAMETER_END)
        xml_mismatch(p, &c, "function", "parameter");
    else if (tag == XML_FUNCTION)
        xml_fail(p, &c, "a function inside a function");
    else
        parse_call_args(p, name, name_len);
}

/* Invoke blocks:  <Pinvoke name="N"> <Pparameter name="K" [string="true|false"]> V </Pparameter>
 * ...
 * </Pinvoke>, any number of them; P is the format's prefix. */
struct invoke_style {
    const char *invoke, *invoke_end, *parameter, *parameter_end;
    bool flagged;      /* string="false": the value is JSON */
    bool cut_newlines; /* round values */
    bool strict;       /* undeclared and mismatched tools end the request */
};

/* Value of attribute `name` in a tag's text s[0..n); false when it is not there. */
static bool attribute(const char *s, size_t n, const char *name, const char **value, size_t *len)
{
    const size_t at = parse_index(s, n, 0, name);
    const size_t from = at + strlen(name);
    if (at == n)
        return false;
    *value = s + from;
    *len = parse_index(s, n, from, "\"") - from;
    return from + *len < n;
}

/* The tag that starts with `start` at or behind *at: its attributes; *at moves behind it. */
static bool find_tag(const char *s, size_t n, size_t *at, const char *start, const char **attrs,
                     size_t *attrs_len)
{
    const size_t found = parse_index(s, n, *at, start);
    const size_t from = found + strlen(start);
    const size_t end = found == n ? n : parse_index(s, n, from, ">");
    if (end == n)
        return false;
    *attrs = s + from;
    *attrs_len = end - from;
    *at = end + 1;
    return true;
}

static void invoke_value(struct chat_parser *p, struct oll_json_writer *w,
                         const struct oll_json *tool, const struct parse_raw *raw, bool as_json)
{
    const struct oll_json *tree = as_json ? parse_json_tree(p, raw->value, raw->len) : NULL;
    if (!tree) {
        parse_typed_value(p, w, tool, raw);
        return;
    }
    oll_json_write_keyn(w, raw->key, raw->key_len);
    oll_json_write_node(w, tree, false);
}

/* Parameters of one block s[0..n) go to p->args. */
static void invoke_parameters(struct chat_parser *p, const struct invoke_style *style,
                              const struct oll_json *tool, const char *s, size_t n)
{
    struct oll_json_writer w;
    size_t at = 0, attrs_len, flag_len;
    const char *attrs, *flag;
    parse_args_begin(p, &w);
    while (find_tag(s, n, &at, style->parameter, &attrs, &attrs_len)) {
        struct parse_raw raw = {.value = s + at, .cut_newlines = style->cut_newlines};
        const size_t end = parse_index(s, n, at, style->parameter_end);
        if (end == n || !attribute(attrs, attrs_len, "name=\"", &raw.key, &raw.key_len))
            break;
        raw.len = end - at;
        const bool has_flag =
            style->flagged && attribute(attrs, attrs_len, "string=\"", &flag, &flag_len);
        if (has_flag && parse_starts(flag, flag_len, "true")) {
            oll_json_write_keyn(&w, raw.key, raw.key_len);
            oll_json_write_strn(&w, raw.value, raw.len);
        } else {
            invoke_value(p, &w, tool, &raw, has_flag);
        }
        at = end + strlen(style->parameter_end);
    }
    oll_json_write_object_end(&w);
}

/* A name with its namespace in front stands for the tool itself. */
static void resolve_name(const struct chat_parser *p, const char **name, size_t *n)
{
    const char *dot = *n > 0 ? memchr(*name, '.', *n) : NULL;
    if (!dot || parse_tool(p, *name, *n))
        return;
    const size_t space = (size_t)(dot - *name), rest = *n - space - 1;
    const bool own = rest == space && memcmp(*name, dot + 1, rest) == 0;
    if (parse_tool(p, dot + 1, rest) && (own || parse_starts(*name, space, "functions"))) {
        *name = dot + 1;
        *n = rest;
    }
}

/* Whether a strict format may call this tool: declared, and the one its message is addressed to. */
static bool may_call(struct chat_parser *p, const char *name, size_t n)
{
    const char *to = p->name.data;
    size_t to_len = p->name.len;
    resolve_name(p, &to, &to_len);
    if (!parse_tool(p, name, n))
        parse_fail(p, "tool '%.*s' not found", n > 256 ? 256 : (int)n, name);
    else if (to_len > 0 && (to_len != n || memcmp(to, name, n) != 0))
        parse_fail(p, "tool call to '%.*s' invokes '%.*s'", to_len > 256 ? 256 : (int)to_len, to,
                   n > 256 ? 256 : (int)n, name);
    return p->status == OLL_OK;
}

static void invoke_blocks(struct chat_parser *p, const char *body, size_t n,
                          const struct invoke_style *style)
{
    size_t at = 0, attrs_len, name_len;
    const char *attrs, *name;
    while (p->status == OLL_OK && find_tag(body, n, &at, style->invoke, &attrs, &attrs_len)) {
        const size_t end = parse_index(body, n, at, style->invoke_end);
        if (end == n || !attribute(attrs, attrs_len, "name=\"", &name, &name_len) || name_len == 0)
            return;
        if (style->strict) {
            resolve_name(p, &name, &name_len);
            if (!may_call(p, name, name_len))
                return;
        }
        invoke_parameters(p, style, parse_tool(p, name, name_len), body + at, end - at);
        parse_call_args(p, name, name_len);
        at = end + strlen(style->invoke_end);
    }
}

void parse_body_atem(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    static const struct invoke_style style = {"<atem:invoke", "</atem:invoke>", "<atem:parameter",
                                              "</atem:parameter>", .strict = true};
    const uint32_t before = p->n_calls;
    (void)closed;
    invoke_blocks(p, body, n, &style);
    if (p->status == OLL_OK && p->n_calls == before)
        parse_fail(p, "a message to a tool holds no call");
}

void parse_body_dsml(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    static const struct invoke_style style = {"<｜DSML｜invoke", "</｜DSML｜invoke>",
                                              "<｜DSML｜parameter", "</｜DSML｜parameter>",
                                              .flagged = true};
    (void)closed;
    invoke_blocks(p, body, n, &style);
}

/* MiniMax-M3: a mark stands before each tag and a parameter's tag is its name:
 *     M<invoke name="N">M<KEY>value M</KEY>M</invoke> */
#define MINIMAX_MARK "]<]minimax[>["

static void minimax_parameters(struct chat_parser *p, const struct oll_json *tool, const char *s,
                               size_t n)
{
    struct oll_json_writer w;
    size_t at = 0, key_len;
    const char *key;
    parse_args_begin(p, &w);
    while (find_tag(s, n, &at, MINIMAX_MARK "<", &key, &key_len)) {
        struct parse_raw raw = {
            .key = key, .key_len = key_len, .value = s + at, .cut_newlines = true};
        const size_t end = parse_index(s, n, at, MINIMAX_MARK "</");
        const size_t name = end + sizeof MINIMAX_MARK "</" - 1;
        if (end == n || n - name <= key_len || memcmp(s + name, key, key_len) != 0)
            break;
        raw.len = end - at;
        parse_typed_value(p, &w, tool, &raw);
        at = name;
    }
    oll_json_write_object_end(&w);
}

void parse_body_minimax(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    static const char open[] = MINIMAX_MARK "<invoke", close[] = MINIMAX_MARK "</invoke>";
    size_t at = 0, attrs_len, name_len;
    const char *attrs, *name;
    (void)closed;
    while (p->status == OLL_OK && find_tag(body, n, &at, open, &attrs, &attrs_len)) {
        const size_t end = parse_index(body, n, at, close);
        if (end == n || !attribute(attrs, attrs_len, "name=\"", &name, &name_len) || name_len == 0)
            return;
        minimax_parameters(p, parse_tool(p, name, name_len), body + at, end - at);
        parse_call_args(p, name, name_len);
        at = end + sizeof close - 1;
    }
}
