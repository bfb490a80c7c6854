/* Ed25519 and MD5 against the vectors of their specifications. */
#include "engine/base/crypto.h"
#include "tests/testing.h"

#include <string.h>

static void from_hex(const char *hex, uint8_t *out)
{
    for (size_t i = 0; hex[2 * i]; i++) {
        unsigned byte = 0;
        for (int k = 0; k < 2; k++) {
            const char c = hex[2 * i + (size_t)k];
            byte = byte * 16 + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        out[i] = (uint8_t)byte;
    }
}

/* RFC 8032 7.1, test 2. */
TEST(ed25519_of_rfc8032)
{
    uint8_t seed[32], public_key[32], signature[64], got_public[32], got[64];
    const uint8_t message = 0x72;
    from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed);
    from_hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", public_key);
    from_hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
             "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
             signature);
    CHECK_OK(oll_ed25519_public(seed, got_public, NULL));
    CHECK(memcmp(got_public, public_key, 32) == 0);
    CHECK_OK(oll_ed25519_sign(seed, &message, 1, got, NULL));
    CHECK(memcmp(got, signature, 64) == 0);
    CHECK(oll_ed25519_verify(public_key, &message, 1, signature));
    signature[0] ^= 1;
    CHECK(!oll_ed25519_verify(public_key, &message, 1, signature));
}

/* RFC 1321 A.5. */
TEST(md5_of_rfc1321)
{
    uint8_t expected[OLL_MD5_BYTES], got[OLL_MD5_BYTES];
    from_hex("f96b697d7cb7938d525a2f31aaf161d0", expected);
    struct oll_md5 *h = oll_md5_new();
    CHECK(h != NULL);
    oll_md5_update(h, "message", 7);
    oll_md5_update(h, " digest", 7);
    oll_md5_final(h, got);
    oll_md5_free(h);
    CHECK(memcmp(got, expected, sizeof got) == 0);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
