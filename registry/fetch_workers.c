#include "registry/fetch_internal.h"

#include "engine/base/mem.h"
#include "registry/disk.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HASH_BYTES = 1 << 20, HASH_POLL_MS = 20 };

static void fail_worker(struct fetch *f, oll_status status, const struct oll_error *why)
{
    pthread_mutex_lock(&f->lock);
    if (f->status == OLL_OK) {
        f->status = status;
        oll_error_set(&f->err, status, "%s", oll_error_text(why));
    }
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

/* ---- hashing ---- */

/* Waits until there is something to hash; false when there will be nothing more. */
static bool next_stretch(struct fetch *f, uint64_t *at, uint64_t *end)
{
    pthread_mutex_lock(&f->lock);
    while (!f->stop && f->status == OLL_OK && f->hashed == f->head &&
           f->hashed < f->part.size_bytes)
        pthread_cond_wait(&f->changed, &f->lock);
    *at = f->hashed;
    *end = f->head;
    bool more = !f->stop && f->status == OLL_OK && f->hashed < f->head;
    pthread_mutex_unlock(&f->lock);
    return more;
}

static oll_status hash_stretch(struct fetch *f, char *buf, uint64_t at, uint64_t end,
                               struct oll_error *err)
{
    size_t want = end - at < HASH_BYTES ? (size_t)(end - at) : HASH_BYTES;
    ssize_t n;
    do
        n = pread(f->part.fd, buf, want, (off_t)at);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        if (n == 0)
            errno = EIO;
        return disk_fail(err, "part of a blob cannot be read");
    }
    oll_chunk_sums_update(f->sums, buf, (size_t)n);
    pthread_mutex_lock(&f->lock);
    f->hashed += (uint64_t)n;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return OLL_OK;
}

static void *run_hasher(void *user)
{
    struct fetch *f = user;
    struct oll_error err = {0};
    char *buf = oll_alloc(HASH_BYTES, 1);
    oll_status status = buf ? OLL_OK : OLL_FAIL(&err, OLL_ERR_MEMORY, "out of memory for a buffer");
    uint64_t at, end;
    while (status == OLL_OK && next_stretch(f, &at, &end))
        status = hash_stretch(f, buf, at, end, &err);
    oll_free(buf);
    if (status != OLL_OK)
        fail_worker(f, status, &err);
    return NULL;
}

/* ---- durability ---- */

static struct timespec in_ms(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* What is there now, with the lock held. */
static bool snapshot(struct fetch *f, struct span_set *out)
{
    bool ok = span_set_copy(&f->have, out);
    for (int i = 0; ok && i < FETCH_UNITS_MAX; i++)
        if (f->units[i].used)
            ok = span_set_add(out, f->units[i].begin, f->units[i].pos);
    return ok;
}

static oll_status record_now(struct fetch *f, struct oll_error *err)
{
    struct span_set spans = {0};
    pthread_mutex_lock(&f->lock);
    bool fresh = f->unsynced > 0, ok = snapshot(f, &spans);
    f->unsynced = 0;
    pthread_mutex_unlock(&f->lock);
    oll_status status = OLL_OK;
    if (!ok)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a journal");
    else if (fresh)
        status = part_file_record(&f->part, &spans, err);
    span_set_free(&spans);
    return status;
}

static void *run_syncer(void *user)
{
    struct fetch *f = user;
    struct oll_error err = {0};
    oll_status status = OLL_OK;
    bool stop = false;
    while (status == OLL_OK && !stop) {
        struct timespec until = in_ms(FETCH_SYNC_MS);
        int rc = 0;
        pthread_mutex_lock(&f->lock);
        while (!f->stop && f->status == OLL_OK && f->unsynced < FETCH_SYNC_BYTES && rc == 0)
            rc = pthread_cond_timedwait(&f->changed, &f->lock, &until);
        stop = f->stop || f->status != OLL_OK;
        pthread_mutex_unlock(&f->lock);
        if (!stop)
            status = record_now(f, &err);
    }
    if (status != OLL_OK)
        fail_worker(f, status, &err);
    return NULL;
}

/* ---- both ---- */

oll_status fetch_workers_start(struct fetch *f, struct oll_error *err)
{
    f->sums = oll_chunk_sums_new();
    f->hashed = 0;
    f->stop = false;
    if (!f->sums || pthread_create(&f->hasher, NULL, run_hasher, f) != 0)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a download");
    f->workers_run = true;
    if (pthread_create(&f->syncer, NULL, run_syncer, f) == 0)
        return OLL_OK;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->hasher, NULL);
    f->workers_run = false;
    return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a download");
}

oll_status fetch_workers_stop(struct fetch *f, bool record, struct oll_error *err)
{
    if (!f->workers_run)
        return OLL_OK;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->hasher, NULL);
    pthread_join(f->syncer, NULL);
    f->workers_run = false;
    if (f->status != OLL_OK)
        return OLL_FAIL(err, f->status, "%s", oll_error_text(&f->err));
    return record ? record_now(f, err) : OLL_OK;
}

oll_status fetch_wait_hashed(struct fetch *f, struct oll_error *err)
{
    oll_status status = OLL_OK;
    bool done = false;
    while (status == OLL_OK && !done) {
        struct timespec until = in_ms(HASH_POLL_MS);
        pthread_mutex_lock(&f->lock);
        while (f->status == OLL_OK && f->hashed < f->part.size_bytes &&
               pthread_cond_timedwait(&f->changed, &f->lock, &until) == 0)
            ;
        done = f->hashed == f->part.size_bytes || f->status != OLL_OK;
        pthread_mutex_unlock(&f->lock);
        if (!done)
            status = oci_sleep(f->config->client, 0, err);
    }
    return status;
}
