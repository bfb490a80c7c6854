/* Models in several files. */
#include "tests/unit/gguf/forge.h"

#include <stdio.h>
#include <unistd.h>

enum { N_PARTS = 3 };

static char folder[256];

static const char *part_path(uint32_t no)
{
    static char path[320];
    snprintf(path, sizeof path, "%s/m-%05u-of-%05u.gguf", folder, no + 1, (unsigned)N_PARTS);
    return path;
}

static void save(const struct forge *f, const char *path)
{
    FILE *file = fopen(path, "wb");
    OLL_ASSERT(file && fwrite(f->data, 1, f->n, file) == f->n && fclose(file) == 0);
}

/* One tensor in each part; only the first has metadata besides the split keys. */
static void forge_part(struct forge *f, uint32_t no, uint32_t own_no, uint32_t count,
                       const char *name, uint32_t total)
{
    const uint64_t ne[1] = {4};
    forge_header(f, 3, 1, no == 0 ? 4 : 3);
    if (no == 0)
        forge_arch(f);
    forge_key(f, "split.no", OLL_GGUF_U16), forge_u16(f, (uint16_t)own_no);
    forge_key(f, "split.count", OLL_GGUF_U16), forge_u16(f, (uint16_t)count);
    forge_key(f, "split.tensors.count", OLL_GGUF_I32), forge_u32(f, total);
    forge_tensor(f, name, 1, ne, OLL_F32, 0);
    forge_pad(f, 32);
    for (int i = 0; i < 4; i++)
        forge_f32(f, (float)(10 * no) + (float)i);
}

static void make_parts(void)
{
    static const char *const names[N_PARTS] = {"a", "b", "c"};
    forge_folder(folder);
    for (uint32_t no = 0; no < N_PARTS; no++) {
        struct forge f;
        forge_part(&f, no, no, N_PARTS, names[no], N_PARTS);
        save(&f, part_path(no));
    }
}

static void remove_parts(void)
{
    for (uint32_t no = 0; no < N_PARTS; no++)
        unlink(part_path(no));
    CHECK_EQ(rmdir(folder), 0);
}

/* Opening by the name of part `no` is refused with a line that contains `part`. */
static void check_refused(uint32_t no, oll_status status, const char *part)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    CHECK_STATUS(oll_gguf_open(part_path(no), &gguf, &err), status);
    CHECK_MSG(strstr(err.text, part) && !strchr(err.text, '\n'), "\"%s\" lacks \"%s\"", err.text,
              part);
    oll_gguf_close(gguf);
}

TEST(any_part_opens_the_model)
{
    make_parts();
    for (uint32_t no = 0; no < N_PARTS; no++) {
        struct oll_gguf *gguf = NULL;
        struct oll_error err = {0};
        if (!CHECK_MSG(oll_gguf_open(part_path(no), &gguf, &err) == OLL_OK, "%s", err.text))
            continue;
        CHECK_STR(oll_gguf_path(gguf), part_path(0));
        CHECK_EQ(oll_gguf_n_tensors(gguf), N_PARTS);
        CHECK(oll_gguf_find(gguf, "general.architecture") != NULL);
        for (uint32_t i = 0; i < N_PARTS; i++) {
            const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
            float x;
            CHECK_EQ(t->i_part, i);
            memcpy(&x, t->data + 4, 4);
            CHECK(x == (float)(10 * i + 1));
            oll_gguf_drop_pages(gguf, t);
        }
        CHECK(oll_gguf_find_tensor(gguf, "c") == oll_gguf_tensor_at(gguf, 2));
        CHECK(oll_gguf_file_bytes(gguf) > 3 * 100);
        oll_gguf_close(gguf);
    }
    remove_parts();
}

TEST(case_31_missing_part)
{
    make_parts();
    unlink(part_path(1));
    check_refused(0, OLL_ERR_NOT_FOUND, "part 2 of 3 is missing");
    check_refused(0, OLL_ERR_NOT_FOUND, "m-00002-of-00003.gguf");
    check_refused(2, OLL_ERR_NOT_FOUND, "part 2 of 3 is missing");
    unlink(part_path(0));
    check_refused(2, OLL_ERR_NOT_FOUND, "m-00001-of-00003.gguf");
    remove_parts();
}

TEST(case_31_wrong_numbers)
{
    struct forge f;
    make_parts();
    forge_part(&f, 1, 2, N_PARTS, "b", N_PARTS);
    save(&f, part_path(1));
    check_refused(0, OLL_ERR_FORMAT, "says that it is part 3 of 3, expected part 2 of 3");
    forge_part(&f, 1, 1, 4, "b", N_PARTS);
    save(&f, part_path(1));
    check_refused(0, OLL_ERR_FORMAT, "says that it is part 2 of 4, expected part 2 of 3");
    check_refused(1, OLL_ERR_FORMAT, "whose name must end in -00002-of-00004.gguf");
    forge_part(&f, 1, 1, N_PARTS, "b", N_PARTS);
    save(&f, part_path(1));
    forge_part(&f, 0, 1, N_PARTS, "a", N_PARTS); /* the first claims to be the second */
    save(&f, part_path(0));
    check_refused(1, OLL_ERR_FORMAT, "must end in -00002-of-00003.gguf");
    remove_parts();
}

TEST(case_31_tensors)
{
    struct forge f;
    make_parts();
    forge_part(&f, 2, 2, N_PARTS, "a", N_PARTS);
    save(&f, part_path(2));
    check_refused(0, OLL_ERR_FORMAT, "tensor a occurs twice");
    check_refused(0, OLL_ERR_FORMAT, "m-00003-of-00003.gguf");
    forge_part(&f, 2, 2, N_PARTS, "c", N_PARTS);
    save(&f, part_path(2));
    forge_part(&f, 0, 0, N_PARTS, "a", 7);
    save(&f, part_path(0));
    check_refused(0, OLL_ERR_FORMAT, "split.tensors.count: 7, but 3 tensors in 3 parts");
    remove_parts();
}

TEST(a_later_part_is_checked_like_the_first)
{
    struct forge f;
    make_parts();
    forge_part(&f, 1, 1, N_PARTS, "b", N_PARTS);
    f.n -= 4;
    save(&f, part_path(1));
    check_refused(0, OLL_ERR_FORMAT, "m-00002-of-00003.gguf: byte");
    remove_parts();
}

/* A store names files by their content: the caller knows which part is which. */
TEST(parts_with_other_names_are_given_in_order)
{
    static const char *const order[][N_PARTS] = {{"0", "1", "2"}, {"0", "2", "1"}, {"1", "0", "2"}};
    make_parts();
    char given[N_PARTS][320];
    for (uint32_t no = 0; no < N_PARTS; no++) {
        snprintf(given[no], sizeof given[no], "%s/blob-%u", folder, no);
        CHECK_EQ(rename(part_path(no), given[no]), 0);
    }
    for (int k = 0; k < 3; k++) {
        const char *paths[N_PARTS];
        struct oll_gguf *g = NULL;
        for (int i = 0; i < N_PARTS; i++)
            paths[i] = given[order[k][i][0] - '0'];
        CHECK_STATUS(oll_gguf_open_parts(paths, N_PARTS, &g, NULL),
                     k == 0 ? OLL_OK : OLL_ERR_FORMAT);
        CHECK_EQ(g ? oll_gguf_n_tensors(g) : 0, k == 0 ? 3 : 0);
        oll_gguf_close(g);
    }
    const char *first = given[0];
    struct oll_gguf *g = NULL;
    CHECK_STATUS(oll_gguf_open_parts(&first, 1, &g, NULL), OLL_ERR_FORMAT);
    CHECK_STATUS(oll_gguf_open_parts(&first, 0, &g, NULL), OLL_ERR_ARG);
    for (uint32_t no = 0; no < N_PARTS; no++)
        CHECK_EQ(rename(given[no], part_path(no)), 0);
    remove_parts();
}

TEST(a_name_of_another_form)
{
    struct forge f;
    char path[320];
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    make_parts();
    snprintf(path, sizeof path, "%s/renamed.gguf", folder);
    forge_part(&f, 0, 0, N_PARTS, "a", N_PARTS);
    save(&f, path);
    CHECK_STATUS(oll_gguf_open(path, &gguf, &err), OLL_ERR_FORMAT);
    CHECK(strstr(err.text, "must end in -00001-of-00003.gguf") != NULL);
    unlink(path);
    remove_parts();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
