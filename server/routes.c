#include "server/routes.h"

#include "engine/base/platform.h"
#include "engine/base/strbuf.h"
#include "server/access.h"
#include "server/anthropic.h"
#include "server/app.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/ollama.h"
#include "server/openai.h"
#include "server/openai_responses.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Methods in the order of the Allow header. */
enum { HEAD = 1, GET = 2, POST = 4, DELETE = 8 };
static const char *const method_names[] = {"HEAD", "GET", "POST", "DELETE"};
enum { N_METHODS = sizeof method_names / sizeof method_names[0] };

enum { BODY_JSON = 32 * 1024 * 1024 };

struct route {
    unsigned methods;
    const char *pattern; /* a segment ":name" stands for any one segment */
    http_handler handler;
    bool quick;
    enum { ROUTE_USE, ROUTE_FREE, ROUTE_ADMIN } kind; /* ROUTE_FREE: without a key too */
};

/* For those who watch over servers: that this one takes requests. */
static void reply_health(struct http_request *req)
{
    static const char text[] = "{\"status\":\"ok\"}";
    http_reply_send(req, 200, "application/json; charset=utf-8", text, sizeof text - 1);
}

static const struct route routes[] = {
    {HEAD | GET, "/", ollama_root, true, ROUTE_FREE},
    {HEAD | GET, "/api/version", ollama_version, true, ROUTE_FREE},
    {HEAD | GET, "/api/tags", ollama_tags, false, ROUTE_USE},
    {GET, "/api/ps", ollama_ps, false, ROUTE_USE},
    {POST, "/api/show", ollama_show, false, ROUTE_USE},
    {POST, "/api/create", ollama_create, false, ROUTE_ADMIN},
    {POST, "/api/pull", ollama_pull, false, ROUTE_ADMIN},
    {POST, "/api/push", ollama_push, false, ROUTE_ADMIN},
    {POST, "/api/copy", ollama_copy, false, ROUTE_ADMIN},
    {DELETE, "/api/delete", ollama_delete, false, ROUTE_ADMIN},
    {HEAD, "/api/blobs/:digest", ollama_blob_head, false, ROUTE_USE},
    {POST, "/api/blobs/:digest", ollama_blob_post, false, ROUTE_ADMIN},
    {POST, "/api/generate", ollama_generate, false, ROUTE_USE},
    {POST, "/api/chat", ollama_chat, false, ROUTE_USE},
    {POST, "/api/embed", ollama_embed, false, ROUTE_USE},
    {POST, "/api/embeddings", ollama_embeddings, false, ROUTE_USE},
    {POST, "/api/tokenize", ollama_tokenize, false, ROUTE_USE},
    {POST, "/api/detokenize", ollama_detokenize, false, ROUTE_USE},
    {HEAD | GET, "/health", reply_health, true, ROUTE_FREE},
    {HEAD | GET, "/metrics", metrics_reply, false, ROUTE_USE},
    {POST, "/v1/chat/completions", openai_chat, false, ROUTE_USE},
    {POST, "/v1/completions", openai_completions, false, ROUTE_USE},
    {POST, "/v1/embeddings", openai_embeddings, false, ROUTE_USE},
    {POST, "/v1/rerank", openai_rerank, false, ROUTE_USE},
    {POST, "/v1/reranking", openai_rerank, false, ROUTE_USE},
    {POST, "/rerank", openai_rerank, false, ROUTE_USE},
    {POST, "/v1/responses", openai_responses, false, ROUTE_USE},
    {POST, "/v1/messages", anthropic_messages, false, ROUTE_USE},
    {GET, "/v1/models", openai_models, false, ROUTE_USE},
    {GET, "/v1/models/:model", openai_model, false, ROUTE_USE},
};
enum { N_ROUTES = sizeof routes / sizeof routes[0] };

const char *routes_pattern(int route)
{
    return route == 0 ? "other" : route <= N_ROUTES ? routes[route - 1].pattern : NULL;
}

/* ---- fixed replies ---- */

struct fixed {
    int status;
    const char *content_type, *body;
};

static void reply_fixed(struct http_request *req)
{
    const struct fixed *fixed = req->plan_data;
    http_reply_send(req, fixed->status, fixed->content_type, fixed->body, strlen(fixed->body));
}

static void plan_fixed(struct http_request *req, struct http_plan *plan, int status,
                       const char *content_type, const char *body)
{
    static const struct fixed out_of_memory = {503, NULL, ""};
    struct fixed *fixed = oll_arena_alloc(req->arena, 1, sizeof *fixed);
    if (fixed)
        *fixed = (struct fixed){status, content_type, body};
    req->plan_data = fixed ? fixed : &out_of_memory;
    *plan = (struct http_plan){.handler = reply_fixed, .body_limit = BODY_JSON, .quick = true};
}

/* ---- paths ---- */

/* Whether a path fits a pattern; *param is the start of the segment that a ":name" stands for, NULL
 * without one. */
static bool path_fits(const char *pattern, const char *path, const char **param)
{
    *param = NULL;
    while (*pattern && *path) {
        if (*pattern == ':' && *path != '/') {
            *param = path;
            pattern += strcspn(pattern, "/");
            path += strcspn(path, "/");
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *pattern == *path;
}

/* Methods that a path serves. */
static unsigned methods_of(const char *path)
{
    const char *param;
    unsigned methods = 0;
    for (int i = 0; i < N_ROUTES; i++)
        if (path_fits(routes[i].pattern, path, &param))
            methods |= routes[i].methods;
    return methods;
}

static unsigned method_bit(const char *method)
{
    for (int i = 0; i < N_METHODS; i++)
        if (strcmp(method, method_names[i]) == 0)
            return 1u << i;
    return 0;
}

static void add_allow(struct http_request *req, unsigned methods)
{
    char text[64] = "";
    for (int i = 0; i < N_METHODS; i++)
        if (methods & 1u << i) {
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", method_names[i]);
        }
    http_reply_header(req, "Allow", text);
}

/* ---- CORS ---- */

/* Whether a page was served from where it calls. */
static bool same_origin(const char *origin, const char *host)
{
    const char *rest = strncmp(origin, "http://", 7) == 0    ? origin + 7
                       : strncmp(origin, "https://", 8) == 0 ? origin + 8
                                                             : NULL;
    return rest && host && strcmp(rest, host) == 0;
}

static const char allowed_headers[] =
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,"
    "X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,"
    "X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
    "X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout";

/* True when the request is answered by CORS alone. */
static bool plan_cors(struct http_request *req, struct http_plan *plan, bool options)
{
    const struct access *access = ((const struct app *)req->app)->access;
    const char *origin = http_request_header(req, "Origin");
    bool any = access_any_origin(access);
    if (!origin || !*origin || same_origin(origin, req->host))
        return false;
    if (!access_origin_allowed(access, origin)) {
        plan_fixed(req, plan, 403, NULL, "");
        return true;
    }
    if (options) {
        http_reply_header(req, "Access-Control-Allow-Methods",
                          "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
        http_reply_header(req, "Access-Control-Allow-Headers", allowed_headers);
        http_reply_header(req, "Access-Control-Max-Age", "43200");
    }
    http_reply_header(req, "Access-Control-Allow-Origin", any ? "*" : origin);
    if (!any)
        http_reply_header(req, "Vary", "Origin");
    if (!any && options) {
        http_reply_header(req, "Vary", "Access-Control-Request-Method");
        http_reply_header(req, "Vary", "Access-Control-Request-Headers");
    }
    if (options)
        plan_fixed(req, plan, 204, NULL, "");
    return options;
}

/* True when the request is answered by the Host check alone. */
static bool plan_host(struct http_request *req, struct http_plan *plan, bool options)
{
    const struct access *access = ((const struct app *)req->app)->access;
    if (!req->on_loopback)
        return false;
    enum access_host found = access_check_host(access, req->host ? req->host : "");
    if (found == ACCESS_HOST_REFUSED)
        plan_fixed(req, plan, 403, NULL, "");
    else if (found == ACCESS_HOST_NAME && options)
        plan_fixed(req, plan, 204, NULL, "");
    else
        return false;
    return true;
}

/* ---- redirects ---- */

/* The path without repeated slashes. */
static const char *clean_path(struct http_request *req)
{
    char *out = oll_arena_strdup(req->arena, req->path), *to = out;
    for (const char *from = out; out && *from; from++)
        if (*from != '/' || from[1] != '/')
            *to++ = *from;
    if (to)
        *to = '\0';
    return out;
}

/* The path with its last slash taken off, or put on. */
static const char *other_slash(struct http_request *req)
{
    size_t n = strlen(req->path);
    if (n > 1 && req->path[n - 1] == '/')
        return oll_arena_strndup(req->arena, req->path, n - 1);
    return oll_arena_printf(req->arena, "%s/", req->path);
}

static void plan_redirect(struct http_request *req, struct http_plan *plan, const char *path,
                          int status)
{
    struct oll_strbuf location;
    bool get = strcmp(req->method, "GET") == 0;
    oll_strbuf_init(&location, 4 * HTTP_LINE_MAX);
    for (const char *p = path; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("/-._~:@", *p);
        oll_strbuf_printf(&location, plain ? "%c" : "%%%02X", (unsigned char)*p);
    }
    if (*req->query)
        oll_strbuf_printf(&location, "?%s", req->query);
    const char *text = oll_arena_strdup(req->arena, location.data);
    oll_strbuf_free(&location);
    if (!text) {
        plan_fixed(req, plan, 503, NULL, "");
        return;
    }
    http_reply_header(req, "Location", text);
    /* What a query may hold of HTML's own characters is not repeated in the page. */
    const char *page =
        oll_arena_printf(req->arena, "<a href=\"%.*s\">%s</a>.\n\n", (int)strcspn(text, "?\"&<>"),
                         text, status == 301 ? "Moved Permanently" : "Temporary Redirect");
    plan_fixed(req, plan, status, get ? "text/html; charset=utf-8" : NULL, get && page ? page : "");
}

/* Unknown paths that another spelling of would serve this method. */
static bool plan_near(struct http_request *req, struct http_plan *plan, unsigned method)
{
    const char *slash = other_slash(req), *clean = clean_path(req);
    if (slash && (methods_of(slash) & method)) {
        plan_redirect(req, plan, slash, method == GET ? 301 : 307);
        return true;
    }
    if (clean && strcmp(clean, req->path) != 0 && (methods_of(clean) & method)) {
        plan_redirect(req, plan, clean, 307);
        return true;
    }
    return false;
}

/* ---- keys ---- */

/* An error in the form of the API that was called. */
static void plan_error(struct http_request *req, struct http_plan *plan, int status,
                       const char *text)
{
    const bool anthropic = strncmp(req->path, "/v1/messages", 12) == 0;
    const bool native = strncmp(req->path, "/v1/", 4) != 0;
    const char *type = status == 401 ? "authentication_error" : "permission_error";
    const char *body =
        native ? oll_arena_printf(req->arena, "{\"error\":\"%s\"}", text)
        : anthropic
            ? oll_arena_printf(
                  req->arena, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"}}",
                  type, text)
            : oll_arena_printf(req->arena,
                               "{\"error\":{\"message\":\"%s\",\"type\":\"%s\","
                               "\"param\":null,\"code\":null}}",
                               text, type);
    if (status == 401)
        http_reply_header(req, "WWW-Authenticate", "Bearer");
    plan_fixed(req, plan, status, "application/json; charset=utf-8", body ? body : "");
}

/* True when the request is answered by what its sender lacks (R21). */
static bool plan_keys(struct http_request *req, struct http_plan *plan, const struct route *route)
{
    const struct app *app = req->app;
    if (app->keys && route->kind != ROUTE_FREE &&
        !keys_allow(app->keys, http_request_header(req, "Authorization"),
                    http_request_header(req, "X-Api-Key")))
        plan_error(req, plan, 401,
                   "this server asks for a key: send it as Authorization: Bearer KEY");
    else if (app->is_read_only && route->kind == ROUTE_ADMIN)
        plan_error(
            req, plan, 403,
            "models of this server cannot be changed from here: it can be reached from other "
            "machines and has no keys (OLL_API_KEYS_FILE, or OLL_OPEN=1 to allow it)");
    else
        return false;
    return true;
}

/* ---- request ids ---- */

/* Takes the client's own where it is a word of sane characters, and tells it again; else makes one
 * for the log, and says it to those who sent one: replies to others have no headers of ours. */
static void take_id(struct http_request *req)
{
    static const char digits[] = "0123456789abcdef";
    const char *own = http_request_header(req, "X-Request-Id");
    uint8_t random[8];
    size_t n = 0;
    while (own && n < HTTP_ID_MAX && (isalnum((unsigned char)own[n]) || strchr("-_.:", own[n])) &&
           own[n])
        n++;
    if (own && n > 0 && n < HTTP_ID_MAX && !own[n]) {
        memcpy(req->id, own, n + 1);
    } else {
        oll_platform_random(random, sizeof random);
        for (size_t i = 0; i < 2 * sizeof random; i++)
            req->id[i] = digits[random[i / 2] >> (i % 2 ? 0 : 4) & 15];
        req->id[2 * sizeof random] = '\0';
    }
    if (own)
        http_reply_header(req, "X-Request-Id", req->id);
}

/* ---- all together ---- */

void routes_plan(struct http_request *req, struct http_plan *plan)
{
    take_id(req);
    unsigned methods = methods_of(req->path), method = method_bit(req->method);
    bool options = strcmp(req->method, "OPTIONS") == 0;
    if (methods && (options || !(methods & method)))
        add_allow(req, methods);
    if (plan_cors(req, plan, options) || plan_host(req, plan, options))
        return;
    for (int i = 0; i < N_ROUTES; i++)
        if ((routes[i].methods & method) && path_fits(routes[i].pattern, req->path, &req->param)) {
            req->route = i + 1;
            if (plan_keys(req, plan, &routes[i]))
                return;
            const bool is_blob = routes[i].handler == ollama_blob_post;
            const uint64_t limit = is_blob ? ollama_blob_plan(req) : BODY_JSON;
            *plan = (struct http_plan){routes[i].handler, limit, routes[i].quick};
            return;
        }
    if (methods)
        plan_fixed(req, plan, 405, "text/plain", "405 method not allowed");
    else if (!plan_near(req, plan, method))
        plan_fixed(req, plan, 404, "text/plain", "404 page not found");
}
