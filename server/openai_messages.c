/* Messages of OpenAI's chat as native ones (rest-api 6.2): each part of a list of parts becomes a
 * message of its own, arguments of tool calls are text. */
#include "server/openai_common.h"

#include <string.h>

static oll_status no_memory(struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
}

static const char *go_type(const struct oll_json *v)
{
    switch (v ? v->type : OLL_JSON_NULL) {
    case OLL_JSON_NUMBER: return "float64";
    case OLL_JSON_BOOL: return "bool";
    case OLL_JSON_OBJECT: return "map[string]interface {}";
    default: return "<nil>";
    }
}

oll_status openai_check_image(const char *url, struct oll_error *err)
{
    static const char *const prefixes[] = {"data:image/jpeg;base64,", "data:image/jpg;base64,",
                                           "data:image/png;base64,", "data:image/webp;base64,",
                                           "data:;base64,"};
    uint32_t n = 0;
    if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "image URLs are not currently supported, please use base64 encoded data "
                        "instead");
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t skip = strlen(prefixes[i]);
        if (strncmp(url, prefixes[i], skip) != 0)
            continue;
        struct oll_json data = {
            .type = OLL_JSON_STRING, .str = url + skip, .str_len = strlen(url + skip)};
        const struct oll_json list = {.type = OLL_JSON_ARRAY, .first = &data, .n = 1};
        if (ollama_check_images(&list, "", &n, NULL) == OLL_OK)
            return OLL_OK;
    }
    return OLL_FAIL(err, OLL_ERR_ARG, "invalid image input");
}

oll_status openai_check_arguments(struct oll_arena *arena, const char *text, struct oll_error *err)
{
    struct oll_json *root = NULL;
    if (oll_json_parse(arena, text, strlen(text), NULL, &root, NULL) != OLL_OK ||
        root->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid tool call arguments");
    return OLL_OK;
}

static oll_status read_calls(struct oll_arena *arena, const struct oll_json *calls,
                             struct oll_message *m, struct oll_error *err)
{
    if (!calls || calls->type != OLL_JSON_ARRAY || calls->n == 0)
        return OLL_OK;
    struct oll_tool_call *list = oll_arena_alloc(arena, calls->n, sizeof *list);
    if (!list)
        return no_memory(err);
    for (const struct oll_json *c = calls->first; c; c = c->next) {
        const struct oll_json *function = oll_json_get(c, "function");
        struct oll_tool_call *call = &list[m->n_tool_calls++];
        call->id = oll_json_get_str(c, "id", "");
        call->name = oll_json_get_str(function, "name", "");
        call->arguments_json = oll_json_get_str(function, "arguments", "");
        OLL_TRY(openai_check_arguments(arena, call->arguments_json, err));
    }
    m->tool_calls = list;
    return OLL_OK;
}

/* Name of the tool that a result belongs to: of all calls with this id, the last. */
static const char *name_of_call(const struct oll_json *messages, const char *id)
{
    const char *name = NULL;
    for (const struct oll_json *m = messages->first; m; m = m->next) {
        const struct oll_json *calls = oll_json_get(m, "tool_calls");
        for (const struct oll_json *c = calls && calls->type == OLL_JSON_ARRAY ? calls->first
                                                                               : NULL;
             c; c = c->next)
            if (strcmp(oll_json_get_str(c, "id", ""), id) == 0)
                name = oll_json_get_str(oll_json_get(c, "function"), "name", NULL);
    }
    return name;
}

static oll_status read_part(struct oll_arena *arena, const struct oll_json *part,
                            struct ollama_messages *out, struct oll_message *m,
                            struct oll_error *err)
{
    const char *type = oll_json_get_str(part, "type", "");
    if (strcmp(type, "text") == 0 && oll_json_get_str(part, "text", NULL)) {
        m->content = oll_json_get_str(part, "text", "");
        return OLL_OK;
    }
    if (strcmp(type, "image_url") == 0) {
        const struct oll_json *url = oll_json_get(part, "image_url");
        const char *text =
            url && url->type == OLL_JSON_STRING ? url->str : oll_json_get_str(url, "url", NULL);
        if (!text)
            return OLL_FAIL(err, OLL_ERR_ARG, "invalid message format");
        OLL_TRY(openai_check_image(text, err));
    } else if (strcmp(type, "input_audio") != 0 ||
               !oll_json_get_str(oll_json_get(part, "input_audio"), "data", NULL)) {
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid message format");
    }
    m->content = ollama_place_images(arena, "", 1, &out->n_images);
    return m->content ? OLL_OK : no_memory(err);
}

static oll_status read_message(struct oll_arena *arena, const struct oll_json *all,
                               const struct oll_json *node, struct ollama_messages *out,
                               struct oll_error *err)
{
    const struct oll_json *content = oll_json_get(node, "content");
    const struct oll_json *calls = oll_json_get(node, "tool_calls");
    const bool has_calls = calls && calls->type == OLL_JSON_ARRAY && calls->n > 0;
    const char *role = ollama_lower(arena, oll_json_get_str(node, "role", ""));
    struct oll_message base = {
        .role = role, .content = "", .thinking = oll_json_get_str(node, "reasoning", NULL)};
    if (!role)
        return no_memory(err);
    if (node->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "json: cannot unmarshal %s into Go struct field "
                        "ChatCompletionRequest.messages of type openai.Message",
                        oll_json_type_name(node));
    if (strcmp(role, "tool") == 0) {
        base.tool_call_id = oll_json_get_str(node, "tool_call_id", NULL);
        base.tool_name = oll_json_get_str(node, "name", NULL);
        if (!base.tool_name && base.tool_call_id)
            base.tool_name = name_of_call(all, base.tool_call_id);
    }
    if (content && content->type == OLL_JSON_ARRAY) {
        for (const struct oll_json *p = content->first; p; p = p->next) {
            struct oll_message *m = &out->list[out->n++];
            *m = base;
            OLL_TRY(read_part(arena, p, out, m, err));
        }
        if (has_calls && content->n == 0)
            out->list[out->n++] = base;
        return has_calls ? read_calls(arena, calls, &out->list[out->n - 1], err) : OLL_OK;
    }
    if (content && content->type == OLL_JSON_STRING)
        base.content = content->str;
    else if (!has_calls || (content && content->type != OLL_JSON_NULL))
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid message content type: %s", go_type(content));
    struct oll_message *m = &out->list[out->n++];
    *m = base;
    return read_calls(arena, calls, m, err);
}

oll_status openai_read_messages(struct oll_arena *arena, const struct oll_json *messages,
                                struct ollama_messages *out, struct oll_error *err)
{
    size_t n = 1;
    for (const struct oll_json *m = messages->first; m; m = m->next) {
        const struct oll_json *content = oll_json_get(m, "content");
        n += content && content->type == OLL_JSON_ARRAY ? content->n + 1 : 1;
    }
    if (n > OLLAMA_MESSAGES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%zu messages and parts, at most %d are taken", n - 1,
                        OLLAMA_MESSAGES_MAX);
    *out = (struct ollama_messages){.list = oll_arena_alloc(arena, n, sizeof *out->list)};
    if (!out->list)
        return no_memory(err);
    for (const struct oll_json *m = messages->first; m; m = m->next)
        OLL_TRY(read_message(arena, messages, m, out, err));
    return OLL_OK;
}
