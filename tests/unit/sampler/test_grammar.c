/* The reader of GBNF and the walk over its grammars. */
#include "sampler/grammar_gbnf.h"

#include "sampler/grammar_machine.h"
#include "tests/testing.h"

#include <string.h>

static bool accepts(struct machine *m, const char *text)
{
    uint32_t state = m->start;
    for (; *text && state != MACHINE_DEAD; text++)
        state = machine_step(m, state, (uint8_t)*text);
    return state != MACHINE_DEAD && m->states[state].accepts;
}

/* Texts, each behind '+' when it must be accepted and '-' when not; NULL ends the list. */
static void check_texts(const char *grammar, const char *const *texts)
{
    struct grammar g;
    struct machine m;
    struct oll_error err = {0};
    CHECK_OK(grammar_init(&g));
    oll_status status = gbnf_read(&g, grammar, strlen(grammar), NULL, &err);
    CHECK_MSG(status == OLL_OK, "%s: %s", grammar, err.text);
    if (status == OLL_OK) {
        grammar_finish(&g);
        CHECK_OK(machine_init(&m, &g));
        for (; *texts; texts++)
            CHECK_MSG(accepts(&m, *texts + 1) == (**texts == '+'), "%s: %s", grammar, *texts);
        machine_free(&m);
    }
    grammar_free(&g);
}

#define TEXTS(...)                                                                                 \
    (const char *const[]) { __VA_ARGS__, NULL }

static void check_error(const char *grammar, const char *part)
{
    struct grammar g;
    struct oll_error err = {0};
    CHECK_OK(grammar_init(&g));
    oll_status status = gbnf_read(&g, grammar, strlen(grammar), NULL, &err);
    CHECK_MSG(status != OLL_OK && strstr(oll_error_text(&err), part), "%s: %s, expected %s",
              grammar, oll_error_text(&err), part);
    grammar_free(&g);
}

TEST(literals_and_escapes)
{
    check_texts("root ::= \"a\\n\\\"\\x41\\u00e9\\U0001F600\"",
                TEXTS("+a\n\"A\xc3\xa9\xf0\x9f\x98\x80", "-a", "-a\n\"A\xc3\xa9"));
    check_texts("root ::= [a-c] [^a-c] . [x\\]-]",
                TEXTS("+ad\xc3\xa9-", "+a\xc3\xa9\nx", "-aaax", "+ad ]", "-add"));
}

TEST(alternatives_and_groups)
{
    check_texts("root ::= \"a\" | (\"b\" |\n \"c\"\n) \"d\" |",
                TEXTS("+a", "+bd", "+cd", "+", "-b", "-ad"));
    check_texts("# comment\nroot ::=\n  x \"-\" x # more\n\nx ::= [0-9]+\n",
                TEXTS("+1-22", "-1-", "-1"));
    check_texts("root ::= \"a\"\r\nb ::= \"c\"\r\n", TEXTS("+a", "-c"));
}

TEST(repetitions)
{
    check_texts("root ::= \"ab\"*", TEXTS("+", "+ab", "+abab", "-aba"));
    check_texts("root ::= \"a\"{2,3} \"b\"{2} \"c\"{1,} \"d\"{0,1}",
                TEXTS("+aabbc", "+aaabbccd", "-abbc", "-aaaabbc", "-aabbbc", "-aabb"));
    check_texts("root ::= (\"a\"?)* \"b\"", TEXTS("+b", "+aab", "-a"));
    check_texts("root ::= (\"a\"?){3}", TEXTS("+", "+aaa", "-aaaa"));
    check_texts("root ::= [a-z]{2000}", TEXTS("-a"));
}

TEST(recursion)
{
    check_texts("root ::= \"(\" root \")\" | \"x\"", TEXTS("+x", "+((x))", "-((x)", "-()"));
    check_texts("root ::= list\nlist ::= \"a\" (\",\" list)?", TEXTS("+a", "+a,a,a", "-a,"));
}

TEST(characters_over_bytes)
{
    /* All characters of the class share their first byte with others outside it. */
    check_texts("root ::= [\xc3\xa9\xc3\xaa]+", TEXTS("+\xc3\xa9\xc3\xaa", "-\xc3\xab", "-\xc3"));
    check_texts("root ::= .",
                TEXTS("-\xed\xa0\x80", "-\xc0\x80", "-\xf4\x90\x80\x80", "+\xef\xbf\xbf", "-\xff"));
}

TEST(errors)
{
    check_error("root ::= a", "line 1: undefined rule \"a\"");
    check_error("a ::= \"x\"", "no rule \"root\"");
    check_error("root ::= root \"a\" | \"b\"", "left recursion");
    check_error("root ::= a? root \"b\"\na ::= \"x\"*", "left recursion");
    check_error("root ::= \"a", "not closed");
    check_error("root ::= [a", "not closed");
    check_error("root ::= (\"a\"", "not closed");
    check_error("root ::= \"a\" )", "end of the rule");
    check_error("root ::= \"\\q\"", "unknown escape");
    check_error("root ::= \"a\"{2001}", "larger than 2000");
    check_error("root ::= (\"a\"{50}){50}", "nested repetitions");
    check_error("root ::= \"a\"{3,2}", "wrong order");
    check_error("root ::= <think>", "tokens cannot be named");
    check_error("root ::= \"a\"\nroot ::= \"b\"", "twice");
    check_error("root \"a\"", "::=");
    check_error("", "no rule \"root\"");
}

/* Deeper than any C stack would like. */
TEST(long_chains_are_walked)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, 1 << 20);
    oll_strbuf_adds(&text, "root ::= r0\n");
    for (int i = 0; i < 5000; i++)
        oll_strbuf_printf(&text, "r%d ::= r%d\n", i, i + 1);
    oll_strbuf_adds(&text, "r5000 ::= \"a\"\n");
    check_texts(text.data, TEXTS("+a", "-b"));
    oll_strbuf_free(&text);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
