/* The part of `oll doctor` that looks at the server, ports and proxies. */
#include "engine/base/json.h"
#include "registry/environment.h"
#include "server/cli_client.h"
#include "server/cli_doctor.h"
#include "server/env.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 2000, ADDRESS_MAX = 300 };

/* ---- connections ---- */

static bool connect_to(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol), error = 0;
    socklen_t n = sizeof error;
    if (fd < 0)
        return false;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    bool ok = connect(fd, a->ai_addr, a->ai_addrlen) == 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (!ok && errno == EINPROGRESS && poll(&p, 1, CONNECT_MS) == 1)
        ok = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0;
    close(fd);
    return ok;
}

/* Whether something listens there; a name that cannot be resolved does not. */
static bool can_connect(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return false;
    bool ok = false;
    for (const struct addrinfo *a = list; a && !ok; a = a->ai_next)
        ok = connect_to(a);
    freeaddrinfo(list);
    return ok;
}

/* ---- the server ---- */

static bool ask_version(struct cli_client *client, char *out, size_t n)
{
    struct oll_strbuf reply;
    struct oll_arena arena;
    struct oll_json *root = NULL;
    oll_strbuf_init(&reply, 64 * 1024);
    oll_arena_init(&arena, 1 << 20);
    out[0] = '\0';
    if (cli_client_json(client, "GET", "/api/version", NULL, &reply, NULL) == OLL_OK &&
        oll_json_parse(&arena, reply.data, reply.len, NULL, &root, NULL) == OLL_OK)
        snprintf(out, n, "%s", oll_json_get_str(root, "version", ""));
    oll_arena_free(&arena);
    oll_strbuf_free(&reply);
    return out[0] != '\0';
}

static bool is_everywhere(const struct env_host *host)
{
    return !host->socket[0] &&
           (!host->host[0] || strcmp(host->host, "0.0.0.0") == 0 || strcmp(host->host, "::") == 0);
}

static void check_silent_port(struct cli_doctor *d, const struct env_host *host, bool named)
{
    char port[16];
    const char *name = is_everywhere(host) ? "127.0.0.1" : host->host;
    snprintf(port, sizeof port, "%d", host->port);
    if (!host->socket[0] && can_connect(name, port)) {
        cli_doctor_say(d, DOCTOR_WRONG, "server",
                       "port %s of %s is taken by a program that is no model server", port, name);
        cli_doctor_advise("end it, or choose another port: OLLAMA_HOST=%s:%d", name,
                          host->port + 1);
    } else if (named) {
        cli_doctor_say(d, DOCTOR_WRONG, "server", "none answers at OLLAMA_HOST (%s%s%s)",
                       host->socket[0] ? host->socket : name, host->socket[0] ? "" : " port ",
                       host->socket[0] ? "" : port);
        cli_doctor_advise("start it with: oll serve, or unset OLLAMA_HOST");
    } else {
        cli_doctor_say(d, DOCTOR_OK, "server", "none runs; port %s is free", port);
    }
}

static void check_server(struct cli_doctor *d)
{
    char text[ENV_TEXT_MAX], version[64];
    struct env_host host;
    struct cli_client client;
    const bool named = env_text("OLLAMA_HOST", text);
    env_parse_host(text, &host);
    oll_status status = cli_client_open(&client, false, NULL);
    if (status == OLL_OK && client.session && ask_version(&client, version, sizeof version))
        cli_doctor_say(d, DOCTOR_OK, "server", "answers at %s, version %s", client.url, version);
    else
        check_silent_port(d, &host, named);
    cli_client_close(&client);
    if (is_everywhere(&host)) {
        cli_doctor_say(d, DOCTOR_WARN, "server",
                       "OLLAMA_HOST offers a server to the whole network");
        cli_doctor_advise("without keys everybody there can use it; OLLAMA_HOST=127.0.0.1 keeps it "
                          "to this machine");
    }
}

/* ---- proxies ---- */

/* "scheme://user:password@host:port/": host and port. */
static bool split_proxy(const char *url, char host[ADDRESS_MAX], char port[16])
{
    const char *p = strstr(url, "://"), *at;
    bool tls = strncmp(url, "https://", 8) == 0;
    p = p ? p + 3 : url;
    while ((at = strchr(p, '@')))
        p = at + 1;
    const size_t n = *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":/");
    if (n == 0 || n >= ADDRESS_MAX)
        return false;
    snprintf(host, ADDRESS_MAX, "%.*s", *p == '[' ? (int)n - 2 : (int)n, *p == '[' ? p + 1 : p);
    snprintf(port, 16, "%s", tls ? "443" : "80");
    if (p[n] == ':')
        snprintf(port, 16, "%.*s", (int)strcspn(p + n + 1, "/"), p + n + 1);
    return host[0] && port[strspn(port, "0123456789")] == '\0';
}

static void check_proxy(struct cli_doctor *d, const char *name)
{
    char host[ADDRESS_MAX], port[16];
    const char *value = registry_env(name);
    if (!value)
        return;
    if (!split_proxy(value, host, port)) {
        cli_doctor_say(d, DOCTOR_WRONG, "proxy", "%s is no address of a proxy", name);
        cli_doctor_advise("write it as http://host:port");
    } else if (!can_connect(host, port)) {
        cli_doctor_say(d, DOCTOR_WRONG, "proxy", "%s: nothing answers at %s, port %s", name, host,
                       port);
        cli_doctor_advise("pulls will fail: correct it, or unset it (unset %s)", name);
    } else {
        cli_doctor_say(d, DOCTOR_OK, "proxy", "%s: %s, port %s", name, host, port);
    }
}

void cli_doctor_network(struct cli_doctor *d)
{
    static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy",
                                          "ALL_PROXY"};
    const char *capitals = registry_env("HTTP_PROXY");
    check_server(d);
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        check_proxy(d, proxies[i]);
    if (capitals && !registry_env("http_proxy")) {
        cli_doctor_say(d, DOCTOR_WARN, "proxy", "HTTP_PROXY in capitals is not read");
        cli_doctor_advise("use https_proxy for registries, and http_proxy for plain HTTP");
    }
    const char *without = registry_env("no_proxy");
    if (without || registry_env("NO_PROXY"))
        cli_doctor_say(d, DOCTOR_OK, "proxy", "not for %s",
                       without ? without : registry_env("NO_PROXY"));
}
