#include "server/env.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static void check_host(const char *text, const char *host, int port, const char *prefix)
{
    struct env_host h;
    env_parse_host(text, &h);
    CHECK_MSG(strcmp(h.host, host) == 0 && h.port == port && strcmp(h.prefix, prefix) == 0,
              "%s: %s port %d prefix %s", text, h.host, h.port, h.prefix);
}

TEST(parses_hosts)
{
    check_host("", "127.0.0.1", 11434, "");
    check_host("1.2.3.4", "1.2.3.4", 11434, "");
    check_host(":1234", "", 1234, "");
    check_host("example.com", "example.com", 11434, "");
    check_host(":0", "", 0, "");
    check_host(":66000", "", 11434, "");
    check_host(":-1", "", 11434, "");
    check_host("[::1]", "::1", 11434, "");
    check_host("::1", "::1", 11434, "");
    check_host("[::1]:1337", "::1", 1337, "");
    check_host("\" 1.2.3.4 \"", "1.2.3.4", 11434, "");
    check_host("http://1.2.3.4", "1.2.3.4", 80, "");
    check_host("https://1.2.3.4", "1.2.3.4", 443, "");
    check_host("https://example.com/ollama/", "example.com", 443, "ollama");
    check_host("http://h:5/a/b", "h", 5, "a/b");
    check_host("0.0.0.0:1x", "0.0.0.0", 11434, "");
}

TEST(parses_unix_sockets)
{
    struct env_host h;
    env_parse_host("unix:///run/oll.sock", &h);
    CHECK_STR(h.socket, "/run/oll.sock");
    env_parse_host("unix:oll.sock", &h);
    CHECK_STR(h.socket, "oll.sock");
}

static const char *set(const char *value)
{
    setenv("OLL_TEST_VALUE", value, 1);
    return "OLL_TEST_VALUE";
}

TEST(reads_values)
{
    char text[ENV_TEXT_MAX];
    CHECK(env_text(set("  ' a b ' "), text));
    CHECK_STR(text, "a b");
    CHECK(!env_text(set(" '' "), text));
    CHECK(!env_text("OLL_TEST_UNSET", text));
    CHECK(env_bool(set("1"), false) && env_bool(set("yes"), false) && env_bool(set(""), true));
    CHECK(!env_bool(set("F"), true) && !env_bool(set("0"), true));
    CHECK_EQ(env_uint(set("12"), 5), 12);
    CHECK_EQ(env_uint(set("-1"), 5), 5);
    CHECK_EQ(env_uint(set("0x10"), 5), 5);
    CHECK_EQ(env_uint(set("99999999999999999999"), 5), 5);
    CHECK_EQ(env_duration(set("1m30s"), 5), 90000000000);
    CHECK_EQ(env_duration(set("30"), 5), 30000000000);
    CHECK_EQ(env_duration(set("-1"), 5), -1000000000);
    CHECK_EQ(env_duration(set("0"), 5), 0);
    CHECK_EQ(env_duration(set("soon"), 5), 5);
}

TEST(finds_the_models)
{
    char path[ENV_TEXT_MAX];
    setenv("HOME", "/home/x", 1);
    unsetenv("OLLAMA_MODELS");
    CHECK(env_models(path));
    CHECK_STR(path, "/home/x/.ollama/models");
    setenv("OLLAMA_MODELS", "/srv/models", 1);
    CHECK(env_models(path));
    CHECK_STR(path, "/srv/models");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
