/* Making a model of one file, for commands beside `oll create`. */
#ifndef OLL_SERVER_CLI_CREATE_H
#define OLL_SERVER_CLI_CREATE_H

#include "engine/base/status.h"

#include <stdbool.h>

/* As a Modelfile with the one line FROM <path>; the file is linked into the store where that can be
 * done. `local`: without a server. */
oll_status cli_create_from_file(const char *name, const char *path, bool local,
                                struct oll_error *err) OLL_MUST_USE;
/* The same, but never by a copy, and shown on terminals alone while it runs. OLL_ERR_UNSUPPORTED:
 * the file cannot be linked. *linked: file and model are one now, which the user must be told. */
oll_status cli_create_by_link(const char *name, const char *path, bool *linked,
                              struct oll_error *err) OLL_MUST_USE;

#endif
