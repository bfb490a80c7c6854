#include "registry/digest.h"
#include "registry/reference.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

/* Full form of a name, or the error text. */
static const char *full(const char *text)
{
    static char out[OLL_REFERENCE_TEXT_MAX + OLL_ERROR_TEXT_MAX];
    struct oll_reference ref;
    struct oll_error err = {0};
    if (oll_reference_parse(text, &ref, &err) != OLL_OK)
        snprintf(out, sizeof out, "%s", err.text);
    else
        oll_reference_full(&ref, out);
    return out;
}

static const char *brief(const char *text)
{
    static char out[OLL_REFERENCE_TEXT_MAX];
    struct oll_reference ref;
    CHECK_OK(oll_reference_parse(text, &ref, NULL));
    oll_reference_short(&ref, out);
    return out;
}

TEST(fills_in_defaults)
{
    CHECK_STR(full("llama3"), "registry.ollama.ai/library/llama3:latest");
    CHECK_STR(full("  llama3:8b \n"), "registry.ollama.ai/library/llama3:8b");
    CHECK_STR(full("me/llama3"), "registry.ollama.ai/me/llama3:latest");
    CHECK_STR(full("hf.co/u/r:Q4_K_M"), "hf.co/u/r:Q4_K_M");
    CHECK_STR(full("localhost:5000/ns/m"), "localhost:5000/ns/m:latest");
    CHECK_STR(full("http://h:1/n/m:t"), "h:1/n/m:t");
    CHECK_STR(full("_a.b-c:_1"), "registry.ollama.ai/library/_a.b-c:_1");
}

TEST(refuses_bad_names)
{
    static const char *const bad[] = {
        "a//b",     "m:",     "/m",          "//m",     "a b",
        "\xC3\xA9", ".m",     "-m",          "m:.t",    "..",
        "../m",     "a/../m", "m:a/b",       "n.s/m",   "localhost:5000/m",
        "a\\b",     ":t",     "m@sha256:00", "a/b/c/d", "m:t:u",
        "m%2f",     "m\x01"};
    char text[2000];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_STR(full(bad[i]), "invalid model name");
    CHECK_STR(full(""), "model is required");
    CHECK_STR(full("  "), "model is required");
    memset(text, 'a', sizeof text);
    text[80] = '\0';
    CHECK(strcmp(full(text), "invalid model name") != 0);
    text[80] = 'a';
    text[81] = '\0';
    CHECK_STR(full(text), "invalid model name");
    text[81] = 'a';
    text[1999] = '\0';
    CHECK_STR(full(text), "invalid model name");
}

TEST(prints_short_forms)
{
    CHECK_STR(brief("m"), "m:latest");
    CHECK_STR(brief("Registry.Ollama.AI/Library/M"), "M:latest");
    CHECK_STR(brief("me/m:t"), "me/m:t");
    CHECK_STR(brief("h/library/m:t"), "h/library/m:t");
}

TEST(takes_off_the_source)
{
    struct oll_reference ref, other;
    CHECK_OK(oll_reference_parse("m:20b:Local", &ref, NULL));
    CHECK_STR(ref.tag, "20b");
    CHECK_EQ(ref.source, OLL_SOURCE_LOCAL);
    CHECK_OK(oll_reference_parse("m:local", &ref, NULL));
    CHECK_STR(ref.tag, "latest");
    CHECK_OK(oll_reference_parse("m:20b-cloud", &ref, NULL));
    CHECK_STR(ref.tag, "20b");
    CHECK_EQ(ref.source, OLL_SOURCE_CLOUD);
    CHECK_OK(oll_reference_parse("m:cloud", &ref, NULL));
    CHECK_EQ(ref.source, OLL_SOURCE_CLOUD);
    CHECK_OK(oll_reference_parse("my-cloud", &ref, NULL));
    CHECK_EQ(ref.source, OLL_SOURCE_ANY);
    CHECK_STR(full("m:cloud:local"), "use either :local or :cloud, not both: \"m:cloud:local\"");
    CHECK_STR(full("m:x-cloud:local"),
              "use either :local or :cloud, not both: \"m:x-cloud:local\"");
    CHECK_OK(oll_reference_parse("A/B:C", &ref, NULL));
    CHECK_OK(oll_reference_parse("registry.ollama.ai/a/b:c", &other, NULL));
    CHECK(oll_reference_equal(&ref, &other));
}

TEST(parses_digests)
{
    static const char hex[] = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";
    char text[200], out[OLL_DIGEST_TEXT_MAX];
    struct oll_digest digest;
    snprintf(text, sizeof text, "sha256-%s", hex);
    CHECK_OK(oll_digest_parse(text, &digest, NULL));
    oll_digest_text(&digest, out);
    CHECK_STR(out, "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    static const char *const bad[] = {"",
                                      "sha256",
                                      "sha256:",
                                      "sha256:../../../../etc/passwd",
                                      "sha256:%2e%2e",
                                      "sha512:0123456789abcdef0123456789abcdef0123456789abcdef",
                                      "sha256:0123"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_STATUS(oll_digest_parse(bad[i], &digest, NULL), OLL_ERR_ARG);
    snprintf(text, sizeof text, "sha256:%s0", hex);
    CHECK_STATUS(oll_digest_parse(text, &digest, NULL), OLL_ERR_ARG);
    snprintf(text, sizeof text, "sha256:%.63s", hex);
    CHECK_STATUS(oll_digest_parse(text, &digest, NULL), OLL_ERR_ARG);
    snprintf(text, sizeof text, "SHA256:%s", hex);
    CHECK_STATUS(oll_digest_parse(text, &digest, NULL), OLL_ERR_ARG);
    snprintf(text, sizeof text, "sha256:%.63sg", hex);
    CHECK_STATUS(oll_digest_parse(text, &digest, NULL), OLL_ERR_ARG);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
