#include "engine/chat/jinja_input.h"

#include <string.h>

static struct jinja_value number_of(const struct oll_json *json)
{
    if (json->is_int)
        return jinja_int(json->i);
    if (json->real > -1e15 && json->real < 1e15 && json->real == (double)(int64_t)json->real)
        return jinja_int((int64_t)json->real);
    return jinja_float(json->real);
}

/* Recursion is bounded by the depth that the JSON reader allows. */
struct jinja_value jinja_any_value(struct jinja_run *run, const struct oll_json *json,
                                   bool sort_keys)
{
    if (json->type == OLL_JSON_NUMBER)
        return number_of(json);
    if (json->type != OLL_JSON_ARRAY && json->type != OLL_JSON_OBJECT)
        return jinja_from_json(run, json);
    struct jinja_value v = json->type == OLL_JSON_ARRAY ? jinja_seq(run, JINJA_LIST, json->n)
                                                        : jinja_dict(run, json->n);
    const struct oll_json *c = json->first;
    for (size_t i = 0; i < json->n && jinja_ok(run); i++, c = c->next) {
        const struct oll_json *child = sort_keys && v.type == JINJA_DICT ? json->sorted[i] : c;
        const struct jinja_value value = jinja_any_value(run, child, sort_keys);
        if (v.type == JINJA_SEQ)
            jinja_push(run, v.q, value);
        else
            jinja_dict_set(run, v.d, jinja_str(run, child->key, child->key_len), value);
    }
    if (jinja_ok(run) && v.type == JINJA_SEQ)
        v.q->own = false;
    else if (jinja_ok(run))
        v.d->own = false;
    return v;
}

const char *jinja_json_text(struct jinja_run *run, struct jinja_value v, const char *indent)
{
    const struct jinja_json_style style = {
        .indent = indent, .comma = ",", .colon = indent ? ": " : ":"};
    struct oll_strbuf text;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    if (jinja_ok(run))
        jinja_dump(run, &text, v, &style);
    oll_strbuf_addc(&text, '\0');
    const struct jinja_value s = jinja_str_take(run, &text);
    return jinja_ok(run) ? s.s->data : "";
}

static void set(struct jinja_run *run, struct jinja_value d, const char *key, struct jinja_value v)
{
    if (jinja_ok(run))
        jinja_dict_sets(run, d.d, key, v);
}

static bool is_given(const struct oll_json *v) { return v && v->type != OLL_JSON_NULL; }

static void set_any(struct jinja_run *run, struct jinja_value d, const char *key,
                    const struct oll_json *object)
{
    const struct oll_json *v = oll_json_get(object, key);
    const bool is_empty_list = v && v->type == OLL_JSON_ARRAY && v->n == 0;
    if (is_given(v) && !is_empty_list)
        set(run, d, key, jinja_any_value(run, v, true));
}

static void set_text(struct jinja_run *run, struct jinja_value d, const char *key,
                     const struct oll_json *object, bool always)
{
    const char *text = oll_json_get_str(object, key, "");
    if (always || text[0])
        set(run, d, key, jinja_text(run, text));
}

/* One type as a text, several as a list. */
static void set_type(struct jinja_run *run, struct jinja_value d, const struct oll_json *property)
{
    const struct oll_json *type = oll_json_get(property, "type");
    if (type && type->type == OLL_JSON_ARRAY && type->n == 1)
        type = type->first;
    if (is_given(type) && !(type->type == OLL_JSON_STRING && type->str_len == 0) &&
        !(type->type == OLL_JSON_ARRAY && type->n == 0))
        set(run, d, "type", jinja_any_value(run, type, false));
}

static struct jinja_value property_value(struct jinja_run *run, const struct oll_json *property);

static struct jinja_value properties_value(struct jinja_run *run, const struct oll_json *properties)
{
    struct jinja_value d = jinja_dict(run, properties->n);
    for (const struct oll_json *p = properties->first; p && jinja_ok(run); p = p->next)
        if (p->type == OLL_JSON_OBJECT)
            jinja_dict_set(run, d.d, jinja_str(run, p->key, p->key_len), property_value(run, p));
    return d;
}

static struct jinja_value property_value(struct jinja_run *run, const struct oll_json *property)
{
    struct jinja_value d = jinja_dict(run, 4);
    const struct oll_json *any_of = oll_json_get(property, "anyOf");
    const struct oll_json *properties = oll_json_get(property, "properties");
    if (any_of && any_of->type == OLL_JSON_ARRAY && any_of->n > 0) {
        struct jinja_value list = jinja_seq(run, JINJA_LIST, any_of->n);
        for (const struct oll_json *p = any_of->first; p && jinja_ok(run); p = p->next)
            jinja_push(run, list.q, property_value(run, p));
        set(run, d, "anyOf", list);
    }
    set_type(run, d, property);
    set_any(run, d, "items", property);
    set_text(run, d, "description", property, false);
    set_any(run, d, "enum", property);
    if (properties && properties->type == OLL_JSON_OBJECT)
        set(run, d, "properties", properties_value(run, properties));
    set_any(run, d, "required", property);
    return d;
}

static struct jinja_value parameters_value(struct jinja_run *run, const struct oll_json *parameters)
{
    struct jinja_value d = jinja_dict(run, 4);
    const struct oll_json *properties = oll_json_get(parameters, "properties");
    const bool has_any = properties && properties->type == OLL_JSON_OBJECT;
    set_text(run, d, "type", parameters, true);
    set_any(run, d, "$defs", parameters);
    set_any(run, d, "items", parameters);
    set_any(run, d, "required", parameters);
    set(run, d, "properties", has_any ? properties_value(run, properties) : jinja_none());
    return d;
}

static struct jinja_value tool_value(struct jinja_run *run, const struct oll_json *tool)
{
    struct jinja_value d = jinja_dict(run, 4), function = jinja_dict(run, 4);
    const struct oll_json *f = oll_json_get(tool, "function");
    set_text(run, function, "name", f, true);
    set_text(run, function, "description", f, true);
    set(run, function, "parameters", parameters_value(run, oll_json_get(f, "parameters")));
    set_text(run, d, "type", tool, true);
    set_any(run, d, "items", tool);
    set(run, d, "function", function);
    return d;
}

struct jinja_value jinja_tools_value(struct jinja_run *run, const struct oll_json *tools)
{
    struct jinja_value list = jinja_seq(run, JINJA_LIST, tools->n);
    for (const struct oll_json *t = tools->first; t && jinja_ok(run); t = t->next)
        jinja_push(run, list.q, tool_value(run, t));
    if (jinja_ok(run))
        list.q->own = false;
    return list;
}
