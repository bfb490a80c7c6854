#include "server/cli_transfer.h"

#include "engine/base/strbuf.h"
#include "registry/catalog.h"
#include "registry/push.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_progress.h"
#include "server/env.h"

#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 16 * 1024 };

typedef oll_status (*transfer_fn)(const struct oll_transfer *transfer, struct oll_error *err);

struct kind {
    const char *path; /* of the API */
    transfer_fn local;
    bool is_pull;
};

static const struct kind pull_kind = {"/api/pull", oll_pull, true};
static const struct kind push_kind = {"/api/push", oll_push, false};

struct display {
    const struct kind *kind;
    struct cli_progress *progress;
};

static void show(struct display *d, const char *status, const char *digest, uint64_t total,
                 uint64_t completed)
{
    char title[160];
    if (!digest || !*digest) {
        cli_progress_show(d->progress, NULL, status, 0, 0);
        return;
    }
    /* A pull that has not begun shows nothing yet. */
    if (d->kind->is_pull && completed == 0)
        return;
    snprintf(title, sizeof title, "%s%s", status, d->kind->is_pull ? ":" : "");
    cli_progress_show(d->progress, digest, title, total, completed);
}

/* ---- through the server ---- */

static uint64_t count_of(const struct oll_json *line, const char *key)
{
    const struct oll_json *v = oll_json_get(line, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_int && v->i > 0 ? (uint64_t)v->i : 0;
}

static void on_line(void *user, const struct oll_json *line)
{
    show(user, oll_json_get_str(line, "status", ""), oll_json_get_str(line, "digest", NULL),
         count_of(line, "total"), count_of(line, "completed"));
}

static void on_tick(void *user)
{
    const struct display *d = user;
    cli_progress_tick(d->progress);
}

static oll_status run_remote(struct cli_client *client, struct display *d, const char *name,
                             bool insecure, struct oll_error *err)
{
    struct oll_strbuf body;
    struct oll_json_writer w;
    oll_strbuf_init(&body, BODY_MAX);
    oll_json_write_init(&w, &body);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, name);
    oll_json_write_key(&w, "insecure");
    oll_json_write_bool(&w, insecure);
    oll_json_write_object_end(&w);
    client->tick = on_tick;
    client->user = d;
    oll_status status = body.status == OLL_OK
                            ? cli_client_stream(client, d->kind->path, body.data, on_line, d, err)
                            : OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    client->tick = NULL;
    oll_strbuf_free(&body);
    return status;
}

/* ---- without one ---- */

static void on_event(void *user, const struct oll_transfer_event *event)
{
    show(user, event->status, event->digest, event->total, event->completed);
}

static bool on_poll(void *user)
{
    on_tick(user);
    return cli_client_interrupted();
}

static oll_status run_local(struct cli_client *client, struct display *d, const char *name,
                            bool insecure, struct oll_error *err)
{
    struct oll_reference ref;
    char key[ENV_TEXT_MAX];
    if (oll_reference_parse(name, &ref, NULL) != OLL_OK || ref.source == OLL_SOURCE_CLOUD)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    OLL_TRY(oll_catalog_canonical(client->store, &ref, err));
    const struct oll_transfer transfer = {
        .store = client->store,
        .ref = &ref,
        .insecure = insecure,
        .prune = !env_bool("OLLAMA_NOPRUNE", false),
        .key_path = env_key(key) ? key : NULL,
        .progress = on_event,
        .canceled = on_poll,
        .user = d,
    };
    return d->kind->local(&transfer, err);
}

static oll_status run_transfer(struct cli_client *client, const struct kind *kind, const char *name,
                               bool insecure, struct oll_error *err)
{
    struct display d = {kind, cli_progress_new()};
    oll_status status = client->store ? run_local(client, &d, name, insecure, err)
                                      : run_remote(client, &d, name, insecure, err);
    cli_progress_free(d.progress);
    return status;
}

oll_status cli_transfer_pull(struct cli_client *client, const char *name, bool insecure,
                             struct oll_error *err)
{
    cli_client_catch();
    return run_transfer(client, &pull_kind, name, insecure, err);
}

/* ---- commands ---- */

static int run_command(const struct cli_args *args, const struct kind *kind)
{
    struct cli_client client;
    struct oll_error err = {0};
    oll_status status = cli_client_open(&client, cli_has(args, "local"), &err);
    cli_client_catch();
    if (status == OLL_OK)
        status = run_transfer(&client, kind, args->positional[0], cli_has(args, "insecure"), &err);
    cli_client_close(&client);
    cli_client_release();
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static int run_pull(const struct cli_args *args) { return run_command(args, &pull_kind); }

/* Where a model that was pushed is found. */
static void print_place(const char *name)
{
    struct oll_reference ref;
    char text[OLL_REFERENCE_TEXT_MAX];
    if (oll_reference_parse(name, &ref, NULL) != OLL_OK)
        return;
    oll_reference_short(&ref, text);
    char *tag = strrchr(text, ':');
    const bool public = strcmp(ref.host, "registry.ollama.ai") == 0;
    if (tag && strcmp(tag, ":latest") == 0)
        *tag = '\0';
    printf("\nYou can find your model at:\n\n\t%s%s\n", public ? "https://ollama.com/" : "", text);
}

static int run_push(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    const char *name = args->positional[0];
    oll_status status = cli_client_open(&client, cli_has(args, "local"), &err);
    cli_client_catch();
    if (status == OLL_OK)
        status = run_transfer(&client, &push_kind, name, cli_has(args, "insecure"), &err);
    cli_client_close(&client);
    cli_client_release();
    if (status == OLL_OK) {
        print_place(name);
        return 0;
    }
    if (strstr(err.text, "access denied") || strstr(err.text, "unauthorized"))
        return cli_failf("you are not authorized to push to this namespace, create the model under "
                         "a namespace you own");
    return cli_fail(&err);
}

static const struct cli_option options[] = {
    {"insecure", 0, CLI_FLAG, NULL, "use plain HTTP for the registry"},
    CLI_LOCAL_OPTION,
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_HOST", "Server to use: host:port, or unix:/path (default 127.0.0.1:11434)"},
    {"OLL_API_KEY", "Key that is sent to a server which asks for one"},
    {"OLL_AUTH_REALMS", "Other origins that may be asked for tokens, e.g. https://auth.docker.io"},
    {"OLL_LIMIT_RATE", "Bytes a second, e.g. 5m"},
    {"OLL_RETRY_MS", "First pause between tries (default 1000)"},
    {"OLL_STALL_S", "Silence that ends a try (default 30)"},
    {"https_proxy, no_proxy", "Proxy for registries, and where it is not used"},
    {"SSL_CERT_FILE", "Certificates to trust"},
    {"DOCKER_CONFIG", "Folder with the credentials of registries"},
    {0},
};

const struct cli_command cli_pull = {
    .name = "pull",
    .usage = "MODEL",
    .summary = "Pull a model from a registry",
    .options = options,
    .variables = variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_pull,
};

const struct cli_command cli_push = {
    .name = "push",
    .usage = "MODEL",
    .summary = "Push a model to a registry",
    .options = options,
    .variables = variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_push,
};
