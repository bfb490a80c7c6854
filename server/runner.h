/* Where a loaded model runs: the verbs of engine/oll.h, whatever process the engine is in.
 *
 * Those of the server's handlers go through here. An engine in this process is called directly, as
 * tests and tools do. Any thread may call; calls for one request come from one thread. */
#ifndef OLL_SERVER_RUNNER_H
#define OLL_SERVER_RUNNER_H

#include "engine/oll.h"

struct runner_engine;

/* Loads a model; errors are those of oll_engine_open. */
oll_status runner_open(const struct oll_engine_params *params, struct runner_engine **out,
                       struct oll_error *err) OLL_MUST_USE;
/* Cancels what runs and gives all memory back. NULL is accepted. */
void runner_close(struct runner_engine *engine);
const struct oll_model_info *runner_info(const struct runner_engine *engine);

/* As the functions of these names in engine/oll.h. */
oll_status runner_submit(struct runner_engine *engine, const struct oll_request *request,
                         uint64_t *id, struct oll_error *err) OLL_MUST_USE;
void runner_cancel(struct runner_engine *engine, uint64_t id);
void runner_release(struct runner_engine *engine, uint64_t id);
oll_status runner_next(struct runner_engine *engine, uint64_t id, int timeout_ms,
                       struct oll_event *event) OLL_MUST_USE;
oll_status runner_tokenize(struct runner_engine *engine, const char *text, size_t n,
                           bool add_special, bool parse_special, int32_t **tokens, size_t *n_tokens,
                           struct oll_error *err) OLL_MUST_USE;
oll_status runner_detokenize(struct runner_engine *engine, const int32_t *ids, size_t n,
                             struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;

#endif
