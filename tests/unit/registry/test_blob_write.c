/* Writing blobs: what appears under a final name, when, and with which rights. */
#include "engine/base/mem.h"
#include "registry/chunk_sums.h"
#include "tests/unit/registry/store_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <time.h>

static int count_files(const char *folder)
{
    DIR *dir = opendir(path_of(folder));
    struct dirent *entry;
    int n = 0;
    while (dir && (entry = readdir(dir)))
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

TEST(publishes_under_the_digest)
{
    struct oll_digest digest;
    struct stat st;
    bool existed = true;
    open_store();
    CHECK_OK(oll_blob_put(store, NULL, "abc", 3, &digest, &existed, NULL));
    CHECK(!existed);
    CHECK_STR(blob_name(&digest),
              "blobs/sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_EQ(stat(path_of(blob_name(&digest)), &st), 0);
    CHECK_EQ(st.st_size, 3);
    CHECK_EQ(st.st_mode & 07777, 0644);
    CHECK_EQ(stat(path_of("oll"), &st), 0);
    CHECK_EQ(st.st_mode & 07777, 0700);
    CHECK_EQ(count_files("oll/tmp"), 0);
    CHECK_EQ(count_files("oll/chunks"), 0);
    close_store();
}

TEST(keeps_and_touches_what_is_there)
{
    struct oll_digest digest;
    struct stat st;
    bool existed = false;
    open_store();
    CHECK_OK(oll_blob_put(store, NULL, "abc", 3, &digest, NULL, NULL));
    CHECK_EQ(stat(path_of(blob_name(&digest)), &st), 0);
    ino_t inode = st.st_ino;
    make_old(blob_name(&digest), 7200);
    CHECK_OK(oll_blob_put(store, NULL, "abc", 3, &digest, &existed, NULL));
    CHECK(existed);
    CHECK_EQ(stat(path_of(blob_name(&digest)), &st), 0);
    CHECK_EQ(st.st_ino, inode);
    CHECK(time(NULL) - st.st_mtime < 60);
    CHECK_EQ(count_files("oll/tmp"), 0);
    /* A file of another size under the name of a blob cannot be it. */
    put_file(blob_name(&digest), "ab");
    CHECK_OK(oll_blob_put(store, NULL, "abc", 3, &digest, &existed, NULL));
    CHECK(!existed);
    CHECK_EQ(stat(path_of(blob_name(&digest)), &st), 0);
    CHECK_EQ(st.st_size, 3);
    CHECK(oll_blob_reuse(store, &digest, 3) && oll_blob_reuse(store, &digest, UINT64_MAX));
    CHECK(!oll_blob_reuse(store, &digest, 4));
    close_store();
}

TEST(another_digest_publishes_nothing)
{
    struct oll_blob_writer *w;
    struct oll_error err = {0};
    struct oll_digest expected = {{1}}, got;
    open_store();
    CHECK_OK(oll_blob_writer_new(store, NULL, &w, &err));
    CHECK_OK(oll_blob_writer_write(w, "abc", 3, &err));
    CHECK_STATUS(oll_blob_writer_finish(w, &expected, &got, NULL, &err), OLL_ERR_DIGEST);
    CHECK(strstr(err.text, "digest mismatch, expected \"sha256:0100") != NULL);
    CHECK(strstr(err.text, "got \"sha256:ba7816bf") != NULL);
    CHECK(!exists(blob_name(&got)));
    CHECK_EQ(count_files("blobs") + count_files("oll/tmp"), 0);
    close_store();
}

TEST(an_abandoned_blob_leaves_nothing)
{
    struct oll_blob_writer *w;
    open_store();
    CHECK_OK(oll_blob_writer_new(store, NULL, &w, NULL));
    CHECK_OK(oll_blob_writer_write(w, "abc", 3, NULL));
    CHECK_EQ(count_files("oll/tmp"), 1);
    oll_blob_writer_free(w);
    CHECK_EQ(count_files("oll/tmp"), 0);
    CHECK_EQ(count_files("blobs"), 0);
    close_store();
}

TEST(a_writer_that_seeks_hashes_again)
{
    struct oll_blob_writer *w;
    struct oll_digest digest;
    open_store();
    CHECK_OK(oll_blob_writer_new(store, NULL, &w, NULL));
    CHECK_EQ(pwrite(oll_blob_writer_fd(w), "c", 1, 2), 1);
    CHECK_EQ(pwrite(oll_blob_writer_fd(w), "ab", 2, 0), 2);
    CHECK_EQ(access(oll_blob_writer_path(w), R_OK), 0);
    CHECK_OK(oll_blob_writer_rehash(w, NULL));
    CHECK_OK(oll_blob_writer_finish(w, NULL, &digest, NULL, NULL));
    CHECK(exists("blobs/sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    close_store();
}

TEST(chunk_sums_of_a_large_blob)
{
    enum { N = OLL_CHUNK_BYTES + 5 };
    struct oll_digest digest, *sums = NULL, first;
    size_t n = 0;
    char *data = oll_calloc(N, 1);
    OLL_ASSERT(data);
    open_store();
    CHECK_OK(oll_blob_put(store, NULL, data, N, &digest, NULL, NULL));
    CHECK_OK(oll_chunk_sums_load(store, &digest, N, &sums, &n));
    CHECK_EQ(n, 2);
    CHECK_OK(oll_blob_put(store, NULL, data, OLL_CHUNK_BYTES, &first, NULL, NULL));
    CHECK(sums && memcmp(&sums[0], &first, sizeof first) == 0);
    oll_free(sums);
    CHECK_STATUS(oll_chunk_sums_load(store, &digest, 4 * N, &sums, &n), OLL_ERR_NOT_FOUND);
    CHECK_STATUS(oll_chunk_sums_load(store, &first, OLL_CHUNK_BYTES, &sums, &n), OLL_ERR_NOT_FOUND);
    oll_free(data);
    close_store();
}

TEST(links_in_the_store_are_not_followed)
{
    struct oll_error err = {0};
    struct oll_digest digest;
    open_store();
    CHECK_EQ(symlink("/nonexistent", path_of("blobs")), 0);
    CHECK(oll_blob_put(store, NULL, "abc", 3, &digest, NULL, &err) != OLL_OK);
    CHECK_EQ(count_files("oll/tmp"), 0);
    close_store();
}

TEST(a_store_that_cannot_be_written_is_named)
{
    struct oll_error err = {0};
    struct oll_digest digest;
    if (geteuid() == 0)
        return; /* nothing is forbidden to root */
    open_store();
    CHECK_EQ(chmod(root, 0555), 0);
    CHECK_STATUS(oll_blob_put(store, NULL, "abc", 3, &digest, NULL, &err), OLL_ERR_DENIED);
    CHECK(strstr(err.text, root) && strstr(err.text, "as user "));
    CHECK_EQ(chmod(root, 0755), 0);
    close_store();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
