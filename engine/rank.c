#include "engine/rank.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { RANK_TEXT_MAX = 64 * 1024 * 1024 };

static const char default_instruction[] =
    "Given a web search query, retrieve relevant passages that answer the query";

static const char default_prompt[] =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    "the Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
    "<|im_start|>user\n<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

/* ---- what a model can do ---- */

static bool says_rank(const char *text, size_t n)
{
    for (size_t i = 0; i + 6 <= n; i++)
        if (strncasecmp(text + i, "rerank", 6) == 0)
            return true;
    return false;
}

static bool file_says_rank(const struct oll_gguf *gguf)
{
    static const char *const keys[] = {"general.name", "general.basename", "general.finetune"};
    struct oll_gguf_str s;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (oll_gguf_str(gguf, keys[i], &s, NULL) == OLL_OK && says_rank(s.data, (size_t)s.len))
            return true;
    return false;
}

/* The label that means "it answers": named "yes", else the first of a decoder (as Qwen3-Reranker's
 * rows are put into a head) and the second of an encoder (class 1). */
static uint32_t find_yes_label(const struct oll_model *m)
{
    char key[128];
    struct oll_gguf_str labels[2];
    snprintf(key, sizeof key, "%s.classifier.output_labels", m->hp.prefix);
    const struct oll_gguf_kv *kv = oll_gguf_find(m->gguf, key);
    if (kv && kv->type == OLL_GGUF_ARRAY && kv->elem_type == OLL_GGUF_STRING && kv->count == 2 &&
        oll_gguf_kv_strings(kv, labels, NULL) == OLL_OK)
        for (uint32_t i = 0; i < 2; i++)
            if (labels[i].len == 3 && strncasecmp(labels[i].data, "yes", 3) == 0)
                return i;
    return model_is_encoder(m);
}

static const char *file_prompt(struct oll_model *m)
{
    struct oll_gguf_str s;
    if (oll_gguf_str(m->gguf, "tokenizer.chat_template.rerank", &s, NULL) != OLL_OK)
        return NULL;
    const char *text = oll_arena_strndup(&m->arena, s.data, (size_t)s.len);
    return text && strstr(text, "{query}") && strstr(text, "{document}") ? text : NULL;
}

static bool is_wordpiece(const struct oll_model *m)
{
    struct oll_gguf_str s;
    return oll_gguf_str(m->gguf, "tokenizer.ggml.model", &s, NULL) == OLL_OK && s.len == 4 &&
           memcmp(s.data, "bert", 4) == 0;
}

void rank_init(struct ranker *r, struct oll_model *m)
{
    const struct oll_tokenizer *tok = m->tokenizer;
    *r = (struct ranker){.form = RANK_NOTHING, .yes = OLL_TOKEN_NONE, .no = OLL_TOKEN_NONE};
    if (!tok)
        return;
    const char *prompt = file_prompt(m);
    const bool is_encoder = model_is_encoder(m);
    r->has_head = m->hp.ranks && m->dense[1].w;
    r->n_label = r->has_head ? m->hp.n_embd_out : 0;
    r->yes_label = r->n_label == 2 ? find_yes_label(m) : 0;
    r->is_named = r->has_head || m->hp.ranks || prompt || file_says_rank(m->gguf);
    r->doubles_end = oll_tokenizer_role(tok, OLL_ROLE_EOS) != OLL_TOKEN_NONE && !is_wordpiece(m) &&
                     !m->rank_norm.present;
    r->prompt = prompt ? prompt : default_prompt;
    r->yes = oll_tokenizer_find(tok, "yes", 3);
    r->no = oll_tokenizer_find(tok, "no", 2);
    if (r->has_head)
        r->form = r->n_label > 2                               ? RANK_NOTHING
                  : prompt || (!is_encoder && r->n_label == 2) ? RANK_PROMPT
                                                               : RANK_PAIR;
    else if (!is_encoder && r->yes != OLL_TOKEN_NONE && r->no != OLL_TOKEN_NONE)
        r->form = RANK_PROMPT;
}

bool rank_can(const struct ranker *r, const char *model_name)
{
    return r->form != RANK_NOTHING &&
           (r->is_named || (model_name && says_rank(model_name, strlen(model_name))));
}

float rank_score(const struct ranker *r, const float *v)
{
    if (!r->has_head)
        return v[r->yes] - v[r->no];
    return r->n_label == 1 ? v[0] : v[r->yes_label] - v[1 - r->yes_label];
}

/* ---- pairs ---- */

static oll_status add_role(const struct oll_tokenizer *tok, enum oll_token_role first,
                           enum oll_token_role second, struct oll_tokens *out)
{
    int32_t id = oll_tokenizer_role(tok, first);
    if (id == OLL_TOKEN_NONE)
        id = oll_tokenizer_role(tok, second);
    return id == OLL_TOKEN_NONE ? OLL_OK : oll_tokens_add(out, id);
}

static oll_status too_long(bool query, size_t n, uint32_t n_max, struct oll_error *err)
{
    if (query)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "the query takes %zu tokens and leaves no room for a document in the "
                        "context length of %u",
                        n, n_max);
    return OLL_FAIL(err, OLL_ERR_LIMIT, "the input length exceeds the context length");
}

static oll_status pair_tokens(const struct ranker *r, const struct oll_tokenizer *tok,
                              const struct oll_request *ask, uint32_t i, uint32_t n_max,
                              struct oll_tokens *out, uint32_t *n_first, struct oll_error *err)
{
    const char *document = ask->inputs[i];
    OLL_TRY(add_role(tok, OLL_ROLE_BOS, OLL_ROLE_CLS, out));
    OLL_TRY(oll_tokenizer_encode(tok, ask->query, strlen(ask->query), 0, out));
    OLL_TRY(add_role(tok, OLL_ROLE_EOS, OLL_ROLE_SEP, out));
    if (r->doubles_end)
        OLL_TRY(add_role(tok, OLL_ROLE_SEP, OLL_ROLE_EOS, out));
    *n_first = (uint32_t)out->n;
    OLL_TRY(oll_tokenizer_encode(tok, document, strlen(document), 0, out));
    if (*n_first + 2 > n_max)
        return too_long(true, *n_first, n_max, err);
    if (out->n + 1 > n_max) {
        if (ask->no_truncate)
            return too_long(false, out->n, n_max, err);
        out->n = n_max - 1;
    }
    return add_role(tok, OLL_ROLE_EOS, OLL_ROLE_SEP, out);
}

/* ---- prompts ---- */

/* Tokens of a prompt in the making. Text of the user and what of the prompt touches it waits in
 * `plain`, so that it is split into tokens as one text; marks are only looked for in the prompt. */
struct builder {
    const struct oll_tokenizer *tok;
    struct oll_strbuf plain;
    struct oll_tokens *out;
};

static unsigned flags_of(const struct builder *b, unsigned flags)
{
    return b->out->n > 0 ? flags | OLL_ENCODE_CONTINUE : flags;
}

static oll_status flush(struct builder *b)
{
    if (b->plain.status != OLL_OK)
        return b->plain.status;
    oll_status status =
        oll_tokenizer_encode(b->tok, b->plain.data, b->plain.len, flags_of(b, 0), b->out);
    oll_strbuf_clear(&b->plain);
    return status;
}

/* Bytes of the tokens from one end up to the first mark; false when there is none. */
static bool bytes_to_mark(const struct oll_tokenizer *tok, const struct oll_tokens *tokens,
                          bool from_end, size_t *n_bytes)
{
    *n_bytes = 0;
    for (size_t k = 0; k < tokens->n; k++) {
        int32_t id = tokens->ids[from_end ? tokens->n - 1 - k : k];
        const char *bytes;
        size_t n;
        if (oll_tokenizer_is_special(tok, id))
            return true;
        oll_tokenizer_piece(tok, id, true, &bytes, &n);
        *n_bytes += n;
    }
    return false;
}

/* Adds a part of the prompt itself. */
static oll_status add_literal(struct builder *b, const char *text, size_t n)
{
    struct oll_tokens tokens = {0};
    size_t before = 0, after = 0;
    oll_status status = oll_tokenizer_encode(
        b->tok, text, n, OLL_ENCODE_PARSE_SPECIAL | OLL_ENCODE_CONTINUE, &tokens);
    bool marked = status == OLL_OK && bytes_to_mark(b->tok, &tokens, false, &before) &&
                  bytes_to_mark(b->tok, &tokens, true, &after) && before + after < n;
    oll_tokens_free(&tokens);
    OLL_TRY(status);
    if (!marked) {
        oll_strbuf_add(&b->plain, text, n);
        return OLL_OK;
    }
    oll_strbuf_add(&b->plain, text, before);
    OLL_TRY(flush(b));
    OLL_TRY(oll_tokenizer_encode(b->tok, text + before, n - before - after,
                                 flags_of(b, OLL_ENCODE_PARSE_SPECIAL), b->out));
    oll_strbuf_add(&b->plain, text + n - after, after);
    return OLL_OK;
}

/* What a name in braces at `at` stands for, and its length; NULL where there is none. */
static const char *value_of(const struct oll_request *ask, const char *at, size_t *n)
{
    const struct {
        const char *name, *value;
    } all[] = {{"{instruction}", ask->instruction ? ask->instruction : default_instruction},
               {"{query}", ask->query},
               {"{document}", NULL}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *n = strlen(all[i].name);
        if (strncmp(at, all[i].name, *n) == 0)
            return all[i].value ? all[i].value : "";
    }
    return NULL;
}

static oll_status build(struct builder *b, const struct ranker *r, const struct oll_request *ask,
                        const char *document, size_t n_document)
{
    const char *from = r->prompt;
    b->out->n = 0;
    if (oll_tokenizer_adds_bos(b->tok))
        OLL_TRY(add_role(b->tok, OLL_ROLE_BOS, OLL_ROLE_CLS, b->out));
    for (const char *at = from;; at++) {
        size_t n = 0;
        const char *value = *at == '{' ? value_of(ask, at, &n) : NULL;
        if (*at && !value)
            continue;
        if (at > from)
            OLL_TRY(add_literal(b, from, (size_t)(at - from)));
        if (!*at)
            return flush(b);
        if (at[1] == 'd')
            oll_strbuf_add(&b->plain, document, n_document);
        else
            oll_strbuf_adds(&b->plain, value);
        from = at + n;
        at = from - 1;
    }
}

/* Bytes of the document that are left when `over` of its tokens have gone, whole characters. */
static oll_status shorten(const struct oll_tokenizer *tok, const char *document, size_t over,
                          size_t *n)
{
    struct oll_tokens tokens = {0};
    size_t n_bytes = 0;
    oll_status status = oll_tokenizer_encode(tok, document, *n, OLL_ENCODE_CONTINUE, &tokens);
    for (size_t i = 0; status == OLL_OK && i + over < tokens.n; i++) {
        const char *bytes;
        size_t n_piece;
        oll_tokenizer_piece(tok, tokens.ids[i], true, &bytes, &n_piece);
        n_bytes += n_piece;
    }
    oll_tokens_free(&tokens);
    /* Less in every round, whatever the vocabulary makes of the text. */
    if (n_bytes >= *n)
        n_bytes = *n - 1;
    while (n_bytes > 0 && ((unsigned char)document[n_bytes] & 0xc0) == 0x80)
        n_bytes--;
    *n = n_bytes;
    return status;
}

static oll_status prompt_tokens(const struct ranker *r, const struct oll_tokenizer *tok,
                                const struct oll_request *ask, uint32_t i, uint32_t n_max,
                                struct oll_tokens *out, struct oll_error *err)
{
    struct builder b = {.tok = tok, .out = out};
    const char *document = ask->inputs[i];
    size_t n = strlen(document), extra = 0;
    oll_strbuf_init(&b.plain, RANK_TEXT_MAX);
    oll_status status = build(&b, r, ask, document, n);
    while (status == OLL_OK && out->n > n_max) {
        if (ask->no_truncate || n == 0) {
            status = too_long(n == 0, out->n, n_max, err);
            break;
        }
        /* Each round takes some more than it must: the ends of texts may split otherwise. */
        status = shorten(tok, document, out->n - n_max + extra, &n);
        extra = 2 * extra + 1;
        if (status == OLL_OK)
            status = build(&b, r, ask, document, n);
    }
    oll_strbuf_free(&b.plain);
    return status;
}

oll_status rank_tokens(const struct ranker *r, const struct oll_tokenizer *tok,
                       const struct oll_request *ask, uint32_t i, uint32_t n_max,
                       struct oll_tokens *out, uint32_t *n_first, struct oll_error *err)
{
    *n_first = 0;
    oll_status status = r->form == RANK_PAIR ? pair_tokens(r, tok, ask, i, n_max, out, n_first, err)
                                             : prompt_tokens(r, tok, ask, i, n_max, out, err);
    if (status != OLL_OK && status != OLL_ERR_LIMIT)
        return OLL_FAIL(err, status, "cannot tokenise document %u", i);
    return status;
}
