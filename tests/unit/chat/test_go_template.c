/* Modes, data and facts of Go templates: one line of input, one line of output. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/chat/capabilities.h"
#include "engine/chat/collate.h"
#include "engine/chat/go_template.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MEMORY_MAX = 64 << 20 };

/* A prefix that makes a template render messages. */
#define M "{{range .Messages}}{{end}}"

static char rendered[1 << 16];

/* The prompt or the error text of a template on a conversation in JSON; NULL: `input` has all. */
static const char *render_input(const char *text, const char *json, struct go_template_input input)
{
    struct oll_arena arena;
    struct oll_strbuf out;
    struct oll_error err = {0};
    struct oll_json *root = NULL;
    struct chat_conversation c;
    struct go_template *t = NULL;
    oll_arena_init(&arena, MEMORY_MAX);
    oll_strbuf_init(&out, sizeof rendered - 1);
    if (json) {
        CHECK_OK(oll_json_parse(&arena, json, strlen(json), NULL, &root, &err));
        CHECK_OK(chat_conversation_from_json(&arena, root, &c, &err));
        input.conversation = &c;
    }
    oll_status status = go_template_parse(text, strlen(text), &t, &err);
    if (status == OLL_OK)
        status = go_template_render(t, &input, &out, &err);
    const char *result = status == OLL_OK ? out.data : err.text;
    memcpy(rendered, result, strlen(result) + 1);
    go_template_free(t);
    oll_strbuf_free(&out);
    oll_arena_free(&arena);
    return rendered;
}

static const char *render(const char *text, const char *json)
{
    return render_input(text, json, (struct go_template_input){0});
}

#define S(c)     "{\"role\":\"system\",\"content\":\"" c "\"}"
#define U(c)     "{\"role\":\"user\",\"content\":\"" c "\"}"
#define A(c)     "{\"role\":\"assistant\",\"content\":\"" c "\"}"
#define T(c)     "{\"role\":\"tool\",\"content\":\"" c "\"}"
#define ON(list) "{\"messages\":[" list "]}"

/* ---- modes ---- */

#define TURNS "{{if .System}}S:{{.System}} {{end}}U:{{.Prompt}} A:{{.Response}}; "

TEST(legacy_templates_run_once_for_each_turn)
{
    CHECK_STR(render(TURNS, ON(S("s") "," U("a") "," A("b") "," U("c"))), "S:s U:a A:b; U:c A:");
    CHECK_STR(render("{{ .Prompt }}", ON(S("s") "," U("a") "," A("b") "," U("c"))), "abc");
    CHECK_STR(render(TURNS, ON(U("a") "," T("t") "," U("c"))), "U:c A:");
    CHECK_STR(render(TURNS, ON(U("a") "," S("s") "," U("b"))), "U:a A:; S:s U:b A:");
    CHECK_STR(render(TURNS, ON(U("a") "," A("b") "," S("s") "," U("c"))), "U:a A:b; S:s U:c A:");
    CHECK_STR(render(TURNS, "{}"), "U: A:");
}

TEST(the_last_turn_is_cut_behind_the_response)
{
    CHECK_STR(render(TURNS, ON(U("a") "," A("b"))), "U:a A:b");
    CHECK_STR(render("{{ .Prompt }}|{{ .Response | printf \"%s\" }} tail",
                     ON(U("u1") "," A("a1") "," U("u2"))),
              "u1|a1 tailu2|");
    CHECK_STR(
        render("{{if .Prompt}}<{{.Response}}>{{.Prompt}}{{else}}none{{end}} tail", ON(U("a"))),
        "<");
    CHECK_STR(render("{{if .Prompt}}<{{.Response}}>{{else}}none{{end}} tail", "{}"), "");
    CHECK_STR(render("{{if .Response}}R{{end}}{{.Prompt}} tail", ON(U("a"))), "a tail");
    CHECK_STR(render("{{with .Response}}[{{.}}]{{end}} tail", ON(A("b"))), "[b] tail");
    CHECK_STR(render("{{$.Response}} tail", ON(A("b"))), "b tail");
    CHECK_STR(render("{{print .Response .Prompt}} tail", ON(U("a") "," A("b"))), "b");
    CHECK_STR(render("{{print (print .Response \"x\") \"y\"}} tail", ON(A("b"))), "b");
    CHECK_STR(render("{{json .Prompt}}{{define \"t\"}}!{{end}}{{template \"t\" .}}", ON(U("a"))),
              "\"a\"!");
}

TEST(messages_are_collated)
{
    CHECK_STR(render("{{range .Messages}}{{.Role}}={{.Content}};{{end}}|{{.System}}",
                     ON(S("x") "," S("y") "," U("a") "," U("b") "," T("1") "," T("2"))),
              "system=x\n\ny;user=a\n\nb;tool=1;tool=2;|x\n\ny");
    CHECK_STR(render("{{range .Messages}}{{.Role}} {{end}}|{{.System}}",
                     ON(S("x") "," U("a") "," S("") "," S("z"))),
              "system user system |x\n\n\n\nz");
}

TEST(a_suffix_is_filled_in)
{
    const char *text =
        "{{- if .Suffix }}<P>{{ .Prompt }}<S>{{ .Suffix }}<M>{{ else }}{{ .Prompt }}{{ end }}";
    struct go_template_input input = {.prompt = "p", .suffix = "s", .system = "x"};
    CHECK_STR(render_input(text, NULL, input), "<P>p<S>s<M>");
    CHECK_STR(render_input(M "{{.System}}{{.Suffix}}", NULL, input), "<no value>s");
    input.suffix = "";
    CHECK_STR(render_input(text, NULL, input), "p");
    input = (struct go_template_input){.prompt = "p", .system = "x", .response = "r"};
    CHECK_STR(render_input(TURNS, NULL, input), "S:x U:p A:r");
    CHECK_STR(render_input("{{range .Messages}}{{.Role}}:{{.Content}} {{end}}", NULL, input),
              "system:x user:p assistant:r ");
}

/* ---- data ---- */

TEST(think_has_three_variables)
{
    const char *text = M "{{.Think}} {{.ThinkLevel}} {{.IsThinkSet}}";
    CHECK_STR(render(text, "{\"think\":true}"), "true medium true");
    CHECK_STR(render(text, "{\"think\":\"max\"}"), "true max true");
    CHECK_STR(render(text, "{\"think\":\"low\"}"), "true low true");
    CHECK_STR(render(text, "{\"think\":false}"), "false  true");
    CHECK_STR(render(text, "{}"), "false  false");
    CHECK_STR(render("{{.Prompt}}{{.Think}}{{.Response}}", "{\"think\":\"high\"}"), "true");
}

#define CALL_ON(arguments)                                                                         \
    ON("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"name\":\"f\","      \
       "\"arguments\":" arguments "}}]}")
#define CALLS(inner) "{{range .Messages}}{{range .ToolCalls}}" inner "{{end}}{{end}}"

TEST(arguments_print_as_json_and_iterate_sorted)
{
    const char *on = CALL_ON("{\"z\":1000000,\"a\":\"<&>\",\"n\":null}");
    CHECK_STR(render(CALLS("{{.Function.Arguments}}"), on),
              "{\"a\":\"\\u003c\\u0026\\u003e\",\"n\":null,\"z\":1000000}");
    CHECK_STR(render(CALLS("{{range $k,$v := .Function.Arguments}} {{$k}}={{$v}}{{end}}"), on),
              " a=<&> n=<no value> z=1e+06");
    CHECK_STR(
        render(CALLS("{{.ID}} {{.Function.Index}} {{.Function.Name}} {{.Function.Arguments.z}}"
                     " {{.Function.Arguments.q}}{{len .Function.Arguments}}"),
               on),
        "c1 0 f 1e+06 <no value>3");
    CHECK_STR(
        render(CALLS("{{json .}}"), on),
        "{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"a\":\"\\u003c"
        "\\u0026\\u003e\",\"n\":null,\"z\":1000000}}}");
    CHECK_STR(render(CALLS("{{range .Function.Arguments}} {{.}}{{end}}"),
                     CALL_ON("{\"a\":123456.5,\"b\":1234567,\"c\":0.00001,\"d\":[1,\"x\",null],"
                             "\"e\":{\"k\":true},\"f\":5e-324,\"g\":0.1,\"h\":-0.0001}")),
              " 123456.5 1.234567e+06 1e-05 [1 x <nil>] map[k:true] 5e-324 0.1 -0.0001");
    CHECK_STR(render(CALLS("{{json .Function.Arguments}}"),
                     CALL_ON("{\"a\":1e21,\"b\":1e-7,\"c\":1000000,\"d\":\"\\u2028\\u0001\\n\"}")),
              "{\"a\":1e+21,\"b\":1e-7,\"c\":1000000,\"d\":\"\\u2028\\u0001\\n\"}");
}

#define TOOL                                                                                       \
    "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"    \
    "\"object\",\"required\":[\"b\"],\"properties\":{\"b\":{\"type\":\"string\"},\"a\":{\"type\":" \
    "[\"integer\",\"null\"],\"enum\":[1,2]}}}}}]}"
#define TOOL_FUNCTION                                                                              \
    "{\"name\":\"f\",\"description\":\"\",\"parameters\":{\"type\":\"object\",\"required\":[\"b\"" \
    "],\"properties\":{\"a\":{\"type\":[\"integer\",\"null\"],\"enum\":[1,2]},\"b\":{\"type\":"    \
    "\"string\"}}}}"

TEST(tools_print_as_json)
{
    CHECK_STR(render(M "{{range .Tools}}{{.}}{{end}}", TOOL),
              "{\"type\":\"function\",\"function\":" TOOL_FUNCTION "}");
    CHECK_STR(render(M "{{range .Tools}}{{.Function}}{{end}}", TOOL), TOOL_FUNCTION);
    CHECK_STR(render(M "{{.Tools}}", TOOL),
              "[{\"type\":\"function\",\"function\":" TOOL_FUNCTION "}]");
    CHECK_STR(render(M "{{ .Tools }}{{ if .Tools }}y{{ else }}n{{ end }}", "{}"), "nulln");
    CHECK_STR(render(M "{{range .Tools}}{{range $n, $p := .Function.Parameters.Properties}}{{$n}} "
                       "{{$p.Type}} {{toTypeScriptType $p}} {{$p.Enum}};{{end}}{{end}}",
                     TOOL),
              "a [integer null] number | null [1 2];b string string [];");
    CHECK_STR(render(M "{{range .Tools}}{{.Function.Parameters.Properties}}{{json "
                       ".Function.Parameters.Properties}}{{.Function.Parameters.Required}}{{end}}",
                     "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}"),
              "{}null[]");
    CHECK_STR(render(M "{{range .Tools}}{{.}}{{end}}", "{\"tools\":[5]}"),
              "{\"type\":\"\",\"function\":{\"name\":\"\",\"description\":\"\",\"parameters\":{"
              "\"type\":\"\",\"properties\":null}}}");
}

TEST(dates_are_local_and_one_day_apart)
{
    /* Noon of 1 March 2024, whatever the zone. */
    struct tm tm = {.tm_year = 124, .tm_mon = 2, .tm_mday = 1, .tm_hour = 12, .tm_isdst = -1};
    const struct go_template_input input = {.now = (int64_t)mktime(&tm), .prompt = "p"};
    CHECK_STR(render_input(M "{{currentDate}} {{yesterdayDate \"x\"}}", NULL, input),
              "2024-03-01 2024-02-29");
}

/* ---- language ---- */

TEST(the_language_reads_as_in_the_specification)
{
    CHECK_STR(render("{{range $i,$_ := .Messages}}{{$last := eq (len (slice $.Messages $i)) 1}}"
                     "{{.Role}}{{if $last}}!{{end}} {{end}}",
                     ON(U("a") "," A("b") "," U("c"))),
              "user assistant user! ");
    CHECK_STR(
        render("a \n{{- range .Messages }} {{ .Content }} {{- end }}\n b", ON(U("x") "," A("y"))),
        "a x y\n b");
    CHECK_STR(render(M
                     "{{- /* c */ -}} [{{ .Nope }}]{{if .Nope}}t{{else}}f{{end}}{{eq .Nope \"x\"}}",
                     "{}"),
              "[<no value>]ffalse");
    CHECK_STR(render(M "{{ and \"a\" \"\" }}|{{ or \"\" \"b\" }}|{{ not 0 }}|{{ eq 2 1 2 }}|"
                       "{{ lt \"a\" \"b\" }}",
                     "{}"),
              "|b|true|true|true");
    CHECK_STR(render(M
                     "{{ printf \"%s-%q-%d-%v\" \"a\" \"b\" 3 true }}|{{ print \"a\" 1 2 \"b\" }}",
                     "{}"),
              "a-\"b\"-3-true|a1 2b");
    CHECK_STR(render("{{$s := \"\"}}{{range .Messages}}{{if eq .Role \"system\"}}{{$s = .Content}}"
                     "{{continue}}{{end}}{{if $s}}<{{$s}}>{{$s = \"\"}}{{end}}{{.Content}}{{end}}",
                     ON(S("s") "," U("a") "," A("b") "," U("c"))),
              "<s>abc");
}

/* Expected texts are those of Go 1.26 on the same data.
 * long function: a table of cases. */
TEST(the_language_agrees_with_go)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"{{-3}}{{- 3 -}} x", "-33x"},
        {"{{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1_000 }} {{ 'a' }} {{ '\\n' }} {{ 1e3 }} {{ 1e6 }}",
         "31 3 15 1000 97 10 1000 1e+06"},
        {"{{ `a\\n` }}{{ \"\\x41\\101\\u00e9\" }}", "a\\nAA\xC3\xA9"},
        {"{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ else }}e{{ end }}", "01201"},
        {"{{ range 0 }}x{{ else }}none{{ end }}{{ range .Nope }}x{{ else }}nil{{ end }}",
         "nonenil"},
        {"{{ range $i, $m := .Messages }}{{ if $i }}{{ break }}{{ end }}{{ $m.Role }}{{ end }}",
         "user"},
        {"{{ with $x := \"w\" }}{{ . }}{{ $x }}{{ end }}{{ with \"\" }}{{ else with \"b\" }}{{ . "
         "}}{{ end }}",
         "wwb"},
        {"{{ if 0 }}a{{ else if 0.0 }}b{{ else if \"x\" }}c{{ else }}d{{ end }}", "c"},
        {"{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}", "32"},
        {"{{ define \"t\" }}[{{ . }}{{ $ }}]{{ end }}{{ template \"t\" 5 }}{{ block \"b\" 1 }}<{{ "
         ". }}>{{ end }}",
         "[55]<1>"},
        {"{{ (index .Messages 0).Role }} {{ (printf \"%d\" 3) | printf \"%s%s\" \"a\" }}",
         "user a3"},
        {"{{ slice \"abcdef\" 2 }} {{ slice \"abc\" 3 }} {{ index \"abc\" 1 }} {{ len "
         "\"h\xC3\xA9\" }}",
         "cdef  98 3"},
        {"{{ printf \"%5.1f|%-4s|%04d|%x|%X|%c|%U|%t|%%|%6.2v\" 3.14159 \"ab\" -7 \"hi\" 255 97 97 "
         "true 1.5 }}",
         "  3.1|ab  |-007|6869|FF|a|U+0061|true|%|   1.5"},
        {"{{ printf \"%d %s\" \"x\" 1 }} {{ printf \"%d\" }} {{ printf \"a\" 1 }} {{ printf \"%!\" "
         "}}",
         "%!d(string=x) %!s(int=1) %!d(MISSING) a%!(EXTRA int=1) %!!(MISSING)"},
        {"{{ printf \"%[2]v %[1]v %*d\" 1 2 4 }} {{ printf \"%.2s|%q\" \"h\xC3\xA9y\" 'x' }}",
         "2 1  4 h\xC3\xA9|'x'"},
        {"{{ printf \"%v %v\" .Nope nil }}|{{ print nil }}|{{ println \"a\" 1 }}",
         "<nil> <nil>|<nil>|a 1\n"},
        {"{{ html \"<a b='c'>&\\\"\" }} {{ js \"it's <\\n\" }} {{ urlquery \"a b&c/~\" }}",
         "&lt;a b=&#39;c&#39;&gt;&amp;&#34; it\\'s \\u003C\\u000A a+b%26c%2F~"},
        {"{{ eq .Nope nil }}{{ ne 1 2 }}{{ le 1 1 }}{{ gt 2 1 }}{{ ge 1.5 1.5 }}{{ eq true true }}",
         "truetruetruetruetruetrue"},
        {"{{ and 1 0 2 }}{{ or 0 \"\" 3 }}{{ not .Nope }}{{ 5 | and true }}{{ and true (eq 1 1) 7 "
         "}}",
         "03true57"},
        {"{{ len .Messages }}{{ .Messages | len }}{{ index .Messages 0 | print | len }}", "1118"},
        {"{{ .System | }}{{ .Nope.X }}",
         "template: :1:49: executing \"\" at <.Nope.X>: nil pointer "
         "evaluating interface {}.X"},
        {"{{ $m := index .Messages 0 }}{{ $m.Nope }}",
         "template: :1:60: executing \"\" at <$m.Nope>: can't evaluate field Nope in type message"},
        {"a\nb{{ index .Messages 9 }}", "template: :2:4: executing \"\" at <index .Messages 9>: "
                                        "error calling index: index out of range: 9"},
        {"{{ index \"abc\" 3 }}",
         "template: :1:29: executing \"\" at <index \"abc\" 3>: error calling "
         "index: reflect: string index out of range"},
        {"{{ slice \"abc\" 2 1 }}", "template: :1:29: executing \"\" at <slice \"abc\" 2 1>: error "
                                    "calling slice: invalid slice index: 2 > 1"},
        {"{{ define \"t\" }}{{ .X }}{{ end }}{{ template \"t\" \"s\" }}",
         "template: :1:45: executing \"t\" at <.X>: can't evaluate field X in type string"},
        {"{{ not }}",
         "template: :1:29: executing \"\" at <not>: wrong number of args for not: want 1 got 0"},
        {"{{ index }}", "template: :1:29: executing \"\" at <index>: wrong number of args for "
                        "index: want at least 1 got 0"},
        {"{{ printf 1 }}", "template: :1:36: executing \"\" at <1>: expected string; found 1"},
        {"{{ range 5.5 }}{{ end }}",
         "template: :1:35: executing \"\" at <5.5>: range can't iterate over 5.5"},
        {"{{ range $i, $v := 2 }}{{ end }}",
         "template: :1:45: executing \"\" at <2>: can't use 2 to iterate "
         "over more than one variable"},
        {"{{ \"a\" | .System }}",
         "template: :1:35: executing \"\" at <.System>: System is not a method but has arguments"},
        {"{{ call .System }}",
         "template: :1:29: executing \"\" at <call .System>: error calling call: "
         "non-function of type string"},
        {"{{ $x = 1 }}", "template: :1:34: executing \"\" at <1>: undefined variable: $x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", M, cases[i].text);
        CHECK_STR(render(text, ON(U("a"))), cases[i].expected);
    }
}

/* ---- hostile templates ---- */

/* Each must end with an error, and soon; the bound leaves room for sanitizers. */
TEST(hostile_templates_end)
{
    static const char *const sources[] = {
        "{{ range 100000000 }}{{ end }}",
        "{{ range 100000 }}{{ range 100000 }}0123456789abcdef{{ end }}{{ end }}",
        "{{ $a := \"x\" }}{{ range 60 }}{{ $a = print $a $a }}{{ end }}{{ $a }}",
        "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}",
        "{{define \"x\"}}{{range 9}}{{template \"x\" 1}}{{end}}{{end}}{{template \"x\" 1}}",
        "{{ range 1000000 }}{{ printf \"%900000d\" 1 }}{{ end }}",
        "{{ $a := printf \"%900000d\" 1 }}{{ range 1000000 }}{{ if eq $a $a }}{{ end }}{{ end }}",
        "{{ $a := printf \"%900000d\" 1 }}{{ range 1000000 }}{{ $b := js $a }}{{ end }}",
        "{{ range 1000000 }}{{ json $.Messages }}{{ end }}",
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", M, sources[i]);
        const uint64_t start = oll_clock_thread_ns();
        const char *found = render(text, ON(U("a")));
        const double ms = (double)(oll_clock_thread_ns() - start) / 1e6;
        CHECK_MSG(strncmp(found, "template: ", 10) == 0, "`%s`: %.60s", sources[i], found);
        CHECK_MSG(ms < 1000, "`%s` took %.0f ms", sources[i], ms);
    }
}

TEST(faults_of_syntax_have_the_texts_of_go)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"{{ .Prompt ", "template: :1: unclosed action"},
        {"\n{{ .Prompt\n", "template: :3: unclosed action started at :2"},
        {"{{ foo }}", "template: :1: function \"foo\" not defined"},
        {"{{define \"x\"}}{{end}}{{template \"x\"}}", "undefined template specified"},
        {"{{ if }}x{{ end }}", "template: :1: missing value for if"},
        {"{{ range 1 }}", "template: :1: unexpected EOF"},
        {"{{ end }}", "template: :1: unexpected {{end}}"},
        {"{{ else }}", "template: :1: unexpected {{else}}"},
        {"{{ if 1 }}{{ else }}{{ else }}{{ end }}", "template: :1: expected end; found {{else}}"},
        {"{{ break }}", "template: :1: {{break}} outside {{range}}"},
        {"{{ range 1 }}{{ define \"x\" }}{{ end }}{{ end }}",
         "template: :1: unexpected <define> in command"},
        {"{{ define \"x\" }}{{ $y }}{{ end }}", "template: :1: undefined variable \"$y\""},
        {"{{ define \"x\" }}a{{ end }}{{ define \"x\" }}b{{ end }}",
         "template: :1: template: multiple definition of template \"x\""},
        {"{{ 1 | 2 }}", "template: :1: non executable command in pipeline stage 2"},
        {"{{ | }}", "template: :1: unexpected \"|\" in command"},
        {"{{ (1 }}", "template: :1: unclosed left paren"},
        {"{{ 1) }}", "template: :1: unexpected right paren"},
        {"{{ true.x }}", "template: :1: unexpected . after term \"true\""},
        {"{{ 1x }}", "template: :1: bad number syntax: \"1x\""},
        {"{{ 08 }}", "template: :1: illegal number syntax: \"08\""},
        {"{{ 99999999999999999999 }}", "template: :1: integer overflow: \"99999999999999999999\""},
        {"{{ $x% }}", "template: :1: bad character U+0025 '%'"},
        {"{{ \x01 }}", "template: :1: unrecognized character in action: U+0001"},
        {"{{ \xE2\x80\x9C }}",
         "template: :1: unrecognized character in action: U+201C '\xE2\x80\x9C'"},
        {"{{ \"a", "template: :1: unterminated quoted string"},
        {"{{ `a", "template: :1: unterminated raw quoted string"},
        {"{{ 'a", "template: :1: unterminated character constant"},
        {"{{ 'ab' }}", "template: :1: malformed character constant: 'ab'"},
        {"{{ \"\\q\" }}", "template: :1: invalid syntax"},
        {"{{/* a", "template: :1: unclosed comment"},
        {"{{/* a */ b}}", "template: :1: comment ends before closing delimiter"},
        {"{{ a : }}", "template: :1: function \"a\" not defined"},
        {"{{ 1 : }}", "template: :1: expected :="},
        {"{{ range $a, $b, $c := 1 }}{{ end }}", "template: :1: too many declarations in range"},
        {"{{ $a, $b := 1 }}", "template: :1: too many declarations in command"},
        {"{{ range $a, 1 }}{{ end }}", "template: :1: range can only initialize variables"},
        {"{{ template 1 }}", "template: :1: unexpected \"1\" in template clause"},
        {"{{ template \"a\" 1 2 }}{{ block \"z\" }}{{ end }}",
         "template: :1: missing value for block clause"},
        {"\n{{ block \"z\" 1 }}\n{{ else }}", "template: :2: unexpected {{else}} in block clause"},
        {"{{ . .X. }}", "template: :1: unexpected <.> in operand"},
        {"{{ (.X) \"a long string\"\"b\" }}", "template: :1: unexpected \"\\\"b\\\"\" in operand"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STR(render(cases[i].text, "{}"), cases[i].expected);
}

/* ---- facts ---- */

static struct go_template *parse(const char *text)
{
    struct go_template *t = NULL;
    struct oll_error err = {0};
    CHECK_MSG(go_template_parse(text, strlen(text), &t, &err) == OLL_OK, "%s", err.text);
    return t;
}

static const char *tag_of(const char *text)
{
    static char tag[256];
    struct go_template *t = parse(text);
    snprintf(tag, sizeof tag, "%s", t ? go_template_facts(t)->tool_call_tag : "?");
    go_template_free(t);
    return tag;
}

TEST(tool_call_tags_are_read_off_the_tree)
{
#define IN_MESSAGES(body) "{{range .Messages}}" body "{{end}}"
    CHECK_STR(
        tag_of(IN_MESSAGES("{{if .ToolCalls}}[TOOL_CALLS] [{{range .ToolCalls}}x{{end}}]{{end}}")),
        "[TOOL_CALLS] [");
    CHECK_STR(tag_of(IN_MESSAGES("{{range .ToolCalls}}<tc>{{end}}")), "{");
    CHECK_STR(
        tag_of(IN_MESSAGES("{{if .ToolCalls}}\n{{range .ToolCalls}}\r\n <tool_call>\r\n{\"name\"}"
                           "{{end}}{{end}}")),
        "<tool_call>");
    CHECK_STR(tag_of(IN_MESSAGES("{{if .ToolCalls}}{{.Content}}<tool_call>{{end}}")), "{");
    CHECK_STR(tag_of(IN_MESSAGES("{{if .ToolCalls}}{{$x := 1}}<tool_call>{{end}}")), "<tool_call>");
    CHECK_STR(tag_of(IN_MESSAGES("{{if .ToolCalls}}{{if .Content}} {{end}}<tool_call>{{end}}")),
              "{");
    CHECK_STR(tag_of(IN_MESSAGES(
                  "{{if .Content}}a{{else}}{{if and .ToolCalls 1}}b {\"c\"{{end}}{{end}}")),
              "b");
    CHECK_STR(tag_of(IN_MESSAGES("{{if .ToolCalls}}{\"name\": {{.Content}}{{end}}")), "{");
    CHECK_STR(tag_of("{{define \"x\"}}{{if .ToolCalls}}<x>{{end}}{{end}}" M), "{");
}

TEST(thinking_tags_are_read_off_the_tree)
{
    static const struct {
        const char *text, *open, *close;
    } cases[] = {
        {IN_MESSAGES("{{if .Thinking}}<think>{{.Thinking}}</think>{{end}}"), "<think>", "</think>"},
        {IN_MESSAGES("a {{if .Thinking}}\n<t>\n{{.Thinking}} x\n</t>\n{{end}} b"), "<t>",
         "x\n</t>"},
        {"{{range $m := .Messages}}{{if $m.Thinking}}<think>{{$m.Thinking}}</think>{{end}}{{end}}",
         "", ""},
        {"{{range $.Messages}}{{if .Thinking}}<think>{{.Thinking}}</think>{{end}}{{end}}", "", ""},
        {M "{{if .Thinking}}<think>{{.Thinking}}</think>{{end}}", "", ""},
        {IN_MESSAGES("{{if .Thinking}}<think>{{.Thinking}}{{end}}"), "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct go_template *t = parse(cases[i].text);
        CHECK_STR(go_template_facts(t)->thinking_open, cases[i].open);
        CHECK_STR(go_template_facts(t)->thinking_close, cases[i].close);
        CHECK_EQ(go_template_facts(t)->can_think, cases[i].open[0] != '\0');
        go_template_free(t);
    }
}

TEST(variables_and_source_are_kept)
{
    size_t n;
    struct go_template *t =
        parse("{{ (index .Zed 0).Hidden }}{{ $.A.B }}{{ with $x := .C }}{{ end }}"
              "{{ define \"d\" }}{{ .D }}{{ end }}{{ .C }}");
    const char *expected[] = {"$", "a", "b", "c", "d", "response", "zed"};
    const struct go_template_facts *f = go_template_facts(t);
    CHECK_EQ(f->n_variables, 7);
    for (uint32_t i = 0; i < f->n_variables && i < 7; i++)
        CHECK_STR(f->variables[i], expected[i]);
    CHECK_STR(go_template_source(t, &n) + n - 8, "{{ .C }}");
    go_template_free(t);
}

TEST(capabilities_decide_between_templates)
{
    struct go_template *plain = parse(M), *tools = parse(M "{{.Tools}}"),
                       *round =
                           parse("{{range .Messages}}{{if eq .Role \"tool\"}}{{.ToolCalls}}{{end}}"
                                 "{{end}}{{.Tools}}{{.Suffix}}");
    const struct chat_capabilities none = chat_capabilities_of_go(plain),
                                   some = chat_capabilities_of_go(tools),
                                   all = chat_capabilities_of_go(round);
    const struct chat_capabilities j_none = chat_capabilities_of_jinja("{{ messages }}"),
                                   j_tools = chat_capabilities_of_jinja("{{ tools }}"),
                                   j_round = chat_capabilities_of_jinja(
                                       "{{ tools }}{{ m.tool_calls }}{{ message.role == 'tool' }}"),
                                   j_think = chat_capabilities_of_jinja("tools <think></think>");
    CHECK(!some.tool_round_trip && some.tools && !some.insert);
    CHECK(all.tool_round_trip && all.tools && all.insert);
    CHECK(j_round.tool_round_trip && !j_tools.tool_round_trip && j_think.thinking);
    CHECK(!chat_capabilities_of_jinja("content.split('</think>') reasoning_content").thinking);
    CHECK(chat_capabilities_of_jinja("content.split(\"</think>\")").thinking);
    CHECK(!chat_prefers_jinja(&j_none, &none));
    CHECK(chat_prefers_jinja(&j_tools, &none));
    CHECK(!chat_prefers_jinja(&j_tools, &some));
    CHECK(chat_prefers_jinja(&j_round, &some));
    CHECK(chat_prefers_jinja(&j_think, &some));
    CHECK(!chat_prefers_jinja(&j_think, &all));
    go_template_free(plain);
    go_template_free(tools);
    go_template_free(round);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
