/* The part of `oll doctor` that looks at files. */
#include "registry/catalog.h"
#include "registry/size_text.h"
#include "server/cli_doctor.h"
#include "server/env.h"
#include "server/models.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ARENA_BYTES = 512 << 20, PATH_BYTES = 4096 };
#define SPACE_LITTLE ((uint64_t)2 << 30)

/* ---- the folder ---- */

/* The nearest folder above a path that exists, for a store that is not made yet. */
static void existing_part(const char *path, char out[PATH_BYTES])
{
    struct stat st;
    snprintf(out, PATH_BYTES, "%s", path);
    while (out[0] && stat(out, &st) != 0) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out) {
            snprintf(out, PATH_BYTES, "%s", slash ? "/" : ".");
            return;
        }
        *slash = '\0';
    }
}

static bool check_folder(struct cli_doctor *d, const char *path)
{
    char part[PATH_BYTES];
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    if (exists && !S_ISDIR(st.st_mode)) {
        cli_doctor_say(d, DOCTOR_WRONG, "store", "%s is no folder", path);
        cli_doctor_advise("move it away, or set OLLAMA_MODELS to another folder");
        return false;
    }
    existing_part(path, part);
    if (access(part, W_OK | X_OK) != 0) {
        const bool readable = exists && access(path, R_OK | X_OK) == 0;
        cli_doctor_say(d, DOCTOR_WRONG, "store", "%s cannot be %s by this user: %s", part,
                       readable || !exists ? "written" : "read", strerror(errno));
        cli_doctor_advise(
            "become its owner (sudo chown -R \"$USER\" '%s'), or set OLLAMA_MODELS to "
            "a folder of your own",
            part);
        return readable;
    }
    if (!exists)
        cli_doctor_say(d, DOCTOR_OK, "store", "%s, made at the first pull", path);
    return exists;
}

static void check_space(struct cli_doctor *d, const char *path)
{
    char part[PATH_BYTES], text[OLL_SIZE_TEXT_MAX];
    struct statvfs fs;
    existing_part(path, part);
    if (statvfs(part, &fs) != 0)
        return;
    const uint64_t n = (uint64_t)fs.f_bavail * fs.f_frsize;
    const bool little = n < SPACE_LITTLE;
    oll_size_text(n, text);
    cli_doctor_say(d, little ? DOCTOR_WARN : DOCTOR_OK, "disk", "%s free at %s", text, part);
    if (little)
        cli_doctor_advise("remove models (oll rm), or move the store and set OLLAMA_MODELS");
}

/* ---- what is in it ---- */

static void check_models(struct cli_doctor *d, const char *path)
{
    struct models *models;
    struct served_model *list = NULL;
    struct oll_arena arena;
    struct oll_error err = {0};
    size_t n = 0, n_absent = 0;
    uint64_t bytes = 0;
    char text[OLL_SIZE_TEXT_MAX];
    if (models_new(path, &models, &err) != OLL_OK) {
        cli_doctor_say(d, DOCTOR_WRONG, "store", "%s", oll_error_text(&err));
        return;
    }
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = models_list(models, &arena, &list, &n, &err);
    for (size_t i = 0; i < n && status == OLL_OK; i++) {
        const bool remote =
            list[i].stored.config.remote_model && *list[i].stored.config.remote_model;
        bytes += list[i].size_bytes;
        if (remote || (list[i].path && access(list[i].path, R_OK) == 0))
            continue;
        n_absent++;
        cli_doctor_say(d, DOCTOR_WRONG, "store", "%s: its weights cannot be read",
                       list[i].short_name);
        cli_doctor_advise("pull or create it again: oll pull %s", list[i].short_name);
    }
    oll_size_text(bytes, text);
    if (status != OLL_OK)
        cli_doctor_say(d, DOCTOR_WRONG, "store", "%s", oll_error_text(&err));
    else if (n_absent == 0)
        cli_doctor_say(d, DOCTOR_OK, "store", "%s: %zu model%s, %s", path, n, n == 1 ? "" : "s",
                       text);
    oll_arena_free(&arena);
    models_free(models);
}

/* ---- the identity ---- */

static void check_key(struct cli_doctor *d)
{
    char path[ENV_TEXT_MAX];
    struct stat st;
    if (!env_key(path)) {
        cli_doctor_say(d, DOCTOR_WARN, "identity", "HOME is not set: there is none for registries");
        return;
    }
    if (stat(path, &st) != 0) {
        cli_doctor_say(d, DOCTOR_OK, "identity", "%s, made when a server starts", path);
    } else if (st.st_mode & 077) {
        cli_doctor_say(d, DOCTOR_WRONG, "identity", "%s can be read by others (mode %o)", path,
                       (unsigned)(st.st_mode & 07777));
        cli_doctor_advise("chmod 600 '%s'", path);
    } else if (access(path, R_OK) != 0) {
        cli_doctor_say(d, DOCTOR_WRONG, "identity", "%s cannot be read by this user", path);
        cli_doctor_advise("sudo chown \"$USER\" '%s'", path);
    } else {
        cli_doctor_say(d, DOCTOR_OK, "identity", "%s", path);
    }
}

void cli_doctor_store(struct cli_doctor *d)
{
    char path[ENV_TEXT_MAX];
    if (!env_models(path)) {
        cli_doctor_say(d, DOCTOR_WRONG, "store", "neither OLLAMA_MODELS nor HOME is set");
        cli_doctor_advise("set OLLAMA_MODELS to the folder where models are to be kept");
        return;
    }
    if (check_folder(d, path))
        check_models(d, path);
    check_space(d, path);
    check_key(d);
}
