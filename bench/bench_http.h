/* HTTP requests of many clients from one thread, for measuring servers.
 *
 * Proxies of the environment are not used and redirects not followed: the time measured is that of
 * the server named. */
#ifndef OLL_BENCH_BENCH_HTTP_H
#define OLL_BENCH_BENCH_HTTP_H

#include "bench/bench_watch.h"
#include "engine/base/strbuf.h"

#include <stdint.h>

enum { BENCH_HTTP_URL_MAX = 1024, BENCH_HTTP_CLIENTS_MAX = 256 };

/* Whether the host of an http or https URL is this machine: localhost, 127.x.x.x, [::1].
 * OLL_ERR_ARG for anything that is no such URL. */
oll_status bench_http_is_local(const char *url, bool *is_local, struct oll_error *err) OLL_MUST_USE;

/* The body of a GET, whatever the code. OLL_ERR_NETWORK when there is no answer. */
oll_status bench_http_get(const char *url, struct oll_strbuf *body, long *code,
                          struct oll_error *err) OLL_MUST_USE;

/* One client's POST of a JSON body, whose reply is handed over as it comes. */
struct bench_http_call {
    char url[BENCH_HTTP_URL_MAX];
    struct oll_strbuf body; /* of the client, cleared and filled anew for each request */
};

struct bench_http_load {
    uint32_t n_clients;
    int timeout_s; /* of one request; 0: 600 */
    const struct bench_watch *watch;
    void *ctx;
    /* Prepares the next request of a client that is free; false: it has no more. */
    bool (*next)(void *ctx, uint32_t client, struct bench_http_call *call);
    /* Bytes of the reply, as they arrive. */
    void (*data)(void *ctx, uint32_t client, const char *bytes, size_t n);
    /* The reply is complete; `failure` is NULL, or says why there is none. */
    void (*done)(void *ctx, uint32_t client, long code, const char *failure);
};

/* Keeps every client busy until none has a request left. OLL_ERR_CANCELED after a stop. */
oll_status bench_http_run(const struct bench_http_load *load, struct oll_error *err) OLL_MUST_USE;

#endif
