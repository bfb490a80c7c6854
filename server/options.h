/* The API's `options`: merged from built-in defaults, the model's parameters and the request
 * (rest-api 3.4). */
#ifndef OLL_SERVER_OPTIONS_H
#define OLL_SERVER_OPTIONS_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/oll.h"

enum { OPTIONS_STOP_MAX = 16, OPTIONS_STOP_BYTES_MAX = 1024 };

struct options {
    struct oll_options sampling; /* `stop` points at the array below and into the JSON */
    const char *stop[OPTIONS_STOP_MAX];
    /* What a model is loaded with; 0, or -1 for num_gpu, main_gpu and use_mmap: not said. */
    int64_t num_ctx, num_batch, num_thread, draft_num_predict;
    int64_t num_gpu, main_gpu;
    int64_t use_mmap; /* 1, 0 or -1 */
};

void options_default(struct options *options);
/* What to say of the names in an object that are no options, with the nearest that is; NULL: all
 * are. Lies in the arena. */
const char *options_unknown(const struct oll_json *object, struct oll_arena *arena);
/* Takes over what an object holds; NULL holds nothing. Unknown names are ignored. OLL_ERR_FORMAT
 * for a value of the wrong type, OLL_ERR_ARG for one out of its range; both name the option. */
oll_status options_merge(struct options *options, const struct oll_json *object,
                         struct oll_error *err) OLL_MUST_USE;

#endif
