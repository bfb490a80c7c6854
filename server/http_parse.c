#include "server/http_parse.h"

#include <string.h>
#include <strings.h>

/* RFC 9110 5.6.2: the bytes of a method or a header name. */
static bool is_token_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* ---- head ---- */

/* A line ended at `end` (of its LF). */
static int scan_line(struct http_scan *scan, size_t end, size_t *head_len)
{
    size_t len = end + 1 - scan->line_start;
    scan->line_start = end + 1;
    scan->n_lines++;
    if (len == 2 && scan->first_line) {
        *head_len = end + 1;
        return 0;
    }
    if (len == 2)
        return scan->n_lines > 1 ? 400 : 0; /* one empty line may precede the request line */
    if (!scan->first_line)
        scan->first_line = end + 1;
    return scan->n_lines > HTTP_HEADERS_MAX + 2 ? 431 : 0;
}

int http_scan_head(struct http_scan *scan, const char *buf, size_t n, size_t *head_len)
{
    *head_len = 0;
    for (; scan->pos < n; scan->pos++) {
        char c = buf[scan->pos];
        bool after_cr = scan->pos > 0 && buf[scan->pos - 1] == '\r';
        if (c == '\0' || after_cr != (c == '\n'))
            return 400;
        if (!scan->first_line && scan->pos >= HTTP_LINE_MAX + 2)
            return 414;
        if (scan->first_line && scan->pos - scan->first_line >= HTTP_FIELDS_MAX)
            return 431;
        if (c != '\n')
            continue;
        int status = scan_line(scan, scan->pos, head_len);
        if (status || *head_len) {
            scan->pos++;
            return status;
        }
    }
    return 0;
}

/* Terminates the line and moves on. A finished head has the line's end before its own; nothing
 * behind that is looked at, for the bytes of a peer have no terminator. */
static char *next_line(char **p)
{
    char *line = *p, *end = line;
    while (end[0] != '\r' || end[1] != '\n')
        end++;
    *end = '\0';
    *p = end + 2;
    return line;
}

static int parse_version(const char *s, int *minor)
{
    if (strncmp(s, "HTTP/", 5) != 0 || s[5] < '0' || s[5] > '9' || s[6] != '.' || s[7] < '0' ||
        s[7] > '9' || s[8])
        return 400;
    if (s[5] != '1')
        return 505;
    *minor = s[7] == '0' ? 0 : 1;
    return 0;
}

static int parse_request_line(char *line, struct http_head *head)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || target == line || version == target + 1)
        return 400;
    *target++ = *version++ = '\0';
    for (const char *p = line; *p; p++)
        if (!is_token_byte((unsigned char)*p))
            return 400;
    for (const char *p = target; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7F)
            return 400;
    head->method = line;
    head->target = target;
    return parse_version(version, &head->minor);
}

static int parse_header(char *line, struct http_header *out)
{
    char *colon = line;
    while (is_token_byte((unsigned char)*colon))
        colon++;
    /* No name, or white space before the colon, or a folded line. */
    if (colon == line || *colon != ':')
        return 400;
    *colon = '\0';
    char *value = colon + 1;
    while (*value == ' ' || *value == '\t')
        value++;
    char *end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7F)
            return 400;
    *out = (struct http_header){line, value};
    return 0;
}

/* Digits alone, below 2^63: what every implementation reads alike. */
static int parse_length(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    if (!*s)
        return 400;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > (INT64_MAX - 9) / 10)
            return 400;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *out = v;
    return 0;
}

/* Whether a comma-separated list holds a word, without regard to case. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list) {
        list += strspn(list, " \t,");
        size_t len = strcspn(list, " \t,");
        if (len == n && strncasecmp(list, word, n) == 0)
            return true;
        list += len;
    }
    return false;
}

/* The headers that decide where the message ends. Each may stand once; length and coding exclude
 * each other. */
static int take_framing(struct http_head *head, const struct http_header *h)
{
    if (strcasecmp(h->name, "content-length") == 0) {
        if (head->has_length)
            return 400;
        head->has_length = true;
        return parse_length(h->value, &head->length);
    }
    if (strcasecmp(h->name, "transfer-encoding") == 0) {
        if (head->chunked || head->minor == 0 || strcasecmp(h->value, "chunked") != 0)
            return 400;
        head->chunked = true;
    }
    if (strcasecmp(h->name, "host") == 0) {
        if (head->host)
            return 400;
        head->host = h->value;
    }
    return 0;
}

static void take_connection(struct http_head *head, const struct http_header *h)
{
    if (strcasecmp(h->name, "connection") == 0) {
        if (list_has(h->value, "close"))
            head->keep_alive = false;
        else if (head->minor == 0 && list_has(h->value, "keep-alive"))
            head->keep_alive = true;
    } else if (strcasecmp(h->name, "expect") == 0 && strcasecmp(h->value, "100-continue") == 0) {
        head->expect_continue = head->minor == 1;
    }
}

int http_parse_head(char *buf, size_t n, struct http_head *head)
{
    char *p = buf;
    int status;
    memset(head, 0, sizeof *head);
    if (n < 4 || memcmp(buf + n - 4, "\r\n\r\n", 4) != 0)
        return 400;
    if (memcmp(p, "\r\n", 2) == 0)
        p += 2;
    status = parse_request_line(next_line(&p), head);
    if (status)
        return status;
    head->keep_alive = head->minor == 1;
    while (memcmp(p, "\r\n", 2) != 0) {
        struct http_header *h = &head->headers[head->n_headers];
        if (head->n_headers == HTTP_HEADERS_MAX)
            return 431;
        status = parse_header(next_line(&p), h);
        if (!status)
            status = take_framing(head, h);
        if (status)
            return status;
        take_connection(head, h);
        head->n_headers++;
    }
    if (head->chunked && head->has_length)
        return 400;
    return head->minor == 1 && !head->host ? 400 : 0;
}

const char *http_head_get(const struct http_head *head, const char *name)
{
    for (int i = 0; i < head->n_headers; i++)
        if (strcasecmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

/* ---- target ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_path(char *path)
{
    char *out = path;
    for (const char *in = path; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || (high | low) == 0)
            return 400;
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = '\0';
    return 0;
}

int http_parse_target(char *target, struct http_target *out)
{
    static char root[] = "/";
    *out = (struct http_target){.query = ""};
    if (strcmp(target, "*") == 0) {
        out->path = target;
        return 0;
    }
    if (strchr(target, '#'))
        return 400;
    char *path = target;
    if (*target != '/') {
        if (strncasecmp(target, "http://", 7) != 0)
            return 400;
        /* The slash after the authority is needed twice, so the authority moves one to the left. */
        path = target + 7;
        size_t n = strcspn(path, "/?");
        if (n == 0 || memchr(path, '@', n))
            return 400;
        memmove(path - 1, path, n);
        path[n - 1] = '\0';
        out->authority = path - 1;
        path += n;
    }
    char *query = strchr(path, '?');
    if (query) {
        *query = '\0';
        out->query = query + 1;
    }
    out->path = *path ? path : root;
    return *path ? decode_path(path) : 0;
}

/* ---- body ---- */

enum body_state {
    BODY_SIZE_FIRST, /* first digit of a chunk's size */
    BODY_SIZE,
    BODY_EXTENSION,
    BODY_SIZE_LF,
    BODY_DATA,
    BODY_DATA_CR,
    BODY_DATA_LF,
    BODY_TRAILER_FIRST, /* first byte of a trailer line */
    BODY_TRAILER,
    BODY_TRAILER_LF,
    BODY_END_LF
};

int http_body_begin(struct http_body *body, const struct http_head *head, uint64_t limit)
{
    *body = (struct http_body){.chunked = head->chunked, .limit = limit};
    if (head->chunked)
        return 0;
    body->state = BODY_DATA;
    body->left = head->length;
    body->done = head->length == 0;
    return head->length > limit ? 413 : 0;
}

/* The size of a chunk is known. */
static int begin_chunk(struct http_body *body)
{
    body->line = 0;
    if (body->left > body->limit - body->total)
        return 413;
    body->state = body->left ? BODY_DATA : BODY_TRAILER_FIRST;
    return 0;
}

static bool is_text_byte(char c) { return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7F); }

/* One byte of the size line. */
static int feed_size(struct http_body *body, char c)
{
    int digit = hex_digit(c);
    if (++body->line > HTTP_CHUNK_LINE_MAX)
        return 400;
    if (body->state != BODY_EXTENSION && digit >= 0) {
        if (body->left > (INT64_MAX >> 4))
            return 400;
        body->left = body->left << 4 | (uint64_t)digit;
        body->state = BODY_SIZE;
        return 0;
    }
    if (body->state == BODY_SIZE_FIRST)
        return 400;
    if (c == '\r')
        body->state = BODY_SIZE_LF;
    else if (body->state == BODY_SIZE && c == ';')
        body->state = BODY_EXTENSION;
    else if (body->state != BODY_EXTENSION || !is_text_byte(c))
        return 400;
    return 0;
}

/* One byte of the trailer, whose lines are dropped. */
static int feed_trailer(struct http_body *body, char c)
{
    if (++body->line > HTTP_TRAILER_MAX)
        return 431;
    if (c == '\r') {
        body->state = body->state == BODY_TRAILER_FIRST ? BODY_END_LF : BODY_TRAILER_LF;
        return 0;
    }
    if (body->state == BODY_TRAILER_FIRST && !is_token_byte((unsigned char)c))
        return 400;
    body->state = BODY_TRAILER;
    return is_text_byte(c) ? 0 : 400;
}

/* One byte that is not data. */
static int feed_framing(struct http_body *body, char c)
{
    switch (body->state) {
    case BODY_SIZE_FIRST:
    case BODY_SIZE:
    case BODY_EXTENSION: return feed_size(body, c);
    case BODY_SIZE_LF: return c == '\n' ? begin_chunk(body) : 400;
    case BODY_DATA_CR: body->state = BODY_DATA_LF; return c == '\r' ? 0 : 400;
    case BODY_DATA_LF: body->state = BODY_SIZE_FIRST; return c == '\n' ? 0 : 400;
    case BODY_TRAILER_LF: body->state = BODY_TRAILER_FIRST; return c == '\n' ? 0 : 400;
    case BODY_END_LF: body->done = true; return c == '\n' ? 0 : 400;
    default: return feed_trailer(body, c);
    }
}

int http_body_feed(struct http_body *body, const char *in, size_t n, size_t *used,
                   const char **data, size_t *n_data)
{
    *used = *n_data = 0;
    *data = in;
    while (*used < n && !body->done) {
        if (body->state == BODY_DATA) {
            size_t rest = n - *used;
            size_t take = body->left < rest ? (size_t)body->left : rest;
            *data = in + *used;
            *n_data = take;
            *used += take;
            body->left -= take;
            body->total += take;
            if (body->left == 0) {
                body->state = BODY_DATA_CR;
                body->done = !body->chunked;
            }
            return 0;
        }
        int status = feed_framing(body, in[(*used)++]);
        if (status)
            return status;
    }
    return 0;
}
