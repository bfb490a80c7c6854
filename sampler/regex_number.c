#include "sampler/regex_number.h"

#include <string.h>

enum { TEXT_DIGITS = 20 };

/* ---- reading ---- */

bool regex_decimal_read(const char *text, size_t n, struct regex_decimal *out)
{
    char digits[REGEX_NUMBER_DIGITS];
    int n_digits = 0, exponent = 0;
    size_t at = 0;
    bool point = false, seen = false;
    *out = (struct regex_decimal){.negative = n > 0 && text[0] == '-'};
    for (at = out->negative; at < n && text[at] != 'e' && text[at] != 'E'; at++) {
        if (text[at] == '.') {
            point = true;
            continue;
        }
        seen = seen || text[at] != '0';
        if (seen && n_digits == REGEX_NUMBER_DIGITS)
            return false;
        if (seen)
            digits[n_digits++] = text[at];
        exponent -= point;
    }
    if (at < n) {
        bool minus = at + 1 < n && text[at + 1] == '-';
        int e = 0;
        for (at += 1; at < n; at++)
            if (text[at] >= '0' && text[at] <= '9')
                e = e > 100000 ? e : e * 10 + (text[at] - '0');
        exponent += minus ? -e : e;
    }
    while (n_digits > 0 && digits[n_digits - 1] == '0') {
        n_digits--;
        exponent++;
    }
    if (n_digits == 0) {
        out->negative = false;
        return true;
    }
    int whole = n_digits + exponent;
    if (whole > REGEX_NUMBER_DIGITS || -exponent > REGEX_NUMBER_DIGITS)
        return false;
    for (int i = 0; i < whole; i++)
        out->whole[out->n_whole++] = i < n_digits ? digits[i] : '0';
    for (int i = whole; i < n_digits; i++)
        out->fraction[out->n_fraction++] = i < 0 ? '0' : digits[i];
    return true;
}

/* ---- pieces ---- */

static uint32_t digit(struct regex_pool *pool, char lo, char hi)
{
    return lo > hi ? REGEX_NONE : regex_range(pool, (uint32_t)lo, (uint32_t)hi);
}

static uint32_t digits(struct regex_pool *pool, uint32_t min, uint32_t max)
{
    return regex_rep(pool, digit(pool, '0', '9'), min, max);
}

static uint32_t whole(struct regex_pool *pool, uint32_t more)
{
    return regex_alt2(pool, regex_char(pool, '0'),
                      regex_cat(pool, digit(pool, '1', '9'), digits(pool, 0, more)));
}

/* '.' and at least one digit. */
static uint32_t fraction(struct regex_pool *pool, uint32_t body)
{
    return regex_cat(pool, regex_char(pool, '.'), body);
}

static uint32_t zeros(struct regex_pool *pool, uint32_t min)
{
    return regex_rep(pool, regex_char(pool, '0'), min, REGEX_INF);
}

uint32_t regex_integers(struct regex_pool *pool)
{
    uint32_t some = regex_cat(pool, digit(pool, '1', '9'), digits(pool, 0, REGEX_INF));
    uint32_t all = regex_alt2(pool, regex_char(pool, '0'),
                              regex_cat(pool, regex_opt(pool, regex_char(pool, '-')), some));
    return regex_cat(pool, all, regex_opt(pool, fraction(pool, zeros(pool, 1))));
}

uint32_t regex_integer_texts(struct regex_pool *pool)
{
    uint32_t some = regex_cat(pool, digit(pool, '1', '9'), digits(pool, 0, REGEX_INF));
    return regex_alt2(pool, regex_char(pool, '0'),
                      regex_cat(pool, regex_opt(pool, regex_char(pool, '-')), some));
}

uint32_t regex_number_texts(struct regex_pool *pool)
{
    uint32_t e = regex_set(pool, (struct regex_range[]){{'E', 'E'}, {'e', 'e'}}, 2);
    uint32_t sign = regex_set(pool, (struct regex_range[]){{'+', '+'}, {'-', '-'}}, 2);
    /* Up to 279: with 20 digits before it still a double. */
    uint32_t power[] = {digits(pool, 1, 2),
                        regex_cat(pool, regex_char(pool, '1'), digits(pool, 2, 2)),
                        regex_cat(pool, regex_char(pool, '2'),
                                  regex_cat(pool, digit(pool, '0', '7'), digits(pool, 1, 1)))};
    uint32_t exponent =
        regex_cat(pool, e, regex_cat(pool, regex_opt(pool, sign), regex_alt(pool, power, 3)));
    uint32_t tail = regex_cat(pool, regex_opt(pool, fraction(pool, digits(pool, 1, TEXT_DIGITS))),
                              regex_opt(pool, exponent));
    return regex_cat(pool, regex_opt(pool, regex_char(pool, '-')),
                     regex_cat(pool, whole(pool, TEXT_DIGITS - 1), tail));
}

/* ---- bounds of magnitudes ---- */

/* Optional fractions whose value is >= (>) or <= (<) 0.f. With `up` the fractions from 0.f on. */
static uint32_t fraction_bound(struct regex_pool *pool, const struct regex_decimal *d, bool up,
                               bool open)
{
    const char *f = d->fraction;
    uint32_t n = d->n_fraction, any = digits(pool, 0, REGEX_INF);
    uint32_t nonzero = regex_cat(pool, zeros(pool, 0), regex_cat(pool, digit(pool, '1', '9'), any));
    uint32_t none = regex_opt(pool, fraction(pool, zeros(pool, 1))); /* a fraction of nothing */
    /* The text 0.f itself and what goes on from it, then from the last digit to the first. */
    uint32_t body = up ? (open ? nonzero : any) : open ? REGEX_NONE : zeros(pool, 0);
    if (n == 0) {
        uint32_t more = fraction(pool, up     ? (open ? nonzero : digits(pool, 1, REGEX_INF))
                                       : open ? REGEX_NONE
                                              : zeros(pool, 1));
        return open ? more : regex_opt(pool, more);
    }
    for (uint32_t i = n; i-- > 0;) {
        body = regex_cat(pool, regex_char(pool, (uint32_t)f[i]), body);
        uint32_t other =
            up ? digit(pool, (char)(f[i] + 1), '9') : digit(pool, '0', (char)(f[i] - 1));
        body = regex_alt2(pool, body, regex_cat(pool, other, any));
        /* Ending before this digit is smaller, since some later digit is not zero. */
        if (!up && i > 0)
            body = regex_alt2(pool, body, REGEX_EPS);
    }
    body = fraction(pool, body);
    return up ? body : regex_alt2(pool, body, none);
}

/* Magnitudes at least or at most |d|. */
static uint32_t magnitude_bound(struct regex_pool *pool, const struct regex_decimal *d, bool up,
                                bool open)
{
    const char *w = d->n_whole ? d->whole : "0";
    uint32_t n = d->n_whole ? d->n_whole : 1;
    uint32_t any = regex_opt(pool, fraction(pool, digits(pool, 1, REGEX_INF)));
    uint32_t body = fraction_bound(pool, d, up, open);
    for (uint32_t i = n; i-- > 0;) {
        char lo = i == 0 && n > 1 ? '1' : '0';
        uint32_t other =
            up ? digit(pool, (char)(w[i] + 1), '9') : digit(pool, lo, (char)(w[i] - 1));
        uint32_t rest = regex_cat(pool, digits(pool, n - 1 - i, n - 1 - i), any);
        body = regex_alt2(pool, regex_cat(pool, regex_char(pool, (uint32_t)w[i]), body),
                          regex_cat(pool, other, rest));
    }
    uint32_t first = digit(pool, '1', '9'), other = REGEX_NONE;
    if (up)
        other = regex_cat(pool, first, digits(pool, n, REGEX_INF));
    else if (n > 1)
        other =
            regex_alt2(pool, regex_char(pool, '0'), regex_cat(pool, first, digits(pool, 0, n - 2)));
    return regex_alt2(pool, body, regex_cat(pool, other, any));
}

static uint32_t positive_or_zero(struct regex_pool *pool)
{
    return regex_cat(pool, whole(pool, REGEX_INF),
                     regex_opt(pool, fraction(pool, digits(pool, 1, REGEX_INF))));
}

static uint32_t above_zero(struct regex_pool *pool)
{
    const struct regex_decimal zero = {0};
    return magnitude_bound(pool, &zero, true, true);
}

static uint32_t negative(struct regex_pool *pool, uint32_t magnitudes)
{
    return regex_cat(pool, regex_char(pool, '-'), magnitudes);
}

uint32_t regex_numbers(struct regex_pool *pool)
{
    return regex_alt2(pool, positive_or_zero(pool), negative(pool, above_zero(pool)));
}

uint32_t regex_at_least(struct regex_pool *pool, const struct regex_decimal *bound, bool open)
{
    if (!bound->negative)
        return magnitude_bound(pool, bound, true, open);
    return regex_alt2(pool, positive_or_zero(pool),
                      negative(pool, regex_and2(pool, magnitude_bound(pool, bound, false, open),
                                                above_zero(pool))));
}

uint32_t regex_at_most(struct regex_pool *pool, const struct regex_decimal *bound, bool open)
{
    if (bound->negative)
        return negative(pool, magnitude_bound(pool, bound, true, open));
    return regex_alt2(pool, magnitude_bound(pool, bound, false, open),
                      negative(pool, above_zero(pool)));
}

/* ---- single values ---- */

uint32_t regex_spelling(struct regex_pool *pool, const struct regex_decimal *v)
{
    uint32_t id = REGEX_EPS;
    if (v->n_fraction)
        id = fraction(pool, regex_text(pool, v->fraction, v->n_fraction));
    id = regex_cat(pool, regex_text(pool, v->n_whole ? v->whole : "0", v->n_whole ? v->n_whole : 1),
                   id);
    return v->negative ? regex_cat(pool, regex_char(pool, '-'), id) : id;
}

uint32_t regex_value(struct regex_pool *pool, const struct regex_decimal *v)
{
    uint32_t tail =
        v->n_fraction ? zeros(pool, 0) : regex_opt(pool, fraction(pool, zeros(pool, 1)));
    return regex_cat(pool, regex_spelling(pool, v), tail);
}
