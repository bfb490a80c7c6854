/* Measuring a server, against one of our own that answers by the book: streams of both APIs,
 * failures, counts. */
#include "bench/bench_server.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the server: one connection at a time, closed after the reply ---- */

enum mode { OLLAMA, OPENAI, NEITHER, BROKEN };

static struct {
    int fd, port;
    pthread_t thread;
    enum mode mode;
    int n_post, n_distinct;
    char last_body[8192], path[64];
} server;

static void reply(int fd, const char *type, const char *body)
{
    char head[256];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n",
             type);
    (void)!write(fd, head, strlen(head));
    /* In pieces that end anywhere, as a network delivers them. */
    for (size_t n; (n = strlen(body)) > 0; body += n < 29 ? n : 29)
        (void)!write(fd, body, n < 29 ? n : 29);
}

static void reply_error(int fd, const char *body)
{
    char text[512];
    snprintf(text, sizeof text,
             "HTTP/1.1 404 Not Found\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
             strlen(body), body);
    (void)!write(fd, text, strlen(text));
}

static void answer_post(int fd, const char *path, const char *body)
{
    server.n_post++;
    server.n_distinct += strcmp(body, server.last_body) != 0;
    snprintf(server.last_body, sizeof server.last_body, "%s", body);
    snprintf(server.path, sizeof server.path, "%s", path);
    if (server.mode == BROKEN && server.n_post > 1)
        reply_error(fd, "{\"error\": \"too busy\"}");
    else if (strcmp(path, "/api/generate") == 0)
        reply(fd, "application/x-ndjson",
              "{\"response\": \"\", \"done\": false}\n{\"response\": \"a\", \"done\": false}\n"
              "{\"thinking\": \"b\", \"done\": false}\n{\"response\": \"c\", \"done\": false}\n"
              "{\"response\": \"\", \"done\": true, \"prompt_eval_count\": 11, \"eval_count\": 5}");
    else if (strcmp(path, "/v1/completions") == 0)
        reply(fd, "text/event-stream",
              "data: {\"choices\": [{\"text\": \"a\"}]}\n\ndata: {\"choices\": [{\"text\": \"b\"}]}"
              "\r\n\r\ndata: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, "
              "\"completion_tokens\": 4}}\n\ndata: [DONE]\n\n");
    else
        reply(fd, "text/event-stream",
              "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\"}}]}\n\n"
              "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\n"
              "data: {\"choices\": [{\"delta\": {\"reasoning_content\": \"b\"}}]}\n\n");
}

static void answer_get(int fd, const char *path)
{
    const bool is_ollama = server.mode == OLLAMA || server.mode == BROKEN;
    if (is_ollama && strcmp(path, "/api/version") == 0)
        reply(fd, "application/json", "{\"version\": \"1.2.3\"}");
    else if (is_ollama && strcmp(path, "/api/tags") == 0)
        reply(fd, "application/json", "{\"models\": [{\"name\": \"first\"}, {\"name\": \"b\"}]}");
    else if (server.mode == OPENAI && strcmp(path, "/v1/models") == 0)
        reply(fd, "application/json", "{\"data\": [{\"id\": \"other\"}]}");
    else
        reply_error(fd, "404 page not found");
}

static void answer(int fd)
{
    static char text[1 << 16];
    size_t n = 0, need = 0;
    char method[8] = "", path[64] = "";
    for (ssize_t got; (got = read(fd, text + n, sizeof text - 1 - n)) > 0;) {
        n += (size_t)got;
        text[n] = '\0';
        char *body = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
        if (!body)
            continue;
        need = length && length < body ? (size_t)strtol(length + 16, NULL, 10) : 0;
        if (strlen(body + 4) < need)
            continue;
        sscanf(text, "%7s %63s", method, path);
        if (strcmp(method, "POST") == 0)
            answer_post(fd, path, body + 4);
        else
            answer_get(fd, path);
        break;
    }
}

static void *serve(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(server.fd, NULL, NULL)) >= 0; close(fd))
        answer(fd);
    return NULL;
}

static const char *begin(enum mode mode)
{
    static char url[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    memset(&server, 0, sizeof server);
    server.mode = mode;
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    OLL_ASSERT(server.fd >= 0);
    OLL_ASSERT(bind(server.fd, (struct sockaddr *)&address, sizeof address) == 0);
    OLL_ASSERT(listen(server.fd, 64) == 0);
    OLL_ASSERT(getsockname(server.fd, (struct sockaddr *)&address, &n) == 0);
    OLL_ASSERT(pthread_create(&server.thread, NULL, serve, NULL) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    return url;
}

static void end(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
}

/* ---- runs ---- */

struct rows {
    uint32_t n;
    struct bench_server_result row[4];
};

static oll_status keep(void *ctx, const struct bench_server_result *r, struct oll_error *err)
{
    struct rows *rows = ctx;
    (void)err;
    if (rows->n < 4)
        rows->row[rows->n++] = *r;
    return OLL_OK;
}

static oll_status run(const char *url, enum bench_api api, struct rows *rows, struct oll_error *err)
{
    const struct bench_list clients = {.n = 2, .values = {1, 3}};
    const struct bench_server_params params = {.url = url,
                                               .api = api,
                                               .n_prompt = 12,
                                               .n_output = 9,
                                               .n_request = 5,
                                               .clients = &clients,
                                               .result = keep,
                                               .ctx = rows};
    memset(rows, 0, sizeof *rows);
    return bench_server_run(&params, err);
}

TEST(ollama)
{
    struct rows rows;
    struct oll_error err = {0};
    const char *url = begin(OLLAMA);
    CHECK_MSG(run(url, BENCH_API_AUTO, &rows, &err) == OLL_OK, "%s", err.text);
    end();
    CHECK_EQ(rows.n, 2);
    for (uint32_t i = 0; i < rows.n; i++) {
        const struct bench_server_result *r = &rows.row[i];
        CHECK_EQ(r->n_clients, i == 0 ? 1 : 3);
        CHECK_EQ(r->n_done, 5);
        CHECK_EQ(r->n_failed, 0);
        CHECK(r->n_prompt == 11 && r->n_output == 5);
        CHECK(r->seconds > 0 && r->output_s * r->seconds > 24.9 && r->prompt_s > r->output_s);
        CHECK(r->first_token.p50 > 0 && r->first_token.p50 <= r->first_token.p99);
        CHECK(r->between.p50 >= 0 && r->between.p50 <= r->between.p99);
    }
    CHECK_EQ(server.n_post, 11); /* one to warm up */
    CHECK_EQ(server.n_distinct, 11);
    CHECK_STR(server.path, "/api/generate");
    CHECK(strstr(server.last_body, "\"model\":\"first\"") &&
          strstr(server.last_body, "\"num_predict\":9") &&
          strstr(server.last_body, "\"raw\":true"));
}

TEST(openai)
{
    struct rows rows;
    struct oll_error err = {0};
    const char *url = begin(OPENAI);
    CHECK_MSG(run(url, BENCH_API_AUTO, &rows, &err) == OLL_OK, "%s", err.text);
    CHECK(rows.n == 2 && rows.row[1].n_done == 5);
    CHECK(rows.row[1].n_prompt == 7 && rows.row[1].n_output == 4);
    CHECK_STR(server.path, "/v1/completions");
    CHECK(strstr(server.last_body, "\"model\":\"other\"") &&
          strstr(server.last_body, "\"max_tokens\":9"));
    CHECK_MSG(run(url, BENCH_API_CHAT, &rows, &err) == OLL_OK, "%s", err.text);
    end();
    CHECK_STR(server.path, "/v1/chat/completions");
    CHECK(rows.n == 2 && rows.row[0].n_output == 2); /* pieces, where nothing is counted */
    CHECK(strstr(server.last_body, "\"role\":\"user\""));
}

TEST(failures)
{
    struct rows rows;
    struct oll_error err = {0};
    const char *url = begin(BROKEN);
    CHECK_OK(run(url, BENCH_API_AUTO, &rows, NULL));
    CHECK(rows.n == 2 && rows.row[0].n_done == 0 && rows.row[0].n_failed == 5);
    CHECK_STR(rows.row[0].failure, "code 404: too busy");
    CHECK_STATUS(run(url, BENCH_API_AUTO, &rows, &err), OLL_ERR_NETWORK); /* the warm-up, too */
    CHECK(strstr(err.text, "too busy"));
    end();
    err = (struct oll_error){0};
    url = begin(NEITHER);
    CHECK_STATUS(run(url, BENCH_API_AUTO, &rows, &err), OLL_ERR_UNSUPPORTED);
    CHECK(strstr(err.text, "neither"));
    end();
    CHECK_STATUS(run(url, BENCH_API_AUTO, &rows, NULL), OLL_ERR_NETWORK); /* nobody listens */
}

TEST(local)
{
    static const struct {
        const char *url;
        int expected; /* -1: no such URL */
    } cases[] = {{"http://localhost", 1},
                 {"http://127.0.0.1:11434/x", 1},
                 {"https://127.9.9.9", 1},
                 {"http://[::1]:8080", 1},
                 {"http://127.0.0.1.example.org", 0},
                 {"http://localhost.example.org", 0},
                 {"http://localhost@example.org", -1},
                 {"http://10.0.0.1", 0},
                 {"ftp://localhost", -1},
                 {"file:///etc/passwd", -1},
                 {"localhost:11434", -1},
                 {"", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is_local = false;
        const oll_status status = bench_http_is_local(cases[i].url, &is_local, NULL);
        CHECK_MSG((status == OLL_OK ? (int)is_local : -1) == cases[i].expected, "%s", cases[i].url);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
