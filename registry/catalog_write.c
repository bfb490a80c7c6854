#include "registry/catalog_write.h"

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "registry/digest_set.h"
#include "registry/disk.h"
#include "registry/store_dir.h"
#include "registry/store_gc.h"
#include "registry/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 << 20, TRIES = 100 };

#define MANIFEST_DIR(ref) {"manifests", (ref)->host, (ref)->namespace, (ref)->model}

oll_status oll_catalog_read(const struct oll_store *store, const struct oll_reference *ref,
                            char **bytes, size_t *n, struct oll_error *err)
{
    const char *parts[] = MANIFEST_DIR(ref);
    uint64_t size;
    int fd;
    OLL_TRY(oll_store_open_dir(store, parts, 4, &fd, err));
    oll_status status = oll_file_read_at(fd, ref->tag, OLL_MANIFEST_BYTES_MAX, bytes, &size, err);
    close(fd);
    if (status == OLL_OK)
        *n = (size_t)size;
    return status;
}

/* Every blob of a manifest is there. Real Ollama may have removed one while we were at work. */
static oll_status check_blobs(const struct oll_store *store, const char *bytes, size_t n,
                              struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_manifest m;
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = oll_manifest_parse(&arena, bytes, n, &m, err);
    for (uint32_t i = 0; status == OLL_OK && i <= m.n_layers; i++) {
        const struct oll_layer *l = i < m.n_layers ? &m.layers[i] : &m.config;
        char *path = NULL;
        if (!l->media_type)
            continue;
        status = oll_blob_path(store, &l->digest, &path, err);
        oll_free(path);
    }
    oll_arena_free(&arena);
    return status;
}

/* Renames the temporary file over the manifest. */
static oll_status publish_once(const struct oll_store *store, const struct oll_reference *ref,
                               int tmp, const char *tmp_name, struct oll_error *err)
{
    const char *parts[] = MANIFEST_DIR(ref);
    int dir;
    OLL_TRY(store_make_dir(store, parts, 4, &dir, err));
    oll_status status = OLL_OK;
    if (disk_rename(tmp, tmp_name, dir, ref->tag) != 0 || disk_sync(dir) != 0)
        status = disk_fail(err, "manifest");
    close(dir);
    return status;
}

/* Another process may remove the empty folders of the name between their making and the rename;
 * then they are made again. */
static oll_status publish(const struct oll_store *store, const struct oll_reference *ref, int tmp,
                          const char *tmp_name, struct oll_error *err)
{
    for (int i = 0;; i++) {
        struct oll_error why = {0};
        oll_status status = publish_once(store, ref, tmp, tmp_name, &why);
        if (status == OLL_OK)
            return OLL_OK;
        if (status != OLL_ERR_NOT_FOUND || i == TRIES)
            return OLL_FAIL(err, status, "%s", oll_error_text(&why));
    }
}

static oll_status write_locked(const struct oll_store *store, const struct oll_reference *ref,
                               const char *bytes, size_t n, struct oll_error *err)
{
    char name[STORE_TMP_NAME_MAX];
    int tmp, fd;
    OLL_TRY(store_make_tmp(store, &tmp, &fd, name, err));
    oll_status status = OLL_OK;
    if (disk_write(fd, bytes, n) != 0 || fchmod(fd, 0644) != 0 || disk_sync(fd) != 0)
        status = disk_fail(err, "manifest");
    if (status == OLL_OK)
        status = publish(store, ref, tmp, name, err);
    if (status != OLL_OK)
        disk_unlink(tmp, name);
    close(fd);
    close(tmp);
    return status;
}

oll_status oll_catalog_write(const struct oll_store *store, const struct oll_reference *ref,
                             const char *bytes, size_t n, struct oll_error *err)
{
    int lock;
    OLL_TRY(oll_store_lock_shared(store, &lock, err));
    oll_status status = check_blobs(store, bytes, n, err);
    if (status == OLL_OK)
        status = write_locked(store, ref, bytes, n, err);
    oll_store_unlock(lock);
    return status;
}

oll_status oll_catalog_copy(const struct oll_store *store, const struct oll_reference *from,
                            const struct oll_reference *to, struct oll_error *err)
{
    char *bytes = NULL;
    size_t n;
    int lock;
    if (oll_reference_equal(from, to)) {
        OLL_TRY(oll_catalog_read(store, from, &bytes, &n, err));
        oll_free(bytes);
        return OLL_OK;
    }
    /* Read under the lock: nobody can remove the model between the reading and the writing. */
    OLL_TRY(oll_store_lock_shared(store, &lock, err));
    oll_status status = oll_catalog_read(store, from, &bytes, &n, err);
    if (status == OLL_OK)
        status = write_locked(store, to, bytes, n, err);
    oll_store_unlock(lock);
    oll_free(bytes);
    return status;
}

oll_status oll_catalog_remove(const struct oll_store *store, const struct oll_reference *ref,
                              struct oll_error *err)
{
    const char *parts[] = MANIFEST_DIR(ref);
    struct oll_digest *digests = NULL;
    char *bytes = NULL;
    size_t n = 0, n_digests = 0;
    int dir;
    /* A manifest that cannot be read can be removed all the same; its blobs are left to the next
     * clean-up. */
    oll_status status = oll_catalog_read(store, ref, &bytes, &n, err);
    if (status == OLL_ERR_NOT_FOUND || status == OLL_ERR_DENIED)
        return status;
    status = oll_store_open_dir(store, parts, 4, &dir, err);
    if (status == OLL_OK) {
        if (disk_unlink(dir, ref->tag) != 0)
            status = disk_fail(err, "manifest");
        else if (disk_sync(dir) != 0)
            status = disk_fail(err, "manifest");
        close(dir);
    }
    if (status == OLL_OK) {
        oll_store_drop_empty(store);
        status = oll_catalog_replaced(bytes, n, NULL, 0, &digests, &n_digests, err);
    }
    if (status == OLL_OK) {
        struct oll_error why = {0};
        if (oll_store_drop_unused(store, digests, n_digests, &why) != OLL_OK)
            oll_log_warn("store", "blobs of a removed model stay: %s", oll_error_text(&why));
    }
    oll_free(digests);
    oll_free(bytes);
    return status;
}

/* Adds what a manifest names; a broken one names nothing. */
static void add_digests(struct digest_set *set, const char *bytes, size_t n)
{
    struct oll_arena arena;
    struct oll_manifest m;
    if (!bytes)
        return;
    oll_arena_init(&arena, ARENA_BYTES);
    if (oll_manifest_parse(&arena, bytes, n, &m, NULL) == OLL_OK) {
        for (uint32_t i = 0; i < m.n_layers; i++)
            digest_set_add(set, &m.layers[i].digest);
        if (m.config.media_type)
            digest_set_add(set, &m.config.digest);
    }
    oll_arena_free(&arena);
}

oll_status oll_catalog_replaced(const char *old, size_t n_old, const char *now, size_t n_now,
                                struct oll_digest **digests, size_t *n, struct oll_error *err)
{
    struct digest_set before = {0}, after = {0}, left = {0};
    add_digests(&before, old, n_old);
    add_digests(&after, now, n_now);
    for (size_t i = 0; i < before.n; i++)
        if (!digest_set_has(&after, &before.items[i]))
            digest_set_add(&left, &before.items[i]);
    bool failed = before.failed || after.failed || left.failed;
    digest_set_free(&before);
    digest_set_free(&after);
    if (failed) {
        digest_set_free(&left);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a manifest");
    }
    *digests = left.items;
    *n = left.n;
    return OLL_OK;
}
