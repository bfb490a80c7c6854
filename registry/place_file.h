/* A file of the user's that is whole or not there: it is written beside its place under a temporary
 * name, reaches the disk, and is renamed. Internal to registry/. */
#ifndef OLL_REGISTRY_PLACE_FILE_H
#define OLL_REGISTRY_PLACE_FILE_H

#include "engine/base/status.h"

#include <stdbool.h>

/* Writes the content to the descriptor. */
typedef oll_status (*place_file_fn)(void *user, int fd, struct oll_error *err);
/* OLL_ERR_EXISTS: there is such a file and `replace` is false. */
oll_status place_file_write(const char *path, bool replace, place_file_fn fill, void *user,
                            struct oll_error *err) OLL_MUST_USE;

#endif
