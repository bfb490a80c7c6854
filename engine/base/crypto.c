#include "engine/base/crypto.h"
#include "engine/base/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

void oll_crypto_end_thread(void) { OPENSSL_thread_stop(); }

/* ---- SHA-256 ---- */

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

/* ---- MD5 ---- */

struct oll_md5 *oll_md5_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct oll_md5 *)ctx;
}

void oll_md5_update(struct oll_md5 *h, const void *data, size_t n)
{
    OLL_ASSERT(EVP_DigestUpdate((EVP_MD_CTX *)h, data, n) == 1);
}

void oll_md5_final(struct oll_md5 *h, uint8_t out[OLL_MD5_BYTES])
{
    unsigned n = 0;
    OLL_ASSERT(EVP_DigestFinal_ex((EVP_MD_CTX *)h, out, &n) == 1 && n == OLL_MD5_BYTES);
}

void oll_md5_free(struct oll_md5 *h) { EVP_MD_CTX_free((EVP_MD_CTX *)h); }

/* ---- Ed25519 ---- */

oll_status oll_ed25519_public(const uint8_t seed[OLL_ED25519_KEY], uint8_t out[OLL_ED25519_KEY],
                              struct oll_error *err)
{
    size_t n = OLL_ED25519_KEY;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, OLL_ED25519_KEY);
    bool ok = key && EVP_PKEY_get_raw_public_key(key, out, &n) == 1 && n == OLL_ED25519_KEY;
    EVP_PKEY_free(key);
    return ok ? OLL_OK : OLL_FAIL(err, OLL_ERR_INTERNAL, "cannot make a key");
}

oll_status oll_ed25519_sign(const uint8_t seed[OLL_ED25519_KEY], const void *data, size_t n,
                            uint8_t out[OLL_ED25519_SIGNATURE], struct oll_error *err)
{
    size_t n_out = OLL_ED25519_SIGNATURE;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, OLL_ED25519_KEY);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, out, &n_out, data, n) == 1 && n_out == OLL_ED25519_SIGNATURE;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? OLL_OK : OLL_FAIL(err, OLL_ERR_INTERNAL, "cannot sign with the key");
}

bool oll_ed25519_verify(const uint8_t public_key[OLL_ED25519_KEY], const void *data, size_t n,
                        const uint8_t signature[OLL_ED25519_SIGNATURE])
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, OLL_ED25519_KEY);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, signature, OLL_ED25519_SIGNATURE, data, n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}
