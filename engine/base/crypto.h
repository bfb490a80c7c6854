/* MD5 and Ed25519. crypto.c, which also has SHA-256 (sha256.h), is the only file that knows
 * OpenSSL's libcrypto. */
#ifndef OLL_BASE_CRYPTO_H
#define OLL_BASE_CRYPTO_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Gives back what the library keeps for the calling thread, which will not use it again. To be
 * called by detached threads before they say that they end: the process may end right after. */
void oll_crypto_end_thread(void);

enum { OLL_MD5_BYTES = 16 };
struct oll_md5; /* running digest */

struct oll_md5 *oll_md5_new(void); /* NULL when memory is short */
void oll_md5_update(struct oll_md5 *h, const void *data, size_t n);
void oll_md5_final(struct oll_md5 *h, uint8_t out[OLL_MD5_BYTES]);
void oll_md5_free(struct oll_md5 *h);

/* Ed25519 (RFC 8032): the public key of a seed, a signature, whether a signature is right. */
enum { OLL_ED25519_KEY = 32, OLL_ED25519_SIGNATURE = 64 };
oll_status oll_ed25519_public(const uint8_t seed[OLL_ED25519_KEY], uint8_t out[OLL_ED25519_KEY],
                              struct oll_error *err) OLL_MUST_USE;
oll_status oll_ed25519_sign(const uint8_t seed[OLL_ED25519_KEY], const void *data, size_t n,
                            uint8_t out[OLL_ED25519_SIGNATURE], struct oll_error *err) OLL_MUST_USE;
bool oll_ed25519_verify(const uint8_t public_key[OLL_ED25519_KEY], const void *data, size_t n,
                        const uint8_t signature[OLL_ED25519_SIGNATURE]);

#endif
