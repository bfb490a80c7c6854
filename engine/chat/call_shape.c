#include "engine/chat/call_shape.h"

#include "engine/base/json.h"

#include <string.h>

#define NAMED_OPEN    "{\"name\": "
#define NAMED_BETWEEN ", \"arguments\": "

static const struct {
    const char *parser;
    struct chat_call_shape shape;
} shapes[] = {
    {"qwen3", {"<tool_call>\n" NAMED_OPEN, NAMED_BETWEEN, "}\n</tool_call>", true}},
    {"qwen3-thinking", {"<tool_call>\n" NAMED_OPEN, NAMED_BETWEEN, "}\n</tool_call>", true}},
    {"qwen3-vl-instruct", {"<tool_call>\n" NAMED_OPEN, NAMED_BETWEEN, "}\n</tool_call>", true}},
    {"qwen3-vl-thinking", {"<tool_call>\n" NAMED_OPEN, NAMED_BETWEEN, "}\n</tool_call>", true}},
    {"laguna", {"<tool_call>" NAMED_OPEN, NAMED_BETWEEN, "}</tool_call>", true}},
    {"poolside-v1", {"<tool_call>" NAMED_OPEN, NAMED_BETWEEN, "}</tool_call>", true}},
    {"ministral", {"[TOOL_CALLS]", "[ARGS]", "", false}},
    {"deepseek3",
     {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
      "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", false}},
    {"cogito",
     {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
      "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", false}},
    {"cohere",
     {"<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": ", ", \"parameters\": ",
      "}]<|END_ACTION|>", true}},
    {"kimi-k2",
     {"<|tool_calls_section_begin|><|tool_call_begin|>functions.", ":0<|tool_call_argument_begin|>",
      "<|tool_call_end|><|tool_calls_section_end|>", false}},
};

/* A call of the generic format behind its tag; the text of a list, where the tag opens one. */
static const struct chat_call_shape generic = {NAMED_OPEN, NAMED_BETWEEN, "}", true};
static const struct chat_call_shape generic_list = {NAMED_OPEN, NAMED_BETWEEN, "}]", true};

static bool opens_list(const char *tag)
{
    const size_t n = strlen(tag);
    return n > 0 && tag[n - 1] == '[';
}

const struct chat_call_shape *chat_call_shape_of(const char *parser, const char *tag)
{
    if (!parser)
        return !tag ? NULL : opens_list(tag) ? &generic_list : &generic;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(parser, shapes[i].parser) == 0)
            return &shapes[i].shape;
    return NULL;
}

void chat_call_shape_before(const struct chat_call_shape *shape, const char *tag, const char *name,
                            struct oll_strbuf *out)
{
    struct oll_json_writer w;
    if (tag && strcmp(tag, "{") != 0)
        oll_strbuf_adds(out, tag);
    oll_strbuf_adds(out, shape->open);
    if (shape->is_json) {
        oll_json_write_init(&w, out);
        oll_json_write_str(&w, name);
    } else {
        oll_strbuf_adds(out, name);
    }
    oll_strbuf_adds(out, shape->between);
}
