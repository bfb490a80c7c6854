#include "registry/verify.h"

#include "engine/base/mem.h"
#include "registry/blob_repair.h"
#include "registry/chunk_sums.h"
#include "registry/inventory.h"
#include "registry/pull.h"
#include "registry/quarantine.h"
#include "registry/store_gc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20, TEXT_MAX = 160 };

struct verify {
    const struct oll_verify *config;
    struct oll_verify_result *result;
    struct oll_inventory inventory;
    char *buf;
    char digest[OLL_DIGEST_TEXT_MAX]; /* of the blob at hand */
    uint64_t size;
};

/* What is wrong with a blob. */
struct damage {
    char text[TEXT_MAX]; /* "" : nothing */
    bool in_place;       /* a file is there; `seen` tells which */
    struct stat seen;
};

static oll_status check_canceled(const struct verify *v, struct oll_error *err)
{
    const struct oll_verify *c = v->config;
    return c->canceled && c->canceled(c->user) ? OLL_FAIL(err, OLL_ERR_CANCELED, "canceled")
                                               : OLL_OK;
}

static void tell_progress(struct verify *v, const char *what, uint64_t completed)
{
    if (v->config->progress)
        v->config->progress(v->config->user, what, v->digest, v->size, completed);
}

static void report(struct verify *v, const struct oll_verify_finding *finding)
{
    v->result->n_damaged++;
    v->result->n_repaired += finding->repaired;
    if (v->config->found)
        v->config->found(v->config->user, finding);
}

/* ---- looking ---- */

/* Hashes an open blob. An unreadable one is damage, not a failure of the check. */
static oll_status hash_file(struct verify *v, int fd, struct oll_chunk_sums *sums,
                            struct damage *damage, struct oll_error *err)
{
    for (uint64_t at = 0;;) {
        ssize_t n = pread(fd, v->buf, BUF_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            snprintf(damage->text, TEXT_MAX, "cannot be read at byte %" PRIu64 ": %s", at,
                     strerror(errno));
            return OLL_OK;
        }
        if (n == 0)
            return OLL_OK;
        oll_chunk_sums_update(sums, v->buf, (size_t)n);
        at += (uint64_t)n;
        v->result->hashed_bytes += (uint64_t)n;
        tell_progress(v, "verifying", at);
        OLL_TRY(check_canceled(v, err));
    }
}

/* Sums for a later repair; a store that is not ours to write goes without. */
static void keep_sums(const struct verify *v, const struct oll_inventory_blob *blob,
                      struct oll_chunk_sums *sums)
{
    struct oll_digest *known = NULL;
    size_t n;
    if (oll_chunk_sums_load(v->config->store, &blob->digest, blob->file_bytes, &known, &n) !=
        OLL_OK)
        oll_chunk_sums_save(sums, v->config->store, &blob->digest);
    oll_free(known);
}

static oll_status check_content(struct verify *v, const struct oll_inventory_blob *blob, int fd,
                                struct damage *damage, struct oll_error *err)
{
    struct oll_digest got;
    char text[OLL_DIGEST_TEXT_MAX];
    struct oll_chunk_sums *sums = oll_chunk_sums_new();
    oll_status status = sums ? hash_file(v, fd, sums, damage, err)
                             : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a digest");
    if (status == OLL_OK && !damage->text[0]) {
        oll_chunk_sums_final(sums, &got);
        oll_digest_text(&got, text);
        if (memcmp(&got, &blob->digest, sizeof got) != 0)
            snprintf(damage->text, TEXT_MAX, "holds something else (%s)", text);
        else
            keep_sums(v, blob, sums);
    }
    oll_chunk_sums_free(sums);
    return status;
}

static oll_status check_blob(struct verify *v, const struct oll_inventory_blob *blob,
                             struct damage *damage, struct oll_error *err)
{
    char *path = NULL;
    *damage = (struct damage){.in_place = false};
    if (oll_blob_path(v->config->store, &blob->digest, &path, NULL) != OLL_OK) {
        if (blob->n_users > 0)
            snprintf(damage->text, TEXT_MAX, "is missing");
        return OLL_OK;
    }
    oll_status status = OLL_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    oll_free(path);
    if (fd < 0 || fstat(fd, &damage->seen) != 0) {
        snprintf(damage->text, TEXT_MAX, "cannot be opened: %s", strerror(errno));
    } else {
        const uint64_t size = (uint64_t)damage->seen.st_size;
        damage->in_place = true;
        v->size = size;
        if (blob->n_users > 0 && size != blob->named_bytes)
            snprintf(damage->text, TEXT_MAX, "has %" PRIu64 " bytes where %" PRIu64 " should be",
                     size, blob->named_bytes);
        else if (v->config->deep || (blob->n_users > 0 && size <= OLL_VERIFY_SMALL_BYTES))
            status = check_content(v, blob, fd, damage, err);
    }
    if (fd >= 0)
        close(fd);
    return status;
}

/* ---- mending ---- */

static void on_fetched(void *user, uint64_t completed)
{
    tell_progress(user, "fetching", completed);
}

static bool on_poll(void *user)
{
    const struct verify *v = user;
    return v->config->canceled && v->config->canceled(v->config->user);
}

/* Asks the registries of the models that name the blob, one after another. */
static oll_status repair_blob(struct verify *v, const struct oll_inventory_blob *blob,
                              const struct damage *damage, struct oll_error *why)
{
    oll_status status = OLL_ERR_NOT_FOUND;
    if (damage->in_place)
        OLL_TRY(blob_quarantine(v->config->store, &blob->digest, &damage->seen, why));
    if (blob->n_users == 0)
        return OLL_FAIL(why, status, "no model names it; it was put aside");
    v->size = blob->named_bytes;
    for (uint32_t i = 0; i < blob->n_users && status != OLL_OK && status != OLL_ERR_CANCELED; i++) {
        const struct oll_inventory_model *model = &v->inventory.models[blob->users[i]];
        const struct blob_repair repair = {
            .store = v->config->store,
            .ref = &model->ref,
            .digest = blob->digest,
            .size_bytes = blob->named_bytes,
            .insecure = v->config->insecure,
            .key_path = v->config->key_path,
            .canceled = on_poll,
            .progress = on_fetched,
            .user = v,
        };
        *why = (struct oll_error){0};
        status = blob_repair_run(&repair, why);
    }
    return status;
}

static oll_status look_at_blob(struct verify *v, const struct oll_inventory_blob *blob,
                               struct oll_error *err)
{
    const struct oll_inventory_model *model =
        blob->n_users > 0 ? &v->inventory.models[blob->users[0]] : NULL;
    struct damage damage;
    struct oll_error why = {0};
    oll_digest_text(&blob->digest, v->digest);
    OLL_TRY(check_canceled(v, err));
    OLL_TRY(check_blob(v, blob, &damage, err));
    v->result->n_blobs++;
    /* Its model may have gone since the manifests were read. */
    if (!damage.text[0] ||
        (model && !oll_inventory_still_names(v->config->store, &model->ref, &blob->digest)))
        return OLL_OK;
    struct oll_verify_finding finding = {
        .model = model ? model->name : NULL, .digest = v->digest, .text = damage.text};
    if (v->config->repair) {
        finding.repaired = repair_blob(v, blob, &damage, &why) == OLL_OK;
        finding.reason = finding.repaired ? NULL : oll_error_text(&why);
    }
    report(v, &finding);
    return check_canceled(v, err);
}

static void look_at_manifest(struct verify *v, const struct oll_inventory_model *model)
{
    struct oll_error why = {0};
    struct oll_verify_finding finding = {.model = model->name, .text = model->damage};
    const struct oll_transfer transfer = {
        .store = v->config->store,
        .ref = &model->ref,
        .insecure = v->config->insecure,
        .key_path = v->config->key_path,
        .canceled = on_poll,
        .user = v,
    };
    v->result->n_models++;
    if (!model->damage)
        return;
    if (v->config->repair) {
        finding.repaired = oll_pull(&transfer, &why) == OLL_OK;
        finding.reason = finding.repaired ? NULL : oll_error_text(&why);
    }
    report(v, &finding);
}

static oll_status look_at_all(struct verify *v, struct oll_error *err)
{
    for (uint32_t i = 0; i < v->inventory.n_models; i++) {
        OLL_TRY(check_canceled(v, err));
        look_at_manifest(v, &v->inventory.models[i]);
    }
    for (uint32_t i = 0; i < v->inventory.n_blobs; i++)
        OLL_TRY(look_at_blob(v, &v->inventory.blobs[i], err));
    if (v->config->repair)
        oll_store_drop_empty(v->config->store);
    return OLL_OK;
}

oll_status oll_verify_run(const struct oll_verify *config, struct oll_verify_result *result,
                          struct oll_error *err)
{
    struct verify v = {.config = config, .result = result, .buf = oll_alloc(BUF_BYTES, 1)};
    *result = (struct oll_verify_result){0};
    if (!v.buf)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a buffer");
    oll_status status = oll_inventory_read(config->store, &v.inventory, err);
    if (status == OLL_OK)
        status = look_at_all(&v, err);
    oll_inventory_free(&v.inventory);
    oll_free(v.buf);
    return status;
}
