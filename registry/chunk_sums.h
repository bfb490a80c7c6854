/* The digest of a blob, and SHA-256 of every 4 MiB of it, taken in one go. The latter are kept in
 * <root>/oll/chunks/<blob> as raw digests one after another. They let a repair fetch only the
 * damaged ranges; without them a blob is fetched whole. They are never trusted in place of the
 * digest of the blob. */
#ifndef OLL_REGISTRY_CHUNK_SUMS_H
#define OLL_REGISTRY_CHUNK_SUMS_H

#include "registry/blob_store.h"

enum { OLL_CHUNK_BYTES = 4 << 20 };

struct oll_chunk_sums;

struct oll_chunk_sums *oll_chunk_sums_new(void); /* NULL when memory is short */
void oll_chunk_sums_free(struct oll_chunk_sums *sums);
/* Bytes of the blob in order. */
void oll_chunk_sums_update(struct oll_chunk_sums *sums, const void *data, size_t n);
/* Digest of the whole blob; nothing is added afterwards. */
void oll_chunk_sums_final(struct oll_chunk_sums *sums, struct oll_digest *out);
/* After the end: saves the sums of a blob of more than one chunk; best effort. When memory was
 * short for one of them nothing is saved. */
void oll_chunk_sums_save(const struct oll_chunk_sums *sums, const struct oll_store *store,
                         const struct oll_digest *blob);
/* The saved ones of a blob of `size` bytes; *sums is released with oll_free. OLL_ERR_NOT_FOUND when
 * there are none of that size. */
oll_status oll_chunk_sums_load(const struct oll_store *store, const struct oll_digest *blob,
                               uint64_t size, struct oll_digest **sums, size_t *n) OLL_MUST_USE;

#endif
