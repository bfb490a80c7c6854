/* Contexts of golden models that are fed and compared with cold ones. */
#ifndef OLL_TESTS_UNIT_ENGINE_BED_H
#define OLL_TESTS_UNIT_ENGINE_BED_H

#include "engine/base/log.h"
#include "engine/eval.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { N = 200, N_VOCAB = 288, N_SEQ = 3, N_CTX = 224, N_UBATCH = 48 };

static const struct oll_space nobody = {{0, 0}}, somebody = {{5, 6}};
static int32_t tokens[N];

static inline struct oll_model *open_model(const char *file, const char *device)
{
    struct oll_model *model = NULL;
    struct oll_error err = {0};
    struct oll_model_params params = {.devices = device, .no_tokenizer = true, .n_threads = 2};
    const char *path = testing_shared("data/golden/%s", file);
    if (!path[0]) {
        testing_skip("%s is absent (data/golden)", file);
        return NULL;
    }
    oll_log_set_level(OLL_LOG_ERROR);
    CHECK_MSG(oll_model_load(path, &params, &model, &err) == OLL_OK, "%s", err.text);
    uint64_t state = 11;
    for (int i = 0; i < N; i++)
        tokens[i] = (int32_t)(testing_random(&state) % N_VOCAB);
    return model;
}

static inline struct oll_context *open_context(struct oll_model *model, enum oll_dtype kv)
{
    struct oll_context *ctx = NULL;
    struct oll_error err = {0};
    struct oll_context_params params = {
        .n_ctx = N_CTX, .n_seq = N_SEQ, .n_ubatch = N_UBATCH, .kv_dtype = kv};
    if (model)
        CHECK_MSG(oll_context_new(model, &params, &ctx, &err) == OLL_OK, "%s", err.text);
    return ctx;
}

/* Evaluates ids [begin, end) step by step and publishes; the last logits. */
static inline float *feed(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                          const int32_t *ids, uint32_t begin, uint32_t end)
{
    int32_t seqs[N_UBATCH];
    struct oll_error err = {0};
    float *logits = NULL;
    for (uint32_t i = 0; i < N_UBATCH; i++)
        seqs[i] = (int32_t)seq;
    for (uint32_t n; begin < end; begin += n) {
        n = end - begin < N_UBATCH ? end - begin : N_UBATCH;
        struct oll_batch batch = {.n = n, .tokens = ids + begin, .seq = seqs};
        CHECK_MSG(oll_context_eval(ctx, &batch, NULL, &logits, &err) == OLL_OK, "%s", err.text);
        oll_context_seq_publish(ctx, seq, space, ids, begin + n);
    }
    return logits;
}

/* Largest difference from the logits of a cold run; the bits where `exact`. */
static inline bool as_cold(struct oll_model *model, enum oll_dtype kv, const int32_t *ids,
                           uint32_t n, const float *logits, bool exact)
{
    struct oll_context *ctx = open_context(model, kv);
    const float *cold = feed(ctx, 0, &nobody, ids, 0, n);
    bool same = logits && cold;
    if (same && exact)
        same = memcmp(logits, cold, N_VOCAB * sizeof *cold) == 0;
    for (int i = 0; same && i < N_VOCAB; i++)
        same = fabsf(logits[i] - cold[i]) < 1e-4f;
    oll_context_free(ctx);
    return same;
}

#endif
