#include "server/runner.h"

#include "engine/base/mem.h"

struct runner_engine {
    struct oll_engine *local; /* in this process */
};

oll_status runner_open(const struct oll_engine_params *params, struct runner_engine **out,
                       struct oll_error *err)
{
    struct runner_engine *e = oll_calloc(1, sizeof *e);
    if (!e)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model");
    oll_status status = oll_engine_open(params, &e->local, err);
    if (status != OLL_OK) {
        oll_free(e);
        return status;
    }
    *out = e;
    return OLL_OK;
}

void runner_close(struct runner_engine *e)
{
    if (!e)
        return;
    oll_engine_close(e->local);
    oll_free(e);
}

const struct oll_model_info *runner_info(const struct runner_engine *e)
{
    return oll_engine_info(e->local);
}

oll_status runner_submit(struct runner_engine *e, const struct oll_request *request, uint64_t *id,
                         struct oll_error *err)
{
    return oll_engine_submit(e->local, request, id, err);
}

void runner_cancel(struct runner_engine *e, uint64_t id) { oll_engine_cancel(e->local, id); }

void runner_release(struct runner_engine *e, uint64_t id) { oll_engine_release(e->local, id); }

oll_status runner_next(struct runner_engine *e, uint64_t id, int timeout_ms,
                       struct oll_event *event)
{
    return oll_engine_next(e->local, id, timeout_ms, event);
}

oll_status runner_tokenize(struct runner_engine *e, const char *text, size_t n, bool add_special,
                           bool parse_special, int32_t **tokens, size_t *n_tokens,
                           struct oll_error *err)
{
    return oll_engine_tokenize(e->local, text, n, add_special, parse_special, tokens, n_tokens,
                               err);
}

oll_status runner_detokenize(struct runner_engine *e, const int32_t *ids, size_t n,
                             struct oll_strbuf *out, struct oll_error *err)
{
    return oll_engine_detokenize(e->local, ids, n, out, err);
}
