/* Constraints over a vocabulary: masks against a slow oracle, forced text, ends, limits. */
#include "sampler/constraint.h"

#include "engine/base/mem.h"
#include "sampler/grammar_machine.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct oll_tokenizer *tok;
static struct oll_token_trie *trie;

/* The vocabulary of shared data, once. */
static bool vocabulary(void)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    const char *path = testing_shared("data/vocab/ggml-vocab-llama-bpe.gguf");
    if (tok)
        return true;
    if (!*path) {
        testing_skip("shared/data/vocab is absent");
        return false;
    }
    CHECK_OK(oll_gguf_open(path, &gguf, &err));
    CHECK_OK(oll_tokenizer_new(gguf, 0, &tok, &err));
    oll_gguf_close(gguf);
    CHECK_OK(oll_token_trie_new(tok, (uint32_t)oll_tokenizer_n_tokens(tok), &trie, &err));
    return trie != NULL;
}

static void begin(struct oll_constraint_source source, struct oll_constraint_program **p,
                  struct oll_constraint **c)
{
    struct oll_error err = {0};
    *p = NULL;
    *c = NULL;
    oll_status status = oll_constraint_compile(&source, tok, p, &err);
    CHECK_MSG(status == OLL_OK, "%s", err.text);
    if (status == OLL_OK)
        CHECK_OK(oll_constraint_new(*p, trie, c, &err));
}

static void end(struct oll_constraint_program *p, struct oll_constraint *c)
{
    oll_constraint_free(c);
    oll_constraint_program_release(p);
}

static bool feed(struct oll_constraint *c, const char *text)
{
    struct oll_tokens ids = {0};
    struct oll_error err = {0};
    bool ok = oll_tokenizer_encode(tok, text, strlen(text), OLL_ENCODE_CONTINUE, &ids) == OLL_OK;
    for (size_t i = 0; i < ids.n && ok; i++)
        ok = oll_constraint_accept(c, ids.ids[i], &err) == OLL_OK;
    oll_tokens_free(&ids);
    return ok;
}

/* Every token by itself, the slow way. */
static void check_mask(struct oll_constraint *c, const char *where)
{
    const uint64_t *mask = NULL;
    struct oll_error err = {0};
    uint32_t n_wrong = 0, n_set = 0;
    CHECK_OK(oll_constraint_mask(c, &mask, &err));
    for (uint32_t t = 0; mask && t < trie->n_vocab; t++) {
        bool set = mask[t >> 6] >> (t & 63) & 1;
        n_set += set;
        n_wrong += set != oll_constraint_allows(c, (int32_t)t);
    }
    CHECK_MSG(n_wrong == 0, "%s: %u tokens are wrong in a mask of %u", where, n_wrong, n_set);
}

TEST(masks_are_those_of_single_tokens)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"short\":{\"type\":"
        "\"string\",\"minLength\":1,\"maxLength\":9},\"mid\":{\"type\":\"string\",\"maxLength\":25}"
        ","
        "\"path\":{\"type\":\"string\",\"pattern\":\"^[^/]{1,30}$\"},\"word\":{\"pattern\":"
        "\"^[a-z\xc3\xa9]+$\",\"type\":\"string\"},\"n\":{\"type\":\"number\",\"minimum\":-3,"
        "\"maximum\":"
        "12.5},\"kind\":{\"enum\":[\"alpha\",\"alphabet\",\"beta\"]},\"list\":{\"type\":\"array\","
        "\"items\":{\"type\":[\"integer\",\"null\"]}}}}";
    static const char *const texts[] = {"",
                                        "{",
                                        "{\"",
                                        "{\"na",
                                        "{\"name\":",
                                        "{\"name\": \"",
                                        "{\"name\": \"abc \\",
                                        "{\"name\": \"\\u00",
                                        "{\"name\": \"x\"",
                                        "{\"name\": \"x\", \"short\": \"",
                                        "{\"short\": \"abcdefg",
                                        "{\"short\": \"abcdefghi",
                                        "{\"mid\": \"0123456789",
                                        "{\"path\": \"a b",
                                        "{\"word\": \"xy",
                                        "{\"n\": -",
                                        "{\"n\": 12",
                                        "{\"kind\": \"alpha",
                                        "{\"list\": [",
                                        "{\"list\": [1,",
                                        "{\"list\": []}"};
    if (!vocabulary())
        return;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct oll_constraint_program *p;
        struct oll_constraint *c;
        begin((struct oll_constraint_source){.format_json = schema}, &p, &c);
        CHECK_MSG(c && oll_constraint_accept_bytes(c, texts[i], strlen(texts[i])), "%s", texts[i]);
        if (c)
            check_mask(c, texts[i]);
        end(p, c);
    }
}

TEST(tokens_may_hold_parts_of_characters)
{
    struct oll_constraint_program *p;
    struct oll_constraint *c;
    if (!vocabulary())
        return;
    /* U+1F600 is F0 9F 98 80, U+1F601 ends with 81. */
    begin((struct oll_constraint_source){.format_json = "{\"enum\":[\"\xf0\x9f\x98\x80\"]}"}, &p,
          &c);
    CHECK(oll_constraint_accept_bytes(c, "\"\xf0\x9f", 3));
    check_mask(c, "half a character");
    CHECK(!oll_constraint_complete(c));
    CHECK(!oll_constraint_accept_bytes(c, "\x98\x81", 2));
    CHECK(oll_constraint_accept_bytes(c, "\x80\"", 2));
    CHECK(oll_constraint_finished(c));
    end(p, c);
}

TEST(generation_ends_only_when_complete)
{
    struct oll_constraint_program *p;
    struct oll_constraint *c;
    int32_t eos = -1;
    struct oll_error err = {0};
    if (!vocabulary())
        return;
    for (int32_t t = 0; t < oll_tokenizer_n_tokens(tok) && eos < 0; t++)
        eos = oll_tokenizer_is_eog(tok, t) ? t : -1;
    begin((struct oll_constraint_source){.format_json = "{\"type\":\"integer\"}"}, &p, &c);
    CHECK(!oll_constraint_allows(c, eos));
    CHECK_STATUS(oll_constraint_accept(c, eos, &err), OLL_ERR_ARG);
    CHECK(feed(c, "12"));
    CHECK(oll_constraint_complete(c) && !oll_constraint_finished(c));
    CHECK(oll_constraint_allows(c, eos));
    check_mask(c, "a number that may go on");
    end(p, c);
}

TEST(what_is_forced_is_found)
{
    struct oll_constraint_program *p;
    struct oll_constraint *c;
    struct oll_tokens forced = {0};
    struct oll_strbuf text;
    if (!vocabulary())
        return;
    oll_strbuf_init(&text, 1 << 16);
    begin(
        (struct oll_constraint_source){
            .grammar = "root ::= \"The answer to everything is: \" [0-9]+ \".\""},
        &p, &c);
    CHECK_OK(oll_constraint_forced(c, &forced));
    CHECK(forced.n > 3);
    CHECK_OK(oll_tokenizer_decode(tok, forced.ids, forced.n, false, &text));
    CHECK_MSG(strncmp(text.data, "The answer to everything is: ", text.len) == 0, "%s", text.data);
    for (size_t i = 0; i < forced.n; i++)
        CHECK(oll_constraint_allows(c, forced.ids[i]) &&
              oll_constraint_accept(c, forced.ids[i], NULL) == OLL_OK);
    end(p, c);
    /* `order` must not be forced while orderId may be meant. */
    forced.n = 0;
    begin((struct oll_constraint_source){.grammar =
                                             "root ::= \"\\\"order\" (\"Id\" | \"\") \"\\\"\""},
          &p, &c);
    CHECK_OK(oll_constraint_forced(c, &forced));
    oll_strbuf_clear(&text);
    CHECK_OK(oll_tokenizer_decode(tok, forced.ids, forced.n, false, &text));
    CHECK_MSG(strstr(text.data, "order") == NULL, "%s", text.data);
    end(p, c);
    oll_tokens_free(&forced);
    oll_strbuf_free(&text);
}

TEST(named_tokens)
{
    struct oll_constraint_program *p;
    struct oll_constraint *c;
    struct oll_error err = {0};
    if (!vocabulary())
        return;
    int32_t special = oll_tokenizer_find(tok, "<|begin_of_text|>", 17);
    CHECK(special >= 0);
    begin(
        (struct oll_constraint_source){.grammar = "root ::= <|begin_of_text|> \"a\" !<[65]> \"b\""},
        &p, &c);
    CHECK(oll_constraint_allows(c, special));
    CHECK(!oll_constraint_allows(c, 64));
    check_mask(c, "a named token");
    CHECK_OK(oll_constraint_accept(c, special, &err));
    CHECK(feed(c, "a"));
    CHECK(!oll_constraint_allows(c, 65) && oll_constraint_allows(c, 66));
    CHECK_OK(oll_constraint_accept(c, 70, &err));
    CHECK(feed(c, "b") && oll_constraint_finished(c));
    end(p, c);
}

static bool unique_accepts(const char *items, const char *text)
{
    char schema[512];
    struct oll_constraint_program *p;
    struct oll_constraint *c;
    snprintf(schema, sizeof schema, "{\"type\":\"array\",\"uniqueItems\":true,\"items\":%s}",
             items);
    begin((struct oll_constraint_source){.format_json = schema}, &p, &c);
    size_t half = strlen(text) / 2;
    bool ok = c && oll_constraint_accept_bytes(c, text, half);
    if (ok)
        check_mask(c, text);
    ok = ok && oll_constraint_accept_bytes(c, text + half, strlen(text + half)) &&
         oll_constraint_complete(c);
    end(p, c);
    return ok;
}

TEST(elements_differ)
{
    if (!vocabulary())
        return;
    CHECK(unique_accepts("{\"type\":\"string\"}", "[\"a\", \"b\", \"ab\", \"\"]"));
    CHECK(!unique_accepts("{\"type\":\"string\"}", "[\"a\", \"b\", \"a\"]"));
    CHECK(!unique_accepts("{\"type\":\"string\"}", "[\"a\\n\", \"\\u000a\"]"));
    CHECK(unique_accepts("{\"type\":\"string\"}", "[\"a,\\\"b\",\"b\"]"));
    CHECK(!unique_accepts("{\"type\":\"string\"}", "[\"a,\\\"b\",\"a,\\\"b\"]"));
    CHECK(unique_accepts("{\"type\":[\"number\",\"null\",\"boolean\"]}",
                         "[1, 10, null, true, 1.5, false]"));
    CHECK(!unique_accepts("{\"type\":[\"number\",\"null\"]}", "[1, 1.0]"));
    CHECK(!unique_accepts("{\"type\":[\"number\",\"null\"]}", "[null, 2, null]"));
    CHECK(unique_accepts("{}", "[\"null\", null, \"1\"]"));
    CHECK(!unique_accepts("{\"type\":\"string\"}", "[\"\\\"\""));
}

TEST(objects_differ)
{
    static const char person[] = "{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{"
                                 "\"age\":{\"type\":\"integer\"},"
                                 "\"name\":{\"type\":\"string\"},\"tall\":{\"type\":\"boolean\"}}}";
    static const char nested[] =
        "{\"type\":\"object\",\"properties\":{\"at\":{\"type\":\"object\",\"properties\":{\"x\":{"
        "\"type\":\"boolean\"},\"id\":{\"type\":\"string\"}}}}}";
    if (!vocabulary())
        return;
    CHECK(unique_accepts(person, "[{\"name\":\"a\"}, {\"name\":\"b\"}]"));
    CHECK(!unique_accepts(person, "[{\"name\":\"a\"}, {\"name\":\"a\"}]"));
    /* What differs before the member that must be another one sets that free. */
    CHECK(unique_accepts(person, "[{\"age\":1,\"name\":\"a\"},{\"age\":2, \"name\":\"a\"}]"));
    CHECK(!unique_accepts(person,
                          "[{\"age\":1,\"name\":\"a\"},{\"age\":1, \"name\" : \"\\u0061\"}]"));
    CHECK(unique_accepts(nested, "[{\"at\":{\"id\":\"\"}},{\"at\":{\"x\":true,\"id\":\"\"}}]"));
    CHECK(!unique_accepts(nested, "[{\"at\":{\"id\":\"\"}},{\"at\":{\"id\":\"\"}}]"));
    CHECK(unique_accepts(
        "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"properties\":{\"n\":{"
        "\"type\":\"integer\"}}}]}",
        "[{\"n\":1},null,{\"n\":11}]"));
    CHECK(!unique_accepts(
        "{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"properties\":{\"n\":{"
        "\"type\":\"integer\"}}}]}",
        "[null,{\"n\":1},null]"));
}

TEST(masks_forbid_logits)
{
    float logits[70];
    const uint64_t mask[2] = {UINT64_C(1) << 3, UINT64_C(1) << 5};
    for (int i = 0; i < 70; i++)
        logits[i] = (float)i;
    oll_constraint_apply(mask, logits, 70);
    for (int i = 0; i < 70; i++)
        CHECK((logits[i] > -INFINITY) == (i == 3 || i == 69));
}

/* Strings of different lengths at each position: far more states than a machine may hold. */
TEST(long_texts_stay_within_memory)
{
    struct oll_constraint_program *p;
    struct oll_constraint *c;
    char text[64];
    if (!vocabulary())
        return;
    begin(
        (struct oll_constraint_source){
            .format_json = "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":40},"
                           "\"minItems\":100000}"},
        &p, &c);
    bool ok = oll_constraint_accept_bytes(c, "[", 1);
    for (int i = 0; i < 30000 && ok; i++) {
        memset(text, 'a' + i % 26, 30);
        text[0] = text[29] = '"';
        text[30] = ',';
        ok = oll_constraint_accept_bytes(c, text, 31);
    }
    CHECK(ok);
    check_mask(c, "behind a long text");
    end(p, c);
}

TEST(programs_are_shared)
{
    struct oll_constraint_program *p;
    struct oll_constraint *a, *b;
    struct oll_error err = {0};
    if (!vocabulary())
        return;
    begin((struct oll_constraint_source){.format_json = "\"json\""}, &p, &a);
    CHECK_OK(oll_constraint_new(p, trie, &b, &err));
    CHECK(feed(a, "{\"a\": [1, 2"));
    CHECK(feed(b, "{}"));
    CHECK(oll_constraint_finished(b) && !oll_constraint_complete(a));
    oll_constraint_free(a);
    end(p, b);
}

int main(int argc, char **argv)
{
    int code = testing_main(argc, argv);
    oll_token_trie_free(trie);
    oll_tokenizer_free(tok);
    return code;
}
