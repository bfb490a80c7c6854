/* The HTTP server: connections in, requests to handlers, replies out.
 *
 * One loop thread owns all sockets: it accepts, reads heads and bodies, flushes what handlers
 * could not send at once, keeps the clocks. A request that has arrived whole goes to a worker
 * thread, which may take minutes over it (a generation); workers are bounded, beyond them the
 * answer is 503. Quick requests are answered by the loop itself. A handler writes its reply whole,
 * or as a stream of pieces, straight into the socket; what the socket does not take waits in a
 * bounded buffer, and when that is full the handler waits too.
 *
 * A peer that has gone is noticed while nothing is being written: the loop watches every socket
 * and sets a flag that the handler polls (http_peer_gone). A FIN alone does not mean gone, since a
 * client may close its sending half and still read. It is asked a question that costs nothing: an
 * interim "100 Continue" before the reply has begun (RFC 9110 15.2: every client must cope with
 * it), a leading zero of the next chunk size inside a chunked stream (RFC 9112 7.1 allows it).
 * A closed socket answers with a reset, a half-closed one stays silent.
 *
 * Limits and time-outs are those of security-and-reliability 3.2; R22, R25 to R28 are kept here
 * and in routes.c. Nothing else in server/ knows a socket. */
#ifndef OLL_SERVER_HTTP_H
#define OLL_SERVER_HTTP_H

#include "engine/base/arena.h"
#include "engine/base/status.h"
#include "server/http_parse.h"

#include <stdbool.h>
#include <stdint.h>

struct http_server;
struct http_reply;

/* Where a body goes that is not kept in memory: set by `route`, used by the loop thread as the body
 * arrives (so `write` must be brief; false ends the connection with 503), dropped after the reply
 * or when the request does not come to its end. */
struct http_sink {
    bool (*write)(void *user, const void *data, size_t n); /* NULL: the body goes to memory */
    void (*drop)(void *user);
    void *user;
};

enum { HTTP_ID_MAX = 65 };

struct http_request {
    const char *method;    /* as sent: "GET" */
    const char *path;      /* decoded, begins with '/', or is "*" */
    const char *query;     /* as sent, "" when there is none */
    const char *host;      /* Host header or the authority of an absolute target; NULL: none */
    const char *param;     /* what the route's ":name" segment stands for; NULL: none */
    const void *plan_data; /* left by `route` for the handler */
    int route;             /* number of its row, left by `route`; 0: none */
    char id[HTTP_ID_MAX];  /* for logs, left by `route`; "": none */
    const struct http_head *head;
    const char *body; /* terminated; whole */
    size_t n_body;
    struct http_sink sink;
    uint64_t start_ns;       /* when the head was complete (oll_clock_ns) */
    const char *peer;        /* address it came from, "" for a Unix socket */
    bool on_loopback;        /* it came through a listener that is bound to loopback alone */
    bool is_head;            /* HEAD: the reply's body is dropped, its length is not */
    struct oll_arena *arena; /* memory of this request, given back after the reply */
    void *app;               /* http_config.app */
    struct http_reply *reply;
};

typedef void (*http_handler)(struct http_request *req);

/* What is to be done with a request of which the head is known. */
struct http_plan {
    http_handler handler;
    uint64_t body_limit; /* bytes; a larger body is answered with 413 unread */
    bool quick;          /* never blocks and replies below 64 KiB: answered by the loop thread */
};

struct http_config {
    /* Called by the loop thread for each request; must not block. */
    void (*route)(struct http_request *req, struct http_plan *plan);
    /* Called by whoever made the reply when it is complete, or its peer has gone: its status and
     * the bytes of its body. Parts of a request that was refused may be NULL. NULL: nobody is. */
    void (*ended)(const struct http_request *req, int status, uint64_t n_body);
    void *app;
    int max_workers;         /* requests handled at once; 0: 576 */
    int worker_wait_ms;      /* for one of them to be free, then 503; 0: 5,000 */
    int max_connections;     /* 0: 10,000 */
    int max_per_address;     /* of one peer address that is not loopback; 0: 1,000 */
    uint64_t arena_bytes;    /* memory of one request; 0: 512 MiB */
    uint64_t buffered_bytes; /* bodies of all requests together; 0: 1 GiB */
    int head_timeout_ms;     /* 0: 10,000; the first byte to the end of the head */
    int idle_timeout_ms;     /* 0: 75,000; between requests */
    int body_grace_ms;       /* 0: 20,000; after that a body must come at 1 KiB/s */
    int stall_timeout_ms;    /* 0: 30,000; a reader that takes nothing */
    int stop_grace_ms;       /* 0: 3,000; for running requests to finish by themselves */
};

oll_status http_server_new(const struct http_config *config, struct http_server **out,
                           struct oll_error *err) OLL_MUST_USE;

/* Listens on host and port: an address, a name, "" for all interfaces (IPv6 and IPv4). Port 0
 * takes a free one. */
oll_status http_server_listen(struct http_server *server, const char *host, int port,
                              struct oll_error *err) OLL_MUST_USE;
/* Listens on a Unix socket that its owner alone may use; a stale one is replaced. */
oll_status http_server_listen_unix(struct http_server *server, const char *path,
                                   struct oll_error *err) OLL_MUST_USE;
/* Port of the first TCP listener; its text form "127.0.0.1:11434". */
int http_server_port(const struct http_server *server);
const char *http_server_address(const struct http_server *server);

/* Serves until http_server_stop, then lets running requests finish within the grace. */
void http_server_run(struct http_server *server);
/* May be called from a signal handler and from any thread. */
void http_server_stop(struct http_server *server);
void http_server_free(struct http_server *server); /* not while running; NULL is accepted */

/* ---- for handlers ---- */

const char *http_request_header(const struct http_request *req, const char *name);

/* Adds a header to the reply; before it begins. CR, LF and NUL end the value. */
void http_reply_header(struct http_request *req, const char *name, const char *value);
/* Replies whole. `content_type` NULL: none is sent. */
void http_reply_send(struct http_request *req, int status, const char *content_type,
                     const void *body, size_t n);
/* Begins a reply that is sent piece by piece; it ends when the handler returns. */
void http_reply_begin(struct http_request *req, int status, const char *content_type);
/* Sends a piece. Waits while the peer is slower than we are. False once the peer is gone. */
bool http_reply_write(struct http_request *req, const void *data, size_t n);
bool http_reply_begun(const struct http_request *req);
/* Whether the peer can no longer be reached: what it asked for need not be finished. */
bool http_peer_gone(const struct http_request *req);
/* Whether the server is stopping and its grace is over: end the reply with an error now. */
bool http_stopping(const struct http_request *req);

#endif
