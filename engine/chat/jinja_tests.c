/* Tests: what may stand behind `is`, and be named in select() and its kin. */
#include "engine/base/utf8.h"
#include "engine/chat/jinja_value.h"

#include <math.h>
#include <string.h>

/* The argument of a test with one. */
static struct jinja_value operand(struct jinja_run *run, const struct jinja_args *args)
{
    const struct jinja_value *v = jinja_arg(args, 0, NULL);
    return v ? *v : jinja_fail(run, OLL_ERR_FORMAT, "a test lacks its argument");
}

#define TEST_OF_TYPE(name, condition)                                                              \
    static struct jinja_value test_##name(struct jinja_run *run, struct jinja_value v,             \
                                          const struct jinja_args *args)                           \
    {                                                                                              \
        (void)run;                                                                                 \
        (void)args;                                                                                \
        return jinja_bool(condition);                                                              \
    }

TEST_OF_TYPE(defined, v.type != JINJA_UNDEFINED)
TEST_OF_TYPE(undefined, v.type == JINJA_UNDEFINED)
TEST_OF_TYPE(none, v.type == JINJA_NONE)
TEST_OF_TYPE(boolean, v.type == JINJA_BOOL)
TEST_OF_TYPE(true, v.type == JINJA_BOOL && v.b)
TEST_OF_TYPE(false, v.type == JINJA_BOOL && !v.b)
TEST_OF_TYPE(integer, v.type == JINJA_INT)
TEST_OF_TYPE(float, v.type == JINJA_FLOAT)
TEST_OF_TYPE(number, jinja_is_number(v))
TEST_OF_TYPE(string, v.type == JINJA_STR)
TEST_OF_TYPE(mapping, v.type == JINJA_DICT)
TEST_OF_TYPE(callable, v.type == JINJA_CALL || v.type == JINJA_LOOP || v.type == JINJA_UNDEFINED)
TEST_OF_TYPE(iterable, v.type == JINJA_STR || v.type == JINJA_SEQ || v.type == JINJA_DICT ||
                           v.type == JINJA_UNDEFINED || v.type == JINJA_LOOP)
/* A length and items by index or key: dicts have both, views and generators lack the latter. */
TEST_OF_TYPE(sequence,
             v.type == JINJA_STR || v.type == JINJA_DICT || v.type == JINJA_UNDEFINED ||
                 (v.type == JINJA_SEQ && (v.q->kind <= JINJA_TUPLE || v.q->kind == JINJA_RANGE)))

#define TEST_OF_PAIR(name, condition)                                                              \
    static struct jinja_value test_##name(struct jinja_run *run, struct jinja_value a,             \
                                          const struct jinja_args *args)                           \
    {                                                                                              \
        const struct jinja_value b = operand(run, args);                                           \
        return jinja_ok(run) ? jinja_bool(condition) : b;                                          \
    }

TEST_OF_PAIR(eq, jinja_equal(run, a, b))
TEST_OF_PAIR(ne, !jinja_equal(run, a, b))
TEST_OF_PAIR(lt, jinja_compare(run, a, b) < 0)
TEST_OF_PAIR(le, jinja_compare(run, a, b) <= 0)
TEST_OF_PAIR(gt, jinja_compare(run, a, b) > 0)
TEST_OF_PAIR(ge, jinja_compare(run, a, b) >= 0)
TEST_OF_PAIR(in, jinja_contains(run, b, a))

/* Identity: containers are the same object, other values equal ones of one type. */
static bool is_same(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    if (a.type != b.type)
        return false;
    if (a.type == JINJA_SEQ)
        return a.q == b.q;
    return a.type == JINJA_DICT ? a.d == b.d : jinja_equal(run, a, b);
}

TEST_OF_PAIR(sameas, is_same(run, a, b))

static struct jinja_value remainder_is(struct jinja_run *run, struct jinja_value v, int64_t by,
                                       int64_t wanted)
{
    const struct jinja_value rest = jinja_arith(run, '%', v, jinja_int(by));
    return jinja_ok(run) ? jinja_bool(jinja_equal(run, rest, jinja_int(wanted))) : rest;
}

static struct jinja_value test_odd(struct jinja_run *run, struct jinja_value v,
                                   const struct jinja_args *args)
{
    (void)args;
    return remainder_is(run, v, 2, 1);
}

static struct jinja_value test_even(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    (void)args;
    return remainder_is(run, v, 2, 0);
}

static struct jinja_value test_divisibleby(struct jinja_run *run, struct jinja_value v,
                                           const struct jinja_args *args)
{
    return remainder_is(run, v, jinja_arg_int(run, args, 0, "num", 0), 0);
}

/* str.islower, str.isupper: at least one letter with case, and none of the other. */
static struct jinja_value has_case(struct jinja_run *run, struct jinja_value v, bool upper)
{
    const struct jinja_value text = jinja_to_str(run, v);
    bool any = false;
    if (!jinja_ok(run))
        return text;
    for (size_t i = 0; i < text.s->len && jinja_tick(run);) {
        uint32_t cp = 0, up[3], low[3];
        const int len = oll_utf8_decode(text.s->data + i, text.s->len - i, &cp);
        const bool is_low = jinja_upper_char(cp, up) > 1 || up[0] != cp;
        const bool is_up = jinja_lower_char(cp, low) > 1 || low[0] != cp;
        if (upper ? is_low : is_up)
            return jinja_bool(false);
        any |= upper ? is_up : is_low;
        i += len ? (size_t)len : 1;
    }
    return jinja_bool(any);
}

static struct jinja_value test_lower(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    (void)args;
    return has_case(run, v, false);
}

static struct jinja_value test_upper(struct jinja_run *run, struct jinja_value v,
                                     const struct jinja_args *args)
{
    (void)args;
    return has_case(run, v, true);
}

/* Whether a filter, a test of that name exists. */
static struct jinja_value knows(struct jinja_run *run, struct jinja_value v,
                                jinja_fn (*find)(const char *name))
{
    char *name = v.type == JINJA_STR ? jinja_alloc(run, v.s->len + 1, 1) : NULL;
    if (name)
        memcpy(name, v.s->data, v.s->len);
    return jinja_bool(name && find(name));
}

static struct jinja_value test_filter(struct jinja_run *run, struct jinja_value v,
                                      const struct jinja_args *args)
{
    (void)args;
    return knows(run, v, jinja_find_filter);
}

static struct jinja_value test_test(struct jinja_run *run, struct jinja_value v,
                                    const struct jinja_args *args)
{
    (void)args;
    return knows(run, v, jinja_find_test);
}

const struct jinja_builtin jinja_tests[] = {
    {"defined", test_defined},
    {"undefined", test_undefined},
    {"none", test_none},
    {"string", test_string},
    {"mapping", test_mapping},
    {"iterable", test_iterable},
    {"sequence", test_sequence},
    {"number", test_number},
    {"integer", test_integer},
    {"float", test_float},
    {"boolean", test_boolean},
    {"true", test_true},
    {"false", test_false},
    {"callable", test_callable},
    {"odd", test_odd},
    {"even", test_even},
    {"divisibleby", test_divisibleby},
    {"in", test_in},
    {"equalto", test_eq},
    {"eq", test_eq},
    {"==", test_eq},
    {"ne", test_ne},
    {"!=", test_ne},
    {"lt", test_lt},
    {"lessthan", test_lt},
    {"<", test_lt},
    {"le", test_le},
    {"<=", test_le},
    {"gt", test_gt},
    {"greaterthan", test_gt},
    {">", test_gt},
    {"ge", test_ge},
    {">=", test_ge},
    {"lower", test_lower},
    {"upper", test_upper},
    {"sameas", test_sameas},
    {"filter", test_filter},
    {"test", test_test},
    {NULL, NULL},
};
