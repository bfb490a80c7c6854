#include "registry/store_move.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "registry/blob_write.h"
#include "registry/catalog_write.h"
#include "registry/digest_set.h"
#include "registry/disk.h"
#include "registry/store_dir.h"
#include "registry/store_gc.h"
#include "registry/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20, NOTE_BYTES_MAX = 256 << 20 };

static const char *const blobs_parts[] = {"blobs"};

struct move {
    const struct oll_store_move *config;
    struct oll_store_moved *moved;
    struct oll_store *to;
    struct oll_lease *lease; /* in the new store */
    struct digest_set blobs; /* of the old store */
    struct oll_catalog_entry *entries;
    size_t n_entries;
    int from_dir, to_dir; /* blobs/; -1: none */
    char *buf;
};

/* ---- before anything is done ---- */

static bool is_below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Both paths without links; one must not lie in the other. */
static oll_status check_places(const struct oll_store_move *c, struct oll_error *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (!realpath(oll_store_path(c->from), from))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "there is no model store at %s",
                        oll_store_path(c->from));
    if (!realpath(c->to, to))
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", c->to, strerror(errno));
    if (is_below(from, to) || is_below(to, from))
        return OLL_FAIL(err, OLL_ERR_ARG, "%s and %s lie in one another", from, to);
    return OLL_OK;
}

static void count_lease(void *user, const struct oll_digest *digest)
{
    (void)digest;
    ++*(size_t *)user;
}

static oll_status check_idle(const struct move *m, struct oll_error *err)
{
    size_t n = 0;
    OLL_TRY(store_read_leases(m->config->from, count_lease, &n, err));
    return n == 0 ? OLL_OK
                  : OLL_FAIL(err, OLL_ERR_BUSY,
                             "a pull, push or create is at work in %s; try again when it is over",
                             oll_store_path(m->config->from));
}

/* A name that is in both stores must stand for the same model. */
static oll_status check_names(const struct move *m, struct oll_error *err)
{
    for (size_t i = 0; i < m->n_entries; i++) {
        char *a = NULL, *b = NULL, name[OLL_REFERENCE_TEXT_MAX];
        size_t n_a = 0, n_b = 0;
        const struct oll_reference *ref = &m->entries[i].ref;
        if (oll_catalog_read(m->to, ref, &b, &n_b, NULL) != OLL_OK)
            continue;
        oll_status status = oll_catalog_read(m->config->from, ref, &a, &n_a, err);
        oll_reference_short(ref, name);
        if (status == OLL_OK && (n_a != n_b || memcmp(a, b, n_a) != 0))
            status = OLL_FAIL(err, OLL_ERR_EXISTS, "%s has another model of the name %s",
                              m->config->to, name);
        oll_free(a);
        oll_free(b);
        OLL_TRY(status);
    }
    return OLL_OK;
}

static bool add_blob(void *user, int dir, const char *name)
{
    struct move *m = user;
    struct oll_digest digest;
    struct stat st;
    if (blob_file_digest(name, &digest) && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode))
        digest_set_add(&m->blobs, &digest);
    return true;
}

static oll_status read_old(struct move *m, struct oll_error *err)
{
    OLL_TRY(check_idle(m, err));
    OLL_TRY(oll_catalog_list(m->config->from, &m->entries, &m->n_entries, err));
    if (oll_store_open_dir(m->config->from, blobs_parts, 1, &m->from_dir, NULL) == OLL_OK)
        store_each(m->from_dir, add_blob, m);
    else
        m->from_dir = -1;
    return m->blobs.failed ? OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of blobs")
                           : check_names(m, err);
}

/* ---- into the new store ---- */

static oll_status copy_content(struct move *m, const struct oll_digest *digest, int from,
                               uint64_t size, struct oll_blob_writer *w, struct oll_error *err)
{
    const struct oll_store_move *c = m->config;
    for (uint64_t done = 0;;) {
        ssize_t n = read(from, m->buf, BUF_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_fail(err, "blob");
        if (n == 0)
            return OLL_OK;
        OLL_TRY(oll_blob_writer_write(w, m->buf, (size_t)n, err));
        done += (uint64_t)n;
        m->moved->copied_bytes += (uint64_t)n;
        if (c->progress)
            c->progress(c->user, digest, size, done);
        if (c->canceled && c->canceled(c->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
    }
}

static oll_status copy_blob(struct move *m, const struct oll_digest *digest, const char *name,
                            uint64_t size, struct oll_error *err)
{
    struct oll_blob_writer *w;
    const int from = openat(m->from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (from < 0)
        return disk_fail(err, "blob");
    oll_status status = oll_blob_writer_new(m->to, m->lease, &w, err);
    if (status == OLL_OK) {
        status = copy_content(m, digest, from, size, w, err);
        if (status == OLL_OK)
            status = oll_blob_writer_finish(w, digest, NULL, NULL, err);
        else
            oll_blob_writer_free(w);
    }
    close(from);
    return status;
}

/* A small file of oll/ that belongs to a blob, best effort: without it nothing is lost. */
static void copy_note(const struct move *m, const char *folder, const char *name)
{
    char *data = NULL, tmp[STORE_TMP_NAME_MAX];
    uint64_t n;
    int tmp_dir, fd, to = -1;
    const int from = store_open_own(m->config->from, folder);
    if (from < 0)
        return;
    if (oll_file_read_at(from, name, NOTE_BYTES_MAX, &data, &n, NULL) == OLL_OK &&
        store_make_own(m->to, folder, &to, NULL) == OLL_OK &&
        store_make_tmp(m->to, &tmp_dir, &fd, tmp, NULL) == OLL_OK) {
        if (disk_write(fd, data, (size_t)n) != 0 || disk_sync(fd) != 0 ||
            disk_rename(tmp_dir, tmp, to, name) != 0)
            disk_unlink(tmp_dir, tmp);
        close(fd);
        close(tmp_dir);
    }
    if (to >= 0)
        close(to);
    oll_free(data);
    close(from);
}

/* Whether the new store has the blob already. One that is not the same file is hashed: it is to be
 * the only one. */
static oll_status look_there(const struct move *m, const struct oll_digest *digest,
                             const char *name, const struct stat *old, bool *there,
                             struct oll_error *err)
{
    struct oll_digest got;
    struct stat st;
    *there = false;
    const int fd = openat(m->to_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return OLL_OK;
    if (fd < 0 || fstat(fd, &st) != 0) {
        oll_status status = disk_fail(err, "blob of the new store");
        if (fd >= 0)
            close(fd);
        return status;
    }
    oll_status status = OLL_OK;
    *there = st.st_dev == old->st_dev && st.st_ino == old->st_ino;
    if (!*there)
        status = blob_hash(fd, &got, err);
    close(fd);
    if (status == OLL_OK && !*there && memcmp(&got, digest, sizeof got) != 0)
        return OLL_FAIL(err, OLL_ERR_DIGEST, "%s/blobs/%s is damaged; see oll verify",
                        m->config->to, name);
    *there = status == OLL_OK;
    return status;
}

static oll_status move_blob(struct move *m, const struct oll_digest *digest, struct oll_error *err)
{
    char name[OLL_DIGEST_TEXT_MAX];
    struct stat st;
    blob_file_name(digest, name);
    OLL_TRY(oll_lease_add(m->lease, digest, 1, err));
    if (fstatat(m->from_dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return disk_fail(err, "blob");
    m->moved->n_blobs++;
    bool there;
    OLL_TRY(look_there(m, digest, name, &st, &there, err));
    if (there)
        return OLL_OK;
    /* The note comes first: a link to a user's file without one would be taken for a copy. */
    copy_note(m, "origin", name);
    if (disk_link(m->from_dir, name, m->to_dir, name) == 0) {
        copy_note(m, "chunks", name);
        return OLL_OK;
    }
    if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != EOPNOTSUPP)
        return disk_fail(err, "blob");
    return copy_blob(m, digest, name, (uint64_t)st.st_size, err);
}

static oll_status move_blobs(struct move *m, struct oll_error *err)
{
    OLL_TRY(store_make_blobs(m->to, &m->to_dir, err));
    for (size_t i = 0; i < m->blobs.n; i++) {
        OLL_TRY(move_blob(m, &m->blobs.items[i], err));
        if (m->config->canceled && m->config->canceled(m->config->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
    }
    return disk_sync(m->to_dir) == 0 ? OLL_OK : disk_fail(err, "blobs of the new store");
}

/* The list of models shows these times. */
static void keep_time(const struct oll_store *store, const struct oll_catalog_entry *entry)
{
    const char *parts[] = {"manifests", entry->ref.host, entry->ref.namespace, entry->ref.model};
    const struct timespec at = {(time_t)(entry->modified_ns / 1000000000),
                                (long)(entry->modified_ns % 1000000000)};
    const struct timespec times[] = {at, at};
    int dir;
    if (oll_store_open_dir(store, parts, 4, &dir, NULL) != OLL_OK)
        return;
    (void)utimensat(dir, entry->ref.tag, times, AT_SYMLINK_NOFOLLOW);
    close(dir);
}

static oll_status move_manifests(struct move *m, struct oll_error *err)
{
    for (size_t i = 0; i < m->n_entries; i++) {
        char *bytes = NULL, name[OLL_REFERENCE_TEXT_MAX];
        size_t n = 0;
        const struct oll_reference *ref = &m->entries[i].ref;
        struct oll_error why = {0};
        oll_status status = oll_catalog_read(m->config->from, ref, &bytes, &n, &why);
        if (status == OLL_OK)
            status = oll_catalog_write(m->to, ref, bytes, n, &why);
        oll_free(bytes);
        oll_reference_short(ref, name);
        if (status != OLL_OK)
            return OLL_FAIL(err, status, "model '%s' is damaged (see oll verify --repair): %s",
                            name, oll_error_text(&why));
        keep_time(m->to, &m->entries[i]);
        m->moved->n_models++;
    }
    return OLL_OK;
}

/* ---- out of the old one ---- */

static oll_status remove_manifests(const struct move *m, struct oll_error *err)
{
    for (size_t i = 0; i < m->n_entries; i++) {
        const struct oll_reference *ref = &m->entries[i].ref;
        const char *parts[] = {"manifests", ref->host, ref->namespace, ref->model};
        int dir;
        OLL_TRY(oll_store_open_dir(m->config->from, parts, 4, &dir, err));
        const bool ok = disk_unlink(dir, ref->tag) == 0 && disk_sync(dir) == 0;
        oll_status status = ok ? OLL_OK : disk_fail(err, "manifest of the old store");
        close(dir);
        OLL_TRY(status);
    }
    oll_store_drop_empty(m->config->from);
    return OLL_OK;
}

static void remove_note(const struct move *m, const char *folder, const char *name)
{
    const int dir = store_open_own(m->config->from, folder);
    if (dir < 0)
        return;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        disk_unlink(dir, name);
    close(dir);
}

static oll_status remove_old(struct move *m, struct oll_error *err)
{
    OLL_TRY(remove_manifests(m, err));
    for (size_t i = 0; i < m->blobs.n; i++) {
        char name[OLL_DIGEST_TEXT_MAX];
        blob_file_name(&m->blobs.items[i], name);
        if (disk_unlink(m->from_dir, name) != 0)
            return disk_fail(err, "blob of the old store");
        remove_note(m, "chunks", name);
        remove_note(m, "origin", name);
    }
    return OLL_OK;
}

static oll_status run(struct move *m, struct oll_error *err)
{
    int lock;
    OLL_TRY(oll_store_lock_exclusive(m->config->from, false, &lock, err));
    oll_status status = read_old(m, err);
    if (status == OLL_OK)
        status = oll_lease_new(m->to, &m->lease, err);
    if (status == OLL_OK)
        status = move_blobs(m, err);
    if (status == OLL_OK)
        status = move_manifests(m, err);
    if (status == OLL_OK)
        status = remove_old(m, err);
    oll_store_unlock(lock);
    return status;
}

oll_status oll_store_move(const struct oll_store_move *config, struct oll_store_moved *moved,
                          struct oll_error *err)
{
    struct move m = {.config = config, .moved = moved, .from_dir = -1, .to_dir = -1};
    int root;
    *moved = (struct oll_store_moved){0};
    m.buf = oll_alloc(BUF_BYTES, 1);
    if (!m.buf)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a copy");
    oll_status status = oll_store_new(config->to, &m.to, err);
    if (status == OLL_OK)
        status = store_make_dir(m.to, NULL, 0, &root, err);
    if (status == OLL_OK) {
        close(root);
        status = check_places(config, err);
    }
    if (status == OLL_OK)
        status = run(&m, err);
    oll_lease_free(m.lease);
    if (m.from_dir >= 0)
        close(m.from_dir);
    if (m.to_dir >= 0)
        close(m.to_dir);
    digest_set_free(&m.blobs);
    oll_free(m.entries);
    oll_store_free(m.to);
    oll_free(m.buf);
    return status;
}
