/* Headers of tar archives: ustar (POSIX.1-1988), with base-256 sizes beyond 8 GiB as GNU tar
 * writes them, and the size and path of pax records (POSIX.1-2001) when read. Internal. */
#ifndef OLL_REGISTRY_TAR_H
#define OLL_REGISTRY_TAR_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 512, TAR_PAX_MAX = 64 * 1024 };

enum tar_kind {
    TAR_FILE,
    TAR_PAX,  /* records for the entry that follows */
    TAR_OTHER /* folders, links, ...: their content is skipped */
};

struct tar_entry {
    enum tar_kind kind;
    char name[TAR_NAME_MAX]; /* without "./" at its front */
    uint64_t size;
};

/* Header of a regular file of mode 0644; `name` has less than 100 bytes. */
void tar_write_header(const char *name, uint64_t size, char out[TAR_BLOCK]);
/* *end: the block of zeros behind the last entry. OLL_ERR_FORMAT: it is no header. */
oll_status tar_read_header(const char block[TAR_BLOCK], struct tar_entry *out, bool *end,
                           struct oll_error *err) OLL_MUST_USE;
/* Applies what pax records say of size and path. OLL_ERR_FORMAT. */
oll_status tar_apply_pax(const char *records, size_t n, struct tar_entry *entry,
                         struct oll_error *err) OLL_MUST_USE;
/* Bytes behind a content of this size up to the next block. */
uint64_t tar_padding(uint64_t size);

#endif
