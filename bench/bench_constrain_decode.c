/* Decoding with a schema against decoding without. */
#include "bench/bench_constrain.h"

#include "bench/bench_stats.h"
#include "engine/oll.h"

enum { MAX_ROUNDS = 100, WINDOW = 2048 };

/* A list that goes on: objects whose members a model fills with text and numbers. */
static const char schema[] =
    "{\"type\":\"array\",\"minItems\":10000,\"items\":{\"type\":\"object\",\"properties\":{"
    "\"name\":"
    "{\"type\":\"string\",\"maxLength\":60},\"age\":{\"type\":\"integer\",\"minimum\":0,"
    "\"maximum\":120},"
    "\"about\":{\"type\":\"string\"}},\"required\":[\"name\",\"age\",\"about\"]}}";

static oll_status generate(struct oll_engine *engine, const char *format, uint32_t n_tokens,
                           double *rate, struct oll_error *err)
{
    struct oll_request ask = {.kind = OLL_REQUEST_PROMPT,
                              .options = oll_options_default(),
                              .prompt =
                                  "Write a list of people as JSON, each with name, age, about.",
                              .format_json = format};
    struct oll_event event = {0};
    uint64_t id;
    ask.options.seed = 1;
    ask.options.num_predict = (int32_t)n_tokens;
    ask.options.ignore_eog = !format;
    OLL_TRY(oll_engine_submit(engine, &ask, &id, err));
    oll_status status;
    do {
        oll_event_free(&event);
        status = oll_engine_next(engine, id, -1, &event);
    } while (status == OLL_OK && event.kind != OLL_EVENT_DONE && event.kind != OLL_EVENT_ERROR);
    if (status == OLL_OK && event.kind == OLL_EVENT_ERROR)
        status = OLL_FAIL(err, event.status, "%s", event.text);
    else if (status == OLL_OK && event.reply_ns > 0)
        *rate = (double)event.n_reply * 1e9 / (double)event.reply_ns;
    oll_event_free(&event);
    oll_engine_release(engine, id);
    return status;
}

oll_status bench_constrain_decode(const char *model_path, uint32_t n_tokens, uint32_t n_rounds,
                                  int n_threads, struct bench_constrain_decode *out,
                                  struct oll_error *err)
{
    struct oll_engine_params params = {
        .model_path = model_path, .n_ctx = WINDOW, .n_threads = n_threads};
    struct oll_engine *engine;
    double rates[2][MAX_ROUNDS];
    if (n_rounds < 1 || n_rounds > MAX_ROUNDS || n_tokens >= WINDOW / 2)
        return OLL_FAIL(err, OLL_ERR_ARG, "1 to %d rounds of fewer than %d tokens are possible",
                        MAX_ROUNDS, WINDOW / 2);
    OLL_TRY(oll_engine_open(&params, &engine, err));
    double warm;
    oll_status status = generate(engine, schema, n_tokens, &warm, err);
    /* In turn, so that a change of the machine's speed meets both. */
    for (uint32_t i = 0; i < 2 * n_rounds && status == OLL_OK; i++)
        status = generate(engine, i % 2 ? schema : NULL, n_tokens, &rates[i % 2][i / 2], err);
    oll_engine_close(engine);
    if (status != OLL_OK)
        return status;
    struct bench_stats s;
    bench_stats_of(rates[0], n_rounds, &s);
    out->free = s.median;
    bench_stats_of(rates[1], n_rounds, &s);
    out->constrained = s.median;
    return OLL_OK;
}
