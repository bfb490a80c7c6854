/* From what a user calls a model to its file: a path to a GGUF file, or a name in the store. The
 * server never calls this with what a client sent. */
#ifndef OLL_SERVER_MODEL_PATH_H
#define OLL_SERVER_MODEL_PATH_H

#include "engine/base/status.h"

/* *path is released with oll_free. OLL_ERR_NOT_FOUND says what was looked for and how to get it. */
oll_status model_path_resolve(const char *model, char **path, struct oll_error *err) OLL_MUST_USE;

#endif
