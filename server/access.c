#include "server/access.h"

#include "engine/base/mem.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ORIGINS_MAX = 256, ORIGIN_TEXT_MAX = 512, DEFAULTS = 17 };

struct access {
    char *origins[ORIGINS_MAX]; /* each with at most one '*' */
    int n_origins;
    bool any;
    char hostname[256];
};

static oll_status add_origin(struct access *access, const char *text, size_t n,
                             struct oll_error *err)
{
    if (access->n_origins == ORIGINS_MAX || n >= ORIGIN_TEXT_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "OLLAMA_ORIGINS: more than %d entries, or one longer than %d bytes",
                        ORIGINS_MAX - DEFAULTS, ORIGIN_TEXT_MAX - 1);
    char *copy = oll_strndup(text, n);
    if (!copy)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for OLLAMA_ORIGINS");
    access->origins[access->n_origins++] = copy;
    return OLL_OK;
}

static bool has_known_scheme(const char *origin)
{
    static const char *const schemes[] = {"http://",
                                          "https://",
                                          "chrome-extension://",
                                          "safari-extension://",
                                          "moz-extension://",
                                          "ms-browser-extension://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(origin, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

/* One entry of the user's. Entries with a '*' are taken as they are, others trimmed and in lower
 * case. */
static oll_status add_entry(struct access *access, const char *text, size_t n,
                            struct oll_error *err)
{
    const char *star = memchr(text, '*', n);
    if (star) {
        if (memchr(star + 1, '*', n - (size_t)(star + 1 - text)))
            return OLL_FAIL(err, OLL_ERR_ARG, "OLLAMA_ORIGINS: only one * is allowed in %.*s",
                            (int)n, text);
        access->any |= n == 1;
        return add_origin(access, text, n, err);
    }
    while (n > 0 && strchr(" \t", *text))
        text++, n--;
    while (n > 0 && strchr(" \t", text[n - 1]))
        n--;
    if (n == 0)
        return OLL_OK;
    OLL_TRY(add_origin(access, text, n, err));
    char *copy = access->origins[access->n_origins - 1];
    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p |= 0x20;
    if (!has_known_scheme(copy))
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "OLLAMA_ORIGINS: %s must contain * or begin with http://, https:// or the "
                        "scheme of a browser extension",
                        copy);
    return OLL_OK;
}

static oll_status add_defaults(struct access *access, struct oll_error *err)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "0.0.0.0"};
    static const char *const forms[] = {"http://%s", "https://%s", "http://%s:*", "https://%s:*"};
    static const char *const apps[] = {"app://*", "file://*", "tauri://*", "vscode-webview://*",
                                       "vscode-file://*"};
    char text[64];
    for (size_t h = 0; h < sizeof hosts / sizeof hosts[0]; h++)
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
            const char *hole = strchr(forms[f], '%');
            int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(hole - forms[f]), forms[f],
                             hosts[h], hole + 2);
            OLL_TRY(add_origin(access, text, (size_t)n, err));
        }
    for (size_t i = 0; i < sizeof apps / sizeof apps[0]; i++)
        OLL_TRY(add_origin(access, apps[i], strlen(apps[i]), err));
    return OLL_OK;
}

oll_status access_new(const char *origins, struct access **out, struct oll_error *err)
{
    struct access *access = oll_calloc(1, sizeof *access);
    oll_status status = OLL_OK;
    if (!access)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of origins");
    if (gethostname(access->hostname, sizeof access->hostname - 1) != 0)
        access->hostname[0] = '\0';
    for (const char *p = origins; p && *p && status == OLL_OK;) {
        size_t n = strcspn(p, ",");
        status = add_entry(access, p, n, err);
        p += n + (p[n] == ',');
    }
    if (status == OLL_OK)
        status = add_defaults(access, err);
    if (status != OLL_OK) {
        access_free(access);
        return status;
    }
    *out = access;
    return OLL_OK;
}

void access_free(struct access *access)
{
    for (int i = 0; access && i < access->n_origins; i++)
        oll_free(access->origins[i]);
    oll_free(access);
}

bool access_any_origin(const struct access *access) { return access->any; }

bool access_origin_allowed(const struct access *access, const char *origin)
{
    size_t n = strlen(origin);
    for (int i = 0; i < access->n_origins; i++) {
        const char *entry = access->origins[i], *star = strchr(entry, '*');
        size_t before = star ? (size_t)(star - entry) : 0, after = star ? strlen(star + 1) : 0;
        if (star ? n >= before + after && memcmp(origin, entry, before) == 0 &&
                       strcmp(origin + n - after, star + 1) == 0
                 : strcmp(origin, entry) == 0)
            return true;
    }
    return false;
}

/* ---- Host ---- */

static bool is_private4(uint32_t ip)
{
    return ip == 0 || ip >> 24 == 127 || ip >> 24 == 10 || ip >> 20 == 0xAC1 || ip >> 16 == 0xC0A8;
}

static bool is_private6(const struct in6_addr *ip)
{
    if (IN6_IS_ADDR_V4MAPPED(ip))
        return is_private4((uint32_t)ip->s6_addr[12] << 24 | (uint32_t)ip->s6_addr[13] << 16 |
                           (uint32_t)ip->s6_addr[14] << 8 | ip->s6_addr[15]);
    return IN6_IS_ADDR_UNSPECIFIED(ip) || IN6_IS_ADDR_LOOPBACK(ip) ||
           (ip->s6_addr[0] & 0xFE) == 0xFC;
}

/* Whether an interface of this machine has the address. */
static bool is_assigned(int family, const void *ip)
{
    struct ifaddrs *list = NULL;
    bool found = false;
    if (getifaddrs(&list) != 0)
        return false;
    for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != family)
            continue;
        found = family == AF_INET
                    ? memcmp(&((struct sockaddr_in *)i->ifa_addr)->sin_addr, ip, 4) == 0
                    : memcmp(&((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, ip, 16) == 0;
    }
    freeifaddrs(list);
    return found;
}

/* Host without its port: "[::1]:5" and "name:5" lose it; "[::1]" alone keeps its brackets and is
 * then no address, as in the reference. */
static bool drop_port(const char *host, char *out, size_t size)
{
    const char *colon = strrchr(host, ':'), *end = host + strlen(host);
    bool bracketed = host[0] == '[';
    if (colon && (bracketed ? colon > host && colon[-1] == ']' : strchr(host, ':') == colon)) {
        end = bracketed ? colon - 1 : colon;
        host += bracketed;
    }
    size_t n = (size_t)(end - host);
    if (n >= size)
        return false;
    memcpy(out, host, n);
    out[n] = '\0';
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcasecmp(text + n - m, end) == 0;
}

enum access_host access_check_host(const struct access *access, const char *host)
{
    char name[256];
    struct in_addr ip4;
    struct in6_addr ip6;
    if (!drop_port(host, name, sizeof name))
        return ACCESS_HOST_REFUSED;
    if (inet_pton(AF_INET, name, &ip4) == 1)
        return is_private4(ntohl(ip4.s_addr)) || is_assigned(AF_INET, &ip4) ? ACCESS_HOST_ADDRESS
                                                                            : ACCESS_HOST_REFUSED;
    if (inet_pton(AF_INET6, name, &ip6) == 1)
        return is_private6(&ip6) || is_assigned(AF_INET6, &ip6) ? ACCESS_HOST_ADDRESS
                                                                : ACCESS_HOST_REFUSED;
    if (!*name || strcasecmp(name, "localhost") == 0 ||
        (access->hostname[0] && strcasecmp(name, access->hostname) == 0) ||
        ends_with(name, ".localhost") || ends_with(name, ".local") || ends_with(name, ".internal"))
        return ACCESS_HOST_NAME;
    return ACCESS_HOST_REFUSED;
}
