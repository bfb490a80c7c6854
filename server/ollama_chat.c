/* POST /api/chat (rest-api 2.2). */
#include "server/ollama_chat.h"
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_reply.h"

#include <string.h>

struct chat_fields {
    struct ollama_fields common;
    const struct oll_json *messages, *tools;
};

static const struct decode_field members[] = {
    OLLAMA_COMMON_FIELDS,
    {"messages", DECODE_ARRAY, offsetof(struct chat_fields, messages), "[]api.Message"},
    {"tools", DECODE_ARRAY, offsetof(struct chat_fields, tools), "api.Tools"},
    {NULL, DECODE_ANY, 0, NULL}};

bool ollama_chat_begin(struct ollama_chat_call *c, struct http_request *req,
                       const struct call_dialect *dialect, const struct ollama_fields *fields,
                       const struct ollama_messages *messages, const char *tools_json)
{
    c->messages = *messages;
    c->tools_json = tools_json;
    bool ok = ollama_call_begin(&c->call, req, dialect, fields);
    c->call.n_images = messages->n_images;
    return ok;
}

/* The model's history and system message go before the request's messages. */
static bool fill(struct ollama_chat_call *c, struct oll_request *ask)
{
    const struct oll_stored_model *stored = &c->call.model->stored;
    struct oll_arena *arena = c->call.req->arena;
    struct ollama_messages history;
    struct oll_error err = {0};
    if (c->messages.n_images && !c->call.fields->debug)
        return ollama_call_refuse(&c->call, 400, "\"%s\" does not support images",
                                  c->call.fields->model);
    if (ollama_read_messages(arena, stored->messages, "messages.", &history, &err) != OLL_OK)
        return ollama_call_refuse(&c->call, 500, "%s", err.text);
    struct oll_message *list =
        oll_arena_alloc(arena, (size_t)history.n + c->messages.n + 1, sizeof *list);
    if (!list)
        return ollama_call_refuse(&c->call, 500, "out of memory");
    uint32_t n = 0;
    if (stored->system && strcmp(c->messages.list[0].role, "system") != 0)
        list[n++] = (struct oll_message){.role = "system", .content = stored->system};
    memcpy(list + n, history.list, history.n * sizeof *list);
    n += history.n;
    memcpy(list + n, c->messages.list, c->messages.n * sizeof *list);
    n += c->messages.n;
    ask->kind = OLL_REQUEST_CHAT;
    ask->messages = list;
    ask->n_messages = n;
    ask->tools_json = c->tools_json;
    return true;
}

void ollama_chat_answer(struct ollama_chat_call *c)
{
    struct ollama_call *call = &c->call;
    struct oll_request ask = {0};
    bool empty = c->messages.n == 0;
    if (!*call->fields->model) {
        ollama_call_refuse(call, 400, "model is required");
        return;
    }
    if (!ollama_call_find(call))
        return;
    if (ollama_call_unloads(call, empty)) {
        call->dialect->loaded(call, "unload");
        return;
    }
    if (!ollama_call_check(call, "chat"))
        return;
    if (c->tools_json && !(call->model->capabilities & CAPABILITY_TOOLS)) {
        ollama_call_refuse(call, 400, "%s does not support tools", call->model->full_name);
        return;
    }
    if (!ollama_call_load(call))
        return;
    if (empty)
        call->dialect->loaded(call, "load");
    else if (fill(c, &ask) && ollama_call_fill(call, &ask))
        ollama_call_run(call, &ask, false);
}

/* ---- the native dialect ---- */

static void write_message(struct oll_json_writer *w, const char *role, const struct ollama_parts *p)
{
    oll_json_write_key(w, "message");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "role");
    oll_json_write_str(w, role);
    oll_json_write_key(w, "content");
    oll_json_write_strn(w, p ? p->text.data : "", p ? p->text.len : 0);
    if (p && p->thinking.len > 0) {
        oll_json_write_key(w, "thinking");
        oll_json_write_strn(w, p->thinking.data, p->thinking.len);
    }
    if (p)
        ollama_write_list(w, "tool_calls", &p->calls);
    oll_json_write_object_end(w);
}

static void write_object(struct ollama_call *call, struct oll_json_writer *w,
                         const struct oll_event *done)
{
    bool debug = call->fields->debug;
    oll_json_write_object_begin(w);
    ollama_write_model(call, w);
    write_message(w, debug ? "" : "assistant", debug ? NULL : &call->parts);
    ollama_write_done(w, done);
    if (debug)
        ollama_write_debug(call, w);
    ollama_write_list(w, "logprobs", &call->parts.logprobs);
    if (done)
        ollama_write_metrics(w, &call->generation, done);
    oll_json_write_object_end(w);
}

static void native_loaded(struct ollama_call *call, const char *reason)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, 64 * 1024);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    ollama_write_model(call, &w);
    write_message(&w, "assistant", NULL);
    oll_json_write_key(&w, "done");
    oll_json_write_bool(&w, true);
    oll_json_write_key(&w, "done_reason");
    oll_json_write_str(&w, reason);
    oll_json_write_object_end(&w);
    ollama_send(call->req, &json);
    oll_strbuf_free(&json);
}

static bool native_piece(struct ollama_call *call, const struct oll_event *event)
{
    return ollama_native_piece(call, event, write_object, false);
}

static void native_whole(struct ollama_call *call, const struct oll_event *done)
{
    ollama_native_whole(call, done, write_object);
}

static void native_tool_call(struct ollama_call *call, struct oll_json_writer *w,
                             const struct oll_event *event, uint32_t index)
{
    (void)call;
    ollama_write_tool_call(w, event, index, true);
}

static const struct call_dialect native = {
    .fail = ollama_native_fail,
    .piece = native_piece,
    .whole = native_whole,
    .loaded = native_loaded,
    .tool_call = native_tool_call,
};

/* A call, and the fields to which it points. */
struct native_chat {
    struct ollama_chat_call chat;
    struct chat_fields fields;
};

static bool decode(struct native_chat *c, struct http_request *req)
{
    const struct oll_json *root;
    struct oll_error err = {0};
    struct ollama_messages messages = {0};
    const char *tools = NULL;
    c->fields = (struct chat_fields){.common = OLLAMA_FIELDS_DEFAULT};
    oll_status status = decode_body(req, "ChatRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "ChatRequest.", &c->fields, &err);
    if (status == OLL_OK)
        status = ollama_read_messages(req->arena, c->fields.messages, "ChatRequest.messages.",
                                      &messages, &err);
    if (status == OLL_OK)
        status = ollama_read_tools(req->arena, c->fields.tools, &tools, &err);
    if (status != OLL_OK) {
        ollama_error(req, 400, err.text);
        return false;
    }
    return ollama_chat_begin(&c->chat, req, &native, &c->fields.common, &messages, tools);
}

void ollama_chat(struct http_request *req)
{
    struct native_chat *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    if (!c) {
        ollama_error(req, 500, "out of memory");
        return;
    }
    if (decode(c, req))
        ollama_chat_answer(&c->chat);
    ollama_call_end(&c->chat.call);
}
