/* Runners from the server's side: a real process with an engine that does as it is told. */
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "server/message.h"
#include "server/runner.h"
#include "tests/testing.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { SILENCE_MS = 1500, WAIT_MS = 20000 };

static atomic_int n_lost;

static void count_loss(void *arg)
{
    (void)arg;
    atomic_fetch_add(&n_lost, 1);
}

static struct runners *make_runners(int silence_ms, int load_ms)
{
    struct runners *runners = NULL;
    const struct runners_config config = {.executable = FAKE_RUNNER_FILE,
                                          .load_timeout_ns = (int64_t)load_ms * 1000000,
                                          .silence_ns = (int64_t)silence_ms * 1000000};
    setenv("OLL_SANDBOX", "0", 1); /* the fake engine starts a process to be continued */
    CHECK_OK(runners_new(&config, &runners, NULL));
    return runners;
}

static oll_status open_model(struct runners *runners, const char *model, struct runner_engine **out,
                             struct oll_error *err)
{
    const struct runner_wish wish = {
        .params = {.model_path = model, .n_ctx = 64}, .name = "m", .lost = count_loss};
    return runner_open(runners, &wish, out, err);
}

static struct runner_engine *must_open(struct runners *runners)
{
    struct runner_engine *engine = NULL;
    struct oll_error err = {0};
    CHECK_MSG(open_model(runners, "good", &engine, &err) == OLL_OK, "%s", err.text);
    return engine;
}

static uint64_t ask(struct runner_engine *engine, const char *script)
{
    const struct oll_message message = {.role = "user", .content = script};
    const struct oll_request request = {.kind = OLL_REQUEST_CHAT,
                                        .options = oll_options_default(),
                                        .messages = &message,
                                        .n_messages = 1,
                                        .want_context = true,
                                        .logprobs = true,
                                        .n_top_logprobs = 2};
    struct oll_error err = {0};
    uint64_t id = 0;
    CHECK_MSG(runner_submit(engine, &request, &id, &err) == OLL_OK, "%s", err.text);
    return id;
}

/* Takes all events and releases; what was said, then "done" or the error, in `out`: the end of it,
 * when it is long. */
static int take(struct runner_engine *engine, uint64_t id, char *out, size_t size)
{
    struct oll_event event;
    int n = 0;
    bool over = false;
    size_t len = 0;
    out[0] = '\0';
    while (!over && runner_next(engine, id, WAIT_MS, &event) == OLL_OK) {
        over = event.kind == OLL_EVENT_DONE || event.kind == OLL_EVENT_ERROR;
        const char *text = event.kind == OLL_EVENT_DONE ? "done" : event.text ? event.text : "";
        if (len + strlen(text) + 1 >= size)
            len = 0;
        if (strlen(text) + 1 < size)
            len += (size_t)snprintf(out + len, size - len, "%s", text);
        n++;
        oll_event_free(&event);
    }
    CHECK(over);
    CHECK_STATUS(runner_next(engine, id, 0, &event), OLL_ERR_NOT_FOUND);
    runner_release(engine, id);
    return n;
}

static void sleep_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- the same as an engine in this process ---- */

static void describe(const struct oll_event *e, char *out, size_t size)
{
    snprintf(out, size, "%d %s %s %s %u/%u %d %u %.4f %d %d %u %u %u %u", (int)e->kind,
             e->text ? e->text : "-", e->tool_name ? e->tool_name : "-",
             e->tool_id ? e->tool_id : "-", e->n_logprobs, e->n_logprobs ? e->logprobs[0].n_top : 0,
             (int)e->truncated, e->n_embedding, e->n_embedding ? (double)e->embedding[0] : 0.0,
             (int)e->status, (int)e->done_reason, e->n_prompt, e->n_reply, e->n_context,
             e->n_context ? (unsigned)e->context[1] : 0);
}

static void compare(struct runner_engine *a, struct runner_engine *b,
                    const struct oll_request *request)
{
    uint64_t i, k;
    bool over = false;
    CHECK_OK(runner_submit(a, request, &i, NULL));
    CHECK_OK(runner_submit(b, request, &k, NULL));
    while (!over) {
        struct oll_event x, y;
        char left[512], right[512];
        if (!CHECK_OK(runner_next(a, i, WAIT_MS, &x)) || !CHECK_OK(runner_next(b, k, WAIT_MS, &y)))
            break;
        describe(&x, left, sizeof left);
        describe(&y, right, sizeof right);
        CHECK_STR(left, right);
        over = x.kind == OLL_EVENT_DONE || x.kind == OLL_EVENT_ERROR || strcmp(left, right) != 0;
        oll_event_free(&x);
        oll_event_free(&y);
    }
    runner_release(a, i);
    runner_release(b, k);
}

TEST(speaks_as_an_engine_in_this_process)
{
    static const char *const scripts[] = {
        "text one\ntext two\nlength",
        "think hm\ntool f {\"a\":1}\ntext x",
        "logprob word\nlogprob other",
        "many 3000",
        "error 4 no such thing",
        "text a\nerror 14 device is gone",
        "",
    };
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *remote = must_open(runners), *local = must_open(NULL);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        const struct oll_message message = {.role = "user", .content = scripts[i]};
        const struct oll_request request = {.kind = OLL_REQUEST_CHAT,
                                            .messages = &message,
                                            .n_messages = 1,
                                            .want_context = true,
                                            .logprobs = true,
                                            .n_top_logprobs = 3};
        compare(local, remote, &request);
    }
    const char *inputs[] = {"a", "bcd"};
    compare(local, remote,
            &(struct oll_request){.kind = OLL_REQUEST_EMBED, .inputs = inputs, .n_inputs = 2});
    CHECK_STR(runner_info(remote)->architecture, runner_info(local)->architecture);
    CHECK_EQ(runner_info(remote)->n_ctx, 64);
    int32_t *tokens = NULL;
    size_t n = 0;
    struct oll_error err = {0};
    CHECK_STATUS(runner_tokenize(remote, "x", 1, true, true, &tokens, &n, &err),
                 OLL_ERR_UNSUPPORTED);
    CHECK_STR(err.text, "no tokenizer here");
    runner_close(local);
    runner_close(remote);
    runners_free(runners);
}

TEST(a_refusal_is_told_at_once)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = must_open(runners);
    const struct oll_message message = {.role = "user", .content = "refuse the queue is full"};
    const struct oll_request request = {
        .kind = OLL_REQUEST_CHAT, .messages = &message, .n_messages = 1};
    struct oll_error err = {0};
    uint64_t id;
    CHECK_STATUS(runner_submit(engine, &request, &id, &err), OLL_ERR_BUSY);
    CHECK_STR(err.text, "the queue is full");
    runner_close(engine);
    runners_free(runners);
}

/* ---- slow readers ---- */

TEST(a_slow_reader_pauses_its_own_request_alone)
{
    enum { N = 20000 };
    struct runners *runners = make_runners(400, 0);
    struct runner_engine *engine = must_open(runners);
    char text[64];
    const uint64_t lazy = ask(engine, "many 20000"), brisk = ask(engine, "many 5000");
    CHECK_EQ(take(engine, brisk, text, sizeof text), 5001);
    /* Longer than a silent runner may live: this one waits for its reader, and says so. */
    sleep_ms(1200);
    CHECK_EQ(take(engine, lazy, text, sizeof text), N + 1);
    CHECK(!runner_is_lost(engine));
    runner_close(engine);
    runners_free(runners);
}

TEST(a_request_that_is_cancelled_or_let_go_ends)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = must_open(runners);
    char text[256];
    const uint64_t hangs = ask(engine, "hang"), full = ask(engine, "many 20000"),
                   left = ask(engine, "many 20000");
    sleep_ms(100); /* until its credit is used up */
    runner_release(engine, left);
    runner_cancel(engine, full);
    take(engine, full, text, sizeof text);
    CHECK(strstr(text, "cancel"));
    const uint64_t begin = oll_clock_ns();
    runner_cancel(engine, hangs);
    take(engine, hangs, text, sizeof text);
    CHECK_STR(text, "canceled");
    CHECK(oll_clock_ns() - begin < 1000000000u);
    runner_cancel(engine, 12345);
    runner_release(engine, 12345);
    take(engine, ask(engine, "text still here"), text, sizeof text);
    CHECK_STR(text, "still heredone");
    ask(engine, "hang"); /* let go by nobody but the end of this program's records */
    const uint64_t last = ask(engine, "hang");
    runner_release(engine, last);
    runner_release(engine, last - 1);
    runner_close(engine);
    runners_free(runners);
}

/* ---- death ---- */

struct reader {
    struct runner_engine *engine;
    uint64_t id;
    char text[512];
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    take(r->engine, r->id, r->text, sizeof r->text);
    return NULL;
}

TEST(a_death_is_told_to_all_with_its_reason)
{
    static const struct {
        const char *script, *reason;
    } cases[] = {
        {"text last words\nsleep 100\ndie 11", "SIGSEGV"},
        {"sleep 50\ndie 9", "killed by SIGKILL"},
        {"log the ship sinks\nsleep 100\ndie 6", "SIGABRT, an internal error: the ship sinks"},
        {"log see /etc/passwd\nsleep 100\ndie 6", "SIGABRT, an internal error)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct runners *runners = make_runners(SILENCE_MS, 0);
        struct runner_engine *engine = must_open(runners);
        struct reader waiting[4];
        pthread_t threads[4];
        atomic_store(&n_lost, 0);
        for (int k = 0; k < 4; k++) {
            waiting[k] =
                (struct reader){engine, ask(engine, k == 3 ? cases[i].script : "hang"), ""};
            pthread_create(&threads[k], NULL, read_all, &waiting[k]);
        }
        for (int k = 0; k < 4; k++) {
            pthread_join(threads[k], NULL);
            CHECK_MSG(strstr(waiting[k].text, "model runner has unexpectedly stopped") &&
                          strstr(waiting[k].text, cases[i].reason),
                      "%s", waiting[k].text);
        }
        CHECK((strncmp(waiting[3].text, "last words", 10) == 0) == (i == 0));
        CHECK(runner_is_lost(engine));
        CHECK_EQ(atomic_load(&n_lost), 1);
        uint64_t id;
        CHECK_STATUS(runner_submit(engine, &(struct oll_request){0}, &id, NULL), OLL_ERR_INTERNAL);
        runner_close(engine);
        engine = must_open(runners); /* once more at once */
        runner_close(engine);
        runners_free(runners);
    }
}

TEST(a_failure_of_the_device_retires_a_runner)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = must_open(runners);
    char text[64];
    atomic_store(&n_lost, 0);
    take(engine, ask(engine, "error 14 wrong bytes"), text, sizeof text);
    CHECK_EQ(atomic_load(&n_lost), 0);
    take(engine, ask(engine, "error 15 the device is gone"), text, sizeof text);
    CHECK_STR(text, "the device is gone");
    take(engine, ask(engine, "error 15 once more"), text, sizeof text);
    CHECK_EQ(atomic_load(&n_lost), 1);
    runner_close(engine);
    CHECK_EQ(atomic_load(&n_lost), 1);
    runners_free(runners);
}

TEST(a_flood_in_the_log_holds_nothing_up)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = must_open(runners);
    struct oll_strbuf script;
    char text[64];
    oll_strbuf_init(&script, 1 << 20);
    for (int i = 0; i < 3000; i++)
        oll_strbuf_printf(&script, "log line %d of many, long enough to fill a pipe soon\n", i);
    oll_strbuf_adds(&script, "text dry");
    take(engine, ask(engine, script.data), text, sizeof text);
    CHECK_STR(text, "drydone");
    oll_strbuf_free(&script);
    runner_close(engine);
    runners_free(runners);
}

static void die(struct runners *runners)
{
    struct runner_engine *engine = NULL;
    char text[512];
    if (!CHECK_OK(open_model(runners, "good", &engine, NULL)))
        return;
    take(engine, ask(engine, "sleep 50\ndie 11"), text, sizeof text);
    runner_close(engine);
}

TEST(who_dies_again_and_again_has_to_wait)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = NULL;
    struct oll_error err = {0};
    char text[64];
    die(runners);
    die(runners);
    CHECK_STATUS(open_model(runners, "good", &engine, &err), OLL_ERR_BUSY);
    CHECK_MSG(strstr(err.text, "2 times in a row") && strstr(err.text, "SIGSEGV"), "%s", err.text);
    CHECK_OK(open_model(runners, "another good one", &engine, NULL));
    runner_close(engine);
    sleep_ms(1100);
    engine = must_open(runners);
    take(engine, ask(engine, "text fine"), text, sizeof text);
    runner_close(engine);
    die(runners); /* its earlier deaths are forgotten */
    engine = must_open(runners);
    runner_close(engine);
    runners_free(runners);
}

/* ---- silence ---- */

TEST(a_short_stop_is_survived_and_a_long_one_is_not)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = must_open(runners);
    char text[512];
    take(engine, ask(engine, "sleep 50\nstop 300\ntext goes on"), text, sizeof text);
    CHECK_STR(text, "goes ondone");
    const uint64_t begin = oll_clock_ns();
    take(engine, ask(engine, "sleep 50\nstop 8000\ntext never"), text, sizeof text);
    CHECK_MSG(strstr(text, "made no progress for 1 s"), "%s", text);
    CHECK(oll_clock_ns() - begin < 5000000000u);
    runner_close(engine);
    runners_free(runners);
}

TEST(an_engine_that_does_nothing_is_ended)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = must_open(runners);
    char text[512];
    sleep_ms(SILENCE_MS + 500); /* nobody waits: nothing is expected */
    CHECK(!runner_is_lost(engine));
    take(engine, ask(engine, "hang"), text, sizeof text);
    CHECK_MSG(strstr(text, "made no progress"), "%s", text);
    runner_close(engine);
    runners_free(runners);
}

/* ---- start ---- */

TEST(what_keeps_a_model_from_loading_is_told)
{
    static const struct {
        const char *model, *how;
        oll_status status;
        const char *text;
    } cases[] = {
        {"broken", "", OLL_ERR_FORMAT, "broken: tensor x is cut short"},
        {"huge", "", OLL_ERR_MEMORY, "huge: needs 900 GiB"},
        {"deadly", "", OLL_ERR_INTERNAL, "SIGSEGV"},
        {"stuck", "", OLL_ERR_INTERNAL, "timed out waiting for m to start - "},
        {"good", "exit", OLL_ERR_INTERNAL, "ended with exit code 3: no room on the ship"},
        {"good", "garbage", OLL_ERR_INTERNAL, "it sent a message of version"},
        {"good", "early", OLL_ERR_INTERNAL, "it sent an unexpected message"},
        {"good", "long", OLL_ERR_INTERNAL, "4294967295 bytes"},
        {"good", "mute", OLL_ERR_INTERNAL, "timed out waiting for m to start - "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct runners *runners = make_runners(SILENCE_MS, 500);
        struct runner_engine *engine = NULL;
        struct oll_error err = {0};
        setenv("FAKE_RUNNER", cases[i].how, 1);
        CHECK_STATUS(open_model(runners, cases[i].model, &engine, &err), cases[i].status);
        CHECK_MSG(strstr(err.text, cases[i].text), "%s", err.text);
        CHECK(!engine);
        setenv("FAKE_RUNNER", "", 1);
        runners_free(runners);
    }
}

TEST(a_program_that_cannot_be_started_is_told)
{
    struct runners *runners = NULL;
    struct runner_engine *engine = NULL;
    struct oll_error err = {0};
    const struct runners_config config = {.executable = "/nowhere/oll", .silence_ns = 1000000000};
    CHECK_OK(runners_new(&config, &runners, NULL));
    CHECK_STATUS(open_model(runners, "good", &engine, &err), OLL_ERR_INTERNAL);
    CHECK_MSG(strstr(err.text, "the runner of m cannot be started: No such file"), "%s", err.text);
    runners_free(runners);
}

static bool soon_gone(void *arg)
{
    int *n = arg;
    return ++*n > 3;
}

TEST(a_load_that_nobody_wants_is_given_up)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct runner_engine *engine = NULL;
    int n = 0;
    const struct runner_wish wish = {
        .params = {.model_path = "stuck"}, .name = "m", .gone = soon_gone, .arg = &n};
    const uint64_t begin = oll_clock_ns();
    CHECK_STATUS(runner_open(runners, &wish, &engine, NULL), OLL_ERR_CANCELED);
    CHECK(oll_clock_ns() - begin < 3000000000u);
    runners_free(runners);
}

/* ---- plans ---- */

static oll_status plan_model(struct runners *runners, const char *model, struct oll_plan *out,
                             struct oll_error *err)
{
    const struct runner_wish wish = {.params = {.model_path = model, .n_ctx = 64}, .name = "m"};
    return runner_plan(runners, &wish, out, err);
}

TEST(a_plan_comes_from_another_process)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct oll_plan plan = {0};
    CHECK_OK(plan_model(runners, "good", &plan, NULL));
    CHECK_EQ(oll_plan_total(&plan), 1234);
    CHECK_EQ(plan.n_ctx, 64);
    CHECK_STR(plan.devices[0].name, "cpu");
    CHECK_EQ(plan.layer_bytes[2], 302);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    oll_plan_free(&plan);
    runners_free(runners);
}

TEST(a_file_that_is_bad_for_planners_harms_nobody_else)
{
    static const struct {
        const char *model, *how;
        oll_status status;
        const char *text;
    } cases[] = {
        {"broken", "", OLL_ERR_FORMAT, "broken: tensor x is cut short"},
        {"deadly", "", OLL_ERR_INTERNAL, "SIGSEGV"},
        {"stuck", "", OLL_ERR_INTERNAL, "timed out waiting for m to start - its plan took more"},
        {"greedy", "", OLL_ERR_MEMORY, "no memory after"},
        {"good", "exit", OLL_ERR_INTERNAL, "ended with exit code 3: no room on the ship"},
        {"good", "garbage", OLL_ERR_INTERNAL, "it sent what is no plan"},
        {"good", "early", OLL_ERR_INTERNAL, "it sent what is no plan"},
        {"good", "long", OLL_ERR_INTERNAL, "it sent what is no plan"},
        {"good", "mute", OLL_ERR_INTERNAL, "timed out waiting for m to start - "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* Sanitizers need memory without a limit. */
        if (OLL_SANITIZED && strcmp(cases[i].model, "greedy") == 0)
            continue;
        struct runners *runners = make_runners(SILENCE_MS, 0);
        struct oll_plan plan = {0};
        struct oll_error err = {0};
        setenv("FAKE_RUNNER", cases[i].how, 1);
        const uint64_t begin = oll_clock_ns();
        CHECK_STATUS(plan_model(runners, cases[i].model, &plan, &err), cases[i].status);
        CHECK_MSG(strstr(err.text, cases[i].text), "%s %s: %s", cases[i].model, cases[i].how,
                  err.text);
        CHECK(oll_clock_ns() - begin < 5000000000u);
        CHECK(!plan.layer_bytes);
        CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
        setenv("FAKE_RUNNER", "", 1);
        runners_free(runners);
    }
}

TEST(a_model_that_kills_planners_has_to_wait)
{
    struct runners *runners = make_runners(SILENCE_MS, 0);
    struct oll_plan plan = {0};
    struct oll_error err = {0};
    CHECK_STATUS(plan_model(runners, "deadly", &plan, NULL), OLL_ERR_INTERNAL);
    CHECK_STATUS(plan_model(runners, "deadly", &plan, NULL), OLL_ERR_INTERNAL);
    CHECK_STATUS(plan_model(runners, "deadly", &plan, &err), OLL_ERR_BUSY);
    CHECK_MSG(strstr(err.text, "died 2 times in a row"), "%s", err.text);
    CHECK_OK(plan_model(runners, "good", &plan, NULL));
    oll_plan_free(&plan);
    runners_free(runners);
}

TEST(a_plan_that_nobody_wants_is_given_up)
{
    struct runners *runners = make_runners(0, 0);
    struct oll_plan plan = {0};
    int n = 0;
    const struct runner_wish wish = {
        .params = {.model_path = "stuck"}, .name = "m", .gone = soon_gone, .arg = &n};
    CHECK_STATUS(runner_plan(runners, &wish, &plan, NULL), OLL_ERR_CANCELED);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    runners_free(runners);
}

/* Whatever a process that was taken over sends, the server goes on, and every request ends. */
TEST(a_wild_process_harms_nobody)
{
    for (int seed = 1; seed <= 60; seed++) {
        struct runners *runners = make_runners(SILENCE_MS, 1000);
        struct runner_engine *engine = NULL;
        const struct oll_request request = {.kind = OLL_REQUEST_PROMPT, .prompt = "x"};
        char how[32];
        snprintf(how, sizeof how, "wild %d", seed);
        setenv("FAKE_RUNNER", how, 1);
        const bool opened = open_model(runners, "good", &engine, NULL) == OLL_OK;
        for (int i = 0; opened && i < 3; i++) {
            uint64_t id;
            struct oll_event event;
            bool over = runner_submit(engine, &request, &id, NULL) != OLL_OK;
            const bool refused = over;
            while (!over && CHECK_OK(runner_next(engine, id, WAIT_MS, &event))) {
                over = event.kind == OLL_EVENT_DONE || event.kind == OLL_EVENT_ERROR;
                oll_event_free(&event);
            }
            if (!refused)
                runner_release(engine, id);
        }
        runner_close(engine);
        runners_free(runners);
    }
    setenv("FAKE_RUNNER", "", 1);
}

/* ---- what is left behind ---- */

static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

TEST(nothing_is_left_behind)
{
    struct runners *runners = make_runners(SILENCE_MS, 500);
    const int before = count_descriptors();
    for (int i = 0; i < 5; i++) {
        struct runner_engine *engine = must_open(runners), *none = NULL;
        const uint64_t id = ask(engine, "many 1000");
        char text[64];
        take(engine, id, text, sizeof text);
        CHECK_STATUS(open_model(runners, "broken", &none, NULL), OLL_ERR_FORMAT);
        runner_close(engine);
    }
    CHECK_EQ(count_descriptors(), before);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    runners_free(runners);
}

int main(int argc, char **argv)
{
    oll_log_set_level(OLL_LOG_NONE);
    return testing_main(argc, argv);
}
