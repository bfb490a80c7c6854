#include "engine/base/platform.h"
#include "tests/testing.h"

#include <string.h>

TEST(peak_memory)
{
    enum { N_BYTES = 64 << 20 };
    const uint64_t before = oll_platform_peak_rss();
    if (before == 0) {
        testing_skip("this system does not tell its peak of memory");
        return;
    }
    char *p = oll_platform_pages_new(N_BYTES);
    CHECK(p);
    if (p)
        memset(p, 1, N_BYTES);
    oll_platform_pages_free(p, N_BYTES);
    const uint64_t peak = oll_platform_peak_rss();
    CHECK(peak >= N_BYTES);
    if (oll_platform_peak_rss_reset())
        CHECK(oll_platform_peak_rss() + N_BYTES / 2 < peak);
}

TEST(cpu_name)
{
    char name[64], cut[4];
    oll_platform_cpu_name(name, sizeof name);
    oll_platform_cpu_name(cut, sizeof cut);
    CHECK(name[0] != '\0' && !strchr(name, '\n'));
    CHECK(strlen(cut) == 3 && strncmp(cut, name, 3) == 0);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
