/* What a registry wants to know of the user: challenges, tokens, passwords. Credentials belong to
 * one origin: a token server elsewhere is refused unless OLL_AUTH_REALMS lists its origin.
 * (store-and-registry 7.3, R16) */
#ifndef OLL_REGISTRY_OCI_AUTH_H
#define OLL_REGISTRY_OCI_AUTH_H

#include "registry/https.h"

enum { OCI_AUTH_TEXT_MAX = 2048 };

struct oci_challenge {
    bool basic; /* else Bearer */
    char realm[OCI_AUTH_TEXT_MAX], service[OCI_AUTH_TEXT_MAX], scope[OCI_AUTH_TEXT_MAX];
};

/* Reads a WWW-Authenticate value. OLL_ERR_FORMAT: it is neither Bearer with a realm nor Basic. */
oll_status oci_challenge_parse(const char *text, struct oci_challenge *out,
                               struct oll_error *err) OLL_MUST_USE;
/* The URL that a token is fetched from: the realm's own query, then the new members, all sorted. */
oll_status oci_token_url(const struct oci_challenge *challenge, int64_t unix_s, const char *nonce,
                         struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;
/* "<public key>:<signature>" over a token request; key_path NULL or absent: OLL_ERR_NOT_FOUND. */
oll_status oci_sign_request(const char *key_path, const char *url, struct oll_strbuf *out,
                            struct oll_error *err) OLL_MUST_USE;
/* "user:password" in base64 for a host[:port], from Docker's config; false when there is none. */
bool oci_docker_login(const char *host, char out[OCI_AUTH_TEXT_MAX]);

/* Answers the challenge of a 401 that came from `url`: *authorization (released with oll_free) is
 * the value of the header for further requests to that origin. */
oll_status oci_authorize(struct https *session, const char *url, const char *challenge,
                         const char *key_path, char **authorization,
                         struct oll_error *err) OLL_MUST_USE;

#endif
