/* `oll verify`: is everything that the names of a store promise there, and is it what it should be?
 *
 * Always: each manifest can be read, each blob it names is there with its size, and small blobs
 * (up to VERIFY_SMALL_BYTES) hash to their names. With `deep` every blob is hashed, those that
 * nobody names, too, and chunk sums that are missing are written for later repairs.
 *
 * With `repair` a damaged blob goes to the quarantine and the damaged ranges are fetched from the
 * registry of a model that names it; a damaged manifest is pulled again; empty folders of names are
 * removed. What cannot be repaired is left to the user: nothing is deleted. */
#ifndef OLL_REGISTRY_VERIFY_H
#define OLL_REGISTRY_VERIFY_H

#include "registry/blob_store.h"

enum { OLL_VERIFY_SMALL_BYTES = 1 << 20 };

struct oll_verify_finding {
    const char *model;  /* short name of the first model it harms; NULL: nobody names the blob */
    const char *digest; /* "sha256:<hex>"; NULL: the manifest itself */
    const char *text;   /* what is wrong with it: "is missing" */
    bool repaired;
    const char *reason; /* why not; NULL when it is, or was not tried */
};

struct oll_verify_result {
    uint32_t n_models, n_blobs; /* that were looked at */
    uint64_t hashed_bytes;
    uint32_t n_damaged, n_repaired;
};

struct oll_verify {
    const struct oll_store *store;
    bool deep, repair;
    bool insecure;        /* plain HTTP for repairs */
    const char *key_path; /* id_ed25519, NULL: none */
    void (*found)(void *user, const struct oll_verify_finding *finding);
    /* A blob that is hashed or fetched, `digest` as above; may be NULL. */
    void (*progress)(void *user, const char *what, const char *digest, uint64_t total,
                     uint64_t completed);
    bool (*canceled)(void *user); /* may be NULL */
    void *user;
};

/* OLL_OK when the check was carried out, whatever it found. */
oll_status oll_verify_run(const struct oll_verify *verify, struct oll_verify_result *result,
                          struct oll_error *err) OLL_MUST_USE;

#endif
