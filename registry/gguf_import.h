/* GGUF files on their way into the store: what each of them is.  (store-and-registry 10.2) */
#ifndef OLL_REGISTRY_GGUF_IMPORT_H
#define OLL_REGISTRY_GGUF_IMPORT_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct oll_gguf;

/* Whether a file begins as GGUF does. */
bool oll_import_is_gguf(const char *path);
/* Kind of layer that a file makes: "model", "adapter" or "projector". The parts of a split model
 * are given together, in order. Checks the whole structure of the file; errors name no path.
 * OLL_ERR_FORMAT "supplied file was not in GGUF format" when it is none. */
oll_status oll_import_kind(const char *const *paths, uint32_t n_parts, const char **kind,
                           struct oll_error *err) OLL_MUST_USE;
/* Splits "<prefix>-00002-of-00003.gguf": length of the prefix, number from 1, count. False for
 * other names. */
bool oll_import_split_name(const char *name, size_t *n_prefix, uint32_t *no, uint32_t *count);

/* Opens files of the store for reading; errors name no path (R9). Internal. */
oll_status gguf_import_open(const char *const *paths, uint32_t n_parts, struct oll_gguf **out,
                            struct oll_error *err) OLL_MUST_USE;

#endif
