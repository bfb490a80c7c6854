/* Thinking of earlier turns that stands inside the content (spec 6.5). */
#ifndef OLL_CHAT_HISTORY_H
#define OLL_CHAT_HISTORY_H

#include "engine/chat/conversation.h"

/* Whether the history of this model is to be filtered: family (GGUF architecture) qwen3, or a model
 * named deepseek-r1 (`name` without host, namespace and tag). Either may be NULL. */
bool chat_history_applies(const char *family, const char *name);

/* Takes <think>...</think> at the start of the content of each assistant message before the last
 * user message away, by the same rules as in a reply. *out shares what did not change with `in` and
 * lives in the arena. */
oll_status chat_history_filter(struct oll_arena *arena, const struct chat_conversation *in,
                               struct chat_conversation *out, struct oll_error *err) OLL_MUST_USE;

#endif
