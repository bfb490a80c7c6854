#include "server/model_path.h"

#include "engine/base/mem.h"
#include "registry/catalog.h"
#include "server/env.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { ARENA_BYTES = 64 * 1024 * 1024 };

/* A word that says "file" rather than "name": it has the suffix, or begins like a path. */
static bool looks_like_path(const char *model)
{
    size_t n = strlen(model);
    return (n > 5 && strcmp(model + n - 5, ".gguf") == 0) || model[0] == '/' || model[0] == '.';
}

static oll_status find_stored(const struct oll_store *store, const char *model, char **path,
                              struct oll_error *err)
{
    struct oll_reference ref;
    struct oll_stored_model stored;
    struct oll_arena arena;
    OLL_TRY(oll_reference_parse(model, &ref, err));
    OLL_TRY(oll_catalog_canonical(store, &ref, err));
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = oll_catalog_load(store, &ref, false, &arena, &stored, NULL);
    if (status == OLL_ERR_NOT_FOUND)
        oll_error_set(err, status, "model '%s' not found in %s", model, oll_store_path(store));
    else if (status != OLL_OK)
        oll_error_set(err, status, "model '%s' is damaged", model);
    else if (!stored.model)
        status = OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "model '%s' has no weights here", model);
    else
        status = oll_blob_path(store, &stored.model->digest, path, err);
    oll_arena_free(&arena);
    return status;
}

oll_status model_path_resolve(const char *model, char **path, struct oll_error *err)
{
    struct stat st;
    struct oll_store *store = NULL;
    char folder[ENV_TEXT_MAX];
    if (stat(model, &st) == 0 && S_ISREG(st.st_mode)) {
        *path = oll_strdup(model);
        return *path ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    }
    if (looks_like_path(model))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "%s: no such file", model);
    if (!env_models(folder))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND,
                        "model '%s' not found: neither OLLAMA_MODELS nor HOME is set", model);
    OLL_TRY(oll_store_new(folder, &store, err));
    oll_status status = find_stored(store, model, path, err);
    oll_store_free(store);
    return status;
}
