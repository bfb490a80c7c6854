/* UTF-8 text in segments, and merging within them; the symbols are characters, a blank is the word
 * mark.
 *
 * A text is cut where no token can reach across: between two bytes that no piece has in a
 * row. Most cuts fall before a blank, so that the segments are words, but no rule about words is
 * needed and the result is the same as that of merging the whole text. A segment that is a token
 * needs no merging once merging has given just that token. */
#include "tokenizer/algorithms.h"

#include "engine/base/mem.h"

static bool joined(const uint64_t *joins, char a, char b)
{
    unsigned pair = (unsigned)(unsigned char)a << 8 | (unsigned char)b;
    return joins[pair / 64] >> (pair % 64) & 1;
}

/* A byte that no token stands for, as the token of its value, else as unknown. */
static void put_byte(struct encoder *e, char byte)
{
    const struct vocab *vocab = &e->tok->vocab;
    int32_t id = vocab->byte_ids[(unsigned char)byte];
    if (id == OLL_TOKEN_NONE)
        id = text_map_id(text_map_find(&vocab->map, &byte, 1, &byte + 1));
    if (id == OLL_TOKEN_NONE || vocab_hidden(vocab, id))
        id = vocab->roles[OLL_ROLE_UNK];
    if (id != OLL_TOKEN_NONE)
        encoder_put(e, id);
}

/* Text that is no token, character by character. Control tokens come here, too: text never becomes
 * one by merging. */
static void put_unmerged(struct encoder *e, const char *p, size_t n)
{
    const struct vocab *vocab = &e->tok->vocab;
    for (size_t len; n > 0; p += len, n -= len) {
        len = lead_length(p, n);
        int32_t id = text_map_id(text_map_find(&vocab->map, p, len, p + len));
        if (id != OLL_TOKEN_NONE && !vocab_hidden(vocab, id)) {
            encoder_put(e, id);
        } else if (*p == ' ' && vocab->marked) {
            for (int i = 0; i < VOCAB_MARK_BYTES; i++)
                put_byte(e, VOCAB_MARK[i]);
        } else {
            for (size_t i = 0; i < len; i++)
                put_byte(e, p[i]);
        }
    }
}

static void put_symbols(struct encoder *e, const struct merge_symbol *symbols, size_t n,
                        const char *text)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = (int32_t)symbols[i].id;
        if (symbols[i].id != MERGE_NONE && !vocab_hidden(&e->tok->vocab, id))
            encoder_put(e, id);
        else
            put_unmerged(e, text + symbols[i].begin, symbols[i + 1].begin - symbols[i].begin);
    }
}

/* Symbols of a segment with their pairs; returns their number. */
static inline size_t fill_symbols(const struct oll_tokenizer *tok, struct merge_symbol *s,
                                  const char *text, size_t n, merge_pair pair)
{
    size_t count = 0;
    for (size_t at = 0, len; at < n; at += len) {
        len = lead_length(text + at, n - at);
        int32_t id = text_map_id(text_map_find(&tok->vocab.map, text + at, len, text + n));
        s[count++] = (struct merge_symbol){(uint32_t)at, (uint32_t)id, MERGE_NONE, MERGE_NONE};
    }
    s[count].begin = (uint32_t)n;
    for (size_t i = 0; i + 1 < count; i++)
        s[i].prio = pair(tok, text, s[i].id, s[i + 1].id, s[i].begin, s[i + 2].begin, &s[i].merged);
    return count;
}

void segment_found(const struct oll_tokenizer *tok, uint32_t entry, size_t n, uint32_t id)
{
    if (n == 1 && entry && id == (uint32_t)text_map_id(entry) &&
        !vocab_hidden(&tok->vocab, (int32_t)id))
        text_map_set_flag(&tok->vocab.map, id, TEXT_MAP_WHOLE);
}

static inline void merge_segment(struct encoder *e, const char *text, size_t n, size_t n_chars,
                                 uint32_t entry, merge_pair pair)
{
    const struct oll_tokenizer *tok = e->tok;
    struct merge_symbol few[MERGE_SHORT + 1], *symbols = few;
    size_t count;
    if (n_chars > MERGE_SHORT) {
        oll_status status = merge_reserve(&e->work, n_chars);
        symbols = e->work.symbols;
        if (status == OLL_OK) {
            count = fill_symbols(tok, symbols, text, n, pair);
            status = merge_long(&e->work, count, pair, tok, text);
        }
        if (status != OLL_OK) {
            encoder_fail(e, status);
            return;
        }
        count = e->work.n_symbols;
    } else {
        count = fill_symbols(tok, symbols, text, n, pair);
        count = merge_short(symbols, count, pair, tok, text);
    }
    segment_found(tok, entry, count, symbols[0].id);
    put_symbols(e, symbols, count, text);
}

size_t segment_length(const struct oll_tokenizer *tok, const char *text, size_t n, size_t *n_chars)
{
    size_t len = lead_length(text, n);
    for (*n_chars = 1; len < n && joined(tok->joins, text[len - 1], text[len]); (*n_chars)++)
        len += lead_length(text + len, n - len);
    return len;
}

void segment_encode(struct encoder *e, const char *text, size_t n, merge_pair pair)
{
    const struct oll_tokenizer *tok = e->tok;
    const char *end = text + n;
    while (text < end && e->status == OLL_OK) {
        size_t n_chars, len = segment_length(tok, text, (size_t)(end - text), &n_chars);
        uint32_t entry = text_map_find(&tok->vocab.map, text, len, end);
        if (entry & TEXT_MAP_WHOLE)
            encoder_put(e, text_map_id(entry));
        else
            merge_segment(e, text, len, n_chars, entry, pair);
        text += len;
    }
}

oll_status segment_init(struct oll_tokenizer *tok, struct oll_error *err)
{
    const struct vocab *vocab = &tok->vocab;
    tok->joins = oll_calloc(65536 / 64, sizeof *tok->joins);
    if (!tok->joins)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        size_t n;
        const unsigned char *p = (const unsigned char *)vocab_piece(vocab, id, &n);
        for (size_t i = 1; i < n && (vocab->flags[id] & VOCAB_IN_MAP); i++) {
            unsigned two = (unsigned)p[i - 1] << 8 | p[i];
            tok->joins[two / 64] |= UINT64_C(1) << (two % 64);
        }
    }
    return OLL_OK;
}
