#include "registry/archive.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "registry/catalog_write.h"
#include "registry/digest_set.h"
#include "registry/disk.h"
#include "registry/manifest_write.h"
#include "registry/place_file.h"
#include "registry/store_lock.h"
#include "registry/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20, ARENA_BYTES = 256 << 20, INDEX_BYTES_MAX = 4 << 20, MODELS_MAX = 1024 };

struct saved_model {
    const struct oll_reference *ref;
    char *bytes; /* of its manifest */
    size_t n_bytes;
    struct oll_digest digest;
    struct oll_manifest manifest;
};

struct save {
    const struct oll_archive *config;
    struct saved_model *models;
    size_t n_models;
    struct oll_arena arena;
    struct oll_lease *lease;
    char *buf;
    int fd;
};

/* ---- writing ---- */

static oll_status put(const struct save *s, const void *data, size_t n, struct oll_error *err)
{
    for (const char *p = data; n > 0;) {
        ssize_t done = write(s->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return disk_fail(err, "archive");
        p += done;
        n -= (size_t)done;
    }
    return OLL_OK;
}

static oll_status put_padding(const struct save *s, uint64_t size, struct oll_error *err)
{
    static const char zeros[TAR_BLOCK];
    return put(s, zeros, (size_t)tar_padding(size), err);
}

static oll_status put_header(const struct save *s, const char *name, uint64_t size,
                             struct oll_error *err)
{
    char block[TAR_BLOCK];
    tar_write_header(name, size, block);
    return put(s, block, sizeof block, err);
}

static oll_status put_document(const struct save *s, const char *name, const char *text, size_t n,
                               struct oll_error *err)
{
    OLL_TRY(put_header(s, name, n, err));
    OLL_TRY(put(s, text, n, err));
    return put_padding(s, n, err);
}

static void entry_name(const struct oll_digest *digest, char out[TAR_NAME_MAX])
{
    char text[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(digest, text);
    snprintf(out, TAR_NAME_MAX, "blobs/sha256/%s", text + 7);
}

/* ---- blobs ---- */

static oll_status fail_damaged(const struct oll_layer *layer, struct oll_error *err)
{
    char text[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(&layer->digest, text);
    return OLL_FAIL(err, OLL_ERR_DIGEST, "blob %s is damaged; see oll verify --deep --repair",
                    text);
}

static oll_status copy_blob(const struct save *s, const struct oll_layer *layer, int from,
                            struct oll_sha256 *h, struct oll_error *err)
{
    const struct oll_archive *c = s->config;
    struct oll_digest got;
    for (uint64_t at = 0; at < layer->size_bytes;) {
        const uint64_t left = layer->size_bytes - at;
        ssize_t n = read(from, s->buf, left < BUF_BYTES ? (size_t)left : BUF_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_fail(err, "blob");
        if (n == 0)
            return fail_damaged(layer, err);
        oll_sha256_update(h, s->buf, (size_t)n);
        OLL_TRY(put(s, s->buf, (size_t)n, err));
        at += (uint64_t)n;
        if (c->progress)
            c->progress(c->user, &layer->digest, layer->size_bytes, at);
        if (c->canceled && c->canceled(c->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
    }
    oll_sha256_final(h, got.bytes);
    return memcmp(&got, &layer->digest, sizeof got) == 0 ? OLL_OK : fail_damaged(layer, err);
}

static oll_status put_blob(const struct save *s, const struct oll_layer *layer,
                           struct oll_error *err)
{
    char *path = NULL, name[TAR_NAME_MAX];
    struct stat st;
    OLL_TRY(oll_blob_path(s->config->store, &layer->digest, &path, err));
    const int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    oll_free(path);
    if (from < 0)
        return disk_fail(err, "blob");
    struct oll_sha256 *h = oll_sha256_new();
    oll_status status = OLL_OK;
    if (!h)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a digest");
    else if (fstat(from, &st) != 0 || (uint64_t)st.st_size != layer->size_bytes)
        status = fail_damaged(layer, err);
    entry_name(&layer->digest, name);
    if (status == OLL_OK)
        status = put_header(s, name, layer->size_bytes, err);
    if (status == OLL_OK)
        status = copy_blob(s, layer, from, h, err);
    if (status == OLL_OK)
        status = put_padding(s, layer->size_bytes, err);
    oll_sha256_free(h);
    close(from);
    return status;
}

/* ---- documents ---- */

static void print_index(const struct save *s, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "schemaVersion");
    oll_json_write_int(&w, 2);
    oll_json_write_key(&w, "mediaType");
    oll_json_write_str(&w, "application/vnd.oci.image.index.v1+json");
    oll_json_write_key(&w, "manifests");
    oll_json_write_array_begin(&w);
    for (size_t i = 0; i < s->n_models; i++) {
        char digest[OLL_DIGEST_TEXT_MAX], name[OLL_REFERENCE_TEXT_MAX];
        oll_digest_text(&s->models[i].digest, digest);
        oll_reference_full(s->models[i].ref, name);
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "mediaType");
        oll_json_write_str(&w, oll_manifest_media_type);
        oll_json_write_key(&w, "digest");
        oll_json_write_str(&w, digest);
        oll_json_write_key(&w, "size");
        oll_json_write_uint(&w, s->models[i].n_bytes);
        oll_json_write_key(&w, "annotations");
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "org.opencontainers.image.ref.name");
        oll_json_write_str(&w, name);
        oll_json_write_object_end(&w);
        oll_json_write_object_end(&w);
    }
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
}

static oll_status put_documents(const struct save *s, struct digest_set *done,
                                struct oll_error *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    struct oll_strbuf index;
    oll_strbuf_init(&index, INDEX_BYTES_MAX);
    print_index(s, &index);
    oll_status status = index.status;
    if (status != OLL_OK)
        oll_error_set(err, status, "too many models for one archive");
    if (status == OLL_OK)
        status = put_document(s, "oci-layout", layout, sizeof layout - 1, err);
    if (status == OLL_OK)
        status = put_document(s, "index.json", index.data, index.len, err);
    oll_strbuf_free(&index);
    for (size_t i = 0; i < s->n_models && status == OLL_OK; i++) {
        const struct saved_model *m = &s->models[i];
        char name[TAR_NAME_MAX];
        if (digest_set_has(done, &m->digest))
            continue;
        digest_set_add(done, &m->digest);
        entry_name(&m->digest, name);
        status = put_document(s, name, m->bytes, m->n_bytes, err);
    }
    return status;
}

static oll_status put_layers(const struct save *s, const struct saved_model *m,
                             struct digest_set *done, struct oll_error *err)
{
    for (uint32_t i = 0; i <= m->manifest.n_layers; i++) {
        const bool last = i == m->manifest.n_layers;
        const struct oll_layer *layer = last ? &m->manifest.config : &m->manifest.layers[i];
        if (!layer->media_type || digest_set_has(done, &layer->digest))
            continue;
        digest_set_add(done, &layer->digest);
        OLL_TRY(put_blob(s, layer, err));
    }
    return OLL_OK;
}

static oll_status fill(void *user, int fd, struct oll_error *err)
{
    static const char end[2 * TAR_BLOCK];
    struct save *s = user;
    struct digest_set done = {0};
    s->fd = fd;
    oll_status status = put_documents(s, &done, err);
    for (size_t i = 0; i < s->n_models && status == OLL_OK; i++)
        status = put_layers(s, &s->models[i], &done, err);
    if (status == OLL_OK && done.failed)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of blobs");
    digest_set_free(&done);
    return status == OLL_OK ? put(s, end, sizeof end, err) : status;
}

/* ---- reading ---- */

/* Reads one model's manifest; the lease names its blobs before they are looked for. */
static oll_status read_model(struct save *s, const struct oll_reference *ref, struct oll_error *err)
{
    struct saved_model *m = &s->models[s->n_models];
    struct oll_error why = {0};
    char name[OLL_REFERENCE_TEXT_MAX];
    m->ref = ref;
    oll_reference_short(ref, name);
    oll_status status = oll_catalog_read(s->config->store, ref, &m->bytes, &m->n_bytes, &why);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, status, "model '%s' not found", name);
    s->n_models += status == OLL_OK;
    if (status == OLL_OK)
        status = oll_manifest_parse(&s->arena, m->bytes, m->n_bytes, &m->manifest, &why);
    if (status == OLL_OK) {
        char text[OLL_DIGEST_TEXT_MAX];
        snprintf(text, sizeof text, "sha256:%s", m->manifest.id);
        status = oll_digest_parse(text, &m->digest, &why);
    }
    for (uint32_t i = 0; i < m->manifest.n_layers && status == OLL_OK && s->lease; i++)
        status = oll_lease_add(s->lease, &m->manifest.layers[i].digest, 1, &why);
    if (status == OLL_OK && m->manifest.config.media_type && s->lease)
        status = oll_lease_add(s->lease, &m->manifest.config.digest, 1, &why);
    return status == OLL_OK
               ? OLL_OK
               : OLL_FAIL(err, status, "model '%s' is damaged: %s", name, oll_error_text(&why));
}

oll_status oll_archive_save(const struct oll_archive *config, const struct oll_reference *refs,
                            size_t n_refs, const char *path, bool replace, struct oll_error *err)
{
    struct save s = {.config = config, .buf = oll_alloc(BUF_BYTES, 1)};
    oll_status status = OLL_OK;
    if (n_refs > MODELS_MAX)
        status = OLL_FAIL(err, OLL_ERR_LIMIT, "at most %d models go into one archive", MODELS_MAX);
    s.models = oll_calloc(n_refs, sizeof *s.models);
    if (status == OLL_OK && (!s.buf || !s.models))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an archive");
    oll_arena_init(&s.arena, ARENA_BYTES);
    /* A store of someone else can be saved, too; there nothing can be protected. */
    if (status == OLL_OK && oll_lease_new(config->store, &s.lease, NULL) != OLL_OK)
        s.lease = NULL;
    for (size_t i = 0; i < n_refs && status == OLL_OK; i++)
        status = read_model(&s, &refs[i], err);
    if (status == OLL_OK)
        status =
            path ? place_file_write(path, replace, fill, &s, err) : fill(&s, STDOUT_FILENO, err);
    for (size_t i = 0; i < s.n_models; i++)
        oll_free(s.models[i].bytes);
    oll_lease_free(s.lease);
    oll_arena_free(&s.arena);
    oll_free(s.models);
    oll_free(s.buf);
    return status;
}
