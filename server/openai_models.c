/* GET /v1/models and /v1/models/NAME (rest-api 6.5). */
#include "server/app.h"
#include "server/models.h"
#include "server/ollama_reply.h"
#include "server/openai.h"
#include "server/openai_common.h"

enum { REPLY_BYTES_MAX = 64 * 1024 * 1024 };

static void write_entry(struct oll_json_writer *w, const char *id, const struct served_model *m)
{
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "id");
    oll_json_write_str(w, id);
    oll_json_write_key(w, "object");
    oll_json_write_str(w, "model");
    oll_json_write_key(w, "created");
    oll_json_write_int(w, m->modified_ns / 1000000000);
    oll_json_write_key(w, "owned_by");
    oll_json_write_str(w, m->ref.namespace);
    oll_json_write_object_end(w);
}

void openai_models(struct http_request *req)
{
    const struct app *app = req->app;
    struct served_model *list;
    size_t n;
    struct oll_error err = {0};
    struct oll_strbuf json;
    struct oll_json_writer w;
    if (models_list(app->models, req->arena, &list, &n, &err) != OLL_OK) {
        openai_error(req, 500, oll_error_text(&err), OPENAI_NATIVE);
        return;
    }
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "object");
    oll_json_write_str(&w, "list");
    oll_json_write_key(&w, "data");
    if (n == 0)
        oll_json_write_null(&w);
    else
        oll_json_write_array_begin(&w);
    for (size_t i = 0; i < n; i++)
        write_entry(&w, list[i].short_name, &list[i]);
    if (n > 0)
        oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    openai_send(req, &json);
    oll_strbuf_free(&json);
}

void openai_model(struct http_request *req)
{
    const struct app *app = req->app;
    struct served_model *m = oll_arena_alloc(req->arena, 1, sizeof *m);
    struct oll_error err = {0};
    struct oll_strbuf json;
    struct oll_json_writer w;
    if (!m) {
        openai_error(req, 500, "out of memory", OPENAI_NATIVE);
        return;
    }
    switch (models_find(app->models, req->param, req->arena, m, &err)) {
    case OLL_OK: break;
    case OLL_ERR_ARG: openai_error(req, 400, err.text, OPENAI_NATIVE); return;
    case OLL_ERR_NOT_FOUND:
        oll_reference_short(&m->ref, m->short_name);
        err = (struct oll_error){0};
        oll_error_set(&err, OLL_ERR_NOT_FOUND, "model '%s' not found", m->short_name);
        openai_error(req, 404, err.text, OPENAI_NATIVE);
        return;
    case OLL_ERR_UNSUPPORTED: ollama_error(req, 403, err.text); return;
    default: openai_error(req, 500, oll_error_text(&err), OPENAI_NATIVE); return;
    }
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    oll_json_write_init(&w, &json);
    write_entry(&w, req->param, m);
    openai_send(req, &json);
    oll_strbuf_free(&json);
}
