/* `oll pull` and `oll push`, and pulling for other commands. */
#ifndef OLL_SERVER_CLI_TRANSFER_H
#define OLL_SERVER_CLI_TRANSFER_H

#include "engine/base/status.h"

#include <stdbool.h>

/* Pulls a model into the store of this machine, whether a server runs or not, with progress on
 * standard error. Ctrl-C ends the process as it does otherwise; what came is kept. */
oll_status cli_pull_to_store(const char *name, bool insecure, struct oll_error *err) OLL_MUST_USE;

#endif
