/* Loading and running a model from any bytes: whatever passes the checks of the loader must run
 * without a fault. Small contexts keep an input that does load quick. */
#include "engine/base/log.h"
#include "engine/model.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void run_decoder(struct oll_model *model)
{
    struct oll_context *ctx = NULL;
    struct oll_context_params size = {.n_ctx = 40, .n_seq = 1, .n_ubatch = 4, .kv_dtype = OLL_F16};
    const int32_t tokens[] = {0, 0, 0, 0, 0, 0};
    struct oll_batch batch = {.n = 6, .tokens = tokens};
    float *logits;
    if (oll_context_new(model, &size, &ctx, NULL) == OLL_OK &&
        oll_context_eval(ctx, &batch, NULL, &logits, NULL) == OLL_OK)
        oll_context_seq_truncate(ctx, 0, 3);
    oll_context_free(ctx);
}

static void run_embedding(struct oll_model *model)
{
    struct oll_context *ctx = NULL;
    struct oll_context_params size = {.n_ctx = 3, .n_seq = 1, .n_ubatch = 2, .kv_dtype = OLL_F32};
    const int32_t tokens[] = {0, 0, 0};
    float *v = calloc(oll_model_facts(model)->n_embd_out, sizeof *v);
    if (v && oll_context_new(model, &size, &ctx, NULL) == OLL_OK)
        (void)(oll_context_embed(ctx, 0, tokens, 3, false, NULL, v, NULL) == OLL_OK);
    oll_context_free(ctx);
    free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_gguf *gguf;
    struct oll_model *model;
    struct oll_model_params params = {.devices = "ref", .n_threads = 1, .no_tokenizer = true};
    struct oll_error err = {0};
    oll_log_set_level(OLL_LOG_ERROR);
    if (oll_gguf_open_memory(data, n_bytes, "fuzz", &gguf, &err) != OLL_OK)
        return 0;
    if (model_load_open(gguf, &params, &model, &err) != OLL_OK)
        return 0;
    run_decoder(model);
    run_embedding(model);
    oll_model_free(model);
    return 0;
}
