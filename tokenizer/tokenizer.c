#include "tokenizer/tokenizer.h"

#include "engine/base/mem.h"
#include "tokenizer/algorithms.h"

#include <string.h>

static void tokenizer_release(struct oll_tokenizer *tok)
{
    vocab_free(&tok->vocab);
    partition_free(&tok->partition);
    bpe_free(tok);
    unigram_free(tok);
    byte_trie_free(&tok->trie);
    oll_free(tok->joins);
    oll_free(tok);
}

void oll_tokenizer_free(struct oll_tokenizer *tok)
{
    if (tok)
        tokenizer_release(tok);
}

static oll_status init_algorithm(struct oll_tokenizer *tok, const struct oll_gguf *gguf,
                                 struct oll_error *err)
{
    switch (tok->vocab.model) {
    case VOCAB_SPM: return spm_init(tok, err);
    case VOCAB_BPE: return bpe_init(tok, gguf, err);
    case VOCAB_WORDPIECE: return wordpiece_init(tok, err);
    case VOCAB_UNIGRAM: return unigram_init(tok, gguf, err);
    case VOCAB_NONE: break;
    }
    return OLL_OK;
}

oll_status oll_tokenizer_new(const struct oll_gguf *gguf, uint64_t n_vocab,
                             struct oll_tokenizer **out, struct oll_error *err)
{
    struct oll_tokenizer *tok = oll_calloc(1, sizeof *tok);
    if (!tok)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the tokenizer");
    oll_status status = vocab_load(&tok->vocab, gguf, n_vocab, err);
    if (status == OLL_OK && tok->vocab.n_tokens > 0)
        status = partition_init(&tok->partition, &tok->vocab, err);
    if (status == OLL_OK)
        status = init_algorithm(tok, gguf, err);
    if (status != OLL_OK) {
        tokenizer_release(tok);
        return oll_error_set(err, status, "cannot load the tokenizer: %s", oll_status_text(status));
    }
    *out = tok;
    return OLL_OK;
}

/* ---- lists of ids ---- */

void oll_tokens_free(struct oll_tokens *tokens)
{
    oll_free(tokens->ids);
    *tokens = (struct oll_tokens){0};
}

oll_status oll_tokens_add(struct oll_tokens *tokens, int32_t id)
{
    if (tokens->n == tokens->cap) {
        size_t cap = tokens->cap ? tokens->cap + tokens->cap / 2 : 64;
        int32_t *ids = oll_realloc(tokens->ids, cap, sizeof *ids);
        if (!ids)
            return OLL_ERR_MEMORY;
        tokens->ids = ids;
        tokens->cap = cap;
    }
    tokens->ids[tokens->n++] = id;
    return OLL_OK;
}

/* ---- encoding ---- */

bool encoder_reserve(struct encoder *e, struct encoder_buffer *buffer, size_t n)
{
    if (n <= buffer->cap - buffer->n)
        return true;
    size_t cap = buffer->n + n + buffer->cap / 2 + 64;
    char *data = oll_realloc(buffer->data, cap, 1);
    if (!data) {
        encoder_fail(e, OLL_ERR_MEMORY);
        return false;
    }
    buffer->data = data;
    buffer->cap = cap;
    return true;
}

bool encoder_append(struct encoder *e, struct encoder_buffer *buffer, const char *bytes, size_t n)
{
    if (!encoder_reserve(e, buffer, n))
        return false;
    memcpy(buffer->data + buffer->n, bytes, n);
    buffer->n += n;
    return true;
}

static void encode_fragment(struct encoder *e, const char *text, size_t n, bool starts)
{
    switch (e->tok->vocab.model) {
    case VOCAB_SPM: spm_encode(e, text, n, starts); break;
    case VOCAB_BPE: bpe_encode(e, text, n); break;
    case VOCAB_WORDPIECE: wordpiece_encode(e, text, n); break;
    case VOCAB_UNIGRAM: unigram_encode(e, text, n, starts); break;
    case VOCAB_NONE: break;
    }
}

static oll_status encode_text(const struct oll_tokenizer *tok, const char *text, size_t n,
                              unsigned flags, struct oll_tokens *out)
{
    struct encoder e = {.tok = tok, .out = out};
    struct fragments fragments = {0};
    e.status =
        partition_split(&tok->partition, text, n, flags & OLL_ENCODE_PARSE_SPECIAL, &fragments);
    for (size_t i = 0; i < fragments.n && e.status == OLL_OK; i++) {
        const struct fragment *f = &fragments.items[i];
        bool starts = f->after_special || (i == 0 && !(flags & OLL_ENCODE_CONTINUE));
        if (f->id != OLL_TOKEN_NONE)
            encoder_put(&e, f->id);
        else
            encode_fragment(&e, text + f->begin, f->end - f->begin, starts);
    }
    fragments_free(&fragments);
    merge_work_free(&e.work);
    oll_free(e.text.data);
    oll_free(e.cells);
    return e.status;
}

/* The token added behind a text, or OLL_TOKEN_NONE. */
static int32_t closing_token(const struct vocab *vocab)
{
    if (vocab->add_eos && vocab->roles[OLL_ROLE_EOS] != OLL_TOKEN_NONE)
        return vocab->roles[OLL_ROLE_EOS];
    return vocab->add_sep ? vocab->roles[OLL_ROLE_SEP] : OLL_TOKEN_NONE;
}

oll_status oll_tokenizer_encode(const struct oll_tokenizer *tok, const char *text, size_t n,
                                unsigned flags, struct oll_tokens *out)
{
    const struct vocab *vocab = &tok->vocab;
    bool special = flags & OLL_ENCODE_ADD_SPECIAL;
    int32_t bos = special && vocab->add_bos ? vocab->roles[OLL_ROLE_BOS] : OLL_TOKEN_NONE;
    int32_t last = special ? closing_token(vocab) : OLL_TOKEN_NONE;
    size_t n_before = out->n;
    if (vocab->model == VOCAB_NONE)
        return OLL_ERR_UNSUPPORTED;
    if (bos != OLL_TOKEN_NONE)
        OLL_TRY(oll_tokens_add(out, bos));
    oll_status status = encode_text(tok, text, n, flags, out);
    /* A template may have written the first token already. */
    if (status == OLL_OK && bos != OLL_TOKEN_NONE && out->n > n_before + 1 &&
        out->ids[n_before + 1] == bos) {
        out->n--;
        memmove(out->ids + n_before, out->ids + n_before + 1,
                (out->n - n_before) * sizeof *out->ids);
    }
    if (status == OLL_OK && last != OLL_TOKEN_NONE)
        status = oll_tokens_add(out, last);
    if (status != OLL_OK)
        out->n = n_before;
    return status;
}

/* ---- what the vocabulary says ---- */

int32_t oll_tokenizer_n_tokens(const struct oll_tokenizer *tok) { return tok->vocab.n_tokens; }

static bool in_range(const struct oll_tokenizer *tok, int32_t id)
{
    return id >= 0 && id < tok->vocab.n_tokens;
}

int32_t oll_tokenizer_role(const struct oll_tokenizer *tok, enum oll_token_role role)
{
    return tok->vocab.roles[role];
}

bool oll_tokenizer_is_eog(const struct oll_tokenizer *tok, int32_t id)
{
    return in_range(tok, id) && (tok->vocab.flags[id] & VOCAB_IS_EOG);
}

bool oll_tokenizer_is_special(const struct oll_tokenizer *tok, int32_t id)
{
    return in_range(tok, id) &&
           (vocab_hidden(&tok->vocab, id) || tok->vocab.types[id] == VOCAB_USER);
}

bool oll_tokenizer_is_control(const struct oll_tokenizer *tok, int32_t id)
{
    return in_range(tok, id) && tok->vocab.types[id] == VOCAB_CONTROL;
}

bool oll_tokenizer_adds_bos(const struct oll_tokenizer *tok)
{
    return tok->vocab.add_bos && tok->vocab.roles[OLL_ROLE_BOS] != OLL_TOKEN_NONE;
}

bool oll_tokenizer_adds_eos(const struct oll_tokenizer *tok)
{
    return closing_token(&tok->vocab) != OLL_TOKEN_NONE;
}

const char *oll_tokenizer_text(const struct oll_tokenizer *tok, int32_t id, size_t *n)
{
    *n = 0;
    return in_range(tok, id) ? vocab_text(&tok->vocab, id, n) : "";
}

int32_t oll_tokenizer_find(const struct oll_tokenizer *tok, const char *text, size_t n)
{
    return vocab_find_text(&tok->vocab, text, n);
}

const int32_t *oll_tokenizer_suppressed(const struct oll_tokenizer *tok, size_t *n)
{
    *n = tok->vocab.n_suppressed;
    return tok->vocab.suppressed;
}
