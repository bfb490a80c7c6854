/* Prompts and replies over JSON, one object in, one out: behind `oll template render` and `parse`.
 *
 * A line says what is rendered (messages, tools, think; or system, prompt, suffix) and by what, one
 * of
 *     "name"      a built-in Go template
 *     "template"  the text of a Go template
 *     "jinja"     the text of a chat template ("bos_token", "eos_token"), the way of native models
 *     "renderer"  a built-in renderer ("date")
 *     "model"     a model, prompted as it would be in a chat
 * The first four render what the line says and no more: no think level by default. */
#ifndef OLL_CHAT_PROMPT_LINE_H
#define OLL_CHAT_PROMPT_LINE_H

#include "engine/chat/style.h"

/* A model as lines name it. */
struct chat_line_model {
    const struct chat_model *model;
    struct chat_source source;
};

/* Finds the models that lines name; what it gives lives as long as the reader. */
struct chat_line_models {
    oll_status (*find)(void *user, const char *name, struct chat_line_model *out,
                       struct oll_error *err);
    void *user;
    const char *default_name; /* for lines that name nothing; NULL: none */
};

/* Appends {"prompt": text}, or {"error": text} when the line or the rendering is at fault. Fails
 * only without memory. */
oll_status chat_prompt_line(const struct oll_json *line, const struct chat_line_models *models,
                            struct oll_strbuf *out) OLL_MUST_USE;

/* The same for a reply: {"chunks": [...]} with a parser by name or tags (parse_json.h), or with
 * "model" (then "messages" may say what the reply answers). Appends what chat_parse_chunks does. */
oll_status chat_reply_line(const struct oll_json *line, const struct chat_line_models *models,
                           struct oll_strbuf *out) OLL_MUST_USE;

#endif
