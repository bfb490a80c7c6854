/* Memory of machines and control groups that are written down (cli-and-scheduler 15). */
#include "engine/base/memory_linux.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)

static char root[256];
static char made[64][512];
static int n_made;
static struct memory_linux m;

static void make_folders(char *path)
{
    for (char *s = path + strlen(root) + 1; (s = strchr(s, '/')); s++) {
        *s = '\0';
        if (mkdir(path, 0700) == 0)
            snprintf(made[n_made++], sizeof made[0], "%s", path);
        *s = '/';
    }
}

/* One file of the machine; a number is written as such. */
static void file(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    make_folders(path);
    FILE *f = fopen(path, "w");
    OLL_ASSERT(f);
    fputs(text, f);
    fclose(f);
    snprintf(made[n_made++], sizeof made[0], "%s", path);
}

static void begin(const char *groups)
{
    const char *folder = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/oll-memory-XXXXXX", folder ? folder : P_tmpdir);
    OLL_ASSERT(mkdtemp(root));
    n_made = 0;
    file("proc/meminfo",
         "MemTotal:       67108864 kB\nMemFree:  1 kB\nMemAvailable:   33554432 kB\n");
    file("proc/self/cgroup", groups);
}

static void end(void)
{
    while (n_made > 0)
        remove(made[--n_made]);
    rmdir(root);
}

TEST(a_machine_without_groups)
{
    begin("0::/user.slice\n");
    memory_linux_read(root, &m);
    CHECK_EQ(m.total_bytes, 64 * GIB);
    CHECK_EQ(m.free_bytes, 32 * GIB);
    end();
}

TEST(version_2_gives_pages_of_files_back)
{
    begin("0::/a/b\n");
    file("sys/fs/cgroup/a/b/memory.max", "8589934592\n"); /* 8 GiB, 6 used, 3 of them of files */
    file("sys/fs/cgroup/a/b/memory.current", "6442450944\n");
    file("sys/fs/cgroup/a/b/memory.stat",
         "anon 5\nfile 9\ninactive_file 2147483648\nactive_file 1073741824\n");
    memory_linux_read(root, &m);
    CHECK_EQ(m.total_bytes, 8 * GIB);
    CHECK_EQ(m.free_bytes, 5 * GIB);
    end();
}

TEST(the_tightest_ancestor_counts)
{
    begin("0::/a/b\n");
    file("sys/fs/cgroup/a/b/memory.max", "max\n");
    file("sys/fs/cgroup/a/memory.max", "4294967296\n");
    file("sys/fs/cgroup/a/memory.current", "3221225472\n");
    file("sys/fs/cgroup/memory.max", "17179869184\n");
    memory_linux_read(root, &m);
    CHECK_EQ(m.total_bytes, 4 * GIB);
    CHECK_EQ(m.free_bytes, 1 * GIB);
    end();
}

TEST(version_1_and_no_limit)
{
    begin("12:cpu,cpuacct:/x\n9:memory:/docker/1\n0::/\n");
    file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    file("sys/fs/cgroup/memory/memory.usage_in_bytes", "99\n");
    memory_linux_read(root, &m);
    CHECK_EQ(m.total_bytes, 64 * GIB);
    /* The mount shows a container its own group at the top. */
    file("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
    file("sys/fs/cgroup/memory/memory.usage_in_bytes", "2147483648\n");
    file("sys/fs/cgroup/memory/memory.stat",
         "active_file 1\ntotal_inactive_file 536870912\ntotal_active_file 536870912\n");
    memory_linux_read(root, &m);
    CHECK_EQ(m.total_bytes, 2 * GIB);
    CHECK_EQ(m.free_bytes, 1 * GIB);
    end();
}

TEST(free_memory_of_the_machine_counts_too)
{
    begin("0::/\n");
    file("sys/fs/cgroup/memory.max", "68719476736\n");
    file("sys/fs/cgroup/memory.current", "1\n");
    memory_linux_read(root, &m);
    CHECK_EQ(m.free_bytes, 32 * GIB);
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
