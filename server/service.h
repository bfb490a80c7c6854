/* The whole server: models, scheduler, HTTP and API, set up from the environment. `oll serve` runs
 * one on an address, other commands one of their own on a socket. */
#ifndef OLL_SERVER_SERVICE_H
#define OLL_SERVER_SERVICE_H

#include "engine/base/status.h"

#include <stddef.h>

struct oll_store;
struct service;

struct service_config {
    const char *const *models; /* "NAME=FILE": files offered under a name */
    size_t n_models;
    const char *socket;  /* path of a Unix socket to listen on; NULL: where OLLAMA_HOST says */
    const char *devices; /* of the layers; NULL: the engine's choice */
};

/* Listens when it returns; nothing is answered yet. Strings are not needed any more afterwards,
 * but `devices` is. */
oll_status service_new(const struct service_config *config, struct service **out,
                       struct oll_error *err) OLL_MUST_USE;
void service_free(struct service *service); /* not while running; NULL is accepted */

/* Answers until service_stop, then lets running requests finish within a grace. */
void service_run(struct service *service);
/* May be called from a signal handler and from any thread. */
void service_stop(struct service *service);

const char *service_address(const struct service *service);           /* "127.0.0.1:11434" */
const struct oll_store *service_store(const struct service *service); /* NULL: none */

#endif
