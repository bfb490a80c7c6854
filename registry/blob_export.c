#include "registry/blob_export.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "registry/disk.h"
#include "registry/place_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { BUF_BYTES = 1 << 20 };

/* Hashes the blob and, where `to` is no clone of it, copies it. */
static oll_status copy(const struct oll_export *c, int from, int to, bool cloned,
                       struct oll_sha256 *h, char *buf, uint64_t *n_bytes, struct oll_error *err)
{
    for (uint64_t at = 0;;) {
        ssize_t n = read(from, buf, BUF_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_fail(err, "blob");
        if (n == 0) {
            *n_bytes = at;
            return OLL_OK;
        }
        oll_sha256_update(h, buf, (size_t)n);
        if (!cloned && disk_write(to, buf, (size_t)n) != 0)
            return disk_fail(err, c->path);
        at += (uint64_t)n;
        if (c->progress)
            c->progress(c->user, at);
        if (c->canceled && c->canceled(c->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
    }
}

struct job {
    const struct oll_export *config;
    int from;
    uint64_t *n_bytes;
};

static oll_status fill(void *user, int to, struct oll_error *err)
{
    const struct job *job = user;
    struct oll_digest got;
    struct oll_sha256 *h = oll_sha256_new();
    char *buf = oll_alloc(BUF_BYTES, 1);
    const bool cloned = oll_platform_clone_file(to, job->from);
    oll_status status = h && buf
                            ? copy(job->config, job->from, to, cloned, h, buf, job->n_bytes, err)
                            : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a copy");
    if (status == OLL_OK) {
        oll_sha256_final(h, got.bytes);
        if (memcmp(&got, &job->config->digest, sizeof got) != 0)
            status = OLL_FAIL(err, OLL_ERR_DIGEST,
                              "the model's file is damaged; see oll verify --deep --repair");
    }
    oll_sha256_free(h);
    oll_free(buf);
    return status;
}

oll_status oll_blob_export(const struct oll_export *config, uint64_t *n_bytes,
                           struct oll_error *err)
{
    char *path = NULL;
    OLL_TRY(oll_blob_path(config->store, &config->digest, &path, err));
    struct job job = {config, open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), n_bytes};
    oll_free(path);
    if (job.from < 0)
        return disk_fail(err, "blob");
    oll_status status = place_file_write(config->path, config->replace, fill, &job, err);
    close(job.from);
    return status;
}
