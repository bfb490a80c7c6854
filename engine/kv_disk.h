/* Pages of KV caches in a folder, one file each, named by a key that says what they hold.
 *
 *   FOLDER/pages/<64 hex digits of the key>.kv       mode 0600 in a folder of mode 0700
 *
 *        0   8  "OLLKVPG1"
 *        8   8  bytes of the payload, little-endian
 *       16  32  the key
 *       48  16  zero
 *       64   n  payload
 *   64 + n  32  SHA-256 of all before it
 *
 * A file is written under another name and renamed, so that it is whole or not there; none is
 * flushed to the disk, because what a power cut leaves is caught by the digest. A file of such a
 * name that is not as it must be is removed when it is read; files with other names are left alone.
 * Room is made by the time of last use (mtime), for all who share the folder: a process counts what
 * it writes and looks at the folder again and again, so that n processes exceed the limit by at
 * most a sixteenth of it each.
 *
 * One thread may write while others read and ask. */
#ifndef OLL_ENGINE_KV_DISK_H
#define OLL_ENGINE_KV_DISK_H

#include "engine/base/sha256.h"
#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* What a page holds: a digest of the model, the cache's form, who may read it, and all tokens up to
 * its end. */
struct kv_key {
    uint8_t bytes[OLL_SHA256_BYTES];
};

struct kv_disk;

/* Makes the folders where they are missing. OLL_ERR_DENIED: another user's folder. */
oll_status kv_disk_open(const char *folder, uint64_t max_bytes, struct kv_disk **out,
                        struct oll_error *err) OLL_MUST_USE;
void kv_disk_close(struct kv_disk *disk); /* NULL is accepted */

/* Whether there is a file of this key and size; what it holds is another question. */
bool kv_disk_has(const struct kv_disk *disk, const struct kv_key *key, size_t n);
/* Replaces the file. OLL_ERR_LIMIT: more than the folder may hold. */
oll_status kv_disk_write(struct kv_disk *disk, const struct kv_key *key, const void *payload,
                         size_t n, struct oll_error *err) OLL_MUST_USE;
/* Fills the payload; it is undefined after a failure. OLL_ERR_NOT_FOUND: there is none;
 * OLL_ERR_FORMAT: it was damaged or of another size, and is gone. */
oll_status kv_disk_read(struct kv_disk *disk, const struct kv_key *key, void *payload,
                        size_t n) OLL_MUST_USE;

#endif
