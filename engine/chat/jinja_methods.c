/* Methods of strings, lists and dicts. */
#include "engine/base/utf8.h"
#include "engine/chat/jinja_strings.h"

#include <string.h>

/* A string argument; NULL when it is absent or none. Fails for other types. */
static const struct jinja_str *str_arg(struct jinja_run *run, const struct jinja_args *args,
                                       size_t i, const char *name)
{
    const struct jinja_value *v = jinja_arg(args, i, name);
    if (!v || v->type == JINJA_NONE)
        return NULL;
    if (v->type != JINJA_STR)
        jinja_fail(run, OLL_ERR_FORMAT, "a str expected, not '%s'", jinja_type_name(*v));
    return v->type == JINJA_STR ? v->s : NULL;
}

/* The same where it must be there; an empty text after a failure. */
static const struct jinja_str *need_str(struct jinja_run *run, const struct jinja_args *args,
                                        size_t i)
{
    static const struct jinja_str empty = {.data = ""};
    const struct jinja_str *s = str_arg(run, args, i, NULL);
    if (!s)
        jinja_fail(run, OLL_ERR_FORMAT, "a method lacks its text");
    return s ? s : &empty;
}

/* ---- strings ---- */

static struct jinja_value str_upper(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    (void)args;
    return jinja_change_case(run, v.s, JINJA_UPPER);
}

static struct jinja_value str_lower(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    (void)args;
    return jinja_change_case(run, v.s, JINJA_LOWER);
}

static struct jinja_value str_title(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    (void)args;
    return jinja_change_case(run, v.s, JINJA_TITLE);
}

static struct jinja_value str_capitalize(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    (void)args;
    return jinja_change_case(run, v.s, JINJA_CAPITALIZE);
}

static struct jinja_value str_swapcase(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    (void)args;
    return jinja_change_case(run, v.s, JINJA_SWAPCASE);
}

static struct jinja_value strip_sides(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args, bool left, bool right)
{
    const struct jinja_str *chars = str_arg(run, args, 0, "chars");
    return jinja_ok(run) ? jinja_strip(run, v.s, chars, left, right) : v;
}

static struct jinja_value str_strip(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    return strip_sides(run, v, args, true, true);
}

static struct jinja_value str_lstrip(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    return strip_sides(run, v, args, true, false);
}

static struct jinja_value str_rstrip(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    return strip_sides(run, v, args, false, true);
}

static struct jinja_value split_at(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args, bool from_right)
{
    const struct jinja_str *sep = str_arg(run, args, 0, "sep");
    const int64_t max = jinja_arg_int(run, args, 1, "maxsplit", -1);
    return jinja_ok(run) ? jinja_split(run, v.s, sep, max, from_right) : v;
}

static struct jinja_value str_split(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    return split_at(run, v, args, false);
}

static struct jinja_value str_rsplit(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    return split_at(run, v, args, true);
}

static struct jinja_value str_splitlines(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    return jinja_split_lines(run, v.s, jinja_arg_bool(run, args, 0, "keepends", false));
}

static struct jinja_value partition_at(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args, bool from_right)
{
    const struct jinja_str *s = v.s, *sep = need_str(run, args, 0);
    struct jinja_value out = jinja_seq(run, JINJA_TUPLE, 3);
    if (!jinja_ok(run) || sep->len == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "empty separator");
    jinja_step(run, s->len / 16);
    const size_t at = from_right ? jinja_rfind(s->data, s->len, sep->data, sep->len)
                                 : jinja_find(s->data, s->len, 0, sep->data, sep->len);
    const bool found = at != SIZE_MAX;
    const size_t before = found ? at : from_right ? 0 : s->len;
    const size_t behind = found ? at + sep->len : before;
    jinja_push(run, out.q, jinja_str(run, s->data, before));
    jinja_push(run, out.q, found ? jinja_str(run, sep->data, sep->len) : jinja_text(run, ""));
    jinja_push(run, out.q, jinja_str(run, s->data + behind, s->len - behind));
    return out;
}

static struct jinja_value str_partition(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_args *args)
{
    return partition_at(run, v, args, false);
}

static struct jinja_value str_rpartition(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    return partition_at(run, v, args, true);
}

static bool has_affix(struct jinja_run *run, const struct jinja_str *s,
                      const struct jinja_str *affix, bool at_end)
{
    return affix->len <= s->len && jinja_step(run, affix->len / 64) &&
           !memcmp(s->data + (at_end ? s->len - affix->len : 0), affix->data, affix->len);
}

/* startswith and endswith take a text or a tuple of texts. */
static struct jinja_value test_affix(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args, bool at_end)
{
    const struct jinja_value *affix = jinja_arg(args, 0, NULL);
    if (affix && affix->type == JINJA_STR)
        return jinja_bool(has_affix(run, v.s, affix->s, at_end));
    if (!affix || affix->type != JINJA_SEQ || affix->q->kind != JINJA_TUPLE)
        return jinja_fail(run, OLL_ERR_FORMAT, "a str or a tuple of str expected, not '%s'",
                          affix ? jinja_type_name(*affix) : "nothing");
    for (size_t i = 0; i < affix->q->n; i++)
        if (affix->q->items[i].type == JINJA_STR &&
            has_affix(run, v.s, affix->q->items[i].s, at_end))
            return jinja_bool(true);
    return jinja_bool(false);
}

static struct jinja_value str_startswith(struct jinja_run *run, struct jinja_value v,
                                         const struct jinja_args *args)
{
    return test_affix(run, v, args, false);
}

static struct jinja_value str_endswith(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    return test_affix(run, v, args, true);
}

static struct jinja_value str_removeprefix(struct jinja_run *run, struct jinja_value v,
                                           const struct jinja_args *args)
{
    const struct jinja_str *s = v.s, *affix = need_str(run, args, 0);
    if (!has_affix(run, s, affix, false))
        return v;
    return jinja_str(run, s->data + affix->len, s->len - affix->len);
}

static struct jinja_value str_removesuffix(struct jinja_run *run, struct jinja_value v,
                                           const struct jinja_args *args)
{
    const struct jinja_str *s = v.s, *affix = need_str(run, args, 0);
    return has_affix(run, s, affix, true) ? jinja_str(run, s->data, s->len - affix->len) : v;
}

static struct jinja_value str_replace(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_str *old = need_str(run, args, 0), *new_text = need_str(run, args, 1);
    const int64_t count = jinja_arg_int(run, args, 2, "count", -1);
    return jinja_ok(run) ? jinja_replace(run, v, old, new_text, count) : v;
}

/* Index in characters; -1: nowhere. */
static int64_t place_in(struct jinja_run *run, struct jinja_value v, const struct jinja_args *args,
                        bool from_right)
{
    const struct jinja_str *what = need_str(run, args, 0);
    const struct jinja_value bounds[3] = {jinja_int(jinja_arg_int(run, args, 1, "start", 0)),
                                          jinja_int(jinja_arg_int(run, args, 2, "end", INT32_MAX)),
                                          jinja_none()};
    const struct jinja_value part = jinja_slice(run, v, bounds);
    if (!jinja_ok(run))
        return -1;
    const size_t at = from_right ? jinja_rfind(part.s->data, part.s->len, what->data, what->len)
                                 : jinja_find(part.s->data, part.s->len, 0, what->data, what->len);
    if (at == SIZE_MAX)
        return -1;
    struct jinja_str before = {.data = v.s->data, .n_chars = SIZE_MAX};
    before.len = (size_t)(part.s->data + at - v.s->data);
    return (int64_t)jinja_str_chars(&before);
}

static struct jinja_value str_find(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args)
{
    return jinja_int(place_in(run, v, args, false));
}

static struct jinja_value str_rfind(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    return jinja_int(place_in(run, v, args, true));
}

static struct jinja_value str_index(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    const int64_t at = place_in(run, v, args, false);
    return at < 0 ? jinja_fail(run, OLL_ERR_FORMAT, "substring not found") : jinja_int(at);
}

static struct jinja_value str_count(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    const struct jinja_str *what = need_str(run, args, 0);
    int64_t n = 0;
    jinja_step(run, v.s->len / 16);
    if (what->len == 0)
        return jinja_int((int64_t)jinja_str_chars(v.s) + 1);
    for (size_t at = 0; jinja_step(run, 1); n++) {
        at = jinja_find(v.s->data, v.s->len, at, what->data, what->len);
        if (at == SIZE_MAX)
            break;
        at += what->len;
    }
    return jinja_int(n);
}

static struct jinja_value str_join(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args)
{
    const struct jinja_value *list = jinja_arg(args, 0, NULL);
    if (!list)
        return jinja_fail(run, OLL_ERR_FORMAT, "join takes a list");
    const struct jinja_seq *q = jinja_iterate(run, *list);
    return jinja_ok(run) ? jinja_join(run, v.s, q, true) : v;
}

static struct jinja_value str_format(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    return jinja_format(run, v.s, args);
}

/* Whether the text is not empty and every character is a digit, a letter, one of them, a blank. */
static struct jinja_value every(struct jinja_run *run, const struct jinja_str *s, bool digits,
                                bool letters, bool blanks)
{
    bool all = s->len > 0;
    for (size_t i = 0; i < s->len && all && jinja_tick(run);) {
        uint32_t cp = 0;
        const int len = oll_utf8_decode(s->data + i, s->len - i, &cp);
        const size_t n = len ? (size_t)len : 1;
        all = (digits && cp >= '0' && cp <= '9') || (letters && jinja_is_alpha(cp)) ||
              (blanks && jinja_space_before(s->data + i, n) == n);
        i += n;
    }
    return jinja_bool(all);
}

static struct jinja_value str_isdigit(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    (void)args;
    return every(run, v.s, true, false, false);
}

static struct jinja_value str_isalpha(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    (void)args;
    return every(run, v.s, false, true, false);
}

static struct jinja_value str_isalnum(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    (void)args;
    return every(run, v.s, true, true, false);
}

static struct jinja_value str_isspace(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    (void)args;
    return every(run, v.s, false, false, true);
}

static struct jinja_value str_isupper(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    return jinja_find_test("upper")(run, v, args);
}

static struct jinja_value str_islower(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    return jinja_find_test("lower")(run, v, args);
}

const struct jinja_builtin jinja_str_methods[] = {
    {"split", str_split},
    {"rsplit", str_rsplit},
    {"strip", str_strip},
    {"lstrip", str_lstrip},
    {"rstrip", str_rstrip},
    {"startswith", str_startswith},
    {"endswith", str_endswith},
    {"replace", str_replace},
    {"format", str_format},
    {"upper", str_upper},
    {"lower", str_lower},
    {"title", str_title},
    {"capitalize", str_capitalize},
    {"swapcase", str_swapcase},
    {"find", str_find},
    {"rfind", str_rfind},
    {"index", str_index},
    {"count", str_count},
    {"join", str_join},
    {"splitlines", str_splitlines},
    {"partition", str_partition},
    {"rpartition", str_rpartition},
    {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix},
    {"isdigit", str_isdigit},
    {"isdecimal", str_isdigit},
    {"isnumeric", str_isdigit},
    {"isalpha", str_isalpha},
    {"isalnum", str_isalnum},
    {"isspace", str_isspace},
    {"isupper", str_isupper},
    {"islower", str_islower},
    {NULL, NULL},
};

/* ---- lists ---- */

/* Only what a template made itself may it change. */
static bool may_change(struct jinja_run *run, struct jinja_value v)
{
    const bool own = v.type == JINJA_SEQ ? v.q->own && v.q->kind == JINJA_LIST : v.d->own;
    if (!own)
        jinja_fail(run, OLL_ERR_DENIED, "a template may not change what it was given");
    return own;
}

static struct jinja_value list_append(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_value *item = jinja_arg(args, 0, NULL);
    if (!item)
        return jinja_fail(run, OLL_ERR_FORMAT, "append takes a value");
    if (may_change(run, v))
        jinja_push(run, v.q, *item);
    return jinja_none();
}

static struct jinja_value list_extend(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_value *more = jinja_arg(args, 0, NULL);
    if (!more)
        return jinja_fail(run, OLL_ERR_FORMAT, "extend takes a list");
    const struct jinja_seq *q = jinja_iterate(run, *more);
    const size_t n = q->n;
    if (may_change(run, v))
        for (size_t i = 0; i < n && jinja_ok(run); i++)
            jinja_push(run, v.q, q->items[i]);
    return jinja_none();
}

static struct jinja_value list_pop(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args)
{
    int64_t i = jinja_arg_int(run, args, 0, NULL, -1);
    struct jinja_seq *q = v.q;
    if (!jinja_ok(run) || !may_change(run, v))
        return v;
    i += i < 0 ? (int64_t)q->n : 0;
    if (i < 0 || (size_t)i >= q->n)
        return jinja_fail(run, OLL_ERR_FORMAT, "pop from outside of a list of %zu", q->n);
    const struct jinja_value item = q->items[i];
    q->n--;
    memmove(q->items + i, q->items + i + 1, (q->n - (size_t)i) * sizeof *q->items);
    jinja_step(run, q->n / 8);
    return item;
}

static struct jinja_value list_insert(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    int64_t i = jinja_arg_int(run, args, 0, NULL, 0);
    struct jinja_seq *q = v.q;
    if (args->n_pos != 2)
        return jinja_fail(run, OLL_ERR_FORMAT, "insert takes a place and a value");
    if (!jinja_ok(run) || !may_change(run, v))
        return v;
    const int64_t n = (int64_t)q->n;
    i = i < -n ? 0 : i < 0 ? i + n : i > n ? n : i;
    jinja_push(run, q, args->pos[1]);
    if (jinja_step(run, q->n / 8) && jinja_ok(run)) {
        memmove(q->items + i + 1, q->items + i, (size_t)(n - i) * sizeof *q->items);
        q->items[i] = args->pos[1];
    }
    return jinja_none();
}

static struct jinja_value list_index(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    const struct jinja_value *item = jinja_arg(args, 0, NULL);
    for (size_t i = 0; item && i < v.q->n && jinja_ok(run); i++)
        if (jinja_equal(run, jinja_item(v.q, i), *item))
            return jinja_int((int64_t)i);
    return jinja_fail(run, OLL_ERR_FORMAT, "the value is not in the list");
}

static struct jinja_value list_count(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    const struct jinja_value *item = jinja_arg(args, 0, NULL);
    int64_t n = 0;
    for (size_t i = 0; item && i < v.q->n && jinja_ok(run); i++)
        n += jinja_equal(run, jinja_item(v.q, i), *item);
    return jinja_int(n);
}

static struct jinja_value list_reverse(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    struct jinja_seq *q = v.q;
    (void)args;
    if (!may_change(run, v) || !jinja_step(run, q->n / 8))
        return v;
    for (size_t i = 0; i < q->n / 2; i++) {
        const struct jinja_value item = q->items[i];
        q->items[i] = q->items[q->n - 1 - i];
        q->items[q->n - 1 - i] = item;
    }
    return jinja_none();
}

static struct jinja_value list_copy(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    return jinja_find_filter("list")(run, v, args);
}

static const struct jinja_builtin list_methods[] = {
    {"append", list_append},   {"pop", list_pop},     {"extend", list_extend},
    {"insert", list_insert},   {"index", list_index}, {"count", list_count},
    {"reverse", list_reverse}, {"copy", list_copy},   {NULL, NULL},
};

/* ---- dicts ---- */

static struct jinja_value dict_get(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args)
{
    const struct jinja_value *key = jinja_arg(args, 0, NULL), *fallback = jinja_arg(args, 1, NULL);
    if (!key)
        return jinja_fail(run, OLL_ERR_FORMAT, "get takes a key");
    struct jinja_entry *entry = jinja_dict_find(run, v.d, *key);
    if (!entry)
        return fallback ? *fallback : jinja_none();
    entry->was_read = true;
    return entry->value;
}

static struct jinja_value view(struct jinja_run *run, struct jinja_dict *d,
                               enum jinja_seq_kind kind)
{
    struct jinja_value out = jinja_seq(run, kind, d->n);
    for (size_t i = 0; i < d->n && jinja_ok(run); i++) {
        struct jinja_entry *e = &d->entries[i];
        e->was_read |= kind != JINJA_KEYS;
        jinja_push(run, out.q,
                   kind == JINJA_KEYS     ? e->key
                   : kind == JINJA_VALUES ? e->value
                                          : jinja_pair(run, e->key, e->value));
    }
    return out;
}

static struct jinja_value dict_keys(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    (void)args;
    return view(run, v.d, JINJA_KEYS);
}

static struct jinja_value dict_values(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    (void)args;
    return view(run, v.d, JINJA_VALUES);
}

static struct jinja_value dict_items(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    (void)args;
    return view(run, v.d, JINJA_ITEMS);
}

static void update_from(struct jinja_run *run, struct jinja_dict *d, const struct jinja_args *args)
{
    const struct jinja_value *from = jinja_arg(args, 0, NULL);
    if (from && from->type != JINJA_DICT)
        jinja_fail(run, OLL_ERR_FORMAT, "a dict expected, not '%s'", jinja_type_name(*from));
    const size_t n = from && jinja_ok(run) ? from->d->n : 0;
    for (size_t i = 0; i < n && jinja_ok(run); i++)
        jinja_dict_set(run, d, from->d->entries[i].key, from->d->entries[i].value);
    for (size_t i = 0; i < args->n_kw && jinja_ok(run); i++)
        jinja_dict_sets(run, d, args->kw[i].name, args->kw[i].value);
}

static struct jinja_value dict_update(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    if (may_change(run, v))
        update_from(run, v.d, args);
    return jinja_none();
}

static struct jinja_value dict_copy(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    struct jinja_value out = jinja_dict(run, v.d->n);
    const struct jinja_args from = {.pos = &v, .n_pos = 1};
    (void)args;
    if (jinja_ok(run))
        update_from(run, out.d, &from);
    return out;
}

static struct jinja_value dict_setdefault(struct jinja_run *run, struct jinja_value v,
                                          const struct jinja_args *args)
{
    const struct jinja_value *key = jinja_arg(args, 0, NULL), *fallback = jinja_arg(args, 1, NULL);
    if (!key)
        return jinja_fail(run, OLL_ERR_FORMAT, "setdefault takes a key");
    const struct jinja_entry *entry = jinja_dict_find(run, v.d, *key);
    if (entry || !may_change(run, v))
        return entry ? entry->value : v;
    const struct jinja_value value = fallback ? *fallback : jinja_none();
    jinja_dict_set(run, v.d, *key, value);
    return value;
}

static struct jinja_value dict_pop(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args)
{
    const struct jinja_value *key = jinja_arg(args, 0, NULL), *fallback = jinja_arg(args, 1, NULL);
    if (!key || !may_change(run, v))
        return jinja_fail(run, OLL_ERR_FORMAT, "pop takes a key");
    struct jinja_entry *entry = jinja_dict_find(run, v.d, *key);
    if (!entry)
        return fallback ? *fallback : jinja_fail(run, OLL_ERR_FORMAT, "pop: the key is absent");
    const struct jinja_value value = entry->value;
    v.d->n--;
    memmove(entry, entry + 1, (size_t)(v.d->entries + v.d->n - entry) * sizeof *entry);
    return value;
}

static const struct jinja_builtin dict_methods[] = {
    {"get", dict_get},   {"items", dict_items},
    {"keys", dict_keys}, {"values", dict_values},
    {"copy", dict_copy}, {"update", dict_update},
    {"pop", dict_pop},   {"setdefault", dict_setdefault},
    {NULL, NULL},
};

/* ---- cyclers ---- */

static struct jinja_value cycler_next(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    const struct jinja_seq *q = v.c->self.q;
    (void)run;
    (void)args;
    const struct jinja_value item = q->items[v.c->place];
    v.c->place = (v.c->place + 1) % q->n;
    return item;
}

static struct jinja_value cycler_reset(struct jinja_run *run, struct jinja_value v,
                                       const struct jinja_args *args)
{
    (void)run;
    (void)args;
    v.c->place = 0;
    return jinja_none();
}

static const struct jinja_builtin cycler_methods[] = {
    {"next", cycler_next}, {"reset", cycler_reset}, {NULL, NULL}};

jinja_fn jinja_find_method(struct jinja_value v, const char *name)
{
    const struct jinja_builtin *list = NULL;
    if (v.type == JINJA_STR)
        list = jinja_str_methods;
    else if (v.type == JINJA_SEQ && (v.q->kind <= JINJA_TUPLE || v.q->kind == JINJA_RANGE))
        list = list_methods;
    else if (v.type == JINJA_DICT)
        list = dict_methods;
    else if (v.type == JINJA_CALL && v.c->kind == JINJA_CYCLER)
        list = cycler_methods;
    for (; list && list->name; list++)
        if (list->name[0] == name[0] && !strcmp(list->name, name))
            return list->fn;
    return NULL;
}
