#include "engine/base/sha256.h"

#include <openssl/evp.h>

/* EVP_MD_CTX behind our own name; an allocation failure inside the library shows as NULL here. */
struct oll_sha256 *oll_sha256_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct oll_sha256 *)ctx;
}

void oll_sha256_update(struct oll_sha256 *h, const void *data, size_t n)
{
    int ok = EVP_DigestUpdate((EVP_MD_CTX *)h, data, n);
    OLL_ASSERT(ok == 1);
}

void oll_sha256_final(struct oll_sha256 *h, uint8_t out[OLL_SHA256_BYTES])
{
    unsigned n = 0;
    int ok = EVP_DigestFinal_ex((EVP_MD_CTX *)h, out, &n);
    OLL_ASSERT(ok == 1 && n == OLL_SHA256_BYTES);
}

void oll_sha256_restart(struct oll_sha256 *h)
{
    int ok = EVP_DigestInit_ex((EVP_MD_CTX *)h, NULL, NULL);
    OLL_ASSERT(ok == 1);
}

void oll_sha256_free(struct oll_sha256 *h) { EVP_MD_CTX_free((EVP_MD_CTX *)h); }

void oll_sha256_hex(const uint8_t digest[OLL_SHA256_BYTES], char out[OLL_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < OLL_SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[OLL_SHA256_HEX] = '\0';
}
