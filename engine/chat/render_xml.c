/* Tools and calls in the tags of Qwen3-Coder, which Qwen3.5 and Nemotron took over. */
#include "engine/chat/render_internal.h"

#include <string.h>

const char render_xml_rules[] =
    "If you choose to call a function ONLY reply in the following format with NO suffix:\n"
    "\n"
    "<tool_call>\n"
    "<function=example_function_name>\n"
    "<parameter=example_parameter_1>\n"
    "value_1\n"
    "</parameter>\n"
    "<parameter=example_parameter_2>\n"
    "This is the value for the second parameter\n"
    "that can span\n"
    "multiple lines\n"
    "</parameter>\n"
    "</function>\n"
    "</tool_call>\n"
    "\n"
    "<IMPORTANT>\n"
    "Reminder:\n"
    "- Function calls MUST follow the specified format: an inner <function=...></function> block "
    "must be nested within <tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the "
    "function call, but NOT after\n"
    "- If there is no function call available, answer the question like normal with your current "
    "knowledge and do not tell the user about function calls\n"
    "</IMPORTANT>";

/* Nemotron prints JSON as Python does; Qwen's goes through a map, whose keys are sorted. */
static const struct render_json coder_json = {.sorted = true};

static void put_field(struct render *r, const struct oll_json *property, const char *field,
                      const struct render_json *style)
{
    if (!render_has_field(property, field))
        return;
    oll_strbuf_printf(r->out, "\n<%s>", field);
    render_field(r, property, field, style);
    oll_strbuf_printf(r->out, "</%s>", field);
}

/* A list of types as Python's str() writes it. */
static void put_python_list(struct render *r, const struct oll_json *list)
{
    render_put(r, "[");
    for (const struct oll_json *v = list->first; v; v = v->next) {
        render_put(r, v == list->first ? "'" : ", '");
        if (v->type == OLL_JSON_STRING)
            oll_strbuf_add(r->out, v->str, v->str_len);
        render_put(r, "'");
    }
    render_put(r, "]");
}

static void put_type(struct render *r, const struct oll_json *property, bool python)
{
    const struct oll_json *type = oll_json_get(property, "type");
    const struct oll_json *list = render_filled(property, "type");
    if (list && list->n == 1)
        type = list->first;
    if (!type || (type->type == OLL_JSON_STRING && type->str_len == 0) ||
        (type->type != OLL_JSON_STRING && !list))
        return;
    render_put(r, "\n<type>");
    if (type->type == OLL_JSON_STRING)
        oll_strbuf_add(r->out, type->str, type->str_len);
    else if (python)
        put_python_list(r, list);
    else
        render_json(r, list, &render_compact);
    render_put(r, "</type>");
}

static void put_description(struct render *r, const char *description)
{
    if (!description[0])
        return;
    render_put(r, "\n<description>");
    render_trimmed(r, description);
    render_put(r, "</description>");
}

static void put_parameter(struct render *r, const struct oll_json *property, bool python)
{
    static const char *const coder[] = {"anyOf", "enum", "items", "properties", "required"};
    static const char *const nemotron[] = {"enum", "anyOf", "items", "properties", "required"};
    render_put(r, "\n<parameter>\n<name>");
    oll_strbuf_add(r->out, property->key, property->key_len);
    render_put(r, "</name>");
    put_type(r, property, python);
    put_description(r, oll_json_get_str(property, "description", ""));
    for (size_t i = 0; i < sizeof coder / sizeof *coder; i++)
        put_field(r, property, python ? nemotron[i] : coder[i],
                  python ? &render_plain : &coder_json);
    render_put(r, "\n</parameter>");
}

static void put_function(struct render *r, const struct oll_json *tool, bool python)
{
    static const char *const more[] = {"$defs", "items", "required"};
    const struct oll_json *parameters = render_tool_parameters(tool);
    const struct oll_json *properties = render_filled(parameters, "properties");
    const bool is_map = properties && properties->type == OLL_JSON_OBJECT;
    render_put(r, "\n<function>\n<name>");
    render_put(r, render_tool_name(tool));
    render_put(r, "</name>");
    put_description(r, render_tool_description(tool));
    render_put(r, "\n<parameters>");
    for (const struct oll_json *p = is_map ? properties->first : NULL; p; p = p->next)
        put_parameter(r, p, python);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (render_filled(parameters, more[i])) {
            oll_strbuf_printf(r->out, "\n<%s>", more[i]);
            render_json(r, oll_json_get(parameters, more[i]),
                        python ? &render_plain : &render_compact);
            oll_strbuf_printf(r->out, "</%s>", more[i]);
        }
    render_put(r, "\n</parameters>\n</function>");
}

void render_xml_tools(struct render *r, bool python)
{
    render_put(r, "# Tools\n\nYou have access to the following functions:\n\n<tools>");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next)
        put_function(r, t, python);
    render_put(r, "\n</tools>\n\n");
    render_put(r, render_xml_rules);
}

void render_xml_call(struct render *r, const struct chat_call *call, bool python)
{
    const struct render_value style = {
        .json = python ? render_plain : render_compact, .short_numbers = true, .python = python};
    oll_strbuf_printf(r->out, "<tool_call>\n<function=%s>\n", call->name);
    for (const struct oll_json *a = call->arguments->first; a; a = a->next) {
        render_put(r, "<parameter=");
        oll_strbuf_add(r->out, a->key, a->key_len);
        render_put(r, ">\n");
        render_value(r, a, &style);
        render_put(r, "\n</parameter>\n");
    }
    render_put(r, "</function>\n</tool_call>");
}

void render_xml_result(struct render *r, const struct chat_message *m, bool *is_open)
{
    if (!*is_open)
        render_put(r, "<|im_start|>user");
    *is_open = true;
    render_put(r, "\n<tool_response>\n");
    render_content(r, m, false);
    render_put(r, "\n</tool_response>");
}

void render_xml_results_end(struct render *r, bool *is_open)
{
    if (*is_open)
        render_put(r, "<|im_end|>\n");
    *is_open = false;
}
