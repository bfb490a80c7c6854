/* Pages of a map can be given back, and come back with the same bytes. */
#include "engine/base/file.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_BYTES = 16 << 20, N_BLOCK = 1 << 16 };

/* Resident bytes of this process, 0 where the system does not tell. */
static uint64_t resident_bytes(void)
{
    unsigned long long n_total, n_resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%llu %llu", &n_total, &n_resident) != 2)
        n_resident = 0;
    if (f)
        fclose(f);
    return n_resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t sum_of(const struct oll_file_map *map)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < map->size_bytes; i++)
        sum += map->data[i];
    return sum;
}

TEST(dropped_pages_leave_memory_and_come_back)
{
    static unsigned char block[N_BLOCK];
    char path[256];
    struct oll_file_map map = {0};
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/oll-map-XXXXXX", base && base[0] ? base : P_tmpdir);
    const int fd = mkstemp(path);
    OLL_ASSERT(fd >= 0);
    memset(block, 7, sizeof block);
    for (int i = 0; i < N_BYTES / N_BLOCK; i++)
        OLL_ASSERT(write(fd, block, sizeof block) == N_BLOCK);
    close(fd);
    if (CHECK_OK(oll_file_map(path, &map, NULL))) {
        CHECK_EQ(sum_of(&map), 7ll * N_BYTES);
        const uint64_t before = resident_bytes();
        oll_file_map_drop(&map, 1, N_BYTES - 1);
        const uint64_t after = resident_bytes();
        if (before == 0)
            testing_skip("the system does not tell how much memory a process holds");
        else
            CHECK_MSG(after + N_BYTES / 2 < before, "%llu bytes before, %llu after",
                      (unsigned long long)before, (unsigned long long)after);
        CHECK_EQ(sum_of(&map), 7ll * N_BYTES);
        oll_file_map_drop(&map, N_BYTES - 10, 10); /* less than a page: nothing to do */
        oll_file_unmap(&map);
    }
    unlink(path);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
