#include "engine/chat/prompt_line.h"

#include "engine/chat/named_templates.h"
#include "engine/chat/parse_json.h"

#include <string.h>
#include <time.h>

enum { PROMPT_MAX = 64 << 20, ARENA_MAX = 512 << 20 };

/* ---- what a line says ---- */

enum means { MEANS_NAME, MEANS_TEMPLATE, MEANS_JINJA, MEANS_RENDERER, MEANS_MODEL, MEANS_COUNT };
static const char *const means_keys[MEANS_COUNT] = {"name", "template", "jinja", "renderer",
                                                    "model"};

struct line {
    const struct oll_json *json;
    struct oll_arena arena;
    struct chat_conversation conversation;
    const char *system, *prompt, *suffix; /* NULL: not said */
    bool has_messages;
};

static oll_status get_text(const struct oll_json *json, const char *key, const char **out,
                           struct oll_error *err)
{
    const struct oll_json *v = oll_json_get(json, key);
    *out = NULL;
    if (!v || v->type == OLL_JSON_NULL)
        return OLL_OK;
    if (v->type != OLL_JSON_STRING)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s must be a string", key);
    *out = v->str;
    return OLL_OK;
}

/* The means that is given, MEANS_COUNT when there is none. */
static oll_status find_means(const struct oll_json *json, enum means *means, const char **value,
                             struct oll_error *err)
{
    *means = MEANS_COUNT;
    *value = NULL;
    for (int i = 0; i < MEANS_COUNT; i++) {
        const char *text;
        OLL_TRY(get_text(json, means_keys[i], &text, err));
        if (!text)
            continue;
        if (*value)
            return OLL_FAIL(err, OLL_ERR_ARG, "%s and %s cannot be given together",
                            means_keys[*means], means_keys[i]);
        *means = (enum means)i;
        *value = text;
    }
    return OLL_OK;
}

/* System and prompt as messages, where the line has none. */
static oll_status make_messages(struct line *l, struct oll_error *err)
{
    struct chat_message *m = oll_arena_alloc(&l->arena, 2, sizeof *m);
    const char *const texts[2] = {l->system, l->prompt};
    uint32_t n = 0;
    if (!m)
        return OLL_FAIL(err, l->arena.status, "no memory for a prompt");
    for (int i = 0; i < 2; i++)
        if (texts[i])
            m[n++] = (struct chat_message){.role = i ? "user" : "system",
                                           .content = texts[i],
                                           .thinking = "",
                                           .tool_name = "",
                                           .tool_call_id = ""};
    l->conversation.messages = m;
    l->conversation.n_messages = n;
    return OLL_OK;
}

static oll_status line_read(struct line *l, const struct oll_json *json, struct oll_error *err)
{
    *l = (struct line){.json = json};
    oll_arena_init(&l->arena, ARENA_MAX);
    if (!json || json->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG, "a line must be an object");
    const struct oll_json *messages = oll_json_get(json, "messages");
    l->has_messages = messages && messages->type != OLL_JSON_NULL;
    OLL_TRY(get_text(json, "system", &l->system, err));
    OLL_TRY(get_text(json, "prompt", &l->prompt, err));
    OLL_TRY(get_text(json, "suffix", &l->suffix, err));
    return chat_conversation_from_json(&l->arena, json, &l->conversation, err);
}

/* ---- rendering ---- */

static oll_status render_go(const struct line *l, const char *text, struct oll_strbuf *out,
                            struct oll_error *err)
{
    struct go_template *t = NULL;
    const struct go_template_input input = {.conversation =
                                                l->has_messages ? &l->conversation : NULL,
                                            .system = l->system,
                                            .prompt = l->prompt,
                                            .suffix = l->suffix,
                                            .think = l->conversation.think};
    OLL_TRY(go_template_parse(text, strlen(text), &t, err));
    oll_status status = go_template_render(t, &input, out, err);
    go_template_free(t);
    return status;
}

static oll_status render_jinja(const struct line *l, const char *text, struct oll_strbuf *out,
                               struct oll_error *err)
{
    struct jinja_native_params params = {0};
    struct jinja_native *native = NULL;
    OLL_TRY(get_text(l->json, "bos_token", &params.bos, err));
    OLL_TRY(get_text(l->json, "eos_token", &params.eos, err));
    OLL_TRY(oll_jinja_native_open(text, strlen(text), &params, &native, err));
    oll_status status =
        oll_jinja_native_render(native, &l->conversation, (int64_t)time(NULL), out, err);
    oll_jinja_native_free(native);
    return status;
}

static oll_status render_renderer(const struct line *l, const char *name, struct oll_strbuf *out,
                                  struct oll_error *err)
{
    struct chat_render_input input = {.conversation = &l->conversation};
    OLL_TRY(get_text(l->json, "date", &input.date, err));
    return chat_renderer_render(name, &input, out, err);
}

/* The prompt of a chat with a model; the conversation becomes what was shown, the style is the
 * caller's to free. */
static oll_status render_model(struct line *l, const struct chat_line_models *models,
                               const char *name, struct chat_style *style, struct oll_strbuf *out,
                               struct oll_error *err)
{
    struct chat_line_model found;
    OLL_TRY(models->find(models->user, name, &found, err));
    OLL_TRY(chat_style_choose(found.model, &found.source, style, err));
    OLL_TRY(chat_style_prepare(style, &l->arena, &l->conversation, &l->conversation, err));
    return chat_style_render(style, &l->arena, &l->conversation, l->suffix, false, out, err);
}

static oll_status render(struct line *l, const struct chat_line_models *models,
                         struct oll_strbuf *out, struct oll_error *err)
{
    struct chat_style style = {0};
    enum means means;
    const char *value;
    OLL_TRY(find_means(l->json, &means, &value, err));
    if (means == MEANS_COUNT && models->default_name) {
        means = MEANS_MODEL;
        value = models->default_name;
    }
    if (!l->has_messages && means != MEANS_NAME && means != MEANS_TEMPLATE)
        OLL_TRY(make_messages(l, err));
    switch (means) {
    case MEANS_NAME: {
        const struct named_template *named = named_templates_find(value);
        return named ? render_go(l, named->text, out, err)
                     : OLL_FAIL(err, OLL_ERR_NOT_FOUND, "there is no built-in template \"%s\"",
                                value);
    }
    case MEANS_TEMPLATE: return render_go(l, value, out, err);
    case MEANS_JINJA: return render_jinja(l, value, out, err);
    case MEANS_RENDERER: return render_renderer(l, value, out, err);
    case MEANS_MODEL: {
        oll_status status = render_model(l, models, value, &style, out, err);
        chat_style_free(&style);
        return status;
    }
    case MEANS_COUNT: break;
    }
    return OLL_FAIL(err, OLL_ERR_ARG, "give one of name, template, jinja, renderer, model");
}

static oll_status write_one(struct oll_strbuf *out, const char *key, const char *text, size_t n)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, key);
    oll_json_write_strn(&w, text, n);
    oll_json_write_object_end(&w);
    return out->status;
}

static oll_status write_error(struct oll_strbuf *out, const struct oll_error *err)
{
    return write_one(out, "error", oll_error_text(err), strlen(oll_error_text(err)));
}

oll_status chat_prompt_line(const struct oll_json *line, const struct chat_line_models *models,
                            struct oll_strbuf *out)
{
    struct line l;
    struct oll_strbuf text;
    struct oll_error err = {0};
    oll_strbuf_init(&text, PROMPT_MAX);
    oll_status status = line_read(&l, line, &err);
    if (status == OLL_OK)
        status = render(&l, models, &text, &err);
    if (status == OLL_OK && text.status != OLL_OK)
        status = OLL_FAIL(&err, text.status, "the prompt is longer than %d MiB",
                          PROMPT_MAX / (1024 * 1024));
    status =
        status == OLL_OK ? write_one(out, "prompt", text.data, text.len) : write_error(out, &err);
    oll_strbuf_free(&text);
    oll_arena_free(&l.arena);
    return status;
}

/* ---- replies ---- */

/* A reply by the parser that the model's go through. Without messages it answers an empty one. */
static oll_status reply_of_model(struct line *l, const struct chat_line_models *models,
                                 const char *name, struct oll_strbuf *out, struct oll_error *err)
{
    struct chat_style style = {0};
    struct chat_parser_config config = {.think = l->conversation.think}, given = {0};
    struct oll_strbuf prompt;
    OLL_TRY(chat_parse_config(l->json, &given, err));
    l->prompt = "";
    if (!l->has_messages)
        OLL_TRY(make_messages(l, err));
    oll_strbuf_init(&prompt, PROMPT_MAX);
    oll_status status = render_model(l, models, name, &style, &prompt, err);
    if (status == OLL_OK && chat_style_parser(&style, &l->conversation, prompt.data, &config) &&
        given.last_role) {
        config.last_role = given.last_role;
        config.last_content = given.last_content;
        config.last_thinking = given.last_thinking;
    }
    if (status == OLL_OK)
        status = chat_parse_chunks(&config, oll_json_get(l->json, "chunks"), out, err);
    oll_strbuf_free(&prompt);
    chat_style_free(&style);
    return status;
}

oll_status chat_reply_line(const struct oll_json *line, const struct chat_line_models *models,
                           struct oll_strbuf *out)
{
    static const char *const own[] = {"parser", "tag", "open", "close"};
    struct line l;
    struct oll_error err = {0};
    const char *name = NULL;
    bool is_direct = false;
    oll_status status = line_read(&l, line, &err);
    if (status == OLL_OK)
        status = get_text(line, "model", &name, &err);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        is_direct |= oll_json_get(line, own[i]) != NULL;
    if (!name)
        name = is_direct ? NULL : models->default_name;
    if (status == OLL_OK && name && is_direct)
        status = OLL_FAIL(&err, OLL_ERR_ARG, "model and a parser cannot be given together");
    if (status == OLL_OK)
        status = name ? reply_of_model(&l, models, name, out, &err) : chat_parse_line(line, out);
    if (status != OLL_OK && err.text[0])
        status = write_error(out, &err);
    oll_arena_free(&l.arena);
    return status;
}
