/* Shapes of tool calls: the text that a model writes for one call, so that a call can be forced.
 *
 * Such a call is
 *     before ARGUMENTS close
 * with the tool's name inside `before`, and the arguments as one JSON document or member by member
 * as the format has it. */
#ifndef OLL_CHAT_CALL_SHAPE_H
#define OLL_CHAT_CALL_SHAPE_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/base/strbuf.h"
#include "sampler/json_schema.h"

#include <stdbool.h>

struct chat_call_shape {
    const char *before; /* byte 1 stands for the name, byte 2 for the name as a JSON string */
    const char *close;
    const struct json_arguments *arguments;
    /* Formats whose replies are messages with headers: the shape is the whole reply, and a message
     * of thinking may come before it. */
    bool is_message;
    const char *free_open, *free_mark, *free_close; /* of that message; NULL: there is none */
    bool harmony_names;                             /* the model knows tools by other names */
};

/* Of a built-in parser, or of the generic one with this tag where `parser` is NULL. NULL: the
 * format has no calls. */
const struct chat_call_shape *chat_call_shape_of(const char *parser, const char *tag);

/* Appends what stands before the arguments of a call. `tag` is the generic one, put in front where
 * it is more than a bracket; NULL: none. */
void chat_call_shape_before(const struct chat_call_shape *shape, const char *tag, const char *name,
                            struct oll_strbuf *out);

/* The types that a tool's function (its JSON) declares for a parameter, as raw text is read by
 * them: bits of enum json_declared. A json_arguments.declared. */
unsigned chat_declared_types(void *function, const char *name, size_t n);

#endif
