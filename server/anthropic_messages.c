/* Content blocks as native messages (rest-api 7.2). */
#include "server/anthropic.h"

#include <string.h>

enum { TEXT_BYTES_MAX = 64 * 1024 * 1024 };

static oll_status no_memory(struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
}

/* What one message of the request becomes. */
struct reader {
    struct oll_arena *arena;
    struct ollama_messages *out;
    uint64_t *bytes;
    const char *role;
    struct oll_strbuf text;
    const char *thinking;
    struct oll_tool_call *calls;
    uint32_t n_calls, n_images;
};

static const char *keep(struct reader *r, const struct oll_strbuf *sb)
{
    return sb->status == OLL_OK ? oll_arena_strndup(r->arena, sb->data, sb->len) : NULL;
}

/* The JSON of a block, which the estimate counts and calls need. */
static const char *json_text(struct reader *r, const struct oll_json *node)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, TEXT_BYTES_MAX);
    oll_json_write_init(&w, &sb);
    w.keep_html = true;
    oll_json_write_node(&w, node, false);
    const char *text = keep(r, &sb);
    oll_strbuf_free(&sb);
    return text;
}

static oll_status read_image(struct reader *r, const struct oll_json *block, struct oll_error *err)
{
    const struct oll_json *source = oll_json_get(block, "source");
    const char *type = oll_json_get_str(source, "type", "");
    const struct oll_json *data = oll_json_get(source, "data");
    struct oll_error why = {0};
    if (!source || source->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid image source");
    if (strcmp(type, "base64") != 0)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "invalid image source type: %s. Only base64 images are supported.", type);
    struct oll_json one = data && data->type == OLL_JSON_STRING
                              ? *data
                              : (struct oll_json){.type = OLL_JSON_STRING, .str = ""};
    one.next = NULL;
    const struct oll_json list = {.type = OLL_JSON_ARRAY, .first = &one, .n = 1};
    if (ollama_check_images(&list, "", &r->n_images, &why) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid base64 image data: %s", why.text);
    return OLL_OK;
}

static oll_status read_tool_use(struct reader *r, const struct oll_json *block,
                                struct oll_error *err)
{
    const struct oll_json *input = oll_json_get(block, "input");
    const char *id = oll_json_get_str(block, "id", ""), *name = oll_json_get_str(block, "name", "");
    if (!*id)
        return OLL_FAIL(err, OLL_ERR_ARG, "tool_use block missing required 'id' field");
    if (!*name)
        return OLL_FAIL(err, OLL_ERR_ARG, "tool_use block missing required 'name' field");
    const char *arguments = input && input->type == OLL_JSON_OBJECT ? json_text(r, input) : "{}";
    if (!arguments)
        return no_memory(err);
    r->calls[r->n_calls++] =
        (struct oll_tool_call){.id = id, .name = name, .arguments_json = arguments};
    return OLL_OK;
}

static oll_status put(struct reader *r, struct oll_message m, const char *content,
                      struct oll_error *err)
{
    if (r->out->n >= OLLAMA_MESSAGES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d messages and results of tools",
                        OLLAMA_MESSAGES_MAX);
    m.content = content;
    if (!content)
        return no_memory(err);
    r->out->list[r->out->n++] = m;
    return OLL_OK;
}

/* A result becomes a message of its own. */
static oll_status read_tool_result(struct reader *r, const struct oll_json *block,
                                   struct oll_error *err)
{
    const struct oll_json *content = oll_json_get(block, "content");
    const struct oll_message m = {.role = "tool",
                                  .tool_call_id = oll_json_get_str(block, "tool_use_id", NULL)};
    struct oll_strbuf text;
    uint32_t before = r->n_images;
    oll_status status = OLL_OK;
    oll_strbuf_init(&text, TEXT_BYTES_MAX);
    if (content && content->type == OLL_JSON_STRING)
        oll_strbuf_add(&text, content->str, content->str_len);
    for (const struct oll_json *b = content && content->type == OLL_JSON_ARRAY ? content->first
                                                                               : NULL;
         b && status == OLL_OK; b = b->next) {
        const char *type = oll_json_get_str(b, "type", "");
        if (strcmp(type, "text") == 0)
            oll_strbuf_adds(&text, oll_json_get_str(b, "text", ""));
        else if (strcmp(type, "image") == 0)
            status = read_image(r, b, err);
    }
    uint32_t n_images = r->n_images - before;
    r->n_images = before;
    const char *kept = keep(r, &text);
    oll_strbuf_free(&text);
    if (status == OLL_OK)
        status = put(r, m,
                     kept ? ollama_place_images(r->arena, kept, n_images, &r->out->n_images) : NULL,
                     err);
    return status;
}

static oll_status read_block(struct reader *r, const struct oll_json *block, struct oll_error *err)
{
    const char *type = oll_json_get_str(block, "type", "");
    if (strcmp(type, "text") == 0) {
        oll_strbuf_adds(&r->text, oll_json_get_str(block, "text", ""));
    } else if (strcmp(type, "thinking") == 0) {
        r->thinking = oll_json_get_str(block, "thinking", NULL);
        *r->bytes += r->thinking ? strlen(r->thinking) : 0;
    } else if (strcmp(type, "image") == 0) {
        return read_image(r, block, err);
    } else if (strcmp(type, "tool_use") == 0 || strcmp(type, "tool_result") == 0) {
        const char *text = json_text(r, block);
        *r->bytes += text ? strlen(text) : 0;
        if (strcmp(type, "tool_use") == 0)
            return read_tool_use(r, block, err);
    }
    return OLL_OK;
}

/* What is not a result of a tool: one message, unless it is empty. */
static oll_status put_rest(struct reader *r, struct oll_error *err)
{
    const char *text = keep(r, &r->text);
    if (text && !*text && r->n_images == 0 && r->n_calls == 0 && !r->thinking)
        return OLL_OK;
    *r->bytes += r->text.len;
    const struct oll_message m = {.role = r->role,
                                  .thinking = r->thinking,
                                  .tool_calls = r->calls,
                                  .n_tool_calls = r->n_calls};
    return put(r, m,
               text ? ollama_place_images(r->arena, text, r->n_images, &r->out->n_images) : NULL,
               err);
}

static oll_status put_results(struct reader *r, const struct oll_json *content,
                              struct oll_error *err)
{
    for (const struct oll_json *b = content->first; b; b = b->next)
        if (strcmp(oll_json_get_str(b, "type", ""), "tool_result") == 0)
            OLL_TRY(read_tool_result(r, b, err));
    return OLL_OK;
}

static oll_status read_content(struct reader *r, const struct oll_json *content,
                               struct oll_error *err)
{
    if (content->type == OLL_JSON_STRING) {
        oll_strbuf_add(&r->text, content->str, content->str_len);
        return put_rest(r, err);
    }
    if (content->type != OLL_JSON_ARRAY)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "json: cannot unmarshal %s into Go struct field MessagesRequest.messages "
                        "of type []anthropic.ContentBlock",
                        oll_json_type_name(content));
    r->calls = oll_arena_alloc(r->arena, content->n + 1, sizeof *r->calls);
    if (!r->calls)
        return no_memory(err);
    const bool user = strcmp(r->role, "user") == 0;
    for (const struct oll_json *b = content->first; b; b = b->next)
        OLL_TRY(read_block(r, b, err));
    if (user)
        OLL_TRY(put_results(r, content, err));
    OLL_TRY(put_rest(r, err));
    return user ? OLL_OK : put_results(r, content, err);
}

static oll_status read_message(struct oll_arena *arena, const struct oll_json *node,
                               struct ollama_messages *out, uint64_t *bytes, struct oll_error *err)
{
    static const struct oll_json nothing = {.type = OLL_JSON_STRING, .str = ""};
    const struct oll_json *content = oll_json_get(node, "content");
    struct reader r = {.arena = arena, .out = out, .bytes = bytes};
    r.role = ollama_lower(arena, oll_json_get_str(node, "role", ""));
    if (!r.role)
        return no_memory(err);
    *bytes += strlen(r.role);
    oll_strbuf_init(&r.text, TEXT_BYTES_MAX);
    oll_status status =
        read_content(&r, content && content->type != OLL_JSON_NULL ? content : &nothing, err);
    oll_strbuf_free(&r.text);
    return status;
}

/* A text, or text blocks one after the other. */
static oll_status put_system(struct oll_arena *arena, const struct oll_json *system,
                             struct ollama_messages *out, uint64_t *bytes, struct oll_error *err)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, TEXT_BYTES_MAX);
    if (system->type == OLL_JSON_STRING)
        oll_strbuf_add(&text, system->str, system->str_len);
    for (const struct oll_json *b = system->type == OLL_JSON_ARRAY ? system->first : NULL; b;
         b = b->next)
        if (strcmp(oll_json_get_str(b, "type", ""), "text") == 0)
            oll_strbuf_adds(&text, oll_json_get_str(b, "text", ""));
    const char *kept = text.status == OLL_OK ? oll_arena_strndup(arena, text.data, text.len) : NULL;
    *bytes += text.len;
    oll_strbuf_free(&text);
    if (!kept)
        return no_memory(err);
    if (*kept)
        out->list[out->n++] = (struct oll_message){.role = "system", .content = kept};
    return OLL_OK;
}

oll_status anthropic_read_messages(struct oll_arena *arena, const struct oll_json *system,
                                   const struct oll_json *messages, struct ollama_messages *out,
                                   uint64_t *bytes, struct oll_error *err)
{
    *out = (struct ollama_messages){
        .list = oll_arena_alloc(arena, OLLAMA_MESSAGES_MAX + 1, sizeof *out->list)};
    if (!out->list)
        return no_memory(err);
    if (system)
        OLL_TRY(put_system(arena, system, out, bytes, err));
    for (const struct oll_json *m = messages->first; m; m = m->next)
        OLL_TRY(read_message(arena, m, out, bytes, err));
    return OLL_OK;
}
