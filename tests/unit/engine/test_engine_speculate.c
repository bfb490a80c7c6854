/* Speculation in the engine: the same events with it and without, whatever is asked. */
#include "engine/oll.h"

#include "engine/engine_internal.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_SLOTS = 4, TEXT_BYTES = 1 << 20 };

/* What is drafted is to follow from the texts alone, on a busy machine as well. */
static void fix_costs(struct speculate_costs *costs)
{
    *costs = (struct speculate_costs){.row_ns = 1e6, .is_fixed = true};
    for (uint32_t n = 1; n <= SPECULATE_ROWS_MAX; n++) {
        costs->ratio[n] = 1 + 0.05 * (n - 1);
        costs->seen[n] = 16;
    }
}

static struct oll_engine *open_path(const char *path, const char *device, uint32_t n_ctx,
                                    uint32_t n_slots)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    oll_log_set_level(OLL_LOG_ERROR);
    struct oll_engine_params params = {
        .model_path = path, .devices = device, .n_ctx = n_ctx, .n_slots = n_slots, .n_threads = 2};
    CHECK_MSG(oll_engine_open(&params, &engine, &err) == OLL_OK, "%s: %s", path, err.text);
    if (engine)
        fix_costs(&engine->costs);
    return engine;
}

static struct oll_engine *open_golden(const char *file, const char *device, uint32_t n_ctx,
                                      uint32_t n_slots)
{
    const char *path = testing_shared("data/golden/%s", file);
    if (!path[0]) {
        testing_skip("%s is absent (data/golden)", file);
        return NULL;
    }
    return open_path(path, device, n_ctx, n_slots);
}

/* ---- replies ---- */

struct answer {
    struct oll_strbuf script; /* every event, in order, without times */
    uint32_t n_drafted, n_accepted, n_reply;
};

static void write_event(struct oll_strbuf *out, const struct oll_event *e)
{
    oll_strbuf_printf(out, "%d|%.*s|%d|", (int)e->kind, (int)e->n_text, e->text ? e->text : "",
                      (int)e->status);
    for (uint32_t i = 0; i < e->n_logprobs; i++)
        oll_strbuf_printf(out, "%d:%a:%d,", e->logprobs[i].token, (double)e->logprobs[i].logprob,
                          e->logprobs[i].n_top ? e->logprobs[i].top[0].token : -1);
    if (e->kind == OLL_EVENT_DONE) {
        oll_strbuf_printf(out, "%d|%u|%u|", (int)e->done_reason, e->n_prompt, e->n_reply);
        for (uint32_t i = 0; i < e->n_context; i++)
            oll_strbuf_printf(out, "%d,", e->context[i]);
    }
    oll_strbuf_addc(out, '\n');
}

static uint64_t submit(struct oll_engine *engine, const struct oll_request *ask)
{
    uint64_t id = 0;
    struct oll_error err = {0};
    CHECK_MSG(oll_engine_submit(engine, ask, &id, &err) == OLL_OK, "%s", err.text);
    return id;
}

static void take(struct oll_engine *engine, uint64_t id, struct answer *reply)
{
    struct oll_event event;
    *reply = (struct answer){0};
    oll_strbuf_init(&reply->script, TEXT_BYTES);
    while (oll_engine_next(engine, id, 60000, &event) == OLL_OK) {
        write_event(&reply->script, &event);
        if (event.kind == OLL_EVENT_DONE) {
            reply->n_drafted = event.n_drafted;
            reply->n_accepted = event.n_accepted;
            reply->n_reply = event.n_reply;
        }
        oll_event_free(&event);
    }
    oll_engine_release(engine, id);
}

static uint64_t n_drafted, n_accepted; /* of all replies so far */

/* One request with speculation and without, one after the other; the events are the same. */
static void compare(struct oll_engine *engine, const struct oll_request *ask, const char *what)
{
    struct oll_request plain = *ask;
    struct answer with, without;
    plain.no_speculation = true;
    take(engine, submit(engine, ask), &with);
    take(engine, submit(engine, &plain), &without);
    CHECK_MSG(strcmp(with.script.data, without.script.data) == 0, "%s:\n%s\n--- without:\n%s", what,
              with.script.data, without.script.data);
    CHECK_MSG(without.n_drafted == 0, "%s: drafts in a plain reply", what);
    CHECK_MSG(with.n_accepted <= with.n_drafted && with.n_accepted <= with.n_reply, "%s", what);
    n_drafted += with.n_drafted;
    n_accepted += with.n_accepted;
    oll_strbuf_free(&with.script);
    oll_strbuf_free(&without.script);
}

static struct oll_request raw_prompt(const char *text, int32_t n_predict)
{
    struct oll_request ask = {
        .kind = OLL_REQUEST_PROMPT, .prompt = text, .raw = true, .options = oll_options_default()};
    ask.options.num_predict = n_predict;
    ask.options.seed = 1;
    ask.options.temperature = 0;
    ask.options.ignore_eog = true;
    return ask;
}

static const char *const prompts[] = {
    "abc abc abc abc abc abc abc abc ab",
    "The cat sat on the mat. The dog sat on the mat. The cat sat on",
    "1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1,",
    "x",
    "Once upon a time there was nothing like it at all, and then",
};
enum { N_PROMPTS = sizeof prompts / sizeof prompts[0] };

static const char *const files[] = {"llama.gguf", "gemma3.gguf", "qwen3moe.gguf", "gpt-oss.gguf"};
enum { N_FILES = sizeof files / sizeof files[0] };

TEST(greedy_and_sampled_replies_are_the_same)
{
    n_drafted = n_accepted = 0;
    for (int f = 0; f < N_FILES; f++) {
        struct oll_engine *engine = open_golden(files[f], "cpu", 256, 1);
        for (int i = 0; engine && i < 3 * N_PROMPTS; i++) {
            struct oll_request ask = raw_prompt(prompts[i % N_PROMPTS], 120);
            ask.options.temperature = i < N_PROMPTS ? 0 : i < 2 * N_PROMPTS ? 0.3f : 1.0f;
            ask.options.seed = i;
            ask.options.repeat_penalty = i % 2 ? 1.0f : 1.1f;
            ask.want_context = true;
            compare(engine, &ask, files[f]);
        }
        oll_engine_close(engine);
    }
    CHECK(n_accepted > 100 && n_accepted < n_drafted);
}

/* What ends or bends a reply, each with drafts under way. */
TEST(ends_and_formats_are_the_same)
{
    static const char *const stops[] = {"zzz", "a", " ", "e"};
    n_drafted = n_accepted = 0;
    for (int f = 0; f < N_FILES; f++) {
        struct oll_engine *engine = open_golden(files[f], "cpu", 128, 1);
        for (int i = 0; engine && i < 8 * N_PROMPTS; i++) {
            struct oll_request ask = raw_prompt(prompts[i % N_PROMPTS], 1 + i * 7 % 90);
            const int kind = i / N_PROMPTS;
            ask.options.temperature = i % 2 ? 0.5f : 0;
            ask.options.stop = stops + i % 4;
            ask.options.n_stop = kind == 0;
            ask.options.ignore_eog = kind != 1;
            ask.logprobs = kind == 2;
            ask.n_top_logprobs = kind == 2 ? 2 : 0;
            ask.format_json = kind == 3 ? "\"json\""
                              : kind == 4
                                  ? "{\"type\":\"array\",\"items\":{\"enum\":[\"abc\",\"abd\"]},"
                                    "\"minItems\":9,\"maxItems\":20}"
                                  : NULL;
            if (kind >= 5) { /* the window is full, several times over */
                ask.options.num_predict = 400;
                ask.options.num_keep = kind == 5 ? 4 : -1;
                ask.no_shift = kind == 7;
                ask.want_context = true;
            }
            compare(engine, &ask, files[f]);
        }
        oll_engine_close(engine);
    }
    CHECK(n_accepted > 100 && n_accepted < n_drafted);
}

/* Several at once, some of them canceled, with prompts that share pages: each reply is that of a
 * plain one alone. What was drafted in vain must not be found in the cache later. */
TEST(replies_beside_each_other_are_the_same)
{
    enum { N_ROUNDS = 8, N_ASKS = 9 };
    uint64_t seed = 3, ids[N_ASKS];
    n_drafted = 0;
    for (int f = 0; f < N_FILES; f++) {
        struct oll_engine *engine = open_golden(files[f], "cpu", 256, N_SLOTS);
        struct answer alone[N_ASKS], reply;
        struct oll_request asks[N_ASKS];
        for (int i = 0; engine && i < N_ASKS; i++) {
            asks[i] = raw_prompt(prompts[i % N_PROMPTS], 20 + 10 * i);
            asks[i].options.temperature = i % 3 ? 0.7f : 0;
            asks[i].options.seed = i;
            struct oll_request plain = asks[i];
            plain.no_speculation = true;
            take(engine, submit(engine, &plain), &alone[i]);
        }
        for (int round = 0; engine && round < N_ROUNDS; round++) {
            const int canceled = (int)(testing_random(&seed) % N_ASKS);
            const int first = (int)(testing_random(&seed) % N_ASKS);
            for (int i = 0; i < N_ASKS; i++)
                ids[(first + i) % N_ASKS] = submit(engine, &asks[(first + i) % N_ASKS]);
            for (int i = 0; i < N_ASKS; i++) {
                if (i == canceled)
                    oll_engine_cancel(engine, ids[i]);
                take(engine, ids[i], &reply);
                if (i != canceled)
                    CHECK_MSG(strcmp(reply.script.data, alone[i].script.data) == 0,
                              "%s, request %d:\n%s\n--- alone:\n%s", files[f], i, reply.script.data,
                              alone[i].script.data);
                n_drafted += reply.n_drafted;
                oll_strbuf_free(&reply.script);
            }
        }
        for (int i = 0; engine && i < N_ASKS; i++)
            oll_strbuf_free(&alone[i].script);
        oll_engine_close(engine);
    }
    CHECK(n_drafted > 100);
}

/* Real models where OLL_TEST_MODELS has them. */
TEST(real_models_say_the_same)
{
    static const char *const names[] = {"SmolLM2-135M-Instruct.Q4_1.gguf",
                                        "gemma-3-270m-q4_k_m.gguf"};
    const char *folder = getenv("OLL_TEST_MODELS");
    char path[1024];
    if (!folder) {
        testing_skip("OLL_TEST_MODELS is not set");
        return;
    }
    for (int m = 0; m < 2; m++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[m]);
        n_drafted = n_accepted = 0;
        struct oll_engine *engine = open_path(path, "cpu", 1024, 1);
        for (int i = 0; engine && i < 2 * N_PROMPTS; i++) {
            struct oll_request ask = raw_prompt(prompts[i % N_PROMPTS], 40);
            ask.options.temperature = i < N_PROMPTS ? 0 : 0.8f;
            compare(engine, &ask, names[m]);
        }
        oll_engine_close(engine);
        CHECK_MSG(n_accepted > 50, "%s: %d right", names[m], (int)n_accepted);
    }
}

TEST(off_is_off)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    struct answer reply;
    struct oll_engine_params params = {.model_path = testing_shared("data/golden/llama.gguf"),
                                       .devices = "cpu",
                                       .n_ctx = 256,
                                       .no_speculation = true};
    if (!params.model_path[0]) {
        testing_skip("llama.gguf is absent (data/golden)");
        return;
    }
    CHECK_MSG(oll_engine_open(&params, &engine, &err) == OLL_OK, "%s", err.text);
    struct oll_request ask = raw_prompt(prompts[0], 100);
    take(engine, submit(engine, &ask), &reply);
    CHECK(reply.n_reply == 100 && reply.n_drafted == 0 && reply.n_accepted == 0);
    oll_strbuf_free(&reply.script);
    oll_engine_close(engine);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
