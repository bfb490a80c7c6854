/* HTTP/1.1 messages as bytes: the head of a request, the framing of its body, its target.
 *
 * RFC 9112, read strictly (security rule R26): lines end in CR LF and nothing else, a message has
 * one framing, what a lenient reader could take in two ways is refused. No input, no output and no
 * memory of its own: the same functions serve the connection and the fuzzer.
 *
 * Where a function returns "a status", it is 0 or the HTTP status code to answer with before the
 * connection is closed. */
#ifndef OLL_SERVER_HTTP_PARSE_H
#define OLL_SERVER_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_LINE_MAX = 8 * 1024,    /* request line */
    HTTP_FIELDS_MAX = 32 * 1024, /* all header lines together */
    HTTP_HEADERS_MAX = 100,      /* header lines */
    HTTP_CHUNK_LINE_MAX = 256,   /* size and extensions of one chunk */
    HTTP_TRAILER_MAX = 8 * 1024  /* trailer lines together */
};

/* ---- head ---- */

/* Looks for the end of a head in bytes that arrive piecemeal. Zero-initialised. */
struct http_scan {
    size_t pos;        /* bytes looked at */
    size_t line_start; /* of the line that `pos` is in */
    size_t first_line; /* length of the request line with its end, 0 while unknown */
    int n_lines;       /* finished, the request line and an empty line before it included */
};

/* Goes on over buf[0..n), which holds the bytes seen before and newer ones. 0 while the head is
 * unfinished or when it is finished, then *head_len > 0; else a status: 400 for bytes that no head
 * holds, 414, 431. */
int http_scan_head(struct http_scan *scan, const char *buf, size_t n, size_t *head_len);

struct http_header {
    const char *name, *value; /* terminated; white space round the value is gone */
};

struct http_head {
    const char *method, *target; /* terminated */
    int minor;                   /* HTTP/1.minor: 0 or 1 */
    struct http_header headers[HTTP_HEADERS_MAX];
    int n_headers;
    const char *host; /* NULL when absent (HTTP/1.0) */
    bool keep_alive;  /* the peer wants another request on this connection */
    bool chunked;
    bool has_length;
    uint64_t length;
    bool expect_continue;
};

/* Parses a finished head in place: terminators are written into buf, the head points into it. */
int http_parse_head(char *buf, size_t n, struct http_head *head);

/* Value of a header by case-insensitive name; NULL when absent. */
const char *http_head_get(const struct http_head *head, const char *name);

/* ---- target ---- */

struct http_target {
    const char *path;      /* percent-decoded, terminated, begins with '/', or is "*" */
    const char *query;     /* as sent, without '?'; "" when there is none */
    const char *authority; /* of the absolute form, else NULL */
};

/* Splits and decodes a request target in place. Refuses %00, bad escapes and fragments. */
int http_parse_target(char *target, struct http_target *out);

/* ---- body ---- */

/* Takes the framing off a body that arrives piecemeal. */
struct http_body {
    bool chunked;
    int state;
    uint64_t left;  /* bytes of data still to come in this chunk, or in all */
    uint64_t total; /* bytes of data so far */
    uint64_t limit; /* of `total` */
    size_t line;    /* bytes of the present chunk line, or of the trailer */
    bool done;
};

/* 0, or 413 when the announced length is beyond the limit. */
int http_body_begin(struct http_body *body, const struct http_head *head, uint64_t limit);
/* Reads some of in[0..n): *used is what was consumed, and data[0..n_data) (inside `in`) is what of
 * it is the body's own. Call again with the rest until everything is used or `done`. A status: 400
 * for bad framing, 413 beyond the limit. */
int http_body_feed(struct http_body *body, const char *in, size_t n, size_t *used,
                   const char **data, size_t *n_data);

#endif
