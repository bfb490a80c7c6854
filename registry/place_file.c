#include "registry/place_file.h"

#include "registry/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

oll_status place_file_write(const char *path, bool replace, place_file_fn fill, void *user,
                            struct oll_error *err)
{
    char tmp[PATH_BYTES];
    struct stat st;
    if (!replace && lstat(path, &st) == 0)
        return OLL_FAIL(err, OLL_ERR_EXISTS, "%s exists; --force replaces it", path);
    const int n = snprintf(tmp, sizeof tmp, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof tmp)
        return OLL_FAIL(err, OLL_ERR_ARG, "the path is too long");
    const int fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return disk_fail(err, path);
    oll_status status = fill(user, fd, err);
    if (status == OLL_OK && disk_sync(fd) != 0)
        status = disk_fail(err, path);
    close(fd);
    if (status == OLL_OK && disk_rename(AT_FDCWD, tmp, AT_FDCWD, path) != 0)
        status = disk_fail(err, path);
    if (status != OLL_OK)
        unlink(tmp);
    return status;
}
