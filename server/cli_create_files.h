/* Bringing a model's files to where it is created: into the store without a copy, or to the server
 * (store-and-registry 10.5). */
#ifndef OLL_SERVER_CLI_CREATE_FILES_H
#define OLL_SERVER_CLI_CREATE_FILES_H

#include "registry/store_lock.h"
#include "server/cli_client.h"
#include "server/cli_progress.h"
#include "server/model_source.h"

struct cli_create_files {
    struct cli_client *client;
    struct cli_progress *progress;
    struct oll_store *store; /* that files can be linked into; NULL: none. Owned unless it is the
                                client's */
    struct oll_lease *lease; /* protects what was linked until the model names it */
    bool link_only;          /* set by the caller: nothing is copied or uploaded */
    bool linked;             /* then: a file and its blob are one now */
};

/* Finds out whether a store is at hand. */
void cli_create_files_open(struct cli_create_files *f, struct cli_client *client,
                           struct cli_progress *progress);
void cli_create_files_close(struct cli_create_files *f);
/* Hashes a file and brings it. */
oll_status cli_create_file(struct cli_create_files *f, struct model_source_file *file,
                           struct oll_error *err) OLL_MUST_USE;

#endif
