#include "registry/store_lock.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "registry/disk.h"
#include "registry/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LEASE_BYTES_MAX = 1 << 20 }; /* ten times the layers of the largest manifest */

static oll_status take(const struct oll_store *store, int how, int *lock, struct oll_error *err)
{
    int dir;
    OLL_TRY(store_make_own(store, NULL, &dir, err));
    int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = -1;
    close(dir);
    if (fd < 0)
        return disk_fail(err, "lock of the model store");
    do
        rc = flock(fd, how);
    while (rc != 0 && errno == EINTR);
    if (rc == 0) {
        *lock = fd;
        return OLL_OK;
    }
    int e = errno;
    close(fd);
    if (e == EWOULDBLOCK)
        return OLL_FAIL(err, OLL_ERR_BUSY, "the model store is in use");
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "the file system of the model store %s has no flock (%s); put OLLAMA_MODELS on "
                    "one that has",
                    oll_store_path(store), strerror(e));
}

oll_status oll_store_lock_shared(const struct oll_store *store, int *lock, struct oll_error *err)
{
    return take(store, LOCK_SH, lock, err);
}

oll_status oll_store_lock_exclusive(const struct oll_store *store, bool wait, int *lock,
                                    struct oll_error *err)
{
    return take(store, wait ? LOCK_EX : LOCK_EX | LOCK_NB, lock, err);
}

void oll_store_unlock(int lock) { close(lock); }

/* ---- leases ---- */

struct oll_lease {
    const struct oll_store *store;
    int dir, fd;
    char name[STORE_TMP_NAME_MAX];
};

oll_status oll_lease_new(const struct oll_store *store, struct oll_lease **out,
                         struct oll_error *err)
{
    static atomic_ulong counter;
    int lock, dir, fd = -1;
    OLL_TRY(store_make_own(store, "leases", &dir, err));
    struct oll_lease *lease = oll_calloc(1, sizeof *lease);
    if (!lease) {
        close(dir);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a lease");
    }
    /* Under the shared lock, so that nobody takes the new file for that of a dead process between
     * its making and its locking. */
    oll_status status = oll_store_lock_shared(store, &lock, err);
    if (status == OLL_OK) {
        do {
            snprintf(lease->name, sizeof lease->name, "%ld-%lu", (long)getpid(),
                     atomic_fetch_add(&counter, 1));
            fd = disk_create(dir, lease->name, O_EXCL);
        } while (fd < 0 && errno == EEXIST);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
            status = disk_fail(err, "lease");
        oll_store_unlock(lock);
    }
    lease->store = store;
    lease->dir = dir;
    lease->fd = fd;
    if (status == OLL_OK)
        *out = lease;
    else
        oll_lease_free(lease);
    return status;
}

oll_status oll_lease_add(struct oll_lease *lease, const struct oll_digest *digests, size_t n,
                         struct oll_error *err)
{
    struct oll_strbuf sb;
    int lock;
    oll_strbuf_init(&sb, LEASE_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        char text[OLL_DIGEST_TEXT_MAX];
        oll_digest_text(&digests[i], text);
        oll_strbuf_adds(&sb, text);
        oll_strbuf_addc(&sb, '\n');
    }
    oll_status status = sb.status;
    if (status != OLL_OK)
        oll_error_set(err, status, "lease on %zu blobs: %s", n, oll_status_text(status));
    if (status == OLL_OK)
        status = oll_store_lock_shared(lease->store, &lock, err);
    if (status == OLL_OK) {
        if (disk_write(lease->fd, sb.data, sb.len) != 0)
            status = disk_fail(err, "lease");
        oll_store_unlock(lock);
    }
    oll_strbuf_free(&sb);
    return status;
}

void oll_lease_free(struct oll_lease *lease)
{
    if (!lease)
        return;
    if (lease->fd >= 0) {
        disk_unlink(lease->dir, lease->name);
        close(lease->fd);
    }
    close(lease->dir);
    oll_free(lease);
}

struct lease_read {
    lease_digest_fn add;
    void *user;
    oll_status status;
    struct oll_error *err;
};

static void read_lines(struct lease_read *read, char *text)
{
    char *end;
    for (char *line = text; (end = strchr(line, '\n')); line = end + 1) {
        struct oll_digest digest;
        *end = '\0';
        if (oll_digest_parse(line, &digest, NULL) == OLL_OK)
            read->add(read->user, &digest);
    }
}

static bool visit_lease(void *user, int dir, const char *name)
{
    struct lease_read *read = user;
    char *text = NULL;
    uint64_t n;
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return true; /* its owner dropped it just now */
    bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (dead)
        disk_unlink(dir, name);
    close(fd);
    if (dead)
        return true;
    oll_status status = oll_file_read_at(dir, name, UINT32_MAX, &text, &n, read->err);
    if (status == OLL_OK)
        read_lines(read, text);
    else if (status != OLL_ERR_NOT_FOUND)
        read->status = status;
    oll_free(text);
    return read->status == OLL_OK;
}

oll_status store_read_leases(const struct oll_store *store, lease_digest_fn add, void *user,
                             struct oll_error *err)
{
    struct lease_read read = {.add = add, .user = user, .err = err};
    int dir = store_open_own(store, "leases");
    if (dir < 0)
        return OLL_OK;
    store_each(dir, visit_lease, &read);
    close(dir);
    return read.status;
}
