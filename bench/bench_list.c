#include "bench/bench_list.h"

#include <stdbool.h>

/* Reads decimal digits at *s; values are capped beyond any limit a caller may have. */
static bool take_number(const char **s, uint64_t *out)
{
    const char *p = *s;
    uint64_t v = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        v = v < UINT32_MAX ? v * 10 + (uint64_t)(*p - '0') : v;
    if (p == *s)
        return false;
    *s = p;
    *out = v;
    return true;
}

struct range {
    uint64_t first, last, step;
    bool is_factor; /* multiply by step instead of adding it */
};

/* One number or range; false when the text is neither. */
static bool take_range(const char **s, struct range *r)
{
    if (!take_number(s, &r->first))
        return false;
    r->last = r->first;
    r->step = 1;
    r->is_factor = false;
    if (**s != '-')
        return true;
    ++*s;
    if (!take_number(s, &r->last))
        return false;
    if (**s != '+' && **s != '*')
        return true;
    r->is_factor = **s == '*';
    ++*s;
    return take_number(s, &r->step);
}

static oll_status add_range(struct bench_list *list, const struct range *r, uint32_t min,
                            uint32_t max, struct oll_error *err)
{
    if (r->first < min || r->last > max)
        return OLL_FAIL(err, OLL_ERR_ARG, "expected numbers from %u to %u", min, max);
    if (r->first > r->last)
        return OLL_FAIL(err, OLL_ERR_ARG, "the range from %llu to %llu is empty",
                        (unsigned long long)r->first, (unsigned long long)r->last);
    if (r->is_factor ? r->step < 2 || r->first == 0 : r->step == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "a range with this step never ends");
    for (uint64_t v = r->first; v <= r->last; v = r->is_factor ? v * r->step : v + r->step) {
        if (list->n == BENCH_LIST_MAX)
            return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d numbers", BENCH_LIST_MAX);
        list->values[list->n++] = (uint32_t)v;
    }
    return OLL_OK;
}

oll_status bench_list_add(struct bench_list *list, const char *text, uint32_t min, uint32_t max,
                          struct oll_error *err)
{
    const uint32_t n_before = list->n;
    const char *s = text;
    oll_status status = OLL_OK;
    for (;;) {
        struct range r;
        if (!take_range(&s, &r) || (*s && *s != ','))
            status = OLL_FAIL(err, OLL_ERR_ARG,
                              "expected numbers and ranges like 1,2,4 or 1-4 or 0-64+16 or 1-16*2");
        else
            status = add_range(list, &r, min, max, err);
        if (status != OLL_OK || !*s)
            break;
        s++;
    }
    if (status != OLL_OK)
        list->n = n_before;
    return status;
}

oll_status bench_list_add_pair(struct bench_list *first, struct bench_list *second,
                               const char *text, uint32_t max, struct oll_error *err)
{
    const char *s = text;
    uint64_t a, b;
    if (!take_number(&s, &a) || *s++ != ',' || !take_number(&s, &b) || *s || a == 0 || a > max ||
        b == 0 || b > max)
        return OLL_FAIL(err, OLL_ERR_ARG, "expected two numbers from 1 to %u like 512,128", max);
    if (first->n == BENCH_LIST_MAX || second->n == BENCH_LIST_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d pairs", BENCH_LIST_MAX);
    first->values[first->n++] = (uint32_t)a;
    second->values[second->n++] = (uint32_t)b;
    return OLL_OK;
}
