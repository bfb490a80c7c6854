/* What the text of a chat template says about its model, and which of two templates is taken. */
#ifndef OLL_CHAT_CAPABILITIES_H
#define OLL_CHAT_CAPABILITIES_H

#include "engine/chat/go_template.h"

struct chat_capabilities {
    bool tools, insert, thinking;
    bool tool_round_trip; /* shows calls of the assistant and their results */
};

struct chat_capabilities chat_capabilities_of_go(const struct go_template *t);
/* From the text of a Jinja template alone, as Ollama does. */
struct chat_capabilities chat_capabilities_of_jinja(const char *text);

/* Whether a model that has both is prompted with its Jinja template: when that can do more, or the
 * same but with the results of tools, which the Go template then lacks. */
bool chat_prefers_jinja(const struct chat_capabilities *jinja, const struct chat_capabilities *go);

#endif
