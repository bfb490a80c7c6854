/* Truth, equality, order and membership, as Python defines them. */
#include "engine/chat/jinja_value.h"

#include <string.h>

const char *jinja_type_name(struct jinja_value v)
{
    static const char *const seqs[] = {"list",      "tuple",       "generator", "range",
                                       "dict_keys", "dict_values", "dict_items"};
    static const char *const names[] = {"Undefined", "NoneType", "bool",       "int",
                                        "float",     "str",      "list",       "dict",
                                        "Namespace", "function", "LoopContext"};
    return v.type == JINJA_SEQ ? seqs[v.q->kind] : names[v.type];
}

bool jinja_is_number(struct jinja_value v)
{
    return v.type == JINJA_INT || v.type == JINJA_FLOAT || v.type == JINJA_BOOL;
}

double jinja_as_double(struct jinja_value v)
{
    return v.type == JINJA_FLOAT ? v.f : v.type == JINJA_INT ? (double)v.i : (double)v.b;
}

static int64_t as_int(struct jinja_value v) { return v.type == JINJA_INT ? v.i : (int64_t)v.b; }

bool jinja_truth(struct jinja_run *run, struct jinja_value v)
{
    (void)run;
    switch (v.type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return v.b;
    case JINJA_INT: return v.i != 0;
    case JINJA_FLOAT: return v.f != 0;
    case JINJA_STR: return v.s->len > 0;
    case JINJA_SEQ: return v.q->kind == JINJA_GENERATOR || v.q->n > 0;
    case JINJA_DICT: return v.d->n > 0;
    default: return true;
    }
}

static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    if (a.type != JINJA_FLOAT && b.type != JINJA_FLOAT)
        return (as_int(a) > as_int(b)) - (as_int(a) < as_int(b));
    const double x = jinja_as_double(a), y = jinja_as_double(b);
    return (x > y) - (x < y);
}

/* UTF-8 sorts like its code points. */
static int compare_strings(const struct jinja_str *a, const struct jinja_str *b)
{
    const int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
    return order ? (order > 0) - (order < 0) : (a->len > b->len) - (a->len < b->len);
}

static bool equal_at(struct jinja_run *run, struct jinja_value a, struct jinja_value b, int depth);

/* Lists equal lists and tuples tuples; views and ranges compare by what they hold. */
static bool equal_seqs(struct jinja_run *run, const struct jinja_seq *a, const struct jinja_seq *b,
                       int depth)
{
    if (a->kind != b->kind || a->kind == JINJA_GENERATOR || a->n != b->n)
        return a == b;
    for (size_t i = 0; i < a->n && jinja_ok(run); i++)
        if (!equal_at(run, jinja_item(a, i), jinja_item(b, i), depth + 1))
            return false;
    return true;
}

static bool equal_dicts(struct jinja_run *run, const struct jinja_dict *a, struct jinja_dict *b,
                        int depth)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n && jinja_ok(run); i++) {
        const struct jinja_entry *other = jinja_dict_find(run, b, a->entries[i].key);
        if (!other || !equal_at(run, a->entries[i].value, other->value, depth + 1))
            return false;
    }
    return true;
}

static bool equal_at(struct jinja_run *run, struct jinja_value a, struct jinja_value b, int depth)
{
    if (depth > JINJA_DATA_DEPTH_MAX) {
        jinja_fail(run, OLL_ERR_LIMIT, "data nests deeper than %d levels", JINJA_DATA_DEPTH_MAX);
        return false;
    }
    if (!jinja_step(run, 1))
        return false;
    if (jinja_is_number(a) && jinja_is_number(b)) {
        const bool nan =
            (a.type == JINJA_FLOAT && a.f != a.f) || (b.type == JINJA_FLOAT && b.f != b.f);
        return !nan && compare_numbers(a, b) == 0;
    }
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE: return true;
    case JINJA_STR:
        return a.s->len == b.s->len && jinja_step(run, a.s->len / 64) &&
               !memcmp(a.s->data, b.s->data, a.s->len);
    case JINJA_SEQ: return equal_seqs(run, a.q, b.q, depth);
    case JINJA_DICT: return equal_dicts(run, a.d, b.d, depth);
    case JINJA_SPACE: return a.d == b.d;
    case JINJA_CALL: return a.c == b.c;
    default: return a.l == b.l;
    }
}

bool jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    return equal_at(run, a, b, 0);
}

static int compare_at(struct jinja_run *run, struct jinja_value a, struct jinja_value b, int depth)
{
    if (jinja_is_number(a) && jinja_is_number(b))
        return compare_numbers(a, b);
    if (a.type == JINJA_STR && b.type == JINJA_STR) {
        jinja_step(run, 1 + (a.s->len < b.s->len ? a.s->len : b.s->len) / 64);
        return compare_strings(a.s, b.s);
    }
    if (a.type == JINJA_SEQ && b.type == JINJA_SEQ && a.q->kind == b.q->kind &&
        a.q->kind <= JINJA_TUPLE && depth < JINJA_DATA_DEPTH_MAX) {
        for (size_t i = 0; i < a.q->n && i < b.q->n && jinja_ok(run); i++)
            if (!jinja_equal(run, a.q->items[i], b.q->items[i]))
                return compare_at(run, a.q->items[i], b.q->items[i], depth + 1);
        return (a.q->n > b.q->n) - (a.q->n < b.q->n);
    }
    jinja_fail(run, OLL_ERR_FORMAT, "'%s' and '%s' cannot be put in order", jinja_type_name(a),
               jinja_type_name(b));
    return 0;
}

int jinja_compare(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    return compare_at(run, a, b, 0);
}

bool jinja_contains(struct jinja_run *run, struct jinja_value box, struct jinja_value v)
{
    switch (box.type) {
    case JINJA_UNDEFINED: return false;
    case JINJA_STR:
        if (v.type != JINJA_STR) {
            jinja_fail(run, OLL_ERR_FORMAT, "'in <string>' requires string as left operand, not %s",
                       jinja_type_name(v));
            return false;
        }
        jinja_step(run, box.s->len / 16);
        return jinja_find(box.s->data, box.s->len, 0, v.s->data, v.s->len) != SIZE_MAX;
    case JINJA_DICT: {
        struct jinja_entry *entry = jinja_dict_find(run, box.d, v);
        if (entry)
            entry->was_read = true;
        return entry != NULL;
    }
    default: {
        const struct jinja_seq *q = jinja_iterate(run, box);
        for (size_t i = 0; i < q->n && jinja_ok(run); i++)
            if (jinja_equal(run, q->items[i], v))
                return true;
        return false;
    }
    }
}
