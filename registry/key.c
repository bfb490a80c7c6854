#include "registry/key.h"

#include "engine/base/base64.h"
#include "engine/base/crypto.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 16 * 1024, PEM_WIDTH = 70 };

static const char pem_begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
static const char pem_end[] = "-----END OPENSSH PRIVATE KEY-----";
static const char magic[] = "openssh-key-v1"; /* with its NUL */
static const char type_name[] = "ssh-ed25519";

/* ---- SSH's wire format: strings with a length of 32 bits, big endian ---- */

struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static uint32_t take_u32(struct cursor *c)
{
    if (c->bad || c->end - c->p < 4) {
        c->bad = true;
        return 0;
    }
    uint32_t v =
        (uint32_t)c->p[0] << 24 | (uint32_t)c->p[1] << 16 | (uint32_t)c->p[2] << 8 | c->p[3];
    c->p += 4;
    return v;
}

static const uint8_t *take_string(struct cursor *c, uint32_t *n)
{
    *n = take_u32(c);
    if (c->bad || (uint64_t)(c->end - c->p) < *n) {
        c->bad = true;
        *n = 0;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += *n;
    return p;
}

static void expect(struct cursor *c, const void *data, size_t size)
{
    uint32_t n;
    const uint8_t *p = take_string(c, &n);
    if (c->bad || n != size || memcmp(p, data, size) != 0)
        c->bad = true;
}

static void put_u32(struct oll_strbuf *sb, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        oll_strbuf_addc(sb, (char)(v >> shift));
}

static void put_string(struct oll_strbuf *sb, const void *data, size_t n)
{
    put_u32(sb, (uint32_t)n);
    oll_strbuf_add(sb, data, n);
}

static bool parse_private(struct cursor *c, struct oll_key *out)
{
    uint32_t n = 0;
    expect(c, "none", 4);
    expect(c, "none", 4);
    expect(c, "", 0);
    c->bad |= take_u32(c) != 1;
    take_string(c, &n);
    const uint8_t *p = take_string(c, &n);
    if (c->bad)
        return false;
    struct cursor in = {p, p + n, false};
    uint32_t a = take_u32(&in), b = take_u32(&in);
    expect(&in, type_name, sizeof type_name - 1);
    const uint8_t *public = take_string(&in, &n);
    bool ok = !in.bad && a == b && n == 32;
    if (ok)
        memcpy(out->public, public, 32);
    const uint8_t *private = take_string(&in, &n);
    ok = ok && !in.bad && n == 64 && memcmp(private + 32, out->public, 32) == 0;
    if (ok)
        memcpy(out->seed, private, 32);
    return ok;
}

oll_status oll_key_parse(const char *text, size_t n, struct oll_key *out, struct oll_error *err)
{
    struct oll_strbuf base64, bytes;
    const char *begin = n > 0 ? strstr(text, pem_begin) : NULL;
    const char *end = begin ? strstr(begin, pem_end) : NULL;
    if (!end)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "no OpenSSH private key");
    oll_strbuf_init(&base64, KEY_FILE_MAX);
    oll_strbuf_init(&bytes, KEY_FILE_MAX);
    for (const char *p = begin + sizeof pem_begin - 1; p < end; p++)
        if (*p != '\n' && *p != '\r' && *p != ' ')
            oll_strbuf_addc(&base64, *p);
    oll_status status = oll_base64_decode(base64.data, base64.len, &bytes, err);
    if (status == OLL_OK &&
        (bytes.len < sizeof magic || memcmp(bytes.data, magic, sizeof magic) != 0))
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "no OpenSSH private key");
    if (status == OLL_OK) {
        const uint8_t *p = (const uint8_t *)bytes.data;
        struct cursor c = {p + sizeof magic, p + bytes.len, false};
        if (!parse_private(&c, out))
            status = OLL_FAIL(err, OLL_ERR_FORMAT, "no unencrypted Ed25519 key");
    }
    if (bytes.len > 0)
        memset(bytes.data, 0, bytes.len);
    oll_strbuf_free(&base64);
    oll_strbuf_free(&bytes);
    return status;
}

oll_status oll_key_read(const char *path, struct oll_key *out, struct oll_error *err)
{
    char *text = NULL;
    uint64_t n;
    OLL_TRY(oll_file_read(path, KEY_FILE_MAX, &text, &n, err));
    oll_status status = oll_key_parse(text, (size_t)n, out, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "key file");
    memset(text, 0, (size_t)n);
    oll_free(text);
    return status;
}

/* ---- signatures ---- */

oll_status oll_key_generate(struct oll_key *out, struct oll_error *err)
{
    oll_platform_random(out->seed, sizeof out->seed);
    return oll_ed25519_public(out->seed, out->public, err);
}

oll_status oll_key_sign(const struct oll_key *key, const void *data, size_t n, uint8_t out[64],
                        struct oll_error *err)
{
    return oll_ed25519_sign(key->seed, data, n, out, err);
}

/* ---- writing ---- */

static void put_public(struct oll_strbuf *sb, const struct oll_key *key)
{
    put_string(sb, type_name, sizeof type_name - 1);
    put_string(sb, key->public, 32);
}

void oll_key_public_text(const struct oll_key *key, struct oll_strbuf *out)
{
    struct oll_strbuf wire;
    oll_strbuf_init(&wire, 256);
    put_public(&wire, key);
    oll_base64_encode(wire.data, wire.len, out);
    oll_strbuf_free(&wire);
}

/* The file of the private key, as ssh-keygen writes it with an empty comment. */
static void print_private(const struct oll_key *key, struct oll_strbuf *out)
{
    struct oll_strbuf wire, inner, public, base64;
    uint32_t check;
    oll_strbuf_init(&wire, 1024);
    oll_strbuf_init(&inner, 1024);
    oll_strbuf_init(&public, 256);
    oll_strbuf_init(&base64, 2048);
    oll_platform_random(&check, sizeof check);
    put_u32(&inner, check);
    put_u32(&inner, check);
    put_public(&inner, key);
    put_u32(&inner, 64);
    oll_strbuf_add(&inner, key->seed, 32);
    oll_strbuf_add(&inner, key->public, 32);
    put_string(&inner, "", 0);
    for (char pad = 1; inner.len % 8 != 0; pad++)
        oll_strbuf_addc(&inner, pad);
    put_public(&public, key);
    oll_strbuf_add(&wire, magic, sizeof magic);
    put_string(&wire, "none", 4);
    put_string(&wire, "none", 4);
    put_string(&wire, "", 0);
    put_u32(&wire, 1);
    put_string(&wire, public.data, public.len);
    put_string(&wire, inner.data, inner.len);
    oll_base64_encode(wire.data, wire.len, &base64);
    oll_strbuf_printf(out, "%s\n", pem_begin);
    for (size_t at = 0; at < base64.len; at += PEM_WIDTH)
        oll_strbuf_printf(out, "%.*s\n", PEM_WIDTH, base64.data + at);
    oll_strbuf_printf(out, "%s\n", pem_end);
    oll_strbuf_free(&wire);
    oll_strbuf_free(&inner);
    oll_strbuf_free(&public);
    oll_strbuf_free(&base64);
}

static oll_status write_new(const char *path, mode_t mode, const struct oll_strbuf *text,
                            struct oll_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    bool ok = fd >= 0 && write(fd, text->data, text->len) == (ssize_t)text->len && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (ok)
        return OLL_OK;
    return OLL_FAIL(err, e == EEXIST ? OLL_ERR_EXISTS : OLL_ERR_IO, "%s: %s", path, strerror(e));
}

oll_status oll_key_write(const char *path, const struct oll_key *key, struct oll_error *err)
{
    struct oll_strbuf text, name;
    oll_strbuf_init(&text, KEY_FILE_MAX);
    oll_strbuf_init(&name, 4096);
    print_private(key, &text);
    oll_status status = text.status;
    if (status == OLL_OK)
        status = write_new(path, 0600, &text, err);
    if (status == OLL_OK) {
        oll_strbuf_clear(&text);
        oll_strbuf_printf(&text, "%s ", type_name);
        oll_key_public_text(key, &text);
        oll_strbuf_addc(&text, '\n');
        oll_strbuf_printf(&name, "%s.pub", path);
        status = write_new(name.data, 0644, &text, err);
    }
    oll_strbuf_free(&text);
    oll_strbuf_free(&name);
    return status;
}
