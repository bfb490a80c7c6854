#include "registry/blob_write.h"

#include "engine/base/mem.h"
#include "registry/chunk_sums.h"
#include "registry/disk.h"
#include "registry/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20 };

struct oll_blob_writer {
    const struct oll_store *store;
    struct oll_lease *lease;
    int dir, fd;
    char name[STORE_TMP_NAME_MAX];
    char *path;
    struct oll_chunk_sums *sums; /* with the digest of the whole */
    bool failed;                 /* a write or sync failed: what is there must not be published */
};

oll_status oll_blob_writer_new(const struct oll_store *store, struct oll_lease *lease,
                               struct oll_blob_writer **out, struct oll_error *err)
{
    struct oll_blob_writer *w = oll_calloc(1, sizeof *w);
    if (!w)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a blob");
    w->store = store;
    w->lease = lease;
    oll_status status = store_make_tmp(store, &w->dir, &w->fd, w->name, err);
    if (status != OLL_OK) {
        oll_free(w);
        return status;
    }
    size_t n = strlen(oll_store_path(store)) + sizeof "/oll/tmp/" + sizeof w->name;
    w->sums = oll_chunk_sums_new();
    w->path = oll_alloc(n, 1);
    if (!w->sums || !w->path) {
        oll_blob_writer_free(w);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a blob");
    }
    snprintf(w->path, n, "%s/oll/tmp/%s", oll_store_path(store), w->name);
    *out = w;
    return OLL_OK;
}

/* Releases everything; the file is gone or has its final name. */
static void release(struct oll_blob_writer *w)
{
    close(w->fd);
    close(w->dir);
    oll_chunk_sums_free(w->sums);
    oll_free(w->path);
    oll_free(w);
}

void oll_blob_writer_free(struct oll_blob_writer *w)
{
    if (!w)
        return;
    disk_unlink(w->dir, w->name);
    release(w);
}

oll_status oll_blob_writer_write(struct oll_blob_writer *w, const void *data, size_t n,
                                 struct oll_error *err)
{
    oll_chunk_sums_update(w->sums, data, n);
    if (disk_write(w->fd, data, n) != 0) {
        w->failed = true;
        return disk_fail(err, "blob");
    }
    return OLL_OK;
}

int oll_blob_writer_fd(struct oll_blob_writer *w) { return w->fd; }
const char *oll_blob_writer_path(struct oll_blob_writer *w) { return w->path; }

static oll_status hash_file(struct oll_blob_writer *w, char *buf, struct oll_error *err)
{
    for (uint64_t at = 0;;) {
        ssize_t n = pread(w->fd, buf, BUF_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_fail(err, "blob");
        if (n == 0)
            return OLL_OK;
        oll_chunk_sums_update(w->sums, buf, (size_t)n);
        at += (uint64_t)n;
    }
}

oll_status oll_blob_writer_rehash(struct oll_blob_writer *w, struct oll_error *err)
{
    oll_chunk_sums_free(w->sums);
    w->sums = oll_chunk_sums_new();
    char *buf = oll_alloc(BUF_BYTES, 1);
    oll_status status = OLL_OK;
    if (!w->sums || !buf)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a blob");
    else
        status = hash_file(w, buf, err);
    w->failed |= status != OLL_OK;
    oll_free(buf);
    return status;
}

/* The blob is there already, with the size that it should have. */
static bool present(int dir, const char *name, uint64_t size)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (size == UINT64_MAX || (uint64_t)st.st_size == size);
}

/* A blob that is the user's own file under another name keeps its time. */
static void touch(const struct oll_store *store, int blobs, const char *name)
{
    int origin = store_open_own(store, "origin");
    if (origin < 0 || faccessat(origin, name, F_OK, 0) != 0)
        disk_touch(blobs, name);
    if (origin >= 0)
        close(origin);
}

bool oll_blob_reuse(const struct oll_store *store, const struct oll_digest *digest, uint64_t size)
{
    static const char *const parts[] = {"blobs"};
    char name[OLL_DIGEST_TEXT_MAX];
    int blobs;
    if (oll_store_open_dir(store, parts, 1, &blobs, NULL) != OLL_OK)
        return false;
    blob_file_name(digest, name);
    bool found = present(blobs, name, size);
    if (found)
        touch(store, blobs, name);
    close(blobs);
    return found;
}

oll_status blob_publish(const struct oll_store *store, int dir, const char *name, int fd,
                        const struct oll_digest *digest, bool *existed, struct oll_error *err)
{
    char final[OLL_DIGEST_TEXT_MAX];
    struct stat st;
    int blobs, lock;
    blob_file_name(digest, final);
    if (fstat(fd, &st) != 0 || fchmod(fd, 0644) != 0 || futimens(fd, NULL) != 0 ||
        disk_sync(fd) != 0)
        return disk_fail(err, "blob");
    OLL_TRY(store_make_blobs(store, &blobs, err));
    oll_status status = oll_store_lock_shared(store, &lock, err);
    if (status != OLL_OK) {
        close(blobs);
        return status;
    }
    *existed = present(blobs, final, (uint64_t)st.st_size);
    if (*existed)
        touch(store, blobs, final);
    /* A file of another size under this name cannot be the blob: it is replaced. */
    if (*existed ? disk_unlink(dir, name) != 0
                 : disk_rename(dir, name, blobs, final) != 0 || disk_sync(blobs) != 0)
        status = disk_fail(err, "blob");
    oll_store_unlock(lock);
    close(blobs);
    return status;
}

static oll_status check_digest(const struct oll_digest *expected, const struct oll_digest *got,
                               struct oll_error *err)
{
    char a[OLL_DIGEST_TEXT_MAX], b[OLL_DIGEST_TEXT_MAX];
    if (!expected || memcmp(expected, got, sizeof *got) == 0)
        return OLL_OK;
    oll_digest_text(expected, a);
    oll_digest_text(got, b);
    return OLL_FAIL(err, OLL_ERR_DIGEST, "digest mismatch, expected \"%s\", got \"%s\"", a, b);
}

oll_status oll_blob_writer_finish(struct oll_blob_writer *w, const struct oll_digest *expected,
                                  struct oll_digest *digest, bool *existed, struct oll_error *err)
{
    struct oll_digest got;
    bool there = false;
    oll_chunk_sums_final(w->sums, &got);
    if (digest)
        *digest = got;
    oll_status status = check_digest(expected, &got, err);
    if (status == OLL_OK && w->failed)
        status = OLL_FAIL(err, OLL_ERR_IO, "blob: an earlier write failed");
    if (status == OLL_OK && w->lease)
        status = oll_lease_add(w->lease, &got, 1, err);
    if (status == OLL_OK)
        status = blob_publish(w->store, w->dir, w->name, w->fd, &got, &there, err);
    if (status != OLL_OK) {
        oll_blob_writer_free(w);
        return status;
    }
    oll_chunk_sums_save(w->sums, w->store, &got);
    release(w);
    if (existed)
        *existed = there;
    return OLL_OK;
}

oll_status blob_hash(int fd, struct oll_digest *out, struct oll_error *err)
{
    struct oll_sha256 *h = oll_sha256_new();
    char *buffer = oll_alloc(BUF_BYTES, 1);
    oll_status status = OLL_OK;
    if (!h || !buffer)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a digest");
    for (ssize_t n = 1; status == OLL_OK && n > 0;) {
        n = read(fd, buffer, BUF_BYTES);
        if (n > 0)
            oll_sha256_update(h, buffer, (size_t)n);
        else if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            status = disk_fail(err, "blob");
    }
    if (status == OLL_OK)
        oll_sha256_final(h, out->bytes);
    oll_sha256_free(h);
    oll_free(buffer);
    return status;
}

oll_status oll_blob_put(const struct oll_store *store, struct oll_lease *lease, const void *data,
                        size_t n, struct oll_digest *digest, bool *existed, struct oll_error *err)
{
    struct oll_blob_writer *w;
    OLL_TRY(oll_blob_writer_new(store, lease, &w, err));
    oll_status status = oll_blob_writer_write(w, data, n, err);
    if (status != OLL_OK) {
        oll_blob_writer_free(w);
        return status;
    }
    return oll_blob_writer_finish(w, NULL, digest, existed, err);
}
