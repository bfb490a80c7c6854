#include "registry/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef OLL_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

static int die(void)
{
    kill(getpid(), SIGKILL);
    return pause();
}

/* Counts a call; -1 with errno when it shall fail. *half is set when half of its bytes shall be
 * written before the end. */
static int step(bool *half)
{
    static atomic_ulong n_calls;
    const char *plan = getenv("OLL_FAULT_DISK");
    unsigned long n = atomic_fetch_add(&n_calls, 1) + 1;
    char *what = NULL;
    if (!plan)
        return 0;
    unsigned long at = strtoul(plan, &what, 10);
    bool later = *what == '+';
    what += later;
    if (*what != ':' || !(n == at || (later && n > at)))
        return 0;
    static const char note[] = "fault: a call to the disk failed on purpose\n";
    ssize_t shown = write(2, note, sizeof note - 1);
    (void)shown;
    if (strcmp(what, ":kill") == 0 || (strcmp(what, ":half") == 0 && !half))
        return die();
    if (strcmp(what, ":half") == 0) {
        *half = true;
        return 0;
    }
    errno = strcmp(what, ":ENOSPC") == 0 ? ENOSPC : EIO;
    return -1;
}
#else
static int step(bool *half)
{
    (void)half;
    return 0;
}
static int die(void) { return -1; }
#endif

int disk_pwrite(int fd, const void *data, size_t n, uint64_t off)
{
    const char *p = data;
    bool half = false;
    if (step(&half) != 0)
        return -1;
    if (half)
        n /= 2;
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        p += done;
        off += (uint64_t)done;
        n -= (size_t)done;
    }
    return half ? die() : 0;
}

int disk_write(int fd, const void *data, size_t n)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0 || disk_pwrite(fd, data, n, (uint64_t)at) != 0)
        return -1;
    return lseek(fd, (off_t)n, SEEK_CUR) < 0 ? -1 : 0;
}

int disk_sync(int fd) { return step(NULL) != 0 ? -1 : fsync(fd); }

int disk_rename(int from_dir, const char *from, int to_dir, const char *to)
{
    return step(NULL) != 0 ? -1 : renameat(from_dir, from, to_dir, to);
}

int disk_link(int from_dir, const char *from, int to_dir, const char *to)
{
    return step(NULL) != 0 ? -1 : linkat(from_dir, from, to_dir, to, 0);
}

int disk_unlink(int dir, const char *name) { return step(NULL) != 0 ? -1 : unlinkat(dir, name, 0); }

int disk_rmdir(int dir, const char *name)
{
    return step(NULL) != 0 ? -1 : unlinkat(dir, name, AT_REMOVEDIR);
}

int disk_mkdir(int dir, const char *name, mode_t mode)
{
    return step(NULL) != 0 ? -1 : mkdirat(dir, name, mode);
}

int disk_touch(int dir, const char *name)
{
    return step(NULL) != 0 ? -1 : utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
}

int disk_create(int dir, const char *name, int flags)
{
    int all = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags;
    return step(NULL) != 0 ? -1 : openat(dir, name, all, 0600);
}

oll_status disk_fail(struct oll_error *err, const char *what)
{
    int e = errno;
    if (e == ENOSPC || e == EDQUOT)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%s: no space left on device", what);
    oll_status status = e == EACCES || e == EPERM || e == EROFS ? OLL_ERR_DENIED
                        : e == ENOENT                           ? OLL_ERR_NOT_FOUND
                        : e == ENOMEM                           ? OLL_ERR_MEMORY
                                                                : OLL_ERR_IO;
    return OLL_FAIL(err, status, "%s: %s", what, strerror(e));
}
