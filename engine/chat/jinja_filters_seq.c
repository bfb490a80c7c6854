/* Filters for lists and dicts. */
#include "engine/chat/jinja_strings.h"

#include <string.h>

static struct jinja_value generator(struct jinja_run *run)
{
    return jinja_seq(run, JINJA_GENERATOR, 0);
}

/* "a.b.0" of a filter's attribute: each part in turn; an integer is an index. */
static struct jinja_value attribute_of(struct jinja_run *run, struct jinja_value v,
                                       struct jinja_value path)
{
    if (path.type != JINJA_STR)
        return jinja_get_item(run, v, path);
    const struct jinja_str dot = {.data = ".", .len = 1, .n_chars = 1};
    const struct jinja_value parts = jinja_split(run, path.s, &dot, -1, false);
    for (size_t i = 0; jinja_ok(run) && i < parts.q->n; i++) {
        const struct jinja_str *part = parts.q->items[i].s;
        int64_t index = 0;
        size_t k = 0;
        for (; k < part->len && k < 9 && part->data[k] >= '0' && part->data[k] <= '9'; k++)
            index = index * 10 + (part->data[k] - '0');
        v = jinja_get_item(run, v, k && k == part->len ? jinja_int(index) : parts.q->items[i]);
    }
    return v;
}

static struct jinja_value filter_list(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_seq *q = jinja_iterate(run, v);
    struct jinja_value list = jinja_seq(run, JINJA_LIST, q->n);
    (void)args;
    for (size_t i = 0; i < q->n && jinja_ok(run); i++)
        jinja_push(run, list.q, q->items[i]);
    return list;
}

static struct jinja_value filter_items(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    struct jinja_value out = generator(run);
    (void)args;
    if (v.type != JINJA_DICT && v.type != JINJA_UNDEFINED)
        return jinja_fail(run, OLL_ERR_FORMAT, "Can only get item pairs from a mapping.");
    for (size_t i = 0; v.type == JINJA_DICT && i < v.d->n && jinja_ok(run); i++) {
        v.d->entries[i].was_read = true;
        jinja_push(run, out.q, jinja_pair(run, v.d->entries[i].key, v.d->entries[i].value));
    }
    return out;
}

static struct jinja_value filter_first(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    (void)args;
    if (v.type == JINJA_SEQ && v.q->kind == JINJA_GENERATOR && v.q->taken < v.q->n)
        return v.q->items[v.q->taken++];
    const struct jinja_seq *q = jinja_iterate(run, v);
    return q->n ? q->items[0] : jinja_undefined("the first item of nothing");
}

static struct jinja_value filter_last(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_seq *q = jinja_iterate(run, v);
    (void)args;
    return q->n ? q->items[q->n - 1] : jinja_undefined("the last item of nothing");
}

static struct jinja_value filter_reverse(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    const struct jinja_value turned[3] = {jinja_none(), jinja_none(), jinja_int(-1)};
    (void)args;
    if (v.type == JINJA_STR)
        return jinja_slice(run, v, turned);
    const struct jinja_seq *q = jinja_iterate(run, v);
    struct jinja_value out = generator(run);
    for (size_t i = q->n; i-- > 0 && jinja_ok(run);)
        jinja_push(run, out.q, q->items[i]);
    return out;
}

static struct jinja_value filter_join(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_value *d = jinja_arg(args, 0, "d"), *path = jinja_arg(args, 1, "attribute");
    const struct jinja_value sep = d ? jinja_to_str(run, *d) : jinja_text(run, "");
    const struct jinja_seq *q = jinja_iterate(run, v);
    if (path && path->type != JINJA_NONE) {
        struct jinja_value mapped = jinja_seq(run, JINJA_LIST, q->n);
        for (size_t i = 0; i < q->n && jinja_ok(run); i++)
            jinja_push(run, mapped.q, attribute_of(run, q->items[i], *path));
        q = jinja_iterate(run, mapped);
    }
    return jinja_ok(run) ? jinja_join(run, sep.s, q, false) : jinja_undefined(NULL);
}

/* ---- map, select, reject ---- */

/* These filters take nothing for an empty list: none, undefined, false. */
static const struct jinja_seq *items_or_nothing(struct jinja_run *run, struct jinja_value v)
{
    return jinja_iterate(run, jinja_truth(run, v) ? v : jinja_undefined(NULL));
}

static char *name_arg(struct jinja_run *run, const struct jinja_value *v)
{
    char *name = v && v->type == JINJA_STR ? jinja_alloc(run, v->s->len + 1, 1) : NULL;
    if (name)
        memcpy(name, v->s->data, v->s->len);
    return name;
}

/* The arguments behind the first `n`. */
static struct jinja_args later_args(const struct jinja_args *args, size_t n)
{
    struct jinja_args rest = *args;
    rest.n_pos = args->n_pos > n ? args->n_pos - n : 0;
    rest.pos = args->n_pos > n ? args->pos + n : NULL;
    return rest;
}

static struct jinja_value map_attribute(struct jinja_run *run, const struct jinja_seq *q,
                                        struct jinja_value path, const struct jinja_value *fallback)
{
    struct jinja_value out = generator(run);
    for (size_t i = 0; i < q->n && jinja_ok(run); i++) {
        struct jinja_value v = attribute_of(run, q->items[i], path);
        if (v.type == JINJA_UNDEFINED && fallback)
            v = *fallback;
        jinja_push(run, out.q, v);
    }
    return out;
}

static struct jinja_value filter_map(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    const struct jinja_value *path = jinja_arg(args, SIZE_MAX, "attribute");
    const struct jinja_seq *q = items_or_nothing(run, v);
    if (args->n_pos == 0 && path)
        return map_attribute(run, q, *path, jinja_arg(args, SIZE_MAX, "default"));
    const char *name = name_arg(run, jinja_arg(args, 0, NULL));
    const jinja_fn fn = name ? jinja_find_filter(name) : NULL;
    const struct jinja_args rest = later_args(args, 1);
    struct jinja_value out = generator(run);
    if (!fn)
        return jinja_fail(run, OLL_ERR_FORMAT, "map takes an attribute or the name of a filter");
    for (size_t i = 0; i < q->n && jinja_step(run, 1) && jinja_ok(run); i++)
        jinja_push(run, out.q, fn(run, q->items[i], &rest));
    return out;
}

/* Keeps the items (or, with `by_attribute`, those with an attribute) that pass a test, or that are
 * true when no test is named; `wanted` false: the others. */
static struct jinja_value choose(struct jinja_run *run, struct jinja_value v,
                                 const struct jinja_args *args, bool by_attribute, bool wanted)
{
    const size_t first = by_attribute ? 1 : 0;
    const struct jinja_value *path = by_attribute ? jinja_arg(args, 0, NULL) : NULL;
    const bool has_test = args->n_pos > first;
    const char *name = has_test ? name_arg(run, &args->pos[first]) : NULL;
    const jinja_fn test = name ? jinja_find_test(name) : NULL;
    const struct jinja_args rest = later_args(args, first + 1);
    struct jinja_value out = generator(run);
    if ((by_attribute && !path) || (has_test && !test))
        return jinja_fail(run, OLL_ERR_FORMAT, "there is no test named '%s'", name ? name : "");
    const struct jinja_seq *q = items_or_nothing(run, v);
    for (size_t i = 0; i < q->n && jinja_step(run, 1) && jinja_ok(run); i++) {
        struct jinja_value item = path ? attribute_of(run, q->items[i], *path) : q->items[i];
        if (test)
            item = test(run, item, &rest);
        if (jinja_truth(run, item) == wanted)
            jinja_push(run, out.q, q->items[i]);
    }
    return out;
}

static struct jinja_value filter_select(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    return choose(run, v, args, false, true);
}

static struct jinja_value filter_reject(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    return choose(run, v, args, false, false);
}

static struct jinja_value filter_selectattr(struct jinja_run *run, struct jinja_value v,
                                            const struct jinja_args *args)
{
    return choose(run, v, args, true, true);
}

static struct jinja_value filter_rejectattr(struct jinja_run *run, struct jinja_value v,
                                            const struct jinja_args *args)
{
    return choose(run, v, args, true, false);
}

/* ---- order ---- */

static struct jinja_value ignore_case(struct jinja_run *run, struct jinja_value v)
{
    return v.type == JINJA_STR ? jinja_change_case(run, v.s, JINJA_LOWER) : v;
}

struct keyed {
    struct jinja_value key, value;
};

/* Stable merge sort of items by their keys; `spare` is as long as `items`. */
static void merge_sort(struct jinja_run *run, struct keyed *items, struct keyed *spare, size_t n,
                       bool descending)
{
    for (size_t width = 1; width < n && jinja_ok(run); width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            const size_t mid = from + width < n ? from + width : n;
            const size_t end = from + 2 * width < n ? from + 2 * width : n;
            size_t a = from, b = mid;
            for (size_t i = from; i < end && jinja_step(run, 1); i++) {
                int order = a < mid && b < end ? jinja_compare(run, items[a].key, items[b].key) : 0;
                order = descending ? -order : order;
                spare[i] = a < mid && (b >= end || order <= 0) ? items[a++] : items[b++];
            }
        }
        memcpy(items, spare, n * sizeof *items);
    }
}

/* Items with what they are sorted or compared by; NULL after a failure. */
static struct keyed *keyed_items(struct jinja_run *run, const struct jinja_seq *q,
                                 const struct jinja_value *path, bool case_sensitive)
{
    struct keyed *items = jinja_alloc(run, 2 * q->n, sizeof *items);
    for (size_t i = 0; items && i < q->n && jinja_ok(run); i++) {
        struct jinja_value key = q->items[i];
        if (path && path->type != JINJA_NONE)
            key = attribute_of(run, key, *path);
        items[i] = (struct keyed){.key = case_sensitive ? key : ignore_case(run, key),
                                  .value = q->items[i]};
    }
    return jinja_ok(run) ? items : NULL;
}

/* The keys of one item for `sort`: the attributes between commas, or the item itself, in a tuple.
 * Tuples are compared by their first members that differ, so equal keys need no order. */
static struct jinja_value sort_keys(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_value *path, bool case_sensitive)
{
    const struct jinja_str comma = {.data = ",", .len = 1, .n_chars = 1};
    struct jinja_value keys = jinja_seq(run, JINJA_TUPLE, 1), paths = keys;
    const bool by_text = path && path->type == JINJA_STR;
    if (by_text)
        paths = jinja_split(run, path->s, &comma, -1, false);
    const size_t n = by_text && jinja_ok(run) ? paths.q->n : 1;
    for (size_t i = 0; i < n && jinja_ok(run); i++) {
        struct jinja_value key = v;
        if (path && path->type != JINJA_NONE)
            key = attribute_of(run, v, by_text ? paths.q->items[i] : *path);
        jinja_push(run, keys.q, case_sensitive ? key : ignore_case(run, key));
    }
    return keys;
}

static struct jinja_value filter_sort(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const bool descending = jinja_arg_bool(run, args, 0, "reverse", false);
    const bool case_sensitive = jinja_arg_bool(run, args, 1, "case_sensitive", false);
    const struct jinja_value *path = jinja_arg(args, 2, "attribute");
    const struct jinja_seq *q = jinja_iterate(run, v);
    struct keyed *items = jinja_alloc(run, 2 * q->n, sizeof *items);
    struct jinja_value out = jinja_seq(run, JINJA_LIST, q->n);
    for (size_t i = 0; items && i < q->n && jinja_ok(run); i++)
        items[i] = (struct keyed){.key = sort_keys(run, q->items[i], path, case_sensitive),
                                  .value = q->items[i]};
    if (!items || !jinja_ok(run))
        return out;
    merge_sort(run, items, items + q->n, q->n, descending);
    for (size_t i = 0; i < q->n && jinja_ok(run); i++)
        jinja_push(run, out.q, items[i].value);
    return out;
}

static struct jinja_value filter_dictsort(struct jinja_run *run, struct jinja_value v,
                                          const struct jinja_args *args)
{
    const bool case_sensitive = jinja_arg_bool(run, args, 0, "case_sensitive", false);
    const struct jinja_value *by = jinja_arg(args, 1, "by");
    const bool descending = jinja_arg_bool(run, args, 2, "reverse", false);
    if (v.type != JINJA_DICT)
        return jinja_fail(run, OLL_ERR_FORMAT, "dictsort takes a dict, not '%s'",
                          jinja_type_name(v));
    const struct jinja_args none = {0};
    const struct jinja_value place = jinja_int(by && jinja_str_is(*by, "value"));
    const struct jinja_seq *pairs = jinja_iterate(run, filter_items(run, v, &none));
    struct keyed *items = keyed_items(run, pairs, &place, case_sensitive);
    struct jinja_value out = jinja_seq(run, JINJA_LIST, pairs->n);
    if (!items || !jinja_ok(run))
        return out;
    merge_sort(run, items, items + pairs->n, pairs->n, descending);
    for (size_t i = 0; i < pairs->n && jinja_ok(run); i++)
        jinja_push(run, out.q, items[i].value);
    return out;
}

static struct jinja_value filter_unique(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    const bool case_sensitive = jinja_arg_bool(run, args, 0, "case_sensitive", false);
    const struct jinja_seq *q = jinja_iterate(run, v);
    const struct keyed *items =
        keyed_items(run, q, jinja_arg(args, 1, "attribute"), case_sensitive);
    struct jinja_value out = generator(run), seen = jinja_seq(run, JINJA_LIST, 0);
    for (size_t i = 0; items && i < q->n && jinja_ok(run); i++) {
        if (jinja_contains(run, seen, items[i].key))
            continue;
        jinja_push(run, seen.q, items[i].key);
        jinja_push(run, out.q, items[i].value);
    }
    return out;
}

static struct jinja_value extreme(struct jinja_run *run, struct jinja_value v,
                                  const struct jinja_args *args, int sign)
{
    const bool case_sensitive = jinja_arg_bool(run, args, 0, "case_sensitive", false);
    const struct jinja_seq *q = jinja_iterate(run, v);
    const struct keyed *items =
        keyed_items(run, q, jinja_arg(args, 1, "attribute"), case_sensitive);
    size_t best = 0;
    if (!items || q->n == 0)
        return jinja_undefined("the extreme of nothing");
    for (size_t i = 1; i < q->n && jinja_ok(run); i++)
        if (jinja_compare(run, items[i].key, items[best].key) * sign > 0)
            best = i;
    return items[best].value;
}

static struct jinja_value filter_min(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    return extreme(run, v, args, -1);
}

static struct jinja_value filter_max(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    return extreme(run, v, args, 1);
}

static struct jinja_value filter_sum(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    const struct jinja_value *path = jinja_arg(args, 0, "attribute");
    const struct jinja_value *start = jinja_arg(args, 1, "start");
    struct jinja_value total = start ? *start : jinja_int(0);
    const struct jinja_seq *q = jinja_iterate(run, v);
    const bool by_path = path && path->type != JINJA_NONE;
    for (size_t i = 0; i < q->n && jinja_step(run, 1) && jinja_ok(run); i++)
        total = jinja_arith(run, '+', total,
                            by_path ? attribute_of(run, q->items[i], *path) : q->items[i]);
    return total;
}

/* ---- groups ---- */

static struct jinja_value filter_batch(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    const int64_t size = jinja_arg_int(run, args, 0, "linecount", 0);
    const struct jinja_value *fill = jinja_arg(args, 1, "fill_with");
    const struct jinja_seq *q = jinja_iterate(run, v);
    struct jinja_value out = generator(run);
    if (size < 1 || size > JINJA_RANGE_MAX)
        return jinja_fail(run, OLL_ERR_FORMAT, "batch takes a number of items");
    for (size_t i = 0; i < q->n && jinja_ok(run);) {
        struct jinja_value row = jinja_seq(run, JINJA_LIST, 0);
        for (int64_t k = 0; k < size && jinja_ok(run) && (i < q->n || fill); k++) {
            if (i < q->n)
                jinja_push(run, row.q, q->items[i++]);
            else if (fill->type != JINJA_NONE)
                jinja_push(run, row.q, *fill);
        }
        jinja_push(run, out.q, row);
    }
    return out;
}

static struct jinja_value filter_slice(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    const int64_t n = jinja_arg_int(run, args, 0, "slices", 0);
    const struct jinja_value *fill = jinja_arg(args, 1, "fill_with");
    const struct jinja_seq *q = jinja_iterate(run, v);
    struct jinja_value out = generator(run);
    if (n < 1 || n > JINJA_RANGE_MAX)
        return jinja_fail(run, OLL_ERR_FORMAT, "slice takes a number of slices");
    size_t at = 0;
    for (size_t k = 0; k < (size_t)n && jinja_ok(run); k++) {
        const bool longer = k < q->n % (size_t)n;
        struct jinja_value row = jinja_seq(run, JINJA_LIST, 0);
        for (size_t i = 0; i < q->n / (size_t)n + longer && jinja_ok(run); i++)
            jinja_push(run, row.q, q->items[at++]);
        if (!longer && fill && fill->type != JINJA_NONE && jinja_ok(run))
            jinja_push(run, row.q, *fill);
        jinja_push(run, out.q, row);
    }
    return out;
}

/* Pairs of a key and the items that have it, in the order of the keys. */
static struct jinja_value filter_groupby(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    const struct jinja_value *path = jinja_arg(args, 0, "attribute");
    const bool case_sensitive = jinja_arg_bool(run, args, 2, "case_sensitive", false);
    const struct jinja_seq *q = jinja_iterate(run, v);
    struct jinja_value out = jinja_seq(run, JINJA_LIST, 0), group = jinja_undefined(NULL);
    if (!path)
        return jinja_fail(run, OLL_ERR_FORMAT, "groupby takes an attribute");
    struct keyed *items = keyed_items(run, q, path, case_sensitive);
    if (items)
        merge_sort(run, items, items + q->n, q->n, false);
    for (size_t i = 0; items && i < q->n && jinja_ok(run); i++) {
        if (i == 0 || !jinja_equal(run, items[i].key, items[i - 1].key)) {
            group = jinja_seq(run, JINJA_LIST, 0);
            jinja_push(run, out.q,
                       jinja_pair(run, attribute_of(run, items[i].value, *path), group));
        }
        if (jinja_ok(run))
            jinja_push(run, group.q, items[i].value);
    }
    return out;
}

static struct jinja_value filter_attr(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const char *name = name_arg(run, jinja_arg(args, 0, "name"));
    if (!name)
        return jinja_fail(run, OLL_ERR_FORMAT, "attr takes a name");
    /* Unlike a dot, this filter never looks at the items of a dict. */
    if (v.type == JINJA_DICT && !jinja_find_method(v, name))
        return jinja_undefined(name);
    return jinja_get_attr(run, v, name);
}

const struct jinja_builtin jinja_seq_filters[] = {
    {"join", filter_join},
    {"items", filter_items},
    {"list", filter_list},
    {"map", filter_map},
    {"select", filter_select},
    {"reject", filter_reject},
    {"selectattr", filter_selectattr},
    {"rejectattr", filter_rejectattr},
    {"first", filter_first},
    {"last", filter_last},
    {"reverse", filter_reverse},
    {"sort", filter_sort},
    {"dictsort", filter_dictsort},
    {"unique", filter_unique},
    {"min", filter_min},
    {"max", filter_max},
    {"sum", filter_sum},
    {"batch", filter_batch},
    {"slice", filter_slice},
    {"groupby", filter_groupby},
    {"attr", filter_attr},
    {NULL, NULL},
};
