#include "server/ollama_request.h"

#include "engine/base/strbuf.h"
#include "server/decode.h"
#include "server/duration.h"
#include "server/schedule.h"

#include <stdio.h>
#include <string.h>

static const double ns_per_s = 1e9;

oll_status ollama_read_keep_alive(const struct oll_json *v, struct ollama_keep_alive *out,
                                  struct oll_error *err)
{
    char why[OLL_ERROR_TEXT_MAX];
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    out->set = true;
    switch (v->type) {
    case OLL_JSON_NUMBER:
        out->ns = v->real < 0 || v->real * ns_per_s > 9.2e18 ? SCHEDULE_FOREVER
                                                             : (int64_t)(v->real * ns_per_s);
        return OLL_OK;
    case OLL_JSON_STRING:
        if (!duration_parse(v->str, &out->ns)) {
            duration_explain(v->str, why, sizeof why);
            return OLL_FAIL(err, OLL_ERR_ARG, "%s", why);
        }
        if (out->ns < 0)
            out->ns = SCHEDULE_FOREVER;
        return OLL_OK;
    case OLL_JSON_BOOL: return OLL_FAIL(err, OLL_ERR_ARG, "Unsupported type: 'bool'");
    case OLL_JSON_ARRAY: return OLL_FAIL(err, OLL_ERR_ARG, "Unsupported type: '[]interface {}'");
    default: return OLL_FAIL(err, OLL_ERR_ARG, "Unsupported type: 'map[string]interface {}'");
    }
}

oll_status ollama_read_think(const struct oll_json *v, enum oll_think *out, struct oll_error *err)
{
    static const struct {
        const char *name;
        enum oll_think think;
    } levels[] = {{"low", OLL_THINK_LOW},
                  {"medium", OLL_THINK_MEDIUM},
                  {"high", OLL_THINK_HIGH},
                  {"max", OLL_THINK_MAX}};
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type == OLL_JSON_BOOL) {
        *out = v->is_true ? OLL_THINK_ON : OLL_THINK_OFF;
        return OLL_OK;
    }
    if (v->type != OLL_JSON_STRING)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "think must be a boolean or string (\"high\", \"medium\", \"low\", "
                        "\"max\", true, or false)");
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(v->str, levels[i].name) == 0) {
            *out = levels[i].think;
            return OLL_OK;
        }
    return OLL_FAIL(err, OLL_ERR_ARG,
                    "invalid think value: \"%s\" (must be \"high\", \"medium\", \"low\", \"max\", "
                    "true, or false)",
                    v->str);
}

/* A tree as compact text in the arena; NULL when it is too long or memory is short. */
static const char *to_text(struct oll_arena *arena, const struct oll_json *node, size_t max)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, max);
    oll_json_write_init(&w, &sb);
    w.keep_html = true;
    oll_json_write_node(&w, node, false);
    const char *text = sb.status == OLL_OK ? oll_arena_strndup(arena, sb.data, sb.len) : NULL;
    oll_strbuf_free(&sb);
    return text;
}

oll_status ollama_read_format(struct oll_arena *arena, const struct oll_json *v, const char **out,
                              struct oll_error *err)
{
    struct oll_strbuf quoted;
    struct oll_json_writer w;
    if (!v || v->type == OLL_JSON_NULL || (v->type == OLL_JSON_STRING && v->str_len == 0))
        return OLL_OK;
    const char *text = to_text(arena, v, OLLAMA_SCHEMA_BYTES_MAX);
    if (!text)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "format is longer than %d bytes",
                        OLLAMA_SCHEMA_BYTES_MAX);
    if (v->type == OLL_JSON_OBJECT || strcmp(text, "\"json\"") == 0) {
        *out = text;
        return OLL_OK;
    }
    oll_strbuf_init(&quoted, OLL_ERROR_TEXT_MAX);
    oll_json_write_init(&w, &quoted);
    w.keep_html = true;
    oll_json_write_str(&w, text);
    oll_error_set(err, OLL_ERR_FORMAT,
                  "invalid format: %s; expected \"json\" or a valid JSON Schema object",
                  quoted.status == OLL_OK ? quoted.data : "(a long text)");
    oll_strbuf_free(&quoted);
    return OLL_ERR_FORMAT;
}

/* ---- images ---- */

static bool is_base64(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' ||
           c == '/';
}

/* Offset of the first byte that standard base64 with padding does not allow there, the length when
 * the text is cut short, -1 when all is well. CR and LF are passed over. */
static long bad_base64(const char *s, size_t n)
{
    size_t digits = 0, padding = 0, i;
    for (i = 0; i < n; i++) {
        if (s[i] == '\r' || s[i] == '\n')
            continue;
        bool fits = padding ? s[i] == '=' && digits % 4 + padding < 4
                            : is_base64(s[i]) || (s[i] == '=' && digits % 4 >= 2);
        if (!fits)
            return (long)i;
        if (s[i] == '=')
            padding++;
        else
            digits++;
    }
    return (digits + padding) % 4 ? (long)n : -1;
}

oll_status ollama_check_images(const struct oll_json *images, const char *prefix, uint32_t *n,
                               struct oll_error *err)
{
    for (const struct oll_json *v = images ? images->first : NULL; v; v = v->next) {
        if (v->type != OLL_JSON_STRING)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "json: cannot unmarshal %s into Go struct field %simages of type "
                            "api.ImageData",
                            oll_json_type_name(v), prefix);
        long bad = bad_base64(v->str, v->str_len);
        if (bad >= 0)
            return OLL_FAIL(err, OLL_ERR_ARG, "illegal base64 data at input byte %ld", bad);
        ++*n;
    }
    return OLL_OK;
}

const char *ollama_place_images(struct oll_arena *arena, const char *content, uint32_t n,
                                uint32_t *next)
{
    static const char hole[] = "[img]";
    struct oll_strbuf front, text;
    if (n == 0)
        return content;
    oll_strbuf_init(&front, SIZE_MAX / 4);
    oll_strbuf_init(&text, SIZE_MAX / 4);
    for (; n > 0; n--, ++*next) {
        const char *at = strstr(content, hole);
        if (at) {
            oll_strbuf_add(&text, content, (size_t)(at - content));
            oll_strbuf_printf(&text, "[img-%u]", *next);
            content = at + sizeof hole - 1;
        } else {
            oll_strbuf_printf(&front, "[img-%u]", *next);
        }
    }
    oll_strbuf_adds(&text, content);
    const char *out = front.status == OLL_OK && text.status == OLL_OK
                          ? oll_arena_printf(arena, "%s%s", front.data, text.data)
                          : NULL;
    oll_strbuf_free(&front);
    oll_strbuf_free(&text);
    return out;
}

/* ---- messages ---- */

struct call_fields {
    const char *id;
    const struct oll_json *function;
};

struct function_fields {
    const char *name;
    const struct oll_json *arguments;
};

static const struct decode_field function_fields[] = {
    {"name", DECODE_STRING, offsetof(struct function_fields, name), NULL},
    {"arguments", DECODE_OBJECT, offsetof(struct function_fields, arguments), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

static oll_status read_call(struct oll_arena *arena, const struct oll_json *node,
                            const char *prefix, struct oll_tool_call *out, struct oll_error *err)
{
    static const struct decode_field fields[] = {
        {"id", DECODE_STRING, offsetof(struct call_fields, id), NULL},
        {"function", DECODE_OBJECT, offsetof(struct call_fields, function), "api.ToolCallFunction"},
        {NULL, DECODE_ANY, 0, NULL}};
    struct call_fields call = {.id = ""};
    char where[128];
    if (node->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "json: cannot unmarshal %s into Go struct field %stool_calls of type "
                        "api.ToolCall",
                        oll_json_type_name(node), prefix);
    snprintf(where, sizeof where, "%stool_calls.", prefix);
    OLL_TRY(decode_fields(node, fields, where, &call, err));
    struct function_fields function = {.name = ""};
    snprintf(where, sizeof where, "%stool_calls.function.", prefix);
    OLL_TRY(decode_fields(call.function, function_fields, where, &function, err));
    out->id = call.id;
    out->name = function.name;
    out->arguments_json =
        function.arguments ? to_text(arena, function.arguments, OLLAMA_SCHEMA_BYTES_MAX) : "{}";
    if (!out->arguments_json)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "arguments of a tool call longer than %d bytes",
                        OLLAMA_SCHEMA_BYTES_MAX);
    return OLL_OK;
}

struct message_fields {
    const char *role, *content, *thinking, *tool_name, *tool_call_id;
    const struct oll_json *images, *tool_calls;
};

static const struct decode_field message_fields[] = {
    {"role", DECODE_STRING, offsetof(struct message_fields, role), NULL},
    {"content", DECODE_STRING, offsetof(struct message_fields, content), NULL},
    {"thinking", DECODE_STRING, offsetof(struct message_fields, thinking), NULL},
    {"images", DECODE_ARRAY, offsetof(struct message_fields, images), "[]api.ImageData"},
    {"tool_calls", DECODE_ARRAY, offsetof(struct message_fields, tool_calls), "[]api.ToolCall"},
    {"tool_name", DECODE_STRING, offsetof(struct message_fields, tool_name), NULL},
    {"tool_call_id", DECODE_STRING, offsetof(struct message_fields, tool_call_id), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

/* Roles are compared in lower case. */
const char *ollama_lower(struct oll_arena *arena, const char *role)
{
    char *copy = oll_arena_strdup(arena, role);
    for (char *p = copy; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p |= 0x20;
    return copy;
}

static oll_status read_calls(struct oll_arena *arena, const struct oll_json *calls,
                             const char *prefix, struct oll_message *out, struct oll_error *err)
{
    if (!calls || calls->n == 0)
        return OLL_OK;
    struct oll_tool_call *list = oll_arena_alloc(arena, calls->n, sizeof *list);
    if (!list)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
    for (const struct oll_json *c = calls->first; c; c = c->next)
        OLL_TRY(read_call(arena, c, prefix, &list[out->n_tool_calls++], err));
    out->tool_calls = list;
    return OLL_OK;
}

static oll_status read_message(struct oll_arena *arena, const struct oll_json *node,
                               const char *prefix, struct ollama_messages *all,
                               struct oll_error *err)
{
    struct message_fields f = {.role = "", .content = ""};
    struct oll_message *m = &all->list[all->n];
    uint32_t n_images = 0;
    if (node->type != OLL_JSON_OBJECT && node->type != OLL_JSON_NULL)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "json: cannot unmarshal %s into Go struct field %.*s of type api.Message",
                        oll_json_type_name(node), (int)strlen(prefix) - 1, prefix);
    OLL_TRY(decode_fields(node->type == OLL_JSON_OBJECT ? node : NULL, message_fields, prefix, &f,
                          err));
    OLL_TRY(ollama_check_images(f.images, prefix, &n_images, err));
    *m = (struct oll_message){.role = ollama_lower(arena, f.role),
                              .thinking = f.thinking,
                              .tool_name = f.tool_name,
                              .tool_call_id = f.tool_call_id};
    m->content = ollama_place_images(arena, f.content, n_images, &all->n_images);
    OLL_TRY(read_calls(arena, f.tool_calls, prefix, m, err));
    if (!m->role || !m->content)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
    all->n++;
    return OLL_OK;
}

oll_status ollama_read_messages(struct oll_arena *arena, const struct oll_json *messages,
                                const char *prefix, struct ollama_messages *out,
                                struct oll_error *err)
{
    size_t n = messages ? messages->n : 0;
    if (n > OLLAMA_MESSAGES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%zu messages, at most %d are taken", n,
                        OLLAMA_MESSAGES_MAX);
    *out = (struct ollama_messages){.list = oll_arena_alloc(arena, n + 1, sizeof *out->list)};
    if (!out->list)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
    for (const struct oll_json *m = n ? messages->first : NULL; m; m = m->next)
        OLL_TRY(read_message(arena, m, prefix, out, err));
    return OLL_OK;
}

oll_status ollama_read_tokens(struct oll_arena *arena, const struct oll_json *list,
                              const int32_t **out, uint32_t *n, struct oll_error *err)
{
    if (!list || list->n == 0)
        return OLL_OK;
    int32_t *tokens = oll_arena_alloc(arena, list->n, sizeof *tokens);
    if (!tokens)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
    for (const struct oll_json *v = list->first; v; v = v->next) {
        if (v->type != OLL_JSON_NUMBER || !v->is_int || v->i < INT32_MIN || v->i > INT32_MAX)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "json: cannot unmarshal %s into Go struct field "
                            "GenerateRequest.context of type int",
                            oll_json_type_name(v));
        tokens[(*n)++] = (int32_t)v->i;
    }
    *out = tokens;
    return OLL_OK;
}

oll_status ollama_read_tools(struct oll_arena *arena, const struct oll_json *tools,
                             const char **out, struct oll_error *err)
{
    if (!tools || tools->n == 0)
        return OLL_OK;
    if (tools->n > OLLAMA_TOOLS_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%zu tools, at most %d are taken", tools->n,
                        OLLAMA_TOOLS_MAX);
    for (const struct oll_json *t = tools->first; t; t = t->next) {
        const struct oll_json *function = oll_json_get_fold(t, "function");
        const struct oll_json *name = oll_json_get_fold(function, "name");
        if (t->type != OLL_JSON_OBJECT)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "json: cannot unmarshal %s into Go struct field ChatRequest.tools of "
                            "type api.Tool",
                            oll_json_type_name(t));
        if (name && name->type != OLL_JSON_STRING)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "json: cannot unmarshal %s into Go struct field "
                            "ChatRequest.tools.function.name of type string",
                            oll_json_type_name(name));
    }
    *out = to_text(arena, tools, OLLAMA_SCHEMA_BYTES_MAX);
    if (!*out)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "tools are longer than %d bytes",
                        OLLAMA_SCHEMA_BYTES_MAX);
    return OLL_OK;
}
