/* Files as blobs without a copy: link or clone, the note of where they came from, and what happens
 * when the file changes. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "registry/blob_link.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256], file_path[300];
static struct oll_store *store;
static struct oll_lease *lease;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void write_file(const char *text)
{
    FILE *f = fopen(file_path, "wb");
    OLL_ASSERT(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static struct oll_digest digest_of(const char *text)
{
    struct oll_digest d;
    struct oll_sha256 *h = oll_sha256_new();
    OLL_ASSERT(h);
    oll_sha256_update(h, text, strlen(text));
    oll_sha256_final(h, d.bytes);
    oll_sha256_free(h);
    return d;
}

static void open_store(const char *text)
{
    char models[320];
    snprintf(root, sizeof root, "%s/oll-link-XXXXXX", P_tmpdir);
    OLL_ASSERT(mkdtemp(root));
    snprintf(models, sizeof models, "%s/models", root);
    snprintf(file_path, sizeof file_path, "%s/file", root);
    write_file(text);
    OLL_ASSERT(oll_store_new(models, &store, NULL) == OLL_OK);
    OLL_ASSERT(oll_lease_new(store, &lease, NULL) == OLL_OK);
}

static void close_store(void)
{
    oll_lease_free(lease);
    oll_store_free(store);
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Links the file under the digest of `text`, as its state now is. */
static oll_status link_now(const char *text, enum oll_blob_link *how)
{
    const struct oll_digest digest = digest_of(text);
    struct stat st;
    OLL_ASSERT(stat(file_path, &st) == 0);
    return oll_blob_link(store, lease, file_path, &digest, (uint64_t)st.st_size,
                         (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, how, NULL);
}

/* Another time of modification, whatever the clock does. */
static void change_time(void)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    OLL_ASSERT(utimensat(AT_FDCWD, file_path, times, 0) == 0);
}

static bool blob_holds(const char *text)
{
    const struct oll_digest digest = digest_of(text);
    char *data = NULL;
    uint64_t n = 0;
    const bool same = oll_blob_read(store, &digest, 1000, &data, &n, NULL) == OLL_OK &&
                      n == strlen(text) && memcmp(data, text, n) == 0;
    oll_free(data);
    return same;
}

TEST(a_file_becomes_a_blob)
{
    const char *text = "some weights";
    enum oll_blob_link how = OLL_BLOB_EXISTED;
    struct stat before, after;
    open_store(text);
    OLL_ASSERT(stat(file_path, &before) == 0);
    CHECK_OK(link_now(text, &how));
    CHECK(how != OLL_BLOB_EXISTED);
    CHECK(blob_holds(text));
    OLL_ASSERT(stat(file_path, &after) == 0);
    CHECK_EQ(after.st_mode, before.st_mode);
    CHECK_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    CHECK_EQ(after.st_nlink, how == OLL_BLOB_LINKED ? 2 : 1);
    CHECK_OK(link_now(text, &how));
    CHECK_EQ(how, OLL_BLOB_EXISTED);
    close_store();
}

TEST(a_changed_file_is_hashed_and_taken_out)
{
    const char *text = "some weights";
    const struct oll_digest digest = digest_of(text);
    enum oll_blob_link how = OLL_BLOB_EXISTED;
    struct oll_error err = {0};
    open_store(text);
    CHECK_OK(link_now(text, &how));
    CHECK_OK(oll_blob_check_origin(store, &digest, NULL));
    if (how == OLL_BLOB_LINKED) {
        change_time(); /* the same bytes: hashed once, then noted */
        CHECK_OK(oll_blob_check_origin(store, &digest, NULL));
        CHECK_OK(oll_blob_check_origin(store, &digest, NULL));
        CHECK(blob_holds(text));
        write_file("other weight");
        CHECK_STATUS(oll_blob_check_origin(store, &digest, &err), OLL_ERR_DIGEST);
        CHECK(strstr(err.text, "was changed after it was linked") != NULL);
        CHECK(!blob_holds(text));
        char *path = NULL;
        CHECK_STATUS(oll_blob_path(store, &digest, &path, NULL), OLL_ERR_NOT_FOUND);
        oll_free(path);
        CHECK_EQ(access(file_path, F_OK), 0);
    } else {
        write_file("other weight");
        CHECK_OK(oll_blob_check_origin(store, &digest, NULL));
        CHECK(blob_holds(text));
    }
    close_store();
}

TEST(what_cannot_be_linked_is_refused)
{
    const char *text = "some weights";
    const struct oll_digest digest = digest_of(text);
    enum oll_blob_link how;
    char other[320];
    open_store(text);
    CHECK_STATUS(oll_blob_link(store, lease, file_path, &digest, strlen(text), 5, &how, NULL),
                 OLL_ERR_BUSY);
    CHECK_STATUS(oll_blob_link(store, lease, root, &digest, 1, 1, &how, NULL), OLL_ERR_UNSUPPORTED);
    snprintf(other, sizeof other, "%s/link", root);
    OLL_ASSERT(symlink(file_path, other) == 0);
    CHECK_STATUS(oll_blob_link(store, lease, other, &digest, strlen(text), 1, &how, NULL),
                 OLL_ERR_UNSUPPORTED);
    CHECK(!blob_holds(text));
    close_store();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
