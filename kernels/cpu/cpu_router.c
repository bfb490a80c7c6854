/* Choice of experts. In double, like the reference: probabilities that differ in their last bits
 * must not change who is chosen, and saturated gates must not tie. */
#include "kernels/cpu/cpu_internal.h"

#include "engine/base/mem.h"

#include <float.h>
#include <math.h>

/* Scratch of one token. */
struct choice {
    double *p, *score; /* [n_expert] gate value; what the selection compares, -INFINITY: taken */
};

static double gate_value(enum oll_gating gating, double x, double max)
{
    switch (gating) {
    case OLL_GATING_SOFTMAX: return exp(x - max);
    case OLL_GATING_SIGMOID: return 1.0 / (1.0 + exp(-x));
    /* ln(1 + e^x) without overflow */
    case OLL_GATING_SQRT_SOFTPLUS: return sqrt((x > 0 ? x : 0) + log1p(exp(-fabs(x))));
    case OLL_GATING_SOFTMAX_SELECTED: break;
    }
    return x;
}

static void gate_all(const struct op_router *op, const float *logits, double *p)
{
    uint32_t n = op->logits.cols;
    double max = -INFINITY, sum = 0;
    for (uint32_t e = 0; e < n; e++)
        max = (double)logits[e] > max ? (double)logits[e] : max;
    for (uint32_t e = 0; e < n; e++) {
        p[e] = gate_value(op->gating, (double)logits[e], max);
        sum += p[e];
    }
    if (op->gating == OLL_GATING_SOFTMAX) {
        for (uint32_t e = 0; e < n; e++)
            p[e] /= sum;
    }
}

/* A score that can be told from a taken one. */
static double open_score(double score) { return score == -INFINITY ? -DBL_MAX : score; }

/* The first of the best entries that is not taken. With NaN scores the first free one. */
static uint32_t take_best(double *score, uint32_t n)
{
    uint32_t best = n;
    for (uint32_t i = 0; i < n; i++)
        if (score[i] != -INFINITY && (best == n || score[i] > score[best]))
            best = i;
    best = best < n ? best : 0;
    score[best] = -INFINITY;
    return best;
}

static double two_best(const double *score, uint32_t n)
{
    double first = -INFINITY, second = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (score[i] > first) {
            second = first;
            first = score[i];
        } else if (score[i] > second) {
            second = score[i];
        }
    }
    return n > 1 ? first + second : first;
}

/* Takes the experts of all but the n_group_used best groups out of the choice. `groups` [n_group]
 * is scratch. */
static void close_groups(const struct op_router *op, double *score, double *groups)
{
    uint32_t n = op->n_group, n_member = op->logits.cols / n;
    for (uint32_t g = 0; g < n; g++)
        groups[g] = open_score(two_best(score + (size_t)g * n_member, n_member));
    for (uint32_t i = 0; i < op->n_group_used; i++)
        take_best(groups, n);
    for (uint32_t g = 0; g < n; g++)
        for (uint32_t e = 0; e < n_member && groups[g] != -INFINITY; e++)
            score[(size_t)g * n_member + e] = -INFINITY;
}

static void weights_of(const struct op_router *op, const double *p, const int32_t *ids, float *out)
{
    double scale = op->scale != 0 ? (double)op->scale : 1, sum = 0, divisor = 1, max = -INFINITY;
    bool is_late = op->gating == OLL_GATING_SOFTMAX_SELECTED;
    for (uint32_t s = 0; s < op->n_used; s++)
        max = p[ids[s]] > max ? p[ids[s]] : max;
    for (uint32_t s = 0; s < op->n_used; s++)
        sum += is_late ? exp(p[ids[s]] - max) : p[ids[s]];
    if (is_late)
        divisor = sum;
    else if (op->normalise)
        divisor = sum < 0x1p-14 ? 0x1p-14 : sum;
    for (uint32_t s = 0; s < op->n_used; s++)
        out[s] = (float)((is_late ? exp(p[ids[s]] - max) : p[ids[s]]) / divisor * scale);
}

void cpu_plan_router(const struct cpu_device *dev, const struct op_router *op,
                     struct cpu_plan *plan)
{
    (void)dev;
    plan->serial = (size_t)op->logits.rows * op->logits.cols <= 256;
    plan->thread_bytes = 3 * op->logits.cols * sizeof(double);
}

void cpu_run_router(struct cpu_worker *w, const struct op_router *op)
{
    uint32_t n = op->logits.cols;
    double *p = w->thread_scratch, *score = p + n, *groups = score + n;
    const float *bias = cpu_vec(&op->selection_bias);
    struct cpu_range range = cpu_worker_range(w, op->logits.rows, 1);
    for (uint32_t t = range.begin; t < range.end && !cpu_worker_stopped(w); t++) {
        int32_t *ids = cpu_ints(&op->ids) + (size_t)t * op->n_used;
        gate_all(op, cpu_mat_row(&op->logits, t), p);
        for (uint32_t e = 0; e < n; e++)
            score[e] = open_score(p[e] + (bias ? (double)bias[e] : 0));
        if (op->n_group > 1)
            close_groups(op, score, groups);
        for (uint32_t s = 0; s < op->n_used; s++)
            ids[s] = (int32_t)take_best(score, n);
        weights_of(op, p, ids, cpu_mat_row(&op->weights, t));
    }
}
