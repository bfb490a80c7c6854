#include "engine/chat/conversation.h"

#include <string.h>

static oll_status wrong_type(struct oll_error *err, const char *what, const char *wanted,
                             const struct oll_json *got)
{
    return OLL_FAIL(err, OLL_ERR_ARG, "%s must be %s, not %s", what, wanted,
                    oll_json_type_name(got));
}

/* A string member, "" when absent or null. */
static oll_status read_str(const struct oll_json *object, const char *key, const char **out,
                           struct oll_error *err)
{
    const struct oll_json *v = oll_json_get(object, key);
    *out = "";
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type != OLL_JSON_STRING)
        return wrong_type(err, key, "a string", v);
    *out = v->str;
    return OLL_OK;
}

static const struct oll_json *empty_object(void)
{
    static const struct oll_json empty = {.type = OLL_JSON_OBJECT};
    return &empty;
}

static oll_status read_call(const struct oll_json *json, struct chat_call *call,
                            struct oll_error *err)
{
    if (json->type != OLL_JSON_OBJECT)
        return wrong_type(err, "tool_calls[]", "an object", json);
    OLL_TRY(read_str(json, "id", &call->id, err));
    const struct oll_json *function = oll_json_get(json, "function");
    if (!function || function->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG, "tool_calls[].function must be an object");
    OLL_TRY(read_str(function, "name", &call->name, err));
    const struct oll_json *index = oll_json_get(function, "index");
    call->index = index && index->type == OLL_JSON_NUMBER && index->is_int ? index->i : 0;
    call->arguments = oll_json_get(function, "arguments");
    if (!call->arguments || call->arguments->type == OLL_JSON_NULL)
        call->arguments = empty_object();
    if (call->arguments->type != OLL_JSON_OBJECT)
        return wrong_type(err, "arguments", "an object", call->arguments);
    return OLL_OK;
}

static oll_status read_calls(struct oll_arena *arena, const struct oll_json *list,
                             struct chat_message *m, struct oll_error *err)
{
    if (!list || list->type == OLL_JSON_NULL)
        return OLL_OK;
    if (list->type != OLL_JSON_ARRAY)
        return wrong_type(err, "tool_calls", "an array", list);
    struct chat_call *calls = oll_arena_alloc(arena, list->n ? list->n : 1, sizeof *calls);
    if (!calls)
        return OLL_FAIL(err, arena->status, "no memory for %zu tool calls", list->n);
    m->calls = calls;
    for (const struct oll_json *c = list->first; c; c = c->next) {
        OLL_TRY(read_call(c, &calls[m->n_calls], err));
        m->n_calls++;
    }
    return OLL_OK;
}

static oll_status read_message(struct oll_arena *arena, const struct oll_json *json,
                               struct chat_message *m, struct oll_error *err)
{
    if (json->type != OLL_JSON_OBJECT)
        return wrong_type(err, "messages[]", "an object", json);
    OLL_TRY(read_str(json, "role", &m->role, err));
    OLL_TRY(read_str(json, "content", &m->content, err));
    OLL_TRY(read_str(json, "thinking", &m->thinking, err));
    OLL_TRY(read_str(json, "tool_name", &m->tool_name, err));
    OLL_TRY(read_str(json, "tool_call_id", &m->tool_call_id, err));
    const struct oll_json *images = oll_json_get(json, "images");
    if (images && images->type == OLL_JSON_ARRAY)
        m->n_images = (uint32_t)images->n;
    return read_calls(arena, oll_json_get(json, "tool_calls"), m, err);
}

static oll_status read_think(const struct oll_json *v, enum oll_think *out, struct oll_error *err)
{
    static const struct {
        const char *name;
        enum oll_think level;
    } levels[] = {{"low", OLL_THINK_LOW},
                  {"medium", OLL_THINK_MEDIUM},
                  {"high", OLL_THINK_HIGH},
                  {"max", OLL_THINK_MAX}};
    *out = OLL_THINK_UNSET;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type == OLL_JSON_BOOL) {
        *out = v->is_true ? OLL_THINK_ON : OLL_THINK_OFF;
        return OLL_OK;
    }
    for (size_t i = 0; v->type == OLL_JSON_STRING && i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(v->str, levels[i].name)) {
            *out = levels[i].level;
            return OLL_OK;
        }
    return OLL_FAIL(err, OLL_ERR_ARG,
                    "think must be true, false, \"low\", \"medium\", \"high\" or \"max\"");
}

static oll_status read_tools(const struct oll_json *tools, struct chat_conversation *out,
                             struct oll_error *err)
{
    if (!tools || tools->type == OLL_JSON_NULL)
        return OLL_OK;
    if (tools->type != OLL_JSON_ARRAY)
        return wrong_type(err, "tools", "an array", tools);
    out->tools = tools->n ? tools : NULL;
    return OLL_OK;
}

oll_status chat_conversation_from_json(struct oll_arena *arena, const struct oll_json *object,
                                       struct chat_conversation *out, struct oll_error *err)
{
    *out = (struct chat_conversation){0};
    OLL_TRY(read_think(oll_json_get(object, "think"), &out->think, err));
    OLL_TRY(read_tools(oll_json_get(object, "tools"), out, err));
    const struct oll_json *list = oll_json_get(object, "messages");
    if (!list || list->type == OLL_JSON_NULL)
        return OLL_OK;
    if (list->type != OLL_JSON_ARRAY)
        return wrong_type(err, "messages", "an array", list);
    struct chat_message *messages = oll_arena_alloc(arena, list->n ? list->n : 1, sizeof *messages);
    if (!messages)
        return OLL_FAIL(err, arena->status, "no memory for %zu messages", list->n);
    out->messages = messages;
    for (const struct oll_json *m = list->first; m; m = m->next)
        OLL_TRY(read_message(arena, m, &messages[out->n_messages++], err));
    return OLL_OK;
}

/* ---- from a request ---- */

static const char *or_empty(const char *s) { return s ? s : ""; }

static oll_status parse_arguments(struct oll_arena *arena, const char *text,
                                  const struct oll_json **out, struct oll_error *err)
{
    struct oll_json *root = NULL;
    *out = empty_object();
    if (!text || !text[0])
        return OLL_OK;
    OLL_TRY(oll_json_parse(arena, text, strlen(text), NULL, &root, err));
    if (root->type != OLL_JSON_OBJECT)
        return wrong_type(err, "arguments", "an object", root);
    *out = root;
    return OLL_OK;
}

static oll_status copy_calls(struct oll_arena *arena, const struct oll_message *from,
                             struct chat_message *to, struct oll_error *err)
{
    if (from->n_tool_calls == 0)
        return OLL_OK;
    struct chat_call *calls = oll_arena_alloc(arena, from->n_tool_calls, sizeof *calls);
    if (!calls)
        return OLL_FAIL(err, arena->status, "no memory for %u tool calls", from->n_tool_calls);
    for (uint32_t i = 0; i < from->n_tool_calls; i++) {
        const struct oll_tool_call *c = &from->tool_calls[i];
        calls[i] = (struct chat_call){.id = or_empty(c->id), .name = or_empty(c->name), .index = i};
        OLL_TRY(parse_arguments(arena, c->arguments_json, &calls[i].arguments, err));
    }
    to->calls = calls;
    to->n_calls = from->n_tool_calls;
    return OLL_OK;
}

oll_status chat_conversation_from_request(struct oll_arena *arena,
                                          const struct oll_request *request,
                                          struct chat_conversation *out, struct oll_error *err)
{
    *out = (struct chat_conversation){.think = request->think};
    if (request->tools_json) {
        struct oll_json *tools = NULL;
        OLL_TRY(oll_json_parse(arena, request->tools_json, strlen(request->tools_json), NULL,
                               &tools, err));
        OLL_TRY(read_tools(tools, out, err));
    }
    const uint32_t n = request->n_messages;
    struct chat_message *messages = oll_arena_alloc(arena, n ? n : 1, sizeof *messages);
    if (!messages)
        return OLL_FAIL(err, arena->status, "no memory for %u messages", n);
    for (uint32_t i = 0; i < n; i++) {
        const struct oll_message *m = &request->messages[i];
        messages[i] = (struct chat_message){.role = or_empty(m->role),
                                            .content = or_empty(m->content),
                                            .thinking = or_empty(m->thinking),
                                            .tool_name = or_empty(m->tool_name),
                                            .tool_call_id = or_empty(m->tool_call_id)};
        OLL_TRY(copy_calls(arena, m, &messages[i], err));
    }
    out->messages = messages;
    out->n_messages = n;
    return OLL_OK;
}
