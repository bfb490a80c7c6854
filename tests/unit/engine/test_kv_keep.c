/* Pages of the KV cache that outlive their context: what comes back from the folder gives the
 * logits of a cold run, bit by bit, and nothing else ever does. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "tests/unit/engine/bed.h"
#include "tests/unit/engine/folder.h"

#include <pthread.h>

static char folder[FOLDER_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came = PTHREAD_COND_INITIALIZER;
static int n_wakes;

static void wake(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    n_wakes++;
    pthread_cond_signal(&came);
    pthread_mutex_unlock(&lock);
}

static struct oll_context *open_kept(struct oll_model *model, enum oll_dtype kv, uint64_t max_bytes)
{
    struct oll_error err = {0};
    struct oll_keep_params keep = {.folder = folder, .max_bytes = max_bytes, .wake = wake};
    struct oll_context *ctx = open_context(model, kv);
    if (ctx && max_bytes)
        CHECK_MSG(oll_context_keep(ctx, &keep, &err) == OLL_OK, "%s", err.text);
    return ctx;
}

/* What memory and folder together have of the prompt, taken over by the sequence. */
static uint32_t fetch(struct oll_context *ctx, uint32_t seq, const struct oll_space *space,
                      const int32_t *ids, uint32_t n)
{
    const uint64_t give_up = oll_clock_ns() + UINT64_C(20000000000);
    uint32_t held = oll_context_seq_adopt(ctx, seq, space, ids, n);
    if (!oll_context_seq_fetch(ctx, seq, space, ids, n, held))
        return held;
    CHECK_EQ(oll_context_seq_len(ctx, seq), 0);
    int seen = 0;
    while (oll_context_seq_fetching(ctx, seq, oll_clock_ns())) {
        pthread_mutex_lock(&lock);
        while (n_wakes == seen && oll_clock_ns() < give_up)
            pthread_cond_wait(&came, &lock);
        seen = n_wakes;
        pthread_mutex_unlock(&lock);
        if (oll_clock_ns() >= give_up) {
            CHECK_MSG(false, "pages never come");
            break;
        }
    }
    return oll_context_seq_adopt(ctx, seq, space, ids, n);
}

/* Files of four pages: with windows two for each. */
static int model_pages(const char *file) { return strncmp(file, "gemma", 5) == 0 ? 8 : 4; }

static void come_back(const char *file, const char *device, enum oll_dtype kv)
{
    struct oll_model *model = open_model(file, device);
    char path[FILE_MAX];
    if (!model)
        return;
    folder_make(folder);
    struct oll_context *ctx = open_kept(model, kv, 1 << 30);
    feed(ctx, 0, &nobody, tokens, 0, 150);
    CHECK_EQ(fetch(ctx, 1, &nobody, tokens, 149), 128);
    oll_context_free(ctx); /* keeps what it has */
    CHECK_EQ(folder_pages(folder, 0, path), model_pages(file));

    ctx = open_kept(model, kv, 1 << 30);
    CHECK_EQ(oll_context_match(ctx, &nobody, tokens, 150), 0);
    CHECK_EQ(fetch(ctx, 2, &somebody, tokens, 149), 0); /* another key's */
    CHECK_EQ(fetch(ctx, 1, &nobody, tokens, 149), 128);
    CHECK(as_cold(model, kv, tokens, 150, feed(ctx, 1, &nobody, tokens, 128, 150), true));
    /* Beside a sequence that has them in memory, and one that needs more than memory has. */
    CHECK_EQ(fetch(ctx, 0, &nobody, tokens, 100), 100);
    CHECK(as_cold(model, kv, tokens, 120, feed(ctx, 0, &nobody, tokens, 100, 120), true));
    oll_context_free(ctx);

    ctx = open_kept(model, kv, 1 << 30);
    CHECK_EQ(fetch(ctx, 0, &nobody, tokens, 70), 64);
    feed(ctx, 0, &nobody, tokens, 64, 70);
    CHECK_EQ(fetch(ctx, 0, &nobody, tokens, 149), 128);
    CHECK(as_cold(model, kv, tokens, 180, feed(ctx, 0, &nobody, tokens, 128, 180), true));
    /* A fetch that is given up, and one behind it. */
    CHECK(!oll_context_seq_fetch(ctx, 1, &nobody, tokens, 31, 0));
    oll_context_free(ctx);
    ctx = open_kept(model, kv, 1 << 30);
    CHECK(oll_context_seq_fetch(ctx, 1, &nobody, tokens, 170, 0));
    oll_context_seq_clear(ctx, 1);
    CHECK_EQ(fetch(ctx, 1, &nobody, tokens, 170), 160);
    CHECK(oll_context_seq_fetch(ctx, 2, &nobody, tokens, 170, 0)); /* freed in the middle */
    oll_context_free(ctx);
    oll_model_free(model);
    folder_remove(folder);
}

TEST(llama_cpu_f16) { come_back("llama.gguf", "cpu", OLL_F16); }
TEST(gemma3_cpu) { come_back("gemma3.gguf", "cpu", OLL_F16); }
TEST(gemma2_ref) { come_back("gemma2.gguf", "ref", OLL_F32); }
TEST(llama_ref) { come_back("llama.gguf", "ref", OLL_F32); }
TEST(llama_q8_0_cpu) { come_back("llama-q8_0.gguf", "cpu", OLL_Q8_0); }
TEST(qwen2_cpu_q4_0) { come_back("qwen2.gguf", "cpu", OLL_Q4_0); }

/* Each page file damaged in turn, at its beginning, in it and at its end. */
TEST(damage_costs_time_alone)
{
    struct oll_model *model = open_model("llama.gguf", "cpu");
    static const double places[] = {0, 0.1, 0.5, 0.9, 0.9999};
    char path[FILE_MAX];
    uint64_t state = 3;
    if (!model)
        return;
    for (int round = 0; round < 20; round++) {
        folder_make(folder);
        struct oll_context *ctx = open_kept(model, OLL_F16, 1 << 30);
        feed(ctx, 0, &nobody, tokens, 0, 150);
        oll_context_free(ctx);
        CHECK_EQ(folder_pages(folder, round % 4, path), 4);
        FILE *f = fopen(path, "r+b");
        OLL_ASSERT(f && fseek(f, 0, SEEK_END) == 0);
        const long n = ftell(f), at = (long)((double)(n - 1) * places[round / 4]);
        OLL_ASSERT(fseek(f, at, SEEK_SET) == 0);
        const int c = fgetc(f);
        OLL_ASSERT(fseek(f, at, SEEK_SET) == 0 && fputc(c ^ 0x40, f) != EOF && fclose(f) == 0);
        ctx = open_kept(model, OLL_F16, 1 << 30);
        const uint32_t held = fetch(ctx, 0, &nobody, tokens, 149);
        CHECK(held % 32 == 0 && held < 128);
        CHECK(as_cold(model, OLL_F16, tokens, 150, feed(ctx, 0, &nobody, tokens, held, 150), true));
        CHECK_EQ(folder_pages(folder, 0, path), 3); /* the damaged one is gone */
        oll_context_free(ctx);
        CHECK_EQ(folder_pages(folder, 0, path), 4); /* and whole again */
        folder_remove(folder);
    }
    (void)testing_random(&state);
    oll_model_free(model);
}

/* Pages of other models, types of cache, devices and windows are not found. */
TEST(what_differs_is_kept_apart)
{
    static const struct {
        const char *file, *device;
        enum oll_dtype kv;
    } forms[] = {{"llama.gguf", "cpu", OLL_F16},
                 {"llama.gguf", "cpu", OLL_F32},
                 {"llama.gguf", "ref", OLL_F16},
                 {"llama-q8_0.gguf", "cpu", OLL_F16}};
    folder_make(folder);
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            struct oll_model *model = open_model(forms[i].file, forms[i].device);
            if (!model)
                break;
            struct oll_context *ctx = open_kept(model, forms[i].kv, 1 << 30);
            CHECK_EQ(fetch(ctx, 0, &nobody, tokens, 149), turn ? 128 : 0);
            CHECK(as_cold(model, forms[i].kv, tokens, 150,
                          feed(ctx, 0, &nobody, tokens, turn ? 128 : 0, 150), true));
            oll_context_free(ctx);
            oll_model_free(model);
        }
    folder_remove(folder);
}

/* Random prompts in a pool that is too small for them, with idle moments now and then, over several
 * lives: what memory has forgotten comes from the folder, and every reply is that of a cold run. */
static void histories(const char *file)
{
    struct oll_model *model = open_model(file, "cpu");
    uint64_t seed = 5;
    uint32_t n_fetched = 0;
    int32_t ids[N_CTX];
    if (!model)
        return;
    folder_make(folder);
    for (int life = 0; life < 4; life++) {
        struct oll_context *ctx = open_kept(model, OLL_F32, life == 3 ? 200000 : 1 << 30);
        for (int step = 0; step < 30; step++) {
            uint32_t seq = (uint32_t)(testing_random(&seed) % N_SEQ);
            uint32_t n = 40 + (uint32_t)(testing_random(&seed) % (N_CTX - 40));
            uint32_t same = (uint32_t)(testing_random(&seed) % n),
                     variant = testing_random(&seed) % 6;
            const struct oll_space *space = testing_random(&seed) % 4 ? &nobody : &somebody;
            for (uint32_t i = 0; i < n; i++)
                ids[i] = (tokens[i % N] + (int32_t)(i < same ? 0 : variant)) % N_VOCAB;
            const uint32_t known = oll_context_match(ctx, space, ids, n - 1);
            const uint32_t held = fetch(ctx, seq, space, ids, n - 1);
            n_fetched += held >= known + 32;
            float *logits = feed(ctx, seq, space, ids, held, n);
            CHECK_MSG(as_cold(model, OLL_F32, ids, n, logits, true), "step %d: %u of %u were there",
                      step, held, n);
            for (int i = 0; testing_random(&seed) % 3 == 0 && i < 8; i++)
                (void)oll_context_keep_step(ctx);
        }
        oll_context_free(ctx);
    }
    CHECK_MSG(n_fetched > 5, "%u of 120 came from the folder", n_fetched);
    oll_model_free(model);
    folder_remove(folder);
}

TEST(histories_cpu) { histories("llama.gguf"); }
TEST(histories_windows) { histories("gemma3.gguf"); }
TEST(histories_sinks) { histories("gpt-oss.gguf"); }

int main(int argc, char **argv) { return testing_main(argc, argv); }
