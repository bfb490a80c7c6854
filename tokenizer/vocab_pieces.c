/* From the texts of a vocabulary to the bytes they stand for. */
#include "tokenizer/vocab.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/utf8.h"

/* The spelling of bytes by printable characters (GPT-2): 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF are
 * themselves, the other 68 bytes in increasing order are U+0100 to U+0143. */
enum { MAPPED_FIRST = 0x100, MAPPED_COUNT = 68 };

int vocab_unmap_char(uint32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7E) || (cp >= 0xA1 && cp <= 0xAC) || (cp >= 0xAE && cp <= 0xFF))
        return (int)cp;
    if (cp < MAPPED_FIRST || cp >= MAPPED_FIRST + MAPPED_COUNT)
        return -1;
    int rank = (int)cp - MAPPED_FIRST;
    if (rank <= 0x20)
        return rank;
    return rank < 67 ? 0x7F + rank - 0x21 : 0xAD;
}

size_t vocab_unmap(const char *text, size_t n, char *out, bool *all)
{
    size_t len = 0;
    *all = true;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        if (text[i] > 0x20 && text[i] < 0x7F) {
            out[len++] = text[i++];
            continue;
        }
        int bytes = oll_utf8_decode(text + i, n - i, &cp);
        int value = bytes ? vocab_unmap_char(cp) : -1;
        if (value >= 0) {
            out[len++] = (char)value;
            i += (size_t)bytes;
            continue;
        }
        *all = false;
        bytes = bytes ? bytes : 1;
        memmove(out + len, text + i, (size_t)bytes);
        len += (size_t)bytes;
        i += (size_t)bytes;
    }
    return len;
}

size_t vocab_unmark(const char *text, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        if (n - i >= VOCAB_MARK_BYTES && memcmp(text + i, VOCAB_MARK, VOCAB_MARK_BYTES) == 0) {
            out[len++] = ' ';
            i += VOCAB_MARK_BYTES;
        } else {
            out[len++] = text[i++];
        }
    }
    return len;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Value of <0xXX> with capital digits, else -1. */
static int byte_text(const char *text, size_t n)
{
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

/* A WordPiece file may spell continuations "##ing" and words plainly, as the model's makers did;
 * GGUF's own way is "ing" and U+2581 before words. */
static bool spells_continuations(const struct vocab *vocab)
{
    bool hashes = false;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        size_t n;
        const char *text = vocab_text(vocab, i, &n);
        if (n > VOCAB_MARK_BYTES && memcmp(text, VOCAB_MARK, VOCAB_MARK_BYTES) == 0)
            return false;
        hashes |= n > 2 && memcmp(text, "##", 2) == 0;
    }
    return hashes;
}

/* Writes the piece of a token at `out`; *in_map tells whether plain text may become it. */
static size_t make_piece(const struct vocab *vocab, int32_t id, bool hashes, char *out,
                         bool *in_map)
{
    size_t n;
    const char *text = vocab_text(vocab, id, &n);
    enum vocab_type type = vocab->types[id];
    int byte = byte_text(text, n);
    bool hidden = vocab_hidden(vocab, id);
    if (vocab->raw && type == VOCAB_BYTE && byte >= 0) {
        *in_map = false;
        out[0] = (char)byte;
        return 1;
    }
    if (!vocab->raw && !hidden && type != VOCAB_USER)
        return vocab_unmap(text, n, out, in_map);
    memcpy(out, text, n);
    if (!vocab->raw) {
        /* User defined tokens stand for their own text. Those of plain ASCII without blanks are
         * spelled like it, too, so that merging may give them. */
        *in_map = !hidden;
        for (size_t i = 0; i < n; i++)
            *in_map &= text[i] > 0x20 && text[i] < 0x7F;
        return n;
    }
    /* SentencePiece merges into control tokens as well; the encoder takes them apart again. */
    *in_map = vocab->model == VOCAB_SPM || !hidden;
    *in_map &= type != VOCAB_BYTE;
    if (hidden || !vocab->marked)
        return n;
    *in_map &= memchr(text, ' ', n) == NULL;
    if (hashes && n > 2 && memcmp(text, "##", 2) == 0) {
        memcpy(out, text + 2, n - 2);
        return n - 2;
    }
    if (hashes) {
        out[0] = ' ';
        memcpy(out + 1, text, n);
        return n + 1;
    }
    return vocab_unmark(text, n, out);
}

oll_status vocab_make_pieces(struct vocab *vocab, size_t pool_used, struct oll_error *err)
{
    bool hashes = vocab->model == VOCAB_WORDPIECE && spells_continuations(vocab);
    size_t n_in_map = 0, n_replaced = 0;
    for (int i = 0; i < 256; i++)
        vocab->byte_ids[i] = OLL_TOKEN_NONE;
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        size_t n_text;
        const char *text = vocab_text(vocab, id, &n_text);
        int byte = byte_text(text, n_text);
        bool in_map;
        if (byte >= 0)
            vocab->byte_ids[byte] = id;
        size_t n = make_piece(vocab, id, hashes, vocab->pool + pool_used, &in_map);
        if (vocab->flags[id] & VOCAB_IS_EMPTY)
            n = 0;
        in_map &= n > 0;
        if (n == n_text && memcmp(vocab->pool + pool_used, text, n) == 0) {
            vocab->pieces[id] = vocab->texts[id];
        } else {
            vocab->pieces[id] = (struct text_map_bytes){(uint32_t)pool_used, (uint32_t)n};
            pool_used += n;
        }
        if (in_map) {
            vocab->flags[id] |= VOCAB_IN_MAP;
            vocab->max_piece = n > vocab->max_piece ? n : vocab->max_piece;
            n_in_map++;
        }
    }
    bool whole = vocab->scheme && (vocab->scheme->flags & PRETOK_IGNORE_MERGES);
    uint32_t flags = whole ? TEXT_MAP_WHOLE : 0;
    OLL_TRY(text_map_init(&vocab->map, n_in_map, vocab->pool, vocab->pieces));
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        int32_t replaced;
        if (!(vocab->flags[id] & VOCAB_IN_MAP))
            continue;
        if (text_map_add(&vocab->map, (uint32_t)id, flags, &replaced) != OLL_OK)
            return OLL_FAIL(err, OLL_ERR_FORMAT,
                            "tokenizer.ggml.tokens: the texts are made to collide; "
                            "get the model from another source");
        if (replaced >= 0) {
            vocab->flags[replaced] &= (uint8_t)~VOCAB_IN_MAP;
            n_replaced++;
        }
    }
    if (n_replaced > 0)
        oll_log_warn("tokenizer", "%zu token texts occur more than once; the last one counts",
                     n_replaced);
    return OLL_OK;
}
