/* `oll save`, `oll load`: models in one file, for machines that reach no registry. */
#include "engine/base/mem.h"
#include "registry/archive.h"
#include "registry/catalog.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_progress.h"
#include "server/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_BYTES_MIN = 1 << 20 }; /* smaller blobs are through before a bar is read */

struct job {
    struct cli_progress *progress;
    const char *verb;
};

static void on_progress(void *user, const struct oll_digest *digest, uint64_t total,
                        uint64_t completed)
{
    struct job *job = user;
    char text[OLL_DIGEST_TEXT_MAX], title[64];
    oll_digest_text(digest, text);
    snprintf(title, sizeof title, "%s %.12s", job->verb, text + sizeof "sha256:" - 1);
    if (total >= BAR_BYTES_MIN)
        cli_progress_show(job->progress, text, title, total, completed);
    cli_progress_tick(job->progress);
}

static bool on_poll(void *user)
{
    (void)user;
    return cli_client_interrupted();
}

/* ---- save ---- */

static oll_status parse_names(const struct cli_args *args, const struct oll_store *store,
                              struct oll_reference *refs, struct oll_error *err)
{
    for (int i = 0; i < args->n_positional; i++) {
        const char *name = args->positional[i];
        if (oll_reference_parse(name, &refs[i], NULL) != OLL_OK)
            return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name: %s", name);
        OLL_TRY(oll_catalog_canonical(store, &refs[i], err));
    }
    return OLL_OK;
}

static oll_status save(const struct cli_args *args, const struct oll_store *store,
                       struct oll_error *err)
{
    const char *path = cli_value(args, "output", NULL);
    const size_t n = (size_t)args->n_positional;
    struct oll_reference *refs = oll_alloc(n, sizeof *refs);
    if (!refs)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the names");
    oll_status status = parse_names(args, store, refs, err);
    if (status == OLL_OK && !path && isatty(STDOUT_FILENO))
        status = OLL_FAIL(err, OLL_ERR_ARG,
                          "an archive is not for the terminal: name a file with -o FILE");
    if (status == OLL_OK) {
        struct job job = {cli_progress_new(), "saving"};
        const struct oll_archive config = {store, on_progress, on_poll, &job};
        cli_client_catch();
        status = oll_archive_save(&config, refs, n, path, cli_has(args, "force"), err);
        cli_progress_free(job.progress);
        cli_client_release();
    }
    oll_free(refs);
    return status;
}

static int run_save(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    oll_status status = cli_client_open(&client, true, &err);
    if (status == OLL_OK)
        status = save(args, client.store, &err);
    cli_client_close(&client);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

/* ---- load ---- */

static void on_loaded(void *user, const struct oll_reference *ref)
{
    char name[OLL_REFERENCE_TEXT_MAX];
    (void)user;
    oll_reference_short(ref, name);
    printf("loaded '%s'\n", name);
}

static oll_status load(const char *path, const struct oll_store *store, struct oll_error *err)
{
    const bool from_file = path && strcmp(path, "-") != 0;
    if (!from_file && isatty(STDIN_FILENO))
        return OLL_FAIL(err, OLL_ERR_ARG, "no archive: name a file, or give one on standard input");
    const int fd = from_file ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (fd < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", path, strerror(errno));
    struct job job = {cli_progress_new(), "loading"};
    const struct oll_archive config = {store, on_progress, on_poll, &job};
    cli_client_catch();
    oll_status status =
        oll_archive_load(&config, fd, !env_bool("OLLAMA_NOPRUNE", false), on_loaded, err);
    cli_progress_free(job.progress);
    cli_client_release();
    if (from_file)
        close(fd);
    return status;
}

static int run_load(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    oll_status status = cli_client_open(&client, true, &err);
    if (status == OLL_OK)
        status = load(args->n_positional > 0 ? args->positional[0] : NULL, client.store, &err);
    cli_client_close(&client);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option save_options[] = {
    {"output", 'o', CLI_VALUE, "FILE", "the archive (default: standard output)"},
    {"force", 0, CLI_FLAG, NULL, "replace FILE when it exists"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_MODELS", "folder of models (default ~/.ollama/models)"},
    {0},
};

const struct cli_command cli_save = {
    .name = "save",
    .usage = "MODEL...",
    .summary = "Save models to an archive",
    .details = "The archive is an OCI image layout in a tar file; blobs that models share are in\n"
               "it once. oll load takes it in on a machine that reaches no registry.",
    .options = save_options,
    .variables = variables,
    .min_args = 1,
    .max_args = -1,
    .run = run_save,
};

const struct cli_command cli_load = {
    .name = "load",
    .usage = "[FILE]",
    .summary = "Load models from an archive",
    .details = "Reads what oll save wrote, from FILE or standard input. Every blob is hashed;\n"
               "models that have the same names are replaced.",
    .variables = variables,
    .max_args = 1,
    .run = run_load,
};
