/* Typed values: a raw text becomes JSON under the type that the tool's parameter declares. */
#include "engine/chat/parse_internal.h"
#include "sampler/json_schema.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static unsigned type_bit(const struct oll_json *name)
{
    static const char *const names[] = {"string", "boolean", "integer",
                                        "number", "array",   "object"};
    if (!name || name->type != OLL_JSON_STRING)
        return 0;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name->str, names[i]) == 0)
            return 1u << i;
    }
    return JSON_DECLARED_OTHER;
}

static unsigned own_types(const struct oll_json *schema)
{
    const struct oll_json *type = oll_json_get(schema, "type");
    unsigned types = 0;
    if (type && type->type == OLL_JSON_ARRAY) {
        for (const struct oll_json *t = type->first; t; t = t->next)
            types |= type_bit(t);
        return types;
    }
    return type_bit(type);
}

/* Member by a key that may hold any bytes. */
static const struct oll_json *property(const struct oll_json *tool, const char *key, size_t n)
{
    const struct oll_json *all = oll_json_get(oll_json_get(tool, "parameters"), "properties");
    if (!all || all->type != OLL_JSON_OBJECT)
        return NULL;
    for (const struct oll_json *m = all->first; m; m = m->next) {
        if (m->key_len == n && memcmp(m->key, key, n) == 0)
            return m;
    }
    return NULL;
}

unsigned parse_declared_types(const struct oll_json *tool, const char *key, size_t n)
{
    const struct oll_json *schema = property(tool, key, n);
    const struct oll_json *any = oll_json_get(schema, "anyOf");
    unsigned types = own_types(schema);
    if (any && any->type == OLL_JSON_ARRAY) {
        for (const struct oll_json *branch = any->first; branch; branch = branch->next)
            types |= own_types(branch);
    }
    return types;
}

bool parse_param_is_string(const struct oll_json *tool, const char *key, size_t key_len)
{
    return parse_declared_types(tool, key, key_len) & JSON_DECLARED_STRING;
}

static bool equals_fold(const char *s, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        const char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
        if (word[i] == '\0' || c != word[i])
            return false;
    }
    return word[n] == '\0';
}

/* Decimal digits with an optional sign that fit 64 bits. */
static bool read_integer(const char *s, size_t n, int64_t *out)
{
    char text[24];
    const size_t sign = n > 0 && (s[0] == '-' || s[0] == '+');
    if (n == sign || n >= sizeof text)
        return false;
    for (size_t i = sign; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

/* A decimal floating-point number; infinities and NaN have no JSON and are refused. */
static bool read_number(const char *s, size_t n, double *out)
{
    char text[400], *end;
    if (n == 0 || n >= sizeof text)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!strchr("0123456789+-.eE", s[i]) || s[i] == '\0')
            return false;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    *out = strtod(text, &end);
    return end == text + n && isfinite(*out);
}

static bool write_number(struct oll_json_writer *w, unsigned types, const char *s, size_t n)
{
    int64_t whole;
    double real;
    if ((types & (JSON_DECLARED_INTEGER | JSON_DECLARED_NUMBER)) && read_integer(s, n, &whole)) {
        oll_json_write_int(w, whole);
        return true;
    }
    if (!(types & JSON_DECLARED_NUMBER) || !read_number(s, n, &real))
        return false;
    if (real == floor(real) && fabs(real) < 9.0e15)
        oll_json_write_int(w, (int64_t)real);
    else
        oll_json_write_double(w, real);
    return true;
}

static bool write_container(struct chat_parser *p, struct oll_json_writer *w, unsigned types,
                            const char *s, size_t n)
{
    if (!(types & (JSON_DECLARED_ARRAY | JSON_DECLARED_OBJECT)))
        return false;
    const struct oll_json *tree = parse_json_tree(p, s, n);
    if (!tree || !((types & JSON_DECLARED_ARRAY && tree->type == OLL_JSON_ARRAY) ||
                   (types & JSON_DECLARED_OBJECT && tree->type == OLL_JSON_OBJECT)))
        return false;
    oll_json_write_node(w, tree, false);
    return true;
}

void parse_typed_value(struct chat_parser *p, struct oll_json_writer *w,
                       const struct oll_json *tool, const struct parse_raw *raw)
{
    const unsigned types = parse_declared_types(tool, raw->key, raw->key_len);
    const char *value = raw->value;
    size_t n = raw->len;
    if (raw->cut_newlines && n > 0 && value[0] == '\n') {
        value++;
        n--;
    }
    if (raw->cut_newlines && n > 0 && value[n - 1] == '\n')
        n--;
    oll_json_write_keyn(w, raw->key, raw->key_len);
    if (equals_fold(value, n, "null")) {
        oll_json_write_null(w);
    } else if (types & JSON_DECLARED_BOOLEAN && equals_fold(value, n, "true")) {
        oll_json_write_bool(w, true);
    } else if (types & JSON_DECLARED_BOOLEAN &&
               (types == JSON_DECLARED_BOOLEAN || equals_fold(value, n, "false"))) {
        oll_json_write_bool(w, false);
    } else if (!write_number(w, types, value, n) && !write_container(p, w, types, value, n)) {
        oll_json_write_strn(w, value, n);
    }
}
