/* The engine from outside: requests in, events out, on tiny models and the ref device. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "tests/unit/engine/golden_engine.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

struct answer {
    struct oll_strbuf text;
    struct oll_event done; /* or the error */
    uint32_t n_logprobs, n_embeddings;
};

static void take_answer(struct oll_engine *engine, uint64_t id, struct answer *a)
{
    struct oll_event event;
    memset(a, 0, sizeof *a);
    oll_strbuf_init(&a->text, 1 << 20);
    while (oll_engine_next(engine, id, 60000, &event) == OLL_OK) {
        if (event.kind == OLL_EVENT_TEXT)
            oll_strbuf_add(&a->text, event.text, event.n_text);
        for (uint32_t i = 0; i < event.n_logprobs; i++)
            CHECK(event.logprobs[i].logprob <= 0 && event.logprobs[i].n_top == 2 &&
                  event.logprobs[i].top[0].logprob >= event.logprobs[i].top[1].logprob);
        a->n_logprobs += event.n_logprobs;
        a->n_embeddings += event.kind == OLL_EVENT_EMBEDDING;
        if (event.kind == OLL_EVENT_DONE || event.kind == OLL_EVENT_ERROR) {
            oll_event_free(&a->done);
            a->done = event;
        } else {
            oll_event_free(&event);
        }
    }
    oll_engine_release(engine, id);
}

static void ask(struct oll_engine *engine, const struct oll_request *request, struct answer *a)
{
    uint64_t id = 0;
    struct oll_error err = {0};
    CHECK_MSG(oll_engine_submit(engine, request, &id, &err) == OLL_OK, "%s", err.text);
    take_answer(engine, id, a);
}

static void free_answer(struct answer *a)
{
    oll_strbuf_free(&a->text);
    oll_event_free(&a->done);
}

TEST(a_reply_is_counted_and_ends)
{
    struct oll_engine *engine = open_engine("llama.gguf", 128, 1);
    struct answer a;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("abc", 20);
    request.want_context = true;
    request.logprobs = true;
    request.n_top_logprobs = 2;
    ask(engine, &request, &a);
    CHECK_EQ(a.done.kind, OLL_EVENT_DONE);
    CHECK_EQ(a.done.done_reason, OLL_DONE_LENGTH);
    CHECK_EQ(a.done.n_reply, 20);
    CHECK_EQ(a.n_logprobs, 20);
    CHECK(a.done.n_prompt >= 3 && a.done.n_prompt_cached == 0);
    CHECK_EQ(a.done.n_context, a.done.n_prompt + 20);
    CHECK(a.done.prompt_ns > 0 && a.done.reply_ns > 0);
    free_answer(&a);
    oll_engine_close(engine);
}

TEST(the_seed_fixes_the_text_and_the_cache_does_not_change_it)
{
    struct oll_engine *engine = open_engine("llama.gguf", 128, 1);
    struct answer first, again, other;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("hello there", 24);
    ask(engine, &request, &first);
    ask(engine, &request, &again);
    CHECK_STR(again.text.data, first.text.data);
    CHECK(again.done.n_prompt_cached == again.done.n_prompt - 1);
    request.options.seed = 2;
    ask(engine, &request, &other);
    CHECK(strcmp(other.text.data, first.text.data) != 0);
    free_answer(&first);
    free_answer(&again);
    free_answer(&other);
    oll_engine_close(engine);
}

TEST(requests_side_by_side_answer_as_alone)
{
    enum { N = 6 };
    struct oll_engine *engine = open_engine("llama.gguf", 128, 3);
    static const char *const prompts[N] = {"a", "bc bc",     "the", "xyz xyz xyz xyz",
                                           "q", "0123456789"};
    struct answer alone[N], together[N];
    uint64_t ids[N];
    if (!engine)
        return;
    for (int i = 0; i < N; i++) {
        struct oll_request request = raw_prompt(prompts[i], 16);
        ask(engine, &request, &alone[i]);
    }
    for (int i = 0; i < N; i++) {
        struct oll_request request = raw_prompt(prompts[i], 16);
        CHECK_OK(oll_engine_submit(engine, &request, &ids[i], NULL));
    }
    for (int i = 0; i < N; i++) {
        take_answer(engine, ids[i], &together[i]);
        CHECK_STR(together[i].text.data, alone[i].text.data);
        free_answer(&alone[i]);
        free_answer(&together[i]);
    }
    oll_engine_close(engine);
}

TEST(a_full_window_is_shifted_or_ends_the_reply)
{
    struct oll_engine *engine = open_engine("llama.gguf", 32, 1);
    struct answer a;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("abcdef", 100);
    ask(engine, &request, &a);
    CHECK_EQ(a.done.n_reply, 100);
    free_answer(&a);
    request.no_shift = true;
    ask(engine, &request, &a);
    CHECK_EQ(a.done.done_reason, OLL_DONE_LENGTH);
    /* The window holds prompt and reply; the last token need not be evaluated. */
    CHECK_EQ(a.done.n_prompt + a.done.n_reply, 33);
    free_answer(&a);
    oll_engine_close(engine);
}

TEST(a_long_prompt_is_cut_or_refused)
{
    struct oll_engine *engine = open_engine("llama.gguf", 32, 1);
    char text[201];
    struct answer a;
    if (!engine)
        return;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct oll_request request = raw_prompt(text, 4);
    ask(engine, &request, &a);
    CHECK_EQ(a.done.kind, OLL_EVENT_DONE);
    CHECK(a.done.truncated && a.done.n_prompt < 32);
    free_answer(&a);
    request.no_truncate = true;
    ask(engine, &request, &a);
    CHECK_EQ(a.done.kind, OLL_EVENT_ERROR);
    CHECK_EQ(a.done.status, OLL_ERR_LIMIT);
    CHECK(a.done.text && strstr(a.done.text, "exceeds the context length"));
    free_answer(&a);
    oll_engine_close(engine);
}

TEST(cancelling_ends_running_and_waiting_requests)
{
    struct oll_engine *engine = open_engine("llama.gguf", 4096, 1);
    struct oll_event event;
    struct answer a;
    uint64_t running, waiting;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("abc", 4000);
    CHECK_OK(oll_engine_submit(engine, &request, &running, NULL));
    CHECK_OK(oll_engine_submit(engine, &request, &waiting, NULL));
    CHECK_OK(oll_engine_next(engine, running, 60000, &event)); /* it runs */
    oll_event_free(&event);
    CHECK_STATUS(oll_engine_next(engine, waiting, 0, &event), OLL_ERR_TIMEOUT);
    oll_engine_cancel(engine, waiting);
    oll_engine_cancel(engine, running);
    take_answer(engine, running, &a);
    CHECK_EQ(a.done.status, OLL_ERR_CANCELED);
    free_answer(&a);
    take_answer(engine, waiting, &a);
    CHECK_EQ(a.done.status, OLL_ERR_CANCELED);
    free_answer(&a);
    CHECK_STATUS(oll_engine_next(engine, running, 0, &event), OLL_ERR_NOT_FOUND);
    oll_engine_cancel(engine, 12345);
    oll_engine_close(engine);
}

TEST(a_reader_that_does_not_pull_pauses_only_itself)
{
    struct oll_engine *engine = open_engine("llama.gguf", 4096, 2);
    struct answer a;
    uint64_t lazy;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("abc", 600);
    CHECK_OK(oll_engine_submit(engine, &request, &lazy, NULL));
    struct oll_request quick = raw_prompt("xyz", 400);
    ask(engine, &quick, &a);
    CHECK_EQ(a.done.n_reply, 400);
    free_answer(&a);
    take_answer(engine, lazy, &a);
    CHECK_EQ(a.done.n_reply, 600);
    free_answer(&a);
    oll_engine_close(engine);
}

/* Requests that arrive just when the engine has found nothing to do: none may be forgotten. */
TEST(a_request_that_comes_while_the_engine_turns_idle)
{
    struct oll_engine *engine = open_engine("llama.gguf", 64, 1);
    struct answer a;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("x", 1);
    for (int i = 0; i < 300; i++) {
        ask(engine, &request, &a);
        CHECK_EQ(a.done.kind, OLL_EVENT_DONE);
        bool answered = a.done.n_reply == 1;
        free_answer(&a);
        if (!answered) {
            CHECK_MSG(false, "request %d got no answer", i);
            break;
        }
    }
    oll_engine_close(engine);
}

TEST(closing_with_requests_in_flight)
{
    struct oll_engine *engine = open_engine("llama.gguf", 4096, 1);
    uint64_t id;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("abc", 4000);
    for (int i = 0; i < 5; i++)
        CHECK_OK(oll_engine_submit(engine, &request, &id, NULL));
    oll_engine_release(engine, id);
    oll_engine_close(engine);
}

TEST(the_queue_is_bounded)
{
    struct oll_engine *engine = open_engine("llama.gguf", 4096, 1);
    struct oll_error err = {0};
    uint64_t id;
    int n = 0;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("abc", 4000);
    oll_status status = OLL_OK;
    while (n < 2 * OLL_QUEUE_MAX &&
           (status = oll_engine_submit(engine, &request, &id, &err)) == OLL_OK)
        n++;
    CHECK_EQ(status, OLL_ERR_BUSY);
    CHECK(n >= OLL_QUEUE_MAX && n <= OLL_QUEUE_MAX + 1);
    oll_engine_close(engine);
}

TEST(stop_strings_end_a_reply)
{
    struct oll_engine *engine = open_engine("llama.gguf", 128, 1);
    struct answer free_run, stopped;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("stop here", 40);
    ask(engine, &request, &free_run);
    size_t half = free_run.text.len / 2;
    const char *found = half ? strchr(free_run.text.data, free_run.text.data[half]) : NULL;
    if (found && (free_run.text.data[half] & 0x80) == 0) {
        char stop[2] = {free_run.text.data[half], '\0'};
        const char *const stops[] = {stop};
        request.options.stop = stops;
        request.options.n_stop = 1;
        ask(engine, &request, &stopped);
        CHECK_EQ(stopped.done.done_reason, OLL_DONE_STOP);
        CHECK_EQ(stopped.text.len, found - free_run.text.data);
        CHECK(memcmp(stopped.text.data, free_run.text.data, stopped.text.len) == 0);
        free_answer(&stopped);
    }
    free_answer(&free_run);
    oll_engine_close(engine);
}

TEST(embeddings_of_an_encoder)
{
    struct oll_engine *engine = open_engine("bert.gguf", 0, 1);
    static const char *const inputs[] = {"hello", "", "world hello"};
    struct answer a;
    uint64_t id = 0;
    struct oll_event event;
    if (!engine)
        return;
    CHECK(oll_engine_info(engine)->is_encoder && oll_engine_info(engine)->can_embed);
    struct oll_request request = {
        .kind = OLL_REQUEST_EMBED, .inputs = inputs, .n_inputs = 3, .dimensions = 4};
    ask(engine, &request, &a);
    CHECK_EQ(a.n_embeddings, 3);
    CHECK_EQ(a.done.kind, OLL_EVENT_DONE);
    free_answer(&a);
    CHECK_OK(oll_engine_submit(engine, &request, &id, NULL));
    CHECK_OK(oll_engine_next(engine, id, 60000, &event));
    CHECK_EQ(event.n_embedding, 4);
    double sum = 0;
    for (uint32_t i = 0; i < event.n_embedding; i++)
        sum += (double)event.embedding[i] * (double)event.embedding[i];
    CHECK(fabs(sum - 1) < 1e-5);
    oll_event_free(&event);
    oll_engine_release(engine, id);
    request = raw_prompt("x", 1);
    CHECK_STATUS(oll_engine_submit(engine, &request, &id, NULL), OLL_ERR_UNSUPPORTED);
    oll_engine_close(engine);
}

TEST(a_window_needs_room_for_a_reply)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    const char *path = testing_shared("data/golden/llama.gguf");
    struct oll_engine_params params = {.model_path = path, .devices = "ref", .n_ctx = 1};
    if (!path[0])
        return;
    CHECK_STATUS(oll_engine_open(&params, &engine, &err), OLL_ERR_ARG);
    CHECK(strstr(err.text, "at least 2") != NULL);
    params.n_ctx = 2;
    params.n_slots = 3;
    params.n_ubatch = 1; /* fewer than slots: raised, so that no slot starves */
    CHECK_OK(oll_engine_open(&params, &engine, NULL));
    struct oll_request request = raw_prompt("x", 6);
    struct answer a;
    ask(engine, &request, &a);
    CHECK_EQ(a.done.n_reply, 6);
    free_answer(&a);
    oll_engine_close(engine);
}

TEST(what_cannot_be_done_is_refused_at_once)
{
    struct oll_engine *engine = open_engine("llama.gguf", 64, 1);
    struct oll_error err = {0};
    const int32_t bad[] = {1, 100000};
    uint64_t id;
    if (!engine)
        return;
    struct oll_request request = raw_prompt("x", 1);
    request.context = bad;
    request.n_context = 2;
    CHECK_STATUS(oll_engine_submit(engine, &request, &id, &err), OLL_ERR_ARG);
    CHECK(strstr(err.text, "100000") != NULL);
    request = raw_prompt("x", 1);
    request.options.top_p = NAN;
    struct answer a;
    ask(engine, &request, &a);
    CHECK_EQ(a.done.status, OLL_ERR_ARG);
    free_answer(&a);
    oll_engine_close(engine);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
