#include "bench/bench_http.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "registry/https.h"

#include <string.h>

enum {
    GET_TIMEOUT_S = 30,
    DEFAULT_TIMEOUT_S = 600,
    POLL_MS = 100, /* how late a stop may be noticed */
    BODY_MAX_BYTES = 64 << 20
};

/* ---- URLs ---- */

oll_status bench_http_is_local(const char *url, bool *is_local, struct oll_error *err)
{
    char origin[HTTPS_ORIGIN_MAX];
    if (!https_origin(url, origin))
        return OLL_FAIL(err, OLL_ERR_ARG, "%.200s: expected a URL like http://127.0.0.1:11434",
                        url);
    char *host = strstr(origin, "://") + 3;
    *strrchr(host, ':') = '\0'; /* the port, which is always there */
    /* A name that only begins like an address (127.0.0.1.example.org) has other characters. */
    const bool is_v4 = strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host);
    *is_local = is_v4 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
    return OLL_OK;
}

/* ---- one request ---- */

static oll_status new_session(const char *url, struct https **session, struct oll_error *err)
{
    return https_new(&(struct https_config){.registry_url = url, .patient = true, .direct = true},
                     session, err);
}

static oll_status get_in_time(struct https *session, const struct https_request *request,
                              struct https_transfer **transfer, struct oll_error *err)
{
    OLL_TRY(https_start(session, request, transfer, err));
    OLL_TRY(https_wait(session, GET_TIMEOUT_S * 1000, err));
    if (!https_ended(*transfer))
        return OLL_FAIL(err, OLL_ERR_NETWORK, "%s: no answer within %d s", request->url,
                        GET_TIMEOUT_S);
    if (https_result(*transfer, err) != OLL_OK)
        return OLL_ERR_NETWORK;
    return OLL_OK;
}

oll_status bench_http_get(const char *url, struct oll_strbuf *body, long *code,
                          struct oll_error *err)
{
    struct https *session;
    struct https_transfer *transfer = NULL;
    OLL_TRY(new_session(url, &session, err));
    const struct https_request request = {.method = "GET", .url = url, .max_body = BODY_MAX_BYTES};
    oll_status status = get_in_time(session, &request, &transfer, err);
    if (status == OLL_OK) {
        const struct https_reply *reply = https_transfer_reply(transfer);
        oll_strbuf_add(body, reply->body.data, reply->body.len);
        *code = reply->status;
        status = body->status == OLL_OK
                     ? OLL_OK
                     : OLL_FAIL(err, body->status, "the reply: %s", oll_status_text(body->status));
    }
    https_transfer_free(transfer);
    https_free(session);
    return status;
}

/* ---- many clients ---- */

struct client {
    struct https_transfer *transfer; /* NULL: idle */
    struct bench_http_call call;
    const struct bench_http_load *load;
    uint64_t end_ns;
    uint32_t index;
};

struct session {
    struct https *https;    /* made for the first URL */
    struct client *clients; /* [n_clients] */
    uint32_t n_busy;
};

static oll_status hand_over(void *user, const void *bytes, size_t n, struct oll_error *err)
{
    struct client *c = user;
    (void)err;
    c->load->data(c->load->ctx, c->index, bytes, n);
    return OLL_OK;
}

/* Gives the client its next request, if there is one. */
static oll_status start(struct session *s, struct client *c, struct oll_error *err)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct bench_http_load *load = c->load;
    oll_strbuf_clear(&c->call.body);
    if (!load->next(load->ctx, c->index, &c->call))
        return OLL_OK;
    if (c->call.body.status != OLL_OK)
        return OLL_FAIL(err, c->call.body.status, "the request: %s",
                        oll_status_text(c->call.body.status));
    if (!s->https)
        OLL_TRY(new_session(c->call.url, &s->https, err));
    const struct https_request request = {.method = "POST",
                                          .url = c->call.url,
                                          .headers = headers,
                                          .data = c->call.body.data,
                                          .n_data = c->call.body.len,
                                          .max_body = UINT64_MAX,
                                          .on_body = hand_over,
                                          .user = c};
    const int timeout_s = load->timeout_s ? load->timeout_s : DEFAULT_TIMEOUT_S;
    c->end_ns = oll_clock_ns() + (uint64_t)timeout_s * 1000000000u;
    OLL_TRY(https_start(s->https, &request, &c->transfer, err));
    s->n_busy++;
    return OLL_OK;
}

/* Ends a request that is complete or late, and starts the client's next one. */
static oll_status take_finished(struct session *s, struct client *c, struct oll_error *err)
{
    struct oll_error why = {0};
    const char *failure = NULL;
    if (!c->transfer || (!https_ended(c->transfer) && oll_clock_ns() < c->end_ns))
        return OLL_OK;
    if (!https_ended(c->transfer))
        failure = "timed out";
    else if (https_result(c->transfer, &why) != OLL_OK)
        failure = oll_error_text(&why);
    c->load->done(c->load->ctx, c->index, https_transfer_reply(c->transfer)->status, failure);
    https_transfer_free(c->transfer);
    c->transfer = NULL;
    s->n_busy--;
    return start(s, c, err);
}

static oll_status session_init(struct session *s, const struct bench_http_load *load,
                               struct oll_error *err)
{
    s->clients = oll_calloc(load->n_clients, sizeof *s->clients);
    if (!s->clients)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < load->n_clients; i++) {
        s->clients[i] = (struct client){.load = load, .index = i};
        oll_strbuf_init(&s->clients[i].call.body, BODY_MAX_BYTES);
    }
    return OLL_OK;
}

static void session_free(struct session *s, uint32_t n_clients)
{
    for (uint32_t i = 0; s->clients && i < n_clients; i++) {
        https_transfer_free(s->clients[i].transfer);
        oll_strbuf_free(&s->clients[i].call.body);
    }
    https_free(s->https);
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
        if (bench_watch_aborted(load->watch))
            status = OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
        else
            status = https_wait(s.https, POLL_MS, err);
        for (uint32_t i = 0; i < load->n_clients && status == OLL_OK; i++)
            status = take_finished(&s, &s.clients[i], err);
    }
    session_free(&s, load->n_clients);
    return status;
}
