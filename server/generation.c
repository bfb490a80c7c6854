#include "server/generation.h"

#include "engine/base/clock.h"
#include "server/app.h"
#include "server/metrics.h"

#include <stdio.h>
#include <string.h>

/* How soon a handler that waits for the engine looks at its peer. */
enum { POLL_MS = 25 };

static bool is_over(void *arg)
{
    const struct http_request *req = arg;
    return http_peer_gone(req) || http_stopping(req);
}

oll_status generation_load(struct generation *g, struct http_request *req,
                           struct schedule *schedule, const struct served_model *model,
                           const struct options *options, const int64_t *keep_alive_ns,
                           struct oll_error *err)
{
    const struct schedule_want want = {
        .path = model->path,
        .adapter_path = model->adapter_path,
        .name = model->short_name,
        .n_ctx_train = model->facts.context_length,
        .num_ctx = options->num_ctx,
        .num_batch = options->num_batch,
        .num_thread = options->num_thread,
        .draft_num_predict = options->draft_num_predict,
        .num_gpu = options->num_gpu,
        .main_gpu = options->main_gpu,
        .use_mmap = options->use_mmap,
        .set_keep_alive = keep_alive_ns != NULL,
        .keep_alive_ns = keep_alive_ns ? *keep_alive_ns : 0,
        .gone = is_over,
        .gone_arg = req,
    };
    *g = (struct generation){.req = req, .schedule = schedule, .want = want};
    /* Answers without all of them would be another model's. */
    if (model->stored.n_adapters > 1)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "%s has %u adapters; one is supported: merge the others into the weights "
                        "and create the model from the result",
                        model->short_name, model->stored.n_adapters);
    OLL_TRY(schedule_acquire(schedule, &want, &g->lease, err));
    g->loaded_ns = oll_clock_ns();
    return OLL_OK;
}

/* ---- turns between clients ---- */

/* Bytes of text per token, and tokens of a reply of which nobody says how long it may be: guesses,
 * which are set off against what was taken. */
enum { BYTES_PER_TOKEN = 4, USUAL_REPLY = 256, LONGEST_REPLY = 4096 };

static uint64_t guess_tokens(const struct oll_request *ask)
{
    const char *const texts[] = {ask->prompt, ask->system, ask->suffix, ask->tools_json};
    uint64_t n_bytes = 0, n = (uint64_t)ask->n_context + ask->n_tokens;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        n_bytes += texts[i] ? strlen(texts[i]) : 0;
    for (uint32_t i = 0; i < ask->n_messages; i++)
        n_bytes += ask->messages[i].content ? strlen(ask->messages[i].content) : 0;
    for (uint32_t i = 0; i < ask->n_inputs; i++)
        n_bytes += strlen(ask->inputs[i]);
    n += n_bytes / BYTES_PER_TOKEN + 1;
    if (ask->kind == OLL_REQUEST_EMBED)
        return n;
    const int32_t n_predict = ask->options.num_predict;
    return n + (n_predict <= 0              ? USUAL_REPLY
                : n_predict < LONGEST_REPLY ? (uint64_t)n_predict
                                            : LONGEST_REPLY);
}

static const char *client_of(const struct generation *g)
{
    const char *key = g->has_keys ? http_request_header(g->req, "Authorization") : NULL;
    if (g->has_keys && !key)
        key = http_request_header(g->req, "x-api-key");
    return key ? key : g->req->peer ? g->req->peer : "";
}

/* Waits until it is this request's turn; who had to wait is told behind how many. */
static oll_status take_turn(struct generation *g, const struct oll_request *ask,
                            struct oll_error *err)
{
    const struct schedule_turn turn = {
        .client = client_of(g),
        .priority = g->priority,
        .n_tokens = guess_tokens(ask),
        .gone = is_over,
        .gone_arg = g->req,
    };
    int position;
    char text[16];
    oll_status status = schedule_enter(g->lease, &turn, &position, err);
    position += schedule_position(g->lease);
    if (position > 0 && !g->told_position && !http_reply_begun(g->req)) {
        snprintf(text, sizeof text, "%d", position);
        http_reply_header(g->req, "X-Queue-Position", text);
        g->told_position = true;
    }
    return status;
}

oll_status generation_submit(struct generation *g, const struct oll_request *asked,
                             struct oll_error *err)
{
    struct oll_request with_key = *asked;
    const struct oll_request *ask = &with_key;
    with_key.share_with = g->has_keys ? client_of(g) : NULL;
    if (g->submitted)
        runner_release(schedule_engine(g->lease), g->id);
    g->submitted = false;
    struct oll_error detail = {0};
    OLL_TRY(take_turn(g, ask, err));
    oll_status status = runner_submit(schedule_engine(g->lease), ask, &g->id, &detail);
    if (status != OLL_OK && runner_is_lost(schedule_engine(g->lease))) {
        /* It had died before, and this is the first to notice; another one is not tried. */
        schedule_release(g->lease);
        g->lease = NULL;
        OLL_TRY(schedule_acquire(g->schedule, &g->want, &g->lease, err));
        OLL_TRY(take_turn(g, ask, err));
        status = runner_submit(schedule_engine(g->lease), ask, &g->id, err);
    } else if (status != OLL_OK) {
        oll_error_set(err, status, "%s", oll_error_text(&detail));
    }
    g->submitted = status == OLL_OK;
    return status;
}

static void count_event(struct generation *g, const struct oll_event *event)
{
    struct metrics *metrics = ((const struct app *)g->req->app)->metrics;
    if (!metrics)
        return;
    if (!g->has_begun && event->kind != OLL_EVENT_ERROR)
        metrics_first_token(metrics, oll_clock_ns() - g->req->start_ns);
    g->has_begun = true;
    if (event->kind == OLL_EVENT_DONE)
        metrics_generation(metrics, event);
}

/* Takes an ERROR event apart. Where memory has run out the next request starts with as much of it
 * as there can be (cli-and-scheduler 12). */
static oll_status fail_event(const struct generation *g, struct oll_event *event,
                             struct oll_error *err)
{
    oll_status status = event->status != OLL_OK ? event->status : OLL_ERR_INTERNAL;
    oll_error_set(err, status, "%s",
                  event->text && *event->text ? event->text : oll_status_text(status));
    oll_event_free(event);
    if (status == OLL_ERR_MEMORY)
        schedule_expire_all(g->schedule);
    return status;
}

oll_status generation_next(struct generation *g, struct oll_event *event, struct oll_error *err)
{
    struct runner_engine *engine = schedule_engine(g->lease);
    while (!is_over(g->req)) {
        memset(event, 0, sizeof *event);
        oll_status status = runner_next(engine, g->id, POLL_MS, event);
        if (status == OLL_OK)
            count_event(g, event);
        if (status == OLL_OK && event->kind == OLL_EVENT_DONE)
            /* The slot is free, however slowly the rest is read. */
            schedule_leave(g->lease,
                           (uint64_t)event->n_prompt - event->n_prompt_cached + event->n_reply);
        if (status == OLL_OK)
            return event->kind == OLL_EVENT_ERROR ? fail_event(g, event, err) : OLL_OK;
        if (status != OLL_ERR_TIMEOUT)
            return OLL_FAIL(err, OLL_ERR_INTERNAL,
                            "model runner has unexpectedly stopped, this may be due to resource "
                            "limitations or an internal error, check ollama server logs for "
                            "details");
    }
    runner_cancel(engine, g->id);
    return OLL_FAIL(err, OLL_ERR_CANCELED,
                    http_peer_gone(g->req) ? "request canceled" : "the server is shutting down");
}

void generation_end(struct generation *g)
{
    if (g->submitted)
        runner_release(schedule_engine(g->lease), g->id);
    schedule_release(g->lease);
    *g = (struct generation){0};
}

int generation_http_status(oll_status status)
{
    switch (status) {
    case OLL_ERR_ARG:
    case OLL_ERR_LIMIT:
    case OLL_ERR_UNSUPPORTED: return 400;
    case OLL_ERR_DENIED: return 403;
    case OLL_ERR_NOT_FOUND: return 404;
    case OLL_ERR_CANCELED: return 499;
    case OLL_ERR_BUSY: return 503;
    case OLL_ERR_TIMEOUT: return 504;
    default: return 500;
    }
}
