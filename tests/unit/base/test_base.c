#include "engine/base/arena.h"
#include "engine/base/dtype.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/base/sha256.h"
#include "engine/base/strbuf.h"
#include "engine/base/utf8.h"
#include "tests/testing.h"

#include <string.h>

TEST(error_keeps_the_first_text)
{
    struct oll_error err = {0};
    CHECK_STATUS(OLL_FAIL(&err, OLL_ERR_FORMAT, "first %d", 1), OLL_ERR_FORMAT);
    CHECK_STATUS(OLL_FAIL(&err, OLL_ERR_IO, "second"), OLL_ERR_IO);
    CHECK_STR(oll_error_text(&err), "first 1");
    oll_error_prefix(&err, "file %s", "a.gguf");
    CHECK_STR(oll_error_text(&err), "file a.gguf: first 1");
    CHECK_EQ(err.status, OLL_ERR_FORMAT);
}

TEST(checked_products)
{
    uint64_t u;
    size_t s;
    CHECK(!oll_mul_u64(UINT64_MAX, 2, &u));
    CHECK(oll_mul_u64(UINT64_MAX, 1, &u) && u == UINT64_MAX);
    CHECK(!oll_add_u64(UINT64_MAX, 1, &u));
    CHECK(!oll_mul_size(SIZE_MAX / 2, 3, &s));
    CHECK(oll_alloc(SIZE_MAX / 2, 4) == NULL);
}

TEST(arena_limit_sticks)
{
    struct oll_arena arena;
    oll_arena_init(&arena, 64 * 1024);
    char *text = oll_arena_printf(&arena, "%s-%d", "abc", 7);
    CHECK_STR(text, "abc-7");
    CHECK(((uintptr_t)oll_arena_alloc(&arena, 3, 5) & 15) == 0);
    CHECK(oll_arena_alloc(&arena, 1, 60 * 1024) != NULL);
    CHECK(oll_arena_alloc(&arena, 1, 8 * 1024) == NULL);
    CHECK_EQ(arena.status, OLL_ERR_LIMIT);
    CHECK(oll_arena_alloc(&arena, 1, 1) == NULL);
    oll_arena_reset(&arena);
    CHECK_EQ(arena.status, OLL_OK);
    CHECK(oll_arena_alloc(&arena, 1, 1) != NULL);
    oll_arena_free(&arena);
}

TEST(strbuf_limit_sticks_and_take_moves)
{
    struct oll_strbuf sb;
    size_t len;
    oll_strbuf_init(&sb, 8);
    CHECK_STR(sb.data, "");
    oll_strbuf_printf(&sb, "%d", 12345);
    oll_strbuf_adds(&sb, "abcd");
    CHECK_EQ(sb.status, OLL_ERR_LIMIT);
    CHECK_EQ(sb.len, 5);
    oll_strbuf_clear(&sb);
    oll_strbuf_adds(&sb, "abcd");
    oll_strbuf_drop(&sb, 1);
    char *data = oll_strbuf_take(&sb, &len);
    CHECK_STR(data, "bcd");
    CHECK_EQ(len, 3);
    oll_free(data);
    oll_strbuf_free(&sb);
}

TEST(utf8_strict)
{
    uint32_t cp;
    CHECK_EQ(oll_utf8_decode("\xE2\x82\xAC", 3, &cp), 3);
    CHECK_EQ(cp, 0x20AC);
    CHECK_EQ(oll_utf8_decode("\xC0\x80", 2, &cp), 0);         /* overlong */
    CHECK_EQ(oll_utf8_decode("\xED\xA0\x80", 3, &cp), 0);     /* surrogate */
    CHECK_EQ(oll_utf8_decode("\xF4\x90\x80\x80", 4, &cp), 0); /* beyond U+10FFFF */
    CHECK_EQ(oll_utf8_decode("\xE2\x82", 2, &cp), 0);         /* cut */
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char out[4];
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        int n = oll_utf8_encode(c, out);
        if (oll_utf8_decode(out, (size_t)n, &cp) != n || cp != c) {
            CHECK_MSG(false, "U+%04X", c);
            break;
        }
        for (int cut = 1; cut < n; cut++)
            if (oll_utf8_complete_len(out, (size_t)cut) != 0) {
                CHECK_MSG(false, "U+%04X cut at %d", c, cut);
                return;
            }
    }
    CHECK_EQ(oll_utf8_complete_len("ab\xE2\x82", 4), 2);
    CHECK_EQ(oll_utf8_complete_len("ab\x82", 3), 3);
    CHECK_EQ(oll_utf8_complete_len("\xED\xA0", 2), 2);
}

TEST(dtype_table)
{
    enum oll_dtype t;
    CHECK(oll_dtype_from_name("q4_k", &t) && t == OLL_Q4_K);
    CHECK(!oll_dtype_from_name("q4_x", &t));
    CHECK(oll_dtype_info(4) == NULL && oll_dtype_info(43) == NULL &&
          oll_dtype_info(UINT32_MAX) == NULL);
    CHECK_EQ(oll_dtype_row_bytes(OLL_Q6_K, 512), 420);
}

TEST(sha256_of_abc)
{
    uint8_t digest[OLL_SHA256_BYTES];
    char hex[OLL_SHA256_HEX + 1];
    struct oll_sha256 *h = oll_sha256_new();
    oll_sha256_update(h, "abc", 3);
    oll_sha256_final(h, digest);
    oll_sha256_free(h);
    oll_sha256_hex(digest, hex);
    CHECK_STR(hex,
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); /* FIPS 180-4
                                                                                      example */
}

TEST(files_that_are_no_files)
{
    struct oll_file_map map;
    struct oll_error err = {0};
    CHECK_STATUS(oll_file_map("/dev/zero", &map, &err), OLL_ERR_ARG);
    CHECK_STR(err.text, "/dev/zero: not a regular file");
    CHECK_STATUS(oll_file_map("/nonexistent", &map, NULL), OLL_ERR_NOT_FOUND);
    CHECK_OK(oll_file_map(OLL_SOURCE_DIR "/CMakeLists.txt", &map, NULL));
    CHECK(map.size_bytes > 10 && memcmp(map.data, "cmake", 5) == 0);
    oll_file_unmap(&map);
}

TEST(platform_counts_processors)
{
    int ids[OLL_CPU_MAX], n_physical;
    int n = oll_platform_cpus(ids, OLL_CPU_MAX, &n_physical);
    CHECK(n >= 1 && n_physical >= 1 && n_physical <= n);
    CHECK_EQ(oll_platform_cpus(ids, 1, &n_physical), 1);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
