/* Inside of the HTTP server: http.c (listeners, loop, clocks), http_conn.c (one connection),
 * http_reply.c (what handlers call), http_worker.c (threads for handlers). */
#ifndef OLL_SERVER_HTTP_INTERNAL_H
#define OLL_SERVER_HTTP_INTERNAL_H

#include "engine/base/arena.h"
#include "engine/base/poller.h"
#include "engine/base/strbuf.h"
#include "server/http.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    HTTP_READ_BYTES = 64 * 1024, /* of one read */
    HTTP_OUT_MAX = 256 * 1024,   /* buffered for one slow reader */
    HTTP_LISTENERS_MAX = 16,
    HTTP_ADDRESS_SLOTS = 4096,
    HTTP_PEER_MAX = 48
};

/* What an event of the poller points at. */
enum http_source { HTTP_SOURCE_LISTENER, HTTP_SOURCE_CONN };

struct http_listener {
    enum http_source source;
    int fd;
    bool on_loopback;
    char *unix_path; /* unlinked at the end; NULL for TCP */
};

enum http_conn_state {
    HTTP_CONN_READ,   /* waits for a request, or reads one */
    HTTP_CONN_WORK,   /* a handler has it */
    HTTP_CONN_FLUSH,  /* the reply is complete and being sent */
    HTTP_CONN_LINGER, /* our half is closed; input is dropped so that the peer reads the reply */
    HTTP_CONN_DEAD    /* closed; freed after the present batch of events */
};

struct http_reply {
    struct http_conn *conn;
    struct oll_strbuf headers; /* added by the handler */
    struct oll_strbuf piece;   /* head, or a chunk with its framing */
    bool begun;
    bool chunked; /* pieces are sent as chunks */
    bool close;   /* the connection ends with this reply */
    int status;
    uint64_t n_body; /* bytes, without framing */
};

struct http_conn {
    enum http_source source;
    struct http_server *server;
    struct http_conn *prev, *next;
    int fd;
    int address_slot; /* of the count per address, -1: none */
    bool on_loopback;
    char peer[HTTP_PEER_MAX]; /* its address, "" for a Unix socket */

    /* The loop thread's own; in state WORK request, plan and reply are the handler's. */
    enum http_conn_state state;
    bool is_new;       /* no request has been read yet */
    bool in_body;      /* the head is read */
    uint64_t since_ns; /* start of what `state` waits for */
    struct oll_strbuf in;
    struct http_scan scan;
    struct http_body frame;
    struct oll_strbuf body;
    struct oll_arena arena;
    struct http_request req;
    struct http_plan plan;
    struct http_reply reply;
    struct http_conn *next_queued; /* in the workers' queue, or the list of finished ones */
    bool queued;                   /* in the former; under its lock */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t room;  /* `out` has shrunk, or the peer is gone */
    struct oll_strbuf out;
    size_t out_off;
    uint64_t progress_ns; /* when the peer last took something */
    bool gone;            /* the peer cannot be reached */
    bool fin;             /* the peer sends no more */
    bool asked;           /* whether it still reads, see http.h; or must not be asked any more */
    bool writing;         /* a handler is inside a write */
    bool reply_begun, reply_chunked; /* bytes of the reply have been sent; as chunks */
};

struct http_workers {
    pthread_mutex_t lock;
    pthread_cond_t work, ended;
    struct http_conn *first, *last;
    int n_queued, n_idle, n_threads, max_threads;
    bool stop;
};

struct http_server {
    struct http_config config;
    struct oll_poller *poller;
    struct http_listener listeners[HTTP_LISTENERS_MAX];
    int n_listeners;
    int port;
    char address[128];
    bool accepting;
    uint64_t accept_again_ns; /* after descriptors ran out */

    struct http_conn *conns, *dead;
    int n_conns;
    uint16_t per_address[HTTP_ADDRESS_SLOTS];
    uint64_t address_seed;
    char *scratch;       /* HTTP_READ_BYTES */
    uint64_t n_buffered; /* bytes of bodies held; loop thread */
    struct http_workers workers;

    pthread_mutex_t lock; /* finished */
    struct http_conn *finished;
    atomic_bool stop, stopping;
    uint64_t stop_ns;
};

/* ---- http_conn.c: called by the loop thread ---- */

struct http_conn *http_conn_new(struct http_server *server, int fd, bool on_loopback, int slot);
void http_conn_event(struct http_conn *conn, uint32_t ready);
/* The handler is through with it. */
void http_conn_finished(struct http_conn *conn);
/* Looks at the clocks. */
void http_conn_tick(struct http_conn *conn, uint64_t now);
/* Answers with an error and closes. */
void http_conn_refuse(struct http_conn *conn, int status);
void http_conn_set_gone(struct http_conn *conn);
void http_conn_close(struct http_conn *conn);
void http_conn_free(struct http_conn *conn);

/* ---- http_reply.c ---- */

void http_reply_init(struct http_conn *conn);
void http_reply_end(struct http_conn *conn);
void http_reply_free(struct http_conn *conn);
/* Sends or buffers; with `wait` stays until there is room. False once the peer is gone. */
bool http_conn_write(struct http_conn *conn, const void *data, size_t n, bool wait);
/* Asks the poller for what the state needs; the lock is held. */
void http_conn_watch(struct http_conn *conn);
/* Lets a client that expects it send its body. */
void http_conn_continue(struct http_conn *conn);
/* Asks a peer that sends no more whether it still reads (http.h); the lock is held. */
void http_conn_ask(struct http_conn *conn);
const char *http_status_text(int status);

/* ---- http_worker.c ---- */

oll_status http_workers_init(struct http_workers *workers, int max_threads);
/* False when all are busy and as many wait as may. */
bool http_workers_submit(struct http_workers *workers, struct http_conn *conn);
/* Takes back one that still waits; false when a worker has it. */
bool http_workers_withdraw(struct http_workers *workers, struct http_conn *conn);
/* Waits for all handlers to return. */
void http_workers_stop(struct http_workers *workers);
/* Called by a worker: hands a connection back to the loop. */
void http_server_hand_back(struct http_server *server, struct http_conn *conn);

#endif
