/* POST /api/generate (rest-api 2.1). */
#include "server/ollama_generate.h"
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_reply.h"

#include <string.h>

static const struct decode_field members[] = {
    OLLAMA_COMMON_FIELDS,
    {"prompt", DECODE_STRING, offsetof(struct ollama_generate_fields, prompt), NULL},
    {"suffix", DECODE_STRING, offsetof(struct ollama_generate_fields, suffix), NULL},
    {"system", DECODE_STRING, offsetof(struct ollama_generate_fields, system), NULL},
    {"template", DECODE_STRING, offsetof(struct ollama_generate_fields, template_text), NULL},
    {"context", DECODE_ARRAY, offsetof(struct ollama_generate_fields, context), "[]int"},
    {"images", DECODE_ARRAY, offsetof(struct ollama_generate_fields, images), "[]api.ImageData"},
    {"raw", DECODE_BOOL, offsetof(struct ollama_generate_fields, raw), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

static bool check_model(struct ollama_generate_call *g)
{
    const struct ollama_generate_fields *f = &g->fields;
    struct ollama_call *call = &g->call;
    if (call->model->capabilities & CAPABILITY_IMAGE)
        return ollama_call_refuse(call, 400, "image generation models are not currently supported");
    if (f->raw && (*f->template_text || *f->system || g->n_context))
        return ollama_call_refuse(call, 400,
                                  "raw mode does not support template, system, or context");
    if (!ollama_call_check(call, "generate"))
        return false;
    if (*f->suffix && !(call->model->capabilities & CAPABILITY_INSERT))
        return ollama_call_refuse(call, 400, "%s does not support insert", call->model->full_name);
    return true;
}

/* As messages: the model has a history of its own that goes before the prompt. */
static bool fill_history(struct ollama_generate_call *g, const char *prompt, const char *system,
                         struct oll_request *ask)
{
    struct ollama_messages history;
    struct oll_error err = {0};
    struct ollama_call *call = &g->call;
    if (ollama_read_messages(call->req->arena, call->model->stored.messages, "messages.", &history,
                             &err) != OLL_OK)
        return ollama_call_refuse(call, 500, "%s", err.text);
    struct oll_message *list =
        oll_arena_alloc(call->req->arena, (size_t)history.n + 2, sizeof *list);
    if (!list)
        return ollama_call_refuse(call, 500, "out of memory");
    uint32_t n = 0;
    if (*system)
        list[n++] = (struct oll_message){.role = "system", .content = system};
    memcpy(list + n, history.list, history.n * sizeof *list);
    n += history.n;
    list[n++] = (struct oll_message){.role = "user", .content = prompt};
    ask->kind = OLL_REQUEST_CHAT;
    ask->messages = list;
    ask->n_messages = n;
    return true;
}

static bool fill(struct ollama_generate_call *g, struct oll_request *ask)
{
    const struct ollama_generate_fields *f = &g->fields;
    const struct oll_stored_model *stored = &g->call.model->stored;
    const char *system = *f->system || f->raw || !stored->system ? f->system : stored->system;
    uint32_t next = 0;
    const char *prompt =
        ollama_place_images(g->call.req->arena, f->prompt, g->call.n_images, &next);
    if (!prompt)
        return ollama_call_refuse(&g->call, 500, "out of memory");
    if (g->call.n_images && !f->common.debug)
        return ollama_call_refuse(&g->call, 400, "\"%s\" does not support images", f->common.model);
    bool history = stored->messages && stored->messages->n > 0 && !f->raw && !*f->suffix &&
                   g->n_context == 0 && !*f->template_text;
    ask->want_context = !f->raw;
    if (history)
        return fill_history(g, prompt, system, ask);
    ask->kind = OLL_REQUEST_PROMPT;
    ask->prompt = prompt;
    ask->system = *system ? system : NULL;
    ask->suffix = *f->suffix ? f->suffix : NULL;
    ask->template_text = *f->template_text ? f->template_text : NULL;
    ask->raw = f->raw;
    ask->context = g->context;
    ask->n_context = g->n_context;
    return true;
}

bool ollama_generate_begin(struct ollama_generate_call *g, struct http_request *req,
                           const struct call_dialect *dialect, uint32_t n_images)
{
    bool ok = ollama_call_begin(&g->call, req, dialect, &g->fields.common);
    g->call.n_images = n_images;
    return ok;
}

void ollama_generate_answer(struct ollama_generate_call *g)
{
    struct ollama_call *call = &g->call;
    struct oll_request ask = {0};
    bool empty = !*g->fields.prompt;
    if (!*call->fields->model) {
        ollama_call_refuse(call, 404, "model '' not found");
        return;
    }
    if (!ollama_call_find(call))
        return;
    if (ollama_call_unloads(call, empty)) {
        call->dialect->loaded(call, "unload");
        return;
    }
    if (!check_model(g) || !ollama_call_load(call))
        return;
    if (empty)
        call->dialect->loaded(call, "load");
    else if (fill(g, &ask) && ollama_call_fill(call, &ask))
        ollama_call_run(call, &ask, true);
}

/* ---- the native dialect ---- */

static void write_object(struct ollama_call *call, struct oll_json_writer *w,
                         const struct oll_event *done)
{
    const struct ollama_parts *p = &call->parts;
    bool debug = call->fields->debug;
    oll_json_write_object_begin(w);
    ollama_write_model(call, w);
    oll_json_write_key(w, "response");
    oll_json_write_strn(w, p->text.data, debug ? 0 : p->text.len);
    if (p->thinking.len > 0) {
        oll_json_write_key(w, "thinking");
        oll_json_write_strn(w, p->thinking.data, p->thinking.len);
    }
    ollama_write_done(w, done);
    if (done && done->n_context > 0) {
        oll_json_write_key(w, "context");
        oll_json_write_array_begin(w);
        for (uint32_t i = 0; i < done->n_context; i++)
            oll_json_write_int(w, done->context[i]);
        oll_json_write_array_end(w);
    }
    if (done)
        ollama_write_metrics(w, &call->generation, done);
    if (done)
        ollama_write_list(w, "tool_calls", &p->calls);
    if (debug)
        ollama_write_debug(call, w);
    ollama_write_list(w, "logprobs", &p->logprobs);
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
    oll_json_write_key(&w, "response");
    oll_json_write_str(&w, "");
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
    return ollama_native_piece(call, event, write_object, true);
}

static void native_whole(struct ollama_call *call, const struct oll_event *done)
{
    ollama_native_whole(call, done, write_object);
}

static void native_tool_call(struct ollama_call *call, struct oll_json_writer *w,
                             const struct oll_event *event, uint32_t index)
{
    (void)call;
    ollama_write_tool_call(w, event, index, false);
}

static const struct call_dialect native = {
    .fail = ollama_native_fail,
    .piece = native_piece,
    .whole = native_whole,
    .loaded = native_loaded,
    .tool_call = native_tool_call,
};

static bool decode(struct ollama_generate_call *g, struct http_request *req)
{
    const struct oll_json *root;
    struct oll_error err = {0};
    uint32_t n_images = 0;
    g->fields = (struct ollama_generate_fields)OLLAMA_GENERATE_FIELDS_DEFAULT;
    oll_status status = decode_body(req, "GenerateRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "GenerateRequest.", &g->fields, &err);
    if (status == OLL_OK)
        status =
            ollama_read_tokens(req->arena, g->fields.context, &g->context, &g->n_context, &err);
    if (status == OLL_OK)
        status = ollama_check_images(g->fields.images, "GenerateRequest.", &n_images, &err);
    if (status != OLL_OK) {
        ollama_error(req, 400, err.text);
        return false;
    }
    return ollama_generate_begin(g, req, &native, n_images);
}

void ollama_generate(struct http_request *req)
{
    struct ollama_generate_call *g = oll_arena_alloc(req->arena, 1, sizeof *g);
    if (!g) {
        ollama_error(req, 500, "out of memory");
        return;
    }
    if (decode(g, req))
        ollama_generate_answer(g);
    ollama_call_end(&g->call);
}
