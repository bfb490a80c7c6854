#include "server/model_path.h"

#include "engine/base/mem.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* A word that says "file" rather than "name": it has the suffix, or begins like a path. */
static bool looks_like_path(const char *model)
{
    size_t n = strlen(model);
    return (n > 5 && strcmp(model + n - 5, ".gguf") == 0) || model[0] == '/' || model[0] == '.';
}

oll_status model_path_resolve(const char *model, char **path, struct oll_error *err)
{
    struct stat st;
    bool exists = stat(model, &st) == 0 && S_ISREG(st.st_mode);
    if (!exists && looks_like_path(model))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "%s: no such file", model);
    if (!exists)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "model '%s' not found", model);
    *path = oll_strdup(model);
    return *path ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
}
