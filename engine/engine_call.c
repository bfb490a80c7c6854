/* Forced tool calls: which format the model calls in. */
#include "engine/engine_internal.h"

#include "engine/chat/call_constraint.h"

oll_status engine_call_program(struct oll_engine *e, const struct oll_request *ask,
                               struct oll_constraint_program **out, struct oll_error *err)
{
    const struct chat_source source = {.request_template = ask->template_text,
                                       .model_template = ask->model_template,
                                       .renderer = ask->renderer,
                                       .parser = ask->parser,
                                       .model_name = ask->model_name,
                                       .prefer = ask->prefer_template};
    struct chat_style style = {0};
    *out = NULL;
    if (ask->format_json || ask->grammar)
        return OLL_FAIL(err, OLL_ERR_ARG, "a format and a forced tool call exclude each other");
    OLL_TRY(chat_style_choose(&e->prompt_env.chat, &source, &style, err));
    oll_status status = chat_call_constraint(style.parser, style.tag, ask->tools_json,
                                             ask->forced_tool, e->env.tok, out, err);
    chat_style_free(&style);
    return status;
}
