/* A connection's bytes through the HTTP parser as the server feeds them: the first byte says in how
 * many pieces they arrive. What comes out must lie inside what went in, and must not depend on the
 * pieces. */
#include "engine/base/mem.h"
#include "engine/base/status.h"
#include "server/http_parse.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { BODY_MAX = 1 << 20 };

/* Status of the scan, the bytes arriving `step` at a time. */
static int scan(const char *text, size_t n, size_t step, size_t *head_len)
{
    struct http_scan s = {0};
    int status = 0;
    *head_len = 0;
    for (size_t have = 0; status == 0 && *head_len == 0 && have < n;) {
        have = have + step < n ? have + step : n;
        status = http_scan_head(&s, text, have, head_len);
        OLL_ASSERT(*head_len <= have);
    }
    return status;
}

/* Adds up the bytes of the body; -1 when the framing is refused. */
static int64_t sum_body(const struct http_head *head, const char *text, size_t n, size_t step)
{
    struct http_body body;
    int64_t sum = 0;
    if (http_body_begin(&body, head, BODY_MAX) != 0)
        return -1;
    for (size_t at = 0; at < n && !body.done;) {
        size_t piece = step < n - at ? step : n - at, used = 0, n_data = 0;
        const char *out = NULL;
        if (http_body_feed(&body, text + at, piece, &used, &out, &n_data) != 0)
            return -1;
        OLL_ASSERT(used <= piece && n_data <= used && (used > 0 || body.done));
        OLL_ASSERT(n_data == 0 || (out >= text + at && out + n_data <= text + at + piece));
        for (size_t i = 0; i < n_data; i++)
            sum += (unsigned char)out[i] + 1;
        at += used;
    }
    OLL_ASSERT(body.total <= BODY_MAX);
    return sum;
}

static void use_head(const struct http_head *head, char *text, size_t n)
{
    struct http_target target;
    OLL_ASSERT(head->method && head->target && head->n_headers <= HTTP_HEADERS_MAX);
    for (int i = 0; i < head->n_headers; i++) {
        const struct http_header *h = &head->headers[i];
        OLL_ASSERT(h->name >= text && h->name + strlen(h->name) < text + n);
        OLL_ASSERT(h->value >= text && h->value + strlen(h->value) < text + n);
        OLL_ASSERT(http_head_get(head, h->name));
    }
    OLL_ASSERT(!(head->chunked && head->has_length));
    if (http_parse_target((char *)head->target, &target) == 0)
        OLL_ASSERT(target.path[0] == '/' || strcmp(target.path, "*") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 2)
        return 0;
    const size_t n = n_bytes - 1, step = data[0] % 32 + 1;
    size_t head_len, head_len_whole;
    struct http_head head = {0};
    char *text = oll_alloc(n, 1);
    if (!text)
        return 0;
    memcpy(text, data + 1, n);
    int status = scan(text, n, step, &head_len);
    OLL_ASSERT(status == scan(text, n, n, &head_len_whole) && head_len == head_len_whole);
    if (status == 0 && head_len > 0 && http_parse_head(text, head_len, &head) == 0) {
        int64_t sum = sum_body(&head, text + head_len, n - head_len, step);
        OLL_ASSERT(sum == sum_body(&head, text + head_len, n - head_len, n));
        use_head(&head, text, head_len);
    }
    oll_free(text);
    return 0;
}
