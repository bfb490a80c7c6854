#include "registry/store_dir.h"

#include "registry/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static oll_status fail_dir(const struct oll_store *store, const char *what, struct oll_error *err)
{
    int e = errno;
    if (e != EACCES && e != EPERM && e != EROFS)
        return disk_fail(err, what);
    const struct passwd *user = getpwuid(geteuid());
    return OLL_FAIL(err, OLL_ERR_DENIED,
                    "cannot write to the model store %s as user %s: %s (%s): ensure path elements "
                    "are traversable",
                    oll_store_path(store), user ? user->pw_name : "unknown", strerror(e), what);
}

/* Makes the root and the folders above it. */
static int make_root(const char *path)
{
    char text[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof text) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(text, path, n + 1);
    for (char *p = text + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        if (mkdir(text, 0755) == 0 || errno == EEXIST)
            continue;
        const int e = errno;
        if (access(text, X_OK) != 0) {
            errno = e;
            return -1;
        }
    }
    return mkdir(text, 0755) != 0 && errno != EEXIST ? -1 : 0;
}

/* Opens an entry of a folder, makes it first where it is missing. */
static int enter(int at, const char *name, mode_t mode)
{
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW };
    int next = openat(at, name, FLAGS);
    if (next >= 0 || errno != ENOENT)
        return next;
    if (disk_mkdir(at, name, mode) != 0 && errno != EEXIST)
        return -1;
    if (disk_sync(at) != 0)
        return -1;
    return openat(at, name, FLAGS);
}

oll_status store_make_dir(const struct oll_store *store, const char *const *parts, int n_parts,
                          int *fd, struct oll_error *err)
{
    int at = open(oll_store_path(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 && errno == ENOENT && make_root(oll_store_path(store)) == 0)
        at = open(oll_store_path(store), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *what = "model store";
    for (int i = 0; i < n_parts && at >= 0; i++) {
        mode_t mode = strcmp(parts[0], "oll") == 0 ? 0700 : 0755;
        int next = enter(at, parts[i], mode);
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
        what = parts[i];
    }
    if (at < 0)
        return fail_dir(store, what, err);
    *fd = at;
    return OLL_OK;
}

oll_status store_make_blobs(const struct oll_store *store, int *fd, struct oll_error *err)
{
    static const char *const parts[] = {"blobs"};
    return store_make_dir(store, parts, 1, fd, err);
}

oll_status store_make_own(const struct oll_store *store, const char *name, int *fd,
                          struct oll_error *err)
{
    const char *parts[] = {"oll", name};
    return store_make_dir(store, parts, name ? 2 : 1, fd, err);
}

int store_open_own(const struct oll_store *store, const char *name)
{
    const char *parts[] = {"oll", name};
    int fd;
    return oll_store_open_dir(store, parts, name ? 2 : 1, &fd, NULL) == OLL_OK ? fd : -1;
}

void blob_file_name(const struct oll_digest *digest, char out[OLL_DIGEST_TEXT_MAX])
{
    memcpy(out, "sha256-", 7);
    oll_sha256_hex(digest->bytes, out + 7);
}

bool blob_file_digest(const char *name, struct oll_digest *out)
{
    return oll_digest_parse(name, out, NULL) == OLL_OK && name[6] == '-';
}

oll_status store_make_tmp(const struct oll_store *store, int *dir_fd, int *fd,
                          char name[STORE_TMP_NAME_MAX], struct oll_error *err)
{
    static atomic_ulong counter;
    OLL_TRY(store_make_own(store, "tmp", dir_fd, err));
    do {
        snprintf(name, STORE_TMP_NAME_MAX, "%ld-%lu", (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        *fd = disk_create(*dir_fd, name, O_EXCL);
        /* A name left by a dead process that had this number. */
    } while (*fd < 0 && errno == EEXIST);
    if (*fd < 0) {
        oll_status status = fail_dir(store, "tmp", err);
        close(*dir_fd);
        return status;
    }
    /* Where flock does not work the file merely lacks protection from the clean-up at start, which
     * does nothing there either. */
    flock(*fd, LOCK_EX | LOCK_NB);
    return OLL_OK;
}

void store_each(int dir_fd, store_visit_fn visit, void *user)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    bool more = true;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while (more && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            more = visit(user, dir_fd, entry->d_name);
    closedir(dir);
}
