/* API keys: who may talk to a server that others can reach (security rule R21).
 *
 * A file with one key per line; blank lines and those that begin with '#' are left out. Keys are
 * kept and compared as their SHA-256, so the time of a comparison tells nothing about them. */
#ifndef OLL_SERVER_KEYS_H
#define OLL_SERVER_KEYS_H

#include "engine/base/status.h"

#include <stdbool.h>

struct keys;

/* OLL_ERR_FORMAT: a line that is no key (shorter than 16 characters, blanks or control characters
 * inside), by its number; a file that holds none. */
oll_status keys_read(const char *path, struct keys **out, struct oll_error *err) OLL_MUST_USE;
void keys_free(struct keys *keys); /* NULL is accepted */

/* Whether the value of an Authorization header ("Bearer KEY") or of x-api-key (KEY) is one of them;
 * NULL: not sent. Any thread. */
bool keys_allow(const struct keys *keys, const char *authorization, const char *api_key);

#endif
