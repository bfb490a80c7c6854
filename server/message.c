/* Frames; bodies are in message_body.c. */
#include "server/message.h"

#include "engine/base/mem.h"
#include "server/message_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    KEEP_BYTES = 1024 * 1024, /* of a buffer that a large frame made grow */
    SMALL = 64 * 1024,
    LARGE = 256 * 1024 * 1024
};

static const struct {
    enum message_side side;
    uint32_t max_bytes;
} kinds[MESSAGE_KINDS] = {
    [MESSAGE_OPEN] = {MESSAGE_FROM_SERVER, SMALL},
    [MESSAGE_SUBMIT] = {MESSAGE_FROM_SERVER, LARGE},
    [MESSAGE_CREDIT] = {MESSAGE_FROM_SERVER, 4},
    [MESSAGE_CANCEL] = {MESSAGE_FROM_SERVER, 0},
    [MESSAGE_RELEASE] = {MESSAGE_FROM_SERVER, 0},
    [MESSAGE_TOKENIZE] = {MESSAGE_FROM_SERVER, LARGE},
    [MESSAGE_DETOKENIZE] = {MESSAGE_FROM_SERVER, LARGE},
    [MESSAGE_READY] = {MESSAGE_FROM_RUNNER, SMALL},
    [MESSAGE_ALIVE] = {MESSAGE_FROM_RUNNER, 0},
    [MESSAGE_ACCEPTED] = {MESSAGE_FROM_RUNNER, 0},
    [MESSAGE_EVENT] = {MESSAGE_FROM_RUNNER, LARGE},
    [MESSAGE_TOKENS] = {MESSAGE_FROM_RUNNER, LARGE},
    [MESSAGE_TEXT] = {MESSAGE_FROM_RUNNER, LARGE},
    [MESSAGE_ERROR] = {MESSAGE_FROM_RUNNER, SMALL},
    [MESSAGE_PLAN] = {MESSAGE_FROM_SERVER, SMALL},
    [MESSAGE_PLANNED] = {MESSAGE_FROM_RUNNER, SMALL},
};

static uint64_t get_number(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static void put_number(unsigned char *p, size_t n, uint64_t v)
{
    for (size_t i = 0; i < n; i++, v >>= 8)
        p[i] = (unsigned char)v;
}

/* ---- reading ---- */

void message_reader_init(struct message_reader *r, enum message_side side)
{
    *r = (struct message_reader){.side = side};
    oll_strbuf_init(&r->in, (size_t)2 * LARGE);
}

void message_reader_free(struct message_reader *r)
{
    oll_strbuf_free(&r->in);
    oll_free(r->piece);
    r->piece = NULL;
}

/* Forgets what was taken; keeps no more memory than usual frames need. */
static void drop_taken(struct message_reader *r)
{
    oll_strbuf_drop(&r->in, r->at);
    r->at = 0;
    if (r->in.len == 0 && r->in.cap > KEEP_BYTES)
        oll_strbuf_free(&r->in);
}

void message_reader_add(struct message_reader *r, const void *bytes, size_t n)
{
    drop_taken(r);
    oll_strbuf_add(&r->in, bytes, n);
}

oll_status message_reader_fill(struct message_reader *r, int fd)
{
    if (!r->piece && !(r->piece = oll_alloc(READ_BYTES, 1)))
        return OLL_ERR_MEMORY;
    ssize_t n;
    do
        n = read(fd, r->piece, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        message_reader_add(r, r->piece, (size_t)n);
        return r->in.status;
    }
    if (n == 0)
        return OLL_ERR_NOT_FOUND;
    return errno == EAGAIN || errno == EWOULDBLOCK ? OLL_ERR_TIMEOUT : OLL_ERR_IO;
}

static oll_status check_header(const struct message_reader *r, const unsigned char *p,
                               struct oll_error *err)
{
    const uint64_t n = get_number(p, 4), version = get_number(p + 4, 2),
                   kind = get_number(p + 6, 2);
    if (version != MESSAGE_VERSION)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "a message of version %u; %d is spoken here",
                        (unsigned)version, MESSAGE_VERSION);
    if (kind < 1 || kind >= MESSAGE_KINDS || kinds[kind].side != r->side)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "a message of the unknown kind %u", (unsigned)kind);
    if (n > kinds[kind].max_bytes)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "a message of kind %u with %llu bytes; at most %u",
                        (unsigned)kind, (unsigned long long)n, kinds[kind].max_bytes);
    return OLL_OK;
}

oll_status message_reader_next(struct message_reader *r, struct message *out, struct oll_error *err)
{
    const unsigned char *p = (const unsigned char *)r->in.data + r->at;
    const size_t left = r->in.len - r->at;
    if (r->in.status != OLL_OK)
        return OLL_FAIL(err, r->in.status, "no memory for a message");
    if (left < MESSAGE_HEADER_BYTES)
        return OLL_ERR_TIMEOUT;
    OLL_TRY(check_header(r, p, err));
    const size_t n = (size_t)get_number(p, 4);
    if (left - MESSAGE_HEADER_BYTES < n)
        return OLL_ERR_TIMEOUT;
    *out = (struct message){
        .kind = (enum message_kind)get_number(p + 6, 2),
        .id = get_number(p + 8, 8),
        .body = p + MESSAGE_HEADER_BYTES,
        .n_body = n,
    };
    r->at += MESSAGE_HEADER_BYTES + n;
    return OLL_OK;
}

/* ---- writing ---- */

size_t message_begin(struct oll_strbuf *out, enum message_kind kind, uint64_t id)
{
    unsigned char head[MESSAGE_HEADER_BYTES] = {0};
    const size_t at = out->len;
    put_number(head + 4, 2, MESSAGE_VERSION);
    put_number(head + 6, 2, kind);
    put_number(head + 8, 8, id);
    oll_strbuf_add(out, head, sizeof head);
    return at;
}

void message_end(struct oll_strbuf *out, enum message_kind kind, size_t at)
{
    const size_t n = out->status == OLL_OK ? out->len - at - MESSAGE_HEADER_BYTES : 0;
    if (n > kinds[kind].max_bytes)
        out->status = OLL_ERR_LIMIT;
    if (out->status == OLL_OK)
        put_number((unsigned char *)out->data + at, 4, n);
    else if (out->cap) {
        out->len = at;
        out->data[at] = '\0';
    }
}

void message_put_plain(struct oll_strbuf *out, enum message_kind kind, uint64_t id)
{
    message_end(out, kind, message_begin(out, kind, id));
}

void message_put_number(struct oll_strbuf *out, uint64_t v, size_t n)
{
    unsigned char bytes[8];
    put_number(bytes, n, v);
    oll_strbuf_add(out, bytes, n);
}

uint64_t message_get_number(const unsigned char *p, size_t n) { return get_number(p, n); }
