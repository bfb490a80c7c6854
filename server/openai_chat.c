/* POST /v1/chat/completions (rest-api 6.2). */
#include "server/decode.h"
#include "server/ollama_chat.h"
#include "server/ollama_reply.h"
#include "server/openai.h"
#include "server/openai_common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024 };

struct chat_fields {
    const char *model, *grammar;
    const struct oll_json *messages, *tools, *stream_options, *reasoning, *reasoning_effort;
    const struct oll_json *response_format, *stop, *max_tokens, *max_completion_tokens;
    const struct oll_json *temperature, *top_p, *seed, *frequency_penalty, *presence_penalty;
    const struct oll_json *tool_choice, *parallel_tool_calls, *n, *logit_bias;
    int64_t top_logprobs;
    bool stream, logprobs, debug;
};

#define AT(member) offsetof(struct chat_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, AT(model), NULL},
    {"messages", DECODE_ARRAY, AT(messages), "[]openai.Message"},
    {"tools", DECODE_ARRAY, AT(tools), "[]api.Tool"},
    {"tool_choice", DECODE_ANY, AT(tool_choice), NULL},
    {"parallel_tool_calls", DECODE_ANY, AT(parallel_tool_calls), NULL},
    {"n", DECODE_ANY, AT(n), NULL},
    {"logit_bias", DECODE_ANY, AT(logit_bias), NULL},
    {"stream", DECODE_BOOL, AT(stream), NULL},
    {"stream_options", DECODE_OBJECT, AT(stream_options), "openai.StreamOptions"},
    {"reasoning", DECODE_OBJECT, AT(reasoning), "openai.Reasoning"},
    {"reasoning_effort", DECODE_ANY, AT(reasoning_effort), NULL},
    {"response_format", DECODE_OBJECT, AT(response_format), "openai.ResponseFormat"},
    {"grammar", DECODE_STRING, AT(grammar), NULL},
    {"stop", DECODE_ANY, AT(stop), NULL},
    {"max_tokens", DECODE_ANY, AT(max_tokens), NULL},
    {"max_completion_tokens", DECODE_ANY, AT(max_completion_tokens), NULL},
    {"temperature", DECODE_ANY, AT(temperature), NULL},
    {"top_p", DECODE_ANY, AT(top_p), NULL},
    {"seed", DECODE_ANY, AT(seed), NULL},
    {"frequency_penalty", DECODE_ANY, AT(frequency_penalty), NULL},
    {"presence_penalty", DECODE_ANY, AT(presence_penalty), NULL},
    {"logprobs", DECODE_BOOL, AT(logprobs), NULL},
    {"top_logprobs", DECODE_INT, AT(top_logprobs), NULL},
    {"_debug_render_only", DECODE_BOOL, AT(debug), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

struct openai_chat_call {
    struct ollama_chat_call chat; /* first */
    struct ollama_fields fields;
    bool include_usage;
    bool begun, sent_call;     /* of the stream: the first chunk of a reply, a tool call */
    struct oll_strbuf choices; /* elements of the array, as JSON */
    struct oll_json_writer choices_writer;
    uint32_t n_reply; /* tokens of all replies */
    int64_t created;
    char id[32];
};

static struct openai_chat_call *of_call(struct ollama_call *call)
{
    return (struct openai_chat_call *)(void *)call;
}

/* ---- replies ---- */

static void write_tool_call(struct ollama_call *call, struct oll_json_writer *w,
                            const struct oll_event *event, uint32_t index)
{
    (void)call;
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "id");
    oll_json_write_str(w, event->tool_id ? event->tool_id : "");
    oll_json_write_key(w, "index");
    oll_json_write_uint(w, index);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, "function");
    oll_json_write_key(w, "function");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "name");
    oll_json_write_str(w, event->tool_name ? event->tool_name : "");
    oll_json_write_key(w, "arguments");
    oll_json_write_str(w, event->text && *event->text ? event->text : "{}");
    oll_json_write_object_end(w);
    oll_json_write_object_end(w);
}

static const char *finish_reason(const struct oll_event *done, bool has_calls)
{
    return done->done_reason == OLL_DONE_LENGTH ? "length" : has_calls ? "tool_calls" : "stop";
}

static void write_head(const struct openai_chat_call *c, struct oll_json_writer *w,
                       const char *object)
{
    oll_json_write_key(w, "id");
    oll_json_write_str(w, c->id);
    oll_json_write_key(w, "object");
    oll_json_write_str(w, object);
    oll_json_write_key(w, "created");
    oll_json_write_int(w, c->created);
    oll_json_write_key(w, "model");
    oll_json_write_str(w, c->fields.model);
    oll_json_write_key(w, "system_fingerprint");
    oll_json_write_str(w, "fp_ollama");
    oll_json_write_key(w, "choices");
    oll_json_write_array_begin(w);
}

static void write_logprobs(struct oll_json_writer *w, const struct oll_strbuf *logprobs)
{
    if (logprobs->len == 0)
        return;
    oll_json_write_key(w, "logprobs");
    oll_json_write_object_begin(w);
    ollama_write_list(w, "content", logprobs);
    oll_json_write_object_end(w);
}

/* `done` is NULL for a rendered prompt. */
static void write_choice(const struct openai_chat_call *c, struct oll_json_writer *w,
                         const struct oll_event *done)
{
    const struct ollama_parts *p = &c->chat.call.parts;
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "index");
    oll_json_write_uint(w, c->chat.call.i_choice);
    oll_json_write_key(w, "message");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "role");
    oll_json_write_str(w, done ? "assistant" : "");
    oll_json_write_key(w, "content");
    oll_json_write_strn(w, p->text.data, done ? p->text.len : 0);
    if (p->thinking.len > 0) {
        oll_json_write_key(w, "reasoning");
        oll_json_write_strn(w, p->thinking.data, p->thinking.len);
    }
    ollama_write_list(w, "tool_calls", &p->calls);
    oll_json_write_object_end(w);
    oll_json_write_key(w, "finish_reason");
    if (done)
        oll_json_write_str(w, finish_reason(done, p->n_calls > 0));
    else
        oll_json_write_null(w);
    write_logprobs(w, &p->logprobs);
    oll_json_write_object_end(w);
}

/* Usage of all replies: the prompt counts once. */
static void write_usage(struct openai_chat_call *c, struct oll_json_writer *w,
                        const struct oll_event *done)
{
    struct oll_event all = done ? *done : (struct oll_event){0};
    all.n_reply = c->n_reply;
    openai_write_usage(w, done ? &all : NULL);
}

static void send_whole(struct ollama_call *call, const struct oll_event *event)
{
    struct openai_chat_call *c = of_call(call);
    const struct oll_event *done = call->fields->debug ? NULL : event;
    struct oll_strbuf json;
    struct oll_json_writer w;
    write_choice(c, &c->choices_writer, done);
    c->n_reply += event->n_reply;
    if (done && !ollama_call_is_last(call))
        return;
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    write_head(c, &w, "chat.completion");
    oll_json_write_raw(&w, c->choices.data, c->choices.len);
    oll_json_write_array_end(&w);
    write_usage(c, &w, done);
    if (!done)
        ollama_write_debug(call, &w);
    oll_json_write_object_end(&w);
    if (c->choices.status != OLL_OK)
        json.status = c->choices.status;
    openai_send(call->req, &json);
    oll_strbuf_free(&json);
}

/* ---- stream ---- */

static void chunk_begin(struct openai_chat_call *c, struct oll_strbuf *sb,
                        struct oll_json_writer *w)
{
    oll_strbuf_adds(sb, "data: ");
    oll_json_write_init(w, sb);
    oll_json_write_object_begin(w);
    write_head(c, w, "chat.completion.chunk");
}

/* A choice with what was collected. */
static void write_delta(struct openai_chat_call *c, struct oll_strbuf *sb)
{
    const struct ollama_parts *p = &c->chat.call.parts;
    struct oll_json_writer w;
    chunk_begin(c, sb, &w);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "index");
    oll_json_write_uint(&w, c->chat.call.i_choice);
    oll_json_write_key(&w, "delta");
    oll_json_write_object_begin(&w);
    if (!c->begun) {
        oll_json_write_key(&w, "role");
        oll_json_write_str(&w, "assistant");
    }
    oll_json_write_key(&w, "content");
    oll_json_write_strn(&w, p->text.data, p->text.len);
    if (p->thinking.len > 0) {
        oll_json_write_key(&w, "reasoning");
        oll_json_write_strn(&w, p->thinking.data, p->thinking.len);
    }
    ollama_write_list(&w, "tool_calls", &p->calls);
    oll_json_write_object_end(&w);
    oll_json_write_key(&w, "finish_reason");
    oll_json_write_null(&w);
    write_logprobs(&w, &p->logprobs);
    oll_json_write_object_end(&w);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    oll_strbuf_adds(sb, "\n\n");
    c->begun = true;
    c->sent_call = c->sent_call || p->calls.len > 0;
}

/* The finish chunk of a reply; behind the last one the usage and the end mark. */
static void write_end(struct openai_chat_call *c, struct oll_strbuf *sb,
                      const struct oll_event *done)
{
    struct oll_json_writer w;
    chunk_begin(c, sb, &w);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "index");
    oll_json_write_uint(&w, c->chat.call.i_choice);
    oll_json_write_key(&w, "delta");
    oll_json_write_object_begin(&w);
    oll_json_write_object_end(&w);
    oll_json_write_key(&w, "finish_reason");
    oll_json_write_str(&w, finish_reason(done, c->sent_call));
    oll_json_write_object_end(&w);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    oll_strbuf_adds(sb, "\n\n");
    c->n_reply += done->n_reply;
    c->begun = c->sent_call = false;
    if (!ollama_call_is_last(&c->chat.call))
        return;
    if (c->include_usage) {
        chunk_begin(c, sb, &w);
        oll_json_write_array_end(&w);
        write_usage(c, &w, done);
        oll_json_write_object_end(&w);
        oll_strbuf_adds(sb, "\n\n");
    }
    oll_strbuf_adds(sb, "data: [DONE]\n\n");
}

static bool send_piece(struct ollama_call *call, const struct oll_event *event)
{
    struct openai_chat_call *c = of_call(call);
    const struct ollama_parts *p = &call->parts;
    const bool done = event->kind == OLL_EVENT_DONE;
    const bool empty =
        p->text.len == 0 && p->thinking.len == 0 && p->calls.len == 0 && p->logprobs.len == 0;
    struct oll_strbuf sb;
    if (empty && !done)
        return true;
    oll_strbuf_init(&sb, REPLY_BYTES_MAX);
    if (!empty || !c->begun)
        write_delta(c, &sb);
    if (done)
        write_end(c, &sb, event);
    if (!http_reply_begun(call->req))
        http_reply_begin(call->req, 200, "text/event-stream");
    bool ok = sb.status == OLL_OK && http_reply_write(call->req, sb.data, sb.len);
    oll_strbuf_free(&sb);
    return ok;
}

/* Never asked for: messages are required. */
static void send_loaded(struct ollama_call *call, const char *reason)
{
    (void)reason;
    openai_fail(call, 400, "[] is too short - 'messages'", false);
}

static const struct call_dialect dialect = {
    .fail = openai_fail,
    .piece = send_piece,
    .whole = send_whole,
    .loaded = send_loaded,
    .tool_call = write_tool_call,
};

/* ---- request ---- */

static oll_status read_options(struct http_request *req, const struct chat_fields *f,
                               const struct oll_json **out, struct oll_error *err)
{
    const struct oll_json *limit = f->max_tokens && f->max_tokens->type != OLL_JSON_NULL
                                       ? f->max_tokens
                                       : f->max_completion_tokens;
#define FIELD(name) "ChatCompletionRequest." name
    const struct {
        const char *name;
        const struct oll_json *v;
        double fallback;
        const char *field, *go_type;
    } numbers[] = {
        {"num_predict", limit, NAN, FIELD("max_tokens"), "int"},
        {"temperature", f->temperature, 1, FIELD("temperature"), "float64"},
        {"top_p", f->top_p, 1, FIELD("top_p"), "float64"},
        {"seed", f->seed, NAN, FIELD("seed"), "int"},
        {"frequency_penalty", f->frequency_penalty, NAN, FIELD("frequency_penalty"), "float64"},
        {"presence_penalty", f->presence_penalty, NAN, FIELD("presence_penalty"), "float64"},
    };
#undef FIELD
    struct openai_options options;
    oll_status status = OLL_OK;
    openai_options_begin(&options);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == OLL_OK; i++)
        status = openai_options_number(&options, numbers[i].name, numbers[i].v, numbers[i].fallback,
                                       numbers[i].field, numbers[i].go_type, err);
    if (status == OLL_OK)
        status = openai_options_stop(&options, f->stop, false, err);
    oll_status ended = openai_options_end(&options, req->arena, out, err);
    return status != OLL_OK ? status : ended;
}

/* "none", "auto", "required", or {"type": "function", "function": {"name": ...}}. */
static oll_status read_tool_choice(const struct oll_json *v, struct ollama_fields *fields,
                                   bool *no_tools, struct oll_error *err)
{
    static const char *const words[] = {"auto", "none", "required"};
    *no_tools = false;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    for (size_t i = 0; v->type == OLL_JSON_STRING && i < 3; i++)
        if (strcmp(v->str, words[i]) == 0) {
            *no_tools = i == 1;
            fields->force_call = i == 2;
            return OLL_OK;
        }
    const char *type = oll_json_get_str(v, "type", "");
    const char *name = oll_json_get_str(oll_json_get(v, "function"), "name", "");
    if (strcmp(type, "function") != 0 || !*name)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "tool_choice must be \"auto\", \"none\", \"required\" or "
                        "{\"type\": \"function\", \"function\": {\"name\": ...}}");
    fields->force_call = true;
    fields->forced_tool = name;
    return OLL_OK;
}

static oll_status read_parallel(const struct oll_json *v, bool *one_call, struct oll_error *err)
{
    *one_call = false;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type != OLL_JSON_BOOL)
        return OLL_FAIL(err, OLL_ERR_ARG, "parallel_tool_calls must be true or false");
    *one_call = !v->is_true;
    return OLL_OK;
}

/* Fills the native fields. */
static oll_status map(struct openai_chat_call *c, struct http_request *req,
                      const struct chat_fields *f, struct ollama_messages *messages,
                      const char **tools, struct oll_error *err)
{
    const struct oll_json *effort = oll_json_get(f->reasoning, "effort");
    const struct oll_json *usage = oll_json_get(f->stream_options, "include_usage");
    if (!f->messages || f->messages->n == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "[] is too short - 'messages'");
    OLL_TRY(openai_read_messages(req->arena, f->messages, messages, err));
    OLL_TRY(read_options(req, f, &c->fields.options, err));
    OLL_TRY(openai_read_effort(effort ? effort : f->reasoning_effort, &c->fields.think, err));
    bool no_tools;
    OLL_TRY(read_tool_choice(f->tool_choice, &c->fields, &no_tools, err));
    if (!no_tools)
        OLL_TRY(ollama_read_tools(req->arena, f->tools, tools, err));
    OLL_TRY(read_parallel(f->parallel_tool_calls, &c->fields.one_call, err));
    OLL_TRY(openai_read_count(f->n, "n", &c->fields.n_choices, err));
    OLL_TRY(openai_read_bias(req->arena, f->logit_bias, &c->fields.logit_bias,
                             &c->fields.n_logit_bias, err));
    c->fields.model = f->model;
    c->fields.stream = f->stream;
    c->fields.logprobs = f->logprobs;
    c->fields.top_logprobs = f->top_logprobs;
    c->fields.debug = f->debug;
    c->fields.format = openai_format(f->response_format);
    c->fields.grammar = f->grammar;
    c->include_usage = usage && usage->type == OLL_JSON_BOOL && usage->is_true;
    c->created = openai_now();
    snprintf(c->id, sizeof c->id, "chatcmpl-%u", openai_random());
    return OLL_OK;
}

/* Fields that ask for what no local model here can do, or that tools have replaced: a reply that
 * passed over them would not be what was asked for. */
static oll_status check_impossible(const struct oll_json *root, struct oll_error *err)
{
    static const struct {
        const char *name, *why;
    } fields[] = {{"audio", "replies are text alone"},
                  {"web_search_options", "this server does not search the web"},
                  {"functions", "give \"tools\" instead"},
                  {"function_call", "give \"tool_choice\" instead"}};
    const struct oll_json *modes = root ? oll_json_get(root, "modalities") : NULL;
    for (size_t i = 0; root && i < sizeof fields / sizeof *fields; i++) {
        const struct oll_json *v = oll_json_get(root, fields[i].name);
        if (v && v->type != OLL_JSON_NULL)
            return OLL_FAIL(err, OLL_ERR_ARG, "%s is not supported: %s", fields[i].name,
                            fields[i].why);
    }
    if (!modes || modes->type != OLL_JSON_ARRAY)
        return OLL_OK;
    for (const struct oll_json *m = modes->first; m; m = m->next)
        if (m->type != OLL_JSON_STRING || strcmp(m->str, "text") != 0)
            return OLL_FAIL(err, OLL_ERR_ARG, "modalities can only be [\"text\"]: %s",
                            fields[0].why);
    return OLL_OK;
}

void openai_chat(struct http_request *req)
{
    struct openai_chat_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    struct chat_fields fields = {.model = ""};
    struct ollama_messages messages = {0};
    const struct oll_json *root;
    const char *tools = NULL;
    struct oll_error err = {0};
    if (!c) {
        openai_error(req, 500, "out of memory", OPENAI_MAPPING);
        return;
    }
    c->fields = (struct ollama_fields)OLLAMA_FIELDS_DEFAULT;
    oll_status status = openai_decode_body(req, "ChatCompletionRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "ChatCompletionRequest.", &fields, &err);
    if (status == OLL_OK)
        status = check_impossible(root, &err);
    if (status == OLL_OK)
        status = map(c, req, &fields, &messages, &tools, &err);
    c->fields.priority = ollama_priority(root, status);
    if (status != OLL_OK) {
        openai_error(req, 400, err.text, OPENAI_MAPPING);
        return;
    }
    oll_strbuf_init(&c->choices, REPLY_BYTES_MAX);
    oll_json_write_init(&c->choices_writer, &c->choices);
    if (ollama_chat_begin(&c->chat, req, &dialect, &c->fields, &messages, tools))
        ollama_chat_answer(&c->chat);
    oll_strbuf_free(&c->choices);
    ollama_call_end(&c->chat.call);
}
