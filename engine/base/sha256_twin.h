/* Two SHA-256 digests of one stream: of the whole, and of each of its pieces. Both run over the
 * same blocks, so the message schedule is worked out once and the two chains of rounds, each of
 * which waits for itself, fill each other's gaps: on processors with instructions for SHA-256 both
 * cost hardly more than one. Elsewhere it is two plain digests. One thread at a time. */
#ifndef OLL_BASE_SHA256_TWIN_H
#define OLL_BASE_SHA256_TWIN_H

#include "engine/base/sha256.h"

#include <stdbool.h>
#include <stddef.h>

struct oll_sha256_twin;

/* `on_piece` gets the digest of each `piece_bytes` (a multiple of 64) of the stream as they are
 * complete, and that of a shorter last piece from oll_sha256_twin_final. NULL when memory is short.
 */
struct oll_sha256_twin *oll_sha256_twin_new(
    uint64_t piece_bytes, void (*on_piece)(void *user, const uint8_t digest[OLL_SHA256_BYTES]),
    void *user);
void oll_sha256_twin_update(struct oll_sha256_twin *t, const void *data, size_t n);
/* Digest of all bytes so far; the object must not be updated afterwards. */
void oll_sha256_twin_final(struct oll_sha256_twin *t, uint8_t out[OLL_SHA256_BYTES]);
void oll_sha256_twin_free(struct oll_sha256_twin *t); /* NULL is accepted */

/* ---- for the parts of this module and for tests ---- */

enum { SHA256_TWIN_BLOCK = 64 };
/* Runs both states over `n` blocks; only where sha256_twin_supported says true. */
void sha256_twin_blocks(uint32_t a[8], uint32_t b[8], const uint8_t *data, size_t n);
bool sha256_twin_supported(void);
/* Objects made from here on do without the instructions. */
void sha256_twin_disable(bool disable);

#endif
