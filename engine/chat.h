/* Chat: from messages to the text of the prompt.
 *
 * Knows the ChatML shape (<|im_start|>role ... <|im_end|>), which it recognises in the model's own
 * template together with the default system message that the template states. Other templates are
 * refused by name of the reason. */
#ifndef OLL_ENGINE_CHAT_H
#define OLL_ENGINE_CHAT_H

#include "engine/base/strbuf.h"
#include "engine/oll.h"

enum { CHAT_MAX_PROMPT_BYTES = 64 * 1024 * 1024 };

struct chat_template {
    bool present; /* there is a template at all */
    bool chatml;
    const char *default_system; /* in the template's text, not terminated; NULL: none */
    size_t n_default_system;
};

/* Reads what the template's text is; `jinja` may be NULL (no template) and is borrowed. */
void chat_template_read(struct chat_template *t, const char *jinja);

/* Appends the prompt of messages[0..n) up to where the assistant begins to speak.
 * OLL_ERR_UNSUPPORTED when the template is of another shape. */
oll_status chat_render(const struct chat_template *t, const struct oll_message *messages,
                       uint32_t n, struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

#endif
