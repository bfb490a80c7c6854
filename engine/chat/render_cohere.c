/* Cohere's Command models. The blanks and empty lines are the format's own. */
#include "engine/chat/render_internal.h"

#include <string.h>

#define TURN     "<|START_OF_TURN_TOKEN|>"
#define END_TURN "<|END_OF_TURN_TOKEN|>"
#define END_TEXT "<|END_TEXT|>" END_TURN

static void put_system(struct render *r)
{
    static const struct render_json style = {.spaced = true, .with_description = true};
    const struct chat_message *system = render_leading_system(r);
    render_put(r, TURN "<|SYSTEM_TOKEN|><|START_TEXT|>");
    if (system && system->content[0])
        oll_strbuf_printf(r->out, "%s\n\n\n\n", system->content);
    render_put(r, "# Available Tools\n```json\n[\n");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_put(r, "\n    ");
        render_function(r, t, &style, ", \"responses\": null");
        render_put(r, t->next ? ",\n\n" : "\n\n");
    }
    render_put(r, render_first_tool(r) ? "\n]\n```" END_TEXT : "\n\n\n]\n```" END_TEXT);
}

/* `*number` counts the calls of the conversation. */
static void put_calls(struct render *r, const struct chat_message *m, uint32_t *number)
{
    render_put(r, "<|START_ACTION|>[\n");
    for (uint32_t i = 0; i < m->n_calls; i++) {
        oll_strbuf_printf(r->out, "\n    {\"tool_call_id\": \"%u\", \"tool_name\": ", (*number)++);
        render_string(r, m->calls[i].name, &render_spaced);
        render_put(r, ", \"parameters\": ");
        render_arguments(r, &m->calls[i], &render_spaced);
        render_put(r, i + 1 < m->n_calls ? "},\n" : "}\n");
    }
    render_put(r, "\n]<|END_ACTION|>");
}

/* Text beside calls is not shown. */
static void put_reply(struct render *r, const struct chat_message *m, uint32_t *number)
{
    const bool is_last = m == render_last(r);
    render_put(r, TURN "<|CHATBOT_TOKEN|>");
    render_put(r, m->n_calls ? "\n            \n                " : "");
    if (m->thinking[0])
        oll_strbuf_printf(r->out, "<|START_THINKING|>%s<|END_THINKING|>", m->thinking);
    if (m->n_calls) {
        put_calls(r, m, number);
        render_put(r, is_last ? "" : END_TURN);
    } else {
        oll_strbuf_printf(r->out, "<|START_TEXT|>%s%s", m->content, is_last ? "" : END_TEXT);
    }
}

static void put_result(struct render *r, uint32_t i, bool is_first)
{
    const struct chat_message *m = &r->c->messages[i];
    const struct render_call *call = render_find_call(r, m->tool_call_id, i);
    render_put(r, is_first ? TURN "<|SYSTEM_TOKEN|><|START_TOOL_RESULT|>[\n" : ",\n");
    render_put(r, "    {\n        \"tool_call_id\": \"");
    if (call)
        oll_strbuf_printf(r->out, "%u", call->number);
    render_put(r, "\",\n        \"results\": {\n\n            \n            \"0\": {\"content\": ");
    render_string(r, m->content, &render_spaced);
    render_put(r, "}\n\n        },\n        \"is_error\": null\n    }");
}

static void end_results(struct render *r, bool *is_open)
{
    if (*is_open)
        render_put(r, "\n\n]<|END_TOOL_RESULT|>" END_TURN);
    *is_open = false;
}

oll_status render_cohere(struct render *r)
{
    uint32_t number = 0;
    bool in_results = false;
    OLL_TRY(render_index_calls(r));
    put_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "tool")) {
            put_result(r, i, !in_results);
            in_results = true;
            continue;
        }
        end_results(r, &in_results);
        if (render_is(m, "assistant"))
            put_reply(r, m, &number);
        else if (render_is(m, "system") || render_is(m, "user"))
            oll_strbuf_printf(r->out, TURN "<|%s_TOKEN|><|START_TEXT|>%s" END_TEXT,
                              render_is(m, "user") ? "USER" : "SYSTEM", m->content);
    }
    end_results(r, &in_results);
    if (render_is(render_last(r), "assistant"))
        return OLL_OK;
    render_put(r, TURN "<|CHATBOT_TOKEN|><|START_THINKING|>");
    render_put(r, r->c->think == OLL_THINK_OFF ? "<|END_THINKING|>" : "");
    return OLL_OK;
}
