/* POST /api/embed (rest-api 4.1). */
#include "server/ollama_embed.h"
#include "engine/base/clock.h"
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_reply.h"

#include <math.h>
#include <string.h>

static const struct decode_field members[] = {
    {"model", DECODE_STRING, offsetof(struct ollama_embed_fields, model), NULL},
    {"input", DECODE_ANY, offsetof(struct ollama_embed_fields, input), NULL},
    {"keep_alive", DECODE_ANY, offsetof(struct ollama_embed_fields, keep_alive), NULL},
    {"options", DECODE_OBJECT, offsetof(struct ollama_embed_fields, options), NULL},
    {"dimensions", DECODE_INT, offsetof(struct ollama_embed_fields, dimensions), NULL},
    {"truncate", DECODE_BOOL, offsetof(struct ollama_embed_fields, truncate), NULL},
    {"strict", DECODE_BOOL, offsetof(struct ollama_embed_fields, strict), NULL},
    {NULL, DECODE_ANY, 0, NULL}};

/* Texts of `input`: a string that is not empty, or a list of strings. */
static oll_status read_inputs(struct ollama_embed_call *e, struct oll_error *err)
{
    const struct oll_json *v = e->fields.input;
    if (!v || (v->type == OLL_JSON_STRING && v->str_len == 0))
        return OLL_OK;
    bool list = v->type == OLL_JSON_ARRAY;
    if (!list && v->type != OLL_JSON_STRING)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid input type");
    e->inputs = oll_arena_alloc(e->req->arena, list ? v->n + 1 : 1, sizeof *e->inputs);
    if (!e->inputs)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the request needs more memory than allowed");
    for (const struct oll_json *s = list ? v->first : v; s; s = list ? s->next : NULL) {
        if (s->type != OLL_JSON_STRING)
            return OLL_FAIL(err, OLL_ERR_ARG, "invalid input type");
        if (strlen(s->str) != s->str_len)
            return OLL_FAIL(err, OLL_ERR_ARG, "EmbedRequest.input must not hold U+0000");
        e->inputs[e->n_inputs++] = s->str;
    }
    return OLL_OK;
}

static bool refuse(struct ollama_embed_call *e, int status, const char *text)
{
    e->dialect->fail(e->req, status, text);
    return false;
}

/* The checks that come before the model is looked up. */
static bool check(struct ollama_embed_call *e)
{
    struct oll_error err = {0};
    struct oll_reference ref;
    if (ollama_read_keep_alive(e->fields.keep_alive, &e->keep_alive, &err) != OLL_OK)
        return refuse(e, 400, err.text);
    if (!*e->fields.model)
        return refuse(e, 404, "model '' not found");
    if (oll_reference_parse(e->fields.model, &ref, &err) != OLL_OK)
        return refuse(e, 400, err.text);
    if (!e->inputs && read_inputs(e, &err) != OLL_OK)
        return refuse(e, 400, err.text);
    return true;
}

static bool find(struct ollama_embed_call *e)
{
    struct oll_error err = {0};
    e->model = oll_arena_alloc(e->req->arena, 1, sizeof *e->model);
    if (!e->model)
        return refuse(e, 500, "out of memory");
    oll_status status = models_find(e->app->models, e->fields.model, e->req->arena, e->model, &err);
    if (status == OLL_OK)
        return true;
    if (status == OLL_ERR_NOT_FOUND) {
        err = (struct oll_error){0};
        oll_error_set(&err, status, "model \"%s\" not found, try pulling it first",
                      e->fields.model);
    }
    return refuse(e,
                  status == OLL_ERR_NOT_FOUND     ? 404
                  : status == OLL_ERR_UNSUPPORTED ? 403
                  : status == OLL_ERR_ARG         ? 400
                                                  : 500,
                  err.text);
}

static bool load(struct ollama_embed_call *e)
{
    struct oll_error err = {0};
    const char *unknown = options_unknown(e->fields.options, e->req->arena);
    if (unknown && e->fields.strict)
        return refuse(e, 400, unknown);
    if (unknown)
        http_reply_header(e->req, "Oll-Warning", unknown);
    options_default(&e->options);
    oll_status status = options_merge(&e->options, e->model->stored.params, &err);
    if (status == OLL_OK)
        status = options_merge(&e->options, e->fields.options, &err);
    if (status != OLL_OK)
        return refuse(e, status == OLL_ERR_ARG ? 400 : 500, err.text);
    status = generation_load(&e->generation, e->req, e->app->schedule, e->model, &e->options,
                             e->keep_alive.set ? &e->keep_alive.ns : NULL, &err);
    e->generation.has_keys = e->app->keys != NULL;
    if (status == OLL_OK)
        return true;
    return refuse(e,
                  status == OLL_ERR_BUSY       ? 503
                  : status == OLL_ERR_CANCELED ? 499
                                               : 500,
                  err.text);
}

static oll_status take_vector(struct ollama_embed_call *e, const struct oll_event *event,
                              struct oll_error *err)
{
    for (uint32_t i = 0; i < event->n_embedding; i++)
        if (!isfinite(event->embedding[i]))
            return OLL_FAIL(err, OLL_ERR_ARG, "embedding contains NaN or Inf values");
    e->dialect->vector(e, event->embedding, event->n_embedding);
    e->n_vectors++;
    return OLL_OK;
}

static void run(struct ollama_embed_call *e)
{
    struct oll_error err = {0};
    struct oll_request ask = {.kind = OLL_REQUEST_EMBED,
                              .options = e->options.sampling,
                              .inputs = e->inputs,
                              .n_inputs = e->n_inputs,
                              .query = e->fields.query,
                              .instruction = e->fields.instruction,
                              .model_name = e->model->ref.model,
                              .no_truncate = !e->fields.truncate};
    if (e->fields.dimensions > 0 && e->fields.dimensions < UINT32_MAX)
        ask.dimensions = (uint32_t)e->fields.dimensions;
    if (e->options.num_ctx > 0 && e->options.num_ctx < UINT32_MAX)
        ask.n_input_max = (uint32_t)e->options.num_ctx;
    oll_status status = generation_submit(&e->generation, &ask, &err);
    bool over = false;
    while (status == OLL_OK && !over) {
        struct oll_event event;
        status = generation_next(&e->generation, &event, &err);
        if (status != OLL_OK)
            break;
        if (event.kind == OLL_EVENT_EMBEDDING)
            status = take_vector(e, &event, &err);
        over = event.kind == OLL_EVENT_DONE;
        if (over)
            e->dialect->reply(e, event.n_prompt);
        oll_event_free(&event);
    }
    if (status == OLL_OK || http_peer_gone(e->req))
        return;
    refuse(e,
           http_stopping(e->req)                        ? 503
           : status == OLL_ERR_UNSUPPORTED              ? 501
           : status == OLL_ERR_LIMIT && e->limit_status ? e->limit_status
                                                        : generation_http_status(status),
           oll_error_text(&err));
}

void ollama_embed_run(struct ollama_embed_call *e)
{
    oll_strbuf_init(&e->vectors, OLLAMA_EMBED_BYTES_MAX);
    oll_json_write_init(&e->writer, &e->vectors);
    if (check(e) && find(e) && load(e)) {
        if (e->n_inputs == 0)
            e->dialect->reply(e, 0);
        else
            run(e);
    }
    generation_end(&e->generation);
    oll_strbuf_free(&e->vectors);
}

/* ---- the native dialect ---- */

static void native_vector(struct ollama_embed_call *e, const float *v, uint32_t n)
{
    oll_json_write_array_begin(&e->writer);
    for (uint32_t i = 0; i < n; i++)
        oll_json_write_float(&e->writer, v[i]);
    oll_json_write_array_end(&e->writer);
}

static void native_reply(struct ollama_embed_call *e, uint32_t n_prompt)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, OLLAMA_EMBED_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, e->fields.model);
    oll_json_write_key(&w, "embeddings");
    oll_json_write_array_begin(&w);
    if (e->vectors.len > 0)
        oll_json_write_raw(&w, e->vectors.data, e->vectors.len);
    oll_json_write_array_end(&w);
    if (e->n_inputs > 0) {
        oll_json_write_key(&w, "total_duration");
        oll_json_write_uint(&w, oll_clock_ns() - e->req->start_ns);
        oll_json_write_key(&w, "load_duration");
        oll_json_write_uint(&w, e->generation.loaded_ns - e->req->start_ns);
    }
    if (n_prompt) {
        oll_json_write_key(&w, "prompt_eval_count");
        oll_json_write_uint(&w, n_prompt);
    }
    oll_json_write_object_end(&w);
    if (e->vectors.status != OLL_OK)
        json.status = e->vectors.status;
    ollama_send(e->req, &json);
    oll_strbuf_free(&json);
}

static const struct ollama_embed_dialect native = {
    .fail = ollama_error, .vector = native_vector, .reply = native_reply};

void ollama_embed(struct http_request *req)
{
    struct ollama_embed_call *e = oll_arena_alloc(req->arena, 1, sizeof *e);
    const struct oll_json *root;
    struct oll_error err = {0};
    if (!e) {
        ollama_error(req, 500, "out of memory");
        return;
    }
    *e = (struct ollama_embed_call){
        .dialect = &native, .req = req, .app = req->app, .fields = {.model = "", .truncate = true}};
    oll_status status = decode_body(req, "EmbedRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, members, "EmbedRequest.", &e->fields, &err);
    if (status != OLL_OK)
        ollama_error(req, 400, err.text);
    else
        ollama_embed_run(e);
}
