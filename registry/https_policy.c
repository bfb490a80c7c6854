/* Addresses that may be connected to, and what the environment says of proxies and rates. */
#include "registry/environment.h"
#include "registry/https_internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- addresses ---- */

static enum https_address classify_v4(uint32_t a)
{
    static const struct {
        uint32_t base, bits;
        enum https_address kind;
    } ranges[] = {
        {0xa9fe0000, 16, HTTPS_LINK_LOCAL}, /* 169.254/16, metadata services among them */
        {0x646464c8, 32, HTTPS_LINK_LOCAL}, /* 100.100.100.200, metadata of one cloud */
        {0xe0000000, 3, HTTPS_LINK_LOCAL},  /* multicast and reserved */
        {0x00000000, 8, HTTPS_PRIVATE},     /* "this host" */
        {0x7f000000, 8, HTTPS_PRIVATE},     /* loopback */
        {0x0a000000, 8, HTTPS_PRIVATE},     {0xac100000, 12, HTTPS_PRIVATE},
        {0xc0a80000, 16, HTTPS_PRIVATE},    {0x64400000, 10, HTTPS_PRIVATE},
        {0xc0000000, 24, HTTPS_PRIVATE},    {0xc6120000, 15, HTTPS_PRIVATE},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if ((a ^ ranges[i].base) >> (32 - ranges[i].bits) == 0)
            return ranges[i].kind;
    return HTTPS_PUBLIC;
}

static uint32_t v4_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum https_address classify_v6(const uint8_t a[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t zero[12] = {0},
                         metadata[16] = {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return classify_v4(v4_at(a + 12));
    if (memcmp(a, zero, 12) == 0)
        return HTTPS_PRIVATE; /* ::, ::1, and addresses of IPv4 in an old form */
    if (a[0] == 0x20 && a[1] == 0x02)
        return classify_v4(v4_at(a + 2)); /* 6to4 */
    if ((a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || a[0] == 0xff || memcmp(a, metadata, 16) == 0)
        return HTTPS_LINK_LOCAL;
    if ((a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0xc0) == 0xc0))
        return HTTPS_PRIVATE;
    return HTTPS_PUBLIC;
}

enum https_address https_classify(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr, sizeof in);
        return classify_v4(ntohl(in.sin_addr.s_addr));
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, addr, sizeof in6);
        return classify_v6(in6.sin6_addr.s6_addr);
    }
    return HTTPS_LINK_LOCAL;
}

/* ---- proxies ---- */

static const char *env_of(const char *a, const char *b)
{
    const char *value = registry_env(a);
    return value || !b ? value : registry_env(b);
}

/* Whether a host is one that an entry of NO_PROXY names: itself, or a domain above it. */
static bool covers(const char *entry, size_t n, const char *host)
{
    size_t n_host = strlen(host);
    if (n > 0 && *entry == '.') {
        entry++;
        n--;
    }
    if (n == 1 && *entry == '*')
        return true;
    if (n == 0 || n > n_host || strncasecmp(host + n_host - n, entry, n) != 0)
        return false;
    return n == n_host || host[n_host - n - 1] == '.';
}

static bool bypasses(const char *host)
{
    const char *list = env_of("no_proxy", "NO_PROXY");
    if (strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
        strcmp(host, "[::1]") == 0)
        return true;
    while (list && *list) {
        size_t n = strcspn(list, ", ");
        if (covers(list, n, host))
            return true;
        list += n + strspn(list + n, ", ");
    }
    return false;
}

const char *https_proxy(const char *scheme, const char *host)
{
    const char *proxy = NULL;
    if (bypasses(host))
        return NULL;
    /* HTTP_PROXY in capitals can be set by a request header of a CGI program: not read. */
    if (strcmp(scheme, "https") == 0)
        proxy = env_of("https_proxy", "HTTPS_PROXY");
    else
        proxy = env_of("http_proxy", NULL);
    return proxy ? proxy : env_of("all_proxy", "ALL_PROXY");
}

/* ---- rate ---- */

bool https_parse_rate(const char *text, uint64_t *rate)
{
    static const char units[] = "kmg";
    char *end;
    *rate = 0;
    if (!text)
        return true;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long n = strtoull(text, &end, 10);
    uint64_t factor = 1;
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
    for (const char *p = units; unit && p <= unit; p++)
        factor *= 1000;
    if ((*end && !unit) || (unit && end[1]) || n > UINT64_MAX / factor)
        return false;
    *rate = n * factor;
    return true;
}
