/* Calls of GLM and Laguna:  NAME (<arg_key>K</arg_key> <arg_value>V</arg_value>)* */
#include "engine/chat/parse_internal.h"

#include <stdio.h>
#include <string.h>

/* In the order in which they follow each other. */
static const char *const arg_tags[4] = {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"};
static const char *const arg_names[4] = {"arg_key", "arg_key", "arg_value", "arg_value"};

struct arg_cursor {
    const char *s;
    size_t n, at; /* behind the last tag */
};

/* Next of the four tags, -1 at the end; the text before it is text[0..*len). */
static int next_arg_tag(struct arg_cursor *c, const char **text, size_t *len)
{
    const size_t from = c->at;
    *text = c->s + from;
    for (size_t i = from; i < c->n; i++) {
        i = parse_index(c->s, c->n, i, "<");
        for (int tag = 0; i < c->n && tag < 4; tag++) {
            if (parse_starts(c->s + i, c->n - i, arg_tags[tag])) {
                *len = i - from;
                c->at = i + strlen(arg_tags[tag]);
                return tag;
            }
        }
    }
    *len = c->n - from;
    c->at = c->n;
    return -1;
}

static void write_arg(struct chat_parser *p, struct oll_json_writer *w, const struct oll_json *tool,
                      struct parse_raw *raw)
{
    parse_trim(&raw->key, &raw->key_len);
    if (raw->key_len > 0)
        parse_typed_value(p, w, tool, raw);
    *raw = (struct parse_raw){.key = "", .value = "", .cut_newlines = true};
}

/* Reads the pairs and puts a missing tag where it should have stood: `want` is the tag that comes
 * next in the cycle, and meeting a later one means that those between were left out. */
static void repaired_args(struct chat_parser *p, struct arg_cursor *c, struct oll_json_writer *w,
                          const struct oll_json *tool)
{
    struct parse_raw raw = {.key = "", .value = "", .cut_newlines = true};
    const char *text;
    size_t len;
    for (int want = 0, tag = 0; tag >= 0;) {
        tag = next_arg_tag(c, &text, &len);
        if (want == 1) {
            raw.key = text;
            raw.key_len = len;
        } else if (want == 3) {
            raw.value = text;
            raw.len = len;
        }
        /* The pair is whole when its end was met, or when what was met belongs to the next one. */
        if (want == 3 || tag == 3 || (want != 0 && tag < want))
            write_arg(p, w, tool, &raw);
        want = tag < 0 ? 0 : (tag + 1) % 4;
    }
}

/* Name and where the arguments start. */
static struct arg_cursor call_name(const char *body, size_t n, const char **name, size_t *name_len)
{
    struct arg_cursor c = {.s = body, .n = n, .at = parse_index(body, n, 0, arg_tags[0])};
    *name = body;
    *name_len = c.at;
    parse_trim(name, name_len);
    return c;
}

/* What Go's XML reader says of a body that the output's end cut off; "" when every element is
 * whole. The closing tag of the call is taken to follow. */
static void xml_complaint(const char *body, size_t n, char *out, size_t out_bytes)
{
    enum { NESTED_MAX = 16 };
    const char *open[NESTED_MAX] = {"tool_call"}, *text;
    struct arg_cursor c = {.s = body, .n = n};
    size_t len;
    int line = 1, tag, depth = 0;
    out[0] = '\0';
    do {
        tag = next_arg_tag(&c, &text, &len);
        for (size_t i = 0; i < len; i++)
            line += text[i] == '\n';
        const bool closes = tag < 0 || tag % 2 == 1;
        const char *name = tag < 0 ? "tool_call" : arg_names[tag];
        if ((closes && strcmp(open[depth], name) != 0) || (!closes && depth + 1 == NESTED_MAX)) {
            snprintf(out, out_bytes, "XML syntax error on line %d: element <%s> closed by </%s>",
                     line, open[depth], name);
            return;
        }
        if (closes && depth > 0)
            depth--;
        else if (!closes)
            open[++depth] = name;
    } while (tag >= 0);
}

/* Whether the arguments in p->args hold all that the tool requires; else says which is missing. */
static bool has_required(struct chat_parser *p, const struct oll_json *tool)
{
    const struct oll_json *required = oll_json_get(oll_json_get(tool, "parameters"), "required");
    const struct oll_json *args = parse_json_tree(p, p->args.data, p->args.len);
    if (!required || required->type != OLL_JSON_ARRAY)
        return true;
    for (const struct oll_json *name = required->first; name; name = name->next) {
        if (name->type == OLL_JSON_STRING && !oll_json_get(args, name->str)) {
            parse_fail(p, "incomplete GLM tool call: missing required argument \"%s\"", name->str);
            return false;
        }
    }
    return true;
}

static bool complete(struct chat_parser *p, const char *body, size_t n, const char *name,
                     size_t name_len)
{
    char complaint[128];
    xml_complaint(body, n, complaint, sizeof complaint);
    if (complaint[0] != '\0')
        parse_fail(p, "incomplete GLM tool call: %s", complaint);
    else if (!parse_tool(p, name, name_len))
        parse_fail(p, "incomplete GLM tool call: tool \"%.*s\" not found",
                   name_len > 256 ? 256 : (int)name_len, name);
    return p->status == OLL_OK && has_required(p, parse_tool(p, name, name_len));
}

void parse_body_glm(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    struct oll_json_writer w;
    const char *name;
    size_t name_len;
    struct arg_cursor c = call_name(body, n, &name, &name_len);
    parse_args_begin(p, &w);
    repaired_args(p, &c, &w, parse_tool(p, name, name_len));
    oll_json_write_object_end(&w);
    if (name_len == 0)
        parse_fail(p, "empty GLM tool call name");
    else if (closed || complete(p, body, n, name, name_len))
        parse_call_args(p, name, name_len);
}

/* Laguna's makers trained it on other names than some clients give their tools. A name that the
 * client declared stands as it is. */
static const char *laguna_alias(const struct chat_parser *p, const char *name, size_t *n)
{
    static const char *const aliases[][2] = {{"read_file", "read"},
                                             {"write_file", "write"},
                                             {"edit_file", "edit"},
                                             {"web_fetch", "webfetch"}};
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (*n == strlen(aliases[i][0]) && memcmp(name, aliases[i][0], *n) == 0 &&
            !parse_tool(p, name, *n)) {
            *n = strlen(aliases[i][1]);
            return aliases[i][1];
        }
    }
    return name;
}

/* {"name", "arguments"}: false when it is something else. */
static bool laguna_json(struct chat_parser *p, const char *body, size_t n)
{
    const struct oll_json *call = parse_json_tree(p, body, n);
    const struct oll_json *args = oll_json_get(call, "arguments");
    const char *name = oll_json_get_str(call, "name", "");
    size_t name_len = strlen(name);
    struct oll_json_writer w;
    if (!call || call->type != OLL_JSON_OBJECT || name_len == 0)
        return false;
    if (!args)
        args = oll_json_get(call, "parameters");
    oll_strbuf_clear(&p->args);
    oll_json_write_init(&w, &p->args);
    if (args) {
        oll_json_write_node(&w, args, false);
    } else {
        oll_json_write_object_begin(&w);
        oll_json_write_object_end(&w);
    }
    name = laguna_alias(p, name, &name_len);
    return parse_call_args(p, name, name_len);
}

/* Only whole pairs count; what is cut or misses a tag is left out. */
static void laguna_pairs(struct chat_parser *p, struct oll_json_writer *w,
                         const struct oll_json *tool, const char *s, size_t n)
{
    for (size_t at = parse_index(s, n, 0, arg_tags[0]); at < n;) {
        struct parse_raw raw = {.key = s + at + strlen(arg_tags[0]), .cut_newlines = true};
        const size_t key_at = at + strlen(arg_tags[0]);
        const size_t key_end = parse_index(s, n, key_at, arg_tags[1]);
        if (key_end == n)
            return;
        size_t value_at = key_end + strlen(arg_tags[1]);
        value_at += parse_space_lead(s + value_at, n - value_at);
        raw.key_len = key_end - key_at;
        if (!parse_starts(s + value_at, n - value_at, arg_tags[2])) {
            at = parse_index(s, n, key_at, arg_tags[0]);
            continue;
        }
        value_at += strlen(arg_tags[2]);
        const size_t value_end = parse_index(s, n, value_at, arg_tags[3]);
        if (value_end == n)
            return;
        raw.value = s + value_at;
        raw.len = value_end - value_at;
        write_arg(p, w, tool, &raw);
        at = parse_index(s, n, value_end, arg_tags[0]);
    }
}

/* NAME followed by a JSON object or by pairs. */
static void laguna_named(struct chat_parser *p, const char *body, size_t n)
{
    const char *name = body, *rest;
    size_t name_len, rest_len;
    for (name_len = 0; name_len < n && !strchr("\n{<", body[name_len]); name_len++)
        ;
    rest = body + name_len;
    rest_len = n - name_len;
    parse_trim(&name, &name_len);
    parse_trim(&rest, &rest_len);
    if (name_len == 0) {
        parse_fail(p, "empty Laguna tool call name");
        return;
    }
    name = laguna_alias(p, name, &name_len);
    if (rest_len > 0 && rest[0] == '{' && parse_call(p, name, name_len, rest, rest_len))
        return;
    struct oll_json_writer w;
    parse_args_begin(p, &w);
    laguna_pairs(p, &w, parse_tool(p, name, name_len), rest, rest_len);
    oll_json_write_object_end(&w);
    parse_call_args(p, name, name_len);
}

void parse_body_laguna(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    (void)closed;
    parse_trim(&body, &n);
    if (n == 0 || body[0] != '{' || !laguna_json(p, body, n))
        laguna_named(p, body, n);
}

/* Whether text that starts with a brace may still become {"name": ... or {"arguments": ...: the
 * first key decides, so that braces of ordinary text and code are not held back. */
static bool may_be_bare_call(const char *s, size_t n)
{
    static const char *const keys[] = {"\"name\"", "\"arguments\"", "\"parameters\""};
    const size_t at = 1 + parse_space_lead(s + 1, n - 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (parse_starts(s + at, n - at, keys[i]) || parse_begins(s + at, n - at, keys[i]))
            return true;
    }
    return false;
}

/* A call without its tags is not looked for without end: what is longer is text, and from then on
 * so is everything of that kind. */
enum { UNTAGGED_MAX = 16 << 10 };

static size_t give_up(struct chat_parser *p, size_t text)
{
    p->untagged_off = true;
    return text;
}

/* A JSON object in content that names a declared tool is a call. */
static size_t bare_call(struct chat_parser *p, bool *consumed)
{
    size_t end;
    const char *s = parse_rest(p);
    if (p->untagged_off || !may_be_bare_call(s, parse_left(p)))
        return 1;
    const bool whole = parse_balanced(p, &end);
    if (whole ? end - p->pos > UNTAGGED_MAX : p->final || parse_left(p) > UNTAGGED_MAX)
        return give_up(p, 1);
    if (!whole)
        return 0;
    const size_t n = end - p->pos;
    const char *name = oll_json_get_str(parse_json_tree(p, s, n), "name", "");
    size_t name_len = strlen(name);
    name = laguna_alias(p, name, &name_len);
    *consumed = parse_tool(p, name, name_len) && laguna_json(p, s, n);
    return n;
}

/* Name at the start of s[0..n), where a call without tags would have it. */
static const char *leading_name(const char *s, size_t n, size_t *len)
{
    for (*len = 0; *len < n && !strchr("\n{<", s[*len]); (*len)++)
        ;
    parse_trim(&s, len);
    return s;
}

/* Whether <user> is followed by what may become a call: JSON, or the beginning of a tool's name. */
static bool may_be_user_call(const struct chat_parser *p, const char *s, size_t n)
{
    const size_t lead = parse_space_lead(s, n);
    size_t len;
    const char *name = leading_name(s, n, &len);
    if (lead == n || s[lead] == '{')
        return true;
    for (size_t i = 0; i < p->n_tools && len > 0; i++) {
        if (strncmp(p->tool_names[i], name, len) == 0)
            return true;
    }
    return false;
}

/* <user> wraps a call, with or without the call's own tags. When it does not it is text. */
static size_t user_call(struct chat_parser *p, bool *consumed)
{
    static const char open[] = "<user>", close[] = "</user>", call[] = "<tool_call>";
    const size_t skip = sizeof open - 1;
    const char *s = parse_rest(p) + skip;
    const size_t n = parse_left(p) - skip, lead = parse_space_lead(s, n);
    size_t len;
    if (parse_starts(s + lead, n - lead, call)) {
        *consumed = true; /* the wrapper goes; the call behind it is read as any other */
        return skip + lead;
    }
    if (lead < n && parse_begins(s + lead, n - lead, call))
        return p->final ? skip : 0;
    if (p->untagged_off || !may_be_user_call(p, s, n))
        return skip;
    const size_t end = parse_index(s, n < UNTAGGED_MAX ? n : UNTAGGED_MAX, 0, close);
    if (end == n || end == UNTAGGED_MAX)
        return n >= UNTAGGED_MAX || p->final ? give_up(p, skip) : 0;
    const char *body = s, *name = leading_name(s, end, &len);
    size_t body_len = end;
    parse_trim(&body, &body_len);
    const bool json = body_len > 0 && body[0] == '{';
    if (json ? laguna_json(p, body, body_len) : len > 0 && parse_tool(p, name, len) != NULL) {
        *consumed = true;
        if (!json)
            laguna_named(p, body, body_len);
    }
    return skip + end + sizeof close - 1;
}

size_t parse_maybe_laguna(struct chat_parser *p, int extra, bool *consumed)
{
    return extra == 0 ? bare_call(p, consumed) : user_call(p, consumed);
}
