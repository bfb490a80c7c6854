#include "engine/base/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void oll_base64_encode(const void *bytes, size_t n, struct oll_strbuf *out)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned v = (unsigned)p[i] << 16;
        v |= left > 1 ? (unsigned)p[i + 1] << 8 : 0;
        v |= left > 2 ? p[i + 2] : 0;
        char group[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                         left > 1 ? alphabet[v >> 6 & 63] : '=', left > 2 ? alphabet[v & 63] : '='};
        oll_strbuf_add(out, group, sizeof group);
    }
}

/* Value of a digit, -1 for any other character. */
static int digit(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

oll_status oll_base64_decode(const char *text, size_t n, struct oll_strbuf *out,
                             struct oll_error *err)
{
    if (n % 4 != 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "base64: %zu characters are no multiple of 4", n);
    for (size_t i = 0; i < n; i += 4) {
        int n_digits = i + 4 < n || text[i + 3] != '=' ? 4 : text[i + 2] != '=' ? 3 : 2;
        unsigned v = 0;
        for (int k = 0; k < 4; k++) {
            int d = k < n_digits ? digit(text[i + (size_t)k]) : 0;
            if (d < 0)
                return OLL_FAIL(err, OLL_ERR_FORMAT, "base64: illegal character at byte %zu",
                                i + (size_t)k);
            v = v << 6 | (unsigned)d;
        }
        if ((n_digits == 2 && (v & 0xFFFF)) || (n_digits == 3 && (v & 0xFF)))
            return OLL_FAIL(err, OLL_ERR_FORMAT, "base64: unused bits are set at byte %zu", i);
        const char bytes[3] = {(char)(v >> 16), (char)(v >> 8 & 0xFF), (char)(v & 0xFF)};
        oll_strbuf_add(out, bytes, (size_t)n_digits - 1);
    }
    return out->status;
}
