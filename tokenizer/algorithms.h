/* The tokenizer's parts and what one run of the encoder carries from fragment to fragment. */
#ifndef OLL_TOKENIZER_ALGORITHMS_H
#define OLL_TOKENIZER_ALGORITHMS_H

#include "tokenizer/byte_trie.h"
#include "tokenizer/merge.h"
#include "tokenizer/partition.h"
#include "tokenizer/vocab.h"

/* Rank of a merge and the token that it gives. */
struct bpe_merge {
    uint32_t rank, id; /* rank MERGE_NONE: no merge */
};

struct bpe_slot {
    uint64_t key; /* left << 32 | right, plus 1; 0 while the slot is free */
    struct bpe_merge merge;
};

struct bpe {
    struct bpe_slot *slots; /* open addressing, at most half full; NULL: merge by text */
    unsigned shift;
    size_t mask;
    uint32_t byte_ids[256];       /* token of each byte, or MERGE_NONE (mapped vocabularies) */
    struct bpe_merge *byte_pairs; /* [256 * 256]: merges of two bytes, found without hashing */
};

/* Longest-match rewriting of text before a unigram model sees it (unigram_charsmap.c). */
struct charsmap {
    uint32_t *units; /* double array */
    size_t n_units;
    char *strings; /* replacements, each with its terminator */
    size_t n_strings;
};

struct unigram {
    struct byte_trie trie;  /* pieces that plain text may become */
    struct byte_trie users; /* user defined ones, copied by the normaliser unchanged */
    struct charsmap charsmap;
    double unk_score;
};

struct oll_tokenizer {
    struct vocab vocab;
    struct partition partition;
    struct bpe bpe;
    uint64_t *joins;       /* bit [first byte * 256 + second]: some piece has the two in a row */
    struct byte_trie trie; /* WordPiece */
    struct unigram unigram;
};

/* Growing buffer of bytes kept for the run. */
struct encoder_buffer {
    char *data;
    size_t n, cap;
};

struct encoder {
    const struct oll_tokenizer *tok;
    struct oll_tokens *out;
    struct merge_work work;
    struct encoder_buffer text; /* the fragment rewritten, where the algorithm needs that */
    void *cells;                /* unigram: best way to each position */
    size_t cap_cells;
    oll_status status; /* sticky */
};

static inline void encoder_put(struct encoder *e, int32_t id)
{
    struct oll_tokens *out = e->out;
    if (out->n < out->cap)
        out->ids[out->n++] = id;
    else if (e->status == OLL_OK)
        e->status = oll_tokens_add(out, id);
}

static inline void encoder_fail(struct encoder *e, oll_status status)
{
    if (e->status == OLL_OK)
        e->status = status;
}

/* Room for n more bytes in a buffer; false after recording the failure. */
bool encoder_reserve(struct encoder *e, struct encoder_buffer *buffer, size_t n);
bool encoder_append(struct encoder *e, struct encoder_buffer *buffer, const char *bytes, size_t n);

/* Each algorithm: its tables, and the tokens of one raw fragment. `starts` tells that the fragment
 * is the first of its text or follows a special token. Failures go to e->status. */
oll_status bpe_init(struct oll_tokenizer *tok, const struct oll_gguf *gguf,
                    struct oll_error *err) OLL_MUST_USE;
void bpe_free(struct oll_tokenizer *tok);
void bpe_encode(struct encoder *e, const char *text, size_t n);

oll_status spm_init(struct oll_tokenizer *tok, struct oll_error *err) OLL_MUST_USE;
void spm_encode(struct encoder *e, const char *text, size_t n, bool starts);

oll_status wordpiece_init(struct oll_tokenizer *tok, struct oll_error *err) OLL_MUST_USE;
void wordpiece_encode(struct encoder *e, const char *text, size_t n);

oll_status unigram_init(struct oll_tokenizer *tok, const struct oll_gguf *gguf,
                        struct oll_error *err) OLL_MUST_USE;
void unigram_free(struct oll_tokenizer *tok);
void unigram_encode(struct encoder *e, const char *text, size_t n, bool starts);

/* ---- UTF-8 text in segments, for SPM, raw BPE and unigram (segment.c) ---- */

/* Fills tok->joins. */
oll_status segment_init(struct oll_tokenizer *tok, struct oll_error *err) OLL_MUST_USE;
/* Bytes of text[0..n), n > 0, up to a place that no piece reaches across; *n_chars gets its
 * characters. */
size_t segment_length(const struct oll_tokenizer *tok, const char *text, size_t n, size_t *n_chars);
/* Records that a segment with this entry gave n tokens, the first one `id`. */
void segment_found(const struct oll_tokenizer *tok, uint32_t entry, size_t n, uint32_t id);
/* Tokens of a text in the form of pieces by merging. */
void segment_encode(struct encoder *e, const char *text, size_t n, merge_pair pair);

/* ---- rewriting for unigram (unigram_charsmap.c) ---- */

oll_status charsmap_load(struct charsmap *map, const struct oll_gguf *gguf,
                         struct oll_error *err) OLL_MUST_USE;
void charsmap_free(struct charsmap *map);
/* Longest prefix of p[0..n) that has a replacement, as its length; 0: none. */
size_t charsmap_match(const struct charsmap *map, const char *p, size_t n, const char **replacement,
                      size_t *n_replacement);

/* Length that the lead byte of a character tells, cut to n; 1 for a byte that leads none. */
static inline size_t lead_length(const char *p, size_t n)
{
    unsigned char c = (unsigned char)*p;
    size_t len = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF8 ? 4 : 1;
    return len < n ? len : n;
}

#endif
