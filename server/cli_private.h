/* A server for the length of one command, in this very process: it listens on a Unix socket in a
 * folder that its owner alone may enter, and says nothing. */
#ifndef OLL_SERVER_CLI_PRIVATE_H
#define OLL_SERVER_CLI_PRIVATE_H

#include "server/service.h"

struct cli_private;

/* `config.socket` is chosen here. Strings of the config outlive the server. */
oll_status cli_private_start(struct service_config config, struct cli_private **out,
                             struct oll_error *err) OLL_MUST_USE;
const char *cli_private_socket(const struct cli_private *server);
void cli_private_stop(struct cli_private *server); /* NULL is accepted */

#endif
