#include "server/cli_session.h"

#include "engine/base/mem.h"
#include "registry/modelfile.h"
#include "registry/reference.h"
#include "server/cli_answer.h"
#include "server/cli_session_body.h"
#include "server/cli_transfer.h"

#include <stdio.h>
#include <string.h>

enum { REPLY_MAX = 512 << 20, BODY_MAX = 512 << 20, ARENA_BYTES = 1 << 30, PARAM_MAX = 1 << 20 };

void cli_session_init(struct cli_session *s, struct cli_client *client)
{
    *s = (struct cli_session){.client = client, .wrap = true};
}

static void free_messages(struct cli_session *s)
{
    for (size_t i = 0; i < s->n_messages; i++) {
        oll_free(s->messages[i].content);
        oll_free(s->messages[i].thinking);
        oll_free(s->messages[i].images);
    }
    s->n_messages = 0;
}

void cli_session_free(struct cli_session *s)
{
    free_messages(s);
    oll_free(s->messages);
    for (int i = 0; i < s->n_params; i++) {
        oll_free(s->params[i].json);
        oll_free(s->params[i].text);
    }
    oll_free(s->format);
    oll_free(s->system);
    *s = (struct cli_session){0};
}

/* ---- what the model is ---- */

oll_status cli_session_show(struct cli_session *s, const char *model, struct oll_arena *arena,
                            struct oll_json **root, struct oll_error *err)
{
    struct oll_strbuf body, reply;
    oll_strbuf_init(&body, BODY_MAX);
    oll_strbuf_init(&reply, REPLY_MAX);
    cli_session_body_name(model, &body);
    oll_status status = cli_client_json(s->client, "POST", "/api/show", body.data, &reply, err);
    if (status == OLL_OK)
        status = oll_json_parse(arena, reply.data, reply.len, NULL, root, err);
    oll_strbuf_free(&body);
    oll_strbuf_free(&reply);
    return status;
}

static bool has_capability(const struct oll_json *root, const char *name)
{
    const struct oll_json *list = oll_json_get(root, "capabilities");
    for (const struct oll_json *c = list && list->type == OLL_JSON_ARRAY ? list->first : NULL; c;
         c = c->next)
        if (c->type == OLL_JSON_STRING && strcmp(c->str, name) == 0)
            return true;
    return false;
}

static void take_facts(struct cli_session *s, const char *model, const struct oll_json *root)
{
    const struct oll_json *details = oll_json_get(root, "details");
    snprintf(s->model, sizeof s->model, "%s", model);
    snprintf(s->parent, sizeof s->parent, "%s", oll_json_get_str(details, "parent_model", ""));
    s->thinks = has_capability(root, "thinking");
    s->sees = has_capability(root, "vision") || has_capability(root, "audio");
    s->embeds = has_capability(root, "embedding");
    s->draws = has_capability(root, "image");
    if (!s->think_given)
        snprintf(s->think, sizeof s->think, "%s", s->thinks ? "true" : "");
}

oll_status cli_session_open(struct cli_session *s, const char *model, bool pull,
                            struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct oll_error why = {0};
    if (strlen(model) >= CLI_MODEL_MAX)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "model '%.80s...' not found", model);
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = cli_session_show(s, model, &arena, &root, &why);
    if (status == OLL_ERR_NOT_FOUND && pull) {
        status = cli_transfer_pull(s->client, model, s->insecure, err);
        if (status == OLL_OK)
            status = cli_session_show(s, model, &arena, &root, err);
    } else if (status != OLL_OK) {
        OLL_FAIL(err, status, "%s", oll_error_text(&why));
    }
    if (status == OLL_OK)
        take_facts(s, model, root);
    oll_arena_free(&arena);
    return status;
}

/* ---- answers ---- */

struct stream {
    struct cli_session *session;
    struct cli_answer answer;
    bool done;
};

static void on_line(void *user, const struct oll_json *line)
{
    struct stream *st = user;
    const struct oll_json *done = oll_json_get(line, "done");
    cli_answer_line(&st->answer, line);
    if (!done || done->type != OLL_JSON_BOOL || !done->is_true)
        return;
    st->done = true;
    if (st->answer.text.len > 0 || st->answer.thinking.len > 0)
        printf("\n\n");
    cli_answer_end(&st->answer);
    if (st->session->verbose)
        cli_answer_timings(line);
}

static void on_tick(void *user)
{
    struct stream *st = user;
    cli_answer_tick(&st->answer);
}

/* Runs a request whose reply is an answer, and shows it. The answer is freed by the caller. */
static oll_status run_stream(struct stream *st, const char *path, struct oll_strbuf *body,
                             struct oll_error *err)
{
    struct cli_session *s = st->session;
    struct cli_client *client = s->client;
    cli_answer_begin(&st->answer, s->wrap, s->hide_thinking, s->raw);
    if (body->status != OLL_OK)
        return OLL_FAIL(err, body->status, "the request is too large, or memory is short");
    cli_client_catch();
    client->tick = on_tick;
    client->user = st;
    oll_status status = cli_client_stream(client, path, body->data, on_line, st, err);
    client->tick = NULL;
    cli_answer_end(&st->answer);
    if (status == OLL_ERR_CANCELED)
        printf("\n\n");
    if (status == OLL_OK && !st->done)
        status =
            OLL_FAIL(err, OLL_ERR_NETWORK, "the server ended the answer before it was complete");
    if (status == OLL_OK &&
        (st->answer.text.status != OLL_OK || st->answer.thinking.status != OLL_OK))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the answer");
    fflush(stdout);
    return status;
}

oll_status cli_session_load(struct cli_session *s, struct oll_error *err)
{
    return cli_session_generate(s, "", NULL, err);
}

oll_status cli_session_generate(struct cli_session *s, const char *prompt, const char *images,
                                struct oll_error *err)
{
    struct stream st = {.session = s};
    struct oll_strbuf body;
    oll_strbuf_init(&body, BODY_MAX);
    cli_session_body_generate(s, prompt, images, &body);
    oll_status status = run_stream(&st, "/api/generate", &body, err);
    cli_answer_free(&st.answer);
    oll_strbuf_free(&body);
    return status;
}

static oll_status add_message(struct cli_session *s, struct cli_message message,
                              struct oll_error *err)
{
    if (s->n_messages == s->cap_messages && message.content) {
        const size_t cap = s->cap_messages ? 2 * s->cap_messages : 16;
        struct cli_message *grown = oll_realloc(s->messages, cap, sizeof *grown);
        if (grown) {
            s->messages = grown;
            s->cap_messages = cap;
        }
    }
    if (s->n_messages < s->cap_messages && message.content) {
        s->messages[s->n_messages++] = message;
        return OLL_OK;
    }
    oll_free(message.content);
    oll_free(message.thinking);
    oll_free(message.images);
    return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversation");
}

static void drop_last(struct cli_session *s)
{
    const struct cli_message *m = &s->messages[--s->n_messages];
    oll_free(m->content);
    oll_free(m->thinking);
    oll_free(m->images);
}

oll_status cli_session_chat(struct cli_session *s, const char *text, const char *images,
                            struct oll_error *err)
{
    struct stream st = {.session = s};
    struct oll_strbuf body;
    struct cli_message message = {"user", oll_strdup(text), NULL,
                                  images ? oll_strdup(images) : NULL};
    OLL_TRY(add_message(s, message, err));
    oll_strbuf_init(&body, BODY_MAX);
    cli_session_body_chat(s, &body);
    oll_status status = run_stream(&st, "/api/chat", &body, err);
    oll_strbuf_free(&body);
    if (status == OLL_OK || (status == OLL_ERR_CANCELED && st.answer.text.len > 0)) {
        const bool thought = st.answer.thinking.len > 0;
        struct cli_message reply = {"assistant", oll_strdup(st.answer.text.data),
                                    thought ? oll_strdup(st.answer.thinking.data) : NULL, NULL};
        status = add_message(s, reply, err);
    } else {
        drop_last(s);
    }
    cli_answer_free(&st.answer);
    return status;
}

oll_status cli_session_embed(struct cli_session *s, const char *text, int truncate,
                             int64_t dimensions, struct oll_error *err)
{
    struct oll_strbuf body, reply, line;
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct oll_json_writer w;
    oll_strbuf_init(&body, BODY_MAX);
    oll_strbuf_init(&reply, REPLY_MAX);
    oll_strbuf_init(&line, REPLY_MAX);
    oll_arena_init(&arena, ARENA_BYTES);
    cli_session_body_embed(s, text, truncate, dimensions, &body);
    oll_status status = cli_client_json(s->client, "POST", "/api/embed", body.data, &reply, err);
    if (status == OLL_OK)
        status = oll_json_parse(&arena, reply.data, reply.len, NULL, &root, err);
    const struct oll_json *list = oll_json_get(root, "embeddings");
    if (status == OLL_OK && (!list || list->type != OLL_JSON_ARRAY || !list->first))
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "no embeddings returned");
    if (status == OLL_OK) {
        oll_json_write_init(&w, &line);
        oll_json_write_node(&w, list->first, false);
        printf("%s\n", line.data);
    }
    oll_strbuf_free(&body);
    oll_strbuf_free(&reply);
    oll_strbuf_free(&line);
    oll_arena_free(&arena);
    return status;
}

static void ignore_line(void *user, const struct oll_json *line)
{
    (void)user;
    (void)line;
}

oll_status cli_session_save(struct cli_session *s, const char *name, struct oll_error *err)
{
    struct oll_strbuf body;
    struct oll_reference ref;
    if (oll_reference_parse(name, &ref, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "The model name '%s' is invalid", name);
    oll_strbuf_init(&body, BODY_MAX);
    cli_session_body_create(s, name, &body);
    oll_status status =
        cli_client_stream(s->client, "/api/create", body.data, ignore_line, NULL, err);
    oll_strbuf_free(&body);
    return status;
}

/* ---- settings ---- */

static oll_status param_json(enum oll_modelfile_param kind, const char *const *values, int n,
                             struct oll_strbuf *json, struct oll_error *err)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, json);
    if (kind == OLL_PARAM_STRINGS)
        oll_json_write_array_begin(&w);
    for (int i = 0; i < n; i++) {
        /* Of several numbers the last one counts. */
        if (kind != OLL_PARAM_STRINGS) {
            oll_strbuf_clear(json);
            oll_json_write_init(&w, json);
        }
        OLL_TRY(oll_modelfile_param_write(kind, values[i], &w, err));
    }
    if (kind == OLL_PARAM_STRINGS)
        oll_json_write_array_end(&w);
    return OLL_OK;
}

static struct cli_param *find_param(struct cli_session *s, const char *name)
{
    for (int i = 0; i < s->n_params; i++)
        if (strcmp(s->params[i].name, name) == 0)
            return &s->params[i];
    if (s->n_params == CLI_PARAMS_MAX)
        return NULL;
    struct cli_param *p = &s->params[s->n_params++];
    *p = (struct cli_param){0};
    snprintf(p->name, sizeof p->name, "%s", name);
    return p;
}

oll_status cli_session_param(struct cli_session *s, const char *name, const char *const *values,
                             int n, struct oll_error *err)
{
    const enum oll_modelfile_param kind = oll_modelfile_param_kind(name);
    struct oll_strbuf json, text;
    if (kind == OLL_PARAM_UNKNOWN || kind == OLL_PARAM_DEPRECATED ||
        strlen(name) >= CLI_PARAM_NAME_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "unknown parameter '%.80s'", name);
    oll_strbuf_init(&json, PARAM_MAX);
    oll_strbuf_init(&text, PARAM_MAX);
    for (int i = 0; i < n; i++)
        oll_strbuf_printf(&text, "%s%s", i > 0 ? ", " : "", values[i]);
    oll_status status = param_json(kind, values, n, &json, err);
    char *json_copy = status == OLL_OK ? oll_strbuf_take(&json, NULL) : NULL;
    char *text_copy = status == OLL_OK ? oll_strbuf_take(&text, NULL) : NULL;
    struct cli_param *p = json_copy && text_copy ? find_param(s, name) : NULL;
    if (p) {
        oll_free(p->json);
        oll_free(p->text);
        p->json = json_copy;
        p->text = text_copy;
    } else {
        oll_free(json_copy);
        oll_free(text_copy);
        if (status == OLL_OK)
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for parameters");
    }
    oll_strbuf_free(&json);
    oll_strbuf_free(&text);
    return status;
}

oll_status cli_session_system(struct cli_session *s, const char *text, struct oll_error *err)
{
    char *copy = oll_strdup(text);
    if (!copy)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the system message");
    oll_free(s->system);
    s->system = copy;
    if (s->n_messages > 0 && strcmp(s->messages[s->n_messages - 1].role, "system") == 0)
        drop_last(s);
    return add_message(s, (struct cli_message){"system", oll_strdup(text), NULL, NULL}, err);
}

oll_status cli_session_clear(struct cli_session *s, struct oll_error *err)
{
    free_messages(s);
    if (!s->system)
        return OLL_OK;
    return add_message(s, (struct cli_message){"system", oll_strdup(s->system), NULL, NULL}, err);
}

oll_status cli_session_format(struct cli_session *s, const char *format, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root;
    struct oll_error why = {0};
    oll_status status = OLL_OK;
    oll_free(s->format);
    s->format = NULL;
    if (!format || !*format)
        return OLL_OK;
    if (strcmp(format, "json") == 0)
        format = "\"json\"";
    oll_arena_init(&arena, ARENA_BYTES);
    status = oll_json_parse(&arena, format, strlen(format), NULL, &root, &why);
    oll_arena_free(&arena);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "json: error calling MarshalJSON for type json.RawMessage: %s",
                        oll_error_text(&why));
    s->format = oll_strdup(format);
    return s->format ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the format");
}

bool cli_session_think(struct cli_session *s, const char *value)
{
    static const char *const levels[] = {"high", "medium", "low", "max"};
    s->think_given = true;
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        snprintf(s->think, sizeof s->think, "%s", value);
        return true;
    }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(value, levels[i]) == 0) {
            snprintf(s->think, sizeof s->think, "\"%s\"", value);
            return true;
        }
    return false;
}
