#include "engine/chat/go_value.h"

#include <string.h>

/* ---- making ---- */

struct go_value go_bool(bool v) { return (struct go_value){.kind = GO_BOOL, .is_true = v}; }
struct go_value go_int(int64_t v) { return (struct go_value){.kind = GO_INT, .i = v}; }

struct go_value go_string(const char *s, size_t n)
{
    return (struct go_value){.kind = GO_STRING, .n = n, .s = s};
}

struct go_value go_text(const char *s) { return go_string(s, strlen(s)); }

static struct go_value go_float(double v) { return (struct go_value){.kind = GO_FLOAT, .real = v}; }

/* An array as a list of `kind`; anything else is an absent list. */
static struct go_value list_of(enum go_kind kind, const struct oll_json *json)
{
    if (!json || json->type != OLL_JSON_ARRAY)
        return (struct go_value){.kind = (uint8_t)kind, .is_nil = true, .p = NULL};
    return (struct go_value){.kind = (uint8_t)kind, .n = json->n, .p = json->first};
}

static struct go_value map_of(enum go_kind kind, const struct oll_json *json)
{
    if (!json || json->type != OLL_JSON_OBJECT)
        return (struct go_value){.kind = (uint8_t)kind, .is_nil = true, .p = NULL};
    return (struct go_value){.kind = (uint8_t)kind, .n = json->n, .p = json};
}

static struct go_value record_of(enum go_kind kind, const void *p)
{
    return (struct go_value){.kind = (uint8_t)kind, .p = p};
}

static struct go_value object_of(enum go_kind kind, const struct oll_json *json)
{
    return record_of(kind, json && json->type == OLL_JSON_OBJECT ? json : NULL);
}

static struct go_value text_of(const struct oll_json *json)
{
    if (!json || json->type != OLL_JSON_STRING)
        return go_string("", 0);
    return go_string(json->str, json->str_len);
}

struct go_value go_from_json(const struct oll_json *json)
{
    if (!json)
        return (struct go_value){.kind = GO_NULL};
    switch ((enum oll_json_type)json->type) {
    case OLL_JSON_BOOL: return go_bool(json->is_true);
    case OLL_JSON_NUMBER: return go_float(json->real);
    case OLL_JSON_STRING: return text_of(json);
    case OLL_JSON_ARRAY: return list_of(GO_LIST_ANY, json);
    case OLL_JSON_OBJECT: return map_of(GO_MAP_ANY, json);
    case OLL_JSON_NULL: break;
    }
    return (struct go_value){.kind = GO_NULL};
}

struct go_value go_messages(const struct chat_message *messages, uint32_t n)
{
    return (struct go_value){.kind = GO_LIST_MESSAGES, .n = n, .p = messages};
}

struct go_value go_tools(const struct oll_json *tools) { return list_of(GO_LIST_TOOLS, tools); }

void go_root_set(struct go_root *root, const char *name, struct go_value value)
{
    uint32_t i = root->n++;
    OLL_ASSERT(root->n <= GO_ROOT_MAX);
    for (; i > 0 && strcmp(root->entries[i - 1].name, name) > 0; i--)
        root->entries[i] = root->entries[i - 1];
    root->entries[i].name = name;
    root->entries[i].value = value;
}

/* ---- asking ---- */

bool go_truth(const struct go_value *v)
{
    switch (v->kind) {
    case GO_MISSING:
    case GO_NULL: return false;
    case GO_BOOL: return v->is_true;
    case GO_INT: return v->i != 0;
    case GO_FLOAT: return v->real != 0;
    default: return go_is_record(v) || v->n > 0;
    }
}

const char *go_type_name(const struct go_value *v)
{
    static const char *const names[] = {
        [GO_MISSING] = "<nil>",
        [GO_NULL] = "interface {}",
        [GO_BOOL] = "bool",
        [GO_INT] = "int",
        [GO_FLOAT] = "float64",
        [GO_STRING] = "string",
        [GO_LIST_ANY] = "[]interface {}",
        [GO_LIST_STRINGS] = "[]string",
        [GO_LIST_TYPES] = "types of a property",
        [GO_LIST_PROPERTIES] = "list of properties",
        [GO_LIST_TOOLS] = "list of tools",
        [GO_LIST_MESSAGES] = "list of messages",
        [GO_LIST_CALLS] = "list of tool calls",
        [GO_LIST_IMAGES] = "list of images",
        [GO_MAP_ANY] = "map[string]interface {}",
        [GO_MAP_ARGUMENTS] = "arguments of a tool call",
        [GO_MAP_PROPERTIES] = "map of properties",
        [GO_MAP_ROOT] = "map[string]interface {}",
        [GO_RECORD_MESSAGE] = "message",
        [GO_RECORD_CALL] = "tool call",
        [GO_RECORD_CALLED] = "function of a tool call",
        [GO_RECORD_TOOL] = "tool",
        [GO_RECORD_FUNCTION] = "function of a tool",
        [GO_RECORD_PARAMETERS] = "parameters of a tool",
        [GO_RECORD_PROPERTY] = "property of a tool",
    };
    return names[v->kind];
}

/* ---- lists ---- */

static struct go_value element_of(const struct go_value *list, size_t i,
                                  const struct oll_json *json)
{
    switch (list->kind) {
    case GO_LIST_ANY: return go_from_json(json);
    case GO_LIST_STRINGS:
    case GO_LIST_TYPES: return text_of(json);
    case GO_LIST_PROPERTIES: return object_of(GO_RECORD_PROPERTY, json);
    case GO_LIST_TOOLS: return object_of(GO_RECORD_TOOL, json);
    case GO_LIST_MESSAGES:
        return record_of(GO_RECORD_MESSAGE, (const struct chat_message *)list->p + i);
    case GO_LIST_CALLS: return record_of(GO_RECORD_CALL, (const struct chat_call *)list->p + i);
    default: return go_string("", 0); /* images: their bytes are not kept */
    }
}

static bool is_json_list(const struct go_value *list)
{
    return list->kind >= GO_LIST_ANY && list->kind <= GO_LIST_TOOLS;
}

static const struct oll_json *json_at(const struct go_value *list, size_t i)
{
    const struct oll_json *json = is_json_list(list) ? list->p : NULL;
    for (; json && i > 0; i--)
        json = json->next;
    return json;
}

struct go_value go_list_at(const struct go_value *list, size_t i)
{
    return element_of(list, i, json_at(list, i));
}

struct go_value go_list_slice(const struct go_value *list, size_t from, size_t to)
{
    struct go_value out = *list;
    out.n = to - from;
    if (from == 0)
        return out;
    if (is_json_list(list))
        out.p = json_at(list, from);
    else if (list->kind == GO_LIST_MESSAGES)
        out.p = (const struct chat_message *)list->p + from;
    else if (list->kind == GO_LIST_CALLS)
        out.p = (const struct chat_call *)list->p + from;
    return out;
}

void go_iterator_init(struct go_iterator *it, const struct go_value *list)
{
    *it = (struct go_iterator){.list = *list, .json = json_at(list, 0)};
}

bool go_iterator_next(struct go_iterator *it, struct go_value *element)
{
    if (it->i >= it->list.n)
        return false;
    *element = element_of(&it->list, it->i++, it->json);
    if (it->json)
        it->json = it->json->next;
    return true;
}

/* ---- maps ---- */

static struct go_value member_of(const struct go_value *map, const struct oll_json *json)
{
    return map->kind == GO_MAP_PROPERTIES ? object_of(GO_RECORD_PROPERTY, json)
                                          : go_from_json(json);
}

static int compare_key(const struct oll_json *member, struct go_str key)
{
    const size_t n = member->key_len < key.n ? member->key_len : key.n;
    const int order = n ? memcmp(member->key, key.s, n) : 0;
    return order ? order : (member->key_len > key.n) - (member->key_len < key.n);
}

static bool root_get(const struct go_root *root, struct go_str key, struct go_value *out)
{
    for (uint32_t i = 0; i < root->n; i++)
        if (go_str_equal(key, root->entries[i].name)) {
            *out = root->entries[i].value;
            return true;
        }
    return false;
}

bool go_map_get(const struct go_value *map, struct go_str key, struct go_value *out)
{
    if (map->kind == GO_MAP_ROOT)
        return root_get(map->p, key, out);
    size_t low = 0, high = map->n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const struct oll_json *member = ((const struct oll_json *)map->p)->sorted[mid];
        const int order = compare_key(member, key);
        if (order == 0) {
            *out = member_of(map, member);
            return true;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

struct go_value go_map_absent(const struct go_value *map)
{
    const bool typed = map->kind == GO_MAP_PROPERTIES;
    return (struct go_value){.kind = typed ? GO_RECORD_PROPERTY : GO_NULL, .p = NULL};
}

struct go_value go_map_at(const struct go_value *map, size_t i, struct go_value *key)
{
    if (map->kind == GO_MAP_ROOT) {
        const struct go_root *root = map->p;
        *key = go_text(root->entries[i].name);
        return root->entries[i].value;
    }
    const struct oll_json *member = ((const struct oll_json *)map->p)->sorted[i];
    *key = go_string(member->key, member->key_len);
    return member_of(map, member);
}

/* ---- records ---- */

static bool is(struct go_str name, const char *field) { return go_str_equal(name, field); }

static bool message_field(const struct chat_message *m, struct go_str name, struct go_value *out)
{
    if (is(name, "Role"))
        *out = go_text(m->role);
    else if (is(name, "Content"))
        *out = go_text(m->content);
    else if (is(name, "Thinking"))
        *out = go_text(m->thinking);
    else if (is(name, "Images"))
        *out = (struct go_value){
            .kind = GO_LIST_IMAGES, .is_nil = m->n_images == 0, .n = m->n_images, .p = NULL};
    else if (is(name, "ToolCalls"))
        *out = (struct go_value){
            .kind = GO_LIST_CALLS, .is_nil = m->n_calls == 0, .n = m->n_calls, .p = m->calls};
    else if (is(name, "ToolName"))
        *out = go_text(m->tool_name);
    else if (is(name, "ToolCallID"))
        *out = go_text(m->tool_call_id);
    else
        return false;
    return true;
}

static bool called_field(const struct chat_call *call, struct go_str name, struct go_value *out)
{
    if (is(name, "Index"))
        *out = go_int(call->index);
    else if (is(name, "Name"))
        *out = go_text(call->name);
    else if (is(name, "Arguments"))
        *out = map_of(GO_MAP_ARGUMENTS, call->arguments);
    else
        return false;
    return true;
}

static bool call_field(const struct chat_call *call, struct go_str name, struct go_value *out)
{
    if (is(name, "ID"))
        *out = go_text(call->id);
    else if (is(name, "Function"))
        *out = record_of(GO_RECORD_CALLED, call);
    else
        return false;
    return true;
}

static bool tool_field(const struct oll_json *json, struct go_str name, struct go_value *out)
{
    if (is(name, "Type"))
        *out = text_of(oll_json_get(json, "type"));
    else if (is(name, "Items"))
        *out = go_from_json(oll_json_get(json, "items"));
    else if (is(name, "Function"))
        *out = object_of(GO_RECORD_FUNCTION, oll_json_get(json, "function"));
    else
        return false;
    return true;
}

static bool function_field(const struct oll_json *json, struct go_str name, struct go_value *out)
{
    if (is(name, "Name"))
        *out = text_of(oll_json_get(json, "name"));
    else if (is(name, "Description"))
        *out = text_of(oll_json_get(json, "description"));
    else if (is(name, "Parameters"))
        *out = object_of(GO_RECORD_PARAMETERS, oll_json_get(json, "parameters"));
    else
        return false;
    return true;
}

static bool parameters_field(const struct oll_json *json, struct go_str name, struct go_value *out)
{
    if (is(name, "Type"))
        *out = text_of(oll_json_get(json, "type"));
    else if (is(name, "Defs"))
        *out = go_from_json(oll_json_get(json, "$defs"));
    else if (is(name, "Items"))
        *out = go_from_json(oll_json_get(json, "items"));
    else if (is(name, "Required"))
        *out = list_of(GO_LIST_STRINGS, oll_json_get(json, "required"));
    else if (is(name, "Properties"))
        *out = map_of(GO_MAP_PROPERTIES, oll_json_get(json, "properties"));
    else
        return false;
    return true;
}

/* One type is written as a string, several as an array. */
static struct go_value types_of(const struct oll_json *json)
{
    if (json && json->type == OLL_JSON_STRING)
        return (struct go_value){.kind = GO_LIST_TYPES, .n = 1, .p = json};
    return list_of(GO_LIST_TYPES, json);
}

static bool property_field(const struct oll_json *json, struct go_str name, struct go_value *out)
{
    if (is(name, "AnyOf"))
        *out = list_of(GO_LIST_PROPERTIES, oll_json_get(json, "anyOf"));
    else if (is(name, "Type"))
        *out = types_of(oll_json_get(json, "type"));
    else if (is(name, "Items"))
        *out = go_from_json(oll_json_get(json, "items"));
    else if (is(name, "Description"))
        *out = text_of(oll_json_get(json, "description"));
    else if (is(name, "Enum"))
        *out = list_of(GO_LIST_ANY, oll_json_get(json, "enum"));
    else if (is(name, "Properties"))
        *out = map_of(GO_MAP_PROPERTIES, oll_json_get(json, "properties"));
    else if (is(name, "Required"))
        *out = list_of(GO_LIST_STRINGS, oll_json_get(json, "required"));
    else
        return false;
    return true;
}

bool go_record_field(const struct go_value *record, struct go_str name, struct go_value *out)
{
    switch (record->kind) {
    case GO_RECORD_MESSAGE: return message_field(record->p, name, out);
    case GO_RECORD_CALL: return call_field(record->p, name, out);
    case GO_RECORD_CALLED: return called_field(record->p, name, out);
    case GO_RECORD_TOOL: return tool_field(record->p, name, out);
    case GO_RECORD_FUNCTION: return function_field(record->p, name, out);
    case GO_RECORD_PARAMETERS: return parameters_field(record->p, name, out);
    case GO_RECORD_PROPERTY: return property_field(record->p, name, out);
    default: return false;
    }
}
