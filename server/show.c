#include "server/show.h"

#include "engine/base/mem.h"
#include "registry/model_info.h"
#include "server/ollama_details.h"
#include "server/ollama_reply.h"
#include "server/show_text.h"

#include <string.h>

enum { REPLY_BYTES_MAX = 512 * 1024 * 1024, LICENSE_BYTES_MAX = 16 * 1024 * 1024 };

/* What is collected before anything is written. */
struct show {
    struct oll_arena *arena;
    const struct oll_store *store;
    const struct show_request *request;
    struct served_model model;
    struct show_model text; /* what the Modelfile shows */
    struct oll_strbuf info, projector, tensors, chat_template;
};

/* ---- collecting ---- */

static const char *blob_path(struct show *s, const struct oll_layer *l)
{
    char *path = NULL;
    const char *copy = NULL;
    if (oll_blob_path(s->store, &l->digest, &path, NULL) == OLL_OK)
        copy = oll_arena_strdup(s->arena, path);
    oll_free(path);
    return copy;
}

static const char *blob_text(struct show *s, const struct oll_layer *l)
{
    char *text = NULL;
    uint64_t n = 0;
    const char *copy = NULL;
    if (oll_blob_read(s->store, &l->digest, LICENSE_BYTES_MAX, &text, &n, NULL) == OLL_OK)
        copy = oll_arena_strndup(s->arena, text, (size_t)n);
    oll_free(text);
    return copy;
}

typedef const char *(*read_fn)(struct show *s, const struct oll_layer *l);

/* What `read` makes of all layers of a kind; those that cannot be read are left out. */
static const char *const *collect(struct show *s, const char *kind, read_fn read)
{
    const struct oll_manifest *m = &s->model.stored.manifest;
    const char **list = oll_arena_alloc(s->arena, (size_t)m->n_layers + 1, sizeof *list);
    uint32_t n = 0;
    for (uint32_t i = 0; list && i < m->n_layers; i++)
        if (oll_layer_is(&m->layers[i], kind) && (list[n] = read(s, &m->layers[i])))
            n++;
    return list;
}

static oll_status read_files(struct show *s, struct oll_error *err)
{
    struct oll_model_info_options o = {.verbose = s->request->verbose,
                                       .basename = s->request->basename};
    if (s->model.path)
        OLL_TRY(
            oll_model_info_write(s->model.path, &o, &s->info, &s->tensors, &s->chat_template, err));
    o.basename = NULL;
    if (s->text.projectors && s->text.projectors[0])
        OLL_TRY(oll_model_info_write(s->text.projectors[0], &o, &s->projector, NULL, NULL, err));
    return OLL_OK;
}

static oll_status gather(struct show *s, struct oll_error *err)
{
    const char *system = s->request->system;
    s->text.model = &s->model;
    s->text.options = s->request->options;
    s->text.system = *system ? system : s->model.stored.system;
    s->text.adapters = collect(s, "adapter", blob_path);
    s->text.drafts = collect(s, "draft", blob_path);
    s->text.projectors = collect(s, "projector", blob_path);
    s->text.licenses = collect(s, "license", blob_text);
    return read_files(s, err);
}

/* ---- writing ---- */

static void write_text(struct oll_json_writer *w, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void write_raw(struct oll_json_writer *w, const char *key, const struct oll_strbuf *json,
                      const char *fallback)
{
    const char *text = json->len ? json->data : fallback;
    if (!text)
        return;
    oll_json_write_key(w, key);
    oll_json_write_raw(w, text, strlen(text));
}

static void write_texts(struct show *s, struct oll_json_writer *w)
{
    struct oll_strbuf text;
    const struct oll_stored_model *stored = &s->model.stored;
    oll_strbuf_init(&text, REPLY_BYTES_MAX);
    for (const char *const *l = s->text.licenses; l && *l; l++)
        oll_strbuf_printf(&text, "%s%s", l == s->text.licenses ? "" : "\n", *l);
    write_text(w, "license", text.data);
    oll_strbuf_clear(&text);
    show_modelfile(&s->text, &text);
    write_text(w, "modelfile", text.data);
    oll_strbuf_clear(&text);
    show_parameters(stored->params, &text);
    write_text(w, "parameters", text.data);
    oll_strbuf_free(&text);
    write_text(w, "template",
               stored->template_text  ? stored->template_text
               : s->chat_template.len ? s->chat_template.data
                                      : "{{ .Prompt }}");
    write_text(w, "system", s->text.system);
}

static void write_capabilities(const struct served_model *m, struct oll_json_writer *w)
{
    if (!m->capabilities)
        return;
    oll_json_write_key(w, "capabilities");
    oll_json_write_array_begin(w);
    for (int i = 0; i < CAPABILITIES; i++)
        if (m->capabilities & 1u << i)
            oll_json_write_str(w, model_capability_names[i]);
    oll_json_write_array_end(w);
}

static void write_reply(struct show *s, struct oll_json_writer *w)
{
    const struct oll_stored_model *stored = &s->model.stored;
    char modified[OLLAMA_TIME_MAX];
    oll_json_write_object_begin(w);
    write_texts(s, w);
    ollama_write_details(w, &s->model, OLLAMA_DETAILS_SHOW);
    if (stored->messages && stored->messages->n > 0) {
        oll_json_write_key(w, "messages");
        oll_json_write_node(w, stored->messages, false);
    }
    write_text(w, "remote_model", stored->config.remote_model);
    write_text(w, "remote_host", stored->config.remote_host);
    write_raw(w, "model_info", &s->info, "{}");
    write_raw(w, "projector_info", &s->projector, NULL);
    write_raw(w, "tensors", &s->tensors, NULL);
    write_capabilities(&s->model, w);
    ollama_time_local(s->model.modified_ns, modified);
    write_text(w, "modified_at", modified);
    write_text(w, "requires", stored->config.requires_version);
    oll_json_write_object_end(w);
}

/* ---- finding ---- */

static oll_status find(struct show *s, struct models *models, int *http_status,
                       struct oll_error *err)
{
    struct oll_error why = {0};
    char brief[OLL_REFERENCE_TEXT_MAX];
    oll_status status = models_find(models, s->request->name, s->arena, &s->model, &why);
    *http_status = status == OLL_ERR_ARG           ? 400
                   : status == OLL_ERR_NOT_FOUND   ? 404
                   : status == OLL_ERR_UNSUPPORTED ? 403
                                                   : 500;
    oll_reference_short(&s->model.ref, brief);
    if (status == OLL_OK)
        return OLL_OK;
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, status, "model '%s' not found", brief);
    if (status == OLL_ERR_UNSUPPORTED)
        return OLL_FAIL(err, status,
                        "ollama cloud is disabled: remote model details are unavailable");
    return OLL_FAIL(err, status, "%s", oll_error_text(&why));
}

oll_status show_reply(struct models *models, const struct show_request *request,
                      struct oll_arena *arena, struct oll_strbuf *out, int *http_status,
                      struct oll_error *err)
{
    struct show *s = oll_arena_alloc(arena, 1, sizeof *s);
    struct oll_json_writer w;
    *http_status = 500;
    if (!s)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model's details");
    s->arena = arena;
    s->store = models_store(models);
    s->request = request;
    OLL_TRY(find(s, models, http_status, err));
    oll_strbuf_init(&s->info, REPLY_BYTES_MAX);
    oll_strbuf_init(&s->projector, REPLY_BYTES_MAX);
    oll_strbuf_init(&s->tensors, REPLY_BYTES_MAX);
    oll_strbuf_init(&s->chat_template, REPLY_BYTES_MAX);
    oll_status status = gather(s, err);
    if (status == OLL_OK) {
        oll_json_write_init(&w, out);
        write_reply(s, &w);
    }
    oll_strbuf_free(&s->info);
    oll_strbuf_free(&s->projector);
    oll_strbuf_free(&s->tensors);
    oll_strbuf_free(&s->chat_template);
    return status;
}
