#include "bench/bench_list.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

/* The list as text, or the error. */
static const char *parse(const char *text, uint32_t min, uint32_t max)
{
    static char out[1024];
    struct oll_error err = {0};
    struct bench_list list = {0};
    if (bench_list_add(&list, text, min, max, &err) != OLL_OK) {
        CHECK_EQ(list.n, 0);
        snprintf(out, sizeof out, "%s", err.text);
        return out;
    }
    out[0] = '\0';
    for (uint32_t i = 0; i < list.n; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%u", i ? " " : "", list.values[i]);
    return out;
}

TEST(numbers_and_ranges)
{
    CHECK_STR(parse("512", 0, 1000), "512");
    CHECK_STR(parse("1,2,4", 0, 1000), "1 2 4");
    CHECK_STR(parse("1-4", 0, 1000), "1 2 3 4");
    CHECK_STR(parse("0-4096+2048", 0, 10000), "0 2048 4096");
    CHECK_STR(parse("1-16*2", 0, 1000), "1 2 4 8 16");
    CHECK_STR(parse("7,1-10*3,7", 0, 1000), "7 1 3 9 7");
    CHECK_STR(parse("5-5", 0, 1000), "5");
}

TEST(bad_text)
{
    const char *usage = "expected numbers and ranges like 1,2,4 or 1-4 or 0-64+16 or 1-16*2";
    static const char *const bad[] = {"",     ",",    "1,",   ",1",    "a",    "1a",  "-1",
                                      "1--2", "1-2+", "1-2*", "1-2-3", "1 ,2", "1+2", "0x10"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_STR(parse(bad[i], 0, 1000), usage);
    CHECK_STR(parse("5-1", 0, 1000), "the range from 5 to 1 is empty");
    CHECK_STR(parse("0-8+0", 0, 1000), "a range with this step never ends");
    CHECK_STR(parse("1-8*1", 0, 1000), "a range with this step never ends");
    CHECK_STR(parse("0-8*2", 0, 1000), "a range with this step never ends");
    CHECK_STR(parse("1001", 1, 1000), "expected numbers from 1 to 1000");
    CHECK_STR(parse("0", 1, 1000), "expected numbers from 1 to 1000");
    CHECK_STR(parse("99999999999999999999999", 1, UINT32_MAX),
              "expected numbers from 1 to 4294967295");
    CHECK_STR(parse("1-1000", 1, 1000), "more than 128 numbers");
}

TEST(appending)
{
    struct bench_list list = {0};
    CHECK_OK(bench_list_add(&list, "1,2", 0, 9, NULL));
    CHECK_STATUS(bench_list_add(&list, "3,x", 0, 9, NULL), OLL_ERR_ARG);
    CHECK_OK(bench_list_add(&list, "4", 0, 9, NULL));
    CHECK_EQ(list.n, 3);
    CHECK_EQ(list.values[2], 4);
}

TEST(pairs)
{
    struct bench_list a = {0}, b = {0};
    CHECK_OK(bench_list_add_pair(&a, &b, "512,128", 1000, NULL));
    CHECK_EQ(a.values[0], 512);
    CHECK_EQ(b.values[0], 128);
    static const char *const bad[] = {"", "512", "512,", ",5", "0,5", "5,0", "1,2,3", "1001,1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_STATUS(bench_list_add_pair(&a, &b, bad[i], 1000, NULL), OLL_ERR_ARG);
    CHECK_EQ(a.n, 1);
    CHECK_EQ(b.n, 1);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
