#include "registry/oci_client.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "registry/environment.h"
#include "registry/oci_auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { ERROR_BODY_MAX = 4096, PAUSE_MAX_MS = 60 * 1000, NAP_MS = 20 };

struct oci_client {
    struct https *session;
    char *base, *key_path, *authorization;
    char origin[HTTPS_ORIGIN_MAX];
    char last_url[HTTPS_URL_MAX];
    uint32_t identity;
    bool (*canceled)(void *user);
    void *user;
};

/* hf.co only redirects to huggingface.co, where the user's key would not follow; it is asked at
 * once. The model keeps the name that the user gave. */
static const char *host_of(const struct oll_reference *ref)
{
    return strcasecmp(ref->host, "hf.co") == 0 ? "huggingface.co" : ref->host;
}

oll_status oci_new(const struct oci_config *config, struct oci_client **out, struct oll_error *err)
{
    const struct oll_reference *ref = config->ref;
    char base[HTTPS_URL_MAX];
    struct oci_client *c = oll_calloc(1, sizeof *c);
    snprintf(base, sizeof base, "%s://%s/v2/%s/%s", config->insecure ? "http" : "https",
             host_of(ref), ref->namespace, ref->model);
    if (c) {
        c->base = oll_strdup(base);
        c->key_path = config->key_path ? oll_strdup(config->key_path) : NULL;
    }
    if (!c || !c->base || (config->key_path && !c->key_path)) {
        oci_free(c);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    }
    c->canceled = config->canceled;
    c->user = config->user;
    struct https_config session = {
        .registry_url = base, .canceled = config->canceled, .user = config->user};
    oll_status status = https_new(&session, &c->session, err);
    if (status != OLL_OK || !https_origin(base, c->origin)) {
        oci_free(c);
        return status != OLL_OK ? status
                                : OLL_FAIL(err, OLL_ERR_ARG, "invalid host: %s", ref->host);
    }
    *out = c;
    return OLL_OK;
}

void oci_free(struct oci_client *client)
{
    if (!client)
        return;
    https_free(client->session);
    oll_free(client->base);
    oll_free(client->key_path);
    oll_free(client->authorization);
    oll_free(client);
}

struct https *oci_session(struct oci_client *client) { return client->session; }
const char *oci_base(const struct oci_client *client) { return client->base; }
uint32_t oci_identity(const struct oci_client *client) { return client->identity; }
const char *oci_last_url(const struct oci_client *client) { return client->last_url; }

const char *oci_authorization(const struct oci_client *client, const char *url)
{
    char origin[HTTPS_ORIGIN_MAX];
    bool own = https_origin(url, origin) && strcmp(origin, client->origin) == 0;
    return own ? client->authorization : NULL;
}

oll_status oci_answer(struct oci_client *client, const char *url, const struct https_reply *reply,
                      struct oll_error *err)
{
    char origin[HTTPS_ORIGIN_MAX], *authorization = NULL;
    if (!https_origin(url, origin) || strcmp(origin, client->origin) != 0)
        return OLL_FAIL(err, OLL_ERR_DENIED, "unauthorized: access denied (by %s)", origin);
    OLL_TRY(oci_authorize(client->session, url, https_header(reply, "www-authenticate"),
                          client->key_path, &authorization, err));
    oll_free(client->authorization);
    client->authorization = authorization;
    client->identity++;
    return OLL_OK;
}

/* ---- pauses ---- */

bool oci_may_retry(long status)
{
    return status == 408 || status == 425 || status == 429 || (status >= 502 && status <= 504) ||
           (status >= 520 && status <= 530);
}

int oci_pause_ms(int n, const struct https_reply *reply)
{
    const char *first = registry_env("OLL_RETRY_MS");
    const char *after = reply ? https_header(reply, "retry-after") : NULL;
    double ms = first ? strtod(first, NULL) : 1000;
    uint16_t random;
    oll_platform_random(&random, sizeof random);
    for (int i = 0; i < n && ms < PAUSE_MAX_MS; i++)
        ms *= 2;
    ms *= 0.5 + random / 65536.0;
    double said = after ? https_seconds_until(after) * 1000 : 0;
    ms = said > ms ? said : ms;
    return ms >= PAUSE_MAX_MS ? PAUSE_MAX_MS : ms > 0 ? (int)ms : 0;
}

oll_status oci_sleep(struct oci_client *client, int ms, struct oll_error *err)
{
    uint64_t end = oll_clock_ns() + (uint64_t)ms * 1000000;
    while (oll_clock_ns() < end) {
        struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
        if (client->canceled && client->canceled(client->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
        nanosleep(&nap, NULL);
    }
    return OLL_OK;
}

/* ---- replies ---- */

oll_status oci_refusal(const struct https_reply *reply, struct oll_error *err)
{
    size_t n = reply->body.len < ERROR_BODY_MAX ? reply->body.len : ERROR_BODY_MAX;
    while (n > 0 && (reply->body.data[n - 1] == '\n' || reply->body.data[n - 1] == '\r'))
        n--;
    if (reply->status == 404)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "file does not exist");
    if (reply->status == 401)
        return OLL_FAIL(err, OLL_ERR_DENIED, "unauthorized: access denied");
    return OLL_FAIL(err, OLL_ERR_NETWORK, "%ld: %.*s", reply->status, (int)n, reply->body.data);
}

oll_status oci_redirect(const char *from, const struct https_reply *reply, char out[HTTPS_URL_MAX],
                        struct oll_error *err)
{
    const char *location = https_header(reply, "location");
    if (!location)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "redirect refused: no Location header in response");
    if (!https_join(from, location, out))
        return OLL_FAIL(err, OLL_ERR_DENIED, "redirect refused: %.200s is no http or https URL",
                        location);
    if (strncmp(from, "https:", 6) == 0 && strncmp(out, "https:", 6) != 0)
        return OLL_FAIL(err, OLL_ERR_DENIED, "redirect refused: from https to %.200s", out);
    if (strcmp(from, out) == 0)
        return OLL_FAIL(err, OLL_ERR_DENIED, "redirect refused: %.200s leads to itself", out);
    return OLL_OK;
}

/* ---- requests ---- */

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

struct call {
    struct oci_client *client;
    struct https_request request;
    bool follow, answered;
    int n_hops, n_tries;
    char hops[OCI_HOPS_MAX][HTTPS_URL_MAX];
};

static oll_status next_hop(struct call *call, const struct https_reply *reply,
                           struct oll_error *err)
{
    char *url = call->client->last_url;
    if (call->n_hops == OCI_HOPS_MAX)
        return OLL_FAIL(err, OLL_ERR_DENIED, "redirect refused: more than %d redirects",
                        OCI_HOPS_MAX);
    memcpy(call->hops[call->n_hops++], url, strlen(url) + 1);
    OLL_TRY(oci_redirect(call->hops[call->n_hops - 1], reply, url, err));
    for (int i = 0; i < call->n_hops; i++)
        if (strcmp(call->hops[i], url) == 0)
            return OLL_FAIL(err, OLL_ERR_DENIED, "redirect refused: %.200s came before", url);
    return OLL_OK;
}

/* Looks at a reply; *again: the request is to be made once more. */
static oll_status judge(struct call *call, const struct https_reply *reply, bool *again,
                        struct oll_error *err)
{
    struct oci_client *c = call->client;
    *again = true;
    if (reply->status == 401 && !call->answered) {
        call->answered = true;
        return oci_answer(c, c->last_url, reply, err);
    }
    if (call->follow && is_redirect(reply->status))
        return next_hop(call, reply, err);
    if (oci_may_retry(reply->status) && !call->request.send_file && call->n_tries < OCI_TRIES_MAX)
        return oci_sleep(c, oci_pause_ms(call->n_tries++, reply), err);
    *again = false;
    return reply->status >= 400 ? oci_refusal(reply, err) : OLL_OK;
}

static oll_status one_try(struct call *call, struct https_transfer **transfer, bool *again,
                          struct oll_error *err)
{
    struct oci_client *c = call->client;
    struct oll_error why = {0};
    call->request.url = c->last_url;
    call->request.authorization = oci_authorization(c, c->last_url);
    oll_status status = https_call(c->session, &call->request, transfer, &why);
    /* The connection broke: what was asked for may be asked for again. */
    if (status == OLL_ERR_TIMEOUT && !call->request.send_file && call->n_tries < OCI_TRIES_MAX) {
        *again = true;
        return oci_sleep(c, oci_pause_ms(call->n_tries++, NULL), err);
    }
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "%s", oll_error_text(&why));
    status = judge(call, https_transfer_reply(*transfer), again, err);
    if (status != OLL_OK || *again) {
        https_transfer_free(*transfer);
        *transfer = NULL;
    }
    return status;
}

oll_status oci_call(struct oci_client *client, const struct https_request *request, bool follow,
                    struct https_transfer **transfer, struct oll_error *err)
{
    struct call *call = oll_calloc(1, sizeof *call);
    if (!call)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    *call = (struct call){.client = client, .request = *request, .follow = follow};
    snprintf(client->last_url, sizeof client->last_url, "%s%s",
             request->url[0] == '/' ? client->base : "", request->url);
    oll_status status = OLL_OK;
    bool again = true;
    *transfer = NULL;
    while (status == OLL_OK && again)
        status = one_try(call, transfer, &again, err);
    oll_free(call);
    return status;
}
