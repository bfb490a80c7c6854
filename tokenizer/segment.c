/* Merging of UTF-8 text: the symbols are characters, a blank is the word mark.
 *
 * A text is first cut where no token can reach across: between two bytes that no piece has in a
 * row. Most cuts fall before a blank, so that the segments are words, but no rule about words is
 * needed and the result is the same as that of merging the whole text. A segment that is a token
 * and known to merge into itself needs no merging. */
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

static inline void merge_segment(struct encoder *e, const char *text, size_t n, size_t n_chars,
                                 merge_pair pair)
{
    const struct oll_tokenizer *tok = e->tok;
    if (n_chars <= MERGE_SHORT) {
        struct merge_symbol s[MERGE_SHORT + 1];
        size_t count = fill_symbols(tok, s, text, n, pair);
        count = merge_short(s, count, pair, tok, text);
        put_symbols(e, s, count, text);
        return;
    }
    oll_status status = merge_reserve(&e->work, n_chars);
    if (status == OLL_OK) {
        size_t count = fill_symbols(tok, e->work.symbols, text, n, pair);
        status = merge_long(&e->work, count, pair, tok, text);
    }
    if (status != OLL_OK) {
        encoder_fail(e, status);
        return;
    }
    put_symbols(e, e->work.symbols, e->work.n_symbols, text);
}

void segment_encode(struct encoder *e, const char *text, size_t n, merge_pair pair)
{
    const struct oll_tokenizer *tok = e->tok;
    const char *end = text + n;
    while (text < end && e->status == OLL_OK) {
        const char *p = text + lead_length(text, (size_t)(end - text));
        size_t n_chars = 1;
        for (; p < end && joined(tok->joins, p[-1], p[0]); n_chars++)
            p += lead_length(p, (size_t)(end - p));
        size_t len = (size_t)(p - text);
        uint32_t entry = text_map_find(&tok->vocab.map, text, len, end);
        if (entry & TEXT_MAP_WHOLE)
            encoder_put(e, text_map_id(entry));
        else
            merge_segment(e, text, len, n_chars, pair);
        text = p;
    }
}

/* Whether merging the piece of `id` gives just `id`. */
static bool merges_whole(struct merge_work *work, const struct oll_tokenizer *tok, int32_t id,
                         merge_pair pair)
{
    size_t n, count;
    const char *text = vocab_piece(&tok->vocab, id, &n);
    if (merge_reserve(work, n) != OLL_OK)
        return false;
    count = fill_symbols(tok, work->symbols, text, n, pair);
    if (count <= MERGE_SHORT)
        count = merge_short(work->symbols, count, pair, tok, text);
    else if (merge_long(work, count, pair, tok, text) == OLL_OK)
        count = work->n_symbols;
    return count == 1 && work->symbols[0].id == (uint32_t)id;
}

oll_status segment_init(struct oll_tokenizer *tok, merge_pair pair, struct oll_error *err)
{
    struct vocab *vocab = &tok->vocab;
    struct merge_work work = {0};
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
    for (int32_t id = 0; id < vocab->n_tokens; id++)
        if ((vocab->flags[id] & VOCAB_IN_MAP) && !vocab_hidden(vocab, id) &&
            merges_whole(&work, tok, id, pair))
            text_map_set_flag(&vocab->map, (uint32_t)id, TEXT_MAP_WHOLE);
    merge_work_free(&work);
    return OLL_OK;
}
