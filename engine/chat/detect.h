/* Finds the built-in Go template that a Jinja template behaves like.
 *
 * Used once, when a model is created from files. Texts are not compared: both templates render two
 * short conversations, and equal prompts decide. A model that no built-in template fits keeps its
 * own Jinja template, which is what its makers meant. */
#ifndef OLL_CHAT_DETECT_H
#define OLL_CHAT_DETECT_H

#include "engine/base/strbuf.h"
#include "engine/chat/conversation.h"
#include "engine/chat/named_templates.h"

/* Appends what the Jinja template renders of the conversation with add_generation_prompt on,
 * bos_token "" and this eos_token. A template that raises or cannot be run fails. */
typedef oll_status (*chat_detect_render_fn)(void *context,
                                            const struct chat_conversation *conversation,
                                            const char *eos_token, struct oll_strbuf *out,
                                            struct oll_error *err);

/* *out is the first built-in template that fits, NULL when none does ("no matching template
 * found"). Fails only when there is no memory. */
oll_status chat_detect_named(chat_detect_render_fn render, void *context,
                             const struct named_template **out, struct oll_error *err) OLL_MUST_USE;

#endif
