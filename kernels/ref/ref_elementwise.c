#include "kernels/ref/ref.h"

#include <math.h>

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* Comparisons instead of fmin and fmax: a NaN must stay one. */
static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

double ref_act(enum oll_act act, double x)
{
    const double sqrt_2_over_pi = 0.79788456080286535588;
    switch (act) {
    case OLL_ACT_SILU: return x * sigmoid(x);
    /* 0.5 (1 + tanh u) is sigmoid(2u), which keeps its digits where tanh comes close to -1. */
    case OLL_ACT_GELU: return x * sigmoid(2.0 * sqrt_2_over_pi * (x + 0.044715 * x * x * x));
    case OLL_ACT_GELU_QUICK: return x * sigmoid(1.702 * x);
    case OLL_ACT_RELU: return x < 0 ? 0 : x;
    case OLL_ACT_RELU_SQR: return x < 0 ? 0 : x * x;
    case OLL_ACT_SIGMOID: return sigmoid(x);
    case OLL_ACT_TANH: return tanh(x);
    case OLL_ACT_NONE:
    case OLL_ACT_SWIGLU_OAI: break; /* the latter takes two operands: ref_glu */
    }
    return x;
}

oll_status ref_unary(struct ref_device *ref, const struct op_unary *d, struct oll_error *err)
{
    (void)ref, (void)err;
    for (uint32_t t = 0; t < d->y.rows; t++) {
        const float *x = ref_row(&d->x, t);
        float *y = ref_row(&d->y, t);
        for (uint32_t i = 0; i < d->y.cols; i++)
            y[i] = (float)ref_act(d->act, (double)x[i]);
    }
    return OLL_OK;
}

oll_status ref_glu(struct ref_device *ref, const struct op_glu *d, struct oll_error *err)
{
    (void)ref, (void)err;
    for (uint32_t t = 0; t < d->y.rows; t++) {
        const float *gate = ref_row(&d->gate, t), *up = ref_row(&d->up, t);
        float *y = ref_row(&d->y, t);
        for (uint32_t i = 0; i < d->y.cols; i++) {
            double g = (double)gate[i], u = (double)up[i];
            if (d->act == OLL_ACT_SWIGLU_OAI) {
                g = clamp(g, -INFINITY, 7);
                y[i] = (float)(g * sigmoid(1.702 * g) * (clamp(u, -7, 7) + 1.0));
            } else {
                y[i] = (float)(ref_act(d->act, g) * u);
            }
        }
    }
    return OLL_OK;
}

oll_status ref_add(struct ref_device *ref, const struct op_add *d, struct oll_error *err)
{
    (void)ref, (void)err;
    double scale = ref_factor(d->scale);
    for (uint32_t t = 0; t < d->y.rows; t++) {
        const float *a = ref_row(&d->a, t), *b = ref_row(&d->b, t);
        float *y = ref_row(&d->y, t);
        for (uint32_t i = 0; i < d->y.cols; i++)
            y[i] = (float)((double)a[i] + scale * (double)b[i]);
    }
    return OLL_OK;
}

oll_status ref_gate(struct ref_device *ref, const struct op_gate *d, struct oll_error *err)
{
    (void)ref, (void)err;
    for (uint32_t t = 0; t < d->y.rows; t++) {
        const float *x = ref_row(&d->x, t), *g = ref_row(&d->g, t);
        float *y = ref_row(&d->y, t);
        for (uint32_t i = 0; i < d->y.cols; i++)
            y[i] = (float)((double)x[i] * sigmoid((double)g[d->g.cols == 1 ? 0 : i]));
    }
    return OLL_OK;
}

oll_status ref_scale(struct ref_device *ref, const struct op_scale *d, struct oll_error *err)
{
    (void)ref, (void)err;
    double cap = (double)d->softcap, limit = (double)d->limit;
    for (uint32_t t = 0; t < d->y.rows; t++) {
        const float *x = ref_row(&d->x, t);
        float *y = ref_row(&d->y, t);
        for (uint32_t i = 0; i < d->y.cols; i++) {
            double value = (double)d->scale * (double)x[i];
            if (cap != 0)
                value = cap * tanh(value / cap);
            y[i] = (float)(limit != 0 ? clamp(value, -limit, limit) : value);
        }
    }
    return OLL_OK;
}
