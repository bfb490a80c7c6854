#include "registry/size_text.h"

#include <stdio.h>

void oll_size_text(uint64_t n_bytes, char out[OLL_SIZE_TEXT_MAX])
{
    static const char *const units[] = {"KB", "MB", "GB", "TB"};
    if (n_bytes < 1000) {
        snprintf(out, OLL_SIZE_TEXT_MAX, "%d B", (int)n_bytes);
        return;
    }
    double v = (double)n_bytes / 1000;
    int unit = 0;
    for (; unit < 3 && v >= 1000; unit++)
        v /= 1000;
    if (v >= 10)
        snprintf(out, OLL_SIZE_TEXT_MAX, "%llu %s", (unsigned long long)v, units[unit]);
    else
        snprintf(out, OLL_SIZE_TEXT_MAX, v == (double)(int)v ? "%.0f %s" : "%.1f %s", v,
                 units[unit]);
}
