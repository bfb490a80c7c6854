/* Requests to one repository of a registry: authentication, redirects, retries.
 *
 * A 401 is answered once with a new token, then the request is repeated. GET and HEAD follow up to
 * five redirects, to http and https alone, never from https to http, never twice to one URL;
 * credentials stay with the registry's origin. Replies that may pass (oci_may_retry) and broken
 * connections are tried again, up to six times, after 1, 2, 4, ... seconds (times 0.5 to 1.5;
 * OLL_RETRY_MS sets the first pause) or what Retry-After says, at most a minute; not so requests
 * that send a file, which may have been taken: who sends asks the registry first. */
#ifndef OLL_REGISTRY_OCI_CLIENT_H
#define OLL_REGISTRY_OCI_CLIENT_H

#include "registry/https.h"
#include "registry/reference.h"

struct oci_client;

enum { OCI_TRIES_MAX = 6, OCI_HOPS_MAX = 5, OCI_MANIFEST_BYTES_MAX = 4 << 20 };

struct oci_config {
    const struct oll_reference *ref;
    bool insecure;                /* plain HTTP for every request */
    const char *key_path;         /* id_ed25519; NULL: none */
    bool (*canceled)(void *user); /* may be NULL */
    void *user;
};

oll_status oci_new(const struct oci_config *config, struct oci_client **out,
                   struct oll_error *err) OLL_MUST_USE;
void oci_free(struct oci_client *client); /* NULL is accepted */
struct https *oci_session(struct oci_client *client);
/* "https://host/v2/namespace/model"; huggingface.co for hf.co */
const char *oci_base(const struct oci_client *client);
/* The header for a URL: NULL unless it is of the registry's origin and a token is there. */
const char *oci_authorization(const struct oci_client *client, const char *url);
/* Answers the challenge of a reply of status 401 that came from `url`. */
oll_status oci_answer(struct oci_client *client, const char *url, const struct https_reply *reply,
                      struct oll_error *err) OLL_MUST_USE;
/* How many challenges have been answered: another number, another token. */
uint32_t oci_identity(const struct oci_client *client);

/* Runs a request; `request->url` may be a path that begins with '/', below the base, and its
 * authorization is set here. `follow`: GET and HEAD follow redirects. On success the reply's status
 * is below 400; its transfer is freed by the caller. OLL_ERR_NOT_FOUND: "file does not exist"
 * (404). OLL_ERR_DENIED: "unauthorized: access denied". Other refusals: "<code>: <body>". */
oll_status oci_call(struct oci_client *client, const struct https_request *request, bool follow,
                    struct https_transfer **transfer, struct oll_error *err) OLL_MUST_USE;
/* URL of the last request of oci_call, after redirects. */
const char *oci_last_url(const struct oci_client *client);

/* The URL that a redirect leads to, refused where the rules above say so. */
oll_status oci_redirect(const char *from, const struct https_reply *reply, char out[HTTPS_URL_MAX],
                        struct oll_error *err) OLL_MUST_USE;
/* An error for a reply of status 400 or more. */
oll_status oci_refusal(const struct https_reply *reply, struct oll_error *err) OLL_MUST_USE;
/* 408, 425, 429, 502 to 504, and 520 to 530, which content networks send for a server behind them.
 */
bool oci_may_retry(long status);
/* Pause before the n-th further try, n from 0; `reply` may be NULL. */
int oci_pause_ms(int n, const struct https_reply *reply);
/* Waits; the transfers of the session stand still meanwhile. OLL_ERR_CANCELED. */
oll_status oci_sleep(struct oci_client *client, int ms, struct oll_error *err) OLL_MUST_USE;

#endif
