/* POST /v1/messages (rest-api 7). */
#include "server/anthropic.h"

#include "server/decode.h"
#include "server/ollama_reply.h"
#include "server/openai_common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024, ERROR_JSON_MAX = 16 * OLL_ERROR_TEXT_MAX };

struct message_fields {
    const char *model;
    int64_t max_tokens;
    const struct oll_json *system, *messages, *tools, *thinking, *output_config;
    const struct oll_json *temperature, *top_p, *top_k, *stop_sequences;
    bool stream;
};

#define AT(member) offsetof(struct message_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, AT(model), NULL},
    {"max_tokens", DECODE_INT, AT(max_tokens), NULL},
    {"system", DECODE_ANY, AT(system), NULL},
    {"messages", DECODE_ARRAY, AT(messages), "[]anthropic.MessageParam"},
    {"tools", DECODE_ARRAY, AT(tools), "[]anthropic.Tool"},
    {"thinking", DECODE_OBJECT, AT(thinking), "anthropic.ThinkingConfig"},
    {"output_config", DECODE_OBJECT, AT(output_config), "anthropic.OutputConfig"},
    {"temperature", DECODE_ANY, AT(temperature), NULL},
    {"top_p", DECODE_ANY, AT(top_p), NULL},
    {"top_k", DECODE_ANY, AT(top_k), NULL},
    {"stop_sequences", DECODE_ARRAY, AT(stop_sequences), "[]string"},
    {"stream", DECODE_BOOL, AT(stream), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

/* "PREFIX" and 24 hex digits. */
static void make_id(char out[32], const char *prefix)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t a = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    a = (a ^ a >> 31) * 0x9e3779b97f4a7c15u;
    uint64_t b = (a ^ a >> 29) * 0xbf58476d1ce4e5b9u;
    snprintf(out, 32, "%s%016llx%08llx", prefix, (unsigned long long)a,
             (unsigned long long)(b >> 32));
}

/* ---- errors ---- */

static const char *error_type(int status)
{
    switch (status) {
    case 400: return "invalid_request_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 503:
    case 529: return "overloaded_error";
    default: return "api_error";
    }
}

static void write_error(struct oll_strbuf *sb, int status, const char *text, bool with_id)
{
    struct oll_json_writer w;
    char id[32];
    oll_json_write_init(&w, sb);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, "error");
    oll_json_write_key(&w, "error");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, error_type(status));
    oll_json_write_key(&w, "message");
    oll_json_write_str(&w, text);
    oll_json_write_object_end(&w);
    if (with_id) {
        make_id(id, "req_");
        oll_json_write_key(&w, "request_id");
        oll_json_write_str(&w, id);
    }
    oll_json_write_object_end(&w);
}

static void send_error(struct http_request *req, int status, const char *text,
                       enum openai_origin origin)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, ERROR_JSON_MAX);
    write_error(&sb, status, text, true);
    if (origin == OPENAI_NATIVE)
        oll_strbuf_addc(&sb, '\n');
    if (status == 503)
        http_reply_header(req, "Retry-After", "1");
    http_reply_send(req, status,
                    origin == OPENAI_NATIVE ? "application/json"
                                            : "application/json; charset=utf-8",
                    sb.data, sb.len);
    oll_strbuf_free(&sb);
}

static void fail(struct ollama_call *call, int status, const char *text, bool stream)
{
    struct oll_strbuf sb;
    if (status == 403) { /* a model of the cloud: refused before the mapping, in the native shape */
        ollama_error(call->req, status, text);
        return;
    }
    if (!stream || !http_reply_begun(call->req)) {
        send_error(call->req, status, text, OPENAI_NATIVE);
        return;
    }
    oll_strbuf_init(&sb, ERROR_JSON_MAX);
    oll_strbuf_adds(&sb, "event: error\ndata: ");
    write_error(&sb, status, text, false);
    oll_strbuf_adds(&sb, "\n\n");
    (void)http_reply_write(call->req, sb.data, sb.len);
    oll_strbuf_free(&sb);
}

/* ---- the reply ---- */

const char *anthropic_stop_reason(const struct oll_event *done, bool called)
{
    return called ? "tool_use" : done->done_reason == OLL_DONE_LENGTH ? "max_tokens" : "end_turn";
}

static void write_tool_use(struct ollama_call *call, struct oll_json_writer *w,
                           const struct oll_event *event, uint32_t index)
{
    (void)call;
    (void)index;
    const char *input = event->text && *event->text ? event->text : "{}";
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, "tool_use");
    oll_json_write_key(w, "id");
    oll_json_write_str(w, event->tool_id ? event->tool_id : "");
    oll_json_write_key(w, "name");
    oll_json_write_str(w, event->tool_name ? event->tool_name : "");
    oll_json_write_key(w, "input");
    oll_json_write_raw(w, input, strlen(input));
    oll_json_write_object_end(w);
}

static void write_text_block(struct oll_json_writer *w, const char *type,
                             const struct oll_strbuf *text)
{
    if (text->len == 0)
        return;
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, type);
    oll_json_write_key(w, type);
    oll_json_write_strn(w, text->data, text->len);
    oll_json_write_object_end(w);
}

static void write_content(struct oll_json_writer *w, const struct ollama_parts *p)
{
    oll_json_write_key(w, "content");
    if (p->thinking.len == 0 && p->text.len == 0 && p->calls.len == 0) {
        oll_json_write_null(w);
        return;
    }
    oll_json_write_array_begin(w);
    write_text_block(w, "thinking", &p->thinking);
    write_text_block(w, "text", &p->text);
    if (p->calls.len > 0)
        oll_json_write_raw(w, p->calls.data, p->calls.len);
    oll_json_write_array_end(w);
}

static void send_whole(struct ollama_call *call, const struct oll_event *done)
{
    const struct anthropic_call *c = (const struct anthropic_call *)(const void *)call;
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "id");
    oll_json_write_str(&w, c->id);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, "message");
    oll_json_write_key(&w, "role");
    oll_json_write_str(&w, "assistant");
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, c->fields.model);
    write_content(&w, &call->parts);
    oll_json_write_key(&w, "stop_reason");
    oll_json_write_str(&w, anthropic_stop_reason(done, call->parts.n_calls > 0));
    oll_json_write_key(&w, "usage");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "input_tokens");
    oll_json_write_uint(&w, done->n_prompt);
    oll_json_write_key(&w, "output_tokens");
    oll_json_write_uint(&w, done->n_reply);
    oll_json_write_object_end(&w);
    oll_json_write_object_end(&w);
    oll_strbuf_addc(&json, '\n');
    if (json.status != OLL_OK)
        send_error(call->req, 500, "the reply is larger than the server allows", OPENAI_NATIVE);
    else
        http_reply_send(call->req, 200, "application/json", json.data, json.len);
    oll_strbuf_free(&json);
}

/* All messages of a request can turn out to be empty. */
static void send_loaded(struct ollama_call *call, const char *reason)
{
    (void)reason;
    const struct oll_event done = {.kind = OLL_EVENT_DONE};
    if (call->fields->stream)
        (void)anthropic_piece(call, &done);
    else
        send_whole(call, &done);
}

static const struct call_dialect dialect = {
    .fail = fail,
    .piece = anthropic_piece,
    .whole = send_whole,
    .loaded = send_loaded,
    .tool_call = write_tool_use,
};

/* ---- request ---- */

static oll_status read_options(struct http_request *req, const struct message_fields *f,
                               const struct oll_json **out, struct oll_error *err)
{
    const struct oll_json limit = {
        .type = OLL_JSON_NUMBER, .is_int = true, .i = f->max_tokens, .real = (double)f->max_tokens};
#define FIELD(name) "MessagesRequest." name
    const struct {
        const char *name;
        const struct oll_json *v;
        const char *field, *go_type;
    } numbers[] = {
        {"num_predict", &limit, FIELD("max_tokens"), "int"},
        {"temperature", f->temperature, FIELD("temperature"), "float64"},
        {"top_p", f->top_p, FIELD("top_p"), "float64"},
        {"top_k", f->top_k, FIELD("top_k"), "int"},
    };
#undef FIELD
    struct openai_options options;
    oll_status status = OLL_OK;
    openai_options_begin(&options);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == OLL_OK; i++)
        status = openai_options_number(&options, numbers[i].name, numbers[i].v, NAN,
                                       numbers[i].field, numbers[i].go_type, err);
    if (status == OLL_OK)
        status = openai_options_stop(&options, f->stop_sequences, false, err);
    oll_status ended = openai_options_end(&options, req->arena, out, err);
    return status != OLL_OK ? status : ended;
}

/* Bytes of an object as the client wrote it, which the estimate counts. */
static uint64_t written_bytes(const struct http_request *req, const struct oll_json *object)
{
    size_t depth = 0, i = object->offset;
    bool in_string = false;
    for (; i < req->n_body; i++) {
        const char c = req->body[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1 - object->offset;
        }
    }
    return 0;
}

/* Tools as the native API has them. */
static oll_status read_tools(const struct http_request *req, const struct oll_json *tools,
                             const char **out, uint64_t *bytes, struct oll_error *err)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    struct oll_json *native = NULL;
    oll_status status = OLL_OK;
    if (!tools || tools->n == 0)
        return OLL_OK;
    oll_strbuf_init(&sb, OLLAMA_SCHEMA_BYTES_MAX);
    oll_json_write_init(&w, &sb);
    w.keep_html = true;
    oll_json_write_array_begin(&w);
    for (const struct oll_json *t = tools->first; t && status == OLL_OK; t = t->next) {
        const struct oll_json *schema = oll_json_get(t, "input_schema");
        const char *name = oll_json_get_str(t, "name", "");
        const char *description = oll_json_get_str(t, "description", "");
        if (schema && schema->type != OLL_JSON_OBJECT && schema->type != OLL_JSON_NULL)
            status =
                OLL_FAIL(err, OLL_ERR_ARG,
                         "invalid input_schema for tool \"%s\": json: cannot unmarshal %s into "
                         "Go value of type api.ToolFunctionParameters",
                         name, oll_json_type_name(schema));
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "type");
        oll_json_write_str(&w, "function");
        oll_json_write_key(&w, "function");
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "name");
        oll_json_write_str(&w, name);
        oll_json_write_key(&w, "description");
        oll_json_write_str(&w, description);
        *bytes += strlen(name) + strlen(description);
        if (schema && schema->type == OLL_JSON_OBJECT) {
            oll_json_write_key(&w, "parameters");
            oll_json_write_node(&w, schema, false);
            *bytes += written_bytes(req, schema);
        }
        oll_json_write_object_end(&w);
        oll_json_write_object_end(&w);
    }
    oll_json_write_array_end(&w);
    if (status == OLL_OK && sb.status != OLL_OK)
        status =
            OLL_FAIL(err, OLL_ERR_LIMIT, "tools are longer than %d bytes", OLLAMA_SCHEMA_BYTES_MAX);
    if (status == OLL_OK)
        status = oll_json_parse(req->arena, sb.data, sb.len, NULL, &native, err);
    oll_strbuf_free(&sb);
    return status == OLL_OK ? ollama_read_tools(req->arena, native, out, err) : status;
}

/* thinking.type, and where that does not decide the effort. */
static const struct oll_json *read_think(const struct message_fields *f)
{
    static const struct oll_json on = {.type = OLL_JSON_BOOL, .is_true = true},
                                 off = {.type = OLL_JSON_BOOL};
    const char *type = oll_json_get_str(f->thinking, "type", "");
    const char *effort = oll_json_get_str(f->output_config, "effort", "");
    const struct oll_json *think = NULL;
    if (strcmp(type, "enabled") == 0)
        return &on;
    if (strcmp(type, "disabled") == 0)
        return &off;
    const struct oll_json level = {.type = OLL_JSON_STRING,
                                   .str = strcmp(effort, "xhigh") == 0 ? "high" : effort,
                                   .str_len = strlen(effort)};
    static const char *const levels[] = {"low", "medium", "high", "max"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(level.str, levels[i]) == 0 && openai_read_effort(&level, &think, NULL) == OLL_OK)
            return think;
    return NULL;
}

static oll_status map(struct anthropic_call *c, struct http_request *req,
                      const struct message_fields *f, struct ollama_messages *messages,
                      const char **tools, struct oll_error *err)
{
    uint64_t bytes = 0;
    if (!*f->model)
        return OLL_FAIL(err, OLL_ERR_ARG, "model is required");
    if (f->max_tokens <= 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "max_tokens is required and must be positive");
    if (!f->messages || f->messages->n == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "messages is required");
    OLL_TRY(anthropic_read_messages(req->arena, f->system, f->messages, messages, &bytes, err));
    OLL_TRY(read_tools(req, f->tools, tools, &bytes, err));
    OLL_TRY(read_options(req, f, &c->fields.options, err));
    c->fields.model = f->model;
    c->fields.stream = f->stream;
    c->fields.think = read_think(f);
    c->fields.think_if_able = true;
    c->estimate = bytes / 4 > 0 ? bytes / 4 : 1;
    make_id(c->id, "msg_");
    return OLL_OK;
}

void anthropic_messages(struct http_request *req)
{
    struct anthropic_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    struct message_fields fields = {.model = ""};
    struct ollama_messages messages = {0};
    const struct oll_json *root;
    const char *tools = NULL;
    struct oll_error err = {0};
    if (!c) {
        send_error(req, 500, "out of memory", OPENAI_MAPPING);
        return;
    }
    c->fields = (struct ollama_fields)OLLAMA_FIELDS_DEFAULT;
    oll_status status = openai_decode_body(req, "MessagesRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "MessagesRequest.", &fields, &err);
    if (status == OLL_OK)
        status = map(c, req, &fields, &messages, &tools, &err);
    c->fields.priority = ollama_priority(root, status);
    if (status != OLL_OK) {
        send_error(req, 400, err.text, OPENAI_MAPPING);
        return;
    }
    if (fields.stream) {
        http_reply_header(req, "Cache-Control", "no-cache");
        http_reply_header(req, "Connection", "keep-alive");
    }
    if (ollama_chat_begin(&c->chat, req, &dialect, &c->fields, &messages, tools))
        ollama_chat_answer(&c->chat);
    ollama_call_end(&c->chat.call);
}
