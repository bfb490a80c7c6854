#include "engine/kv_spill.h"

#include "engine/base/clock.h"
#include "engine/base/crypto.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    QUEUE_BYTES = 64 << 20, /* pages that wait for the disk; one page always may */
    AHEAD_BYTES = 32 << 20, /* pages of one fetch that wait to be taken; likewise */
    PAUSE_S = 30            /* after a failure: a full disk is not asked for each page */
};

struct put {
    struct put *next;
    struct kv_key key;
    void *payload;
    size_t n_bytes;
};

struct kv_fetch {
    struct kv_fetch *next;
    uint32_t n, n_read, n_taken;
    size_t n_waiting; /* bytes read and not taken */
    bool failed, busy;
    void **payloads; /* [n] */
    struct kv_fetch_item items[];
};

struct kv_spill {
    struct kv_disk *disk;
    void (*wake)(void *arg);
    void *arg;
    pthread_t writer, reader;
    bool has_writer, has_reader;
    pthread_mutex_t mutex;
    pthread_cond_t put, got, done; /* for the writer; for the reader; something ended */
    struct put *puts, **puts_end;
    size_t n_queued; /* bytes, with those being written */
    bool wants_room, closing;
    struct kv_fetch *fetches;
    uint64_t paused_until; /* of the writer */
};

/* ---- the writer ---- */

static void write_put(struct kv_spill *spill, struct put *p)
{
    struct oll_error err = {0};
    const uint64_t now = oll_clock_ns();
    if (now < spill->paused_until)
        return;
    if (kv_disk_write(spill->disk, &p->key, p->payload, p->n_bytes, &err) == OLL_OK)
        return;
    spill->paused_until = now + PAUSE_S * UINT64_C(1000000000);
    oll_log_warn("kv", "prefix cache: %s; nothing is kept for %d s", oll_error_text(&err), PAUSE_S);
}

static void *writer_main(void *arg)
{
    struct kv_spill *spill = arg;
    oll_platform_background();
    pthread_mutex_lock(&spill->mutex);
    for (;;) {
        while (!spill->puts && !spill->closing)
            pthread_cond_wait(&spill->put, &spill->mutex);
        struct put *p = spill->puts;
        if (!p)
            break;
        spill->puts = p->next;
        if (!spill->puts)
            spill->puts_end = &spill->puts;
        pthread_mutex_unlock(&spill->mutex);
        write_put(spill, p);
        pthread_mutex_lock(&spill->mutex);
        spill->n_queued -= p->n_bytes;
        const bool wake = spill->wants_room;
        spill->wants_room = false;
        pthread_cond_broadcast(&spill->done);
        pthread_mutex_unlock(&spill->mutex);
        oll_free(p->payload);
        oll_free(p);
        if (wake)
            spill->wake(spill->arg);
        pthread_mutex_lock(&spill->mutex);
    }
    pthread_mutex_unlock(&spill->mutex);
    oll_crypto_end_thread();
    return NULL;
}

/* ---- the reader ---- */

static struct kv_fetch *next_fetch(struct kv_spill *spill)
{
    for (struct kv_fetch *f = spill->fetches; f; f = f->next)
        if (!f->failed && f->n_read < f->n &&
            (f->n_waiting == 0 || f->n_waiting + f->items[f->n_read].n_bytes <= AHEAD_BYTES))
            return f;
    return NULL;
}

static void *reader_main(void *arg)
{
    struct kv_spill *spill = arg;
    pthread_mutex_lock(&spill->mutex);
    for (;;) {
        struct kv_fetch *f;
        while (!(f = next_fetch(spill)) && !spill->closing)
            pthread_cond_wait(&spill->got, &spill->mutex);
        if (spill->closing)
            break;
        const uint32_t i = f->n_read;
        f->busy = true;
        pthread_mutex_unlock(&spill->mutex);
        void *payload = oll_alloc(f->items[i].n_bytes, 1);
        const bool ok = payload && kv_disk_read(spill->disk, &f->items[i].key, payload,
                                                f->items[i].n_bytes) == OLL_OK;
        pthread_mutex_lock(&spill->mutex);
        f->busy = false;
        f->failed = !ok;
        if (ok) {
            f->payloads[i] = payload;
            f->n_waiting += f->items[i].n_bytes;
            f->n_read++;
        } else {
            oll_free(payload);
        }
        pthread_cond_broadcast(&spill->done);
        pthread_mutex_unlock(&spill->mutex);
        spill->wake(spill->arg);
        pthread_mutex_lock(&spill->mutex);
    }
    pthread_mutex_unlock(&spill->mutex);
    oll_crypto_end_thread();
    return NULL;
}

/* ---- begin and end ---- */

oll_status kv_spill_open(const struct kv_spill_params *params, struct kv_spill **out,
                         struct oll_error *err)
{
    pthread_condattr_t attr;
    struct kv_spill *spill = oll_calloc(1, sizeof *spill);
    if (!spill)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the prefix cache");
    spill->wake = params->wake;
    spill->arg = params->arg;
    spill->puts_end = &spill->puts;
    pthread_mutex_init(&spill->mutex, NULL);
    pthread_cond_init(&spill->put, NULL);
    pthread_cond_init(&spill->got, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&spill->done, &attr);
    pthread_condattr_destroy(&attr);
    oll_status status = kv_disk_open(params->folder, params->max_bytes, &spill->disk, err);
    if (status == OLL_OK) {
        spill->has_writer = pthread_create(&spill->writer, NULL, writer_main, spill) == 0;
        spill->has_reader =
            spill->has_writer && pthread_create(&spill->reader, NULL, reader_main, spill) == 0;
        if (!spill->has_reader)
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "no threads for the prefix cache");
    }
    if (status == OLL_OK)
        *out = spill;
    else
        kv_spill_close(spill, 0);
    return status;
}

static bool wait_done(struct kv_spill *spill, uint64_t deadline_ns)
{
    const struct timespec at = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                .tv_nsec = (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(&spill->done, &spill->mutex, &at) == 0;
}

static void drop_puts(struct kv_spill *spill)
{
    while (spill->puts) {
        struct put *p = spill->puts;
        spill->puts = p->next;
        spill->n_queued -= p->n_bytes;
        oll_free(p->payload);
        oll_free(p);
    }
    spill->puts_end = &spill->puts;
}

void kv_spill_close(struct kv_spill *spill, uint64_t deadline_ns)
{
    if (!spill)
        return;
    OLL_ASSERT(!spill->fetches);
    pthread_mutex_lock(&spill->mutex);
    while (spill->n_queued > 0 && wait_done(spill, deadline_ns))
        ;
    drop_puts(spill);
    spill->closing = true;
    pthread_cond_signal(&spill->put);
    pthread_cond_signal(&spill->got);
    pthread_mutex_unlock(&spill->mutex);
    if (spill->has_writer)
        pthread_join(spill->writer, NULL);
    if (spill->has_reader)
        pthread_join(spill->reader, NULL);
    kv_disk_close(spill->disk);
    pthread_cond_destroy(&spill->put);
    pthread_cond_destroy(&spill->got);
    pthread_cond_destroy(&spill->done);
    pthread_mutex_destroy(&spill->mutex);
    oll_free(spill);
}

/* ---- puts ---- */

bool kv_spill_has(const struct kv_spill *spill, const struct kv_key *key, size_t n)
{
    return kv_disk_has(spill->disk, key, n);
}

static bool has_room(const struct kv_spill *spill, size_t n)
{
    return spill->n_queued == 0 || (n <= QUEUE_BYTES && spill->n_queued <= QUEUE_BYTES - n);
}

bool kv_spill_has_room(struct kv_spill *spill, size_t n)
{
    pthread_mutex_lock(&spill->mutex);
    const bool room = has_room(spill, n);
    spill->wants_room = !room;
    pthread_mutex_unlock(&spill->mutex);
    return room;
}

bool kv_spill_wait(struct kv_spill *spill, size_t n, uint64_t deadline_ns)
{
    pthread_mutex_lock(&spill->mutex);
    while (!has_room(spill, n) && wait_done(spill, deadline_ns))
        ;
    const bool room = has_room(spill, n);
    pthread_mutex_unlock(&spill->mutex);
    return room;
}

void kv_spill_put(struct kv_spill *spill, const struct kv_key *key, void *payload, size_t n)
{
    struct put *p = oll_alloc(1, sizeof *p);
    if (!p) {
        oll_free(payload);
        return;
    }
    *p = (struct put){.key = *key, .payload = payload, .n_bytes = n};
    pthread_mutex_lock(&spill->mutex);
    *spill->puts_end = p;
    spill->puts_end = &p->next;
    spill->n_queued += n;
    pthread_cond_signal(&spill->put);
    pthread_mutex_unlock(&spill->mutex);
}

/* ---- fetches ---- */

struct kv_fetch *kv_spill_fetch(struct kv_spill *spill, const struct kv_fetch_item *items,
                                uint32_t n)
{
    struct kv_fetch *f = oll_calloc(1, sizeof *f + n * sizeof *items);
    void **payloads = oll_calloc(n ? n : 1, sizeof *payloads);
    if (!f || !payloads) {
        oll_free(f);
        oll_free(payloads);
        return NULL;
    }
    f->n = n;
    f->payloads = payloads;
    memcpy(f->items, items, n * sizeof *items);
    pthread_mutex_lock(&spill->mutex);
    f->next = spill->fetches;
    spill->fetches = f;
    pthread_cond_signal(&spill->got);
    pthread_mutex_unlock(&spill->mutex);
    return f;
}

oll_status kv_fetch_next(struct kv_spill *spill, struct kv_fetch *f, void **payload)
{
    oll_status status = OLL_ERR_TIMEOUT;
    pthread_mutex_lock(&spill->mutex);
    if (f->n_taken < f->n_read) {
        *payload = f->payloads[f->n_taken];
        f->payloads[f->n_taken] = NULL;
        f->n_waiting -= f->items[f->n_taken++].n_bytes;
        pthread_cond_signal(&spill->got);
        status = OLL_OK;
    } else if (f->failed || f->n_taken == f->n) {
        status = OLL_ERR_NOT_FOUND;
    }
    pthread_mutex_unlock(&spill->mutex);
    return status;
}

void kv_fetch_end(struct kv_spill *spill, struct kv_fetch *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&spill->mutex);
    struct kv_fetch **link = &spill->fetches;
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    while (f->busy)
        pthread_cond_wait(&spill->done, &spill->mutex);
    pthread_mutex_unlock(&spill->mutex);
    for (uint32_t i = 0; i < f->n; i++)
        oll_free(f->payloads[i]);
    oll_free(f->payloads);
    oll_free(f);
}
