#include "server/keys.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { FILE_MAX_BYTES = 1 << 20, KEY_MIN = 16, KEY_MAX = 512, KEYS_MAX = 4096 };

struct keys {
    uint8_t (*digests)[OLL_SHA256_BYTES];
    size_t n;
};

static bool digest_of(const char *key, size_t n, uint8_t out[OLL_SHA256_BYTES])
{
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return false;
    oll_sha256_update(h, key, n);
    oll_sha256_final(h, out);
    oll_sha256_free(h);
    return true;
}

static bool is_key(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7F)
            return false;
    return n >= KEY_MIN && n <= KEY_MAX;
}

static oll_status add_line(struct keys *keys, const char *s, size_t n, uint32_t line,
                           struct oll_error *err)
{
    while (n > 0 && strchr(" \t\r", s[n - 1]))
        n--;
    if (n == 0 || s[0] == '#')
        return OLL_OK;
    if (!is_key(s, n))
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "line %u: a key has %d to %d printable characters without blanks", line,
                        KEY_MIN, KEY_MAX);
    if (keys->n == KEYS_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "line %u: more than %d keys", line, KEYS_MAX);
    return digest_of(s, n, keys->digests[keys->n++])
               ? OLL_OK
               : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for keys");
}

static oll_status add_lines(struct keys *keys, const char *text, size_t n, struct oll_error *err)
{
    uint32_t line = 1;
    for (const char *s = text, *end = text + n; s < end; line++) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        stop = stop ? stop : end;
        OLL_TRY(add_line(keys, s, (size_t)(stop - s), line, err));
        s = stop + 1;
    }
    return keys->n > 0 ? OLL_OK : OLL_FAIL(err, OLL_ERR_FORMAT, "the file holds no key");
}

oll_status keys_read(const char *path, struct keys **out, struct oll_error *err)
{
    char *text = NULL;
    uint64_t n = 0;
    *out = NULL;
    OLL_TRY(oll_file_read(path, FILE_MAX_BYTES, &text, &n, err));
    struct keys *keys = oll_calloc(1, sizeof *keys);
    oll_status status = OLL_ERR_MEMORY;
    if (keys)
        keys->digests = oll_calloc(KEYS_MAX, sizeof *keys->digests);
    if (keys && keys->digests)
        status = add_lines(keys, text, (size_t)n, err);
    else
        oll_error_set(err, status, "out of memory for keys");
    oll_free(text);
    if (status != OLL_OK) {
        keys_free(keys);
        oll_error_prefix(err, "%s", path);
        return status;
    }
    *out = keys;
    return OLL_OK;
}

void keys_free(struct keys *keys)
{
    if (keys)
        oll_free(keys->digests);
    oll_free(keys);
}

bool keys_allow(const struct keys *keys, const char *authorization, const char *api_key)
{
    const char *key = api_key;
    uint8_t digest[OLL_SHA256_BYTES];
    bool found = false;
    if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
        key = authorization + 7 + strspn(authorization + 7, " ");
    if (!key || !digest_of(key, strlen(key), digest))
        return false;
    for (size_t i = 0; i < keys->n; i++)
        found |= memcmp(keys->digests[i], digest, sizeof digest) == 0;
    return found;
}
