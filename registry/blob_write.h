/* Putting a blob into the store: bytes go to <root>/oll/tmp/, are hashed on the way, reach the
 * disk, and only then get their final name in blobs/ (R12, R13). Whatever ends the process in
 * between leaves no file that looks like a blob.
 *
 *     oll_lease_new(store, &lease, err);                    one for the whole model
 *     oll_blob_writer_new(store, lease, &w, err);
 *     oll_blob_writer_write(w, data, n, err);               any number of times
 *     oll_blob_writer_finish(w, NULL, &digest, &existed, err);   publishes; w is gone
 *     ... oll_catalog_write(store, &ref, manifest ...);     see registry/catalog_write.h
 *     oll_lease_free(lease);
 *
 * A writer that needs to seek (a GGUF whose header comes last) writes into oll_blob_writer_fd and
 * then calls oll_blob_writer_rehash before it finishes. One thread at a time. */
#ifndef OLL_REGISTRY_BLOB_WRITE_H
#define OLL_REGISTRY_BLOB_WRITE_H

#include "registry/store_lock.h"

struct oll_blob_writer;

/* `lease` gets the digest before the blob is published; NULL: nothing protects the blob but its
 * age of less than an hour (uploads, whose manifest comes with a later request). */
oll_status oll_blob_writer_new(const struct oll_store *store, struct oll_lease *lease,
                               struct oll_blob_writer **out, struct oll_error *err) OLL_MUST_USE;
oll_status oll_blob_writer_write(struct oll_blob_writer *w, const void *data, size_t n,
                                 struct oll_error *err) OLL_MUST_USE;
/* The file, open for reading and writing; for those who write without oll_blob_writer_write. Its
 * path is valid as long as the writer is. */
int oll_blob_writer_fd(struct oll_blob_writer *w);
const char *oll_blob_writer_path(struct oll_blob_writer *w);
/* Forgets the digest and hashes the file from its start. */
oll_status oll_blob_writer_rehash(struct oll_blob_writer *w, struct oll_error *err) OLL_MUST_USE;
/* Publishes and frees the writer, also when it fails. *existed: the blob was there before and was
 * touched ("using existing layer"). With `expected` another digest is OLL_ERR_DIGEST, nothing is
 * published, and *digest tells what it was. `digest` and `existed` may be NULL. */
oll_status oll_blob_writer_finish(struct oll_blob_writer *w, const struct oll_digest *expected,
                                  struct oll_digest *digest, bool *existed,
                                  struct oll_error *err) OLL_MUST_USE;
/* Drops what was written; NULL is accepted. */
void oll_blob_writer_free(struct oll_blob_writer *w);

/* A small document in one call. */
oll_status oll_blob_put(const struct oll_store *store, struct oll_lease *lease, const void *data,
                        size_t n, struct oll_digest *digest, bool *existed,
                        struct oll_error *err) OLL_MUST_USE;

/* Whether a blob of this size (any size: UINT64_MAX) is present; a present one is touched, so that
 * it outlives real Ollama's clean-up for another hour. The lease must name it already. */
bool oll_blob_reuse(const struct oll_store *store, const struct oll_digest *digest, uint64_t size);

/* Gives a complete, synced file of mode 0600 its final name; `fd` is open on it. Internal. */
oll_status blob_publish(const struct oll_store *store, int dir, const char *name, int fd,
                        const struct oll_digest *digest, bool *existed,
                        struct oll_error *err) OLL_MUST_USE;
/* Hashes the rest of an open file. Internal. */
oll_status blob_hash(int fd, struct oll_digest *out, struct oll_error *err) OLL_MUST_USE;

#endif
