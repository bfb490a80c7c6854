/* Requests beside others: the same text whatever is in the batch and in the cache; keys keep their
 * prompts apart; a canceled prompt ends at once and the others go on. */
#include "engine/oll.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { N_ASKS = 9, N_ROUNDS = 12, N_SLOTS = 4 };

static struct oll_engine *open_engine(const char *file, const char *device, uint32_t n_ctx,
                                      uint32_t n_slots, enum oll_dtype kv)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    const char *path = testing_shared("data/golden/%s", file);
    if (!path[0]) {
        testing_skip("%s is absent (data/golden)", file);
        return NULL;
    }
    oll_log_set_level(OLL_LOG_ERROR);
    struct oll_engine_params params = {.model_path = path,
                                       .devices = device,
                                       .n_ctx = n_ctx,
                                       .n_slots = n_slots,
                                       .n_threads = 2,
                                       .kv_dtype = kv};
    CHECK_MSG(oll_engine_open(&params, &engine, &err) == OLL_OK, "%s", err.text);
    return engine;
}

/* The text of a reply; *done gets the last event without what it holds. */
static char *take_text(struct oll_engine *engine, uint64_t id, struct oll_event *done)
{
    struct oll_strbuf text;
    struct oll_event event;
    size_t n;
    oll_strbuf_init(&text, 1 << 20);
    while (oll_engine_next(engine, id, 60000, &event) == OLL_OK) {
        if (event.kind == OLL_EVENT_TEXT)
            oll_strbuf_add(&text, event.text, event.n_text);
        *done = event;
        oll_event_free(&event);
    }
    oll_engine_release(engine, id);
    return oll_strbuf_take(&text, &n);
}

static uint64_t submit(struct oll_engine *engine, const struct oll_request *ask)
{
    uint64_t id = 0;
    struct oll_error err = {0};
    CHECK_MSG(oll_engine_submit(engine, ask, &id, &err) == OLL_OK, "%s", err.text);
    return id;
}

/* Prompts of several lengths that have beginnings in common; some sample, some take the best. */
static void make_asks(struct oll_request *asks, char prompts[N_ASKS][400])
{
    static const char *const begins[] = {"Once there was a small house by the sea. ", "A b c d. "};
    for (int i = 0; i < N_ASKS; i++) {
        const size_t n = strlen(begins[i % 2]), n_times = (size_t)i % 4 + 1;
        for (size_t k = 0; k < n_times; k++)
            memcpy(prompts[i] + k * n, begins[i % 2], n);
        prompts[i][n_times * n - (size_t)i % 3] = '\0';
        asks[i] = (struct oll_request){.kind = OLL_REQUEST_PROMPT,
                                       .prompt = prompts[i],
                                       .raw = true,
                                       .options = oll_options_default()};
        asks[i].options.seed = i;
        asks[i].options.temperature = i % 3 ? 1.0f : 0;
        asks[i].options.num_predict = 10 + 3 * i;
        asks[i].options.ignore_eog = true;
    }
}

static void mix(const char *file, enum oll_dtype kv, uint64_t seed)
{
    struct oll_request asks[N_ASKS];
    char prompts[N_ASKS][400], *alone[N_ASKS] = {0};
    uint64_t ids[N_ASKS];
    struct oll_event done;
    make_asks(asks, prompts);
    for (int i = 0; i < N_ASKS; i++) {
        struct oll_engine *engine = open_engine(file, "cpu", 512, N_SLOTS, kv);
        if (!engine)
            return;
        alone[i] = take_text(engine, submit(engine, &asks[i]), &done);
        CHECK_EQ(done.n_prompt_cached, 0);
        oll_engine_close(engine);
    }
    struct oll_engine *engine = open_engine(file, "cpu", 512, N_SLOTS, kv);
    uint32_t n_cached = 0, n_compared = 0;
    for (int round = 0; engine && round < N_ROUNDS; round++) {
        int order[N_ASKS];
        for (int i = 0; i < N_ASKS; i++) {
            int j = (int)(testing_random(&seed) % (uint64_t)(i + 1));
            order[i] = order[j];
            order[j] = i;
        }
        for (int i = 0; i < N_ASKS; i++)
            ids[order[i]] = submit(engine, &asks[order[i]]);
        uint32_t canceled = (uint32_t)(testing_random(&seed) % N_ASKS);
        oll_engine_cancel(engine, ids[canceled]);
        for (uint32_t i = 0; i < N_ASKS; i++) {
            char *text = take_text(engine, ids[i], &done);
            n_cached += done.kind == OLL_EVENT_DONE && done.n_prompt_cached > 0;
            n_compared += i != canceled;
            if (i != canceled)
                CHECK_MSG(text && strcmp(text, alone[i]) == 0, "%s, round %d, request %u: %s", file,
                          round, i, text);
            oll_free(text);
        }
    }
    CHECK_MSG(n_cached > n_compared / 2, "%u of %u found a beginning", n_cached, n_compared);
    for (int i = 0; i < N_ASKS; i++)
        oll_free(alone[i]);
    oll_engine_close(engine);
}

TEST(mixes_f16) { mix("llama.gguf", OLL_F16, 1); }
TEST(mixes_of_8_bits) { mix("llama-q8_0.gguf", OLL_Q8_0, 2); }
TEST(mixes_of_4_bits) { mix("llama-q4_k_m.gguf", OLL_F16, 3); }
TEST(mixes_qwen3) { mix("qwen3.gguf", OLL_F16, 4); }

/* One slot: what is found comes from the tree. */
TEST(keys_have_beginnings_of_their_own)
{
    struct oll_engine *engine = open_engine("llama.gguf", "ref", 512, 1, OLL_F16);
    struct oll_request asks[N_ASKS];
    char prompts[N_ASKS][400];
    struct oll_event done;
    static const char *const keys[] = {NULL, "a", "b", "a", NULL};
    if (!engine)
        return;
    make_asks(asks, prompts);
    for (int i = 0; i < 5; i++) {
        asks[7].share_with = keys[i];
        oll_free(take_text(engine, submit(engine, &asks[7]), &done));
        CHECK_EQ(done.kind, OLL_EVENT_DONE);
        CHECK_MSG((done.n_prompt_cached > 0) == (i > 2), "%d: %u cached", i, done.n_prompt_cached);
    }
    oll_engine_close(engine);
}

/* Two long prompts in one step on the slow device: one goes, and at once; the other's reply is the
 * one it has alone. */
TEST(a_canceled_prompt_stops_a_step_that_it_shares)
{
    enum { N_BYTES = 3000 };
    struct oll_engine *engine = open_engine("llama.gguf", "ref", 4096, N_SLOTS, OLL_F16);
    char *longest = oll_alloc(N_BYTES + 1, 1);
    struct oll_request asks[N_ASKS];
    char prompts[N_ASKS][400];
    struct oll_event done;
    if (!engine)
        return;
    make_asks(asks, prompts);
    memset(longest, 'x', N_BYTES);
    longest[N_BYTES] = '\0';
    char *expected = take_text(engine, submit(engine, &asks[3]), &done);
    struct oll_request big = asks[0];
    big.prompt = longest;
    uint64_t begin = oll_clock_ns(), gone = submit(engine, &big), stays = submit(engine, &asks[3]);
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    oll_engine_cancel(engine, gone);
    uint64_t canceled = oll_clock_ns();
    oll_free(take_text(engine, gone, &done));
    uint64_t ms = (oll_clock_ns() - canceled) / 1000000;
    CHECK_EQ(done.kind, OLL_EVENT_ERROR);
    CHECK_EQ(done.status, OLL_ERR_CANCELED);
    printf("  canceled after %.0f ms, ended %.0f ms later\n", (double)(canceled - begin) / 1e6,
           (double)ms);
    CHECK_MSG(ms < 1000, "it took %llu ms", (unsigned long long)ms);
    char *text = take_text(engine, stays, &done);
    CHECK_STR(text, expected);
    oll_free(text);
    oll_free(expected);
    oll_free(longest);
    oll_engine_close(engine);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
