/* Sequences of a context: going on, going back, side by side, refused. Golden models on ref. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/eval.h"
#include "kernels/device.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { N_TOKENS = 80 };

static int32_t tokens[N_TOKENS];

static struct oll_model *open_model(const char *file)
{
    struct oll_model *model = NULL;
    struct oll_error err = {0};
    struct oll_model_params params = {.devices = "ref", .no_tokenizer = true};
    const char *path = testing_shared("data/golden/%s", file);
    if (!path[0]) {
        testing_skip("%s is absent (data/golden)", file);
        return NULL;
    }
    oll_log_set_level(OLL_LOG_ERROR);
    CHECK_MSG(oll_model_load(path, &params, &model, &err) == OLL_OK, "%s", err.text);
    uint64_t state = 7;
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)(testing_random(&state) % 288);
    return model;
}

static struct oll_context *open_context(struct oll_model *model, uint32_t n_ctx, uint32_t n_seq,
                                        uint32_t n_ubatch)
{
    struct oll_context *ctx = NULL;
    struct oll_error err = {0};
    struct oll_context_params params = {
        .n_ctx = n_ctx, .n_seq = n_seq, .n_ubatch = n_ubatch, .kv_dtype = OLL_F32};
    if (model)
        CHECK_MSG(oll_context_new(model, &params, &ctx, &err) == OLL_OK, "%s", err.text);
    return ctx;
}

/* Feeds tokens [begin, end) to a sequence; the last logits. */
static float *feed(struct oll_context *ctx, int32_t seq, uint32_t begin, uint32_t end)
{
    int32_t seqs[N_TOKENS];
    struct oll_error err = {0};
    float *logits = NULL;
    for (uint32_t i = 0; i < end - begin; i++)
        seqs[i] = seq;
    struct oll_batch batch = {.n = end - begin, .tokens = tokens + begin, .seq = seqs};
    CHECK_MSG(oll_context_eval(ctx, &batch, NULL, &logits, &err) == OLL_OK, "%s", err.text);
    return logits;
}

static bool same(const float *a, const float *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) < 1e-4f))
            return false;
    return true;
}

/* Logits after the first n tokens, from an empty sequence. */
static float *fresh(struct oll_model *model, uint32_t n)
{
    struct oll_context *ctx = open_context(model, 256, 1, 512);
    float *copy = oll_alloc(288, sizeof *copy), *logits = feed(ctx, 0, 0, n);
    memcpy(copy, logits, 288 * sizeof *copy);
    oll_context_free(ctx);
    return copy;
}

TEST(a_sequence_goes_back_and_on)
{
    struct oll_model *model = open_model("llama.gguf");
    struct oll_context *ctx = open_context(model, 256, 2, 16);
    if (!ctx)
        return;
    float *expected = fresh(model, 50);
    feed(ctx, 1, 0, 70);
    CHECK_EQ(oll_context_seq_len(ctx, 1), 70);
    CHECK(oll_context_seq_truncate(ctx, 1, 30));
    CHECK(oll_context_seq_truncate(ctx, 1, 99)); /* nothing to cut */
    CHECK_EQ(oll_context_seq_len(ctx, 1), 30);
    CHECK_EQ(oll_context_seq_len(ctx, 0), 0);
    CHECK(same(feed(ctx, 1, 30, 50), expected, 288));
    oll_context_seq_clear(ctx, 1);
    CHECK(same(feed(ctx, 1, 0, 50), expected, 288));
    oll_free(expected);
    oll_context_free(ctx);
    oll_model_free(model);
}

/* Window 16, passes of 8: the ring of a sequence has two pages, and a context of 256 eight. */
TEST(a_ring_goes_back_as_far_as_it_reaches)
{
    struct oll_model *model = open_model("gemma3.gguf");
    struct oll_context *ctx = open_context(model, 256, 1, 8);
    if (!ctx)
        return;
    float *expected = fresh(model, 75);
    feed(ctx, 0, 0, 70);
    CHECK(oll_context_seq_truncate(ctx, 0, 60));
    CHECK(same(feed(ctx, 0, 60, 75), expected, 288));
    /* Position 50 sees 35 and up: page 1, which pages 2 and 3 may not have replaced. */
    CHECK(oll_context_seq_truncate(ctx, 0, 50));
    CHECK(same(feed(ctx, 0, 50, 75), expected, 288));
    CHECK(!oll_context_seq_truncate(ctx, 0, 40));
    CHECK_EQ(oll_context_seq_len(ctx, 0), 0);
    CHECK(same(feed(ctx, 0, 0, 75), expected, 288));
    oll_free(expected);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(windows_take_a_ring_not_the_context)
{
    struct oll_model *model = open_model("gemma3.gguf");
    struct oll_context *small = open_context(model, 1024, 1, 8);
    struct oll_context *large = open_context(model, 4096, 1, 8);
    if (!small || !large)
        return;
    /* One of seven layers sees the whole context: 3072 positions more, K and V of 16 floats; the
     * page tables grow by 96 entries. */
    CHECK_EQ(oll_context_kv_bytes(large) - oll_context_kv_bytes(small), 3072 * 2 * 16 * 4 + 96 * 4);
    CHECK_EQ(oll_context_activation_bytes(large), oll_context_activation_bytes(small));
    oll_context_free(small);
    oll_context_free(large);
    oll_model_free(model);
}

TEST(refused_batches_change_nothing)
{
    struct oll_model *model = open_model("llama.gguf");
    struct oll_context *ctx = open_context(model, 20, 2, 16);
    if (!ctx)
        return;
    float *expected = fresh(model, 15), *logits;
    struct oll_error err = {0};
    feed(ctx, 0, 0, 10);
    int32_t bad[] = {1, 288, 2}, negative[] = {-1};
    int32_t no_seq[] = {0, 2, 0};
    CHECK_STATUS(
        oll_context_eval(ctx, &(struct oll_batch){.n = 3, .tokens = bad}, NULL, &logits, &err),
        OLL_ERR_ARG);
    CHECK_STR(err.text, "token 288 is not in the vocabulary (0..287)");
    CHECK_STATUS(
        oll_context_eval(ctx, &(struct oll_batch){.n = 1, .tokens = negative}, NULL, &logits, NULL),
        OLL_ERR_ARG);
    CHECK_STATUS(oll_context_eval(ctx, &(struct oll_batch){.n = 3, .tokens = tokens, .seq = no_seq},
                                  NULL, &logits, NULL),
                 OLL_ERR_ARG);
    CHECK_STATUS(
        oll_context_eval(ctx, &(struct oll_batch){.n = 11, .tokens = tokens}, NULL, &logits, NULL),
        OLL_ERR_LIMIT);
    CHECK_EQ(oll_context_seq_len(ctx, 0), 10);
    CHECK(same(feed(ctx, 0, 10, 15), expected, 288));
    oll_free(expected);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(an_abort_leaves_sequences_as_they_were)
{
    struct oll_model *model = open_model("llama.gguf");
    struct oll_context *ctx = open_context(model, 100, 1, 16);
    if (!ctx)
        return;
    float *expected = fresh(model, 60), *logits;
    atomic_bool abort;
    atomic_init(&abort, true);
    feed(ctx, 0, 0, 20);
    struct oll_batch batch = {.n = 40, .tokens = tokens + 20};
    CHECK_STATUS(oll_context_eval(ctx, &batch, &abort, &logits, NULL), OLL_ERR_CANCELED);
    CHECK_EQ(oll_context_seq_len(ctx, 0), 20);
    CHECK(same(feed(ctx, 0, 20, 60), expected, 288));
    oll_free(expected);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(rows_come_as_wanted)
{
    struct oll_model *model = open_model("qwen3.gguf");
    struct oll_context *ctx = open_context(model, 100, 1, 16);
    if (!ctx)
        return;
    uint8_t want[40] = {0};
    want[3] = want[17] = want[38] = 1;
    struct oll_batch batch = {.n = 40, .tokens = tokens, .want = want};
    float *logits = NULL;
    CHECK_OK(oll_context_eval(ctx, &batch, NULL, &logits, NULL));
    const uint32_t rows[] = {4, 18, 39};
    for (int i = 0; i < 3 && logits; i++) {
        float *expected = fresh(model, rows[i]);
        CHECK(same(logits + (size_t)i * 288, expected, 288));
        oll_free(expected);
    }
    memset(want, 0, sizeof want);
    CHECK_OK(oll_context_eval(ctx, &batch, NULL, &logits, NULL));
    CHECK(logits == NULL);
    CHECK_EQ(oll_context_seq_len(ctx, 0), 80);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(sizes_are_checked)
{
    struct oll_model *model = open_model("gpt2.gguf");
    struct oll_context *ctx = NULL;
    if (!model)
        return;
    struct oll_context_params params = {.n_ctx = 129, .n_seq = 1, .kv_dtype = OLL_F16};
    CHECK_STATUS(oll_context_new(model, &params, &ctx, NULL), OLL_ERR_LIMIT);
    params = (struct oll_context_params){.n_ctx = 10, .n_seq = 0, .kv_dtype = OLL_F16};
    CHECK_STATUS(oll_context_new(model, &params, &ctx, NULL), OLL_ERR_ARG);
    params = (struct oll_context_params){.n_ctx = 10, .n_seq = 1, .kv_dtype = OLL_Q4_1};
    CHECK_STATUS(oll_context_new(model, &params, &ctx, NULL), OLL_ERR_ARG);
    params = (struct oll_context_params){.n_seq = 1, .kv_dtype = OLL_F16};
    CHECK_OK(oll_context_new(model, &params, &ctx, NULL));
    CHECK_EQ(oll_context_n_ctx(ctx), 128);
    CHECK_EQ(oll_context_n_ubatch(ctx), 128);
    oll_context_free(ctx);
    oll_model_free(model);
    model = open_model("llama.gguf");
    params = (struct oll_context_params){.n_ctx = 1 << 30, .n_seq = 1000, .kv_dtype = OLL_F32};
    struct oll_error err = {0};
    CHECK_STATUS(oll_context_new(model, &params, &ctx, &err), OLL_ERR_LIMIT);
    CHECK_MSG(strstr(err.text, "kv cache"), "%s", err.text);
    oll_model_free(model);
}

TEST(a_quantised_cache_comes_close)
{
    struct oll_model *model = open_model("llama-q8_0.gguf");
    struct oll_context *exact = open_context(model, 100, 1, 16), *ctx = NULL;
    if (!exact)
        return;
    struct oll_context_params params = {.n_ctx = 100, .n_seq = 1, .kv_dtype = OLL_Q8_0};
    CHECK_OK(oll_context_new(model, &params, &ctx, NULL));
    uint32_t n = oll_model_facts(model)->n_vocab;
    float *a = feed(exact, 0, 0, 60), *b = feed(ctx, 0, 0, 60);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += pow((double)a[i] - (double)b[i], 2);
    CHECK_MSG(sqrt(sum / n) < 0.1, "rms %g", sqrt(sum / n));
    CHECK(oll_context_kv_bytes(ctx) < oll_context_kv_bytes(exact));
    oll_context_free(exact);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(encoders_embed_only)
{
    struct oll_model *model = open_model("bert.gguf");
    struct oll_context *ctx = open_context(model, 30, 1, 8);
    if (!ctx)
        return;
    float v[64], raw[64], *logits;
    struct oll_batch batch = {.n = 3, .tokens = tokens};
    CHECK_STATUS(oll_context_eval(ctx, &batch, NULL, &logits, NULL), OLL_ERR_UNSUPPORTED);
    CHECK_STATUS(oll_context_embed(ctx, 0, tokens, 31, false, NULL, v, NULL), OLL_ERR_LIMIT);
    CHECK_STATUS(oll_context_embed(ctx, 0, tokens, 0, false, NULL, v, NULL), OLL_ERR_ARG);
    CHECK_OK(oll_context_embed(ctx, 0, tokens, 30, false, NULL, v, NULL));
    atomic_bool abort = true;
    CHECK_STATUS(oll_context_embed(ctx, 0, tokens, 30, true, &abort, raw, NULL), OLL_ERR_CANCELED);
    CHECK_EQ(oll_context_seq_len(ctx, 0), 0);
    atomic_store(&abort, false);
    CHECK_OK(oll_context_embed(ctx, 0, tokens, 30, true, &abort, raw, NULL));
    double length = 0;
    for (int i = 0; i < 64; i++)
        length += (double)raw[i] * (double)raw[i];
    for (int i = 0; i < 64; i++)
        CHECK(fabs((double)v[i] - (double)raw[i] / sqrt(length)) < 1e-5);
    CHECK_EQ(oll_context_seq_len(ctx, 0), 0);
    const struct oll_model_info *info = oll_model_facts(model);
    CHECK(info->is_encoder && info->can_embed && !info->can_complete);
    CHECK_EQ(oll_model_pooling(model), OLL_POOLING_MEAN);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(a_decoder_embeds_in_passes)
{
    struct oll_model *model = open_model("qwen3-embedding.gguf");
    struct oll_context *whole = open_context(model, 70, 1, 70);
    struct oll_context *parts = open_context(model, 70, 1, 9);
    if (!whole || !parts)
        return;
    float a[64], b[64];
    CHECK_OK(oll_context_embed(whole, 0, tokens, 70, false, NULL, a, NULL));
    CHECK_OK(oll_context_embed(parts, 0, tokens, 70, false, NULL, b, NULL));
    CHECK(same(a, b, 64));
    oll_context_free(whole);
    oll_context_free(parts);
    oll_model_free(model);
}

/* In a sequence among others: the same vector; they go on as if nothing had been, and what was
 * known is found again, but nothing of the embedding. */
TEST(embeddings_beside_other_sequences)
{
    static const char *const files[] = {"llama.gguf", "gemma3.gguf"};
    const struct oll_space space = {{0}};
    for (int i = 0; i < 2; i++) {
        struct oll_model *model = open_model(files[i]);
        struct oll_context *alone = open_context(model, 128, 1, 16);
        struct oll_context *ctx = open_context(model, 128, 3, 16);
        if (!alone || !ctx)
            return;
        float expected[288] = {0}, v[288] = {0};
        float *logits = fresh(model, 50);
        CHECK_OK(oll_context_embed(alone, 0, tokens + 5, 70, false, NULL, expected, NULL));
        feed(ctx, 0, 0, 40);
        oll_context_seq_publish(ctx, 0, &space, tokens, 40);
        feed(ctx, 2, 0, 30);
        CHECK_OK(oll_context_embed(ctx, 2, tokens + 5, 70, false, NULL, v, NULL));
        CHECK_MSG(memcmp(v, expected, sizeof v) == 0, "%s", files[i]);
        CHECK_EQ(oll_context_seq_len(ctx, 0), 40);
        CHECK_EQ(oll_context_seq_len(ctx, 2), 0);
        CHECK_EQ(oll_context_match(ctx, &space, tokens, 80), 32);
        CHECK_EQ(oll_context_match(ctx, &space, tokens + 5, 70), 0);
        CHECK(same(feed(ctx, 0, 40, 50), logits, 288));
        oll_free(logits);
        oll_context_free(alone);
        oll_context_free(ctx);
        oll_model_free(model);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
