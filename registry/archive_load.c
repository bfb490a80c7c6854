#include "registry/archive.h"

#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "registry/blob_write.h"
#include "registry/catalog_write.h"
#include "registry/digest_set.h"
#include "registry/disk.h"
#include "registry/store_gc.h"
#include "registry/tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20, ARENA_BYTES = 64 << 20, INDEX_BYTES_MAX = 4 << 20 };

struct load {
    const struct oll_archive *config;
    struct oll_lease *lease;
    int fd;
    uint64_t at; /* bytes read of the archive */
    char *buf;
    char *index; /* index.json, NULL before it came */
    size_t n_index;
    struct digest_set brought; /* blobs that were not here before */
};

/* ---- the stream ---- */

static oll_status take(struct load *l, void *out, size_t n, struct oll_error *err)
{
    for (char *p = out; n > 0;) {
        ssize_t got = read(l->fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return disk_fail(err, "archive");
        if (got == 0)
            return OLL_FAIL(err, OLL_ERR_FORMAT, "the archive ends early, at byte %" PRIu64, l->at);
        p += got;
        n -= (size_t)got;
        l->at += (uint64_t)got;
    }
    return OLL_OK;
}

static oll_status check_canceled(const struct load *l, struct oll_error *err)
{
    const struct oll_archive *c = l->config;
    return c->canceled && c->canceled(c->user) ? OLL_FAIL(err, OLL_ERR_CANCELED, "canceled")
                                               : OLL_OK;
}

static oll_status skip(struct load *l, uint64_t n, struct oll_error *err)
{
    while (n > 0) {
        const size_t step = n < BUF_BYTES ? (size_t)n : BUF_BYTES;
        OLL_TRY(take(l, l->buf, step, err));
        OLL_TRY(check_canceled(l, err));
        n -= step;
    }
    return OLL_OK;
}

/* A document of the archive; *text is terminated and released with oll_free. */
static oll_status take_text(struct load *l, uint64_t size, uint64_t max, char **text,
                            struct oll_error *err)
{
    if (size > max)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "document of %" PRIu64 " bytes, at most %" PRIu64, size,
                        max);
    *text = oll_calloc((size_t)size + 1, 1);
    if (!*text)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an archive");
    return take(l, *text, (size_t)size, err);
}

/* ---- entries ---- */

static oll_status copy_blob(struct load *l, const struct oll_digest *digest, uint64_t size,
                            struct oll_blob_writer *w, struct oll_error *err)
{
    const struct oll_archive *c = l->config;
    for (uint64_t done = 0; done < size;) {
        const size_t step = size - done < BUF_BYTES ? (size_t)(size - done) : BUF_BYTES;
        OLL_TRY(take(l, l->buf, step, err));
        OLL_TRY(oll_blob_writer_write(w, l->buf, step, err));
        done += step;
        if (c->progress)
            c->progress(c->user, digest, size, done);
        OLL_TRY(check_canceled(l, err));
    }
    return OLL_OK;
}

static oll_status take_blob(struct load *l, const struct oll_digest *digest, uint64_t size,
                            struct oll_error *err)
{
    struct oll_blob_writer *w;
    bool existed = false;
    OLL_TRY(oll_lease_add(l->lease, digest, 1, err));
    if (oll_blob_reuse(l->config->store, digest, size))
        return skip(l, size, err);
    OLL_TRY(oll_blob_writer_new(l->config->store, l->lease, &w, err));
    oll_status status = copy_blob(l, digest, size, w, err);
    if (status != OLL_OK) {
        oll_blob_writer_free(w);
        return status;
    }
    OLL_TRY(oll_blob_writer_finish(w, digest, NULL, &existed, err));
    if (!existed)
        digest_set_add(&l->brought, digest);
    return OLL_OK;
}

static bool blob_entry(const char *name, struct oll_digest *digest)
{
    static const char folder[] = "blobs/sha256/";
    char text[OLL_DIGEST_TEXT_MAX];
    if (strncmp(name, folder, sizeof folder - 1) != 0)
        return false;
    const int n = snprintf(text, sizeof text, "sha256:%s", name + sizeof folder - 1);
    return n > 0 && (size_t)n < sizeof text && oll_digest_parse(text, digest, NULL) == OLL_OK;
}

static oll_status take_entry(struct load *l, struct tar_entry *entry, struct tar_entry *pax,
                             struct oll_error *err)
{
    struct oll_digest digest;
    char *text = NULL;
    if (entry->kind == TAR_PAX) {
        OLL_TRY(take_text(l, entry->size, TAR_PAX_MAX, &text, err));
        oll_status status = tar_apply_pax(text, (size_t)entry->size, pax, err);
        oll_free(text);
        return status;
    }
    if (pax->size != UINT64_MAX)
        entry->size = pax->size;
    if (pax->name[0])
        memcpy(entry->name, pax->name, sizeof entry->name);
    *pax = (struct tar_entry){.size = UINT64_MAX};
    if (entry->kind == TAR_FILE && blob_entry(entry->name, &digest))
        return take_blob(l, &digest, entry->size, err);
    if (entry->kind != TAR_FILE || strcmp(entry->name, "index.json") != 0 || l->index)
        return skip(l, entry->size, err);
    l->n_index = (size_t)entry->size;
    return take_text(l, entry->size, INDEX_BYTES_MAX, &l->index, err);
}

static oll_status take_entries(struct load *l, struct oll_error *err)
{
    struct tar_entry pax = {.size = UINT64_MAX};
    for (;;) {
        char block[TAR_BLOCK];
        struct tar_entry entry = {.kind = TAR_OTHER};
        bool end;
        OLL_TRY(take(l, block, sizeof block, err));
        OLL_TRY(tar_read_header(block, &entry, &end, err));
        if (end)
            return OLL_OK;
        OLL_TRY(take_entry(l, &entry, &pax, err));
        OLL_TRY(skip(l, tar_padding(entry.size), err));
    }
}

/* ---- names ---- */

/* What cannot be removed now goes with the next clean-up. */
static void drop_blobs(const struct oll_store *store, const struct oll_digest *digests, size_t n)
{
    struct oll_error why = {0};
    if (oll_store_drop_unused(store, digests, n, &why) != OLL_OK)
        oll_log_warn("store", "unused blobs stay: %s", oll_error_text(&why));
}

static void drop_replaced(const struct oll_store *store, const char *old, size_t n_old,
                          const char *now, size_t n_now)
{
    struct oll_digest *digests = NULL;
    size_t n = 0;
    if (oll_catalog_replaced(old, n_old, now, n_now, &digests, &n, NULL) == OLL_OK)
        drop_blobs(store, digests, n);
    oll_free(digests);
}

/* One entry of the index becomes a name of the store. */
static oll_status take_model(struct load *l, const struct oll_json *node, bool prune,
                             struct oll_reference *ref, struct oll_error *err)
{
    const char *name = oll_json_get_str(oll_json_get(node, "annotations"),
                                        "org.opencontainers.image.ref.name", "");
    struct oll_digest digest;
    char *bytes = NULL, *old = NULL;
    uint64_t n = 0;
    size_t n_old = 0;
    if (oll_reference_parse(name, ref, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "the archive has a model whose name is \"%.100s\"",
                        name);
    OLL_TRY(oll_digest_parse(oll_json_get_str(node, "digest", ""), &digest, err));
    OLL_TRY(oll_catalog_canonical(l->config->store, ref, err));
    oll_status status =
        oll_blob_read(l->config->store, &digest, OLL_MANIFEST_BYTES_MAX, &bytes, &n, err);
    if (status == OLL_OK && prune &&
        oll_catalog_read(l->config->store, ref, &old, &n_old, NULL) != OLL_OK)
        old = NULL;
    if (status == OLL_OK)
        status = oll_catalog_write(l->config->store, ref, bytes, (size_t)n, err);
    if (status == OLL_OK && old)
        drop_replaced(l->config->store, old, n_old, bytes, (size_t)n);
    oll_free(bytes);
    oll_free(old);
    if (status != OLL_OK)
        oll_error_prefix(err, "model %.200s", name);
    return status;
}

static oll_status take_models(struct load *l, bool prune,
                              void (*loaded)(void *user, const struct oll_reference *ref),
                              struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct oll_reference ref;
    if (!l->index)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "the archive has no index.json: oll save writes one");
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = oll_json_parse(&arena, l->index, l->n_index, NULL, &root, err);
    const struct oll_json *list = status == OLL_OK ? oll_json_get(root, "manifests") : NULL;
    if (status == OLL_OK && (!list || list->type != OLL_JSON_ARRAY || !list->first))
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "index.json names no models");
    for (const struct oll_json *node = list ? list->first : NULL; node && status == OLL_OK;
         node = node->next) {
        status = take_model(l, node, prune, &ref, err);
        if (status == OLL_OK && loaded)
            loaded(l->config->user, &ref);
    }
    oll_arena_free(&arena);
    return status;
}

oll_status oll_archive_load(const struct oll_archive *config, int fd, bool prune,
                            void (*loaded)(void *user, const struct oll_reference *ref),
                            struct oll_error *err)
{
    struct load l = {.config = config, .fd = fd, .buf = oll_alloc(BUF_BYTES, 1)};
    oll_status status =
        l.buf ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an archive");
    if (status == OLL_OK)
        status = oll_lease_new(config->store, &l.lease, err);
    if (status == OLL_OK)
        status = take_entries(&l, err);
    if (status == OLL_OK)
        status = take_models(&l, prune, loaded, err);
    oll_lease_free(l.lease);
    /* Manifests came as blobs, too, and now have their own place. After a failure all stays for the
     * next try. */
    if (status == OLL_OK)
        drop_blobs(config->store, l.brought.items, l.brought.n);
    digest_set_free(&l.brought);
    oll_free(l.index);
    oll_free(l.buf);
    return status;
}
