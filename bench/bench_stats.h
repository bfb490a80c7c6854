/* Statistics of repeated measurements: what a handful of samples says, and whether two handfuls
 * differ by more than their scatter. Pure functions. */
#ifndef OLL_BENCH_BENCH_STATS_H
#define OLL_BENCH_BENCH_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct bench_stats {
    uint32_t n;
    double mean, sd; /* of the sample: divided by n - 1; 0 for one value */
    double median, min, max;
};

/* Sorts the values (smallest first) and summarises them; all zero when n is 0. */
void bench_stats_of(double *values, uint32_t n, struct bench_stats *out);

/* The p-th part (0 .. 1) of values sorted by bench_stats_of, interpolated between neighbours; 0
 * when n is 0. */
double bench_percentile(const double *sorted, uint32_t n, double p);

/* Two-sided p-value of a sign test: the chance that n_plus and n_minus coin tosses fall as unevenly
 * as this. Ties are left out by the caller. 1 when there is nothing to judge. */
double bench_sign_p(uint32_t n_plus, uint32_t n_minus);

struct bench_change {
    double ratio; /* median of b over median of a */
    double noise; /* relative half width of the middle 80 % of a and of b, added */
    double p;     /* two-sided Mann-Whitney, normal approximation with ties and continuity */
    bool is_beyond_noise; /* |ratio - 1| > noise and p < BENCH_CHANGE_P */
};

#define BENCH_CHANGE_P 0.02

/* From samples a (before) to b (after), both sorted by bench_stats_of. Mann & Whitney 1947, "On a
 * test of whether one of two random variables is stochastically larger than the other". */
void bench_change_of(const double *a, uint32_t n_a, const double *b, uint32_t n_b,
                     struct bench_change *out);

#endif
