/* Engines on golden models and the ref device, and what is asked of them. */
#ifndef OLL_TESTS_UNIT_ENGINE_GOLDEN_ENGINE_H
#define OLL_TESTS_UNIT_ENGINE_GOLDEN_ENGINE_H

#include "engine/oll.h"
#include "tests/testing.h"

static inline struct oll_engine *open_engine(const char *file, uint32_t n_ctx, uint32_t n_slots)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    const char *path = testing_shared("data/golden/%s", file);
    if (!path[0]) {
        testing_skip("shared/data/golden is absent");
        return NULL;
    }
    struct oll_engine_params params = {
        .model_path = path, .devices = "ref", .n_ctx = n_ctx, .n_slots = n_slots};
    CHECK_MSG(oll_engine_open(&params, &engine, &err) == OLL_OK, "%s", err.text);
    return engine;
}

static inline struct oll_request raw_prompt(const char *text, int32_t n_predict)
{
    struct oll_request request = {
        .kind = OLL_REQUEST_PROMPT, .prompt = text, .raw = true, .options = oll_options_default()};
    request.options.num_predict = n_predict;
    request.options.seed = 1;
    request.options.ignore_eog = true;
    return request;
}

#endif
