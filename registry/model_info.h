/* What `show` tells of a model file beside its stored documents: metadata and tensors as JSON.
 * (rest-api 5.4) */
#ifndef OLL_REGISTRY_MODEL_INFO_H
#define OLL_REGISTRY_MODEL_INFO_H

#include "engine/base/json.h"

struct oll_model_info_options {
    bool verbose;         /* arrays in full; else non-empty ones are null */
    const char *basename; /* in place of general.basename; NULL: the file's own */
};

/* Appends to `info` the object of all keys but general.name and tokenizer.chat_template, sorted,
 * with general.parameter_count as counted; to `tensors` the array of names, types and shapes; to
 * `chat_template` the file's template. Each may be NULL. The error names no path. */
oll_status oll_model_info_write(const char *path, const struct oll_model_info_options *options,
                                struct oll_strbuf *info, struct oll_strbuf *tensors,
                                struct oll_strbuf *chat_template,
                                struct oll_error *err) OLL_MUST_USE;

#endif
