#include "server/env.h"

#include "engine/base/log.h"
#include "server/duration.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char space[] = " \t\r\n\v\f", quotes[] = "\"'";

/* Drops bytes of a set at both ends, in place; returns the new start. */
static char *trim(char *s, const char *set)
{
    s += strspn(s, set);
    size_t n = strlen(s);
    while (n > 0 && strchr(set, s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* Copies without white space and quotes; false when it does not fit. */
static bool clean(const char *text, char *out, size_t size)
{
    if (strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    char *s = trim(trim(trim(out, space), quotes), space);
    memmove(out, s, strlen(s) + 1);
    return true;
}

bool env_text(const char *name, char out[ENV_TEXT_MAX])
{
    const char *value = getenv(name);
    out[0] = '\0';
    if (!value)
        return false;
    if (!clean(value, out, ENV_TEXT_MAX)) {
        oll_log_warn("env", "%s is longer than %d bytes and is ignored", name, ENV_TEXT_MAX - 1);
        out[0] = '\0';
    }
    return out[0] != '\0';
}

bool env_bool(const char *name, bool fallback)
{
    static const char *const no[] = {"0", "f", "F", "false", "False", "FALSE"};
    char text[ENV_TEXT_MAX];
    if (!env_text(name, text))
        return fallback;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (strcmp(text, no[i]) == 0)
            return false;
    return true;
}

static bool parse_uint(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *out = v;
    return true;
}

uint64_t env_uint(const char *name, uint64_t fallback)
{
    char text[ENV_TEXT_MAX];
    uint64_t v;
    if (!env_text(name, text))
        return fallback;
    if (parse_uint(text, &v))
        return v;
    oll_log_warn("env", "%s=%s is no whole number; using %llu", name, text,
                 (unsigned long long)fallback);
    return fallback;
}

int64_t env_duration(const char *name, int64_t fallback)
{
    char text[ENV_TEXT_MAX];
    int64_t ns;
    uint64_t seconds;
    if (!env_text(name, text))
        return fallback;
    bool negative = text[0] == '-';
    if (duration_parse(text, &ns))
        return ns;
    if (parse_uint(text + negative, &seconds) && seconds < 9000000000u)
        return (int64_t)(seconds * 1000000000u) * (negative ? -1 : 1);
    char fallback_text[DURATION_TEXT_MAX];
    duration_format(fallback, fallback_text);
    oll_log_warn("env", "%s=%s is no duration; using %s", name, text, fallback_text);
    return fallback;
}

bool env_models(char out[ENV_TEXT_MAX])
{
    char home[ENV_TEXT_MAX];
    if (env_text("OLLAMA_MODELS", out))
        return true;
    return env_text("HOME", home) &&
           snprintf(out, ENV_TEXT_MAX, "%s/.ollama/models", home) < ENV_TEXT_MAX;
}

oll_status env_check_models(const char *folder, struct oll_error *err)
{
    static const char *const parts[] = {"", "/manifests", "/blobs"};
    char path[ENV_TEXT_MAX + 16];
    struct stat st;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s%s", folder, parts[i]);
        if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
            return OLL_FAIL(err, OLL_ERR_IO, "%s of the model store is no folder", path);
        if (access(path, R_OK | X_OK) != 0 && errno != ENOENT)
            return OLL_FAIL(err, OLL_ERR_DENIED, "%s of the model store cannot be read: %s", path,
                            strerror(errno));
    }
    return OLL_OK;
}

bool env_key(char out[ENV_TEXT_MAX])
{
    const char *home = getenv("HOME");
    if (!home || !*home)
        return false;
    int n = snprintf(out, ENV_TEXT_MAX, "%s/.ollama/id_ed25519", home);
    return n > 0 && n < ENV_TEXT_MAX;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%.*s", (int)(size - 1), text);
}

/* Splits host:port; a bare IPv6 address has no port. */
static void split_port(char *text, struct env_host *out)
{
    char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
    bool has_port =
        colon && (text[0] == '[' ? bracket && colon == bracket + 1 : strchr(text, ':') == colon);
    if (has_port) {
        uint64_t port;
        *colon = '\0';
        if (parse_uint(colon + 1, &port) && port <= 65535)
            out->port = (int)port;
        else
            oll_log_warn("env", "OLLAMA_HOST: port %s is not in 0..65535; using %d", colon + 1,
                         out->port);
    } else if (!*text) {
        copy(out->host, sizeof out->host, "127.0.0.1");
        return;
    }
    copy(out->host, sizeof out->host, trim(text, "[]"));
}

void env_parse_host(const char *text, struct env_host *out)
{
    char work[ENV_TEXT_MAX];
    *out = (struct env_host){.scheme = "http", .port = ENV_DEFAULT_PORT};
    if (!clean(text, work, sizeof work))
        work[0] = '\0';
    char *rest = work, *scheme_end = strstr(work, "://");
    if (strncmp(work, "unix:", 5) == 0) {
        copy(out->socket, sizeof out->socket,
             strncmp(work, "unix://", 7) == 0 ? work + 7 : work + 5);
        return;
    }
    if (scheme_end) {
        *scheme_end = '\0';
        copy(out->scheme, sizeof out->scheme, work);
        rest = scheme_end + 3;
        if (strcmp(work, "http") == 0)
            out->port = 80;
        else if (strcmp(work, "https") == 0)
            out->port = 443;
    }
    char *slash = strchr(rest, '/');
    if (slash) {
        *slash = '\0';
        copy(out->prefix, sizeof out->prefix, trim(slash + 1, "/"));
    }
    split_port(rest, out);
}
