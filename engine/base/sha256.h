/* SHA-256 (FIPS 180-4). The only file that knows the library behind it (OpenSSL's libcrypto) is
 * crypto.c. */
#ifndef OLL_BASE_SHA256_H
#define OLL_BASE_SHA256_H

#include "engine/base/status.h"

#include <stdint.h>

enum { OLL_SHA256_BYTES = 32, OLL_SHA256_HEX = 64 };

struct oll_sha256; /* running digest */

/* NULL when memory is short. */
struct oll_sha256 *oll_sha256_new(void);
void oll_sha256_update(struct oll_sha256 *h, const void *data, size_t n);
/* Writes the digest of all bytes so far; the object must not be updated afterwards. */
void oll_sha256_final(struct oll_sha256 *h, uint8_t out[OLL_SHA256_BYTES]);
/* Makes the object new. */
void oll_sha256_restart(struct oll_sha256 *h);
void oll_sha256_free(struct oll_sha256 *h);
/* Lower-case hex with a terminator. */
void oll_sha256_hex(const uint8_t digest[OLL_SHA256_BYTES], char out[OLL_SHA256_HEX + 1]);

#endif
