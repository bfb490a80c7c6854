/* GET /api/ps (rest-api 5.5). */
#include "server/app.h"
#include "server/models.h"
#include "server/ollama.h"
#include "server/ollama_details.h"
#include "server/ollama_reply.h"
#include "server/schedule.h"

#include <string.h>
#include <time.h>

enum { LIST_BYTES_MAX = 16 * 1024 * 1024 };

/* "For ever" is shown as a time that clients print as such: more than a century ahead. */
static int64_t expiry(int64_t in_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t at = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return in_ns > INT64_MAX - at ? INT64_MAX : at + in_ns;
}

static void write_text(struct oll_json_writer *w, const char *key, const char *value)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void write_entry(struct oll_json_writer *w, const struct schedule_entry *e,
                        const struct served_model *m)
{
    char expires[OLLAMA_TIME_MAX];
    ollama_time_local(expiry(e->expires_in_ns), expires);
    oll_json_write_object_begin(w);
    write_text(w, "name", e->name);
    write_text(w, "model", e->name);
    oll_json_write_key(w, "size");
    oll_json_write_uint(w, e->size_bytes);
    write_text(w, "digest", m->digest);
    ollama_write_details(w, m, OLLAMA_DETAILS_PS);
    write_text(w, "expires_at", expires);
    oll_json_write_key(w, "size_vram");
    oll_json_write_uint(w, e->vram_bytes);
    oll_json_write_key(w, "context_length");
    oll_json_write_uint(w, e->n_ctx);
    oll_json_write_object_end(w);
}

void ollama_ps(struct http_request *req)
{
    const struct app *app = req->app;
    struct schedule_entry *list;
    struct served_model *m = oll_arena_alloc(req->arena, 1, sizeof *m);
    struct oll_error err = {0};
    struct oll_strbuf json;
    struct oll_json_writer w;
    size_t n;
    if (!m || schedule_list(app->schedule, req->arena, &list, &n, &err) != OLL_OK) {
        ollama_error(req, 500, oll_error_text(&err));
        return;
    }
    oll_strbuf_init(&json, LIST_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "models");
    oll_json_write_array_begin(&w);
    for (size_t i = 0; i < n; i++) {
        /* One that was deleted while loaded is not listed. */
        memset(m, 0, sizeof *m);
        if (models_find(app->models, list[i].name, req->arena, m, NULL) == OLL_OK)
            write_entry(&w, &list[i], m);
    }
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    ollama_send(req, &json);
    oll_strbuf_free(&json);
}
