/* Gemma 4 and FunctionGemma: tools and calls in a notation of their own, in which keys are bare and
 * texts stand between marks. */
#include "engine/chat/render_internal.h"

#include <ctype.h>
#include <string.h>

/* How a notation writes values. */
struct notation {
    const char *mark; /* around a text */
    const char *null;
    bool quote_keys;
};

static const struct notation gemma4 = {"<|\"|>", "null", false},
                             gemma4_schema = {"<|\"|>", "null", true},
                             functiongemma = {"<escape>", "<nil>", false};

static void put_marked(struct render *r, const char *s, size_t n, const struct notation *how)
{
    render_put(r, how->mark);
    oll_strbuf_add(r->out, s, n);
    render_put(r, how->mark);
}

static void put_marked_str(struct render *r, const char *s, const struct notation *how)
{
    put_marked(r, s, strlen(s), how);
}

/* Types are shown in capitals. */
static void put_upper(struct render *r, const char *s)
{
    for (; *s; s++)
        oll_strbuf_addc(r->out, (char)toupper((unsigned char)*s));
}

/* Recursion is as deep as the JSON reader allows. */
static void put_value(struct render *r, const struct oll_json *v, const struct notation *how)
{
    const bool is_map = v->type == OLL_JSON_OBJECT;
    if (v->type == OLL_JSON_STRING) {
        put_marked(r, v->str, v->str_len, how);
    } else if (v->type == OLL_JSON_NULL) {
        render_put(r, how->null);
    } else if (v->type == OLL_JSON_ARRAY || is_map) {
        const struct oll_json *child = v->first;
        render_put(r, is_map ? "{" : "[");
        for (size_t i = 0; i < v->n; i++, child = child->next) {
            const struct oll_json *one = is_map ? v->sorted[i] : child;
            render_put(r, i ? "," : "");
            if (is_map && how->quote_keys)
                put_marked(r, one->key, one->key_len, how);
            else if (is_map)
                oll_strbuf_add(r->out, one->key, one->key_len);
            render_put(r, is_map ? ":" : "");
            put_value(r, one, how);
        }
        render_put(r, is_map ? "}" : "]");
    } else {
        render_json(r, v, &render_plain);
    }
}

/* [<mark>a<mark>,<mark>b<mark>] */
static void put_names(struct render *r, const struct oll_json *list, const struct notation *how)
{
    render_put(r, "[");
    for (const struct oll_json *v = list->first; v; v = v->next) {
        if (v->type == OLL_JSON_STRING)
            put_marked(r, v->str, v->str_len, how);
        render_put(r, v->next ? "," : "");
    }
    render_put(r, "]");
}

/* Calls with their marks around them. */
static void put_calls(struct render *r, const struct chat_message *m, const char *open,
                      const char *close, const struct notation *how)
{
    for (uint32_t i = 0; i < m->n_calls; i++) {
        oll_strbuf_printf(r->out, "%scall:%s", open, m->calls[i].name);
        put_value(r, m->calls[i].arguments, how);
        render_put(r, close);
    }
}

/* A key of an object, with the comma before it. */
static void put_key(struct render *r, const char *key, bool *has_any)
{
    oll_strbuf_printf(r->out, "%s%s:", *has_any ? "," : "", key);
    *has_any = true;
}

static const struct oll_json *object_in(const struct oll_json *v, const char *key)
{
    const struct oll_json *o = oll_json_get(v, key);
    return o && o->type == OLL_JSON_OBJECT ? o : NULL;
}

/* ---- gemma4: declarations ---- */

/* The type of a property: one name, or a list of them from `type` or `anyOf`. */
struct types {
    const struct oll_json *one; /* a string; NULL: none or several */
    bool has_many;
};

static bool is_text(const struct oll_json *v) { return v && v->type == OLL_JSON_STRING; }

/* Calls `each` for every type name that a type or its alternatives give. */
static size_t put_types(struct render *r, const struct oll_json *type, size_t n, bool writes)
{
    if (is_text(type)) {
        if (writes) {
            render_put(r, n ? ", '" : "'");
            put_upper(r, type->str);
            render_put(r, "'");
        }
        return n + 1;
    }
    for (const struct oll_json *t = type && type->type == OLL_JSON_ARRAY ? type->first : NULL; t;
         t = t->next)
        if (is_text(t))
            n = put_types(r, t, n, writes);
    return n;
}

static size_t put_alternatives(struct render *r, const struct oll_json *property, bool writes)
{
    const struct oll_json *any = render_filled(property, "anyOf");
    size_t n = put_types(r, oll_json_get(property, "type"), 0, writes);
    if (n > 0 || !any)
        return n;
    for (const struct oll_json *p = any->first; p; p = p->next)
        n = put_types(r, oll_json_get(p, "type"), n, writes);
    return n;
}

static const char *only_type(const struct oll_json *type)
{
    if (is_text(type))
        return type->str;
    const bool is_one = type && type->type == OLL_JSON_ARRAY && type->n == 1;
    return is_one && is_text(type->first) ? type->first->str : "";
}

/* The only type of a property, "" when it has none or several. */
static const char *property_type(struct render *r, const struct oll_json *property)
{
    const struct oll_json *any = render_filled(property, "anyOf");
    const char *type = only_type(oll_json_get(property, "type"));
    if (*type || put_alternatives(r, property, false) != 1)
        return type;
    for (const struct oll_json *p = any ? any->first : NULL; p && !*type; p = p->next)
        type = only_type(oll_json_get(p, "type"));
    return type;
}

static bool same_type(const char *type, const char *capitals)
{
    for (; *type && toupper((unsigned char)*type) == *capitals; type++)
        capitals++;
    return !*type && !*capitals;
}

static void put_properties(struct render *r, const struct oll_json *properties);

/* Schema of a list's elements: every member of it, by name. */
static void put_items(struct render *r, const struct oll_json *items)
{
    bool has_any = false;
    render_put(r, "{");
    for (size_t i = 0; i < items->n; i++) {
        const struct oll_json *v = items->sorted[i];
        const bool is_list = v->type == OLL_JSON_ARRAY;
        if (v->type == OLL_JSON_NULL)
            continue;
        put_key(r, v->key, &has_any);
        if (strcmp(v->key, "properties") == 0 && v->type == OLL_JSON_OBJECT) {
            put_properties(r, v);
        } else if (strcmp(v->key, "required") == 0 && is_list) {
            put_names(r, v, &gemma4);
        } else if (strcmp(v->key, "type") == 0 && is_text(v)) {
            render_put(r, gemma4.mark);
            put_upper(r, v->str);
            render_put(r, gemma4.mark);
        } else if (strcmp(v->key, "type") == 0 && is_list) {
            render_put(r, "[");
            for (const struct oll_json *t = v->first; t; t = t->next) {
                render_put(r, gemma4.mark);
                put_upper(r, is_text(t) ? t->str : "");
                render_put(r, t->next ? "<|\"|>," : gemma4.mark);
            }
            render_put(r, "]");
        } else {
            put_value(r, v, &gemma4_schema);
        }
    }
    render_put(r, "}");
}

static void put_property(struct render *r, const struct oll_json *p)
{
    const char *type = property_type(r, p), *description = oll_json_get_str(p, "description", "");
    const struct oll_json *values = render_filled(p, "enum"), *items = render_filled(p, "items"),
                          *required = render_filled(p, "required");
    bool has_any = false;
    render_put(r, "{");
    if (*description) {
        put_key(r, "description", &has_any);
        put_marked_str(r, description, &gemma4);
    }
    if (same_type(type, "STRING") && values) {
        put_key(r, "enum", &has_any);
        put_value(r, values, &gemma4_schema);
    }
    if (same_type(type, "ARRAY") && items && items->type == OLL_JSON_OBJECT) {
        put_key(r, "items", &has_any);
        put_items(r, items);
    }
    if (same_type(type, "OBJECT")) {
        put_key(r, "properties", &has_any);
        put_properties(r, object_in(p, "properties"));
        if (required) {
            put_key(r, "required", &has_any);
            put_names(r, required, &gemma4);
        }
    }
    put_key(r, "type", &has_any);
    render_put(r, gemma4.mark);
    if (*type) {
        put_upper(r, type);
    } else if (put_alternatives(r, p, false) > 0) {
        render_put(r, "[");
        put_alternatives(r, p, true);
        render_put(r, "]");
    }
    render_put(r, gemma4.mark);
    render_put(r, "}");
}

/* `properties` NULL: none. Recursion is as deep as the JSON reader allows. */
static void put_properties(struct render *r, const struct oll_json *properties)
{
    render_put(r, "{");
    for (size_t i = 0; properties && i < properties->n; i++) {
        const struct oll_json *p = properties->sorted[i];
        render_put(r, i ? "," : "");
        oll_strbuf_add(r->out, p->key, p->key_len);
        render_put(r, ":");
        put_property(r, p);
    }
    render_put(r, "}");
}

/* Parameters are the same in both notations but for what a property shows. */
static void put_declaration(struct render *r, const struct oll_json *tool,
                            const struct notation *how,
                            void (*properties_of)(struct render *, const struct oll_json *))
{
    const struct oll_json *parameters = render_tool_parameters(tool),
                          *properties = render_filled(parameters, "properties"),
                          *required = render_filled(parameters, "required");
    const char *type = oll_json_get_str(parameters, "type", "");
    bool has_any = false;
    oll_strbuf_printf(r->out, "declaration:%s{description:", render_tool_name(tool));
    put_marked_str(r, render_tool_description(tool), how);
    render_put(r, parameters ? ",parameters:{" : "");
    if (properties && properties->type == OLL_JSON_OBJECT) {
        put_key(r, "properties", &has_any);
        properties_of(r, properties);
    }
    if (required) {
        put_key(r, "required", &has_any);
        put_names(r, required, how);
    }
    if (*type) {
        put_key(r, "type", &has_any);
        render_put(r, how->mark);
        put_upper(r, type);
        render_put(r, how->mark);
    }
    render_put(r, parameters ? "}}" : "}");
}

/* ---- gemma4: messages ---- */

static bool is_instruction(const struct chat_message *m)
{
    return render_is(m, "system") || render_is(m, "developer");
}

static bool leads_with_instruction(const struct render *r)
{
    return r->c->n_messages > 0 && is_instruction(&r->c->messages[0]);
}

static void gemma4_system(struct render *r)
{
    const bool has_text = leads_with_instruction(r);
    render_put(r, "<bos>");
    if (!has_text && !r->thinks && !render_first_tool(r))
        return;
    render_put(r, r->thinks ? "<|turn>system\n<|think|>\n" : "<|turn>system\n");
    if (has_text)
        render_content(r, &r->c->messages[0], true);
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_put(r, "<|tool>");
        put_declaration(r, t, &gemma4, put_properties);
        render_put(r, "<tool|>");
    }
    render_put(r, "<turn|>\n");
}

/* Results that follow the message `i`, under the names of its calls; returns how many. */
static uint32_t put_results(struct render *r, uint32_t i)
{
    const struct chat_message *asking = &r->c->messages[i];
    uint32_t k = i + 1;
    for (; k < r->c->n_messages && render_is(&r->c->messages[k], "tool"); k++) {
        const struct chat_message *m = &r->c->messages[k];
        const struct render_call *call = render_find_call(r, m->tool_call_id, k);
        const char *name = m->tool_name[0] ? m->tool_name : "unknown";
        if (call && call->message == i)
            name = asking->calls[call->call].name;
        oll_strbuf_printf(r->out, "<|tool_response>response:%s{value:%s", name, gemma4.mark);
        render_content(r, m, false);
        oll_strbuf_printf(r->out, "%s}<tool_response|>", gemma4.mark);
    }
    return k - i - 1;
}

/* A reply without its thinking channels. */
static void put_reply_text(struct render *r, const char *text)
{
    struct oll_strbuf clean;
    oll_strbuf_init(&clean, r->out->max_bytes);
    while (*text) {
        const char *open = strstr(text, "<|channel>"), *close = strstr(text, "<channel|>");
        const char *end = close ? close : text + strlen(text);
        oll_strbuf_add(&clean, text, (size_t)((open && open < end ? open : end) - text));
        text = close ? close + 10 : end;
    }
    render_trimmed(r, clean.data);
    if (clean.status != OLL_OK && r->out->status == OLL_OK)
        r->out->status = clean.status;
    oll_strbuf_free(&clean);
}

enum last_part { PART_TEXT, PART_CALL, PART_RESULT };

/* A reply; successive ones share a turn. Results belong to the turn that asked for them. */
static enum last_part gemma4_reply(struct render *r, uint32_t i, bool goes_on, int64_t last_user)
{
    const struct chat_message *m = &r->c->messages[i];
    const size_t before = r->out->len;
    enum last_part part = m->n_calls ? PART_CALL : PART_TEXT;
    render_put(r, goes_on ? "" : "<|turn>model\n");
    if (m->thinking[0] && m->n_calls && i > last_user)
        oll_strbuf_printf(r->out, "<|channel>thought\n%s\n<channel|>", m->thinking);
    put_calls(r, m, "<|tool_call>", "<tool_call|>", &gemma4);
    uint32_t next = i + 1;
    if (m->n_calls && put_results(r, i) > 0)
        part = PART_RESULT;
    while (next < r->c->n_messages && render_is(&r->c->messages[next], "tool"))
        next++;
    const bool is_followed =
        next < r->c->n_messages && render_is(&r->c->messages[next], "assistant");
    const size_t text = r->out->len;
    put_reply_text(r, m->content);
    const bool has_text = r->out->len > text && r->out->len > before;
    r->n_tags += m->n_images;
    if (part == PART_CALL)
        render_put(r, "<|tool_response>");
    else if (!is_followed && (part == PART_TEXT || has_text))
        render_put(r, "<turn|>\n");
    return part;
}

oll_status render_gemma4(struct render *r)
{
    const int64_t last_user = render_last_user(r);
    enum last_part part = PART_TEXT;
    bool after_reply = false;
    OLL_TRY(render_index_calls(r));
    gemma4_system(r);
    for (uint32_t i = leads_with_instruction(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "tool"))
            continue;
        if (render_is(m, "assistant")) {
            part = gemma4_reply(r, i, after_reply, last_user);
            after_reply = true;
            continue;
        }
        oll_strbuf_printf(r->out, "<|turn>%s\n", m->role);
        render_content(r, m, true);
        render_put(r, "<turn|>\n");
        part = PART_TEXT;
        after_reply = false;
    }
    if (part == PART_TEXT) {
        render_put(r, "<|turn>model\n");
        if (r->variant == RENDER_GEMMA_LARGE && !r->thinks)
            render_put(r, "<|channel>thought\n<channel|>");
    } else if (part == PART_RESULT && r->thinks) {
        render_put(r, "<|channel>thought\n");
    }
    return OLL_OK;
}

/* ---- functiongemma ---- */

/* Description and, of the types, the first; nothing else of a schema. */
static void plain_properties(struct render *r, const struct oll_json *properties)
{
    render_put(r, "{");
    for (size_t i = 0; i < properties->n; i++) {
        const struct oll_json *p = properties->sorted[i], *type = oll_json_get(p, "type");
        if (type && type->type == OLL_JSON_ARRAY)
            type = type->first;
        render_put(r, i ? "," : "");
        oll_strbuf_add(r->out, p->key, p->key_len);
        render_put(r, ":{description:");
        put_marked_str(r, oll_json_get_str(p, "description", ""), &functiongemma);
        if (is_text(type) && type->str_len > 0) {
            render_put(r, ",type:<escape>");
            put_upper(r, type->str);
            render_put(r, "<escape>");
        }
        render_put(r, "}");
    }
    render_put(r, "}");
}

static void functiongemma_system(struct render *r)
{
    const bool has_text = leads_with_instruction(r) && !render_is_blank(r->c->messages[0].content);
    render_put(r, "<bos>");
    if (!has_text && !render_first_tool(r))
        return;
    render_put(r, "<start_of_turn>developer\n");
    if (has_text)
        render_trimmed(r, r->c->messages[0].content);
    if (render_first_tool(r))
        oll_strbuf_printf(r->out, "%sYou can do function calling with the following functions:",
                          has_text ? "\n" : "");
    for (const struct oll_json *t = render_first_tool(r); t; t = t->next) {
        render_put(r, "<start_function_declaration>");
        put_declaration(r, t, &functiongemma, plain_properties);
        render_put(r, "<end_function_declaration>");
    }
    render_put(r, "<end_of_turn>\n");
}

/* The name of a result's tool; without one, that of the call in its place. */
static const char *name_of_result(const struct render *r, uint32_t i,
                                  const struct chat_message *asking, uint32_t place)
{
    const char *name = render_result_name(r, i);
    if (name)
        return name;
    if (!asking || asking->n_calls == 0)
        return "";
    return asking->calls[place < asking->n_calls ? place : asking->n_calls - 1].name;
}

oll_status render_functiongemma(struct render *r)
{
    const struct chat_message *asking = NULL;
    bool after_result = false;
    uint32_t n_results = 0;
    OLL_TRY(render_index_calls(r));
    functiongemma_system(r);
    for (uint32_t i = leads_with_instruction(r) ? 1 : 0; i < r->c->n_messages; i++) {
        const struct chat_message *m = &r->c->messages[i];
        const bool has_next = i + 1 < r->c->n_messages;
        if (render_is(m, "tool")) {
            oll_strbuf_printf(r->out,
                              "<start_function_response>response:%s{<escape>%s<escape>}"
                              "<end_function_response>",
                              name_of_result(r, i, asking, n_results++), m->content);
            after_result = true;
            continue;
        }
        const bool is_reply = render_is(m, "assistant");
        if (!after_result || !is_reply)
            oll_strbuf_printf(r->out, "%s<start_of_turn>%s\n",
                              after_result ? "<end_of_turn>\n" : "", is_reply ? "model" : m->role);
        render_trimmed(r, m->content);
        put_calls(r, m, "<start_function_call>", "<end_function_call>", &functiongemma);
        if (!m->n_calls || !has_next || !render_is(m + 1, "tool"))
            render_put(r, "<end_of_turn>\n");
        asking = is_reply ? m : asking;
        n_results = 0;
        after_result = false;
    }
    render_put(r, after_result ? "" : "<start_of_turn>model\n");
    return OLL_OK;
}
