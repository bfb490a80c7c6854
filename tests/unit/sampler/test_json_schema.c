/* The schema compiler: which documents a schema lets through, text by text. */
#include "sampler/json_schema.h"

#include "sampler/grammar_machine.h"
#include "tests/testing.h"

#include <string.h>

struct walker {
    struct grammar g;
    struct machine m;
    bool ok;
};

static bool open_schema(struct walker *w, const char *schema, bool strict)
{
    struct oll_error err = {0};
    memset(w, 0, sizeof *w);
    if (!testing_check(grammar_init(&w->g) == OLL_OK, __FILE__, __LINE__, "grammar"))
        return false;
    oll_status status = json_schema_compile(&w->g, schema, strlen(schema), strict, &err);
    if (status == OLL_OK)
        grammar_finish(&w->g);
    w->ok = testing_check(status == OLL_OK && w->g.root != GRAMMAR_NONE, __FILE__, __LINE__,
                          "%s: %s", schema, status == OLL_OK ? "empty" : err.text) &&
            testing_check(machine_init(&w->m, &w->g) == OLL_OK, __FILE__, __LINE__, "machine");
    return w->ok;
}

static void close_schema(struct walker *w)
{
    if (w->ok)
        machine_free(&w->m);
    grammar_free(&w->g);
}

static bool accepts(struct walker *w, const char *text)
{
    uint32_t state = w->m.start;
    for (; *text && state != MACHINE_DEAD; text++)
        state = machine_step(&w->m, state, (uint8_t)*text);
    return state != MACHINE_DEAD && w->m.states[state].accepts;
}

/* Texts, each behind '+' when it must be accepted and '-' when not; NULL ends the list. */
static void check_texts(const char *schema, bool strict, const char *const *texts)
{
    struct walker w;
    if (open_schema(&w, schema, strict))
        for (; *texts; texts++)
            CHECK_MSG(accepts(&w, *texts + 1) == (**texts == '+'), "%s: %s", schema, *texts);
    close_schema(&w);
}

#define TEXTS(...)                                                                                 \
    (const char *const[]) { __VA_ARGS__, NULL }

static void check_error(const char *schema, oll_status expected, const char *part)
{
    struct grammar g;
    struct oll_error err = {0};
    CHECK_OK(grammar_init(&g));
    oll_status status = json_schema_compile(&g, schema, strlen(schema), false, &err);
    CHECK_MSG(status == expected && strstr(oll_error_text(&err), part), "%s: %s, expected %s",
              schema, oll_error_text(&err), part);
    grammar_free(&g);
}

/* ---- chapter 8 of the specification, cases 53 to 60 ---- */

TEST(any_object)
{
    check_texts("\"json\"", false,
                TEXTS("+{}", "+{\"a\": [1, null]}", "-[1]", "-{\"a\":01}", "-{'a':1}", "-1",
                      "+{\"a\":-1.5e+3}", "+{\"a\":\"\\u00e9\\n\"}", "-{\"a\":\"\n\"}",
                      "-{\"a\":\"\\ud800\"}", "+{\"a\":\"\\ud83d\\ude00\"}", "-{\"a\":\"\\ude00\"}",
                      "-{\"a\":\"\x7f\"}", "+{\n  \"a\": {\n    \"b\": []\n  }\n}", "-{  }",
                      "-{\"a\":1} ", "- {}", "+{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}",
                      "-{\"a\":\"\xc3\"}", "-{\"a\":\"\xed\xa0\x80\"}"));
}

TEST(properties_in_order)
{
    const char *schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},"
                         "\"b\":{\"type\":\"string\"},\"c\":{\"type\":\"null\"}},"
                         "\"required\":[\"a\",\"c\"]}";
    check_texts(schema, false,
                TEXTS("+{\"a\":1,\"c\":null}", "+{\"a\":1,\"b\":\"\",\"c\":null}",
                      "-{\"c\":null,\"a\":1}", "-{\"a\":1}", "-{\"a\":1,\"c\":null,\"d\":2}",
                      "-{\"a\":1,\"a\":1,\"c\":null}"));
    check_texts(schema, true,
                TEXTS("+{\"a\":1,\"c\":null,\"d\":2}", "-{\"a\":1,\"c\":null,\"a\":2}"));
}

TEST(integers)
{
    check_texts("{\"type\":\"integer\",\"minimum\":5,\"maximum\":12}", false,
                TEXTS("+5", "+12", "+9", "+10", "-4", "-13", "-05", "-1e1", "-5.0", "--5", "-1"));
    check_texts("{\"type\":\"integer\",\"minimum\":-12,\"exclusiveMaximum\":3}", false,
                TEXTS("+-12", "+0", "+2", "+-1", "--13", "-3", "--0", "-10"));
    check_texts("{\"type\":\"integer\",\"minimum\":1.5,\"maximum\":120.25}", false,
                TEXTS("+2", "-1", "+120", "-121", "+99"));
    check_texts("{\"type\":\"integer\",\"minimum\":100}", false,
                TEXTS("+100", "+1000", "-99", "--100", "+999"));
    check_texts("{\"type\":\"integer\",\"maximum\":-20}", false,
                TEXTS("+-20", "+-21", "--19", "-0", "-20"));
}

TEST(numbers)
{
    check_texts(
        "{\"type\":\"number\",\"exclusiveMinimum\":0,\"maximum\":1.5}", false,
        TEXTS("+0.01", "+1.50", "+1.5", "+1", "+1.49", "-0", "-0.00", "-1.51", "--1", "-2"));
    check_texts(
        "{\"type\":\"number\",\"minimum\":-1.25,\"maximum\":-0.5}", false,
        TEXTS("+-1.25", "+-0.5", "+-1", "+-0.50", "--0.4", "--1.26", "--1.3", "-0.7", "--2"));
    check_texts("{\"type\":\"number\",\"multipleOf\":0.01}", false,
                TEXTS("-1.255", "+1.25", "+1.250", "+-3", "+0.1", "+0", "-0.001"));
    check_texts("{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10}", false,
                TEXTS("+14", "-10", "-7", "+70", "-71"));
    check_texts("{\"type\":\"number\",\"minimum\":0,\"exclusiveMinimum\":true}", false,
                TEXTS("-0", "+0.1", "+1"));
    check_texts("{\"multipleOf\":2.5,\"type\":\"number\"}", false,
                TEXTS("+2.5", "+5", "+7.5", "-1.5", "-2", "+10.0"));
}

TEST(strings)
{
    check_texts("{\"type\":\"string\",\"pattern\":\"b+\"}", false, TEXTS("+\"abc\"", "-\"ac\""));
    check_texts("{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}\\\\d+$\"}", false,
                TEXTS("-\"xAB1\"", "+\"AB1\"", "-\"AB\"", "-\"AB1x\""));
    check_texts("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}", false,
                TEXTS("+\"\xc3\xa9\xc3\xa9\"", "+\"a\\n\"", "-\"\xc3\xa9\"", "-\"abcd\""));
    check_texts("{\"type\":\"string\",\"format\":\"date\"}", false,
                TEXTS("-\"2026-02-30\"", "+\"2026-02-28\"", "-\"2026-02-29\"", "+\"2024-02-29\"",
                      "-\"2026-04-31\"", "-\"2026-13-01\""));
    check_texts("{\"type\":\"string\",\"format\":\"color\"}", false, TEXTS("+\"x y\"", "+\"\""));
    check_texts("{\"type\":\"string\",\"pattern\":\"^\\\"q\\\"$\"}", false,
                TEXTS("+\"\\\"q\\\"\"", "-\"\\u0022q\\\"\"", "-\"q\""));
}

TEST(formats)
{
    check_texts("{\"type\":\"string\",\"format\":\"date-time\"}", false,
                TEXTS("+\"2026-01-31T23:59:59Z\"", "+\"2026-01-31t00:00:00.5+01:00\"",
                      "-\"2026-01-31 00:00:00Z\"", "-\"2026-01-31T24:00:00Z\""));
    check_texts("{\"type\":\"string\",\"format\":\"email\"}", false,
                TEXTS("+\"a.b@c.de\"", "-\"a@\"", "-\"@b\"", "-\"a b@c\""));
    check_texts("{\"type\":\"string\",\"format\":\"ipv4\"}", false,
                TEXTS("+\"1.2.3.255\"", "-\"1.2.3.256\"", "-\"01.2.3.4\"", "-\"1.2.3\""));
    check_texts("{\"type\":\"string\",\"format\":\"ipv6\"}", false,
                TEXTS("+\"::1\"", "+\"1:2:3:4:5:6:7:8\"", "+\"fe80::1:2\"", "+\"::\"",
                      "-\"1:2:3:4:5:6:7\"", "-\"1::2::3\"", "+\"::ffff:1.2.3.4\""));
    check_texts("{\"type\":\"string\",\"format\":\"uuid\"}", false,
                TEXTS("+\"123e4567-e89b-12d3-a456-426614174000\"", "-\"123e4567\""));
    check_texts("{\"type\":\"string\",\"format\":\"uri\"}", false,
                TEXTS("+\"http://a.b/c?d=e#f\"", "+\"urn:a:b\"", "-\"a/b\"", "-\"http://a b\"",
                      "-\"http://a/%4\""));
    check_texts("{\"type\":\"string\",\"format\":\"duration\"}", false,
                TEXTS("+\"P1Y2M3DT4H5M6S\"", "+\"P2W\"", "-\"P\"", "-\"PT\"", "+\"PT5M\""));
    check_texts("{\"type\":\"string\",\"format\":\"hostname\"}", false,
                TEXTS("+\"a-b.c\"", "-\"-a\"", "-\"a..b\""));
}

TEST(arrays)
{
    check_texts(
        "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],"
        "\"items\":false}",
        false, TEXTS("+[]", "+[1]", "+[1, \"x\"]", "-[\"x\"]", "-[1,\"x\",2]"));
    check_texts("{\"enum\":[\"red\",3,null,[1,{\"a\":2}]]}", false,
                TEXTS("+\"red\"", "+3", "+null", "-\"re\"", "-30", "+[1, {\"a\": 2}]", "-[1]"));
    check_texts("{\"type\":\"array\",\"items\":{\"const\":1},\"minItems\":2,\"maxItems\":3}", false,
                TEXTS("-[]", "-[1]", "+[1,1]", "+[1, 1, 1]", "-[1,1,1,1]"));
    check_texts(
        "{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true}", false,
        TEXTS("+[\"a\",\"c\"]", "-[\"a\",\"a\"]", "+[\"c\",\"b\",\"a\"]",
              "-[\"c\",\"b\",\"a\",\"a\"]", "+[]"));
    check_texts("{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum\":5},"
                "\"minContains\":2}",
                false, TEXTS("-[]", "-[5]", "+[5,6]", "+[1,5,2,7,3]", "-[1,2,5]"));
    check_texts("{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum\":5},"
                "\"maxContains\":1}",
                false, TEXTS("-[]", "+[5]", "-[5,6]", "+[1,5,2]"));
    check_texts("{\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":\"null\"},"
                "\"type\":\"array\"}",
                false, TEXTS("+[1,null,null]", "-[1,2]", "+[]"));
}

TEST(all_of_closes_after_merging)
{
    check_texts(
        "{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":3}},\"required\":[\"a\"]},"
        "{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":4},\"b\":{}}}]}",
        false,
        TEXTS("+{\"a\":3}", "+{\"a\":4,\"b\":1}", "-{\"a\":5}", "-{}", "-{\"a\":3,\"c\":1}"));
}

TEST(references)
{
    check_texts(
        "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":"
        "{\"v\":{\"type\":\"integer\"},\"next\":{\"$ref\":\"#/$defs/node\"}},"
        "\"required\":[\"v\"]}}}",
        false, TEXTS("+{\"v\":1,\"next\":{\"v\":2}}", "-{\"v\":1,\"next\":{}}", "+{\"v\":1}"));
    check_texts(
        "{\"$id\":\"http://a.b/c/d.json\",\"properties\":{\"x\":{\"$ref\":\"e.json#pos\"}},"
        "\"definitions\":{\"y\":{\"$id\":\"e.json\",\"definitions\":{\"z\":{\"$anchor\":\"pos\","
        "\"type\":\"integer\"}}}}}",
        false, TEXTS("+{\"x\":1}", "-{\"x\":\"1\"}"));
    check_error("{\"$ref\":\"#/definitions/none\"}", OLL_ERR_FORMAT, "#/$ref");
    check_error("{\"$ref\":\"http://x.y/z\"}", OLL_ERR_FORMAT, "unresolvable");
    check_error("{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}},"
                "\"$ref\":\"#/$defs/a\"}",
                OLL_ERR_UNSUPPORTED, "circular");
}

TEST(negations)
{
    check_texts("{\"properties\":{\"a\":{},\"b\":{}},\"not\":{\"required\":[\"a\"]}}", false,
                TEXTS("+{}", "+{\"b\":1}", "-{\"a\":1}"));
    check_texts("{\"properties\":{\"a\":{},\"b\":{}},\"dependentRequired\":{\"a\":[\"b\"]}}", false,
                TEXTS("+{\"b\":0}", "+{\"a\":0,\"b\":0}", "-{\"a\":0}", "+{}"));
    check_texts("{\"type\":\"string\",\"not\":{\"pattern\":\"^a\"}}", false,
                TEXTS("+\"ba\"", "-\"ab\"", "+\"\""));
    check_texts("{\"type\":\"integer\",\"not\":{\"enum\":[3,4]}}", false,
                TEXTS("+2", "-3", "-4", "+34", "+30"));
    check_texts("{\"not\":{\"type\":[\"object\",\"array\",\"string\"]}}", false,
                TEXTS("+1", "+null", "-\"a\"", "-{}"));
    check_texts("{\"type\":\"number\",\"not\":{\"type\":\"integer\"}}", false,
                TEXTS("+1.5", "-1", "-1.0", "-1e3"));
    check_texts("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"not\":"
                "{\"properties\":{\"a\":{\"maximum\":5}}}}",
                false, TEXTS("+{\"a\":6}", "-{\"a\":5}", "-{}"));
}

TEST(one_of)
{
    const char *kinds =
        "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},"
        "\"x\":{\"type\":\"integer\"}},\"required\":[\"k\",\"x\"]},{\"type\":\"object\","
        "\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"]}]}";
    check_texts(kinds, false,
                TEXTS("+{\"k\":\"a\",\"x\":1}", "+{\"k\":\"b\"}", "-{\"k\":\"a\"}",
                      "-{\"k\":\"b\",\"x\":1}"));
    check_texts("{\"oneOf\":[{\"multipleOf\":3},{\"multipleOf\":5}],\"type\":\"integer\"}", false,
                TEXTS("+3", "+5", "-15", "-7", "-0"));
    check_texts("{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"oneOf\":[{\"required\":"
                "[\"a\"]},{\"required\":[\"b\"]}]}",
                false, TEXTS("+{\"a\":1}", "+{\"b\":1}", "-{\"a\":1,\"b\":1}", "-{}"));
    check_texts("{\"anyOf\":[{\"type\":\"string\",\"maxLength\":1},{\"type\":\"null\"}]}", false,
                TEXTS("+\"a\"", "+null", "-\"ab\"", "-1"));
    check_texts("{\"if\":{\"properties\":{\"t\":{\"const\":1}},\"required\":[\"t\"]},\"then\":"
                "{\"required\":[\"u\"]},\"properties\":{\"t\":{\"type\":\"integer\"},\"u\":{}}}",
                false, TEXTS("-{\"t\":1}", "+{\"t\":1,\"u\":0}", "+{\"t\":2}", "+{}"));
}

/* Not everyone enforces formats, so they tell branches apart only where nothing else does. */
TEST(one_of_formats)
{
    check_texts("{\"oneOf\":[{\"type\":\"string\",\"format\":\"uri\"},{\"type\":\"string\","
                "\"pattern\":\"^[^/]*$\"}]}",
                false, TEXTS("+\"http://a/b\"", "-\"a:b\"", "-\"][\""));
    check_texts("{\"oneOf\":[{\"type\":\"string\",\"format\":\"ipv4\"},{\"type\":\"string\","
                "\"format\":\"ipv6\"},{\"type\":\"null\"}]}",
                false, TEXTS("+\"1.2.3.4\"", "+\"::1\"", "-\"a\"", "+null"));
}

TEST(unnamed_members)
{
    check_texts(
        "{\"type\":\"object\",\"properties\":{\"ab\":{\"const\":1}},\"additionalProperties\":"
        "{\"type\":\"string\"}}",
        false,
        TEXTS("+{\"ab\":1,\"c\":\"x\"}", "-{\"ab\":\"x\"}", "+{\"a\":\"x\",\"abc\":\"y\"}",
              "-{\"c\":1}", "-{\"c\":\"\",\"ab\":1}"));
    check_texts("{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"const\":1},\"y$\":"
                "{\"type\":\"integer\"}},\"additionalProperties\":false}",
                false,
                TEXTS("+{\"x\":1}", "+{\"ay\":7}", "+{\"xy\":1}", "-{\"xy\":2}", "-{\"a\":1}"));
    check_texts(
        "{\"type\":\"object\",\"propertyNames\":{\"maxLength\":2},\"properties\":{\"abc\":{}}}",
        false, TEXTS("+{\"ab\":1}", "-{\"abc\":1}", "-{\"abd\":1}"));
    check_texts(
        "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"minProperties\":2,"
        "\"maxProperties\":2}",
        false,
        TEXTS("-{}", "-{\"a\":1}", "+{\"a\":1,\"c\":1}", "+{\"b\":1,\"c\":1}",
              "-{\"a\":1,\"b\":1,\"c\":1}", "-{\"c\":1}"));
    check_texts("{\"type\":\"object\",\"required\":[\"q\\\"\\u0001\"]}", false,
                TEXTS("+{\"q\\\"\\u0001\":1}", "-{}", "+{\"q\\\"\\u0001\": 1, \"r\": 2}"));
}

TEST(what_is_left_over)
{
    check_texts("{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}}},{"
                "\"$ref\":\"#/$defs/"
                "b\"}],\"unevaluatedProperties\":false,\"$defs\":{\"b\":{\"patternProperties\":{\"^"
                "x\":{\"type\":\"null\"}}}}}",
                false,
                TEXTS("+{\"a\":1,\"x1\":null}", "+{}", "-{\"a\":1,\"b\":2}", "-{\"a\":\"s\"}",
                      "-{\"x\":1}"));
    check_texts("{\"type\":\"object\",\"anyOf\":[{\"properties\":{\"k\":{\"const\":1},\"a\":{}},"
                "\"required\":[\"k\"]},{\"properties\":{\"k\":{\"const\":2},\"b\":{}},\"required\":"
                "[\"k\"]}],\"unevaluatedProperties\":{\"type\":\"integer\"}}",
                true,
                TEXTS("+{\"k\":1,\"a\":\"x\"}", "+{\"k\":2,\"b\":\"x\"}", "-{\"k\":1,\"b\":\"x\"}",
                      "+{\"k\":1,\"b\":5}"));
    check_texts("{\"allOf\":[{\"properties\":{\"a\":{}},\"unevaluatedProperties\":false},{"
                "\"properties\":{\"b\":{}}}],\"type\":\"object\"}",
                true, TEXTS("+{\"a\":1}", "-{\"b\":1}", "+{}"));
    check_texts("{\"type\":\"object\",\"additionalProperties\":true,\"properties\":{\"a\":{}},"
                "\"unevaluatedProperties\":false}",
                true, TEXTS("+{\"z\":1}"));
    check_texts("{\"type\":\"object\",\"if\":{\"properties\":{\"a\":{\"const\":1}},\"required\":["
                "\"a\"]},\"then\":{\"properties\":{\"b\":{}}},\"unevaluatedProperties\":false}",
                true, TEXTS("+{\"a\":1,\"b\":2}", "-{\"a\":2}", "-{\"b\":2}", "+{}"));
    check_texts("{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"allOf\":[{"
                "\"prefixItems\":[true,{\"type\":\"string\"}]}],\"unevaluatedItems\":false}",
                true, TEXTS("+[1,\"x\"]", "+[1]", "-[1,\"x\",2]", "-[1,2]"));
    check_texts("{\"type\":\"array\",\"allOf\":[{\"items\":{\"type\":\"integer\"}}],"
                "\"unevaluatedItems\":false}",
                true, TEXTS("+[1,2]"));
}

TEST(errors_name_the_place)
{
    check_error("{\"properties\":{\"tags\":{\"type\":\"array\",\"uniqueItems\":true,\"items\":"
                "{\"type\":\"object\"}}}}",
                OLL_ERR_UNSUPPORTED,
                "unsupported JSON schema: \"uniqueItems\" at #/properties/tags");
    check_error("{\"properties\":{\"a/b\":{\"pattern\":\"(\"}}}", OLL_ERR_FORMAT,
                "at #/properties/a~1b/pattern");
    check_error("{\"type\":\"any\"}", OLL_ERR_FORMAT, "Unrecognized schema");
    check_error("{\"properties\":{\"a\":{\"pattern\":\"(?<=a)b\"}}}", OLL_ERR_UNSUPPORTED,
                "look-behind");
    check_error("{\"minLength\":-1}", OLL_ERR_FORMAT, "at #/minLength");
    check_error("{\"required\":true}", OLL_ERR_FORMAT, "at #/required");
    check_error("[1]", OLL_ERR_FORMAT, "object or a boolean");
    check_error("{", OLL_ERR_FORMAT, "unexpected EOF");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
