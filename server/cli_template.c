/* `oll template`: what a model is really told, and how its replies are split.
 *
 * show    which template, renderer and parser count for a model, and why
 * render  conversations as JSON lines in, prompts out
 * parse   replies as JSON lines in, what they split into out
 * The lines are those of engine/chat/prompt_line.h. */
#include "engine/base/mem.h"
#include "engine/chat/prompt_line.h"
#include "gguf/gguf.h"
#include "server/cli.h"
#include "server/env.h"
#include "server/model_path.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 256 << 20, ANSWER_MAX_BYTES = 256 << 20, ARENA_BYTES = 1 << 30 };

/* ---- models ---- */

/* One model as far as its prompts go. */
struct opened {
    char *name; /* NULL: none */
    struct model_entry entry;
    struct chat_model chat;
};

static void opened_close(struct opened *o)
{
    if (!o->name)
        return;
    chat_model_close(&o->chat);
    model_entry_free(&o->entry);
    oll_free(o->name);
    *o = (struct opened){0};
}

static const char *role_text(const struct oll_tokenizer *tok, enum oll_token_role role)
{
    const int32_t id = oll_tokenizer_role(tok, role);
    size_t n;
    const char *text = id == OLL_TOKEN_NONE ? NULL : oll_tokenizer_text(tok, id, &n);
    return text ? text : "";
}

/* A string of the file as C text; NULL when absent. */
static char *text_of(const struct oll_gguf *gguf, const char *key)
{
    struct oll_gguf_str s;
    if (oll_gguf_str(gguf, key, &s, NULL) != OLL_OK)
        return NULL;
    char *text = oll_alloc((size_t)s.len + 1, 1);
    if (text) {
        memcpy(text, s.data, (size_t)s.len);
        text[s.len] = '\0';
    }
    return text;
}

static oll_status read_file(const char *path, struct chat_model *chat, struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    struct oll_tokenizer *tok = NULL;
    OLL_TRY(oll_gguf_open(path, &gguf, err));
    char *family = text_of(gguf, "general.architecture");
    char *jinja = text_of(gguf, "tokenizer.chat_template");
    oll_status status = oll_tokenizer_new(gguf, 0, &tok, err);
    if (status == OLL_OK) {
        const struct jinja_native_params tokens = {.bos = role_text(tok, OLL_ROLE_BOS),
                                                   .eos = role_text(tok, OLL_ROLE_EOS),
                                                   .adds_bos = oll_tokenizer_adds_bos(tok),
                                                   .adds_eos = oll_tokenizer_adds_eos(tok)};
        status = chat_model_open(chat, family ? family : "", jinja, &tokens, err);
    }
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        chat->n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    oll_tokenizer_free(tok);
    oll_free(family);
    oll_free(jinja);
    oll_gguf_close(gguf);
    return status;
}

static oll_status opened_open(struct opened *o, const char *name, struct oll_error *err)
{
    if (o->name && strcmp(o->name, name) == 0)
        return OLL_OK;
    opened_close(o);
    oll_status status = model_entry_find(name, &o->entry, err);
    if (status == OLL_OK)
        status = read_file(o->entry.path, &o->chat, err);
    if (status == OLL_OK && !(o->name = oll_strdup(name)))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    if (status != OLL_OK) {
        chat_model_close(&o->chat);
        model_entry_free(&o->entry);
        *o = (struct opened){0};
    }
    return status;
}

static struct chat_source source_of(const struct opened *o)
{
    const struct oll_stored_model *stored = &o->entry.stored;
    struct chat_source source = {.model_template = stored->template_text,
                                 .renderer = stored->config.renderer,
                                 .parser = stored->config.parser};
    char text[ENV_TEXT_MAX];
    if (o->entry.is_stored)
        source.model_name = stored->ref.model;
    if (env_text("OLLAMA_GO_TEMPLATE", text))
        source.prefer = env_bool("OLLAMA_GO_TEMPLATE", true) ? OLL_TEMPLATE_GO : OLL_TEMPLATE_JINJA;
    return source;
}

static oll_status find_model(void *user, const char *name, struct chat_line_model *out,
                             struct oll_error *err)
{
    struct opened *o = user;
    OLL_TRY(opened_open(o, name, err));
    *out = (struct chat_line_model){.model = &o->chat, .source = source_of(o)};
    return OLL_OK;
}

/* ---- lines ---- */

typedef oll_status (*answer_fn)(const struct oll_json *line, const struct chat_line_models *models,
                                struct oll_strbuf *out);

static oll_status answer_line(const char *text, size_t n, answer_fn answer,
                              const struct chat_line_models *models, struct oll_strbuf *out)
{
    struct oll_json_limits limits = oll_json_limits_default;
    struct oll_arena arena;
    struct oll_json *line = NULL;
    struct oll_error err = {0};
    struct oll_json_writer w;
    limits.max_nodes = 16 << 20;
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = oll_json_parse(&arena, text, n, &limits, &line, &err);
    if (status == OLL_OK) {
        status = answer(line, models, out);
    } else {
        oll_json_write_init(&w, out);
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "error");
        oll_json_write_str(&w, oll_error_text(&err));
        oll_json_write_object_end(&w);
        status = out->status;
    }
    oll_arena_free(&arena);
    return status;
}

/* One answer for each line that is not blank, in order. */
static int run_lines(const struct cli_args *args, answer_fn answer)
{
    struct opened opened = {0};
    const struct chat_line_models models = {.find = find_model,
                                            .user = &opened,
                                            .default_name =
                                                args->n_positional ? args->positional[0] : NULL};
    struct oll_strbuf out;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int code = 0;
    oll_strbuf_init(&out, ANSWER_MAX_BYTES);
    while (code == 0 && (n = getline(&line, &cap, stdin)) > 0) {
        if (strspn(line, " \t\r\n") == (size_t)n)
            continue;
        oll_strbuf_clear(&out);
        if (n > LINE_MAX_BYTES)
            code = cli_failf("a line is longer than %d MiB", LINE_MAX_BYTES / (1024 * 1024));
        else if (answer_line(line, (size_t)n, answer, &models, &out) != OLL_OK)
            code = cli_failf("out of memory for an answer");
        else if (puts(out.data) < 0 || fflush(stdout) != 0)
            code = cli_failf("standard output was closed");
    }
    free(line);
    oll_strbuf_free(&out);
    opened_close(&opened);
    return code;
}

static int run_render(const struct cli_args *args) { return run_lines(args, chat_prompt_line); }

static int run_parse(const struct cli_args *args) { return run_lines(args, chat_reply_line); }

/* ---- show ---- */

static void print_row(const char *key, const char *value)
{
    if (value && *value)
        printf("  %-14s %s\n", key, value);
}

static const char *means_of(const struct chat_style *style)
{
    switch (style->mode) {
    case CHAT_MODE_RENDERER: return "built-in renderer";
    case CHAT_MODE_GO: return "Go template stored with the model";
    case CHAT_MODE_NATIVE: return "chat template of the model's file (Jinja)";
    case CHAT_MODE_PLAIN: break;
    }
    return "none: the prompt goes to the model as it is";
}

/* Why this one, where there was a choice. */
static const char *reason_of(const struct chat_style *style, const struct chat_source *source)
{
    const bool has_go = source->model_template && *source->model_template;
    if (style->mode == CHAT_MODE_RENDERER)
        return "the model names it";
    if (!has_go || !style->model->jinja)
        return "the model has no other";
    if (source->prefer != OLL_TEMPLATE_BEST)
        return "OLLAMA_GO_TEMPLATE says so";
    return style->mode == CHAT_MODE_NATIVE
               ? "it can show more of tools and thinking than the Go template"
               : "the chat template of the file can do no more";
}

static void print_capabilities(const struct chat_style *style)
{
    const struct chat_parser_facts *parser = style->parser ? chat_parser_find(style->parser) : NULL;
    struct chat_capabilities can = {0};
    if (style->mode == CHAT_MODE_NATIVE)
        can = chat_capabilities_of_jinja(style->model->jinja);
    else if (style->go)
        can = chat_capabilities_of_go(style->go);
    can.tools |= parser && parser->has_tools;
    can.thinking |= parser && parser->has_thinking;
    printf("  %-14s completion%s%s%s\n", "capabilities", can.tools ? ", tools" : "",
           can.insert ? ", insert" : "", can.thinking ? ", thinking" : "");
}

static void print_style(const struct chat_style *style, const struct chat_source *source)
{
    const char *text = style->mode == CHAT_MODE_NATIVE ? style->model->jinja
                       : style->mode == CHAT_MODE_GO   ? source->model_template
                                                       : NULL;
    print_row("prompted by", means_of(style));
    print_row("renderer", style->renderer);
    print_row("because", style->mode == CHAT_MODE_PLAIN ? NULL : reason_of(style, source));
    print_row("parser", style->parser ? style->parser : "generic");
    if (!style->parser) {
        print_row("tool calls", style->tag);
        print_row("thinking from", style->think_open);
        print_row("thinking to", style->think_close);
    }
    print_capabilities(style);
    if (style->mode == CHAT_MODE_NATIVE && !style->model->native)
        print_row("fault", oll_error_text(&style->model->error));
    if (text)
        printf("\n%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
}

static int run_show(const struct cli_args *args)
{
    struct opened opened = {0};
    struct chat_style style = {0};
    struct oll_error err = {0};
    oll_status status = opened_open(&opened, args->positional[0], &err);
    const struct chat_source source = source_of(&opened);
    if (status == OLL_OK)
        status = chat_style_choose(&opened.chat, &source, &style, &err);
    if (status == OLL_OK)
        print_style(&style, &source);
    chat_style_free(&style);
    opened_close(&opened);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_command show = {
    .name = "show",
    .usage = "MODEL",
    .summary = "Show which template counts for a model, and why",
    .details = "MODEL is a name of the store or a path to a GGUF file.",
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};

static const struct cli_command render = {
    .name = "render",
    .usage = "[MODEL]",
    .summary = "Render conversations as prompts",
    .details =
        "Standard input holds one JSON object per line: messages, tools, think as in the API\n"
        "(or system, prompt, suffix), and one of name (a built-in template), template (Go\n"
        "text), jinja (text; with bos_token, eos_token), renderer (with date), model; without\n"
        "one of them MODEL is taken. Each line is answered by {\"prompt\": ...} or\n"
        "{\"error\": ...}.",
    .max_args = 1,
    .run = run_render,
};

static const struct cli_command parse = {
    .name = "parse",
    .usage = "[MODEL]",
    .summary = "Split replies into thinking, content and tool calls",
    .details =
        "Standard input holds one JSON object per line: chunks (the reply as it came, a list of\n"
        "strings), tools, think, last_message, and one of parser (a built-in one), tag, open\n"
        "and close, model; without one of them MODEL is taken. Each line is answered by\n"
        "{\"content\", \"thinking\", \"tool_calls\", \"steps\"} or {\"error\": ...}.",
    .max_args = 1,
    .run = run_parse,
};

static const struct cli_command *const children[] = {&show, &render, &parse, NULL};

const struct cli_command cli_template = {
    .name = "template",
    .usage = "COMMAND",
    .summary = "See what a model is told, and how its replies are split",
    .children = children,
};
