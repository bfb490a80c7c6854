/* Arithmetic, attributes, items and slices. */
#include "engine/chat/jinja_value.h"

#include "engine/chat/jinja_eval.h"
#include "engine/chat/jinja_strings.h"

#include <math.h>
#include <string.h>

static struct jinja_value bad_operands(struct jinja_run *run, const char *op, struct jinja_value a,
                                       struct jinja_value b)
{
    const struct jinja_value *undefined = a.type == JINJA_UNDEFINED   ? &a
                                          : b.type == JINJA_UNDEFINED ? &b
                                                                      : NULL;
    if (undefined)
        return jinja_fail(run, OLL_ERR_FORMAT, "'%s' is undefined",
                          undefined->name ? undefined->name : "a value");
    return jinja_fail(run, OLL_ERR_FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", op,
                      jinja_type_name(a), jinja_type_name(b));
}

/* ---- numbers ---- */

static struct jinja_value too_large(struct jinja_run *run)
{
    return jinja_fail(run, OLL_ERR_LIMIT, "an integer leaves the range of 64 bits");
}

static bool multiply(int64_t a, int64_t b, int64_t *out)
{
    if (a != 0 && b != 0) {
        if (a == INT64_MIN || b == INT64_MIN)
            return (a == 1 || b == 1) && (*out = INT64_MIN, true);
        const int64_t x = a < 0 ? -a : a, y = b < 0 ? -b : b;
        if (x > INT64_MAX / y)
            return false;
    }
    *out = a * b;
    return true;
}

static struct jinja_value int_power(struct jinja_run *run, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    if (exponent < 0) {
        if (base == 0)
            return jinja_fail(run, OLL_ERR_FORMAT, "0 cannot be raised to a negative power");
        return jinja_float(pow((double)base, (double)exponent));
    }
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && !multiply(result, base, &result))
            return too_large(run);
        if (exponent > 1 && !multiply(base, base, &base))
            return too_large(run);
    }
    return jinja_int(result);
}

static struct jinja_value int_arith(struct jinja_run *run, char op, int64_t a, int64_t b)
{
    int64_t result = 0;
    if ((op == '/' || op == 'f' || op == '%') && b == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "division by zero");
    switch (op) {
    case '+':
        if ((b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b))
            return too_large(run);
        return jinja_int(a + b);
    case '-':
        if ((b < 0 && a > INT64_MAX + b) || (b > 0 && a < INT64_MIN + b))
            return too_large(run);
        return jinja_int(a - b);
    case '*': return multiply(a, b, &result) ? jinja_int(result) : too_large(run);
    case '/': return jinja_float((double)a / (double)b);
    case 'p': return int_power(run, a, b);
    default: break;
    }
    if (b == -1)
        return op == '%' ? jinja_int(0) : a == INT64_MIN ? too_large(run) : jinja_int(-a);
    /* Python rounds towards minus infinity; the remainder has the sign of the divisor. */
    const bool adjust = a % b != 0 && ((a % b < 0) != (b < 0));
    return jinja_int(op == '%' ? a % b + (adjust ? b : 0) : a / b - (adjust ? 1 : 0));
}

/* The remainder has the sign of the divisor, and the quotient is what is left without it: 1 // 0.1
 * is 9, because 0.1 is a little more than a tenth. */
static double float_divmod(double a, double b, bool want_rest)
{
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
    }
    if (want_rest)
        return rest != 0 ? rest : copysign(0, b);
    const double whole = floor(quotient);
    return quotient == 0 ? copysign(0, a / b) : quotient - whole > 0.5 ? whole + 1 : whole;
}

static struct jinja_value float_arith(struct jinja_run *run, char op, double a, double b)
{
    if ((op == '/' || op == 'f' || op == '%') && b == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "division by zero");
    switch (op) {
    case '+': return jinja_float(a + b);
    case '-': return jinja_float(a - b);
    case '*': return jinja_float(a * b);
    case '/': return jinja_float(a / b);
    case 'p': return jinja_float(pow(a, b));
    default: return jinja_float(float_divmod(a, b, op == '%'));
    }
}

/* ---- + and * of texts and lists ---- */

/* Markup stays markup: what is added to it is escaped first, on either side. */
static struct jinja_value join_strs(struct jinja_run *run, struct jinja_value a,
                                    struct jinja_value b)
{
    const bool markup = a.s->is_markup || b.s->is_markup;
    if (markup && !a.s->is_markup)
        a = jinja_escape(run, a.s);
    if (markup && !b.s->is_markup)
        b = jinja_escape(run, b.s);
    if (!jinja_ok(run))
        return a;
    const struct jinja_value v = jinja_concat(run, a.s, b.s);
    return jinja_like(v, a.s);
}

static struct jinja_value join_seqs(struct jinja_run *run, const struct jinja_seq *a,
                                    const struct jinja_seq *b)
{
    struct jinja_value v = jinja_seq(run, a->kind, a->n + b->n);
    for (size_t i = 0; i < a->n + b->n && jinja_ok(run); i++)
        jinja_push(run, v.q, i < a->n ? a->items[i] : b->items[i - a->n]);
    return v;
}

static struct jinja_value repeat(struct jinja_run *run, struct jinja_value v, int64_t times)
{
    const size_t n = v.type == JINJA_STR ? v.s->len : v.q->n;
    if (times <= 0 || n == 0)
        times = 0;
    else if (times > JINJA_OUTPUT_MAX || n > (size_t)JINJA_OUTPUT_MAX / (size_t)times)
        return jinja_fail(run, OLL_ERR_LIMIT, "the template makes too long a text");
    if (v.type == JINJA_SEQ) {
        struct jinja_value list = jinja_seq(run, v.q->kind, n * (size_t)times);
        for (size_t i = 0; i < n * (size_t)times && jinja_ok(run); i++)
            jinja_push(run, list.q, v.q->items[i % n]);
        return list;
    }
    char *data = jinja_alloc(run, n * (size_t)times, 1);
    /* What is there already is copied behind itself, twice as much each time. */
    for (size_t done = 0, all = n * (size_t)times; data && done < all;) {
        const size_t more = done == 0 ? n : done < all - done ? done : all - done;
        memcpy(data + done, done == 0 ? v.s->data : data, more);
        done += more;
    }
    return data ? jinja_str(run, data, n * (size_t)times) : jinja_undefined(NULL);
}

static bool is_list(struct jinja_value v)
{
    return v.type == JINJA_SEQ && (v.q->kind == JINJA_LIST || v.q->kind == JINJA_TUPLE);
}

static bool is_whole(struct jinja_value v) { return v.type == JINJA_INT || v.type == JINJA_BOOL; }
static int64_t as_whole(struct jinja_value v) { return v.type == JINJA_INT ? v.i : v.b; }

/* The right side is a tuple of values, a dict of named ones, or one value. */
static struct jinja_value percent(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    struct jinja_args args = {.pos = &b, .n_pos = 1};
    if (b.type == JINJA_SEQ && b.q->kind == JINJA_TUPLE) {
        args.pos = b.q->items;
        args.n_pos = b.q->n;
    } else if (b.type == JINJA_DICT) {
        args.named = b.d;
    }
    return jinja_percent(run, a.s, &args);
}

struct jinja_value jinja_arith(struct jinja_run *run, char op, struct jinja_value a,
                               struct jinja_value b)
{
    const char name[2] = {op, '\0'};
    if (!jinja_ok(run))
        return jinja_undefined(NULL);
    if (jinja_is_number(a) && jinja_is_number(b)) {
        if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT)
            return float_arith(run, op, jinja_as_double(a), jinja_as_double(b));
        return int_arith(run, op, as_whole(a), as_whole(b));
    }
    if (op == '+' && a.type == JINJA_STR && b.type == JINJA_STR)
        return join_strs(run, a, b);
    /* Texts take what is missing for nothing: templates add members that few tools have. */
    if (op == '+' && a.type == JINJA_STR && b.type == JINJA_UNDEFINED)
        return a;
    if (op == '+' && a.type == JINJA_UNDEFINED && b.type == JINJA_STR)
        return b;
    if (op == '+' && is_list(a) && is_list(b) && a.q->kind == b.q->kind)
        return join_seqs(run, a.q, b.q);
    if (op == '*' && (a.type == JINJA_STR || is_list(a)) && is_whole(b))
        return repeat(run, a, as_whole(b));
    if (op == '*' && (b.type == JINJA_STR || is_list(b)) && is_whole(a))
        return repeat(run, b, as_whole(a));
    if (op == '%' && a.type == JINJA_STR)
        return percent(run, a, b);
    return bad_operands(run, op == 'f' ? "//" : op == 'p' ? "**" : name, a, b);
}

struct jinja_value jinja_negate(struct jinja_run *run, struct jinja_value v)
{
    if (v.type == JINJA_FLOAT)
        return jinja_float(-v.f);
    if (is_whole(v))
        return int_arith(run, '-', 0, as_whole(v));
    return bad_operands(run, "unary -", v, v);
}

/* ---- members ---- */

static struct jinja_value dict_member(struct jinja_run *run, struct jinja_dict *d,
                                      struct jinja_value key, const char *name)
{
    struct jinja_entry *entry = jinja_dict_find(run, d, key);
    if (!entry)
        return jinja_undefined(name);
    entry->was_read = true;
    return entry->value;
}

static struct jinja_value method_of(struct jinja_run *run, struct jinja_value v, const char *name)
{
    const jinja_fn fn = jinja_find_method(v, name);
    if (!fn)
        return jinja_undefined(name);
    return jinja_new_call(
        run, (struct jinja_call){.kind = JINJA_METHOD, .name = name, .fn = fn, .self = v});
}

/* Members of an undefined value are undefined: many templates were written for engines that allow
 * it. */
struct jinja_value jinja_get_attr(struct jinja_run *run, struct jinja_value v, const char *name)
{
    struct jinja_str key = {.data = name, .len = strlen(name), .n_chars = SIZE_MAX};
    const struct jinja_value key_value = {.type = JINJA_STR, .s = &key};
    if (v.type == JINJA_LOOP)
        return jinja_loop_attr(run, v.l, name);
    if (v.type == JINJA_SPACE)
        return dict_member(run, v.d, key_value, name);
    const struct jinja_value method = method_of(run, v, name);
    if (method.type != JINJA_UNDEFINED || v.type != JINJA_DICT)
        return method;
    return dict_member(run, v.d, key_value, name);
}

/* A negative index counts from the end. False: outside. */
static bool place_of(int64_t i, size_t n, size_t *at)
{
    if (i < 0)
        i += (int64_t)n;
    *at = (size_t)i;
    return i >= 0 && (size_t)i < n;
}

static struct jinja_value char_at(struct jinja_run *run, struct jinja_str *s, int64_t i)
{
    size_t at;
    jinja_step(run, s->len / 16);
    if (!place_of(i, jinja_str_chars(s), &at))
        return jinja_undefined(NULL);
    at = jinja_str_offset(s, at);
    const size_t len = (size_t)jinja_char_len(s->data + at, s->len - at);
    return jinja_like(jinja_str(run, s->data + at, len), s);
}

/* The name in a terminated copy; method names are short. */
static struct jinja_value attr_by_value(struct jinja_run *run, struct jinja_value v,
                                        const struct jinja_str *name)
{
    char *text = jinja_alloc(run, name->len + 1, 1);
    if (!text)
        return jinja_undefined(NULL);
    memcpy(text, name->data, name->len);
    return v.type == JINJA_DICT ? method_of(run, v, text) : jinja_get_attr(run, v, text);
}

struct jinja_value jinja_get_item(struct jinja_run *run, struct jinja_value v,
                                  struct jinja_value key)
{
    size_t at;
    if (v.type == JINJA_DICT) {
        struct jinja_entry *entry = jinja_dict_find(run, v.d, key);
        if (entry) {
            entry->was_read = true;
            return entry->value;
        }
    }
    if (key.type == JINJA_BOOL)
        key = jinja_int(key.b);
    if (key.type == JINJA_INT && v.type == JINJA_STR)
        return char_at(run, v.s, key.i);
    if (key.type == JINJA_INT && v.type == JINJA_SEQ &&
        (v.q->kind <= JINJA_TUPLE || v.q->kind == JINJA_RANGE) && place_of(key.i, v.q->n, &at))
        return jinja_item(v.q, at);
    if (key.type == JINJA_STR)
        return attr_by_value(run, v, key.s);
    return jinja_undefined(NULL);
}

/* ---- slices ---- */

/* Python's rule for one bound: negative counts from the end, then clamped into the range that the
 * direction allows. */
static int64_t bound(struct jinja_run *run, struct jinja_value v, int64_t fallback, int64_t low,
                     int64_t high, int64_t n)
{
    if (v.type == JINJA_NONE || v.type == JINJA_UNDEFINED)
        return fallback;
    if (v.type != JINJA_INT && v.type != JINJA_BOOL) {
        jinja_fail(run, OLL_ERR_FORMAT, "slice indices must be integers or None");
        return fallback;
    }
    int64_t i = v.type == JINJA_INT ? v.i : v.b;
    if (i < 0)
        i = i < -n ? -1 - n : i + n;
    return i < low ? low : i > high ? high : i;
}

static struct jinja_value slice_str(struct jinja_run *run, struct jinja_str *s, const int64_t r[3])
{
    struct oll_strbuf text;
    jinja_step(run, s->len / 16);
    if (r[2] == 1) {
        const size_t from = jinja_str_offset(s, (size_t)r[0]);
        const size_t to = r[1] > r[0] ? jinja_str_offset(s, (size_t)r[1]) : from;
        return jinja_like(jinja_str(run, s->data + from, to - from), s);
    }
    const struct jinja_value str = {.type = JINJA_STR, .s = s};
    const struct jinja_seq *chars = jinja_iterate(run, str);
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    for (int64_t i = r[0]; (r[2] > 0 ? i < r[1] : i > r[1]) && jinja_ok(run); i += r[2])
        jinja_print(run, &text, chars->items[i]);
    return jinja_like(jinja_str_take(run, &text), s);
}

struct jinja_value jinja_slice(struct jinja_run *run, struct jinja_value v,
                               const struct jinja_value bounds[3])
{
    /* What cannot be sliced has no such item, which is undefined and no failure. */
    if (v.type != JINJA_STR &&
        (v.type != JINJA_SEQ || v.q->kind > JINJA_RANGE || v.q->kind == JINJA_GENERATOR))
        return jinja_undefined(v.type == JINJA_UNDEFINED ? v.name : NULL);
    const int64_t n = v.type == JINJA_STR ? (int64_t)jinja_str_chars(v.s) : (int64_t)v.q->n;
    const struct jinja_value step = bounds[2];
    if (step.type != JINJA_INT && step.type != JINJA_NONE)
        return jinja_fail(run, OLL_ERR_FORMAT, "slice indices must be integers or None");
    const int64_t wanted = step.type == JINJA_INT ? step.i : 1;
    if (wanted == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "slice step cannot be zero");
    const int64_t by = wanted > n + 1 ? n + 1 : wanted < -n - 1 ? -n - 1 : wanted;
    const int64_t low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
    const int64_t r[3] = {bound(run, bounds[0], by > 0 ? low : high, low, high, n),
                          bound(run, bounds[1], by > 0 ? high : low, low, high, n), by};
    if (!jinja_ok(run))
        return jinja_undefined(NULL);
    if (v.type == JINJA_STR)
        return slice_str(run, v.s, r);
    struct jinja_value list = jinja_seq(run, v.q->kind, 0);
    for (int i = 0; i < 3 && v.q->kind == JINJA_RANGE && jinja_ok(run); i++)
        list.q->range[i] = (i < 2 ? v.q->range[0] : 0) + r[i] * v.q->range[2];
    for (int64_t i = r[0]; (by > 0 ? i < r[1] : i > r[1]) && jinja_ok(run); i += by)
        jinja_push(run, list.q, jinja_item(v.q, (size_t)i));
    return list;
}
