/* Modelfiles: grammar, quoting, error texts, encodings, values, and the way back. */
#include "engine/base/mem.h"
#include "registry/modelfile.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static struct oll_arena arena;
static struct oll_error err;

static struct oll_modelfile parse_bytes(const char *text, size_t n)
{
    struct oll_modelfile file = {0};
    oll_arena_reset(&arena);
    err = (struct oll_error){0};
    oll_status status = oll_modelfile_parse(&arena, text, n, &file, &err);
    CHECK_EQ(status, err.status);
    return file;
}

static struct oll_modelfile parse(const char *text) { return parse_bytes(text, strlen(text)); }

/* Value of the first command behind "FROM m". */
static const char *value_of(const char *command)
{
    char text[512];
    snprintf(text, sizeof text, "FROM m\n%s", command);
    struct oll_modelfile file = parse(text);
    if (err.status != OLL_OK)
        return err.text;
    return file.n_commands > 1 ? file.commands[1].value : "(none)";
}

TEST(commands_are_read_in_order)
{
    struct oll_modelfile f = parse("# comment\n\n  from tiny\nPARAMETER  stop \"x y \"\r\n"
                                   "MeSSage user hi # no comment\n\tSYSTEM   Be short.  \n");
    CHECK_EQ(err.status, OLL_OK);
    if (f.n_commands != 4) {
        CHECK_EQ(f.n_commands, 4);
        return;
    }
    CHECK_EQ(f.commands[0].word, OLL_MODELFILE_FROM);
    CHECK_STR(f.commands[0].value, "tiny");
    CHECK(!f.commands[0].name);
    CHECK_EQ(f.commands[1].word, OLL_MODELFILE_PARAMETER);
    CHECK_STR(f.commands[1].name, "stop");
    CHECK_STR(f.commands[1].value, "x y ");
    CHECK_EQ(f.commands[2].word, OLL_MODELFILE_MESSAGE);
    CHECK_STR(f.commands[2].name, "user");
    CHECK_STR(f.commands[2].value, "hi # no comment");
    CHECK_STR(f.commands[3].value, "Be short.");
}

TEST(values_end_where_their_quotes_do)
{
    CHECK_STR(value_of("SYSTEM \"\"\"a\nb\n\"\"\"\n"), "a\nb\n");
    CHECK_STR(value_of("SYSTEM \"\"\"\na\"\"\" \t\n"), "\na");
    CHECK_STR(value_of("SYSTEM \"a \"b\" c\"\n"), "a \"b\" c");
    CHECK_STR(value_of("SYSTEM \"a\nb\"\n"), "a\nb");
    CHECK_STR(value_of("SYSTEM \"a\" b\nc\"\n"), "a\" b\nc");
    CHECK_STR(value_of("SYSTEM 'a'\n"), "'a'");
    CHECK_STR(value_of("SYSTEM \"\"\n"), "");
    CHECK_STR(value_of("SYSTEM \"\"\"\"\"\"\n"), "");
    CHECK_STR(value_of("SYSTEM \"\"\"x\"\"\""), "x");
    CHECK_STR(value_of("SYSTEM say \"hi\""), "say \"hi\"");
    CHECK_STR(value_of("SYSTEM a\\n"), "a\\n");
    CHECK_STR(value_of("SYSTEM \xe3\x80\x80\xc2\xa0z"), "\xe3\x80\x80\xc2\xa0z");
    CHECK_STR(value_of("SYSTEM \nLICENSE x\n"), "");
}

TEST(errors_have_their_texts)
{
    static const char command[] =
        "command must be one of \"from\", \"license\", \"template\", \"system\", \"adapter\", "
        "\"draft\", \"renderer\", \"parser\", \"parameter\", \"message\", or \"requires\"";
    static const char role[] = "message role must be one of \"system\", \"user\", or \"assistant\"";
    static const struct {
        const char *text, *expected;
        int line;
    } cases[] = {
        {"FORM tiny\n", command, 1},
        {"FROM m\r\n\r\nFROM3 x\n", command, 3},
        {"FROM\n", command, 2},
        {"FROM m\nSYSTEM\"x\"\n", command, 2},
        {"FROM tiny\nMESSAGE User hi\n", role, 2},
        {"MESSAGE u-ser hi\n", role, 1},
        {"FROM m\nPARAMETER x\n", "unexpected EOF: x", 0},
        {"FROM m\nMESSAGE user\n", "unexpected EOF: user", 0},
        {"FROM m\nMESSAGE user", "unexpected EOF", 0},
        {"FROM m\nPARAMETER", "unexpected EOF", 0},
        {"FROM m\nPARAMETER seed ", "unexpected EOF", 0},
        {"FROM m\nSYSTEM \"\"\"a", "unexpected EOF", 0},
        {"FROM m\nSYSTEM \"", "unexpected EOF", 0},
        {"FROM m\nSYSTEM \"\"\"\"\"", "unexpected EOF", 0},
        {"SYSTEM x\n", "no FROM line", 0},
        {"", "no FROM line", 0},
        {"# FROM x", "no FROM line", 0},
        {"PARAMETER a-b 1\n", "the name of a parameter is made of letters, digits and \"_\"", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[512];
        if (cases[i].line)
            snprintf(expected, sizeof expected, "(line %d): %s", cases[i].line, cases[i].expected);
        else
            snprintf(expected, sizeof expected, "%s", cases[i].expected);
        parse(cases[i].text);
        CHECK_STR(err.text, expected);
    }
}

TEST(encodings_are_told_by_their_mark)
{
    static const char le[] = "\xff\xfe"
                             "F\0R\0O\0M\0 \0\x3d\xd8\x00\xde\n\0";
    static const char be[] = "\xfe\xff\0F\0R\0O\0M\0 \0x\0\0\0y";
    struct oll_modelfile f = parse_bytes(le, sizeof le - 1);
    CHECK_EQ(f.n_commands, 1);
    CHECK_STR(f.n_commands ? f.commands[0].value : err.text, "\xf0\x9f\x98\x80");
    f = parse_bytes(be, sizeof be - 1);
    CHECK_STR(f.n_commands ? f.commands[0].value : err.text, "xy");
    f = parse("\xef\xbb\xbf"
              "FROM x");
    CHECK_STR(f.n_commands ? f.commands[0].value : err.text, "x");
    f = parse_bytes("FROM x\0y\n", 9);
    CHECK_STR(f.n_commands ? f.commands[0].value : err.text, "xy");
    f = parse_bytes("\xff\xfe\0\xd8"
                    "F",
                    5);
    CHECK_EQ(f.n_commands, 0);
}

TEST(what_is_printed_is_read_back)
{
    static const struct {
        const char *value, *line;
    } cases[] = {
        {"<|eot_id|>", "PARAMETER stop <|eot_id|>\n"},
        {"x y ", "PARAMETER stop \"x y \"\n"},
        {" x", "PARAMETER stop \" x\"\n"},
        {"\tx", "PARAMETER stop \"\tx\"\n"},
        {"a\nb", "PARAMETER stop \"a\nb\"\n"},
        {"a\n\"b\"", "PARAMETER stop \"\"\"a\n\"b\"\"\"\"\n"},
        {"\"", "PARAMETER stop \"\"\"\"\"\"\"\n"},
        {"say \"hi\"", "PARAMETER stop say \"hi\"\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct oll_strbuf sb;
        oll_strbuf_init(&sb, 4096);
        oll_modelfile_print(&sb, OLL_MODELFILE_PARAMETER, "stop", cases[i].value);
        CHECK_STR(sb.data, cases[i].line);
        CHECK_STR(value_of(sb.data), cases[i].value);
        oll_strbuf_free(&sb);
    }
}

static const char *json_of(const char *name, const char *value)
{
    static char out[OLL_ERROR_TEXT_MAX];
    struct oll_strbuf sb;
    struct oll_json_writer w;
    struct oll_error why = {0};
    oll_strbuf_init(&sb, 4096);
    oll_json_write_init(&w, &sb);
    oll_status status = oll_modelfile_param_write(oll_modelfile_param_kind(name), value, &w, &why);
    snprintf(out, sizeof out, "%s", status == OLL_OK ? sb.data : why.text);
    oll_strbuf_free(&sb);
    return out;
}

TEST(parameters_have_their_types)
{
    CHECK_STR(json_of("seed", "42"), "42");
    CHECK_STR(json_of("num_predict", "-1"), "-1");
    CHECK_STR(json_of("seed", "9223372036854775807"), "9223372036854775807");
    CHECK_STR(json_of("seed", "9223372036854775808"), "invalid int value [9223372036854775808]");
    CHECK_STR(json_of("seed", "abc"), "invalid int value [abc]");
    CHECK_STR(json_of("seed", "1.0"), "invalid int value [1.0]");
    CHECK_STR(json_of("seed", " 1"), "invalid int value [ 1]");
    CHECK_STR(json_of("temperature", "0.7"), "0.7");
    CHECK_STR(json_of("temperature", "0.123456789"), "0.12345679");
    CHECK_STR(json_of("temperature", "hot"), "invalid float value [hot]");
    CHECK_STR(json_of("temperature", "nan"), "invalid float value [nan]");
    CHECK_STR(json_of("use_mmap", "T"), "true");
    CHECK_STR(json_of("use_mmap", "False"), "false");
    CHECK_STR(json_of("use_mmap", "maybe"), "invalid bool value [maybe]");
    CHECK_STR(json_of("stop", "<a>"), "\"\\u003ca\\u003e\"");
    CHECK_EQ(oll_modelfile_param_kind("mirostat"), OLL_PARAM_DEPRECATED);
    CHECK_EQ(oll_modelfile_param_kind("Seed"), OLL_PARAM_UNKNOWN);
}

TEST(versions_are_semantic)
{
    static const char *const good[] = {"0.14.0", "1", "1.2", "1.2.3-rc.1+b.01", "1.0.0+x"};
    static const char *const bad[] = {"",         "abc",      "v1.2.3", "1.2.3.4", "01.2.3",
                                      "1.2.3-1.", "1.2.3-01", "1.",     "1.2.3 ",  "1.2.3-"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_MSG(oll_modelfile_version_valid(good[i]), "%s is a version", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_MSG(!oll_modelfile_version_valid(bad[i]), "%s is no version", bad[i]);
}

TEST(sizes_are_bounded)
{
    size_t n = (size_t)OLL_MODELFILE_BYTES_MAX + 1;
    char *text = oll_alloc(n, 1);
    OLL_ASSERT(text);
    memset(text, '\n', n);
    parse_bytes(text, n);
    CHECK_EQ(err.status, OLL_ERR_LIMIT);
    /* A quote that never closes is looked at once, not once per line. */
    memcpy(text, "FROM \"x", 7);
    parse_bytes(text, n - 1);
    CHECK_STR(err.text, "unexpected EOF");
    oll_free(text);
}

int main(int argc, char **argv)
{
    oll_arena_init(&arena, 64 << 20);
    int rc = testing_main(argc, argv);
    oll_arena_free(&arena);
    return rc;
}
