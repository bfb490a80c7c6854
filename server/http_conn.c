/* One connection: bytes to requests, requests to handlers, and the clocks of both. Everything here
 * runs on the loop thread. */
#include "server/http_internal.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READS_PER_EVENT = 8, /* so that one eager peer does not hold the loop */
    BODY_BYTES_PER_SECOND = 1024,
    LINGER_MS = 2000
};

static const uint64_t ns_per_ms = 1000 * 1000;

static const struct http_head no_head = {.minor = 1};

static bool late(uint64_t since, int timeout_ms, uint64_t now)
{
    return now > since && now - since > (uint64_t)timeout_ms * ns_per_ms;
}

struct http_conn *http_conn_new(struct http_server *server, int fd, bool on_loopback, int slot)
{
    struct http_conn *conn = oll_calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->source = HTTP_SOURCE_CONN;
    conn->server = server;
    conn->fd = fd;
    conn->on_loopback = on_loopback;
    conn->address_slot = slot;
    conn->is_new = true;
    conn->since_ns = oll_clock_ns();
    oll_strbuf_init(&conn->in, SIZE_MAX / 2);
    oll_strbuf_init(&conn->out, SIZE_MAX / 2);
    oll_strbuf_init(&conn->body, SIZE_MAX / 2);
    oll_arena_init(&conn->arena, (size_t)server->config.arena_bytes);
    conn->req.head = &no_head;
    http_reply_init(conn);
    pthread_mutex_init(&conn->lock, NULL);
    pthread_cond_init(&conn->room, NULL);
    http_conn_watch(conn);
    return conn;
}

static void drop_sink(struct http_conn *conn)
{
    if (conn->req.sink.drop)
        conn->req.sink.drop(conn->req.sink.user);
    conn->req.sink = (struct http_sink){0};
}

void http_conn_free(struct http_conn *conn)
{
    drop_sink(conn);
    oll_strbuf_free(&conn->in);
    oll_strbuf_free(&conn->out);
    oll_strbuf_free(&conn->body);
    http_reply_free(conn);
    oll_arena_free(&conn->arena);
    pthread_mutex_destroy(&conn->lock);
    pthread_cond_destroy(&conn->room);
    oll_free(conn);
}

void http_conn_set_gone(struct http_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    conn->gone = true;
    pthread_cond_broadcast(&conn->room);
    pthread_mutex_unlock(&conn->lock);
}

static void set_state(struct http_conn *conn, enum http_conn_state state)
{
    pthread_mutex_lock(&conn->lock);
    conn->state = state;
    conn->since_ns = oll_clock_ns();
    http_conn_watch(conn);
    pthread_mutex_unlock(&conn->lock);
}

/* ---- end of a request ---- */

/* Gives back what belongs to a request, so that an idle connection is small. */
static void drop_request(struct http_conn *conn)
{
    drop_sink(conn);
    conn->server->n_buffered -= conn->body.len;
    oll_strbuf_free(&conn->body);
    oll_arena_reset(&conn->arena);
    http_reply_free(conn);
    memset(&conn->req, 0, sizeof conn->req);
    memset(&conn->plan, 0, sizeof conn->plan);
    conn->req.head = &no_head;
    http_reply_init(conn);
}

/* Half-closes and drops what still comes: closing at once would reset the connection and could
 * take the reply from the peer before it has read it. */
static void linger(struct http_conn *conn)
{
    if (shutdown(conn->fd, SHUT_WR) != 0) {
        http_conn_close(conn);
        return;
    }
    oll_strbuf_free(&conn->in);
    set_state(conn, HTTP_CONN_LINGER);
}

/* The reply has been sent to its last byte. */
static void request_over(struct http_conn *conn)
{
    bool close =
        conn->reply.close || atomic_load_explicit(&conn->server->stop, memory_order_relaxed);
    /* A body that was refused, or not waited for, is still on its way. */
    bool unread = conn->in.len > 0 || !conn->in_body || !conn->frame.done;
    drop_request(conn);
    conn->in_body = conn->is_new = false;
    memset(&conn->scan, 0, sizeof conn->scan);
    if (close && unread) {
        linger(conn);
        return;
    }
    if (close || (conn->fin && conn->in.len == 0)) {
        http_conn_close(conn);
        return;
    }
    pthread_mutex_lock(&conn->lock);
    conn->asked = conn->reply_begun = conn->reply_chunked = false;
    oll_strbuf_free(&conn->out);
    conn->out_off = 0;
    pthread_mutex_unlock(&conn->lock);
    set_state(conn, HTTP_CONN_READ);
}

/* Sends what waits in the buffer. */
static void flush(struct http_conn *conn)
{
    pthread_mutex_lock(&conn->lock);
    while (conn->out_off < conn->out.len && !conn->gone) {
        ssize_t k = send(conn->fd, conn->out.data + conn->out_off, conn->out.len - conn->out_off,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            conn->gone = true;
        if (k <= 0)
            break;
        conn->out_off += (size_t)k;
        conn->progress_ns = oll_clock_ns();
    }
    if (conn->out_off == conn->out.len) {
        oll_strbuf_clear(&conn->out);
        conn->out_off = 0;
    }
    pthread_cond_broadcast(&conn->room);
    http_conn_watch(conn);
    pthread_mutex_unlock(&conn->lock);
}

/* Whether everything has been sent, or nothing more can be. */
static bool is_sent(struct http_conn *conn, bool *gone)
{
    pthread_mutex_lock(&conn->lock);
    bool sent = conn->out_off == conn->out.len;
    *gone = conn->gone;
    pthread_mutex_unlock(&conn->lock);
    return sent;
}

static void reply_ready(struct http_conn *conn)
{
    bool gone;
    set_state(conn, HTTP_CONN_FLUSH);
    bool sent = is_sent(conn, &gone);
    if (gone)
        http_conn_close(conn);
    else if (sent)
        request_over(conn);
}

static const char *refusal_text(int status)
{
    switch (status) {
    case 408: return "the request did not arrive in time";
    case 413: return "the request body is larger than allowed";
    case 414: return "the request line is longer than 8192 bytes";
    case 431: return "the request has more than 100 headers or 32768 bytes of them";
    case 503: return "server busy, please try again.  maximum pending requests exceeded";
    case 505: return "only HTTP/1.1 and HTTP/1.0 are spoken here";
    default: return "malformed HTTP request";
    }
}

void http_conn_refuse(struct http_conn *conn, int status)
{
    char body[160];
    int n = snprintf(body, sizeof body, "{\"error\":\"%s\"}", refusal_text(status));
    conn->reply.close = true;
    conn->plan.quick = true;
    if (status == 503)
        http_reply_header(&conn->req, "Retry-After", "1");
    http_reply_send(&conn->req, status, "application/json; charset=utf-8", body, (size_t)n);
    http_reply_end(conn);
    reply_ready(conn);
}

/* ---- beginning of a request ---- */

static void dispatch(struct http_conn *conn)
{
    conn->req.body = conn->body.data;
    conn->req.n_body = conn->body.len;
    set_state(conn, HTTP_CONN_WORK);
    pthread_mutex_lock(&conn->lock);
    if (conn->fin)
        http_conn_ask(conn);
    pthread_mutex_unlock(&conn->lock);
    if (conn->plan.quick) {
        conn->plan.handler(&conn->req);
        http_reply_end(conn);
        reply_ready(conn);
    } else if (!http_workers_submit(&conn->server->workers, conn)) {
        http_conn_refuse(conn, 503);
    }
}

/* Fills the request from a finished head; a status. */
static int read_head(struct http_conn *conn, size_t head_len)
{
    struct http_head *head = oll_arena_alloc(&conn->arena, 1, sizeof *head);
    char *text = oll_arena_strndup(&conn->arena, conn->in.data, head_len);
    struct http_target target;
    if (!head || !text)
        return 503;
    int status = http_parse_head(text, head_len, head);
    /* The target is kept as sent for error texts; the decoded copy is a second one. */
    char *copy = status ? NULL : oll_arena_strdup(&conn->arena, head->target);
    if (!status)
        status = copy ? http_parse_target(copy, &target) : 503;
    if (status)
        return status;
    conn->req = (struct http_request){
        .method = head->method,
        .path = target.path,
        .query = target.query,
        .host = target.authority ? target.authority : head->host,
        .head = head,
        .start_ns = oll_clock_ns(),
        .peer = conn->peer,
        .on_loopback = conn->on_loopback,
        .is_head = strcmp(head->method, "HEAD") == 0,
        .arena = &conn->arena,
        .app = conn->server->config.app,
        .reply = &conn->reply,
    };
    return 0;
}

static void begin_request(struct http_conn *conn, size_t head_len)
{
    int status = read_head(conn, head_len);
    oll_strbuf_drop(&conn->in, head_len);
    if (!status) {
        conn->server->config.route(&conn->req, &conn->plan);
        status = http_body_begin(&conn->frame, conn->req.head, conn->plan.body_limit);
    }
    if (status) {
        http_conn_refuse(conn, status);
        return;
    }
    conn->in_body = true;
    conn->since_ns = oll_clock_ns();
    if (conn->req.head->expect_continue && !conn->frame.done && conn->in.len == 0)
        http_conn_continue(conn);
}

/* Takes what has arrived of a body; a status. */
static int take_body(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    size_t off = 0;
    int status = 0;
    while (off < conn->in.len && !conn->frame.done && !status) {
        const char *data;
        size_t used, n_data;
        status = http_body_feed(&conn->frame, conn->in.data + off, conn->in.len - off, &used, &data,
                                &n_data);
        off += used;
        if (conn->req.sink.write) {
            if (!conn->req.sink.write(conn->req.sink.user, data, n_data))
                return 503;
            continue;
        }
        if (n_data > server->config.buffered_bytes - server->n_buffered)
            return 503;
        size_t before = conn->body.len;
        oll_strbuf_add(&conn->body, data, n_data);
        if (conn->body.status != OLL_OK)
            return 503;
        server->n_buffered += conn->body.len - before;
    }
    oll_strbuf_drop(&conn->in, off);
    if (conn->in.len == 0)
        oll_strbuf_free(&conn->in);
    return status;
}

/* Goes on with the bytes at hand; false when more are needed or the state has changed. */
static bool advance(struct http_conn *conn)
{
    size_t head_len;
    int status;
    if (!conn->in_body) {
        status = http_scan_head(&conn->scan, conn->in.data, conn->in.len, &head_len);
        if (status)
            http_conn_refuse(conn, status);
        else if (head_len)
            begin_request(conn, head_len);
        return !status && head_len && conn->state == HTTP_CONN_READ;
    }
    status = take_body(conn);
    if (status) {
        http_conn_refuse(conn, status);
        return conn->state == HTTP_CONN_READ;
    }
    if (!conn->frame.done)
        return false;
    dispatch(conn);
    return conn->state == HTTP_CONN_READ && conn->in.len > 0;
}

/* A peer that has ended its half can complete nothing that is unfinished. */
static void read_on(struct http_conn *conn)
{
    while (conn->state == HTTP_CONN_READ && advance(conn))
        continue;
    if (conn->state == HTTP_CONN_READ && conn->fin)
        http_conn_close(conn);
}

/* ---- events ---- */

/* Reads what is there into `in`; false at the end of the stream or an error. */
static bool receive(struct http_conn *conn)
{
    for (int i = 0; i < READS_PER_EVENT; i++) {
        ssize_t k = recv(conn->fd, conn->server->scratch, HTTP_READ_BYTES, MSG_DONTWAIT);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (k < 0)
            http_conn_set_gone(conn);
        if (k <= 0)
            return false;
        if (conn->state == HTTP_CONN_LINGER)
            continue;
        if (conn->in.len == 0 && !conn->in_body)
            conn->since_ns = oll_clock_ns(); /* the first byte starts the clock of the head */
        oll_strbuf_add(&conn->in, conn->server->scratch, (size_t)k);
        if (conn->in.status != OLL_OK)
            return false;
        /* Heads and pipelined requests are read one buffer at a time, bodies in larger strides. */
        if (!conn->in_body || k < HTTP_READ_BYTES)
            return true;
    }
    return true;
}

static void on_readable(struct http_conn *conn)
{
    bool more = receive(conn);
    if (conn->state == HTTP_CONN_LINGER) {
        if (!more)
            http_conn_close(conn);
        return;
    }
    if (!more) {
        pthread_mutex_lock(&conn->lock);
        conn->fin = true;
        http_conn_watch(conn);
        pthread_mutex_unlock(&conn->lock);
    }
    read_on(conn);
}

void http_conn_event(struct http_conn *conn, uint32_t ready)
{
    bool gone = ready & OLL_POLLER_GONE, sent;
    if (conn->state == HTTP_CONN_DEAD)
        return;
    if (gone) {
        http_conn_set_gone(conn);
        oll_poller_forget(conn->server->poller, conn->fd);
        /* A handler still has it: the connection is closed when that returns. */
        if (conn->state != HTTP_CONN_WORK)
            http_conn_close(conn);
        return;
    }
    if (ready & OLL_POLLER_WRITE) {
        flush(conn);
        sent = is_sent(conn, &gone);
        if (gone && conn->state != HTTP_CONN_WORK)
            http_conn_close(conn);
        else if (sent && conn->state == HTTP_CONN_FLUSH) {
            request_over(conn);
            read_on(conn);
        }
    }
    if (conn->state == HTTP_CONN_WORK && (ready & OLL_POLLER_FIN)) {
        pthread_mutex_lock(&conn->lock);
        conn->fin = true;
        http_conn_ask(conn);
        http_conn_watch(conn);
        pthread_mutex_unlock(&conn->lock);
    }
    if ((ready & OLL_POLLER_READ) &&
        (conn->state == HTTP_CONN_READ || conn->state == HTTP_CONN_LINGER))
        on_readable(conn);
}

void http_conn_finished(struct http_conn *conn)
{
    reply_ready(conn);
    read_on(conn);
}

/* ---- clocks ---- */

static void tick_reading(struct http_conn *conn, uint64_t now)
{
    const struct http_config *config = &conn->server->config;
    if (!conn->in_body) {
        if (conn->in.len > 0 && late(conn->since_ns, config->head_timeout_ms, now))
            http_conn_refuse(conn, 408);
        else if (conn->in.len == 0 &&
                 late(conn->since_ns,
                      conn->is_new ? config->head_timeout_ms : config->idle_timeout_ms, now))
            http_conn_close(conn);
        return;
    }
    if (!late(conn->since_ns, config->body_grace_ms, now))
        return;
    uint64_t seconds =
        (now - conn->since_ns) / (1000 * ns_per_ms) - (uint64_t)config->body_grace_ms / 1000;
    if (conn->frame.total < (seconds + 1) * BODY_BYTES_PER_SECOND)
        http_conn_refuse(conn, 408);
}

void http_conn_tick(struct http_conn *conn, uint64_t now)
{
    if (conn->state == HTTP_CONN_READ) {
        tick_reading(conn, now);
        return;
    }
    if (conn->state == HTTP_CONN_LINGER) {
        if (late(conn->since_ns, LINGER_MS, now))
            http_conn_close(conn);
        return;
    }
    if (conn->state == HTTP_CONN_WORK &&
        late(conn->since_ns, conn->server->config.worker_wait_ms, now) &&
        http_workers_withdraw(&conn->server->workers, conn)) {
        http_conn_refuse(conn, 503);
        return;
    }
    pthread_mutex_lock(&conn->lock);
    bool stalled = conn->out.len > conn->out_off &&
                   late(conn->progress_ns, conn->server->config.stall_timeout_ms, now);
    if (conn->fin && !conn->asked)
        http_conn_ask(conn);
    pthread_mutex_unlock(&conn->lock);
    if (stalled) {
        http_conn_set_gone(conn);
        if (conn->state != HTTP_CONN_WORK)
            http_conn_close(conn);
    }
}
