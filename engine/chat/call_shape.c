#include "engine/chat/call_shape.h"

#include "engine/chat/parse_internal.h"

#include <string.h>

#define NAME  "\1"
#define NAMED "{\"name\": \2, \"arguments\": "

#define FORBIDDEN(id, ...) static const char *const id[] = {__VA_ARGS__, NULL}
FORBIDDEN(no_call_end, "<tool_call>", "</tool_call>");
FORBIDDEN(no_ministral, "[TOOL_CALLS]");
FORBIDDEN(no_deepseek, "<｜tool▁call", "```");
FORBIDDEN(no_cohere, "<|END_ACTION|>");
FORBIDDEN(no_kimi, "<|tool_call");
FORBIDDEN(no_mcp, "</arguments>", "</use_mcp_tool>");
FORBIDDEN(no_messages, "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>",
          "<|return|>", "<|eom|>", "<|eot|>");
FORBIDDEN(no_role, "<|role_sep|>", "<|message_sep|>");
FORBIDDEN(no_xml, "<function=", "</function>", "<parameter=", "</parameter>", "<tool_call>",
          "</tool_call>");
FORBIDDEN(no_glm, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "<tool_call>",
          "</tool_call>");
FORBIDDEN(no_atem, "<atem:", "</atem:", "<|start|>", "<|message|>", "<|eom|>", "<|eot|>");
FORBIDDEN(no_minimax, "]<]minimax[>[");
FORBIDDEN(no_dsml, "｜DSML｜");
FORBIDDEN(no_olmo, "<function_calls>", "</function_calls>");
FORBIDDEN(no_lfm, "<|tool_call");
FORBIDDEN(no_gemma4, "<|tool_call>", "<tool_call|>", "<|tool_response>");
FORBIDDEN(no_functiongemma, "<start_function_call>", "<end_function_call>");

#define JSON_WORDS   {"null", "false", "true"}
#define PYTHON_WORDS {"None", "False", "True"}

#define JSON(id, list)                                                                             \
    static const struct json_arguments id = {.style = {.words = JSON_WORDS, .forbidden = list},    \
                                             .is_document = true}
static const struct json_arguments json = {.style = {.words = JSON_WORDS}, .is_document = true};
JSON(json_call, no_call_end);
JSON(json_ministral, no_ministral);
JSON(json_deepseek, no_deepseek);
JSON(json_cohere, no_cohere);
JSON(json_kimi, no_kimi);
JSON(json_mcp, no_mcp);
JSON(json_message, no_messages);
JSON(json_gigachat, no_role);

/* Names that may stand in a tag. */
#define TAG_CHARS "-.$"

static const struct json_arguments xml = {
    .style = {.words = JSON_WORDS, .forbidden = no_xml},
    .key_open = "<parameter=",
    .key_close = ">\n",
    .value_close = "\n</parameter>\n",
    .between = "",
    .name_chars = TAG_CHARS,
    .raw_strings = true,
    .declared = chat_declared_types,
};
#define GLM(line)                                                                                  \
    {.style = {.words = JSON_WORDS, .forbidden = no_glm},                                          \
     .key_open = "<arg_key>",                                                                      \
     .key_close = "</arg_key>" line "<arg_value>",                                                 \
     .value_close = "</arg_value>" line,                                                           \
     .between = "",                                                                                \
     .name_chars = TAG_CHARS,                                                                      \
     .raw_strings = true,                                                                          \
     .cuts_newlines = true,                                                                        \
     .declared = chat_declared_types}
static const struct json_arguments glm = GLM("");
static const struct json_arguments glm_ocr = GLM("\n");
static const struct json_arguments atem = {
    .style = {.words = JSON_WORDS, .forbidden = no_atem},
    .key_open = "<atem:parameter name=\"",
    .key_close = "\">",
    .value_close = "</atem:parameter>\n",
    .between = "",
    .name_chars = TAG_CHARS,
    .raw_strings = true,
    .declared = chat_declared_types,
};
#define MARK "]<]minimax[>["
static const struct json_arguments minimax = {
    .style = {.words = JSON_WORDS, .forbidden = no_minimax},
    .key_open = MARK "<",
    .key_close = ">",
    .value_close = MARK "</" NAME ">",
    .between = "",
    .name_chars = "-.",
    .raw_strings = true,
    .cuts_newlines = true,
    .declared = chat_declared_types,
};
static const struct json_arguments dsml = {
    .style = {.words = JSON_WORDS, .forbidden = no_dsml},
    .key_open = "<｜DSML｜parameter name=\"",
    .key_close = "\" string=\"false\">",
    .string_key_close = "\" string=\"true\">",
    .value_close = "</｜DSML｜parameter>\n",
    .between = "",
    .name_chars = TAG_CHARS,
    .raw_strings = true,
};
#define PYTHON(list)                                                                               \
    {.style = {.words = PYTHON_WORDS, .forbidden = list},                                          \
     .key_open = "",                                                                               \
     .key_close = "=",                                                                             \
     .value_close = "",                                                                            \
     .between = ", ",                                                                              \
     .name_chars = "-."}
static const struct json_arguments olmo = PYTHON(no_olmo);
static const struct json_arguments lfm = PYTHON(no_lfm);
static const struct json_arguments gemma4 = {
    .style = {.words = JSON_WORDS, .quote = "<|\"|>", .forbidden = no_gemma4},
    .key_open = "",
    .key_close = ":",
    .value_close = "",
    .between = ",",
    .name_chars = "",
};
static const struct json_arguments functiongemma = {
    .style = {.words = {NULL, "false", "true"},
              .quote = "<escape>",
              .forbidden = no_functiongemma,
              .bare_objects = true},
    .key_open = "",
    .key_close = ":",
    .value_close = "",
    .between = ",",
    .name_chars = TAG_CHARS,
};

#define SHAPE(text, end, list) .before = (text), .close = (end), .arguments = &(list)
#define QWEN_JSON              SHAPE("<tool_call>\n" NAMED, "}\n</tool_call>", json_call)
#define QWEN_XML               SHAPE("<tool_call>\n<function=" NAME ">\n", "</function>\n</tool_call>", xml)
#define LAGUNA_JSON            SHAPE("<tool_call>" NAMED, "}</tool_call>", json_call)
#define DSML(word)                                                                                 \
    SHAPE("<｜DSML｜" word ">\n<｜DSML｜invoke name=\"" NAME "\">\n",                              \
          "</｜DSML｜invoke>\n</｜DSML｜" word ">", dsml)
#define LFM    SHAPE("<|tool_call_start|>[" NAME "(", ")]<|tool_call_end|>", lfm)
#define GEMMA4 SHAPE("<|tool_call>call:" NAME "{", "}<tool_call|>", gemma4)

static const struct {
    const char *parser;
    struct chat_call_shape shape;
} shapes[] = {
    {"qwen3", {QWEN_JSON}},
    {"qwen3-thinking", {QWEN_JSON}},
    {"qwen3-vl-instruct", {QWEN_JSON}},
    {"qwen3-vl-thinking", {QWEN_JSON}},
    {"qwen3-coder", {QWEN_XML}},
    {"qwen3.5", {QWEN_XML}},
    {"ornith", {QWEN_XML}},
    {"nemotron-3-nano", {QWEN_XML}},
    {"nemotron-3.5-nano", {QWEN_XML}},
    {"laguna", {LAGUNA_JSON}},
    {"poolside-v1", {LAGUNA_JSON}},
    {"ministral", {SHAPE("[TOOL_CALLS]" NAME "[ARGS]", "", json_ministral)}},
    {"deepseek3",
     {SHAPE("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" NAME "<｜tool▁sep｜>",
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", json_deepseek)}},
    {"cogito",
     {SHAPE("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>" NAME "\n```json\n",
            "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", json_deepseek)}},
    {"deepseek-v3.2", {DSML("function_calls")}},
    {"deepseek-v4", {DSML("tool_calls")}},
    {"cohere",
     {SHAPE("<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \2, \"parameters\": ",
            "}]<|END_ACTION|>", json_cohere)}},
    {"kimi-k2",
     {SHAPE("<|tool_calls_section_begin|><|tool_call_begin|>functions." NAME
            ":0<|tool_call_argument_begin|>",
            "<|tool_call_end|><|tool_calls_section_end|>", json_kimi)}},
    {"glm-4.7", {SHAPE("<tool_call>" NAME, "</tool_call>", glm)}},
    {"glm-ocr", {SHAPE("<tool_call>" NAME "\n", "</tool_call>", glm_ocr)}},
    {"minimax-m3",
     {SHAPE(MARK "<tool_call>\n" MARK "<invoke name=\"" NAME "\">",
            MARK "</invoke>\n" MARK "</tool_call>", minimax)}},
    {"mirothinker",
     {SHAPE("<use_mcp_tool>\n<server_name>tools</server_name>\n<tool_name>" NAME
            "</tool_name>\n<arguments>\n",
            "\n</arguments>\n</use_mcp_tool>", json_mcp)}},
    {"gigachat3", {SHAPE("function call<|role_sep|>\n" NAMED, "}", json_gigachat)}},
    {"olmo3", {SHAPE("<function_calls>" NAME "(", ")</function_calls>", olmo)}},
    {"lfm2", {LFM}},
    {"lfm2-thinking", {LFM}},
    {"gemma4", {GEMMA4}},
    {"gemma4-no-thinking", {GEMMA4}},
    {"functiongemma",
     {SHAPE("<start_function_call>call:" NAME "{", "}<end_function_call>", functiongemma)}},
    {"functionary", {SHAPE(NAME "\n", "", json), .is_message = true}},
    {"harmony",
     {SHAPE("<|channel|>commentary to=functions." NAME " <|constrain|>json<|message|>", "",
            json_message),
      .is_message = true, .free_open = "<|channel|>analysis<|message|>", .free_mark = "<|",
      .free_close = "<|end|><|start|>assistant", .harmony_names = true}},
    {"glimmer",
     {SHAPE(" to=" NAME "<|message|><atem:function_calls>\n<atem:invoke name=\"" NAME "\">\n",
            "</atem:invoke>\n</atem:function_calls>", atem),
      .is_message = true, .free_open = " to=self<|message|>", .free_mark = "<|",
      .free_close = "<|eom|><|start|>assistant"}},
};

/* A call of the generic format behind its tag; the text of a list, where the tag opens one. */
static const struct chat_call_shape generic = {SHAPE(NAMED, "}", json)};
static const struct chat_call_shape generic_list = {SHAPE(NAMED, "}]", json)};

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
    for (const char *c = shape->before; *c; c++) {
        if (*c == '\1') {
            oll_strbuf_adds(out, name);
        } else if (*c == '\2') {
            oll_json_write_init(&w, out);
            oll_json_write_str(&w, name);
        } else {
            oll_strbuf_addc(out, *c);
        }
    }
}

unsigned chat_declared_types(void *function, const char *name, size_t n)
{
    return parse_declared_types(function, name, n);
}
