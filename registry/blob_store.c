#include "registry/blob_store.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "registry/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct oll_store {
    char *path;
};

static const char *const blobs[] = {"blobs"};

oll_status oll_store_new(const char *path, struct oll_store **out, struct oll_error *err)
{
    struct oll_store *store = oll_calloc(1, sizeof *store);
    if (store)
        store->path = oll_strdup(path);
    if (!store || !store->path) {
        oll_store_free(store);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the model store");
    }
    *out = store;
    return OLL_OK;
}

void oll_store_free(struct oll_store *store)
{
    if (store)
        oll_free(store->path);
    oll_free(store);
}

const char *oll_store_path(const struct oll_store *store) { return store->path; }

oll_status oll_store_open_dir(const struct oll_store *store, const char *const *parts, int n_parts,
                              int *fd, struct oll_error *err)
{
    /* The root itself may be a link: where the store lies is the administrator's choice. */
    int at = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < n_parts && at >= 0; i++) {
        int next = openat(at, parts[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        int saved = errno;
        close(at);
        errno = saved;
        at = next;
    }
    if (at < 0)
        return OLL_FAIL(err,
                        errno == ENOENT || errno == ENOTDIR ? OLL_ERR_NOT_FOUND
                        : errno == EACCES                   ? OLL_ERR_DENIED
                                                            : OLL_ERR_IO,
                        "model store: %s", strerror(errno));
    *fd = at;
    return OLL_OK;
}

oll_status oll_blob_path(const struct oll_store *store, const struct oll_digest *digest,
                         char **path, struct oll_error *err)
{
    char name[OLL_DIGEST_TEXT_MAX];
    struct stat st;
    int fd;
    blob_file_name(digest, name);
    OLL_TRY(oll_store_open_dir(store, blobs, 1, &fd, err));
    int rc = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW);
    close(fd);
    if (rc != 0 || !S_ISREG(st.st_mode))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "blob %s is missing from the model store", name);
    size_t n = strlen(store->path) + sizeof "/blobs/" + sizeof name;
    char *text = oll_alloc(n, 1);
    if (!text)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a path");
    snprintf(text, n, "%s/blobs/%s", store->path, name);
    *path = text;
    return OLL_OK;
}

oll_status oll_blob_read(const struct oll_store *store, const struct oll_digest *digest,
                         uint64_t max_bytes, char **data, uint64_t *n_bytes, struct oll_error *err)
{
    char name[OLL_DIGEST_TEXT_MAX];
    int fd;
    blob_file_name(digest, name);
    OLL_TRY(oll_store_open_dir(store, blobs, 1, &fd, err));
    oll_status status = oll_file_read_at(fd, name, max_bytes, data, n_bytes, err);
    close(fd);
    return status;
}
