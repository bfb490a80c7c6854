#include "server/cli_client.h"

#include "engine/base/mem.h"
#include "registry/https.h"
#include "server/cli_private.h"
#include "server/env.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { REPLY_MAX = 256 << 20, LINE_MAX_BYTES = 1 << 20, ARENA_BYTES = 64 << 20, TICK_MS = 100 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

void cli_client_catch(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    interrupted = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool cli_client_interrupted(void) { return interrupted != 0; }

void cli_client_release(void)
{
    signal(SIGINT, SIG_DFL);
    if (interrupted)
        raise(SIGINT);
}

/* ---- where the server is ---- */

/* A server that listens on all interfaces is reached through loopback. */
static void make_url(const struct env_host *host, char *out, size_t n)
{
    const bool any = !host->host[0] || strcmp(host->host, "0.0.0.0") == 0;
    const bool any6 = strcmp(host->host, "::") == 0;
    const char *name = any ? "127.0.0.1" : any6 ? "::1" : host->host;
    const bool v6 = strchr(name, ':') != NULL;
    if (host->socket[0])
        snprintf(out, n, "http://localhost");
    else
        snprintf(out, n, "%s://%s%s%s:%d%s%s", host->scheme, v6 ? "[" : "", name, v6 ? "]" : "",
                 host->port, host->prefix[0] ? "/" : "", host->prefix);
}

static bool canceled(void *user)
{
    struct cli_client *client = user;
    if (client->tick)
        client->tick(client->user);
    return interrupted != 0;
}

static oll_status request(struct cli_client *client, const char *method, const char *path,
                          const char *body, struct https_request *more,
                          struct https_transfer **transfer, struct oll_error *err)
{
    char url[2048], key[ENV_TEXT_MAX], authorization[ENV_TEXT_MAX + 32];
    const bool has_key = env_text("OLL_API_KEY", key);
    const char *const headers[] = {"Content-Type: application/json", has_key ? authorization : NULL,
                                   NULL};
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", key);
    snprintf(url, sizeof url, "%s%s", client->url, path);
    more->method = method;
    more->url = url;
    more->headers = headers;
    more->data = body;
    more->n_data = body ? strlen(body) : 0;
    OLL_TRY(https_start(client->session, more, transfer, err));
    oll_status status = OLL_OK;
    while (status == OLL_OK && !https_ended(*transfer))
        status = https_wait(client->session, TICK_MS, err);
    if (status == OLL_OK)
        status = https_result(*transfer, err);
    if (status != OLL_OK) {
        https_transfer_free(*transfer);
        *transfer = NULL;
    }
    return status;
}

static oll_status open_store(struct cli_client *client, struct oll_error *err)
{
    char folder[ENV_TEXT_MAX];
    if (!env_models(folder))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND,
                        "there is no model store: neither OLLAMA_MODELS nor HOME is set");
    OLL_TRY(env_check_models(folder, err));
    return oll_store_new(folder, &client->store, err);
}

/* Sessions know the address of their client: it stays where it is. */
static oll_status open_session(struct cli_client *client, const char *unix_socket,
                               struct oll_error *err)
{
    const struct https_config config = {.registry_url = client->url,
                                        .canceled = canceled,
                                        .user = client,
                                        .unix_socket = unix_socket,
                                        .patient = true};
    return https_new(&config, &client->session, err);
}

/* Why a named server could not be reached: there is no such machine, or no server on it. */
static oll_status fail_unreachable(const struct env_host *host, struct oll_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int code = host->host[0] ? getaddrinfo(host->host, NULL, &hints, &found) : 0;
    if (code == 0 && found)
        freeaddrinfo(found);
    if (code != 0)
        return OLL_FAIL(err, OLL_ERR_NETWORK, "OLLAMA_HOST: %s: %s", host->host,
                        gai_strerror(code));
    return OLL_FAIL(err, OLL_ERR_NETWORK,
                    "could not connect to ollama server, run 'oll serve' to start it");
}

/* Looks for a server; without one the session stays NULL, unless that is an error. */
static oll_status find_server(struct cli_client *client, struct oll_error *err)
{
    char text[ENV_TEXT_MAX];
    struct env_host host;
    struct oll_error why = {0};
    struct https_transfer *transfer = NULL;
    const bool named = env_text("OLLAMA_HOST", text);
    env_parse_host(text, &host);
    make_url(&host, client->url, sizeof client->url);
    OLL_TRY(open_session(client, host.socket[0] ? host.socket : NULL, err));
    struct https_request ping = {.max_body = LINE_MAX_BYTES};
    oll_status status = request(client, "HEAD", "/", NULL, &ping, &transfer, &why);
    https_transfer_free(transfer);
    if (status == OLL_OK)
        return OLL_OK;
    https_free(client->session);
    client->session = NULL;
    if (status != OLL_ERR_NETWORK)
        return OLL_FAIL(err, status, "%s", oll_error_text(&why));
    return named ? fail_unreachable(&host, err) : OLL_OK;
}

oll_status cli_client_open(struct cli_client *client, bool local, struct oll_error *err)
{
    *client = (struct cli_client){0};
    if (!local)
        OLL_TRY(find_server(client, err));
    return client->session ? OLL_OK : open_store(client, err);
}

oll_status cli_client_open_serving(struct cli_client *client, const struct service_config *config,
                                   bool always, struct oll_error *err)
{
    *client = (struct cli_client){0};
    if (!always)
        OLL_TRY(find_server(client, err));
    if (client->session)
        return OLL_OK;
    snprintf(client->url, sizeof client->url, "http://localhost");
    OLL_TRY(cli_private_start(*config, &client->own, err));
    return open_session(client, cli_private_socket(client->own), err);
}

void cli_client_close(struct cli_client *client)
{
    https_free(client->session);
    oll_store_free(client->store);
    cli_private_stop(client->own);
    *client = (struct cli_client){0};
}

/* ---- replies ---- */

/* The server's text for a failure. */
static oll_status fail_reply(const char *body, size_t n, long status, const char *prefix,
                             struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    oll_arena_init(&arena, ARENA_BYTES);
    const char *text = "";
    if (oll_json_parse(&arena, body, n, NULL, &root, NULL) == OLL_OK)
        text = oll_json_get_str(root, "error", "");
    oll_status code = status == 404 ? OLL_ERR_NOT_FOUND : OLL_ERR_ARG;
    if (*text)
        oll_error_set(err, code, "%s%s", prefix, text);
    else
        oll_error_set(err, code, "%s%.*s", prefix, (int)(n < 500 ? n : 500), body);
    oll_arena_free(&arena);
    return code;
}

oll_status cli_client_json(struct cli_client *client, const char *method, const char *path,
                           const char *body, struct oll_strbuf *out, struct oll_error *err)
{
    struct https_transfer *transfer;
    struct https_request more = {.max_body = REPLY_MAX};
    OLL_TRY(request(client, method, path, body, &more, &transfer, err));
    const struct https_reply *reply = https_transfer_reply(transfer);
    oll_status status = OLL_OK;
    if (reply->status >= 400)
        status = fail_reply(reply->body.data, reply->body.len, reply->status, "", err);
    else if (out)
        oll_strbuf_add(out, reply->body.data, reply->body.len);
    https_transfer_free(transfer);
    return status;
}

struct stream {
    struct oll_strbuf line;
    cli_line_fn on_line;
    void *user;
    long status;
};

static oll_status on_head(void *user, const struct https_reply *reply, struct oll_error *err)
{
    struct stream *s = user;
    (void)err;
    s->status = reply->status;
    return OLL_OK;
}

static oll_status take_line(struct stream *s, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root;
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = oll_json_parse(&arena, s->line.data, s->line.len, NULL, &root, err);
    if (status == OLL_OK) {
        const char *text = oll_json_get_str(root, "error", "");
        if (*text)
            status = OLL_FAIL(err, OLL_ERR_ARG, "%s", text);
        else
            s->on_line(s->user, root);
    }
    oll_arena_free(&arena);
    oll_strbuf_clear(&s->line);
    return status;
}

static oll_status on_body(void *user, const void *data, size_t n, struct oll_error *err)
{
    struct stream *s = user;
    const char *p = data, *end = p + n, *newline;
    while (s->status < 400 && (newline = memchr(p, '\n', (size_t)(end - p)))) {
        oll_strbuf_add(&s->line, p, (size_t)(newline - p));
        OLL_TRY(s->line.status);
        p = newline + 1;
        if (s->line.len > 0)
            OLL_TRY(take_line(s, err));
    }
    oll_strbuf_add(&s->line, p, (size_t)(end - p));
    return s->line.status;
}

static const char *status_text(long status)
{
    switch (status) {
    case 400: return "400 Bad Request: ";
    case 401: return "401 Unauthorized: ";
    case 403: return "403 Forbidden: ";
    case 404: return "404 Not Found: ";
    case 500: return "500 Internal Server Error: ";
    case 503: return "503 Service Unavailable: ";
    default: return "";
    }
}

oll_status cli_client_stream(struct cli_client *client, const char *path, const char *body,
                             cli_line_fn on_line, void *user, struct oll_error *err)
{
    struct https_transfer *transfer;
    struct stream s = {.on_line = on_line, .user = user};
    struct https_request more = {
        .max_body = UINT64_MAX, .on_head = on_head, .on_body = on_body, .user = &s};
    oll_strbuf_init(&s.line, LINE_MAX_BYTES);
    oll_status status = request(client, "POST", path, body, &more, &transfer, err);
    if (status == OLL_OK) {
        if (s.status >= 400)
            status = fail_reply(s.line.data, s.line.len, s.status, status_text(s.status), err);
        else if (s.line.len > 0)
            status = take_line(&s, err);
        https_transfer_free(transfer);
    }
    oll_strbuf_free(&s.line);
    return status;
}
