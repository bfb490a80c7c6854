/* GET /, GET /api/version (rest-api 2.14), GET /api/tags (5.1 to 5.3). */
#include "engine/base/json.h"
#include "server/app.h"
#include "server/models.h"
#include "server/ollama.h"
#include "server/ollama_details.h"
#include "server/ollama_reply.h"
#include "server/page.h"

enum { LIST_BYTES_MAX = 256 * 1024 * 1024 };

void ollama_root(struct http_request *req)
{
    static const char text[] = "Ollama is running";
    if (page_wanted(req)) {
        page_send(req);
        return;
    }
    http_reply_send(req, 200, "text/plain; charset=utf-8", text, sizeof text - 1);
}

void ollama_version(struct http_request *req)
{
    static const char text[] = "{\"version\":\"" APP_API_VERSION "\"}";
    http_reply_send(req, 200, "application/json; charset=utf-8", text, sizeof text - 1);
}

static void write_text(struct oll_json_writer *w, const char *key, const char *value)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void write_entry(struct oll_json_writer *w, const struct served_model *m)
{
    const struct oll_model_config *c = &m->stored.config;
    char modified[OLLAMA_TIME_MAX];
    ollama_time_local(m->modified_ns, modified);
    oll_json_write_object_begin(w);
    write_text(w, "name", m->short_name);
    write_text(w, "model", m->short_name);
    if (c->remote_model && *c->remote_model)
        write_text(w, "remote_model", c->remote_model);
    if (c->remote_host && *c->remote_host)
        write_text(w, "remote_host", c->remote_host);
    write_text(w, "modified_at", modified);
    oll_json_write_key(w, "size");
    oll_json_write_uint(w, m->size_bytes);
    write_text(w, "digest", m->digest);
    ollama_write_details(w, m, OLLAMA_DETAILS_LIST);
    if (m->capabilities) {
        oll_json_write_key(w, "capabilities");
        oll_json_write_array_begin(w);
        for (int i = 0; i < CAPABILITIES; i++)
            if (m->capabilities & 1u << i)
                oll_json_write_str(w, model_capability_names[i]);
        oll_json_write_array_end(w);
    }
    oll_json_write_object_end(w);
}

void ollama_tags(struct http_request *req)
{
    const struct app *app = req->app;
    struct served_model *models = NULL;
    struct oll_error err = {0};
    struct oll_strbuf json;
    struct oll_json_writer w;
    size_t n = 0;
    if (models_list(app->models, req->arena, &models, &n, &err) != OLL_OK) {
        ollama_error(req, 500, oll_error_text(&err));
        return;
    }
    oll_strbuf_init(&json, LIST_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "models");
    oll_json_write_array_begin(&w);
    for (size_t i = 0; i < n; i++)
        write_entry(&w, &models[i]);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    ollama_send(req, &json);
    oll_strbuf_free(&json);
}
