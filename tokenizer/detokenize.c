/* Ids to text, whole and as a stream. */
#include "tokenizer/tokenizer.h"

#include "engine/base/utf8.h"
#include "tokenizer/algorithms.h"

#include <string.h>

void oll_tokenizer_piece(const struct oll_tokenizer *tok, int32_t id, bool render_special,
                         const char **bytes, size_t *n)
{
    *bytes = "";
    *n = 0;
    if (id < 0 || id >= tok->vocab.n_tokens)
        return;
    if (!vocab_hidden(&tok->vocab, id))
        *bytes = vocab_piece(&tok->vocab, id, n);
    else if (render_special)
        *bytes = vocab_text(&tok->vocab, id, n);
}

oll_status oll_tokenizer_decode(const struct oll_tokenizer *tok, const int32_t *ids, size_t n,
                                bool render_special, struct oll_strbuf *out)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= tok->vocab.n_tokens)
            return OLL_ERR_ARG;
    for (size_t i = 0; i < n; i++) {
        const char *bytes;
        size_t n_bytes;
        oll_tokenizer_piece(tok, ids[i], render_special, &bytes, &n_bytes);
        oll_strbuf_add(out, bytes, n_bytes);
    }
    return out->status;
}

void oll_stream_decoder_init(struct oll_stream_decoder *dec, const struct oll_tokenizer *tok,
                             bool render_special)
{
    *dec = (struct oll_stream_decoder){.tok = tok, .render_special = render_special};
}

/* Bytes at p, which begin no character, that one U+FFFD stands for: as many as a character could
 * have begun with (The Unicode Standard 3.9, "maximal subparts"). */
static size_t broken_length(const char *p, size_t n)
{
    size_t len = 1;
    while (len < n && len < 3 && oll_utf8_complete_len(p, len + 1) == 0)
        len++;
    return len;
}

/* Appends bytes that wait for no others; what is no character becomes U+FFFD. */
static void add_repaired(struct oll_strbuf *out, const char *bytes, size_t n)
{
    size_t good = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int len = oll_utf8_decode(bytes + i, n - i, &cp);
        if (len > 0) {
            i += (size_t)len;
            continue;
        }
        oll_strbuf_add(out, bytes + good, i - good);
        oll_strbuf_adds(out, "\xEF\xBF\xBD");
        i += broken_length(bytes + i, n - i);
        good = i;
    }
    oll_strbuf_add(out, bytes + good, n - good);
}

void oll_stream_decoder_add(struct oll_stream_decoder *dec, int32_t id, struct oll_strbuf *out)
{
    const char *bytes;
    size_t n;
    oll_tokenizer_piece(dec->tok, id, dec->render_special, &bytes, &n);
    for (; dec->n_pending > 0 && n > 0; bytes++, n--) {
        dec->pending[dec->n_pending++] = *bytes;
        size_t complete = oll_utf8_complete_len(dec->pending, dec->n_pending);
        add_repaired(out, dec->pending, complete);
        dec->n_pending -= complete;
        memmove(dec->pending, dec->pending + complete, dec->n_pending);
    }
    size_t complete = oll_utf8_complete_len(bytes, n);
    add_repaired(out, bytes, complete);
    if (complete < n) {
        memcpy(dec->pending, bytes + complete, n - complete);
        dec->n_pending = n - complete;
    }
}

void oll_stream_decoder_finish(struct oll_stream_decoder *dec, struct oll_strbuf *out)
{
    add_repaired(out, dec->pending, dec->n_pending);
    dec->n_pending = 0;
}
