#include "engine/base/mem.h"
#include "server/body_zstd.h"
#include "tests/testing.h"

#include <string.h>

/* A frame of blocks (RFC 8878 3.1.1): 128 KiB of one byte each, the last one as it stands. */
enum { BLOCK = 128 * 1024 };

static struct oll_strbuf frame(int n_blocks, unsigned window_log, const char *end)
{
    const uint8_t head[] = {0x28, 0xb5, 0x2f, 0xfd, 0, (uint8_t)((window_log - 10) << 3)};
    const size_t n_end = strlen(end);
    const uint8_t last[] = {(uint8_t)(n_end << 3 | 1), (uint8_t)(n_end >> 5),
                            (uint8_t)(n_end >> 13)};
    struct oll_strbuf out;
    oll_strbuf_init(&out, 1 << 20);
    oll_strbuf_add(&out, head, sizeof head);
    for (int i = 0; i < n_blocks; i++)
        oll_strbuf_add(&out, "\x02\x00\x10 ", 4);
    oll_strbuf_add(&out, last, sizeof last);
    oll_strbuf_adds(&out, end);
    return out;
}

/* Reads data[0..n) and looks for `expected` at the end of the text. */
static oll_status read(const void *data, size_t n, size_t n_text, const char *expected,
                       struct oll_error *err)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, BODY_ZSTD_BYTES_MAX);
    oll_status status = body_zstd_read(data, n, &text, err);
    if (status == OLL_ERR_UNSUPPORTED)
        testing_skip("this build has no libzstd");
    if (status == OLL_OK) {
        CHECK_EQ(text.len, n_text);
        CHECK(text.len >= strlen(expected) &&
              strcmp(text.data + text.len - strlen(expected), expected) == 0);
    }
    oll_strbuf_free(&text);
    return status;
}

static const uint8_t packed[] = {
    0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x68, 0xd5, 0x01, 0x00, 0xd2, 0x43, 0x0c, 0x11, 0xb0, 0xeb,
    0xa7, 0x5d, 0x3f, 0x11, 0xc6, 0xb6, 0x34, 0xf6, 0xa4, 0xa0, 0x81, 0x26, 0x98, 0x73, 0x02,
    0x6f, 0x3c, 0x03, 0xcd, 0x3c, 0x32, 0x9a, 0xa9, 0x33, 0xa5, 0xc5, 0xc1, 0xeb, 0xdb, 0x8c,
    0x7e, 0xea, 0xb2, 0x13, 0xe8, 0xfd, 0x21, 0xbb, 0x4f, 0x0e, 0x4e, 0x46, 0xe7, 0x8d, 0x26,
    0xbb, 0x01, 0x00, 0x99, 0xbb, 0x40, 0x01, 0x6f, 0xb6, 0x94, 0xa5};
static const char packed_text[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
                                  "\"hello hello hello hello hello hello\"}]}";

TEST(reads_what_was_compressed)
{
    CHECK_OK(read(packed, sizeof packed, strlen(packed_text), packed_text, NULL));
    struct oll_strbuf two = frame(3, 20, "end");
    oll_strbuf_add(&two, packed, sizeof packed);
    CHECK_OK(read(two.data, two.len, 3 * BLOCK + 3 + strlen(packed_text), packed_text, NULL));
    oll_strbuf_free(&two);
}

TEST(every_cut_and_every_damage_is_an_error_or_text)
{
    for (size_t n = 1; n < sizeof packed; n++)
        CHECK_STATUS(read(packed, n, 0, "", NULL), OLL_ERR_FORMAT);
    for (size_t i = 0; i < sizeof packed; i++) {
        uint8_t damaged[sizeof packed];
        struct oll_error err = {0};
        memcpy(damaged, packed, sizeof packed);
        damaged[i] ^= 0x20;
        oll_status status = read(damaged, sizeof damaged, strlen(packed_text), packed_text, &err);
        /* The descriptors of frame and window may say something else that fits as well. */
        CHECK_MSG(status == OLL_ERR_FORMAT || (status == OLL_OK && (i == 4 || i == 5)),
                  "byte %zu: %s", i, err.text);
    }
}

TEST(no_more_than_the_limit_comes_out)
{
    struct oll_error err = {0};
    struct oll_strbuf most = frame(BODY_ZSTD_BYTES_MAX / BLOCK - 1, 20, "x");
    CHECK_OK(read(most.data, most.len, BODY_ZSTD_BYTES_MAX - BLOCK + 1, "x", NULL));
    struct oll_strbuf bomb = frame(100000, 20, "x");
    CHECK_STATUS(read(bomb.data, bomb.len, 0, "", &err), OLL_ERR_LIMIT);
    CHECK_STR(err.text, "the body takes more than 20 MiB when decompressed");
    struct oll_strbuf wide = frame(1, 24, "x");
    CHECK_STATUS(read(wide.data, wide.len, 0, "", &err), OLL_ERR_FORMAT);
    oll_strbuf_free(&most);
    oll_strbuf_free(&bomb);
    oll_strbuf_free(&wide);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
