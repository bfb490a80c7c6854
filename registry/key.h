/* The identity of this machine: an Ed25519 key in OpenSSH's files, <folder>/id_ed25519 and
 * id_ed25519.pub. */
#ifndef OLL_REGISTRY_KEY_H
#define OLL_REGISTRY_KEY_H

#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

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

#endif
