/* Ed25519 keys in OpenSSH's files, and MD5, which push needs for its etag. With sha256.c of the
 * base the only files that know OpenSSL. */
#ifndef OLL_REGISTRY_CRYPTO_H
#define OLL_REGISTRY_CRYPTO_H

#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- the identity: <folder>/id_ed25519 and id_ed25519.pub ---- */

struct oll_key {
    uint8_t seed[32], public[32];
};

/* Reads an unencrypted OpenSSH private key. OLL_ERR_NOT_FOUND: there is no such file. */
oll_status oll_key_read(const char *path, struct oll_key *out, struct oll_error *err) OLL_MUST_USE;
oll_status oll_key_parse(const char *text, size_t n, struct oll_key *out,
                         struct oll_error *err) OLL_MUST_USE;
oll_status oll_key_generate(struct oll_key *out, struct oll_error *err) OLL_MUST_USE;
/* Writes <path> (0600) and <path>.pub (0644); neither may exist. */
oll_status oll_key_write(const char *path, const struct oll_key *key,
                         struct oll_error *err) OLL_MUST_USE;
/* Base64 of the key in SSH's wire format: what an authorized_keys line says after the type. */
void oll_key_public_text(const struct oll_key *key, struct oll_strbuf *out);
oll_status oll_key_sign(const struct oll_key *key, const void *data, size_t n, uint8_t out[64],
                        struct oll_error *err) OLL_MUST_USE;
bool oll_key_verify(const uint8_t public_key[32], const void *data, size_t n,
                    const uint8_t signature[64]);

/* ---- MD5 ---- */

enum { OLL_MD5_BYTES = 16 };
struct oll_md5;

struct oll_md5 *oll_md5_new(void); /* NULL when memory is short */
void oll_md5_update(struct oll_md5 *h, const void *data, size_t n);
void oll_md5_final(struct oll_md5 *h, uint8_t out[OLL_MD5_BYTES]);
void oll_md5_free(struct oll_md5 *h);

#endif
