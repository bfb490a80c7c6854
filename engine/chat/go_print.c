/* Text of values: as actions print them, and as JSON. */
#include "engine/chat/go_value.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

/* Shortest digits that read back equal: 15 always survive, 17 always suffice. Numbers below the
 * normal range have fewer digits than that. */
static void shortest(double v, char out[32])
{
    for (int digits = v != 0 && fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*e", digits - 1, v);
        if (strtod(out, NULL) == v)
            return;
    }
}

void go_print_float(struct oll_strbuf *out, double v)
{
    char text[32], digits[24];
    size_t n = 0;
    if (isnan(v) || isinf(v)) {
        oll_strbuf_adds(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return;
    }
    shortest(v, text);
    const char *e = strchr(text, 'e');
    const int exponent = (int)strtol(e + 1, NULL, 10);
    for (const char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9')
            digits[n++] = *c;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (text[0] == '-')
        oll_strbuf_addc(out, '-');
    if (exponent < -4 || exponent >= 6) {
        oll_strbuf_add(out, digits, 1);
        if (n > 1) {
            oll_strbuf_addc(out, '.');
            oll_strbuf_add(out, digits + 1, n - 1);
        }
        oll_strbuf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    const size_t whole = exponent < 0 ? 0 : (size_t)exponent + 1;
    oll_strbuf_adds(out, whole ? "" : "0.");
    for (int i = exponent + 1; i < 0; i++)
        oll_strbuf_addc(out, '0');
    for (size_t i = 0; i < n || i < whole; i++) {
        if (i == whole && whole)
            oll_strbuf_addc(out, '.');
        oll_strbuf_addc(out, i < n ? digits[i] : '0');
    }
}

static void print_list(struct oll_strbuf *out, const struct go_value *list)
{
    struct go_iterator it;
    struct go_value element;
    const bool brackets = list->kind != GO_LIST_TYPES || list->n > 1;
    go_iterator_init(&it, list);
    oll_strbuf_adds(out, brackets ? "[" : "");
    while (out->status == OLL_OK && go_iterator_next(&it, &element)) {
        oll_strbuf_adds(out, it.i > 1 ? " " : "");
        go_print(out, &element, true);
    }
    oll_strbuf_adds(out, brackets ? "]" : "");
}

static void print_map(struct oll_strbuf *out, const struct go_value *map)
{
    oll_strbuf_adds(out, "map[");
    for (size_t i = 0; i < map->n && out->status == OLL_OK; i++) {
        struct go_value key;
        const struct go_value value = go_map_at(map, i, &key);
        oll_strbuf_adds(out, i ? " " : "");
        oll_strbuf_add(out, key.s, key.n);
        oll_strbuf_addc(out, ':');
        go_print(out, &value, true);
    }
    oll_strbuf_addc(out, ']');
}

/* Ollama gives messages and calls no text of their own: their fields in order, as Go prints any
 * record. */
static void print_record(struct oll_strbuf *out, const struct go_value *v, bool inside)
{
    static const char *const message[] = {"Role",      "Content",  "Thinking",   "Images",
                                          "ToolCalls", "ToolName", "ToolCallID", NULL};
    static const char *const call[] = {"ID", "Function", NULL};
    static const char *const called[] = {"Index", "Name", "Arguments", NULL};
    const char *const *names = v->kind == GO_RECORD_MESSAGE ? message
                               : v->kind == GO_RECORD_CALL  ? call
                                                            : called;
    oll_strbuf_adds(out, inside && v->kind == GO_RECORD_MESSAGE ? "&{" : "{");
    for (size_t i = 0; names[i]; i++) {
        struct go_value field;
        go_record_field(v, (struct go_str){names[i], strlen(names[i])}, &field);
        oll_strbuf_adds(out, i ? " " : "");
        go_print(out, &field, true);
    }
    oll_strbuf_addc(out, '}');
}

void go_print(struct oll_strbuf *out, const struct go_value *v, bool inside)
{
    switch (v->kind) {
    case GO_MISSING:
    case GO_NULL: oll_strbuf_adds(out, inside ? "<nil>" : "<no value>"); break;
    case GO_BOOL: oll_strbuf_adds(out, v->is_true ? "true" : "false"); break;
    case GO_INT: oll_strbuf_printf(out, "%lld", (long long)v->i); break;
    case GO_FLOAT: go_print_float(out, v->real); break;
    case GO_STRING: oll_strbuf_add(out, v->s, v->n); break;
    case GO_LIST_ANY:
    case GO_LIST_STRINGS:
    case GO_LIST_TYPES:
    case GO_LIST_PROPERTIES:
    case GO_LIST_MESSAGES:
    case GO_LIST_CALLS:
    case GO_LIST_IMAGES: print_list(out, v); break;
    case GO_MAP_ANY:
    case GO_MAP_ROOT: print_map(out, v); break;
    case GO_RECORD_MESSAGE:
    case GO_RECORD_CALL:
    case GO_RECORD_CALLED: print_record(out, v, inside); break;
    case GO_MAP_ARGUMENTS:
    case GO_MAP_PROPERTIES:
        if (v->is_nil) {
            oll_strbuf_adds(out, "{}");
            break;
        }
        go_print_json(out, v);
        break;
    default: go_print_json(out, v); break;
    }
}

/* ---- JSON ---- */

static void write_value(struct oll_json_writer *w, const struct go_value *v);

static struct go_value field(const struct go_value *record, const char *name)
{
    struct go_value out = {.kind = GO_MISSING};
    go_record_field(record, (struct go_str){name, strlen(name)}, &out);
    return out;
}

/* Member `key` with the field `name`, left out when it is empty. */
static void write_filled(struct oll_json_writer *w, const struct go_value *record, const char *key,
                         const char *name)
{
    const struct go_value v = field(record, name);
    if (!go_truth(&v))
        return;
    oll_json_write_key(w, key);
    write_value(w, &v);
}

static void write_always(struct oll_json_writer *w, const struct go_value *record, const char *key,
                         const char *name)
{
    const struct go_value v = field(record, name);
    oll_json_write_key(w, key);
    write_value(w, &v);
}

/* Items and definitions are left out when absent, but not when they are empty. */
static void write_present(struct oll_json_writer *w, const struct go_value *record, const char *key,
                          const char *name)
{
    const struct go_value v = field(record, name);
    if (go_is_nil(&v))
        return;
    oll_json_write_key(w, key);
    write_value(w, &v);
}

static void write_message(struct oll_json_writer *w, const struct go_value *v)
{
    write_always(w, v, "role", "Role");
    write_always(w, v, "content", "Content");
    write_filled(w, v, "thinking", "Thinking");
    write_filled(w, v, "images", "Images");
    write_filled(w, v, "tool_calls", "ToolCalls");
    write_filled(w, v, "tool_name", "ToolName");
    write_filled(w, v, "tool_call_id", "ToolCallID");
}

static void write_property(struct oll_json_writer *w, const struct go_value *v)
{
    write_filled(w, v, "anyOf", "AnyOf");
    write_filled(w, v, "type", "Type");
    write_present(w, v, "items", "Items");
    write_filled(w, v, "description", "Description");
    write_filled(w, v, "enum", "Enum");
    write_filled(w, v, "properties", "Properties");
    write_filled(w, v, "required", "Required");
}

static void write_record(struct oll_json_writer *w, const struct go_value *v)
{
    oll_json_write_object_begin(w);
    switch (v->kind) {
    case GO_RECORD_MESSAGE: write_message(w, v); break;
    case GO_RECORD_CALL:
        write_filled(w, v, "id", "ID");
        write_always(w, v, "function", "Function");
        break;
    case GO_RECORD_CALLED:
        write_always(w, v, "index", "Index");
        write_always(w, v, "name", "Name");
        write_always(w, v, "arguments", "Arguments");
        break;
    case GO_RECORD_TOOL:
        write_always(w, v, "type", "Type");
        write_present(w, v, "items", "Items");
        write_always(w, v, "function", "Function");
        break;
    case GO_RECORD_FUNCTION:
        write_always(w, v, "name", "Name");
        write_always(w, v, "description", "Description");
        write_always(w, v, "parameters", "Parameters");
        break;
    case GO_RECORD_PARAMETERS:
        write_always(w, v, "type", "Type");
        write_present(w, v, "$defs", "Defs");
        write_present(w, v, "items", "Items");
        write_filled(w, v, "required", "Required");
        write_always(w, v, "properties", "Properties");
        break;
    default: write_property(w, v); break;
    }
    oll_json_write_object_end(w);
}

static void write_list(struct oll_json_writer *w, const struct go_value *list)
{
    struct go_iterator it;
    struct go_value element;
    go_iterator_init(&it, list);
    if (list->kind == GO_LIST_TYPES && list->n == 1) {
        go_iterator_next(&it, &element);
        write_value(w, &element);
        return;
    }
    oll_json_write_array_begin(w);
    while (w->out->status == OLL_OK && go_iterator_next(&it, &element))
        write_value(w, &element);
    oll_json_write_array_end(w);
}

static void write_map(struct oll_json_writer *w, const struct go_value *map)
{
    oll_json_write_object_begin(w);
    for (size_t i = 0; i < map->n && w->out->status == OLL_OK; i++) {
        struct go_value key;
        const struct go_value value = go_map_at(map, i, &key);
        oll_json_write_keyn(w, key.s, key.n);
        write_value(w, &value);
    }
    oll_json_write_object_end(w);
}

/* Depth is bounded by that of the JSON in the conversation. */
static void write_value(struct oll_json_writer *w, const struct go_value *v)
{
    if (go_is_nil(v) || v->is_nil)
        oll_json_write_null(w);
    else if (v->kind == GO_BOOL)
        oll_json_write_bool(w, v->is_true);
    else if (v->kind == GO_INT)
        oll_json_write_int(w, v->i);
    else if (v->kind == GO_FLOAT)
        oll_json_write_double(w, v->real);
    else if (v->kind == GO_STRING)
        oll_json_write_strn(w, v->s, v->n);
    else if (go_is_list(v))
        write_list(w, v);
    else if (go_is_map(v))
        write_map(w, v);
    else
        write_record(w, v);
}

void go_print_json(struct oll_strbuf *out, const struct go_value *v)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    write_value(&w, v);
}
