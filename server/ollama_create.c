/* POST /api/create (rest-api 2.10). */
#include "server/app.h"
#include "server/create.h"
#include "server/decode.h"
#include "server/env.h"
#include "server/ollama.h"
#include "server/ollama_progress.h"
#include "server/ollama_reply.h"

#include <stddef.h>
#include <string.h>

struct fields {
    const char *model, *name, *from, *template_text, *system, *renderer, *parser, *requires_version;
    const char *quantize, *quantization, *draft_quantize;
    const struct oll_json *files, *adapters, *draft_files, *license, *parameters, *messages, *info;
    bool stream;
};

static const struct decode_field table[] = {
    {"model", DECODE_STRING, offsetof(struct fields, model), NULL},
    {"name", DECODE_STRING, offsetof(struct fields, name), NULL},
    {"from", DECODE_STRING, offsetof(struct fields, from), NULL},
    {"template", DECODE_STRING, offsetof(struct fields, template_text), NULL},
    {"system", DECODE_STRING, offsetof(struct fields, system), NULL},
    {"renderer", DECODE_STRING, offsetof(struct fields, renderer), NULL},
    {"parser", DECODE_STRING, offsetof(struct fields, parser), NULL},
    {"requires", DECODE_STRING, offsetof(struct fields, requires_version), NULL},
    {"quantize", DECODE_STRING, offsetof(struct fields, quantize), NULL},
    {"quantization", DECODE_STRING, offsetof(struct fields, quantization), NULL},
    {"draft_quantize", DECODE_STRING, offsetof(struct fields, draft_quantize), NULL},
    {"files", DECODE_OBJECT, offsetof(struct fields, files), "map[string]string"},
    {"adapters", DECODE_OBJECT, offsetof(struct fields, adapters), "map[string]string"},
    {"draft_files", DECODE_OBJECT, offsetof(struct fields, draft_files), "map[string]string"},
    {"license", DECODE_ANY, offsetof(struct fields, license), NULL},
    {"parameters", DECODE_OBJECT, offsetof(struct fields, parameters), NULL},
    {"messages", DECODE_ARRAY, offsetof(struct fields, messages), "[]api.Message"},
    {"info", DECODE_OBJECT, offsetof(struct fields, info), NULL},
    {"stream", DECODE_BOOL, offsetof(struct fields, stream), NULL},
    {NULL, DECODE_ANY, 0, NULL},
};

/* ---- checks that come before the stream ---- */

/* A relative path with slashes that names no folder twice and none above. */
static bool is_clean_path(const char *path)
{
    if (!*path || strchr(path, '\\'))
        return false;
    for (const char *part = path;; part++) {
        const size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && memcmp(part, "..", 2) == 0))
            return false;
        part += n;
        if (!*part)
            return true;
    }
}

static oll_status check_files(const struct oll_json *files, struct oll_error *err)
{
    for (const struct oll_json *f = files ? files->first : NULL; f; f = f->next) {
        if (strlen(f->key) != f->key_len || !is_clean_path(f->key))
            return OLL_FAIL(err, OLL_ERR_ARG, "file path must be relative");
        if (f->type != OLL_JSON_STRING || f->str_len == 0)
            return OLL_FAIL(err, OLL_ERR_ARG, "invalid digest format");
    }
    return OLL_OK;
}

static oll_status check(const struct fields *f, struct create_request *out, struct oll_error *err)
{
    struct oll_reference ref;
    OLL_TRY(check_files(f->files, err));
    OLL_TRY(check_files(f->adapters, err));
    OLL_TRY(check_files(f->draft_files, err));
    if (*f->draft_quantize && (!f->draft_files || f->draft_files->n == 0))
        return OLL_FAIL(err, OLL_ERR_ARG, "--draft-quantize requires a DRAFT model");
    const char *name = *f->model ? f->model : f->name;
    if (oll_reference_parse(name, &ref, NULL) != OLL_OK || ref.source == OLL_SOURCE_CLOUD)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    *out = (struct create_request){
        .name = name,
        .from = f->from,
        .files = f->files,
        .adapters = f->adapters,
        .draft_files = f->draft_files,
        .template_text = f->template_text,
        .system = f->system,
        .renderer = f->renderer,
        .parser = f->parser,
        .requires_version = f->requires_version,
        .quantize = *f->quantize ? f->quantize : f->quantization,
        .draft_quantize = f->draft_quantize,
        .license = f->license,
        .parameters = f->parameters,
        .messages = f->messages,
    };
    return OLL_OK;
}

/* ---- info ---- */

static oll_status take_text(const struct oll_json *info, const char *key, const char **out,
                            struct oll_error *err)
{
    const struct oll_json *v = oll_json_get(info, key);
    if (!v)
        return OLL_OK;
    if (v->type != OLL_JSON_STRING || strlen(v->str) != v->str_len)
        return OLL_FAIL(err, OLL_ERR_ARG, "info field \"%s\" must be a string", key);
    *out = v->str;
    return OLL_OK;
}

static oll_status take_count(const struct oll_json *info, const char *key, uint64_t *out,
                             struct oll_error *err)
{
    const struct oll_json *v = oll_json_get(info, key);
    if (!v)
        return OLL_OK;
    if (v->type != OLL_JSON_NUMBER)
        return OLL_FAIL(err, OLL_ERR_ARG, "info field \"%s\" must be a number", key);
    /* 4096.0 is an integer, too. */
    if (!(v->real >= 0.0 && v->real <= 9007199254740992.0) || (double)(uint64_t)v->real != v->real)
        return OLL_FAIL(err, OLL_ERR_ARG, "info field \"%s\" must be a non-negative integer", key);
    *out = (uint64_t)v->real;
    return OLL_OK;
}

static oll_status take_info(const struct oll_json *info, struct create_info *out,
                            struct oll_error *err)
{
    const struct oll_json *capabilities = oll_json_get(info, "capabilities");
    if (capabilities && capabilities->type == OLL_JSON_ARRAY)
        out->capabilities = capabilities;
    OLL_TRY(take_text(info, "model_family", &out->family, err));
    OLL_TRY(take_text(info, "base_name", &out->base_name, err));
    OLL_TRY(take_text(info, "quantization_level", &out->quantization, err));
    OLL_TRY(take_text(info, "parameter_size", &out->n_params, err));
    OLL_TRY(take_count(info, "context_length", &out->context_length, err));
    return take_count(info, "embedding_length", &out->embedding_length, err);
}

/* ---- the stream ---- */

static bool send_status(void *user, const char *text, const char *digest, uint64_t total,
                        uint64_t completed)
{
    return ollama_progress_send(user, text, digest, total, completed);
}

static bool canceled(void *user) { return ollama_progress_canceled(user); }

void ollama_create(struct http_request *req)
{
    const struct app *app = req->app;
    struct fields f = {.model = "",
                       .name = "",
                       .from = "",
                       .template_text = "",
                       .system = "",
                       .parser = "",
                       .renderer = "",
                       .requires_version = "",
                       .quantize = "",
                       .quantization = "",
                       .draft_quantize = "",
                       .stream = true};
    struct create_request request;
    struct ollama_progress progress = {.req = req};
    const struct create_events events = {send_status, canceled, &progress};
    const struct oll_json *root;
    struct oll_error err = {0};
    int http_status = 400;
    oll_status status = decode_body(req, "CreateRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, table, "CreateRequest.", &f, &err);
    if (status == OLL_OK)
        status = check(&f, &request, &err);
    if (status != OLL_OK) {
        ollama_error(req, 400, oll_error_text(&err));
        return;
    }
    progress.streams = f.stream;
    status = take_info(f.info, &request.info, &err);
    if (status == OLL_OK)
        status = create_model(app->models, &request, &events, req->arena,
                              !env_bool("OLLAMA_NOPRUNE", false), &http_status, &err);
    ollama_progress_end(&progress, status, http_status, &err);
}
