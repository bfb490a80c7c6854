/* Models in one file, for machines that reach no registry: an OCI image layout in a tar archive.
 *
 *   oci-layout                   {"imageLayoutVersion":"1.0.0"}
 *   index.json                   one manifest per name; the name in full is its annotation
 *                                org.opencontainers.image.ref.name
 *   blobs/sha256/<64 hex>        manifests and layers, each once
 *
 * Equal models make equal bytes. Reading needs no seek and takes entries in any order. */
#ifndef OLL_REGISTRY_ARCHIVE_H
#define OLL_REGISTRY_ARCHIVE_H

#include "registry/blob_store.h"
#include "registry/reference.h"

struct oll_archive {
    const struct oll_store *store;
    /* A blob on its way; may be NULL. */
    void (*progress)(void *user, const struct oll_digest *digest, uint64_t total,
                     uint64_t completed);
    bool (*canceled)(void *user); /* may be NULL */
    void *user;
};

/* Writes models to a file (whole or not at all), or to descriptor 1 when `path` is NULL. A lease
 * protects them meanwhile. OLL_ERR_NOT_FOUND names the model; OLL_ERR_DIGEST: a blob is damaged. */
oll_status oll_archive_save(const struct oll_archive *config, const struct oll_reference *refs,
                            size_t n_refs, const char *path, bool replace,
                            struct oll_error *err) OLL_MUST_USE;

/* Takes the models of an archive into the store. Blobs are hashed; names are written last, those
 * that exist are replaced. `loaded` gets each. OLL_ERR_FORMAT: it is no such archive, or it ends
 * early; what came whole is used by the next try. */
oll_status oll_archive_load(const struct oll_archive *config, int fd, bool prune,
                            void (*loaded)(void *user, const struct oll_reference *ref),
                            struct oll_error *err) OLL_MUST_USE;

#endif
