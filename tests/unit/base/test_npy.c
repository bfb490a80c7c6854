/* NumPy files, byte by byte. */
#include "engine/base/npy.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256], path[300];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/oll-npy-XXXXXX", base && base[0] ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.npy", folder);
}

/* Also proves that nothing else was left in it. */
static void remove_folder(void)
{
    unlink(path);
    CHECK_EQ(rmdir(folder), 0);
}

/* Writes 0, 1, 2 ... in two pieces and compares the text of the header and the values. */
static void check_file(const uint64_t *shape, int n_dims, size_t n, const char *text)
{
    struct oll_npy npy;
    float values[64];
    char *data = NULL;
    uint64_t n_bytes = 0;
    make_folder();
    for (size_t i = 0; i < n; i++)
        values[i] = (float)i;
    CHECK_OK(oll_npy_create(&npy, path, shape, n_dims, NULL));
    CHECK_OK(oll_npy_write(&npy, values, n / 3, NULL));
    CHECK_OK(oll_npy_write(&npy, values + n / 3, n - n / 3, NULL));
    CHECK_OK(oll_npy_finish(&npy, NULL));
    if (CHECK_OK(oll_file_read(path, 1 << 20, &data, &n_bytes, NULL)) &&
        CHECK_EQ(n_bytes, 128 + 4 * n)) {
        CHECK(memcmp(data, "\x93NUMPY\x01\x00\x76\x00", 10) == 0);
        CHECK(strncmp(data + 10, text, strlen(text)) == 0);
        for (size_t i = 10 + strlen(text); i < 127; i++)
            CHECK_EQ(data[i], ' ');
        CHECK_EQ(data[127], '\n');
        CHECK(memcmp(data + 128, values, 4 * n) == 0);
    }
    oll_free(data);
    remove_folder();
}

TEST(writes_shapes_of_any_rank)
{
    const uint64_t shape[3] = {2, 3, 5}, none[2] = {4, 0};
    check_file(shape, 3, 30, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 5), }");
    check_file(shape, 2, 6, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    check_file(shape, 1, 2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }");
    check_file(shape, 0, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
    check_file(none, 2, 0, "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 0), }");
}

TEST(a_file_is_complete_or_absent)
{
    const uint64_t shape[1] = {4};
    const float values[5] = {0};
    for (int k = 0; k < 3; k++) {
        struct oll_npy npy;
        struct oll_error err = {0};
        make_folder();
        CHECK_OK(oll_npy_create(&npy, path, shape, 1, NULL));
        if (k == 0) {
            CHECK_STATUS(oll_npy_write(&npy, values, 5, &err), OLL_ERR_ARG);
            oll_npy_close(&npy);
        } else if (k == 1) {
            CHECK_OK(oll_npy_write(&npy, values, 3, NULL));
            CHECK_STATUS(oll_npy_finish(&npy, &err), OLL_ERR_ARG);
        } else {
            oll_npy_close(&npy);
            oll_npy_close(&npy);
        }
        CHECK(k == 2 || strstr(err.text, path));
        CHECK(access(path, F_OK) != 0);
        remove_folder();
    }
}

TEST(places_that_cannot_be_written)
{
    const uint64_t shape[1] = {100000}, huge[2] = {1ull << 32, 1ull << 32};
    static const float values[100000];
    struct oll_npy npy;
    struct oll_error err = {0};
    CHECK_STATUS(oll_npy_create(&npy, "/nonexistent/x.npy", shape, 1, &err), OLL_ERR_IO);
    CHECK(strstr(err.text, "/nonexistent/x.npy: cannot create") != NULL);
    CHECK_STATUS(oll_npy_create(&npy, "/nonexistent/x.npy", huge, 2, NULL), OLL_ERR_LIMIT);
    if (access("/dev/full", W_OK) != 0)
        return;
    CHECK_OK(oll_npy_create(&npy, "/dev/full", shape, 1, NULL));
    oll_status status = oll_npy_write(&npy, values, 100000, NULL);
    if (status == OLL_OK)
        status = oll_npy_finish(&npy, NULL);
    else
        oll_npy_close(&npy);
    CHECK_EQ(status, OLL_ERR_IO);
    CHECK(access("/dev/full", W_OK) == 0);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
