/* Renderer: writes the prompts of models whose format no template states.
 *
 * A renderer is named in the model's config (Modelfile RENDERER). One call turns a whole
 * conversation into the text of the prompt, generation prompt included:
 *
 *     const struct chat_renderer_facts *facts = chat_renderer_find("qwen3.5");   NULL: no such one
 *     struct chat_render_input input = {.conversation = &conversation};
 *     chat_renderer_render("qwen3.5", &input, &out, err)
 *
 * The formats are those of docs/templates.md ("Built-in renderers"); they are what Ollama's servers
 * write for these names (spec 5.3). Text of messages is put in as it is: markers inside it are not
 * escaped. Work and output are linear in the conversation, but for sorting by n log n. Nothing is
 * kept between calls; any thread may render. */
#ifndef OLL_CHAT_RENDERER_H
#define OLL_CHAT_RENDERER_H

#include "engine/chat/conversation.h"

struct chat_renderer_facts {
    const char *name;
    const char *bos;   /* how a tokeniser's BOS token is spelled at the start of prompts, "": not */
    bool has_tools;    /* shows tools to the model */
    bool has_thinking; /* its models can think; `think` then is on unless told otherwise */
    bool has_images;   /* writes a tag [img-N] for each image, N counting from 0 */
    bool continues;    /* an assistant's message at the end is left open, for the model to go on */
};

struct chat_render_input {
    const struct chat_conversation *conversation;
    const char *date; /* today as YYYY-MM-DD for formats that tell it; NULL: by the clock */
    const char
        *model; /* name of the model, by which "gemma4" tells its sizes apart; NULL: unknown */
    uint64_t n_params; /* of the model, for the same; 0: unknown */
};

/* By exact name; "deepseek3" means "deepseek3.1". NULL: there is none. */
const struct chat_renderer_facts *chat_renderer_find(const char *name);
/* The i-th of all, NULL behind the last. */
const struct chat_renderer_facts *chat_renderer_at(size_t i);

/* Appends the prompt. OLL_ERR_NOT_FOUND: unknown renderer; OLL_ERR_ARG: the date is none, or the
 * format cannot show such a conversation; OLL_ERR_LIMIT and OLL_ERR_MEMORY as the buffer says. On
 * failure `out` may hold a part of the prompt. */
oll_status chat_renderer_render(const char *name, const struct chat_render_input *input,
                                struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

/* Bytes at the start of a prompt (of this renderer, NULL: of any) that spell a BOS token: to be
 * left out when the tokeniser adds the token itself. */
size_t chat_renderer_bos_len(const char *name, const char *prompt);

#endif
