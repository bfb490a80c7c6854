/* From what a user calls a model to its file: a path to a GGUF file, or a name in the store. The
 * server never calls this with what a client sent. */
#ifndef OLL_SERVER_MODEL_PATH_H
#define OLL_SERVER_MODEL_PATH_H

#include "registry/catalog.h"

#include <stdbool.h>

struct model_entry {
    char *path;                     /* of the weights */
    char *adapter_path;             /* of its adapter; NULL: none */
    bool is_stored;                 /* else a plain file: what follows is zero */
    struct oll_stored_model stored; /* its template, system text, parameters ... */
    struct oll_arena arena;
};

/* Whether a word says "file" rather than "name". */
bool model_is_path(const char *model);
/* OLL_ERR_NOT_FOUND says what was looked for and how to get it. */
oll_status model_entry_find(const char *model, struct model_entry *out,
                            struct oll_error *err) OLL_MUST_USE;
/* A name of the store alone, also where a file is called so. */
oll_status model_entry_find_name(const char *model, struct model_entry *out,
                                 struct oll_error *err) OLL_MUST_USE;
void model_entry_free(struct model_entry *entry); /* also after a failure */

/* The path alone; *path is released with oll_free. */
oll_status model_path_resolve(const char *model, char **path, struct oll_error *err) OLL_MUST_USE;

#endif
