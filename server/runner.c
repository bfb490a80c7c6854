#include "server/runner.h"

#include "engine/base/mem.h"
#include "server/env.h"
#include "server/prefix_cache.h"
#include "server/runner_process.h"

/* One of the two is NULL. */
struct runner_engine {
    struct oll_engine *local;       /* in this process */
    struct runner_process *process; /* in one of its own */
};

oll_status runner_open(struct runners *runners, const struct runner_wish *wish,
                       struct runner_engine **out, struct oll_error *err)
{
    char folder[ENV_TEXT_MAX];
    struct runner_wish own = *wish;
    struct runner_engine *e = oll_calloc(1, sizeof *e);
    if (!e)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model");
    prefix_cache_settings(&own.params, folder, sizeof folder);
    oll_status status = runners ? runner_process_open(runners, &own, &e->process, err)
                                : oll_engine_open(&own.params, &e->local, err);
    if (status != OLL_OK) {
        oll_free(e);
        return status;
    }
    *out = e;
    return OLL_OK;
}

oll_status runner_plan(struct runners *runners, const struct runner_wish *wish,
                       struct oll_plan *out, struct oll_error *err)
{
    return runners ? runners_plan(runners, wish, out, err)
                   : oll_plan_make(&wish->params, OLL_PLAN_QUICK, out, err);
}

void runner_close(struct runner_engine *e)
{
    if (!e)
        return;
    if (e->process)
        runner_process_close(e->process);
    oll_engine_close(e->local);
    oll_free(e);
}

const struct oll_model_info *runner_info(const struct runner_engine *e)
{
    return e->process ? &e->process->info : oll_engine_info(e->local);
}

bool runner_is_lost(const struct runner_engine *e)
{
    return e->process && runner_process_is_lost(e->process);
}

oll_status runner_submit(struct runner_engine *e, const struct oll_request *request, uint64_t *id,
                         struct oll_error *err)
{
    return e->process ? runner_process_submit(e->process, request, id, err)
                      : oll_engine_submit(e->local, request, id, err);
}

void runner_cancel(struct runner_engine *e, uint64_t id)
{
    if (e->process)
        runner_process_cancel(e->process, id);
    else
        oll_engine_cancel(e->local, id);
}

void runner_release(struct runner_engine *e, uint64_t id)
{
    if (e->process)
        runner_process_release(e->process, id);
    else
        oll_engine_release(e->local, id);
}

oll_status runner_next(struct runner_engine *e, uint64_t id, int timeout_ms,
                       struct oll_event *event)
{
    return e->process ? runner_process_next(e->process, id, timeout_ms, event)
                      : oll_engine_next(e->local, id, timeout_ms, event);
}

oll_status runner_tokenize(struct runner_engine *e, const char *text, size_t n, bool add_special,
                           bool parse_special, int32_t **tokens, size_t *n_tokens,
                           struct oll_error *err)
{
    if (!e->process)
        return oll_engine_tokenize(e->local, text, n, add_special, parse_special, tokens, n_tokens,
                                   err);
    if (n > UINT32_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "the text is larger than a runner may be sent");
    const struct message_tokenize ask = {text, (uint32_t)n, add_special, parse_special};
    return runner_process_tokenize(e->process, &ask, tokens, n_tokens, err);
}

oll_status runner_detokenize(struct runner_engine *e, const int32_t *ids, size_t n,
                             struct oll_strbuf *out, struct oll_error *err)
{
    return e->process ? runner_process_detokenize(e->process, ids, n, out, err)
                      : oll_engine_detokenize(e->local, ids, n, out, err);
}
