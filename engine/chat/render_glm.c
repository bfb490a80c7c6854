/* GLM 4.7 and GLM-OCR, Laguna and Poolside: calls as pairs of <arg_key> and <arg_value>. */
#include "engine/chat/render_internal.h"

#include <string.h>

/* NAME and its pairs; `line` stands behind the name and each tag that closes. */
static void put_call(struct render *r, const struct chat_call *call, const char *line,
                     const struct render_json *json)
{
    const struct render_value style = {.json = *json};
    oll_strbuf_printf(r->out, "<tool_call>%s%s", call->name, line);
    for (const struct oll_json *a = call->arguments->first; a; a = a->next) {
        render_put(r, "<arg_key>");
        oll_strbuf_add(r->out, a->key, a->key_len);
        oll_strbuf_printf(r->out, "</arg_key>%s<arg_value>", line);
        render_value(r, a, &style);
        oll_strbuf_printf(r->out, "</arg_value>%s", line);
    }
    oll_strbuf_printf(r->out, "</tool_call>%s", line);
}

static void put_tool_lines(struct render *r)
{
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_tool(r, t, &render_spaced);
        render_put(r, "\n");
    }
}

/* ---- glm-4.7, glm-ocr ---- */

static void glm_tools(struct render *r)
{
    render_put(r, "[gMASK]<sop>");
    if (!render_first_tool(r))
        return;
    render_put(r, "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the "
                  "user query.\n\nYou are provided with function signatures within <tools></tools> "
                  "XML tags:\n<tools>\n");
    put_tool_lines(r);
    render_put(r, "</tools>\n\nFor each function call, output the function name and arguments "
                  "within the following XML format:\n<tool_call>{function-name}<arg_key>{arg-key-1}"
                  "</arg_key><arg_value>{arg-value-1}</arg_value><arg_key>{arg-key-2}</arg_key>"
                  "<arg_value>{arg-value-2}</arg_value>...</tool_call>");
}

oll_status render_glm47(struct render *r)
{
    bool in_results = false;
    glm_tools(r);
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "system") || render_is(m, "user")) {
            oll_strbuf_printf(r->out, "<|%s|>%s", m->role, m->content);
        } else if (render_is(m, "assistant")) {
            oll_strbuf_printf(r->out, "<|assistant|>%s%s</think>%s",
                              m->thinking[0] ? "<think>" : "", m->thinking, m->content);
            for (uint32_t k = 0; k < m->n_calls; k++)
                put_call(r, &m->calls[k], "", &render_compact);
        } else if (render_is(m, "tool")) {
            oll_strbuf_printf(r->out, "%s<tool_response>%s</tool_response>",
                              in_results ? "" : "<|observation|>", m->content);
        }
        in_results = render_is(m, "tool");
    }
    render_put(r, r->c->think == OLL_THINK_OFF ? "<|assistant|></think>" : "<|assistant|><think>");
    return OLL_OK;
}

static void ocr_reply(struct render *r, const struct chat_message *m)
{
    const struct render_text content = render_trim(render_text_of(m->content));
    oll_strbuf_printf(r->out, "<|assistant|>\n<think>%s</think>\n", m->thinking);
    render_put_text(r, content);
    render_put(r, content.n > 0 ? "\n" : "");
    for (uint32_t i = 0; i < m->n_calls; i++) {
        put_call(r, &m->calls[i], "", &render_compact);
        render_put(r, "\n");
    }
    r->n_tags += m->n_images;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

oll_status render_glm_ocr(struct render *r)
{
    const bool is_off = r->c->think == OLL_THINK_OFF;
    bool in_results = false;
    glm_tools(r);
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "assistant")) {
            ocr_reply(r, m);
        } else if (render_is(m, "system") || render_is(m, "user")) {
            oll_strbuf_printf(r->out, "<|%s|>\n", m->role);
            render_content(r, m, false);
            if (render_is(m, "system"))
                render_put(r, "\n");
            else if (is_off && !ends_with(m->content, "/nothink"))
                render_put(r, "/nothink");
        } else if (render_is(m, "tool")) {
            render_put(r,
                       in_results ? "\n<tool_response>\n" : "<|observation|>\n<tool_response>\n");
            render_content(r, m, false);
            render_put(r, "\n</tool_response>\n");
        } else {
            r->n_tags += m->n_images;
        }
        in_results = render_is(m, "tool");
    }
    render_put(r, is_off ? "<|assistant|>\n<think></think>\n" : "<|assistant|>\n");
    return OLL_OK;
}

/* ---- laguna, poolside-v1 ---- */

#define POOLSIDE_BOS "〈|EOS|〉"

static const char poolside_about[] =
    "You are a helpful, conversationally-fluent assistant made by Poolside. You are here to be "
    "helpful to users through natural language conversations.";

static void poolside_tools(struct render *r)
{
    render_put(r, "\n\n### Tools\n\nYou may call functions to assist with the user query.\n"
                  "All available function signatures are listed below:\n<available_tools>\n");
    put_tool_lines(r);
    render_put(r, "</available_tools>");
}

/* Text of the leading system turn; "": there is none to be shown. */
static const char *poolside_text(const struct render *r)
{
    const struct chat_message *system = render_leading_system(r);
    const char *text = system ? system->content : poolside_about;
    return render_is_blank(text) ? "" : text;
}

static void laguna_system(struct render *r)
{
    const char *text = poolside_text(r);
    render_put(r, POOLSIDE_BOS);
    if (!text[0] && !render_first_tool(r))
        return;
    oll_strbuf_printf(r->out, "<system>\n%s%s", text[0] ? "\n" : "", text);
    if (render_first_tool(r)) {
        poolside_tools(r);
        render_put(r, r->thinks ? "\n\nWrap your thinking in '<think>', '</think>' tags, followed "
                                  "by a function call. For each function call, return an unescaped "
                                : "\n\nFor each function call, return an unescaped ");
        render_put(r, "XML-like object with function name and arguments within '<tool_call>' and "
                      "'</tool_call>' tags, like here:\n");
        render_put(r, r->thinks ? "<think> your thoughts here </think>\n" : "");
        render_put(r, "<tool_call>function-name\n<arg_key>argument-key</arg_key>\n"
                      "<arg_value>value-of-argument-key</arg_value>\n</tool_call>");
    }
    render_put(r, "\n</system>\n");
}

static void laguna_reply(struct render *r, const struct chat_message *m)
{
    const struct render_text thinking = render_trim(render_text_of(m->thinking)),
                             content = render_trim(render_text_of(m->content));
    render_put(r, thinking.n > 0 ? "<assistant>\n<think>\n" : "<assistant>\n");
    render_put_text(r, thinking);
    render_put(r, thinking.n > 0 ? "\n</think>\n" : "</think>\n");
    render_put_text(r, content);
    render_put(r, content.n > 0 ? "\n" : "");
    for (uint32_t i = 0; i < m->n_calls; i++)
        put_call(r, &m->calls[i], "\n", &render_spaced);
    render_put(r, m == render_last(r) ? "" : "</assistant>\n");
}

oll_status render_laguna(struct render *r)
{
    laguna_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "system") || render_is(m, "user"))
            oll_strbuf_printf(r->out, "<%s>\n%s\n</%s>\n", m->role, m->content, m->role);
        else if (render_is(m, "assistant"))
            laguna_reply(r, m);
        else if (render_is(m, "tool"))
            oll_strbuf_printf(r->out, "<tool_response>\n%s\n</tool_response>\n", m->content);
    }
    if (!render_is(render_last(r), "assistant"))
        render_put(r, r->thinks ? "<assistant>\n<think>" : "<assistant>\n</think>");
    return OLL_OK;
}

static void poolside_system(struct render *r)
{
    const char *text = poolside_text(r);
    render_put(r, POOLSIDE_BOS);
    if (!text[0] && !render_first_tool(r))
        return;
    oll_strbuf_printf(r->out, "<system>%s", text);
    if (render_first_tool(r))
        poolside_tools(r);
    render_put(r, "</system>\n");
}

oll_status render_poolside(struct render *r)
{
    poolside_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "system") || render_is(m, "user")) {
            oll_strbuf_printf(r->out, "<%s>%s</%s>\n", m->role, m->content, m->role);
        } else if (render_is(m, "assistant")) {
            oll_strbuf_printf(r->out, "<assistant>%s%s</think>%s", m->thinking[0] ? "<think>" : "",
                              m->thinking, m->content);
            for (uint32_t k = 0; k < m->n_calls; k++)
                put_call(r, &m->calls[k], "", &render_spaced);
            render_put(r, "</assistant>\n");
        } else if (render_is(m, "tool")) {
            oll_strbuf_printf(r->out, "<tool_response>%s</tool_response>\n", m->content);
        }
    }
    render_put(r, r->thinks ? "<assistant><think>" : "<assistant></think>");
    return OLL_OK;
}
