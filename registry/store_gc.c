#include "registry/store_gc.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "registry/catalog_write.h"
#include "registry/disk.h"
#include "registry/store_dir.h"
#include "registry/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 << 20, GRACE_S = 3600, MANIFEST_DEPTH = 3 };

/* ---- what is live ---- */

static void add_lease_digest(void *user, const struct oll_digest *digest)
{
    digest_set_add(user, digest);
}

static oll_status add_manifest(const struct oll_store *store, const struct oll_reference *ref,
                               struct oll_arena *arena, struct digest_set *set,
                               struct oll_error *err)
{
    struct oll_manifest m;
    char *bytes = NULL, name[OLL_REFERENCE_TEXT_MAX];
    size_t n;
    struct oll_error why = {0};
    oll_status status = oll_catalog_read(store, ref, &bytes, &n, &why);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_OK; /* the name was removed since it was listed */
    if (status == OLL_OK)
        status = oll_manifest_parse(arena, bytes, n, &m, &why);
    oll_free(bytes);
    if (status != OLL_OK) {
        oll_reference_full(ref, name);
        return OLL_FAIL(err, status,
                        "nothing is removed while the manifest of %s cannot be read: %s", name,
                        oll_error_text(&why));
    }
    for (uint32_t i = 0; i < m.n_layers; i++)
        digest_set_add(set, &m.layers[i].digest);
    if (m.config.media_type)
        digest_set_add(set, &m.config.digest);
    oll_arena_reset(arena);
    return OLL_OK;
}

oll_status store_live_set(const struct oll_store *store, bool leases, struct digest_set *set,
                          struct oll_error *err)
{
    struct oll_catalog_entry *entries = NULL;
    struct oll_arena arena;
    size_t n = 0, n_odd = 0;
    OLL_TRY(oll_catalog_list_strict(store, &entries, &n, &n_odd, err));
    oll_status status = OLL_OK;
    if (n_odd > 0)
        status = OLL_FAIL(err, OLL_ERR_FORMAT,
                          "nothing is removed while manifests/ has entries that are no names (%zu)",
                          n_odd);
    oll_arena_init(&arena, ARENA_BYTES);
    for (size_t i = 0; i < n && status == OLL_OK; i++)
        status = add_manifest(store, &entries[i].ref, &arena, set, err);
    oll_arena_free(&arena);
    oll_free(entries);
    if (status == OLL_OK && leases)
        status = store_read_leases(store, add_lease_digest, set, err);
    if (status == OLL_OK && set->failed)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of blobs in use");
    return status;
}

/* ---- removal ---- */

static void remove_own(const struct oll_store *store, const char *folder, const char *name)
{
    int dir = store_open_own(store, folder);
    if (dir < 0)
        return;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        disk_unlink(dir, name);
    close(dir);
}

/* What is noted of a blob that is gone. */
static void remove_notes(const struct oll_store *store, const char *name)
{
    remove_own(store, "chunks", name);
    remove_own(store, "origin", name);
}

static void remove_blob(const struct oll_store *store, int blobs, const char *name)
{
    if (disk_unlink(blobs, name) != 0 && errno != ENOENT)
        oll_log_warn("store", "%s cannot be removed: %s", name, strerror(errno));
    else
        remove_notes(store, name);
}

static void drop_locked(const struct oll_store *store, const struct oll_digest *digests, size_t n,
                        struct digest_set *live)
{
    static const char *const parts[] = {"blobs"};
    int blobs;
    if (oll_store_open_dir(store, parts, 1, &blobs, NULL) != OLL_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        char name[OLL_DIGEST_TEXT_MAX];
        blob_file_name(&digests[i], name);
        if (!digest_set_has(live, &digests[i]))
            remove_blob(store, blobs, name);
    }
    close(blobs);
}

oll_status oll_store_drop_unused(const struct oll_store *store, const struct oll_digest *digests,
                                 size_t n, struct oll_error *err)
{
    struct digest_set live = {0};
    int lock;
    if (n == 0)
        return OLL_OK;
    oll_status status = oll_store_lock_exclusive(store, false, &lock, NULL);
    if (status == OLL_ERR_BUSY)
        return OLL_OK;
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "lock of the model store: %s", oll_status_text(status));
    status = store_live_set(store, true, &live, err);
    if (status == OLL_OK)
        drop_locked(store, digests, n, &live);
    digest_set_free(&live);
    oll_store_unlock(lock);
    return status;
}

struct empty_walk {
    int depth;
};

/* Removes an empty folder, its folders before it; the depth of the tree is that of a name. */
static bool drop_if_empty(void *user, int dir, const char *name)
{
    struct empty_walk *walk = user;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return true;
    if (walk->depth < MANIFEST_DEPTH) {
        struct empty_walk below = {walk->depth + 1};
        store_each(fd, drop_if_empty, &below);
    }
    close(fd);
    disk_rmdir(dir, name); /* fails when it is not empty */
    return true;
}

void oll_store_drop_empty(const struct oll_store *store)
{
    static const char *const parts[] = {"manifests"};
    struct empty_walk walk = {1};
    int fd;
    if (oll_store_open_dir(store, parts, 1, &fd, NULL) != OLL_OK)
        return;
    store_each(fd, drop_if_empty, &walk);
    close(fd);
}

/* ---- temporary files ---- */

/* A temporary file whose maker is dead: nobody holds its lock. */
static bool drop_dead_tmp(void *user, int dir, const char *name)
{
    (void)user;
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        disk_unlink(dir, name);
    if (fd >= 0)
        close(fd);
    return true;
}

static void drop_tmp(const struct oll_store *store)
{
    const int dir = store_open_own(store, "tmp");
    if (dir < 0)
        return;
    store_each(dir, drop_dead_tmp, NULL);
    close(dir);
}

/* ---- prune ---- */

struct prune {
    const struct oll_store *store;
    struct digest_set *live;
    const char *folder; /* that is walked, for the report */
    int64_t now_s, min_age_s, older_s;
    bool dry_run;
    oll_prune_fn each;
    void *user;
    oll_status status; /* of the first removal that failed; the others are tried all the same */
    struct oll_error err;
};

/* Removes a file, or says that it would be; only what is gone is reported. */
static bool take_out(struct prune *p, int dir, const char *name, uint64_t size, const char *kind)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    if (!p->dry_run && disk_unlink(dir, name) != 0 && errno != ENOENT) {
        if (p->status == OLL_OK)
            p->status =
                OLL_FAIL(&p->err, OLL_ERR_IO, "%s cannot be removed: %s", path, strerror(errno));
        return false;
    }
    struct oll_prune_item item = {.name = path, .size_bytes = size, .kind = kind};
    if (p->each && kind)
        p->each(p->user, &item);
    return true;
}

/* A file of blobs/: not a blob's name and not a partial download is a stray temporary file. */
static bool prune_blob(void *user, int dir, const char *name)
{
    struct prune *p = user;
    struct oll_digest digest;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return true;
    int64_t age_s = p->now_s - (int64_t)st.st_mtime;
    bool partial = strstr(name, "-partial") ||
                   (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".tmp") == 0);
    if (age_s < (partial ? p->older_s : p->min_age_s))
        return true;
    if (blob_file_digest(name, &digest) && digest_set_has(p->live, &digest))
        return true;
    if (take_out(p, dir, name, (uint64_t)st.st_size,
                 partial                           ? "partial download"
                 : blob_file_digest(name, &digest) ? "unused blob"
                                                   : "stray") &&
        !p->dry_run)
        remove_notes(p->store, name);
    return true;
}

/* Opens the journal of a download unless someone is at work; *busy tells that. -1: there is none.
 */
static int take_journal(int dir, const char *journal, bool *busy)
{
    const int fd = openat(dir, journal, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    *busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    return fd;
}

/* The journal of a download whose data has gone: a crash came between the two. */
static void drop_lone_journal(struct prune *p, int dir, const char *journal)
{
    struct oll_digest digest;
    char data[OLL_DIGEST_TEXT_MAX + 16];
    const size_t n = strlen(journal), n_suffix = strlen(".journal");
    bool busy;
    if (n <= n_suffix || n >= sizeof data || strcmp(journal + n - n_suffix, ".journal") != 0)
        return;
    memcpy(data, journal, n - n_suffix);
    data[n - n_suffix] = '\0';
    if (!blob_file_digest(data, &digest))
        return;
    const int fd = take_journal(dir, journal, &busy);
    if (fd >= 0 && !busy && faccessat(dir, data, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        take_out(p, dir, journal, 0, NULL);
    if (fd >= 0)
        close(fd);
}

/* A file of part/: the data of a download, whose journal is locked while someone is at work. */
static bool prune_part(void *user, int dir, const char *name)
{
    struct prune *p = user;
    struct oll_digest digest;
    char journal[OLL_DIGEST_TEXT_MAX + 16];
    struct stat st;
    bool busy;
    if (!blob_file_digest(name, &digest)) {
        drop_lone_journal(p, dir, name);
        return true;
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        p->now_s - (int64_t)st.st_mtime < p->older_s)
        return true;
    snprintf(journal, sizeof journal, "%s.journal", name);
    const int fd = take_journal(dir, journal, &busy);
    if (!busy && take_out(p, dir, name, (uint64_t)st.st_blocks * 512, "partial download") &&
        fd >= 0)
        take_out(p, dir, journal, 0, NULL);
    if (fd >= 0)
        close(fd);
    return true;
}

/* A file of quarantine/ or uploads/. Its time is that of the last change of its place or state, not
 * of its bytes, which may be old. */
static bool prune_kept(void *user, int dir, const char *name)
{
    struct prune *p = user;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        p->now_s - (int64_t)st.st_ctime < p->older_s)
        return true;
    take_out(p, dir, name, (uint64_t)st.st_size,
             strstr(p->folder, "uploads") ? "upload" : "quarantined blob");
    return true;
}

static void prune_own(struct prune *p, const char *name, const char *folder, store_visit_fn visit)
{
    const int dir = store_open_own(p->store, name);
    if (dir < 0)
        return;
    p->folder = folder;
    store_each(dir, visit, p);
    close(dir);
}

static void prune_locked(struct prune *p)
{
    static const char *const parts[] = {"blobs"};
    int dir;
    if (oll_store_open_dir(p->store, parts, 1, &dir, NULL) == OLL_OK) {
        p->folder = "blobs";
        store_each(dir, prune_blob, p);
        close(dir);
    }
    prune_own(p, "part", "oll/part", prune_part);
    prune_own(p, "quarantine", "oll/quarantine", prune_kept);
    prune_own(p, "uploads", "oll/uploads", prune_kept);
}

static oll_status prune_with(const struct oll_store *store, struct prune *p, struct oll_error *err)
{
    struct digest_set live = {0};
    oll_status status = store_live_set(store, true, &live, err);
    p->store = store;
    p->live = &live;
    p->now_s = (int64_t)time(NULL);
    if (status == OLL_OK)
        prune_locked(p);
    digest_set_free(&live);
    if (status == OLL_OK && p->status != OLL_OK)
        status = OLL_FAIL(err, p->status, "%s", oll_error_text(&p->err));
    return status;
}

oll_status oll_store_prune(const struct oll_store *store, int64_t min_age_s, int64_t older_s,
                           bool dry_run, oll_prune_fn each, void *user, struct oll_error *err)
{
    struct prune p = {
        .min_age_s = min_age_s, .older_s = older_s, .dry_run = dry_run, .each = each, .user = user};
    int lock;
    OLL_TRY(oll_store_lock_exclusive(store, true, &lock, err));
    const oll_status status = prune_with(store, &p, err);
    if (status == OLL_OK && !dry_run) {
        drop_tmp(store);
        oll_store_drop_empty(store);
    }
    oll_store_unlock(lock);
    return status;
}

/* ---- start ---- */

static bool rename_legacy(void *user, int dir, const char *name)
{
    struct oll_digest digest;
    char final[OLL_DIGEST_TEXT_MAX];
    (void)user;
    if (strncmp(name, "sha256:", 7) != 0 || oll_digest_parse(name, &digest, NULL) != OLL_OK)
        return true;
    blob_file_name(&digest, final);
    if (disk_rename(dir, name, dir, final) != 0)
        oll_log_warn("store", "%s cannot be renamed: %s", name, strerror(errno));
    return true;
}

static void prune_at_start(const struct oll_store *store)
{
    struct prune p = {.min_age_s = GRACE_S, .older_s = INT64_MAX};
    struct oll_error err = {0};
    if (prune_with(store, &p, &err) == OLL_OK)
        oll_store_drop_empty(store);
    else
        oll_log_warn("store", "%s", oll_error_text(&err));
}

void oll_store_start(const struct oll_store *store, bool prune)
{
    static const char *const parts[] = {"blobs"};
    int dir, lock;
    /* A folder for those who link files into it. A store that cannot be made, that is someone
     * else's or that is busy is left as it is. */
    if (store_make_dir(store, NULL, 0, &dir, NULL) != OLL_OK)
        return;
    close(dir);
    if (oll_store_lock_exclusive(store, false, &lock, NULL) != OLL_OK)
        return;
    if (oll_store_open_dir(store, parts, 1, &dir, NULL) == OLL_OK) {
        store_each(dir, rename_legacy, NULL);
        close(dir);
    }
    drop_tmp(store);
    if (prune)
        prune_at_start(store);
    oll_store_unlock(lock);
}
