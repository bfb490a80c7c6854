/* LFM2: ChatML turns; tools as a JSON list, calls as Python calls. */
#include "engine/chat/render_internal.h"

static void put_system(struct render *r)
{
    const struct chat_message *system = render_leading_system(r);
    const bool has_text = system && system->content[0];
    render_put(r, "<|startoftext|>");
    if (!has_text && !render_first_tool(r))
        return;
    render_put(r, "<|im_start|>system\n");
    if (has_text)
        render_content(r, system, false);
    if (render_first_tool(r)) {
        render_put(r, has_text ? "\nList of tools: " : "List of tools: ");
        render_put(r, "<|tool_list_start|>[");
        for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
            render_function(r, t, &render_plain, NULL);
            render_put(r, t->next ? ", " : "");
        }
        render_put(r, "]<|tool_list_end|>");
    }
    render_put(r, "<|im_end|>\n");
}

static void put_call(struct render *r, const struct chat_call *call)
{
    oll_strbuf_printf(r->out, "%s(", call->name);
    for (size_t i = 0; i < call->arguments->n; i++) {
        const struct oll_json *a = call->arguments->sorted[i];
        render_put(r, i ? "," : "");
        oll_strbuf_add(r->out, a->key, a->key_len);
        render_put(r, "=");
        render_json(r, a, &render_plain);
    }
    render_put(r, ")");
}

static void put_reply(struct render *r, const struct chat_message *m)
{
    render_put(r, "<|im_start|>assistant\n");
    if (r->variant == RENDER_THINKING && m->thinking[0])
        oll_strbuf_printf(r->out, "<think>%s</think>", m->thinking);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        render_put(r, i == 0 ? "<|tool_call_start|>[" : ",");
        put_call(r, &m->calls[i]);
    }
    if (m->n_calls)
        render_put(r, m->content[0] ? "]<|tool_call_end|>\n" : "]<|tool_call_end|>");
    render_put(r, m->content);
    r->n_tags += m->n_images;
    render_put(r, m == render_last(r) ? "" : "<|im_end|>\n");
}

oll_status render_lfm2(struct render *r)
{
    put_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        const bool is_result = render_is(m, "tool");
        if (render_is(m, "assistant")) {
            put_reply(r, m);
            continue;
        }
        oll_strbuf_printf(r->out, "<|im_start|>%s\n%s", m->role,
                          is_result ? "<|tool_response_start|>" : "");
        render_content(r, m, false);
        render_put(r, is_result ? "<|tool_response_end|><|im_end|>\n" : "<|im_end|>\n");
    }
    if (!render_is(render_last(r), "assistant"))
        render_put(r, "<|im_start|>assistant\n");
    return OLL_OK;
}
