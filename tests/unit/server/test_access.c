#include "server/access.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

TEST(allows_the_usual_origins)
{
    struct access *access = NULL;
    static const char *const good[] = {
        "http://localhost", "https://localhost", "http://localhost:3000", "https://127.0.0.1:8443",
        "http://0.0.0.0",   "app://x",           "vscode-webview://abc"};
    static const char *const bad[] = {"https://evil.example",
                                      "null",
                                      "",
                                      "http://localhost.evil.example",
                                      "http://evil.example/http://localhost",
                                      "HTTP://LOCALHOST",
                                      "chrome-extension://abc",
                                      "http://localhos"};
    CHECK_OK(access_new(NULL, &access, NULL));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_MSG(access_origin_allowed(access, good[i]), "refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_MSG(!access_origin_allowed(access, bad[i]), "allowed: %s", bad[i]);
    CHECK(!access_any_origin(access));
    access_free(access);
}

TEST(takes_further_origins)
{
    struct access *access = NULL;
    struct oll_error err = {0};
    CHECK_OK(access_new("chrome-extension://*, HTTPS://My.example ,", &access, NULL));
    CHECK(access_origin_allowed(access, "chrome-extension://abc"));
    CHECK(access_origin_allowed(access, "https://my.example"));
    CHECK(!access_origin_allowed(access, "https://my.example:1"));
    CHECK(!access_origin_allowed(access, "moz-extension://x"));
    CHECK(access_origin_allowed(access, "http://localhost:5"));
    access_free(access);
    CHECK_OK(access_new("*", &access, NULL));
    CHECK(access_any_origin(access) && access_origin_allowed(access, "null"));
    access_free(access);
    CHECK_STATUS(access_new("my.example", &access, &err), OLL_ERR_ARG);
    CHECK(strstr(err.text, "my.example") != NULL);
    CHECK_STATUS(access_new("http://*.a.*", &access, NULL), OLL_ERR_ARG);
}

TEST(judges_hosts)
{
    struct access *access = NULL;
    char name[300] = "", with_port[320];
    static const struct {
        const char *host;
        enum access_host want;
    } cases[] = {
        {"", ACCESS_HOST_NAME},
        {":80", ACCESS_HOST_NAME},
        {"localhost", ACCESS_HOST_NAME},
        {"LOCALHOST:1", ACCESS_HOST_NAME},
        {"a.localhost", ACCESS_HOST_NAME},
        {"foo.local", ACCESS_HOST_NAME},
        {"x.internal:5", ACCESS_HOST_NAME},
        {"127.0.0.1", ACCESS_HOST_ADDRESS},
        {"127.9.9.9:80", ACCESS_HOST_ADDRESS},
        {"0.0.0.0", ACCESS_HOST_ADDRESS},
        {"10.1.2.3:80", ACCESS_HOST_ADDRESS},
        {"172.16.0.1", ACCESS_HOST_ADDRESS},
        {"172.31.255.255", ACCESS_HOST_ADDRESS},
        {"192.168.1.9", ACCESS_HOST_ADDRESS},
        {"[::1]:5", ACCESS_HOST_ADDRESS},
        {"[fd00::1]:5", ACCESS_HOST_ADDRESS},
        {"::1", ACCESS_HOST_ADDRESS},
        {"172.32.0.1", ACCESS_HOST_REFUSED},
        {"172.15.0.1", ACCESS_HOST_REFUSED},
        {"8.8.8.8", ACCESS_HOST_REFUSED},
        {"169.254.1.1", ACCESS_HOST_REFUSED},
        {"[2001:db8::1]:5", ACCESS_HOST_REFUSED},
        {"[::1]", ACCESS_HOST_REFUSED},
        {"[fd00::1]", ACCESS_HOST_REFUSED},
        {"evil.example", ACCESS_HOST_REFUSED},
        {"evil.example:11434", ACCESS_HOST_REFUSED},
        {"localhost.evil.example", ACCESS_HOST_REFUSED},
        {"localhost.", ACCESS_HOST_REFUSED},
        {".local", ACCESS_HOST_REFUSED},
        {"127.0.0.1.evil.example", ACCESS_HOST_REFUSED},
        {"127.1", ACCESS_HOST_REFUSED},
        {"localhost,evil.example", ACCESS_HOST_REFUSED},
    };
    CHECK_OK(access_new(NULL, &access, NULL));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_MSG(access_check_host(access, cases[i].host) == cases[i].want, "%s: %d",
                  cases[i].host, access_check_host(access, cases[i].host));
    if (gethostname(name, sizeof name - 1) == 0 && *name) {
        snprintf(with_port, sizeof with_port, "%s:11434", name);
        CHECK_EQ(access_check_host(access, with_port), ACCESS_HOST_NAME);
    }
    memset(name, 'a', sizeof name - 1);
    CHECK_EQ(access_check_host(access, name), ACCESS_HOST_REFUSED);
    access_free(access);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
