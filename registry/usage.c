#include "registry/usage.h"

#include "registry/store_dir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 8 }; /* manifests lie five folders deep */

struct walk {
    uint64_t *bytes;
    int depth;
};

/* Blocks, not lengths: a download that has begun is a long file with holes. */
static bool add_entry(void *user, int dir, const char *name)
{
    struct walk *walk = user;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return true;
    if (S_ISREG(st.st_mode))
        *walk->bytes += (uint64_t)st.st_blocks * 512;
    if (!S_ISDIR(st.st_mode) || walk->depth == DEPTH_MAX)
        return true;
    const int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return true;
    struct walk below = {walk->bytes, walk->depth + 1};
    store_each(fd, add_entry, &below);
    close(fd);
    return true;
}

/* Files of oll/, by folder. */
static bool add_own(void *user, int dir, const char *name)
{
    struct oll_usage *out = user;
    struct walk walk = {strcmp(name, "part") == 0         ? &out->partial_bytes
                        : strcmp(name, "quarantine") == 0 ? &out->quarantine_bytes
                                                          : &out->other_bytes,
                        0};
    return add_entry(&walk, dir, name);
}

/* Files of blobs/ that are no blobs: what real Ollama is downloading, and strays. */
static bool add_stray(void *user, int dir, const char *name)
{
    struct oll_usage *out = user;
    struct oll_digest digest;
    struct walk walk = {strstr(name, "-partial") ? &out->partial_bytes : &out->other_bytes,
                        DEPTH_MAX};
    return blob_file_digest(name, &digest) || add_entry(&walk, dir, name);
}

void oll_usage_read(const struct oll_store *store, const struct oll_inventory *inventory,
                    struct oll_usage *out)
{
    static const char *const blobs[] = {"blobs"}, *const manifests[] = {"manifests"};
    int dir;
    *out = (struct oll_usage){0};
    for (uint32_t i = 0; i < inventory->n_blobs; i++) {
        const struct oll_inventory_blob *blob = &inventory->blobs[i];
        *(blob->n_users > 0 ? &out->used_bytes : &out->unused_bytes) +=
            blob->present ? blob->file_bytes : 0;
    }
    if (oll_store_open_dir(store, blobs, 1, &dir, NULL) == OLL_OK) {
        store_each(dir, add_stray, out);
        close(dir);
    }
    if (oll_store_open_dir(store, manifests, 1, &dir, NULL) == OLL_OK) {
        struct walk walk = {&out->other_bytes, 0};
        store_each(dir, add_entry, &walk);
        close(dir);
    }
    dir = store_open_own(store, NULL);
    if (dir >= 0) {
        store_each(dir, add_own, out);
        close(dir);
    }
}
