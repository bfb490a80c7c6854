#include "tokenizer/vocab.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <math.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum vocab_model model;
} models[] = {
    {"llama", VOCAB_SPM},      {"gpt2", VOCAB_BPE},      {"gemma4", VOCAB_BPE},
    {"bert", VOCAB_WORDPIECE}, {"t5", VOCAB_UNIGRAM},    {"whitespace", VOCAB_BPE},
    {"none", VOCAB_NONE},      {"no_vocab", VOCAB_NONE},
};

static bool str_is(struct oll_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* A key of the file, or "" when it is absent. */
static oll_status read_str(const struct oll_gguf *gguf, const char *key, struct oll_gguf_str *out,
                           struct oll_error *err)
{
    *out = (struct oll_gguf_str){"", 0};
    oll_status status = oll_gguf_str(gguf, key, out, err);
    return status == OLL_ERR_NOT_FOUND ? OLL_OK : status;
}

static oll_status read_bool(const struct oll_gguf *gguf, const char *key, bool *out,
                            struct oll_error *err)
{
    oll_status status = oll_gguf_bool(gguf, key, out, err);
    return status == OLL_ERR_NOT_FOUND ? OLL_OK : status;
}

static oll_status read_model(struct vocab *vocab, const struct oll_gguf *gguf,
                             struct oll_gguf_str *name, struct oll_error *err)
{
    OLL_TRY(read_str(gguf, "tokenizer.ggml.model", name, err));
    vocab->model = VOCAB_NONE;
    if (name->len == 0)
        return OLL_OK;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (str_is(*name, models[i].name)) {
            vocab->model = models[i].model;
            return OLL_OK;
        }
    char shown[64];
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "tokenizer.ggml.model is '%s': unknown tokenizer; known are llama, gpt2, "
                    "gemma4, whitespace, bert, t5 and none",
                    oll_gguf_printable(*name, shown, sizeof shown));
}

/* ---- texts, types, scores ---- */

enum { EMPTY_NAME = 24 }; /* bytes of a made-up text */

/* Bytes of the pool: every text, its piece (at most one byte longer), and names for empty texts. */
static oll_status measure(const struct oll_gguf_str *strings, int32_t n, size_t *pool_bytes,
                          struct oll_error *err)
{
    uint64_t total = 0;
    for (int32_t i = 0; i < n; i++) {
        if (strings[i].len > VOCAB_MAX_TOKEN_BYTES)
            return OLL_FAIL(err, OLL_ERR_LIMIT,
                            "tokenizer.ggml.tokens: token %d has %llu bytes; at most %d are taken",
                            i, (unsigned long long)strings[i].len, VOCAB_MAX_TOKEN_BYTES);
        total += 2 * strings[i].len + (strings[i].len ? 1 : EMPTY_NAME);
    }
    if (total > UINT32_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "tokenizer.ggml.tokens: the texts are longer than 2 GiB together");
    *pool_bytes = (size_t)total;
    return OLL_OK;
}

/* Copies the texts; *used is the part of the pool that they take. */
static oll_status copy_texts(struct vocab *vocab, const struct oll_gguf_kv *kv, size_t *used,
                             struct oll_error *err)
{
    size_t pool_bytes = 0, n = (size_t)vocab->n_tokens;
    struct oll_gguf_str *strings = oll_alloc((size_t)kv->count, sizeof *strings);
    oll_status status = OLL_OK;
    if (!strings)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
    OLL_TRY_DONE(oll_gguf_kv_strings(kv, strings, err));
    OLL_TRY_DONE(measure(strings, vocab->n_tokens, &pool_bytes, err));
    vocab->pool = oll_alloc(pool_bytes + 1, 1);
    vocab->texts = oll_alloc(n, sizeof *vocab->texts);
    vocab->pieces = oll_alloc(n, sizeof *vocab->pieces);
    vocab->types = oll_alloc(n, 1);
    vocab->flags = oll_calloc(n, 1);
    if (!vocab->pool || !vocab->texts || !vocab->pieces || !vocab->types || !vocab->flags) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
        goto done;
    }
    *used = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = (size_t)strings[i].len;
        vocab->types[i] = VOCAB_NORMAL;
        if (len > 0) {
            memcpy(vocab->pool + *used, strings[i].data, len);
        } else {
            len = (size_t)snprintf(vocab->pool + *used, EMPTY_NAME, "[EMPTY_%zu]", i);
            vocab->flags[i] = VOCAB_IS_EMPTY;
        }
        vocab->texts[i] = (struct text_map_bytes){(uint32_t)*used, (uint32_t)len};
        *used += len;
    }
done:
    oll_free(strings);
    return status;
}

/* An array that runs parallel to the tokens; NULL when absent. */
static oll_status find_parallel(const struct oll_gguf *gguf, const char *key, uint64_t n_tokens,
                                const struct oll_gguf_kv **out, struct oll_error *err)
{
    *out = oll_gguf_find(gguf, key);
    if (*out && (*out)->count < n_tokens)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "%s has %llu elements for %llu tokens", key,
                        (unsigned long long)(*out)->count, (unsigned long long)n_tokens);
    return OLL_OK;
}

static oll_status read_types(struct vocab *vocab, const struct oll_gguf *gguf, uint64_t n_tokens,
                             struct oll_error *err)
{
    const struct oll_gguf_kv *kv;
    OLL_TRY(find_parallel(gguf, "tokenizer.ggml.token_type", n_tokens, &kv, err));
    for (int32_t i = 0; kv && i < vocab->n_tokens; i++) {
        int64_t type;
        OLL_TRY(oll_gguf_kv_i64(kv, (uint64_t)i, &type, err));
        if (type >= VOCAB_NORMAL && type <= VOCAB_BYTE)
            vocab->types[i] = (uint8_t)type;
    }
    return OLL_OK;
}

static oll_status read_scores(struct vocab *vocab, const struct oll_gguf *gguf, uint64_t n_tokens,
                              struct oll_error *err)
{
    const struct oll_gguf_kv *kv;
    if (vocab->model != VOCAB_SPM && vocab->model != VOCAB_UNIGRAM)
        return OLL_OK;
    OLL_TRY(find_parallel(gguf, "tokenizer.ggml.scores", n_tokens, &kv, err));
    vocab->scores = oll_calloc((size_t)vocab->n_tokens, sizeof *vocab->scores);
    if (!vocab->scores)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
    for (int32_t i = 0; kv && i < vocab->n_tokens; i++) {
        double score;
        OLL_TRY(oll_gguf_kv_f64(kv, (uint64_t)i, &score, err));
        vocab->scores[i] = isnan(score) ? -INFINITY : (float)score;
    }
    return OLL_OK;
}

static oll_status read_suppressed(struct vocab *vocab, const struct oll_gguf *gguf,
                                  struct oll_error *err)
{
    const struct oll_gguf_kv *kv = oll_gguf_find(gguf, "tokenizer.ggml.suppress_tokens");
    if (!kv || kv->count == 0)
        return OLL_OK;
    vocab->suppressed = oll_alloc((size_t)kv->count, sizeof *vocab->suppressed);
    if (!vocab->suppressed)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
    for (uint64_t i = 0; i < kv->count; i++) {
        int64_t id;
        OLL_TRY(oll_gguf_kv_i64(kv, i, &id, err));
        if (id >= 0 && id < vocab->n_tokens)
            vocab->suppressed[vocab->n_suppressed++] = (int32_t)id;
    }
    return OLL_OK;
}

/* ---- settings ---- */

/* Best guess of a missing tokenizer.ggml.pre, from tokens that only one family has, else from the
 * architecture. */
static const char *guess_pre(const struct vocab *vocab, const struct oll_gguf *gguf)
{
    static const struct {
        const char *text, *pre;
        int32_t min_tokens;
    } marks[] = {{"<｜fim▁begin｜>", "deepseek-v3", 128000},
                 {"<｜begin▁of▁sentence｜>", "deepseek-v3", 128000},
                 {"<|channel|>", "gpt-4o", 199000},
                 {"<|START_OF_TURN_TOKEN|>", "command-r", 0}};
    static const char *const archs[][2] = {
        {"mistral3", "tekken"},    {"gpt-oss", "gpt-4o"}, {"gptoss", "gpt-4o"},
        {"glmocr", "chatglm-bpe"}, {"lfm2", "lfm2"},      {"lfm2moe", "lfm2"},
        {"glm4moelite", "glm4"},   {"gemma4", "gemma4"},
    };
    struct oll_gguf_str arch;
    if (vocab_text_is(vocab, 128009, "<|eot_id|>"))
        return "llama-bpe";
    if (vocab_text_is(vocab, 151644, "<|im_start|>"))
        return "qwen2";
    if (read_str(gguf, "general.architecture", &arch, NULL) != OLL_OK)
        arch.len = 0;
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++)
        if (str_is(arch, archs[i][0]))
            return archs[i][1];
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (vocab->n_tokens >= marks[i].min_tokens &&
            vocab_find_text(vocab, marks[i].text, strlen(marks[i].text)) != OLL_TOKEN_NONE)
            return marks[i].pre;
    return "default";
}

static oll_status choose_scheme(struct vocab *vocab, const struct oll_gguf *gguf,
                                struct oll_gguf_str model, struct oll_error *err)
{
    struct oll_gguf_str pre;
    OLL_TRY(read_str(gguf, "tokenizer.ggml.pre", &pre, err));
    if (str_is(model, "whitespace"))
        pre = (struct oll_gguf_str){"whitespace", 10};
    else if (!str_is(model, "gpt2"))
        pre = (struct oll_gguf_str){"gemma4", 6};
    else if (pre.len == 0 || str_is(pre, "default")) {
        const char *guess = guess_pre(vocab, gguf);
        pre = (struct oll_gguf_str){guess, strlen(guess)};
    }
    vocab->scheme = pretok_find(pre.data, (size_t)pre.len);
    if (!vocab->scheme) {
        char shown[64];
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "tokenizer.ggml.pre is '%s': unknown pre-tokenizer",
                        oll_gguf_printable(pre, shown, sizeof shown));
    }
    if (vocab->scheme->flags & PRETOK_GUESS)
        oll_log_warn("tokenizer", "tokenizer.ggml.pre does not say how to cut text; a common way "
                                  "is used and quality may suffer");
    vocab->raw = vocab->scheme->flags & PRETOK_RAW;
    vocab->marked = !(vocab->scheme->flags & PRETOK_UNMARKED);
    vocab->add_bos = vocab->scheme->flags & PRETOK_ADD_BOS;
    vocab->add_sep = vocab->scheme->flags & PRETOK_ADD_SEP;
    return OLL_OK;
}

static oll_status read_settings(struct vocab *vocab, const struct oll_gguf *gguf,
                                struct oll_gguf_str model, struct oll_error *err)
{
    vocab->raw = vocab->marked = true;
    switch (vocab->model) {
    case VOCAB_SPM: vocab->add_bos = vocab->add_space_prefix = true; break;
    case VOCAB_BPE: OLL_TRY(choose_scheme(vocab, gguf, model, err)); break;
    case VOCAB_WORDPIECE: vocab->add_bos = vocab->add_sep = vocab->lowercase = true; break;
    case VOCAB_UNIGRAM: vocab->add_eos = vocab->add_space_prefix = true; break;
    case VOCAB_NONE: break;
    }
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.add_bos_token", &vocab->add_bos, err));
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.add_eos_token", &vocab->add_eos, err));
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.add_sep_token", &vocab->add_sep, err));
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.add_space_prefix", &vocab->add_space_prefix, err));
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces", &vocab->remove_extra_spaces,
                      err));
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.normalizer.lowercase", &vocab->lowercase, err));
    vocab->strip_accents = vocab->lowercase;
    OLL_TRY(read_bool(gguf, "tokenizer.ggml.normalizer.strip_accents", &vocab->strip_accents, err));
    /* Files of this family deny it by mistake. */
    if (vocab->model == VOCAB_BPE && !str_is(model, "gpt2") && !str_is(model, "whitespace"))
        vocab->add_bos = true;
    if (vocab->model == VOCAB_WORDPIECE)
        vocab->add_bos = vocab->add_sep = true;
    return OLL_OK;
}

/* A file of the gemma4 architecture may call its merges SentencePiece. */
static void correct_model(struct vocab *vocab, const struct oll_gguf *gguf,
                          struct oll_gguf_str *name)
{
    struct oll_gguf_str arch;
    if (vocab->model == VOCAB_SPM &&
        read_str(gguf, "general.architecture", &arch, NULL) == OLL_OK && str_is(arch, "gemma4") &&
        oll_gguf_find(gguf, "tokenizer.ggml.merges")) {
        vocab->model = VOCAB_BPE;
        *name = (struct oll_gguf_str){"gemma4", 6};
    }
}

oll_status vocab_load(struct vocab *vocab, const struct oll_gguf *gguf, uint64_t n_vocab,
                      struct oll_error *err)
{
    struct oll_gguf_str model;
    size_t pool_used = 0;
    for (int r = 0; r < OLL_ROLE_COUNT; r++)
        vocab->roles[r] = OLL_TOKEN_NONE;
    OLL_TRY(read_model(vocab, gguf, &model, err));
    correct_model(vocab, gguf, &model);
    const struct oll_gguf_kv *kv = oll_gguf_find(gguf, "tokenizer.ggml.tokens");
    if (!kv && vocab->model == VOCAB_NONE)
        return OLL_OK;
    if (!kv || kv->type != OLL_GGUF_ARRAY || kv->elem_type != OLL_GGUF_STRING || kv->count == 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "tokenizer.ggml.tokens: expected a list of texts");
    uint64_t n = n_vocab && n_vocab < kv->count ? n_vocab : kv->count;
    if (n > VOCAB_MAX_TOKENS)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "tokenizer.ggml.tokens: %llu tokens; at most %d are taken",
                        (unsigned long long)n, VOCAB_MAX_TOKENS);
    vocab->n_tokens = (int32_t)n;
    OLL_TRY(copy_texts(vocab, kv, &pool_used, err));
    OLL_TRY(read_types(vocab, gguf, n, err));
    OLL_TRY(read_scores(vocab, gguf, n, err));
    OLL_TRY(read_settings(vocab, gguf, model, err));
    OLL_TRY(vocab_load_roles(vocab, gguf, err));
    if (vocab->scheme && (vocab->scheme->flags & PRETOK_NO_BOS))
        vocab->roles[OLL_ROLE_BOS] = OLL_TOKEN_NONE;
    OLL_TRY(read_suppressed(vocab, gguf, err));
    return vocab_make_pieces(vocab, pool_used, err);
}

void vocab_free(struct vocab *vocab)
{
    text_map_free(&vocab->map);
    oll_free(vocab->pool);
    oll_free(vocab->texts);
    oll_free(vocab->pieces);
    oll_free(vocab->types);
    oll_free(vocab->flags);
    oll_free(vocab->scores);
    oll_free(vocab->suppressed);
}

bool vocab_text_is(const struct vocab *vocab, int32_t id, const char *text)
{
    size_t n;
    if (id < 0 || id >= vocab->n_tokens)
        return false;
    const char *own = vocab_text(vocab, id, &n);
    return n == strlen(text) && memcmp(own, text, n) == 0;
}

int32_t vocab_find_text(const struct vocab *vocab, const char *text, size_t n)
{
    for (int32_t id = vocab->n_tokens - 1; id >= 0; id--)
        if (vocab->texts[id].n == n && memcmp(vocab->pool + vocab->texts[id].off, text, n) == 0)
            return id;
    return OLL_TOKEN_NONE;
}
