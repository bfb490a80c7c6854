/* Common beginnings of sequences: the logits are those of a cold run, whoever computed the pages;
 * golden models on ref and cpu, with random histories against a model of what must be there. */
#include "engine/base/mem.h"
#include "tests/unit/engine/bed.h"

#include <string.h>

static void share_between(const char *file, const char *device, enum oll_dtype kv)
{
    struct oll_model *model = open_model(file, device);
    struct oll_context *ctx = open_context(model, kv);
    if (!ctx)
        return;
    feed(ctx, 0, &nobody, tokens, 0, 150);
    /* A running sequence gives whole pages, and a copy of a part of one. */
    CHECK_EQ(oll_context_match(ctx, &nobody, tokens, 150), 128);
    CHECK_EQ(oll_context_match(ctx, &somebody, tokens, 150), 0);
    CHECK_EQ(oll_context_seq_adopt(ctx, 1, &nobody, tokens, 149), 128);
    CHECK(as_cold(model, kv, tokens, 170, feed(ctx, 1, &nobody, tokens, 128, 170), true));
    CHECK_EQ(oll_context_seq_adopt(ctx, 2, &nobody, tokens, 90), 90);
    int32_t other[N];
    memcpy(other, tokens, sizeof other);
    other[90] = (other[90] + 1) % N_VOCAB;
    CHECK(as_cold(model, kv, other, 140, feed(ctx, 2, &nobody, other, 90, 140), true));
    /* Nobody has written to what the others see. */
    CHECK(as_cold(model, kv, tokens, 180, feed(ctx, 0, &nobody, tokens, 150, 180), true));
    CHECK(as_cold(model, kv, tokens, 200, feed(ctx, 1, &nobody, tokens, 170, 200), true));
    /* Going back into a shared page. */
    CHECK(oll_context_seq_truncate(ctx, 1, 70));
    CHECK(as_cold(model, kv, tokens, 100, feed(ctx, 1, &nobody, tokens, 70, 100), true));
    CHECK(as_cold(model, kv, tokens, 190, feed(ctx, 0, &nobody, tokens, 180, 190), true));
    /* Finished sequences stay known. */
    for (uint32_t s = 0; s < N_SEQ; s++)
        oll_context_seq_clear(ctx, s);
    CHECK_EQ(oll_context_seq_adopt(ctx, 2, &nobody, other, 128), 128);
    CHECK(as_cold(model, kv, other, 130, feed(ctx, 2, &nobody, other, 128, 130), true));
    CHECK_EQ(oll_context_seq_adopt(ctx, 0, &somebody, tokens, 128), 0);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(llama_ref) { share_between("llama.gguf", "ref", OLL_F32); }
TEST(llama_cpu) { share_between("llama.gguf", "cpu", OLL_F32); }
TEST(llama_cpu_f16) { share_between("llama.gguf", "cpu", OLL_F16); }
TEST(llama_q8_0_cpu) { share_between("llama-q8_0.gguf", "cpu", OLL_F16); }
TEST(qwen3_cpu) { share_between("qwen3.gguf", "cpu", OLL_F16); }
TEST(qwen2_cpu_q8_0) { share_between("qwen2.gguf", "cpu", OLL_Q8_0); }

TEST(gemma3_cpu) { share_between("gemma3.gguf", "cpu", OLL_F16); }
TEST(gemma3_ref) { share_between("gemma3.gguf", "ref", OLL_F32); }
TEST(gemma2_cpu) { share_between("gemma2.gguf", "cpu", OLL_F32); }
TEST(gpt_oss_cpu) { share_between("gpt-oss.gguf", "cpu", OLL_F32); }

/* A beginning is taken over as far as pages of the window are kept, and no further: the pool of
 * three sequences has 10 pages for it. */
TEST(windows_are_shared_while_they_are_kept)
{
    struct oll_model *model = open_model("gemma3.gguf", "cpu");
    struct oll_context *ctx = open_context(model, OLL_F32);
    int32_t other[N];
    if (!ctx)
        return;
    feed(ctx, 0, &nobody, tokens, 0, 200);
    CHECK_EQ(oll_context_match(ctx, &nobody, tokens, 200), 192);
    CHECK_EQ(oll_context_match(ctx, &nobody, tokens, 70), 64);
    memcpy(other, tokens, sizeof other);
    other[64]++;
    CHECK_EQ(oll_context_seq_adopt(ctx, 1, &nobody, other, 199), 64);
    CHECK(as_cold(model, OLL_F32, other, 200, feed(ctx, 1, &nobody, other, 64, 200), true));
    /* Others come until the window at 64 is gone, which nobody has used since. */
    for (int i = 0; i < 3; i++) {
        int32_t strange[N];
        for (int k = 0; k < N; k++)
            strange[k] = (tokens[k] + 1 + i) % N_VOCAB;
        feed(ctx, 2, &nobody, strange, oll_context_seq_adopt(ctx, 2, &nobody, strange, 199), 200);
    }
    CHECK(oll_context_match(ctx, &nobody, tokens, 96) < 64);
    CHECK(!oll_context_seq_truncate(ctx, 0, 64));
    const uint32_t held = oll_context_seq_adopt(ctx, 0, &nobody, tokens, 99);
    CHECK(as_cold(model, OLL_F32, tokens, 100, feed(ctx, 0, &nobody, tokens, held, 100), true));
    /* What computes it anew makes it known again. */
    CHECK_EQ(oll_context_match(ctx, &nobody, tokens, 96), 96);
    oll_context_free(ctx);
    oll_model_free(model);
}

/* Random prompts out of few beginnings, over all sequences, with cuts: pages come, go and are made
 * room for; every reply must be that of a cold run, and a sequence never finds the pool empty. */
static void random_histories(const char *file, const char *device, uint64_t seed)
{
    struct oll_model *model = open_model(file, device);
    struct oll_context *ctx = open_context(model, OLL_F32);
    int32_t ids[N_CTX];
    uint32_t n_hits = 0;
    if (!ctx)
        return;
    for (int step = 0; step < 60; step++) {
        uint32_t seq = (uint32_t)(testing_random(&seed) % N_SEQ);
        uint32_t n = 40 + (uint32_t)(testing_random(&seed) % (N_CTX - 40));
        uint32_t same = (uint32_t)(testing_random(&seed) % n), variant = testing_random(&seed) % 3;
        const struct oll_space *space = testing_random(&seed) % 4 ? &nobody : &somebody;
        for (uint32_t i = 0; i < n; i++)
            ids[i] = (tokens[i % N] + (int32_t)(i < same ? 0 : variant)) % N_VOCAB;
        uint32_t held = oll_context_seq_adopt(ctx, seq, space, ids, n - 1);
        CHECK(held < n);
        n_hits += held > 0;
        float *logits = feed(ctx, seq, space, ids, held, n);
        CHECK_MSG(as_cold(model, OLL_F32, ids, n, logits, true), "step %d: %u of %u were there",
                  step, held, n);
        if (testing_random(&seed) % 3 == 0) {
            uint32_t keep = (uint32_t)(testing_random(&seed) % n);
            if (oll_context_seq_truncate(ctx, seq, keep) && keep > 0 && keep < n)
                CHECK(as_cold(model, OLL_F32, ids, keep + 1,
                              feed(ctx, seq, space, ids, keep, keep + 1), true));
        }
    }
    CHECK_MSG(n_hits > 20, "%u of 60 found something", n_hits);
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(histories_cpu) { random_histories("llama.gguf", "cpu", 1); }
TEST(histories_ref) { random_histories("llama.gguf", "ref", 2); }
TEST(histories_windows_cpu) { random_histories("gemma3.gguf", "cpu", 4); }
TEST(histories_windows_ref) { random_histories("gemma2.gguf", "ref", 5); }
TEST(histories_windows_sinks) { random_histories("gpt-oss.gguf", "cpu", 6); }
TEST(histories_quantised) { random_histories("llama-q8_0.gguf", "cpu", 3); }

int main(int argc, char **argv) { return testing_main(argc, argv); }
