/* Texts that name things: models, digests, URLs, and the challenges of a registry. The first byte
 * says which. What is accepted reads back as itself, and no part of a name leads out of a folder.
 */
#include "registry/digest.h"
#include "registry/https.h"
#include "registry/oci_auth.h"
#include "registry/reference.h"

#include "engine/base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { URL_BYTES_MAX = 64 * 1024 };

static void check_part(const char *part)
{
    OLL_ASSERT(part[0] && part[0] != '.' && part[0] != '-' && !strchr(part, '/'));
}

static void use_name(const char *text)
{
    struct oll_reference ref, again;
    char name[OLL_REFERENCE_TEXT_MAX];
    if (oll_reference_parse(text, &ref, NULL) != OLL_OK)
        return;
    check_part(ref.host);
    check_part(ref.namespace);
    check_part(ref.model);
    check_part(ref.tag);
    oll_reference_full(&ref, name);
    OLL_ASSERT(oll_reference_parse(name, &again, NULL) == OLL_OK);
    OLL_ASSERT(oll_reference_equal(&ref, &again));
    /* A tag that says where a model lives is not read again as part of the short form. */
    oll_reference_short(&ref, name);
    if (again.source == ref.source && oll_reference_parse(name, &again, NULL) == OLL_OK &&
        again.source == OLL_SOURCE_ANY)
        OLL_ASSERT(oll_reference_equal(&ref, &again));
}

static void use_digest(const char *text)
{
    struct oll_digest digest, again;
    char out[OLL_DIGEST_TEXT_MAX];
    if (oll_digest_parse(text, &digest, NULL) != OLL_OK)
        return;
    oll_digest_text(&digest, out);
    OLL_ASSERT(strlen(text) == strlen(out));
    OLL_ASSERT(oll_digest_parse(out, &again, NULL) == OLL_OK);
    OLL_ASSERT(memcmp(&digest, &again, sizeof digest) == 0);
}

/* Two texts, parted by a newline: a URL and what it refers to. */
static void use_url(char *text)
{
    char origin[HTTPS_ORIGIN_MAX], host[HTTPS_ORIGIN_MAX], joined[HTTPS_URL_MAX];
    char *newline = strchr(text, '\n');
    if (newline)
        *newline = '\0';
    if (!https_origin(text, origin))
        return;
    OLL_ASSERT(strncmp(origin, "http", 4) == 0 && https_host(text, host));
    if (newline && https_join(text, newline + 1, joined)) {
        OLL_ASSERT(https_origin(joined, origin));
        OLL_ASSERT(!strpbrk(joined, "\r\n"));
    }
}

static void use_challenge(const char *text)
{
    struct oci_challenge challenge;
    struct oll_strbuf url;
    if (oci_challenge_parse(text, &challenge, NULL) != OLL_OK)
        return;
    oll_strbuf_init(&url, URL_BYTES_MAX);
    if (!challenge.basic && oci_token_url(&challenge, 1, "nonce", &url, NULL) == OLL_OK)
        OLL_ASSERT(url.len > 0 && !strpbrk(url.data, "\r\n "));
    oll_strbuf_free(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char *text = n_bytes > 0 ? oll_strndup((const char *)data + 1, n_bytes - 1) : NULL;
    if (!text)
        return 0;
    switch (data[0]) {
    case 'd': use_digest(text); break;
    case 'u': use_url(text); break;
    case 'c': use_challenge(text); break;
    default: use_name(text); break;
    }
    oll_free(text);
    return 0;
}
