/* Prompt: from a request to the tokens that the model is given, and to what its reply is split by.
 *
 * Rendered by the model's own template or renderer (engine/chat), tokenised, and cut to the window:
 * whole messages first, tokens when that is not enough. */
#ifndef OLL_ENGINE_PROMPT_H
#define OLL_ENGINE_PROMPT_H

#include "engine/chat/parser.h"
#include "engine/chat/style.h"
#include "engine/eval.h"
#include "engine/request.h"

enum { PROMPT_MAX_BYTES = 64 * 1024 * 1024 };

/* What the prompts of a model are made with. */
struct prompt_env {
    struct oll_model *model;
    const struct oll_tokenizer *tok;
    struct chat_model chat;
    uint32_t n_ctx;
};

struct prompt {
    struct oll_tokens tokens;
    uint32_t n_keep; /* leading tokens that stay when the window is shifted */
    bool truncated;
    bool has_parser;
    struct chat_parser_config parser; /* borrows from the style and from the request's arena */
    struct oll_tokens shown;          /* control tokens whose text the parser needs */
    struct chat_style style;
};

/* Memory that the result borrows comes from the request's arena. */
oll_status prompt_make(struct prompt *prompt, const struct prompt_env *env, struct request *r,
                       struct oll_error *err) OLL_MUST_USE;
void prompt_free(struct prompt *prompt);

/* The text alone, for render_only: cut like the prompt itself. */
oll_status prompt_render(const struct prompt_env *env, struct request *r, struct oll_strbuf *out,
                         struct oll_error *err) OLL_MUST_USE;

#endif
