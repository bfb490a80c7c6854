#include "engine/chat/named_templates.h"

#include <string.h>

/* Three shapes cover most families: the role as a word in the header, a header of its own for each
 * role, and a system text that is held back until the next user turn. A role without a branch keeps
 * its content where the family's own template lets it through, and is left out where not. */

static const char alfred[] = "{{- range .Messages }}<start_{{ .Role }}>{{ .Content }}<end_message>"
                             "{{ end }}<start_assistant>";

static const char chatml[] = "{{- range .Messages }}<|im_start|>{{ .Role }}\n"
                             "{{ .Content }}<|im_end|>\n"
                             "{{ end }}<|im_start|>assistant\n";

static const char llama3[] =
    "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n"
    "\n"
    "{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n"
    "\n";

static const char phi3[] = "{{- range .Messages }}<|{{ .Role }}|>\n"
                           "{{ .Content }}<|end|>\n"
                           "{{ end }}<|assistant|>\n";

static const char zephyr[] = "{{- range .Messages }}<|{{ .Role }}|>\n"
                             "{{ .Content }}</s>\n"
                             "{{ end }}<|assistant|>\n";

/* ---- a header for each role ---- */

static const char chatqa[] = "{{- range .Messages }}"
                             "{{- if eq .Role \"system\" }}System:"
                             "{{- else if eq .Role \"user\" }}User:"
                             "{{- else if eq .Role \"assistant\" }}Assistant:"
                             "{{- end }} {{ .Content }}\n"
                             "\n"
                             "{{ end }}Assistant:";

static const char codellama[] =
    "{{- range .Messages }}Source:"
    "{{- if or (eq .Role \"system\") (eq .Role \"user\") (eq .Role \"assistant\") }} {{ .Role }}"
    "{{- end }}\n"
    "\n"
    " {{ .Content }} <step> {{ end }}Source: assistant\n"
    "Destination: user\n"
    "\n"
    " ";

static const char falcon[] = "{{- range .Messages }}"
                             "{{- if eq .Role \"system\" }}System: {{ .Content }}\n"
                             "{{ continue }}"
                             "{{- else if eq .Role \"user\" }}User:"
                             "{{- else if eq .Role \"assistant\" }}Falcon:"
                             "{{- end }}\n"
                             "{{ .Content }}\n"
                             "{{ end }}Falcon:\n";

static const char granite[] = "{{- range .Messages }}"
                              "{{- if eq .Role \"system\" }}System:"
                              "{{- else if eq .Role \"user\" }}Question:"
                              "{{- else if eq .Role \"assistant\" }}Answer:"
                              "{{- end }}\n"
                              "{{ .Content }}\n"
                              "\n"
                              "{{ end }}Answer:\n";

static const char openchat[] = "{{- range .Messages }}GPT4 Correct "
                               "{{ if eq .Role \"system\" }}System: "
                               "{{ else if eq .Role \"user\" }}User: "
                               "{{ else if eq .Role \"assistant\" }}Assistant: "
                               "{{ end }}{{ .Content }}<|end_of_turn|>"
                               "{{ end }}GPT4 Correct Assistant:";

static const char solar[] = "{{- range .Messages }}"
                            "{{- if eq .Role \"system\" }}### System:"
                            "{{- else if eq .Role \"user\" }}### User:"
                            "{{- else if eq .Role \"assistant\" }}### Assistant:\n"
                            "{{ .Content }}</s>\n"
                            "\n"
                            "{{ continue }}"
                            "{{- end }}\n"
                            "{{ .Content }}\n"
                            "\n"
                            "{{ end }}### Assistant:\n";

static const char mistral[] = "[INST] {{ range .Messages }}"
                              "{{- if eq .Role \"system\" }}{{ .Content }}\n"
                              "\n"
                              "{{ else if eq .Role \"user\" }}{{ .Content }}[/INST]"
                              "{{- else if eq .Role \"assistant\" }} {{ .Content }}</s>[INST] "
                              "{{ end }}"
                              "{{- end }}";

/* ---- the system text waits for a user ---- */

#define HOLD_SYSTEM                                                                                \
    "{{ $system := \"\" }}"                                                                        \
    "{{- range .Messages }}"                                                                       \
    "{{- if eq .Role \"system\" }}{{ $system = .Content }}"                                        \
    "{{- else if eq .Role \"user\" }}"

static const char alpaca[] = HOLD_SYSTEM "{{ if $system }}{{ $system }}\n"
                                         "\n"
                                         "{{ $system = \"\" }}{{ end }}### Instruction:\n"
                                         "{{ .Content }}\n"
                                         "\n"
                                         "{{ else if eq .Role \"assistant\" }}### Response:\n"
                                         "{{ .Content }}\n"
                                         "\n"
                                         "{{ end }}"
                                         "{{- end }}### Response:\n";

static const char gemma[] = "{{- $system := \"\" }}"
                            "{{- range .Messages }}"
                            "{{- if eq .Role \"system\" }}{{ $system = .Content }}{{ continue }}"
                            "{{- else if eq .Role \"user\" }}<start_of_turn>user"
                            "{{- if $system }}\n"
                            "{{ $system }}{{ $system = \"\" }}{{ end }}"
                            "{{- else if eq .Role \"assistant\" }}<start_of_turn>model"
                            "{{- end }}\n"
                            "{{ .Content }}<end_of_turn>\n"
                            "{{ end }}<start_of_turn>model\n";

static const char llama2[] = "[INST] " HOLD_SYSTEM "<<SYS>>{{ if $system }}\n"
                             "{{ $system }}\n"
                             "{{ $system = \"\" }}{{ end }}<</SYS>>\n"
                             "\n"
                             "{{ .Content }} [/INST]"
                             "{{- else if eq .Role \"assistant\" }} {{ .Content }}</s><s>[INST] "
                             "{{ end }}"
                             "{{- end }}";

static const char magicoder[] =
    "{{- $system := \"\" }}"
    "{{- range .Messages }}"
    "{{- if eq .Role \"system\" }}{{ $system = .Content }}{{ continue }}"
    "{{- else if eq .Role \"user\" }}"
    "{{- if $system }}{{ $system }}\n"
    "\n"
    "{{ $system = \"\" }}{{ end }}@@ Instruction"
    "{{- else if eq .Role \"assistant\" }}@@ Response"
    "{{- end }}\n"
    "{{ .Content }}\n"
    "\n"
    "{{ end }}@@ Response\n";

static const char starcoder2[] = HOLD_SYSTEM "{{ if $system }}{{ $system }}\n"
                                             "\n"
                                             "{{ $system = \"\" }}{{ end }}### Instruction\n"
                                             "{{ .Content }}\n"
                                             "\n"
                                             "{{ else if eq .Role \"assistant\" }}### Response\n"
                                             "{{ .Content }}<|endoftext|>\n"
                                             "\n"
                                             "{{ end }}"
                                             "{{- end }}### Response\n";

static const char vicuna[] = HOLD_SYSTEM "{{ if $system }}{{ $system }}\n"
                                         "\n"
                                         "{{ $system = \"\" }}{{ end }}USER: {{ .Content }}\n"
                                         "{{ else if eq .Role \"assistant\" }}ASSISTANT: "
                                         "{{ .Content }}</s>\n"
                                         "{{ end }}"
                                         "{{- end }}ASSISTANT:";

/* ---- of their own kind ---- */

/* The system text goes into the second message, which is the first user turn after it. */
static const char gemma3[] = "{{- range $i, $m := .Messages }}"
                             "{{- $last := eq (len (slice $.Messages $i)) 1 }}"
                             "{{- if eq $m.Role \"user\" }}<start_of_turn>user\n"
                             "{{ if and $.System (eq $i 1) }}{{ $.System }}\n"
                             "\n"
                             "{{ end }}{{ $m.Content }}<end_of_turn>\n"
                             "{{ else if eq $m.Role \"assistant\" }}<start_of_turn>model\n"
                             "{{ $m.Content }}<end_of_turn>\n"
                             "{{ end }}"
                             "{{- if $last }}<start_of_turn>model\n"
                             "{{ end }}"
                             "{{- end }}\n";

#define COMMAND_R_TURN "<|START_OF_TURN_TOKEN|>"
#define COMMAND_R_END  "<|END_OF_TURN_TOKEN|>"

/* The preambles are the ones that Cohere's models were trained with. */
static const char command_r[] =
    "{{- if .Tools }}" COMMAND_R_TURN "<|SYSTEM_TOKEN|># Safety Preamble\n"
    "The instructions in this section override those in the task description and style guide "
    "sections. Don't answer questions that are harmful or immoral.\n"
    "\n"
    "# System Preamble\n"
    "## Basic Rules\n"
    "You are a powerful conversational AI trained by Cohere to help people. You are augmented by a "
    "number of tools, and your job is to use and consume the output of these tools to best help "
    "the user. You will see a conversation history between yourself and a user, ending with an "
    "utterance from the user. You will then see a specific instruction instructing you what kind "
    "of response to generate. When you answer the user's requests, you cite your sources in your "
    "answers, according to those instructions.\n"
    "\n"
    "{{ if .System }}# User Preamble\n"
    "{{ .System }}{{ end }}\n"
    "\n"
    "## Available Tools\n"
    "Here is a list of tools that you have available to you:"
    "{{- range .Tools }}\n"
    "\n"
    "```python\n"
    "def {{ .Function.Name }}("
    "{{- range $name, $property := .Function.Parameters.Properties }}"
    "{{ $name }}: {{ $property.Type }}, {{ end }}) -> List[Dict]:\n"
    "    '''{{ .Function.Description }}\n"
    "{{- if .Function.Parameters.Properties }}\n"
    "\n"
    "    Args:"
    "{{- range $name, $property := .Function.Parameters.Properties }}\n"
    "        {{ $name }} ({{ $property.Type }}): {{ $property.Description }}{{ end }}"
    "{{- end }}\n"
    "    '''\n"
    "    pass\n"
    "```"
    "{{- end }}" COMMAND_R_END "{{- else if .System }}" COMMAND_R_TURN
    "<|SYSTEM_TOKEN|>{{ .System }}" COMMAND_R_END "{{- end }}"
    "{{- range .Messages }}"
    "{{- if eq .Role \"system\" }}{{ continue }}{{ end }}" COMMAND_R_TURN
    "{{- if eq .Role \"user\" }}<|USER_TOKEN|>{{ .Content }}"
    "{{- if $.Tools }}" COMMAND_R_TURN "<|SYSTEM_TOKEN|>"
    "Write 'Action:' followed by a json-formatted list of actions that you want to perform in "
    "order to produce a good response to the user's last input. You can use any of the supplied "
    "tools any number of times, but you should aim to execute the minimum number of necessary "
    "actions for the input. You should use the `directly-answer` tool if calling the other tools "
    "is unnecessary. The list of actions you want to call should be formatted as a list of json "
    "objects, for example:\n"
    "```json\n"
    "[\n"
    "    {\n"
    "        \"tool_name\": title of the tool in the specification,\n"
    "        \"parameters\": a dict of parameters to input into the tool as they are defined in "
    "the "
    "specs, or {} if it takes no parameters\n"
    "    }\n"
    "]```"
    "{{- end }}"
    "{{- else if eq .Role \"assistant\" }}<|CHATBOT_TOKEN|>"
    "{{- if .Content }}{{ .Content }}"
    "{{- else if .ToolCalls }}\n"
    "Action: ```json\n"
    "["
    "{{- range $i, $call := .ToolCalls }}{{ if $i }},{{ end }}\n"
    "    {\n"
    "        \"tool_name\": \"{{ $call.Function.Name }}\",\n"
    "        \"parameters\": {{ $call.Function.Arguments }}\n"
    "    }"
    "{{- end }}\n"
    "]```"
    "{{- end }}"
    "{{- else if eq .Role \"tool\" }}<|SYSTEM_TOKEN|><results>\n"
    "console_output: {{ .Content }}\n"
    "</results>"
    "{{- end }}" COMMAND_R_END "{{- end }}" COMMAND_R_END COMMAND_R_TURN "<|CHATBOT_TOKEN|>\n";

/* ---- table ---- */

static const struct named_template templates[] = {
    {"alfred",
     alfred,
     {"<start_system>", "<end_message>", "<start_user>", "<start_assistant>"},
     "<|endoftext|>"},
    {"alpaca", alpaca, {"### Instruction:", "### Response"}, "<|EOT|>"},
    {"chatml", chatml, {"<|im_start|>", "<|im_end|>"}, "<|im_end|>"},
    {"chatqa", chatqa, {"System:", "User:", "Assistant:", "<|begin_of_text|>"}, "<|end_of_text|>"},
    {"codellama-70b-instruct", codellama, {"Source:", "Destination:", "<step>"}, "</s>"},
    {"command-r",
     command_r,
     {"<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"},
     "<|END_OF_TURN_TOKEN|>"},
    {"falcon-instruct", falcon, {"User:", "Assistant:"}, "<|endoftext|>"},
    {"gemma-instruct", gemma, {"<start_of_turn>", "<end_of_turn>"}, "<eos>"},
    {"gemma3-instruct", gemma3, {"<end_of_turn>"}, "<eos>"},
    {"granite-instruct", granite, {"System:", "Question:", "Answer:"}, "<|endoftext|>"},
    {"llama2-chat", llama2, {"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"}, "</s>"},
    {"llama3-instruct",
     llama3,
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     "<|eot_id|>"},
    {"magicoder", magicoder, {"@@ Instruction", "@@ Response"}, "<|endoftext|>"},
    {"mistral-instruct", mistral, {"<|im_start|>", "<|im_end|>"}, "</s>"},
    {"openchat", openchat, {"<|end_of_turn|>"}, "<|end_of_turn|>"},
    {"phi-3", phi3, {"<|end|>", "<|system|>", "<|user|>", "<|assistant|>"}, "<|endoftext|>"},
    {"solar-instruct", solar, {"### System:", "### User:", "### Assistant"}, "</s>"},
    {"starcoder2-instruct",
     starcoder2,
     {"### Instruction", "### Response", "<|endoftext|>"},
     "<|endoftext|>"},
    {"vicuna", vicuna, {"USER:", "ASSISTANT:"}, "</s>"},
    {"zephyr", zephyr, {"<|system|>", "</s>", "<|user|>", "<|assistant|>"}, "</s>"},
};

const struct named_template *named_templates_all(size_t *n)
{
    *n = sizeof templates / sizeof *templates;
    return templates;
}

const struct named_template *named_templates_find(const char *name)
{
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        if (strcmp(templates[i].name, name) == 0)
            return &templates[i];
    return NULL;
}
