/* Nemotron 3 Nano and 3.5 Nano: ChatML turns with the tool format of Qwen3-Coder, printed as Python
 * prints. */
#include "engine/chat/render_internal.h"

#include <string.h>

/* ---- /think and /no_think in the text (not in 3.5) ---- */

/* How long a switch at `s` is, 0: there is none. The tag </think> is no switch. */
static size_t switch_len(const char *s, bool *turns_on)
{
    *turns_on = strncmp(s, "/think", 6) == 0;
    if (*turns_on)
        return 6;
    return strncmp(s, "/no_think", 9) == 0 ? 9 : 0;
}

/* The text without its switches, into `clean`; says which ones there were. */
static void read_switches(const char *text, struct oll_strbuf *clean, bool *has_on, bool *has_off)
{
    *has_on = *has_off = false;
    for (const char *at = text; *at;) {
        bool turns_on;
        const size_t n = *at == '<' ? 0 : switch_len(at, &turns_on);
        if (n) {
            *(turns_on ? has_on : has_off) = true;
            at += n;
        } else if (strncmp(at, "</think>", 8) == 0) {
            oll_strbuf_add(clean, at, 8);
            at += 8;
        } else {
            oll_strbuf_addc(clean, *at++);
        }
    }
}

static bool has_switches(const struct render *r, const struct chat_message *m)
{
    return r->variant != RENDER_NEMOTRON_35 && (render_is(m, "user") || render_is(m, "system"));
}

/* The last message with a switch decides; the request's own `think` where there is none. */
static void read_think(struct render *r)
{
    struct oll_strbuf clean;
    oll_strbuf_init(&clean, r->out->max_bytes);
    r->thinks = r->c->think != OLL_THINK_OFF;
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        bool has_on, has_off;
        if (!has_switches(r, &r->c->messages[i]))
            continue;
        oll_strbuf_clear(&clean);
        read_switches(r->c->messages[i].content, &clean, &has_on, &has_off);
        if (has_on || has_off)
            r->thinks = has_on;
    }
    oll_strbuf_free(&clean);
}

static void put_content(struct render *r, const struct chat_message *m)
{
    struct oll_strbuf clean;
    bool has_on, has_off;
    if (!has_switches(r, m)) {
        render_content(r, m, false);
        return;
    }
    oll_strbuf_init(&clean, r->out->max_bytes);
    read_switches(m->content, &clean, &has_on, &has_off);
    render_tagged(r, clean.data, m->n_images, true);
    if (clean.status != OLL_OK && r->out->status == OLL_OK)
        r->out->status = clean.status;
    oll_strbuf_free(&clean);
}

/* ---- messages ---- */

static void put_system(struct render *r)
{
    const struct chat_message *system = render_leading_system(r);
    render_put(r, "<|im_start|>system\n");
    const size_t begin = r->out->len;
    if (system)
        put_content(r, system);
    if (render_first_tool(r)) {
        render_put(r, r->out->len > begin ? "\n\n" : "");
        render_xml_tools(r, true);
    }
    render_put(r, "<|im_end|>\n");
}

/* What a content holds behind its own <think> block. */
static struct render_text behind_block(struct render_text content)
{
    for (const char *end; (end = strstr(content.s, "</think>"));) {
        content.n -= (size_t)(end + 8 - content.s);
        content.s = end + 8;
    }
    return content;
}

/* Thinking of earlier turns is an empty block. A content with a block of its own is left as it is
 * in the current turn, and loses the block's text in earlier ones. A line end stands between
 * thinking and text. */
static void put_text(struct render *r, const struct chat_message *m, bool is_current)
{
    const bool is_35 = r->variant == RENDER_NEMOTRON_35;
    const bool has_tags = strstr(m->content, "<think>") || strstr(m->content, "</think>");
    struct render_text content = render_text_of(m->content);
    if (render_is_blank(m->thinking)) {
        if (has_tags && is_current) {
            render_put_text(r, render_trim(content));
            return;
        }
        render_put(r, "<think></think>");
        content = render_trim_tail(behind_block(content));
    } else {
        content = render_trim_tail(content);
        const bool has_line = !is_35 && content.n > 0 && (is_current || m->n_calls == 0);
        if (is_current)
            oll_strbuf_printf(r->out, "<think>\n%s%s", m->thinking, is_35 ? "" : "\n");
        render_put(r, is_current ? "</think>" : "<think></think>");
        render_put(r, has_line ? "\n" : "");
    }
    render_put_text(r, m->n_calls && !is_current ? render_trim(content) : content);
}

static void put_reply(struct render *r, const struct chat_message *m, bool is_current)
{
    render_put(r, "<|im_start|>assistant\n");
    put_text(r, m, is_current);
    render_put(r, m->n_calls ? "\n" : "");
    for (uint32_t i = 0; i < m->n_calls; i++) {
        render_xml_call(r, &m->calls[i], true);
        render_put(r, "\n");
    }
    r->n_tags += m->n_images;
    render_put(r, "<|im_end|>\n");
}

static void end_results(struct render *r, bool *is_open)
{
    if (*is_open)
        render_put(r, "\n");
    render_xml_results_end(r, is_open);
}

oll_status render_nemotron3(struct render *r)
{
    const int64_t last_user = render_last_user(r);
    bool in_results = false;
    read_think(r);
    put_system(r);
    for (uint32_t i = render_leading_system(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "tool")) {
            render_xml_result(r, m, &in_results);
            continue;
        }
        end_results(r, &in_results);
        if (render_is(m, "assistant")) {
            put_reply(r, m, i > last_user);
            continue;
        }
        oll_strbuf_printf(r->out, "<|im_start|>%s\n", m->role);
        put_content(r, m);
        render_put(r, "<|im_end|>\n");
    }
    end_results(r, &in_results);
    render_put(r, r->thinks ? "<|im_start|>assistant\n<think>\n"
                            : "<|im_start|>assistant\n<think></think>");
    return OLL_OK;
}
