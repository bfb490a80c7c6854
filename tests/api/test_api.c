/* What transcripts cannot show: time, other clients, peers that leave, models that come and go. */
#include "engine/base/clock.h"
#include "engine/base/strbuf.h"
#include "tests/api/fake_engine.h"
#include "tests/api/fixture.h"
#include "tests/net.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct fixture fixture;

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* Milliseconds until a counter has a value, at most two seconds. */
static double wait_for(int (*counter)(void), int value)
{
    uint64_t begin = oll_clock_ns();
    while (counter() != value && oll_clock_ns() - begin < 2000000000u)
        sleep_ms(1);
    return (double)(oll_clock_ns() - begin) / 1e6;
}

/* Sends a request on a connection of its own and leaves it open. */
static int ask_on(const char *path, const char *json)
{
    char text[2048];
    int fd = net_connect(fixture.port);
    int n = snprintf(text, sizeof text,
                     "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     path, strlen(json), json);
    CHECK(fd >= 0 && net_send(fd, text, (size_t)n));
    return fd;
}

/* Body of a reply, in one of two buffers. */
static const char *ask(const char *path, const char *json)
{
    static char bodies[2][65536];
    static int turn;
    struct oll_strbuf reply;
    char *out = bodies[turn ^= 1];
    int fd = ask_on(path, json);
    oll_strbuf_init(&reply, 1 << 24);
    CHECK(net_read_until(fd, &reply, "", 10000));
    close(fd);
    int status = 0;
    if (reply.len > 12)
        status = (reply.data[9] - '0') * 100 + (reply.data[10] - '0') * 10 + reply.data[11] - '0';
    CHECK(net_take_body(&reply));
    snprintf(out, sizeof bodies[0], "%d %s", status, reply.data);
    oll_strbuf_free(&reply);
    return out;
}

static const char *generate(const char *json) { return ask("/api/generate", json); }

#define CHECK_HAS(text, part) CHECK_MSG(strstr((text), (part)) != NULL, "got: %.300s", (text))

/* ---- peers that leave ---- */

/* Milliseconds from the client's leaving to the cancellation of its request. */
static double time_to_cancel(const char *json, const char *until)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    int before = fake_engine_canceled_total();
    int fd = ask_on("/api/generate", json);
    wait_for(fake_engine_request_count, 1);
    if (*until)
        CHECK(net_read_until(fd, &sb, until, 2000));
    sleep_ms(30);
    close(fd);
    double ms = wait_for(fake_engine_canceled_total, before + 1);
    CHECK(wait_for(fake_engine_request_count, 0) < 1000);
    oll_strbuf_free(&sb);
    return ms;
}

TEST(cancels_what_nobody_waits_for)
{
    fixture_start(&fixture, NULL, NULL);
    generate("{\"model\":\"m\"}");
    double silent = time_to_cancel("{\"model\":\"m\",\"prompt\":\"hang\"}", "");
    double whole =
        time_to_cancel("{\"model\":\"m\",\"stream\":false,\"prompt\":\"text a\\nhang\"}", "");
    double stream = time_to_cancel("{\"model\":\"m\",\"prompt\":\"text abc\\nhang\"}", "abc");
    CHECK_MSG(silent < 100 && whole < 100 && stream < 100, "%.1f, %.1f, %.1f ms", silent, whole,
              stream);
    printf("       cancelled after %.1f, %.1f and %.1f ms\n", silent, whole, stream);
    fixture_stop(&fixture);
}

TEST(a_peer_that_leaves_the_line_is_forgotten)
{
    fixture_start(&fixture, NULL, NULL);
    int opened = fake_engine_opened_total();
    int loading = ask_on("/api/generate", "{\"model\":\"slow\"}");
    sleep_ms(50);
    int waiting = ask_on("/api/generate", "{\"model\":\"m\",\"prompt\":\"text a\"}");
    sleep_ms(50);
    close(waiting);
    sleep_ms(100);
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    CHECK(net_read_until(loading, &sb, "\"load\"", 2000));
    close(loading);
    sleep_ms(100);
    CHECK_EQ(fake_engine_opened_total(), opened + 1);
    oll_strbuf_free(&sb);
    fixture_stop(&fixture);
}

TEST(a_reader_that_stops_reading_is_given_up)
{
    struct http_config http = {.stall_timeout_ms = 300, .stop_grace_ms = 100};
    fixture_start(&fixture, &http, NULL);
    int fd = ask_on("/api/generate", "{\"model\":\"m\",\"prompt\":\"many 100000000\"}");
    wait_for(fake_engine_request_count, 1);
    CHECK(wait_for(fake_engine_request_count, 0) < 1900);
    CHECK_HAS(generate("{\"model\":\"m\",\"prompt\":\"text b\",\"stream\":false}"), "\"b\"");
    close(fd);
    fixture_stop(&fixture);
}

/* ---- several at once ---- */

static atomic_int n_right;

static void *client_main(void *arg)
{
    char json[128], want[64];
    struct oll_strbuf reply;
    int id = (int)(size_t)arg;
    oll_strbuf_init(&reply, 1 << 20);
    for (int i = 0; i < 10; i++) {
        snprintf(json, sizeof json,
                 "{\"model\":\"%s\",\"stream\":false,\"prompt\":\"text %d-\\nsleep 2\\ntext %d\"}",
                 i % 2 ? "m" : "ms", id, i);
        snprintf(want, sizeof want, "\"response\":\"%d-%d\"", id, i);
        int fd = ask_on("/api/generate", json);
        oll_strbuf_clear(&reply);
        net_read_until(fd, &reply, "", 10000);
        close(fd);
        atomic_fetch_add(&n_right, strstr(reply.data, want) != NULL);
    }
    oll_strbuf_free(&reply);
    return NULL;
}

TEST(takes_a_blank_body_for_none)
{
    fixture_start(&fixture, NULL, NULL);
    CHECK_HAS(generate(" \t\r\n "), "400 {\"error\":\"missing request body\"}");
    fixture_stop(&fixture);
}

TEST(each_client_gets_its_own_answer)
{
    enum { N = 16 };
    pthread_t threads[N];
    fixture_start(&fixture, NULL, NULL);
    atomic_store(&n_right, 0);
    for (size_t i = 0; i < N; i++)
        OLL_ASSERT(pthread_create(&threads[i], NULL, client_main, (void *)i) == 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(atomic_load(&n_right), N * 10);
    fixture_stop(&fixture);
}

TEST(answers_others_while_a_model_loads)
{
    fixture_start(&fixture, NULL, NULL);
    generate("{\"model\":\"m\"}");
    int loading = ask_on("/api/generate", "{\"model\":\"slow\"}");
    sleep_ms(50);
    uint64_t begin = oll_clock_ns();
    CHECK_HAS(generate("{\"model\":\"m\",\"prompt\":\"text a\",\"stream\":false}"), "200 ");
    double ms = (double)(oll_clock_ns() - begin) / 1e6;
    CHECK_MSG(ms < 150, "waited %.1f ms for another model's load", ms);
    close(loading);
    fixture_stop(&fixture);
}

TEST(refuses_when_the_line_is_full)
{
    struct schedule_config config = {.max_waiting = 1, .keep_alive_ns = SCHEDULE_FOREVER};
    fixture_start(&fixture, NULL, &config);
    int first = ask_on("/api/generate", "{\"model\":\"slow\"}");
    sleep_ms(50);
    int second = ask_on("/api/generate", "{\"model\":\"m\"}");
    sleep_ms(100);
    uint64_t begin = oll_clock_ns();
    CHECK_HAS(
        generate("{\"model\":\"m\",\"prompt\":\"x\"}"),
        "503 {\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}");
    CHECK((double)(oll_clock_ns() - begin) / 1e6 < 50);
    close(first);
    close(second);
    fixture_stop(&fixture);
}

/* ---- models that come and go ---- */

TEST(keeps_and_reloads_models_as_told)
{
    fixture_start(&fixture, NULL, NULL);
    int opened = fake_engine_opened_total();
    generate("{\"model\":\"m\"}");
    CHECK_EQ(fake_engine_last_ctx(), 4096);
    generate("{\"model\":\"m\",\"options\":{\"num_ctx\":4096,\"temperature\":1}}");
    generate("{\"model\":\"ms\",\"prompt\":\"text a\"}"); /* the same weights */
    CHECK_EQ(fake_engine_opened_total(), opened + 1);
    generate("{\"model\":\"m\",\"options\":{\"num_ctx\":100}}");
    CHECK_EQ(fake_engine_opened_total(), opened + 2);
    CHECK_EQ(fake_engine_last_ctx(), 100);
    generate("{\"model\":\"m\",\"options\":{\"num_ctx\":100000}}");
    CHECK_EQ(fake_engine_last_ctx(), 8192); /* what the model was trained for */
    generate("{\"model\":\"m\",\"options\":{\"num_ctx\":8192}}");
    CHECK_EQ(fake_engine_opened_total(), opened + 3);
    generate("{\"model\":\"m\"}"); /* the usual window again */
    CHECK_EQ(fake_engine_opened_total(), opened + 4);
    CHECK_EQ(fake_engine_open_count(), 1);
    generate("{\"model\":\"m\",\"keep_alive\":0}");
    CHECK(wait_for(fake_engine_open_count, 0) < 1000);
    generate("{\"model\":\"none\",\"keep_alive\":0}");
    fixture_stop(&fixture);
}

TEST(unloads_after_the_keep_alive)
{
    fixture_start(&fixture, NULL, NULL);
    generate("{\"model\":\"m\",\"prompt\":\"text a\",\"keep_alive\":0.15}");
    sleep_ms(50);
    CHECK_EQ(fake_engine_open_count(), 1);
    CHECK(wait_for(fake_engine_open_count, 0) < 500);
    generate("{\"model\":\"m\",\"prompt\":\"text a\",\"keep_alive\":0}");
    CHECK(wait_for(fake_engine_open_count, 0) < 500);
    generate("{\"model\":\"m\",\"prompt\":\"text a\",\"keep_alive\":-1}");
    generate("{\"model\":\"m\",\"prompt\":\"text a\"}"); /* what was said stays */
    sleep_ms(100);
    CHECK_EQ(fake_engine_open_count(), 1);
    fixture_stop(&fixture);
}

TEST(waits_for_a_busy_model_before_it_is_reloaded)
{
    fixture_start(&fixture, NULL, NULL);
    generate("{\"model\":\"m\"}");
    int busy = ask_on("/api/generate", "{\"model\":\"m\",\"prompt\":\"sleep 300\\ntext a\"}");
    wait_for(fake_engine_request_count, 1);
    CHECK_HAS(generate("{\"model\":\"m\",\"options\":{\"num_ctx\":64},\"prompt\":\"text b\","
                       "\"stream\":false}"),
              "\"response\":\"b\"");
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    CHECK(net_read_until(busy, &sb, "\"response\":\"a\"", 1000));
    close(busy);
    oll_strbuf_free(&sb);
    fixture_stop(&fixture);
}

TEST(makes_room)
{
    struct schedule_config config = {.max_loaded = 1, .keep_alive_ns = SCHEDULE_FOREVER};
    fixture_start(&fixture, NULL, &config);
    generate("{\"model\":\"m\"}");
    generate("{\"model\":\"emb\",\"prompt\":\"x\"}");
    CHECK_HAS(ask("/api/embed", "{\"model\":\"emb\",\"input\":\"a\"}"), "200 ");
    CHECK_EQ(fake_engine_open_count(), 1);
    fixture_stop(&fixture);

    config.max_loaded = 3;
    fixture_start(&fixture, NULL, &config);
    generate("{\"model\":\"m\"}");
    fake_engine_fail_memory(1); /* the idle model goes, then there is room */
    CHECK_HAS(ask("/api/embed", "{\"model\":\"emb\",\"input\":\"a\"}"), "200 ");
    CHECK_EQ(fake_engine_open_count(), 1);
    CHECK_HAS(generate("{\"model\":\"huge\"}"),
              "500 {\"error\":\"model requires more system memory");
    fake_engine_fail_memory(0);
    fixture_stop(&fixture);
}

/* ---- the end ---- */

TEST(tells_streams_that_the_server_stops)
{
    struct oll_strbuf sb;
    fixture_start(&fixture, NULL, NULL);
    oll_strbuf_init(&sb, 1 << 20);
    int fd = ask_on(
        "/api/chat",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"text abc\\nhang\"}]}");
    CHECK(net_read_until(fd, &sb, "abc", 2000));
    fixture_signal_stop();
    CHECK(net_read_until(fd, &sb, "{\"error\":\"the server is shutting down\"}\n", 2000));
    close(fd);
    oll_strbuf_free(&sb);
    fixture_stop(&fixture);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
