#include "registry/digest.h"

#include <stdbool.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

oll_status oll_digest_parse(const char *text, struct oll_digest *out, struct oll_error *err)
{
    struct oll_digest digest = {{0}};
    bool ok = strncmp(text, "sha256", 6) == 0 && (text[6] == ':' || text[6] == '-') &&
              strlen(text) == 7 + OLL_SHA256_HEX;
    for (int i = 0; ok && i < OLL_SHA256_HEX; i++) {
        int digit = hex_digit(text[7 + i]);
        ok = digit >= 0;
        digest.bytes[i / 2] = (uint8_t)(digest.bytes[i / 2] << 4 | (digit & 15));
    }
    if (!ok)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid digest format");
    *out = digest;
    return OLL_OK;
}

void oll_digest_text(const struct oll_digest *digest, char out[OLL_DIGEST_TEXT_MAX])
{
    memcpy(out, "sha256:", 7);
    oll_sha256_hex(digest->bytes, out + 7);
}
