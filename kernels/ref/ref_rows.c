#include "kernels/ref/ref.h"

#include <string.h>

oll_status ref_check_index(const char *name, const int32_t *values, size_t n, int64_t end,
                           struct oll_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (values[i] < 0 || values[i] >= end)
            return OLL_FAIL(err, OLL_ERR_ARG, "%s[%zu]: %d lies outside 0 .. %lld", name, i,
                            values[i], (long long)end - 1);
    }
    return OLL_OK;
}

oll_status ref_gather(struct ref_device *ref, const struct op_gather *d, struct oll_error *err)
{
    (void)ref;
    const int32_t *rows = ref_ints(&d->rows);
    OLL_TRY(ref_check_index("rows", rows, d->rows.n, d->x.rows, err));
    for (uint32_t r = 0; r < d->y.rows; r++)
        memcpy(ref_row(&d->y, r), ref_row(&d->x, (size_t)rows[r]), d->y.cols * sizeof(float));
    return OLL_OK;
}

static void mean_rows(const struct op_pool *d, int32_t begin, int32_t end, float *y)
{
    for (uint32_t i = 0; i < d->y.cols; i++) {
        double sum = 0;
        for (int32_t r = begin; r < end; r++)
            sum += (double)ref_row(&d->x, (size_t)r)[i];
        y[i] = (float)(sum / (end - begin));
    }
}

oll_status ref_pool(struct ref_device *ref, const struct op_pool *d, struct oll_error *err)
{
    (void)ref;
    const int32_t *begin = ref_ints(&d->begin);
    OLL_TRY(ref_check_index("begin", begin, d->begin.n, (int64_t)d->x.rows + 1, err));
    for (uint32_t s = 0; s < d->y.rows; s++) {
        float *y = ref_row(&d->y, s);
        if (begin[s] >= begin[s + 1])
            return OLL_FAIL(err, OLL_ERR_ARG, "begin: sequence %u has no rows (%d .. %d)", s,
                            begin[s], begin[s + 1]);
        if (d->kind == OLL_POOLING_MEAN) {
            mean_rows(d, begin[s], begin[s + 1], y);
        } else {
            size_t row = (size_t)(d->kind == OLL_POOLING_FIRST ? begin[s] : begin[s + 1] - 1);
            memcpy(y, ref_row(&d->x, row), d->y.cols * sizeof(float));
        }
    }
    return OLL_OK;
}

oll_status ref_expert_sum(struct ref_device *ref, const struct op_expert_sum *d,
                          struct oll_error *err)
{
    (void)ref, (void)err;
    uint32_t n_used = d->weights.cols;
    double scale = ref_factor(d->scale);
    for (uint32_t t = 0; t < d->y.rows; t++) {
        const float *weights = ref_row(&d->weights, t);
        const float *residual = d->residual.buf ? ref_row(&d->residual, t) : NULL;
        float *y = ref_row(&d->y, t);
        for (uint32_t i = 0; i < d->y.cols; i++) {
            double sum = 0;
            for (uint32_t s = 0; s < n_used; s++)
                sum += (double)weights[s] * (double)ref_row(&d->x, (size_t)t * n_used + s)[i];
            y[i] = (float)((residual ? (double)residual[i] : 0.0) + scale * sum);
        }
    }
    return OLL_OK;
}
