/* Making a model of one file, for commands beside `oll create`. */
#ifndef OLL_SERVER_CLI_CREATE_H
#define OLL_SERVER_CLI_CREATE_H

#include "engine/base/status.h"

#include <stdbool.h>

/* As a Modelfile with the one line FROM <path>; the file is linked into the store where that can be
 * done. `local`: without a server. */
oll_status cli_create_from_file(const char *name, const char *path, bool local,
                                struct oll_error *err) OLL_MUST_USE;

#endif
