/* Where beginnings of prompts are kept beyond the life of a model's process, as the environment has
 * it (OLL_PREFIX_CACHE_DIR, OLL_PREFIX_CACHE_SIZE). */
#ifndef OLL_SERVER_PREFIX_CACHE_H
#define OLL_SERVER_PREFIX_CACHE_H

#include "engine/oll.h"

#include <stddef.h>

/* Fills in the folder and its limit; `folder` [n] holds the text as long as params are used. A size
 * that cannot be read is said, and the default is taken. */
void prefix_cache_settings(struct oll_engine_params *params, char *folder, size_t n);

#endif
