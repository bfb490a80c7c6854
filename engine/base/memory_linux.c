#include "engine/base/memory_linux.h"

#include "engine/base/platform.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 1024 };

/* ---- files ---- */

/* The number behind a word at the beginning of a line ("MemTotal:  123 kB"); the first number of
 * the file where `word` is "". False when there is none, or it says "max". */
static bool read_number(const char *path, const char *word, uint64_t *out)
{
    char line[LINE_BYTES], *end;
    const size_t n = strlen(word);
    bool found = false;
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        if (strncmp(line, word, n) != 0 || (n > 0 && line[n] != ' ' && line[n - 1] != ':'))
            continue;
        *out = strtoull(line + n, &end, 10);
        found = end != line + n;
    }
    if (f)
        fclose(f);
    return found;
}

/* Path of this process' group in a hierarchy: "0::/path" (v2), "9:memory:/path" (v1). */
static bool group_path(const char *root, bool v2, char out[PATH_BYTES])
{
    char path[PATH_BYTES], line[LINE_BYTES];
    bool found = false;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':'), *at = names ? strchr(names + 1, ':') : NULL;
        if (!at)
            continue;
        *at++ = '\0';
        at[strcspn(at, "\n")] = '\0';
        found = v2 ? names[1] == '\0' : strcmp(names + 1, "memory") == 0;
        if (found)
            snprintf(out, PATH_BYTES, "%s", at);
    }
    if (f)
        fclose(f);
    return found;
}

/* ---- limits ---- */

/* Files of one version of control groups. */
struct names {
    const char *mount, *limit, *used, *active, *inactive;
};

/* One group: its limit, and what is left of it. Pages of files that were read count as used, but
 * the kernel takes them back when memory is short: a warm mapped model must not look like a full
 * group. */
static void apply_group(const char *folder, const struct names *names, struct memory_linux *m)
{
    char path[PATH_BYTES];
    uint64_t limit, used = 0, file = 0, part;
    snprintf(path, sizeof path, "%.3000s/%s", folder, names->limit);
    /* v1 states "no limit" as a number near 2^63. */
    if (!read_number(path, "", &limit) || limit == 0 || limit >= LLONG_MAX / 2)
        return;
    snprintf(path, sizeof path, "%.3000s/%s", folder, names->used);
    read_number(path, "", &used);
    snprintf(path, sizeof path, "%.3000s/memory.stat", folder);
    if (read_number(path, names->active, &part))
        file += part;
    if (read_number(path, names->inactive, &part))
        file += part;
    used = used > file ? used - file : 0;
    const uint64_t left = limit > used ? limit - used : 0;
    if (limit < m->total_bytes)
        m->total_bytes = limit;
    if (left < m->free_bytes)
        m->free_bytes = left;
}

/* The group and all above it: the tightest counts. In a container the mount shows the group itself,
 * under another path than /proc says. */
static void apply_hierarchy(const char *root, const struct names *names, const char *group,
                            struct memory_linux *m)
{
    char folder[PATH_BYTES];
    const int n_mount = snprintf(folder, sizeof folder, "%.1000s%s", root, names->mount);
    snprintf(folder + n_mount, sizeof folder - (size_t)n_mount, "%.2000s", group);
    for (;;) {
        apply_group(folder, names, m);
        char *slash = strrchr(folder + n_mount, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

void memory_linux_read(const char *root, struct memory_linux *out)
{
    static const struct names v2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "active_file",
                                    "inactive_file"};
    static const struct names v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                    "memory.usage_in_bytes", "total_active_file",
                                    "total_inactive_file"};
    char path[PATH_BYTES];
    uint64_t total = 0, available = 0;
    snprintf(path, sizeof path, "%.3000s/proc/meminfo", root);
    read_number(path, "MemTotal:", &total);
    read_number(path, "MemAvailable:", &available);
    *out = (struct memory_linux){total * 1024, available * 1024};
    if (total == 0)
        return;
    if (group_path(root, true, path))
        apply_hierarchy(root, &v2, path, out);
    if (group_path(root, false, path))
        apply_hierarchy(root, &v1, path, out);
}

uint64_t oll_platform_memory_total(void)
{
    struct memory_linux m;
    memory_linux_read("", &m);
    return m.total_bytes;
}

uint64_t oll_platform_memory_free(void)
{
    struct memory_linux m;
    memory_linux_read("", &m);
    return m.free_bytes;
}
