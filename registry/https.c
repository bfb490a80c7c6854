#include "registry/https.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/version.h"
#include "registry/environment.h"
#include "registry/https_internal.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER_BYTES_MAX = 64 * 1024,
    CONNECTIONS_MAX = 16,
    POLL_MS = 100,
    CONNECT_TIMEOUT_S = 30,
    SLOW_BYTES_PER_S = 1024,
    SLOW_S = 60,
    STALL_S = 30,
    ANSWER_S = 600, /* for the answer after a body was sent: a registry may hash it first */
    BUFFER_BYTES = 256 * 1024,
    LIMITED_BYTES = 16 * 1024 /* where a rate is set, so that pauses are short */
};

struct https {
    CURLM *multi;
    char origin[HTTPS_ORIGIN_MAX];
    bool private_ok; /* the registry itself has a private address */
    uint64_t rate, stall_ns;
    uint64_t next_ns; /* when bytes may pass again, where a rate is set */
    int n_running;
    bool (*canceled)(void *user);
    void *user;
    struct curl_slist *resolve;
    char *unix_socket;
    bool patient, direct;
};

struct https_transfer {
    struct https *session;
    CURL *easy;
    struct curl_slist *headers;
    struct https_request request;
    struct https_reply reply;
    bool to_origin, by_proxy, in_multi, ended, head_done, sent_all;
    uint64_t n_body, n_sent, last_ns;
    oll_status status; /* of a callback or a limit of ours; decides before libcurl's code does */
    struct oll_error err;
    char curl_error[CURL_ERROR_SIZE];
    char url[HTTPS_URL_MAX];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

/* "ollama/<version> (amd64 linux) oll/<version>": registries read the version from it. */
static char user_agent[160];

static void init_library(void)
{
    struct utsname name;
    global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (uname(&name) != 0)
        name.machine[0] = name.sysname[0] = '\0';
    for (char *p = name.sysname; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    const char *machine = strcmp(name.machine, "x86_64") == 0    ? "amd64"
                          : strcmp(name.machine, "aarch64") == 0 ? "arm64"
                                                                 : name.machine;
    snprintf(user_agent, sizeof user_agent, "ollama/%s (%.32s %.32s) oll/%s", OLL_OLLAMA_VERSION,
             machine, name.sysname, OLL_VERSION);
}

/* ---- session ---- */

#ifdef OLL_FAULTS
/* Tests give names to addresses: OLL_TEST_RESOLVE=name:port:address,... */
static struct curl_slist *test_addresses(void)
{
    struct curl_slist *list = NULL;
    const char *given = registry_env("OLL_TEST_RESOLVE");
    char *copy = oll_strdup(given ? given : "");
    for (char *p = copy; p && *p;) {
        size_t n = strcspn(p, ",");
        bool last = p[n] == '\0';
        p[n] = '\0';
        list = curl_slist_append(list, p);
        p += n + !last;
    }
    oll_free(copy);
    return list;
}
#else
static struct curl_slist *test_addresses(void) { return NULL; }
#endif

oll_status https_new(const struct https_config *config, struct https **out, struct oll_error *err)
{
    const char *stall = registry_env("OLL_STALL_S"), *rate = registry_env("OLL_LIMIT_RATE");
    uint64_t bytes_per_s = 0;
    if (!config->patient && !config->direct && !https_parse_rate(rate, &bytes_per_s))
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "OLL_LIMIT_RATE is \"%.64s\": it must be bytes a second, e.g. 500k or 5m",
                        rate);
    pthread_once(&once, init_library);
    struct https *s = global_code == CURLE_OK ? oll_calloc(1, sizeof *s) : NULL;
    if (s)
        s->multi = curl_multi_init();
    if (!s || !s->multi) {
        oll_free(s);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    }
    if (!https_origin(config->registry_url, s->origin)) {
        https_free(s);
        return OLL_FAIL(err, OLL_ERR_ARG, "%s is no URL of a registry", config->registry_url);
    }
    s->canceled = config->canceled;
    s->user = config->user;
    s->rate = bytes_per_s;
    s->stall_ns = (stall ? strtoull(stall, NULL, 10) : STALL_S) * 1000000000ull;
    s->resolve = test_addresses();
    s->patient = config->patient;
    s->direct = config->direct;
    s->unix_socket = config->unix_socket ? oll_strdup(config->unix_socket) : NULL;
    if (config->unix_socket && !s->unix_socket) {
        https_free(s);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    }
    curl_multi_setopt(s->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      config->direct ? 0L : (long)CONNECTIONS_MAX);
    *out = s;
    return OLL_OK;
}

void https_free(struct https *session)
{
    if (!session)
        return;
    curl_multi_cleanup(session->multi);
    curl_slist_free_all(session->resolve);
    oll_free(session->unix_socket);
    oll_free(session);
}

bool https_is_limited(const struct https *session) { return session->rate > 0; }

/* ---- callbacks of a transfer ---- */

static void touch(struct https_transfer *t) { t->last_ns = oll_clock_ns(); }

static size_t stop(struct https_transfer *t, oll_status status)
{
    t->status = status;
    oll_error_set(&t->err, status, "%s", oll_status_text(status));
    return 0;
}

const char *https_header(const struct https_reply *reply, const char *name)
{
    const char *p = reply->headers.data, *end = p + reply->headers.len;
    while (p < end) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

static oll_status check_codings(struct https_transfer *t)
{
    const char *content = https_header(&t->reply, "content-encoding");
    const char *transfer = https_header(&t->reply, "transfer-encoding");
    if (content && strcasecmp(content, "identity") != 0 && *content)
        return OLL_FAIL(&t->err, OLL_ERR_UNSUPPORTED,
                        "%s: refused an encoded reply (Content-Encoding: %.64s)", t->url, content);
    if (transfer && strcasecmp(transfer, "chunked") != 0)
        return OLL_FAIL(&t->err, OLL_ERR_UNSUPPORTED,
                        "%s: refused an encoded reply (Transfer-Encoding: %.64s)", t->url,
                        transfer);
    return OLL_OK;
}

/* The empty line: the headers of the final reply are complete. */
static oll_status head_complete(struct https_transfer *t)
{
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->reply.status);
    if (t->reply.status < 200)
        return OLL_OK;
    t->head_done = true;
    OLL_TRY(check_codings(t));
    return t->request.on_head ? t->request.on_head(t->request.user, &t->reply, &t->err) : OLL_OK;
}

static void add_header(struct oll_strbuf *headers, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (!colon || memchr(line, '\0', n))
        return;
    for (const char *p = line; p < colon; p++)
        oll_strbuf_addc(headers, *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p);
    oll_strbuf_addc(headers, '\0');
    const char *value = colon + 1, *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    oll_strbuf_add(headers, value, (size_t)(end - value));
    oll_strbuf_addc(headers, '\0');
}

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct https_transfer *t = user;
    (void)size;
    touch(t);
    if (t->head_done)
        return n; /* trailers */
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
        oll_strbuf_clear(&t->reply.headers);
    else
        add_header(&t->reply.headers, line, n);
    if (t->reply.headers.status != OLL_OK) {
        OLL_FAIL(&t->err, OLL_ERR_LIMIT, "%s: more than %d bytes of headers", t->url,
                 HEADER_BYTES_MAX);
        return stop(t, OLL_ERR_LIMIT);
    }
    bool empty = n <= 2 && (line[0] == '\r' || line[0] == '\n');
    oll_status status = empty ? head_complete(t) : OLL_OK;
    return status == OLL_OK ? n : stop(t, status);
}

/* Holds bytes back until their time has come, or until who waits for them has gone. libcurl's own
 * limits let bursts of megabytes pass. */
static void throttle(struct https *s, size_t n)
{
    const uint64_t burst_ns = 100 * 1000000, nap_ns = POLL_MS * 1000000;
    uint64_t now = oll_clock_ns();
    if (s->rate == 0)
        return;
    if (s->next_ns + burst_ns < now)
        s->next_ns = now;
    s->next_ns += (uint64_t)((double)n / (double)s->rate * 1e9);
    for (; now < s->next_ns && !(s->canceled && s->canceled(s->user)); now = oll_clock_ns()) {
        const uint64_t left_ns = s->next_ns - now;
        struct timespec pause = {.tv_nsec = (long)(left_ns < nap_ns ? left_ns : nap_ns)};
        nanosleep(&pause, NULL);
    }
}

static size_t on_data(char *data, size_t size, size_t n, void *user)
{
    struct https_transfer *t = user;
    oll_status status = OLL_OK;
    (void)size;
    if (n > t->request.max_body - t->n_body) {
        OLL_FAIL(&t->err, OLL_ERR_LIMIT, "%s: registry sent more than %llu bytes", t->url,
                 (unsigned long long)t->request.max_body);
        return stop(t, OLL_ERR_LIMIT);
    }
    t->n_body += n;
    throttle(t->session, n);
    touch(t);
    if (t->request.on_body)
        status = t->request.on_body(t->request.user, data, n, &t->err);
    else
        oll_strbuf_add(&t->reply.body, data, n);
    if (status == OLL_OK)
        status = t->reply.body.status;
    return status == OLL_OK ? n : stop(t, status);
}

static size_t on_read(char *to, size_t size, size_t n, void *user)
{
    struct https_transfer *t = user;
    const struct https_request *r = &t->request;
    uint64_t left = r->file_bytes - t->n_sent;
    ssize_t got;
    n *= size;
    if (n > left)
        n = (size_t)left;
    do
        got = n > 0 ? pread(r->fd, to, n, (off_t)(r->file_off + t->n_sent)) : 0;
    while (got < 0 && errno == EINTR);
    if (got < 0 || (got == 0 && n > 0)) {
        OLL_FAIL(&t->err, OLL_ERR_IO, "blob cannot be read: %s",
                 got < 0 ? strerror(errno) : "it is shorter than its manifest says");
        stop(t, OLL_ERR_IO);
        return CURL_READFUNC_ABORT;
    }
    throttle(t->session, (size_t)got);
    touch(t);
    if (r->on_sent && got > 0)
        r->on_sent(r->user, to, (size_t)got, t->n_sent);
    t->n_sent += (uint64_t)got;
    t->sent_all = t->n_sent == r->file_bytes;
    return (size_t)got;
}

static int on_seek(void *user, curl_off_t offset, int origin)
{
    struct https_transfer *t = user;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->request.file_bytes)
        return CURL_SEEKFUNC_FAIL;
    t->n_sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct https_transfer *t = user;
    enum https_address kind = https_classify(&address->addr);
    (void)purpose;
    if (kind == HTTPS_PRIVATE && t->to_origin)
        t->session->private_ok = true;
    /* A socket that the user named is no address of a network. */
    bool ok = t->session->unix_socket || t->by_proxy || kind == HTTPS_PUBLIC ||
              (kind == HTTPS_PRIVATE && t->session->private_ok);
    if (!ok) {
        OLL_FAIL(&t->err, OLL_ERR_DENIED, "%s: refused: its host has a %s address", t->url,
                 kind == HTTPS_PRIVATE ? "private" : "link-local or reserved");
        t->status = OLL_ERR_DENIED;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- a transfer ---- */

static void set_method(struct https_transfer *t)
{
    const struct https_request *r = &t->request;
    CURL *e = t->easy;
    if (strcmp(r->method, "HEAD") == 0) {
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
        return;
    }
    if (strcmp(r->method, "GET") == 0)
        return;
    if (r->send_file) {
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->file_bytes);
        curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(e, CURLOPT_READDATA, t);
        curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
        if (t->session->rate == 0)
            curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    } else {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->n_data);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->n_data ? r->data : "");
        t->sent_all = true;
    }
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

static bool add_line(struct https_transfer *t, const char *line)
{
    struct curl_slist *grown = curl_slist_append(t->headers, line);
    if (grown)
        t->headers = grown;
    return grown != NULL;
}

static bool set_headers(struct https_transfer *t)
{
    const struct https_request *r = &t->request;
    bool ok = add_line(t, "Expect:");
    for (int i = 0; ok && r->headers && r->headers[i]; i++)
        ok = add_line(t, r->headers[i]);
    if (ok && r->authorization) {
        size_t n = strlen(r->authorization) + 32;
        char *line = oll_alloc(n, 1);
        ok = line != NULL;
        if (ok) {
            snprintf(line, n, "Authorization: %s", r->authorization);
            ok = add_line(t, line);
        }
        oll_free(line);
    }
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    return ok;
}

static void set_trust(CURL *e)
{
    const char *file = registry_env("SSL_CERT_FILE"), *dir = registry_env("SSL_CERT_DIR");
    if (!file)
        file = registry_env("CURL_CA_BUNDLE");
    if (file)
        curl_easy_setopt(e, CURLOPT_CAINFO, file);
    if (dir)
        curl_easy_setopt(e, CURLOPT_CAPATH, dir);
}

/* The first and the last decide the same in every place: which origin, which proxy. */
static bool set_place(struct https_transfer *t)
{
    char origin[HTTPS_ORIGIN_MAX], host[HTTPS_ORIGIN_MAX];
    if (!https_origin(t->url, origin))
        return false;
    t->to_origin = strcmp(origin, t->session->origin) == 0;
    char *scheme_end = strstr(origin, "://");
    memcpy(host, scheme_end + 3, strlen(scheme_end + 3) + 1);
    *scheme_end = '\0';
    *strrchr(host, ':') = '\0';
    const char *proxy = t->session->direct ? NULL : https_proxy(origin, host);
    t->by_proxy = proxy != NULL;
    curl_easy_setopt(t->easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "");
    return true;
}

static void set_options(struct https_transfer *t)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_URL, t->url);
    curl_easy_setopt(e, CURLOPT_USERAGENT, user_agent);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->curl_error);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    if (t->session->resolve)
        curl_easy_setopt(e, CURLOPT_RESOLVE, t->session->resolve);
    if (t->session->unix_socket)
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, t->session->unix_socket);
    if (t->session->rate > 0) {
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)LIMITED_BYTES);
        curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)LIMITED_BYTES);
    } else if (!t->session->patient) {
        curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
        curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME,
                         t->request.send_file ? (long)ANSWER_S : (long)SLOW_S);
    }
}

oll_status https_start(struct https *session, const struct https_request *request,
                       struct https_transfer **out, struct oll_error *err)
{
    if (strlen(request->url) >= HTTPS_URL_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "URL of more than %d bytes", HTTPS_URL_MAX);
    struct https_transfer *t = oll_calloc(1, sizeof *t);
    if (!t)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    t->session = session;
    t->request = *request;
    memcpy(t->url, request->url, strlen(request->url) + 1);
    t->request.url = t->url;
    oll_strbuf_init(&t->reply.headers, HEADER_BYTES_MAX);
    oll_strbuf_init(&t->reply.body, request->on_body ? 1 : (size_t)request->max_body + 1);
    touch(t);
    t->easy = curl_easy_init();
    bool ok = t->easy && set_headers(t);
    if (ok && !set_place(t)) {
        https_transfer_free(t);
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: no URL that is spoken here (http or https)",
                        request->url);
    }
    if (ok) {
        set_options(t);
        set_method(t);
        set_trust(t->easy);
        ok = curl_multi_add_handle(session->multi, t->easy) == CURLM_OK;
        t->in_multi = ok;
        session->n_running += ok;
    }
    if (!ok) {
        https_transfer_free(t);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    }
    *out = t;
    return OLL_OK;
}

void https_transfer_free(struct https_transfer *t)
{
    if (!t)
        return;
    if (t->in_multi) {
        curl_multi_remove_handle(t->session->multi, t->easy);
        t->session->n_running -= !t->ended;
    }
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    oll_strbuf_free(&t->reply.headers);
    oll_strbuf_free(&t->reply.body);
    oll_free(t);
}

/* Text of a failed transfer in the words of Ollama: Get "<url>": <reason> */
static void fail_transfer(struct https_transfer *t, oll_status status, const char *reason)
{
    t->status = status;
    char method[16] = "";
    snprintf(method, sizeof method, "%s", t->request.method);
    for (char *p = method + 1; method[0] && *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    oll_error_set(&t->err, status, "%s \"%s\": %s", method, t->url, reason);
}

/* A connection that stood and then failed. */
static bool broke(CURLcode code)
{
    return code == CURLE_OPERATION_TIMEDOUT || code == CURLE_RECV_ERROR ||
           code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE ||
           code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM || code == CURLE_AGAIN;
}

/* Who is at the other end could not be proven: that does not pass by trying again. */
static bool unproven(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CRL_BADFILE;
}

static void end_transfer(struct https_transfer *t, CURLcode code)
{
    t->ended = true;
    t->session->n_running--;
    if (t->status != OLL_OK || code == CURLE_OK)
        return;
    const char *reason = t->curl_error[0] ? t->curl_error : curl_easy_strerror(code);
    /* What OpenSSL says when the other side does not speak TLS. */
    if (code == CURLE_SSL_CONNECT_ERROR && strstr(reason, "wrong version number"))
        reason = "the server speaks plain HTTP; --insecure uses it";
    fail_transfer(t,
                  broke(code)      ? OLL_ERR_TIMEOUT
                  : unproven(code) ? OLL_ERR_DENIED
                                   : OLL_ERR_NETWORK,
                  reason);
}

static int collect_ended(struct https *session)
{
    CURLMsg *message;
    int left, n = 0;
    while ((message = curl_multi_info_read(session->multi, &left))) {
        struct https_transfer *t = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        end_transfer(t, message->data.result);
        n++;
    }
    return n;
}

oll_status https_wait(struct https *session, int timeout_ms, struct oll_error *err)
{
    uint64_t end_ns = oll_clock_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        int running, ready;
        if (session->canceled && session->canceled(session->user))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "canceled");
        if (curl_multi_perform(session->multi, &running) != CURLM_OK)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
        if (collect_ended(session) > 0 || session->n_running == 0)
            return OLL_OK;
        uint64_t now = oll_clock_ns();
        if (now >= end_ns)
            return OLL_OK;
        uint64_t left_ms = (end_ns - now) / 1000000 + 1;
        int ms = left_ms < POLL_MS ? (int)left_ms : POLL_MS;
        if (curl_multi_poll(session->multi, NULL, 0, ms, &ready) != CURLM_OK)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a transfer");
    }
}

/* Silence since the last byte in either direction. A registry that was sent a whole body may think
 * about it for longer. */
static bool stalled(const struct https_transfer *t)
{
    uint64_t limit = t->session->stall_ns;
    if (t->sent_all && !t->head_done && limit < (uint64_t)ANSWER_S * 1000000000)
        limit = (uint64_t)ANSWER_S * 1000000000;
    return !t->session->patient && oll_clock_ns() - t->last_ns > limit;
}

bool https_ended(const struct https_transfer *t) { return t->ended || stalled(t); }

oll_status https_result(const struct https_transfer *t, struct oll_error *err)
{
    if (t->status != OLL_OK)
        return OLL_FAIL(err, t->status, "%s", oll_error_text(&t->err));
    if (!t->ended)
        return OLL_FAIL(err, OLL_ERR_TIMEOUT, "%s: stalled: no byte for %llu s", t->url,
                        (unsigned long long)(t->session->stall_ns / 1000000000));
    return OLL_OK;
}

const struct https_reply *https_transfer_reply(const struct https_transfer *t) { return &t->reply; }

oll_status https_call(struct https *session, const struct https_request *request,
                      struct https_transfer **transfer, struct oll_error *err)
{
    struct https_transfer *t;
    OLL_TRY(https_start(session, request, &t, err));
    oll_status status = OLL_OK;
    while (status == OLL_OK && !https_ended(t))
        status = https_wait(session, POLL_MS, err);
    if (status == OLL_OK)
        status = https_result(t, err);
    if (status != OLL_OK) {
        https_transfer_free(t);
        return status;
    }
    *transfer = t;
    return OLL_OK;
}

double https_seconds_until(const char *text)
{
    const bool is_number = *text >= '0' && *text <= '9';
    const time_t at = is_number ? -1 : curl_getdate(text, NULL), now = time(NULL);
    return is_number ? strtod(text, NULL) : at > now ? (double)(at - now) : 0;
}

/* ---- URLs ---- */

static CURLU *parse_url(const char *url)
{
    char *scheme = NULL;
    CURLU *u = curl_url();
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    if (!ok) {
        curl_url_cleanup(u);
        return NULL;
    }
    return u;
}

/* Prints up to three parts of a URL. */
static bool print_parts(const char *url, bool whole, char *out, size_t n)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *u = parse_url(url);
    if (!u)
        return false;
    bool ok = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    if (ok)
        curl_url_get(u, CURLUPART_PORT, &port, whole ? CURLU_DEFAULT_PORT : 0);
    for (char *p = host; ok && p && *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    int len = !ok ? -1
                  : snprintf(out, n, "%s%s%s%s%s", whole ? scheme : "", whole ? "://" : "", host,
                             port ? ":" : "", port ? port : "");
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return len > 0 && (size_t)len < n;
}

bool https_origin(const char *url, char out[HTTPS_ORIGIN_MAX])
{
    return print_parts(url, true, out, HTTPS_ORIGIN_MAX);
}

bool https_host(const char *url, char out[HTTPS_ORIGIN_MAX])
{
    return print_parts(url, false, out, HTTPS_ORIGIN_MAX);
}

bool https_join(const char *base, const char *reference, char out[HTTPS_URL_MAX])
{
    char *text = NULL;
    CURLU *u = parse_url(base);
    bool ok = u && curl_url_set(u, CURLUPART_URL, reference, CURLU_DISALLOW_USER) == CURLUE_OK &&
              curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK && strlen(text) < HTTPS_URL_MAX;
    char origin[HTTPS_ORIGIN_MAX];
    if (ok && (ok = https_origin(text, origin)))
        memcpy(out, text, strlen(text) + 1);
    curl_free(text);
    curl_url_cleanup(u);
    return ok;
}

void https_add_query(struct oll_strbuf *url, const char *name, const char *value)
{
    oll_strbuf_addc(url, strchr(url->data, '?') ? '&' : '?');
    oll_strbuf_adds(url, name);
    oll_strbuf_addc(url, '=');
    for (const char *p = value; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c);
        if (c == ' ')
            oll_strbuf_addc(url, '+');
        else
            oll_strbuf_printf(url, plain ? "%c" : "%%%02X", c);
    }
}
