/* A conversation as every prompt writer sees it: messages, tools, think level.
 *
 * One plain form for the Go templates, the Jinja templates and the built-in renderers. Arguments of
 * tool calls and the tools themselves stay JSON trees (engine/base/json.h), because templates print
 * them with their keys in the order in which the client sent them. All memory belongs to the arena
 * that was given; nothing here is changed after it was made. */
#ifndef OLL_CHAT_CONVERSATION_H
#define OLL_CHAT_CONVERSATION_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/oll.h"

struct chat_call {
    const char *id, *name;            /* never NULL, may be empty */
    int64_t index;                    /* as the client sent it, else 0 */
    const struct oll_json *arguments; /* an object */
};

struct chat_message {
    const char *role, *content; /* never NULL; content may be empty */
    const char *thinking;       /* never NULL, empty: none */
    const char *tool_name;      /* of a tool's result; never NULL, empty: none */
    const char *tool_call_id;   /* never NULL, empty: none */
    const struct chat_call *calls;
    uint32_t n_calls;
    uint32_t n_images;
};

struct chat_conversation {
    const struct chat_message *messages;
    uint32_t n_messages;
    const struct oll_json *tools; /* array of {"type": "function", "function": {...}}; NULL: none */
    enum oll_think think;
};

/* Reads {"messages": [...], "tools": [...], "think": true | false | "high"} in the forms of the
 * chat API (rest-api 3): tool calls are {"id"?, "function": {"index"?, "name", "arguments":
 * {...}}}. OLL_ERR_ARG names the member that has a wrong type. The tree must live as long as the
 * result. */
oll_status chat_conversation_from_json(struct oll_arena *arena, const struct oll_json *object,
                                       struct chat_conversation *out,
                                       struct oll_error *err) OLL_MUST_USE;

/* The same from the messages and tools of a request: the text of arguments and tools is parsed.
 * Strings are borrowed from the request. */
oll_status chat_conversation_from_request(struct oll_arena *arena,
                                          const struct oll_request *request,
                                          struct chat_conversation *out,
                                          struct oll_error *err) OLL_MUST_USE;

#endif
