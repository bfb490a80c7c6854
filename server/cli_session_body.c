#include "server/cli_session_body.h"

#include "registry/reference.h"

#include <string.h>

static void write_text(struct oll_json_writer *w, const char *key, const char *value)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void write_raw(struct oll_json_writer *w, const char *key, const char *json)
{
    oll_json_write_key(w, key);
    oll_json_write_raw(w, json, strlen(json));
}

static void write_params(const struct cli_session *s, const char *key, struct oll_json_writer *w)
{
    if (s->n_params == 0)
        return;
    oll_json_write_key(w, key);
    oll_json_write_object_begin(w);
    for (int i = 0; i < s->n_params; i++)
        write_raw(w, s->params[i].name, s->params[i].json);
    oll_json_write_object_end(w);
}

/* What every request for an answer says. */
static void write_settings(const struct cli_session *s, struct oll_json_writer *w)
{
    if (s->format)
        write_raw(w, "format", s->format);
    if (s->keep_alive[0])
        write_text(w, "keep_alive", s->keep_alive);
    if (s->think[0])
        write_raw(w, "think", s->think);
    write_params(s, "options", w);
}

void cli_session_body_name(const char *model, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_text(&w, "model", model);
    oll_json_write_object_end(&w);
}

void cli_session_body_generate(const struct cli_session *s, const char *prompt, const char *images,
                               struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_text(&w, "model", s->model);
    write_text(&w, "prompt", prompt);
    if (images)
        write_raw(&w, "images", images);
    /* A request that only loads says no more than what loading needs. */
    if (*prompt) {
        write_settings(s, &w);
    } else {
        if (s->keep_alive[0])
            write_text(&w, "keep_alive", s->keep_alive);
        write_params(s, "options", &w);
    }
    oll_json_write_object_end(&w);
}

static void write_message(const struct cli_message *m, struct oll_json_writer *w)
{
    oll_json_write_object_begin(w);
    write_text(w, "role", m->role);
    write_text(w, "content", m->content);
    if (m->thinking)
        write_text(w, "thinking", m->thinking);
    if (m->images)
        write_raw(w, "images", m->images);
    oll_json_write_object_end(w);
}

void cli_session_body_chat(const struct cli_session *s, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_text(&w, "model", s->model);
    oll_json_write_key(&w, "messages");
    oll_json_write_array_begin(&w);
    for (size_t i = 0; i < s->n_messages; i++)
        write_message(&s->messages[i], &w);
    oll_json_write_array_end(&w);
    write_settings(s, &w);
    oll_json_write_object_end(&w);
}

void cli_session_body_embed(const struct cli_session *s, const char *text, int truncate,
                            int64_t dimensions, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_text(&w, "model", s->model);
    write_text(&w, "input", text);
    if (truncate >= 0) {
        oll_json_write_key(&w, "truncate");
        oll_json_write_bool(&w, truncate > 0);
    }
    if (dimensions > 0) {
        oll_json_write_key(&w, "dimensions");
        oll_json_write_int(&w, dimensions);
    }
    if (s->keep_alive[0])
        write_text(&w, "keep_alive", s->keep_alive);
    write_params(s, "options", &w);
    oll_json_write_object_end(&w);
}

void cli_session_body_create(const struct cli_session *s, const char *name, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    struct oll_reference ref;
    const bool by_parent = s->parent[0] && oll_reference_parse(s->parent, &ref, NULL) == OLL_OK;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_text(&w, "model", name);
    write_text(&w, "from", by_parent ? s->parent : s->model);
    if (s->system)
        write_text(&w, "system", s->system);
    write_params(s, "parameters", &w);
    bool any = false;
    for (size_t i = 0; i < s->n_messages; i++) {
        /* The system message has a field of its own. */
        if (strcmp(s->messages[i].role, "system") == 0)
            continue;
        if (!any) {
            oll_json_write_key(&w, "messages");
            oll_json_write_array_begin(&w);
        }
        any = true;
        write_message(&s->messages[i], &w);
    }
    if (any)
        oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
}
