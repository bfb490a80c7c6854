/* Folders of the store for those who write: made on demand, entered component by component without
 * following links. Internal to registry/.
 *
 *   <root>/blobs, <root>/manifests    0755, shared with real Ollama
 *   <root>/oll                        0700, ours alone: lock, leases/, tmp/, part/, chunks/,
 *                                     quarantine/, uploads/, origin/ */
#ifndef OLL_REGISTRY_STORE_DIR_H
#define OLL_REGISTRY_STORE_DIR_H

#include "registry/blob_store.h"

/* Makes what is missing (each new entry is synced into its parent) and opens the last folder; *fd
 * is closed by the caller. OLL_ERR_DENIED names the folder and the user. */
oll_status store_make_dir(const struct oll_store *store, const char *const *parts, int n_parts,
                          int *fd, struct oll_error *err) OLL_MUST_USE;
oll_status store_make_blobs(const struct oll_store *store, int *fd,
                            struct oll_error *err) OLL_MUST_USE;
/* <root>/oll/<name>; NULL: <root>/oll itself. */
oll_status store_make_own(const struct oll_store *store, const char *name, int *fd,
                          struct oll_error *err) OLL_MUST_USE;
/* Opens <root>/oll/<name>, -1 when it is not there. */
int store_open_own(const struct oll_store *store, const char *name);

/* "sha256-<hex>": the only function of the tree that forms the name of a blob's file (R10). */
void blob_file_name(const struct oll_digest *digest, char out[OLL_DIGEST_TEXT_MAX]);
/* The digest that a file name stands for, false when it is none. */
bool blob_file_digest(const char *name, struct oll_digest *out);

/* Creates a file that nobody else has, <root>/oll/tmp/<pid>-<n>, locked while it is open; `name`
 * gets at most 48 bytes. Those of dead processes are removed by oll_store_start. */
enum { STORE_TMP_NAME_MAX = 48 };
oll_status store_make_tmp(const struct oll_store *store, int *dir_fd, int *fd,
                          char name[STORE_TMP_NAME_MAX], struct oll_error *err) OLL_MUST_USE;

/* Calls `visit` for each entry of an open folder but "." and "..", until it returns false. */
typedef bool (*store_visit_fn)(void *user, int dir_fd, const char *name);
void store_each(int dir_fd, store_visit_fn visit, void *user);

#endif
