/* Bringing a model from a registry, and sending one there (push.h): the status lines of Ollama's
 * API come out of a callback. (store-and-registry 7; security-and-reliability 3.1) */
#ifndef OLL_REGISTRY_PULL_H
#define OLL_REGISTRY_PULL_H

#include "registry/blob_store.h"
#include "registry/reference.h"

struct oll_transfer_event {
    const char *status;        /* "pulling manifest" */
    const char *digest;        /* "sha256:<hex>", NULL: none */
    uint64_t total, completed; /* bytes; with a digest */
};

struct oll_transfer {
    const struct oll_store *store;
    const struct oll_reference *ref; /* in the spelling of the store (oll_catalog_canonical) */
    bool insecure;
    bool prune;           /* remove blobs that only the replaced manifest named */
    const char *key_path; /* id_ed25519, NULL: none */
    /* From the calling thread; `progress` may be NULL. `canceled` is polled at least ten times a
     * second; may be NULL. */
    void (*progress)(void *user, const struct oll_transfer_event *event);
    bool (*canceled)(void *user);
    void *user;
};

/* On OLL_OK the model is in the store and durable. Otherwise what came is kept for the next pull,
 * except for bytes that proved wrong; the error is one line for the user. OLL_ERR_NOT_FOUND:
 * "pull model manifest: file does not exist". */
oll_status oll_pull(const struct oll_transfer *transfer, struct oll_error *err) OLL_MUST_USE;

/* ---- for push.c ---- */

void transfer_say(const struct oll_transfer *transfer, const char *status);
/* A line "<verb> <first 12 digits>" with its numbers. */
void transfer_show(const struct oll_transfer *transfer, const char *verb,
                   const struct oll_digest *digest, uint64_t total, uint64_t completed);

#endif
