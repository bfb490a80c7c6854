#include "registry/push_blob.h"

#include "engine/base/clock.h"
#include "engine/base/crypto.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "registry/disk.h"
#include "registry/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PART_MIN = 100 * 1000 * 1000,
    PART_MAX = 1000 * 1000 * 1000,
    PARTS_PER_BLOB = 16,
    SESSION_FILE_MAX = 16 * 1024,
    REPLY_MAX = 64 * 1024,
    READ_BYTES = 1 << 20,
    TICK_NS = 60 * 1000 * 1000
};

struct upload {
    const struct oll_transfer *t;
    struct oci_client *client;
    const struct oll_layer *layer;
    int fd;
    uint64_t part_bytes;
    uint64_t offset;             /* that the registry has */
    uint64_t shown, last_ns;     /* progress never falls */
    char session[HTTPS_URL_MAX]; /* where the next part goes */
    char target[HTTPS_URL_MAX];  /* where this part's bytes are wanted instead; "": nowhere */
    struct oll_md5 *md5;         /* of the part that is on its way */
    struct oll_strbuf md5s;      /* of the parts before it, 16 bytes each */
    bool failed_memory;
};

uint64_t push_part_bytes(uint64_t size)
{
    uint64_t part = size / PARTS_PER_BLOB;
    return part < PART_MIN ? PART_MIN : part > PART_MAX ? PART_MAX : part;
}

static void show(struct upload *u, uint64_t completed, bool always)
{
    uint64_t now = oll_clock_ns();
    if (completed > u->shown)
        u->shown = completed;
    if (!always && now - u->last_ns < TICK_NS)
        return;
    u->last_ns = now;
    transfer_show(u->t, "pushing", &u->layer->digest, u->layer->size_bytes, u->shown);
}

/* ---- the session on disk ---- */

/* One file for each blob and repository. */
static oll_status session_name(const struct upload *u, char out[OLL_DIGEST_TEXT_MAX])
{
    struct oll_digest key;
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return OLL_ERR_MEMORY;
    oll_sha256_update(h, oci_base(u->client), strlen(oci_base(u->client)));
    oll_sha256_update(h, u->layer->digest.bytes, sizeof u->layer->digest.bytes);
    oll_sha256_final(h, key.bytes);
    oll_sha256_free(h);
    oll_sha256_hex(key.bytes, out);
    return OLL_OK;
}

/* Best effort: without it an interrupted upload begins anew. */
static void keep_session(const struct upload *u)
{
    char name[OLL_DIGEST_TEXT_MAX], tmp[STORE_TMP_NAME_MAX];
    int dir, tmp_dir, fd;
    if (session_name(u, name) != OLL_OK ||
        store_make_own(u->t->store, "uploads", &dir, NULL) != OLL_OK)
        return;
    if (store_make_tmp(u->t->store, &tmp_dir, &fd, tmp, NULL) == OLL_OK) {
        if (disk_write(fd, u->session, strlen(u->session)) != 0 || disk_sync(fd) != 0 ||
            disk_rename(tmp_dir, tmp, dir, name) != 0)
            disk_unlink(tmp_dir, tmp);
        close(fd);
        close(tmp_dir);
    }
    close(dir);
}

static void forget_session(const struct upload *u)
{
    char name[OLL_DIGEST_TEXT_MAX];
    int dir = store_open_own(u->t->store, "uploads");
    if (dir < 0)
        return;
    if (session_name(u, name) == OLL_OK && faccessat(dir, name, F_OK, 0) == 0)
        disk_unlink(dir, name);
    close(dir);
}

static bool recall_session(struct upload *u)
{
    char name[OLL_DIGEST_TEXT_MAX], *text = NULL, origin[HTTPS_ORIGIN_MAX];
    uint64_t n = 0;
    int dir = store_open_own(u->t->store, "uploads");
    if (dir < 0)
        return false;
    bool found = session_name(u, name) == OLL_OK &&
                 oll_file_read_at(dir, name, SESSION_FILE_MAX, &text, &n, NULL) == OLL_OK &&
                 n > 0 && n < sizeof u->session && https_origin(text, origin);
    if (found)
        memcpy(u->session, text, (size_t)n + 1);
    oll_free(text);
    close(dir);
    return found;
}

/* ---- requests ---- */

static oll_status call(struct upload *u, const char *method, const char *url,
                       const char *const *headers, struct https_transfer **transfer,
                       struct oll_error *err)
{
    struct https_request request = {
        .method = method, .url = url, .headers = headers, .max_body = REPLY_MAX};
    return oci_call(u->client, &request, strcmp(method, "HEAD") == 0, transfer, err);
}

/* The URL of the session after a reply. */
static oll_status take_session(struct upload *u, const char *from, const struct https_reply *reply,
                               struct oll_error *err)
{
    const char *location = https_header(reply, "docker-upload-location");
    char next[HTTPS_URL_MAX];
    if (!location)
        location = https_header(reply, "location");
    if (!location || !https_join(from, location, next))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "registry gave no place to upload to (%.200s)",
                        location ? location : "no Location header");
    memcpy(u->session, next, sizeof next);
    return OLL_OK;
}

/* Begins a session, or has the blob mounted from another repository: then *mounted. */
static oll_status begin(struct upload *u, bool *mounted, struct oll_error *err)
{
    static const char *const headers[] = {"Content-Type:", NULL};
    struct https_transfer *transfer;
    struct oll_reference from;
    struct oll_strbuf url;
    char digest[OLL_DIGEST_TEXT_MAX], repository[2 * OLL_NAME_PART_MAX + 2];
    oll_strbuf_init(&url, HTTPS_URL_MAX);
    oll_strbuf_adds(&url, "/blobs/uploads/");
    if (*u->layer->from && oll_reference_parse(u->layer->from, &from, NULL) == OLL_OK) {
        oll_digest_text(&u->layer->digest, digest);
        snprintf(repository, sizeof repository, "%s/%s", from.namespace, from.model);
        https_add_query(&url, "from", repository);
        https_add_query(&url, "mount", digest);
    }
    oll_status status = call(u, "POST", url.data, headers, &transfer, err);
    oll_strbuf_free(&url);
    OLL_TRY(status);
    const struct https_reply *reply = https_transfer_reply(transfer);
    *mounted = reply->status == 201;
    u->offset = 0;
    oll_strbuf_clear(&u->md5s);
    if (!*mounted)
        status = take_session(u, oci_last_url(u->client), reply, err);
    https_transfer_free(transfer);
    return status;
}

/* Asks how far a session is. OLL_ERR_NOT_FOUND: it cannot go on. */
static oll_status ask(struct upload *u, struct oll_error *err)
{
    struct https_transfer *transfer;
    struct oll_error why = {0};
    oll_status status = call(u, "GET", u->session, NULL, &transfer, &why);
    if (status == OLL_ERR_CANCELED)
        return OLL_FAIL(err, status, "%s", why.text);
    if (status != OLL_OK)
        return OLL_ERR_NOT_FOUND;
    const struct https_reply *reply = https_transfer_reply(transfer);
    const char *range = https_header(reply, "range");
    uint64_t last = 0;
    if (reply->status != 204 || !range || sscanf(range, "0-%" SCNu64, &last) != 1)
        status = OLL_ERR_NOT_FOUND;
    /* Nothing and one byte are written alike; nothing has been sent when that could be. */
    u->offset = last == 0 ? 0 : last + 1;
    if (status == OLL_OK && https_header(reply, "location"))
        status = take_session(u, u->session, reply, NULL);
    https_transfer_free(transfer);
    bool at_part = u->offset % u->part_bytes == 0 || u->offset == u->layer->size_bytes;
    return status == OLL_OK && at_part && u->offset <= u->layer->size_bytes ? OLL_OK
                                                                            : OLL_ERR_NOT_FOUND;
}

/* ---- parts ---- */

static void on_sent(void *user, const void *data, size_t n, uint64_t off)
{
    struct upload *u = user;
    if (off == 0) {
        oll_md5_free(u->md5);
        u->md5 = oll_md5_new();
    }
    if (u->md5)
        oll_md5_update(u->md5, data, n);
    else
        u->failed_memory = true;
    show(u, u->offset + off + n, false);
}

static void end_md5(struct upload *u)
{
    uint8_t sum[OLL_MD5_BYTES];
    if (!u->md5)
        return;
    oll_md5_final(u->md5, sum);
    oll_md5_free(u->md5);
    u->md5 = NULL;
    oll_strbuf_add(&u->md5s, sum, sizeof sum);
}

/* Sums of the parts before the offset, after a resumed session. */
static oll_status recompute_md5s(struct upload *u, struct oll_error *err)
{
    char *buf = oll_alloc(READ_BYTES, 1);
    uint64_t at = 0;
    oll_strbuf_clear(&u->md5s);
    if (!buf)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an upload");
    oll_status status = OLL_OK;
    while (status == OLL_OK && at < u->offset) {
        uint64_t end = (at / u->part_bytes + 1) * u->part_bytes;
        end = end < u->offset ? end : u->offset;
        size_t want = end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES;
        ssize_t n = pread(u->fd, buf, want, (off_t)at);
        if (n <= 0) {
            status = n < 0 && errno == EINTR ? OLL_OK : disk_fail(err, "blob cannot be read");
            continue;
        }
        if (!u->md5)
            u->md5 = oll_md5_new();
        if (!u->md5)
            status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an upload");
        else
            oll_md5_update(u->md5, buf, (size_t)n);
        at += (uint64_t)n;
        if (at == end)
            end_md5(u);
    }
    oll_free(buf);
    return status;
}

/* One PATCH of the part at the offset, or its PUT to the place that a 307 named. */
static oll_status send_once(struct upload *u, const char *method, const char *url, uint64_t n,
                            struct https_transfer **transfer, struct oll_error *err)
{
    char range[80];
    const char *headers[] = {"Content-Type: application/octet-stream", range,
                             "X-Redirect-Uploads: 1", NULL};
    snprintf(range, sizeof range, "Content-Range: %" PRIu64 "-%" PRIu64, u->offset,
             u->offset + n - 1);
    struct https_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .send_file = true,
        .fd = u->fd,
        .file_off = u->offset,
        .file_bytes = n,
        .max_body = REPLY_MAX,
        .on_sent = on_sent,
        .user = u,
    };
    return oci_call(u->client, &request, false, transfer, err);
}

static oll_status put_elsewhere(struct upload *u, uint64_t n, struct oll_error *err)
{
    struct oll_error why = {0};
    for (int i = 0; i < OCI_TRIES_MAX; i++) {
        struct https_transfer *transfer;
        why = (struct oll_error){0};
        oll_status status = send_once(u, "PUT", u->target, n, &transfer, &why);
        if (status == OLL_OK) {
            https_transfer_free(transfer);
            return OLL_OK;
        }
        if (status == OLL_ERR_CANCELED)
            break;
        OLL_TRY(oci_sleep(u->client, oci_pause_ms(i, NULL), err));
    }
    return OLL_FAIL(err, OLL_ERR_NETWORK, "max retries exceeded: %s", oll_error_text(&why));
}

/* Sends the next part; on a failure the registry may have any of it. */
static oll_status send_part(struct upload *u, struct oll_error *err)
{
    uint64_t left = u->layer->size_bytes - u->offset;
    uint64_t n = left < u->part_bytes ? left : u->part_bytes;
    struct https_transfer *transfer;
    char url[HTTPS_URL_MAX];
    memcpy(url, u->session, sizeof url);
    OLL_TRY(send_once(u, "PATCH", url, n, &transfer, err));
    const struct https_reply *reply = https_transfer_reply(transfer);
    oll_status status = take_session(u, url, reply, err);
    if (status == OLL_OK && reply->status == 307) {
        status = oci_redirect(url, reply, u->target, err);
        if (status == OLL_OK)
            status = put_elsewhere(u, n, err);
    }
    https_transfer_free(transfer);
    OLL_TRY(status);
    end_md5(u);
    u->offset += n;
    keep_session(u);
    return u->failed_memory ? OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an upload") : OLL_OK;
}

/* ---- the end ---- */

/* Hex MD5 of the parts' MD5 sums, and their count. */
static oll_status print_etag(const struct upload *u, char out[80], struct oll_error *err)
{
    uint8_t sum[OLL_MD5_BYTES];
    struct oll_md5 *h = oll_md5_new();
    if (!h || u->md5s.status != OLL_OK) {
        oll_md5_free(h);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an upload");
    }
    oll_md5_update(h, u->md5s.data, u->md5s.len);
    oll_md5_final(h, sum);
    oll_md5_free(h);
    for (int i = 0; i < OLL_MD5_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
    snprintf(out + 2 * OLL_MD5_BYTES, 40, "-%zu", u->md5s.len / OLL_MD5_BYTES);
    return OLL_OK;
}

static oll_status exists(struct upload *u, struct oll_error *err)
{
    struct https_transfer *transfer;
    char path[OLL_DIGEST_TEXT_MAX + 16], digest[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(&u->layer->digest, digest);
    snprintf(path, sizeof path, "/blobs/%s", digest);
    OLL_TRY(call(u, "HEAD", path, NULL, &transfer, err));
    https_transfer_free(transfer);
    return OLL_OK;
}

static oll_status commit(struct upload *u, struct oll_error *err)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    struct https_transfer *transfer;
    struct oll_error why = {0};
    struct oll_strbuf url;
    char digest[OLL_DIGEST_TEXT_MAX], etag[80];
    OLL_TRY(print_etag(u, etag, err));
    oll_strbuf_init(&url, HTTPS_URL_MAX);
    oll_digest_text(&u->layer->digest, digest);
    oll_strbuf_adds(&url, u->session);
    https_add_query(&url, "digest", digest);
    https_add_query(&url, "etag", etag);
    oll_status status = call(u, "PUT", url.data, headers, &transfer, &why);
    oll_strbuf_free(&url);
    if (status == OLL_OK)
        https_transfer_free(transfer);
    /* A commit whose answer was lost looks like a failure when it is asked for again. */
    else if (status != OLL_ERR_CANCELED && exists(u, NULL) == OLL_OK)
        status = OLL_OK;
    else
        oll_error_set(err, status, "%s", oll_error_text(&why));
    forget_session(u);
    return status;
}

/* Sends what is missing. A part that failed is sent again only when the registry says that it does
 * not have it; a session that is spoilt is begun anew. */
static oll_status send_all(struct upload *u, bool *mounted, struct oll_error *err)
{
    struct oll_error why = {0};
    int n_tries = 0;
    while (!*mounted && u->offset < u->layer->size_bytes) {
        why = (struct oll_error){0};
        oll_status status = send_part(u, &why);
        if (status == OLL_OK) {
            n_tries = 0;
            continue;
        }
        bool may_pass =
            status == OLL_ERR_TIMEOUT || status == OLL_ERR_NETWORK || status == OLL_ERR_NOT_FOUND;
        if (!may_pass || ++n_tries >= OCI_TRIES_MAX)
            return OLL_FAIL(err, status, "%s%s", may_pass ? "max retries exceeded: " : "",
                            oll_error_text(&why));
        OLL_TRY(oci_sleep(u->client, oci_pause_ms(n_tries - 1, NULL), err));
        status = ask(u, err);
        if (status == OLL_OK)
            status = recompute_md5s(u, err);
        else if (status == OLL_ERR_NOT_FOUND)
            status = begin(u, mounted, err);
        OLL_TRY(status);
    }
    return OLL_OK;
}

static oll_status upload(struct upload *u, struct oll_error *err)
{
    bool mounted = false;
    oll_status status = OLL_ERR_NOT_FOUND;
    if (recall_session(u))
        status = ask(u, err);
    if (status == OLL_OK)
        status = recompute_md5s(u, err);
    else if (status == OLL_ERR_NOT_FOUND)
        status = begin(u, &mounted, err);
    if (status == OLL_OK)
        status = send_all(u, &mounted, err);
    return status == OLL_OK && !mounted ? commit(u, err) : status;
}

oll_status push_blob(const struct oll_transfer *transfer, struct oci_client *client,
                     const struct oll_layer *layer, struct oll_error *err)
{
    char *path = NULL;
    struct oll_error why = {0};
    struct upload *u = oll_calloc(1, sizeof *u);
    if (!u)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for an upload");
    u->t = transfer;
    u->client = client;
    u->layer = layer;
    u->part_bytes = push_part_bytes(layer->size_bytes);
    oll_strbuf_init(&u->md5s, 1 << 20);
    oll_status status = exists(u, &why);
    if (status == OLL_ERR_NOT_FOUND) {
        status = oll_blob_path(transfer->store, &layer->digest, &path, err);
        u->fd = status == OLL_OK ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (status == OLL_OK && u->fd < 0)
            status = disk_fail(err, "blob");
        if (status == OLL_OK)
            status = upload(u, err);
        if (u->fd >= 0)
            close(u->fd);
    } else if (status != OLL_OK) {
        oll_error_set(err, status, "%s", oll_error_text(&why));
    }
    if (status == OLL_OK)
        show(u, layer->size_bytes, true);
    oll_free(path);
    oll_md5_free(u->md5);
    oll_strbuf_free(&u->md5s);
    oll_free(u);
    return status;
}
