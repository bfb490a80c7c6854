#include "server/cli_columns.h"
#include "server/cli_progress.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

TEST(bar_has_its_parts_in_fixed_columns)
{
    char text[CLI_PROGRESS_LINE_MAX];
    const struct cli_progress_numbers none = {253000000, 0, 0, false};
    cli_progress_bar_text("pulling abc:", &none, 80, text);
    CHECK_STR(text,
              "pulling abc:   0% ▕                          ▏    0 B/253 MB                  ");
    const struct cli_progress_numbers half = {253000000, 126500000, 1e6, false};
    cli_progress_bar_text("pulling abc:", &half, 80, text);
    CHECK_STR(text,
              "pulling abc:  50% ▕█████████████             ▏ 126 MB/253 MB    1 MB/s    2m6s");
    const struct cli_progress_numbers all = {253000000, 253000000, 1e6, true};
    cli_progress_bar_text("pulling abc:", &all, 80, text);
    CHECK_STR(text,
              "pulling abc: 100% ▕██████████████████████████▏ 253 MB                         ");
    const struct cli_progress_numbers long_time = {UINT64_MAX, 1, 1, false};
    cli_progress_bar_text("a", &long_time, 80, text);
    CHECK(strstr(text, "  99h+"));
}

TEST(cut_counts_columns_and_keeps_characters_whole)
{
    static const struct {
        const char *text;
        int columns;
        const char *cut;
    } cases[] = {
        {"pulling manifest", 16, "pulling manifest"},
        {"pulling manifest", 15, "pulling manife…"},
        {"東京東京", 8, "東京東京"},
        {"東京東京", 7, "東京東…"},
        {"東京東京", 6, "東京…"},
        {"gru\u0308n und blau", 5, "gru\u0308n…"},
        {"abc", 1, "…"},
        {"abc", 0, ""},
        {"abc", -5, ""},
        {"", 0, ""},
        {"", 3, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[CLI_PROGRESS_LINE_MAX];
        cli_progress_cut(cases[i].text, cases[i].columns, text, sizeof text);
        CHECK_STR(text, cases[i].cut);
        CHECK(cli_columns_width(text) <= (cases[i].columns > 0 ? cases[i].columns : 0));
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
