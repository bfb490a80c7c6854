#include "engine/reply.h"

#include <string.h>

oll_status reply_init(struct reply *reply, const struct oll_tokenizer *tok, const char *const *stop,
                      uint32_t n_stop, struct oll_error *err)
{
    *reply = (struct reply){.stop = stop, .n_stop = n_stop};
    oll_strbuf_init(&reply->pending, REPLY_MAX_PENDING);
    oll_stream_decoder_init(&reply->decoder, tok, false);
    if (n_stop > REPLY_MAX_STOPS)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%u stop strings, at most %d are allowed", n_stop,
                        REPLY_MAX_STOPS);
    for (uint32_t i = 0; i < n_stop; i++)
        if (strlen(stop[i]) > REPLY_MAX_STOP_BYTES)
            return OLL_FAIL(err, OLL_ERR_LIMIT, "stop string %u is longer than %d bytes", i,
                            REPLY_MAX_STOP_BYTES);
    return OLL_OK;
}

void reply_free(struct reply *reply)
{
    oll_strbuf_free(&reply->pending);
    oll_tokens_free(&reply->shown);
}

/* Offset of the earliest stop string in the text, or SIZE_MAX. Text before `from` was searched
 * already. */
static size_t find_stop(const struct reply *reply, size_t from)
{
    size_t best = SIZE_MAX;
    const struct oll_strbuf *text = &reply->pending;
    for (uint32_t i = 0; i < reply->n_stop; i++) {
        size_t n = strlen(reply->stop[i]);
        if (n == 0)
            continue;
        size_t begin = from > n - 1 ? from - (n - 1) : 0;
        for (size_t at = begin; at + n <= text->len && at < best; at++)
            if (memcmp(text->data + at, reply->stop[i], n) == 0)
                best = at;
    }
    return best;
}

/* Length of the longest tail that a stop string begins with. */
static size_t held_back(const struct reply *reply)
{
    size_t held = 0;
    const struct oll_strbuf *text = &reply->pending;
    for (uint32_t i = 0; i < reply->n_stop; i++) {
        size_t n = strlen(reply->stop[i]);
        for (size_t tail = n > text->len ? text->len : n; tail > held; tail--)
            if (tail < n && memcmp(text->data + text->len - tail, reply->stop[i], tail) == 0)
                held = tail;
    }
    return held;
}

/* Moves the first n bytes to *out. NUL bytes, which only byte tokens can bring, are left out: event
 * text is a C string for its readers. */
static void show(struct reply *reply, size_t n, struct oll_strbuf *out)
{
    const char *text = reply->pending.data, *end = text + n;
    while (text < end) {
        const char *nul = memchr(text, '\0', (size_t)(end - text));
        const char *stop = nul ? nul : end;
        oll_strbuf_add(out, text, (size_t)(stop - text));
        text = nul ? nul + 1 : end;
    }
    oll_strbuf_drop(&reply->pending, n);
}

static bool is_shown(const struct reply *reply, int32_t token)
{
    for (size_t i = 0; i < reply->shown.n; i++)
        if (reply->shown.ids[i] == token)
            return true;
    return false;
}

void reply_add(struct reply *reply, int32_t token, struct oll_strbuf *out)
{
    if (reply->stopped)
        return;
    size_t searched = reply->pending.len;
    reply->decoder.render_special = is_shown(reply, token);
    oll_stream_decoder_add(&reply->decoder, token, &reply->pending);
    size_t at = find_stop(reply, searched);
    if (at != SIZE_MAX) {
        reply->n_cut = reply->pending.len - at;
        show(reply, at, out);
        oll_strbuf_clear(&reply->pending);
        reply->stopped = true;
        return;
    }
    show(reply, reply->pending.len - held_back(reply), out);
}

void reply_finish(struct reply *reply, struct oll_strbuf *out)
{
    if (reply->stopped)
        return;
    size_t searched = reply->pending.len;
    oll_stream_decoder_finish(&reply->decoder, &reply->pending);
    size_t at = find_stop(reply, searched);
    show(reply, at != SIZE_MAX ? at : reply->pending.len, out);
}
