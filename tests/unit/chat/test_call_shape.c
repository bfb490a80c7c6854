/* The text of a forced call, by shape, is what the format's own parser takes for that call. */
#include "engine/base/mem.h"
#include "engine/chat/call_shape.h"
#include "engine/chat/parser.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static const char tools_json[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"look_up\",\"parameters\":{\"type\":"
    "\"object\","
    "\"properties\":{\"town\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"}},\"required\":["
    "\"town\"]}}}]";
static const char arguments[] = "{\"town\":\"Ulm \\\"x\\\" }\",\"days\":2}";

struct seen {
    int n_calls;
    char name[64], arguments[256], content[256];
};

static void on_event(void *user, const struct chat_event *event)
{
    struct seen *seen = user;
    if (event->type == CHAT_EVENT_CALL) {
        seen->n_calls++;
        snprintf(seen->name, sizeof seen->name, "%s", event->name);
        snprintf(seen->arguments, sizeof seen->arguments, "%s", event->arguments);
    } else {
        const size_t n = strlen(seen->content);
        snprintf(seen->content + n, sizeof seen->content - n, "%.*s", (int)event->len, event->text);
    }
}

/* What the parser makes of the call, a byte at a time. */
static struct seen parse(const char *parser, const char *tag, const char *text)
{
    struct oll_arena arena;
    struct oll_json *tools = NULL;
    struct chat_parser *p = NULL;
    struct oll_error err = {0};
    struct seen seen = {0};
    oll_arena_init(&arena, 1 << 20);
    CHECK_OK(oll_json_parse(&arena, tools_json, sizeof tools_json - 1, NULL, &tools, NULL));
    const struct chat_parser_config config = {.parser = parser,
                                              .tag = tag,
                                              .tools = tools,
                                              .think = OLL_THINK_OFF,
                                              .on_event = on_event,
                                              .user = &seen};
    CHECK_OK(chat_parser_create(&config, &p, NULL));
    for (const char *c = text; *c; c++)
        CHECK_MSG(chat_parser_feed(p, c, 1, &err) == OLL_OK, "%s", err.text);
    CHECK_MSG(chat_parser_finish(p, &err) == OLL_OK, "%s", err.text);
    chat_parser_free(p);
    oll_arena_free(&arena);
    return seen;
}

static void check_shape(const char *parser, const char *tag)
{
    const struct chat_call_shape *shape = chat_call_shape_of(parser, tag);
    struct oll_strbuf text;
    oll_strbuf_init(&text, 1 << 16);
    chat_call_shape_before(shape, tag, "look_up", &text);
    oll_strbuf_adds(&text, arguments);
    oll_strbuf_adds(&text, shape->close);
    const struct seen seen = parse(parser, tag, text.data);
    CHECK_MSG(seen.n_calls == 1 && strcmp(seen.name, "look_up") == 0 &&
                  strcmp(seen.arguments, arguments) == 0,
              "%s: `%s` gives %d calls, %s(%s)", parser ? parser : tag, text.data, seen.n_calls,
              seen.name, seen.arguments);
    CHECK_MSG(strspn(seen.content, " \n") == strlen(seen.content), "%s: content `%s`",
              parser ? parser : tag, seen.content);
    oll_strbuf_free(&text);
}

/* Arguments that are no JSON document are tested with generated calls (calls_against_python.py). */
TEST(parsers_take_the_shape_for_the_call)
{
    const struct chat_parser_facts *facts;
    int n = 0, n_json = 0;
    for (uint32_t i = 0; (facts = chat_parser_info(i)) != NULL; i++) {
        const struct chat_call_shape *shape = chat_call_shape_of(facts->name, NULL);
        CHECK_MSG((shape != NULL) == facts->has_tools, "%s: tools and a shape, or neither",
                  facts->name);
        n += shape != NULL;
        if (shape && shape->arguments->is_document) {
            check_shape(facts->name, NULL);
            n_json++;
        }
    }
    CHECK_EQ(n, 32);
    CHECK_EQ(n_json, 15);
}

TEST(the_generic_parser_takes_the_shape_for_the_call)
{
    static const char *const tags[] = {
        "{", "[", "<tool_call>", "[TOOL_CALLS] [", "functools[", "[TOOL_CALLS]", "<function="};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        check_shape(NULL, tags[i]);
}

TEST(other_formats_have_no_shape)
{
    CHECK(!chat_call_shape_of("passthrough", NULL));
    CHECK(!chat_call_shape_of(NULL, NULL));
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
