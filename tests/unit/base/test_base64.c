#include "tests/testing.h"

#include "engine/base/base64.h"

#include <string.h>

/* RFC 4648 section 10. */
TEST(published_vectors)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    struct oll_strbuf out;
    oll_strbuf_init(&out, 100);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        oll_strbuf_clear(&out);
        oll_base64_encode(vectors[i][0], strlen(vectors[i][0]), &out);
        CHECK_STR(out.data, vectors[i][1]);
        oll_strbuf_clear(&out);
        CHECK_OK(oll_base64_decode(vectors[i][1], strlen(vectors[i][1]), &out, NULL));
        CHECK_STR(out.data, vectors[i][0]);
    }
    oll_strbuf_free(&out);
}

TEST(any_bytes_come_back)
{
    uint64_t seed = 7;
    struct oll_strbuf text, bytes;
    oll_strbuf_init(&text, 1000);
    oll_strbuf_init(&bytes, 1000);
    for (size_t n = 0; n < 200; n++) {
        unsigned char in[200];
        for (size_t i = 0; i < n; i++)
            in[i] = (unsigned char)testing_random(&seed);
        oll_strbuf_clear(&text);
        oll_strbuf_clear(&bytes);
        oll_base64_encode(in, n, &text);
        CHECK_OK(oll_base64_decode(text.data, text.len, &bytes, NULL));
        CHECK(bytes.len == n && memcmp(bytes.data, in, n) == 0);
    }
    oll_strbuf_free(&text);
    oll_strbuf_free(&bytes);
}

TEST(refuses_what_is_no_base64)
{
    static const char *const bad[] = {
        "Z",    "Zg",     "Zg=",  "====", "Z===",     "Zg==Zg==", "Zm9=v",
        "Zm 9", "Zm9v\n", "Zh==", "Zm9=", "Zm9v====", "Zm-_",     "=Zm9"};
    struct oll_strbuf out;
    oll_strbuf_init(&out, 100);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_MSG(oll_base64_decode(bad[i], strlen(bad[i]), &out, NULL) == OLL_ERR_FORMAT,
                  "'%s' is taken", bad[i]);
    CHECK_STATUS(oll_base64_decode("Zg\0=", 4, &out, NULL), OLL_ERR_FORMAT);
    oll_strbuf_free(&out);
}

TEST(keeps_the_limit_of_the_buffer)
{
    struct oll_strbuf out;
    oll_strbuf_init(&out, 2);
    CHECK_STATUS(oll_base64_decode("Zm9v", 4, &out, NULL), OLL_ERR_LIMIT);
    oll_strbuf_free(&out);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
