/* The folder of models (OLLAMA_MODELS), as real Ollama lays it out, so that both can use it:
 *
 *   manifests/<host>/<namespace>/<model>/<tag>   one JSON document per name
 *   blobs/sha256-<64 hex>                        content, named by its own SHA-256
 *
 * Nothing below the root is reached through a symbolic link (R11), and blob_file_name is the only
 * place that forms the name of a blob (R10). A folder that does not exist is an empty store. Any
 * thread may read. */
#ifndef OLL_REGISTRY_BLOB_STORE_H
#define OLL_REGISTRY_BLOB_STORE_H

#include "registry/digest.h"

#include <stdbool.h>
#include <stdint.h>

struct oll_store;

oll_status oll_store_new(const char *path, struct oll_store **out,
                         struct oll_error *err) OLL_MUST_USE;
void oll_store_free(struct oll_store *store); /* NULL is accepted */
const char *oll_store_path(const struct oll_store *store);

/* Opens a folder below the root, component by component; *fd is closed by the caller. */
oll_status oll_store_open_dir(const struct oll_store *store, const char *const *parts, int n_parts,
                              int *fd, struct oll_error *err) OLL_MUST_USE;

/* Path of a blob that is present as a regular file; *path is released with oll_free. The error
 * names the digest, not the path. */
oll_status oll_blob_path(const struct oll_store *store, const struct oll_digest *digest,
                         char **path, struct oll_error *err) OLL_MUST_USE;
/* Content of a small blob; *data is terminated and released with oll_free. */
oll_status oll_blob_read(const struct oll_store *store, const struct oll_digest *digest,
                         uint64_t max_bytes, char **data, uint64_t *n_bytes,
                         struct oll_error *err) OLL_MUST_USE;

#endif
