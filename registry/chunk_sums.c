#include "registry/chunk_sums.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/sha256_twin.h"
#include "registry/disk.h"
#include "registry/store_dir.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SUMS_MAX = 4 << 20 }; /* chunks of a blob of 16 TiB */

struct oll_chunk_sums {
    struct oll_sha256_twin *twin;
    struct oll_digest *sums;
    size_t n, cap;
    bool failed; /* memory was short for one */
};

static void add_sum(void *user, const uint8_t digest[OLL_SHA256_BYTES])
{
    struct oll_chunk_sums *sums = user;
    if (sums->n == sums->cap && !sums->failed) {
        size_t cap = sums->cap ? sums->cap * 2 : 64;
        struct oll_digest *grown =
            cap <= SUMS_MAX ? oll_realloc(sums->sums, cap, sizeof *grown) : NULL;
        sums->failed = grown == NULL;
        if (grown) {
            sums->sums = grown;
            sums->cap = cap;
        }
    }
    if (!sums->failed)
        memcpy(sums->sums[sums->n++].bytes, digest, OLL_SHA256_BYTES);
}

struct oll_chunk_sums *oll_chunk_sums_new(void)
{
    struct oll_chunk_sums *sums = oll_calloc(1, sizeof *sums);
    if (sums)
        sums->twin = oll_sha256_twin_new(OLL_CHUNK_BYTES, add_sum, sums);
    if (sums && !sums->twin) {
        oll_free(sums);
        return NULL;
    }
    return sums;
}

void oll_chunk_sums_free(struct oll_chunk_sums *sums)
{
    if (!sums)
        return;
    oll_sha256_twin_free(sums->twin);
    oll_free(sums->sums);
    oll_free(sums);
}

void oll_chunk_sums_update(struct oll_chunk_sums *sums, const void *data, size_t n)
{
    oll_sha256_twin_update(sums->twin, data, n);
}

void oll_chunk_sums_final(struct oll_chunk_sums *sums, struct oll_digest *out)
{
    oll_sha256_twin_final(sums->twin, out->bytes);
}

void oll_chunk_sums_save(const struct oll_chunk_sums *sums, const struct oll_store *store,
                         const struct oll_digest *blob)
{
    char name[OLL_DIGEST_TEXT_MAX], tmp[STORE_TMP_NAME_MAX];
    int chunks, dir, fd;
    if (sums->failed || sums->n < 2 || store_make_own(store, "chunks", &chunks, NULL) != OLL_OK)
        return;
    blob_file_name(blob, name);
    if (store_make_tmp(store, &dir, &fd, tmp, NULL) == OLL_OK) {
        if (disk_write(fd, sums->sums, sums->n * sizeof *sums->sums) != 0 ||
            disk_rename(dir, tmp, chunks, name) != 0)
            disk_unlink(dir, tmp);
        close(fd);
        close(dir);
    }
    close(chunks);
}

oll_status oll_chunk_sums_load(const struct oll_store *store, const struct oll_digest *blob,
                               uint64_t size, struct oll_digest **sums, size_t *n)
{
    char name[OLL_DIGEST_TEXT_MAX], *data = NULL;
    uint64_t n_chunks = size / OLL_CHUNK_BYTES + (size % OLL_CHUNK_BYTES != 0), n_bytes = 0;
    int dir = store_open_own(store, "chunks");
    if (dir < 0)
        return OLL_ERR_NOT_FOUND;
    blob_file_name(blob, name);
    oll_status status =
        oll_file_read_at(dir, name, (uint64_t)SUMS_MAX * sizeof **sums, &data, &n_bytes, NULL);
    close(dir);
    if (status == OLL_OK && n_bytes != n_chunks * sizeof **sums) {
        oll_free(data);
        return OLL_ERR_NOT_FOUND;
    }
    if (status == OLL_OK) {
        *sums = (struct oll_digest *)data;
        *n = (size_t)n_chunks;
    }
    return status;
}
