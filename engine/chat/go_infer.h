/* What can be read off the tree of a Go template; internal to engine/chat/go_*.c. All results
 * belong to the arena. */
#ifndef OLL_CHAT_GO_INFER_H
#define OLL_CHAT_GO_INFER_H

#include "engine/chat/go_node.h"

/* Names of all fields and variables: lower case, sorted, unique. OLL_ERR_FORMAT when a template is
 * called without a pipeline, which Ollama does not accept. */
oll_status go_infer_variables(struct oll_arena *arena, const struct go_tree *tree,
                              const char *const **names, uint32_t *n_names,
                              struct oll_error *err) OLL_MUST_USE;

/* What stands before a tool call: the first text inside the first `if` that asks for .ToolCalls.
 * "{" when there is none. NULL: out of memory. */
const char *go_infer_tool_call_tag(struct oll_arena *arena, const struct go_node *root);

/* Texts around .Thinking of a message, both "" when one is missing. */
oll_status go_infer_thinking(struct oll_arena *arena, const struct go_node *root, const char **open,
                             const char **close, struct oll_error *err) OLL_MUST_USE;

/* The list without anything that follows the first .Response (go_cut.c): what is rendered of the
 * turn that the model is to continue. The tree itself stays as it is. */
oll_status go_cut(struct oll_arena *arena, const struct go_node *root, struct go_node **out,
                  struct oll_error *err) OLL_MUST_USE;

#endif
