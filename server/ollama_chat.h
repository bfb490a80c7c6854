/* Chat as every dialect runs it: the native /api/chat (ollama_chat.c) and those that are mapped
 * onto it (openai_chat.c, openai_responses.c, anthropic.c). */
#ifndef OLL_SERVER_OLLAMA_CHAT_H
#define OLL_SERVER_OLLAMA_CHAT_H

#include "server/ollama_call.h"

struct ollama_chat_call {
    struct ollama_call call; /* first: a dialect's functions find their own struct behind it */
    struct ollama_messages messages;
    const char *tools_json; /* NULL: none */
};

/* Takes over a decoded request; `fields` must outlive the call. False: it has been answered. */
bool ollama_chat_begin(struct ollama_chat_call *c, struct http_request *req,
                       const struct call_dialect *dialect, const struct ollama_fields *fields,
                       const struct ollama_messages *messages, const char *tools_json);
/* From the checks of the model to the end of the reply; ollama_call_end follows. */
void ollama_chat_answer(struct ollama_chat_call *c);

#endif
