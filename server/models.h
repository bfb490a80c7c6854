/* The models that the server offers: those of the store folder, read from disk at each request so
 * that other programs' changes show, and those named when it was started. From the name that a
 * client sends to the file; a client never names a path. Any thread. */
#ifndef OLL_SERVER_MODELS_H
#define OLL_SERVER_MODELS_H

#include "engine/base/arena.h"
#include "engine/oll.h"
#include "registry/catalog.h"
#include "registry/model_facts.h"

struct models;

/* `store_path` NULL: no store. */
oll_status models_new(const char *store_path, struct models **out,
                      struct oll_error *err) OLL_MUST_USE;
void models_free(struct models *models); /* NULL is accepted */
/* Offers a file under a name; before serving begins. It hides a stored model of that name. */
oll_status models_add_file(struct models *models, const char *name, const char *path,
                           struct oll_error *err) OLL_MUST_USE;

/* Which template counts where a model has two; before serving begins. */
void models_prefer(struct models *models, enum oll_template_preference prefer);

/* For those who write models: the store, NULL when there is none, and what is known of its files.
 */
const struct oll_store *models_store(const struct models *models);
struct oll_model_facts_cache *models_facts(const struct models *models);

/* In the order in which they are listed. */
enum model_capability {
    CAPABILITY_COMPLETION = 1,
    CAPABILITY_TOOLS = 2,
    CAPABILITY_INSERT = 4,
    CAPABILITY_VISION = 8,
    CAPABILITY_EMBEDDING = 16,
    CAPABILITY_THINKING = 32,
    CAPABILITY_IMAGE = 64,
    CAPABILITY_AUDIO = 128
};
enum { CAPABILITIES = 8 };
extern const char *const model_capability_names[CAPABILITIES];

struct served_model {
    struct oll_reference ref; /* as the store spells it */
    char short_name[OLL_REFERENCE_TEXT_MAX], full_name[OLL_REFERENCE_TEXT_MAX];
    char digest[OLL_SHA256_HEX + 1]; /* of the manifest; of name, path, size and time of a file
                                        named at start */
    int64_t modified_ns;
    uint64_t size_bytes;
    const char *path; /* of the weights; NULL: a name that stands for a cloud model, or damaged */
    const char *adapter_path; /* NULL: none */
    const char *parent;
    struct oll_stored_model stored;               /* zero for a file named at start */
    struct oll_model_facts facts;                 /* zero when they cannot be read */
    enum oll_template_preference prefer_template; /* of all models alike */
    /* For display. */
    const char *format, *family, *n_params, *quantization;
    const char **families;
    uint32_t n_families;
    unsigned capabilities; /* bits of model_capability */
};

/* Finds a model by what a client calls it; strings lie in the arena. OLL_ERR_ARG: no valid name,
 * with the text for the client. OLL_ERR_NOT_FOUND: no such model. OLL_ERR_UNSUPPORTED: a model of
 * the cloud. Others: it is damaged. */
oll_status models_find(struct models *models, const char *name, struct oll_arena *arena,
                       struct served_model *out, struct oll_error *err) OLL_MUST_USE;
/* All readable models, newest first; damaged ones are left out with a warning in the log. */
oll_status models_list(struct models *models, struct oll_arena *arena, struct served_model **out,
                       size_t *n, struct oll_error *err) OLL_MUST_USE;

#endif
