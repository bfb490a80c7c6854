/* Split: from the text of a reply to events: content, thinking, tool calls.
 *
 * Without a parser every piece of text is content. Events wait here until they are taken; those of
 * one kind that follow each other are joined. Owned by the engine thread. */
#ifndef OLL_ENGINE_SPLIT_H
#define OLL_ENGINE_SPLIT_H

#include "engine/chat/parser.h"

struct split {
    struct chat_parser *parser; /* NULL: all is content */
    struct oll_event *events;
    uint32_t n_events, cap_events;
    bool out_of_memory; /* an event was lost */
};

/* `config` NULL: no parser; its callback and user are set here. The split must not move. */
oll_status split_init(struct split *split, const struct chat_parser_config *config,
                      struct oll_error *err) OLL_MUST_USE;
void split_free(struct split *split);

/* OLL_ERR_FORMAT: the model broke the format of its tool calls; OLL_ERR_MEMORY, OLL_ERR_LIMIT. */
oll_status split_text(struct split *split, const char *text, size_t n,
                      struct oll_error *err) OLL_MUST_USE;
oll_status split_finish(struct split *split, struct oll_error *err) OLL_MUST_USE;
/* An event of its own at the end of the queue, NULL when there is no memory. */
struct oll_event *split_add(struct split *split, enum oll_event_kind kind);
/* Forgets the events; their memory has moved. */
void split_clear(struct split *split);

#endif
