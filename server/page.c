#include "server/page.h"

#include "engine/base/base64.h"
#include "engine/base/sha256.h"
#include "engine/base/strbuf.h"

#include <string.h>
#include <strings.h>

enum { POLICY_MAX = 2048 };

/* An entry of Accept is a type, with parameters behind a semicolon; "q=0" takes it back. */
bool page_wanted(const struct http_request *req)
{
    static const char html[] = "text/html";
    const char *accept = http_request_header(req, "Accept");
    for (const char *p = accept ? accept : ""; *p; p += strcspn(p, ","), p += *p == ',') {
        p += strspn(p, " \t");
        const size_t n = strcspn(p, ",");
        if (n < sizeof html - 1 || strncasecmp(p, html, sizeof html - 1) != 0 ||
            !strchr(",; \t", p[sizeof html - 1]))
            continue;
        const char *q = strstr(p, "q=0");
        const size_t digits = q ? 3 + strspn(q + 3, ".0") : 0;
        return !q || q >= p + n || strchr(",; \t", q[digits]) == NULL;
    }
    return false;
}

/* Appends " 'sha256-...'" of what stands between two tags: the only text of that kind that a
 * browser then runs. */
static void add_hash(const char *open, const char *close, struct oll_strbuf *out)
{
    const char *page = (const char *)page_html;
    const char *from = strstr(page, open), *to = from ? strstr(from, close) : NULL;
    uint8_t digest[OLL_SHA256_BYTES];
    struct oll_sha256 *h = to ? oll_sha256_new() : NULL;
    if (!h) {
        out->status = OLL_ERR_MEMORY;
        return;
    }
    from += strlen(open);
    oll_sha256_update(h, from, (size_t)(to - from));
    oll_sha256_final(h, digest);
    oll_sha256_free(h);
    oll_strbuf_adds(out, " 'sha256-");
    oll_base64_encode(digest, sizeof digest, out);
    oll_strbuf_addc(out, '\'');
}

void page_send(struct http_request *req)
{
    struct oll_strbuf policy;
    oll_strbuf_init(&policy, POLICY_MAX);
    oll_strbuf_adds(&policy, "default-src 'none'; script-src");
    add_hash("<script>", "</script>", &policy);
    oll_strbuf_adds(&policy, "; style-src");
    add_hash("<style>", "</style>", &policy);
    oll_strbuf_adds(&policy, "; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'");
    const char *text = oll_arena_strdup(req->arena, policy.data);
    const bool whole = policy.status == OLL_OK && text;
    oll_strbuf_free(&policy);
    if (!whole) {
        http_reply_send(req, 503, NULL, "", 0);
        return;
    }
    http_reply_header(req, "Content-Security-Policy", text);
    http_reply_header(req, "X-Content-Type-Options", "nosniff");
    http_reply_header(req, "X-Frame-Options", "DENY");
    http_reply_header(req, "Referrer-Policy", "no-referrer");
    http_reply_header(req, "Cache-Control", "no-cache");
    http_reply_header(req, "Vary", "Accept");
    http_reply_send(req, 200, "text/html; charset=utf-8", page_html, page_html_bytes);
}
