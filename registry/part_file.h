/* A blob that is on its way: <root>/oll/part/<blob> holds its bytes, <blob>.journal what of them is
 * durable. The journal is text, one record a line, appended after the bytes it speaks of were
 * synced:
 *
 *   <crc> size <bytes>               first: the size of the blob
 *   <crc> have <begin> <end>         these bytes are on the disk
 *
 * <crc> is the CRC-32 of the rest of the line in hex. Reading ends at the first line that does not
 * fit its sum (a torn write); the next record overwrites what follows. Who brings the blob holds a
 * flock on the journal; whoever else wants it waits for that lock, reading the journal to follow
 * the progress, and goes on from the journal when the holder dies. */
#ifndef OLL_REGISTRY_PART_FILE_H
#define OLL_REGISTRY_PART_FILE_H

#include "registry/blob_store.h"
#include "registry/span_set.h"

struct part_file {
    const struct oll_store *store;
    struct oll_digest digest;
    uint64_t size_bytes;
    char name[OLL_DIGEST_TEXT_MAX];
    int dir, fd, journal;
    uint64_t journal_end; /* of its last good record */
    struct span_set have; /* what the journal said when it was opened */
};

/* Opens or begins the download of a blob. OLL_ERR_BUSY: another process or thread is at it, and
 * *others tells how much it has durable. */
oll_status part_file_open(const struct oll_store *store, const struct oll_digest *digest,
                          uint64_t size, struct part_file *out, uint64_t *others,
                          struct oll_error *err) OLL_MUST_USE;
/* Syncs the data and records that the spans are there. One thread at a time; others may write data
 * meanwhile, of which the spans must not speak. */
oll_status part_file_record(struct part_file *part, const struct span_set *spans,
                            struct oll_error *err) OLL_MUST_USE;
/* Forgets all that was received. */
oll_status part_file_restart(struct part_file *part, struct oll_error *err) OLL_MUST_USE;
/* Publishes the complete, verified file as the blob; closes it also when that fails. */
oll_status part_file_publish(struct part_file *part, struct oll_error *err) OLL_MUST_USE;
/* Removes the file and its journal: what it holds is wrong. */
void part_file_discard(struct part_file *part);
/* Keeps them for a later try. */
void part_file_close(struct part_file *part);

/* Space that a partial download of a blob takes on the disk. */
uint64_t blob_part_bytes(const struct oll_store *store, const struct oll_digest *digest);

/* Takes over the files that real Ollama left of this blob, if nothing changed them for a minute:
 * its data becomes ours, its counts become records. Called before part_file_open. */
void part_file_adopt(const struct oll_store *store, const struct oll_digest *digest, uint64_t size);

#endif
