#include "bench/bench_http.h"

#include "engine/base/mem.h"

#include <curl/curl.h>
#include <string.h>

enum {
    CONNECT_TIMEOUT_S = 10,
    GET_TIMEOUT_S = 30,
    DEFAULT_TIMEOUT_S = 600,
    POLL_MS = 100, /* how late a stop may be noticed */
    BODY_MAX_BYTES = 64 << 20
};

/* ---- URLs ---- */

/* The scheme in *is_http and the host, without brackets. */
static bool take_host(CURLU *u, const char *url, bool *is_http, char *host, size_t n)
{
    char *scheme = NULL, *name = NULL;
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
        return false;
    const bool ok = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                    curl_url_get(u, CURLUPART_HOST, &name, 0) == CURLUE_OK && strlen(name) < n;
    if (ok) {
        *is_http = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
        memcpy(host, name, strlen(name) + 1);
    }
    curl_free(scheme);
    curl_free(name);
    return ok;
}

oll_status bench_http_is_local(const char *url, bool *is_local, struct oll_error *err)
{
    char host[256];
    bool is_http = false;
    CURLU *u = curl_url();
    if (!u)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    const bool ok = take_host(u, url, &is_http, host, sizeof host);
    curl_url_cleanup(u);
    if (!ok || !is_http)
        return OLL_FAIL(err, OLL_ERR_ARG, "%.200s: expected a URL like http://127.0.0.1:11434",
                        url);
    /* A name that only begins like an address (127.0.0.1.example.org) has other characters. */
    const bool is_v4 = strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host);
    *is_local = is_v4 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
    return OLL_OK;
}

/* ---- one request ---- */

static void set_common(CURL *easy, const char *url, long timeout_s)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, timeout_s);
}

static size_t append(char *bytes, size_t size, size_t n, void *ctx)
{
    struct oll_strbuf *body = ctx;
    oll_strbuf_add(body, bytes, size * n);
    return body->status == OLL_OK ? size * n : 0;
}

oll_status bench_http_get(const char *url, struct oll_strbuf *body, long *code,
                          struct oll_error *err)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    set_common(easy, url, GET_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    const CURLcode result = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, code);
    curl_easy_cleanup(easy);
    if (result != CURLE_OK)
        return OLL_FAIL(err, OLL_ERR_NETWORK, "%s: %s", url, curl_easy_strerror(result));
    return OLL_OK;
}

/* ---- many clients ---- */

struct client {
    CURL *easy; /* kept between requests, and its connection with it */
    struct bench_http_call call;
    const struct bench_http_load *load;
    uint32_t index;
    bool is_busy;
};

struct session {
    CURLM *multi;
    struct curl_slist *headers;
    struct client *clients; /* [n_clients] */
    uint32_t n_busy;
};

static size_t hand_over(char *bytes, size_t size, size_t n, void *ctx)
{
    struct client *c = ctx;
    c->load->data(c->load->ctx, c->index, bytes, size * n);
    return size * n;
}

/* Gives the client its next request, if there is one. */
static oll_status start(struct session *s, struct client *c, struct oll_error *err)
{
    const struct bench_http_load *load = c->load;
    oll_strbuf_clear(&c->call.body);
    if (!load->next(load->ctx, c->index, &c->call))
        return OLL_OK;
    if (c->call.body.status != OLL_OK)
        return OLL_FAIL(err, c->call.body.status, "the request: %s",
                        oll_status_text(c->call.body.status));
    set_common(c->easy, c->call.url, load->timeout_s ? load->timeout_s : DEFAULT_TIMEOUT_S);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->call.body.data);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->call.body.len);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, hand_over);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    if (curl_multi_add_handle(s->multi, c->easy) != CURLM_OK)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "cannot start a request");
    c->is_busy = true;
    s->n_busy++;
    return OLL_OK;
}

/* Ends requests that are complete and starts those that follow. */
static oll_status take_finished(struct session *s, struct oll_error *err)
{
    CURLMsg *message;
    int n_left;
    while ((message = curl_multi_info_read(s->multi, &n_left))) {
        struct client *c = NULL;
        long code = 0;
        if (message->msg != CURLMSG_DONE)
            continue;
        const CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&c);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &code);
        curl_multi_remove_handle(s->multi, c->easy);
        c->is_busy = false;
        s->n_busy--;
        c->load->done(c->load->ctx, c->index, code,
                      result == CURLE_OK ? NULL : curl_easy_strerror(result));
        OLL_TRY(start(s, c, err));
    }
    return OLL_OK;
}

static oll_status session_init(struct session *s, const struct bench_http_load *load,
                               struct oll_error *err)
{
    s->multi = curl_multi_init();
    s->headers = curl_slist_append(NULL, "Content-Type: application/json");
    s->clients = oll_calloc(load->n_clients, sizeof *s->clients);
    if (!s->multi || !s->headers || !s->clients)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < load->n_clients; i++) {
        s->clients[i] = (struct client){.load = load, .index = i, .easy = curl_easy_init()};
        oll_strbuf_init(&s->clients[i].call.body, BODY_MAX_BYTES);
        if (!s->clients[i].easy)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    }
    return OLL_OK;
}

static void session_free(struct session *s, uint32_t n_clients)
{
    for (uint32_t i = 0; s->clients && i < n_clients; i++) {
        if (s->clients[i].is_busy)
            curl_multi_remove_handle(s->multi, s->clients[i].easy);
        curl_easy_cleanup(s->clients[i].easy);
        oll_strbuf_free(&s->clients[i].call.body);
    }
    curl_multi_cleanup(s->multi);
    curl_slist_free_all(s->headers);
    oll_free(s->clients);
}

oll_status bench_http_run(const struct bench_http_load *load, struct oll_error *err)
{
    struct session s = {0};
    if (load->n_clients < 1 || load->n_clients > BENCH_HTTP_CLIENTS_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%u clients; 1 to %d are possible", load->n_clients,
                        BENCH_HTTP_CLIENTS_MAX);
    oll_status status = session_init(&s, load, err);
    for (uint32_t i = 0; i < load->n_clients && status == OLL_OK; i++)
        status = start(&s, &s.clients[i], err);
    while (status == OLL_OK && s.n_busy > 0) {
        int n_running;
        if (bench_watch_aborted(load->watch))
            status = OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
        else if (curl_multi_perform(s.multi, &n_running) != CURLM_OK)
            status = OLL_FAIL(err, OLL_ERR_INTERNAL, "libcurl cannot go on");
        else
            status = take_finished(&s, err);
        if (status == OLL_OK && s.n_busy > 0)
            curl_multi_poll(s.multi, NULL, 0, POLL_MS, NULL);
    }
    session_free(&s, load->n_clients);
    return status;
}
