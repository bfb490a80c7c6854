/* Messages as Go templates see them: neighbours of one role merged, system texts gathered. */
#ifndef OLL_CHAT_COLLATE_H
#define OLL_CHAT_COLLATE_H

#include "engine/chat/conversation.h"

struct chat_collated {
    const struct chat_message *messages; /* system messages stay among them */
    uint32_t n_messages;
    const char *system; /* all system texts, joined by a blank line; never NULL */
};

/* A message with the role of the one before it is appended to it with a blank line between, except
 * for role "tool". Only content is merged: calls, thinking, images and names of the later one are
 * dropped, as in Ollama. New texts belong to the arena, others are borrowed. */
oll_status chat_collate(struct oll_arena *arena, const struct chat_message *messages, uint32_t n,
                        struct chat_collated *out, struct oll_error *err) OLL_MUST_USE;

#endif
