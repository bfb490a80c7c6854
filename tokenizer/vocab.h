/* The vocabulary of a GGUF file: texts, types, scores, roles and settings of a tokenizer.
 *
 * A token has a text, as the file spells it, and a piece, the bytes that it stands for in running
 * text: byte-level vocabularies spell bytes as printable characters, the others a blank as U+2581.
 * Encoding and decoding work on pieces, so that text needs no rewriting; a blank in a piece is
 * always the word mark. Everything is copied out of the file and read-only after vocab_load. */
#ifndef OLL_TOKENIZER_VOCAB_H
#define OLL_TOKENIZER_VOCAB_H

#include "tokenizer/pretokenize.h"
#include "tokenizer/text_map.h"
#include "tokenizer/tokenizer.h"

enum vocab_model {
    VOCAB_NONE, /* ids only */
    VOCAB_SPM,
    VOCAB_BPE,
    VOCAB_WORDPIECE,
    VOCAB_UNIGRAM
};

/* tokenizer.ggml.token_type */
enum vocab_type {
    VOCAB_NORMAL = 1,
    VOCAB_UNKNOWN,
    VOCAB_CONTROL,
    VOCAB_USER, /* user defined: found in any text before it is tokenized */
    VOCAB_UNUSED,
    VOCAB_BYTE
};

enum vocab_flags {
    VOCAB_IS_EOG = 1,
    VOCAB_IS_ROLE = 2,  /* named by a key of the file */
    VOCAB_LSTRIP = 4,   /* drops white space before it */
    VOCAB_RSTRIP = 8,   /* and after it */
    VOCAB_IN_MAP = 16,  /* plain text may become this token */
    VOCAB_IS_EMPTY = 32 /* the file has no text for it */
};

enum {
    VOCAB_MAX_TOKENS = TEXT_MAP_MAX_IDS - 1,
    /* Matching by trie costs text times longest token; no real token comes near this. */
    VOCAB_MAX_TOKEN_BYTES = 1 << 14
};

#define VOCAB_MARK       "\xE2\x96\x81" /* U+2581 */
#define VOCAB_MARK_BYTES 3

struct vocab {
    enum vocab_model model;
    int32_t n_tokens;
    char *pool; /* texts and pieces */
    struct text_map_bytes *texts, *pieces;
    uint8_t *types, *flags;
    float *scores;       /* SPM and unigram, else NULL */
    size_t max_piece;    /* bytes of the longest piece in the map */
    struct text_map map; /* pieces that plain text may become */
    int32_t roles[OLL_ROLE_COUNT];
    int32_t byte_ids[256]; /* ids of <0x00> to <0xFF>, or OLL_TOKEN_NONE */
    int32_t *suppressed;
    size_t n_suppressed;
    const struct pretok_scheme *scheme; /* BPE */
    bool raw, marked; /* pieces are UTF-8, not mapped bytes; blanks are spelled U+2581 */
    bool add_bos, add_eos, add_sep, add_space_prefix;
    bool remove_extra_spaces;      /* unigram */
    bool lowercase, strip_accents; /* WordPiece; lowercase also BPE of `whitespace` */
};

oll_status vocab_load(struct vocab *vocab, const struct oll_gguf *gguf, uint64_t n_vocab,
                      struct oll_error *err) OLL_MUST_USE;
void vocab_free(struct vocab *vocab);

static inline const char *vocab_text(const struct vocab *vocab, int32_t id, size_t *n)
{
    *n = vocab->texts[id].n;
    return vocab->pool + vocab->texts[id].off;
}

static inline const char *vocab_piece(const struct vocab *vocab, int32_t id, size_t *n)
{
    *n = vocab->pieces[id].n;
    return vocab->pool + vocab->pieces[id].off;
}

static inline bool vocab_hidden(const struct vocab *vocab, int32_t id)
{
    return vocab->types[id] == VOCAB_CONTROL || vocab->types[id] == VOCAB_UNKNOWN;
}

/* Id of the last token with this text, else OLL_TOKEN_NONE; looks at every token. */
int32_t vocab_find_text(const struct vocab *vocab, const char *text, size_t n);
bool vocab_text_is(const struct vocab *vocab, int32_t id, const char *text);

/* ---- steps of vocab_load ---- */

/* Roles from keys and texts, corrected types, the end-of-generation set (vocab_roles.c). */
oll_status vocab_load_roles(struct vocab *vocab, const struct oll_gguf *gguf,
                            struct oll_error *err) OLL_MUST_USE;
/* Pieces and the map; needs room for all of them in the pool from `pool_used` on
 * (vocab_pieces.c). */
oll_status vocab_make_pieces(struct vocab *vocab, size_t pool_used,
                             struct oll_error *err) OLL_MUST_USE;
/* Byte of a character in the spelling of byte-level vocabularies, -1 when it is none. */
int vocab_unmap_char(uint32_t cp);
/* Bytes that one character of the same spelling stands for, as vocab_make_pieces does for a text;
 * *all tells whether every character stood for a byte. Returns the length; out has room for n. */
size_t vocab_unmap(const char *text, size_t n, char *out, bool *all);
/* Replaces U+2581 by a blank; out has room for n and may be `text`. Returns the length. */
size_t vocab_unmark(const char *text, size_t n, char *out);

#endif
