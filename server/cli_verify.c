/* `oll verify`: the store of this machine, checked and mended. */
#include "registry/size_text.h"
#include "registry/verify.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_progress.h"
#include "server/env.h"

#include <inttypes.h>
#include <stdio.h>

enum { BAR_BYTES_MIN = 64 << 20 }; /* smaller blobs are through before a bar is read */

static void on_found(void *user, const struct oll_verify_finding *f)
{
    (void)user;
    printf("%s: %s%s%s %s%s", f->repaired ? "repaired" : "damaged", f->model ? f->model : "",
           f->model ? ": " : "", f->digest ? f->digest : "manifest:", f->text,
           f->reason ? "; not repaired: " : "\n");
    if (f->reason)
        printf("%s\n", f->reason);
    fflush(stdout);
}

static void on_progress(void *user, const char *what, const char *digest, uint64_t total,
                        uint64_t completed)
{
    char title[96];
    snprintf(title, sizeof title, "%s %.12s", what, digest + sizeof "sha256:" - 1);
    if (total >= BAR_BYTES_MIN)
        cli_progress_show(user, digest, title, total, completed);
    cli_progress_tick(user);
}

static bool on_poll(void *user)
{
    cli_progress_tick(user);
    return cli_client_interrupted();
}

static void print_result(const struct oll_verify_result *r)
{
    char size[OLL_SIZE_TEXT_MAX];
    oll_size_text(r->hashed_bytes, size);
    printf("%" PRIu32 " models, %" PRIu32 " blobs (%s hashed): ", r->n_models, r->n_blobs, size);
    if (r->n_damaged == 0)
        printf("no damage\n");
    else
        printf("%" PRIu32 " damaged, %" PRIu32 " of them repaired\n", r->n_damaged, r->n_repaired);
}

static int run_verify(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_verify_result result;
    struct oll_error err = {0};
    char key[ENV_TEXT_MAX];
    oll_status status = cli_client_open(&client, true, &err);
    if (status != OLL_OK)
        return cli_fail(&err);
    struct cli_progress *progress = cli_progress_new();
    const struct oll_verify verify = {
        .store = client.store,
        .deep = cli_has(args, "deep"),
        .repair = cli_has(args, "repair"),
        .insecure = cli_has(args, "insecure"),
        .key_path = env_key(key) ? key : NULL,
        .found = on_found,
        .progress = on_progress,
        .canceled = on_poll,
        .user = progress,
    };
    cli_client_catch();
    status = oll_verify_run(&verify, &result, &err);
    cli_progress_free(progress);
    cli_client_release();
    cli_client_close(&client);
    if (status != OLL_OK)
        return cli_fail(&err);
    print_result(&result);
    return result.n_damaged == result.n_repaired ? 0 : 1;
}

static const struct cli_option options[] = {
    {"deep", 0, CLI_FLAG, NULL, "hash every blob, not only the small ones"},
    {"repair", 0, CLI_FLAG, NULL, "fetch what is damaged from the registry it came from"},
    {"insecure", 0, CLI_FLAG, NULL, "use plain HTTP for the registry"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_MODELS", "folder of models (default ~/.ollama/models)"},
    {0},
};

const struct cli_command cli_verify = {
    .name = "verify",
    .usage = "",
    .summary = "Check the models of this machine, and repair them",
    .details = "Each manifest is read, each blob that it names must be there with its size, and\n"
               "small blobs must hash to their names; --deep hashes all of them. --repair puts\n"
               "damaged files aside and fetches the damaged ranges. The exit code is 1 when\n"
               "damage is left.",
    .variables = variables,
    .options = options,
    .run = run_verify,
};
