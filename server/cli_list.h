/* The table of `oll list`, for the chat, too. */
#ifndef OLL_SERVER_CLI_LIST_H
#define OLL_SERVER_CLI_LIST_H

#include "server/cli_client.h"

/* Models whose name begins so, whatever its case. */
oll_status cli_list_print(struct cli_client *client, const char *prefix,
                          struct oll_error *err) OLL_MUST_USE;

#endif
