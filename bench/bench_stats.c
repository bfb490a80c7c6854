#include "bench/bench_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void bench_stats_of(double *values, uint32_t n, struct bench_stats *out)
{
    memset(out, 0, sizeof *out);
    if (n == 0)
        return;
    qsort(values, n, sizeof *values, compare);
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += values[i];
    out->n = n;
    out->mean = sum / n;
    for (uint32_t i = 0; i < n; i++)
        squares += (values[i] - out->mean) * (values[i] - out->mean);
    out->sd = n > 1 ? sqrt(squares / (n - 1)) : 0;
    out->median = bench_percentile(values, n, 0.5);
    out->min = values[0];
    out->max = values[n - 1];
}

double bench_percentile(const double *sorted, uint32_t n, double p)
{
    if (n == 0)
        return 0;
    double at = p * (n - 1);
    uint32_t i = (uint32_t)at;
    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]);
}

double bench_sign_p(uint32_t n_plus, uint32_t n_minus)
{
    uint32_t n = n_plus + n_minus, few = n_plus < n_minus ? n_plus : n_minus;
    double tail = 0, term = pow(0.5, n); /* of k successes in n tosses, k = 0 */
    for (uint32_t k = 0; k <= few; k++) {
        tail += term;
        term *= (double)(n - k) / (k + 1);
    }
    return tail * 2 < 1 ? tail * 2 : 1;
}

/* Pairs in which b is the larger one, equal ones counted half. */
static double count_wins(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    double wins = 0;
    for (uint32_t i = 0; i < n_a; i++)
        for (uint32_t j = 0; j < n_b; j++)
            wins += b[j] > a[i] ? 1 : b[j] < a[i] ? 0 : 0.5;
    return wins;
}

/* Sum of t^3 - t over groups of t equal values of both sorted arrays together. */
static double tie_term(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    double sum = 0;
    uint32_t i = 0, j = 0;
    while (i < n_a || j < n_b) {
        double v = j >= n_b || (i < n_a && a[i] <= b[j]) ? a[i] : b[j], t = 0;
        for (; i < n_a && a[i] <= v; i++)
            t++;
        for (; j < n_b && b[j] <= v; j++)
            t++;
        sum += t * t * t - t;
    }
    return sum;
}

static double rank_p(const double *a, uint32_t n_a, const double *b, uint32_t n_b)
{
    double n = (double)n_a + n_b, product = (double)n_a * n_b;
    double variance = product / 12 * (n + 1 - tie_term(a, n_a, b, n_b) / (n * (n - 1)));
    double distance = fabs(count_wins(a, n_a, b, n_b) - product / 2) - 0.5;
    if (!(variance > 0) || distance <= 0)
        return 1;
    return erfc(distance / sqrt(2 * variance));
}

static double half_width(const double *sorted, uint32_t n)
{
    double median = bench_percentile(sorted, n, 0.5);
    return median > 0 ? (bench_percentile(sorted, n, 0.9) - bench_percentile(sorted, n, 0.1)) /
                            (2 * median)
                      : 0;
}

void bench_change_of(const double *a, uint32_t n_a, const double *b, uint32_t n_b,
                     struct bench_change *out)
{
    *out = (struct bench_change){.ratio = 1, .p = 1};
    double before = bench_percentile(a, n_a, 0.5), after = bench_percentile(b, n_b, 0.5);
    if (n_a == 0 || n_b == 0 || !(before > 0))
        return;
    out->ratio = after / before;
    out->noise = half_width(a, n_a) + half_width(b, n_b);
    out->p = rank_p(a, n_a, b, n_b);
    out->is_beyond_noise = fabs(out->ratio - 1) > out->noise && out->p < BENCH_CHANGE_P;
}
