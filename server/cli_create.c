/* `oll create` (cli-and-scheduler 2.7, store-and-registry 9.5, 10.5). */
#include "server/cli_create.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_create_files.h"
#include "server/cli_progress.h"
#include "server/create.h"
#include "server/env.h"
#include "server/model_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_BYTES = 1 << 30, BODY_MAX = 64 << 20, PATH_BYTES = 4096 };

struct job {
    const char *name;
    const char *file;           /* that alone is the model; NULL: a Modelfile tells */
    const char *modelfile_path; /* NULL: none was named */
    const char *quantize, *draft_quantize;
    bool link_only; /* the file is not copied, and little is said */
    bool linked;
    struct oll_arena arena;
    struct cli_client client;
    struct cli_progress *progress;
    struct oll_modelfile modelfile;
    struct model_source source;
    struct oll_strbuf request; /* JSON */
};

/* ---- Modelfile ---- */

/* Folder that relative paths of the Modelfile start from. */
static const char *folder_of(struct job *j, const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    const char *folder = NULL;
    if (slash)
        folder = oll_arena_strndup(&j->arena, real, slash == real ? 1 : (size_t)(slash - real));
    free(real);
    return folder ? folder : ".";
}

/* A Modelfile of one line. */
static oll_status from_file(struct job *j, struct oll_error *err)
{
    struct oll_modelfile_command *from =
        oll_arena_alloc(&j->arena, 1, sizeof *j->modelfile.commands);
    if (!from)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the model");
    *from = (struct oll_modelfile_command){.word = OLL_MODELFILE_FROM, .value = j->file};
    j->modelfile = (struct oll_modelfile){from, 1};
    return OLL_OK;
}

/* Without -f and without a Modelfile the files of this folder are the model. */
static oll_status read_modelfile(struct job *j, const char **folder, struct oll_error *err)
{
    static const char fallback[] = "FROM .\n";
    const char *path = j->modelfile_path ? j->modelfile_path : "Modelfile";
    char *text = NULL, here[PATH_BYTES];
    uint64_t n = 0;
    struct oll_error why = {0};
    oll_status status = oll_file_read(path, OLL_MODELFILE_BYTES_MAX, &text, &n, &why);
    if (status == OLL_ERR_NOT_FOUND && j->modelfile_path)
        return OLL_FAIL(err, status, "specified Modelfile wasn't found");
    if (status == OLL_ERR_NOT_FOUND) {
        *folder = getcwd(here, sizeof here) ? oll_arena_strdup(&j->arena, here) : ".";
        return oll_modelfile_parse(&j->arena, fallback, sizeof fallback - 1, &j->modelfile, err);
    }
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "%s", oll_error_text(&why));
    *folder = folder_of(j, path);
    status = oll_modelfile_parse(&j->arena, text, (size_t)n, &j->modelfile, err);
    oll_free(text);
    return status;
}

static void warn(const char *line) { printf("%s\n", line); }

/* ---- what the server tells ---- */

static void show(struct job *j, const char *status, const char *digest, uint64_t total,
                 uint64_t completed)
{
    if (!j->link_only)
        cli_progress_show(j->progress, total > 0 ? digest : NULL, status, total, completed);
}

static uint64_t count_of(const struct oll_json *line, const char *key)
{
    const struct oll_json *v = oll_json_get(line, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_int && v->i > 0 ? (uint64_t)v->i : 0;
}

static void on_line(void *user, const struct oll_json *line)
{
    show(user, oll_json_get_str(line, "status", ""), oll_json_get_str(line, "digest", ""),
         count_of(line, "total"), count_of(line, "completed"));
}

static void on_tick(void *user)
{
    const struct job *j = user;
    cli_progress_tick(j->progress);
}

/* ---- without a server ---- */

static bool on_status(void *user, const char *text, const char *digest, uint64_t total,
                      uint64_t completed)
{
    show(user, text, digest, total, completed);
    on_tick(user);
    return !cli_client_interrupted();
}

static bool on_poll(void *user)
{
    on_tick(user);
    return cli_client_interrupted();
}

static const char *text_of(const struct oll_json *root, const char *key)
{
    return oll_json_get_str(root, key, "");
}

/* The request that a server would get, carried out here. */
static oll_status create_here(struct job *j, struct oll_error *err)
{
    const struct create_events events = {on_status, on_poll, j};
    char folder[ENV_TEXT_MAX];
    struct models *models;
    struct oll_json *root;
    int http_status;
    OLL_TRY(oll_json_parse(&j->arena, j->request.data, j->request.len, NULL, &root, err));
    const struct create_request request = {
        .name = j->name,
        .from = text_of(root, "from"),
        .files = oll_json_get(root, "files"),
        .adapters = oll_json_get(root, "adapters"),
        .draft_files = oll_json_get(root, "draft_files"),
        .template_text = text_of(root, "template"),
        .system = text_of(root, "system"),
        .renderer = text_of(root, "renderer"),
        .parser = text_of(root, "parser"),
        .requires_version = text_of(root, "requires"),
        .quantize = text_of(root, "quantize"),
        .draft_quantize = text_of(root, "draft_quantize"),
        .license = oll_json_get(root, "license"),
        .parameters = oll_json_get(root, "parameters"),
        .messages = oll_json_get(root, "messages"),
    };
    OLL_TRY(models_new(env_models(folder) ? folder : NULL, &models, err));
    cli_client_catch();
    oll_status status = create_model(models, &request, &events, &j->arena,
                                     !env_bool("OLLAMA_NOPRUNE", false), &http_status, err);
    cli_client_release();
    models_free(models);
    return status;
}

/* ---- command ---- */

static oll_status bring_files(struct job *j, struct cli_create_files *files, struct oll_error *err)
{
    for (size_t i = 0; i < j->source.n_files; i++)
        OLL_TRY(cli_create_file(files, &j->source.files[i], err));
    return OLL_OK;
}

static oll_status build(struct job *j, struct oll_error *err)
{
    const struct model_source_extra extra = {j->name, j->quantize, j->draft_quantize};
    struct cli_create_files files;
    const char *folder = ".";
    OLL_TRY(j->file ? from_file(j, err) : read_modelfile(j, &folder, err));
    cli_progress_show(j->progress, NULL,
                      j->link_only ? "linking the file" : "gathering model components", 0, 0);
    OLL_TRY(model_source_read(&j->arena, &j->modelfile, folder, warn, &j->source, err));
    cli_create_files_open(&files, &j->client, j->progress);
    files.link_only = j->link_only;
    oll_status status = bring_files(j, &files, err);
    j->linked = files.linked;
    if (status == OLL_OK) {
        model_source_request(&j->source, &extra, &j->request);
        if (j->request.status != OLL_OK)
            status = OLL_FAIL(err, j->request.status, "the Modelfile is too large");
    }
    if (status == OLL_OK && j->client.store)
        status = create_here(j, err);
    else if (status == OLL_OK)
        status = cli_client_stream(&j->client, "/api/create", j->request.data, on_line, j, err);
    cli_create_files_close(&files);
    return status;
}

/* Carries out what the job says; its resources are released. */
static oll_status run_job(struct job *j, bool local, struct oll_error *err)
{
    struct oll_reference ref;
    if (oll_reference_parse(j->name, &ref, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name: %s", j->name);
    oll_arena_init(&j->arena, ARENA_BYTES);
    oll_strbuf_init(&j->request, BODY_MAX);
    oll_status status = cli_client_open(&j->client, local, err);
    if (status == OLL_OK) {
        if (!j->link_only || isatty(STDERR_FILENO))
            j->progress = cli_progress_new();
        j->client.tick = on_tick;
        j->client.user = j;
        status = build(j, err);
        j->client.tick = NULL;
        if (j->link_only)
            cli_progress_clear(j->progress);
        else
            cli_progress_free(j->progress);
    }
    cli_client_close(&j->client);
    oll_strbuf_free(&j->request);
    oll_arena_free(&j->arena);
    return status;
}

static oll_status create_from(const char *name, const char *path, bool local, bool *linked,
                              struct oll_error *err)
{
    struct job *j = oll_calloc(1, sizeof *j);
    if (!j)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the model");
    j->name = name;
    j->file = path;
    j->quantize = j->draft_quantize = "";
    j->link_only = linked != NULL;
    oll_status status = run_job(j, local, err);
    if (linked)
        *linked = j->linked;
    oll_free(j);
    return status;
}

oll_status cli_create_from_file(const char *name, const char *path, bool local,
                                struct oll_error *err)
{
    return create_from(name, path, local, NULL, err);
}

oll_status cli_create_by_link(const char *name, const char *path, bool *linked,
                              struct oll_error *err)
{
    return create_from(name, path, false, linked, err);
}

static int run_create(const struct cli_args *args)
{
    struct job *j = oll_calloc(1, sizeof *j);
    struct oll_error err = {0};
    if (!j)
        return cli_failf("out of memory");
    j->name = args->positional[0];
    j->modelfile_path = cli_value(args, "file", NULL);
    j->quantize = cli_value(args, "quantize", "");
    j->draft_quantize = cli_value(args, "draft-quantize", "");
    oll_status status = run_job(j, cli_has(args, "local"), &err);
    oll_free(j);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option options[] = {
    {"file", 'f', CLI_VALUE, "FILE", "name of the Modelfile (default \"Modelfile\")"},
    {"quantize", 'q', CLI_VALUE, "TYPE", "quantize the model to this type (q4_K_M, q8_0, ...)"},
    {"draft-quantize", 0, CLI_VALUE, "TYPE", "quantize the draft model to this type"},
    {"experimental", 0, CLI_FLAG, NULL, "Accepted for compatibility; what it enabled is on"},
    CLI_LOCAL_OPTION,
    {NULL, 0, CLI_FLAG, NULL, NULL},
};

const struct cli_command cli_create = {
    .name = "create",
    .usage = "MODEL",
    .summary = "Create a model",
    .details = "The Modelfile names a model, a GGUF file or a folder of safetensors files (FROM),\n"
               "and what belongs to it: TEMPLATE, SYSTEM, PARAMETER, ADAPTER, MESSAGE, LICENSE.\n"
               "Without -f and without a Modelfile the files of this folder are the model.",
    .options = options,
    .variables = cli_host_variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};
