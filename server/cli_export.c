/* `oll export`: the file behind a model, as a file of the user's. */
#include "registry/blob_export.h"
#include "registry/catalog.h"
#include "registry/size_text.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_progress.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES = 64 << 20 };

struct job {
    struct cli_progress *progress;
    struct oll_arena arena;
    struct oll_stored_model model;
    const struct oll_layer *layer;
};

static void on_progress(void *user, uint64_t completed)
{
    struct job *j = user;
    char text[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(&j->layer->digest, text);
    cli_progress_show(j->progress, text, "exporting", j->layer->size_bytes, completed);
    cli_progress_tick(j->progress);
}

static bool on_poll(void *user)
{
    (void)user;
    return cli_client_interrupted();
}

static oll_status find(struct job *j, const struct oll_store *store, const char *name,
                       const char *kind, struct oll_error *err)
{
    struct oll_reference ref;
    struct oll_error why = {0};
    if (oll_reference_parse(name, &ref, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name: %s", name);
    OLL_TRY(oll_catalog_canonical(store, &ref, err));
    oll_status status = oll_catalog_load(store, &ref, false, &j->arena, &j->model, &why);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, status, "model '%s' not found", name);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "model '%s' is damaged: %s", name, oll_error_text(&why));
    for (uint32_t i = 0; i < j->model.manifest.n_layers; i++)
        if (oll_layer_is(&j->model.manifest.layers[i], kind))
            j->layer = &j->model.manifest.layers[i];
    return j->layer ? OLL_OK
                    : OLL_FAIL(err, OLL_ERR_NOT_FOUND, "model '%s' has no layer of the kind %s",
                               name, kind);
}

/* Names what belongs to the model and is not in the file. */
static void tell_rest(const struct job *j)
{
    static const char *const kinds[] = {"model",    "projector", "adapter", "draft",
                                        "template", "system",    "params"};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (uint32_t i = 0; i < j->model.manifest.n_layers; i++) {
            const struct oll_layer *l = &j->model.manifest.layers[i];
            if (l != j->layer && oll_layer_is(l, kinds[k])) {
                fprintf(stderr, "not in this file: %s (oll export --layer %s)\n", kinds[k],
                        kinds[k]);
                break;
            }
        }
}

static int run_export(const struct cli_args *args)
{
    struct cli_client client;
    struct job j = {0};
    struct oll_error err = {0};
    uint64_t n_bytes = 0;
    char size[OLL_SIZE_TEXT_MAX];
    oll_arena_init(&j.arena, ARENA_BYTES);
    oll_status status = cli_client_open(&client, true, &err);
    if (status == OLL_OK)
        status =
            find(&j, client.store, args->positional[0], cli_value(args, "layer", "model"), &err);
    if (status == OLL_OK) {
        const struct oll_export config = {
            .store = client.store,
            .digest = j.layer->digest,
            .path = args->positional[1],
            .replace = cli_has(args, "force"),
            .progress = on_progress,
            .canceled = on_poll,
            .user = &j,
        };
        j.progress = cli_progress_new();
        cli_client_catch();
        status = oll_blob_export(&config, &n_bytes, &err);
        cli_progress_free(j.progress);
        cli_client_release();
    }
    if (status == OLL_OK) {
        oll_size_text(n_bytes, size);
        printf("exported '%s' to %s (%s)\n", args->positional[0], args->positional[1], size);
        tell_rest(&j);
    }
    oll_arena_free(&j.arena);
    cli_client_close(&client);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option options[] = {
    {"force", 0, CLI_FLAG, NULL, "replace FILE when it exists"},
    {"layer", 0, CLI_VALUE, "KIND", "another part: projector, adapter, template, params, ..."},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_MODELS", "folder of models (default ~/.ollama/models)"},
    {0},
};

const struct cli_command cli_export = {
    .name = "export",
    .usage = "MODEL FILE",
    .summary = "Write a model's GGUF file",
    .details = "The file shares its blocks with the store where the file system can do that.",
    .options = options,
    .variables = variables,
    .min_args = 2,
    .max_args = 2,
    .run = run_export,
};
