#include "engine/kv_disk.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 64,
    NAME_BYTES = OLL_SHA256_HEX + sizeof ".kv",
    TEMP_AGE_S = 600, /* a file that is being written is younger */
    PARTS = 16        /* of the limit: what may be written between two looks at the folder */
};

static const char magic[8] = {'O', 'L', 'L', 'K', 'V', 'P', 'G', '1'};
static const char temp_prefix[] = "writing-";

struct kv_disk {
    int fd; /* of the folder of pages */
    uint64_t max_bytes;
    /* of the thread that writes */
    bool is_counted;
    uint64_t used, n_since; /* bytes in the folder as counted; written since it was looked at */
};

/* ---- the folder ---- */

/* Opens a folder of one's own that nobody else can look into. */
static oll_status open_private(int at, const char *name, int *out, struct oll_error *err)
{
    struct stat st;
    if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", name, strerror(errno));
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", name, strerror(errno));
    oll_status status = OLL_OK;
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid())
        status = OLL_FAIL(err, OLL_ERR_DENIED, "%s: belongs to another user", name);
    else if ((st.st_mode & 077) != 0 && fchmod(fd, 0700) != 0)
        status = OLL_FAIL(err, OLL_ERR_DENIED, "%s: others can look into it", name);
    if (status == OLL_OK)
        *out = fd;
    else
        close(fd);
    return status;
}

oll_status kv_disk_open(const char *folder, uint64_t max_bytes, struct kv_disk **out,
                        struct oll_error *err)
{
    struct kv_disk *disk = oll_calloc(1, sizeof *disk);
    if (!disk)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a folder of kv pages");
    disk->max_bytes = max_bytes;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        oll_free(disk);
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", folder, strerror(errno));
    }
    oll_status status = OLL_OK;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        status = OLL_FAIL(err, OLL_ERR_IO, "%s: %s", folder, strerror(errno));
    else
        status = open_private(fd, "pages", &disk->fd, err);
    if (fd >= 0)
        close(fd);
    if (status != OLL_OK) {
        oll_error_prefix(err, "%s", folder);
        oll_free(disk);
        return status;
    }
    *out = disk;
    return OLL_OK;
}

void kv_disk_close(struct kv_disk *disk)
{
    if (!disk)
        return;
    close(disk->fd);
    oll_free(disk);
}

static void name_of(const struct kv_key *key, char out[NAME_BYTES])
{
    oll_sha256_hex(key->bytes, out);
    memcpy(out + OLL_SHA256_HEX, ".kv", sizeof ".kv");
}

static bool is_page_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == OLL_SHA256_HEX &&
           strcmp(name + OLL_SHA256_HEX, ".kv") == 0;
}

bool kv_disk_has(const struct kv_disk *disk, const struct kv_key *key, size_t n)
{
    char name[NAME_BYTES];
    struct stat st;
    name_of(key, name);
    return fstatat(disk->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == (uint64_t)HEAD_BYTES + n + OLL_SHA256_BYTES;
}

/* ---- room ---- */

struct found {
    char name[NAME_BYTES];
    uint64_t n_bytes;
    struct timespec used;
};

struct found_list {
    struct found *items;
    size_t n, cap;
    uint64_t n_bytes;
};

static int by_use(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

static oll_status note_file(struct kv_disk *disk, struct found_list *list, const char *name)
{
    struct stat st;
    if (fstatat(disk->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return OLL_OK;
    if (strncmp(name, temp_prefix, sizeof temp_prefix - 1) == 0) {
        /* Its writer has died. */
        if (st.st_mtim.tv_sec + TEMP_AGE_S < time(NULL))
            unlinkat(disk->fd, name, 0);
        return OLL_OK;
    }
    if (!is_page_name(name))
        return OLL_OK;
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 256;
        struct found *grown = oll_realloc(list->items, cap, sizeof *grown);
        if (!grown)
            return OLL_ERR_MEMORY;
        list->items = grown;
        list->cap = cap;
    }
    struct found *f = &list->items[list->n++];
    memcpy(f->name, name, sizeof f->name);
    f->n_bytes = (uint64_t)st.st_size;
    f->used = st.st_mtim;
    list->n_bytes += f->n_bytes;
    return OLL_OK;
}

static oll_status list_files(struct kv_disk *disk, struct found_list *list)
{
    const int fd = openat(disk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return OLL_ERR_IO;
    }
    const struct dirent *entry;
    oll_status status = OLL_OK;
    while (status == OLL_OK && (entry = readdir(dir)))
        status = note_file(disk, list, entry->d_name);
    closedir(dir);
    return status;
}

/* Counts the folder anew, and when n more bytes would not fit removes what was used least recently,
 * a part more than needed so that this is done seldom. */
static oll_status make_room(struct kv_disk *disk, uint64_t n)
{
    struct found_list list = {0};
    oll_status status = list_files(disk, &list);
    if (status == OLL_OK && list.n_bytes + n > disk->max_bytes) {
        const uint64_t spare = disk->max_bytes / PARTS;
        const uint64_t most = disk->max_bytes > n + spare ? disk->max_bytes - n - spare : 0;
        qsort(list.items, list.n, sizeof *list.items, by_use);
        for (size_t i = 0; i < list.n && list.n_bytes > most; i++)
            if (unlinkat(disk->fd, list.items[i].name, 0) == 0 || errno == ENOENT)
                list.n_bytes -= list.items[i].n_bytes;
        if (list.n_bytes + n > disk->max_bytes)
            status = OLL_ERR_LIMIT;
    }
    disk->is_counted = status == OLL_OK;
    disk->used = list.n_bytes;
    disk->n_since = 0;
    oll_free(list.items);
    return status;
}

/* ---- files ---- */

static void put_u64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static void fill_head(unsigned char head[HEAD_BYTES], const struct kv_key *key, uint64_t n)
{
    memset(head, 0, HEAD_BYTES);
    memcpy(head, magic, sizeof magic);
    put_u64(head + 8, n);
    memcpy(head + 16, key->bytes, sizeof key->bytes);
}

static bool digest_of(const unsigned char *head, const void *payload, size_t n,
                      uint8_t out[OLL_SHA256_BYTES])
{
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return false;
    oll_sha256_update(h, head, HEAD_BYTES);
    oll_sha256_update(h, payload, n);
    oll_sha256_final(h, out);
    oll_sha256_free(h);
    return true;
}

static bool write_all(int fd, const void *data, size_t n)
{
    const unsigned char *p = data;
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static bool read_all(int fd, void *data, size_t n)
{
    unsigned char *p = data;
    while (n > 0) {
        ssize_t done = read(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static oll_status write_file(struct kv_disk *disk, const struct kv_key *key, const void *payload,
                             size_t n, struct oll_error *err)
{
    unsigned char head[HEAD_BYTES], digest[OLL_SHA256_BYTES];
    char name[NAME_BYTES], temp[sizeof temp_prefix + 16];
    uint64_t mark;
    oll_platform_random(&mark, sizeof mark);
    snprintf(temp, sizeof temp, "%s%016llx", temp_prefix, (unsigned long long)mark);
    name_of(key, name);
    fill_head(head, key, n);
    if (!digest_of(head, payload, n, digest))
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a digest");
    const int fd =
        openat(disk->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "a kv page cannot be written: %s", strerror(errno));
    bool ok = write_all(fd, head, sizeof head) && write_all(fd, payload, n) &&
              write_all(fd, digest, sizeof digest);
    int cause = errno;
    if (close(fd) != 0 && ok) {
        cause = errno;
        ok = false;
    }
    if (ok && renameat(disk->fd, temp, disk->fd, name) != 0) {
        cause = errno;
        ok = false;
    }
    if (ok)
        return OLL_OK;
    unlinkat(disk->fd, temp, 0);
    return OLL_FAIL(err, OLL_ERR_IO, "a kv page cannot be written: %s", strerror(cause));
}

oll_status kv_disk_write(struct kv_disk *disk, const struct kv_key *key, const void *payload,
                         size_t n, struct oll_error *err)
{
    const uint64_t n_file = (uint64_t)HEAD_BYTES + n + OLL_SHA256_BYTES;
    if (!disk->is_counted || disk->used + n_file > disk->max_bytes ||
        disk->n_since > disk->max_bytes / PARTS) {
        oll_status status = make_room(disk, n_file);
        if (status != OLL_OK)
            return OLL_FAIL(err, status, "there is no room for a kv page of %zu bytes", n);
    }
    OLL_TRY(write_file(disk, key, payload, n, err));
    disk->used += n_file;
    disk->n_since += n_file;
    return OLL_OK;
}

/* Whether the open file is what its name says. */
static oll_status check_file(int fd, const struct kv_key *key, void *payload, size_t n)
{
    unsigned char head[HEAD_BYTES], expected[HEAD_BYTES];
    uint8_t digest[OLL_SHA256_BYTES], found[OLL_SHA256_BYTES];
    struct stat st;
    fill_head(expected, key, n);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != (uint64_t)HEAD_BYTES + n + OLL_SHA256_BYTES)
        return OLL_ERR_FORMAT;
    if (!read_all(fd, head, sizeof head) || memcmp(head, expected, sizeof head) != 0 ||
        !read_all(fd, payload, n) || !read_all(fd, found, sizeof found))
        return OLL_ERR_FORMAT;
    if (!digest_of(head, payload, n, digest))
        return OLL_ERR_MEMORY;
    return memcmp(digest, found, sizeof digest) == 0 ? OLL_OK : OLL_ERR_FORMAT;
}

oll_status kv_disk_read(struct kv_disk *disk, const struct kv_key *key, void *payload, size_t n)
{
    char name[NAME_BYTES];
    name_of(key, name);
    /* A FIFO of that name must not make us wait. */
    const int fd = openat(disk->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return OLL_ERR_NOT_FOUND;
    oll_status status = fd >= 0          ? check_file(fd, key, payload, n)
                        : errno == ELOOP ? OLL_ERR_FORMAT
                                         : OLL_ERR_IO;
    if (status == OLL_OK) {
        futimens(fd, NULL); /* its use; where that fails it is only forgotten earlier */
    } else if (status == OLL_ERR_FORMAT) {
        unlinkat(disk->fd, name, 0);
    }
    if (fd >= 0)
        close(fd);
    return status;
}
