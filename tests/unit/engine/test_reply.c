#include "engine/reply.h"

#include "gguf/gguf.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static struct oll_tokenizer *tok;

/* The tiny llama's vocabulary has a token for every byte. NULL when the data is absent. */
static const struct oll_tokenizer *tokenizer(void)
{
    struct oll_gguf *gguf = NULL;
    const char *path = testing_shared("data/golden/llama.gguf");
    if (tok)
        return tok;
    if (!path[0]) {
        testing_skip("shared/data/golden is absent");
        return NULL;
    }
    CHECK_OK(oll_gguf_open(path, &gguf, NULL));
    CHECK_OK(oll_tokenizer_new(gguf, 0, &tok, NULL));
    oll_gguf_close(gguf);
    return tok;
}

static int32_t byte_token(unsigned char c)
{
    char text[8];
    snprintf(text, sizeof text, "<0x%02X>", c);
    int32_t id = oll_tokenizer_find(tok, text, strlen(text));
    CHECK_MSG(id >= 0, "no token %s", text);
    return id;
}

/* Feeds the bytes one token each and joins what was shown after each with '|'. */
static const char *run(const char *text, const char *const *stop, uint32_t n_stop, bool *stopped)
{
    static char joined[512];
    struct reply reply;
    struct oll_strbuf out, all;
    CHECK_OK(reply_init(&reply, tokenizer(), stop, n_stop, NULL));
    oll_strbuf_init(&out, 1 << 16);
    oll_strbuf_init(&all, 1 << 16);
    for (const char *c = text; *c && !reply.stopped; c++) {
        oll_strbuf_clear(&out);
        reply_add(&reply, byte_token((unsigned char)*c), &out);
        oll_strbuf_add(&all, out.data, out.len);
        oll_strbuf_addc(&all, '|');
    }
    *stopped = reply.stopped;
    reply_finish(&reply, &all);
    snprintf(joined, sizeof joined, "%s", all.data);
    oll_strbuf_free(&out);
    oll_strbuf_free(&all);
    reply_free(&reply);
    return joined;
}

TEST(text_without_stops_is_shown_at_once)
{
    bool stopped;
    if (!tokenizer())
        return;
    CHECK_STR(run("abc", NULL, 0, &stopped), "a|b|c|");
    CHECK(!stopped);
}

TEST(whole_characters_only)
{
    bool stopped;
    if (!tokenizer())
        return;
    CHECK_STR(run("a\xE2\x82\xAC!", NULL, 0, &stopped), "a|||\xE2\x82\xAC|!|");
    CHECK_STR(run("a\xE2\x82", NULL, 0, &stopped), "a|||\xEF\xBF\xBD");
}

TEST(a_tail_that_may_become_a_stop_is_held_back)
{
    const char *const stops[] = {"END", "\n\n"};
    bool stopped;
    if (!tokenizer())
        return;
    CHECK_STR(run("xEND..", stops, 2, &stopped), "x||||");
    CHECK(stopped);
    CHECK_STR(run("xEN.", stops, 2, &stopped), "x|||EN.|");
    CHECK(!stopped);
    CHECK_STR(run("xEEND", stops, 2, &stopped), "x||E|||");
    CHECK(stopped);
    CHECK_STR(run("a\nb\n\n", stops, 2, &stopped), "a||\nb|||");
    CHECK(stopped);
    /* Held back to the end: part of the reply after all. */
    CHECK_STR(run("xEN", stops, 2, &stopped), "x|||EN");
    CHECK(!stopped);
}

TEST(the_earliest_stop_wins)
{
    const char *const stops[] = {"bcd", "b"};
    bool stopped;
    if (!tokenizer())
        return;
    CHECK_STR(run("abcd", stops, 2, &stopped), "a||");
    CHECK(stopped);
}

TEST(unreasonable_stops_are_refused)
{
    static char long_stop[REPLY_MAX_STOP_BYTES + 2];
    const char *const one[] = {long_stop};
    const char *many[REPLY_MAX_STOPS + 1];
    struct reply reply;
    struct oll_error err = {0};
    if (!tokenizer())
        return;
    memset(long_stop, 'x', sizeof long_stop - 1);
    CHECK_STATUS(reply_init(&reply, tok, one, 1, &err), OLL_ERR_LIMIT);
    CHECK_STR(err.text, "stop string 0 is longer than 4096 bytes");
    reply_free(&reply);
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        many[i] = "x";
    CHECK_STATUS(reply_init(&reply, tok, many, REPLY_MAX_STOPS + 1, NULL), OLL_ERR_LIMIT);
    reply_free(&reply);
}

int main(int argc, char **argv)
{
    int code = testing_main(argc, argv);
    oll_tokenizer_free(tok);
    return code;
}
