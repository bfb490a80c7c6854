#include "kernels/ref/ref.h"

#include "kernels/quant.h"

/* Four partial sums hide the latency of the additions; in double the order does not show. */
double ref_dot(const float *a, const float *b, size_t n)
{
    double sum[4] = {0, 0, 0, 0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (size_t j = 0; j < 4; j++)
            sum[j] += (double)a[i + j] * (double)b[i + j];
    }
    for (; i < n; i++)
        sum[0] += (double)a[i] * (double)b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

oll_status ref_embed(struct ref_device *ref, const struct op_embed *d, struct oll_error *err)
{
    uint32_t n_embd = d->w->n_in;
    const int32_t *ids = d->ids.buf ? ref_ints(&d->ids) : NULL;
    void *scratch;
    OLL_TRY(ref_scratch(ref, REF_SLOT_ROW, n_embd * sizeof(float), &scratch, err));
    if (ids)
        OLL_TRY(ref_check_index("ids", ids, d->y.rows, d->w->n_out, err));
    float *w = scratch;
    for (uint32_t t = 0; t < d->y.rows; t++) {
        float *y = ref_row(&d->y, t);
        oll_dequantize_row(d->w->dtype, ref_weight_row(d->w, 0, ids ? (size_t)ids[t] : d->row), w,
                           n_embd);
        for (uint32_t i = 0; i < n_embd; i++)
            y[i] = (float)((double)d->scale * (double)w[i] + (d->add ? (double)y[i] : 0.0));
    }
    return OLL_OK;
}

oll_status ref_matmul(struct ref_device *ref, const struct op_matmul *d, struct oll_error *err)
{
    uint32_t n_in = d->w->n_in;
    const float *b = ref_vec(&d->b);
    double scale = ref_factor(d->scale);
    void *scratch;
    OLL_TRY(ref_scratch(ref, REF_SLOT_ROW, n_in * sizeof(float), &scratch, err));
    float *w = scratch;
    for (uint32_t o = 0; o < d->w->n_out; o++) {
        oll_dequantize_row(d->w->dtype, ref_weight_row(d->w, 0, o), w, n_in);
        for (uint32_t t = 0; t < d->x.rows; t++) {
            double sum = ref_dot(w, ref_row(&d->x, t), n_in) + (b ? (double)b[o] : 0.0);
            double residual = d->residual.buf ? (double)ref_row(&d->residual, t)[o] : 0.0;
            ref_row(&d->y, t)[o] = (float)(scale * sum + residual);
        }
    }
    return OLL_OK;
}

oll_status ref_matmul_expert(struct ref_device *ref, const struct op_matmul_expert *d,
                             struct oll_error *err)
{
    uint32_t n_in = d->w->n_in, n_out = d->w->n_out;
    uint32_t n_share = d->x.rows == d->ids.n ? 1 : d->n_used; /* rows of y per row of x */
    const int32_t *ids = ref_ints(&d->ids);
    const float *b = ref_vec(&d->b), *expert_scale = ref_vec(&d->expert_scale);
    OLL_TRY(ref_check_index("ids", ids, d->ids.n, d->w->n_expert, err));
    void *scratch;
    OLL_TRY(ref_scratch(ref, REF_SLOT_ROW, n_in * sizeof(float), &scratch, err));
    float *w = scratch;
    for (uint32_t r = 0; r < d->ids.n; r++) {
        size_t e = (size_t)ids[r];
        const float *x = ref_row(&d->x, r / n_share);
        float *y = ref_row(&d->y, r);
        for (uint32_t o = 0; o < n_out; o++) {
            oll_dequantize_row(d->w->dtype, ref_weight_row(d->w, e, o), w, n_in);
            double sum = ref_dot(w, x, n_in) + (b ? (double)b[e * n_out + o] : 0.0);
            y[o] = (float)((expert_scale ? (double)expert_scale[e] : 1.0) * sum);
        }
    }
    return OLL_OK;
}
