/* Files: read-only maps and small whole-file reads. What differs between systems is in
 * platform_linux.c. */
#ifndef OLL_BASE_FILE_H
#define OLL_BASE_FILE_H

#include "engine/base/status.h"

#include <stdint.h>

struct oll_file_map {
    const unsigned char *data; /* NULL while not mapped or when the file is empty */
    uint64_t size_bytes;
};

/* Maps a regular file read-only and private. Refuses anything that is no regular file, so that a
 * FIFO or a device cannot block or feed us for ever. OLL_ERR_NOT_FOUND, OLL_ERR_DENIED, OLL_ERR_IO.
 */
oll_status oll_file_map(const char *path, struct oll_file_map *out,
                        struct oll_error *err) OLL_MUST_USE;
void oll_file_unmap(struct oll_file_map *map);
/* Tells the system that a range of the map is not needed any more (its pages can be read again from
 * the file). */
void oll_file_map_drop(const struct oll_file_map *map, uint64_t off, uint64_t n_bytes);

/* Reads a whole regular file of at most `max_bytes`; `*data` gets a terminating NUL that `*n_bytes`
 * does not count and is released with oll_free. */
oll_status oll_file_read(const char *path, uint64_t max_bytes, char **data, uint64_t *n_bytes,
                         struct oll_error *err) OLL_MUST_USE;
/* The same for a name inside an open directory; the name must not be a symbolic link. */
oll_status oll_file_read_at(int dir_fd, const char *name, uint64_t max_bytes, char **data,
                            uint64_t *n_bytes, struct oll_error *err) OLL_MUST_USE;

#endif
