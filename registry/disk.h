/* The system calls that change files of the store, in one place, so that a test build can end the
 * process or fail the call at each of them.
 *
 * In a build with OLL_FAULTS the environment variable OLL_FAULT_DISK=<n>:<what> acts on the n-th of
 * these calls of the process: `kill` sends SIGKILL before it, `half` writes half of the bytes first
 * (a torn write; like `kill` for calls that write none), EIO and ENOSPC make it fail, <n>+: makes
 * that one and all later ones fail. A fault that was met is announced on standard error. All return
 * 0, or -1 with errno. Internal to registry/. */
#ifndef OLL_REGISTRY_DISK_H
#define OLL_REGISTRY_DISK_H

#include "engine/base/status.h"

#include <stdint.h>
#include <sys/types.h>

/* Writes all bytes; EINTR and short writes are continued. */
int disk_write(int fd, const void *data, size_t n);
int disk_pwrite(int fd, const void *data, size_t n, uint64_t off);
/* Data and size of a file, or the entries of a folder, reach the disk. A failure condemns what was
 * written: it is never tried again on the same data (R13). */
int disk_sync(int fd);
int disk_rename(int from_dir, const char *from, int to_dir, const char *to);
int disk_link(int from_dir, const char *from, int to_dir, const char *to);
int disk_unlink(int dir, const char *name);
int disk_rmdir(int dir, const char *name);
int disk_mkdir(int dir, const char *name, mode_t mode);
/* Sets the time of modification to now. */
int disk_touch(int dir, const char *name);
/* Opens for reading and writing, created 0600, never through a link. `flags` are further ones. */
int disk_create(int dir, const char *name, int flags);

/* Failure of the call before, by errno: "<what>: <reason>". ENOSPC and EDQUOT are OLL_ERR_LIMIT
 * with the text "no space left on device". */
oll_status disk_fail(struct oll_error *err, const char *what);

#endif
