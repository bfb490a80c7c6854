/* A runner whose n-th allocation fails, for every n that loading, an answer, a vector, tokens and
 * the end take. The faults are in its process alone: this one has looked for its own before. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "server/runner.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULTS_MAX = 2000, QUIET = 12, WAIT_MS = 60000 };

/* Whether all went well; what does not must be an error with a text. */
static bool stated(oll_status status, const struct oll_error *err)
{
    if (status == OLL_OK)
        return true;
    CHECK(err->text[0]);
    return false;
}

static bool answer(struct runner_engine *engine, enum oll_request_kind kind)
{
    const char *input = "one two";
    struct oll_request ask = {.kind = kind,
                              .options = oll_options_default(),
                              .prompt = "Once",
                              .raw = true,
                              .inputs = &input,
                              .n_inputs = 1,
                              .logprobs = true,
                              .n_top_logprobs = 2,
                              .want_context = true};
    struct oll_error err = {0};
    struct oll_event event;
    uint64_t id;
    bool over = false, good = true;
    ask.options.num_predict = 4;
    if (!stated(runner_submit(engine, &ask, &id, &err), &err))
        return false;
    while (!over && CHECK_OK(runner_next(engine, id, WAIT_MS, &event))) {
        over = event.kind == OLL_EVENT_DONE || event.kind == OLL_EVENT_ERROR;
        good = event.kind != OLL_EVENT_ERROR;
        oll_event_free(&event);
    }
    runner_release(engine, id);
    return good;
}

static bool use(struct runner_engine *engine)
{
    struct oll_error err = {0};
    struct oll_strbuf text;
    int32_t *ids = NULL;
    size_t n = 0;
    oll_strbuf_init(&text, 1 << 20);
    bool good = answer(engine, OLL_REQUEST_PROMPT) && answer(engine, OLL_REQUEST_EMBED);
    good =
        good && stated(runner_tokenize(engine, "some text", 9, true, true, &ids, &n, &err), &err);
    good = good && stated(runner_detokenize(engine, ids, n, &text, &err), &err);
    oll_free(ids);
    oll_strbuf_free(&text);
    return good;
}

static bool run(const char *model, int n)
{
    /* Its own each time, so that nobody has to wait for a model that died before. */
    const struct runners_config config = {.executable = OLL_FILE,
                                          .silence_ns = (int64_t)60 * 1000000000};
    struct runners *runners = NULL;
    const struct runner_wish wish = {
        .params = {.model_path = model, .n_ctx = 64, .n_threads = 1, .devices = "cpu"},
        .name = "m"};
    struct runner_engine *engine = NULL;
    struct oll_error err = {0};
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    setenv("OLL_FAULT_ALLOC", n > 0 ? text : "", 1);
    CHECK_OK(runners_new(&config, &runners, NULL));
    const bool good = stated(runner_open(runners, &wish, &engine, &err), &err) && use(engine);
    runner_close(engine);
    runners_free(runners);
    return good;
}

TEST(every_fault_is_told)
{
    char model[1024];
    snprintf(model, sizeof model, "%s", testing_shared("data/golden/llama.gguf"));
    if (!model[0]) {
        testing_skip("data/golden/llama.gguf is absent");
        return;
    }
    int n_wrong = 0, n_quiet = 0, n = 1;
    for (; n <= FAULTS_MAX && n_quiet < QUIET; n += 1 + n / 64) {
        const bool good = run(model, n);
        n_wrong += !good;
        n_quiet = good ? n_quiet + 1 : 0;
    }
    printf("%d faults were told, the last looked for at allocation %d\n", n_wrong, n);
    CHECK(n_wrong > 20);
    CHECK(n <= FAULTS_MAX);
}

int main(int argc, char **argv)
{
    oll_log_set_level(OLL_LOG_NONE);
    oll_free(oll_alloc(1, 1)); /* from now on this process knows that its own do not fail */
    return testing_main(argc, argv);
}
