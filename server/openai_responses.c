#include "server/openai_responses.h"

#include "server/decode.h"
#include "server/openai_common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { REPLY_BYTES_MAX = 256 * 1024 * 1024 };

#define AT(member) offsetof(struct responses_fields, member)
static const struct decode_field members[] = {
    {"model", DECODE_STRING, AT(model), NULL},
    {"input", DECODE_ANY, AT(input), NULL},
    {"instructions", DECODE_STRING, AT(instructions), NULL},
    {"stream", DECODE_BOOL, AT(stream), NULL},
    {"temperature", DECODE_ANY, AT(temperature), NULL},
    {"top_p", DECODE_ANY, AT(top_p), NULL},
    {"max_output_tokens", DECODE_ANY, AT(max_output_tokens), NULL},
    {"reasoning", DECODE_OBJECT, AT(reasoning), "openai.ResponsesReasoning"},
    {"text", DECODE_OBJECT, AT(text), "openai.ResponsesText"},
    {"tools", DECODE_ARRAY, AT(tools), "[]openai.ResponsesTool"},
    {"truncation", DECODE_STRING, AT(truncation), NULL},
    {"background", DECODE_BOOL, AT(background), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

static struct responses_call *of_call(struct ollama_call *call)
{
    return (struct responses_call *)(void *)call;
}

/* ---- items ---- */

static void write_id(struct oll_json_writer *w, const char *prefix, unsigned id)
{
    char text[48];
    snprintf(text, sizeof text, "%s_%u", prefix, id);
    oll_json_write_key(w, "id");
    oll_json_write_str(w, text);
}

static void write_pair(struct oll_json_writer *w, const char *key, const char *s)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, s);
}

static void write_text(struct oll_json_writer *w, const char *key, const struct oll_strbuf *text)
{
    oll_json_write_key(w, key);
    oll_json_write_strn(w, text->data, text->len);
}

static void write_empty_list(struct oll_json_writer *w, const char *key)
{
    oll_json_write_key(w, key);
    oll_json_write_array_begin(w);
    oll_json_write_array_end(w);
}

void responses_write_reasoning(const struct responses_call *c, struct oll_json_writer *w,
                               const struct oll_strbuf *text)
{
    oll_json_write_object_begin(w);
    write_id(w, c->fields.stream ? "rs" : "rs_resp", c->id);
    write_pair(w, "type", "reasoning");
    oll_json_write_key(w, "summary");
    oll_json_write_array_begin(w);
    oll_json_write_object_begin(w);
    write_pair(w, "type", "summary_text");
    write_text(w, "text", text);
    oll_json_write_object_end(w);
    oll_json_write_array_end(w);
    write_text(w, "encrypted_content", text);
    oll_json_write_object_end(w);
}

void responses_write_message(const struct responses_call *c, struct oll_json_writer *w,
                             const struct oll_strbuf *text)
{
    oll_json_write_object_begin(w);
    write_id(w, "msg", c->id);
    write_pair(w, "type", "message");
    write_pair(w, "status", "completed");
    write_pair(w, "role", "assistant");
    oll_json_write_key(w, "content");
    oll_json_write_array_begin(w);
    oll_json_write_object_begin(w);
    write_pair(w, "type", "output_text");
    write_text(w, "text", text);
    write_empty_list(w, "annotations");
    write_empty_list(w, "logprobs");
    oll_json_write_object_end(w);
    oll_json_write_array_end(w);
    oll_json_write_object_end(w);
}

void responses_write_function_call(const struct responses_call *c, struct oll_json_writer *w,
                                   const struct oll_event *call, uint32_t i, bool completed)
{
    char id[48];
    snprintf(id, sizeof id, "fc_%s%u_%u", c->fields.stream ? "" : "resp_", c->id, i);
    oll_json_write_object_begin(w);
    write_pair(w, "id", id);
    write_pair(w, "type", "function_call");
    write_pair(w, "status", completed ? "completed" : "in_progress");
    write_pair(w, "call_id", call->tool_id ? call->tool_id : "");
    write_pair(w, "name", call->tool_name ? call->tool_name : "");
    write_pair(w, "arguments", !completed ? "" : call->text && *call->text ? call->text : "{}");
    oll_json_write_object_end(w);
}

static void write_tool_call(struct ollama_call *call, struct oll_json_writer *w,
                            const struct oll_event *event, uint32_t index)
{
    responses_write_function_call(of_call(call), w, event, index, true);
}

/* ---- the response object ---- */

static void write_null(struct oll_json_writer *w, const char *key)
{
    oll_json_write_key(w, key);
    oll_json_write_null(w);
}

static void write_zero(struct oll_json_writer *w, const char *key)
{
    oll_json_write_key(w, key);
    oll_json_write_uint(w, 0);
}

static void write_bool(struct oll_json_writer *w, const char *key, bool v)
{
    oll_json_write_key(w, key);
    oll_json_write_bool(w, v);
}

/* What was asked, or the default. */
static void write_echo(struct oll_json_writer *w, const char *key, const struct oll_json *v,
                       const char *fallback)
{
    oll_json_write_key(w, key);
    if (v && v->type != OLL_JSON_NULL)
        oll_json_write_node(w, v, false);
    else
        oll_json_write_raw(w, fallback, strlen(fallback));
}

/* A tool with its members in their order; schemas are sorted, as Go prints maps. */
static void write_tool(struct oll_json_writer *w, const struct oll_json *tool)
{
    static const char *const keys[] = {"type", "name", "description", "strict", "parameters"};
    oll_json_write_object_begin(w);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct oll_json *v = oll_json_get(tool, keys[i]);
        const bool absent = !v || v->type == OLL_JSON_NULL;
        if (absent && strcmp(keys[i], "strict") != 0)
            continue;
        oll_json_write_key(w, keys[i]);
        if (absent)
            oll_json_write_bool(w, true);
        else
            oll_json_write_node(w, v, true);
    }
    oll_json_write_object_end(w);
}

static void write_tools(struct oll_json_writer *w, const struct oll_json *tools)
{
    oll_json_write_key(w, "tools");
    oll_json_write_array_begin(w);
    for (const struct oll_json *t = tools ? tools->first : NULL; t; t = t->next)
        write_tool(w, t);
    oll_json_write_array_end(w);
}

static void write_usage(struct oll_json_writer *w, const struct oll_event *done)
{
    if (!done) {
        write_null(w, "usage");
        return;
    }
    oll_json_write_key(w, "usage");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "input_tokens");
    oll_json_write_uint(w, done->n_prompt);
    oll_json_write_key(w, "output_tokens");
    oll_json_write_uint(w, done->n_reply);
    oll_json_write_key(w, "total_tokens");
    oll_json_write_uint(w, (uint64_t)done->n_prompt + done->n_reply);
    oll_json_write_key(w, "input_tokens_details");
    oll_json_write_object_begin(w);
    write_zero(w, "cached_tokens");
    oll_json_write_object_end(w);
    oll_json_write_key(w, "output_tokens_details");
    oll_json_write_object_begin(w);
    write_zero(w, "reasoning_tokens");
    oll_json_write_object_end(w);
    oll_json_write_object_end(w);
}

/* "reasoning": effort and summary as asked, null when nothing was. */
static void write_reasoning_echo(struct oll_json_writer *w, const struct oll_json *reasoning)
{
    const char *effort = oll_json_get_str(reasoning, "effort", "");
    const char *summary = oll_json_get_str(reasoning, "summary", "");
    oll_json_write_key(w, "reasoning");
    if (!*effort && !*summary) {
        oll_json_write_null(w);
        return;
    }
    oll_json_write_object_begin(w);
    if (*effort)
        write_pair(w, "effort", effort);
    if (*summary)
        write_pair(w, "summary", summary);
    oll_json_write_object_end(w);
}

void responses_write(const struct responses_call *c, struct oll_json_writer *w,
                     const struct oll_strbuf *output, const struct oll_event *done)
{
    const struct responses_fields *f = &c->asked;
    oll_json_write_object_begin(w);
    write_id(w, "resp", c->id);
    write_pair(w, "object", "response");
    oll_json_write_key(w, "created_at");
    oll_json_write_int(w, c->created);
    oll_json_write_key(w, "completed_at");
    if (done)
        oll_json_write_int(w, openai_now());
    else
        oll_json_write_null(w);
    write_pair(w, "status", done ? "completed" : "in_progress");
    write_null(w, "incomplete_details");
    write_pair(w, "model", f->model);
    write_null(w, "previous_response_id");
    if (*f->instructions)
        write_pair(w, "instructions", f->instructions);
    else
        write_null(w, "instructions");
    oll_json_write_key(w, "output");
    oll_json_write_array_begin(w);
    if (output && output->len > 0)
        oll_json_write_raw(w, output->data, output->len);
    oll_json_write_array_end(w);
    write_null(w, "error");
    write_tools(w, f->tools);
    write_pair(w, "tool_choice", "auto");
    write_pair(w, "truncation", *f->truncation ? f->truncation : "disabled");
    write_bool(w, "parallel_tool_calls", true);
    write_echo(w, "text", f->text, "{\"format\":{\"type\":\"text\"}}");
    write_echo(w, "top_p", f->top_p, "1");
    write_zero(w, "presence_penalty");
    write_zero(w, "frequency_penalty");
    write_zero(w, "top_logprobs");
    write_echo(w, "temperature", f->temperature, "1");
    write_reasoning_echo(w, f->reasoning);
    write_usage(w, done);
    write_echo(w, "max_output_tokens", f->max_output_tokens, "null");
    write_null(w, "max_tool_calls");
    write_bool(w, "store", false);
    write_bool(w, "background", f->background);
    write_pair(w, "service_tier", "default");
    oll_json_write_key(w, "metadata");
    oll_json_write_object_begin(w);
    oll_json_write_object_end(w);
    write_null(w, "safety_identifier");
    write_null(w, "prompt_cache_key");
    oll_json_write_object_end(w);
}

static void send_whole(struct ollama_call *call, const struct oll_event *done)
{
    struct responses_call *c = of_call(call);
    const struct ollama_parts *p = &call->parts;
    struct oll_strbuf json;
    struct oll_json_writer w;
    if (p->thinking.len > 0)
        responses_write_reasoning(c, &c->items_writer, &p->thinking);
    if (p->calls.len > 0)
        oll_json_write_raw(&c->items_writer, p->calls.data, p->calls.len);
    else
        responses_write_message(c, &c->items_writer, &p->text);
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    responses_write(c, &w, &c->items, done);
    if (c->items.status != OLL_OK)
        json.status = c->items.status;
    openai_send(call->req, &json);
    oll_strbuf_free(&json);
}

static void send_loaded(struct ollama_call *call, const char *reason)
{
    (void)reason;
    const struct oll_event done = {.kind = OLL_EVENT_DONE};
    if (call->fields->stream)
        (void)responses_piece(call, &done);
    else
        send_whole(call, &done);
}

static const struct call_dialect dialect = {
    .fail = openai_fail,
    .piece = responses_piece,
    .whole = send_whole,
    .loaded = send_loaded,
    .tool_call = write_tool_call,
};

/* ---- request ---- */

static oll_status read_options(struct http_request *req, const struct responses_fields *f,
                               const struct oll_json **out, struct oll_error *err)
{
    struct openai_options o;
    openai_options_begin(&o);
    oll_status status = openai_options_number(&o, "temperature", f->temperature, 1,
                                              "ResponsesRequest.temperature", "float64", err);
    if (status == OLL_OK)
        status = openai_options_number(&o, "top_p", f->top_p, NAN, "ResponsesRequest.top_p",
                                       "float64", err);
    if (status == OLL_OK)
        status = openai_options_number(&o, "num_predict", f->max_output_tokens, NAN,
                                       "ResponsesRequest.max_output_tokens", "int", err);
    oll_status ended = openai_options_end(&o, req->arena, out, err);
    return status != OLL_OK ? status : ended;
}

static void write_native_tool(struct oll_json_writer *w, const struct oll_json *tool,
                              const char *prefix)
{
    const struct oll_json *parameters = oll_json_get(tool, "parameters");
    struct oll_strbuf name;
    oll_strbuf_init(&name, OLLAMA_SCHEMA_BYTES_MAX);
    oll_strbuf_printf(&name, "%s%s%s", prefix, *prefix ? "." : "",
                      oll_json_get_str(tool, "name", ""));
    oll_json_write_object_begin(w);
    write_pair(w, "type", "function");
    oll_json_write_key(w, "function");
    oll_json_write_object_begin(w);
    write_pair(w, "name", name.data);
    write_pair(w, "description", oll_json_get_str(tool, "description", ""));
    if (parameters && parameters->type != OLL_JSON_NULL) {
        oll_json_write_key(w, "parameters");
        oll_json_write_node(w, parameters, false);
    }
    oll_json_write_object_end(w);
    oll_json_write_object_end(w);
    oll_strbuf_free(&name);
}

/* Flat tools, and the members of namespaces, as the native API has them. */
static oll_status read_tools(struct oll_arena *arena, const struct oll_json *tools,
                             const char **out, struct oll_error *err)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    struct oll_json *native = NULL;
    oll_status status = OLL_OK;
    oll_strbuf_init(&sb, OLLAMA_SCHEMA_BYTES_MAX);
    oll_json_write_init(&w, &sb);
    w.keep_html = true;
    oll_json_write_array_begin(&w);
    for (const struct oll_json *t = tools ? tools->first : NULL; t; t = t->next) {
        const char *type = oll_json_get_str(t, "type", "");
        const struct oll_json *inner = oll_json_get(t, "tools");
        if (strcmp(type, "function") == 0)
            write_native_tool(&w, t, "");
        for (const struct oll_json *m =
                 strcmp(type, "namespace") == 0 && inner && inner->type == OLL_JSON_ARRAY
                     ? inner->first
                     : NULL;
             m; m = m->next)
            write_native_tool(&w, m, oll_json_get_str(t, "name", ""));
    }
    oll_json_write_array_end(&w);
    if (sb.status != OLL_OK)
        status =
            OLL_FAIL(err, OLL_ERR_LIMIT, "tools are longer than %d bytes", OLLAMA_SCHEMA_BYTES_MAX);
    else
        status = oll_json_parse(arena, sb.data, sb.len, NULL, &native, err);
    oll_strbuf_free(&sb);
    return status == OLL_OK ? ollama_read_tools(arena, native, out, err) : status;
}

static oll_status map(struct responses_call *c, struct http_request *req,
                      struct ollama_messages *messages, const char **tools, struct oll_error *err)
{
    const struct responses_fields *f = &c->asked;
    const struct oll_json *format = oll_json_get(f->text, "format");
    OLL_TRY(responses_read_input(req->arena, f, messages, err));
    OLL_TRY(read_options(req, f, &c->fields.options, err));
    OLL_TRY(openai_read_effort(oll_json_get(f->reasoning, "effort"), &c->fields.think, err));
    OLL_TRY(read_tools(req->arena, f->tools, tools, err));
    if (strcmp(oll_json_get_str(format, "type", ""), "json_schema") == 0)
        c->fields.format = oll_json_get(format, "schema");
    c->fields.model = f->model;
    c->fields.stream = f->stream;
    c->created = openai_now();
    c->id = openai_random();
    return OLL_OK;
}

void openai_responses(struct http_request *req)
{
    struct responses_call *c = oll_arena_alloc(req->arena, 1, sizeof *c);
    struct ollama_messages messages = {0};
    const struct oll_json *root;
    const char *tools = NULL;
    struct oll_error err = {0};
    if (!c) {
        openai_error(req, 500, "out of memory", OPENAI_MAPPING);
        return;
    }
    c->fields = (struct ollama_fields)OLLAMA_FIELDS_DEFAULT;
    c->asked = (struct responses_fields){.model = "", .instructions = "", .truncation = ""};
    oll_status status = openai_decode_body(req, "ResponsesRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "ResponsesRequest.", &c->asked, &err);
    if (status == OLL_OK)
        status = map(c, req, &messages, &tools, &err);
    c->fields.priority = ollama_priority(root, status);
    if (status != OLL_OK) {
        openai_error(req, 400, err.text, OPENAI_MAPPING);
        return;
    }
    oll_strbuf_init(&c->text, REPLY_BYTES_MAX);
    oll_strbuf_init(&c->items, REPLY_BYTES_MAX);
    oll_json_write_init(&c->items_writer, &c->items);
    if (c->asked.stream) {
        http_reply_header(req, "Cache-Control", "no-cache");
        http_reply_header(req, "Connection", "keep-alive");
    }
    if (ollama_chat_begin(&c->chat, req, &dialect, &c->fields, &messages, tools))
        ollama_chat_answer(&c->chat);
    ollama_call_end(&c->chat.call);
    oll_strbuf_free(&c->text);
    oll_strbuf_free(&c->items);
}
