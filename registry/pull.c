#include "registry/pull.h"

#include "engine/base/mem.h"
#include "registry/blob_fetch.h"
#include "registry/blob_write.h"
#include "registry/catalog_write.h"
#include "registry/manifest_write.h"
#include "registry/part_file.h"
#include "registry/size_text.h"
#include "registry/store_gc.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum { ARENA_BYTES = 64 << 20 };

struct pull {
    const struct oll_transfer *t;
    struct oci_client *client;
    struct oll_lease *lease;
    struct oll_arena arena;
    char *bytes; /* of the manifest, as received */
    size_t n_bytes;
    struct oll_manifest manifest;
    const struct oll_layer *layer; /* that is on its way */
};

/* ---- status lines ---- */

void transfer_say(const struct oll_transfer *t, const char *status)
{
    struct oll_transfer_event event = {.status = status};
    if (t->progress)
        t->progress(t->user, &event);
}

void transfer_show(const struct oll_transfer *t, const char *verb, const struct oll_digest *digest,
                   uint64_t total, uint64_t completed)
{
    char text[OLL_DIGEST_TEXT_MAX], status[64];
    struct oll_transfer_event event = {status, text, total, completed};
    oll_digest_text(digest, text);
    snprintf(status, sizeof status, "%s %.12s", verb, text + 7);
    if (t->progress)
        t->progress(t->user, &event);
}

/* ---- manifest ---- */

static oll_status check_type(const struct oci_client *client, const struct https_reply *reply,
                             struct oll_error *err)
{
    const char *type = https_header(reply, "content-type");
    char host[HTTPS_ORIGIN_MAX] = "";
    if (!type || strncmp(type, "text/html", 9) != 0)
        return OLL_OK;
    https_host(oci_last_url(client), host);
    return OLL_FAIL(err, OLL_ERR_FORMAT, "expected %s, got text/html from %s",
                    oll_manifest_media_type, host);
}

static oll_status take_manifest(struct pull *p, const struct https_reply *reply,
                                struct oll_error *err)
{
    OLL_TRY(check_type(p->client, reply, err));
    p->n_bytes = reply->body.len;
    p->bytes = oll_strndup(reply->body.data, p->n_bytes);
    if (!p->bytes)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a manifest");
    OLL_TRY(oll_manifest_parse(&p->arena, p->bytes, p->n_bytes, &p->manifest, err));
    if (p->manifest.n_layers == 0 && !p->manifest.config.media_type)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "the registry's answer names no layers (an index of images is no model)");
    for (uint32_t i = 0; i < p->manifest.n_layers; i++)
        if (oll_layer_is(&p->manifest.layers[i], "tensor"))
            return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                            "this model consists of single tensors for MLX, which oll does not "
                            "run; pull a GGUF variant of it");
    return OLL_OK;
}

static oll_status fetch_manifest(struct pull *p, struct oll_error *err)
{
    char path[OLL_NAME_PART_MAX + 32];
    const char *const headers[] = {"Accept: application/vnd.docker.distribution.manifest.v2+json",
                                   NULL};
    struct https_transfer *transfer;
    snprintf(path, sizeof path, "/manifests/%s", p->t->ref->tag);
    struct https_request request = {
        .method = "GET",
        .url = path,
        .headers = headers,
        .max_body = OCI_MANIFEST_BYTES_MAX,
    };
    OLL_TRY(oci_call(p->client, &request, true, &transfer, err));
    oll_status status = take_manifest(p, https_transfer_reply(transfer), err);
    https_transfer_free(transfer);
    return status;
}

/* ---- layers ---- */

/* Layers in order, the config last; NULL beyond the end. */
static const struct oll_layer *layer_at(const struct oll_manifest *m, uint32_t i)
{
    if (i < m->n_layers)
        return &m->layers[i];
    return i == m->n_layers && m->config.media_type ? &m->config : NULL;
}

static oll_status take_lease(struct pull *p, struct oll_error *err)
{
    const struct oll_layer *l;
    OLL_TRY(oll_lease_new(p->t->store, &p->lease, err));
    for (uint32_t i = 0; (l = layer_at(&p->manifest, i)); i++)
        OLL_TRY(oll_lease_add(p->lease, &l->digest, 1, err));
    return OLL_OK;
}

/* Too little space that is known in advance is said before the first byte. What partial downloads
 * hold already counts as missing here only where it is not on the disk yet. */
static oll_status check_space(struct pull *p, struct oll_error *err)
{
    const struct oll_layer *l;
    struct statvfs fs;
    uint64_t need = 0;
    if (statvfs(oll_store_path(p->t->store), &fs) != 0)
        return OLL_OK;
    for (uint32_t i = 0; (l = layer_at(&p->manifest, i)); i++) {
        uint64_t on_disk = blob_part_bytes(p->t->store, &l->digest);
        if (!oll_blob_reuse(p->t->store, &l->digest, l->size_bytes) && l->size_bytes > on_disk)
            need += l->size_bytes - on_disk;
    }
    uint64_t there = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (need <= there)
        return OLL_OK;
    char a[OLL_SIZE_TEXT_MAX], b[OLL_SIZE_TEXT_MAX];
    oll_size_text(need, a);
    oll_size_text(there, b);
    return OLL_FAIL(err, OLL_ERR_LIMIT, "no space left: need %s, %s free", a, b);
}

static void show_layer(void *user, uint64_t completed)
{
    struct pull *p = user;
    transfer_show(p->t, "pulling", &p->layer->digest, p->layer->size_bytes, completed);
}

static oll_status bring(struct pull *p, const struct oll_layer *l, struct oll_error *err)
{
    p->layer = l;
    if (oll_blob_reuse(p->t->store, &l->digest, l->size_bytes)) {
        show_layer(p, l->size_bytes);
        return OLL_OK;
    }
    if (l->size_bytes == 0) {
        struct oll_blob_writer *w;
        OLL_TRY(oll_blob_writer_new(p->t->store, p->lease, &w, err));
        return oll_blob_writer_finish(w, &l->digest, NULL, NULL, err);
    }
    struct blob_fetch fetch = {
        .store = p->t->store,
        .client = p->client,
        .digest = l->digest,
        .size_bytes = l->size_bytes,
        .progress = show_layer,
        .user = p,
    };
    return blob_fetch_run(&fetch, err);
}

/* A layer whose bytes are wrong does not keep the others from coming: they need not be fetched
 * again. */
static oll_status bring_layers(struct pull *p, struct oll_error *err)
{
    const struct oll_layer *l;
    oll_status result = OLL_OK;
    OLL_TRY(check_space(p, err));
    for (uint32_t i = 0; (l = layer_at(&p->manifest, i)); i++) {
        oll_status status = bring(p, l, err);
        if (status != OLL_OK && status != OLL_ERR_DIGEST)
            return status;
        if (result == OLL_OK)
            result = status;
    }
    transfer_say(p->t, "verifying sha256 digest");
    return result;
}

/* ---- the end ---- */

static void drop_replaced(struct pull *p, const char *old, size_t n_old)
{
    struct oll_digest *digests = NULL;
    struct oll_error why = {0};
    size_t n = 0;
    oll_status status = oll_catalog_replaced(old, n_old, p->bytes, p->n_bytes, &digests, &n, &why);
    if (status == OLL_OK && n > 0) {
        transfer_say(p->t, "removing unused layers");
        status = oll_store_drop_unused(p->t->store, digests, n, &why);
    }
    oll_free(digests);
    if (status != OLL_OK) {
        char text[OLL_ERROR_TEXT_MAX + 64];
        snprintf(text, sizeof text, "couldn't remove unused layers: %s", oll_error_text(&why));
        transfer_say(p->t, text);
    }
}

static oll_status publish(struct pull *p, struct oll_error *err)
{
    char *old = NULL;
    size_t n_old = 0;
    transfer_say(p->t, "writing manifest");
    if (oll_catalog_read(p->t->store, p->t->ref, &old, &n_old, NULL) != OLL_OK)
        old = NULL;
    oll_status status = oll_catalog_write(p->t->store, p->t->ref, p->bytes, p->n_bytes, err);
    if (status == OLL_OK && p->t->prune && old)
        drop_replaced(p, old, n_old);
    oll_free(old);
    return status;
}

static oll_status run(struct pull *p, struct oll_error *err)
{
    struct oci_config config = {p->t->ref, p->t->insecure, p->t->key_path, p->t->canceled,
                                p->t->user};
    transfer_say(p->t, "pulling manifest");
    oll_status status = oci_new(&config, &p->client, err);
    if (status == OLL_OK)
        status = fetch_manifest(p, err);
    if (status != OLL_OK) {
        oll_error_prefix(err, "pull model manifest");
        return status;
    }
    OLL_TRY(take_lease(p, err));
    OLL_TRY(bring_layers(p, err));
    OLL_TRY(publish(p, err));
    transfer_say(p->t, "success");
    return OLL_OK;
}

oll_status oll_pull(const struct oll_transfer *transfer, struct oll_error *err)
{
    struct pull p = {.t = transfer};
    struct oll_error own = {0};
    oll_arena_init(&p.arena, ARENA_BYTES);
    oll_status status = run(&p, &own);
    oll_lease_free(p.lease);
    oci_free(p.client);
    oll_free(p.bytes);
    oll_arena_free(&p.arena);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&own));
}
