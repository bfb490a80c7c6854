/* Byte-pair encoding by a list of merges (`gpt2`, `gemma4`): Sennrich et al. 2016,
 * arXiv:1508.07909, over bytes as in GPT-2 (Radford et al. 2019).
 *
 * The vocabulary is translated to bytes at load time, so text is merged as it is. A piece that is a
 * token is taken whole where the model's tokenizer does so (`ignore merges`), and once merging has
 * given just that token. */
#include "tokenizer/algorithms.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "tokenizer/unicode.h"

enum { PROBES_PER_MERGE = 64, PROBES_ALWAYS = 4096, N_BYTE_PAIRS = 256 * 256 };

static const struct bpe_merge no_merge = {MERGE_NONE, MERGE_NONE};

static uint64_t pair_key(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 32 | right) + 1;
}

static size_t pair_index(const struct bpe *bpe, uint64_t key)
{
    key ^= key >> 29;
    return (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> bpe->shift);
}

static uint32_t bpe_pair(const void *model, const char *text, uint32_t left, uint32_t right,
                         uint32_t begin, uint32_t end, uint32_t *merged)
{
    const struct bpe *bpe = &((const struct oll_tokenizer *)model)->bpe;
    (void)text;
    (void)begin;
    (void)end;
    if (left == MERGE_NONE || right == MERGE_NONE)
        return MERGE_NONE;
    uint64_t key = pair_key(left, right);
    for (size_t i = pair_index(bpe, key);; i = (i + 1) & bpe->mask) {
        const struct bpe_slot *slot = &bpe->slots[i];
        if (slot->key == key) {
            *merged = slot->merge.id;
            return slot->merge.rank;
        }
        if (slot->key == 0)
            return MERGE_NONE;
    }
}

/* Vocabularies without a list of merges, in the manner of tiktoken: a pair whose text is a token
 * merges, and lower ids come first. */
static uint32_t text_pair(const void *model, const char *text, uint32_t left, uint32_t right,
                          uint32_t begin, uint32_t end, uint32_t *merged)
{
    const struct vocab *vocab = &((const struct oll_tokenizer *)model)->vocab;
    (void)left;
    (void)right;
    if (end - begin > vocab->max_piece)
        return MERGE_NONE;
    uint32_t entry = text_map_find(&vocab->map, text + begin, end - begin, text + end);
    if (entry == 0)
        return MERGE_NONE;
    *merged = (uint32_t)text_map_id(entry);
    return *merged;
}

/* ---- merges ---- */

struct merge_reader {
    const struct vocab *vocab;
    char *buffer; /* room for both halves of the longest merge */
    int32_t last; /* result of the merge before, for a guess at the next */
};

/* Bytes of a text of the vocabulary, as pieces have them. */
static size_t to_piece(const struct vocab *vocab, const char *text, size_t n, char *out, bool *ok)
{
    if (!vocab->raw)
        return vocab_unmap(text, n, out, ok);
    *ok = true;
    if (vocab->marked)
        return vocab_unmark(text, n, out);
    memcpy(out, text, n);
    return n;
}

static int32_t find_piece(const struct vocab *vocab, const char *p, size_t n)
{
    return n ? text_map_id(text_map_find(&vocab->map, p, n, p + n)) : OLL_TOKEN_NONE;
}

/* Most lists give the tokens in the order of their ids: then no search is needed. */
static int32_t find_merged(struct merge_reader *r, const char *p, size_t n)
{
    const struct vocab *vocab = r->vocab;
    int32_t guess = r->last + 1;
    if (guess < vocab->n_tokens && (vocab->flags[guess] & VOCAB_IN_MAP)) {
        size_t len;
        const char *piece = vocab_piece(vocab, guess, &len);
        if (len == n && memcmp(piece, p, n) == 0)
            return r->last = guess;
    }
    int32_t id = find_piece(vocab, p, n);
    if (id >= 0)
        r->last = id;
    return id;
}

/* A merge as the table holds it; key 0 when its parts or its result are no tokens. */
static struct bpe_slot read_merge(struct merge_reader *r, struct oll_gguf_str s, uint32_t rank)
{
    const struct bpe_slot none = {0, no_merge};
    const char *space = s.len > 1 ? memchr(s.data + 1, ' ', (size_t)s.len - 1) : NULL;
    if (!space)
        return none;
    bool left_ok, right_ok;
    size_t n_text = (size_t)(space - s.data);
    size_t n_left = to_piece(r->vocab, s.data, n_text, r->buffer, &left_ok);
    size_t n_right =
        to_piece(r->vocab, space + 1, (size_t)s.len - n_text - 1, r->buffer + n_left, &right_ok);
    int32_t left = find_piece(r->vocab, r->buffer, n_left);
    int32_t right = find_piece(r->vocab, r->buffer + n_left, n_right);
    if (!left_ok || !right_ok || left < 0 || right < 0)
        return none;
    int32_t merged = find_merged(r, r->buffer, n_left + n_right);
    return merged < 0 ? none
                      : (struct bpe_slot){pair_key((uint32_t)left, (uint32_t)right),
                                          {rank, (uint32_t)merged}};
}

/* Puts the merges into the table; the first of equal ones stays. A loop of its own, so that the
 * processor can wait for several places of the table at once. False when the pairs collide beyond
 * all chance. */
static bool fill_table(struct bpe *bpe, const struct bpe_slot *list, size_t n)
{
    uint64_t n_probes = 0, max_probes = (uint64_t)n * PROBES_PER_MERGE + PROBES_ALWAYS;
    for (size_t k = 0; k < n; k++) {
        if (list[k].key == 0)
            continue;
        size_t i = pair_index(bpe, list[k].key);
        while (bpe->slots[i].key != 0 && bpe->slots[i].key != list[k].key) {
            i = (i + 1) & bpe->mask;
            if (n_probes++ == max_probes)
                return false;
        }
        if (bpe->slots[i].key == 0)
            bpe->slots[i] = list[k];
    }
    return true;
}

static oll_status read_list(const struct vocab *vocab, const struct oll_gguf_kv *kv,
                            struct bpe_slot *list, struct oll_error *err)
{
    struct merge_reader r = {.vocab = vocab, .last = OLL_TOKEN_NONE};
    size_t n = (size_t)kv->count, longest = 0;
    oll_status status = OLL_OK;
    struct oll_gguf_str *strings = oll_alloc(n, sizeof *strings);
    if (!strings)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the merges");
    OLL_TRY_DONE(oll_gguf_kv_strings(kv, strings, err));
    for (size_t i = 0; i < n; i++)
        longest = strings[i].len > longest ? (size_t)strings[i].len : longest;
    r.buffer = oll_alloc(longest + 1, 1);
    if (!r.buffer) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the merges");
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        list[i] = read_merge(&r, strings[i], (uint32_t)i);
done:
    oll_free(strings);
    oll_free(r.buffer);
    return status;
}

static oll_status read_merges(struct oll_tokenizer *tok, const struct oll_gguf_kv *kv,
                              struct oll_error *err)
{
    struct bpe *bpe = &tok->bpe;
    size_t n = (size_t)kv->count;
    unsigned bits = 4;
    oll_status status = OLL_OK;
    while (((size_t)1 << bits) < 2 * n)
        bits++;
    struct bpe_slot *list = oll_alloc(n, sizeof *list);
    bpe->slots = oll_calloc((size_t)1 << bits, sizeof *bpe->slots);
    bpe->shift = 64 - bits;
    bpe->mask = ((size_t)1 << bits) - 1;
    if (!list || !bpe->slots) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the merges");
        goto done;
    }
    OLL_TRY_DONE(read_list(&tok->vocab, kv, list, err));
    if (!fill_table(bpe, list, n))
        status = OLL_FAIL(err, OLL_ERR_FORMAT,
                          "tokenizer.ggml.merges: the pairs are made to collide; "
                          "get the model from another source");
done:
    oll_free(list);
    return status;
}

/* ---- mapped vocabularies: symbols are bytes ---- */

static inline void fill_bytes(const struct bpe *bpe, struct merge_symbol *s, const char *text,
                              size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i + 1 < n; i++) {
        struct bpe_merge merge = bpe->byte_pairs[p[i] << 8 | p[i + 1]];
        s[i] = (struct merge_symbol){(uint32_t)i, bpe->byte_ids[p[i]], merge.rank, merge.id};
    }
    s[n - 1] =
        (struct merge_symbol){(uint32_t)(n - 1), bpe->byte_ids[p[n - 1]], MERGE_NONE, MERGE_NONE};
    s[n].begin = (uint32_t)n;
}

static inline merge_pair pair_of(const struct bpe *bpe)
{
    return bpe->slots ? bpe_pair : text_pair;
}

static void put_symbols(struct encoder *e, const struct merge_symbol *symbols, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (symbols[i].id != MERGE_NONE) /* a byte that the vocabulary lacks is left out */
            encoder_put(e, (int32_t)symbols[i].id);
}

/* `entry` is that of the piece in the dictionary: if merging gives just its token, the next one
 * like it needs none. */
static void merge_piece(struct encoder *e, const char *text, size_t n, uint32_t entry)
{
    const struct oll_tokenizer *tok = e->tok;
    struct merge_symbol few[MERGE_SHORT + 1], *symbols = few;
    if (n > MERGE_SHORT) {
        oll_status status = merge_reserve(&e->work, n);
        symbols = e->work.symbols;
        if (status == OLL_OK) {
            fill_bytes(&tok->bpe, symbols, text, n);
            status = merge_long(&e->work, n, pair_of(&tok->bpe), tok, text);
        }
        if (status != OLL_OK) {
            encoder_fail(e, status);
            return;
        }
        n = e->work.n_symbols;
    } else {
        fill_bytes(&tok->bpe, symbols, text, n);
        n = tok->bpe.slots ? merge_short(symbols, n, bpe_pair, tok, text)
                           : merge_short(symbols, n, text_pair, tok, text);
    }
    if (n == 1 && entry && symbols[0].id == (uint32_t)text_map_id(entry))
        text_map_set_flag(&tok->vocab.map, symbols[0].id, TEXT_MAP_WHOLE);
    put_symbols(e, symbols, n);
}

static oll_status init_bytes(struct oll_tokenizer *tok, struct oll_error *err)
{
    struct bpe *bpe = &tok->bpe;
    bpe->byte_pairs = oll_alloc(N_BYTE_PAIRS, sizeof *bpe->byte_pairs);
    if (!bpe->byte_pairs)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the merges");
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        bpe->byte_ids[b] = (uint32_t)find_piece(&tok->vocab, &byte, 1);
    }
    for (unsigned i = 0; i < N_BYTE_PAIRS; i++) {
        const char text[2] = {(char)(i >> 8), (char)(i & 0xFF)};
        struct bpe_merge merge = no_merge;
        merge.rank = pair_of(bpe)(tok, text, bpe->byte_ids[i >> 8], bpe->byte_ids[i & 0xFF], 0, 2,
                                  &merge.id);
        bpe->byte_pairs[i] = merge;
    }
    return OLL_OK;
}

oll_status bpe_init(struct oll_tokenizer *tok, const struct oll_gguf *gguf, struct oll_error *err)
{
    const struct oll_gguf_kv *kv = oll_gguf_find(gguf, "tokenizer.ggml.merges");
    bool by_text = pretok_find("kimi-k2", 7) == tok->vocab.scheme;
    if (kv && (kv->type != OLL_GGUF_ARRAY || kv->elem_type != OLL_GGUF_STRING))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "tokenizer.ggml.merges: expected a list of texts");
    if ((!kv || kv->count == 0) && !by_text)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "tokenizer.ggml.merges is missing: byte-pair encoding needs it");
    if (kv && kv->count > 0) {
        if (kv->count > UINT32_MAX / 4)
            return OLL_FAIL(err, OLL_ERR_LIMIT, "tokenizer.ggml.merges: %llu merges are too many",
                            (unsigned long long)kv->count);
        OLL_TRY(read_merges(tok, kv, err));
    }
    if (tok->vocab.raw)
        return segment_init(tok, err);
    return init_bytes(tok, err);
}

void bpe_free(struct oll_tokenizer *tok)
{
    oll_free(tok->bpe.slots);
    oll_free(tok->bpe.byte_pairs);
}

/* ---- encoding ---- */

static void encode_mapped(struct encoder *e, const char *text, size_t n)
{
    struct pretok_iter it;
    const struct text_map *map = &e->tok->vocab.map;
    const char *piece, *end = text + n;
    size_t len;
    pretok_begin(&it, e->tok->vocab.scheme, text, n);
    while (pretok_next(&it, &piece, &len) && e->status == OLL_OK) {
        uint32_t entry = text_map_find(map, piece, len, end);
        if (entry & TEXT_MAP_WHOLE)
            encoder_put(e, text_map_id(entry));
        else
            merge_piece(e, piece, len, entry);
    }
}

/* Pieces of line feeds alone are taken whole where they are tokens. */
static bool whole_lines(struct encoder *e, const char *piece, size_t len, const char *end)
{
    uint32_t entry = *piece == '\n' ? text_map_find(&e->tok->vocab.map, piece, len, end) : 0;
    for (size_t i = 0; i < len && entry; i++)
        if (piece[i] != '\n')
            entry = 0;
    if (entry)
        encoder_put(e, text_map_id(entry));
    return entry != 0;
}

static void encode_raw(struct encoder *e, const char *text, size_t n)
{
    struct pretok_iter it;
    const char *piece, *end = text + n;
    size_t len;
    pretok_begin(&it, e->tok->vocab.scheme, text, n);
    while (pretok_next(&it, &piece, &len) && e->status == OLL_OK)
        if (!whole_lines(e, piece, len, end))
            segment_encode(e, piece, len, pair_of(&e->tok->bpe));
}

/* Simple lower case, character by character. */
static void lower_text(struct encoder *e, const char *text, size_t n)
{
    e->text.n = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        char out[4];
        int len = oll_utf8_decode(text + i, n - i, &cp);
        bool ok =
            len ? encoder_append(e, &e->text, out, (size_t)oll_utf8_encode(unicode_lower(cp), out))
                : encoder_append(e, &e->text, text + i, 1);
        if (!ok)
            return;
        i += len ? (size_t)len : 1;
    }
}

void bpe_encode(struct encoder *e, const char *text, size_t n)
{
    const struct vocab *vocab = &e->tok->vocab;
    if (!vocab->raw) {
        encode_mapped(e, text, n);
        return;
    }
    if (vocab->lowercase) {
        lower_text(e, text, n);
        text = e->text.data;
        n = e->text.n;
    } else if (vocab->marked && memchr(text, VOCAB_MARK[0], n)) {
        e->text.n = 0;
        if (!encoder_reserve(e, &e->text, n))
            return;
        n = vocab_unmark(text, n, e->text.data);
        text = e->text.data;
    }
    if (e->status == OLL_OK)
        encode_raw(e, text, n);
}
