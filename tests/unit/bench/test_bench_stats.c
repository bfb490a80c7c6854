#include "bench/bench_stats.h"
#include "tests/testing.h"

#include <math.h>

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * (1 + fabs(b)); }

TEST(summary)
{
    double v[] = {95013526, 81791512};
    struct bench_stats s;
    bench_stats_of(v, 2, &s);
    CHECK(v[0] < v[1]);
    CHECK(near(s.mean, 88402519) && near(s.median, 88402519));
    CHECK(fabs(s.sd - 9349375.76) < 0.1); /* n - 1 below the sum of squares */
    CHECK(s.min == 81791512 && s.max == 95013526 && s.n == 2);
    double one[] = {3};
    bench_stats_of(one, 1, &s);
    CHECK(s.sd == 0 && s.median == 3 && s.mean == 3);
    bench_stats_of(one, 0, &s);
    CHECK(s.n == 0 && s.mean == 0);
    double five[] = {5, 1, 4, 2, 30};
    bench_stats_of(five, 5, &s);
    CHECK(s.median == 4 && near(s.mean, 8.4) && near(s.sd, sqrt(593.2 / 4)));
}

TEST(percentiles)
{
    const double v[] = {1, 2, 3, 4, 5};
    CHECK(bench_percentile(v, 5, 0) == 1);
    CHECK(bench_percentile(v, 5, 1) == 5);
    CHECK(near(bench_percentile(v, 5, 0.5), 3));
    CHECK(near(bench_percentile(v, 5, 0.9), 4.6));
    CHECK(near(bench_percentile(v, 4, 0.5), 2.5));
    CHECK(bench_percentile(v, 1, 0.99) == 1);
    CHECK(bench_percentile(v, 0, 0.5) == 0);
}

TEST(sign_test)
{
    CHECK(near(bench_sign_p(5, 0), 2.0 / 32));
    CHECK(near(bench_sign_p(0, 5), 2.0 / 32));
    CHECK(near(bench_sign_p(4, 1), 2.0 * 6 / 32));
    CHECK(bench_sign_p(3, 3) == 1);
    CHECK(bench_sign_p(0, 0) == 1);
}

TEST(change_beyond_noise)
{
    const double before[] = {99, 100, 100.5, 101, 102}, slower[] = {80, 81, 82, 83, 84};
    struct bench_change c;
    bench_change_of(before, 5, slower, 5, &c);
    CHECK(near(c.ratio, 82 / 100.5) && c.is_beyond_noise);
    /* U = 0: z = (12.5 - 0.5) / sqrt(25 * 11 / 12), p = 0.01219 */
    CHECK(fabs(c.p - 0.01219) < 1e-4);
    bench_change_of(slower, 5, before, 5, &c);
    CHECK(c.ratio > 1 && c.is_beyond_noise);
}

TEST(change_within_noise)
{
    const double a[] = {90, 95, 100, 105, 110}, b[] = {92, 99, 103, 107, 109};
    const double few[] = {70, 71, 72}, many[] = {99, 100, 101};
    const double wide_a[] = {40, 62, 64, 66, 100}, wide_b[] = {101, 102, 104, 180, 190};
    struct bench_change c;
    bench_change_of(a, 5, b, 5, &c);
    CHECK(!c.is_beyond_noise && c.p > 0.3);
    bench_change_of(few, 3, many, 3, &c); /* three against three can never be told from chance */
    CHECK(!c.is_beyond_noise && c.p > 0.05);
    bench_change_of(wide_a, 5, wide_b, 5, &c); /* ranks differ, but less than the scatter */
    CHECK(c.p < BENCH_CHANGE_P && c.noise > 0.6 && !c.is_beyond_noise);
    bench_change_of(a, 5, b, 0, &c);
    CHECK(!c.is_beyond_noise && c.ratio == 1);
    const double same[] = {5, 5, 5, 5, 5};
    bench_change_of(same, 5, same, 5, &c);
    CHECK(!c.is_beyond_noise && c.p == 1 && c.noise == 0);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
