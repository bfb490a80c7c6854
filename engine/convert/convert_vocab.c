/* Vocabularies, ids of special tokens, chat template (store-and-registry 10.6). */
#include "engine/base/mem.h"
#include "engine/convert/convert_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_NORMAL = 1,
    TYPE_CONTROL = 3,
    TYPE_USER = 4,
    TYPE_UNUSED = 5,
    SPM_BYTES_MAX = 64 << 20,
    TEMPLATE_BYTES_MAX = 1 << 20
};

static const char word_mark[] = "\xe2\x96\x81"; /* U+2581 */

static struct oll_gguf_str str_of(const char *s) { return (struct oll_gguf_str){s, strlen(s)}; }

oll_status convert_vocab_new(struct convert *c, uint64_t n, struct convert_vocab *out)
{
    if (n > CONVERT_VOCAB_MAX)
        return OLL_FAIL(c->err, OLL_ERR_LIMIT, "a vocabulary of %llu tokens, at most %d are read",
                        (unsigned long long)n, CONVERT_VOCAB_MAX);
    *out = (struct convert_vocab){.n = n};
    out->tokens = oll_arena_alloc(&c->arena, (size_t)n + 1, sizeof *out->tokens);
    out->types = oll_arena_alloc(&c->arena, (size_t)n + 1, sizeof *out->types);
    if (!out->tokens || !out->types)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
    return OLL_OK;
}

/* ---- tokenizer.json ---- */

static bool take_id(const struct oll_json *v, uint64_t *out)
{
    if (!v || v->type != OLL_JSON_NUMBER || !v->is_uint || v->i < 0 || v->i >= CONVERT_VOCAB_MAX)
        return false;
    *out = (uint64_t)v->i;
    return true;
}

/* One more than the highest id; 0 when an id is none. Ids may leave gaps, but not more of them than
 * there are tokens and a fixed reserve, so that a small file asks for little memory. */
static uint64_t count_ids(const struct oll_json *vocab, const struct oll_json *added)
{
    uint64_t n = 0, id, n_tokens = 0;
    for (const struct oll_json *t = vocab->first; t; t = t->next, n_tokens++) {
        if (!take_id(t, &id))
            return 0;
        n = id >= n ? id + 1 : n;
    }
    for (const struct oll_json *t = added ? added->first : NULL; t; t = t->next, n_tokens++) {
        if (!take_id(oll_json_get(t, "id"), &id))
            return 0;
        n = id >= n ? id + 1 : n;
    }
    return n <= 2 * n_tokens + 65536 ? n : 0;
}

/* Tokens by id, with those that were added over the model's own. */
static oll_status read_tokens(struct convert *c, const struct oll_json *tokenizer,
                              struct convert_vocab *out)
{
    const struct oll_json *vocab = oll_json_get(oll_json_get(tokenizer, "model"), "vocab");
    const struct oll_json *added = oll_json_get(tokenizer, "added_tokens");
    uint64_t id = 0;
    if (added && added->type != OLL_JSON_ARRAY)
        added = NULL;
    const uint64_t n = vocab && vocab->type == OLL_JSON_OBJECT ? count_ids(vocab, added) : 0;
    if (n == 0)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tokenizer.json: no vocabulary of token to id");
    OLL_TRY(convert_vocab_new(c, n, out));
    for (const struct oll_json *t = vocab->first; t; t = t->next) {
        (void)take_id(t, &id);
        out->tokens[id] = (struct oll_gguf_str){t->key, t->key_len};
        out->types[id] = TYPE_NORMAL;
    }
    for (const struct oll_json *t = added ? added->first : NULL; t; t = t->next) {
        const struct oll_json *content = oll_json_get(t, "content");
        const struct oll_json *special = oll_json_get(t, "special");
        (void)take_id(oll_json_get(t, "id"), &id);
        if (!content || content->type != OLL_JSON_STRING)
            continue;
        out->tokens[id] = (struct oll_gguf_str){content->str, content->str_len};
        out->types[id] = special && special->is_true ? TYPE_CONTROL : TYPE_USER;
    }
    return OLL_OK;
}

/* "a b" of a merge, which newer files write as ["a", "b"]. */
static bool merge_text(struct convert *c, const struct oll_json *m, struct oll_gguf_str *out)
{
    if (m->type == OLL_JSON_STRING) {
        *out = (struct oll_gguf_str){m->str, m->str_len};
        return true;
    }
    const struct oll_json *a = m->type == OLL_JSON_ARRAY && m->n == 2 ? m->first : NULL;
    if (!a || a->type != OLL_JSON_STRING || a->next->type != OLL_JSON_STRING)
        return false;
    const size_t n = a->str_len + 1 + a->next->str_len;
    char *text = oll_arena_alloc(&c->arena, n + 1, 1);
    if (!text)
        return false;
    memcpy(text, a->str, a->str_len);
    text[a->str_len] = ' ';
    memcpy(text + a->str_len + 1, a->next->str, a->next->str_len);
    *out = (struct oll_gguf_str){text, n};
    return true;
}

static oll_status put_merges(struct convert *c, const struct oll_json *tokenizer)
{
    const struct oll_json *merges = oll_json_get(oll_json_get(tokenizer, "model"), "merges");
    if (!merges || merges->type != OLL_JSON_ARRAY)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tokenizer.json: no list of merges");
    struct oll_gguf_str *list = oll_arena_alloc(&c->arena, merges->n + 1, sizeof *list);
    uint64_t n = 0;
    for (const struct oll_json *m = merges->first; m && list; m = m->next)
        if (!merge_text(c, m, &list[n++]))
            return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tokenizer.json: merge %llu is no pair",
                            (unsigned long long)n);
    convert_put_array(c, "tokenizer.ggml.merges", OLL_GGUF_STRING, list, n);
    return OLL_OK;
}

static bool flag_of(const struct oll_json *config, const char *key, bool fallback)
{
    const struct oll_json *v = oll_json_get(config, key);
    return v && v->type == OLL_JSON_BOOL ? v->is_true : fallback;
}

static oll_status put_bpe(struct convert *c, const struct oll_json *tokenizer,
                          const struct oll_json *config, struct convert_vocab *vocab)
{
    const struct oll_json *model = oll_json_get(tokenizer, "model");
    const char *pre;
    if (strcmp(oll_json_get_str(model, "type", ""), "BPE") != 0)
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "tokenizer.json: a model of type \"%.32s\"",
                        oll_json_get_str(model, "type", ""));
    if (flag_of(model, "byte_fallback", false))
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED,
                        "the tokenizer is a SentencePiece model: give its tokenizer.model, too");
    OLL_TRY(convert_pre_name(c, tokenizer, flag_of(config, "clean_up_tokenization_spaces", false),
                             &pre));
    OLL_TRY(read_tokens(c, tokenizer, vocab));
    OLL_TRY(put_merges(c, tokenizer));
    convert_put_str(c, "tokenizer.ggml.model", "gpt2", 4);
    convert_put_str(c, "tokenizer.ggml.pre", pre, strlen(pre));
    return OLL_OK;
}

/* ---- WordPiece ---- */

/* vocab.txt: a token a line, ids from 0. */
static oll_status read_vocab_txt(struct convert *c, struct convert_vocab *out)
{
    const char *text;
    size_t n = 0, n_lines = 0;
    OLL_TRY(convert_read_text(c, "vocab.txt", SPM_BYTES_MAX, &text, &n));
    if (!text)
        return OLL_FAIL(c->err, OLL_ERR_NOT_FOUND,
                        "neither tokenizer.json nor vocab.txt was given");
    for (size_t i = 0; i < n; i++)
        n_lines += text[i] == '\n' || i == n - 1;
    OLL_TRY(convert_vocab_new(c, n_lines, out));
    const char *line = text, *end = text + n;
    for (size_t id = 0; id < n_lines; id++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((stop ? stop : end) - line);
        if (len > 0 && line[len - 1] == '\r')
            len--;
        out->tokens[id] = (struct oll_gguf_str){line, len};
        out->types[id] =
            len > 2 && line[0] == '[' && line[len - 1] == ']' ? TYPE_CONTROL : TYPE_NORMAL;
        line = stop ? stop + 1 : end;
    }
    return OLL_OK;
}

/* GGUF's form: "##x" is x, other words begin with a mark, bracketed specials stay. */
static oll_status mark_words(struct convert *c, struct convert_vocab *vocab)
{
    for (uint64_t i = 0; i < vocab->n; i++) {
        struct oll_gguf_str *t = &vocab->tokens[i];
        if (t->len >= 2 && t->data[0] == '[' && t->data[t->len - 1] == ']')
            continue;
        if (t->len > 2 && t->data[0] == '#' && t->data[1] == '#') {
            t->data += 2;
            t->len -= 2;
            continue;
        }
        const size_t n_mark = sizeof word_mark - 1;
        char *text = oll_arena_alloc(&c->arena, (size_t)t->len + n_mark, 1);
        if (!text)
            return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
        memcpy(text, word_mark, n_mark);
        if (t->len)
            memcpy(text + n_mark, t->data, (size_t)t->len);
        *t = (struct oll_gguf_str){text, t->len + n_mark};
    }
    return OLL_OK;
}

static oll_status put_wordpiece(struct convert *c, const struct oll_json *tokenizer,
                                const struct oll_json *config, struct convert_vocab *vocab)
{
    const struct oll_json *model = oll_json_get(tokenizer, "model");
    if (tokenizer && strcmp(oll_json_get_str(model, "type", "WordPiece"), "WordPiece") != 0)
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED, "tokenizer.json: a model of type \"%.32s\"",
                        oll_json_get_str(model, "type", ""));
    OLL_TRY(tokenizer ? read_tokens(c, tokenizer, vocab) : read_vocab_txt(c, vocab));
    OLL_TRY(mark_words(c, vocab));
    if (!flag_of(config, "do_lower_case", true))
        convert_put_bool(c, "tokenizer.ggml.normalizer.lowercase", false);
    vocab->scores = oll_arena_alloc(&c->arena, (size_t)vocab->n + 1, sizeof *vocab->scores);
    convert_put_str(c, "tokenizer.ggml.model", "bert", 4);
    convert_put_str(c, "tokenizer.ggml.pre", "default", 7);
    return OLL_OK;
}

/* ---- SentencePiece ---- */

/* What tokenizer_config.json says of tokens the model has: special ones become control tokens. */
static void mark_special(const struct oll_json *config, struct convert_vocab *vocab)
{
    const struct oll_json *list = oll_json_get(config, "added_tokens_decoder");
    if (!list || list->type != OLL_JSON_OBJECT)
        return;
    for (const struct oll_json *t = list->first; t; t = t->next) {
        const unsigned long id = strtoul(t->key, NULL, 10);
        if (id < vocab->n && vocab->types[id] != 2 && flag_of(t, "special", false))
            vocab->types[id] = TYPE_CONTROL;
    }
}

static oll_status put_spm(struct convert *c, const char *data, size_t n,
                          const struct oll_json *config, struct convert_vocab *vocab)
{
    const struct oll_json *added;
    bool space_prefix;
    OLL_TRY(convert_read_json(c, "added_tokens.json", &added));
    if (added && added->type != OLL_JSON_OBJECT)
        added = NULL;
    const uint64_t n_added = added ? added->n : 0;
    OLL_TRY(convert_read_spm(c, data, n, n_added, vocab, &space_prefix));
    for (const struct oll_json *t = added ? added->first : NULL; t; t = t->next) {
        uint64_t id;
        /* Only those that follow without a gap: an id of another kind replaces nothing. */
        if (!take_id(t, &id) || id != vocab->n)
            continue;
        vocab->tokens[id] = (struct oll_gguf_str){t->key, t->key_len};
        vocab->types[id] = TYPE_USER;
        vocab->scores[id] = -1000.0f;
        vocab->n++;
    }
    mark_special(config, vocab);
    if (!space_prefix)
        convert_put_bool(c, "tokenizer.ggml.add_space_prefix", false);
    convert_put_str(c, "tokenizer.ggml.model", "llama", 5);
    convert_put_str(c, "tokenizer.ggml.pre", "default", 7);
    return OLL_OK;
}

/* ---- what all have ---- */

/* Text of a special token, which is a string or an object with a content. */
static const char *token_text(const struct oll_json *config, const char *key)
{
    const struct oll_json *v = oll_json_get(config, key);
    if (v && v->type == OLL_JSON_STRING)
        return v->str;
    return oll_json_get_str(v, "content", NULL);
}

static bool find_token(const struct convert_vocab *vocab, const char *text, uint64_t *id)
{
    const struct oll_gguf_str s = str_of(text);
    for (uint64_t i = 0; i < vocab->n; i++)
        if (vocab->tokens[i].len == s.len && memcmp(vocab->tokens[i].data, s.data, s.len) == 0) {
            *id = i;
            return true;
        }
    return false;
}

static oll_status put_special_ids(struct convert *c, const struct oll_json *config,
                                  const struct convert_vocab *vocab)
{
    static const char *const names[][3] = {
        {"bos_token", "tokenizer.ggml.bos_token_id", "bos_token_id"},
        {"eos_token", "tokenizer.ggml.eos_token_id", "eos_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id", NULL},
        {"pad_token", "tokenizer.ggml.padding_token_id", NULL},
        {"cls_token", "tokenizer.ggml.cls_token_id", NULL},
        {"sep_token", "tokenizer.ggml.seperator_token_id", NULL},
        {"mask_token", "tokenizer.ggml.mask_token_id", NULL}};
    const struct oll_json *map;
    OLL_TRY(convert_read_json(c, "special_tokens_map.json", &map));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = token_text(config, names[i][0]);
        uint64_t id;
        if (!text)
            text = token_text(map, names[i][0]);
        if (text && find_token(vocab, text, &id))
            convert_put_u32(c, names[i][1], id);
        else if (names[i][2] && take_id(oll_json_get(c->config, names[i][2]), &id) && id < vocab->n)
            convert_put_u32(c, names[i][1], id);
    }
    return OLL_OK;
}

/* Several ids that end a reply. */
static oll_status put_stop_ids(struct convert *c, uint64_t n_tokens)
{
    const struct oll_json *generation;
    OLL_TRY(convert_read_json(c, "generation_config.json", &generation));
    const struct oll_json *list = oll_json_get(generation, "eos_token_id");
    if (!list || list->type != OLL_JSON_ARRAY || list->n < 2)
        return OLL_OK;
    uint32_t *ids = oll_arena_alloc(&c->arena, list->n, sizeof *ids);
    uint64_t n = 0, id;
    for (const struct oll_json *v = list->first; v && ids; v = v->next)
        if (take_id(v, &id) && id < n_tokens)
            ids[n++] = (uint32_t)id;
    convert_put_array(c, "tokenizer.ggml.eos_token_ids", OLL_GGUF_U32, ids, n);
    return OLL_OK;
}

static oll_status put_chat_template(struct convert *c, const struct oll_json *config)
{
    const struct oll_json *v = oll_json_get(config, "chat_template");
    const char *text;
    size_t n = 0;
    OLL_TRY(convert_read_text(c, "chat_template.jinja", TEMPLATE_BYTES_MAX, &text, &n));
    if (!text && v && v->type == OLL_JSON_ARRAY)
        for (const struct oll_json *t = v->first; t && v->type == OLL_JSON_ARRAY; t = t->next)
            if (strcmp(oll_json_get_str(t, "name", ""), "default") == 0)
                v = oll_json_get(t, "template");
    if (!text && v && v->type == OLL_JSON_STRING) {
        text = v->str;
        n = v->str_len;
    }
    if (text && n > 0)
        convert_put_str(c, "tokenizer.chat_template", text, n);
    return OLL_OK;
}

/* Rows of the embedding beyond the vocabulary, and ids that nobody named, get names of their own.
 */
static oll_status fill_up(struct convert *c, struct convert_vocab *vocab)
{
    struct convert_vocab full;
    const uint64_t n = vocab->n < c->n_vocab ? c->n_vocab : vocab->n;
    OLL_TRY(convert_vocab_new(c, n, &full));
    float *scores = oll_arena_alloc(&c->arena, (size_t)n + 1, sizeof *scores);
    for (uint64_t i = 0; i < n && scores; i++) {
        if (i < vocab->n && vocab->types[i] != 0) {
            full.tokens[i] = vocab->tokens[i];
            full.types[i] = vocab->types[i];
            scores[i] = vocab->scores ? vocab->scores[i] : 0.0f;
            continue;
        }
        const char *name = oll_arena_printf(&c->arena, "[PAD%llu]", (unsigned long long)i);
        full.tokens[i] = str_of(name ? name : "");
        full.types[i] = TYPE_UNUSED;
        scores[i] = vocab->scores ? -1000.0f : 0.0f;
    }
    if (vocab->scores)
        full.scores = scores;
    *vocab = full;
    return c->arena.status == OLL_OK
               ? OLL_OK
               : OLL_FAIL(c->err, c->arena.status, "out of memory for the vocabulary");
}

oll_status convert_put_vocab(struct convert *c)
{
    static const char *const flags[][2] = {{"add_bos_token", "tokenizer.ggml.add_bos_token"},
                                           {"add_eos_token", "tokenizer.ggml.add_eos_token"}};
    const struct oll_json *tokenizer, *config;
    struct convert_vocab vocab;
    const char *spm = NULL;
    size_t n_spm = 0;
    OLL_TRY(convert_read_json(c, "tokenizer_config.json", &config));
    OLL_TRY(convert_read_json(c, "tokenizer.json", &tokenizer));
    if (c->family != CONVERT_BERT)
        OLL_TRY(convert_read_text(c, "tokenizer.model", SPM_BYTES_MAX, &spm, &n_spm));
    if (c->family == CONVERT_BERT)
        OLL_TRY(put_wordpiece(c, tokenizer, config, &vocab));
    else if (spm)
        OLL_TRY(put_spm(c, spm, n_spm, config, &vocab));
    else if (tokenizer)
        OLL_TRY(put_bpe(c, tokenizer, config, &vocab));
    else
        return OLL_FAIL(c->err, OLL_ERR_NOT_FOUND,
                        "neither tokenizer.model nor tokenizer.json was given");
    OLL_TRY(fill_up(c, &vocab));
    convert_put_array(c, "tokenizer.ggml.tokens", OLL_GGUF_STRING, vocab.tokens, vocab.n);
    convert_put_array(c, "tokenizer.ggml.token_type", OLL_GGUF_I32, vocab.types, vocab.n);
    if (vocab.scores)
        convert_put_array(c, "tokenizer.ggml.scores", OLL_GGUF_F32, vocab.scores, vocab.n);
    for (int i = 0; i < 2; i++) {
        const struct oll_json *v = oll_json_get(config, flags[i][0]);
        if (v && v->type == OLL_JSON_BOOL)
            convert_put_bool(c, flags[i][1], v->is_true);
    }
    OLL_TRY(put_special_ids(c, config, &vocab));
    OLL_TRY(put_stop_ids(c, vocab.n));
    return put_chat_template(c, config);
}
