/* OLMo 3: ChatML turns; results of tools come from the environment. */
#include "engine/chat/render_internal.h"

#define ABOUT_OLMO                                                                                 \
    "You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, and "   \
    "your model weights are available at https://huggingface.co/allenai."
#define NO_FUNCTIONS " You do not currently have access to any functions. <functions></functions>"

/* ---- olmo3, olmo3.1 ---- */

static void put_functions(struct render *r)
{
    render_put(r, "<functions>[");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_tool(r, t, &render_spaced);
        render_put(r, t->next ? ", " : "");
    }
    render_put(r, "]</functions>");
}

static void put_system(struct render *r)
{
    const struct chat_message *system = render_any_system(r);
    const bool has_tools = render_first_tool(r) != NULL;
    render_put(r, "<|im_start|>system\n");
    if (system)
        render_put(r, system->content);
    else
        render_put(r, r->variant == RENDER_OLMO_31
                          ? ABOUT_OLMO
                          : "You are a helpful function-calling AI assistant.");
    if (!system)
        render_put(r, has_tools
                          ? " You are provided with function signatures within "
                            "<functions></functions> XML tags. You may call one or more functions "
                            "to assist with the user query. Output any function calls within "
                            "<function_calls></function_calls> XML tags. Do not make assumptions "
                            "about what values to plug into functions."
                          : NO_FUNCTIONS);
    if (has_tools)
        put_functions(r);
    render_put(r, "<|im_end|>\n");
}

/* name(a=1, b="x"), by the names of the arguments */
static void put_call(struct render *r, const struct chat_call *call)
{
    oll_strbuf_printf(r->out, "%s(", call->name);
    for (size_t i = 0; i < call->arguments->n; i++) {
        const struct oll_json *a = call->arguments->sorted[i];
        render_put(r, i ? ", " : "");
        oll_strbuf_add(r->out, a->key, a->key_len);
        render_put(r, "=");
        render_json(r, a, &render_compact);
    }
    render_put(r, ")");
}

static void put_reply(struct render *r, const struct chat_message *m)
{
    oll_strbuf_printf(r->out, "<|im_start|>assistant\n%s", m->content);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        render_put(r, i == 0 ? "<function_calls>" : "\n");
        put_call(r, &m->calls[i]);
    }
    render_put(r, m->n_calls ? "</function_calls>" : "");
    render_put(r, m == render_last(r) && m->n_calls == 0 ? "" : "<|im_end|>\n");
}

oll_status render_olmo3(struct render *r)
{
    const struct chat_message *last = render_last(r);
    put_system(r);
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "assistant"))
            put_reply(r, m);
        else if (render_is(m, "user") || render_is(m, "tool"))
            oll_strbuf_printf(r->out, "<|im_start|>%s\n%s<|im_end|>\n",
                              render_is(m, "tool") ? "environment" : "user", m->content);
    }
    if (!render_is(last, "assistant") || !last->content[0] || last->n_calls > 0)
        render_put(r, "<|im_start|>assistant\n");
    return OLL_OK;
}

/* ---- olmo3-think, olmo3-32b-think: no tools ---- */

oll_status render_olmo3_think(struct render *r)
{
    const struct chat_message *system = render_any_system(r);
    render_put(r, "<|im_start|>system\n");
    if (system)
        oll_strbuf_printf(r->out, "%s" NO_FUNCTIONS, system->content);
    else
        render_put(r,
                   r->variant == RENDER_OLMO_32B ? "You are a helpful AI assistant." : ABOUT_OLMO);
    render_put(r, "<|im_end|>\n");
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "user") || render_is(m, "assistant"))
            oll_strbuf_printf(r->out, "<|im_start|>%s\n%s<|im_end|>\n", m->role, m->content);
    }
    render_put(r, "<|im_start|>assistant\n<think>");
    return OLL_OK;
}
