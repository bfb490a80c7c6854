#include "registry/blob_fetch.h"

#include "engine/base/mem.h"
#include "registry/blob_write.h"
#include "registry/fetch_internal.h"

#include <inttypes.h>
#include <string.h>

enum { WAIT_MS = 200 };

/* Opens the part, waiting while somebody else is at it. *there: the blob has come meanwhile. */
static oll_status open_part(const struct blob_fetch *config, struct part_file *part, bool *there,
                            struct oll_error *err)
{
    uint64_t others = 0, shown = 0;
    for (;;) {
        struct oll_error why = {0};
        *there = oll_blob_reuse(config->store, &config->digest, config->size_bytes);
        if (*there)
            return OLL_OK;
        part_file_adopt(config->store, &config->digest, config->size_bytes);
        oll_status status =
            part_file_open(config->store, &config->digest, config->size_bytes, part, &others, &why);
        if (status != OLL_ERR_BUSY && status != OLL_OK)
            return OLL_FAIL(err, status, "%s", oll_error_text(&why));
        if (status == OLL_OK) {
            /* The holder before us may have finished between the look and the lock. */
            *there = oll_blob_reuse(config->store, &config->digest, config->size_bytes);
            if (*there)
                part_file_discard(part);
            return OLL_OK;
        }
        if (others > shown && config->progress)
            config->progress(config->user, others);
        shown = others > shown ? others : shown;
        OLL_TRY(oci_sleep(config->client, WAIT_MS, err));
    }
}

/* One run over the missing bytes, with the workers behind it. */
static oll_status pass(struct fetch *f, struct oll_error *err)
{
    struct oll_error late = {0};
    OLL_TRY(fetch_workers_start(f, err));
    oll_status status = fetch_units_run(f, err);
    bool whole = status == OLL_OK && !f->restart;
    if (whole)
        status = fetch_wait_hashed(f, err);
    /* What came is kept for the next try, also after a failure; a blob that is whole needs no
     * record, it is synced when it is published. */
    oll_status stopped = fetch_workers_stop(f, !whole || status != OLL_OK, &late);
    if (status == OLL_OK && stopped != OLL_OK)
        status = OLL_FAIL(err, stopped, "%s", oll_error_text(&late));
    return status;
}

static void free_sums(struct fetch *f)
{
    oll_chunk_sums_free(f->sums);
    f->sums = NULL;
}

/* The registry sends whole blobs only: what came in ranges is forgotten. */
static oll_status begin_again(struct fetch *f, struct oll_error *err)
{
    free_sums(f);
    span_set_free(&f->have);
    f->head = 0;
    f->no_ranges = true;
    return part_file_restart(&f->part, err);
}

static oll_status check(struct fetch *f, struct oll_error *err)
{
    struct oll_digest got;
    char a[OLL_DIGEST_TEXT_MAX], b[OLL_DIGEST_TEXT_MAX];
    oll_chunk_sums_final(f->sums, &got);
    if (memcmp(&got, &f->config->digest, sizeof got) == 0)
        return OLL_OK;
    oll_digest_text(&f->config->digest, a);
    oll_digest_text(&got, b);
    return OLL_FAIL(err, OLL_ERR_DIGEST,
                    "digest mismatch, file must be downloaded again: want %s, got %s", a, b);
}

static oll_status fetch_into(struct fetch *f, struct oll_error *err)
{
    oll_status status = OLL_OK;
    int n = 0;
    if (!span_set_copy(&f->part.have, &f->have))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a download");
    f->head = span_set_end(&f->have, 0);
    while (status == OLL_OK && (status = pass(f, err)) == OLL_OK && f->restart) {
        if (++n > OCI_TRIES_MAX)
            status = OLL_FAIL(err, OLL_ERR_NETWORK,
                              "max retries exceeded: the connection breaks "
                              "and the registry does not honour ranges");
        else
            status = begin_again(f, err);
    }
    if (status == OLL_OK)
        status = check(f, err);
    if (status == OLL_ERR_DIGEST || f->excess)
        part_file_discard(&f->part);
    else if (status == OLL_OK)
        status = part_file_publish(&f->part, err);
    else
        part_file_close(&f->part);
    if (status == OLL_OK)
        oll_chunk_sums_save(f->sums, f->config->store, &f->config->digest);
    free_sums(f);
    span_set_free(&f->have);
    return status;
}

/* *again: the bytes were wrong, but some of them came from an earlier try. */
static oll_status run_once(const struct blob_fetch *config, bool *again, struct oll_error *err)
{
    bool there;
    struct fetch *f = oll_calloc(1, sizeof *f);
    if (!f)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a download");
    f->config = config;
    oll_status status = open_part(config, &f->part, &there, err);
    if (status == OLL_OK && !there) {
        const bool resumed = f->part.have.n > 0;
        pthread_mutex_init(&f->lock, NULL);
        pthread_cond_init(&f->changed, NULL);
        status = fetch_into(f, err);
        pthread_cond_destroy(&f->changed);
        pthread_mutex_destroy(&f->lock);
        *again = status == OLL_ERR_DIGEST && resumed;
    }
    oll_free(f);
    return status;
}

oll_status blob_fetch_run(const struct blob_fetch *config, struct oll_error *err)
{
    bool again = false;
    struct oll_error why = {0};
    oll_status status = run_once(config, &again, &why);
    if (again) {
        why = (struct oll_error){0};
        status = run_once(config, &again, &why);
    }
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&why));
}
