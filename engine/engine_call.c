/* Forced tool calls: the grammar of one call in the model's own format, with the arguments of each
 * tool by its schema. */
#include "engine/engine_internal.h"

#include "engine/base/mem.h"
#include "engine/chat/call_shape.h"

#include <string.h>

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 16 << 20 };

/* Arguments of a tool that declares none. */
static const char no_arguments[] = "{\"type\":\"object\",\"additionalProperties\":false}";

struct call_source {
    struct oll_arena arena;
    const struct oll_request *ask;
    const struct oll_json *tools;
    const struct chat_call_shape *shape;
    const char *tag; /* NULL: the shape has no tag of its own */
    struct oll_constraint_part *parts;
    uint32_t n_parts;
};

static oll_status find_shape(struct call_source *c, const struct oll_engine *e,
                             struct oll_error *err)
{
    const struct oll_request *ask = c->ask;
    const struct chat_source source = {.request_template = ask->template_text,
                                       .model_template = ask->model_template,
                                       .renderer = ask->renderer,
                                       .parser = ask->parser,
                                       .model_name = ask->model_name,
                                       .prefer = ask->prefer_template};
    struct chat_style style = {0};
    OLL_TRY(chat_style_choose(&e->prompt_env.chat, &source, &style, err));
    c->shape = chat_call_shape_of(style.parser, style.tag);
    c->tag = style.parser || !style.tag ? NULL : oll_arena_strdup(&c->arena, style.tag);
    if (!c->shape)
        oll_error_set(err, OLL_ERR_UNSUPPORTED,
                      "a tool call cannot be forced: %s%s; use tool_choice \"auto\"",
                      style.parser ? "the calls of this model are not JSON, their format is "
                                   : "the template of this model has no tool calls",
                      style.parser ? style.parser : "");
    const bool no_memory = style.tag && !style.parser && !c->tag;
    chat_style_free(&style);
    if (no_memory)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the tools");
    return c->shape ? OLL_OK : OLL_ERR_UNSUPPORTED;
}

static const char *text_in_arena(struct call_source *c, const struct oll_strbuf *sb)
{
    return sb->status == OLL_OK ? oll_arena_strndup(&c->arena, sb->data, sb->len) : NULL;
}

/* The text before a call's arguments, and their schema. */
static oll_status add_part(struct call_source *c, const char *name,
                           const struct oll_json *parameters, struct oll_error *err)
{
    struct oll_constraint_part *part = &c->parts[c->n_parts++];
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, TEXT_MAX);
    chat_call_shape_before(c->shape, c->tag, name, &sb);
    part->before = text_in_arena(c, &sb);
    part->after = c->shape->close;
    part->schema_json = no_arguments;
    if (parameters && parameters->type == OLL_JSON_OBJECT && parameters->n > 0) {
        oll_strbuf_clear(&sb);
        oll_json_write_init(&w, &sb);
        oll_json_write_node(&w, parameters, false);
        part->schema_json = text_in_arena(c, &sb);
    }
    oll_strbuf_free(&sb);
    return part->before && part->schema_json
               ? OLL_OK
               : OLL_FAIL(err, OLL_ERR_LIMIT, "tool %.80s is larger than it may be", name);
}

static oll_status add_tools(struct call_source *c, struct oll_error *err)
{
    const char *only = c->ask->forced_tool;
    c->parts = oll_arena_alloc(&c->arena, c->tools->n + 1, sizeof *c->parts);
    if (!c->parts)
        return OLL_FAIL(err, c->arena.status, "out of memory for the tools");
    for (const struct oll_json *t = c->tools->first; t; t = t->next) {
        const struct oll_json *function = oll_json_get(t, "function");
        const char *name = oll_json_get_str(function, "name", "");
        if (*name && (!only || strcmp(name, only) == 0))
            OLL_TRY(add_part(c, name, oll_json_get(function, "parameters"), err));
    }
    if (c->n_parts > 0)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_ARG,
                    only ? "tool_choice names %.80s, which is not among the tools"
                         : "tool_choice asks for a call, and there are no tools%.0s",
                    only ? only : "");
}

static oll_status make(struct call_source *c, struct oll_engine *e,
                       struct oll_constraint_program **out, struct oll_error *err)
{
    struct oll_json *tools = NULL;
    const char *text = c->ask->tools_json ? c->ask->tools_json : "[]";
    OLL_TRY(oll_json_parse(&c->arena, text, strlen(text), NULL, &tools, err));
    c->tools = tools;
    OLL_TRY(find_shape(c, e, err));
    OLL_TRY(add_tools(c, err));
    const struct oll_constraint_source source = {.parts = c->parts, .n_parts = c->n_parts};
    oll_status status = oll_constraint_compile(&source, e->env.tok, out, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "parameters of a tool");
    return status == OLL_ERR_FORMAT ? OLL_ERR_ARG : status;
}

oll_status engine_call_program(struct oll_engine *e, const struct oll_request *ask,
                               struct oll_constraint_program **out, struct oll_error *err)
{
    struct call_source c = {.ask = ask};
    *out = NULL;
    if (ask->format_json || ask->grammar)
        return OLL_FAIL(err, OLL_ERR_ARG, "a format and a forced tool call exclude each other");
    oll_arena_init(&c.arena, ARENA_MAX);
    oll_status status = make(&c, e, out, err);
    oll_arena_free(&c.arena);
    return status;
}
