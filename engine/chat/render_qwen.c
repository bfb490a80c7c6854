/* Qwen3-Coder, Qwen3-VL, Qwen3.5, Qwen3.8, Ornith: ChatML turns. */
#include "engine/chat/render_internal.h"

#include <string.h>

static void put_turn(struct render *r, const char *role, const struct chat_message *m, bool trim)
{
    oll_strbuf_printf(r->out, "<|im_start|>%s\n", role);
    render_content(r, m, trim);
    render_put(r, "<|im_end|>\n");
}

/* ---- qwen3-coder ---- */

/* A reply of which nothing would show is left out altogether. */
static bool coder_shows(const struct chat_message *m)
{
    const bool is_empty = render_is(m, "assistant") && !m->content[0] && m->n_calls == 0;
    return !is_empty && !render_is(m, "system");
}

static void coder_system(struct render *r)
{
    const struct chat_message *system = render_any_system(r);
    const char *text = system ? system->content : "";
    if (render_first_tool(r) && !text[0])
        text = "You are Qwen, a helpful AI assistant that can interact with a computer to solve "
               "tasks.";
    if (!text[0])
        return;
    render_put(r, "<|im_start|>system\n");
    render_put(r, text);
    if (render_first_tool(r)) {
        render_put(r, "\n\n");
        render_xml_tools(r, false);
    }
    render_put(r, "<|im_end|>\n");
}

static void coder_calls(struct render *r, const struct chat_message *m)
{
    render_put(r, "<|im_start|>assistant\n");
    render_put(r, m->content);
    render_put(r, m->content[0] ? "\n" : "");
    for (uint32_t i = 0; i < m->n_calls; i++) {
        render_put(r, "\n");
        render_xml_call(r, &m->calls[i], false);
    }
    render_put(r, "<|im_end|>\n");
}

oll_status render_qwen3_coder(struct render *r)
{
    const struct chat_message *last = NULL;
    bool in_results = false;
    for (uint32_t i = 0; i < r->c->n_messages; i++)
        if (coder_shows(&r->c->messages[i]))
            last = &r->c->messages[i];
    const bool continues = render_is(last, "assistant") && last->n_calls == 0;
    coder_system(r);
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (!coder_shows(m))
            continue;
        if (render_is(m, "tool")) {
            render_xml_result(r, m, &in_results);
            continue;
        }
        render_xml_results_end(r, &in_results);
        if (render_is(m, "assistant") && m->n_calls > 0)
            coder_calls(r, m);
        else if (m == last && continues)
            oll_strbuf_printf(r->out, "<|im_start|>assistant\n%s", m->content);
        else
            put_turn(r, m->role, m, false);
    }
    render_xml_results_end(r, &in_results);
    render_put(r, continues ? "" : "<|im_start|>assistant\n");
    return OLL_OK;
}

/* ---- qwen3-vl ---- */

static void vl_system(struct render *r)
{
    const struct chat_message *system = render_leading_system(r);
    if (!render_first_tool(r)) {
        if (system)
            put_turn(r, "system", system, false);
        return;
    }
    render_put(r, "<|im_start|>system\n");
    if (system) {
        render_content(r, system, false);
        render_put(r, "\n\n");
    }
    render_put(r, "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                  "You are provided with function signatures within <tools></tools> XML tags:\n"
                  "<tools>");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_put(r, "\n");
        render_tool(r, t, &render_spaced);
    }
    render_put(r, "\n</tools>\n\nFor each function call, return a json object with function name "
                  "and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
                  "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>"
                  "<|im_end|>\n");
}

/* `shows_thinking`: the reply is behind the last question. */
static void vl_reply(struct render *r, const struct chat_message *m, bool shows_thinking)
{
    const struct render_reply reply = render_split_reply(m);
    const bool is_last = m == render_last(r);
    const bool has_block = shows_thinking && (reply.thinking.n > 0 || (is_last && r->thinks));
    render_put(r, "<|im_start|>assistant\n");
    if (has_block) {
        render_put(r, "<think>\n");
        render_put_text(r, reply.thinking);
        render_put(r, reply.content.n > 0 ? "\n</think>\n\n" : "");
    }
    render_put_text(r, reply.content);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        render_put(r, i > 0 || reply.content.n > 0 ? "\n" : "");
        render_put(r, "<tool_call>\n{\"name\": ");
        render_string(r, m->calls[i].name, &render_spaced);
        render_put(r, ", \"arguments\": ");
        render_arguments(r, &m->calls[i], &render_spaced);
        render_put(r, "}\n</tool_call>");
    }
    r->n_tags += m->n_images;
    render_put(r, is_last ? "" : "<|im_end|>\n");
}

oll_status render_qwen3_vl(struct render *r)
{
    const int64_t query = render_last_query(r);
    const bool has_query = query >= 0;
    bool in_results = false;
    if (r->variant == RENDER_THINKING)
        r->thinks = r->c->think != OLL_THINK_OFF;
    vl_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "tool")) {
            render_xml_result(r, m, &in_results);
            continue;
        }
        render_xml_results_end(r, &in_results);
        if (render_is(m, "user") || render_is(m, "system"))
            put_turn(r, m->role, m, false);
        else if (render_is(m, "assistant"))
            vl_reply(r, m, has_query && i > query);
        else
            r->n_tags += m->n_images;
    }
    render_xml_results_end(r, &in_results);
    if (!render_is(render_last(r), "assistant"))
        render_put(r, r->thinks ? "<|im_start|>assistant\n<think>\n" : "<|im_start|>assistant\n");
    return OLL_OK;
}

/* ---- qwen3.5, qwen3.8, ornith ---- */

static void put_tools(struct render *r)
{
    render_put(r, "# Tools\n\nYou have access to the following functions:\n\n<tools>");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_put(r, "\n");
        render_tool(r, t, &render_spaced);
    }
    render_put(r, "\n</tools>\n\n");
    render_put(r, render_xml_rules);
}

static void q35_system(struct render *r)
{
    const struct chat_message *system = render_leading_system(r);
    if (!render_first_tool(r)) {
        if (system)
            put_turn(r, "system", system, true);
        return;
    }
    render_put(r, "<|im_start|>system\n");
    put_tools(r);
    if (system && !render_is_blank(system->content)) {
        render_put(r, "\n\n");
        render_content(r, system, true);
    }
    render_put(r, "<|im_end|>\n");
}

/* What Qwen3.8 is told of the effort: nothing for the middle one, which `true` means too. */
static const char *effort_text(enum oll_think think)
{
    switch (think) {
    case OLL_THINK_OFF:
    case OLL_THINK_ON:
    case OLL_THINK_MEDIUM: return "";
    case OLL_THINK_LOW:
        return "Reasoning effort is set to low. Keep your thinking brief and focused, moving "
               "directly to the conclusion without unnecessary elaboration.";
    default:
        return "Reasoning effort is set to xhigh. Please think carefully through the task, "
               "validate key assumptions, consider plausible alternatives, and prioritize "
               "correctness, consistency, and clarity in the final answer.";
    }
}

static bool is_instruction(const struct chat_message *m)
{
    return render_is(m, "system") || render_is(m, "developer");
}

/* Effort, tools and all instructions of the conversation, with a blank line between. */
static void q38_system(struct render *r)
{
    static const char head[] = "<|im_start|>system\n";
    const size_t begin = r->out->len;
    render_put(r, head);
    render_put(r, effort_text(r->c->think));
    if (render_first_tool(r)) {
        render_put(r, r->out->len > begin + sizeof head - 1 ? "\n\n" : "");
        put_tools(r);
    }
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (!is_instruction(m) || render_is_blank(m->content))
            continue;
        render_put(r, r->out->len > begin + sizeof head - 1 ? "\n\n" : "");
        render_trimmed(r, m->content);
    }
    if (r->out->status == OLL_OK && r->out->len == begin + sizeof head - 1) {
        r->out->len = begin;
        r->out->data[begin] = '\0';
        return;
    }
    render_put(r, "<|im_end|>\n");
}

static void q35_reply(struct render *r, const struct chat_message *m, bool has_block)
{
    const struct render_reply reply = render_split_reply(m);
    const struct render_text content = render_trim(reply.content);
    render_put(r, "<|im_start|>assistant\n");
    if (has_block) {
        render_put(r, "<think>\n");
        render_put_text(r, render_trim(reply.thinking));
        render_put(r, "\n</think>\n\n");
    }
    render_put_text(r, content);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        if (i > 0 || content.n > 0)
            render_put(r, i > 0 ? "\n" : "\n\n");
        render_xml_call(r, &m->calls[i], false);
    }
    r->n_tags += m->n_images;
    render_put(r, m == render_last(r) ? "" : "<|im_end|>\n");
}

static void q35_messages(struct render *r, int64_t query)
{
    const bool is_38 = r->variant == RENDER_QWEN_38, keeps_all = r->variant != RENDER_PLAIN;
    bool in_results = false;
    for (uint32_t i = !is_38 && render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "tool")) {
            render_xml_result(r, m, &in_results);
            continue;
        }
        render_xml_results_end(r, &in_results);
        if (render_is(m, "user") || (render_is(m, "system") && !is_38))
            put_turn(r, m->role, m, true);
        else if (render_is(m, "assistant"))
            q35_reply(r, m, keeps_all || (query >= 0 && i > query));
        else
            r->n_tags += m->n_images;
    }
    render_xml_results_end(r, &in_results);
}

oll_status render_qwen35(struct render *r)
{
    const int64_t query = render_last_query(r);
    if (r->variant == RENDER_QWEN_38) {
        if (r->c->n_messages == 0)
            return OLL_FAIL(r->err, OLL_ERR_ARG, "no messages provided");
        if (query < 0)
            return OLL_FAIL(r->err, OLL_ERR_ARG, "no user query found in messages");
        q38_system(r);
    } else {
        q35_system(r);
    }
    q35_messages(r, query);
    if (!render_is(render_last(r), "assistant"))
        render_put(r, r->c->think == OLL_THINK_OFF
                          ? "<|im_start|>assistant\n<think>\n\n</think>\n\n"
                          : "<|im_start|>assistant\n<think>\n");
    return OLL_OK;
}
