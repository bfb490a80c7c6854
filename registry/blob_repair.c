#include "registry/blob_repair.h"

#include "engine/base/mem.h"
#include "registry/blob_fetch.h"
#include "registry/blob_write.h"
#include "registry/chunk_sums.h"
#include "registry/disk.h"
#include "registry/part_file.h"
#include "registry/quarantine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Reads a chunk; false when the disk does not give it. */
static bool read_chunk(int fd, uint64_t at, size_t n, char *buf)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, buf + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static bool fits(const char *buf, size_t n, const struct oll_digest *sum)
{
    struct oll_digest got = {{0}};
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return false;
    oll_sha256_update(h, buf, n);
    oll_sha256_final(h, got.bytes);
    oll_sha256_free(h);
    return memcmp(&got, sum, sizeof got) == 0;
}

/* Copies the chunks of `from` that fit their sums into the part and records them. */
static oll_status copy_chunks(struct part_file *part, int from, const struct oll_digest *sums,
                              size_t n_sums, char *buf, struct oll_error *err)
{
    struct span_set good = {0};
    oll_status status = OLL_OK;
    for (size_t i = 0; i < n_sums && status == OLL_OK; i++) {
        const uint64_t at = (uint64_t)i * OLL_CHUNK_BYTES, left = part->size_bytes - at;
        const size_t n = left < OLL_CHUNK_BYTES ? (size_t)left : OLL_CHUNK_BYTES;
        if (!read_chunk(from, at, n, buf) || !fits(buf, n, &sums[i]))
            continue;
        if (disk_pwrite(part->fd, buf, n, at) != 0)
            status = disk_fail(err, "part of a blob");
        else if (!span_set_add(&good, at, at + n))
            status = OLL_FAIL(err, OLL_ERR_LIMIT, "damage in too many places");
    }
    if (status == OLL_OK)
        status = part_file_record(part, &good, err);
    span_set_free(&good);
    return status;
}

/* Begins the download with what is still good. Without sums, or when somebody else is at this blob
 * already, there is nothing to begin with. */
static oll_status seed(const struct blob_repair *r, struct oll_error *err)
{
    struct oll_digest *sums = NULL;
    struct part_file part;
    uint64_t others;
    size_t n = 0;
    const int from = blob_quarantine_open(r->store, &r->digest);
    if (from < 0)
        return OLL_OK;
    oll_status status = OLL_OK;
    char *buf = NULL;
    if (oll_chunk_sums_load(r->store, &r->digest, r->size_bytes, &sums, &n) == OLL_OK) {
        struct oll_error why = {0};
        buf = oll_alloc(OLL_CHUNK_BYTES, 1);
        status = buf ? part_file_open(r->store, &r->digest, r->size_bytes, &part, &others, &why)
                     : OLL_FAIL(&why, OLL_ERR_MEMORY, "out of memory for a repair");
        if (status == OLL_OK) {
            status = copy_chunks(&part, from, sums, n, buf, &why);
            part_file_close(&part);
        }
        if (status == OLL_ERR_BUSY)
            status = OLL_OK;
        else if (status != OLL_OK)
            oll_error_set(err, status, "%s", oll_error_text(&why));
    }
    oll_free(buf);
    oll_free(sums);
    close(from);
    return status;
}

static oll_status fetch(const struct blob_repair *r, struct oll_error *err)
{
    const struct oci_config config = {r->ref, r->insecure, r->key_path, r->canceled, r->user};
    struct oci_client *client;
    OLL_TRY(oci_new(&config, &client, err));
    const struct blob_fetch what = {
        .store = r->store,
        .client = client,
        .digest = r->digest,
        .size_bytes = r->size_bytes,
        .progress = r->progress,
        .user = r->user,
    };
    oll_status status = blob_fetch_run(&what, err);
    oci_free(client);
    return status;
}

/* A blob of no bytes needs no registry. */
static oll_status put_empty(const struct blob_repair *r, struct oll_lease *lease,
                            struct oll_error *err)
{
    struct oll_blob_writer *w;
    OLL_TRY(oll_blob_writer_new(r->store, lease, &w, err));
    return oll_blob_writer_finish(w, &r->digest, NULL, NULL, err);
}

oll_status blob_repair_run(const struct blob_repair *r, struct oll_error *err)
{
    struct oll_lease *lease = NULL;
    OLL_TRY(oll_lease_new(r->store, &lease, err));
    oll_status status = oll_lease_add(lease, &r->digest, 1, err);
    if (status == OLL_OK && r->size_bytes > 0)
        status = seed(r, err);
    if (status == OLL_OK)
        status = r->size_bytes > 0 ? fetch(r, err) : put_empty(r, lease, err);
    if (status == OLL_OK)
        blob_quarantine_drop(r->store, &r->digest);
    oll_lease_free(lease);
    return status;
}
