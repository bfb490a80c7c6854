/* Pages of the KV cache in a folder: what is damaged is never read, the folder stays within its
 * limit, and two who share it do each other no harm. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/kv_disk.h"
#include "tests/testing.h"
#include "tests/unit/engine/folder.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { N = 1000, N_FILE = 64 + N + 32 };

static char folder[FOLDER_MAX];
static unsigned char payload[N], got[N];

static struct kv_disk *open_disk(uint64_t max_bytes)
{
    struct kv_disk *disk = NULL;
    struct oll_error err = {0};
    CHECK_MSG(kv_disk_open(folder, max_bytes, &disk, &err) == OLL_OK, "%s", err.text);
    return disk;
}

static struct kv_key key_of(int i)
{
    struct kv_key key = {{0}};
    key.bytes[0] = (uint8_t)i;
    key.bytes[31] = (uint8_t)(i >> 8);
    return key;
}

static void fill(int i)
{
    uint64_t state = (uint64_t)i;
    for (int k = 0; k < N; k++)
        payload[k] = (unsigned char)testing_random(&state);
}

static void write_page(struct kv_disk *disk, int i)
{
    const struct kv_key key = key_of(i);
    fill(i);
    CHECK_OK(kv_disk_write(disk, &key, payload, N, NULL));
}

static bool reads(struct kv_disk *disk, int i)
{
    const struct kv_key key = key_of(i);
    memset(got, 0, N);
    fill(i);
    return kv_disk_read(disk, &key, got, N) == OLL_OK && memcmp(got, payload, N) == 0;
}

static mode_t mode_of(const char *path)
{
    struct stat st = {0};
    stat(path, &st);
    return st.st_mode & 0777;
}

TEST(what_is_written_is_read)
{
    char path[FILE_MAX];
    folder_make(folder);
    struct kv_disk *disk = open_disk(1 << 20);
    const struct kv_key one = key_of(1), none = key_of(3);
    write_page(disk, 1);
    write_page(disk, 2);
    CHECK(reads(disk, 1) && reads(disk, 2));
    CHECK(kv_disk_has(disk, &one, N) && !kv_disk_has(disk, &one, N - 1));
    CHECK(!kv_disk_has(disk, &none, N));
    CHECK_STATUS(kv_disk_read(disk, &none, got, N), OLL_ERR_NOT_FOUND);
    write_page(disk, 1); /* again */
    CHECK_EQ(folder_pages(folder, 0, path), 2);
    CHECK_EQ(mode_of(path), 0600);
    snprintf(path, sizeof path, "%s/pages", folder);
    CHECK_EQ(mode_of(path), 0700);
    kv_disk_close(disk);
    chmod(path, 0755); /* others could look into it */
    disk = open_disk(1 << 20);
    CHECK_EQ(mode_of(path), 0700);
    CHECK(reads(disk, 1));
    /* Another size is another form of cache. */
    CHECK_STATUS(kv_disk_read(disk, &one, got, N - 1), OLL_ERR_FORMAT);
    CHECK(!kv_disk_has(disk, &one, N));
    kv_disk_close(disk);
    folder_remove(folder);
}

TEST(folders_that_cannot_be)
{
    struct kv_disk *disk = NULL;
    struct oll_error err = {0};
    char path[FILE_MAX];
    folder_make(folder);
    snprintf(path, sizeof path, "%s/none/below", folder);
    CHECK_STATUS(kv_disk_open(path, 1, &disk, &err), OLL_ERR_IO);
    CHECK(strstr(err.text, "none/below") != NULL);
    snprintf(path, sizeof path, "%s/pages", folder);
    CHECK(symlink("/", path) == 0); /* must not lead elsewhere */
    CHECK_STATUS(kv_disk_open(folder, 1, &disk, &err), OLL_ERR_IO);
    unlink(path);
    snprintf(path, sizeof path, "%s/new", folder);
    CHECK_OK(kv_disk_open(path, 1, &disk, &err));
    CHECK_EQ(mode_of(path), 0700);
    kv_disk_close(disk);
    folder_remove(path);
    folder_remove(folder);
}

/* Puts `bytes` [n] in the place of the only page and tells whether it is refused and gone. */
static bool is_refused(struct kv_disk *disk, const char *path, const void *bytes, size_t n)
{
    const struct kv_key key = key_of(7);
    FILE *f = fopen(path, "wb");
    OLL_ASSERT(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
    return kv_disk_read(disk, &key, got, N) == OLL_ERR_FORMAT && access(path, F_OK) != 0;
}

TEST(every_damaged_byte_and_length_is_seen)
{
    static unsigned char file[N_FILE + 1], other[N_FILE + 1];
    char path[FILE_MAX];
    folder_make(folder);
    struct kv_disk *disk = open_disk(1 << 20);
    write_page(disk, 7);
    CHECK_EQ(folder_pages(folder, 0, path), 1);
    FILE *f = fopen(path, "rb");
    OLL_ASSERT(f && fread(file, 1, N_FILE, f) == N_FILE && fclose(f) == 0);
    for (int i = 0; i < N_FILE; i++) {
        memcpy(other, file, N_FILE);
        other[i] ^= (unsigned char)(1u << (i % 8));
        CHECK_MSG(is_refused(disk, path, other, N_FILE), "byte %d", i);
    }
    for (size_t n = 0; n < N_FILE; n++)
        CHECK_MSG(is_refused(disk, path, file, n), "cut to %zu bytes", n);
    memcpy(other, file, N_FILE);
    CHECK(is_refused(disk, path, other, N_FILE + 1));
    /* A whole page of another key. */
    write_page(disk, 8);
    CHECK_EQ(folder_pages(folder, 0, path), 1);
    char wrong[FILE_MAX];
    snprintf(wrong, sizeof wrong, "%s/pages/%064d.kv", folder, 0);
    const struct kv_key zero = key_of(0);
    CHECK(rename(path, wrong) == 0);
    CHECK_STATUS(kv_disk_read(disk, &zero, got, N), OLL_ERR_FORMAT);
    CHECK_EQ(folder_pages(folder, 0, path), 0);
    /* What is no file. */
    CHECK(mkfifo(wrong, 0600) == 0);
    CHECK(!kv_disk_has(disk, &zero, N));
    CHECK_STATUS(kv_disk_read(disk, &zero, got, N), OLL_ERR_FORMAT);
    CHECK(symlink("/etc/passwd", wrong) == 0);
    CHECK_STATUS(kv_disk_read(disk, &zero, got, N), OLL_ERR_FORMAT);
    CHECK(access("/etc/passwd", F_OK) == 0);
    kv_disk_close(disk);
    folder_remove(folder);
}

/* The time of last use that the tests give, a day ago and i seconds. */
static void set_age(const char *path, int i)
{
    const struct timespec at[2] = {{.tv_sec = time(NULL) - 86400 + i},
                                   {.tv_sec = time(NULL) - 86400 + i}};
    CHECK(utimensat(AT_FDCWD, path, at, 0) == 0);
}

static void page_path(int i, char out[FILE_MAX])
{
    const struct kv_key key = key_of(i);
    char hex[OLL_SHA256_HEX + 1];
    oll_sha256_hex(key.bytes, hex);
    snprintf(out, FILE_MAX, "%s/pages/%s.kv", folder, hex);
}

TEST(the_folder_stays_within_its_limit)
{
    char path[FILE_MAX];
    folder_make(folder);
    struct kv_disk *disk = open_disk(16 * N_FILE);
    for (int i = 0; i < 16; i++) {
        write_page(disk, i);
        page_path(i, path);
        set_age(path, i);
    }
    CHECK_EQ(folder_pages(folder, 0, path), 16);
    CHECK(reads(disk, 0)); /* used: now the youngest */
    snprintf(path, sizeof path, "%s/pages/holiday.jpg", folder);
    FILE *f = fopen(path, "wb");
    OLL_ASSERT(f && fclose(f) == 0);
    set_age(path, -1000);
    write_page(disk, 16);
    CHECK(access(path, F_OK) == 0); /* what is not ours stays */
    unlink(path);
    CHECK(reads(disk, 0) && reads(disk, 16));
    CHECK(!reads(disk, 1) && !reads(disk, 2) && reads(disk, 3));
    for (int i = 17; i < 200; i++) {
        write_page(disk, i);
        CHECK(folder_pages(folder, 0, path) <= 16);
    }
    kv_disk_close(disk);
    /* Another process with less. */
    disk = open_disk(3 * N_FILE);
    write_page(disk, 300);
    CHECK(folder_pages(folder, 0, path) <= 3);
    CHECK(reads(disk, 300));
    kv_disk_close(disk);
    disk = open_disk(N_FILE - 1);
    const struct kv_key key = key_of(301);
    CHECK_STATUS(kv_disk_write(disk, &key, payload, N, NULL), OLL_ERR_LIMIT);
    kv_disk_close(disk);
    folder_remove(folder);
}

TEST(what_a_dead_writer_left_goes)
{
    char path[FILE_MAX], young[FILE_MAX];
    folder_make(folder);
    struct kv_disk *disk = open_disk(1 << 20);
    snprintf(path, sizeof path, "%s/pages/writing-0123456789abcdef", folder);
    snprintf(young, sizeof young, "%s/pages/writing-0123456789abcdee", folder);
    FILE *f = fopen(path, "wb"), *g = fopen(young, "wb");
    OLL_ASSERT(f && g && fclose(f) == 0 && fclose(g) == 0);
    set_age(path, 0);
    write_page(disk, 1);
    CHECK(access(path, F_OK) != 0);
    CHECK(access(young, F_OK) == 0); /* somebody may be writing it */
    kv_disk_close(disk);
    folder_remove(folder);
}

/* Files that may not become as long as they should are what a full disk gives. */
TEST(a_full_disk_leaves_nothing_behind)
{
    char path[FILE_MAX];
    struct rlimit before, small;
    struct oll_error err = {0};
    folder_make(folder);
    struct kv_disk *disk = open_disk(1 << 20);
    const struct kv_key key = key_of(1);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){.rlim_cur = N / 2, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    fill(1);
    CHECK_STATUS(kv_disk_write(disk, &key, payload, N, &err), OLL_ERR_IO);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(strstr(err.text, "cannot be written") != NULL);
    CHECK_EQ(folder_pages(folder, 0, path), 0);
    snprintf(path, sizeof path, "%s/pages", folder);
    CHECK(rmdir(path) == 0); /* not even the beginning of a file */
    CHECK_STATUS(kv_disk_write(disk, &key, payload, N, NULL), OLL_ERR_IO);
    CHECK(!kv_disk_has(disk, &key, N));
    kv_disk_close(disk);
    folder_remove(folder);
}

static void *writer(void *arg)
{
    struct kv_disk *disk = open_disk(12 * N_FILE);
    unsigned char data[N];
    uint64_t state = (uint64_t)(intptr_t)arg;
    for (int i = 0; i < 400; i++) {
        const int k = (int)(testing_random(&state) % 20);
        const struct kv_key key = key_of(k);
        uint64_t content = (uint64_t)k;
        if (testing_random(&state) % 3) {
            for (int j = 0; j < N; j++)
                data[j] = (unsigned char)testing_random(&content);
            CHECK_OK(kv_disk_write(disk, &key, data, N, NULL));
        } else if (kv_disk_read(disk, &key, data, N) == OLL_OK) {
            bool same = true;
            for (int j = 0; j < N; j++)
                same = same && data[j] == (unsigned char)testing_random(&content);
            CHECK(same);
        }
    }
    kv_disk_close(disk);
    return NULL;
}

TEST(two_may_share_a_folder)
{
    pthread_t threads[2];
    char path[FILE_MAX];
    folder_make(folder);
    for (int i = 0; i < 2; i++)
        OLL_ASSERT(pthread_create(&threads[i], NULL, writer, (void *)(intptr_t)(i + 1)) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK(folder_pages(folder, 0, path) <= 14);
    folder_remove(folder);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
