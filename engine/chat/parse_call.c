/* Calls: their JSON, their ids, the tools they name, and the errors that end a request. */
#include "engine/chat/parse_internal.h"

#include <stdio.h>
#include <string.h>

/* Output of a model may be as odd as it likes, so bad UTF-8 is replaced and keys may be long. */
static const struct oll_json_limits call_limits = {.max_depth = OLL_JSON_DEPTH_MAX,
                                                   .max_nodes = 200000,
                                                   .max_members = 100000,
                                                   .max_key_bytes = CHAT_PARSER_PENDING_MAX,
                                                   .replace_utf8 = true};

const struct oll_json *parse_json_tree(struct chat_parser *p, const char *s, size_t n)
{
    struct oll_json *root = NULL;
    const oll_status status = oll_json_parse(&p->scratch, s, n, &call_limits, &root, NULL);
    if (status == OLL_ERR_MEMORY)
        p->status = OLL_FAIL(p->err, OLL_ERR_MEMORY, "out of memory while reading a tool call");
    return status == OLL_OK ? root : NULL;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Eight of 36 letters, from the high half of one number each 6 bits would be biased; so a division
 * of 64 random bits. */
static void make_id(struct chat_parser *p, char out[16])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t bits = next_random(&p->id_state);
    memcpy(out, "call_", 5);
    for (int i = 5; i < 13; i++, bits /= 36)
        out[i] = letters[bits % 36];
    out[13] = '\0';
}

bool parse_call(struct chat_parser *p, const char *name, size_t name_len, const char *args,
                size_t n)
{
    struct oll_json_writer w;
    char id[16];
    const struct oll_json *tree = parse_json_tree(p, args, n);
    if (!tree || tree->type != OLL_JSON_OBJECT)
        return false;
    const char *copy = oll_arena_strndup(&p->scratch, name, name_len);
    oll_strbuf_clear(&p->json);
    oll_json_write_init(&w, &p->json);
    oll_json_write_node(&w, tree, false);
    if (!copy || p->json.status != OLL_OK) {
        p->status = OLL_FAIL(p->err, OLL_ERR_MEMORY, "out of memory while reading a tool call");
        return true;
    }
    parse_flush(p);
    make_id(p, id);
    const struct chat_event event = {.type = CHAT_EVENT_CALL,
                                     .id = id,
                                     .name = copy,
                                     .arguments = p->json.data,
                                     .index = p->n_calls++};
    p->cfg.on_event(p->cfg.user, &event);
    return true;
}

bool parse_call_args(struct chat_parser *p, const char *name, size_t name_len)
{
    return p->args.status == OLL_OK && parse_call(p, name, name_len, p->args.data, p->args.len);
}

void parse_args_begin(struct chat_parser *p, struct oll_json_writer *w)
{
    oll_strbuf_clear(&p->args);
    oll_json_write_init(w, &p->args);
    oll_json_write_object_begin(w);
}

void parse_fail(struct chat_parser *p, const char *fmt, ...)
{
    va_list args;
    if (p->status != OLL_OK)
        return;
    va_start(args, fmt);
    p->status = oll_error_setv(p->err, OLL_ERR_FORMAT, fmt, args);
    va_end(args);
}

const struct oll_json *parse_tool(const struct chat_parser *p, const char *name, size_t n)
{
    if (!p->cfg.tools || p->cfg.tools->type != OLL_JSON_ARRAY)
        return NULL;
    for (const struct oll_json *t = p->cfg.tools->first; t; t = t->next) {
        const struct oll_json *function = oll_json_get(t, "function");
        const struct oll_json *own = oll_json_get(function, "name");
        if (own && own->type == OLL_JSON_STRING && own->str_len == n &&
            memcmp(own->str, name, n) == 0)
            return function;
    }
    return NULL;
}

/* {"name": ..., "arguments": {...}}; a bad text ends the request with Go's words for it. */
static void body_json(struct chat_parser *p, const char *body, size_t n, const char *prefix,
                      bool need_name)
{
    char complaint[160];
    const struct oll_json *call = parse_json_tree(p, body, n);
    if (!call || call->type != OLL_JSON_OBJECT) {
        parse_json_complaint(body, n, complaint, sizeof complaint);
        parse_fail(p, "%s%s", prefix, complaint[0] ? complaint : "a tool call must be an object");
        return;
    }
    const struct oll_json *args = oll_json_get(call, "arguments");
    const char *name = oll_json_get_str(call, "name", "");
    if (need_name && name[0] == '\0') {
        parse_fail(p, "empty function name");
        return;
    }
    oll_strbuf_clear(&p->args);
    struct oll_json_writer w;
    oll_json_write_init(&w, &p->args);
    if (args && args->type != OLL_JSON_NULL) {
        oll_json_write_node(&w, args, false);
    } else {
        oll_json_write_object_begin(&w);
        oll_json_write_object_end(&w);
    }
    if (!parse_call_args(p, name, strlen(name)))
        parse_fail(p, "%sarguments of a tool call must be an object", prefix);
}

void parse_body_named_json(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    (void)closed;
    body_json(p, body, n, "failed to parse JSON: ", true);
}

void parse_body_vl_json(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    (void)closed;
    body_json(p, body, n, "", false);
}

/* NAME, a separator, JSON. */
static void body_separated(struct chat_parser *p, const char *body, size_t n, const char *separator)
{
    const size_t at = parse_index(body, n, 0, separator);
    const char *name = body;
    size_t name_len = at;
    parse_trim(&name, &name_len);
    const size_t from = at + strlen(separator);
    if (at == n || name_len == 0 || !parse_call(p, name, name_len, body + from, n - from))
        p->stalled = true;
}

void parse_body_deepseek(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    (void)closed;
    body_separated(p, body, n, "<｜tool▁sep｜>");
}

/* function<sep>NAME, newline, a fenced json block. */
void parse_body_cogito(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    static const char separator[] = "<｜tool▁sep｜>", fence[] = "```json", end[] = "```";
    const size_t sep = parse_index(body, n, 0, separator);
    const size_t open = parse_index(body, n, sep, fence);
    const size_t close = parse_index(body, n, open + sizeof fence - 1, end);
    const char *kind = body, *name = body + sep + sizeof separator - 1;
    (void)closed;
    if (sep == n || open == n || close >= n)
        return;
    size_t kind_len = sep, name_len = (size_t)(body + open - name);
    parse_trim(&kind, &kind_len);
    parse_trim(&name, &name_len);
    if (kind_len != 8 || memcmp(kind, "function", 8) != 0 || name_len == 0)
        return;
    const size_t from = open + sizeof fence - 1;
    parse_call(p, name, name_len, body + from, close - from);
}

/* functions.NAME:INDEX<|tool_call_argument_begin|>JSON */
void parse_body_kimi(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    static const char separator[] = "<|tool_call_argument_begin|>", prefix[] = "functions.";
    const size_t at = parse_index(body, n, 0, separator);
    const char *name = body;
    size_t name_len = at, colon;
    (void)closed;
    if (at == n)
        return;
    parse_trim(&name, &name_len);
    if (parse_starts(name, name_len, prefix)) {
        name += sizeof prefix - 1;
        name_len -= sizeof prefix - 1;
    }
    for (colon = name_len; colon > 0 && name[colon - 1] >= '0' && name[colon - 1] <= '9'; colon--)
        ;
    if (colon > 0 && colon < name_len && name[colon - 1] == ':')
        name_len = colon - 1;
    const size_t from = at + sizeof separator - 1;
    if (name_len > 0)
        parse_call(p, name, name_len, body + from, n - from);
}

/* [{"tool_call_id", "tool_name", "parameters"} ...]: each object on its own, so that one bad entry
 * does not cost the others. */
void parse_body_cohere(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    int depth = 0;
    bool in_string = false, escaped = false;
    size_t start = 0;
    (void)closed;
    for (size_t i = 0; i < n && p->status == OLL_OK; i++) {
        const char c = body[i];
        if (in_string) {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if (c == '"') {
            in_string = depth > 0;
        } else if (c == '{' && depth++ == 0) {
            start = i;
        } else if (c == '}' && depth > 0 && --depth == 0) {
            const struct oll_json *call = parse_json_tree(p, body + start, i + 1 - start);
            const struct oll_json *args = oll_json_get(call, "parameters");
            const char *name = oll_json_get_str(call, "tool_name", "");
            struct oll_json_writer w;
            oll_strbuf_clear(&p->args);
            oll_json_write_init(&w, &p->args);
            if (args && name[0] != '\0') {
                oll_json_write_node(&w, args, false);
                parse_call_args(p, name, strlen(name));
            }
        }
    }
}

/* NAME[ARGS]{json} or NAME[CALL_ID]id[ARGS]{json}. */
void parse_body_ministral(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    char complaint[160];
    const size_t brace = parse_index(body, n, 0, "{");
    size_t name_len = parse_index(body, brace, 0, "[ARGS]");
    const char *name = body;
    (void)closed;
    name_len = parse_index(body, name_len, 0, "[CALL_ID]");
    parse_trim(&name, &name_len);
    if (!parse_tool(p, name, name_len)) {
        parse_fail(p, "tool '%.*s' not found", name_len > 256 ? 256 : (int)name_len, name);
    } else if (!parse_call(p, name, name_len, body + brace, n - brace)) {
        parse_json_complaint(body + brace, n - brace, complaint, sizeof complaint);
        parse_fail(p, "%s", complaint);
    }
}

void parse_body_gigachat(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    const size_t brace = parse_index(body, n, 0, "{");
    (void)closed;
    body_json(p, body + brace, n - brace, "failed to parse JSON: ", true);
}

/* Text between a tag pair, trimmed; *len 0 when it is not there. */
static const char *element(const char *body, size_t n, const char *open, const char *close,
                           size_t *len)
{
    const size_t at = parse_index(body, n, 0, open);
    const size_t from = at == n ? n : at + strlen(open);
    const char *text = body + from;
    *len = parse_index(body, n, from, close) - from;
    parse_trim(&text, len);
    return text;
}

/* A tool of an MCP server; the API knows tools by one name, so the server's is left out. */
void parse_body_mirothinker(struct chat_parser *p, const char *body, size_t n, bool closed)
{
    size_t name_len, args_len;
    const char *name = element(body, n, "<tool_name>", "</tool_name>", &name_len);
    const char *args = element(body, n, "<arguments>", "</arguments>", &args_len);
    (void)closed;
    if (name_len > 0)
        parse_call(p, name, name_len, args_len > 0 ? args : "{}", args_len > 0 ? args_len : 2);
}
