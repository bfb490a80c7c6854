/* Where a loaded model runs: the verbs of engine/oll.h, whatever process the engine is in.
 *
 * A server runs each model in a process of its own (`oll runner`), so that one that dies takes no
 * other down, and gives all its memory back: runner_process.c speaks with it, server/message.h is
 * the language, runner_child.c the other end. Its death, and why, is told to all who wait for it.
 * Without `struct runners` the engine is in this process and called directly, as tests do. Any
 * thread may call; calls for one request come from one thread. */
#ifndef OLL_SERVER_RUNNER_H
#define OLL_SERVER_RUNNER_H

#include "engine/oll.h"
#include "engine/plan.h"

/* How processes are started, and which models made theirs die lately. */
struct runners;

struct runners_config {
    const char *executable; /* a program that understands `runner`; copied */
    /* A runner that shows no sign of life for so long is ended: while it loads (0: never), and
     * while somebody waits for it. */
    int64_t load_timeout_ns, silence_ns;
};

oll_status runners_new(const struct runners_config *config, struct runners **out,
                       struct oll_error *err) OLL_MUST_USE;
void runners_free(struct runners *runners); /* when all are closed; NULL is accepted */

struct runner_wish {
    struct oll_engine_params params;
    const char *name; /* for logs and messages */
    /* Both may be NULL. `gone` is asked now and then by the calling thread: true ends the load with
     * OLL_ERR_CANCELED. `lost` is called once by another thread when a loaded model is of no more
     * use, because its process has died or its device has failed; not behind runner_close. */
    bool (*gone)(void *arg);
    void (*lost)(void *arg);
    void *arg;
};

struct runner_engine;

/* Loads a model; errors are those of oll_engine_open, and:
 * OLL_ERR_INTERNAL  its process died, or made no progress; the text says how
 * OLL_ERR_BUSY      it died so often lately that it is not tried yet */
oll_status runner_open(struct runners *runners, const struct runner_wish *wish,
                       struct runner_engine **out, struct oll_error *err) OLL_MUST_USE;
/* The plan (OLL_PLAN_QUICK) of a model that is not loaded yet: whoever wrote its file, making it
 * harms only the process that it is made in, which is given OLL_RUNNER_TIMEOUT. Plans are kept as
 * long as the files are the same. `lost` is not called. Errors are those of oll_plan_make and
 * runner_open. */
oll_status runner_plan(struct runners *runners, const struct runner_wish *wish,
                       struct oll_plan *out, struct oll_error *err) OLL_MUST_USE;
/* Cancels what runs and gives all memory back. NULL is accepted. */
void runner_close(struct runner_engine *engine);
const struct oll_model_info *runner_info(const struct runner_engine *engine);

/* True once its process has died: what it is asked fails with the reason. */
bool runner_is_lost(const struct runner_engine *engine);

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
