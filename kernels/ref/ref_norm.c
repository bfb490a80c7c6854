#include "kernels/ref/ref.h"

#include <math.h>

/* One group of n values; w and b start at the group's own values. */
static void norm_group(const struct op_norm *d, const float *x, const float *w, const float *b,
                       uint32_t n, float *y)
{
    double sum = 0, sum_sq = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)x[i];
        sum_sq += (double)x[i] * (double)x[i];
    }
    double mean = 0, divisor = 1;
    switch (d->kind) {
    case OLL_NORM_RMS: divisor = sqrt(sum_sq / n + (double)d->eps); break;
    case OLL_NORM_L2: {
        double length = sqrt(sum_sq);
        divisor = length < (double)d->eps ? (double)d->eps : length;
        break;
    }
    case OLL_NORM_LAYER: {
        /* A second pass: sum_sq / n - mean^2 would cancel for a row far from zero. */
        double var = 0;
        mean = sum / n;
        for (uint32_t i = 0; i < n; i++)
            var += ((double)x[i] - mean) * ((double)x[i] - mean);
        divisor = sqrt(var / n + (double)d->eps);
        break;
    }
    }
    for (uint32_t i = 0; i < n; i++) {
        double value = ((double)x[i] - mean) / divisor * (w ? (double)w[i] : 1.0);
        y[i] = (float)(value + (b ? (double)b[i] : 0.0));
    }
}

oll_status ref_norm(struct ref_device *ref, const struct op_norm *d, struct oll_error *err)
{
    (void)ref, (void)err;
    uint32_t n = d->group ? d->group : d->x.cols;
    const float *w = ref_vec(&d->w), *b = ref_vec(&d->b);
    for (uint32_t t = 0; t < d->x.rows; t++) {
        for (uint32_t c = 0; c < d->x.cols; c += n) {
            uint32_t w_off = d->w.n == n ? 0 : c, b_off = d->b.n == n ? 0 : c;
            norm_group(d, ref_row(&d->x, t) + c, w ? w + w_off : NULL, b ? b + b_off : NULL, n,
                       ref_row(&d->y, t) + c);
        }
    }
    return OLL_OK;
}
