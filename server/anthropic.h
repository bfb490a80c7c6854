/* Handler of the Anthropic-compatible API (rest-api 7): anthropic.c (request and reply),
 * anthropic_messages.c (content blocks), anthropic_stream.c (events). Requests are mapped onto the
 * native chat, so that defaults and checks are the native ones. */
#ifndef OLL_SERVER_ANTHROPIC_H
#define OLL_SERVER_ANTHROPIC_H

#include "server/ollama_chat.h"

void anthropic_messages(struct http_request *req);

/* ---- between the files ---- */

enum anthropic_block { ANTHROPIC_NONE, ANTHROPIC_THINKING, ANTHROPIC_TEXT, ANTHROPIC_TOOL };

struct anthropic_call {
    struct ollama_chat_call chat; /* first */
    struct ollama_fields fields;
    uint64_t estimate; /* of the prompt's tokens, for the stream's first event */
    char id[32];
    /* Of the stream. */
    enum anthropic_block open; /* the block that is being sent */
    uint32_t index;            /* of the next block */
    bool begun, thought, called;
};

/* The system text and the messages of a request; *bytes grows by what the estimate counts. */
oll_status anthropic_read_messages(struct oll_arena *arena, const struct oll_json *system,
                                   const struct oll_json *messages, struct ollama_messages *out,
                                   uint64_t *bytes, struct oll_error *err) OLL_MUST_USE;

const char *anthropic_stop_reason(const struct oll_event *done, bool called);
/* For struct call_dialect: the events of a stream. */
bool anthropic_piece(struct ollama_call *call, const struct oll_event *event);

#endif
