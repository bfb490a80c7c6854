#include "server/duration.h"
#include "tests/testing.h"

TEST(formats_like_go)
{
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {1500, "1.5\xC2\xB5s"},
        {439038000, "439.038ms"},
        {999999999, "999.999999ms"},
        {1000000000, "1s"},
        {4648158584, "4.648158584s"},
        {62500000000, "1m2.5s"},
        {3603000000000, "1h0m3s"},
        {-1500000000, "-1.5s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[DURATION_TEXT_MAX];
        duration_format(cases[i].ns, text);
        CHECK_STR(text, cases[i].text);
    }
}

TEST(parses_like_go)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"5m", 300000000000},
                {"1h30m", 5400000000000},
                {"-1s", -1000000000},
                {"1.5ms", 1500000},
                {"0", 0},
                {"+2us", 2000},
                {".5s", 500000000},
                {"1m0.25s", 60250000000}};
    static const char *const bad[] = {"",    "5",    "-1", "s",         "1x",  "1 s",
                                      "1s ", "--1s", ".s", "99999999h", "1e3s"};
    int64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_MSG(duration_parse(good[i].text, &ns), "%s", good[i].text);
        CHECK_EQ(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_MSG(!duration_parse(bad[i], &ns), "\"%s\"", bad[i]);
}

static const char *explain(const char *text)
{
    static char out[128];
    duration_explain(text, out, sizeof out);
    return out;
}

TEST(says_what_is_wrong)
{
    CHECK_STR(explain("60"), "time: missing unit in duration \"60\"");
    CHECK_STR(explain("-1"), "time: missing unit in duration \"-1\"");
    CHECK_STR(explain("1h5"), "time: missing unit in duration \"1h5\"");
    CHECK_STR(explain("1d"), "time: unknown unit \"d\" in duration \"1d\"");
    CHECK_STR(explain("1.5hours"), "time: unknown unit \"hours\" in duration \"1.5hours\"");
    CHECK_STR(explain("abc"), "time: invalid duration \"abc\"");
    CHECK_STR(explain(""), "time: invalid duration \"\"");
    CHECK_STR(explain("-"), "time: invalid duration \"-\"");
    CHECK_STR(explain("."), "time: invalid duration \".\"");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
