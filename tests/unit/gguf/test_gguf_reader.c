/* Reading: every kind of value and tensor, and files damaged in every place. */
#include "tests/unit/gguf/forge.h"

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "tests/unit/gguf/walk.h"

#include <stdio.h>
#include <string.h>

static struct oll_gguf *open_forged(const struct forge *f)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    CHECK_MSG(oll_gguf_open_memory(f->data, f->n, "forged.gguf", &gguf, &err) == OLL_OK, "%s",
              err.text);
    return gguf;
}

static bool same_str(struct oll_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, (size_t)s.len) == 0;
}

TEST(reads_a_small_model)
{
    struct forge f;
    forge_model(&f);
    struct oll_gguf *gguf = open_forged(&f);
    if (!gguf)
        return;
    CHECK_STR(oll_gguf_path(gguf), "forged.gguf");
    CHECK_EQ(oll_gguf_version(gguf), 3);
    CHECK_EQ(oll_gguf_alignment(gguf), 32);
    CHECK_EQ(oll_gguf_file_bytes(gguf), f.n);
    CHECK_EQ(oll_gguf_n_kv(gguf), 8);
    CHECK_EQ(oll_gguf_n_tensors(gguf), 2);
    CHECK(same_str(oll_gguf_kv_at(gguf, 1)->key, "llama.block_count"));
    CHECK(oll_gguf_find(gguf, "llama.block_count") == oll_gguf_kv_at(gguf, 1));
    CHECK(oll_gguf_find(gguf, "llama.block_coun") == NULL);
    CHECK(oll_gguf_find(gguf, "") == NULL);

    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(gguf, "output.weight");
    CHECK(t == oll_gguf_tensor_at(gguf, 1));
    CHECK(oll_gguf_find_tensor(gguf, "output") == NULL);
    CHECK_EQ(t->n_dims, 2);
    CHECK_EQ(t->ne[0], 32);
    CHECK_EQ(t->ne[1], 2);
    CHECK_EQ(t->ne[2], 1);
    CHECK_EQ(t->ne[3], 1);
    CHECK_EQ(t->dtype, OLL_Q8_0);
    CHECK_EQ(t->n_bytes, 68);
    CHECK_EQ(t->file_off, f.n - 68);
    CHECK(t->data == f.data + f.n - 68);
    CHECK(!t->interleaved);
    const unsigned char *data = NULL;
    CHECK_OK(oll_gguf_data(gguf, t, &data, NULL));
    CHECK(data == t->data);

    const struct oll_gguf_kv *tokens = oll_gguf_find(gguf, "tokenizer.ggml.tokens");
    struct oll_gguf_str s[3];
    CHECK_EQ(tokens->count, 3);
    CHECK_OK(oll_gguf_kv_strings(tokens, s, NULL));
    CHECK(same_str(s[0], "a") && same_str(s[1], "") && same_str(s[2], "\xc3\xa9"));
    CHECK_EQ(oll_gguf_find(gguf, "a.empty")->count, 0);
    oll_gguf_close(gguf);
}

/* One key of each type with a value that shows sign and width. */
static void forge_numbers(struct forge *f)
{
    forge_header(f, 3, 0, 14);
    forge_arch(f);
    forge_key(f, "u8", OLL_GGUF_U8), forge_u8(f, 200);
    forge_key(f, "i8", OLL_GGUF_I8), forge_u8(f, 200);
    forge_key(f, "u16", OLL_GGUF_U16), forge_u16(f, 60000);
    forge_key(f, "i16", OLL_GGUF_I16), forge_u16(f, 60000);
    forge_key(f, "u32", OLL_GGUF_U32), forge_u32(f, 4000000000u);
    forge_key(f, "i32", OLL_GGUF_I32), forge_u32(f, 4000000000u);
    forge_key(f, "u64", OLL_GGUF_U64), forge_u64(f, UINT64_MAX);
    forge_key(f, "i64", OLL_GGUF_I64), forge_u64(f, UINT64_MAX);
    forge_key(f, "f32", OLL_GGUF_F32), forge_f32(f, 0.5f);
    forge_key(f, "f64", OLL_GGUF_F64);
    const double v = 0.1;
    forge_bytes(f, &v, 8);
    forge_key(f, "bool", OLL_GGUF_BOOL), forge_u8(f, 2);
    forge_kv_str(f, "str", "12");
    forge_array(f, "array", OLL_GGUF_I16, 2);
    forge_u16(f, 7);
    forge_u16(f, 0xffff);
}

TEST(typed_reads_take_any_width)
{
    static const struct {
        const char *key;
        int64_t value;
    } integers[] = {{"u8", 200},         {"i8", -56},         {"u16", 60000}, {"i16", -5536},
                    {"u32", 4000000000}, {"i32", -294967296}, {"i64", -1},    {"bool", 1}};
    struct forge f;
    forge_numbers(&f);
    struct oll_gguf *gguf = open_forged(&f);
    if (!gguf)
        return;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        const int64_t expected = integers[i].value;
        uint64_t u = 77;
        int64_t v = 0;
        double d = 0;
        bool b = false;
        CHECK_OK(oll_gguf_i64(gguf, integers[i].key, &v, NULL));
        CHECK_EQ(v, expected);
        CHECK_OK(oll_gguf_f64(gguf, integers[i].key, &d, NULL));
        CHECK(d == (double)expected);
        CHECK_OK(oll_gguf_bool(gguf, integers[i].key, &b, NULL));
        CHECK(b);
        CHECK_STATUS(oll_gguf_u64(gguf, integers[i].key, &u, NULL),
                     expected < 0 ? OLL_ERR_FORMAT : OLL_OK);
        CHECK_EQ(u, expected < 0 ? 77 : expected);
    }
    double d = 0;
    uint64_t u = 0;
    int64_t v = 5;
    CHECK_OK(oll_gguf_f64(gguf, "f32", &d, NULL));
    CHECK(d == 0.5);
    CHECK_OK(oll_gguf_f64(gguf, "f64", &d, NULL));
    CHECK(d == 0.1);
    CHECK_OK(oll_gguf_u64(gguf, "u64", &u, NULL));
    CHECK(u == UINT64_MAX);
    CHECK_STATUS(oll_gguf_i64(gguf, "u64", &v, NULL), OLL_ERR_FORMAT);
    CHECK_EQ(v, 5);
    oll_gguf_close(gguf);
}

TEST(typed_reads_refuse_other_types)
{
    struct forge f;
    struct oll_error err = {0};
    struct oll_gguf_str s;
    uint64_t u;
    double d;
    bool b;
    forge_numbers(&f);
    struct oll_gguf *gguf = open_forged(&f);
    if (!gguf)
        return;
    CHECK_STATUS(oll_gguf_u64(gguf, "absent", &u, &err), OLL_ERR_NOT_FOUND);
    CHECK_EQ(err.status, OLL_OK);
    CHECK_STATUS(oll_gguf_u64(gguf, "f32", &u, &err), OLL_ERR_FORMAT);
    CHECK_STR(err.text, "forged.gguf: key f32: expected an integer, found f32");
    /* The first error wins and is not touched. */
    CHECK_STATUS(oll_gguf_f64(gguf, "str", &d, &err), OLL_ERR_FORMAT);
    CHECK_STR(err.text, "forged.gguf: key f32: expected an integer, found f32");
    err.status = OLL_OK;
    CHECK_STATUS(oll_gguf_f64(gguf, "array", &d, &err), OLL_ERR_FORMAT);
    CHECK_STR(err.text, "forged.gguf: key array: expected a number, found an array of i16");
    CHECK_STATUS(oll_gguf_str(gguf, "u8", &s, NULL), OLL_ERR_FORMAT);
    CHECK_STATUS(oll_gguf_str(gguf, "array", &s, NULL), OLL_ERR_FORMAT);
    CHECK_STATUS(oll_gguf_bool(gguf, "f32", &b, NULL), OLL_ERR_FORMAT);
    CHECK_OK(oll_gguf_str(gguf, "str", &s, NULL));
    CHECK(same_str(s, "12"));

    const struct oll_gguf_kv *kv = oll_gguf_find(gguf, "array");
    int64_t v = 0;
    CHECK_OK(oll_gguf_kv_i64(kv, 1, &v, NULL));
    CHECK_EQ(v, -1);
    CHECK_STATUS(oll_gguf_kv_u64(kv, 1, &u, NULL), OLL_ERR_FORMAT);
    err.status = OLL_OK;
    CHECK_STATUS(oll_gguf_kv_u64(kv, 2, &u, &err), OLL_ERR_FORMAT);
    CHECK_STR(err.text, "key array: element 2 is wanted of 2");
    CHECK_STATUS(oll_gguf_kv_strings(kv, &s, NULL), OLL_ERR_FORMAT);
    oll_gguf_close(gguf);
}

TEST(printable_cuts_and_cleans)
{
    char out[12];
    CHECK_STR(oll_gguf_printable((struct oll_gguf_str){"short", 5}, out, sizeof out), "short");
    CHECK_STR(oll_gguf_printable((struct oll_gguf_str){"12345678901", 11}, out, sizeof out),
              "12345678901");
    CHECK_STR(oll_gguf_printable((struct oll_gguf_str){"123456789012", 12}, out, sizeof out),
              "12345678...");
    CHECK_STR(oll_gguf_printable((struct oll_gguf_str){"1234567\xc3\xa9zzzz", 13}, out, sizeof out),
              "1234567...");
    CHECK_STR(oll_gguf_printable((struct oll_gguf_str){"a\0b\x7f\xc2\x85\xff", 7}, out, sizeof out),
              "a?b???");
    CHECK_STR(oll_gguf_printable((struct oll_gguf_str){NULL, 0}, out, sizeof out), "");
}

/* MXFP4 under type id 4: element 2j is the low nibble of byte j, element 2j + 1 the high one. */
TEST(type_4_of_gpt_oss_is_mxfp4)
{
    static const char *const names[] = {"gptoss", "gpt-oss"};
    const uint64_t ne[2] = {32, 2};
    for (int k = 0; k < 2; k++) {
        struct forge f;
        forge_header(&f, 3, 1, 1);
        forge_kv_str(&f, "general.architecture", names[k]);
        forge_tensor(&f, "blk.0.ffn_up_exps.weight", 2, ne, 4, 0);
        forge_pad(&f, 32);
        for (int b = 0; b < 2; b++) {
            forge_u8(&f, (uint8_t)(120 + b));
            for (int j = 0; j < 16; j++)
                forge_u8(&f, (uint8_t)((2 * j % 16) | (2 * j + 1) % 16 << 4));
        }
        struct oll_gguf *gguf = open_forged(&f);
        if (!gguf)
            return;
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, 0);
        const unsigned char *data = NULL, *again = NULL;
        CHECK_EQ(t->dtype, OLL_MXFP4);
        CHECK_EQ(t->n_bytes, 34);
        CHECK(t->interleaved);
        CHECK_OK(oll_gguf_data(gguf, t, &data, NULL));
        CHECK_OK(oll_gguf_data(gguf, t, &again, NULL));
        CHECK(data == again && data != t->data);
        for (int e = 0; e < 64; e++) { /* element e of a block was forged as the nibble e % 16 */
            const unsigned char byte = data[e / 32 * 17 + 1 + e % 16];
            CHECK_EQ(e % 32 < 16 ? byte & 15 : byte >> 4, e % 16);
        }
        CHECK_EQ(data[17], 121);
        oll_gguf_close(gguf);
    }
}

TEST(every_prefix_is_refused_or_whole)
{
    struct forge f;
    forge_model(&f);
    for (size_t n = 0; n < f.n; n++) {
        struct oll_gguf *gguf = NULL;
        struct oll_error err = {0};
        unsigned char *copy;
        const oll_status status = forge_open_bytes(f.data, n, &copy, &gguf, &err);
        CHECK_MSG(status != OLL_OK, "a file of %zu bytes of %zu is accepted", n, f.n);
        CHECK_MSG(strstr(err.text, "forged.gguf"), "%zu bytes: \"%s\"", n, err.text);
        oll_gguf_close(gguf);
        oll_free(copy);
    }
}

/* Each byte of the head takes every value that flips one bit, and the extremes. */
TEST(every_damaged_byte_ends_in_a_reader_or_an_error)
{
    struct forge f;
    int n_accepted = 0;
    forge_model(&f);
    for (size_t i = 0; i < f.n; i++) {
        for (int k = 0; k < 10; k++) {
            struct oll_gguf *gguf = NULL;
            struct oll_error err = {0};
            unsigned char *copy;
            struct forge g = f;
            g.data[i] = k < 8 ? (unsigned char)(g.data[i] ^ 1 << k) : k == 8 ? 0 : 255;
            if (forge_open_bytes(g.data, g.n, &copy, &gguf, &err) == OLL_OK) {
                walk_gguf(gguf);
                n_accepted++;
            } else {
                CHECK(strstr(err.text, "forged.gguf") && !strchr(err.text, '\n'));
            }
            oll_gguf_close(gguf);
            oll_free(copy);
        }
    }
    CHECK(n_accepted > 0);
}

TEST(random_damage_ends_in_a_reader_or_an_error)
{
    enum { ROUNDS = 20000 };
    struct forge f;
    uint64_t seed = 20240601;
    forge_model(&f);
    for (int r = 0; r < ROUNDS; r++) {
        struct oll_gguf *gguf = NULL;
        unsigned char *copy;
        struct forge g = f;
        const int n_changes = 1 + (int)(testing_random(&seed) % 8);
        for (int k = 0; k < n_changes; k++) {
            const uint64_t bits = testing_random(&seed);
            g.data[(bits >> 8) % g.n] = (unsigned char)bits;
        }
        if (testing_random(&seed) % 4 == 0)
            g.n = testing_random(&seed) % (g.n + 1);
        if (forge_open_bytes(g.data, g.n, &copy, &gguf, NULL) == OLL_OK)
            walk_gguf(gguf);
        oll_gguf_close(gguf);
        oll_free(copy);
    }
}

TEST(opens_only_regular_files)
{
    static const char *const paths[] = {"/dev/zero", "/", "/nonexistent/model.gguf"};
    for (int i = 0; i < 3; i++) {
        struct oll_gguf *gguf = NULL;
        struct oll_error err = {0};
        CHECK_STATUS(oll_gguf_open(paths[i], &gguf, &err),
                     i == 2 ? OLL_ERR_NOT_FOUND : OLL_ERR_ARG);
        CHECK(strstr(err.text, paths[i]) != NULL);
    }
}

/* Every 97th prefix of a real-sized file, from the map of the file itself. */
TEST(prefixes_of_a_golden_file)
{
    struct oll_file_map map = {0};
    const char *path = testing_shared("data/golden/llama-q4_0.gguf");
    if (!path[0]) {
        testing_skip("no golden models in the shared data");
        return;
    }
    if (!CHECK_OK(oll_file_map(path, &map, NULL)))
        return;
    for (uint64_t n = 0; n < map.size_bytes; n += 97) {
        struct oll_gguf *gguf = NULL;
        struct oll_error err = {0};
        const oll_status status = oll_gguf_open_memory(map.data, n, "cut.gguf", &gguf, &err);
        /* Only the padding at the end may be missing. */
        CHECK_MSG(status != OLL_OK || map.size_bytes - n < 32, "%llu bytes are accepted",
                  (unsigned long long)n);
        oll_gguf_close(gguf);
    }
    oll_file_unmap(&map);
}

int main(int argc, char **argv)
{
    oll_log_set_level(OLL_LOG_ERROR); /* damaged bools warn */
    return testing_main(argc, argv);
}
