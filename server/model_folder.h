/* Which files of a folder make a model (store-and-registry 9.7). Internal to model_source.c. */
#ifndef OLL_SERVER_MODEL_FOLDER_H
#define OLL_SERVER_MODEL_FOLDER_H

#include "server/model_source.h"

/* Adds the files of a folder, named by their path within it. */
oll_status model_folder_add(struct model_source *source, struct oll_arena *arena,
                            const char *folder, enum model_source_group group,
                            struct oll_error *err) OLL_MUST_USE;
/* model_source.c */
oll_status model_source_add(struct model_source *source, struct oll_arena *arena,
                            const struct model_source_file *file,
                            struct oll_error *err) OLL_MUST_USE;

#endif
