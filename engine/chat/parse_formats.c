/* The built-in formats: facts and behaviour of each (spec 5.3, 3.8). */
#include "engine/chat/parse_internal.h"

#include <string.h>

#define DS_CALLS_BEGIN   "<｜tool▁calls▁begin｜>"
#define DS_CALLS_END     "<｜tool▁calls▁end｜>"
#define DS_CALL_BEGIN    "<｜tool▁call▁begin｜>"
#define DS_CALL_END      "<｜tool▁call▁end｜>"
#define DS_SEP           "<｜tool▁sep｜>"
#define DS_OUTPUT_BEGIN  "<｜tool▁output▁begin｜>"
#define DS_OUTPUT_END    "<｜tool▁output▁end｜>"
#define DS_OUTPUTS_BEGIN "<｜tool▁outputs▁begin｜>"
#define DS_OUTPUTS_END   "<｜tool▁outputs▁end｜>"
#define THINK            "<think>"
#define THINK_END        "</think>"
#define CALL             "<tool_call>"
#define CALL_END         "</tool_call>"

#define TOKENS(name) static const char *const name[]
TOKENS(tokens_none) = {NULL};
TOKENS(tokens_think_call) = {THINK, THINK_END, CALL, CALL_END, NULL};
TOKENS(tokens_call) = {CALL, CALL_END, NULL};
TOKENS(tokens_end_call) = {THINK_END, CALL, CALL_END, NULL};
TOKENS(tokens_think_end) = {THINK_END, NULL};
TOKENS(tokens_ministral) = {"[TOOL_CALLS]", "[THINK]", "[/THINK]", "[ARGS]", NULL};
TOKENS(tokens_harmony) = {"<|start|>",   "<|end|>",       "<|message|>",
                          "<|channel|>", "<|constrain|>", NULL};
TOKENS(tokens_cogito) = {
    THINK_END,       DS_CALLS_BEGIN, DS_CALLS_END,     DS_CALL_BEGIN,  DS_CALL_END, DS_SEP,
    DS_OUTPUT_BEGIN, DS_OUTPUT_END,  DS_OUTPUTS_BEGIN, DS_OUTPUTS_END, NULL};
TOKENS(tokens_deepseek) = {THINK_END, DS_CALLS_BEGIN,  DS_CALLS_END,  DS_CALL_BEGIN, DS_CALL_END,
                           DS_SEP,    DS_OUTPUT_BEGIN, DS_OUTPUT_END, NULL};
TOKENS(tokens_olmo) = {"<function_calls>", "</function_calls>", NULL};
TOKENS(tokens_functiongemma) = {"<start_function_call>", "<end_function_call>", NULL};
TOKENS(tokens_glm) = {THINK,        THINK_END,     CALL,           CALL_END, "<arg_key>",
                      "</arg_key>", "<arg_value>", "</arg_value>", NULL};
TOKENS(tokens_gemma4) = {
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<|\"|>", NULL};
TOKENS(tokens_lfm) = {THINK, THINK_END, "<|tool_call_start|>", "<|tool_call_end|>", NULL};
TOKENS(tokens_laguna) = {THINK,         THINK_END,      CALL,        CALL_END,
                         "<user>",      "</user>",      "<arg_key>", "</arg_key>",
                         "<arg_value>", "</arg_value>", NULL};
TOKENS(tokens_cohere) = {"<|START_THINKING|>", "<|END_THINKING|>", "<|START_TEXT|>",
                         "<|END_TEXT|>",       "<|START_ACTION|>", "<|END_ACTION|>",
                         "<|START_RESPONSE|>", "<|END_RESPONSE|>", NULL};
TOKENS(tokens_glimmer) = {"<|start|>", "<|message|>", "<|eom|>", "<|eot|>", NULL};
TOKENS(tokens_kimi) = {THINK,
                       THINK_END,
                       "<|tool_calls_section_begin|>",
                       "<|tool_calls_section_end|>",
                       "<|tool_call_begin|>",
                       "<|tool_call_argument_begin|>",
                       "<|tool_call_end|>",
                       NULL};
TOKENS(tokens_mirothinker) = {THINK, THINK_END, NULL};
TOKENS(tokens_gigachat) = {"<|role_sep|>", "<|message_sep|>", NULL};
TOKENS(tokens_minimax) = {THINK, THINK_END, "]<]minimax[>[", CALL, CALL_END, NULL};
TOKENS(tokens_dsml) = {THINK, THINK_END, "｜DSML｜", NULL};

/* White space dropped round tags, and a tag's beginning at the end. */
#define TRIMMED                                                                                    \
    .think_space = SPACE_TRIM, .content_space = SPACE_TRIM, .lost_tail_think = true,               \
    .lost_tail_content = true
#define THINK_TAGS .think_open = THINK, .think_close = THINK_END
#define CALL_TAGS  .call_open = CALL, .call_close = CALL_END

static const struct parse_tagged qwen3 = {TRIMMED, CALL_TAGS, .call = parse_body_named_json};
static const struct parse_tagged qwen3_thinking = {TRIMMED,
                                                   THINK_TAGS,
                                                   CALL_TAGS,
                                                   .start = START_INSIDE_UNLESS_OFF,
                                                   .echo = true,
                                                   .call_ends_thinking = true,
                                                   .call = parse_body_named_json};
static const struct parse_tagged qwen3_coder = {TRIMMED, CALL_TAGS, .call = parse_body_xml};
static const struct parse_tagged qwen3_vl = {TRIMMED, CALL_TAGS, .call = parse_body_vl_json};
static const struct parse_tagged qwen3_vl_thinking = {TRIMMED,
                                                      THINK_TAGS,
                                                      CALL_TAGS,
                                                      .start = START_INSIDE,
                                                      .prefill = PREFILL_CONTENT,
                                                      .call_ends_thinking = true,
                                                      .call = parse_body_vl_json};
/* Qwen 3.5, Ornith and Nemotron 3. */
static const struct parse_tagged thinking_coder = {TRIMMED,
                                                   THINK_TAGS,
                                                   CALL_TAGS,
                                                   .start = START_INSIDE_UNLESS_OFF,
                                                   .prefill = PREFILL_CONTENT,
                                                   .echo = true,
                                                   .call_ends_thinking = true,
                                                   .call = parse_body_xml};
static const struct parse_tagged deepseek3 = {THINK_TAGS,
                                              .start = START_INSIDE_IF_ON,
                                              .prefill = PREFILL_CONTENT,
                                              .think_space = SPACE_TRIM,
                                              .lost_tail_think = true,
                                              .section_open = DS_CALLS_BEGIN,
                                              .section_close = DS_CALLS_END,
                                              .call_open = DS_CALL_BEGIN,
                                              .call_close = DS_CALL_END,
                                              .stalls = true,
                                              .hide_open = DS_OUTPUT_BEGIN,
                                              .hide_close = DS_OUTPUT_END,
                                              .keep_hidden = true,
                                              .call = parse_body_deepseek};
static const struct parse_tagged cogito = {THINK_TAGS,
                                           .start = START_INSIDE_NO_TOOLS,
                                           .prefill = PREFILL_CONTENT,
                                           .think_space = SPACE_TRIM,
                                           .lost_tail_think = true,
                                           .section_open = DS_CALLS_BEGIN,
                                           .section_close = DS_CALLS_END,
                                           .call_open = DS_CALL_BEGIN,
                                           .call_close = DS_CALL_END,
                                           .hide_open = DS_OUTPUTS_BEGIN,
                                           .hide_close = DS_OUTPUTS_END,
                                           .call = parse_body_cogito};
static const struct parse_tagged olmo3 = {.call_open = "<function_calls>",
                                          .call_close = "</function_calls>",
                                          .lost_tail_content = true,
                                          .call = parse_body_olmo};
static const struct parse_tagged olmo3_think = {THINK_TAGS, .start = START_INSIDE,
                                                .prefill = PREFILL_CONTENT,
                                                .think_space = SPACE_TRIM, .lost_tail_think = true};
static const struct parse_tagged functiongemma = {.call_open = "<start_function_call>",
                                                  .call_close = "<end_function_call>",
                                                  .lost_tail_content = true,
                                                  .call = parse_body_functiongemma};
static const struct parse_tagged glm = {TRIMMED,          THINK_TAGS,
                                        CALL_TAGS,        .start = START_INSIDE_UNLESS_OFF,
                                        .unclosed = true, .call = parse_body_glm};
static const struct parse_tagged glm_ocr = {TRIMMED,          THINK_TAGS,
                                            CALL_TAGS,        .start = START_LEADING,
                                            .unclosed = true, .call = parse_body_glm};

#define GEMMA4                                                                                     \
    .think_open = "<|channel>", .think_label = "thought", .think_close = "<channel|>",             \
    .open_anywhere = true, .think_space = SPACE_TRIM, .content_space = SPACE_HOLD,                 \
    .lost_tail_think = true, .lost_tail_content = true, .call_open = "<|tool_call>",               \
    .call_close = "<tool_call|>", .unclosed = true, .drop = {"<tool_call|>", "<|tool_response>"},  \
    .drop_after_call = true, .call = parse_body_gemma4
static const struct parse_tagged gemma4 = {GEMMA4, .start = START_AFTER_TOOL,
                                           .discard = DISCARD_UNLESS_ON};
static const struct parse_tagged gemma4_no_thinking = {GEMMA4, .discard = DISCARD_ALWAYS};

#define LFM                                                                                        \
    .content_space = SPACE_HOLD, .call_open = "<|tool_call_start|>",                               \
    .call_close = "<|tool_call_end|>", .call = parse_body_lfm
static const struct parse_tagged lfm2 = {LFM};
static const struct parse_tagged lfm2_thinking = {LFM, THINK_TAGS, .start = START_LEADING_IF_ON,
                                                  .think_space = SPACE_TRIM,
                                                  .lost_tail_think = true};

#define LAGUNA                                                                                     \
    THINK_TAGS, CALL_TAGS, .start = START_INSIDE_IF_ON, .discard = DISCARD_IF_OFF, .echo = true,   \
        .open_anywhere = true, .eat_first = true, .think_space = SPACE_TRIM,                       \
        .content_space = SPACE_TRIM, .unclosed = true, .drop = {"</user>"},                        \
        .drop_after_call = true, .extra = {"{", "<user>"}, .maybe = parse_maybe_laguna,            \
        .call = parse_body_laguna
static const struct parse_tagged laguna = {LAGUNA, .prefill = PREFILL_ANY};
static const struct parse_tagged poolside = {LAGUNA};

static const struct parse_tagged cohere = {.think_open = "<|START_THINKING|>",
                                           .think_close = "<|END_THINKING|>",
                                           .start = START_INSIDE_UNLESS_OFF,
                                           .prefill = PREFILL_CONTENT,
                                           .open_anywhere = true,
                                           .think_space = SPACE_TRIM,
                                           .lost_tail_think = true,
                                           .lost_tail_content = true,
                                           .call_open = "<|START_ACTION|>",
                                           .call_close = "<|END_ACTION|>",
                                           .drop = {"<|START_TEXT|>", "<|END_TEXT|>",
                                                    "<|START_RESPONSE|>", "<|END_RESPONSE|>",
                                                    "<|END_OF_TURN_TOKEN|>"},
                                           .call = parse_body_cohere};
static const struct parse_tagged ministral = {TRIMMED,
                                              .think_open = "[THINK]",
                                              .think_close = "[/THINK]",
                                              .open_anywhere = true,
                                              .call_open = "[TOOL_CALLS]",
                                              .call = parse_body_ministral};

/* Formats of native models. */
static const struct parse_tagged kimi = {TRIMMED,
                                         THINK_TAGS,
                                         .start = START_LEADING,
                                         .echo = true,
                                         .call_ends_thinking = true,
                                         .section_open = "<|tool_calls_section_begin|>",
                                         .section_close = "<|tool_calls_section_end|>",
                                         .call_open = "<|tool_call_begin|>",
                                         .call_close = "<|tool_call_end|>",
                                         .call = parse_body_kimi};
static const struct parse_tagged mirothinker = {TRIMMED,
                                                THINK_TAGS,
                                                .start = START_LEADING,
                                                .echo = true,
                                                .call_ends_thinking = true,
                                                .call_open = "<use_mcp_tool>",
                                                .call_close = "</use_mcp_tool>",
                                                .call = parse_body_mirothinker};
static const struct parse_tagged gigachat = {TRIMMED, .call_open = "function call<|role_sep|>",
                                             .drop = {"<|message_sep|>"},
                                             .call = parse_body_gigachat};
static const struct parse_tagged minimax = {TRIMMED,
                                            THINK_TAGS,
                                            .start = START_LEADING,
                                            .echo = true,
                                            .call_ends_thinking = true,
                                            .call_open = "]<]minimax[>[<tool_call>",
                                            .call_close = "]<]minimax[>[</tool_call>",
                                            .call = parse_body_minimax};
#define DSML(word)                                                                                 \
    TRIMMED, THINK_TAGS, .start = START_LEADING, .echo = true, .call_ends_thinking = true,         \
        .call_open = "<｜DSML｜" word ">", .call_close = "</｜DSML｜" word ">",                    \
        .call = parse_body_dsml
static const struct parse_tagged deepseek_v32 = {DSML("function_calls")};
static const struct parse_tagged deepseek_v4 = {DSML("tool_calls")};

#define TABLE(row)                                                                                 \
    .begin = parse_tagged_begin, .step = parse_tagged_step, .phase = parse_tagged_phase,           \
    .tagged = &(row)
#define MESSAGES(kind)                                                                             \
    .begin = parse_##kind##_begin, .step = parse_##kind##_step, .phase = parse_message_phase
#define SHOWS_THINK .think_open = THINK "\n", .think_close = "\n" THINK_END "\n\n"
#define SHOWS_PLAIN .think_open = THINK, .think_close = THINK_END
#define SHOWS_GEMMA .think_open = "<|channel>thought\n", .think_close = "\n<channel|>"

const struct parse_format parse_format_generic = {.facts = {"", true, true, tokens_none},
                                                  .begin = parse_generic_begin,
                                                  .step = parse_generic_step,
                                                  .phase = parse_generic_phase};

const struct parse_format parse_formats[] = {
    {{"qwen3", true, false, tokens_think_call}, TABLE(qwen3)},
    {{"qwen3-thinking", true, true, tokens_think_call}, TABLE(qwen3_thinking), SHOWS_THINK},
    {{"qwen3.5", true, true, tokens_think_call}, TABLE(thinking_coder), SHOWS_THINK},
    {{"ornith", true, true, tokens_think_call}, TABLE(thinking_coder), SHOWS_THINK},
    {{"qwen3-coder", true, false, tokens_call}, TABLE(qwen3_coder)},
    {{"qwen3-vl-instruct", true, false, tokens_end_call}, TABLE(qwen3_vl)},
    {{"qwen3-vl-thinking", true, true, tokens_end_call}, TABLE(qwen3_vl_thinking), SHOWS_THINK},
    {{"ministral", true, false, tokens_ministral},
     TABLE(ministral),
     .think_open = "[THINK]",
     .think_close = "[/THINK]"},
    {{"passthrough", false, false, tokens_none},
     .begin = parse_plain_begin,
     .step = parse_plain_step,
     .phase = parse_plain_phase},
    {{"harmony", true, true, tokens_harmony},
     MESSAGES(harmony),
     .think_open = "<|channel|>analysis<|message|>",
     .think_close = "<|end|><|start|>assistant<|channel|>final<|message|>"},
    {{"cogito", true, true, tokens_cogito}, TABLE(cogito), SHOWS_THINK},
    {{"deepseek3", true, true, tokens_deepseek}, TABLE(deepseek3), SHOWS_PLAIN},
    {{"olmo3", true, false, tokens_olmo}, TABLE(olmo3)},
    {{"olmo3-think", false, true, tokens_think_end}, TABLE(olmo3_think), SHOWS_PLAIN},
    {{"nemotron-3-nano", true, true, tokens_think_call}, TABLE(thinking_coder), SHOWS_THINK},
    {{"nemotron-3.5-nano", true, true, tokens_think_call}, TABLE(thinking_coder), SHOWS_THINK},
    {{"functiongemma", true, false, tokens_functiongemma}, TABLE(functiongemma)},
    {{"glm-4.7", true, true, tokens_glm}, TABLE(glm), SHOWS_PLAIN},
    {{"gemma4", true, true, tokens_gemma4}, TABLE(gemma4), SHOWS_GEMMA},
    {{"gemma4-no-thinking", true, false, tokens_gemma4}, TABLE(gemma4_no_thinking), SHOWS_GEMMA},
    {{"glm-ocr", true, false, tokens_glm}, TABLE(glm_ocr), SHOWS_PLAIN},
    {{"lfm2", true, false, tokens_lfm}, TABLE(lfm2)},
    {{"lfm2-thinking", true, true, tokens_lfm}, TABLE(lfm2_thinking), SHOWS_PLAIN},
    {{"laguna", true, true, tokens_laguna}, TABLE(laguna), SHOWS_PLAIN},
    {{"poolside-v1", true, true, tokens_laguna}, TABLE(poolside), SHOWS_PLAIN},
    {{"cohere", true, true, tokens_cohere},
     TABLE(cohere),
     .think_open = "<|START_THINKING|>",
     .think_close = "<|END_THINKING|>"},
    {{"glimmer", true, true, tokens_glimmer},
     MESSAGES(glimmer),
     .think_open = " to=self<|message|>",
     .think_close = "<|eom|><|start|>assistant to=user<|message|>"},
    {{"functionary", true, false, tokens_none}, MESSAGES(functionary)},
    {{"kimi-k2", true, true, tokens_kimi}, TABLE(kimi), SHOWS_PLAIN},
    {{"mirothinker", true, true, tokens_mirothinker}, TABLE(mirothinker), SHOWS_THINK},
    {{"gigachat3", true, false, tokens_gigachat}, TABLE(gigachat)},
    {{"minimax-m3", true, true, tokens_minimax}, TABLE(minimax), SHOWS_THINK},
    {{"deepseek-v3.2", true, true, tokens_dsml}, TABLE(deepseek_v32), SHOWS_PLAIN},
    {{"deepseek-v4", true, true, tokens_dsml}, TABLE(deepseek_v4), SHOWS_PLAIN},
    {.facts = {.name = NULL}}};
