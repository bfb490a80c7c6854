#include "kernels/ref/ref.h"

#include <math.h>

oll_status ref_rope_table(struct ref_device *ref, const struct op_rope_table *d,
                          struct oll_error *err)
{
    (void)ref, (void)err;
    const float *freq = ref_vec(&d->freq);
    const int32_t *pos = ref_ints(&d->pos);
    for (uint32_t t = 0; t < d->table.rows; t++) {
        float *table = ref_row(&d->table, t);
        for (uint32_t i = 0; i < d->freq.n; i++) {
            double angle = (double)pos[t] * (double)freq[i];
            table[2 * i] = (float)((double)d->magnitude * cos(angle));
            table[2 * i + 1] = (float)((double)d->magnitude * sin(angle));
        }
    }
    return OLL_OK;
}

oll_status ref_rope(struct ref_device *ref, const struct op_rope *d, struct oll_error *err)
{
    (void)ref, (void)err;
    uint32_t n_pair = d->n_rot / 2;
    for (uint32_t t = 0; t < d->x.rows; t++) {
        const float *table = ref_row(&d->table, t);
        for (uint32_t h = 0; h < d->n_head; h++) {
            float *x = ref_row(&d->x, t) + (size_t)h * d->head_dim;
            for (uint32_t i = 0; i < n_pair; i++) {
                uint32_t ia = d->kind == OLL_ROPE_NORM ? 2 * i : i;
                uint32_t ib = d->kind == OLL_ROPE_NORM ? 2 * i + 1 : i + n_pair;
                double a = (double)x[ia], b = (double)x[ib];
                double c = (double)table[2 * i], s = (double)table[2 * i + 1];
                x[ia] = (float)(a * c - b * s);
                x[ib] = (float)(a * s + b * c);
            }
        }
    }
    return OLL_OK;
}

oll_status ref_query_scale(struct ref_device *ref, const struct op_query_scale *d,
                           struct oll_error *err)
{
    (void)ref, (void)err;
    const int32_t *pos = ref_ints(&d->pos);
    for (uint32_t t = 0; t < d->x.rows; t++) {
        double step = floor(((double)pos[t] + (double)d->offset) / (double)d->length);
        double factor = 1.0 + (double)d->beta * log(1.0 + step);
        float *x = ref_row(&d->x, t);
        for (uint32_t i = 0; i < d->x.cols; i++)
            x[i] = (float)((double)x[i] * factor);
    }
    return OLL_OK;
}
