/* eq, ne, lt, le, gt, ge. */
#include "engine/chat/go_func.h"

#include <string.h>

static bool is_basic(const struct go_value *v)
{
    return v->kind >= GO_BOOL && v->kind <= GO_STRING;
}

static int compare_strings(const struct go_value *a, const struct go_value *b)
{
    const size_t n = a->n < b->n ? a->n : b->n;
    const int order = n ? memcmp(a->s, b->s, n) : 0;
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static bool refuse_types(struct go_call *call, const struct go_value *a, const struct go_value *b)
{
    return go_call_fail(call, "incompatible types for comparison: %s and %s", go_type_name(a),
                        go_type_name(b));
}

static bool same_basic(struct go_call *call, const struct go_value *a, const struct go_value *b)
{
    switch (a->kind) {
    case GO_BOOL: return a->is_true == b->is_true;
    case GO_INT: return a->i == b->i;
    case GO_FLOAT: return a->real == b->real;
    default: call->work += a->n < b->n ? a->n : b->n; return compare_strings(a, b) == 0;
    }
}

/* Messages are the same when they are the same message; lists, maps and the other records compare
 * with nothing only. */
static bool same_other(struct go_call *call, const struct go_value *a, const struct go_value *b,
                       bool *equal)
{
    const bool a_nil = go_is_nil(a) || a->is_nil, b_nil = go_is_nil(b) || b->is_nil;
    const bool messages = a->kind == GO_RECORD_MESSAGE && b->kind == GO_RECORD_MESSAGE;
    if (!messages && !go_is_nil(a) && !go_is_nil(b))
        return go_call_fail(call, "non-comparable types %s, %s", go_type_name(a), go_type_name(b));
    *equal = a_nil || b_nil ? a_nil == b_nil : a->p == b->p;
    return true;
}

bool go_compare_eq(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    const struct go_value *a = &args[0];
    *out = go_bool(false);
    if (n_args < 2)
        return go_call_fail(call, "missing argument for comparison");
    for (uint32_t i = 1; i < n_args && !out->is_true; i++) {
        const struct go_value *b = &args[i];
        if (is_basic(a) && a->kind == b->kind) {
            out->is_true = same_basic(call, a, b);
        } else if (is_basic(a) || is_basic(b)) {
            if (!go_is_nil(a) && !go_is_nil(b))
                return refuse_types(call, a, b);
        } else if (!same_other(call, a, b, &out->is_true)) {
            return false;
        }
    }
    return true;
}

bool go_compare_ne(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    if (!go_compare_eq(call, args, n_args, out))
        return false;
    out->is_true = !out->is_true;
    return true;
}

bool go_compare_lt(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    const struct go_value *a = &args[0], *b = &args[1];
    (void)n_args;
    if (!is_basic(a) || !is_basic(b))
        return go_call_fail(call, "invalid type for comparison");
    if (a->kind != b->kind)
        return refuse_types(call, a, b);
    if (a->kind == GO_BOOL)
        return go_call_fail(call, "invalid type for comparison");
    if (a->kind == GO_INT) {
        *out = go_bool(a->i < b->i);
    } else if (a->kind == GO_FLOAT) {
        *out = go_bool(a->real < b->real);
    } else {
        call->work += a->n < b->n ? a->n : b->n;
        *out = go_bool(compare_strings(a, b) < 0);
    }
    return true;
}

bool go_compare_le(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    if (!go_compare_lt(call, args, n_args, out))
        return false;
    return out->is_true || go_compare_eq(call, args, n_args, out);
}

bool go_compare_gt(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    if (!go_compare_le(call, args, n_args, out))
        return false;
    out->is_true = !out->is_true;
    return true;
}

bool go_compare_ge(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out)
{
    if (!go_compare_lt(call, args, n_args, out))
        return false;
    out->is_true = !out->is_true;
    return true;
}
