/* Native mode against the recorded renderings of a real server (render-jinja.jsonl), and what
 * conversations become for templates that cannot show all of them. */
#include "engine/base/clock.h"
#include "engine/chat/capabilities.h"
#include "engine/chat/jinja_native.h"
#include "tests/unit/chat/recorded.h"

#include <stdlib.h>

enum { NOON = 1787313600 }; /* 21 August 2026, 12:00 UTC */

/* ---- recordings ---- */

struct replay {
    const struct oll_json *templates, *conversations;
    int rendered, refused, own;
};

/* What oll must answer where the recorded server has a defect (README of the recordings). */
static const struct {
    const char *id, *from, *to;
} defects[] = {
    {"jinja/slices/", "|012|", "|[0, 1, 2]|"},
    {"jinja/slices/", "|x1True", "|x1TrueNone"},
    {"jinja/think/think-history", "user:What is 7*6?42user",
     "user:What is 7*6?<think>seven times six</think>42user"},
};

static void fix_defects(const char *id, struct oll_strbuf *text)
{
    for (size_t i = 0; i < sizeof defects / sizeof *defects; i++) {
        char *at = strstr(text->data, defects[i].from);
        if (strncmp(id, defects[i].id, strlen(defects[i].id)) || !at)
            continue;
        struct oll_strbuf fixed;
        oll_strbuf_init(&fixed, RECORDED_MAX);
        oll_strbuf_add(&fixed, text->data, (size_t)(at - text->data));
        oll_strbuf_adds(&fixed, defects[i].to);
        oll_strbuf_adds(&fixed, at + strlen(defects[i].from));
        oll_strbuf_free(text);
        *text = fixed;
    }
}

/* The template `basic` was taken for ChatML by the recorded server: its prompts with the template's
 * own markers. */
static void own_basic(struct oll_strbuf *text, const struct oll_json *conversation)
{
    const struct oll_json *messages = oll_json_get(conversation, "messages");
    const struct oll_json *prefill = NULL;
    oll_strbuf_clear(text);
    for (const struct oll_json *m = messages->first; m; m = m->next) {
        const char *role = oll_json_get_str(m, "role", "");
        if (!m->next && !strcmp(role, "assistant"))
            prefill = m;
        else
            oll_strbuf_printf(text, "<|turn|>%s\n%s<|end|>\n", role,
                              oll_json_get_str(m, "content", ""));
    }
    oll_strbuf_adds(text, "<|turn|>assistant\n");
    oll_strbuf_adds(text, prefill ? oll_json_get_str(prefill, "content", "") : "");
}

static void check_capabilities(const char *id, const char *source, const struct oll_json *recorded)
{
    const struct chat_capabilities found = chat_capabilities_of_jinja(source);
    bool tools = false, thinking = false;
    for (const struct oll_json *c = recorded->first; c; c = c->next) {
        tools |= !strcmp(c->str, "tools");
        thinking |= !strcmp(c->str, "thinking");
    }
    CHECK_MSG(found.tools == tools && found.thinking == thinking, "%s: capabilities", id);
}

static void check_line(const struct oll_json *line, struct replay *r, oll_status status,
                       const struct oll_strbuf *prompt, const struct oll_error *err)
{
    const char *id = oll_json_get_str(line, "id", "");
    const struct oll_json *expected = oll_json_get(line, "expected");
    const int64_t code = oll_json_get(line, "status")->i;
    struct oll_strbuf want;
    if (code == 400) {
        const char *recorded = strstr(oll_json_get_str(line, "error", ""), "Jinja Exception: ");
        const size_t n = recorded ? strcspn(recorded + 17, "\"") : 0;
        CHECK_MSG(status == OLL_ERR_ARG && n > 0 && !strncmp(err->text, recorded + 17, n), "%s: %s",
                  id, err->text);
        r->refused++;
    }
    if (!expected) {
        r->own += code == 500; /* refusing is allowed, and so is doing better */
        return;
    }
    oll_strbuf_init(&want, RECORDED_MAX);
    oll_strbuf_adds(&want, expected->str);
    if (!strncmp(id, "jinja/basic/", 12))
        own_basic(&want,
                  oll_json_get(r->conversations, oll_json_get_str(line, "conversation", "")));
    fix_defects(id, &want);
    const bool same =
        status == OLL_OK && prompt->len == want.len && !memcmp(prompt->data, want.data, want.len);
    CHECK_MSG(same, "%s:\ngot  `%s`\nwant `%s`", id, status == OLL_OK ? prompt->data : err->text,
              want.data);
    r->rendered++;
    oll_strbuf_free(&want);
}

static void replay_line(const struct oll_json *line, void *context)
{
    struct replay *r = context;
    const struct jinja_native_params params = {.bos = "<s>", .eos = "</s>"};
    const struct oll_json *source =
        oll_json_get(r->templates, oll_json_get_str(line, "template", ""));
    const struct oll_json *json =
        oll_json_get(r->conversations, oll_json_get_str(line, "conversation", ""));
    struct jinja_native *native = NULL;
    struct chat_conversation c;
    struct oll_error err = {0};
    struct oll_arena arena;
    struct oll_strbuf prompt;
    oll_arena_init(&arena, RECORDED_MAX);
    oll_strbuf_init(&prompt, RECORDED_MAX);
    CHECK_OK(chat_conversation_from_json(&arena, json, &c, &err));
    oll_status status = oll_jinja_native_open(source->str, source->str_len, &params, &native, &err);
    if (status == OLL_OK)
        status = oll_jinja_native_render(native, &c, NOON, &prompt, &err);
    check_capabilities(oll_json_get_str(line, "id", ""), source->str,
                       oll_json_get(line, "capabilities"));
    check_line(line, r, status, &prompt, &err);
    oll_jinja_native_free(native);
    oll_strbuf_free(&prompt);
    oll_arena_free(&arena);
}

TEST(recorded_prompts_are_reproduced)
{
    struct oll_arena arena;
    struct replay r = {0};
    oll_arena_init(&arena, RECORDED_MAX);
    r.templates = recorded_json(&arena, "jinja-templates.json");
    r.conversations = recorded_json(&arena, "conversations.json");
    if (r.templates && r.conversations) {
        CHECK_EQ(recorded_lines("render-jinja.jsonl", replay_line, &r), 147);
        CHECK_EQ(r.rendered, 121);
        CHECK_EQ(r.refused, 2);
        CHECK_EQ(r.own, 24);
    }
    oll_arena_free(&arena);
}

/* ---- conversations for templates that cannot show all of them ---- */

static oll_status render_text(const char *source, const char *conversation,
                              const struct jinja_native_params *params, struct oll_strbuf *out,
                              struct oll_error *err)
{
    struct jinja_native *native = NULL;
    struct chat_conversation c;
    struct oll_arena arena;
    struct oll_json *json = NULL;
    oll_arena_init(&arena, RECORDED_MAX);
    oll_strbuf_init(out, RECORDED_MAX);
    CHECK_OK(oll_json_parse(&arena, conversation, strlen(conversation), NULL, &json, err));
    CHECK_OK(chat_conversation_from_json(&arena, json, &c, err));
    oll_status status = oll_jinja_native_open(source, strlen(source), params, &native, err);
    if (status == OLL_OK)
        status = oll_jinja_native_render(native, &c, NOON, out, err);
    oll_jinja_native_free(native);
    oll_arena_free(&arena);
    return status;
}

static void check_prompt(const char *source, const char *conversation, const char *expected)
{
    const struct jinja_native_params params = {.bos = "<s>", .eos = "</s>"};
    struct oll_strbuf out;
    struct oll_error err = {0};
    const oll_status status = render_text(source, conversation, &params, &out, &err);
    CHECK_MSG(status == OLL_OK && !strcmp(out.data, expected), "`%s`\ngot  `%s`\nwant `%s`", source,
              status == OLL_OK ? out.data : err.text, expected);
    oll_strbuf_free(&out);
}

#define EACH(body) "{% for m in messages %}" body "{% endfor %}"
#define SHOW       EACH("[{{ m.role }}:{{ m.content }}]")
#define CALL(id, name, arguments)                                                                  \
    "{\"id\": \"" id "\", \"function\": {\"name\": \"" name "\", \"arguments\": " arguments "}}"
#define USER(text)   "{\"role\": \"user\", \"content\": \"" text "\"}"
#define CALLS(calls) "{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [" calls "]}"
#define RESULT(id, text)                                                                           \
    "{\"role\": \"tool\", \"content\": \"" text "\", \"tool_call_id\": \"" id "\"}"
#define MESSAGES(list) "{\"messages\": [" list "]}"

TEST(a_refused_system_message_goes_before_the_next)
{
    static const char refuses[] =
        EACH("{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}[{{ m.role }}:"
             "{{ m.content }}]");
    check_prompt(refuses, MESSAGES("{\"role\": \"system\", \"content\": \"S\"}," USER("u")),
                 "[user:S\nu]");
    check_prompt(refuses, MESSAGES("{\"role\": \"system\", \"content\": \"S\"}"), "");
    check_prompt(SHOW, MESSAGES("{\"role\": \"developer\", \"content\": \"S\"}," USER("u")),
                 "[system:S][user:u]");
}

TEST(unknown_tools_are_described)
{
    static const char tools[] = "{\"messages\": [" USER(
        "u") "], \"tools\": [{\"type\": \"function\", \"function\": "
             "{\"name\": \"f\", \"description\": \"d\", \"parameters\": {\"type\": \"object\", "
             "\"properties\": {}}}}]}";
    const struct jinja_native_params params = {0};
    struct oll_strbuf out;
    struct oll_error err = {0};
    CHECK_OK(render_text(SHOW, tools, &params, &out, &err));
    CHECK(strstr(out.data, "[system:") == out.data);
    CHECK(strstr(out.data, "\"name\": \"f\"") != NULL);
    CHECK(strstr(out.data, "\"tool_calls\": [") != NULL);
    CHECK(strstr(out.data, "[user:u]") != NULL);
    oll_strbuf_free(&out);
    check_prompt("{% for t in tools %}{{ t.function.name }}{% endfor %}" SHOW, tools, "f[user:u]");
    /* Without tools the variable is undefined, not empty. */
    check_prompt("{{ tools is defined }}", MESSAGES(USER("u")), "False");
}

TEST(unknown_calls_and_results_become_text)
{
    static const char only_users[] =
        EACH("{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no') }}{% endif %}"
             "[{{ m.role }}:{{ m.content }}]");
    check_prompt(only_users,
                 MESSAGES(USER("u") "," CALLS(CALL("i", "f", "{\"x\": 1.0}")) "," RESULT("i", "r")),
                 "[user:u][assistant:{\n  \"tool_calls\": [\n    {\n      \"name\": \"f\",\n"
                 "      \"arguments\": {\n        \"x\": 1\n      },\n      \"id\": \"i\"\n    }\n"
                 "  ]\n}][user:{\n  \"tool_response\": {\n    \"content\": \"r\",\n"
                 "    \"tool_call_id\": \"i\"\n  }\n}]");
}

TEST(calls_that_must_come_alone_come_one_after_another)
{
    static const char single[] = EACH("{% if m.tool_calls %}{% if m.tool_calls|length != 1 %}{{ "
                                      "raise_exception('one') }}{% endif %}"
                                      "({{ m.content }}{{ m.tool_calls[0].function.name }})"
                                      "{% else %}[{{ m.role }}:{{ m.content }}]{% endif %}");
    check_prompt(single,
                 MESSAGES(USER("u") "," CALLS(CALL("1", "f", "{}") "," CALL(
                     "2", "g", "{}")) "," RESULT("2", "two") "," RESULT("1", "one") "," USER("v")),
                 "[user:u](f)[tool:one](g)[tool:two][user:v]");
}

TEST(arguments_come_as_the_template_prints_them)
{
    static const char round[] = MESSAGES(
        USER("u") "," CALLS(CALL("i", "f", "{\"x\": [1, null], \"y\": 2.0}")) "," RESULT("i", "r"));
#define CALLED(how)                                                                                \
    EACH("{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}" how               \
         "{% endfor %}{% endif %}{{ m.content }}")
    check_prompt(CALLED("{{ c.function.arguments | tojson }}"), round,
                 "uf{\"x\": [1, null], \"y\": 2}r");
    check_prompt(CALLED("{{ c.function.arguments }}"), round, "uf{\"x\":[1,null],\"y\":2}r");
    check_prompt(CALLED("{{ '' + c.function.arguments }}"), round, "uf{\"x\":[1,null],\"y\":2}r");
    check_prompt(
        CALLED("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }};{% endfor %}"), round,
        "ufx=[1, None];y=2;r");
}

TEST(content_comes_in_the_form_the_template_reads)
{
    check_prompt(EACH("{% for p in m.content %}{{ p.text }}{% endfor %};"),
                 MESSAGES(USER("one") "," USER("two")), "one;two;");
    check_prompt(
        EACH("{% if m.role == 'assistant' and m.content is none %}"
             "{{ m.tool_calls[0].function.name }}{% else %}{{ m.content }}{% endif %};"),
        MESSAGES(USER("u") ",{\"role\": \"assistant\", \"content\": \"c\", \"tool_calls\": [" CALL(
            "i", "f", "{}") "]}," RESULT("i", "r")),
        "u;c;f;r;");
    check_prompt(SHOW,
                 MESSAGES("{\"role\": \"user\", \"content\": \"see\", \"images\": [\"a\", \"b\"]}"),
                 "[user:see\n[img-0]\n[img-1]]");
}

TEST(turns_that_must_alternate_are_merged)
{
    static const char alternates[] =
        EACH("{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
             "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
             "[{{ m.content }}]");
    check_prompt(alternates, MESSAGES(USER("a") "," USER("b")), "[a\n\nb]");
}

TEST(ids_fit_what_the_template_insists_on)
{
    static const char nine[] =
        EACH("{% for c in m.tool_calls or [] %}{% if c.id|length != 9 %}"
             "{{ raise_exception('[TOOL_CALLS] ids of length 9') }}{% endif %}<{{ c.function.name "
             "}}{{ c.id }}>{% endfor %}"
             "{% if m.role == 'tool' %}({{ m.tool_call_id }}{{ m.content }}){% endif %}");
    static const char numbered[] = "{# <|tool_calls_section_begin|> #}" EACH(
        "{% for c in m.tool_calls or [] %}<{{ c.function.name }}{{ c.id }}>{% endfor %}"
        "{% if m.role == 'tool' %}({{ m.tool_call_id }}{{ m.content }}){% endif %}");
    const struct jinja_native_params params = {0};
    struct oll_strbuf out;
    struct oll_error err = {0};
    check_prompt(
        nine,
        MESSAGES(CALLS(CALL("abcdefgh1", "f", "{}")) "," RESULT("abcdefgh1", "r") "," USER("u")),
        "<fabcdefgh1>(abcdefgh1r)");
    CHECK_OK(render_text(
        nine, MESSAGES(CALLS(CALL("call_1", "f", "{}")) "," RESULT("call_1", "r") "," USER("u")),
        &params, &out, &err));
    CHECK_MSG(out.len == 24 && !memcmp(out.data + 2, out.data + 13, 9), "%s", out.data);
    oll_strbuf_free(&out);
    check_prompt(
        numbered,
        MESSAGES(CALLS(CALL("x", "f", "{}") "," CALL("y", "g", "{}")) "," RESULT(
            "y", "r") "," RESULT("x", "s") "," CALLS(CALL("", "f", "{}")) "," RESULT("", "t")),
        "<ffunctions.f:0><gfunctions.g:1>(functions.g:1r)(functions.f:0s)<ffunctions.f:2>"
        "(functions.f:2t)");
}

TEST(harmony_takes_any_content)
{
    static const char harmony[] =
        EACH("{%- if \"<|channel|>\" in message.content %}{{ raise_exception('no') }}{% endif %}"
             "[{{ m.role }}:{{ m.content }}|{{ m.thinking }}{{ m.tool_calls[0].function.name }}]");
    check_prompt(harmony, MESSAGES("{\"role\": \"developer\", \"content\": \"<|channel|>\"}"),
                 "[developer:<|channel|>|]");
    check_prompt(harmony,
                 MESSAGES("{\"role\": \"assistant\", \"content\": \"c\", \"thinking\": \"t\", "
                          "\"tool_calls\": [" CALL("i", "f", "{}") "]}," RESULT("i", "r")),
                 "[assistant:|tf][tool:r|]");
}

TEST(an_empty_message_of_the_assistant_is_taken)
{
    check_prompt(EACH("{% if m.role == 'user' or m.content %}[{{ m.content }}]{% else %}"
                      "{{ raise_exception('Assistant message must have content') }}{% endif %};"),
                 MESSAGES(USER("u") ",{\"role\": \"assistant\", \"content\": \"\"}," USER("v")),
                 "[u];;[v];");
}

TEST(functions_are_told_as_text)
{
    check_prompt("{{ functions + '|' }}" SHOW, MESSAGES(USER("u")), "|[user:u]");
    check_prompt("{{ '<' + functions + '>' }}",
                 "{\"messages\": [], \"tools\": [{\"type\": \"function\"}]}",
                 "<[\n    {\n        \"type\": \"function\",\n        \"function\": {\n"
                 "            \"name\": \"\",\n            \"description\": \"\",\n"
                 "            \"parameters\": {\n                \"type\": \"\",\n"
                 "                \"properties\": null\n            }\n        }\n    }\n]>");
}

TEST(results_fold_into_the_message_that_asked)
{
    static const char folds[] = "{# <|tool_call>call: #}" EACH(
        "{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
        "{% for r in m.tool_responses or [] %}<{{ r.name }}={{ r.response }}>{% endfor %}"
        "{{ m.content }}<turn|>\n");
    check_prompt(folds,
                 MESSAGES(USER("u") "," CALLS(CALL("1", "f", "{}") "," CALL(
                     "2", "g", "{}")) "," RESULT("1", "{\\\"a\\\": 1}") "," RESULT("2", "plain")),
                 "u<turn|>\nfg<f={'a': 1}><g=plain><turn|>\n<|turn>model\n");
}

/* Trials stop at the first that is cut off, so that such a model is not slow to load. */
TEST(a_hostile_template_opens_and_fails_soon)
{
    static const char source[] = "{% for i in range(100000) %}{% for j in range(100000) %}"
                                 "{{ messages }}{% endfor %}{% endfor %}";
    const struct jinja_native_params params = {0};
    struct oll_strbuf out;
    struct oll_error err = {0};
    const uint64_t start = oll_clock_thread_ns();
    CHECK_STATUS(render_text(source, MESSAGES(USER("u")), &params, &out, &err), OLL_ERR_LIMIT);
    CHECK((double)(oll_clock_thread_ns() - start) / 1e6 < 1000);
    CHECK_EQ(out.len, 0);
    oll_strbuf_free(&out);
}

/* ---- where the model goes on ---- */

TEST(a_last_message_of_the_assistant_is_continued)
{
#define LAST(members) "{\"role\": \"assistant\", " members "}"
    static const char plain[] = SHOW "{% if add_generation_prompt %}>{% endif %}";
    static const char thinks[] = SHOW ">{{ enable_thinking }}{# <think></think> #}";
    struct oll_strbuf out;
    struct oll_error err = {0};
    const struct jinja_native_params params = {0};
    check_prompt(plain, MESSAGES(USER("u") "," LAST("\"content\": \"be\"")), "[user:u]>be");
    check_prompt(thinks, MESSAGES(USER("u") "," LAST("\"content\": \"be\"")),
                 "[user:u]>True<think></think>be");
    check_prompt(thinks, MESSAGES(USER("u") "," LAST("\"content\": \"\", \"thinking\": \"t\"")),
                 "[user:u]>True");
    check_prompt(plain, MESSAGES(USER("u") "," CALLS(CALL("i", "f", "{}"))),
                 "[user:u][assistant:{\n  \"tool_calls\": [\n    {\n      \"name\": \"f\",\n"
                 "      \"arguments\": {},\n      \"id\": \"i\"\n    }\n  ]\n}]>");
    CHECK_STATUS(render_text(plain,
                             MESSAGES(USER("u") "," LAST("\"content\": \"a\"") "," LAST(
                                 "\"content\": \"b\"")),
                             &params, &out, &err),
                 OLL_ERR_ARG);
    CHECK_STR(err.text, "Cannot have 2 or more assistant messages at the end of the list.");
    oll_strbuf_free(&out);
}

TEST(thinking_is_told_as_it_is_set)
{
    static const char says[] = "{{ enable_thinking }}|{{ thinking }}|{{ reasoning_effort }}";
    static const char can[] =
        "{{ enable_thinking }}|{{ thinking }}|{{ reasoning_effort }}{# <think></think> #}";
    check_prompt(says, MESSAGES(USER("u")), "||");
    check_prompt(can, MESSAGES(USER("u")), "True|True|");
    check_prompt(can, "{\"messages\": [], \"think\": false}", "False|False|");
    check_prompt(says, "{\"messages\": [], \"think\": \"high\"}", "True|True|high");
    check_prompt(says, "{\"messages\": [], \"think\": true}", "True|True|");
    check_prompt("{{ reasoning_effort }}", "{\"messages\": [], \"think\": \"max\"}", "max");
    check_prompt("{{ reasoning_effort }}{# <|channel|> #}",
                 "{\"messages\": [], \"think\": \"max\"}", "high");
}

TEST(tokens_and_dates_are_told)
{
    const struct jinja_native_params adds = {
        .bos = "<s>", .eos = "</s>", .adds_bos = true, .adds_eos = true};
    struct oll_strbuf out;
    struct oll_error err = {0};
    check_prompt("{{ bos_token }}{{ eos_token }}|{{ date_string }}|{{ datetime }}",
                 MESSAGES(USER("u")), "<s></s>|21 Aug 2026|Aug 21 2026");
    CHECK_OK(render_text("{{ bos_token }}{{ bos_token }}x{{ eos_token }}{{ eos_token }}",
                         MESSAGES(USER("u")), &adds, &out, &err));
    CHECK_STR(out.data, "<s>x</s>");
    oll_strbuf_free(&out);
    check_prompt("chatml", MESSAGES(USER("u")),
                 "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
    check_prompt("", MESSAGES(USER("u")), "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
}

int main(int argc, char **argv)
{
    setenv("TZ", "UTC", 1);
    return testing_main(argc, argv);
}
