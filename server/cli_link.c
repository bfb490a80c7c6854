/* `oll link`: a GGUF file becomes a model where it is. */
#include "server/cli_link.h"
#include "registry/gguf_import.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_create.h"
#include "server/model_path.h"
#include "server/model_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void cli_link_name(const char *path, char out[OLL_NAME_PART_MAX + 1])
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

/* Whether a stored model's weights are the bytes of this file. A clone, which has an inode of its
 * own, is told by its hash. */
static bool is_same(const struct model_entry *entry, const char *path)
{
    struct stat a, b;
    char digest[OLL_DIGEST_TEXT_MAX];
    struct model_source_file file = {.path = path};
    if (stat(path, &a) != 0 || stat(entry->path, &b) != 0 || a.st_size != b.st_size)
        return false;
    if (a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return true;
    oll_digest_text(&entry->stored.model->digest, digest);
    return model_source_hash(&file, NULL, NULL, NULL) == OLL_OK && strcmp(file.digest, digest) == 0;
}

bool cli_link_file(const char *path, const char *name)
{
    struct model_entry entry;
    bool same = false, linked = false;
    char *real = realpath(path, NULL);
    if (!real || !oll_import_is_gguf(real)) {
        free(real);
        return false;
    }
    const oll_status known = model_entry_find_name(name, &entry, NULL);
    if (known == OLL_OK)
        same = is_same(&entry, real);
    model_entry_free(&entry);
    if (known == OLL_ERR_NOT_FOUND)
        same = cli_create_by_link(name, real, &linked, NULL) == OLL_OK;
    if (same && linked)
        fprintf(stderr,
                "linked %s as the model '%s': they share their bytes, do not change the file\n",
                path, name);
    free(real);
    return same;
}

static int run_link(const struct cli_args *args)
{
    struct oll_error err = {0};
    char stem[OLL_NAME_PART_MAX + 1];
    char *path = realpath(args->positional[0], NULL);
    if (!path)
        return cli_failf("%s: %s", args->positional[0], strerror(errno));
    cli_link_name(args->positional[0], stem);
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
