/* Values and tools as the formats print them.
 *
 * Tools are printed with the fields that the API knows, in its order: type, $defs, items, required,
 * properties of the parameters; anyOf, type, items, description, enum, properties, required of a
 * property; the rest of a schema is not shown to these models. */
#include "engine/chat/go_value.h"
#include "engine/chat/render_internal.h"

#include <string.h>

const struct render_json render_compact = {0}, render_spaced = {.spaced = true},
                         render_plain = {.spaced = true, .keep_html = true};

static struct oll_json_writer writer_of(struct render *r, const struct render_json *style)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, r->out);
    w.spaced = style->spaced;
    w.keep_html = style->keep_html;
    w.indent = style->indent;
    return w;
}

void render_json(struct render *r, const struct oll_json *v, const struct render_json *style)
{
    struct oll_json_writer w = writer_of(r, style);
    oll_json_write_node(&w, v, true);
}

void render_string(struct render *r, const char *s, const struct render_json *style)
{
    struct oll_json_writer w = writer_of(r, style);
    oll_json_write_str(&w, s);
}

void render_arguments(struct render *r, const struct chat_call *call,
                      const struct render_json *style)
{
    struct oll_json_writer w = writer_of(r, style);
    oll_json_write_object_begin(&w);
    for (const struct oll_json *a = call->arguments->first; a; a = a->next) {
        oll_json_write_keyn(&w, a->key, a->key_len);
        oll_json_write_node(&w, a, true);
    }
    oll_json_write_object_end(&w);
}

/* ---- tools ---- */

const struct oll_json *render_first_tool(const struct render *r)
{
    return r->c->tools ? r->c->tools->first : NULL;
}

static const struct oll_json *function_of(const struct oll_json *tool)
{
    return oll_json_get(tool, "function");
}

const char *render_tool_name(const struct oll_json *tool)
{
    return oll_json_get_str(function_of(tool), "name", "");
}

const char *render_tool_description(const struct oll_json *tool)
{
    return oll_json_get_str(function_of(tool), "description", "");
}

static const struct oll_json *object_of(const struct oll_json *object, const char *key)
{
    const struct oll_json *v = oll_json_get(object, key);
    return v && v->type == OLL_JSON_OBJECT ? v : NULL;
}

const struct oll_json *render_tool_parameters(const struct oll_json *tool)
{
    return object_of(function_of(tool), "parameters");
}

const struct oll_json *render_filled(const struct oll_json *object, const char *key)
{
    const struct oll_json *v = oll_json_get(object, key);
    const bool has_many = v && (v->type == OLL_JSON_ARRAY || v->type == OLL_JSON_OBJECT);
    return has_many && v->n > 0 ? v : NULL;
}

static void write_property(struct oll_json_writer *w, const struct oll_json *property, bool sorted);

static void write_properties(struct oll_json_writer *w, const struct oll_json *properties,
                             bool sorted)
{
    const struct oll_json *p = properties->first;
    oll_json_write_object_begin(w);
    for (size_t i = 0; i < properties->n; i++, p = p->next) {
        const struct oll_json *one = sorted ? properties->sorted[i] : p;
        oll_json_write_keyn(w, one->key, one->key_len);
        write_property(w, one, sorted);
    }
    oll_json_write_object_end(w);
}

/* What a field of a property is, NULL: left out. */
static const struct oll_json *field_of(const struct oll_json *property, const char *field)
{
    const struct oll_json *v = oll_json_get(property, field);
    const bool is_text = v && v->type == OLL_JSON_STRING && v->str_len > 0;
    if (strcmp(field, "description") == 0)
        return is_text ? v : NULL;
    if (strcmp(field, "items") == 0)
        return v && v->type != OLL_JSON_NULL ? v : NULL;
    if (strcmp(field, "properties") == 0)
        return object_of(property, field);
    if (strcmp(field, "type") == 0 && is_text)
        return v;
    v = render_filled(property, field);
    if (!v || v->type != OLL_JSON_ARRAY)
        return NULL;
    return strcmp(field, "type") == 0 && v->n == 1 ? v->first : v;
}

static void write_field(struct oll_json_writer *w, const char *field, const struct oll_json *v,
                        bool sorted)
{
    if (strcmp(field, "properties") == 0) {
        write_properties(w, v, sorted);
    } else if (strcmp(field, "anyOf") == 0) {
        oll_json_write_array_begin(w);
        for (const struct oll_json *p = v->first; p; p = p->next)
            write_property(w, p, sorted);
        oll_json_write_array_end(w);
    } else {
        oll_json_write_node(w, v, true);
    }
}

/* Recursion is as deep as the JSON reader allows. */
static void write_property(struct oll_json_writer *w, const struct oll_json *property, bool sorted)
{
    static const char *const declared[] = {"anyOf", "type",       "items",   "description",
                                           "enum",  "properties", "required"};
    static const char *const by_name[] = {"anyOf",      "description", "enum", "items",
                                          "properties", "required",    "type"};
    oll_json_write_object_begin(w);
    for (size_t i = 0; i < sizeof declared / sizeof *declared; i++) {
        const char *field = sorted ? by_name[i] : declared[i];
        const struct oll_json *v = field_of(property, field);
        if (v) {
            oll_json_write_key(w, field);
            write_field(w, field, v, sorted);
        }
    }
    oll_json_write_object_end(w);
}

bool render_has_field(const struct oll_json *property, const char *field)
{
    return field_of(property, field) != NULL;
}

void render_field(struct render *r, const struct oll_json *property, const char *field,
                  const struct render_json *style)
{
    struct oll_json_writer w = writer_of(r, style);
    write_field(&w, field, field_of(property, field), style->sorted);
}

static void write_any(struct oll_json_writer *w, const char *key, const struct oll_json *v)
{
    if (v && v->type != OLL_JSON_NULL) {
        oll_json_write_key(w, key);
        oll_json_write_node(w, v, true);
    }
}

static void write_parameters(struct oll_json_writer *w, const struct oll_json *parameters)
{
    const struct oll_json *properties = object_of(parameters, "properties");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, oll_json_get_str(parameters, "type", ""));
    write_any(w, "$defs", oll_json_get(parameters, "$defs"));
    write_any(w, "items", oll_json_get(parameters, "items"));
    write_any(w, "required", render_filled(parameters, "required"));
    oll_json_write_key(w, "properties");
    if (properties)
        write_properties(w, properties, false);
    else
        oll_json_write_null(w);
    oll_json_write_object_end(w);
}

void render_parameters(struct render *r, const struct oll_json *parameters,
                       const struct render_json *style)
{
    struct oll_json_writer w = writer_of(r, style);
    write_parameters(&w, parameters);
}

static void write_function(struct oll_json_writer *w, const struct oll_json *tool,
                           bool with_description, const char *extra)
{
    const char *description = render_tool_description(tool);
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "name");
    oll_json_write_str(w, render_tool_name(tool));
    if (*description || with_description) {
        oll_json_write_key(w, "description");
        oll_json_write_str(w, description);
    }
    oll_json_write_key(w, "parameters");
    write_parameters(w, render_tool_parameters(tool));
    if (extra)
        oll_strbuf_adds(w->out, extra);
    oll_json_write_object_end(w);
}

void render_function(struct render *r, const struct oll_json *tool, const struct render_json *style,
                     const char *extra)
{
    struct oll_json_writer w = writer_of(r, style);
    write_function(&w, tool, style->with_description, extra);
}

void render_tool(struct render *r, const struct oll_json *tool, const struct render_json *style)
{
    struct oll_json_writer w = writer_of(r, style);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, oll_json_get_str(tool, "type", ""));
    write_any(&w, "items", oll_json_get(tool, "items"));
    oll_json_write_key(&w, "function");
    write_function(&w, tool, style->with_description, NULL);
    oll_json_write_object_end(&w);
}

/* ---- values in tags ---- */

void render_value(struct render *r, const struct oll_json *v, const struct render_value *style)
{
    const bool is_number = v->type == OLL_JSON_NUMBER;
    if (v->type == OLL_JSON_STRING)
        oll_strbuf_add(r->out, v->str, v->str_len);
    else if (is_number && style->short_numbers)
        go_print_float(r->out, v->real);
    else if (style->python && v->type == OLL_JSON_NULL)
        render_put(r, "None");
    else if (style->python && v->type == OLL_JSON_BOOL)
        render_put(r, v->is_true ? "True" : "False");
    else
        render_json(r, v, &style->json);
}
