/* Which template, renderer and parser count for a request, and what the prompt then is. */
#include "engine/base/mem.h"
#include "engine/chat/harmony_name.h"
#include "engine/chat/history.h"
#include "engine/chat/style.h"
#include "tests/testing.h"

#include <string.h>

#define JINJA                                                                                      \
    "{%- for m in messages %}<{{ m.role }}>{{ m.content }}{%- endfor %}"                           \
    "{% if tools %}T{% endif %}{% if add_generation_prompt %}<assistant>{% endif %}"
#define GO "{{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}"

static struct oll_arena arena;
static struct chat_model model;

static void open_model(const char *family, const char *jinja)
{
    const struct jinja_native_params tokens = {.bos = "", .eos = ""};
    oll_arena_init(&arena, 1 << 20);
    CHECK_OK(chat_model_open(&model, family, jinja, &tokens, NULL));
}

static void close_model(void)
{
    chat_model_close(&model);
    oll_arena_free(&arena);
}

static struct chat_conversation read_conversation(const char *json)
{
    struct chat_conversation c = {0};
    struct oll_json *root = NULL;
    CHECK_OK(oll_json_parse(&arena, json, strlen(json), NULL, &root, NULL));
    CHECK_OK(chat_conversation_from_json(&arena, root, &c, NULL));
    return c;
}

/* The prompt of "hi", or the error. */
static const char *prompt_of(const struct chat_source *source, bool adds_bos)
{
    struct chat_style style = {0};
    struct oll_error err = {0};
    struct oll_strbuf out;
    const struct chat_conversation c =
        read_conversation("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    oll_strbuf_init(&out, 1 << 16);
    oll_status status = chat_style_choose(&model, source, &style, &err);
    if (status == OLL_OK)
        status = chat_style_render(&style, &arena, &c, NULL, adds_bos, &out, &err);
    const char *text = oll_arena_strdup(&arena, status == OLL_OK ? out.data : err.text);
    oll_strbuf_free(&out);
    chat_style_free(&style);
    return text;
}

TEST(what_says_more_of_the_prompt_counts)
{
    open_model("llama", JINJA);
    CHECK_STR(prompt_of(&(struct chat_source){0}, false), "<user>hi<assistant>");
    /* It can show tools, the Go template cannot. */
    CHECK_STR(prompt_of(&(struct chat_source){.model_template = GO}, false), "<user>hi<assistant>");
    CHECK_STR(
        prompt_of(&(struct chat_source){.model_template = GO, .prefer = OLL_TEMPLATE_GO}, false),
        "[user]hi");
    CHECK_STR(
        prompt_of(&(struct chat_source){.model_template = GO, .renderer = "qwen3-coder"}, false),
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    CHECK_STR(prompt_of(&(struct chat_source){.model_template = GO,
                                              .renderer = "qwen3-coder",
                                              .request_template = "{{ .Prompt }}!"},
                        false),
              "hi!");
    CHECK_STR(prompt_of(&(struct chat_source){.renderer = "nosuch"}, false),
              "unknown renderer \"nosuch\"");
    close_model();
    open_model("llama", NULL);
    CHECK_STR(prompt_of(&(struct chat_source){0}, false), "hi");
    close_model();
}

TEST(a_preference_decides_between_two_templates)
{
    struct chat_source source = {.model_template = GO, .prefer = OLL_TEMPLATE_JINJA};
    open_model("llama", JINJA);
    CHECK_STR(prompt_of(&source, false), "<user>hi<assistant>");
    source.parser = "qwen3-coder"; /* speaks for the template that was stored beside it */
    CHECK_STR(prompt_of(&source, false), "[user]hi");
    close_model();
}

TEST(a_renderer_leaves_the_bos_to_the_tokeniser)
{
    const struct chat_source source = {.renderer = "functiongemma"};
    open_model("gemma3", NULL);
    const char *with = prompt_of(&source, false), *without = prompt_of(&source, true);
    CHECK(strncmp(with, "<bos>", 5) == 0);
    CHECK_STR(without, with + 5);
    close_model();
}

TEST(earlier_thinking_goes_where_a_model_wants_it_gone)
{
    struct chat_style style;
    struct chat_conversation c;
    open_model("qwen3", NULL);
    CHECK_OK(chat_style_choose(&model, &(struct chat_source){0}, &style, NULL));
    c = read_conversation("{\"messages\":["
                          "{\"role\":\"assistant\",\"content\":\"<think>a</think>b\"},"
                          "{\"role\":\"user\",\"content\":\"<think>c</think>d\"},"
                          "{\"role\":\"assistant\",\"content\":\"<think>e</think>f\"}]}");
    CHECK_OK(chat_style_prepare(&style, &arena, &c, &c, NULL));
    CHECK_STR(c.messages[0].content, "b");
    CHECK_STR(c.messages[1].content, "<think>c</think>d");
    CHECK_STR(c.messages[2].content, "<think>e</think>f");
    close_model();
    CHECK(chat_history_applies("llama", "deepseek-r1"));
    CHECK(!chat_history_applies("llama", "r1"));
}

static const char *name_at(const struct oll_json *tools, int i)
{
    const struct oll_json *t = tools->first;
    while (i--)
        t = t->next;
    return oll_json_get_str(oll_json_get(t, "function"), "name", "");
}

TEST(harmony_shows_tools_and_calls_by_identifiers)
{
    struct chat_conversation c, shown;
    oll_arena_init(&arena, 1 << 20);
    c = read_conversation(
        "{\"think\":\"max\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":["
        "{\"function\":{\"name\":\"get-weather\",\"arguments\":{}}},"
        "{\"function\":{\"name\":\"not declared\",\"arguments\":{}}}]},"
        "{\"role\":\"tool\",\"tool_name\":\"get-weather\",\"content\":\"x\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"description\":\"d\",\"name\":\"get_"
        "weather\"}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"get-weather\",\"parameters\":{}}},"
        "{\"type\":\"other\"}]}");
    CHECK_OK(chat_harmony_conversation(&arena, &c, &shown, NULL));
    CHECK(shown.think == OLL_THINK_HIGH && shown.tools->n == 3);
    CHECK_STR(name_at(shown.tools, 0), "get_weather");
    CHECK_STR(name_at(shown.tools, 1), "get_weather_2");
    CHECK_STR(shown.messages[0].calls[0].name, "get_weather_2");
    CHECK_STR(shown.messages[0].calls[1].name, "not_declared");
    CHECK_STR(shown.messages[1].tool_name, "get_weather_2");
    /* The rest, and what was given, stay as they were. */
    CHECK_STR(oll_json_get_str(oll_json_get(shown.tools->first, "function"), "description", ""),
              "d");
    CHECK_STR(name_at(c.tools, 1), "get-weather");
    CHECK_STR(c.messages[0].calls[0].name, "get-weather");
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
