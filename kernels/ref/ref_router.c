#include "kernels/ref/ref.h"

#include <math.h>

/* Arrays of one token. */
struct choice {
    uint32_t n_expert, n_used;
    double *p;           /* [n_expert] gate function of the logits */
    double *score;       /* [n_expert] what the selection compares */
    double *group;       /* [n_group] scores of groups */
    bool *is_open;       /* [n_expert] may still be chosen */
    bool *is_group_open; /* [n_group] */
};

static void gate_function(enum oll_gating gating, const float *logits, struct choice *c)
{
    double max = -INFINITY, sum = 0;
    for (uint32_t e = 0; e < c->n_expert; e++)
        max = (double)logits[e] > max ? (double)logits[e] : max;
    for (uint32_t e = 0; e < c->n_expert; e++) {
        double x = (double)logits[e];
        switch (gating) {
        case OLL_GATING_SOFTMAX: c->p[e] = exp(x - max); break;
        case OLL_GATING_SIGMOID: c->p[e] = 1.0 / (1.0 + exp(-x)); break;
        case OLL_GATING_SOFTMAX_SELECTED: c->p[e] = x; break;
        /* softplus(x) = ln(1 + e^x), written so that e^x cannot overflow */
        case OLL_GATING_SQRT_SOFTPLUS:
            c->p[e] = sqrt((x > 0 ? x : 0) + log1p(exp(-fabs(x))));
            break;
        }
        sum += c->p[e];
    }
    if (gating == OLL_GATING_SOFTMAX) {
        for (uint32_t e = 0; e < c->n_expert; e++)
            c->p[e] /= sum;
    }
}

/* The best open entry, the lower index among equals; any open one when scores are NaN. */
static uint32_t best_open(const double *score, const bool *is_open, uint32_t n)
{
    uint32_t best = n;
    for (uint32_t i = 0; i < n; i++) {
        if (is_open[i] && (best == n || score[i] > score[best]))
            best = i;
    }
    return best;
}

static double two_best(const double *score, uint32_t n)
{
    double first = score[0], second = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (score[i] > first) {
            second = first;
            first = score[i];
        } else if (i == 1 || score[i] > second) {
            second = score[i];
        }
    }
    return first + second;
}

/* Leaves open the experts of the n_used best of n groups. */
static void choose_groups(struct choice *c, uint32_t n, uint32_t n_used)
{
    uint32_t n_member = c->n_expert / n;
    for (uint32_t g = 0; g < n; g++) {
        c->group[g] = two_best(c->score + (size_t)g * n_member, n_member);
        c->is_group_open[g] = true;
    }
    for (uint32_t e = 0; e < c->n_expert; e++)
        c->is_open[e] = false;
    for (uint32_t i = 0; i < n_used; i++) {
        uint32_t g = best_open(c->group, c->is_group_open, n);
        c->is_group_open[g] = false;
        for (uint32_t e = 0; e < n_member; e++)
            c->is_open[(size_t)g * n_member + e] = true;
    }
}

static void choose(const struct op_router *d, struct choice *c, const float *logits, int32_t *ids,
                   float *weights)
{
    const float *bias = ref_vec(&d->selection_bias);
    gate_function(d->gating, logits, c);
    for (uint32_t e = 0; e < c->n_expert; e++) {
        c->score[e] = c->p[e] + (bias ? (double)bias[e] : 0.0);
        c->is_open[e] = true;
    }
    if (d->n_group > 1)
        choose_groups(c, d->n_group, d->n_group_used);
    double sum = 0, max = -INFINITY;
    for (uint32_t s = 0; s < c->n_used; s++) {
        uint32_t e = best_open(c->score, c->is_open, c->n_expert);
        c->is_open[e] = false;
        ids[s] = (int32_t)e;
        max = c->p[e] > max ? c->p[e] : max;
    }
    bool is_late = d->gating == OLL_GATING_SOFTMAX_SELECTED;
    for (uint32_t s = 0; s < c->n_used; s++) {
        double *p = &c->p[ids[s]];
        *p = is_late ? exp(*p - max) : *p;
        sum += *p;
    }
    double divisor = is_late ? sum : 1.0;
    if (d->normalise && !is_late)
        divisor = sum < 0x1p-14 ? 0x1p-14 : sum;
    for (uint32_t s = 0; s < c->n_used; s++)
        weights[s] = (float)(c->p[ids[s]] / divisor * ref_factor(d->scale));
}

oll_status ref_router(struct ref_device *ref, const struct op_router *d, struct oll_error *err)
{
    uint32_t n = d->logits.cols;
    void *scratch;
    OLL_TRY(ref_scratch(ref, REF_SLOT_OUTPUT, n * (3 * sizeof(double) + 2 * sizeof(bool)), &scratch,
                        err));
    double *p = scratch;
    struct choice c = {.n_expert = n,
                       .n_used = d->n_used,
                       .p = p,
                       .score = p + n,
                       .group = p + 2 * (size_t)n,
                       .is_open = (bool *)(p + 3 * (size_t)n),
                       .is_group_open = (bool *)(p + 3 * (size_t)n) + n};
    int32_t *ids = ref_ints(&d->ids);
    for (uint32_t t = 0; t < d->logits.rows; t++)
        choose(d, &c, ref_row(&d->logits, t), ids + (size_t)t * d->n_used, ref_row(&d->weights, t));
    return OLL_OK;
}
