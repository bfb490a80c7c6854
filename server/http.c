/* Listeners, the loop, the end. */
#include "server/http.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    TICK_MS = 250,
    STOP_TICK_MS = 20,
    EVENTS_MAX = 64,
    ACCEPTS_PER_EVENT = 64,
    ACCEPT_PAUSE_MS = 500, /* after descriptors ran out */
    STOP_HARD_MS = 2000,   /* from the end of the grace to the end of patience */
    BACKLOG = 1024
};

static const uint64_t ns_per_ms = 1000 * 1000;

static void set_defaults(struct http_config *c)
{
    c->max_workers = c->max_workers ? c->max_workers : 576;
    c->worker_wait_ms = c->worker_wait_ms ? c->worker_wait_ms : 5000;
    c->max_connections = c->max_connections ? c->max_connections : 10000;
    c->max_per_address = c->max_per_address ? c->max_per_address : 1000;
    c->arena_bytes = c->arena_bytes ? c->arena_bytes : (uint64_t)512 << 20;
    c->buffered_bytes = c->buffered_bytes ? c->buffered_bytes : (uint64_t)1 << 30;
    c->head_timeout_ms = c->head_timeout_ms ? c->head_timeout_ms : 10000;
    c->idle_timeout_ms = c->idle_timeout_ms ? c->idle_timeout_ms : 75000;
    c->body_grace_ms = c->body_grace_ms ? c->body_grace_ms : 20000;
    c->stall_timeout_ms = c->stall_timeout_ms ? c->stall_timeout_ms : 30000;
    c->stop_grace_ms = c->stop_grace_ms ? c->stop_grace_ms : 3000;
}

oll_status http_server_new(const struct http_config *config, struct http_server **out,
                           struct oll_error *err)
{
    struct http_server *server = oll_calloc(1, sizeof *server);
    if (!server)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the HTTP server");
    server->config = *config;
    set_defaults(&server->config);
    server->address_seed = oll_clock_ns();
    pthread_mutex_init(&server->lock, NULL);
    oll_status status = http_workers_init(&server->workers, server->config.max_workers);
    if (status == OLL_OK)
        status = oll_poller_new(&server->poller, err);
    server->scratch = oll_alloc(HTTP_READ_BYTES, 1);
    if (status == OLL_OK && !server->scratch)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the HTTP server");
    if (status != OLL_OK) {
        http_server_free(server);
        return status;
    }
    *out = server;
    return OLL_OK;
}

/* ---- listeners ---- */

static bool set_up_socket(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void add_listener(struct http_server *server, int fd, bool on_loopback, char *unix_path)
{
    server->listeners[server->n_listeners++] = (struct http_listener){
        .source = HTTP_SOURCE_LISTENER,
        .fd = fd,
        .on_loopback = on_loopback,
        .unix_path = unix_path,
    };
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
    if (sa->sa_family != AF_INET6)
        return false;
    /* An IPv4 peer of a listener for both is ::ffff:a.b.c.d. */
    const struct in6_addr *ip = &((const struct sockaddr_in6 *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
}

/* Port and text of the first listener, as bound. */
static void note_address(struct http_server *server, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    char host[INET6_ADDRSTRLEN + 16], port[16];
    if (server->n_listeners > 0 || getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
        getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    server->port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                                  : ((struct sockaddr_in *)&sa)->sin_port);
    snprintf(server->address, sizeof server->address,
             sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Binds one address; errno tells why not. */
static bool bind_address(struct http_server *server, const struct addrinfo *ai, bool dual)
{
    int fd = socket(ai->ai_family, SOCK_STREAM, 0), on = 1, off = 0;
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ai->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual ? &off : &on, sizeof on);
    if (!set_up_socket(fd) || bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return false;
    }
    note_address(server, fd);
    add_listener(server, fd, is_loopback(ai->ai_addr), NULL);
    return true;
}

oll_status http_server_listen(struct http_server *server, const char *host, int port,
                              struct oll_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    char service[16];
    bool all = host[0] == '\0', bound = false;
    if (server->n_listeners == HTTP_LISTENERS_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d listeners", HTTP_LISTENERS_MAX);
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(all ? "::" : host, service, &hints, &list);
    if (rc != 0)
        return OLL_FAIL(err, OLL_ERR_NETWORK, "listen tcp %s:%d: %s", host, port, gai_strerror(rc));
    /* As Go does, an IPv4 address of a name is preferred. */
    int saved = EADDRNOTAVAIL;
    for (int pass = 0; pass < 2 && !bound; pass++)
        for (struct addrinfo *ai = list; ai && !bound; ai = ai->ai_next)
            if ((ai->ai_family == AF_INET) == (pass == 0)) {
                bound = bind_address(server, ai, all);
                saved = bound ? 0 : errno;
            }
    freeaddrinfo(list);
    if (!bound && all && saved != EADDRINUSE) /* a machine without IPv6 */
        return http_server_listen(server, "0.0.0.0", port, err);
    if (!bound)
        return OLL_FAIL(err, OLL_ERR_NETWORK, "listen tcp %s%s%s:%d: bind: %s",
                        strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port,
                        saved == EADDRINUSE ? "address already in use" : strerror(saved));
    return OLL_OK;
}

/* Removes a socket file that nobody listens on any more. */
static void remove_stale(const struct sockaddr_un *sa)
{
    struct stat st;
    if (lstat(sa->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) != 0 &&
        errno == ECONNREFUSED)
        unlink(sa->sun_path);
    if (fd >= 0)
        close(fd);
}

oll_status http_server_listen_unix(struct http_server *server, const char *path,
                                   struct oll_error *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (server->n_listeners == HTTP_LISTENERS_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d listeners", HTTP_LISTENERS_MAX);
    if (path[0] == '\0' || strlen(path) >= sizeof sa.sun_path)
        return OLL_FAIL(err, OLL_ERR_ARG, "listen unix %s: the path must have 1 to %zu bytes", path,
                        sizeof sa.sun_path - 1);
    memcpy(sa.sun_path, path, strlen(path) + 1);
    remove_stale(&sa);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char *copy = oll_strdup(path);
    /* The mode is set between bind and listen, so nobody else ever connects. */
    if (fd < 0 || !copy || !set_up_socket(fd) || bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
        chmod(path, 0600) != 0 || listen(fd, BACKLOG) != 0) {
        int saved = errno;
        if (fd >= 0)
            close(fd);
        oll_free(copy);
        return OLL_FAIL(err, OLL_ERR_NETWORK, "listen unix %s: %s", path, strerror(saved));
    }
    if (server->n_listeners == 0)
        snprintf(server->address, sizeof server->address, "unix:%s", path);
    add_listener(server, fd, false, copy);
    return OLL_OK;
}

int http_server_port(const struct http_server *server) { return server->port; }
const char *http_server_address(const struct http_server *server) { return server->address; }

/* ---- connections ---- */

/* Slot of the count of an address, -1 for those that are not counted. Two addresses may share one:
 * then the limit comes early, never late. */
static int address_slot(const struct http_server *server, const struct sockaddr_storage *sa)
{
    const unsigned char *bytes;
    size_t n;
    if ((sa->ss_family != AF_INET && sa->ss_family != AF_INET6) ||
        is_loopback((const struct sockaddr *)sa))
        return -1;
    if (sa->ss_family == AF_INET) {
        bytes = (const unsigned char *)&((const struct sockaddr_in *)sa)->sin_addr;
        n = 4;
    } else {
        /* A host has a whole /64 to itself. */
        bytes = (const unsigned char *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
        n = IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)sa)->sin6_addr) ? 16 : 8;
    }
    uint64_t h = server->address_seed;
    for (size_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x100000001B3u;
    return (int)((h >> 32) % HTTP_ADDRESS_SLOTS);
}

static void write_peer(const struct sockaddr_storage *sa, char out[HTTP_PEER_MAX])
{
    const void *address = sa->ss_family == AF_INET
                              ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
                              : (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
    out[0] = '\0';
    if (sa->ss_family == AF_INET || sa->ss_family == AF_INET6)
        (void)inet_ntop(sa->ss_family, address, out, HTTP_PEER_MAX);
}

static void add_conn(struct http_server *server, int fd, bool on_loopback,
                     const struct sockaddr_storage *peer)
{
    int slot = address_slot(server, peer), on = 1;
    bool full = server->n_conns >= server->config.max_connections ||
                (slot >= 0 && server->per_address[slot] >= server->config.max_per_address);
    if (peer->ss_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct http_conn *conn =
        set_up_socket(fd) ? http_conn_new(server, fd, on_loopback, slot) : NULL;
    if (!conn) {
        close(fd);
        return;
    }
    write_peer(peer, conn->peer);
    conn->next = server->conns;
    if (server->conns)
        server->conns->prev = conn;
    server->conns = conn;
    server->n_conns++;
    if (slot >= 0)
        server->per_address[slot]++;
    if (full)
        http_conn_refuse(conn, 503);
}

static void accept_some(struct http_server *server, const struct http_listener *listener)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept(listener->fd, (struct sockaddr *)&peer, &len);
        if (fd >= 0) {
            if (listener->unix_path)
                peer.ss_family = AF_UNIX;
            add_conn(server, fd, listener->on_loopback, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Waiting connections stay in the kernel's queue until others have ended. */
            oll_log_warn("http", "cannot accept: %s; trying again in %d ms", strerror(errno),
                         ACCEPT_PAUSE_MS);
            for (int k = 0; k < server->n_listeners; k++)
                oll_poller_forget(server->poller, server->listeners[k].fd);
            server->accepting = false;
            server->accept_again_ns = oll_clock_ns() + ACCEPT_PAUSE_MS * ns_per_ms;
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static void start_accepting(struct http_server *server)
{
    server->accepting = true;
    for (int i = 0; i < server->n_listeners; i++)
        if (oll_poller_watch(server->poller, server->listeners[i].fd, OLL_POLLER_READ,
                             &server->listeners[i]) != OLL_OK)
            oll_log(OLL_LOG_ERROR, "http", "cannot watch a listener");
}

void http_conn_close(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    if (conn->state == HTTP_CONN_DEAD)
        return;
    conn->state = HTTP_CONN_DEAD;
    oll_poller_forget(server->poller, conn->fd);
    close(conn->fd);
    server->n_buffered -= conn->body.len;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->n_conns--;
    if (conn->address_slot >= 0)
        server->per_address[conn->address_slot]--;
    /* Events of the present batch may still point at it. */
    conn->next = server->dead;
    server->dead = conn;
}

static void free_dead(struct http_server *server)
{
    while (server->dead) {
        struct http_conn *conn = server->dead;
        server->dead = conn->next;
        http_conn_free(conn);
    }
}

void http_server_hand_back(struct http_server *server, struct http_conn *conn)
{
    pthread_mutex_lock(&server->lock);
    conn->next_queued = server->finished;
    server->finished = conn;
    pthread_mutex_unlock(&server->lock);
    oll_poller_wake(server->poller);
}

static void take_finished(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    struct http_conn *conn = server->finished;
    server->finished = NULL;
    pthread_mutex_unlock(&server->lock);
    while (conn) {
        struct http_conn *next = conn->next_queued;
        http_conn_finished(conn);
        conn = next;
    }
}

/* ---- loop ---- */

static void tick(struct http_server *server)
{
    uint64_t now = oll_clock_ns();
    for (struct http_conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->next;
        http_conn_tick(conn, now);
    }
    if (!server->accepting && now >= server->accept_again_ns && !server->stop_ns)
        start_accepting(server);
}

static void close_listeners(struct http_server *server)
{
    for (int i = 0; i < server->n_listeners; i++) {
        struct http_listener *listener = &server->listeners[i];
        oll_poller_forget(server->poller, listener->fd);
        close(listener->fd);
        if (listener->unix_path)
            unlink(listener->unix_path);
        oll_free(listener->unix_path);
    }
    server->n_listeners = 0;
}

/* The steps of stopping, taken again at each turn of the loop. */
static void wind_down(struct http_server *server)
{
    uint64_t now = oll_clock_ns();
    uint64_t grace_ns = (uint64_t)server->config.stop_grace_ms * ns_per_ms;
    if (!server->stop_ns) {
        server->stop_ns = now;
        close_listeners(server);
    }
    bool over = now - server->stop_ns >= grace_ns;
    bool hard = now - server->stop_ns >= grace_ns + STOP_HARD_MS * ns_per_ms;
    if (over)
        atomic_store_explicit(&server->stopping, true, memory_order_relaxed);
    for (struct http_conn *conn = server->conns, *next; conn; conn = next) {
        next = conn->next;
        if (hard)
            http_conn_set_gone(conn);
        if (conn->state == HTTP_CONN_READ || conn->state == HTTP_CONN_LINGER ||
            (hard && conn->state == HTTP_CONN_FLUSH))
            http_conn_close(conn);
    }
}

void http_server_run(struct http_server *server)
{
    struct oll_poller_event events[EVENTS_MAX];
    uint64_t next_tick = 0;
    start_accepting(server);
    /* Relaxed: the wake that follows the store makes it seen. */
    while (!atomic_load_explicit(&server->stop, memory_order_relaxed) || server->n_conns > 0) {
        bool clocks = server->n_conns > 0 || !server->accepting;
        int timeout_ms = server->stop_ns ? STOP_TICK_MS : clocks ? TICK_MS : -1;
        int n = oll_poller_wait(server->poller, events, EVENTS_MAX, timeout_ms);
        for (int i = 0; i < n; i++) {
            if (*(enum http_source *)events[i].data == HTTP_SOURCE_LISTENER)
                accept_some(server, events[i].data);
            else
                http_conn_event(events[i].data, events[i].ready);
        }
        take_finished(server);
        uint64_t now = oll_clock_ns();
        if (now >= next_tick) {
            tick(server);
            next_tick = now + TICK_MS * ns_per_ms;
        }
        if (atomic_load_explicit(&server->stop, memory_order_relaxed))
            wind_down(server);
        free_dead(server);
    }
    close_listeners(server);
}

void http_server_stop(struct http_server *server)
{
    atomic_store_explicit(&server->stop, true, memory_order_relaxed);
    oll_poller_wake(server->poller);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    http_workers_stop(&server->workers);
    close_listeners(server);
    while (server->conns)
        http_conn_close(server->conns);
    free_dead(server);
    oll_poller_free(server->poller);
    pthread_mutex_destroy(&server->lock);
    oll_free(server->scratch);
    oll_free(server);
}
