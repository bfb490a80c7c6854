/* The Jinja engine alone: results of jinja2, refusals, limits, use from several threads. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/chat/jinja.h"
#include "tests/testing.h"
#include "tests/unit/chat/jinja_cases.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NOON = 1787313600 /* 21 August 2026, 12:00 UTC */, TEXT_MAX = 64 << 20 };

/* Parses and renders; the text or the error is in `out`. */
static oll_status render(const char *source, size_t n, const char *variables,
                         struct oll_strbuf *out)
{
    struct oll_error err = {0};
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct jinja_template *page = NULL;
    oll_strbuf_init(out, TEXT_MAX);
    oll_arena_init(&arena, TEXT_MAX);
    oll_status status = OLL_OK;
    if (variables)
        status = oll_json_parse(&arena, variables, strlen(variables), NULL, &root, &err);
    if (status == OLL_OK)
        status = oll_jinja_parse(source, n, &page, &err);
    if (status == OLL_OK)
        status = oll_jinja_render(page, root, NOON, out, &err);
    if (status != OLL_OK) {
        CHECK_EQ(out->len, 0);
        oll_strbuf_adds(out, err.text);
    }
    oll_jinja_free(page);
    oll_arena_free(&arena);
    return status;
}

TEST(templates_give_what_jinja2_gives)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct oll_strbuf out;
        const oll_status status =
            render(cases[i].source, strlen(cases[i].source), case_variables, &out);
        CHECK_MSG(status == OLL_OK && !strcmp(out.data, cases[i].expected),
                  "`%s`\ngot  `%s`\nwant `%s`", cases[i].source, out.data, cases[i].expected);
        oll_strbuf_free(&out);
    }
}

/* What strict engines refuse and many templates rely on. */
TEST(lenient_where_templates_need_it)
{
    static const char *const pairs[][2] = {
        {"{{ x.y.z }}|{{ x.y is defined }}|{{ x[0] }}|{{ x[1:] }}", "|False||"},
        {"{{ 'a' + x + 'b' }}|{{ x.y + 'c' }}", "ab|c"},
        {"{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}", "[1, 2]"},
        {"{% if false %}{{ 1 | nosuchfilter }}{% endif %}ok", "ok"},
        {"{{ -7 % 3.5 }} {{ 1 // 0.1 }} {{ 1 % 0.1 }} {{ -0.5 // 1 }} {{ 7.5 // -2 }}",
         "0.0 9.0 0.09999999999999995 -1.0 -4.0"},
        {"line\r\nend\r\n", "line\nend"},
        {"", ""},
        {"\n", ""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct oll_strbuf out;
        CHECK_OK(render(pairs[i][0], strlen(pairs[i][0]), NULL, &out));
        CHECK_STR(out.data, pairs[i][1]);
        oll_strbuf_free(&out);
    }
}

TEST(a_time_is_local_and_formatted)
{
    struct oll_strbuf out;
    const char source[] = "{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%B %d, %Y') }}";
    CHECK_OK(render(source, strlen(source), NULL, &out));
    CHECK_STR(out.data, "21 Aug 2026|August 21, 2026");
    oll_strbuf_free(&out);
}

TEST(refusals_say_what_and_where)
{
    static const struct {
        const char *source;
        oll_status status;
        const char *text;
    } refused[] = {
        {"{{ raise_exception('System role not supported') }}", OLL_ERR_ARG,
         "System role not supported (chat template, line 1)"},
        {"a\nb\n{{ 1 + 'x' }}", OLL_ERR_FORMAT, "line 3"},
        {"{% for x in y %}", OLL_ERR_FORMAT, "'endfor' is expected"},
        {"{% if x %}{% endfor %}", OLL_ERR_FORMAT, "unknown statement 'endfor'"},
        {"{{ x", OLL_ERR_FORMAT, "{{ is not closed"},
        {"{% if x", OLL_ERR_FORMAT, "{% is not closed"},
        {"{# x", OLL_ERR_FORMAT, "comment is not closed"},
        {"{% raw %}x", OLL_ERR_FORMAT, "raw"},
        {"{{ 'x }}", OLL_ERR_FORMAT, "string is not closed"},
        {"{{ (1] }}", OLL_ERR_FORMAT, "bracket"},
        {"{{ ) }}", OLL_ERR_FORMAT, "bracket"},
        {"{{ 1 2 }}", OLL_ERR_FORMAT, "'}}' expected"},
        {"{{ }}", OLL_ERR_FORMAT, "an expression is missing"},
        {"{{ x.  }}", OLL_ERR_FORMAT, "a name expected"},
        {"{{ x[] }}", OLL_ERR_FORMAT, "an index is missing"},
        {"{{ a $ b }}", OLL_ERR_FORMAT, "unexpected character"},
        {"{{ 99999999999999999999 }}", OLL_ERR_FORMAT, "too large"},
        {"{{ x | nosuch }}", OLL_ERR_FORMAT, "no filter named 'nosuch'"},
        {"{{ x is nosuch }}", OLL_ERR_FORMAT, "no test named 'nosuch'"},
        {"{% include 'x' %}", OLL_ERR_FORMAT, "unknown statement 'include'"},
        {"{% import 'x' as y %}", OLL_ERR_FORMAT, "unknown statement 'import'"},
        {"{% extends 'x' %}", OLL_ERR_FORMAT, "unknown statement 'extends'"},
        {"{% block x %}{% endblock %}", OLL_ERR_FORMAT, "unknown statement 'block'"},
        {"{% set 1 = 2 %}", OLL_ERR_FORMAT, "a name expected"},
        {"{% set true = 2 %}", OLL_ERR_FORMAT, "constant"},
        {"{% set x.y = 2 %}", OLL_ERR_FORMAT, "namespaces alone"},
        {"{{ f(a=1, 2) }}", OLL_ERR_FORMAT, "positional argument"},
        {"{{ nosuch() }}", OLL_ERR_FORMAT, "'nosuch' is undefined"},
        {"{{ 5() }}", OLL_ERR_FORMAT, "not callable"},
        {"{{ 1 / 0 }}", OLL_ERR_FORMAT, "division by zero"},
        {"{{ 1 % 0 }}", OLL_ERR_FORMAT, "division by zero"},
        {"{{ 9223372036854775806 + 5 }}", OLL_ERR_LIMIT, "64 bits"},
        {"{{ 4611686018427387904 * 4 }}", OLL_ERR_LIMIT, "64 bits"},
        {"{{ none < 1 }}", OLL_ERR_FORMAT, "in order"},
        {"{{ 1 in 5 }}", OLL_ERR_FORMAT, "not iterable"},
        {"{{ none | length }}", OLL_ERR_FORMAT, "len()"},
        {"{% for x in 5 %}{% endfor %}", OLL_ERR_FORMAT, "not iterable"},
        {"{% for a, b in [[1]] %}{% endfor %}", OLL_ERR_FORMAT, "1 values for 2 names"},
        {"{{ {[]: 1} }}", OLL_ERR_FORMAT, "unhashable"},
        {"{{ x | tojson }}", OLL_ERR_FORMAT, "not JSON serializable"},
        {"{{ 'a' % 1 }}", OLL_ERR_FORMAT, "not all arguments"},
        {"{{ '{}'.format() }}", OLL_ERR_FORMAT, "no argument"},
        {"{{ 'a'.split('') }}", OLL_ERR_FORMAT, "empty separator"},
        {"{{ '[' | from_json }}", OLL_ERR_FORMAT, "from_json"},
        {"{{ [1][::0] }}", OLL_ERR_FORMAT, "zero"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct oll_strbuf out;
        const oll_status status = render(refused[i].source, strlen(refused[i].source), NULL, &out);
        CHECK_MSG(status == refused[i].status && strstr(out.data, refused[i].text),
                  "`%s`: %s: `%s`", refused[i].source, oll_status_text(status), out.data);
        CHECK_MSG(strstr(out.data, "(chat template, line ") != NULL, "`%s`: no line: `%s`",
                  refused[i].source, out.data);
        oll_strbuf_free(&out);
    }
}

TEST(a_template_cannot_change_what_it_was_given)
{
    static const char *const sources[] = {
        "{% set _ = l.append(1) %}", "{% set _ = l.pop() %}", "{% set _ = d.update({'x': 1}) %}",
        "{% set _ = d.pop('a') %}", "{% set _ = l.extend([1]) %}"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct oll_strbuf out;
        CHECK_STATUS(
            render(sources[i], strlen(sources[i]), "{\"l\": [1], \"d\": {\"a\": 1}}", &out),
            OLL_ERR_DENIED);
        oll_strbuf_free(&out);
    }
}

/* ---- hostile templates ---- */

/* Each must end with an error, and soon; the bound leaves room for sanitizers. */
TEST(hostile_templates_end)
{
    static const char *const sources[] = {
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(1000) %}0123456789abcdef{% endfor %}{% "
        "endfor %}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor "
        "%}",
        "{{ 'x' * 10000000000 }}",
        "{{ [0] * 10000000000 }}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(0) }}",
        "{% macro f(n) %}{% for i in n %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f('abcdefghij') }}",
        "{% set l = [1] %}{% for i in l %}{% set _ = l.append(i) %}{% endfor %}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}",
        "{% set l = [] %}{% set k = [l] %}{% set _ = l.append(k) %}{{ l == k }}",
        "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}"
        "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
        "{{ range(1000000000) }}",
        "{% set s = 'a' * 8000000 %}{% set w = 'a' * 4000000 ~ 'b' %}{% for i in range(100000) %}"
        "{% set x = w in s %}{% endfor %}",
        "{% set s = ' ' * 8000000 %}{% for i in range(100000) %}{% set x = s.strip() %}{% endfor "
        "%}",
        "{% set s = 'A' * 8000000 %}{% for i in range(100000) %}{% set x = s.isupper() %}{% endfor "
        "%}",
        "{% set s = range(100000) | list %}{% for i in s %}{% set x = s | sort %}{% endfor %}",
        "{% for x in [[]] recursive %}{{ loop([x]) }}{% endfor %}",
        "{{ '%4000s' * 100000 % 1 }}",
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct oll_strbuf out;
        const uint64_t start = oll_clock_thread_ns();
        const oll_status status = render(sources[i], strlen(sources[i]), NULL, &out);
        const double ms = (double)(oll_clock_thread_ns() - start) / 1e6;
        CHECK_MSG(status == OLL_ERR_LIMIT || status == OLL_ERR_FORMAT, "`%s`: %s", sources[i],
                  oll_status_text(status));
        CHECK_MSG(ms < 2000, "`%s` took %.0f ms", sources[i], ms);
        oll_strbuf_free(&out);
    }
}

/* `what` as often as fits `n` bytes between two texts. */
static oll_status render_repeated(const char *before, const char *what, const char *behind,
                                  size_t n, struct oll_strbuf *out)
{
    struct oll_strbuf source;
    oll_strbuf_init(&source, TEXT_MAX);
    oll_strbuf_adds(&source, before);
    for (size_t i = 0; i < n / strlen(what); i++)
        oll_strbuf_adds(&source, what);
    oll_strbuf_adds(&source, behind);
    const oll_status status = render(source.data, source.len, NULL, out);
    oll_strbuf_free(&source);
    return status;
}

TEST(long_and_deep_sources_end)
{
    static const char *const parts[][3] = {
        {"{{ ", "(", " }}"},    {"{{ ", "[", " }}"},      {"{{ 1", "+1", " }}"},
        {"{{ x", ".a", " }}"},  {"{{ x", "|upper", "}}"}, {"{{ ", "not ", "1 }}"},
        {"{{ ", "-", "1 }}"},   {"", "{% if x %}", ""},   {"", "{% for a in b %}", ""},
        {"{{ x", "[0]", " }}"}, {"{{ x", "()", " }}"},    {"{{ ", "1 if 1 else ", "1 }}"},
        {"", "{{", ""},         {"", "{%", ""},           {"{% set ", "(", "x = 1 %}"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct oll_strbuf out;
        const oll_status status =
            render_repeated(parts[i][0], parts[i][1], parts[i][2], 500000, &out);
        CHECK_MSG(status == OLL_ERR_FORMAT || status == OLL_ERR_LIMIT, "%s...: %s", parts[i][1],
                  oll_status_text(status));
        oll_strbuf_free(&out);
    }
    struct oll_strbuf out;
    CHECK_STATUS(render_repeated("", "x", "", (1 << 20) + 1, &out), OLL_ERR_LIMIT);
    oll_strbuf_free(&out);
    CHECK_OK(render_repeated("", "x", "", 1 << 20, &out));
    CHECK_EQ(out.len, 1 << 20);
    oll_strbuf_free(&out);
}

/* Text built piece by piece takes linear time and memory: 20,000 pieces make 2 MB. */
TEST(text_may_be_built_piece_by_piece)
{
    const char source[] = "{% set n = namespace(s='') %}{% for i in range(20000) %}"
                          "{% set n.s = n.s + 'x' * 100 %}{% endfor %}{{ n.s | length }}";
    struct oll_strbuf out;
    CHECK_OK(render(source, strlen(source), NULL, &out));
    CHECK_STR(out.data, "2000000");
    oll_strbuf_free(&out);
    /* What was appended to must keep its own value. */
    const char shared[] = "{% set a = 'x' * 600 + 'y' %}{% set b = a + 'b' %}{% set c = a + 'c' %}"
                          "{{ b[-2:] }}{{ c[-2:] }}{{ a[-1] }}{{ (b + 'q')[-2:] }}{{ b[-1] }}";
    CHECK_OK(render(shared, strlen(shared), NULL, &out));
    CHECK_STR(out.data, "ybycybqb");
    oll_strbuf_free(&out);
}

/* ---- threads ---- */

static void *render_often(void *arg)
{
    const struct jinja_template *page = arg;
    struct oll_strbuf out;
    oll_strbuf_init(&out, TEXT_MAX);
    for (int i = 0; i < 200; i++) {
        oll_strbuf_clear(&out);
        if (oll_jinja_render(page, NULL, NOON, &out, NULL) != OLL_OK ||
            strcmp(out.data, "[éa][éb]3 [1, 2]"))
            return arg;
    }
    oll_strbuf_free(&out);
    return NULL;
}

TEST(one_template_serves_many_threads)
{
    const char source[] =
        "{% macro f(x, y='é') %}[{{ y + x }}]{% endmacro %}{{ f('a') }}{{ f('b') }}"
        "{{ 'abé' | length }} {% set l = [1] %}{% set _ = l.append(2) %}{{ l }}";
    pthread_t threads[4];
    struct jinja_template *page = NULL;
    CHECK_OK(oll_jinja_parse(source, strlen(source), &page, NULL));
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, render_often, page) == 0);
    for (int i = 0; i < 4; i++) {
        void *failed = page;
        pthread_join(threads[i], &failed);
        CHECK(failed == NULL);
    }
    oll_jinja_free(page);
}

int main(int argc, char **argv)
{
    setenv("TZ", "UTC", 1);
    return testing_main(argc, argv);
}
