#include "engine/base/file.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static oll_status fail_errno(struct oll_error *err, const char *path, const char *what)
{
    int e = errno;
    oll_status status = e == ENOENT || e == ENOTDIR ? OLL_ERR_NOT_FOUND
                        : e == EACCES || e == EPERM ? OLL_ERR_DENIED
                        : e == ENOMEM               ? OLL_ERR_MEMORY
                                                    : OLL_ERR_IO;
    return OLL_FAIL(err, status, "%s: cannot %s: %s", path, what, strerror(e));
}

/* Opens without blocking on a FIFO and reports the size of a regular file. `flags` are further
 * ones. */
static oll_status open_regular(int dir_fd, const char *path, int flags, int *fd, uint64_t *size,
                               struct oll_error *err)
{
    struct stat st;
    *fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (*fd < 0)
        return fail_errno(err, path, "open");
    if (fstat(*fd, &st) != 0) {
        oll_status status = fail_errno(err, path, "stat");
        close(*fd);
        return status;
    }
    if (!S_ISREG(st.st_mode)) {
        close(*fd);
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: not a regular file", path);
    }
    *size = (uint64_t)st.st_size;
    return OLL_OK;
}

oll_status oll_file_map(const char *path, struct oll_file_map *out, struct oll_error *err)
{
    int fd;
    uint64_t size;
    OLL_TRY(open_regular(AT_FDCWD, path, 0, &fd, &size, err));
    oll_status status = OLL_OK;
    void *data = NULL;
    if (size > SIZE_MAX) {
        status = OLL_FAIL(err, OLL_ERR_LIMIT, "%s: too large for the address space", path);
    } else if (size > 0) {
        data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = fail_errno(err, path, "map");
    }
    close(fd);
    if (status == OLL_OK)
        *out = (struct oll_file_map){.data = data, .size_bytes = size};
    return status;
}

void oll_file_unmap(struct oll_file_map *map)
{
    if (map->data)
        munmap((void *)map->data, (size_t)map->size_bytes);
    *map = (struct oll_file_map){0};
}

void oll_file_map_drop(const struct oll_file_map *map, uint64_t off, uint64_t n_bytes)
{
    /* Only whole pages inside the range: neighbours may still be in use. */
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t begin = (off + page - 1) / page * page;
    uint64_t end = (off + n_bytes) / page * page;
    if (map->data && begin < end && end <= map->size_bytes + page)
        oll_platform_pages_drop(map->data + begin, (size_t)(end - begin));
}

/* Reads an open file to its end and closes it. */
static oll_status read_whole(int fd, const char *path, uint64_t size, uint64_t max_bytes,
                             char **data, uint64_t *n_bytes, struct oll_error *err)
{
    uint64_t done = 0;
    oll_status status = OLL_OK;
    char *buf = NULL;
    if (size > max_bytes) {
        status = OLL_FAIL(err, OLL_ERR_LIMIT, "%s: %llu bytes, at most %llu are read", path,
                          (unsigned long long)size, (unsigned long long)max_bytes);
    } else if (!(buf = oll_alloc((size_t)size + 1, 1))) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "%s: out of memory", path);
    }
    while (status == OLL_OK && done < size) {
        ssize_t n = read(fd, buf + done, (size_t)(size - done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = fail_errno(err, path, "read");
        else if (n == 0)
            break;
        else
            done += (uint64_t)n;
    }
    close(fd);
    if (status != OLL_OK) {
        oll_free(buf);
        return status;
    }
    buf[done] = '\0';
    *data = buf;
    *n_bytes = done;
    return OLL_OK;
}

oll_status oll_file_read(const char *path, uint64_t max_bytes, char **data, uint64_t *n_bytes,
                         struct oll_error *err)
{
    int fd;
    uint64_t size;
    OLL_TRY(open_regular(AT_FDCWD, path, 0, &fd, &size, err));
    return read_whole(fd, path, size, max_bytes, data, n_bytes, err);
}

oll_status oll_file_read_at(int dir_fd, const char *name, uint64_t max_bytes, char **data,
                            uint64_t *n_bytes, struct oll_error *err)
{
    int fd;
    uint64_t size;
    OLL_TRY(open_regular(dir_fd, name, O_NOFOLLOW, &fd, &size, err));
    return read_whole(fd, name, size, max_bytes, data, n_bytes, err);
}
