#include "engine/prompt.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/chat/truncate.h"

#include <string.h>

/* ---- text ---- */

/* A request on its way to a prompt. */
struct maker {
    const struct prompt_env *env;
    struct request *r;
    struct chat_style *style;
    struct chat_conversation conversation; /* whole */
    const char *before;                    /* text of an earlier exchange; NULL: none */
    bool adds_bos;                         /* the text is for the tokeniser, which puts a BOS */
    struct oll_tokens *tokens;             /* of the last text */
};

static oll_status check_text(const struct oll_strbuf *out, struct oll_error *err)
{
    return out->status == OLL_OK ? OLL_OK
                                 : OLL_FAIL(err, out->status, "the prompt is longer than %d MiB",
                                            PROMPT_MAX_BYTES / (1024 * 1024));
}

/* A prompt and a system text are a conversation of one turn. */
static oll_status read_prompt(struct maker *m, struct oll_error *err)
{
    const struct oll_request *ask = &m->r->ask;
    struct chat_message *messages = oll_arena_alloc(&m->r->arena, 2, sizeof *messages);
    uint32_t n = 0;
    if (!messages)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for a prompt");
    const struct chat_message empty = {
        .content = "", .thinking = "", .tool_name = "", .tool_call_id = ""};
    if (ask->system && *ask->system) {
        messages[n] = empty;
        messages[n].role = "system";
        messages[n++].content = ask->system;
    }
    messages[n] = empty;
    messages[n].role = "user";
    messages[n++].content = ask->prompt ? ask->prompt : "";
    m->conversation =
        (struct chat_conversation){.messages = messages, .n_messages = n, .think = ask->think};
    return OLL_OK;
}

/* The text of tokens that go before the prompt. */
static oll_status read_context(struct maker *m, struct oll_error *err)
{
    const struct oll_request *ask = &m->r->ask;
    struct oll_strbuf text;
    if (ask->n_context == 0)
        return OLL_OK;
    oll_strbuf_init(&text, PROMPT_MAX_BYTES);
    oll_status status =
        oll_tokenizer_decode(m->env->tok, ask->context, ask->n_context, true, &text);
    if (status == OLL_OK)
        status = text.status;
    if (status == OLL_OK) {
        m->before = oll_arena_strndup(&m->r->arena, text.data, text.len);
        status = m->r->arena.status;
    }
    oll_strbuf_free(&text);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "cannot read the context's tokens");
}

/* `tokens` takes those of the texts that are tried. */
static oll_status maker_begin(struct maker *m, const struct prompt_env *env, struct request *r,
                              struct chat_style *style, struct oll_tokens *tokens,
                              struct oll_error *err)
{
    const struct oll_request *ask = &r->ask;
    const struct chat_source source = {.request_template = ask->template_text,
                                       .model_template = ask->model_template,
                                       .renderer = ask->renderer,
                                       .parser = ask->parser,
                                       .model_name = ask->model_name,
                                       .prefer = ask->prefer_template};
    *m = (struct maker){.env = env,
                        .r = r,
                        .style = style,
                        .tokens = tokens,
                        .adds_bos = oll_tokenizer_adds_bos(env->tok)};
    if (ask->raw)
        return OLL_OK;
    OLL_TRY(chat_style_choose(&env->chat, &source, style, err));
    OLL_TRY(read_context(m, err));
    OLL_TRY(ask->kind == OLL_REQUEST_CHAT
                ? chat_conversation_from_request(&r->arena, ask, &m->conversation, err)
                : read_prompt(m, err));
    return chat_style_prepare(style, &r->arena, &m->conversation, &m->conversation, err);
}

static oll_status render(const struct maker *m, const struct chat_conversation *conversation,
                         struct oll_strbuf *out, struct oll_error *err)
{
    const struct oll_request *ask = &m->r->ask;
    if (ask->raw) {
        oll_strbuf_adds(out, ask->prompt ? ask->prompt : "");
        return check_text(out, err);
    }
    if (m->before)
        oll_strbuf_adds(out, m->before);
    OLL_TRY(chat_style_render(m->style, &m->r->arena, conversation, ask->suffix, m->adds_bos, out,
                              err));
    return check_text(out, err);
}

/* ---- tokens ---- */

static oll_status tokenize(const struct maker *m, const struct oll_strbuf *text,
                           struct oll_tokens *out, struct oll_error *err)
{
    out->n = 0;
    oll_status status = oll_tokenizer_encode(
        m->env->tok, text->data, text->len, OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL, out);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "cannot tokenise the prompt");
}

static oll_status render_some(void *user, const struct chat_conversation *conversation,
                              struct oll_strbuf *out, struct oll_error *err)
{
    return render(user, conversation, out, err);
}

static oll_status count(void *user, const struct oll_strbuf *text, size_t *n, struct oll_error *err)
{
    const struct maker *m = user;
    OLL_TRY(tokenize(m, text, m->tokens, err));
    *n = m->tokens->n;
    return OLL_OK;
}

/* Text and tokens of the prompt; where those of the whole conversation do not fit the window, of
 * what is left when the oldest messages have gone. */
static oll_status render_fitting(struct maker *m, struct oll_strbuf *text, bool *truncated,
                                 struct oll_error *err)
{
    const struct chat_truncate_ops ops = {.user = m, .render = render_some, .count = count};
    struct chat_truncated fitting;
    if (m->r->ask.raw || m->r->ask.no_truncate) {
        OLL_TRY(render(m, &m->conversation, text, err));
        return tokenize(m, text, m->tokens, err);
    }
    OLL_TRY(
        chat_truncate(&m->r->arena, &m->conversation, m->env->n_ctx, &ops, text, &fitting, err));
    m->conversation = fitting.conversation;
    *truncated = fitting.n_dropped > 0;
    return OLL_OK;
}

/* Cuts a prompt that leaves no room for a reply: the first `keep` tokens and the tail remain
 * (rest-api 3.7). */
static oll_status cut_prompt(struct prompt *prompt, const struct oll_request *ask, uint32_t n_ctx,
                             struct oll_error *err)
{
    struct oll_tokens *tokens = &prompt->tokens;
    if (tokens->n < n_ctx)
        return OLL_OK;
    if (ask->no_truncate)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "the input length exceeds the context length: %zu tokens, the window is %u",
                        tokens->n, n_ctx);
    if (ask->no_shift)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "the prompt is longer than the context length currently available to the "
                        "model; shorten the prompt, adjust the context length in settings, or use "
                        "a model with a longer context length");
    uint32_t keep = prompt->n_keep < n_ctx ? prompt->n_keep : n_ctx - 1;
    uint32_t room = (n_ctx - keep) / 2 > 1 ? (n_ctx - keep) / 2 : 1;
    uint32_t total = n_ctx - room > keep ? n_ctx - room : keep + 1, tail = total - keep;
    memmove(tokens->ids + keep, tokens->ids + tokens->n - tail, tail * sizeof *tokens->ids);
    tokens->n = total;
    prompt->truncated = true;
    return OLL_OK;
}

static oll_status check_tokens(const struct prompt_env *env, const struct oll_tokens *tokens,
                               struct oll_error *err)
{
    const uint32_t n_vocab = oll_model_facts(env->model)->n_vocab;
    if (tokens->n == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "the prompt has no tokens");
    for (size_t i = 0; i < tokens->n; i++)
        if ((uint32_t)tokens->ids[i] >= n_vocab)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "the prompt holds token %d, for which the model has no embedding",
                            tokens->ids[i]);
    return OLL_OK;
}

/* ---- what splits the reply ---- */

/* Notes the token that a marker is, when it is one and would not show as text. */
static oll_status show_marker(struct prompt *prompt, const struct prompt_env *env,
                              const char *marker)
{
    struct oll_tokens ids = {0};
    if (!marker || !*marker)
        return OLL_OK;
    oll_status status =
        oll_tokenizer_encode(env->tok, marker, strlen(marker), OLL_ENCODE_PARSE_SPECIAL, &ids);
    if (status == OLL_OK && ids.n == 1 && oll_tokenizer_is_special(env->tok, ids.ids[0]))
        status = oll_tokens_add(&prompt->shown, ids.ids[0]);
    oll_tokens_free(&ids);
    return status;
}

static oll_status choose_parser(struct prompt *prompt, const struct maker *m, const char *text,
                                struct oll_error *err)
{
    struct chat_parser_config *config = &prompt->parser;
    if (m->r->ask.raw || !chat_style_parser(m->style, &m->conversation, text, config))
        return OLL_OK;
    oll_platform_random(&config->id_seed, sizeof config->id_seed);
    prompt->has_parser = true;
    const struct chat_parser_facts *facts =
        config->parser ? chat_parser_find(config->parser) : NULL;
    const char *const generic[] = {config->tag, config->think_open, config->think_close};
    oll_status status = OLL_OK;
    for (const char *const *p = facts ? facts->preserved : NULL; p && *p && status == OLL_OK; p++)
        status = show_marker(prompt, m->env, *p);
    for (size_t i = 0; i < 3 && status == OLL_OK && !facts; i++)
        status = show_marker(prompt, m->env, generic[i]);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "no memory for the reply's parser");
}

oll_status prompt_make(struct prompt *prompt, const struct prompt_env *env, struct request *r,
                       struct oll_error *err)
{
    const uint32_t bos = oll_tokenizer_adds_bos(env->tok) ? 1 : 0;
    struct maker m;
    struct oll_strbuf text;
    *prompt = (struct prompt){0};
    oll_strbuf_init(&text, PROMPT_MAX_BYTES);
    oll_status status = maker_begin(&m, env, r, &prompt->style, &prompt->tokens, err);
    if (status == OLL_OK)
        status = render_fitting(&m, &text, &prompt->truncated, err);
    if (status == OLL_OK)
        status = check_tokens(env, &prompt->tokens, err);
    if (status == OLL_OK)
        status = choose_parser(prompt, &m, text.data, err);
    oll_strbuf_free(&text);
    OLL_TRY(status);
    const int32_t keep = r->ask.options.num_keep;
    const size_t n = prompt->tokens.n;
    prompt->n_keep = keep < 0 || (size_t)keep + bos > n ? (uint32_t)n : (uint32_t)keep + bos;
    return cut_prompt(prompt, &r->ask, env->n_ctx, err);
}

void prompt_free(struct prompt *prompt)
{
    oll_tokens_free(&prompt->tokens);
    oll_tokens_free(&prompt->shown);
    chat_style_free(&prompt->style);
}

oll_status prompt_render(const struct prompt_env *env, struct request *r, struct oll_strbuf *out,
                         struct oll_error *err)
{
    struct chat_style style = {0};
    struct oll_tokens tokens = {0};
    struct maker m;
    bool truncated;
    oll_status status = maker_begin(&m, env, r, &style, &tokens, err);
    m.adds_bos = false; /* the text is shown as it was written */
    if (status == OLL_OK)
        status = render_fitting(&m, out, &truncated, err);
    oll_tokens_free(&tokens);
    chat_style_free(&style);
    return status;
}
