#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 64 * 1024 * 1024 };

static struct oll_json_limits with(bool replace, bool trailing)
{
    struct oll_json_limits limits = oll_json_limits_default;
    limits.replace_utf8 = replace;
    limits.allow_trailing = trailing;
    return limits;
}

/* Reads and writes back; on failure gives the error text. */
static const char *round_trip(const char *text, size_t n, const struct oll_json_limits *limits)
{
    static char out[65536];
    struct oll_arena arena;
    struct oll_strbuf sb;
    struct oll_error err = {0};
    struct oll_json *root = NULL;
    struct oll_json_writer w;
    oll_arena_init(&arena, TEXT_MAX);
    oll_strbuf_init(&sb, sizeof out - 1);
    if (oll_json_parse(&arena, text, n, limits, &root, &err) == OLL_OK) {
        oll_json_write_init(&w, &sb);
        oll_json_write_node(&w, root, false);
        snprintf(out, sizeof out, "%s", sb.data);
    } else {
        snprintf(out, sizeof out, "%s", err.text);
    }
    oll_strbuf_free(&sb);
    oll_arena_free(&arena);
    return out;
}

#define AGAIN(text)           round_trip(text, sizeof(text) - 1, NULL)
#define CHECK_AGAIN(text, to) CHECK_STR(AGAIN(text), to)

TEST(keeps_what_is_valid)
{
    CHECK_AGAIN(" [ 1 , \"a\" , true , false , null , { } , [ ] ] ",
                "[1,\"a\",true,false,null,{},[]]");
    CHECK_AGAIN("{\"b\":1,\"a\":{\"z\":[{}]}}", "{\"b\":1,\"a\":{\"z\":[{}]}}");
    CHECK_AGAIN("\"\"", "\"\"");
    CHECK_AGAIN("0", "0");
    CHECK_AGAIN("\t\r\n1\n", "1");
    CHECK_AGAIN("{\"\":0}", "{\"\":0}");
}

TEST(refuses_what_the_grammar_refuses)
{
    CHECK_AGAIN("", "unexpected EOF");
    CHECK_AGAIN("  ", "unexpected EOF");
    CHECK_AGAIN("[1", "unexpected EOF");
    CHECK_AGAIN("{\"a\":", "unexpected EOF");
    CHECK_AGAIN("\"abc", "unexpected EOF");
    CHECK_AGAIN("\"abc\\", "unexpected EOF");
    CHECK_AGAIN("\"\\u00", "unexpected EOF");
    CHECK_AGAIN("tru", "unexpected EOF");
    CHECK_AGAIN("-", "unexpected EOF");
    CHECK_AGAIN("1.", "unexpected EOF");
    CHECK_AGAIN("1e", "unexpected EOF");
    CHECK_AGAIN("[1,]", "invalid character ']' looking for beginning of value at byte 3");
    CHECK_AGAIN("[,1]", "invalid character ',' looking for beginning of value at byte 1");
    CHECK_AGAIN("[1 2]", "invalid character '2' after array element at byte 3");
    CHECK_AGAIN("{\"a\":1,}",
                "invalid character '}' looking for beginning of object key string at byte 7");
    CHECK_AGAIN("{a:1}",
                "invalid character 'a' looking for beginning of object key string at byte 1");
    CHECK_AGAIN("{\"a\" 1}", "invalid character '1' after object key at byte 5");
    CHECK_AGAIN("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair at byte 7");
    CHECK_AGAIN("{} x", "invalid character 'x' after top-level value at byte 3");
    CHECK_AGAIN("01", "invalid character '1' after top-level value at byte 1");
    CHECK_AGAIN("+1", "invalid character '+' looking for beginning of value at byte 0");
    CHECK_AGAIN(".5", "invalid character '.' looking for beginning of value at byte 0");
    CHECK_AGAIN("-x", "invalid character 'x' in numeric literal at byte 1");
    CHECK_AGAIN("1.x", "invalid character 'x' after decimal point in numeric literal at byte 2");
    CHECK_AGAIN("1ex", "invalid character 'x' in exponent of numeric literal at byte 2");
    CHECK_AGAIN("0x10", "invalid character 'x' after top-level value at byte 1");
    CHECK_AGAIN("NaN", "invalid character 'N' looking for beginning of value at byte 0");
    CHECK_AGAIN("nul1", "invalid character '1' in literal null (expecting 'l') at byte 3");
    CHECK_AGAIN("'a'", "invalid character '\\'' looking for beginning of value at byte 0");
    CHECK_AGAIN("\xEF\xBB\xBF{}",
                "invalid character '\\xef' looking for beginning of value at byte 0");
    CHECK_AGAIN("[1]//", "invalid character '/' after top-level value at byte 3");
    CHECK_AGAIN("\"a\nb\"", "invalid character '\\x0a' in string literal at byte 2");
    CHECK_AGAIN("\"a\0b\"", "invalid character '\\x00' in string literal at byte 2");
    CHECK_AGAIN("\"\\x41\"", "invalid character 'x' in string escape code at byte 2");
    CHECK_AGAIN("\"\\u12g4\"",
                "invalid character 'g' in \\u hexadecimal character escape at byte 5");
    CHECK_AGAIN("[1\0]", "invalid character '\\x00' after array element at byte 2");
    CHECK_AGAIN("[1}", "invalid character '}' after array element at byte 2");
}

TEST(unescapes_strings)
{
    CHECK_AGAIN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    CHECK_AGAIN("\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    CHECK_AGAIN("\"\\u0000x\"", "\"\\u0000x\"");
    /* Lone surrogates, in every position. */
    CHECK_AGAIN("\"\\ud800\"", "\"\xEF\xBF\xBD\"");
    CHECK_AGAIN("\"\\udc00a\"", "\"\xEF\xBF\xBD"
                                "a\"");
    CHECK_AGAIN("\"\\ud800\\ud83d\\ude00\"", "\"\xEF\xBF\xBD\xF0\x9F\x98\x80\"");
    CHECK_AGAIN("\"\\ud800\\n\"", "\"\xEF\xBF\xBD\\n\"");
    CHECK_AGAIN("\"\\ud800\\u0041\"", "\"\xEF\xBF\xBD"
                                      "A\"");
    CHECK_AGAIN("\"<>&\xE2\x80\xA8\x7F\"", "\"\\u003c\\u003e\\u0026\\u2028\x7F\"");
}

TEST(judges_utf8)
{
    struct oll_json_limits replace = with(true, false);
    CHECK_AGAIN("\"\xC0\xAF\"", "invalid UTF-8 in JSON at byte 1");
    CHECK_AGAIN("\"a\xED\xA0\x80\"", "invalid UTF-8 in JSON at byte 2");
    CHECK_STR(round_trip("\"a\xED\xA0\x80z\"", 7, &replace),
              "\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\"");
    CHECK_STR(round_trip("[\xFF]", 3, &replace),
              "invalid character '\\xef' looking for beginning of value at byte 1");
}

TEST(keeps_numbers_exact)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    const char *text = "[9223372036854775807,-9223372036854775808,18446744073709551615,"
                       "18446744073709551616,9007199254740993,1.0,1e2,-0,1e400,0.1]";
    oll_arena_init(&arena, TEXT_MAX);
    if (CHECK_OK(oll_json_parse(&arena, text, strlen(text), NULL, &root, NULL))) {
        const struct oll_json *v = root->first;
        CHECK(v->is_int && v->is_uint && v->i == INT64_MAX);
        v = v->next;
        CHECK(v->is_int && !v->is_uint && v->i == INT64_MIN);
        v = v->next;
        CHECK(!v->is_int && v->is_uint && (uint64_t)v->i == UINT64_MAX);
        v = v->next;
        CHECK(!v->is_int && !v->is_uint && v->real == 18446744073709551616.0);
        v = v->next;
        CHECK(v->is_int && v->i == 9007199254740993);
        CHECK(v->raw_len == 16 && memcmp(v->raw, "9007199254740993", 16) == 0);
        v = v->next;
        CHECK(!v->is_int && v->real == 1.0);
        v = v->next;
        CHECK(!v->is_int && v->real == 100.0);
        v = v->next;
        CHECK(v->is_int && v->i == 0 && signbit(v->real));
        v = v->next;
        CHECK(!v->is_int && isinf(v->real));
        CHECK_EQ(v->offset, strstr(text, "1e400") - text);
    }
    oll_arena_free(&arena);
    CHECK_AGAIN("[9007199254740993,18446744073709551615,1.0,1e2,-0,1e400,1e-7,0.10]",
                "[9007199254740993,18446744073709551615,1,100,-0,1e400,1e-7,0.1]");
    struct oll_json_limits first = with(false, true);
    CHECK_STR(round_trip("0x10", 4, &first), "0");
}

TEST(looks_up_keys)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    const char *text = "{\"Model\":1,\"a\":2,\"model\":3,\"MODEL\":4,\"a\":5,\"\\u017fize\":6,"
                       "\"\\u212aeep\":7,\"s\":\"x\",\"a\\u0000b\":8}";
    oll_arena_init(&arena, TEXT_MAX);
    if (CHECK_OK(oll_json_parse(&arena, text, strlen(text), NULL, &root, NULL))) {
        CHECK_EQ(oll_json_get(root, "model")->i, 3);
        CHECK_EQ(oll_json_get_fold(root, "model")->i, 4);
        CHECK_EQ(oll_json_get(root, "a")->i, 5);
        CHECK_EQ(oll_json_get_fold(root, "size")->i, 6);
        CHECK_EQ(oll_json_get_fold(root, "keep")->i, 7);
        CHECK(oll_json_get(root, "none") == NULL);
        CHECK(oll_json_get_fold(root, "mode") == NULL);
        CHECK_STR(oll_json_get_str(root, "s", "no"), "x");
        CHECK_STR(oll_json_get_str(root, "a", "no"), "no");
        CHECK_EQ(root->n, 8);
        CHECK_STR(root->first->next->key, "a");
    }
    CHECK(oll_json_get(NULL, "a") == NULL);
    oll_arena_free(&arena);
    /* The last value wins, also across spellings, and stands at the place of the first. */
    CHECK_AGAIN("{\"a\":1,\"b\":2,\"a\":3,\"a\":[4],\"b\":5}", "{\"a\":[4],\"b\":5}");
}

TEST(finds_the_last_spelling_after_duplicates)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    const char *text = "{\"model\":1,\"MODEL\":2,\"model\":3}";
    oll_arena_init(&arena, TEXT_MAX);
    if (CHECK_OK(oll_json_parse(&arena, text, strlen(text), NULL, &root, NULL)))
        CHECK_EQ(oll_json_get_fold(root, "model")->i, 3);
    oll_arena_free(&arena);
}

/* begin, then `n` times `a`, then end; released by the caller. */
static char *repeat(const char *begin, const char *a, size_t n, const char *end)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, TEXT_MAX);
    oll_strbuf_adds(&sb, begin);
    for (size_t i = 0; i < n; i++)
        oll_strbuf_adds(&sb, a);
    oll_strbuf_adds(&sb, end);
    return oll_strbuf_take(&sb, NULL);
}

static void check_limit(char *text, const char *want)
{
    CHECK_STR(round_trip(text, strlen(text), NULL), want);
    oll_free(text);
}

TEST(holds_its_limits)
{
    char *deep = repeat("", "[", 64, ""), *both = repeat(deep, "]", 64, "");
    CHECK_STR(round_trip(both, strlen(both), NULL), both);
    oll_free(deep);
    oll_free(both);
    check_limit(repeat("", "[", 1000000, ""), "JSON nested deeper than 64 at byte 64");
    check_limit(repeat("", "{\"a\":", 65, "1"), "JSON nested deeper than 64 at byte 320");
    check_limit(repeat("[", "1,", 1100000, "1]"),
                "JSON with more than 1000000 values at byte 1999999");
    check_limit(repeat("{", "\"a\":1,", 10001, "\"a\":1}"),
                "JSON object with more than 10000 members at byte 60005");
    check_limit(repeat("{\"", "k", 1025, "\":1}"), "JSON key longer than 1024 bytes at byte 1");
    check_limit(repeat("", "1", 1025, ""), "JSON number longer than 1024 bytes at byte 0");
}

TEST(memory_is_bounded_by_the_arena)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct oll_error err = {0};
    char *text = repeat("[", "1,", 1000, "1]");
    oll_arena_init(&arena, 10000);
    CHECK_STATUS(oll_json_parse(&arena, text, strlen(text), NULL, &root, &err), OLL_ERR_LIMIT);
    CHECK(root == NULL);
    oll_arena_free(&arena);
    oll_free(text);
}

TEST(writes_sorted_spaced_and_indented)
{
    struct oll_arena arena;
    struct oll_strbuf sb;
    struct oll_json *root = NULL;
    struct oll_json_writer w;
    const char *text = "{\"b\":[1,{}],\"a\":{\"d\":\"<\",\"c\":[]}}";
    oll_arena_init(&arena, TEXT_MAX);
    oll_strbuf_init(&sb, 1000);
    if (CHECK_OK(oll_json_parse(&arena, text, strlen(text), NULL, &root, NULL))) {
        oll_json_write_init(&w, &sb);
        oll_json_write_node(&w, root, true);
        CHECK_STR(sb.data, "{\"a\":{\"c\":[],\"d\":\"\\u003c\"},\"b\":[1,{}]}");
        oll_strbuf_clear(&sb);
        oll_json_write_init(&w, &sb);
        w.spaced = w.keep_html = true;
        oll_json_write_node(&w, root, false);
        CHECK_STR(sb.data, "{\"b\": [1, {}], \"a\": {\"d\": \"<\", \"c\": []}}");
        oll_strbuf_clear(&sb);
        oll_json_write_init(&w, &sb);
        w.indent = 2;
        oll_json_write_node(&w, root, false);
        CHECK_STR(sb.data,
                  "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": {\n    \"d\": \"\\u003c\",\n"
                  "    \"c\": []\n  }\n}");
    }
    oll_strbuf_free(&sb);
    oll_arena_free(&arena);
}

TEST(writes_token_by_token)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, 1000);
    oll_json_write_init(&w, &sb);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "a");
    oll_json_write_array_begin(&w);
    oll_json_write_int(&w, INT64_MIN);
    oll_json_write_uint(&w, UINT64_MAX);
    oll_json_write_bool(&w, true);
    oll_json_write_null(&w);
    oll_json_write_double(&w, (double)INFINITY);
    oll_json_write_array_end(&w);
    oll_json_write_key(&w, "b\n");
    oll_json_write_str(&w, "x\xFFy\x01");
    oll_json_write_key(&w, "c");
    oll_json_write_raw(&w, "{ }", 3);
    oll_json_write_object_end(&w);
    CHECK_STR(sb.data, "{\"a\":[-9223372036854775808,18446744073709551615,true,null,null],"
                       "\"b\\n\":\"x\\ufffdy\\u0001\",\"c\":{ }}");
    oll_strbuf_free(&sb);
}

static void check_double(double v, const char *want)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    oll_json_format_double(v, text);
    CHECK_STR(text, want);
}

static void check_float(float v, const char *want)
{
    char text[OLL_JSON_NUMBER_TEXT_MAX];
    oll_json_format_float(v, text);
    CHECK_STR(text, want);
}

TEST(prints_floats_as_go_does)
{
    check_double(0, "0");
    check_double(-0.0, "-0");
    check_double(0.1, "0.1");
    check_double(0.8, "0.8");
    check_double(1.0 / 3, "0.3333333333333333");
    check_double(100, "100");
    check_double(1e-6, "0.000001");
    check_double(9.99e-7, "9.99e-7");
    check_double(1e-10, "1e-10");
    check_double(1e20, "100000000000000000000");
    check_double(123456789012345680000.0, "123456789012345680000");
    check_double(1e21, "1e+21");
    check_double(1.5e300, "1.5e+300");
    check_double(5e-324, "5e-324");
    check_double(2.2250738585072014e-308, "2.2250738585072014e-308");
    check_double(2.225073858507201e-308, "2.225073858507201e-308");
    check_double(1.7976931348623157e308, "1.7976931348623157e+308");
    check_double(-123.456, "-123.456");
    check_double(9007199254740993.0, "9007199254740992");
    check_double(0x1p-44, "5.684341886080802e-14");
    /* Powers of two whose nearest 16 digits do not read back while the next above do. */
    check_double(0x1p-791, "7.678447687145631e-239");
    check_double(0x1p863, "6.150157786156811e+259");
    check_float(0.1f, "0.1");
    check_float(-0.0017594865f, "-0.0017594865");
    check_float(0.010071031f, "0.010071031");
    check_float(1e-6f, "0.000001");
    check_float(1e-7f, "1e-7");
    check_float(16777216.0f, "16777216");
    check_float(3.4028235e38f, "3.4028235e+38");
    check_float(1e-45f, "1e-45");
    check_float(1.17549435e-38f, "1.1754944e-38");
    check_float(0x1p-96f, "1.2621775e-29");
}

/* Whether any decimal of fewer digits than the text has would have done. */
static bool could_be_shorter(double v, int n_digits)
{
    char text[40];
    for (int n = 1; n < n_digits; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, v);
        if (strtod(text, NULL) == v)
            return true;
    }
    return false;
}

TEST(float_text_reads_back_and_is_shortest)
{
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = testing_random(&seed);
        char text[OLL_JSON_NUMBER_TEXT_MAX];
        double v;
        float f;
        uint32_t low = (uint32_t)bits;
        memcpy(&v, &bits, sizeof v);
        memcpy(&f, &low, sizeof f);
        if (isfinite(v)) {
            oll_json_format_double(v, text);
            int digits = 0;
            for (const char *p = text; *p && *p != 'e'; p++)
                digits += *p >= (digits ? '0' : '1') && *p <= '9';
            CHECK_MSG(strtod(text, NULL) == v, "%a is printed as %s", v, text);
            if (fabs(v) < 1e15 || fabs(v) >= 1e21)
                CHECK_MSG(!could_be_shorter(v, digits), "%a has a shorter text than %s", v, text);
        }
        if (isfinite(f)) {
            oll_json_format_float(f, text);
            CHECK_MSG(strtof(text, NULL) == f, "%a is printed as %s", (double)f, text);
        }
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
