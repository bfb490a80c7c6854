/* `oll pull` and `oll push`, and pulling for other commands. */
#ifndef OLL_SERVER_CLI_TRANSFER_H
#define OLL_SERVER_CLI_TRANSFER_H

#include "engine/base/status.h"

#include <stdbool.h>

struct cli_client;

/* Pulls a model through an open client, with progress on standard error. Ctrl-C is caught and ends
 * it with OLL_ERR_CANCELED (cli_client_release is the caller's); what came is kept. */
oll_status cli_transfer_pull(struct cli_client *client, const char *name, bool insecure,
                             struct oll_error *err) OLL_MUST_USE;

#endif
