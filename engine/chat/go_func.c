/* The functions of Go's templates and those that Ollama adds. */
#include "engine/chat/go_func.h"

#include "engine/base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

bool go_call_fail(struct go_call *call, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(call->error, sizeof call->error, fmt, args);
    va_end(args);
    return false;
}

bool go_call_take(struct go_call *call, struct go_value *out)
{
    const struct oll_strbuf *sb = &call->scratch;
    if (sb->status != OLL_OK)
        return go_call_fail(call, "a string is longer than the limit of %zu bytes", sb->max_bytes);
    const char *copy = oll_arena_strndup(call->arena, sb->data, sb->len);
    if (!copy)
        return go_call_fail(call, "the strings of the template take more memory than the limit");
    call->work += sb->len;
    *out = go_string(copy, sb->len);
    return true;
}

/* ---- lists, maps, strings ---- */

static bool run_not(struct go_call *call, const struct go_value *args, uint32_t n_args,
                    struct go_value *out)
{
    (void)call;
    (void)n_args;
    *out = go_bool(!go_truth(&args[0]));
    return true;
}

static bool run_len(struct go_call *call, const struct go_value *args, uint32_t n_args,
                    struct go_value *out)
{
    const struct go_value *v = &args[0];
    (void)n_args;
    if (v->kind == GO_NULL)
        return go_call_fail(call, "len of nil pointer");
    if (v->kind == GO_MISSING)
        return go_call_fail(call, "reflect: call of reflect.Value.Type on zero Value");
    if (v->kind != GO_STRING && !go_is_list(v) && !go_is_map(v))
        return go_call_fail(call, "len of type %s", go_type_name(v));
    *out = go_int((int64_t)v->n);
    return true;
}

/* An index of a list or string, at most `limit`. */
static bool read_index(struct go_call *call, const struct go_value *index, size_t limit,
                       size_t *out)
{
    if (index->kind == GO_MISSING)
        return go_call_fail(call, "cannot index slice/array with nil");
    if (index->kind != GO_INT)
        return go_call_fail(call, "cannot index slice/array with type %s", go_type_name(index));
    if (index->i < 0 || (uint64_t)index->i > limit)
        return go_call_fail(call, "index out of range: %lld", (long long)index->i);
    *out = (size_t)index->i;
    return true;
}

static bool index_map(struct go_call *call, const struct go_value *map,
                      const struct go_value *index, struct go_value *out)
{
    if (go_is_nil(index))
        return go_call_fail(call, "value is nil; should be of type string");
    if (index->kind != GO_STRING)
        return go_call_fail(call, "value has type %s; should be string", go_type_name(index));
    if (go_map_get(map, (struct go_str){index->s, index->n}, out))
        return true;
    *out = go_map_absent(map);
    return true;
}

static bool index_one(struct go_call *call, const struct go_value *item,
                      const struct go_value *index, struct go_value *out)
{
    size_t i = 0;
    if (go_is_nil(item))
        return go_call_fail(call, "index of nil pointer");
    if (go_is_map(item))
        return index_map(call, item, index, out);
    if (item->kind != GO_STRING && !go_is_list(item))
        return go_call_fail(call, "can't index item of type %s", go_type_name(item));
    if (go_is_nil(index))
        return go_call_fail(call, "cannot index slice/array with nil");
    if (!read_index(call, index, item->n, &i))
        return false;
    if (i == item->n)
        return go_call_fail(call, "reflect: %s index out of range",
                            item->kind == GO_STRING ? "string" : "slice");
    if (item->kind == GO_STRING) {
        *out = go_int((unsigned char)item->s[i]);
        return true;
    }
    call->work += i;
    *out = go_list_at(item, i);
    return true;
}

static bool run_index(struct go_call *call, const struct go_value *args, uint32_t n_args,
                      struct go_value *out)
{
    struct go_value item = args[0];
    if (go_is_nil(&item))
        return go_call_fail(call, "index of untyped nil");
    for (uint32_t i = 1; i < n_args; i++) {
        struct go_value inner = {.kind = GO_NULL};
        if (!index_one(call, &item, &args[i], &inner))
            return false;
        item = inner;
    }
    *out = item;
    return true;
}

static bool run_slice(struct go_call *call, const struct go_value *args, uint32_t n_args,
                      struct go_value *out)
{
    const struct go_value *item = &args[0];
    const uint32_t n_indexes = n_args - 1;
    if (go_is_nil(item))
        return go_call_fail(call, "slice of untyped nil");
    if (n_indexes > 3)
        return go_call_fail(call, "too many slice indexes: %u", n_indexes);
    if (item->kind == GO_STRING && n_indexes == 3)
        return go_call_fail(call, "cannot 3-index slice a string");
    if (item->kind != GO_STRING && !go_is_list(item))
        return go_call_fail(call, "can't slice item of type %s", go_type_name(item));
    size_t at[3] = {0, item->n, item->n};
    for (uint32_t i = 0; i < n_indexes; i++)
        if (!read_index(call, &args[i + 1], item->n, &at[i]))
            return false;
    if (at[0] > at[1])
        return go_call_fail(call, "invalid slice index: %zu > %zu", at[0], at[1]);
    if (n_indexes == 3 && at[1] > at[2])
        return go_call_fail(call, "invalid slice index: %zu > %zu", at[1], at[2]);
    call->work += item->kind == GO_STRING || item->kind == GO_LIST_MESSAGES ? 0 : at[0];
    *out = item->kind == GO_STRING ? go_string(item->s + at[0], at[1] - at[0])
                                   : go_list_slice(item, at[0], at[1]);
    return true;
}

static bool run_call(struct go_call *call, const struct go_value *args, uint32_t n_args,
                     struct go_value *out)
{
    (void)n_args;
    (void)out;
    if (go_is_nil(&args[0]))
        return go_call_fail(call, "call of nil");
    return go_call_fail(call, "non-function of type %s", go_type_name(&args[0]));
}

/* ---- printing ---- */

static bool run_print(struct go_call *call, const struct go_value *args, uint32_t n_args,
                      struct go_value *out)
{
    for (uint32_t i = 0; i < n_args; i++) {
        if (i > 0 && args[i].kind != GO_STRING && args[i - 1].kind != GO_STRING)
            oll_strbuf_addc(&call->scratch, ' ');
        go_print(&call->scratch, &args[i], true);
    }
    return go_call_take(call, out);
}

static bool run_println(struct go_call *call, const struct go_value *args, uint32_t n_args,
                        struct go_value *out)
{
    for (uint32_t i = 0; i < n_args; i++) {
        oll_strbuf_adds(&call->scratch, i ? " " : "");
        go_print(&call->scratch, &args[i], true);
    }
    oll_strbuf_addc(&call->scratch, '\n');
    return go_call_take(call, out);
}

static bool run_printf(struct go_call *call, const struct go_value *args, uint32_t n_args,
                       struct go_value *out)
{
    go_format(&call->scratch, (struct go_str){args[0].s, args[0].n}, args + 1, n_args - 1);
    return go_call_take(call, out);
}

static bool run_json(struct go_call *call, const struct go_value *args, uint32_t n_args,
                     struct go_value *out)
{
    (void)n_args;
    go_print_json(&call->scratch, &args[0]);
    return go_call_take(call, out);
}

/* ---- escaping ---- */

typedef void (*escape_fn)(struct oll_strbuf *out, const char *s, size_t n);

/* Arguments are joined as `print` does, but nothing reads "<no value>", which is a string. */
static bool escape_args(struct go_call *call, const struct go_value *args, uint32_t n_args,
                        escape_fn escape, struct go_value *out)
{
    struct go_value joined;
    bool after_text = true;
    for (uint32_t i = 0; i < n_args; i++) {
        const bool text = args[i].kind == GO_STRING || go_is_nil(&args[i]);
        if (!text && !after_text)
            oll_strbuf_addc(&call->scratch, ' ');
        go_print(&call->scratch, &args[i], false);
        after_text = text;
    }
    if (!go_call_take(call, &joined))
        return false;
    oll_strbuf_clear(&call->scratch);
    call->work += 32 * (uint64_t)joined.n; /* byte by byte, not by words as a copy */
    escape(&call->scratch, joined.s, joined.n);
    return go_call_take(call, out);
}

static void escape_html(struct oll_strbuf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (s[i]) {
        case '<': oll_strbuf_adds(out, "&lt;"); break;
        case '>': oll_strbuf_adds(out, "&gt;"); break;
        case '&': oll_strbuf_adds(out, "&amp;"); break;
        case '\'': oll_strbuf_adds(out, "&#39;"); break;
        case '"': oll_strbuf_adds(out, "&#34;"); break;
        case '\0': oll_strbuf_adds(out, "\xEF\xBF\xBD"); break;
        default: oll_strbuf_addc(out, s[i]);
        }
    }
}

static void escape_url(struct oll_strbuf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c && strchr("-_.~", c)))
            oll_strbuf_addc(out, (char)c);
        else if (c == ' ')
            oll_strbuf_addc(out, '+');
        else
            oll_strbuf_printf(out, "%%%02X", c);
    }
}

static void escape_js(struct oll_strbuf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        const int decoded = oll_utf8_decode(s + i, n - i, &cp);
        const size_t len = decoded > 0 ? (size_t)decoded : 1;
        const char c = len == 1 ? s[i] : '?';
        if (decoded > 0 && (!go_is_printable(cp) || (c && strchr("<>&=", c))))
            oll_strbuf_printf(out, "\\u%04X", (unsigned)cp);
        else if (strchr("\\'\"", c))
            oll_strbuf_printf(out, "\\%c", c);
        else
            oll_strbuf_add(out, s + i, len);
        i += len;
    }
}

static bool run_html(struct go_call *call, const struct go_value *args, uint32_t n_args,
                     struct go_value *out)
{
    return escape_args(call, args, n_args, escape_html, out);
}

static bool run_js(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    return escape_args(call, args, n_args, escape_js, out);
}

static bool run_urlquery(struct go_call *call, const struct go_value *args, uint32_t n_args,
                         struct go_value *out)
{
    return escape_args(call, args, n_args, escape_url, out);
}

/* ---- Ollama's ---- */

static bool print_date(struct go_call *call, int days_back, struct go_value *out)
{
    const time_t now = (time_t)call->now;
    struct tm tm;
    char text[32];
    if (!localtime_r(&now, &tm))
        return go_call_fail(call, "the time is beyond the calendar");
    if (days_back) {
        /* Noon exists on every day, also where clocks are put forward at midnight. */
        tm.tm_mday -= days_back;
        tm.tm_hour = 12;
        tm.tm_isdst = -1;
        mktime(&tm);
    }
    strftime(text, sizeof text, "%Y-%m-%d", &tm);
    oll_strbuf_adds(&call->scratch, text);
    return go_call_take(call, out);
}

static bool run_current_date(struct go_call *call, const struct go_value *args, uint32_t n_args,
                             struct go_value *out)
{
    (void)args;
    (void)n_args;
    return print_date(call, 0, out);
}

static bool run_yesterday_date(struct go_call *call, const struct go_value *args, uint32_t n_args,
                               struct go_value *out)
{
    (void)args;
    (void)n_args;
    return print_date(call, 1, out);
}

static const char *typescript_name(struct go_str type)
{
    static const struct {
        const char *json, *name;
    } names[] = {{"string", "string"},   {"number", "number"}, {"integer", "number"},
                 {"boolean", "boolean"}, {"array", "any[]"},   {"object", "Record<string, any>"},
                 {"null", "null"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (go_str_equal(type, names[i].json))
            return names[i].name;
    return "any";
}

static void write_typescript(struct oll_strbuf *out, const struct go_value *v)
{
    struct go_value list = {.kind = GO_MISSING}, element;
    struct go_iterator it;
    go_record_field(v, (struct go_str){"AnyOf", 5}, &list);
    if (list.n == 0)
        go_record_field(v, (struct go_str){"Type", 4}, &list);
    if (v->kind != GO_RECORD_PROPERTY || list.n == 0) {
        oll_strbuf_adds(out, "any");
        return;
    }
    go_iterator_init(&it, &list);
    while (out->status == OLL_OK && go_iterator_next(&it, &element)) {
        oll_strbuf_adds(out, it.i > 1 ? " | " : "");
        if (list.kind == GO_LIST_PROPERTIES)
            write_typescript(out, &element);
        else
            oll_strbuf_adds(out, typescript_name((struct go_str){element.s, element.n}));
    }
}

static bool run_typescript(struct go_call *call, const struct go_value *args, uint32_t n_args,
                           struct go_value *out)
{
    (void)n_args;
    write_typescript(&call->scratch, &args[0]);
    return go_call_take(call, out);
}

/* ---- table ---- */

static const struct go_function functions[] = {
    {.name = "and", .n_args = 1, .arity = GO_AT_LEAST},
    {.name = "or", .n_args = 1, .arity = GO_AT_LEAST},
    {.name = "not", .run = run_not, .n_args = 1},
    {.name = "eq", .run = go_compare_eq, .n_args = 1, .arity = GO_AT_LEAST},
    {.name = "ne", .run = go_compare_ne, .n_args = 2},
    {.name = "lt", .run = go_compare_lt, .n_args = 2},
    {.name = "le", .run = go_compare_le, .n_args = 2},
    {.name = "gt", .run = go_compare_gt, .n_args = 2},
    {.name = "ge", .run = go_compare_ge, .n_args = 2},
    {.name = "len", .run = run_len, .n_args = 1},
    {.name = "index", .run = run_index, .n_args = 1, .arity = GO_AT_LEAST},
    {.name = "slice", .run = run_slice, .n_args = 1, .arity = GO_AT_LEAST},
    {.name = "print", .run = run_print, .arity = GO_AT_LEAST},
    {.name = "println", .run = run_println, .arity = GO_AT_LEAST},
    {.name = "printf", .run = run_printf, .n_args = 1, .arity = GO_AT_LEAST, .wants_format = true},
    {.name = "html", .run = run_html, .arity = GO_AT_LEAST},
    {.name = "js", .run = run_js, .arity = GO_AT_LEAST},
    {.name = "urlquery", .run = run_urlquery, .arity = GO_AT_LEAST},
    {.name = "call", .run = run_call, .n_args = 1, .arity = GO_AT_LEAST},
    {.name = "json", .run = run_json, .n_args = 1},
    {.name = "toTypeScriptType", .run = run_typescript, .n_args = 1},
    {.name = "currentDate", .run = run_current_date, .arity = GO_AT_LEAST, .wants_strings = true},
    {.name = "yesterdayDate",
     .run = run_yesterday_date,
     .arity = GO_AT_LEAST,
     .wants_strings = true},
};

const struct go_function *go_function_find(struct go_str name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (go_str_equal(name, functions[i].name))
            return &functions[i];
    return NULL;
}
