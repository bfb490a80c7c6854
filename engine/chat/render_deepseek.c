/* DeepSeek V3.1 and Cogito, which shares its markers. */
#include "engine/chat/render_internal.h"

#define BOS       "<｜begin▁of▁sentence｜>"
#define EOS       "<｜end▁of▁sentence｜>"
#define USER      "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"

/* ---- deepseek3.1 ---- */

static void put_tools(struct render *r)
{
    render_put(r, "\n\n## Tools\nYou have access to the following tools:\n\n");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        oll_strbuf_printf(r->out, "### %s\nDescription: %s\n\nParameters: ", render_tool_name(t),
                          render_tool_description(t));
        render_parameters(r, render_tool_parameters(t), &render_compact);
        render_put(r, "\n\n");
    }
    render_put(r, "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
                  "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>"
                  "tool_call_arguments<｜tool▁call▁end｜>{{additional_tool_calls}}"
                  "<｜tool▁calls▁end｜>\n\n"
                  "Where:\n\n"
                  "- `tool_call_name` must be an exact match to one of the available tools\n"
                  "- `tool_call_arguments` must be valid JSON that strictly follows the tool's "
                  "Parameters Schema\n"
                  "- For multiple tool calls, chain them directly without separators or spaces\n");
}

static void put_system(struct render *r)
{
    bool is_first = true;
    render_put(r, BOS);
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (!render_is(m, "system") || !m->content[0])
            continue;
        render_put(r, is_first ? "" : "\n\n");
        render_put(r, m->content);
        is_first = false;
    }
    if (render_first_tool(r))
        put_tools(r);
}

static void put_reply(struct render *r, const struct chat_message *m, bool after_user)
{
    /* A reply that has only thought so far. */
    const bool is_thinking = m == render_last(r) && m->thinking[0] && !m->content[0];
    if (after_user)
        render_put(r, is_thinking ? ASSISTANT "<think>" : ASSISTANT "</think>");
    render_put(r, m->content);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        render_put(r, i == 0 ? "<｜tool▁calls▁begin｜>" : "");
        oll_strbuf_printf(r->out, "<｜tool▁call▁begin｜>%s<｜tool▁sep｜>", m->calls[i].name);
        render_arguments(r, &m->calls[i], &render_compact);
        render_put(r, "<｜tool▁call▁end｜>");
    }
    render_put(r, m->n_calls ? "<｜tool▁calls▁end｜>" EOS : EOS);
}

oll_status render_deepseek31(struct render *r)
{
    bool after_user = false;
    put_system(r);
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "user")) {
            oll_strbuf_printf(r->out, USER "%s", m->content);
            after_user = true;
        } else if (render_is(m, "assistant")) {
            put_reply(r, m, after_user);
            after_user = false;
        } else if (render_is(m, "tool")) {
            oll_strbuf_printf(r->out, "<｜tool▁output▁begin｜>%s<｜tool▁output▁end｜>", m->content);
            after_user = false;
        }
    }
    if (after_user)
        render_put(r, r->thinks ? ASSISTANT "<think>" : ASSISTANT "</think>");
    return OLL_OK;
}

/* ---- cogito ---- */

static void cogito_system(struct render *r)
{
    static const struct render_json wide = {.indent = 4};
    const struct chat_message *system = render_leading_system(r);
    render_put(r, r->thinks ? BOS "Enable deep thinking subroutine.\n\n" : BOS);
    render_put(r, "You are Cogito, an AI assistant created by Deep Cogito, which is an AI research "
                  "lab based in San Francisco.");
    if (system && system->content[0])
        oll_strbuf_printf(r->out, "\n\n%s", system->content);
    if (!render_first_tool(r))
        return;
    render_put(r, "\nYou have the following functions available:\n");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_put(r, "```json\n");
        render_tool(r, t, &wide);
        render_put(r, "\n```\n");
    }
}

static void cogito_reply(struct render *r, const struct chat_message *m)
{
    render_put(r, m->content);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        oll_strbuf_printf(r->out, "%s<｜tool▁call▁begin｜>function<｜tool▁sep｜>%s\n```json\n",
                          i == 0 ? "<｜tool▁calls▁begin｜>" : "\n", m->calls[i].name);
        render_arguments(r, &m->calls[i], &render_compact);
        render_put(r, "\n```<｜tool▁call▁end｜>");
    }
    render_put(r, m->n_calls ? "<｜tool▁calls▁end｜>" EOS : EOS);
}

oll_status render_cogito(struct render *r)
{
    bool in_results = false, has_header = false;
    cogito_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "tool")) {
            oll_strbuf_printf(r->out, "%s<｜tool▁output▁begin｜>%s<｜tool▁output▁end｜>",
                              in_results ? "\n" : "<｜tool▁outputs▁begin｜>", m->content);
            in_results = true;
            has_header = false;
            continue;
        }
        render_put(r, in_results ? "<｜tool▁outputs▁end｜>" : "");
        in_results = false;
        if (render_is(m, "user"))
            oll_strbuf_printf(r->out, USER "%s" ASSISTANT, m->content);
        else if (render_is(m, "assistant"))
            cogito_reply(r, m);
        has_header = render_is(m, "user") || (has_header && !render_is(m, "assistant"));
    }
    render_put(r, in_results ? "<｜tool▁outputs▁end｜>" : "");
    render_put(r, has_header ? "" : ASSISTANT);
    render_put(r, r->thinks ? "<think>\n" : "");
    return OLL_OK;
}
