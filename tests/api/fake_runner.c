/* A runner whose engine needs no model (fake_engine.c). FAKE_RUNNER in the environment makes it a
 * bad one: "exit" ends at once with a word of excuse, "garbage" sends what is no message, "early"
 * is ready without saying for what, "long" announces more than a message may have, "mute" takes
 * no notice of anything, "wild N" is ready and then sends messages that chance has changed, N being
 * its seed. */
#include "server/message.h"
#include "server/runner_child.h"
#include "tests/testing.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void say(const struct oll_strbuf *bytes)
{
    ssize_t n = write(RUNNER_CHILD_FD, bytes->data, bytes->len);
    (void)n;
}

/* The id of the request that came last; it is accepted. */
static uint64_t accept_requests(struct message_reader *reader, uint64_t last)
{
    struct pollfd in = {.fd = RUNNER_CHILD_FD, .events = POLLIN};
    struct oll_strbuf bytes;
    struct message m;
    if (poll(&in, 1, 0) != 1 || message_reader_fill(reader, RUNNER_CHILD_FD) != OLL_OK)
        return last;
    oll_strbuf_init(&bytes, 4096);
    while (message_reader_next(reader, &m, NULL) == OLL_OK)
        if (m.kind == MESSAGE_SUBMIT)
            message_put_plain(&bytes, MESSAGE_ACCEPTED, last = m.id);
    say(&bytes);
    oll_strbuf_free(&bytes);
    return last;
}

/* A message about a request: most often an event, at times what has no place there. */
static void put_any(struct oll_strbuf *bytes, uint64_t id, uint64_t *state)
{
    float vector[] = {0.6f, 0.8f};
    int32_t ids[] = {1, 2, 3};
    char text[] = "some text", name[] = "f";
    struct oll_event event = {.kind = (enum oll_event_kind)(testing_random(state) % 6),
                              .text = text,
                              .tool_name = name,
                              .embedding = vector,
                              .n_embedding = 2};
    switch (testing_random(state) % 64) {
    case 0: message_put_plain(bytes, MESSAGE_ACCEPTED, id); break;
    case 1: message_put_error(bytes, id + 1, OLL_ERR_BUSY, "busy"); break;
    case 2: message_put_tokens(bytes, MESSAGE_TOKENS, id, ids, 3); break;
    case 3: message_put_text(bytes, id, text, 4); break;
    case 4: message_put_plain(bytes, MESSAGE_READY, id); break;
    case 5: message_put_plain(bytes, MESSAGE_ALIVE, 0); break;
    default: message_put_event(bytes, id, &event); break;
    }
    if (testing_random(state) % 64 == 0)
        bytes->data[testing_random(state) % bytes->len] ^= (char)(1 << testing_random(state) % 8);
}

static void go_wild(uint64_t seed)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000};
    struct message_reader reader;
    struct oll_strbuf bytes;
    uint64_t state = seed, last = 0;
    oll_strbuf_init(&bytes, 1 << 20);
    message_reader_init(&reader, MESSAGE_FROM_SERVER);
    message_put_ready(&bytes, &(struct oll_model_info){.n_ctx = 64});
    say(&bytes);
    for (int i = 0; i < 2000; i++) {
        oll_strbuf_clear(&bytes);
        last = accept_requests(&reader, last);
        if (last > 0)
            put_any(&bytes, last, &state);
        say(&bytes);
        nanosleep(&pause, NULL);
    }
    message_reader_free(&reader);
    oll_strbuf_free(&bytes);
}

static void misbehave(const char *how)
{
    struct oll_strbuf bytes;
    oll_strbuf_init(&bytes, 4096);
    if (strncmp(how, "wild ", 5) == 0) {
        go_wild((uint64_t)strtoll(how + 5, NULL, 10));
        exit(0);
    }
    if (strcmp(how, "exit") == 0) {
        fprintf(stderr, "no room on the ship\n");
        exit(3);
    }
    if (strcmp(how, "garbage") == 0)
        oll_strbuf_adds(&bytes, "HTTP/1.1 200 OK\r\n\r\n");
    if (strcmp(how, "early") == 0) {
        message_put_plain(&bytes, MESSAGE_ALIVE, 0);
        message_put_plain(&bytes, MESSAGE_READY, 0);
    }
    if (strcmp(how, "long") == 0)
        oll_strbuf_add(&bytes, "\xff\xff\xff\xff\x01\0\x0b\0\0\0\0\0\0\0\0\0", 16);
    say(&bytes);
    oll_strbuf_free(&bytes);
    sleep(60);
}

int main(int argc, char **argv)
{
    const char *how = getenv("FAKE_RUNNER");
    if (argc != 2 || strcmp(argv[1], "runner") != 0)
        return 2;
    if (how && *how)
        misbehave(how);
    return runner_child_run(RUNNER_CHILD_FD);
}
