#include "registry/push.h"

#include "engine/base/mem.h"
#include "registry/catalog_write.h"
#include "registry/manifest_write.h"
#include "registry/push_blob.h"
#include "registry/store_lock.h"

#include <stdio.h>

enum { ARENA_BYTES = 64 << 20, REPLY_MAX = 64 * 1024 };

static oll_status read_manifest(const struct oll_transfer *t, struct oll_arena *arena,
                                struct oll_manifest *m, struct oll_error *err)
{
    char *bytes = NULL, name[OLL_REFERENCE_TEXT_MAX];
    size_t n;
    struct oll_error why = {0};
    oll_reference_short(t->ref, name);
    oll_status status = oll_catalog_read(t->store, t->ref, &bytes, &n, &why);
    if (status == OLL_ERR_NOT_FOUND)
        oll_error_set(err, status, "model '%s' not found", name);
    else if (status == OLL_OK)
        status = oll_manifest_parse(arena, bytes, n, m, &why);
    oll_free(bytes);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&why));
}

/* Keeps the blobs while they are being sent, should the name be deleted meanwhile. */
static oll_status lease_all(struct oll_lease *lease, const struct oll_manifest *m,
                            struct oll_error *err)
{
    for (uint32_t i = 0; i < m->n_layers; i++)
        OLL_TRY(oll_lease_add(lease, &m->layers[i].digest, 1, err));
    return m->config.media_type ? oll_lease_add(lease, &m->config.digest, 1, err) : OLL_OK;
}

static oll_status put_manifest(const struct oll_transfer *t, struct oci_client *client,
                               const struct oll_manifest *m, struct oll_error *err)
{
    static const char type[] = "Content-Type: application/vnd.docker.distribution.manifest.v2+json";
    const char *const headers[] = {type, NULL};
    struct https_transfer *transfer;
    struct oll_strbuf body;
    char path[OLL_NAME_PART_MAX + 32];
    transfer_say(t, "pushing manifest");
    oll_strbuf_init(&body, OLL_MANIFEST_BYTES_MAX);
    oll_manifest_write(m, false, &body);
    snprintf(path, sizeof path, "/manifests/%s", t->ref->tag);
    oll_status status = body.status;
    struct https_request request = {.method = "PUT",
                                    .url = path,
                                    .headers = headers,
                                    .data = body.data,
                                    .n_data = body.len,
                                    .max_body = REPLY_MAX};
    if (status == OLL_OK)
        status = oci_call(client, &request, false, &transfer, err);
    if (status == OLL_OK)
        https_transfer_free(transfer);
    oll_strbuf_free(&body);
    return status;
}

static oll_status send_all(const struct oll_transfer *t, const struct oll_manifest *m,
                           struct oll_error *err)
{
    struct oci_config config = {t->ref, t->insecure, t->key_path, t->canceled, t->user};
    struct oci_client *client;
    OLL_TRY(oci_new(&config, &client, err));
    oll_status status = OLL_OK;
    for (uint32_t i = 0; i < m->n_layers && status == OLL_OK; i++)
        status = push_blob(t, client, &m->layers[i], err);
    if (status == OLL_OK && m->config.media_type)
        status = push_blob(t, client, &m->config, err);
    if (status == OLL_OK)
        status = put_manifest(t, client, m, err);
    oci_free(client);
    return status;
}

oll_status oll_push(const struct oll_transfer *transfer, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_manifest m;
    struct oll_lease *lease = NULL;
    oll_arena_init(&arena, ARENA_BYTES);
    transfer_say(transfer, "retrieving manifest");
    oll_status status = read_manifest(transfer, &arena, &m, err);
    if (status != OLL_OK)
        transfer_say(transfer, "couldn't retrieve manifest");
    /* A store that is not ours to write to can be pushed from all the same. */
    if (status == OLL_OK && oll_lease_new(transfer->store, &lease, NULL) == OLL_OK)
        status = lease_all(lease, &m, err);
    if (status == OLL_OK)
        status = send_all(transfer, &m, err);
    if (status == OLL_OK)
        transfer_say(transfer, "success");
    oll_lease_free(lease);
    oll_arena_free(&arena);
    return status;
}
