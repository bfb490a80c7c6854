/* Shapes of tool calls: the text that a model writes for one call, so that a call can be forced.
 *
 * Known for the formats whose arguments are JSON. Such a call is
 *     open NAME between ARGUMENTS close
 * with NAME as it is or, where it stands in JSON, as a string. */
#ifndef OLL_CHAT_CALL_SHAPE_H
#define OLL_CHAT_CALL_SHAPE_H

#include "engine/base/strbuf.h"

#include <stdbool.h>

struct chat_call_shape {
    const char *open, *between, *close;
    bool is_json; /* NAME is a JSON string */
};

/* Of a built-in parser, or of the generic one with this tag where `parser` is NULL. NULL: the
 * format has another syntax, or no calls. */
const struct chat_call_shape *chat_call_shape_of(const char *parser, const char *tag);

/* Appends what stands before the arguments of a call. `tag` is the generic one, put in front where
 * it is more than a bracket; NULL: none. */
void chat_call_shape_before(const struct chat_call_shape *shape, const char *tag, const char *name,
                            struct oll_strbuf *out);

#endif
