/* Unigram language model (`t5`): of all ways to cut the text into tokens, the one with the highest
 * sum of scores. Source: Kudo 2018, arXiv:1804.10959; the search is Viterbi's. */
#include "tokenizer/algorithms.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"

#include <math.h>

enum { UNK_PENALTY = 10 /* below the worst score of a token */ };

/* The best way to end at a position of the text. */
struct cell {
    double score;
    uint32_t from; /* where its last token begins */
    int32_t id;
};

static oll_status add_to_trie(struct byte_trie *trie, const struct vocab *vocab, int32_t id,
                              struct oll_error *err)
{
    size_t n;
    const char *piece = vocab_piece(vocab, id, &n);
    oll_status status = byte_trie_add(trie, piece, n, id);
    return status == OLL_OK
               ? OLL_OK
               : OLL_FAIL(err, status, "tokenizer.ggml.tokens: no index of the tokens: %s",
                          oll_status_text(status));
}

oll_status unigram_init(struct oll_tokenizer *tok, const struct oll_gguf *gguf,
                        struct oll_error *err)
{
    const struct vocab *vocab = &tok->vocab;
    struct unigram *unigram = &tok->unigram;
    double worst = 0;
    bool any = false;
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        if (!(vocab->flags[id] & VOCAB_IN_MAP))
            continue;
        OLL_TRY(add_to_trie(&unigram->trie, vocab, id, err));
        if (vocab->types[id] == VOCAB_USER)
            OLL_TRY(add_to_trie(&unigram->users, vocab, id, err));
        double score = (double)vocab->scores[id];
        if (vocab->types[id] == VOCAB_NORMAL && isfinite(score) && (!any || score < worst)) {
            worst = score;
            any = true;
        }
    }
    unigram->unk_score = worst - UNK_PENALTY;
    OLL_TRY(segment_init(tok, err));
    return charsmap_load(&unigram->charsmap, gguf, err);
}

void unigram_free(struct oll_tokenizer *tok)
{
    byte_trie_free(&tok->unigram.trie);
    byte_trie_free(&tok->unigram.users);
    charsmap_free(&tok->unigram.charsmap);
}

/* ---- normaliser ---- */

/* Length of the longest user defined token at p, 0: none. */
static size_t user_match(const struct unigram *unigram, const char *p, size_t n)
{
    size_t matched = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        const struct byte_trie_edge *edge = byte_trie_step(&unigram->users, node, p[i]);
        if (!edge)
            break;
        node = edge->child;
        if (edge->value != BYTE_TRIE_NONE)
            matched = i + 1;
    }
    return matched;
}

/* How the next bytes of the text read after replacement; returns the number of bytes used. */
static size_t replace_next(const struct unigram *unigram, const char *p, size_t n, const char **out,
                           size_t *n_out)
{
    uint32_t cp;
    size_t used = user_match(unigram, p, n);
    *out = p;
    *n_out = used;
    if (used)
        return used;
    used = charsmap_match(&unigram->charsmap, p, n, out, n_out);
    if (used)
        return used;
    int len = oll_utf8_decode(p, n, &cp);
    if (len == 0) {
        *out = "\xEF\xBF\xBD"; /* U+FFFD */
        *n_out = 3;
        return 1;
    }
    *n_out = (size_t)len;
    return (size_t)len;
}

/* The text after replacement, blanks as the settings ask. In the form of pieces, so a blank is the
 * word mark. */
static void normalise(struct encoder *e, const char *text, size_t n, bool starts)
{
    const struct vocab *vocab = &e->tok->vocab;
    struct encoder_buffer *out = &e->text;
    bool shrink = vocab->remove_extra_spaces, at_start = true, in_word = false;
    bool prefix = starts && vocab->add_space_prefix;
    out->n = 0;
    for (size_t i = 0; i < n;) {
        const char *bytes;
        size_t n_bytes;
        i += replace_next(&e->tok->unigram, text + i, n - i, &bytes, &n_bytes);
        /* Each byte may bring a blank with it. */
        if (!encoder_reserve(e, out, 2 * n_bytes))
            return;
        for (size_t k = 0; k < n_bytes; k++) {
            bool blank = bytes[k] == ' ';
            if (!blank && !in_word && (at_start ? prefix : shrink))
                out->data[out->n++] = ' ';
            if (!blank || !shrink)
                out->data[out->n++] = bytes[k];
            at_start = at_start && blank;
            in_word = !blank;
        }
    }
    out->n = vocab_unmark(out->data, out->n, out->data);
}

/* ---- search ---- */

static struct cell *make_cells(struct encoder *e, size_t n)
{
    if (n >= UINT32_MAX) {
        encoder_fail(e, OLL_ERR_MEMORY);
        return NULL;
    }
    if (n + 1 > e->cap_cells) {
        size_t cap = n + n / 4 + 64;
        void *cells = oll_realloc(e->cells, cap, sizeof(struct cell));
        if (!cells) {
            encoder_fail(e, OLL_ERR_MEMORY);
            return NULL;
        }
        e->cells = cells;
        e->cap_cells = cap;
    }
    struct cell *cells = e->cells;
    for (size_t i = 0; i <= n; i++)
        cells[i] = (struct cell){-INFINITY, 0, OLL_TOKEN_NONE};
    cells[0].score = 0;
    return cells;
}

static void improve(struct cell *cell, double score, size_t from, int32_t id)
{
    if (score > cell->score)
        *cell = (struct cell){score, (uint32_t)from, id};
}

/* All tokens that begin at `at`, whose character has `n_char` bytes. */
static void extend(const struct oll_tokenizer *tok, struct cell *cells, const char *text, size_t n,
                   size_t at, size_t n_char)
{
    const struct vocab *vocab = &tok->vocab;
    double base = cells[at].score;
    bool has_char = false;
    uint32_t node = 0;
    for (size_t i = at; i < n; i++) {
        const struct byte_trie_edge *edge = byte_trie_step(&tok->unigram.trie, node, text[i]);
        if (!edge)
            break;
        node = edge->child;
        if (edge->value == BYTE_TRIE_NONE)
            continue;
        bool user = vocab->types[edge->value] == VOCAB_USER;
        has_char |= i + 1 - at == n_char;
        improve(&cells[i + 1], base + (user ? 0.0 : (double)vocab->scores[edge->value]), at,
                edge->value);
    }
    if (!has_char)
        improve(&cells[at + n_char], base + tok->unigram.unk_score, at, OLL_TOKEN_NONE);
}

/* Emits the best way from its end to its start, then turns it round. Neighbouring unknowns are one
 * token, also across segments: *after_unk tells whether the last one ended, then this one ends,
 * with an unknown. */
static void put_best(struct encoder *e, const struct cell *cells, size_t n, bool *after_unk)
{
    size_t first = e->out->n;
    int32_t unk = e->tok->vocab.roles[OLL_ROLE_UNK];
    bool before_unk = false;
    for (size_t at = n; at > 0; at = cells[at].from) {
        bool is_unk = cells[at].id == OLL_TOKEN_NONE;
        int32_t id = is_unk ? unk : cells[at].id;
        if (id != OLL_TOKEN_NONE && !(is_unk && before_unk))
            encoder_put(e, id);
        before_unk = is_unk;
    }
    if (before_unk && *after_unk && e->out->n > first)
        e->out->n--;
    *after_unk = cells[n].id == OLL_TOKEN_NONE;
    for (size_t i = first, j = e->out->n; i + 1 < j; i++) {
        int32_t id = e->out->ids[--j];
        e->out->ids[j] = e->out->ids[i];
        e->out->ids[i] = id;
    }
}

/* The best way through a text that no token reaches across the ends of. */
static void encode_segment(struct encoder *e, const char *text, size_t n, uint32_t entry,
                           bool *after_unk)
{
    struct cell *cells = make_cells(e, n);
    if (!cells)
        return;
    for (size_t at = 0, len; at < n; at += len) {
        len = lead_length(text + at, n - at);
        extend(e->tok, cells, text, n, at, len);
    }
    if (cells[n].from == 0 && cells[n].id != OLL_TOKEN_NONE)
        segment_found(e->tok, entry, 1, (uint32_t)cells[n].id);
    put_best(e, cells, n, after_unk);
}

void unigram_encode(struct encoder *e, const char *text, size_t n, bool starts)
{
    normalise(e, text, n, starts);
    if (e->status != OLL_OK || e->text.n == 0)
        return;
    const char *p = e->text.data, *end = p + e->text.n;
    bool after_unk = false;
    while (p < end && e->status == OLL_OK) {
        size_t n_chars, len = segment_length(e->tok, p, (size_t)(end - p), &n_chars);
        uint32_t entry = text_map_find(&e->tok->vocab.map, p, len, end);
        if (entry & TEXT_MAP_WHOLE) {
            encoder_put(e, text_map_id(entry));
            after_unk = false;
        } else {
            encode_segment(e, p, len, entry, &after_unk);
        }
        p += len;
    }
}
