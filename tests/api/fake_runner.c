/* A runner whose engine needs no model (fake_engine.c). FAKE_RUNNER in the environment makes it a
 * bad one: "exit" ends at once with a word of excuse, "garbage" sends what is no message, "early"
 * is ready without saying for what, "long" announces more than a message may have, "mute" takes
 * no notice of anything. */
#include "server/message.h"
#include "server/runner_child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const struct oll_strbuf *bytes)
{
    ssize_t n = write(RUNNER_CHILD_FD, bytes->data, bytes->len);
    (void)n;
}

static void misbehave(const char *how)
{
    struct oll_strbuf bytes;
    oll_strbuf_init(&bytes, 4096);
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
