/* POST /api/pull and /api/push (rest-api 2.8, 2.9). */
#include "registry/push.h"
#include "server/app.h"
#include "server/decode.h"
#include "server/env.h"
#include "server/models.h"
#include "server/ollama.h"
#include "server/ollama_progress.h"
#include "server/ollama_reply.h"

#include <stddef.h>

struct fields {
    const char *model, *name, *username, *password;
    bool insecure, stream;
};

static const struct decode_field table[] = {
    {"model", DECODE_STRING, offsetof(struct fields, model), NULL},
    {"name", DECODE_STRING, offsetof(struct fields, name), NULL},
    {"insecure", DECODE_BOOL, offsetof(struct fields, insecure), NULL},
    {"username", DECODE_STRING, offsetof(struct fields, username), NULL},
    {"password", DECODE_STRING, offsetof(struct fields, password), NULL},
    {"stream", DECODE_BOOL, offsetof(struct fields, stream), NULL},
    {NULL, DECODE_ANY, 0, NULL},
};

static void send_event(void *user, const struct oll_transfer_event *event)
{
    /* That nobody listens shows in `canceled`. */
    (void)ollama_progress_send(user, event->status, event->digest ? event->digest : "",
                               event->total, event->completed);
}

static bool canceled(void *user) { return ollama_progress_canceled(user); }

static oll_status check_name(const struct app *app, const char *name, struct oll_reference *ref,
                             struct oll_error *err)
{
    if (oll_reference_parse(name, ref, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    if (ref->source == OLL_SOURCE_CLOUD)
        return OLL_FAIL(err, OLL_ERR_ARG, "models of the cloud are not available here: \"%s\"",
                        name);
    const struct oll_store *store = models_store(app->models);
    if (!store)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND,
                        "there is no model store: neither OLLAMA_MODELS "
                        "nor HOME is set");
    return oll_catalog_canonical(store, ref, err);
}

/* What the two requests differ in. A push of a bad name fails as a push, after its checks. */
struct kind {
    const char *type, *prefix, *no_name;
    bool bad_name_is_late;
    oll_status (*run)(const struct oll_transfer *transfer, struct oll_error *err);
};

static const struct kind pull_kind = {"PullRequest", "PullRequest.", "invalid model name", false,
                                      oll_pull};
static const struct kind push_kind = {"PushRequest", "PushRequest.", "model is required", true,
                                      oll_push};

/* Reads the request; false when it has been answered. */
static bool begin(struct http_request *req, const struct kind *kind, struct fields *f,
                  struct oll_reference *ref)
{
    const struct oll_json *root;
    struct oll_error err = {0};
    *f = (struct fields){.model = "", .name = "", .stream = true};
    oll_status status = decode_body(req, kind->type, &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, table, kind->prefix, f, &err);
    const char *name = *f->model ? f->model : f->name;
    if (status == OLL_OK && !*name)
        status = OLL_FAIL(&err, OLL_ERR_ARG, "%s", kind->no_name);
    if (status == OLL_OK) {
        status = check_name(req->app, name, ref, &err);
        if (status != OLL_OK && kind->bad_name_is_late) {
            const struct ollama_progress progress = {req, f->stream};
            ollama_progress_end(&progress, status, 500, &err);
            return false;
        }
    }
    if (status != OLL_OK)
        ollama_error(req, status == OLL_ERR_ARG || status == OLL_ERR_FORMAT ? 400 : 500,
                     oll_error_text(&err));
    return status == OLL_OK;
}

static void run(struct http_request *req, const struct kind *kind)
{
    struct fields f;
    struct oll_reference ref;
    if (!begin(req, kind, &f, &ref))
        return;
    const struct app *app = req->app;
    struct ollama_progress progress = {req, f.stream};
    struct oll_error err = {0};
    char key[ENV_TEXT_MAX];
    const struct oll_transfer transfer = {
        .store = models_store(app->models),
        .ref = &ref,
        .insecure = f.insecure,
        .prune = !env_bool("OLLAMA_NOPRUNE", false),
        .key_path = env_key(key) ? key : NULL,
        .progress = send_event,
        .canceled = canceled,
        .user = &progress,
    };
    oll_status status = kind->run(&transfer, &err);
    ollama_progress_end(&progress, status, 500, &err);
}

void ollama_pull(struct http_request *req) { run(req, &pull_kind); }

void ollama_push(struct http_request *req) { run(req, &push_kind); }
