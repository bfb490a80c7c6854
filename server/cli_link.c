/* `oll link`: a GGUF file becomes a model where it is. */
#include "registry/gguf_import.h"
#include "registry/reference.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_create.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The stem of a path as far as it can be a model's name: "./My Model.gguf" gives "My-Model". */
static void name_of(const char *path, char out[OLL_NAME_PART_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    const char *stem = slash ? slash + 1 : path;
    size_t length = strlen(stem), n = 0;
    if (length > 5 && strcmp(stem + length - 5, ".gguf") == 0)
        length -= 5;
    for (size_t i = 0; i < length && n < OLL_NAME_PART_MAX; i++) {
        const char c = stem[i];
        const bool word =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (word || (n > 0 && (c == '.' || c == '-')))
            out[n++] = c;
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && (out[n - 1] == '-' || out[n - 1] == '.'))
        n--;
    out[n] = '\0';
    if (n == 0)
        memcpy(out, "model", sizeof "model");
}

static int run_link(const struct cli_args *args)
{
    struct oll_error err = {0};
    char stem[OLL_NAME_PART_MAX + 1];
    char *path = realpath(args->positional[0], NULL);
    if (!path)
        return cli_failf("%s: %s", args->positional[0], strerror(errno));
    name_of(args->positional[0], stem);
    const char *name = args->n_positional > 1 ? args->positional[1] : stem;
    oll_status status = OLL_OK;
    if (!oll_import_is_gguf(path))
        status = OLL_FAIL(&err, OLL_ERR_FORMAT, "%s is no GGUF file", args->positional[0]);
    if (status == OLL_OK)
        status = cli_create_from_file(name, path, cli_has(args, "local"), &err);
    free(path);
    if (status != OLL_OK)
        return cli_fail(&err);
    printf("'%s' is the model '%s'\n", args->positional[0], name);
    return 0;
}

static const struct cli_option options[] = {CLI_LOCAL_OPTION, {0}};

const struct cli_command cli_link = {
    .name = "link",
    .usage = "FILE [NAME]",
    .summary = "Make a GGUF file a model without copying it",
    .details = "Where the file system can share blocks the model is a clone of the file, else a\n"
               "second name of it: then the file must not be changed. A file on another disk is\n"
               "copied. Without NAME the model is called after the file.",
    .options = options,
    .variables = cli_host_variables,
    .min_args = 1,
    .max_args = 2,
    .run = run_link,
};
