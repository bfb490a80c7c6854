#include "server/ollama_call.h"

#include "server/ollama_reply.h"

#include <string.h>

enum { PARTS_BYTES_MAX = 256 * 1024 * 1024 };

bool ollama_call_refuse(struct ollama_call *call, int status, const char *fmt, ...)
{
    struct oll_error err = {0};
    va_list args;
    va_start(args, fmt);
    oll_error_setv(&err, OLL_ERR_ARG, fmt, args);
    va_end(args);
    call->dialect->fail(call, status, err.text, false);
    return false;
}

static void parts_init(struct ollama_parts *p)
{
    oll_strbuf_init(&p->text, PARTS_BYTES_MAX);
    oll_strbuf_init(&p->thinking, PARTS_BYTES_MAX);
    oll_strbuf_init(&p->logprobs, PARTS_BYTES_MAX);
    oll_strbuf_init(&p->calls, PARTS_BYTES_MAX);
    oll_json_write_init(&p->logprobs_writer, &p->logprobs);
    oll_json_write_init(&p->calls_writer, &p->calls);
}

bool ollama_call_begin(struct ollama_call *call, struct http_request *req,
                       const struct call_dialect *dialect, const struct ollama_fields *fields)
{
    struct oll_error err = {0};
    *call = (struct ollama_call){.dialect = dialect, .req = req, .app = req->app, .fields = fields};
    parts_init(&call->parts);
    oll_status status = ollama_read_keep_alive(fields->keep_alive, &call->keep_alive, &err);
    if (status == OLL_OK)
        status = ollama_read_think(fields->think, &call->think, &err);
    if (status != OLL_OK)
        return ollama_call_refuse(call, 400, "%s", err.text);
    if (fields->top_logprobs < 0 || fields->top_logprobs > OLL_TOP_LOGPROBS_MAX)
        return ollama_call_refuse(call, 400, "top_logprobs must be between 0 and %d",
                                  OLL_TOP_LOGPROBS_MAX);
    return true;
}

bool ollama_call_find(struct ollama_call *call)
{
    struct oll_error err = {0};
    const char *name = call->fields->model;
    call->model = oll_arena_alloc(call->req->arena, 1, sizeof *call->model);
    if (!call->model)
        return ollama_call_refuse(call, 500, "out of memory");
    switch (models_find(call->app->models, name, call->req->arena, call->model, &err)) {
    case OLL_OK: return true;
    case OLL_ERR_ARG: return ollama_call_refuse(call, 400, "%s", err.text);
    case OLL_ERR_NOT_FOUND: return ollama_call_refuse(call, 404, "model '%s' not found", name);
    case OLL_ERR_UNSUPPORTED: return ollama_call_refuse(call, 403, "%s", err.text);
    default: return ollama_call_refuse(call, 500, "model '%s' is damaged: %s", name, err.text);
    }
}

int64_t ollama_priority(const struct oll_json *root, oll_status status)
{
    const struct oll_json *v = status == OLL_OK ? oll_json_get(root, "priority") : NULL;
    return v && v->type == OLL_JSON_NUMBER && v->is_int ? v->i : 0;
}

bool ollama_call_unloads(struct ollama_call *call, bool is_empty)
{
    if (!is_empty || !call->keep_alive.set || call->keep_alive.ns != 0)
        return false;
    schedule_expire(call->app->schedule, call->model->path, call->model->adapter_path);
    return true;
}

bool ollama_call_check(struct ollama_call *call, const char *what)
{
    unsigned can = call->model->capabilities;
    const char *name = call->fields->model;
    if (call->fields->think_if_able && !(can & CAPABILITY_THINKING))
        call->think = OLL_THINK_UNSET;
    if (call->think > OLL_THINK_OFF && !(can & CAPABILITY_THINKING))
        return ollama_call_refuse(call, 400, "\"%s\" does not support thinking", name);
    if (!(can & CAPABILITY_COMPLETION))
        return ollama_call_refuse(call, 400, "\"%s\" does not support %s", name, what);
    if (call->think == OLL_THINK_UNSET && (can & CAPABILITY_THINKING))
        call->think = OLL_THINK_ON;
    return true;
}

bool ollama_call_load(struct ollama_call *call)
{
    struct oll_error err = {0};
    const char *unknown = options_unknown(call->fields->options, call->req->arena);
    if (unknown && call->fields->strict)
        return ollama_call_refuse(call, 400, "%s", unknown);
    if (unknown)
        http_reply_header(call->req, "Oll-Warning", unknown);
    options_default(&call->options);
    oll_status status = options_merge(&call->options, call->model->stored.params, &err);
    if (status == OLL_OK)
        status = options_merge(&call->options, call->fields->options, &err);
    if (status != OLL_OK)
        return ollama_call_refuse(call, status == OLL_ERR_ARG ? 400 : 500, "%s", err.text);
    status =
        generation_load(&call->generation, call->req, call->app->schedule, call->model,
                        &call->options, call->keep_alive.set ? &call->keep_alive.ns : NULL, &err);
    call->generation.priority = call->fields->priority;
    call->generation.has_keys = call->app->keys != NULL;
    if (status == OLL_OK)
        return true;
    return ollama_call_refuse(call,
                              status == OLL_ERR_BUSY       ? 503
                              : status == OLL_ERR_CANCELED ? 499
                                                           : 500,
                              "%s", err.text);
}

/* The reply goes out line by line. A rendered prompt never does. */
static bool is_stream(const struct ollama_call *call)
{
    return call->fields->stream && !call->fields->debug;
}

bool ollama_call_fill(struct ollama_call *call, struct oll_request *ask)
{
    const struct ollama_fields *f = call->fields;
    struct oll_error err = {0};
    const struct oll_stored_model *stored = &call->model->stored;
    ask->options = call->options.sampling;
    ask->model_template = stored->template_text;
    ask->renderer = stored->config.renderer;
    ask->parser = stored->config.parser;
    ask->model_name = call->model->ref.model;
    ask->prefer_template = call->model->prefer_template;
    ask->think = call->think;
    ask->force_call = f->force_call;
    ask->forced_tool = f->forced_tool;
    ask->one_call = f->one_call;
    ask->options.logit_bias = f->logit_bias;
    ask->options.n_logit_bias = f->n_logit_bias;
    ask->no_truncate = !f->truncate;
    ask->no_shift = !f->shift;
    ask->render_only = f->debug;
    ask->logprobs = f->logprobs || f->wants_score;
    ask->n_top_logprobs = f->logprobs ? (uint32_t)f->top_logprobs : 0;
    ask->grammar = f->grammar && f->grammar[0] ? f->grammar : NULL;
    oll_status status = ollama_read_format(call->req->arena, f->format, &ask->format_json, &err);
    if (status == OLL_OK && ask->grammar && ask->format_json)
        status = OLL_FAIL(&err, OLL_ERR_LIMIT, "format and grammar cannot be used together");
    if (status == OLL_OK)
        return true;
    int code = status == OLL_ERR_LIMIT ? 400 : 500;
    call->dialect->fail(call, code, err.text, is_stream(call));
    return false;
}

/* ---- events ---- */

static void collect(struct ollama_call *call, const struct oll_event *event)
{
    struct ollama_parts *p = &call->parts;
    if (event->kind == OLL_EVENT_TEXT)
        oll_strbuf_add(&p->text, event->text, event->n_text);
    else if (event->kind == OLL_EVENT_THINKING)
        oll_strbuf_add(&p->thinking, event->text, event->n_text);
    else if (event->kind == OLL_EVENT_TOOL_CALL)
        call->dialect->tool_call(call, &p->calls_writer, event, p->n_calls++);
    if (call->fields->logprobs)
        ollama_write_logprobs(&p->logprobs_writer, event->logprobs, event->n_logprobs);
    for (uint32_t i = 0; i < event->n_logprobs; i++)
        call->score += (double)event->logprobs[i].logprob;
}

static void clear(struct ollama_parts *p, bool keep_calls)
{
    oll_strbuf_clear(&p->text);
    oll_strbuf_clear(&p->thinking);
    oll_strbuf_clear(&p->logprobs);
    oll_json_write_init(&p->logprobs_writer, &p->logprobs);
    if (keep_calls)
        return;
    oll_strbuf_clear(&p->calls);
    oll_json_write_init(&p->calls_writer, &p->calls);
}

static bool failed(const struct ollama_parts *p)
{
    return p->text.status != OLL_OK || p->thinking.status != OLL_OK ||
           p->logprobs.status != OLL_OK || p->calls.status != OLL_OK;
}

static void fail(struct ollama_call *call, oll_status status, const struct oll_error *err)
{
    if (http_peer_gone(call->req))
        return;
    int code = http_stopping(call->req) ? 503 : generation_http_status(status);
    call->dialect->fail(call, code, oll_error_text(err), is_stream(call));
}

/* The shape of a reply stays as clients know it; a header has room. */
static const char cut_warning[] =
    "the prompt was longer than the context: its oldest part was left out (num_ctx)";

/* One reply, piece by piece or whole; false when there can be no further one. */
static bool run_choice(struct ollama_call *call, const struct oll_request *ask, bool calls_last)
{
    const struct call_dialect *dialect = call->dialect;
    struct oll_error err = {0};
    bool stream = is_stream(call), over = false, warned = false, lost = false;
    oll_status status = generation_submit(&call->generation, ask, &err);
    while (status == OLL_OK && !over) {
        struct oll_event event;
        status = generation_next(&call->generation, &event, &err);
        if (status != OLL_OK)
            break;
        over = event.kind == OLL_EVENT_DONE;
        if (event.truncated && !http_reply_begun(call->req) && !warned) {
            warned = true;
            http_reply_header(call->req, "Oll-Warning", cut_warning);
        }
        collect(call, &event);
        if (failed(&call->parts)) {
            status = OLL_FAIL(&err, OLL_ERR_LIMIT, "the reply is larger than the server allows");
        } else if (stream) {
            lost = !dialect->piece(call, &event);
            over = lost || over;
            clear(&call->parts, calls_last);
        } else if (over) {
            dialect->whole(call, &event);
        }
        oll_event_free(&event);
    }
    if (status != OLL_OK)
        fail(call, status, &err);
    return status == OLL_OK && !lost;
}

void ollama_call_run(struct ollama_call *call, const struct oll_request *ask, bool calls_last)
{
    struct oll_request own = *ask;
    while (run_choice(call, &own, calls_last) && !ollama_call_is_last(call)) {
        call->i_choice++;
        call->score = 0;
        call->parts.n_calls = 0;
        clear(&call->parts, false);
        if (own.options.seed >= 0 && own.options.seed < INT64_MAX)
            own.options.seed++;
    }
}

void ollama_call_end(struct ollama_call *call)
{
    generation_end(&call->generation);
    oll_strbuf_free(&call->parts.text);
    oll_strbuf_free(&call->parts.thinking);
    oll_strbuf_free(&call->parts.logprobs);
    oll_strbuf_free(&call->parts.calls);
}

/* ---- the native dialect ---- */

void ollama_native_fail(struct ollama_call *call, int status, const char *text, bool stream)
{
    if (stream)
        ollama_stream_error(call->req, status, text);
    else
        ollama_error(call->req, status, text);
}

bool ollama_native_piece(struct ollama_call *call, const struct oll_event *event,
                         ollama_write_fn write, bool calls_last)
{
    const struct ollama_parts *p = &call->parts;
    const struct oll_event *done = event->kind == OLL_EVENT_DONE ? event : NULL;
    struct oll_strbuf line;
    struct oll_json_writer w;
    if (!done && p->text.len == 0 && p->thinking.len == 0 && p->logprobs.len == 0 &&
        (p->calls.len == 0 || calls_last))
        return true;
    oll_strbuf_init(&line, PARTS_BYTES_MAX);
    oll_json_write_init(&w, &line);
    write(call, &w, done);
    oll_strbuf_addc(&line, '\n');
    if (!http_reply_begun(call->req))
        http_reply_begin(call->req, 200, "application/x-ndjson");
    bool ok = line.status == OLL_OK && http_reply_write(call->req, line.data, line.len);
    oll_strbuf_free(&line);
    return ok;
}

void ollama_native_whole(struct ollama_call *call, const struct oll_event *done,
                         ollama_write_fn write)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, PARTS_BYTES_MAX);
    oll_json_write_init(&w, &json);
    write(call, &w, call->fields->debug ? NULL : done);
    ollama_send(call->req, &json);
    oll_strbuf_free(&json);
}

void ollama_write_model(struct ollama_call *call, struct oll_json_writer *w)
{
    char now[OLLAMA_TIME_MAX];
    ollama_time_now(now);
    oll_json_write_key(w, "model");
    oll_json_write_str(w, call->fields->model);
    oll_json_write_key(w, "created_at");
    oll_json_write_str(w, now);
}

void ollama_write_done(struct oll_json_writer *w, const struct oll_event *done)
{
    oll_json_write_key(w, "done");
    oll_json_write_bool(w, done != NULL);
    if (!done)
        return;
    oll_json_write_key(w, "done_reason");
    oll_json_write_str(w, done->done_reason == OLL_DONE_LENGTH ? "length" : "stop");
    if (done->thinking_cut) {
        oll_json_write_key(w, "thinking_cut");
        oll_json_write_bool(w, true);
    }
}

void ollama_write_debug(struct ollama_call *call, struct oll_json_writer *w)
{
    oll_json_write_key(w, "_debug_info");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "rendered_template");
    oll_json_write_strn(w, call->parts.text.data, call->parts.text.len);
    if (call->n_images) {
        oll_json_write_key(w, "image_count");
        oll_json_write_uint(w, call->n_images);
    }
    oll_json_write_object_end(w);
}

void ollama_write_list(struct oll_json_writer *w, const char *key, const struct oll_strbuf *list)
{
    if (list->len == 0)
        return;
    oll_json_write_key(w, key);
    oll_json_write_array_begin(w);
    oll_json_write_raw(w, list->data, list->len);
    oll_json_write_array_end(w);
}
