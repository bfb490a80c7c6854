/* Names of tools in harmony prompts (gpt-oss): the model knows tools as members of a TypeScript
 * namespace, so their names are made identifiers before the prompt is written, and the names in its
 * calls are mapped back (the parser does that itself). */
#ifndef OLL_CHAT_HARMONY_NAME_H
#define OLL_CHAT_HARMONY_NAME_H

#include "engine/chat/conversation.h"

/* What the prompt shall call each of `names`, in their order: white space, '-' and '.' become '_';
 * letters, digits, '_' and '$' stay, all else goes; a leading digit gets '_' in front, an empty
 * name is "unnamed", the second of equal ones gets "_2". Built-in names (browser.open,
 * browser.search, browser.find, python) stay as they are. NULL when the arena has failed. The
 * prompt's tools and the calls of earlier turns are to be shown under these names. */
const char *const *chat_harmony_names(struct oll_arena *arena, const char *const *names, size_t n);

/* The conversation as a harmony prompt shows it: tools and calls by those names, and a think level
 * of "max" as "high". *out shares what did not change with `in` and lives in the arena. */
oll_status chat_harmony_conversation(struct oll_arena *arena, const struct chat_conversation *in,
                                     struct chat_conversation *out,
                                     struct oll_error *err) OLL_MUST_USE;

#endif
