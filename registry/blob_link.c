#include "registry/blob_link.h"

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "registry/blob_write.h"
#include "registry/disk.h"
#include "registry/quarantine.h"
#include "registry/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTE_BYTES_MAX = 512 };

static const char *const blobs_parts[] = {"blobs"};

static int64_t modified_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* ---- notes ---- */

static oll_status write_note(const struct oll_store *store, const char *name, const struct stat *st,
                             struct oll_error *err)
{
    char text[NOTE_BYTES_MAX], tmp[STORE_TMP_NAME_MAX];
    int dir = -1, fd = -1, to = -1;
    const int n = snprintf(text, sizeof text,
                           "{\"device\":%llu,\"inode\":%llu,\"size\":%llu,\"modified_ns\":%lld}\n",
                           (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
                           (unsigned long long)st->st_size, (long long)modified_of(st));
    OLL_TRY(store_make_own(store, "origin", &to, err));
    oll_status status = store_make_tmp(store, &dir, &fd, tmp, err);
    if (status == OLL_OK && (disk_write(fd, text, (size_t)n) != 0 || disk_sync(fd) != 0 ||
                             disk_rename(dir, tmp, to, name) != 0 || disk_sync(to) != 0))
        status = disk_fail(err, "origin of a blob");
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    close(to);
    return status;
}

static uint64_t number_of(const struct oll_json *note, const char *key)
{
    const struct oll_json *v = oll_json_get(note, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_uint ? (uint64_t)v->i : UINT64_MAX;
}

/* Whether there is a note, and whether it describes the file. A note that cannot be read describes
 * nothing. */
static bool read_note(const struct oll_store *store, const char *name, const struct stat *st,
                      bool *matches)
{
    const int dir = store_open_own(store, "origin");
    struct oll_arena arena;
    struct oll_json *note = NULL;
    char *text = NULL;
    uint64_t n = 0;
    *matches = false;
    if (dir < 0)
        return false;
    oll_arena_init(&arena, 1 << 20);
    const oll_status status = oll_file_read_at(dir, name, NOTE_BYTES_MAX, &text, &n, NULL);
    if (status == OLL_OK && oll_json_parse(&arena, text, (size_t)n, NULL, &note, NULL) == OLL_OK)
        *matches = number_of(note, "device") == (uint64_t)st->st_dev &&
                   number_of(note, "inode") == (uint64_t)st->st_ino &&
                   number_of(note, "size") == (uint64_t)st->st_size &&
                   number_of(note, "modified_ns") == (uint64_t)modified_of(st);
    oll_free(text);
    oll_arena_free(&arena);
    close(dir);
    return status != OLL_ERR_NOT_FOUND;
}

/* ---- making ---- */

/* A clone is a file of its own; it is published like one that was written. */
static oll_status clone_file(const struct oll_store *store, int from,
                             const struct oll_digest *digest, bool *existed, bool *cloned,
                             struct oll_error *err)
{
    char tmp[STORE_TMP_NAME_MAX];
    int dir, fd;
    OLL_TRY(store_make_tmp(store, &dir, &fd, tmp, err));
    *cloned = oll_platform_clone_file(fd, from);
    oll_status status = *cloned ? blob_publish(store, dir, tmp, fd, digest, existed, err) : OLL_OK;
    if (!*cloned || status != OLL_OK)
        disk_unlink(dir, tmp);
    close(fd);
    close(dir);
    return status;
}

static oll_status link_file(const struct oll_store *store, const char *path, const struct stat *st,
                            const char *name, struct oll_error *err)
{
    int blobs, lock;
    struct stat made;
    if (st->st_uid != geteuid())
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "the file belongs to another user");
    /* The note comes first: a link without one would be taken for a copy. */
    OLL_TRY(write_note(store, name, st, err));
    OLL_TRY(store_make_blobs(store, &blobs, err));
    oll_status status = oll_store_lock_shared(store, &lock, err);
    if (status != OLL_OK) {
        close(blobs);
        return status;
    }
    if (disk_link(AT_FDCWD, path, blobs, name) != 0)
        status = OLL_FAIL(err, errno == EEXIST ? OLL_ERR_EXISTS : OLL_ERR_UNSUPPORTED,
                          "the file cannot be linked: %s", strerror(errno));
    else if (fstatat(blobs, name, &made, AT_SYMLINK_NOFOLLOW) != 0 || made.st_ino != st->st_ino ||
             disk_sync(blobs) != 0)
        status = OLL_FAIL(err, OLL_ERR_BUSY, "the file was replaced while it was being linked");
    if (status == OLL_ERR_BUSY)
        disk_unlink(blobs, name);
    oll_store_unlock(lock);
    close(blobs);
    return status;
}

static void drop_note(const struct oll_store *store, const char *name)
{
    const int dir = store_open_own(store, "origin");
    if (dir < 0)
        return;
    disk_unlink(dir, name);
    close(dir);
}

oll_status oll_blob_link(const struct oll_store *store, struct oll_lease *lease, const char *path,
                         const struct oll_digest *digest, uint64_t n_bytes, int64_t modified_ns,
                         enum oll_blob_link *how, struct oll_error *err)
{
    char name[OLL_DIGEST_TEXT_MAX];
    bool existed = false, cloned = false;
    struct stat st;
    blob_file_name(digest, name);
    OLL_TRY(oll_lease_add(lease, digest, 1, err));
    *how = OLL_BLOB_EXISTED;
    if (oll_blob_reuse(store, digest, n_bytes))
        return OLL_OK;
    const int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (from < 0 || fstat(from, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (from >= 0)
            close(from);
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "only regular files can be linked");
    }
    oll_status status = OLL_OK;
    if ((uint64_t)st.st_size != n_bytes || modified_of(&st) != modified_ns)
        status = OLL_FAIL(err, OLL_ERR_BUSY, "%s was changed while it was read", path);
    if (status == OLL_OK)
        status = clone_file(store, from, digest, &existed, &cloned, err);
    close(from);
    if (status != OLL_OK || cloned) {
        *how = existed ? OLL_BLOB_EXISTED : OLL_BLOB_CLONED;
        return status;
    }
    status = link_file(store, path, &st, name, err);
    *how = OLL_BLOB_LINKED;
    if (status != OLL_OK)
        drop_note(store, name);
    return status;
}

/* ---- checking ---- */

static oll_status put_aside(const struct oll_store *store, const struct oll_digest *digest,
                            const struct stat *seen, const char *name, struct oll_error *err)
{
    OLL_TRY(blob_quarantine(store, digest, seen, err));
    return OLL_FAIL(err, OLL_ERR_DIGEST,
                    "the file behind %s was changed after it was linked; it is no longer used: "
                    "create the model again",
                    name);
}

/* The note is missing or no longer true. */
static oll_status check_again(const struct oll_store *store, int fd, const char *name,
                              const struct oll_digest *digest, struct oll_error *err)
{
    struct oll_digest got;
    struct stat before, after;
    if (fstat(fd, &before) != 0)
        return disk_fail(err, "blob");
    OLL_TRY(blob_hash(fd, &got, err));
    if (memcmp(&got, digest, sizeof got) != 0)
        return put_aside(store, digest, &before, name, err);
    /* A change during the hash is left to the next check. */
    if (fstat(fd, &after) == 0 && modified_of(&after) == modified_of(&before))
        return write_note(store, name, &before, err);
    return OLL_OK;
}

oll_status oll_blob_check_origin(const struct oll_store *store, const struct oll_digest *digest,
                                 struct oll_error *err)
{
    char name[OLL_DIGEST_TEXT_MAX];
    struct stat st;
    bool matches;
    int blobs;
    blob_file_name(digest, name);
    if (oll_store_open_dir(store, blobs_parts, 1, &blobs, NULL) != OLL_OK)
        return OLL_OK;
    oll_status status = OLL_OK;
    const int fd = openat(blobs, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && read_note(store, name, &st, &matches) && !matches)
        status = check_again(store, fd, name, digest, err);
    if (fd >= 0)
        close(fd);
    close(blobs);
    return status;
}
