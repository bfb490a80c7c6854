/* HTTP transfers, the only file that knows libcurl.
 *
 * A session talks to one registry with one identity (connections are never shared between
 * identities); any number of transfers run in it at once, driven by the thread that calls
 * https_wait. Redirects are not followed here: a 3xx is a reply like any other. What is refused
 * here, for every request: schemes but http and https, user names in URLs, addresses (below), more
 * than 64 KiB of headers, a body beyond the budget, any Content-Encoding, any Transfer-Encoding but
 * one `chunked`, silence for longer than the stall time (30 s; OLL_STALL_S), less than 1 KiB/s for
 * a minute. (security-and-reliability R16 to R20, 2.8)
 *
 * Addresses: link-local ones never. Loopback and private ones only when the registry that the user
 * named has such an address itself, or through the proxy that the user set. The check is made on
 * the address that is connected to, so it does not matter what a name resolves to.
 *
 * Environment: http_proxy, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY, no_proxy, NO_PROXY;
 * SSL_CERT_FILE, CURL_CA_BUNDLE, SSL_CERT_DIR; OLL_LIMIT_RATE (bytes a second in each direction,
 * with k, m or g for 1000, 10^6, 10^9), which the transfers of a session share; "patient" sessions,
 * whose other end is a server of ours, have none. */
#ifndef OLL_REGISTRY_HTTPS_H
#define OLL_REGISTRY_HTTPS_H

#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

struct https;
struct https_transfer;

struct https_config {
    const char *registry_url;     /* what the user named; decides the address policy */
    bool (*canceled)(void *user); /* polled at least ten times a second; may be NULL */
    void *user;
    const char *unix_socket; /* all connections go there; NULL: to the URL's host */
    bool patient;            /* silence is no failure */
    bool direct; /* no proxies, no rate, as many connections as transfers: for measuring */
};

oll_status https_new(const struct https_config *config, struct https **out,
                     struct oll_error *err) OLL_MUST_USE;
/* Whether a rate is set: then transfers run one at a time, so that it holds for all together. */
bool https_is_limited(const struct https *session);
void https_free(struct https *session); /* NULL is accepted; its transfers are freed before */

struct https_reply {
    long status;
    struct oll_strbuf headers; /* "name NUL value NUL" each, names in lower case */
    struct oll_strbuf body;    /* unless on_body takes it; what is beyond the budget fails */
};

/* Value of a header, NULL when there is none; of several the first. */
const char *https_header(const struct https_reply *reply, const char *name);

struct https_request {
    const char *method; /* "GET" */
    const char *url;
    const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
    const char *authorization;  /* value of that header, NULL: none */
    /* Body: bytes in memory, or a range of a file when `send_file`. Valid until the end. */
    const void *data;
    size_t n_data;
    bool send_file;
    int fd;
    uint64_t file_off, file_bytes;
    uint64_t max_body; /* bytes of the reply's body */
    /* When the headers are complete and before a byte of the body: a failure ends the transfer. */
    oll_status (*on_head)(void *user, const struct https_reply *reply, struct oll_error *err);
    oll_status (*on_body)(void *user, const void *data, size_t n, struct oll_error *err);
    /* Bytes of the file as they go out; `off` from the beginning of the body, 0 also when the
     * transfer has to begin it again. */
    void (*on_sent)(void *user, const void *data, size_t n, uint64_t off);
    void *user;
};

/* Begins a transfer; the request's texts are copied, its data and callbacks are not. */
oll_status https_start(struct https *session, const struct https_request *request,
                       struct https_transfer **out, struct oll_error *err) OLL_MUST_USE;
/* Runs all transfers until one has ended or `timeout_ms` are over. OLL_ERR_CANCELED. */
oll_status https_wait(struct https *session, int timeout_ms, struct oll_error *err) OLL_MUST_USE;
bool https_ended(const struct https_transfer *transfer);
/* How it ended. OLL_OK: a whole reply, of whatever status. OLL_ERR_TIMEOUT: it stalled, or the
 * connection broke; OLL_ERR_NETWORK: there was none; OLL_ERR_DENIED: its address or certificate;
 * OLL_ERR_LIMIT; or what a callback returned. */
oll_status https_result(const struct https_transfer *transfer, struct oll_error *err) OLL_MUST_USE;
const struct https_reply *https_transfer_reply(const struct https_transfer *transfer);
void https_transfer_free(struct https_transfer *transfer); /* also ends it; NULL is accepted */

/* One transfer from beginning to end; *transfer (never NULL on success) is freed by the caller. */
oll_status https_call(struct https *session, const struct https_request *request,
                      struct https_transfer **transfer, struct oll_error *err) OLL_MUST_USE;

/* Seconds that a Retry-After header asks for: a number, or a date. 0: none, past, or garbage. */
double https_seconds_until(const char *text);

/* ---- URLs, all read by one parser ---- */

enum { HTTPS_ORIGIN_MAX = 400, HTTPS_URL_MAX = 8192 };
/* "scheme://host:port" with the port always there; false when the URL is not one of ours. */
bool https_origin(const char *url, char out[HTTPS_ORIGIN_MAX]);
/* "host:port" as it stands in the URL, the port only when it is given. */
bool https_host(const char *url, char out[HTTPS_ORIGIN_MAX]);
/* Resolves a reference against a URL. */
bool https_join(const char *base, const char *reference, char out[HTTPS_URL_MAX]);
/* Appends name=value to the query, encoded as a form. */
void https_add_query(struct oll_strbuf *url, const char *name, const char *value);

#endif
