#include "engine/chat/call_constraint.h"

#include "engine/base/mem.h"
#include "engine/chat/call_shape.h"
#include "engine/chat/harmony_name.h"

#include <string.h>

enum { ARENA_MAX = 64 << 20, TEXT_MAX = 16 << 20 };

/* Arguments of a tool that declares none. */
static const char no_arguments[] = "{\"type\":\"object\",\"additionalProperties\":false}";

struct call_source {
    struct oll_arena arena;
    const struct oll_json *tools;
    const struct chat_call_shape *shape;
    const char *tag; /* NULL: the shape has no tag of its own */
    const char *only;
    struct oll_constraint_part *parts;
    uint32_t n_parts;
};

static const char *text_in_arena(struct call_source *c, const struct oll_strbuf *sb)
{
    return sb->status == OLL_OK ? oll_arena_strndup(&c->arena, sb->data, sb->len) : NULL;
}

/* How the arguments are written, with the function that declares them. */
static const struct json_arguments *arguments_of(struct call_source *c,
                                                 const struct oll_json *function)
{
    struct json_arguments *out = oll_arena_alloc(&c->arena, 1, sizeof *out);
    if (out) {
        *out = *c->shape->arguments;
        out->user = (void *)(uintptr_t)function;
    }
    return out;
}

/* The text before a call's arguments, and their schema. */
static oll_status add_part(struct call_source *c, const char *name, const struct oll_json *function,
                           struct oll_error *err)
{
    const struct oll_json *parameters = oll_json_get(function, "parameters");
    struct oll_constraint_part *part = &c->parts[c->n_parts++];
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, TEXT_MAX);
    chat_call_shape_before(c->shape, c->tag, name, &sb);
    part->before = text_in_arena(c, &sb);
    part->after = c->shape->close;
    part->arguments = arguments_of(c, function);
    part->schema_json = no_arguments;
    if (parameters && parameters->type == OLL_JSON_OBJECT && parameters->n > 0) {
        oll_strbuf_clear(&sb);
        oll_json_write_init(&w, &sb);
        oll_json_write_node(&w, parameters, false);
        part->schema_json = text_in_arena(c, &sb);
    }
    oll_strbuf_free(&sb);
    return part->before && part->schema_json && part->arguments
               ? OLL_OK
               : OLL_FAIL(err, OLL_ERR_LIMIT, "tool %.80s is larger than it may be", name);
}

/* The names by which the model knows the tools, in their order. */
static const char *const *shown_names(struct call_source *c)
{
    size_t n = 0;
    const char **names = oll_arena_alloc(&c->arena, c->tools->n + 1, sizeof *names);
    for (const struct oll_json *t = c->tools->first; names && t; t = t->next)
        names[n++] = oll_json_get_str(oll_json_get(t, "function"), "name", "");
    if (!names || !c->shape->harmony_names)
        return names;
    return chat_harmony_names(&c->arena, names, n);
}

static oll_status add_tools(struct call_source *c, struct oll_error *err)
{
    const char *only = c->only;
    const char *const *shown = shown_names(c);
    c->parts = oll_arena_alloc(&c->arena, c->tools->n + 1, sizeof *c->parts);
    if (!c->parts || !shown)
        return OLL_FAIL(err, c->arena.status, "out of memory for the tools");
    for (const struct oll_json *t = c->tools->first; t; t = t->next, shown++) {
        const struct oll_json *function = oll_json_get(t, "function");
        const char *name = oll_json_get_str(function, "name", "");
        if (*name && (!only || strcmp(name, only) == 0))
            OLL_TRY(add_part(c, *shown, function, err));
    }
    if (c->n_parts > 0)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_ARG,
                    only ? "tool_choice names %.80s, which is not among the tools"
                         : "tool_choice asks for a call, and there are no tools%.0s",
                    only ? only : "");
}

static oll_status make(struct call_source *c, const char *tools_json,
                       const struct oll_tokenizer *tok, struct oll_constraint_program **out,
                       struct oll_error *err)
{
    struct oll_json *tools = NULL;
    const char *text = tools_json ? tools_json : "[]";
    OLL_TRY(oll_json_parse(&c->arena, text, strlen(text), NULL, &tools, err));
    c->tools = tools;
    OLL_TRY(add_tools(c, err));
    const struct oll_constraint_source source = {.parts = c->parts,
                                                 .n_parts = c->n_parts,
                                                 .free_open = c->shape->free_open,
                                                 .free_mark = c->shape->free_mark,
                                                 .free_close = c->shape->free_close};
    oll_status status = oll_constraint_compile(&source, tok, out, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "parameters of a tool");
    return status == OLL_ERR_FORMAT ? OLL_ERR_ARG : status;
}

oll_status chat_call_constraint(const char *parser, const char *tag, const char *tools_json,
                                const char *forced_tool, const struct oll_tokenizer *tok,
                                struct oll_constraint_program **out, struct oll_error *err)
{
    struct call_source c = {
        .shape = chat_call_shape_of(parser, tag), .tag = parser ? NULL : tag, .only = forced_tool};
    *out = NULL;
    if (!c.shape)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "a tool call cannot be forced: this model has no tool calls");
    oll_arena_init(&c.arena, ARENA_MAX);
    oll_status status = make(&c, tools_json, tok, out, err);
    oll_arena_free(&c.arena);
    return status;
}
