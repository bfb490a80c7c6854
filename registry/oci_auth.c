#include "registry/oci_auth.h"

#include "engine/base/base64.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "registry/environment.h"
#include "registry/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { TOKEN_BYTES_MAX = 64 * 1024, ERROR_SHOWN_MAX = 512, DOCKER_CONFIG_MAX = 1 << 20 };

/* ---- challenge ---- */

/* Copies the quoted value of a parameter; it ends at a quote that a comma or the end follows. */
static bool take_parameter(const char *text, const char *name, char out[OCI_AUTH_TEXT_MAX])
{
    size_t n_name = strlen(name);
    for (const char *p = text; (p = strstr(p, name)); p += n_name) {
        bool at_start = p == text || p[-1] == ' ' || p[-1] == ',';
        if (!at_start || strncmp(p + n_name, "=\"", 2) != 0)
            continue;
        const char *value = p + n_name + 2, *end = value;
        while (*end && !(*end == '"' && (end[1] == ',' || end[1] == '\0')))
            end++;
        if (!*end || (size_t)(end - value) >= OCI_AUTH_TEXT_MAX)
            return false;
        memcpy(out, value, (size_t)(end - value));
        out[end - value] = '\0';
        return true;
    }
    return false;
}

/* Whether a text is one word of visible characters, as URLs are; else it might say more than its
 * line of a request. */
static bool is_word(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    return true;
}

oll_status oci_challenge_parse(const char *text, struct oci_challenge *out, struct oll_error *err)
{
    struct oci_challenge c = {0};
    if (text && strncasecmp(text, "Basic", 5) == 0) {
        c.basic = true;
    } else if (!text || strncasecmp(text, "Bearer ", 7) != 0 ||
               !take_parameter(text + 7, "realm", c.realm)) {
        return OLL_FAIL(err, OLL_ERR_FORMAT, "registry asks for an unknown authentication: %.200s",
                        text ? text : "(none)");
    } else {
        if (!is_word(c.realm))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "the registry's realm is no URL: %.200s", c.realm);
        take_parameter(text + 7, "service", c.service);
        take_parameter(text + 7, "scope", c.scope);
    }
    *out = c;
    return OLL_OK;
}

/* ---- token URL ---- */

enum { MEMBERS_MAX = 64 };

struct member {
    const char *name, *value; /* encoded already when `raw` */
    bool raw;
};

/* By the name alone; members of one name keep their order. */
static void sort_members(struct member *members, int n)
{
    for (int i = 1; i < n; i++) {
        struct member m = members[i];
        int at = i;
        for (; at > 0 && strcmp(members[at - 1].name, m.name) > 0; at--)
            members[at] = members[at - 1];
        members[at] = m;
    }
}

/* Cuts "a=1&b=2" into members; what stands in a realm is encoded by who wrote it. */
static int cut_query(char *query, struct member *members, int max)
{
    int n = 0;
    while (query && *query && n < max) {
        char *next = strchr(query, '&');
        if (next)
            *next++ = '\0';
        char *eq = strchr(query, '=');
        if (eq)
            *eq = '\0';
        members[n++] = (struct member){query, eq ? eq + 1 : "", true};
        query = next;
    }
    return n;
}

static int cut_scopes(char *scope, struct member *members, int max)
{
    int n = 0;
    do {
        char *next = strchr(scope, ' ');
        if (next)
            *next++ = '\0';
        members[n++] = (struct member){"scope", scope, false};
        scope = next;
    } while (scope && n < max);
    return n;
}

oll_status oci_token_url(const struct oci_challenge *challenge, int64_t unix_s, const char *nonce,
                         struct oll_strbuf *out, struct oll_error *err)
{
    struct oci_challenge c = *challenge;
    struct member members[MEMBERS_MAX + 4];
    char ts[32];
    char *query = strchr(c.realm, '?');
    if (query)
        *query++ = '\0';
    snprintf(ts, sizeof ts, "%lld", (long long)unix_s);
    int n = cut_query(query, members, MEMBERS_MAX / 2);
    members[n++] = (struct member){"service", c.service, false};
    n += cut_scopes(c.scope, members + n, MEMBERS_MAX / 2);
    members[n++] = (struct member){"ts", ts, false};
    members[n++] = (struct member){"nonce", nonce, false};
    sort_members(members, n);
    oll_strbuf_adds(out, c.realm);
    for (int i = 0; i < n; i++) {
        if (members[i].raw)
            oll_strbuf_printf(out, "%c%s=%s", strchr(out->data, '?') ? '&' : '?', members[i].name,
                              members[i].value);
        else
            https_add_query(out, members[i].name, members[i].value);
    }
    if (out->status != OLL_OK)
        return OLL_FAIL(err, out->status, "token URL: %s", oll_status_text(out->status));
    return OLL_OK;
}

/* ---- identity ---- */

oll_status oci_sign_request(const char *key_path, const char *url, struct oll_strbuf *out,
                            struct oll_error *err)
{
    /* Base64 of the hex SHA-256 of an empty body. */
    static const char no_body[] =
        "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ==";
    struct oll_strbuf text;
    struct oll_key key;
    uint8_t signature[64];
    if (!key_path)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "no key");
    OLL_TRY(oll_key_read(key_path, &key, err));
    oll_strbuf_init(&text, HTTPS_URL_MAX + 256);
    oll_strbuf_printf(&text, "GET,%s,%s", url, no_body);
    oll_status status = oll_key_sign(&key, text.data, text.len, signature, err);
    oll_strbuf_free(&text);
    if (status == OLL_OK) {
        oll_key_public_text(&key, out);
        oll_strbuf_addc(out, ':');
        oll_base64_encode(signature, sizeof signature, out);
    }
    memset(&key, 0, sizeof key);
    return status;
}

static bool docker_config_path(char out[1024])
{
    const char *dir = registry_env("DOCKER_CONFIG"), *home = registry_env("HOME");
    int n = -1;
    if (dir)
        n = snprintf(out, 1024, "%s/config.json", dir);
    else if (home)
        n = snprintf(out, 1024, "%s/.docker/config.json", home);
    return n > 0 && n < 1024;
}

bool oci_docker_login(const char *host, char out[OCI_AUTH_TEXT_MAX])
{
    char path[1024], *text = NULL;
    struct oll_arena arena;
    struct oll_json *root;
    uint64_t n;
    bool found = false;
    if (!docker_config_path(path) ||
        oll_file_read(path, DOCKER_CONFIG_MAX, &text, &n, NULL) != OLL_OK)
        return false;
    oll_arena_init(&arena, 64 << 20);
    if (oll_json_parse(&arena, text, (size_t)n, NULL, &root, NULL) == OLL_OK) {
        const struct oll_json *login = oll_json_get(oll_json_get(root, "auths"), host);
        const char *auth = oll_json_get_str(login, "auth", "");
        found = *auth && strlen(auth) < OCI_AUTH_TEXT_MAX &&
                strspn(auth, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") ==
                    strlen(auth);
        if (found)
            memcpy(out, auth, strlen(auth) + 1);
    }
    oll_arena_free(&arena);
    oll_free(text);
    return found;
}

/* ---- answering ---- */

/* Whether OLL_AUTH_REALMS, a list of origins, has this one. */
static bool realm_is_listed(const char *origin)
{
    const char *list = registry_env("OLL_AUTH_REALMS");
    while (list && *list) {
        char entry[HTTPS_ORIGIN_MAX], listed[HTTPS_ORIGIN_MAX];
        size_t n = strcspn(list, ", ");
        if (n > 0 && n < sizeof entry) {
            memcpy(entry, list, n);
            entry[n] = '\0';
            if (https_origin(entry, listed) && strcmp(listed, origin) == 0)
                return true;
        }
        list += n + strspn(list + n, ", ");
    }
    return false;
}

static oll_status check_realm(const char *realm, const char *url, struct oll_error *err)
{
    char a[HTTPS_ORIGIN_MAX], b[HTTPS_ORIGIN_MAX], host_a[HTTPS_ORIGIN_MAX],
        host_b[HTTPS_ORIGIN_MAX];
    if (!https_origin(realm, a) || !https_host(realm, host_a) || !https_origin(url, b) ||
        !https_host(url, host_b))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "realm of the registry is no URL: %.200s", realm);
    if (strcmp(a, b) == 0 || realm_is_listed(a))
        return OLL_OK;
    bool same_host = strcmp(host_a, host_b) == 0;
    return OLL_FAIL(err, OLL_ERR_DENIED,
                    "realm host \"%s\" does not match original host \"%s\" (OLL_AUTH_REALMS=%s "
                    "allows it)",
                    same_host ? a : host_a, same_host ? b : host_b, a);
}

static oll_status make_nonce(struct oll_strbuf *out)
{
    uint8_t bytes[16];
    oll_platform_random(bytes, sizeof bytes);
    oll_base64_encode(bytes, sizeof bytes, out);
    while (out->len > 0 && out->data[out->len - 1] == '=')
        out->data[--out->len] = '\0';
    for (size_t i = 0; i < out->len; i++)
        out->data[i] = out->data[i] == '+' ? '-' : out->data[i] == '/' ? '_' : out->data[i];
    return out->status;
}

/* "Bearer <token>" from the reply of a token server. */
static oll_status read_token(const struct https_reply *reply, char **authorization,
                             struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root;
    if (reply->status >= 400) {
        if (reply->body.len == 0)
            return OLL_FAIL(err, OLL_ERR_DENIED, "%ld", reply->status);
        return OLL_FAIL(err, OLL_ERR_DENIED, "%ld: %.*s", reply->status, ERROR_SHOWN_MAX,
                        reply->body.data);
    }
    oll_arena_init(&arena, 16 << 20);
    oll_status status = oll_json_parse(&arena, reply->body.data, reply->body.len, NULL, &root, err);
    if (status == OLL_OK) {
        const char *token = oll_json_get_str(root, "token", "");
        if (!*token)
            token = oll_json_get_str(root, "access_token", "");
        size_t n = strlen(token);
        for (size_t i = 0; i < n; i++)
            if (token[i] <= ' ' || token[i] > '~')
                n = 0;
        char *text = n > 0 ? oll_alloc(n + 8, 1) : NULL;
        if (text)
            snprintf(text, n + 8, "Bearer %s", token);
        else
            status = OLL_FAIL(err, OLL_ERR_FORMAT, "token server sent no usable token");
        *authorization = text;
    } else {
        oll_error_prefix(err, "token server");
    }
    oll_arena_free(&arena);
    return status;
}

static oll_status fetch_token(struct https *session, const char *url, const char *authorization,
                              char **out, struct oll_error *err)
{
    struct https_transfer *transfer;
    struct https_request request = {
        .method = "GET",
        .url = url,
        .authorization = authorization && *authorization ? authorization : NULL,
        .max_body = TOKEN_BYTES_MAX,
    };
    OLL_TRY(https_call(session, &request, &transfer, err));
    oll_status status = read_token(https_transfer_reply(transfer), out, err);
    https_transfer_free(transfer);
    return status;
}

static oll_status bearer(struct https *session, const struct oci_challenge *challenge,
                         const char *host, const char *key_path, char **authorization,
                         struct oll_error *err)
{
    struct oll_strbuf url, who, nonce;
    char login[OCI_AUTH_TEXT_MAX];
    oll_strbuf_init(&url, HTTPS_URL_MAX);
    oll_strbuf_init(&who, 4096);
    oll_strbuf_init(&nonce, 64);
    oll_status status = make_nonce(&nonce);
    if (status == OLL_OK)
        status = oci_token_url(challenge, (int64_t)time(NULL), nonce.data, &url, err);
    if (status == OLL_OK && oci_docker_login(host, login))
        oll_strbuf_printf(&who, "Basic %s", login);
    else if (status == OLL_OK)
        status = oci_sign_request(key_path, url.data, &who, NULL);
    /* Without a key many registries give a token that reads. */
    if (status == OLL_ERR_NOT_FOUND)
        status = OLL_OK;
    if (status == OLL_OK)
        status = fetch_token(session, url.data, who.data, authorization, err);
    else
        oll_error_set(err, status, "request for a token: %s", oll_status_text(status));
    oll_strbuf_free(&url);
    oll_strbuf_free(&who);
    oll_strbuf_free(&nonce);
    return status;
}

oll_status oci_authorize(struct https *session, const char *url, const char *challenge,
                         const char *key_path, char **authorization, struct oll_error *err)
{
    struct oci_challenge c;
    char host[HTTPS_ORIGIN_MAX], login[OCI_AUTH_TEXT_MAX];
    OLL_TRY(oci_challenge_parse(challenge, &c, err));
    if (!https_host(url, host))
        return OLL_FAIL(err, OLL_ERR_ARG, "%.200s is no URL", url);
    if (!c.basic) {
        OLL_TRY(check_realm(c.realm, url, err));
        return bearer(session, &c, host, key_path, authorization, err);
    }
    if (!oci_docker_login(host, login))
        return OLL_FAIL(err, OLL_ERR_DENIED,
                        "unauthorized: access denied (%s asks for a user and a password; docker's "
                        "config.json has none for it)",
                        host);
    size_t n = strlen(login) + 8;
    char *text = oll_alloc(n, 1);
    if (!text)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for credentials");
    snprintf(text, n, "Basic %s", login);
    *authorization = text;
    return OLL_OK;
}
