/* Rights that a child process gives up, so that a model file that took it over cannot do more than
 * answer wrongly. One implementation per system (confine_linux.c; confine_posix.c where
 * little can be taken away), and what they have in common (confine.c). */
#ifndef OLL_BASE_CONFINE_H
#define OLL_BASE_CONFINE_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* For a child at its start: it ends with the thread that started it, is the first to go when memory
 * is short, has no descriptors from `n_fds` on, and leaves no core unless `keep_core`. `name` is
 * what lists of processes show. */
void oll_confine_child(const char *name, int n_fds, bool keep_core);

/* What this system can take away. */
enum oll_confine_means {
    OLL_CONFINE_CALLS = 1, /* system calls (Linux: seccomp) */
    OLL_CONFINE_PATHS = 2  /* files by folder (Linux: Landlock) */
};
unsigned oll_confine_means(void);

/* From now on the process gets no more than so many bytes of memory of its own; what it maps of
 * files does not count. A wish, as all that is asked of a child at its start. */
void oll_confine_memory(uint64_t n_bytes);

/* Only the one thread of a young process: from now on files are opened below `folder` (NULL: none
 * is), and for reading below `n` other folders or files, besides what the kernel tells of itself.
 * OLL_ERR_UNSUPPORTED where the system cannot. */
oll_status oll_confine_paths(const char *folder, const char *const *readable, int n,
                             struct oll_error *err) OLL_MUST_USE;
/* All threads: no network, no other program, no other process; no opening or changing of files
 * unless `may_open`. What is open stays usable, and threads may be started. For good.
 * OLL_ERR_UNSUPPORTED where the system cannot. */
oll_status oll_confine_calls(bool may_open, struct oll_error *err) OLL_MUST_USE;

#endif
