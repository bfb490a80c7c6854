#include "engine/chat.h"

#include <string.h>

void chat_template_read(struct chat_template *t, const char *jinja)
{
    static const char opening[] = "<|im_start|>system\n", closing[] = "<|im_end|>";
    *t = (struct chat_template){.present = jinja != NULL};
    if (!jinja || !strstr(jinja, "<|im_start|>") || !strstr(jinja, closing))
        return;
    t->chatml = true;
    /* A template that adds a system message of its own holds it as a literal after the opening tag;
     * one that inserts the conversation's goes on with an expression or the end of the string. */
    for (const char *at = strstr(jinja, opening); at; at = strstr(at + 1, opening)) {
        const char *begin = at + strlen(opening), *end = strstr(begin, closing);
        size_t n = end ? (size_t)(end - begin) : 0;
        if (n > 0 && !memchr(begin, '\'', n) && !memchr(begin, '{', n) && !memchr(begin, '"', n)) {
            t->default_system = begin;
            t->n_default_system = n;
            return;
        }
    }
}

static void add_message(struct oll_strbuf *out, const char *role, const char *content, size_t n)
{
    oll_strbuf_printf(out, "<|im_start|>%s\n", role);
    oll_strbuf_add(out, content, n);
    oll_strbuf_adds(out, "<|im_end|>\n");
}

oll_status chat_render(const struct chat_template *t, const struct oll_message *messages,
                       uint32_t n, struct oll_strbuf *out, struct oll_error *err)
{
    if (!t->chatml)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "the model's chat template is not of the ChatML shape, the only one "
                        "supported so far: send "
                        "a raw prompt instead");
    if (t->default_system && (n == 0 || strcmp(messages[0].role, "system") != 0))
        add_message(out, "system", t->default_system, t->n_default_system);
    for (uint32_t i = 0; i < n; i++)
        add_message(out, messages[i].role, messages[i].content, strlen(messages[i].content));
    oll_strbuf_adds(out, "<|im_start|>assistant\n");
    if (out->status != OLL_OK)
        return OLL_FAIL(err, out->status, "the prompt is longer than %d MiB",
                        CHAT_MAX_PROMPT_BYTES / (1024 * 1024));
    return OLL_OK;
}
