#include "registry/blob_export.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "registry/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20, PATH_BYTES = 4096 };

/* Hashes the blob and, where `to` is no clone of it, copies it. */
static oll_status copy(const struct oll_export *c, int from, int to, bool cloned,
                       struct oll_sha256 *h, char *buf, uint64_t *n_bytes, struct oll_error *err)
{
    for (uint64_t at = 0;;) {
        ssize_t n = read(from, buf, BUF_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_fail(err, "blob");
        if (n == 0) {
            *n_bytes = at;
            return OLL_OK;
        }
        oll_sha256_update(h, buf, (size_t)n);
        if (!cloned && disk_write(to, buf, (size_t)n) != 0)
            return disk_fail(err, c->path);
        at += (uint64_t)n;
        if (c->progress)
            c->progress(c->user, at);
        if (c->canceled && c->canceled(c->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
    }
}

static oll_status fill(const struct oll_export *c, int from, int to, uint64_t *n_bytes,
                       struct oll_error *err)
{
    struct oll_digest got;
    struct oll_sha256 *h = oll_sha256_new();
    char *buf = oll_alloc(BUF_BYTES, 1);
    const bool cloned = oll_platform_clone_file(to, from);
    oll_status status = h && buf ? copy(c, from, to, cloned, h, buf, n_bytes, err)
                                 : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a copy");
    if (status == OLL_OK) {
        oll_sha256_final(h, got.bytes);
        if (memcmp(&got, &c->digest, sizeof got) != 0)
            status = OLL_FAIL(err, OLL_ERR_DIGEST,
                              "the model's file is damaged; see oll verify --deep --repair");
        else if (disk_sync(to) != 0)
            status = disk_fail(err, c->path);
    }
    oll_sha256_free(h);
    oll_free(buf);
    return status;
}

/* Makes the file under a temporary name beside its place and renames it. */
static oll_status place(const struct oll_export *c, int from, uint64_t *n_bytes,
                        struct oll_error *err)
{
    char tmp[PATH_BYTES];
    const int n = snprintf(tmp, sizeof tmp, "%s.%ld.tmp", c->path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof tmp)
        return OLL_FAIL(err, OLL_ERR_ARG, "the path is too long");
    const int to = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (to < 0)
        return disk_fail(err, c->path);
    oll_status status = fill(c, from, to, n_bytes, err);
    close(to);
    if (status == OLL_OK && disk_rename(AT_FDCWD, tmp, AT_FDCWD, c->path) != 0)
        status = disk_fail(err, c->path);
    if (status != OLL_OK)
        unlink(tmp);
    return status;
}

oll_status oll_blob_export(const struct oll_export *c, uint64_t *n_bytes, struct oll_error *err)
{
    char *path = NULL;
    struct stat st;
    if (!c->replace && lstat(c->path, &st) == 0)
        return OLL_FAIL(err, OLL_ERR_EXISTS, "%s exists; --force replaces it", c->path);
    OLL_TRY(oll_blob_path(c->store, &c->digest, &path, err));
    const int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    oll_free(path);
    if (from < 0)
        return disk_fail(err, "blob");
    oll_status status = place(c, from, n_bytes, err);
    close(from);
    return status;
}
