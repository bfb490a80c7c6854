#include "registry/quarantine.h"

#include "registry/disk.h"
#include "registry/store_dir.h"
#include "registry/store_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const blobs_parts[] = {"blobs"};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void drop_note(const struct oll_store *store, const char *name)
{
    const int dir = store_open_own(store, "origin");
    if (dir < 0)
        return;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        disk_unlink(dir, name);
    close(dir);
}

static oll_status move_locked(const struct oll_store *store, const char *name, int to,
                              const struct stat *seen, struct oll_error *err)
{
    struct stat st;
    int blobs;
    OLL_TRY(oll_store_open_dir(store, blobs_parts, 1, &blobs, err));
    oll_status status = OLL_OK;
    if (fstatat(blobs, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !same_file(&st, seen))
        status = OLL_FAIL(err, OLL_ERR_BUSY, "%s was changed while it was looked at", name);
    else if (disk_rename(blobs, name, to, name) != 0 || disk_sync(blobs) != 0)
        status = disk_fail(err, "quarantine");
    close(blobs);
    return status;
}

oll_status blob_quarantine(const struct oll_store *store, const struct oll_digest *digest,
                           const struct stat *seen, struct oll_error *err)
{
    char name[OLL_DIGEST_TEXT_MAX];
    int to, lock;
    blob_file_name(digest, name);
    OLL_TRY(store_make_own(store, "quarantine", &to, err));
    oll_status status = oll_store_lock_exclusive(store, true, &lock, err);
    if (status == OLL_OK) {
        status = move_locked(store, name, to, seen, err);
        if (status == OLL_OK)
            drop_note(store, name);
        oll_store_unlock(lock);
    }
    close(to);
    return status;
}

int blob_quarantine_open(const struct oll_store *store, const struct oll_digest *digest)
{
    char name[OLL_DIGEST_TEXT_MAX];
    const int dir = store_open_own(store, "quarantine");
    if (dir < 0)
        return -1;
    blob_file_name(digest, name);
    const int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    close(dir);
    return fd;
}

void blob_quarantine_drop(const struct oll_store *store, const struct oll_digest *digest)
{
    char name[OLL_DIGEST_TEXT_MAX];
    const int dir = store_open_own(store, "quarantine");
    if (dir < 0)
        return;
    blob_file_name(digest, name);
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        disk_unlink(dir, name);
    close(dir);
}
