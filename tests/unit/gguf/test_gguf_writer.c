/* Writing, and reading back what was written. */
#include "tests/unit/gguf/forge.h"

#include "engine/base/file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256], path[300];

static void make_folder(void)
{
    forge_folder(folder);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
}

/* Also proves that nothing else was left in it. */
static void remove_folder(void)
{
    unlink(path);
    CHECK_MSG(rmdir(folder) == 0, "%s is not empty", folder);
}

static struct oll_gguf_writer *new_writer(void)
{
    struct oll_gguf_writer *w = NULL;
    struct oll_error err = {0};
    CHECK_MSG(oll_gguf_writer_new(path, &w, &err) == OLL_OK, "%s", err.text);
    return w;
}

/* The model of forge_model, by the calls of the writer. */
static void declare_model(struct oll_gguf_writer *w)
{
    static const struct oll_gguf_str tokens[] = {{"a", 1}, {"", 0}, {"\xc3\xa9", 2}};
    const float scores[] = {-0.0f, -1.0f, -2.0f};
    const uint64_t norm[1] = {4}, weight[2] = {32, 2};
    const unsigned char minus_five[8] = {0xfb, 255, 255, 255, 255, 255, 255, 255};
    const struct oll_gguf_kv i64 = {.key = {"a.i64", 5},
                                    .type = OLL_GGUF_I64,
                                    .elem_type = OLL_GGUF_I64,
                                    .count = 1,
                                    .data = minus_five,
                                    .data_bytes = 8};
    oll_gguf_put_str(w, "general.architecture", "llama", 5);
    oll_gguf_put_u32(w, "llama.block_count", 1);
    oll_gguf_put_f32(w, "llama.rope.freq_base", 1e4f);
    oll_gguf_put_bool(w, "a.bool", true);
    oll_gguf_put_kv(w, &i64);
    oll_gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, 3);
    oll_gguf_put_array(w, "tokenizer.ggml.scores", OLL_GGUF_F32, scores, 3);
    oll_gguf_put_array(w, "a.empty", OLL_GGUF_U16, NULL, 0);
    oll_gguf_add_tensor(w, "output_norm.weight", OLL_F32, norm, 1);
    oll_gguf_add_tensor(w, "output.weight", OLL_Q8_0, weight, 2);
}

TEST(writes_the_bytes_of_the_format)
{
    const float norm[4] = {0, 1, 2, 3};
    const unsigned char zeros[34] = {0};
    struct forge f;
    char *data = NULL;
    uint64_t n = 0;
    make_folder();
    struct oll_gguf_writer *w = new_writer();
    declare_model(w);
    CHECK_OK(oll_gguf_write_header(w, NULL));
    CHECK_OK(oll_gguf_write_data(w, norm, 4, NULL)); /* in pieces that are no rows */
    CHECK_OK(oll_gguf_write_data(w, (const char *)norm + 4, 12, NULL));
    CHECK_OK(oll_gguf_write_data(w, zeros, 34, NULL));
    CHECK_OK(oll_gguf_write_data(w, zeros, 34, NULL));
    CHECK(access(path, F_OK) != 0); /* not before it is complete */
    CHECK_OK(oll_gguf_writer_finish(w, NULL));
    oll_gguf_writer_free(w);

    forge_model(&f);
    forge_pad(&f, 32); /* the writer pads the last tensor, too */
    if (CHECK_OK(oll_file_read(path, 1 << 20, &data, &n, NULL)) && CHECK_EQ(n, f.n))
        CHECK(memcmp(data, f.data, f.n) == 0);
    oll_free(data);
    remove_folder();
}

/* Copies a model pair by pair, tensor by tensor; the same bytes must come out. */
static void check_round_trip(const char *source)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    char *a = NULL, *b = NULL, *copy = oll_strdup(source);
    uint64_t n_a = 0, n_b = 0;
    make_folder();
    struct oll_gguf_writer *w = new_writer();
    if (!CHECK_MSG(oll_gguf_open(copy, &gguf, &err) == OLL_OK, "%s", err.text))
        goto done;
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++)
        oll_gguf_put_kv(w, oll_gguf_kv_at(gguf, i));
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        char name[OLL_GGUF_MAX_NAME + 1] = {0};
        memcpy(name, t->name.data, (size_t)t->name.len);
        oll_gguf_add_tensor(w, name, t->dtype, t->ne, t->n_dims);
    }
    CHECK_OK(oll_gguf_write_header(w, &err));
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        CHECK_OK(oll_gguf_write_data(w, t->data, t->n_bytes, &err));
    }
    CHECK_OK(oll_gguf_writer_finish(w, &err));
    CHECK_MSG(err.status == OLL_OK, "%s", err.text);
    CHECK_OK(oll_file_read(copy, 1 << 28, &a, &n_a, NULL));
    CHECK_OK(oll_file_read(path, 1 << 28, &b, &n_b, NULL));
    CHECK_MSG(n_a == n_b && a && b && memcmp(a, b, n_a) == 0, "%s: %llu bytes became %llu", copy,
              (unsigned long long)n_a, (unsigned long long)n_b);
done:
    oll_gguf_writer_free(w);
    oll_gguf_close(gguf);
    oll_free(a);
    oll_free(b);
    oll_free(copy);
    remove_folder();
}

TEST(round_trips_are_byte_identical)
{
    static const char *const files[] = {"golden/llama.gguf",          "golden/llama-q4_k_m.gguf",
                                        "golden/llama-bf16.gguf",     "golden/gpt-oss.gguf",
                                        "golden/bert.gguf",           "golden/llama-u64-keys.gguf",
                                        "vocab/ggml-vocab-gpt-2.gguf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *source = testing_shared("data/%s", files[i]);
        if (source[0])
            check_round_trip(source);
        else
            testing_skip("no %s in the shared data", files[i]);
    }
}

TEST(alignment_follows_its_key)
{
    const uint64_t one[1] = {1};
    const float x = 1.5f;
    struct oll_gguf *gguf = NULL;
    make_folder();
    struct oll_gguf_writer *w = new_writer();
    oll_gguf_put_str(w, "general.architecture", "llama", 5);
    oll_gguf_put_u32(w, "general.alignment", 256);
    oll_gguf_add_tensor(w, "a", OLL_F32, one, 1);
    oll_gguf_add_tensor(w, "b", OLL_F32, one, 1);
    CHECK_OK(oll_gguf_write_header(w, NULL));
    CHECK_OK(oll_gguf_write_data(w, &x, 4, NULL));
    CHECK_OK(oll_gguf_write_data(w, &x, 4, NULL));
    CHECK_OK(oll_gguf_writer_finish(w, NULL));
    oll_gguf_writer_free(w);
    if (CHECK_OK(oll_gguf_open(path, &gguf, NULL))) {
        CHECK_EQ(oll_gguf_alignment(gguf), 256);
        CHECK_EQ(oll_gguf_tensor_at(gguf, 0)->file_off % 256, 0);
        CHECK_EQ(oll_gguf_tensor_at(gguf, 1)->file_off - oll_gguf_tensor_at(gguf, 0)->file_off,
                 256);
        CHECK(memcmp(oll_gguf_tensor_at(gguf, 1)->data, &x, 4) == 0);
    }
    oll_gguf_close(gguf);
    remove_folder();
}

static void put_twice(struct oll_gguf_writer *w)
{
    oll_gguf_put_u32(w, "a.b", 1);
    oll_gguf_put_bool(w, "a.b", true);
}

static void put_empty_key(struct oll_gguf_writer *w) { oll_gguf_put_u32(w, "", 1); }

static void put_array_of_strings(struct oll_gguf_writer *w)
{
    oll_gguf_put_array(w, "a", OLL_GGUF_STRING, "", 1);
}

static void put_bad_alignment(struct oll_gguf_writer *w)
{
    oll_gguf_put_u32(w, "general.alignment", 48);
}

static void add_twice(struct oll_gguf_writer *w)
{
    const uint64_t ne[1] = {4};
    oll_gguf_add_tensor(w, "t", OLL_F32, ne, 1);
    oll_gguf_add_tensor(w, "t", OLL_F16, ne, 1);
}

static void add_half_block(struct oll_gguf_writer *w)
{
    const uint64_t ne[1] = {48};
    oll_gguf_add_tensor(w, "t", OLL_Q4_0, ne, 1);
}

static void add_long_name(struct oll_gguf_writer *w)
{
    const uint64_t ne[1] = {4};
    oll_gguf_add_tensor(w, "a234567890123456789012345678901234567890123456789012345678901234",
                        OLL_F32, ne, 1);
}

static void add_empty(struct oll_gguf_writer *w)
{
    const uint64_t ne[2] = {4, 0};
    oll_gguf_add_tensor(w, "t", OLL_F32, ne, 2);
}

TEST(mistakes_stick_until_reported)
{
    static const struct {
        void (*make)(struct oll_gguf_writer *w);
        const char *part;
    } mistakes[] = {
        {put_twice, "key a.b is given twice"},
        {put_empty_key, "1 to 65535 bytes"},
        {put_array_of_strings, "array of 1 string"},
        {put_bad_alignment, "general.alignment 48"},
        {add_twice, "tensor t is given twice"},
        {add_half_block, "tensor t: a bad name, shape"},
        {add_long_name, "a bad name, shape"},
        {add_empty, "a bad name, shape"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        struct oll_error err = {0};
        make_folder();
        struct oll_gguf_writer *w = new_writer();
        mistakes[i].make(w);
        oll_gguf_put_u32(w, "later", 1);
        CHECK_STATUS(oll_gguf_write_header(w, &err), OLL_ERR_ARG);
        CHECK_MSG(strstr(err.text, mistakes[i].part) && strstr(err.text, path), "\"%s\"", err.text);
        CHECK_STATUS(oll_gguf_writer_finish(w, NULL), OLL_ERR_ARG);
        oll_gguf_writer_free(w);
        CHECK(access(path, F_OK) != 0);
        remove_folder();
    }
}

TEST(data_must_be_complete)
{
    const uint64_t ne[1] = {4};
    const float x[8] = {0};
    make_folder();
    for (int k = 0; k < 3; k++) {
        struct oll_error err = {0};
        struct oll_gguf_writer *w = new_writer();
        oll_gguf_put_str(w, "general.architecture", "llama", 5);
        oll_gguf_add_tensor(w, "t", OLL_F32, ne, 1);
        if (k > 0)
            CHECK_OK(oll_gguf_write_header(w, NULL));
        if (k == 1)
            CHECK_OK(oll_gguf_write_data(w, x, 12, NULL));
        if (k == 2)
            CHECK_STATUS(oll_gguf_write_data(w, x, 20, &err), OLL_ERR_ARG);
        CHECK_STATUS(oll_gguf_writer_finish(w, NULL), OLL_ERR_ARG);
        oll_gguf_writer_free(w);
        CHECK(access(path, F_OK) != 0);
    }
    remove_folder();
}

/* What stood under the name stays until the new file is complete. */
TEST(an_unfinished_file_replaces_nothing)
{
    make_folder();
    FILE *old = fopen(path, "wb");
    OLL_ASSERT(old);
    fputs("old", old);
    fclose(old);
    struct oll_gguf_writer *w = new_writer();
    oll_gguf_put_str(w, "general.architecture", "llama", 5);
    CHECK_OK(oll_gguf_write_header(w, NULL));
    oll_gguf_writer_free(w);
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size == 3);
    w = new_writer();
    oll_gguf_put_str(w, "general.architecture", "llama", 5);
    CHECK_OK(oll_gguf_write_header(w, NULL));
    CHECK_OK(oll_gguf_writer_finish(w, NULL));
    oll_gguf_writer_free(w);
    struct oll_gguf *gguf = NULL;
    CHECK_OK(oll_gguf_open(path, &gguf, NULL));
    oll_gguf_close(gguf);
    remove_folder();
}

TEST(a_place_that_cannot_be_written)
{
    struct oll_gguf_writer *w = NULL;
    struct oll_error err = {0};
    CHECK_STATUS(oll_gguf_writer_new("/nonexistent/model.gguf", &w, &err), OLL_ERR_IO);
    CHECK(strstr(err.text, "/nonexistent/model.gguf: cannot create") != NULL);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
