/* The documents of a model as Go's encoder writes them, since their bytes decide digests and ids
 * (store-and-registry 3.1 to 3.3): no blanks, fixed order of fields, < > & escaped. */
#ifndef OLL_REGISTRY_MANIFEST_WRITE_H
#define OLL_REGISTRY_MANIFEST_WRITE_H

#include "engine/base/json.h"
#include "registry/manifest.h"

extern const char oll_manifest_media_type[], oll_config_media_type[];

/* Failures stick in the buffer. `newline`: as it is stored; without: as it is pushed. */
void oll_manifest_write(const struct oll_manifest *manifest, bool newline, struct oll_strbuf *out);
/* With the newline at its end. */
void oll_model_config_write(const struct oll_model_config *config, struct oll_strbuf *out);
/* A params object: keys sorted, newline at its end. */
void oll_params_write(const struct oll_json *params, struct oll_strbuf *out);
/* "application/vnd.ollama.image.<kind>" in the arena. */
const char *oll_media_type(struct oll_arena *arena, const char *kind);

#endif
