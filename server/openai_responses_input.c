/* Items of a response's input as native messages. */
#include "server/openai_common.h"
#include "server/openai_responses.h"

#include <string.h>

enum { TEXT_BYTES_MAX = 64 * 1024 * 1024 };

static oll_status no_memory(struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
}

struct input {
    struct oll_arena *arena;
    struct ollama_messages *out;
    const char *thinking; /* of the reasoning item before; NULL: none */
    bool last_has_calls;  /* the last message is an assistant's that calls tools */
};

static oll_status put(struct input *in, struct oll_message m, struct oll_error *err)
{
    if (in->out->n >= OLLAMA_MESSAGES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d input items", OLLAMA_MESSAGES_MAX);
    in->out->list[in->out->n++] = m;
    return OLL_OK;
}

static bool ends_with_assistant(const struct input *in)
{
    return in->out->n > 0 && strcmp(in->out->list[in->out->n - 1].role, "assistant") == 0;
}

/* A text, or its parts one after the other; images become markers before it. */
static oll_status read_content(struct input *in, const struct oll_json *content, const char **out,
                               struct oll_error *err)
{
    struct oll_strbuf text;
    uint32_t n_images = 0;
    oll_status status = OLL_OK;
    oll_strbuf_init(&text, TEXT_BYTES_MAX);
    if (content && content->type == OLL_JSON_STRING)
        oll_strbuf_add(&text, content->str, content->str_len);
    for (const struct oll_json *p = content && content->type == OLL_JSON_ARRAY ? content->first
                                                                               : NULL;
         p && status == OLL_OK; p = p->next) {
        const char *type = oll_json_get_str(p, "type", "");
        const char *url = oll_json_get_str(p, "image_url", "");
        if (strcmp(type, "input_text") == 0 || strcmp(type, "output_text") == 0) {
            oll_strbuf_adds(&text, oll_json_get_str(p, "text", ""));
        } else if (strcmp(type, "input_file") == 0) {
            status = OLL_FAIL(err, OLL_ERR_ARG, "file inputs are not currently supported");
        } else if (strcmp(type, "input_image") == 0 && *url) {
            status = openai_check_image(url, err);
            n_images++;
        }
    }
    const char *kept =
        text.status == OLL_OK ? oll_arena_strndup(in->arena, text.data, text.len) : NULL;
    oll_strbuf_free(&text);
    if (status != OLL_OK)
        return status;
    *out = kept ? ollama_place_images(in->arena, kept, n_images, &in->out->n_images) : NULL;
    return *out ? OLL_OK : no_memory(err);
}

static oll_status read_message(struct input *in, const struct oll_json *item, struct oll_error *err)
{
    struct oll_message m = {.role = ollama_lower(in->arena, oll_json_get_str(item, "role", ""))};
    if (!m.role)
        return no_memory(err);
    OLL_TRY(read_content(in, oll_json_get(item, "content"), &m.content, err));
    const bool assistant = strcmp(m.role, "assistant") == 0;
    if (assistant && in->last_has_calls) {
        /* What stands between a call and its result belongs to the call. */
        struct oll_message *call = &in->out->list[in->out->n - 1];
        call->content = oll_arena_printf(in->arena, "%s%s", call->content, m.content);
        return call->content ? OLL_OK : no_memory(err);
    }
    if (assistant) {
        m.thinking = in->thinking;
        in->thinking = NULL;
    }
    in->last_has_calls = false;
    return put(in, m, err);
}

static oll_status read_function_call(struct input *in, const struct oll_json *item,
                                     struct oll_error *err)
{
    const struct oll_tool_call call = {.id = oll_json_get_str(item, "call_id", ""),
                                       .name = oll_json_get_str(item, "name", ""),
                                       .arguments_json = oll_json_get_str(item, "arguments", "")};
    OLL_TRY(openai_check_arguments(in->arena, call.arguments_json, err));
    if (!ends_with_assistant(in))
        OLL_TRY(put(in, (struct oll_message){.role = "assistant", .content = ""}, err));
    struct oll_message *m = &in->out->list[in->out->n - 1];
    struct oll_tool_call *calls =
        oll_arena_alloc(in->arena, (size_t)m->n_tool_calls + 1, sizeof *calls);
    if (!calls)
        return no_memory(err);
    if (m->n_tool_calls)
        memcpy(calls, m->tool_calls, m->n_tool_calls * sizeof *calls);
    calls[m->n_tool_calls++] = call;
    m->tool_calls = calls;
    if (in->thinking)
        m->thinking = in->thinking;
    in->thinking = NULL;
    in->last_has_calls = true;
    return OLL_OK;
}

static oll_status read_output(struct input *in, const struct oll_json *item, struct oll_error *err)
{
    struct oll_message m = {.role = "tool",
                            .tool_call_id = oll_json_get_str(item, "call_id", NULL)};
    OLL_TRY(read_content(in, oll_json_get(item, "output"), &m.content, err));
    in->last_has_calls = false;
    return put(in, m, err);
}

static oll_status read_item(struct input *in, const struct oll_json *item, uint32_t i,
                            struct oll_error *err)
{
    const char *role = oll_json_get_str(item, "role", "");
    const char *type = oll_json_get_str(item, "type", *role ? "message" : "");
    if (!*type)
        return OLL_FAIL(err, OLL_ERR_ARG, "input[%u]: input item missing required 'type' field", i);
    if (strcmp(type, "message") == 0)
        return read_message(in, item, err);
    if (strcmp(type, "function_call") == 0)
        return read_function_call(in, item, err);
    if (strcmp(type, "function_call_output") == 0)
        return read_output(in, item, err);
    if (strcmp(type, "reasoning") == 0) {
        in->thinking = oll_json_get_str(item, "encrypted_content", NULL);
        return OLL_OK;
    }
    if (strcmp(type, "web_search_call") == 0)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_ARG, "input[%u]: unknown input item type: \"%s\"", i, type);
}

oll_status responses_read_input(struct oll_arena *arena, const struct responses_fields *f,
                                struct ollama_messages *out, struct oll_error *err)
{
    const struct oll_json *v = f->input;
    struct input in = {.arena = arena, .out = out};
    uint32_t i = 0;
    *out = (struct ollama_messages){
        .list = oll_arena_alloc(arena, OLLAMA_MESSAGES_MAX + 2, sizeof *out->list)};
    if (!out->list)
        return no_memory(err);
    if (*f->instructions)
        OLL_TRY(put(&in, (struct oll_message){.role = "system", .content = f->instructions}, err));
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type == OLL_JSON_STRING)
        return v->str_len == 0
                   ? OLL_OK
                   : put(&in, (struct oll_message){.role = "user", .content = v->str}, err);
    if (v->type != OLL_JSON_ARRAY)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "input must be a string or array: json: cannot unmarshal %s into Go value "
                        "of type []json.RawMessage",
                        oll_json_type_name(v));
    for (const struct oll_json *item = v->first; item; item = item->next)
        OLL_TRY(read_item(&in, item, i++, err));
    if (in.thinking)
        OLL_TRY(put(
            &in, (struct oll_message){.role = "assistant", .content = "", .thinking = in.thinking},
            err));
    return OLL_OK;
}
