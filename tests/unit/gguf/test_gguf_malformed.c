/* Every case that a loader must refuse, by the numbers of the format specification (1.10): each is
 * a forged file of at most 1 KiB. Cases 29 and 30 (shapes and keys that an architecture requires)
 * and the lenient half of 32 belong to the engine and the tokenizer. */
#include "tests/unit/gguf/forge.h"

#include <math.h>
#include <stdio.h>

static const uint64_t four[5] = {4, 1, 1, 1, 1};

TEST(case_01_short_files)
{
    struct forge f = {0};
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "0 bytes are too few");
    forge_header(&f, 3, 0, 0);
    for (f.n = 4; f.n < 24; f.n++)
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "too few for a GGUF header");
    for (f.n = 1; f.n < 4; f.n++)
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "too few for a GGUF header");
}

TEST(case_02_wrong_magic)
{
    struct forge f = {0};
    forge_header(&f, 3, 0, 0);
    f.data[3] = 'G';
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 0: not a GGUF file: it begins with 47 47 55 47");
}

TEST(case_02_other_formats_by_name)
{
    static const struct {
        const char *text, *part;
    } files[] = {
        {"lmgg\1\0\0\0 the first format of 2023", "before GGUF"},
        {"fmgg\1\0\0\0 the same with scores     ", "before GGUF"},
        {"tjgg\3\0\0\0 the one that was mapped  ", "before GGUF"},
        {"algg\1\0\0\0 an adapter of that time  ", "before GGUF"},
        {"PK\3\4 a zip archive of 24 bytes or more", "zip archive"},
        {"\x80\2 a pickle of some 24 bytes or more", "pickle"},
        {"\x10\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}", "safetensors"},
        {"\n <!DOCTYPE html><html><body>404", "web page"},
        {"<HTML><head><title>503</title>", "web page"},
        {"version https://git-lfs.github.com/spec/v1", "Git LFS"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        /* The NULs inside the literals count: 24 bytes of each are enough to tell. */
        struct forge f = {0};
        forge_bytes(&f, files[i].text, 24);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, files[i].part);
    }
}

TEST(case_03_versions)
{
    struct forge f;
    forge_header(&f, 0, 0, 0);
    CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, "byte 4: GGUF version 0 is not known");
    forge_header(&f, 1, 0, 0);
    CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, "GGUF v1 is no longer supported");
    forge_header(&f, 4, 0, 0);
    CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, "GGUF version 4 is not known");
    forge_header(&f, 3u << 24, 0, 0);
    CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, "big-endian");
    forge_model(&f);
    f.data[4] = 2;
    CHECK_ACCEPTED(&f);
}

TEST(case_04_counts_beyond_the_file)
{
    struct forge f;
    forge_header(&f, 3, 0, 3);
    forge_zeros(&f, 38); /* three pairs need 39 bytes */
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 16: 3 metadata pairs do not fit the 38 bytes left");
    forge_header(&f, 3, 2, 0);
    forge_zeros(&f, 63); /* two tensors need 64 */
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 8: 2 tensors do not fit the 63 bytes left");
    /* They fit the file but not what the metadata leaves of it. */
    forge_header(&f, 3, 2, 1);
    forge_arch(&f);
    forge_zeros(&f, 40);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "2 tensors do not fit the 40 bytes left");
}

TEST(case_05_counts_near_2_64)
{
    static const uint64_t counts[] = {UINT64_MAX, UINT64_MAX / 13 + 1, UINT64_MAX / 32 + 1,
                                      1ull << 63, 65537 + (1ull << 32)};
    struct forge f;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        forge_header(&f, 3, 0, counts[i]);
        forge_zeros(&f, 100);
        CHECK_REFUSED(&f, OLL_ERR_LIMIT, "at most 65536 are read");
        forge_header(&f, 3, counts[i], 0);
        forge_zeros(&f, 100);
        CHECK_REFUSED(&f, OLL_ERR_LIMIT, "at most 1048576 are read");
    }
}

TEST(case_06_keys)
{
    struct forge f;
    forge_header(&f, 3, 0, 1);
    forge_kv_u32(&f, "", 1);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 24: metadata key of 0 bytes");
    forge_header(&f, 3, 0, 1);
    forge_u64(&f, 100); /* longer than the file */
    forge_zeros(&f, 50);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 32: metadata key: 100 bytes are needed, 50 are left");
}

TEST(case_06_key_of_65536_bytes)
{
    enum { N = 24 + 8 + 65536 + 4 + 1 };
    unsigned char *data = oll_calloc(N, 1);
    struct forge f;
    forge_header(&f, 3, 0, 1);
    forge_u64(&f, 65536);
    memcpy(data, f.data, f.n);
    memset(data + f.n, 'k', 65536);
    forge_check_refused_bytes(data, N, OLL_ERR_FORMAT, "metadata key of 65536 bytes", __FILE__,
                              __LINE__);
    oll_free(data);
}

TEST(case_07_string_lengths)
{
    static const uint64_t lengths[] = {5, 1u << 20, UINT64_MAX, UINT64_MAX - 60, 1ull << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct forge f;
        forge_header(&f, 3, 0, 1);
        forge_key(&f, "general.name", OLL_GGUF_STRING);
        forge_u64(&f, lengths[i]);
        forge_bytes(&f, "abcd", 4);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 56: key general.name: string 1 of 1");
    }
}

TEST(case_08_cut_in_a_value)
{
    struct forge f;
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    const size_t whole = f.n;
    forge_kv_u32(&f, "llama.block_count", 1);
    for (size_t n = f.n - 1; n > whole + 8 + strlen("llama.block_count"); n--) {
        struct forge cut = f;
        cut.n = n;
        CHECK_REFUSED(&cut, OLL_ERR_FORMAT, "key llama.block_count: 4 bytes are needed");
    }
}

TEST(case_09_duplicate_key)
{
    struct forge f;
    forge_header(&f, 3, 0, 3);
    forge_arch(&f);
    forge_kv_u32(&f, "a.b", 1);
    forge_kv_f32(&f, "a.b", 1);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "key a.b occurs twice");
}

TEST(case_10_unknown_value_type)
{
    static const uint32_t ids[] = {13, 14, 255, UINT32_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct forge f;
        forge_header(&f, 3, 0, 1);
        forge_key(&f, "a.b", ids[i]);
        forge_zeros(&f, 16);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "byte 35: key a.b: unknown value type");
    }
}

TEST(case_11_arrays_of_what_is_no_value)
{
    struct forge f;
    forge_header(&f, 3, 0, 1);
    forge_array(&f, "a.b", OLL_GGUF_ARRAY, 1);
    forge_zeros(&f, 32);
    CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, "key a.b: an array of arrays");
    forge_header(&f, 3, 0, 1);
    forge_array(&f, "a.b", 13, 1);
    forge_zeros(&f, 32);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "key a.b: unknown value type 13");
}

TEST(case_12_array_counts)
{
    struct forge f;
    for (int shift = 61; shift < 64; shift++) { /* count * 8 wraps to 0 */
        forge_header(&f, 3, 0, 1);
        forge_array(&f, "a.b", OLL_GGUF_U64, 1ull << shift);
        forge_zeros(&f, 32);
        CHECK_REFUSED(&f, OLL_ERR_LIMIT, "elements of key a.b, at most 67108864 are read");
    }
    forge_header(&f, 3, 0, 1);
    forge_array(&f, "a.b", OLL_GGUF_U64, 5);
    forge_zeros(&f, 39);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "5 elements of key a.b do not fit the 39 bytes left");
    forge_header(&f, 3, 0, 1);
    forge_array(&f, "a.b", OLL_GGUF_STRING, 5);
    forge_zeros(&f, 39);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "5 elements of key a.b do not fit the 39 bytes left");
    forge_header(&f, 3, 0, 1);
    forge_array(&f, "a.b", OLL_GGUF_STRING, 2);
    forge_str(&f, "one");
    forge_u64(&f, 10);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "key a.b: string 2 of 2: 10 bytes are needed, 0 are left");
}

TEST(case_13_alignment)
{
    static const uint32_t bad[] = {0, 1, 4, 12, 33, 48, (1u << 20) + 1, 1u << 21, UINT32_MAX};
    struct forge f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        forge_header(&f, 3, 0, 2);
        forge_arch(&f);
        forge_kv_u32(&f, "general.alignment", bad[i]);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "general.alignment: ");
    }
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_kv_str(&f, "general.alignment", "32");
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "general.alignment: expected an integer, found string");
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_kv_f32(&f, "general.alignment", 32.0f);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "general.alignment: expected an integer, found f32");
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_key(&f, "general.alignment", OLL_GGUF_I64);
    forge_u64(&f, 64);
    CHECK_ACCEPTED(&f);
}

TEST(case_14_architecture)
{
    struct forge f;
    forge_header(&f, 3, 0, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "general.architecture is missing");
    forge_header(&f, 3, 0, 1);
    forge_kv_u32(&f, "general.architecture", 3);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "general.architecture: expected a string, found u32");
    forge_header(&f, 3, 0, 1);
    forge_kv_str(&f, "general.architecture", "");
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "general.architecture: a name of 1 to 63 bytes");
}

TEST(case_15_tokens_are_strings)
{
    struct forge f;
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_array(&f, "tokenizer.ggml.tokens", OLL_GGUF_U32, 1);
    forge_u32(&f, 7);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "expected an array of strings, found an array of u32");
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_kv_str(&f, "tokenizer.ggml.tokens", "a");
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "expected an array of strings, found string");
}

/* Two tokens, then a list of `count` values of a type beside them. */
static void forge_token_list(struct forge *f, const char *key, uint32_t type, uint64_t count)
{
    forge_header(f, 3, 0, 3);
    forge_arch(f);
    forge_array(f, "tokenizer.ggml.tokens", OLL_GGUF_STRING, 2);
    forge_str(f, "a");
    forge_str(f, "b");
    forge_array(f, key, type, count);
    forge_zeros(f, 4 * (size_t)count);
}

TEST(case_16_lists_beside_the_tokens)
{
    struct forge f;
    forge_token_list(&f, "tokenizer.ggml.scores", OLL_GGUF_F32, 1);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tokenizer.ggml.scores: 1 elements for 2 tokens");
    forge_token_list(&f, "tokenizer.ggml.token_type", OLL_GGUF_I32, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tokenizer.ggml.token_type: 0 elements for 2 tokens");
    forge_token_list(&f, "tokenizer.ggml.token_type", OLL_GGUF_F32, 2);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "token_type: expected an integer, found an array of f32");
    forge_token_list(&f, "tokenizer.ggml.scores", OLL_GGUF_F32, 3);
    CHECK_ACCEPTED(&f);
}

TEST(case_17_tensor_names)
{
    char long_name[65];
    struct forge f;
    memset(long_name, 'n', 64);
    long_name[64] = '\0';
    for (int n = 63; n <= 64; n++) {
        forge_header(&f, 3, 1, 1);
        forge_arch(&f);
        forge_tensor(&f, long_name + 64 - n, 1, four, OLL_F32, 0);
        forge_pad(&f, 32);
        forge_zeros(&f, 16);
        if (n == 63)
            CHECK_ACCEPTED(&f);
        else
            CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor name of 64 bytes");
    }
    forge_header(&f, 3, 1, 1);
    forge_arch(&f);
    forge_tensor(&f, "", 1, four, OLL_F32, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor name of 0 bytes");
    forge_header(&f, 3, 3, 1);
    forge_arch(&f);
    forge_tensor(&f, "twice", 1, four, OLL_F32, 0);
    forge_tensor(&f, "once", 1, four, OLL_F32, 32);
    forge_tensor(&f, "twice", 1, four, OLL_F32, 64);
    forge_pad(&f, 32);
    forge_zeros(&f, 80);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor twice occurs twice");
}

TEST(case_18_numbers_of_dimensions)
{
    static const uint32_t bad[] = {0, 5};
    struct forge f;
    for (int i = 0; i < 2; i++) {
        forge_one_tensor(&f, bad[i], four, OLL_F32, 0);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "dimensions, 1 to 4 are allowed");
    }
    forge_header(&f, 3, 1, 1);
    forge_arch(&f);
    forge_str(&f, "x");
    forge_u32(&f, UINT32_MAX);
    forge_zeros(&f, 64);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor x: 4294967295 dimensions");
}

TEST(case_19_dimension_0)
{
    for (int d = 0; d < 4; d++) {
        uint64_t ne[4] = {4, 4, 4, 4};
        struct forge f;
        ne[d] = 0;
        forge_one_tensor(&f, 4, ne, OLL_F32, 0);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor blk.0.ffn_up.weight: dimension");
    }
}

TEST(case_20_dimension_of_2_63)
{
    const uint64_t ne[2] = {4, 1ull << 63};
    struct forge f;
    forge_one_tensor(&f, 2, ne, OLL_F32, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "dimension 1 is 9223372036854775808");
}

TEST(case_21_product_of_dimensions)
{
    const uint64_t wraps[2] = {1ull << 32, 1ull << 32}; /* 2^64 */
    const uint64_t big[4] = {1ull << 62, 2, 1, 1};      /* 2^63 */
    const uint64_t all[4] = {1u << 31, 1u << 31, 1u << 31, 1u << 31};
    struct forge f;
    forge_one_tensor(&f, 2, wraps, OLL_I8, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "more elements than 2^63 - 1");
    forge_one_tensor(&f, 4, big, OLL_I8, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "more elements than 2^63 - 1");
    forge_one_tensor(&f, 4, all, OLL_I8, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "more elements than 2^63 - 1");
}

TEST(case_22_type_ids)
{
    static const struct {
        uint32_t id;
        const char *part;
    } bad[] = {
        {4, "type id 4 is a 4-bit type removed"},
        {5, "removed"},
        {31, "removed"},
        {36, "removed"},
        {43, "not a known tensor type"},
        {96, "not a known"},
        {137, "ik_llama.cpp"},
        {202, "fork"},
        {UINT32_MAX, "fork"},
    };
    struct forge f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        forge_one_tensor(&f, 1, four, bad[i].id, 0);
        CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, bad[i].part);
    }
}

TEST(case_23_row_of_no_whole_blocks)
{
    struct forge f;
    for (uint32_t id = 0; id < OLL_DTYPE_COUNT; id++) {
        const struct oll_dtype_info *info = oll_dtype_info(id);
        if (!info || info->block_elements == 1)
            continue;
        const uint64_t ne[2] = {info->block_elements + 1u, info->block_elements};
        forge_one_tensor(&f, 2, ne, id, 0);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, info->name);
    }
}

TEST(case_24_bytes_overflow)
{
    const uint64_t exact[1] = {1ull << 62}; /* times 4 is 2^64 */
    const uint64_t rows[2] = {1ull << 31, 1ull << 31};
    struct forge f;
    forge_one_tensor(&f, 1, exact, OLL_F32, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "more bytes than 2^64 - 1");
    forge_one_tensor(&f, 2, rows, OLL_F64, 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "more bytes than 2^64 - 1");
}

TEST(case_25_offset_off_the_alignment)
{
    struct forge f;
    forge_one_tensor(&f, 1, four, OLL_F32, 16);
    forge_zeros(&f, 64);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "offset 16 is no multiple of the alignment 32");
}

TEST(case_26_data_beyond_the_file)
{
    static const uint64_t offsets[] = {32, 1ull << 40, UINT64_MAX - 31, 1ull << 63};
    const uint64_t huge[1] = {1ull << 40};
    struct forge f;
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        forge_one_tensor(&f, 1, four, OLL_F32, offsets[i]);
        forge_zeros(&f, 32);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor blk.0.ffn_up.weight: ");
    }
    forge_one_tensor(&f, 1, huge, OLL_F32, 0);
    forge_zeros(&f, 32);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "pass the end of the file");
    forge_one_tensor(&f, 1, four, OLL_F32, 0);
    forge_zeros(&f, 15);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "its 16 bytes pass the end of the file");
    forge_zeros(&f, 1); /* the final padding may be missing */
    CHECK_ACCEPTED(&f);
}

TEST(case_27_overlap)
{
    const uint64_t nine[1] = {9}; /* 36 bytes */
    for (int order = 0; order < 2; order++) {
        struct forge f;
        forge_header(&f, 3, 2, 1);
        forge_arch(&f);
        forge_tensor(&f, order ? "b" : "a", 1, order ? four : nine, OLL_F32, order ? 32 : 0);
        forge_tensor(&f, order ? "a" : "b", 1, order ? nine : four, OLL_F32, order ? 0 : 32);
        forge_pad(&f, 32);
        forge_zeros(&f, 64);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor b begins inside tensor a");
    }
}

TEST(case_27_order_and_gaps_are_free)
{
    struct forge f;
    forge_header(&f, 3, 2, 1);
    forge_arch(&f);
    forge_tensor(&f, "late", 1, four, OLL_F32, 128);
    forge_tensor(&f, "early", 1, four, OLL_F32, 32);
    forge_pad(&f, 32);
    forge_zeros(&f, 144);
    CHECK_ACCEPTED(&f);
}

TEST(case_28_data_section_beyond_the_file)
{
    struct forge f;
    forge_header(&f, 3, 1, 1);
    forge_arch(&f);
    forge_tensor(&f, "x", 1, four, OLL_F32, 0);
    CHECK(f.n % 32 != 0);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "tensor x: the data begins here but the file ends");
    forge_header(&f, 3, 0, 1); /* without tensors nothing is missing */
    forge_arch(&f);
    CHECK(f.n % 32 != 0);
    CHECK_ACCEPTED(&f);
}

/* One key of the architecture besides its name. */
static void forge_hparam_u32(struct forge *f, const char *key, uint32_t value)
{
    forge_header(f, 3, 0, 2);
    forge_arch(f);
    forge_kv_u32(f, key, value);
}

TEST(case_30_keys_of_a_wrong_type)
{
    static const char *const keys[] = {"llama.block_count", "llama.embedding_length",
                                       "llama.rope.freq_base",
                                       "llama.attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct forge f;
        forge_header(&f, 3, 0, 2);
        forge_arch(&f);
        forge_kv_str(&f, keys[i], "12");
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, keys[i]);
    }
}

TEST(case_30_limits_of_hyper_parameters)
{
    static const struct {
        const char *key;
        uint32_t good, bad;
    } limits[] = {
        {"llama.block_count", 1024, 1025},
        {"llama.block_count", 1, 0},
        {"llama.embedding_length", 1 << 20, (1 << 20) + 1},
        {"llama.embedding_length", 1, 0},
        {"llama.feed_forward_length", 1 << 20, (1 << 20) + 1},
        {"llama.context_length", INT32_MAX, 1u << 31},
        {"llama.vocab_size", 1 << 24, (1 << 24) + 1},
        {"llama.expert_count", 1024, 1025},
    };
    struct forge f;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        forge_hparam_u32(&f, limits[i].key, limits[i].bad);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "is not in the range");
        forge_hparam_u32(&f, limits[i].key, limits[i].good);
        CHECK_ACCEPTED(&f);
    }
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_array(&f, "llama.feed_forward_length", OLL_GGUF_I32, 2);
    forge_u32(&f, 5);
    forge_u32(&f, UINT32_MAX); /* -1 */
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "llama.feed_forward_length: -1 is negative");
}

TEST(case_31_split_keys_of_a_single_file)
{
    struct forge f;
    forge_header(&f, 3, 0, 3);
    forge_arch(&f);
    forge_kv_u32(&f, "split.no", 3);
    forge_kv_u32(&f, "split.count", 3);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "split.no: 3 of split.count 3 parts");
    forge_header(&f, 3, 0, 3);
    forge_arch(&f);
    forge_kv_u32(&f, "split.no", 0);
    forge_kv_u32(&f, "split.count", 3);
    CHECK_REFUSED(&f, OLL_ERR_UNSUPPORTED, "one of 3 parts of a split model");
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_kv_str(&f, "split.count", "3");
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "split.count: expected an integer");
    forge_header(&f, 3, 0, 3);
    forge_arch(&f);
    forge_kv_u32(&f, "split.count", 1);
    forge_kv_u32(&f, "split.tensors.count", 1);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "split.tensors.count: 1, but 0 tensors");
}

TEST(case_32_numbers_that_poison_the_pass)
{
    static const float bases[] = {0.0f, -1.0f, NAN, INFINITY, -INFINITY};
    static const float eps[] = {-1e-6f, NAN, INFINITY};
    struct forge f;
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        forge_header(&f, 3, 0, 2);
        forge_arch(&f);
        forge_kv_f32(&f, "llama.rope.freq_base", bases[i]);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "llama.rope.freq_base: ");
    }
    for (size_t i = 0; i < sizeof eps / sizeof *eps; i++) {
        forge_header(&f, 3, 0, 2);
        forge_arch(&f);
        forge_kv_f32(&f, "llama.attention.layer_norm_epsilon", eps[i]);
        CHECK_REFUSED(&f, OLL_ERR_FORMAT, "llama.attention.layer_norm_epsilon: ");
    }
    forge_header(&f, 3, 0, 2); /* a token id out of range is for the tokenizer to ignore */
    forge_arch(&f);
    forge_kv_u32(&f, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    CHECK_ACCEPTED(&f);
}

/* What a message shows of hostile names cannot steer a terminal or break the line. */
TEST(names_in_messages_are_printable)
{
    struct forge f;
    forge_header(&f, 3, 0, 1);
    forge_key(&f, "a\x1b[2J\nb\xff", 99);
    CHECK_REFUSED(&f, OLL_ERR_FORMAT, "key a?[2J?b?: unknown value type 99");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
