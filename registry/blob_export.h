/* A blob as a file of the user's: a clone where the file system can share blocks, else a copy. It
 * is hashed on the way, reaches the disk, and only then gets its name. */
#ifndef OLL_REGISTRY_BLOB_EXPORT_H
#define OLL_REGISTRY_BLOB_EXPORT_H

#include "registry/blob_store.h"

struct oll_export {
    const struct oll_store *store;
    struct oll_digest digest;
    const char *path;                                 /* of the new file */
    bool replace;                                     /* a file that has this name */
    void (*progress)(void *user, uint64_t completed); /* may be NULL */
    bool (*canceled)(void *user);                     /* may be NULL */
    void *user;
};

/* OLL_ERR_EXISTS: there is such a file. OLL_ERR_DIGEST: the blob is damaged; no file is made. */
oll_status oll_blob_export(const struct oll_export *config, uint64_t *n_bytes,
                           struct oll_error *err) OLL_MUST_USE;

#endif
