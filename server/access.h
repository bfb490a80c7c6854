/* Who may talk to the server: the Origin of web pages (CORS) and the Host they reach it by (DNS
 * rebinding). rest-api 1.3 and 1.4, security rule R22. Read-only after it is made: any thread. */
#ifndef OLL_SERVER_ACCESS_H
#define OLL_SERVER_ACCESS_H

#include "engine/base/status.h"

#include <stdbool.h>

struct access;

/* `origins`: comma-separated entries put before the defaults (OLLAMA_ORIGINS), NULL for none.
 * OLL_ERR_ARG names an entry that is not understood. */
oll_status access_new(const char *origins, struct access **out, struct oll_error *err) OLL_MUST_USE;
void access_free(struct access *access); /* NULL is accepted */

/* Whether a page of this origin may call; the text is compared as it was sent. */
bool access_origin_allowed(const struct access *access, const char *origin);
/* Whether every origin may: then replies say "*". */
bool access_any_origin(const struct access *access);

enum access_host { ACCESS_HOST_REFUSED, ACCESS_HOST_ADDRESS, ACCESS_HOST_NAME };

/* Judges a Host header (with or without a port, "" too); says by which rule it passed. */
enum access_host access_check_host(const struct access *access, const char *host);

#endif
