/* One reader of the events of all requests. */
#include "engine/oll.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct oll_engine *open_engine(uint32_t n_slots)
{
    struct oll_engine *engine = NULL;
    struct oll_error err = {0};
    const char *path = testing_shared("data/golden/llama.gguf");
    if (!*path) {
        testing_skip("data/golden/llama.gguf is absent");
        return NULL;
    }
    struct oll_engine_params params = {
        .model_path = path, .devices = "ref", .n_ctx = 1024, .n_slots = n_slots};
    CHECK_MSG(oll_engine_open(&params, &engine, &err) == OLL_OK, "%s", err.text);
    return engine;
}

static uint64_t ask(struct oll_engine *engine, int32_t n)
{
    struct oll_request r = {.kind = OLL_REQUEST_PROMPT,
                            .prompt = "Once",
                            .raw = true,
                            .options = oll_options_default()};
    uint64_t id = 0;
    r.options.num_predict = n;
    r.options.ignore_eog = true;
    CHECK_OK(oll_engine_submit(engine, &r, &id, NULL));
    return id;
}

TEST(takes_events_of_all_but_held_requests)
{
    struct oll_engine *engine = open_engine(2);
    if (!engine)
        return;
    const uint64_t a = ask(engine, 20), b = ask(engine, 20);
    int n_done = 0, n_others = 0;
    struct oll_event event;
    uint64_t id = 0;
    oll_engine_hold(engine, b, true);
    while (n_done == 0 && oll_engine_next_any(engine, 60000, &id, &event) == OLL_OK) {
        n_others += id != a;
        n_done += event.kind == OLL_EVENT_DONE;
        oll_event_free(&event);
    }
    CHECK_EQ(n_done, 1);
    CHECK(n_others <= 1); /* b's first event may have come before it was held */
    CHECK_STATUS(oll_engine_next_any(engine, 20, &id, &event), OLL_ERR_TIMEOUT);
    CHECK_STATUS(oll_engine_next_any(engine, 0, &id, &event), OLL_ERR_TIMEOUT);
    oll_engine_hold(engine, b, false);
    while (n_done == 1 && oll_engine_next_any(engine, 60000, &id, &event) == OLL_OK) {
        CHECK_EQ(id, b);
        n_done += event.kind == OLL_EVENT_DONE;
        oll_event_free(&event);
    }
    CHECK_EQ(n_done, 2);
    oll_engine_release(engine, a);
    oll_engine_release(engine, b);
    oll_engine_close(engine);
}

static void *wake(void *arg)
{
    oll_engine_wake(arg);
    return NULL;
}

TEST(a_wake_ends_the_wait)
{
    struct oll_engine *engine = open_engine(1);
    struct oll_event event;
    pthread_t thread;
    uint64_t id = 0;
    if (!engine)
        return;
    oll_engine_wake(engine); /* before the wait */
    CHECK_STATUS(oll_engine_next_any(engine, -1, &id, &event), OLL_ERR_TIMEOUT);
    CHECK_EQ(pthread_create(&thread, NULL, wake, engine), 0);
    CHECK_STATUS(oll_engine_next_any(engine, -1, &id, &event), OLL_ERR_TIMEOUT);
    pthread_join(thread, NULL);
    oll_engine_close(engine);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
