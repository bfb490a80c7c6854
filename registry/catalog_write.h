/* Names of the store that change: a manifest is written to a temporary file, synced, renamed, and
 * the folder is synced (R13), so that a name has its old model or its new one and never a mixture.
 * Publishing happens under the shared lock of registry/store_lock.h. */
#ifndef OLL_REGISTRY_CATALOG_WRITE_H
#define OLL_REGISTRY_CATALOG_WRITE_H

#include "registry/catalog.h"

/* The bytes of a manifest, terminated; released with oll_free. OLL_ERR_NOT_FOUND. */
oll_status oll_catalog_read(const struct oll_store *store, const struct oll_reference *ref,
                            char **bytes, size_t *n, struct oll_error *err) OLL_MUST_USE;
/* Points a name at a model. All blobs that the manifest names must be present and named by a lease
 * of the caller; they are looked for once more. Blobs that only the replaced manifest named stay:
 * see oll_catalog_replaced. */
oll_status oll_catalog_write(const struct oll_store *store, const struct oll_reference *ref,
                             const char *bytes, size_t n, struct oll_error *err) OLL_MUST_USE;
/* Gives a stored model a second name. OLL_ERR_NOT_FOUND when there is no source. */
oll_status oll_catalog_copy(const struct oll_store *store, const struct oll_reference *from,
                            const struct oll_reference *to, struct oll_error *err) OLL_MUST_USE;
/* Takes a name away, then the folders that are empty and the blobs that nothing else names
 * (registry/store_gc.h). OLL_ERR_NOT_FOUND when there is no such name. */
oll_status oll_catalog_remove(const struct oll_store *store, const struct oll_reference *ref,
                              struct oll_error *err) OLL_MUST_USE;

/* Digests of `old` (the bytes of a manifest, may be NULL or broken: then none) that `now` does not
 * name: what a replaced manifest may leave behind. *digests is released with oll_free and goes to
 * oll_store_drop_unused. */
oll_status oll_catalog_replaced(const char *old, size_t n_old, const char *now, size_t n_now,
                                struct oll_digest **digests, size_t *n,
                                struct oll_error *err) OLL_MUST_USE;

#endif
