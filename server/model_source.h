/* From a Modelfile to a request of /api/create, on the client's side: which files belong to the
 * model, their digests, and the JSON.  (store-and-registry 9.5, 9.7)
 *
 *     model_source_read(&arena, &modelfile, folder, &source, &err);
 *     for each of source.files: model_source_hash(...), bring it to the server
 *     model_source_request(&source, &extra, &json);
 *
 * Nothing is sent here. One thread. */
#ifndef OLL_SERVER_MODEL_SOURCE_H
#define OLL_SERVER_MODEL_SOURCE_H

#include "registry/digest.h"
#include "registry/modelfile.h"

enum model_source_group { MODEL_SOURCE_FILES, MODEL_SOURCE_ADAPTER, MODEL_SOURCE_DRAFT };

struct model_source_file {
    const char *path; /* links resolved */
    const char *name; /* as the server is told: unique within its group */
    enum model_source_group group;
    uint64_t n_bytes;
    int64_t modified_ns;              /* when it was hashed, since 1970 */
    char digest[OLL_DIGEST_TEXT_MAX]; /* "" until it has been hashed */
};

struct model_source {
    struct model_source_file *files;
    size_t n_files, cap_files;
    const char *from; /* a model's name; NULL: none */
    const struct oll_modelfile *modelfile;
    const char *parameters; /* JSON object, NULL without PARAMETER lines */
};

/* Paths are absolute, begin with "~", or lie below `folder`. Fails where a value is bad, a file is
 * missing or of the wrong kind; `warn` gets lines about what is ignored. */
oll_status model_source_read(struct oll_arena *arena, const struct oll_modelfile *modelfile,
                             const char *folder, void (*warn)(const char *line),
                             struct model_source *out, struct oll_error *err) OLL_MUST_USE;

/* Fills the digest; `progress` is called every few MiB, NULL: not. */
oll_status model_source_hash(struct model_source_file *file,
                             void (*progress)(void *user, uint64_t done, uint64_t total),
                             void *user, struct oll_error *err) OLL_MUST_USE;

struct model_source_extra {
    const char *model, *quantize, *draft_quantize; /* "" : not given */
};

/* All files have digests. */
void model_source_request(const struct model_source *source, const struct model_source_extra *extra,
                          struct oll_strbuf *out);

#endif
