/* Pictures and sounds that a prompt names by path (cli-and-scheduler 4.4). */
#ifndef OLL_SERVER_CLI_IMAGES_H
#define OLL_SERVER_CLI_IMAGES_H

#include "engine/base/status.h"

#include <stdbool.h>

/* Finds the first path of an existing file of these kinds in a text; true with the place of its
 * words in [*start, *end) and the file's name in *path (released with oll_free). */
bool cli_images_find(const char *text, const char **start, const char **end, char **path);

/* Takes the paths out of a prompt and reads their files. *text and *images (a JSON array of base64
 * texts, NULL when there are none) are released with oll_free. Announces each on standard error. */
oll_status cli_images_take(const char *prompt, char **text, char **images,
                           struct oll_error *err) OLL_MUST_USE;

#endif
