/* The HTTP server over real sockets, with handlers that echo, stream, wait and flood. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "server/http.h"
#include "tests/net.h"
#include "tests/testing.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* ---- server under test ---- */

static struct http_server *server;
static pthread_t thread;
static int port;
static _Atomic uint64_t gone_after_ns; /* how long the wait handler waited for its peer to go */
static atomic_int n_waiting, n_streamed;

static void echo(struct http_request *req)
{
    http_reply_header(req, "X-Path", req->path);
    http_reply_send(req, 200, "text/plain", req->body, req->n_body);
}

static void quick(struct http_request *req) { http_reply_send(req, 200, "text/plain", "hi", 2); }

static void silent(struct http_request *req) { (void)req; }

/* Says nothing until the peer is gone, or "release" is seen; at most 5 s. */
static void wait_gone(struct http_request *req)
{
    uint64_t start = oll_clock_ns();
    if (strcmp(req->query, "begun") == 0) {
        http_reply_begin(req, 200, "text/plain");
        http_reply_write(req, "begun\n", 6);
    }
    atomic_fetch_add(&n_waiting, 1);
    while (!http_peer_gone(req) && !http_stopping(req) && oll_clock_ns() - start < 5000000000u)
        sleep_ms(5);
    if (http_peer_gone(req))
        atomic_store(&gone_after_ns, oll_clock_ns() - start);
    else if (!http_reply_begun(req))
        http_reply_send(req, 200, "text/plain", http_stopping(req) ? "stopped" : "end",
                        http_stopping(req) ? 7 : 3);
    else
        http_reply_write(req, "end\n", 4);
    atomic_fetch_sub(&n_waiting, 1);
}

/* Answers after a while, whatever the peer does with its sending half. */
static void late(struct http_request *req)
{
    bool begun = strcmp(req->query, "begun") == 0;
    if (begun) {
        http_reply_begin(req, 200, "text/plain");
        http_reply_write(req, "first\n", 6);
    }
    for (int i = 0; i < 40 && !http_peer_gone(req); i++)
        sleep_ms(10);
    if (http_peer_gone(req))
        return;
    if (begun)
        http_reply_write(req, "second\n", 7);
    else
        http_reply_send(req, 200, "text/plain", "second\n", 7);
}

static void count(struct http_request *req)
{
    char line[32];
    http_reply_begin(req, 200, "application/x-ndjson");
    for (int i = 0; i < 5; i++) {
        int n = snprintf(line, sizeof line, "{\"i\":%d}\n", i);
        http_reply_write(req, line, (size_t)n);
        sleep_ms(5);
    }
}

static void flood(struct http_request *req)
{
    static char block[16 * 1024];
    memset(block, 'x', sizeof block);
    http_reply_begin(req, 200, "text/plain");
    atomic_store(&n_streamed, 0);
    while (http_reply_write(req, block, sizeof block))
        atomic_fetch_add(&n_streamed, 1);
    atomic_store(&gone_after_ns, 1);
}

static void big(struct http_request *req)
{
    size_t n = 8 * 1024 * 1024;
    char *body = oll_arena_alloc(req->arena, n, 1);
    memset(body, 'b', n);
    http_reply_send(req, 200, "text/plain", body, n);
}

static void route(struct http_request *req, struct http_plan *plan)
{
    static const struct {
        const char *path;
        http_handler handler;
        bool quick;
    } table[] = {{"/echo", echo, false},      {"/quick", quick, true}, {"/silent", silent, false},
                 {"/wait", wait_gone, false}, {"/late", late, false},  {"/count", count, false},
                 {"/flood", flood, false},    {"/big", big, false}};
    *plan = (struct http_plan){.handler = quick, .body_limit = 1000, .quick = true};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(req->path, table[i].path) == 0) {
            plan->handler = table[i].handler;
            plan->quick = table[i].quick;
        }
}

static void *serve(void *arg)
{
    http_server_run(arg);
    return NULL;
}

static void start_with(struct http_config config)
{
    struct oll_error err = {0};
    config.route = route;
    atomic_store(&gone_after_ns, 0);
    CHECK_OK(http_server_new(&config, &server, &err));
    CHECK_OK(http_server_listen(server, "127.0.0.1", 0, &err));
    port = http_server_port(server);
    OLL_ASSERT(pthread_create(&thread, NULL, serve, server) == 0);
}

static void start(void) { start_with((struct http_config){.stop_grace_ms = 50}); }

static void stop(void)
{
    http_server_stop(server);
    pthread_join(thread, NULL);
    http_server_free(server);
}

/* Sends a request and reads to the end; the reply is valid until the next call. */
static const char *ask_n(const char *text, size_t n)
{
    static struct oll_strbuf reply;
    if (!reply.data)
        oll_strbuf_init(&reply, 64 << 20);
    oll_strbuf_clear(&reply);
    if (!net_exchange(port, text, n, &reply))
        oll_strbuf_adds(&reply, " [not closed]");
    return reply.data;
}

static const char *ask(const char *text) { return ask_n(text, strlen(text)); }

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

#define CHECK_STARTS(text, begin)                                                                  \
    CHECK_MSG(strncmp((text), (begin), strlen(begin)) == 0, "got: %.200s", (text))
#define CHECK_ENDS(text, end) CHECK_MSG(ends_with((text), (end)), "got: %.400s", (text))

/* ---- exchanges ---- */

TEST(answers_whole)
{
    start();
    const char *reply = ask("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            "Content-Length: 5\r\n\r\nhello");
    CHECK_STARTS(reply, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Path: /echo\r\nDate: ");
    CHECK_ENDS(reply, "GMT\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    reply = ask("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
    CHECK_ENDS(reply, "\r\n\r\nhello");
    reply =
        ask("HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab");
    CHECK_ENDS(reply, "Content-Length: 2\r\nConnection: close\r\n\r\n");
    reply = ask("GET /quick HTTP/1.0\r\n\r\n");
    CHECK_ENDS(reply, "Connection: close\r\n\r\nhi");
    reply = ask("GET /silent HTTP/1.0\r\n\r\n");
    CHECK_STARTS(reply, "HTTP/1.1 500 ");
    stop();
}

TEST(streams_chunks_and_to_the_end_for_old_clients)
{
    struct oll_strbuf sb;
    const char *want = "{\"i\":0}\n{\"i\":1}\n{\"i\":2}\n{\"i\":3}\n{\"i\":4}\n";
    start();
    oll_strbuf_init(&sb, 1 << 20);
    const char *reply = ask("GET /count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK(strstr(reply, "\r\n\r\n8\r\n{\"i\":0}\n\r\n8\r\n") != NULL);
    CHECK_ENDS(reply, "\r\n0\r\n\r\n");
    oll_strbuf_adds(&sb, reply);
    CHECK(net_take_body(&sb));
    CHECK_STR(sb.data, want);
    reply = ask("GET /count HTTP/1.0\r\n\r\n");
    CHECK(strstr(reply, "chunked") == NULL);
    CHECK_ENDS(reply, want);
    oll_strbuf_free(&sb);
    stop();
}

TEST(sends_more_than_the_socket_takes)
{
    struct oll_strbuf sb;
    start();
    oll_strbuf_init(&sb, 64 << 20);
    oll_strbuf_adds(&sb, ask("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    CHECK(net_take_body(&sb));
    CHECK_EQ(sb.len, 8 * 1024 * 1024);
    CHECK(strspn(sb.data, "b") == sb.len);
    oll_strbuf_free(&sb);
    stop();
}

static int occurrences(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p++)
        n++;
    return n;
}

TEST(answers_pipelined_requests_in_order)
{
    struct oll_strbuf sb;
    char item[128];
    start();
    oll_strbuf_init(&sb, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        snprintf(item, sizeof item, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d",
                 i % 100 ? "quick" : "echo", i);
        oll_strbuf_adds(&sb, item);
    }
    oll_strbuf_adds(&sb, "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const char *reply = ask_n(sb.data, sb.len);
    CHECK_EQ(occurrences(reply, "HTTP/1.1 200 OK"), 2001);
    const char *first = strstr(reply, "\r\n\r\n0100"), *second = strstr(reply, "\r\n\r\n1900");
    CHECK(first && second && first < second);
    oll_strbuf_free(&sb);
    stop();
}

TEST(lets_an_expecting_client_send_its_body)
{
    struct oll_strbuf sb;
    start();
    oll_strbuf_init(&sb, 1 << 20);
    int fd = net_connect(port);
    const char *head = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    CHECK(net_send(fd, head, strlen(head)));
    CHECK(net_read_until(fd, &sb, "HTTP/1.1 100 Continue\r\n\r\n", 2000));
    CHECK(net_send(fd, "hello", 5));
    CHECK(net_read_until(fd, &sb, "", 2000));
    CHECK_ENDS(sb.data, "hello");
    close(fd);
    /* A body that is too large is not asked for. */
    CHECK_STARTS(ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
                     "Expect: 100-continue\r\n\r\n"),
                 "HTTP/1.1 413 ");
    oll_strbuf_free(&sb);
    stop();
}

TEST(listens_on_a_unix_socket)
{
    struct oll_error err = {0};
    struct oll_strbuf sb;
    char path[128];
    struct http_config config = {.route = route};
    snprintf(path, sizeof path, "%s/oll-http-%ld.sock", P_tmpdir, (long)getpid());
    oll_strbuf_init(&sb, 1 << 20);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(http_server_new(&config, &server, &err));
        CHECK_OK(http_server_listen_unix(server, path, &err));
        OLL_ASSERT(pthread_create(&thread, NULL, serve, server) == 0);
        int fd = net_connect_unix(path);
        CHECK(fd >= 0);
        const char *request = "GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        oll_strbuf_clear(&sb);
        CHECK(net_send(fd, request, strlen(request)));
        CHECK(net_read_until(fd, &sb, "", 2000));
        CHECK_ENDS(sb.data, "hi");
        close(fd);
        stop();
        CHECK(access(path, F_OK) != 0);
    }
    CHECK_OK(http_server_new(&config, &server, &err));
    CHECK_STATUS(http_server_listen_unix(server, "", &err), OLL_ERR_ARG);
    http_server_free(server);
    oll_strbuf_free(&sb);
}

TEST(says_when_the_port_is_taken)
{
    struct oll_error err = {0};
    struct http_server *other = NULL;
    struct http_config config = {.route = route};
    char want[64];
    start();
    CHECK_OK(http_server_new(&config, &other, &err));
    CHECK_STATUS(http_server_listen(other, "127.0.0.1", port, &err), OLL_ERR_NETWORK);
    snprintf(want, sizeof want, "listen tcp 127.0.0.1:%d: bind: address already in use", port);
    CHECK_STR(err.text, want);
    http_server_free(other);
    stop();
}

/* ---- framing (R26) and limits ---- */

TEST(refuses_and_closes_without_reading_on)
{
    static const struct {
        const char *request, *status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: x\n\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\nGET /quick HTTP/1.1\r\nHost: x\r\n\r\n",
         "400"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"
         "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n",
         "400"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", "400"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"
         "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n",
         "400"},
        {"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET / HTTP/2.0\r\n\r\n", "505"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "413"},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", "413"},
    };
    char begin[32];
    start();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *reply = ask(cases[i].request);
        snprintf(begin, sizeof begin, "HTTP/1.1 %s ", cases[i].status);
        CHECK_STARTS(reply, begin);
        CHECK_EQ(occurrences(reply, "Date: "), 1);
        CHECK(strstr(reply, "Connection: close\r\n\r\n{\"error\":\"") != NULL);
    }
    stop();
}

TEST(keeps_the_clocks_of_slow_clients)
{
    struct oll_strbuf sb;
    start_with((struct http_config){.head_timeout_ms = 300,
                                    .idle_timeout_ms = 600,
                                    .body_grace_ms = 300,
                                    .stall_timeout_ms = 500,
                                    .stop_grace_ms = 50});
    oll_strbuf_init(&sb, 64 << 20);
    /* A head that drips: each byte restarts nothing. */
    int drip = net_connect(port);
    uint64_t begin = oll_clock_ns();
    for (int i = 0; i < 100 && net_send(drip, "G", 1); i++) {
        if (net_read_until(drip, &sb, "408", 20))
            break;
    }
    CHECK_STARTS(sb.data, "HTTP/1.1 408 ");
    CHECK(oll_clock_ns() - begin < 1200000000u);
    close(drip);
    /* A body that drips. */
    int body = net_connect(port);
    const char *head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n";
    net_send(body, head, strlen(head));
    oll_strbuf_clear(&sb);
    CHECK(net_read_until(body, &sb, "HTTP/1.1 408 ", 3000));
    close(body);
    /* Nothing at all, at first and after a request. */
    int mute = net_connect(port);
    oll_strbuf_clear(&sb);
    CHECK(net_read_until(mute, &sb, "", 2000));
    CHECK_EQ(sb.len, 0);
    close(mute);
    int idle = net_connect(port);
    head = "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n";
    net_send(idle, head, strlen(head));
    CHECK(net_read_until(idle, &sb, "", 3000));
    CHECK_ENDS(sb.data, "\r\n\r\nhi");
    close(idle);
    /* A stream that nobody reads: bounded, and over after the stall. */
    int stalled = net_connect(port);
    head = "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n";
    net_send(stalled, head, strlen(head));
    for (int i = 0; i < 300 && !atomic_load(&gone_after_ns); i++)
        sleep_ms(10);
    CHECK(atomic_load(&gone_after_ns) != 0);
    CHECK_MSG(atomic_load(&n_streamed) < 2000, "%d blocks went out", atomic_load(&n_streamed));
    close(stalled);
    oll_strbuf_free(&sb);
    stop();
}

TEST(answers_503_beyond_its_workers_and_connections)
{
    struct oll_strbuf sb;
    int fds[4];
    const char *wait = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";
    start_with((struct http_config){
        .max_workers = 2, .worker_wait_ms = 100, .max_connections = 4, .stop_grace_ms = 50});
    oll_strbuf_init(&sb, 1 << 20);
    for (int i = 0; i < 2; i++) {
        fds[i] = net_connect(port);
        net_send(fds[i], wait, strlen(wait));
    }
    for (int i = 0; i < 200 && atomic_load(&n_waiting) < 2; i++)
        sleep_ms(5);
    CHECK_EQ(atomic_load(&n_waiting), 2);
    const char *reply = ask(wait);
    CHECK_STARTS(reply, "HTTP/1.1 503 ");
    CHECK(strstr(reply, "Retry-After: 1\r\n") != NULL);
    /* Quick requests need no worker. */
    CHECK_STARTS(ask("GET /quick HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ");
    for (int i = 2; i < 4; i++)
        fds[i] = net_connect(port);
    sleep_ms(50);
    CHECK_STARTS(ask("GET /quick HTTP/1.0\r\n\r\n"), "HTTP/1.1 503 ");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    for (int i = 0; i < 400 && atomic_load(&n_waiting) > 0; i++)
        sleep_ms(5);
    CHECK_STARTS(ask("GET /quick HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ");
    oll_strbuf_free(&sb);
    stop();
}

TEST(waits_for_a_worker_that_is_soon_free)
{
    int fds[3];
    const char *wait = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";
    start_with(
        (struct http_config){.max_workers = 2, .worker_wait_ms = 60000, .stop_grace_ms = 50});
    for (int i = 0; i < 3; i++) {
        fds[i] = net_connect(port);
        net_send(fds[i], wait, strlen(wait));
        for (int k = 0; k < 200 && atomic_load(&n_waiting) < (i < 2 ? i + 1 : 2); k++)
            sleep_ms(5);
    }
    sleep_ms(50);
    CHECK_EQ(atomic_load(&n_waiting), 2);
    CHECK_STARTS(ask("GET /quick HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ");
    for (int left = 2; left >= 0; left--) {
        close(fds[2 - left]);
        for (int k = 0; k < 600 && atomic_load(&n_waiting) != (left < 2 ? left : 2); k++)
            sleep_ms(5);
        sleep_ms(50);
        CHECK_EQ(atomic_load(&n_waiting), left < 2 ? left : 2);
    }
    stop();
}

/* ---- the peer goes ---- */

enum leave { LEAVE_CLOSE, LEAVE_RESET, LEAVE_UNREAD };

/* Milliseconds until the handler knows that its peer has left. */
static double time_to_notice(const char *query, enum leave how)
{
    struct oll_strbuf sb;
    char request[128];
    oll_strbuf_init(&sb, 1 << 20);
    atomic_store(&gone_after_ns, 0);
    snprintf(request, sizeof request, "GET /wait?%s HTTP/1.1\r\nHost: x\r\n\r\n", query);
    int fd = net_connect(port);
    net_send(fd, request, strlen(request));
    while (atomic_load(&n_waiting) == 0)
        sleep_ms(1);
    if (*query && how != LEAVE_UNREAD)
        CHECK(net_read_until(fd, &sb, "begun", 2000));
    sleep_ms(50);
    uint64_t left = oll_clock_ns();
    if (how == LEAVE_RESET)
        net_reset(fd);
    else
        close(fd);
    while (atomic_load(&n_waiting) > 0)
        sleep_ms(1);
    oll_strbuf_free(&sb);
    CHECK(atomic_load(&gone_after_ns) != 0);
    return (double)(oll_clock_ns() - left) / 1e6;
}

TEST(notices_within_100_ms_that_the_peer_is_gone)
{
    start();
    for (int how = LEAVE_CLOSE; how <= LEAVE_UNREAD; how++)
        for (int begun = 0; begun < 2; begun++) {
            double ms = time_to_notice(begun ? "begun" : "", (enum leave)how);
            CHECK_MSG(ms < 100, "leaving by way %d, reply %s: %.1f ms", how,
                      begun ? "begun" : "not begun", ms);
            printf("       way %d, reply %s: noticed after %.1f ms\n", how,
                   begun ? "begun" : "not begun", ms);
        }
    stop();
}

TEST(answers_a_peer_that_closed_its_sending_half)
{
    struct oll_strbuf sb;
    start();
    oll_strbuf_init(&sb, 1 << 20);
    for (int begun = 0; begun < 2; begun++) {
        char request[128];
        int fd = net_connect(port);
        snprintf(request, sizeof request, "GET /late%s HTTP/1.1\r\nHost: x\r\n\r\n",
                 begun ? "?begun" : "");
        net_send(fd, request, strlen(request));
        sleep_ms(begun ? 100 : 0);
        shutdown(fd, SHUT_WR);
        oll_strbuf_clear(&sb);
        CHECK(net_read_until(fd, &sb, "", 3000));
        close(fd);
        /* The question must be of a kind that the client's parser passes over. */
        const char *interim = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!begun) {
            CHECK_STARTS(sb.data, interim);
            oll_strbuf_drop(&sb, strlen(interim));
        } else {
            CHECK(strstr(sb.data, "\r\n07\r\nsecond\n\r\n0\r\n\r\n") != NULL);
        }
        CHECK(net_take_body(&sb));
        CHECK_STR(sb.data, begun ? "first\nsecond\n" : "second\n");
    }
    oll_strbuf_free(&sb);
    stop();
}

/* ---- many connections ---- */

static int open_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

TEST(holds_a_thousand_connections)
{
    enum { N = 1000 };
    static int fds[N];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * N + 64) {
        testing_skip("the limit of descriptors is %ld", (long)limit.rlim_cur);
        return;
    }
    start();
    int before = open_descriptors(), answered = 0;
    const char *part = "GET /quick HTTP/1.1\r\nHost: x\r\n", *rest = "\r\n";
    for (int i = 0; i < N; i++) {
        fds[i] = net_connect(port);
        CHECK(fds[i] >= 0 && net_send(fds[i], part, strlen(part)));
    }
    uint64_t begin = oll_clock_ns();
    CHECK_STARTS(ask("GET /quick HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ");
    double canary_ms = (double)(oll_clock_ns() - begin) / 1e6;
    CHECK_MSG(canary_ms < 100, "another client waited %.1f ms", canary_ms);
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    for (int i = 0; i < N; i++) {
        oll_strbuf_clear(&sb);
        net_send(fds[i], rest, 2);
        answered += net_read_until(fds[i], &sb, "\r\n\r\nhi", 2000);
    }
    CHECK_EQ(answered, N);
    for (int i = 0; i < N; i++)
        i % 2 ? net_reset(fds[i]) : (void)close(fds[i]);
    for (int i = 0; i < 100 && open_descriptors() > before; i++)
        sleep_ms(20);
    CHECK_EQ(open_descriptors(), before);
    oll_strbuf_free(&sb);
    stop();
}

TEST(survives_connections_that_end_at_any_moment)
{
    const char *request = "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";
    uint64_t seed = 11;
    start();
    for (int i = 0; i < 400; i++) {
        int fd = net_connect(port);
        uint64_t r = testing_random(&seed);
        net_send(fd, request, r % (strlen(request) + 1));
        if (r & 1024)
            sleep_ms((int)(r >> 20 & 7));
        if (r & 2048)
            net_reset(fd);
        else
            close(fd);
    }
    CHECK_STARTS(ask("GET /quick HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ");
    stop();
}

/* ---- the end ---- */

TEST(stops_with_grace)
{
    struct oll_strbuf sb;
    const char *request = "GET /count HTTP/1.1\r\nHost: x\r\n\r\n";
    start_with((struct http_config){.stop_grace_ms = 500});
    oll_strbuf_init(&sb, 1 << 20);
    int idle = net_connect(port), running = net_connect(port), waiting = net_connect(port);
    net_send(running, request, strlen(request));
    CHECK(net_read_until(running, &sb, "{\"i\":0}", 2000));
    request = "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";
    net_send(waiting, request, strlen(request));
    while (atomic_load(&n_waiting) == 0)
        sleep_ms(1);
    uint64_t begin = oll_clock_ns();
    http_server_stop(server);
    /* What runs goes on to its end, what will not end is told to when the grace is over. */
    CHECK(net_read_until(running, &sb, "\r\n0\r\n\r\n", 2000));
    oll_strbuf_clear(&sb);
    CHECK(net_read_until(idle, &sb, "", 1000));
    CHECK(net_connect(port) < 0);
    CHECK(net_read_until(waiting, &sb, "\r\n\r\nstopped", 2000));
    pthread_join(thread, NULL);
    double ms = (double)(oll_clock_ns() - begin) / 1e6;
    CHECK_MSG(ms > 450 && ms < 1500, "stopped after %.0f ms", ms);
    http_server_free(server);
    close(idle);
    close(running);
    close(waiting);
    oll_strbuf_free(&sb);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
