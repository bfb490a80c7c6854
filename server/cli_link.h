/* GGUF files as models of the store, for commands beside `oll link`. */
#ifndef OLL_SERVER_CLI_LINK_H
#define OLL_SERVER_CLI_LINK_H

#include "registry/reference.h"

/* The name that a file gets: its stem as far as that can be a model's name. "./My Model.gguf" gives
 * "My-Model". */
void cli_link_name(const char *path, char out[OLL_NAME_PART_MAX + 1]);

/* Makes the file the model `name` of the store at hand, unless it is that already: without a copy,
 * and with one line on standard error where file and model share their bytes. False: it must be
 * used as a file, because it is none, because it cannot be linked (another disk, another owner,
 * another server's store), or because the name stands for something else. */
bool cli_link_file(const char *path, const char *name);

#endif
