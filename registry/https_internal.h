/* What the parts of the transfer layer share; only https.c includes libcurl. */
#ifndef OLL_REGISTRY_HTTPS_INTERNAL_H
#define OLL_REGISTRY_HTTPS_INTERNAL_H

#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum https_address { HTTPS_PUBLIC, HTTPS_PRIVATE, HTTPS_LINK_LOCAL };

/* Which kind of address a connection would go to. Mapped and translated IPv4 addresses count as
 * what they stand for; what is neither IPv4 nor IPv6 is refused as link-local is. */
enum https_address https_classify(const struct sockaddr *addr);

/* The proxy that the environment names for a URL, NULL: none. */
const char *https_proxy(const char *scheme, const char *host);

/* Bytes a second of a text like "500k"; NULL and "0": no limit, 0. False: it is none of these. */
bool https_parse_rate(const char *text, uint64_t *rate);

#endif
