/* Forced tool calls: the constraint of one call in the model's own format, with the arguments of
 * each tool by its schema. */
#ifndef OLL_CHAT_CALL_CONSTRAINT_H
#define OLL_CHAT_CALL_CONSTRAINT_H

#include "sampler/constraint.h"

/* `parser`, `tag`: the format, as in chat_call_shape_of. `forced_tool` NULL: any of the tools.
 * OLL_ERR_UNSUPPORTED: the format has no calls, or cannot write what a schema asks for;
 * OLL_ERR_ARG: there is no such tool, or its parameters are no schema. */
oll_status chat_call_constraint(const char *parser, const char *tag, const char *tools_json,
                                const char *forced_tool, const struct oll_tokenizer *tok,
                                struct oll_constraint_program **out,
                                struct oll_error *err) OLL_MUST_USE;

#endif
