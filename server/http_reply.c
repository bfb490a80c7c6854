/* What handlers call: the head of the reply, whole bodies, streams, and the way into the socket. */
#include "server/http_internal.h"

#include "engine/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

enum {
    HEADERS_MAX = 16 * 1024, /* added by one handler */
    JOIN_BYTES = 16 * 1024   /* head and body up to this size leave in one packet */
};

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Unknown";
}

/* ---- into the socket ---- */

/* Sends what the socket takes now; returns the count. The lock is held. */
static size_t send_now(struct http_conn *conn, const char *data, size_t n)
{
    size_t sent = 0;
    while (sent < n && !conn->gone) {
        ssize_t k = send(conn->fd, data + sent, n - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k > 0)
            sent += (size_t)k;
        else if (k < 0 && errno == EINTR)
            continue;
        else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        else
            conn->gone = true;
    }
    if (sent)
        conn->progress_ns = oll_clock_ns();
    return sent;
}

void http_conn_watch(struct http_conn *conn)
{
    bool pending = conn->out.len > conn->out_off;
    uint32_t ready = pending ? OLL_POLLER_WRITE : 0;
    if (conn->gone)
        return;
    if (conn->state == HTTP_CONN_WORK && !conn->fin)
        ready |= OLL_POLLER_FIN;
    if ((conn->state == HTTP_CONN_READ && !conn->fin) || conn->state == HTTP_CONN_LINGER)
        ready |= OLL_POLLER_READ;
    if (oll_poller_watch(conn->server->poller, conn->fd, ready, conn) != OLL_OK) {
        conn->gone = true;
        oll_poller_wake(conn->server->poller);
    }
}

bool http_conn_write(struct http_conn *conn, const void *data, size_t n, bool wait)
{
    const char *p = data;
    pthread_mutex_lock(&conn->lock);
    conn->reply_begun = conn->writing = true;
    conn->reply_chunked = conn->reply.chunked;
    while (n > 0 && !conn->gone) {
        size_t pending = conn->out.len - conn->out_off;
        if (pending == 0) {
            size_t sent = send_now(conn, p, n);
            p += sent;
            n -= sent;
            /* The clock of a stalled reader starts with the first byte it does not take. */
            conn->progress_ns = oll_clock_ns();
        }
        if (n == 0 || conn->gone)
            break;
        if (pending >= HTTP_OUT_MAX) {
            OLL_ASSERT(wait); /* the loop thread may not: quick replies are small */
            pthread_cond_wait(&conn->room, &conn->lock);
            continue;
        }
        size_t take = n < HTTP_OUT_MAX - pending ? n : HTTP_OUT_MAX - pending;
        oll_strbuf_drop(&conn->out, conn->out_off);
        conn->out_off = 0;
        oll_strbuf_add(&conn->out, p, take);
        if (conn->out.status != OLL_OK)
            conn->gone = true;
        p += take;
        n -= take;
        http_conn_watch(conn);
    }
    conn->writing = false;
    bool ok = n == 0 && !conn->gone;
    pthread_mutex_unlock(&conn->lock);
    return ok;
}

/* Interim responses and questions: tiny, and only while nothing else is under way. */
static void send_between(struct http_conn *conn, const char *text)
{
    size_t n = strlen(text), sent = send_now(conn, text, n);
    oll_strbuf_add(&conn->out, text + sent, n - sent);
}

void http_conn_continue(struct http_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    send_between(conn, "HTTP/1.1 100 Continue\r\n\r\n");
    http_conn_watch(conn);
    pthread_mutex_unlock(&conn->lock);
}

void http_conn_ask(struct http_conn *conn)
{
    if (conn->asked || conn->gone || conn->writing || conn->out.len > conn->out_off)
        return;
    if (!conn->reply_begun && conn->req.head->minor == 1)
        send_between(conn, "HTTP/1.1 100 Continue\r\n\r\n");
    else if (conn->reply_begun && conn->reply_chunked)
        send_between(conn, "0");
    conn->asked = true;
}

/* ---- reply ---- */

void http_reply_init(struct http_conn *conn)
{
    struct http_reply *reply = &conn->reply;
    *reply = (struct http_reply){.conn = conn};
    oll_strbuf_init(&reply->headers, HEADERS_MAX);
    oll_strbuf_init(&reply->piece, SIZE_MAX / 2);
    conn->req.reply = reply;
}

void http_reply_free(struct http_conn *conn)
{
    oll_strbuf_free(&conn->reply.headers);
    oll_strbuf_free(&conn->reply.piece);
}

const char *http_request_header(const struct http_request *req, const char *name)
{
    return http_head_get(req->head, name);
}

void http_reply_header(struct http_request *req, const char *name, const char *value)
{
    oll_strbuf_printf(&req->reply->headers, "%s: %.*s\r\n", name, (int)strcspn(value, "\r\n"),
                      value);
}

static void add_date(struct oll_strbuf *sb)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    time_t now = time(NULL);
    if (gmtime_r(&now, &tm))
        oll_strbuf_printf(sb, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n",
                          days + tm.tm_wday * 3, tm.tm_mday, months + tm.tm_mon * 3,
                          tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Builds the head up to the headers of the framing. */
static void begin_head(struct http_request *req, int status, const char *content_type)
{
    struct http_reply *reply = req->reply;
    struct oll_strbuf *sb = &reply->piece;
    OLL_ASSERT(!reply->begun);
    reply->begun = true;
    reply->status = status;
    reply->close |= !req->head->keep_alive;
    oll_strbuf_clear(sb);
    oll_strbuf_printf(sb, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
    if (content_type)
        oll_strbuf_printf(sb, "Content-Type: %s\r\n", content_type);
    oll_strbuf_add(sb, reply->headers.data, reply->headers.len);
    add_date(sb);
}

static void end_head(struct http_reply *reply, const struct http_request *req)
{
    if (reply->close)
        oll_strbuf_adds(&reply->piece, "Connection: close\r\n");
    else if (req->head->minor == 0)
        oll_strbuf_adds(&reply->piece, "Connection: keep-alive\r\n");
    oll_strbuf_adds(&reply->piece, "\r\n");
}

static bool send_piece(struct http_reply *reply)
{
    struct http_conn *conn = reply->conn;
    bool ok = reply->piece.status == OLL_OK;
    if (ok)
        ok = http_conn_write(conn, reply->piece.data, reply->piece.len, !conn->plan.quick);
    else
        http_conn_set_gone(conn);
    oll_strbuf_clear(&reply->piece);
    return ok;
}

void http_reply_send(struct http_request *req, int status, const char *content_type,
                     const void *body, size_t n)
{
    struct http_reply *reply = req->reply;
    struct http_conn *conn = reply->conn;
    begin_head(req, status, content_type);
    /* RFC 9110 8.6: no length where there can be no body. */
    if (status != 204)
        oll_strbuf_printf(&reply->piece, "Content-Length: %zu\r\n", n);
    end_head(reply, req);
    if (req->is_head || status == 204)
        n = 0;
    reply->n_body = n;
    if (n <= JOIN_BYTES) {
        oll_strbuf_add(&reply->piece, body, n);
        n = 0;
    }
    if (send_piece(reply) && n > 0)
        (void)http_conn_write(conn, body, n, !conn->plan.quick);
}

void http_reply_begin(struct http_request *req, int status, const char *content_type)
{
    struct http_reply *reply = req->reply;
    begin_head(req, status, content_type);
    /* HTTP/1.0 knows no chunks: there the end of the connection ends the body. */
    reply->chunked = req->head->minor == 1 && !req->is_head;
    if (reply->chunked)
        oll_strbuf_adds(&reply->piece, "Transfer-Encoding: chunked\r\n");
    else
        reply->close = true;
    end_head(reply, req);
}

bool http_reply_write(struct http_request *req, const void *data, size_t n)
{
    struct http_reply *reply = req->reply;
    OLL_ASSERT(reply->begun);
    if (n == 0 || req->is_head)
        return !http_peer_gone(req);
    reply->n_body += n;
    if (reply->chunked)
        oll_strbuf_printf(&reply->piece, "%zx\r\n", n);
    oll_strbuf_add(&reply->piece, data, n);
    if (reply->chunked)
        oll_strbuf_adds(&reply->piece, "\r\n");
    /* The head has waited for the first piece, so both leave in one packet. */
    return send_piece(reply);
}

void http_reply_end(struct http_conn *conn)
{
    struct http_reply *reply = &conn->reply;
    struct http_request *req = &conn->req;
    if (!reply->begun)
        http_reply_send(req, http_peer_gone(req) ? 499 : 500, NULL, "", 0);
    pthread_mutex_lock(&conn->lock);
    conn->asked = true; /* nothing may follow the last chunk */
    pthread_mutex_unlock(&conn->lock);
    if (reply->chunked)
        oll_strbuf_adds(&reply->piece, "0\r\n\r\n");
    /* A piece that could not be kept ends the connection: the peer must not wait for it. */
    if (reply->piece.len > 0 || reply->piece.status != OLL_OK)
        (void)send_piece(reply);
    if (conn->server->config.ended)
        conn->server->config.ended(req, reply->status, reply->n_body);
}

bool http_reply_begun(const struct http_request *req) { return req->reply->begun; }

bool http_peer_gone(const struct http_request *req)
{
    struct http_conn *conn = req->reply->conn;
    pthread_mutex_lock(&conn->lock);
    bool gone = conn->gone;
    pthread_mutex_unlock(&conn->lock);
    return gone;
}

bool http_stopping(const struct http_request *req)
{
    /* Relaxed: it only has to be seen some time. */
    return atomic_load_explicit(&req->reply->conn->server->stopping, memory_order_relaxed);
}
