#include "bench/bench_folder.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

oll_status bench_folder_make(const char *folder, struct oll_error *err)
{
    char path[BENCH_PATH_MAX];
    const size_t n = strlen(folder);
    if (n == 0 || n >= sizeof path)
        return OLL_FAIL(err, OLL_ERR_ARG, "%.80s: not the path of a folder", folder);
    memcpy(path, folder, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return OLL_FAIL(err, errno == EACCES ? OLL_ERR_DENIED : OLL_ERR_IO,
                            "%s: cannot create the folder: %s", path, strerror(errno));
        path[i] = folder[i];
    }
    return OLL_OK;
}
