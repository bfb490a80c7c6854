/* Brings one blob from a registry into the store: its bytes arrive in several ranges at once, are
 * hashed behind the gap-free head while the rest is on its way, become durable every few seconds,
 * and are published when size and digest are right. Whatever interrupts it, the next try, by this
 * or another process, goes on from the journal (registry/part_file.h). While somebody else brings
 * the same blob this waits and follows; when they fail it takes over. */
#ifndef OLL_REGISTRY_BLOB_FETCH_H
#define OLL_REGISTRY_BLOB_FETCH_H

#include "registry/blob_store.h"
#include "registry/oci_client.h"

struct blob_fetch {
    const struct oll_store *store;
    struct oci_client *client;
    struct oll_digest digest;
    uint64_t size_bytes; /* as the manifest says */
    /* Bytes that are there so far, at most every 60 ms; may be NULL. */
    void (*progress)(void *user, uint64_t completed);
    void *user;
};

/* A lease must name the digest. OLL_ERR_DIGEST: the bytes were wrong and are gone; OLL_ERR_LIMIT:
 * no space, or the registry sent more than the manifest says; OLL_ERR_NOT_FOUND: the registry does
 * not have it; OLL_ERR_CANCELED. */
oll_status blob_fetch_run(const struct blob_fetch *fetch, struct oll_error *err) OLL_MUST_USE;

#endif
