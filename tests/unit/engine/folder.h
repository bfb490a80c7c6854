/* A folder that a test fills and removes. */
#ifndef OLL_TESTS_UNIT_ENGINE_FOLDER_H
#define OLL_TESTS_UNIT_ENGINE_FOLDER_H

#include "engine/base/status.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_MAX = 256, FILE_MAX = 2 * FOLDER_MAX };

static inline void folder_make(char out[FOLDER_MAX])
{
    const char *temp = getenv("TMPDIR");
    snprintf(out, FOLDER_MAX, "%s/oll-test-XXXXXX", temp && *temp ? temp : "/tmp");
    OLL_ASSERT(mkdtemp(out));
}

/* Path of the i-th page file; "" when there are fewer. Returns how many there are. */
static inline int folder_pages(const char *folder, int i, char out[FILE_MAX])
{
    char path[FILE_MAX];
    int n = 0;
    out[0] = '\0';
    snprintf(path, sizeof path, "%.240s/pages", folder);
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (strlen(e->d_name) != 67)
            continue;
        if (n++ == i)
            snprintf(out, FILE_MAX, "%.250s/pages/%.70s", folder, e->d_name);
    }
    if (dir)
        closedir(dir);
    return n;
}

static inline void folder_remove(const char *folder)
{
    char path[FILE_MAX], name[FILE_MAX + 256];
    snprintf(path, sizeof path, "%.240s/pages", folder);
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        snprintf(name, sizeof name, "%.250s/%.250s", path, e->d_name);
        unlink(name);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
    rmdir(folder);
}

#endif
