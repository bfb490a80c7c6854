#include "sampler/token_trie.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct word {
    const char *bytes;
    uint32_t n;
    int32_t token;
};

static int compare_words(const void *x, const void *y)
{
    const struct word *a = x, *b = y;
    uint32_t n = a->n < b->n ? a->n : b->n;
    int c = memcmp(a->bytes, b->bytes, n);
    return c ? c : a->n != b->n ? (a->n < b->n ? -1 : 1) : a->token < b->token ? -1 : 1;
}

static uint32_t common_prefix(const struct word *a, const struct word *b)
{
    uint32_t n = a->n < b->n ? a->n : b->n, i = 0;
    while (i < n && a->bytes[i] == b->bytes[i])
        i++;
    return i;
}

/* The trie of sorted words without equals. */
static bool build_tree(const struct word *words, uint32_t n, struct token_tree *tree)
{
    uint64_t total = 0;
    uint32_t open[TOKEN_TRIE_MAX_DEPTH + 1]; /* node of each depth on the current path */
    uint32_t depth = 0;
    for (uint32_t i = 0; i < n; i++)
        total += words[i].n - (i ? common_prefix(&words[i - 1], &words[i]) : 0);
    tree->n = 0;
    tree->nodes = oll_alloc(total ? (size_t)total : 1, sizeof *tree->nodes);
    if (!tree->nodes)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t shared = i ? common_prefix(&words[i - 1], &words[i]) : 0;
        for (; depth > shared; depth--)
            tree->nodes[open[depth - 1]].skip = tree->n - open[depth - 1];
        for (; depth < words[i].n; depth++) {
            open[depth] = tree->n;
            tree->nodes[tree->n++] = (struct token_node){.token = OLL_TOKEN_NONE,
                                                         .byte = (uint8_t)words[i].bytes[depth],
                                                         .depth = (uint8_t)depth};
        }
        tree->nodes[tree->n - 1].token = words[i].token;
    }
    for (; depth > 0; depth--)
        tree->nodes[open[depth - 1]].skip = tree->n - open[depth - 1];
    return true;
}

/* Characters of a token when all of them are whole and in the slice's class; else 0. */
static uint32_t chars_in(const struct token_slice *slice, const struct word *w)
{
    uint32_t count = 0, cp;
    for (uint32_t at = 0; at < w->n; count++) {
        int len = oll_utf8_decode(w->bytes + at, w->n - at, &cp);
        bool in = false;
        for (uint32_t r = 0; r < slice->n_ranges && len > 0 && !in; r++)
            in = cp >= slice->ranges[r].lo && cp <= slice->ranges[r].hi;
        if (!in)
            return 0;
        at += (uint32_t)len;
    }
    return count;
}

static bool build_slice(struct oll_token_trie *trie, struct token_slice *slice, uint32_t limit,
                        const struct word *words, struct word *others, uint32_t n)
{
    uint32_t n_others = 0;
    slice->mask = oll_calloc(trie->n_words, sizeof *slice->mask);
    if (!slice->mask)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t chars = chars_in(slice, &words[i]);
        if (chars == 0 || chars > limit) {
            others[n_others++] = words[i];
            continue;
        }
        slice->max_chars = chars > slice->max_chars ? chars : slice->max_chars;
        for (int32_t t = words[i].token; t != OLL_TOKEN_NONE; t = trie->same[t])
            slice->mask[t >> 6] |= UINT64_C(1) << (t & 63);
    }
    return build_tree(others, n_others, &slice->others);
}

/* What JSON strings hold as it is; text without punctuation; words. */
#define RANGES_STRING                                                                              \
    {                                                                                              \
        {0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x7E}, {0x80, 0xD7FF}, { 0xE000, REGEX_MAX_CP }         \
    }
#define RANGES_TEXT {{' ', ' '}, {'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}, {0xA1, 0xD7FF}}
#define RANGES_LINK                                                                                \
    {{'!', '!'}, {'$', '$'}, {'&', '.'}, {'0', ';'}, {'=', '='}, {'@', 'Z'}, {'_', '_'}, {'a', 'z'}}
#define RANGES_WORD {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}

static const struct {
    uint32_t limit, n_ranges;
    struct regex_range ranges[TOKEN_TRIE_SLICE_RANGES];
} slice_kinds[TOKEN_TRIE_SLICES] = {{TOKEN_TRIE_MAX_DEPTH, 5, RANGES_STRING},
                                    {40, 5, RANGES_STRING},
                                    {20, 5, RANGES_STRING},
                                    {12, 5, RANGES_STRING},
                                    {8, 5, RANGES_STRING},
                                    {5, 5, RANGES_STRING},
                                    {TOKEN_TRIE_MAX_DEPTH, 6, RANGES_TEXT},
                                    {12, 6, RANGES_TEXT},
                                    {TOKEN_TRIE_MAX_DEPTH, 8, RANGES_LINK},
                                    {TOKEN_TRIE_MAX_DEPTH, 3, RANGES_WORD},
                                    {12, 3, RANGES_WORD}};

/* Sorts the words, and links those of equal bytes to the first of them; returns how many differ. */
static uint32_t unite_equals(struct oll_token_trie *trie, struct word *words, uint32_t n)
{
    uint32_t kept = 0;
    qsort(words, n, sizeof *words, compare_words);
    for (uint32_t i = 0; i < n; i++) {
        if (kept && words[i].n == words[kept - 1].n &&
            memcmp(words[i].bytes, words[kept - 1].bytes, words[i].n) == 0) {
            trie->same[words[i].token] = trie->same[words[kept - 1].token];
            trie->same[words[kept - 1].token] = words[i].token;
        } else {
            words[kept++] = words[i];
        }
    }
    return kept;
}

static bool fill(struct oll_token_trie *trie, struct word *words, struct word *others)
{
    uint32_t n = 0;
    for (uint32_t id = 0; id < trie->n_vocab; id++) {
        struct word w = {.token = (int32_t)id};
        size_t len = 0;
        trie->same[id] = OLL_TOKEN_NONE;
        if (oll_tokenizer_is_eog(trie->tok, w.token)) {
            trie->ends[id >> 6] |= UINT64_C(1) << (id & 63);
            continue;
        }
        oll_tokenizer_piece(trie->tok, w.token, false, &w.bytes, &len);
        w.n = (uint32_t)len;
        if (len > 0 && len <= TOKEN_TRIE_MAX_DEPTH)
            words[n++] = w;
    }
    n = unite_equals(trie, words, n);
    bool ok = build_tree(words, n, &trie->all);
    for (int i = 0; i < TOKEN_TRIE_SLICES && ok; i++) {
        struct token_slice *slice = &trie->slices[i];
        slice->n_ranges = slice_kinds[i].n_ranges;
        memcpy(slice->ranges, slice_kinds[i].ranges, sizeof slice->ranges);
        ok = build_slice(trie, slice, slice_kinds[i].limit, words, others, n);
    }
    return ok;
}

oll_status oll_token_trie_new(const struct oll_tokenizer *tok, uint32_t n_vocab,
                              struct oll_token_trie **out, struct oll_error *err)
{
    struct oll_token_trie *trie = oll_calloc(1, sizeof *trie);
    struct word *words = oll_alloc((size_t)n_vocab + 1, sizeof *words);
    struct word *others = oll_alloc((size_t)n_vocab + 1, sizeof *others);
    bool ok = trie && words && others;
    if (ok) {
        uint32_t known = (uint32_t)oll_tokenizer_n_tokens(tok);
        trie->tok = tok;
        trie->n_vocab = n_vocab < known ? n_vocab : known;
        trie->n_words = n_vocab / 64 + 1;
        trie->same = oll_alloc((size_t)n_vocab + 1, sizeof *trie->same);
        trie->ends = oll_calloc(trie->n_words, sizeof *trie->ends);
        ok = trie->same && trie->ends && fill(trie, words, others);
    }
    oll_free(words);
    oll_free(others);
    if (!ok) {
        oll_token_trie_free(trie);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a trie of %u tokens", n_vocab);
    }
    *out = trie;
    return OLL_OK;
}

void oll_token_trie_free(struct oll_token_trie *trie)
{
    if (!trie)
        return;
    for (int i = 0; i < TOKEN_TRIE_SLICES; i++) {
        oll_free(trie->slices[i].mask);
        oll_free(trie->slices[i].others.nodes);
    }
    oll_free(trie->all.nodes);
    oll_free(trie->same);
    oll_free(trie->ends);
    oll_free(trie);
}
