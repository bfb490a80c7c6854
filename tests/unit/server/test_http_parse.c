#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/http_parse.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

/* Scans and parses a head given in pieces of `step` bytes; the status, -1 when unfinished. */
static int parse_steps(const char *text, size_t n, size_t step, struct http_head *head, char *copy)
{
    struct http_scan scan = {0};
    size_t head_len = 0;
    for (size_t have = 0; have < n && !head_len;) {
        have = have + step < n ? have + step : n;
        int status = http_scan_head(&scan, text, have, &head_len);
        if (status)
            return status;
    }
    if (!head_len)
        return -1;
    memcpy(copy, text, head_len);
    copy[head_len] = '\0';
    return http_parse_head(copy, head_len, head);
}

static char copy[128 * 1024];
static struct http_head head;

/* The status must not depend on how the bytes arrive. */
static int parse(const char *text, size_t n)
{
    int whole = parse_steps(text, n, n, &head, copy);
    struct http_head again;
    static char other[128 * 1024];
    CHECK_EQ(parse_steps(text, n, 1, &again, other), whole);
    CHECK_EQ(parse_steps(text, n, 7, &again, other), whole);
    return whole;
}

#define PARSE(text) parse(text, sizeof(text) - 1)

TEST(reads_a_request)
{
    CHECK_EQ(
        PARSE("POST /api/chat?x=1 HTTP/1.1\r\nHost: a:1\r\nX-Y:\t z \t\r\nContent-Length: 12\r\n"
              "\r\nrest"),
        0);
    CHECK_STR(head.method, "POST");
    CHECK_STR(head.target, "/api/chat?x=1");
    CHECK_STR(head.host, "a:1");
    CHECK_STR(http_head_get(&head, "x-y"), "z");
    CHECK(http_head_get(&head, "x") == NULL);
    CHECK(head.has_length && head.length == 12 && !head.chunked && head.keep_alive);
    CHECK_EQ(PARSE("GET / HTTP/1.0\r\n\r\n"), 0);
    CHECK(!head.keep_alive && head.minor == 0 && !head.host);
    CHECK_EQ(PARSE("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), 0);
    CHECK(head.keep_alive);
    CHECK_EQ(PARSE("\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: foo, close\r\n\r\n"), 0);
    CHECK(!head.keep_alive);
    CHECK_EQ(PARSE("GET / HTTP/1.1\r\nHost:\r\nExpect: 100-Continue\r\n\r\n"), 0);
    CHECK(head.expect_continue);
    CHECK_EQ(PARSE("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"), 0);
    CHECK(head.chunked);
    CHECK_EQ(PARSE("GET / HTTP/1.9\r\nHost: x\r\n\r\n"), 0);
    CHECK_EQ(head.minor, 1);
}

TEST(refuses_what_can_be_read_two_ways)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\r",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5,5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "A / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / http/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/11\r\nHost: x\r\n\r\n",
        "\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_MSG(parse(bad[i], strlen(bad[i])) == 400, "accepted: %s", bad[i]);
    CHECK_EQ(PARSE("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"), 400);
    CHECK_EQ(PARSE("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    CHECK_EQ(PARSE("\x16\x03\x01\x00\xA5\x01"), 400);
    CHECK_EQ(PARSE("PRI * HTTP/2.0\r\n\r\n"), 505);
    CHECK_EQ(PARSE("GET / HTTP/1.1\r\nHost: x\r\n"), -1);
}

static int parse_built(const char *begin, const char *repeat, size_t n, const char *end)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, sizeof copy - 1);
    oll_strbuf_adds(&sb, begin);
    for (size_t i = 0; i < n; i++)
        oll_strbuf_adds(&sb, repeat);
    oll_strbuf_adds(&sb, end);
    int status = parse(sb.data, sb.len);
    oll_strbuf_free(&sb);
    return status;
}

TEST(holds_the_limits_of_a_head)
{
    const char *end = " HTTP/1.1\r\nHost: x\r\n\r\n";
    CHECK_EQ(parse_built("GET /", "a", HTTP_LINE_MAX - 14, end), 0);
    CHECK_EQ(parse_built("GET /", "a", HTTP_LINE_MAX - 13, end), 414);
    CHECK_EQ(parse_built("GET /", "a", 100000, ""), 414);
    CHECK_EQ(parse_built("GET / HTTP/1.1\r\nHost: x\r\n", "A: b\r\n", 99, "\r\n"), 0);
    CHECK_EQ(head.n_headers, 100);
    CHECK_EQ(parse_built("GET / HTTP/1.1\r\nHost: x\r\n", "A: b\r\n", 100, "\r\n"), 431);
    CHECK_EQ(parse_built("GET / HTTP/1.1\r\nHost: x\r\n", "A: b\r\n", 101, ""), 431);
    CHECK_EQ(parse_built("GET / HTTP/1.1\r\nHost: x\r\nA: ", "b", 32000, "\r\n\r\n"), 0);
    CHECK_EQ(parse_built("GET / HTTP/1.1\r\nHost: x\r\nA: ", "b", 33000, "\r\n\r\n"), 431);
    CHECK_EQ(parse_built("GET / HTTP/1.1\r\nHost: x\r\nA: ", "b", 33000, ""), 431);
}

static int target(const char *text, struct http_target *out)
{
    static char buf[256];
    snprintf(buf, sizeof buf, "%s", text);
    return http_parse_target(buf, out);
}

TEST(splits_targets)
{
    struct http_target t;
    CHECK_EQ(target("/a%2Fb%20c?q=%20&r", &t), 0);
    CHECK_STR(t.path, "/a/b c");
    CHECK_STR(t.query, "q=%20&r");
    CHECK(t.authority == NULL);
    CHECK_EQ(target("http://h:1/x", &t), 0);
    CHECK_STR(t.path, "/x");
    CHECK_STR(t.authority, "h:1");
    CHECK_EQ(target("HTTP://h", &t), 0);
    CHECK_STR(t.path, "/");
    CHECK_EQ(target("http://h?q", &t), 0);
    CHECK_STR(t.path, "/");
    CHECK_STR(t.query, "q");
    CHECK_EQ(target("*", &t), 0);
    CHECK_STR(t.path, "*");
    CHECK_EQ(target("/%C3%A9", &t), 0);
    CHECK_STR(t.path, "/\xC3\xA9");
    static const char *const bad[] = {"/%00",    "/%zz",    "/%4",        "/a%",
                                      "a",       "host:80", "https://x",  "http:///x",
                                      "http://", "/#a",     "http://u@h/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_MSG(target(bad[i], &t) == 400, "accepted: %s", bad[i]);
}

/* Feeds a chunked body in pieces; gives the data and how many bytes were used. */
static int unchunk(const char *text, size_t n, size_t step, char *out, size_t *used)
{
    struct http_head chunked = {.chunked = true};
    struct http_body body;
    size_t n_out = 0;
    int status = http_body_begin(&body, &chunked, 100);
    *used = 0;
    while (*used < n && !body.done && !status) {
        size_t have = *used + step < n ? *used + step : n, k, n_data;
        const char *data;
        status = http_body_feed(&body, text + *used, have - *used, &k, &data, &n_data);
        memcpy(out + n_out, data, n_data);
        n_out += n_data;
        *used += k;
    }
    out[n_out] = '\0';
    return status ? status : body.done ? 0 : -1;
}

static int chunks(const char *text, char *out, size_t *used)
{
    char again[256];
    int status = unchunk(text, strlen(text), 1000, out, used);
    CHECK_EQ(unchunk(text, strlen(text), 1, again, &(size_t){0}), status);
    if (status == 0)
        CHECK_STR(again, out);
    return status;
}

TEST(takes_chunks_apart)
{
    char out[256];
    size_t used;
    CHECK_EQ(chunks("3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nGET", out, &used), 0);
    CHECK_STR(out, "abc0123456789");
    CHECK_EQ(used, 29);
    CHECK_EQ(chunks("1;a=\"b\"\r\nx\r\n000\r\nT: v\r\nU: w\r\n\r\n", out, &used), 0);
    CHECK_STR(out, "x");
    static const char *const bad[] = {"zz\r\nabc\r\n",
                                      "\r\nabc",
                                      "3\nabc\r\n",
                                      "3\r\nabcd\r\n",
                                      "3\r\nabc\n",
                                      "0x3\r\nabc\r\n",
                                      " 3\r\nabc\r\n",
                                      "3 \r\nabc\r\n",
                                      "-1\r\n",
                                      "0\r\n\n",
                                      "0\r\n T: v\r\n",
                                      "0\r\nT: v\n",
                                      "3;a\x01\r\nabc\r\n",
                                      "3\r\rabc",
                                      "8000000000000000\r\n",
                                      "10000000000000000\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_MSG(chunks(bad[i], out, &used) == 400, "accepted: %s", bad[i]);
    CHECK_EQ(chunks("3\r\nabc\r\n", out, &used), -1);
    CHECK_EQ(chunks("65\r\n", out, &used), 413);
    CHECK_EQ(chunks("7fffffffffffffff\r\n", out, &used), 413);
    CHECK_EQ(chunks("3\r\nabc\r\n62\r\n", out, &used), 413);
    char line[400] = "1;";
    memset(line + 2, 'e', 300);
    CHECK_EQ(chunks(line, out, &used), 400);
}

TEST(measures_a_body)
{
    struct http_head plain = {.has_length = true, .length = 5};
    struct http_body body;
    const char *data;
    size_t used, n_data;
    CHECK_EQ(http_body_begin(&body, &plain, 4), 413);
    CHECK_EQ(http_body_begin(&body, &plain, 5), 0);
    CHECK_EQ(http_body_feed(&body, "abcdefgh", 8, &used, &data, &n_data), 0);
    CHECK(body.done && used == 5 && n_data == 5);
    plain.length = 0;
    CHECK_EQ(http_body_begin(&body, &plain, 0), 0);
    CHECK(body.done);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
