/* Which format a model writes, by what its Jinja template mentions (spec 3.8). */
#include "engine/chat/parser.h"

#include <string.h>

struct signature {
    const char *parser;
    const char *all[3]; /* must be mentioned */
    const char *not_any;
};

/* In the order of the spec; the first that fits counts. */
static const struct signature signatures[] = {
    {.parser = "ministral",
     .all = {"[SYSTEM_PROMPT]", "[TOOL_CALLS]", "[ARGS]"},
     .not_any = "[CALL_ID]"},
    {.parser = "harmony", .all = {"<|channel|>"}},
    {.parser = "functionary", .all = {">>>all", ">>>${recipient}"}},
    {.parser = "kimi-k2", .all = {"<|tool_calls_section_begin|>", "<|tool_call_begin|>"}},
    {.parser = "cohere", .all = {"<|START_TEXT|>", "<|START_ACTION|>"}},
    {.parser = "mirothinker", .all = {"</use_mcp_tool>", "</server_name>"}},
    {.parser = "lfm2-thinking", .all = {"<|tool_list_start|>", "<|tool_list_end|>", "<think>"}},
    {.parser = "lfm2", .all = {"<|tool_list_start|>", "<|tool_list_end|>"}},
    {.parser = "lfm2-thinking", .all = {"List of tools: [", "<think>"}},
    {.parser = "lfm2", .all = {"List of tools: ["}},
    {.parser = "gigachat3",
     .all = {"<|role_sep|>", "<|message_sep|>"},
     .not_any = "<|function_call|>"},
    {.parser = "minimax-m3", .all = {"]<]minimax[>[", "<tool_call>", "<invoke name="}},
    {.parser = "deepseek-v3.2", .all = {"dsml_token", "DSML", "function_calls"}},
    {.parser = "deepseek-v4", .all = {"dsml_token", "DSML", "tool_calls"}},
    {.parser = "gemma4", .all = {"'<|tool_call>call:'"}},
    /* Not special to one model, but told by two marks that nothing else has together. */
    {.parser = "qwen3-coder",
     .all = {"<tool_call>", "<function=", "<parameter="},
     .not_any = "<think>"},
    {.parser = "qwen3.5", .all = {"<tool_call>", "<function=", "<parameter="}},
    {.parser = "glm-ocr", .all = {"<tool_call>", "<arg_key>", "<arg_value>"}},
    {.parser = "deepseek3", .all = {"<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>"}},
};

static bool mentions_all(const char *source, const char *const what[3])
{
    for (int i = 0; i < 3 && what[i]; i++) {
        if (!strstr(source, what[i]))
            return false;
    }
    return true;
}

const char *chat_parser_for_template(const char *source)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *s = &signatures[i];
        if (mentions_all(source, s->all) && !(s->not_any && strstr(source, s->not_any)))
            return s->parser;
    }
    return NULL;
}

struct chat_parser_tags chat_parser_tags_for_template(const char *source)
{
    static const char *const calls[] = {"<tool_call>", "[TOOL_CALLS]", "<|python_tag|>",
                                        "functools["};
    static const char *const thinking[][2] = {
        {"<think>", "</think>"}, {"[THINK]", "[/THINK]"}, {"<seed:think>", "</seed:think>"}};
    struct chat_parser_tags tags = {NULL, NULL, NULL};
    for (size_t i = 0; i < sizeof calls / sizeof *calls && !tags.tag; i++) {
        if (strstr(source, calls[i]))
            tags.tag = calls[i];
    }
    if (!tags.tag && strstr(source, "tool_calls"))
        tags.tag = "{";
    for (size_t i = 0; i < sizeof thinking / sizeof *thinking && !tags.think_open; i++) {
        if (strstr(source, thinking[i][1])) {
            tags.think_open = thinking[i][0];
            tags.think_close = thinking[i][1];
        }
    }
    return tags;
}
