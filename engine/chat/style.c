#include "engine/chat/style.h"

#include "engine/base/mem.h"
#include "engine/chat/harmony_name.h"
#include "engine/chat/history.h"

#include <string.h>
#include <strings.h>
#include <time.h>

oll_status chat_model_open(struct chat_model *model, const char *family, const char *jinja,
                           const struct jinja_native_params *tokens, struct oll_error *err)
{
    *model = (struct chat_model){.family = oll_strdup(family)};
    if (model->family && jinja)
        model->jinja = oll_strdup(jinja);
    if (!model->family || (jinja && !model->jinja))
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the chat template");
    if (!jinja)
        return OLL_OK;
    oll_status status =
        oll_jinja_native_open(jinja, strlen(jinja), tokens, &model->native, &model->error);
    return status == OLL_ERR_MEMORY ? OLL_FAIL(err, status, "out of memory for the chat template")
                                    : OLL_OK;
}

void chat_model_close(struct chat_model *model)
{
    oll_jinja_native_free(model->native);
    oll_free(model->family);
    oll_free(model->jinja);
    *model = (struct chat_model){0};
}

static bool given(const char *s) { return s && *s; }

/* The format that gpt-oss was trained with: by its family and the turn markers in its template. */
static bool is_harmony(const char *family, const struct go_template *go)
{
    return (strcasecmp(family, "gptoss") == 0 || strcasecmp(family, "gpt-oss") == 0) &&
           go_template_facts(go)->is_harmony_text;
}

bool chat_style_takes_jinja(const struct chat_source *source, const char *family,
                            const struct go_template *go, const struct chat_capabilities *jinja)
{
    if (given(source->renderer) || given(source->parser) || is_harmony(family, go))
        return false;
    if (source->prefer != OLL_TEMPLATE_BEST)
        return source->prefer == OLL_TEMPLATE_JINJA;
    const struct chat_capabilities own = chat_capabilities_of_go(go);
    return chat_prefers_jinja(jinja, &own);
}

static oll_status take_go(struct chat_style *style, const char *text, struct oll_error *err)
{
    OLL_TRY(go_template_parse(text, strlen(text), &style->go, err));
    const struct go_template_facts *facts = go_template_facts(style->go);
    style->mode = CHAT_MODE_GO;
    style->tag = facts->tool_call_tag;
    if (*facts->thinking_open && *facts->thinking_close) {
        style->think_open = facts->thinking_open;
        style->think_close = facts->thinking_close;
    }
    return OLL_OK;
}

static oll_status take_renderer(struct chat_style *style, const struct chat_source *source,
                                struct oll_error *err)
{
    if (!chat_renderer_find(source->renderer))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "unknown renderer \"%s\"", source->renderer);
    if (given(source->model_template))
        OLL_TRY(take_go(style, source->model_template, err));
    style->mode = CHAT_MODE_RENDERER;
    style->renderer = source->renderer;
    return OLL_OK;
}

static void take_native(struct chat_style *style)
{
    const char *jinja = style->model->jinja;
    const struct chat_parser_tags tags = chat_parser_tags_for_template(jinja);
    style->mode = CHAT_MODE_NATIVE;
    if (!style->parser)
        style->parser = chat_parser_for_template(jinja);
    style->tag = tags.tag;
    style->think_open = style->think_close = NULL;
    if (tags.think_open && tags.think_close) {
        style->think_open = tags.think_open;
        style->think_close = tags.think_close;
    }
}

static bool prefers_native(const struct chat_style *style, const struct chat_source *source)
{
    const struct chat_model *model = style->model;
    if (!given(model->jinja))
        return false;
    const struct chat_capabilities jinja = chat_capabilities_of_jinja(model->jinja);
    return chat_style_takes_jinja(source, model->family, style->go, &jinja);
}

oll_status chat_style_choose(const struct chat_model *model, const struct chat_source *source,
                             struct chat_style *out, struct oll_error *err)
{
    *out = (struct chat_style){
        .mode = CHAT_MODE_PLAIN, .model = model, .model_name = source->model_name};
    if (given(source->parser) && chat_parser_find(source->parser))
        out->parser = source->parser;
    if (given(source->request_template))
        return take_go(out, source->request_template, err);
    if (given(source->renderer))
        return take_renderer(out, source, err);
    if (given(source->model_template)) {
        OLL_TRY(take_go(out, source->model_template, err));
        if (!given(out->parser) && is_harmony(model->family, out->go))
            out->parser = "harmony";
        if (prefers_native(out, source))
            take_native(out);
    } else if (given(model->jinja)) {
        take_native(out);
    }
    return OLL_OK;
}

void chat_style_free(struct chat_style *style)
{
    go_template_free(style->go);
    *style = (struct chat_style){0};
}

bool chat_style_can_think(const struct chat_style *style)
{
    const struct chat_parser_facts *facts = style->parser ? chat_parser_find(style->parser) : NULL;
    return style->think_open || (facts && facts->has_thinking);
}

static bool shows_harmony(const struct chat_style *style)
{
    return style->mode == CHAT_MODE_GO && style->parser && strcmp(style->parser, "harmony") == 0;
}

oll_status chat_style_prepare(const struct chat_style *style, struct oll_arena *arena,
                              const struct chat_conversation *in, struct chat_conversation *out,
                              struct oll_error *err)
{
    *out = *in;
    if (out->think == OLL_THINK_UNSET && chat_style_can_think(style))
        out->think = OLL_THINK_ON;
    if (!chat_history_applies(style->model->family, style->model_name))
        return OLL_OK;
    return chat_history_filter(arena, out, out, err);
}

/* The text without the BOS that it spells, where the tokeniser adds the token itself. */
static oll_status render_renderer(const struct chat_style *style,
                                  const struct chat_conversation *conversation, bool adds_bos,
                                  struct oll_strbuf *out, struct oll_error *err)
{
    const struct chat_render_input input = {.conversation = conversation,
                                            .model = style->model_name,
                                            .n_params = style->model->n_params};
    struct oll_strbuf text;
    oll_strbuf_init(&text, out->max_bytes);
    oll_status status = chat_renderer_render(style->renderer, &input, &text, err);
    if (status == OLL_OK) {
        const size_t n_bos = adds_bos ? chat_renderer_bos_len(style->renderer, text.data) : 0;
        oll_strbuf_add(out, text.data + n_bos, text.len - n_bos);
    }
    oll_strbuf_free(&text);
    return status;
}

static oll_status render_go(const struct chat_style *style,
                            const struct chat_conversation *conversation, const char *suffix,
                            struct oll_strbuf *out, struct oll_error *err)
{
    const uint32_t n = conversation->n_messages;
    struct go_template_input input = {.conversation = conversation, .think = conversation->think};
    if (given(suffix)) {
        input.conversation = NULL;
        input.prompt = n ? conversation->messages[n - 1].content : "";
        input.suffix = suffix;
    }
    return go_template_render(style->go, &input, out, err);
}

static oll_status render_native(const struct chat_style *style,
                                const struct chat_conversation *conversation,
                                struct oll_strbuf *out, struct oll_error *err)
{
    const struct chat_model *model = style->model;
    if (!model->native)
        return OLL_FAIL(err, model->error.status,
                        "the chat template of the model's file cannot be used: %s",
                        oll_error_text(&model->error));
    return oll_jinja_native_render(model->native, conversation, (int64_t)time(NULL), out, err);
}

oll_status chat_style_render(const struct chat_style *style, struct oll_arena *arena,
                             const struct chat_conversation *conversation, const char *suffix,
                             bool adds_bos, struct oll_strbuf *out, struct oll_error *err)
{
    struct chat_conversation renamed;
    if (shows_harmony(style)) {
        OLL_TRY(chat_harmony_conversation(arena, conversation, &renamed, err));
        conversation = &renamed;
    }
    if (style->mode == CHAT_MODE_GO || (style->go && given(suffix)))
        return render_go(style, conversation, suffix, out, err);
    if (given(suffix))
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "this model does not support insert");
    if (style->mode == CHAT_MODE_RENDERER)
        return render_renderer(style, conversation, adds_bos, out, err);
    if (style->mode == CHAT_MODE_NATIVE)
        return render_native(style, conversation, out, err);
    for (uint32_t i = 0; i < conversation->n_messages; i++)
        oll_strbuf_printf(out, "%s%s", i ? "\n\n" : "", conversation->messages[i].content);
    return OLL_OK;
}

/* Whether a prompt ends, white space aside, with a text. */
static bool ends_with(const char *prompt, const char *text)
{
    size_t n = strlen(prompt), k = strlen(text);
    while (n > 0 && strchr(" \t\r\n", prompt[n - 1]))
        n--;
    return n >= k && memcmp(prompt + n - k, text, k) == 0;
}

bool chat_style_parser(const struct chat_style *style, const struct chat_conversation *conversation,
                       const char *prompt, struct chat_parser_config *out)
{
    const bool thinks = style->think_open && conversation->think > OLL_THINK_OFF;
    const struct chat_message *last =
        conversation->n_messages ? &conversation->messages[conversation->n_messages - 1] : NULL;
    if (!style->parser && !thinks && !(style->tag && conversation->tools))
        return false;
    *out = (struct chat_parser_config){.parser = style->parser,
                                       .tag = style->tag,
                                       .think_open = thinks ? style->think_open : NULL,
                                       .think_close = thinks ? style->think_close : NULL,
                                       .tools = conversation->tools,
                                       .think = conversation->think};
    out->starts_thinking = style->think_open && ends_with(prompt, style->think_open);
    if (last) {
        out->last_role = last->role;
        out->last_content = last->content;
        out->last_thinking = last->thinking;
    }
    return true;
}
