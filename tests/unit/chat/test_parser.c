/* Splitting replies: the cases of the spec's chapter 8, formats that no recording covers, what
 * callers ask a parser, and hostile replies. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/chat/harmony_name.h"
#include "engine/chat/history.h"
#include "engine/chat/parser.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":"
    "\"object\","
    "\"properties\":{\"c\":{\"type\":\"integer\"},\"city\":{\"type\":\"string\"}},\"required\":[]}}"
    "},"
    "{\"type\":\"function\",\"function\":{\"name\":\"say_hello\",\"parameters\":{}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"say_hello_world\",\"parameters\":{}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"n\":{\"type\":\"integer\"},\"s\":{\"type\":\"string\"},"
    "\"b\":{\"type\":\"boolean\"},\"sb\":{\"type\":[\"string\",\"boolean\"]},"
    "\"num\":{\"type\":\"number\"},\"list\":{\"type\":\"array\"},\"o\":{\"type\":\"object\"}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"web-search\",\"parameters\":{}}}]";

enum { MEMORY_MAX = 256 << 20, HOSTILE_BYTES = 100000 };

/* What came out: texts joined, events in their order otherwise. */
struct outcome {
    struct oll_arena arena;
    struct oll_strbuf text; /* "T<..> C<..> name{...}#index" */
    int last;               /* event type of the text in the making, -1 none */
    char id[16];
    int n_events;
};

static void close_text(struct outcome *o)
{
    if (o->last >= 0)
        oll_strbuf_addc(&o->text, '>');
    o->last = -1;
}

static void on_event(void *user, const struct chat_event *event)
{
    struct outcome *o = user;
    o->n_events++;
    if (event->type == CHAT_EVENT_CALL) {
        close_text(o);
        oll_strbuf_printf(&o->text, " %s%s#%u", event->name, event->arguments, event->index);
        snprintf(o->id, sizeof o->id, "%s", event->id);
        return;
    }
    if (o->last != (int)event->type) {
        close_text(o);
        oll_strbuf_adds(&o->text, event->type == CHAT_EVENT_THINKING ? " T<" : " C<");
    }
    o->last = (int)event->type;
    oll_strbuf_add(&o->text, event->text, event->len);
}

static const struct oll_json *tools(struct oll_arena *arena)
{
    struct oll_json *root = NULL;
    CHECK_OK(oll_json_parse(arena, tools_text, sizeof tools_text - 1, NULL, &root, NULL));
    return root;
}

/* Feeds `text` in pieces of `step` bytes; "|" in it is a cut of its own when `step` is 0. */
static void feed(struct chat_parser *p, struct outcome *o, const char *text, size_t step)
{
    struct oll_error err = {0};
    oll_status status = OLL_OK;
    const size_t n = strlen(text);
    for (size_t i = 0; i < n && status == OLL_OK; i += step) {
        const size_t len = step < n - i ? step : n - i;
        status = chat_parser_feed(p, text + i, len, &err);
    }
    if (status == OLL_OK)
        status = chat_parser_finish(p, &err);
    close_text(o);
    if (status != OLL_OK)
        oll_strbuf_printf(&o->text, " E<%s>", err.text);
    /* An error repeats, and nothing comes behind it. */
    if (status != OLL_OK)
        CHECK_STATUS(chat_parser_feed(p, "more", 4, NULL), status);
}

static struct chat_parser_config config_of(const char *how)
{
    struct chat_parser_config c = {.parser = how, .id_seed = 1};
    if (how[0] == '=')
        c = (struct chat_parser_config){.tag = how + 1, .id_seed = 1};
    if (strcmp(how, "=think") == 0)
        c = (struct chat_parser_config){.think_open = "<think>", .think_close = "</think>"};
    return c;
}

/* Outcome of one text, the same in one piece and in pieces of 1, 2, 3 and 7 bytes. `how` is a
 * parser's name, "=" and a generic tag, or "=think". */
static const char *split_as(struct chat_parser_config config, const char *text)
{
    static char result[4096];
    static const size_t steps[] = {100000, 1, 2, 3, 7};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct outcome o = {.last = -1};
        struct chat_parser *p = NULL;
        oll_arena_init(&o.arena, MEMORY_MAX);
        oll_strbuf_init(&o.text, MEMORY_MAX);
        if (!config.tools || i > 0)
            config.tools = tools(&o.arena);
        config.on_event = on_event;
        config.user = &o;
        CHECK_OK(chat_parser_create(&config, &p, NULL));
        feed(p, &o, text, steps[i]);
        if (i > 0)
            CHECK_MSG(strcmp(result, o.text.data) == 0, "%s in steps of %zu: %s, not %s", text,
                      steps[i], o.text.data, result);
        snprintf(result, sizeof result, "%s", o.text.data);
        chat_parser_free(p);
        oll_strbuf_free(&o.text);
        oll_arena_free(&o.arena);
    }
    return result;
}

static const char *split(const char *how, const char *text)
{
    return split_as(config_of(how), text);
}

static const char *split_think(const char *how, enum oll_think think, const char *text)
{
    struct chat_parser_config config = config_of(how);
    config.think = think;
    return split_as(config, text);
}

TEST(generic_calls_of_chapter_8)
{
    CHECK_STR(split("=<tool_call>",
                    "Hi <tool_call>{\"name\":\"get_weather\",\"arguments\":{\"c\":1}}</tool_call>"),
              " C<Hi > get_weather{\"c\":1}#0");
    CHECK_STR(split("=<tool_call>", "a<tool_x"), " C<a<tool_x>");
    CHECK_STR(split("={", "{\"name\":\"say_hello\",\"arguments\":{}}"), " say_hello{}#0");
    CHECK_STR(split("=[", "[{\"name\":\"say_hello\",\"arguments\":{}},{\"name\":\"get_weather\","
                          "\"parameters\":\"{\\\"x\\\":1}\"}]"),
              " say_hello{}#0 get_weather{\"x\":1}#1");
    CHECK_STR(split("={", "{\"a\":1} and more"), " C<{\"a\":1} and more>");
    CHECK_STR(split("={", "{\"a\":1"), " C<{\"a\":1>");
    CHECK_STR(split("=<tool_call>", "<tool_call>{\"name\":\"nope\",\"arguments\":{}}"), "");
    CHECK_STR(split("=<tool_call>", "<tool_call>{\"say_hello\":{\"a\":2}}"),
              " say_hello{\"a\":2}#0");
}

TEST(generic_calls_wait_for_the_longer_name)
{
    CHECK_STR(split("={", "{\"name\":\"say_hello_world\",\"arguments\":{\"k\":{}}}"),
              " say_hello_world{\"k\":{}}#0");
    CHECK_STR(split("=<tool_call>", "<tool_call>say_hello {\"a\":1} say_hello_world {\"b\":2}"),
              " say_hello{\"a\":1}#0 say_hello_world{\"b\":2}#1");
    /* A text that ends inside a name does not hold a finished call back. */
    CHECK_STR(split("=<tool_call>", "<tool_call>{\"name\":\"say_hello\",\"arguments\":{}} say"),
              " say_hello{}#0");
}

TEST(generic_without_tools_is_text)
{
    struct outcome o = {.last = -1};
    struct chat_parser *p = NULL;
    const struct chat_parser_config config = {.tag = "{", .on_event = on_event, .user = &o};
    oll_strbuf_init(&o.text, MEMORY_MAX);
    CHECK_OK(chat_parser_create(&config, &p, NULL));
    feed(p, &o, "{\"name\":\"f\",\"arguments\":{}}", 5);
    CHECK_STR(o.text.data, " C<{\"name\":\"f\",\"arguments\":{}}>");
    chat_parser_free(p);
    oll_strbuf_free(&o.text);
}

TEST(harmony_of_chapter_8)
{
    CHECK_STR(split("harmony", "<|channel|>analysis<|message|>t<|end|><|start|>assistant"
                               "<|channel|>final<|message|>hi"),
              " T<t> C<hi>");
    CHECK_STR(split("harmony", "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
                               "{\"a\":1}"),
              " f{\"a\":1}#0");
    CHECK_STR(split("harmony", "<|channel|>commentary to=functions.f<|constrain|>json<|message|>"
                               "{\"a\":1}<|call|>"),
              " f{\"a\":1}#0");
    CHECK_STR(split("harmony", "<|channel|>commentary to=functions.f<|message|>{\"a\":"),
              " E<error parsing tool call: raw='{\"a\":', err=unexpected end of JSON input>");
    CHECK_STR(split("harmony", "<|channel|>commentary to=functions.f<|message|>"),
              " E<error parsing tool call: raw='', err=unexpected end of JSON input>");
    /* The client's name comes back for the one in the prompt. */
    CHECK_STR(split("harmony", "<|channel|>commentary to=functions.web_search<|message|>{}"),
              " web-search{}#0");
    CHECK_STR(split("harmony", "<|channel|>strange<|message|>x<|return|>"), " C<x>");
}

TEST(harmony_names_are_identifiers)
{
    static const char *const names[] = {"get weather", "get-weather",  "3d",  "a/b$c",
                                        "!!",          "browser.open", "x.y", "get_weather"};
    struct oll_arena arena;
    oll_arena_init(&arena, MEMORY_MAX);
    const char *const *out = chat_harmony_names(&arena, names, 8);
    CHECK_STR(out[0], "get_weather");
    CHECK_STR(out[1], "get_weather_2");
    CHECK_STR(out[2], "_3d");
    CHECK_STR(out[3], "ab$c");
    CHECK_STR(out[4], "unnamed");
    CHECK_STR(out[5], "browser.open");
    CHECK_STR(out[6], "x_y");
    CHECK_STR(out[7], "get_weather_3");
    oll_arena_free(&arena);
}

TEST(values_take_their_declared_type)
{
    CHECK_STR(split("qwen3-coder", "<tool_call><function=f><parameter=n>\n5\n</parameter>"
                                   "<parameter=s>\n5\n</parameter></function></tool_call>"),
              " f{\"n\":5,\"s\":\"5\"}#0");
    CHECK_STR(
        split("qwen3-coder",
              "<tool_call><function=f><parameter=b>yes</parameter><parameter=sb>yes</parameter>"
              "<parameter=num>2.0</parameter><parameter=list>[1, 2</parameter>"
              "<parameter=o>{\"k\":[]}</parameter><parameter=n>NULL</parameter></function>"
              "</tool_call>"),
        " f{\"b\":false,\"sb\":\"yes\",\"num\":2,\"list\":\"[1, "
        "2\",\"o\":{\"k\":[]},\"n\":null}#0");
    CHECK_STR(split("qwen3-coder", "<tool_call><function=f><parameter=sb>TRUE</parameter>"
                                   "<parameter=num>1e400</parameter><parameter=n>1.5</parameter>"
                                   "</function></tool_call>"),
              " f{\"sb\":true,\"num\":\"1e400\",\"n\":\"1.5\"}#0");
}

TEST(xml_that_is_broken_says_where)
{
    CHECK_STR(split("qwen3-coder", "<tool_call><parameter=a>1</parameter></tool_call>"),
              " E<expected element type <function> but have <parameter>>");
    CHECK_STR(
        split("qwen3-coder", "<tool_call>\n<function=f>\n<parameter=n>1</function></tool_call>"),
        " E<XML syntax error on line 3: element <parameter> closed by </function>>");
    CHECK_STR(split("qwen3-coder", "<tool_call></function></tool_call>"),
              " E<XML syntax error on line 1: unexpected end element </function>>");
    /* Markup inside a value is text. */
    CHECK_STR(split("qwen3-coder",
                    "<tool_call><function=f><parameter=s><b>x</b> &amp; </tool></parameter>"
                    "</function></tool_call>"),
              " f{\"s\":\"\\u003cb\\u003ex\\u003c/b\\u003e \\u0026amp; \\u003c/tool\\u003e\"}#0");
}

TEST(broken_json_speaks_like_go)
{
    static const char *const cases[][2] = {
        {"{\"name\":\"f\",}", "invalid character '}' looking for beginning of object key string"},
        {"{\"name\" \"f\"}", "invalid character '\"' after object key"},
        {"{\"name\":\"f\" 1}", "invalid character '1' after object key:value pair"},
        {"{\"name\":[1 2]}", "invalid character '2' after array element"},
        {"{\"name\":tru}", "invalid character '}' in literal true (expecting 'e')"},
        {"{\"name\":\"f\",\"arguments\":{}} x", "invalid character 'x' after top-level value"},
        {"hello", "invalid character 'h' looking for beginning of value"},
        {"{\"name\":1.x}", "invalid character 'x' after decimal point in numeric literal"},
        {"{\"name\":\"\\q\"}", "invalid character 'q' in string escape code"},
        {"{\"name\":\"a\nb\"}", "invalid character '\\n' in string literal"},
        {"é", "invalid character 'Ã' looking for beginning of value"},
        {"", "unexpected end of JSON input"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], want[256];
        snprintf(text, sizeof text, "<tool_call>%s</tool_call>", cases[i][0]);
        snprintf(want, sizeof want, " E<failed to parse JSON: %s>", cases[i][1]);
        CHECK_STR(split("qwen3", text), want);
    }
}

TEST(gemma_arguments)
{
    CHECK_STR(split("gemma4", "<|tool_call>call:f{q:<|\"|>a b<|\"|>,n:3}<tool_call|>"),
              " f{\"q\":\"a b\",\"n\":3}#0");
    CHECK_STR(split("gemma4", "<|tool_call>call:f{s:'it',n:3}<tool_call|>"),
              " f{\"s\":\"it\",\"n\":3}#0");
    CHECK_STR(split("gemma4", "<|tool_call>call:f{s:<|\"|>open}<tool_call|>"),
              " f{\"s\":\"open\"}#0");
    CHECK_STR(split("gemma4", "<|tool_call>call:f{s:<|\"|>open<tool_call|>"),
              " f{\"s\":\"open\"}#0");
    CHECK_STR(split("gemma4", "<|tool_call>call:f{s:no quotes, n:4}<tool_call|>"),
              " f{\"s\":\"no quotes\",\"n\":4}#0");
    CHECK_STR(split("gemma4", "<|tool_call>call:f{a:[{b:\"x, c:1\"},-1.5e3]}<tool_call|>"),
              " f{\"a\":[{\"b\":\"x, c:1\"},-1500]}#0");
    CHECK_STR(
        split("functiongemma", "<start_function_call>call:f{s:<escape>a, {b}<escape>,n:3,x:-1.50,"
                               "w:two words,t:true,l:[1,<escape>y<escape>],o:{k:false}}"
                               "<end_function_call>"),
        " f{\"s\":\"a, {b}\",\"n\":3,\"x\":-1.5,\"w\":\"two words\",\"t\":true,\"l\":[1,\"y\"],"
        "\"o\":{\"k\":false}}#0");
}

TEST(python_literals)
{
    CHECK_STR(split("lfm2", "<|tool_call_start|>[f(s='a\\'b\\n', n=-3, x=[True, None, (1, 2)],"
                            " d={\"k\": 'v'},), say_hello()]<|tool_call_end|>"),
              " f{\"s\":\"a'b\\n\",\"n\":-3,\"x\":[true,null,[1,2]],\"d\":{\"k\":\"v\"}}#0 "
              "say_hello{}#1");
    CHECK_STR(split("olmo3", "<function_calls>f(n=1)\nsay_hello()\n</function_calls>"),
              " f{\"n\":1}#0 say_hello{}#1");
    /* One bad line costs the block. */
    CHECK_STR(split("olmo3", "a <function_calls>f(n=1)\nsay_hello(1)\n</function_calls>b"),
              " C<a b>");
    CHECK_STR(split("lfm2", "<|tool_call_start|>[f(s='open)]<|tool_call_end|>"), "");
}

TEST(thinking_of_chapter_8)
{
    CHECK_STR(split("=think", "<think> internal </think> world"), " T<internal > C<world>");
    CHECK_STR(split("=think", "  abc <think>x</think>"), " C<  abc <think>x</think>>");
    CHECK_STR(split("=think", "<think>abc</thing>d</think>e"), " T<abc</thing>d> C<e>");
    CHECK_STR(split("=think", "<think>\n</think>\n\nHi"), " C<Hi>");
    /* A closing tag that was cut off is thinking. */
    CHECK_STR(split("=think", "<think>abc</thi"), " T<abc</thi>");
    CHECK_STR(split_think("=think", OLL_THINK_OFF, "<think>abc</think>d"),
              " C<<think>abc</think>d>");
}

TEST(thinking_starts_inside_when_the_prompt_opened_it)
{
    struct chat_parser_config config = config_of("=think");
    config.starts_thinking = true;
    config.tag = "<tool_call>";
    CHECK_STR(split_as(config, "\nmull</think>\n<tool_call>{\"name\":\"f\",\"arguments\":{}}"),
              " T<mull> f{}#0");
    config.tag = "{";
    CHECK_STR(split_as(config, "mull</think>{\"name\":\"f\",\"arguments\":{\"n\":1}}"),
              " T<mull> f{\"n\":1}#0");
}

TEST(sections_of_deepseek)
{
    CHECK_STR(
        split_think("deepseek3", OLL_THINK_ON,
                    "why</think>\nok<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"
                    "<｜tool▁call▁end｜><｜tool▁calls▁end｜> x<｜tool▁output▁begin｜>y"
                    "<｜tool▁output▁end｜>z"),
        " T<why> C<ok> f{}#0 C<xyz>");
    /* A bad call costs the rest of its section. */
    CHECK_STR(split("deepseek3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{bad"
                                 "<｜tool▁call▁end｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}"
                                 "<｜tool▁call▁end｜><｜tool▁calls▁end｜>x"),
              " C<x>");
}

TEST(laguna_takes_calls_without_their_tags)
{
    CHECK_STR(split("laguna", "{\"name\":\"f\",\"arguments\":{\"n\":1}} done"),
              " f{\"n\":1}#0 C<done>");
    CHECK_STR(split("laguna", "if (x) { y } {\"name\":\"nope\"} {\"a\":1}"),
              " C<if (x) { y } {\"name\":\"nope\"} {\"a\":1}>");
    CHECK_STR(split("laguna", "<user><tool_call>f\n<arg_key>n</arg_key><arg_value>2</arg_value>"
                              "</tool_call></user>"),
              " f{\"n\":2}#0");
    CHECK_STR(split("laguna", "<user>f\n<arg_key>n</arg_key><arg_value>2</arg_value></user>"),
              " f{\"n\":2}#0");
    CHECK_STR(split("laguna", "a <user>bob</user> b"), " C<a <user>bob</user> b>");
    CHECK_STR(split("laguna", "<tool_call>read_file\n</tool_call>"), " read{}#0");
    CHECK_STR(split("laguna", "<tool_call></tool_call>"), " E<empty Laguna tool call name>");
    CHECK_STR(split("laguna", "{\"name\": \"f\", \"arguments\": {"),
              " C<{\"name\": \"f\", \"arguments\": {>");
}

TEST(glm_puts_missing_tags_back)
{
    CHECK_STR(split_think("glm-4.7", OLL_THINK_OFF,
                          "<tool_call>f<arg_key>n</arg_key>7</arg_value><arg_key>s<arg_value>x"
                          "</tool_call>"),
              " f{\"n\":\"\",\"s\":\"x\"}#0");
    CHECK_STR(split_think("glm-4.7", OLL_THINK_OFF, "<tool_call>nope<arg_key>n</arg_key>"),
              " E<incomplete GLM tool call: tool \"nope\" not found>");
}

TEST(messages_of_glimmer)
{
    CHECK_STR(split("glimmer",
                    " to=f<|message|><atem:function_calls><atem:invoke name=\"say_hello\">"
                    "</atem:invoke></atem:function_calls>"),
              " E<tool call to 'f' invokes 'say_hello'>");
    CHECK_STR(split("glimmer", " to=nope<|message|><atem:function_calls><atem:invoke name=\"nope\">"
                               "</atem:invoke></atem:function_calls><|eot|>"),
              " E<tool 'nope' not found>");
    CHECK_STR(split("glimmer", " to=f.f<|message|><atem:function_calls><atem:invoke name=\"f\">"
                               "<atem:parameter name=\"s\">\nx\n</atem:parameter></atem:invoke>"
                               "</atem:function_calls><|eot|>"),
              " f{\"s\":\"\\nx\\n\"}#0");
    CHECK_STR(split("glimmer", "answer<|eom|><|start|>assistant to=user<|message|>more"),
              " C<answermore>");
}

TEST(formats_of_native_models)
{
    CHECK_STR(split("functionary", "all\nHi >>> there\n>>>f\n{\"n\":1}>>>say_hello\n{}\n"),
              " C<Hi >>> there> f{\"n\":1}#0 say_hello{}#1");
    CHECK_STR(split("functionary", "Hello"), " C<Hello>");
    CHECK_STR(split("kimi-k2",
                    "<think>t</think>ok <|tool_calls_section_begin|><|tool_call_begin|>"
                    "functions.f:0<|tool_call_argument_begin|>{\"n\":1}<|tool_call_end|>"
                    "<|tool_call_begin|>functions.say_hello:1<|tool_call_argument_begin|>{}"
                    "<|tool_call_end|><|tool_calls_section_end|>"),
              " T<t> C<ok> f{\"n\":1}#0 say_hello{}#1");
    CHECK_STR(split("mirothinker",
                    "<think>t</think>\n<use_mcp_tool>\n<server_name>s</server_name>\n"
                    "<tool_name>f</tool_name>\n<arguments>\n{\"n\": 1}\n</arguments>\n"
                    "</use_mcp_tool>"),
              " T<t> f{\"n\":1}#0");
    CHECK_STR(split("gigachat3", "ok<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"f\","
                                 " \"arguments\": {\"n\": 1}}<|message_sep|>"),
              " C<ok> f{\"n\":1}#0");
    CHECK_STR(split("minimax-m3",
                    "ok ]<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name=\"f\">"
                    "]<]minimax[>[<s>a</b>]<]minimax[>[</s>]<]minimax[>[<n>3"
                    "]<]minimax[>[</n>]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>"),
              " C<ok> f{\"s\":\"a\\u003c/b\\u003e\",\"n\":3}#0");
    CHECK_STR(split("deepseek-v3.2",
                    "<think>t</think>ok\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke "
                    "name=\"f\">\n<｜DSML｜parameter name=\"s\" string=\"true\">5"
                    "</｜DSML｜parameter>\n<｜DSML｜parameter name=\"x\" "
                    "string=\"false\">[1,{}]</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
                    "</｜DSML｜function_calls>"),
              " T<t> C<ok> f{\"s\":\"5\",\"x\":[1,{}]}#0");
    CHECK_STR(split("deepseek-v4", "<｜DSML｜tool_calls><｜DSML｜invoke name=\"say_hello\">"
                                   "</｜DSML｜invoke></｜DSML｜tool_calls>"),
              " say_hello{}#0");
    CHECK_STR(split("ministral", "[THINK]t[/THINK]x [TOOL_CALLS]f[CALL_ID]abc[ARGS]{\"n\":1} y"),
              " T<t> C<x> f{\"n\":1}#0 C<y>");
}

TEST(a_template_tells_its_format)
{
    CHECK_STR(chat_parser_for_template("{{ '[SYSTEM_PROMPT]' }}[TOOL_CALLS]x[ARGS]"), "ministral");
    CHECK(!chat_parser_for_template("[SYSTEM_PROMPT][TOOL_CALLS][ARGS][CALL_ID]"));
    CHECK_STR(chat_parser_for_template("<|start|>assistant<|channel|>final"), "harmony");
    CHECK_STR(chat_parser_for_template("dsml_token = '｜DSML｜' tool_calls"), "deepseek-v4");
    CHECK_STR(chat_parser_for_template("List of tools: [ <think>"), "lfm2-thinking");
    CHECK_STR(chat_parser_for_template("'<|tool_call>call:' + name"), "gemma4");
    CHECK(!chat_parser_for_template("<tool_call>{name}</tool_call>"));
    const struct chat_parser_tags tags =
        chat_parser_tags_for_template("{% if tool_calls %}<tool_call>{% endif %}</think>");
    CHECK_STR(tags.tag, "<tool_call>");
    CHECK_STR(tags.think_open, "<think>");
}

TEST(phases_say_where_the_model_is)
{
    struct outcome o = {.last = -1};
    struct chat_parser *p = NULL;
    struct chat_parser_config config = {.parser = "qwen3.5", .on_event = on_event, .user = &o};
    oll_strbuf_init(&o.text, MEMORY_MAX);
    CHECK_OK(chat_parser_create(&config, &p, NULL));
    CHECK(chat_parser_is_thinking(p));
    CHECK_OK(chat_parser_feed(p, "so", 2, NULL));
    CHECK(chat_parser_is_thinking(p));
    const char *close = chat_parser_think_close(p);
    CHECK_OK(chat_parser_feed(p, close, strlen(close), NULL));
    CHECK_EQ(chat_parser_phase(p), CHAT_PHASE_CONTENT);
    CHECK_OK(chat_parser_feed(p, "x<tool_call>", 12, NULL));
    CHECK_EQ(chat_parser_phase(p), CHAT_PHASE_CALL);
    CHECK_OK(chat_parser_finish(p, NULL));
    close_text(&o);
    CHECK_STR(o.text.data, " T<so> C<x>");
    chat_parser_free(p);
    oll_strbuf_free(&o.text);
}

/* What ends thinking must end it in every format that has some. */
TEST(every_closing_text_closes)
{
    const struct chat_parser_facts *facts;
    for (uint32_t i = 0; (facts = chat_parser_info(i)); i++) {
        struct outcome o = {.last = -1};
        struct chat_parser *p = NULL;
        const struct chat_parser_config config = {
            .parser = facts->name, .think = OLL_THINK_ON, .on_event = on_event, .user = &o};
        oll_strbuf_init(&o.text, MEMORY_MAX);
        CHECK(chat_parser_find(facts->name) == facts);
        CHECK_OK(chat_parser_create(&config, &p, NULL));
        CHECK_MSG(!facts->has_thinking || chat_parser_think_close(p), "%s", facts->name);
        if (facts->has_thinking && !chat_parser_is_thinking(p))
            CHECK_OK(chat_parser_feed(p, chat_parser_think_open(p),
                                      strlen(chat_parser_think_open(p)), NULL));
        if (facts->has_thinking) {
            CHECK_OK(chat_parser_feed(p, "hm", 2, NULL));
            CHECK_MSG(chat_parser_is_thinking(p), "%s", facts->name);
            CHECK_OK(chat_parser_feed(p, chat_parser_think_close(p),
                                      strlen(chat_parser_think_close(p)), NULL));
            CHECK_OK(chat_parser_feed(p, "answer", 6, NULL));
            CHECK_MSG(chat_parser_phase(p) == CHAT_PHASE_CONTENT, "%s", facts->name);
            CHECK_OK(chat_parser_finish(p, NULL));
            close_text(&o);
            CHECK_MSG(strcmp(o.text.data, " T<hm> C<answer>") == 0, "%s: %s", facts->name,
                      o.text.data);
        }
        chat_parser_free(p);
        oll_strbuf_free(&o.text);
    }
    CHECK(chat_parser_find("no-such") == NULL);
}

TEST(a_config_that_makes_no_sense_is_refused)
{
    struct chat_parser *p = NULL;
    struct oll_error err = {0};
    struct chat_parser_config config = {.parser = "nope", .on_event = on_event};
    CHECK_STATUS(chat_parser_create(&config, &p, &err), OLL_ERR_NOT_FOUND);
    CHECK_STR(err.text, "unknown parser \"nope\"");
    config = (struct chat_parser_config){.think_open = "<think>", .on_event = on_event};
    CHECK_STATUS(chat_parser_create(&config, &p, NULL), OLL_ERR_ARG);
    config = (struct chat_parser_config){.tag = "", .on_event = on_event};
    CHECK_STATUS(chat_parser_create(&config, &p, NULL), OLL_ERR_ARG);
    chat_parser_free(NULL);
}

TEST(ids_are_random_and_repeat_with_their_seed)
{
    char ids[3][16];
    for (int i = 0; i < 3; i++) {
        struct outcome o = {.last = -1};
        struct chat_parser *p = NULL;
        const struct chat_parser_config config = {
            .parser = "qwen3", .id_seed = i < 2 ? 7 : 8, .on_event = on_event, .user = &o};
        oll_strbuf_init(&o.text, MEMORY_MAX);
        CHECK_OK(chat_parser_create(&config, &p, NULL));
        feed(p, &o, "<tool_call>{\"name\":\"f\"}</tool_call>", 100);
        memcpy(ids[i], o.id, sizeof o.id);
        CHECK_EQ(strspn(o.id + 5, "abcdefghijklmnopqrstuvwxyz0123456789"), 8);
        chat_parser_free(p);
        oll_strbuf_free(&o.text);
    }
    CHECK_STR(ids[0], ids[1]);
    CHECK(strcmp(ids[0], ids[2]) != 0);
    CHECK(strncmp(ids[0], "call_", 5) == 0 && strlen(ids[0]) == 13);
}

static void feed_much(const char *how, const char *piece, size_t n_bytes, size_t step)
{
    struct outcome o = {.last = -1};
    struct chat_parser *p = NULL;
    struct chat_parser_config config = config_of(how);
    const size_t len = strlen(piece);
    char *text = oll_alloc(n_bytes, 1);
    for (size_t i = 0; i < n_bytes; i++)
        text[i] = piece[i % len];
    oll_arena_init(&o.arena, MEMORY_MAX);
    oll_strbuf_init(&o.text, MEMORY_MAX);
    config.tools = tools(&o.arena);
    config.think = OLL_THINK_ON;
    config.on_event = on_event;
    config.user = &o;
    const uint64_t start = oll_clock_thread_ns();
    CHECK_OK(chat_parser_create(&config, &p, NULL));
    oll_status status = OLL_OK;
    for (size_t i = 0; i < n_bytes && status == OLL_OK; i += step)
        status = chat_parser_feed(p, text + i, step < n_bytes - i ? step : n_bytes - i, NULL);
    if (status == OLL_OK)
        status = chat_parser_finish(p, NULL);
    const double ms = (double)(oll_clock_thread_ns() - start) / 1e6;
    /* Linear work takes a few, quadratic work thousands. */
    CHECK_MSG(ms < 400, "%s, \"%.20s...\" in steps of %zu: %.0f ms", how, piece, step, ms);
    chat_parser_free(p);
    oll_strbuf_free(&o.text);
    oll_arena_free(&o.arena);
    oll_free(text);
}

TEST(hostile_replies_take_linear_time)
{
    static const char *const pieces[] = {"<",
                                         " ",
                                         "{",
                                         "[",
                                         "{\"name\":",
                                         "<tool_call>",
                                         "<tool_call>{\"a\":1}</tool_call>",
                                         "<think>",
                                         "</think>",
                                         "<user>{",
                                         "<user>f",
                                         "<arg_key>",
                                         "<|channel>",
                                         "<|start|>",
                                         "<|message|>",
                                         "[TOOL_CALLS]f[ARGS]{\"a\":",
                                         "\"",
                                         "\\",
                                         "say_hell",
                                         "{} ",
                                         "f {} ",
                                         "(",
                                         "f(a=",
                                         ">>>",
                                         ">>>f\n",
                                         "<｜tool▁calls▁begin｜>",
                                         "<|START_ACTION|>{",
                                         "call:f{a:<|\"|>",
                                         "\n",
                                         "\xe2\x80\x83",
                                         "<|tool_call>call:f{s:x,",
                                         "<function=f><parameter=a>",
                                         "'",
                                         "\xff",
                                         "f{\"say_hello\":"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const struct chat_parser_facts *facts;
        for (uint32_t k = 0; (facts = chat_parser_info(k)); k++) {
            feed_much(facts->name, pieces[i], HOSTILE_BYTES, 5);
            feed_much(facts->name, pieces[i], HOSTILE_BYTES, HOSTILE_BYTES);
        }
        feed_much("={", pieces[i], HOSTILE_BYTES, 5);
        feed_much("=[", pieces[i], HOSTILE_BYTES, 5);
        feed_much("=<tool_call>", pieces[i], HOSTILE_BYTES, 5);
        feed_much("=think", pieces[i], HOSTILE_BYTES, 5);
    }
}

TEST(a_call_without_end_is_refused_in_the_end)
{
    struct outcome o = {.last = -1};
    struct chat_parser *p = NULL;
    struct oll_error err = {0};
    static char block[1 << 20];
    const struct chat_parser_config config = {.parser = "qwen3", .on_event = on_event, .user = &o};
    oll_strbuf_init(&o.text, MEMORY_MAX);
    memset(block, 'x', sizeof block);
    CHECK_OK(chat_parser_create(&config, &p, NULL));
    CHECK_OK(chat_parser_feed(p, "<tool_call>", 11, NULL));
    oll_status status = OLL_OK;
    for (int i = 0; i < 20 && status == OLL_OK; i++)
        status = chat_parser_feed(p, block, sizeof block, &err);
    CHECK_EQ(status, OLL_ERR_LIMIT);
    CHECK_STR(err.text, "a tool call or header of more than 8 MiB");
    chat_parser_free(p);
    oll_strbuf_free(&o.text);
}

TEST(history_loses_its_thinking)
{
    const struct chat_message messages[] = {
        {.role = "user", .content = "q1"},
        {.role = "assistant", .content = "<think>\nold\n</think>\n\nanswer"},
        {.role = "assistant", .content = "no tags </think> here"},
        {.role = "user", .content = "<think>mine</think>q2"},
        {.role = "assistant", .content = "<think>new</think>x"}};
    const struct chat_conversation in = {.messages = messages, .n_messages = 5};
    struct chat_conversation out;
    struct oll_arena arena;
    oll_arena_init(&arena, MEMORY_MAX);
    CHECK_OK(chat_history_filter(&arena, &in, &out, NULL));
    CHECK_STR(out.messages[1].content, "answer");
    CHECK_STR(out.messages[2].content, "no tags </think> here");
    CHECK_STR(out.messages[3].content, "<think>mine</think>q2");
    CHECK_STR(out.messages[4].content, "<think>new</think>x");
    CHECK(chat_history_applies("qwen3", NULL) && chat_history_applies(NULL, "deepseek-r1"));
    CHECK(!chat_history_applies("llama", "deepseek-v3"));
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
