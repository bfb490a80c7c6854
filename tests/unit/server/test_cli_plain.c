#include "server/cli_plain.h"
#include "tests/testing.h"

static const char *plain(const char *text)
{
    static char copy[256];
    struct oll_strbuf out;
    oll_strbuf_init(&out, sizeof copy - 1);
    cli_plain_add(&out, text);
    snprintf(copy, sizeof copy, "%s", out.len > 0 ? out.data : "");
    oll_strbuf_free(&out);
    return copy;
}

TEST(text_stays_and_controls_show)
{
    CHECK_STR(plain(""), "");
    CHECK_STR(plain("grün 東京\n\tand on"), "grün 東京\n\tand on");
    CHECK_STR(plain("a\033[2Jb"), "a␛[2Jb");
    CHECK_STR(plain("\033]52;c;aGk=\a"), "␛]52;c;aGk=␇");
    CHECK_STR(plain("x\by\177z"), "x␈y␡z");
    CHECK_STR(plain("one\r\ntwo\rthree"), "one\ntwothree");
    CHECK_STR(plain("\xc2\x9b"
                    "2J\xc2\xa0"),
              "\xef\xbf\xbd"
              "2J\xc2\xa0");
    CHECK_STR(plain("\x9b"
                    "2J \xe6\x9d"),
              "\xef\xbf\xbd"
              "2J \xef\xbf\xbd\xef\xbf\xbd");
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
