#include "registry/fetch_internal.h"

#include "engine/base/clock.h"
#include "registry/disk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what comes in ---- */

/* Moves the head over all that is there, with the lock held. */
static void advance_head(struct fetch *f)
{
    uint64_t before;
    do {
        before = f->head;
        f->head = span_set_end(&f->have, f->head);
        for (int i = 0; i < FETCH_UNITS_MAX; i++) {
            const struct fetch_unit *u = &f->units[i];
            if (u->used && u->begin <= f->head && f->head < u->pos)
                f->head = u->pos;
        }
    } while (f->head != before);
}

static oll_status check_range(const struct fetch_unit *u, const struct https_reply *reply,
                              struct oll_error *err)
{
    const char *range = https_header(reply, "content-range");
    char want[96];
    int n = snprintf(want, sizeof want, "bytes %" PRIu64 "-%" PRIu64 "/", u->pos, u->end - 1);
    if (range && strncasecmp(range, want, (size_t)n) == 0) {
        char *end;
        if (strcmp(range + n, "*") == 0 ||
            (strtoull(range + n, &end, 10) == u->fetch->part.size_bytes && *end == '\0'))
            return OLL_OK;
    }
    return OLL_FAIL(err, OLL_ERR_FORMAT,
                    "registry answered with the range \"%.100s\" where \"%s%" PRIu64
                    "\" was asked for",
                    range ? range : "(none)", want, u->fetch->part.size_bytes);
}

/* Status and headers are judged before a byte is stored (R19). */
static oll_status on_head(void *user, const struct https_reply *reply, struct oll_error *err)
{
    struct fetch_unit *u = user;
    struct fetch *f = u->fetch;
    const char *type = https_header(reply, "content-type");
    char host[HTTPS_ORIGIN_MAX] = "";
    if (reply->status != 200 && reply->status != 206)
        return OLL_OK;
    if (type && strncasecmp(type, "text/html", 9) == 0) {
        https_host(u->url, host);
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "expected application/octet-stream, got text/html from %s", host);
    }
    if (reply->status == 206 && !u->whole) {
        OLL_TRY(check_range(u, reply, err));
    } else if (u->pos > 0 || (reply->status == 206 && u->whole)) {
        f->restart = true;
        return OLL_FAIL(err, OLL_ERR_CANCELED, "registry does not honour ranges");
    } else {
        const char *length = https_header(reply, "content-length");
        if (length && strtoull(length, NULL, 10) > f->part.size_bytes)
            return OLL_FAIL(err, OLL_ERR_LIMIT,
                            "registry sent more than %" PRIu64 " bytes (Content-Length %.20s)",
                            f->part.size_bytes, length);
        f->no_ranges = u->whole = true;
        pthread_mutex_lock(&f->lock);
        u->end = f->part.size_bytes;
        pthread_mutex_unlock(&f->lock);
    }
    f->proven = true;
    f->n_hops = 0;
    return OLL_OK;
}

static oll_status on_body(void *user, const void *data, size_t n, struct oll_error *err)
{
    struct fetch_unit *u = user;
    struct fetch *f = u->fetch;
    long status = https_transfer_reply(u->transfer)->status;
    if (status != 200 && status != 206) {
        oll_strbuf_add(&u->refusal, data, n);
        return OLL_OK; /* what is beyond the buffer is not shown */
    }
    if (n > u->end - u->pos) {
        f->excess = true;
        return OLL_FAIL(err, OLL_ERR_LIMIT, "registry sent more than %" PRIu64 " bytes",
                        f->part.size_bytes);
    }
    if (disk_pwrite(f->part.fd, data, n, u->pos) != 0)
        return disk_fail(err, "blob");
    pthread_mutex_lock(&f->lock);
    u->pos += n;
    f->unsynced += n;
    uint64_t head = f->head;
    advance_head(f);
    if (f->head != head || f->unsynced >= FETCH_SYNC_BYTES)
        pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return OLL_OK;
}

/* ---- units ---- */

/* The first byte that nobody has or asks for; false when there is none. */
static bool next_gap(const struct fetch *f, uint64_t *begin, uint64_t *end)
{
    uint64_t at = 0, before;
    do {
        before = at;
        at = span_set_end(&f->have, at);
        for (int i = 0; i < FETCH_UNITS_MAX; i++)
            if (f->units[i].used && f->units[i].begin <= at && at < f->units[i].end)
                at = f->units[i].end;
    } while (at != before);
    if (at >= f->part.size_bytes)
        return false;
    uint64_t limit = span_set_next(&f->have, at);
    if (limit > f->part.size_bytes)
        limit = f->part.size_bytes;
    for (int i = 0; i < FETCH_UNITS_MAX; i++)
        if (f->units[i].used && f->units[i].begin > at && f->units[i].begin < limit)
            limit = f->units[i].begin;
    *begin = at;
    *end = limit - at > FETCH_UNIT_BYTES ? at + FETCH_UNIT_BYTES : limit;
    return true;
}

static oll_status start_unit(struct fetch_unit *u, struct oll_error *err)
{
    struct fetch *f = u->fetch;
    char range[64];
    const char *headers[] = {u->whole ? NULL : range, NULL};
    uint64_t n = u->end - u->pos;
    snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-%" PRIu64, u->pos, u->end - 1);
    memcpy(u->url, f->url, sizeof u->url);
    oll_strbuf_clear(&u->refusal);
    u->try_pos = u->pos;
    u->identity = oci_identity(f->config->client);
    struct https_request request = {
        .method = "GET",
        .url = u->url,
        .headers = headers,
        .authorization = oci_authorization(f->config->client, u->url),
        /* A reply that is no data may be longer than the range. */
        .max_body = (u->whole || u->pos == 0 ? f->part.size_bytes : n) + FETCH_ERROR_BYTES,
        .on_head = on_head,
        .on_body = on_body,
        .user = u,
    };
    return https_start(oci_session(f->config->client), &request, &u->transfer, err);
}

/* What a unit has becomes part of the whole; it goes on from there. */
static oll_status settle(struct fetch_unit *u, struct oll_error *err)
{
    struct fetch *f = u->fetch;
    pthread_mutex_lock(&f->lock);
    bool ok = span_set_add(&f->have, u->begin, u->pos);
    u->begin = u->pos;
    if (u->pos == u->end)
        u->used = false;
    pthread_mutex_unlock(&f->lock);
    return ok ? OLL_OK : OLL_FAIL(err, OLL_ERR_LIMIT, "download in too many pieces");
}

static void drop_unit(struct fetch_unit *u)
{
    https_transfer_free(u->transfer);
    u->transfer = NULL;
    pthread_mutex_lock(&u->fetch->lock);
    u->used = false;
    pthread_mutex_unlock(&u->fetch->lock);
}

/* A try that failed for a reason that may pass. */
static oll_status try_again(struct fetch_unit *u, const struct https_reply *reply, const char *why,
                            struct oll_error *err)
{
    uint64_t size = u->fetch->part.size_bytes, step = size / 256 + 1;
    if (u->pos - u->try_pos >= (step < 65536 ? step : 65536))
        u->n_tries = u->n_answers = 0;
    if (u->n_tries >= OCI_TRIES_MAX)
        return OLL_FAIL(err, OLL_ERR_NETWORK, "max retries exceeded: %s", why);
    int ms = u->n_tries == 0 && !reply ? 0 : oci_pause_ms(u->n_tries, reply);
    u->n_tries++;
    u->not_before_ns = oll_clock_ns() + (uint64_t)ms * 1000000;
    return OLL_OK;
}

static void back_to_registry(struct fetch *f)
{
    char digest[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(&f->config->digest, digest);
    snprintf(f->url, sizeof f->url, "%s/blobs/%s", oci_base(f->config->client), digest);
    f->n_hops = 0;
    f->proven = false;
}

static oll_status follow(struct fetch_unit *u, const struct https_reply *reply,
                         struct oll_error *err)
{
    struct fetch *f = u->fetch;
    char next[HTTPS_URL_MAX];
    /* Ranges that were asked for at once are sent on at once: that is one redirect. */
    if (strcmp(u->url, f->url) != 0)
        return OLL_OK;
    if (f->n_hops++ >= OCI_HOPS_MAX)
        return OLL_FAIL(err, OLL_ERR_DENIED, "redirect refused: more than %d redirects",
                        OCI_HOPS_MAX);
    OLL_TRY(oci_redirect(u->url, reply, next, err));
    memcpy(f->url, next, sizeof f->url);
    return OLL_OK;
}

static oll_status answer(struct fetch_unit *u, const struct https_reply *reply,
                         struct oll_error *err)
{
    struct oci_client *client = u->fetch->config->client;
    /* Another range has got a new token since this one was asked for. */
    if (u->identity != oci_identity(client))
        return OLL_OK;
    if (u->n_answers++ > 0)
        return OLL_FAIL(err, OLL_ERR_DENIED, "unauthorized: access denied");
    return oci_answer(client, u->url, reply, err);
}

/* A reply that is no data. */
static oll_status judge(struct fetch_unit *u, const struct https_reply *reply,
                        struct oll_error *err)
{
    struct fetch *f = u->fetch;
    char text[FETCH_ERROR_BYTES + 32], digest[OLL_DIGEST_TEXT_MAX];
    bool own =
        strncmp(u->url, oci_base(f->config->client), strlen(oci_base(f->config->client))) == 0;
    snprintf(text, sizeof text, "%ld: %s", reply->status, u->refusal.data);
    if (reply->status >= 300 && reply->status < 400)
        return follow(u, reply, err);
    if (reply->status == 401 && own)
        return answer(u, reply, err);
    if ((reply->status == 401 || reply->status == 403) && !own) {
        /* A signed URL that has expired: the registry gives a new one, unless it has done so to
         * another range. */
        if (strcmp(u->url, f->url) == 0)
            back_to_registry(f);
        return try_again(u, reply, text, err);
    }
    if (oci_may_retry(reply->status) || reply->status == 500)
        return try_again(u, reply, text, err);
    oll_digest_text(&f->config->digest, digest);
    if (reply->status == 404)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "blob %s: file does not exist", digest);
    return OLL_FAIL(err, OLL_ERR_NETWORK, "%s", text);
}

static oll_status finish_unit(struct fetch_unit *u, struct oll_error *err)
{
    struct oll_error why = {0};
    const struct https_reply *reply = https_transfer_reply(u->transfer);
    oll_status status = https_result(u->transfer, &why), next = settle(u, err);
    bool data = reply->status == 200 || reply->status == 206;
    bool broke = status == OLL_ERR_TIMEOUT || status == OLL_ERR_NETWORK;
    if (next == OLL_OK && status == OLL_OK && !data)
        next = judge(u, reply, err);
    else if (next == OLL_OK && status != OLL_OK && !broke && !u->fetch->restart)
        next = OLL_FAIL(err, status, "%s", oll_error_text(&why));
    else if (next == OLL_OK && u->used)
        next = try_again(u, NULL, broke ? oll_error_text(&why) : "the body ended early", err);
    https_transfer_free(u->transfer);
    u->transfer = NULL;
    return next;
}

/* ---- all of them ---- */

static int n_running(const struct fetch *f)
{
    int n = 0;
    for (int i = 0; i < FETCH_UNITS_MAX; i++)
        n += f->units[i].used;
    return n;
}

/* Gives free units work: one until a registry has proven itself, then as many as there are. */
static oll_status assign(struct fetch *f, struct oll_error *err)
{
    bool limited = https_is_limited(oci_session(f->config->client)) || f->no_ranges;
    int max = f->proven && !limited ? FETCH_UNITS_MAX : 1;
    uint64_t begin, end, now = oll_clock_ns();
    for (int i = 0; i < FETCH_UNITS_MAX; i++) {
        struct fetch_unit *u = &f->units[i];
        if (!u->used && n_running(f) < max && next_gap(f, &begin, &end)) {
            pthread_mutex_lock(&f->lock);
            u->begin = u->pos = begin;
            u->end = f->no_ranges ? f->part.size_bytes : end;
            u->used = true;
            pthread_mutex_unlock(&f->lock);
            u->n_tries = u->n_answers = 0;
            u->not_before_ns = 0;
            u->whole = f->no_ranges;
        }
        if (u->used && !u->transfer && u->not_before_ns <= now)
            OLL_TRY(start_unit(u, err));
    }
    return OLL_OK;
}

static void show(struct fetch *f, uint64_t *last_ns)
{
    uint64_t now = oll_clock_ns();
    if (!f->config->progress || now - *last_ns < (uint64_t)FETCH_TICK_MS * 1000000)
        return;
    *last_ns = now;
    pthread_mutex_lock(&f->lock);
    uint64_t n = span_set_bytes(&f->have);
    for (int i = 0; i < FETCH_UNITS_MAX; i++)
        n += f->units[i].used ? f->units[i].pos - f->units[i].begin : 0;
    pthread_mutex_unlock(&f->lock);
    if (n > f->shown)
        f->shown = n;
    f->config->progress(f->config->user, f->shown);
}

static oll_status worker_status(struct fetch *f, struct oll_error *err)
{
    pthread_mutex_lock(&f->lock);
    oll_status status = f->status;
    if (status != OLL_OK)
        oll_error_set(err, status, "%s", oll_error_text(&f->err));
    pthread_mutex_unlock(&f->lock);
    return status;
}

static oll_status round_of(struct fetch *f, struct oll_error *err)
{
    OLL_TRY(worker_status(f, err));
    OLL_TRY(assign(f, err));
    OLL_TRY(https_wait(oci_session(f->config->client), FETCH_TICK_MS, err));
    bool waits = true;
    for (int i = 0; i < FETCH_UNITS_MAX; i++) {
        struct fetch_unit *u = &f->units[i];
        waits &= !u->transfer;
        if (u->transfer && https_ended(u->transfer))
            OLL_TRY(finish_unit(u, err));
    }
    /* All pause: without a transfer https_wait returns at once. */
    return waits && n_running(f) > 0 ? oci_sleep(f->config->client, FETCH_TICK_MS / 2, err)
                                     : OLL_OK;
}

oll_status fetch_units_run(struct fetch *f, struct oll_error *err)
{
    oll_status status = OLL_OK;
    uint64_t last_ns = oll_clock_ns(), begin, end;
    back_to_registry(f);
    f->restart = false;
    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < FETCH_UNITS_MAX; i++) {
        f->units[i] = (struct fetch_unit){.fetch = f};
        oll_strbuf_init(&f->units[i].refusal, FETCH_ERROR_BYTES);
    }
    pthread_mutex_unlock(&f->lock);
    while (status == OLL_OK && !f->restart && (n_running(f) > 0 || next_gap(f, &begin, &end))) {
        status = round_of(f, err);
        show(f, &last_ns);
    }
    for (int i = 0; i < FETCH_UNITS_MAX; i++) {
        struct fetch_unit *u = &f->units[i];
        if (u->used && settle(u, NULL) != OLL_OK && status == OLL_OK)
            status = OLL_FAIL(err, OLL_ERR_LIMIT, "download in too many pieces");
        drop_unit(u);
        oll_strbuf_free(&u->refusal);
    }
    return status;
}
