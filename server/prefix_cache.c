#include "server/prefix_cache.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/env.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_GIB = 8 };

/* "500M", "8G", "8GB", "8GiB", bytes. */
static bool read_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    uint64_t n = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++)
        if (!oll_mul_u64(n, 10, &n) || !oll_add_u64(n, (uint64_t)(*p - '0'), &n))
            return false;
    if (p == text)
        return false;
    const char *unit = *p ? strchr(units, *p >= 'a' ? *p - 'a' + 'A' : *p) : NULL;
    if (unit) {
        if (!oll_mul_u64(n, (uint64_t)1 << (10 * (unit - units + 1)), &n))
            return false;
        p += strncmp(p + 1, "iB", 2) == 0 ? 3 : p[1] == 'B' ? 2 : 1;
    }
    *out = n;
    return *p == '\0';
}

void prefix_cache_settings(struct oll_engine_params *params, char *folder, size_t n)
{
    char text[ENV_TEXT_MAX];
    if (!env_text("OLL_PREFIX_CACHE_DIR", text) || strlen(text) >= n)
        return;
    snprintf(folder, n, "%s", text);
    params->prefix_folder = folder;
    params->prefix_bytes = (uint64_t)DEFAULT_GIB << 30;
    if (env_text("OLL_PREFIX_CACHE_SIZE", text) && !read_size(text, &params->prefix_bytes)) {
        oll_log_warn("runner", "OLL_PREFIX_CACHE_SIZE=%s is no size such as 500M or 8G; taking %dG",
                     text, DEFAULT_GIB);
        params->prefix_bytes = (uint64_t)DEFAULT_GIB << 30;
    }
}
