/* Glimmer: messages with recipients; a tool is one of them. */
#include "engine/base/mem.h"
#include "engine/chat/render_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- namespaces: a tool's name up to its first dot ---- */

struct space {
    const char *name;
    size_t len;
    uint32_t place; /* of the tool */
    bool is_first;  /* of its name */
};

static size_t space_len(const char *name) { return strcspn(name, "."); }

static int compare_names(const void *a, const void *b)
{
    const struct space *x = a, *y = b;
    const size_t n = x->len < y->len ? x->len : y->len;
    const int order = memcmp(x->name, y->name, n);
    if (order)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int compare_places(const void *a, const void *b)
{
    const struct space *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The namespaces of the tools in the order of their first tool; *out is for oll_free. */
static oll_status list_spaces(struct render *r, struct space **out, size_t *n_out)
{
    const size_t n = r->c->tools ? r->c->tools->n : 0;
    size_t i = 0, kept = 0;
    *out = NULL;
    *n_out = 0;
    if (n == 0)
        return OLL_OK;
    struct space *spaces = oll_alloc(n, sizeof *spaces);
    if (!spaces)
        return OLL_FAIL(r->err, OLL_ERR_MEMORY, "no memory for %zu tools", n);
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next, i++) {
        const char *name = render_tool_name(t);
        spaces[i] = (struct space){.name = name, .len = space_len(name), .place = (uint32_t)i};
    }
    qsort(spaces, n, sizeof *spaces, compare_names);
    for (i = 0; i < n; i++)
        spaces[i].is_first = i == 0 || spaces[i].len != spaces[i - 1].len ||
                             memcmp(spaces[i].name, spaces[i - 1].name, spaces[i].len) != 0;
    for (i = 0; i < n; i++)
        if (spaces[i].is_first)
            spaces[kept++] = spaces[i];
    qsort(spaces, kept, sizeof *spaces, compare_places);
    *out = spaces;
    *n_out = kept;
    return OLL_OK;
}

/* ---- system ---- */

static const char tools_head[] =
    "\n\nIn this environment you have access to a set of tools you can use to answer the user's "
    "question.\n\n"
    "You can invoke a function by writing a \"<atem:function_calls>\" block like the following:\n"
    "<atem:function_calls>\n"
    "<atem:invoke name=\"$FUNCTION_NAME\">\n"
    "<atem:parameter name=\"$PARAMETER_NAME\">$PARAMETER_VALUE</atem:parameter>\n"
    "...\n"
    "</atem:invoke>\n"
    "</atem:function_calls>\n\n"
    "String and scalar parameters should be specified as is, while lists and objects should use "
    "JSON format. Note that spaces for string values are not stripped. The output is not expected "
    "to be valid XML and is parsed with regular expressions.\n"
    "Here are the functions available in JSONSchema format:\n"
    "// Tool metadata\n";

static const char tools_tail[] =
    "\nHere's an example of how to call a function in the tool set:\n"
    "(If the tool namespace is not specified, invoke the function directly as "
    "`example_function_name` rather than `example_tool_name.example_function_name`)\n\n"
    "to=example_tool_name.example_function_name\n\n"
    "<atem:function_calls>\n"
    "<atem:invoke name=\"example_tool_name.example_function_name\">\n"
    "<atem:parameter name=\"example_parameter_1\">value_1</atem:parameter>\n"
    "<atem:parameter name=\"example_parameter_2\">This is the value for the second parameter\n"
    "that can span\n"
    "\"multiple\" lines\n"
    "</atem:parameter>\n"
    "</atem:invoke>\n"
    "</atem:function_calls>";

static const char *strength(enum oll_think think)
{
    switch (think) {
    case OLL_THINK_OFF: return "none";
    case OLL_THINK_LOW: return "low";
    case OLL_THINK_MEDIUM: return "medium";
    default: return "high";
    }
}

static void put_tools(struct render *r, const struct space *spaces, size_t n)
{
    static const struct render_json style = {
        .spaced = true, .keep_html = true, .with_description = true};
    render_put(r, tools_head);
    for (size_t i = 0; i < n; i++) {
        struct oll_json_writer w;
        oll_json_write_init(&w, r->out);
        w.keep_html = true;
        render_put(r, "{\"name\": ");
        oll_json_write_strn(&w, spaces[i].name, spaces[i].len);
        render_put(r, ", \"description\": \"\"}\n");
    }
    render_put(r, "// Function schemas\n");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_function(r, t, &style, NULL);
        render_put(r, "\n");
    }
    render_put(r, tools_tail);
}

/* What stands below the text of each system message. */
static void put_terms(struct render *r, const struct space *spaces, size_t n)
{
    oll_strbuf_printf(r->out, "\n\nReasoning strength: %s.", strength(r->c->think));
    if (n > 0)
        put_tools(r, spaces, n);
    render_put(r, "\n\n# Valid recipients: \"self\", ");
    for (size_t i = 0; i < n; i++) {
        render_put(r, "\"");
        oll_strbuf_add(r->out, spaces[i].name, spaces[i].len);
        render_put(r, ".*\", ");
    }
    render_put(r, "\"user\".<|eot|>");
}

/* ---- messages ---- */

static void put_call(struct render *r, const struct chat_call *call)
{
    const struct render_value style = {.json = render_plain, .short_numbers = true};
    oll_strbuf_printf(r->out,
                      "<|start|>assistant to=%s<|message|><atem:function_calls>\n"
                      "<atem:invoke name=\"%s\">\n",
                      call->name, call->name);
    for (const struct oll_json *a = call->arguments->first; a; a = a->next) {
        render_put(r, "<atem:parameter name=\"");
        oll_strbuf_add(r->out, a->key, a->key_len);
        render_put(r, "\">");
        render_value(r, a, &style);
        render_put(r, "</atem:parameter>\n");
    }
    render_put(r, "</atem:invoke>\n</atem:function_calls>");
}

/* Text beside calls is not shown. */
static void put_reply(struct render *r, const struct chat_message *m)
{
    if (m->thinking[0])
        oll_strbuf_printf(r->out, "<|start|>assistant to=self<|message|>%s<|eom|>", m->thinking);
    for (uint32_t i = 0; i < m->n_calls; i++) {
        put_call(r, &m->calls[i]);
        render_put(r, i + 1 < m->n_calls ? "<|eom|>" : "<|eot|>");
    }
    r->n_tags += m->n_images;
    if (m->n_calls == 0 && m->content[0])
        oll_strbuf_printf(r->out, "<|start|>assistant to=user<|message|>%s<|eot|>", m->content);
}

static void put_result(struct render *r, uint32_t i)
{
    const char *known = render_result_name(r, i), *name = known ? known : "";
    oll_strbuf_printf(r->out, "<|start|>tool %s<|message|><tool_output name=\"%s\">\n", name, name);
    render_content(r, &r->c->messages[i], false);
    render_put(r, "\n</tool_output><|eot|>");
}

oll_status render_glimmer(struct render *r)
{
    struct space *spaces;
    size_t n_spaces;
    OLL_TRY(render_index_calls(r));
    OLL_TRY(list_spaces(r, &spaces, &n_spaces));
    render_put(r, "<|begin_of_text|>");
    if (!render_any_system(r)) {
        oll_strbuf_printf(r->out,
                          "<|start|>system<|message|>You are a helpful AI assistant.\n"
                          "Knowledge cutoff: 2026-01-04.\nCurrent date: %s.",
                          r->date);
        put_terms(r, spaces, n_spaces);
    }
    for (uint32_t i = 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "system") || render_is(m, "user")) {
            oll_strbuf_printf(r->out, "<|start|>%s<|message|>", m->role);
            render_content(r, m, false);
            if (render_is(m, "system"))
                put_terms(r, spaces, n_spaces);
            else
                render_put(r, "<|eot|>");
        } else if (render_is(m, "assistant")) {
            put_reply(r, m);
        } else if (render_is(m, "tool")) {
            put_result(r, i);
        } else {
            r->n_tags += m->n_images;
        }
    }
    render_put(r, "<|start|>assistant");
    oll_free(spaces);
    return OLL_OK;
}
