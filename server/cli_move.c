/* `oll store move`: the models of this machine go to another folder. */
#include "registry/size_text.h"
#include "registry/store_move.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAR_BYTES_MIN = 1 << 20 }; /* smaller blobs are through before a bar is read */

static void on_progress(void *user, const struct oll_digest *digest, uint64_t total,
                        uint64_t completed)
{
    char text[OLL_DIGEST_TEXT_MAX], title[64];
    oll_digest_text(digest, text);
    snprintf(title, sizeof title, "copying %.12s", text + sizeof "sha256:" - 1);
    if (total >= BAR_BYTES_MIN)
        cli_progress_show(user, text, title, total, completed);
    cli_progress_tick(user);
}

static bool on_poll(void *user)
{
    (void)user;
    return cli_client_interrupted();
}

static int run_move(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_store_moved moved;
    struct oll_error err = {0};
    char size[OLL_SIZE_TEXT_MAX];
    const char *to = args->positional[0];
    oll_status status = cli_client_open(&client, true, &err);
    if (status == OLL_OK) {
        const struct oll_store_move move = {
            .from = client.store,
            .to = to,
            .progress = on_progress,
            .canceled = on_poll,
            .user = cli_progress_new(),
        };
        cli_client_catch();
        status = oll_store_move(&move, &moved, &err);
        cli_progress_free(move.user);
        cli_client_release();
    }
    cli_client_close(&client);
    if (status != OLL_OK)
        return cli_fail(&err);
    oll_size_text(moved.copied_bytes, size);
    printf("moved %" PRIu32 " models, %" PRIu32 " blobs (%s copied)\n", moved.n_models,
           moved.n_blobs, size);
    char *real = realpath(to, NULL);
    printf("They are found with OLLAMA_MODELS=%s; a server that runs must be restarted with it.\n",
           real ? real : to);
    free(real);
    return 0;
}

static const struct cli_variable variables[] = {
    {"OLLAMA_MODELS", "folder of models that is moved (default ~/.ollama/models)"},
    {0},
};

static const struct cli_command cli_store_move = {
    .name = "move",
    .usage = "DIR",
    .summary = "Move all models to another folder",
    .details = "On one file system nothing is copied. Elsewhere blobs are copied, hashed and\n"
               "made durable before the old ones are removed; what is interrupted goes on with\n"
               "the next run. Downloads that were not finished stay behind.",
    .variables = variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_move,
};

static const struct cli_command *const children[] = {&cli_store_move, NULL};

static int run_store(const struct cli_args *args)
{
    return args->n_positional > 0
               ? cli_failf("unknown command \"%s\" for \"oll store\"", args->positional[0])
               : cli_failf("missing command; see oll store --help");
}

const struct cli_command cli_store_folder = {
    .name = "store",
    .usage = "COMMAND",
    .summary = "Work on the folder of models",
    .children = children,
    .max_args = -1,
    .run = run_store,
};
