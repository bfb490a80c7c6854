/* Digest of a blob. Text is parsed to bytes at the edge and file names are printed from the bytes,
 * never from text that came in (security rule R10). */
#ifndef OLL_REGISTRY_DIGEST_H
#define OLL_REGISTRY_DIGEST_H

#include "engine/base/sha256.h"

enum { OLL_DIGEST_TEXT_MAX = 7 + OLL_SHA256_HEX + 1 };

struct oll_digest {
    uint8_t bytes[OLL_SHA256_BYTES];
};

/* "sha256:" or "sha256-" and 64 hex digits of either case, nothing else. OLL_ERR_ARG: "invalid
 * digest format". */
oll_status oll_digest_parse(const char *text, struct oll_digest *out,
                            struct oll_error *err) OLL_MUST_USE;
/* "sha256:<hex>", as documents and replies write it. */
void oll_digest_text(const struct oll_digest *digest, char out[OLL_DIGEST_TEXT_MAX]);

#endif
