#include "server/model_path.h"

#include "engine/base/mem.h"
#include "server/env.h"

#include <string.h>
#include <sys/stat.h>

enum { ARENA_BYTES = 64 * 1024 * 1024 };

/* It has the suffix, or begins like a path. */
bool model_is_path(const char *model)
{
    size_t n = strlen(model);
    return (n > 5 && strcmp(model + n - 5, ".gguf") == 0) || model[0] == '/' || model[0] == '.';
}

static oll_status find_stored(const struct oll_store *store, const char *model,
                              struct model_entry *out, struct oll_error *err)
{
    struct oll_reference ref;
    OLL_TRY(oll_reference_parse(model, &ref, err));
    OLL_TRY(oll_catalog_canonical(store, &ref, err));
    oll_status status = oll_catalog_load(store, &ref, true, &out->arena, &out->stored, NULL);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, status, "model '%s' not found in %s", model, oll_store_path(store));
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "model '%s' is damaged", model);
    if (!out->stored.model)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "model '%s' has no weights here", model);
    if (out->stored.n_adapters > 1)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "model '%s' has %u adapters; one is supported",
                        model, out->stored.n_adapters);
    out->is_stored = true;
    OLL_TRY(oll_blob_path(store, &out->stored.model->digest, &out->path, err));
    return out->stored.adapter
               ? oll_blob_path(store, &out->stored.adapter->digest, &out->adapter_path, err)
               : OLL_OK;
}

oll_status model_entry_find_name(const char *model, struct model_entry *out, struct oll_error *err)
{
    struct oll_store *store = NULL;
    char folder[ENV_TEXT_MAX];
    *out = (struct model_entry){0};
    oll_arena_init(&out->arena, ARENA_BYTES);
    if (!env_models(folder))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND,
                        "model '%s' not found: neither OLLAMA_MODELS nor HOME is set", model);
    OLL_TRY(oll_store_new(folder, &store, err));
    oll_status status = find_stored(store, model, out, err);
    oll_store_free(store);
    return status;
}

oll_status model_entry_find(const char *model, struct model_entry *out, struct oll_error *err)
{
    struct stat st;
    *out = (struct model_entry){0};
    oll_arena_init(&out->arena, ARENA_BYTES);
    if (stat(model, &st) == 0 && S_ISREG(st.st_mode)) {
        out->path = oll_strdup(model);
        return out->path ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    }
    if (model_is_path(model))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "%s: no such file", model);
    return model_entry_find_name(model, out, err);
}

void model_entry_free(struct model_entry *entry)
{
    oll_free(entry->path);
    oll_free(entry->adapter_path);
    oll_arena_free(&entry->arena);
}

oll_status model_path_resolve(const char *model, char **path, struct oll_error *err)
{
    struct model_entry entry;
    oll_status status = model_entry_find(model, &entry, err);
    if (status == OLL_OK) {
        *path = entry.path;
        entry.path = NULL;
    }
    model_entry_free(&entry);
    return status;
}
