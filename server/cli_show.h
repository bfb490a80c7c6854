/* What `oll show` prints of a reply of /api/show, for the chat, too. */
#ifndef OLL_SERVER_CLI_SHOW_H
#define OLL_SERVER_CLI_SHOW_H

#include "engine/base/json.h"

void cli_show_print(const struct oll_json *root, bool verbose, struct oll_arena *arena);

#endif
