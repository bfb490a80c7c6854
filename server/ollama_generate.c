/* POST /api/generate (rest-api 2.1). */
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_call.h"
#include "server/ollama_reply.h"

#include <string.h>

struct generate_fields {
    struct ollama_fields common;
    const char *prompt, *suffix, *system, *template_text;
    const struct oll_json *context, *images;
    bool raw;
};

static const struct decode_field fields[] = {
    OLLAMA_COMMON_FIELDS,
    {"prompt", DECODE_STRING, offsetof(struct generate_fields, prompt), NULL},
    {"suffix", DECODE_STRING, offsetof(struct generate_fields, suffix), NULL},
    {"system", DECODE_STRING, offsetof(struct generate_fields, system), NULL},
    {"template", DECODE_STRING, offsetof(struct generate_fields, template_text), NULL},
    {"context", DECODE_ARRAY, offsetof(struct generate_fields, context), "[]int"},
    {"images", DECODE_ARRAY, offsetof(struct generate_fields, images), "[]api.ImageData"},
    {"raw", DECODE_BOOL, offsetof(struct generate_fields, raw), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

/* A call, then what generate adds to it: the write function finds the rest behind the call. */
struct generate {
    struct ollama_call call;
    struct generate_fields fields;
    const int32_t *context;
    uint32_t n_context;
};

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

/* The reply to a request without a prompt. */
static void reply_load(struct ollama_call *call, const char *reason)
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

static bool check_model(struct generate *g)
{
    const struct generate_fields *f = &g->fields;
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
static bool fill_history(struct generate *g, const char *prompt, const char *system,
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

static bool fill(struct generate *g, struct oll_request *ask)
{
    const struct generate_fields *f = &g->fields;
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

static bool decode(struct generate *g, struct http_request *req)
{
    const struct oll_json *root;
    struct oll_error err = {0};
    g->fields = (struct generate_fields){.common = OLLAMA_FIELDS_DEFAULT,
                                         .prompt = "",
                                         .suffix = "",
                                         .system = "",
                                         .template_text = ""};
    uint32_t n_images = 0;
    oll_status status = decode_body(req, "GenerateRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, fields, "GenerateRequest.", &g->fields, &err);
    if (status == OLL_OK)
        status =
            ollama_read_tokens(req->arena, g->fields.context, &g->context, &g->n_context, &err);
    if (status == OLL_OK)
        status = ollama_check_images(g->fields.images, "GenerateRequest.", &n_images, &err);
    if (status != OLL_OK) {
        ollama_error(req, 400, err.text);
        return false;
    }
    bool ok = ollama_call_begin(&g->call, req, &g->fields.common);
    g->call.n_images = n_images;
    return ok;
}

static void answer(struct generate *g)
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
        reply_load(call, "unload");
        return;
    }
    if (!check_model(g) || !ollama_call_load(call))
        return;
    if (empty)
        reply_load(call, "load");
    else if (fill(g, &ask) && ollama_call_fill(call, &ask))
        ollama_call_run(call, &ask, write_object, true);
}

void ollama_generate(struct http_request *req)
{
    struct generate *g = oll_arena_alloc(req->arena, 1, sizeof *g);
    if (!g) {
        ollama_error(req, 500, "out of memory");
        return;
    }
    if (decode(g, req))
        answer(g);
    ollama_call_end(&g->call);
}
